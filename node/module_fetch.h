/* A request to a namespace's module, which has no actor: it runs on the worker that was asked. */
#ifndef NODE_MODULE_FETCH_H
#define NODE_MODULE_FETCH_H

#include "actor/request.h"
#include "rpc/http.h"

struct worker;

/* Takes the request; the exchange is answered, now or later. */
void module_fetch_begin(struct worker *w, struct http_exchange *x, struct request *r,
                        uint32_t timeout_ms);

#endif
