/* Decoding of what asks an actor's code for something: calls, fetches, and code to run once (API
 * section 4). The rest of each request is read in node/decode.c. */
#ifndef NODE_DECODE_CODE_H
#define NODE_DECODE_CODE_H

#include "node/decode.h"
#include "node/deployment.h"

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

/* Whether that kind of request is for the class: workflows are asked for their runs, other classes for their
 * methods. NULL: the built-in one. */
bool class_takes(const struct deployed_class *c, enum request_kind kind);
enum err decode_check_class(const struct request *r, const struct cluster_view *view,
                            struct decode_error *ret_error) MUST_CHECK;
/* What follows .../workflow/. */
enum err decode_workflow_verb(struct request *r, struct slice segment,
                              struct decode_error *ret_error) MUST_CHECK;

#endif
