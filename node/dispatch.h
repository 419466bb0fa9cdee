/* Dispatch: from a whole HTTP request to whoever answers it. */
#ifndef NODE_DISPATCH_H
#define NODE_DISPATCH_H

#include "rpc/http.h"

/* The hooks of a worker's connections; `ctx` is the worker. */
void dispatch_request(void *ctx, struct http_exchange *x);
void dispatch_cancel(void *ctx, struct http_exchange *x);
void dispatch_writable(void *ctx, struct http_exchange *x);
void dispatch_data(void *ctx, struct http_exchange *x, struct slice in, bool is_end);

#endif
