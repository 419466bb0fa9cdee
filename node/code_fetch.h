/* fetch() of an actor's code: a request to the outside, through the worker's egress process
 * (actor/egress_client.h), by the list of hosts of who asks: the namespace's deployment, or what a run was
 * granted. Without a list nothing leaves. */
#ifndef NODE_CODE_FETCH_H
#define NODE_CODE_FETCH_H

#include "actor/code_host.h"
#include "base/slice.h"

struct code;

enum { CODE_FETCH_BYTES_MAX = 16 << 20, CODE_FETCH_MS_MAX = 120 * 1000 };

/* `args` is [method, url, fields, bytes or nil, redirect]; the call is answered later, or from inside. */
void code_fetch_begin(struct code *c, struct code_call *call, struct slice args);

#endif
