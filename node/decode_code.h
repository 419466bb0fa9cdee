/* Decoding of what asks an actor's code for something: calls, fetches, and code to run once (API
 * section 4). The rest of each request is read in node/decode.c. */
#ifndef NODE_DECODE_CODE_H
#define NODE_DECODE_CODE_H

#include "node/decode.h"

/* The body: an array of arguments; none where it is empty. */
enum err decode_call(struct request *r, const struct http_request *h,
                     struct decode_error *ret_error) MUST_CHECK;

/* The body of the request to the actor is [method, url, [[name, value], ...], bytes or nil]. */
enum err decode_fetch(struct request *r, const struct http_request *h, const struct route *route,
                      struct decode_error *ret_error) MUST_CHECK;

/* Likewise; the address is the namespace alone. */
enum err decode_module_fetch(struct request *r, const struct http_request *h,
                             const struct route *route, struct decode_error *ret_error) MUST_CHECK;

/* {"code", "input", "limits": {...}, "grants": {...}} */
enum err decode_execute(struct request *r, const struct http_request *h,
                        struct decode_error *ret_error) MUST_CHECK;

#endif
