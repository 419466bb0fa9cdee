/* Requests to sandboxes, from HTTP to what their host reads (actor/sandbox_ask.h). */
#ifndef NODE_DECODE_SANDBOX_H
#define NODE_DECODE_SANDBOX_H

#include "actor/request.h"
#include "node/decode.h"
#include "node/route.h"

bool route_is_of_sandbox(enum route_name route);

enum err decode_sandbox(struct request *r, const struct http_request *h, const struct route *route,
                        struct slice query, struct decode_error *e) MUST_CHECK;

/* An exec that may take longer than requests do by default: its own time and a little. */
uint32_t decode_sandbox_timeout_ms(const struct request *r, uint32_t timeout_ms);

#endif
