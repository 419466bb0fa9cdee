/* Decoding: from an HTTP request to a request to an actor, and every way in which it may be wrong.
 * Pure: bytes in, a request or an error out. */
#ifndef NODE_DECODE_H
#define NODE_DECODE_H

#include <stdbool.h>

#include "actor/request.h"
#include "base/err.h"
#include "node/accept.h"
#include "node/cluster_view.h"
#include "node/route.h"
#include "rpc/http.h"
#include "rpc/uri.h"

enum { DECODE_DETAIL_BYTES = 192 };

struct decode_error {
    enum err err;
    char detail[DECODE_DETAIL_BYTES]; /* "": the error's own text */
    struct problem_limit limit;       /* name NULL: none */
};

/* Dormouse-Timeout, or the default. */
enum err decode_timeout(const struct http_request *h, uint32_t *ret_ms,
                        struct decode_error *ret_error) MUST_CHECK;

/* A body as a msgpack document, nested at most `depth_max` deep; the caller's own reference. */
enum err decode_document(const struct http_request *h, size_t bytes_max, unsigned depth_max,
                         struct bytes **ret_doc, struct decode_error *ret_error) MUST_CHECK;

/* The request for an ACTOR route. The view says which classes there are; the identity is not yet set. On an
 * error `ret_error` is complete. */
enum err decode_request(const struct http_request *h, const struct route *route,
                        struct slice query_text, const struct cluster_view *view,
                        struct request **ret_request, struct decode_error *ret_error) MUST_CHECK;

/* ERR_BAD_REQUEST, which names the parameter, where one of the query is not known. */
enum err decode_parameters(const struct query *q, const char *const *known, size_t count,
                           struct decode_error *ret_error) MUST_CHECK;

/* ERR_TOO_LARGE, which it returns; `name` is static. */
enum err decode_too_large(struct decode_error *e, const char *name, uint64_t value);

/* An error with a formatted detail; returns `err`. */
enum err decode_fail(struct decode_error *e, enum err err, const char *format, ...)
    PRINTF_LIKE(3, 4);

#endif
