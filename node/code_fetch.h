/* fetch() of an actor's code: a request to the outside, through the worker's egress process
 * (actor/egress_client.h), by the list of hosts of who asks: the namespace's deployment, or what a run was
 * granted. Without a list nothing leaves. Bodies go on to the code as they come, as far as it reads them. */
#ifndef NODE_CODE_FETCH_H
#define NODE_CODE_FETCH_H

#include "actor/code_host.h"
#include "base/slice.h"

struct code;

enum {
    CODE_FETCH_BYTES_MAX = 1 << 30, /* of a body */
    CODE_FETCH_MS_MAX = 120 * 1000, /* until its head; then without a byte that came or was read */
};

/* `args` is [method, url, fields, bytes or nil, redirect]. What comes of it is told later, or from inside. */
void code_fetch_begin(struct code *c, struct code_incoming *in, struct slice args);
void code_fetch_credit(struct code_incoming *in, uint64_t bytes);
void code_fetch_cancel(struct code_incoming *in);

#endif
