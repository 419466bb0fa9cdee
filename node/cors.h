/* CORS (the Fetch standard): pages of which origins may ask this node and see its answers. Pure. */
#ifndef NODE_CORS_H
#define NODE_CORS_H

#include <stddef.h>

#include "base/err.h"
#include "base/slice.h"
#include "rpc/http.h"

enum { CORS_ORIGINS_MAX = 32, CORS_FIELDS = 3 };

struct cors_origin {
    struct slice text;                      /* "https://app.example.com", in lower case */
    struct http_header fields[CORS_FIELDS]; /* of every answer to its pages */
};

struct cors {
    char *list; /* that the slices point into */
    size_t count;
    struct cors_origin origins[CORS_ORIGINS_MAX];
};

/* `text`: origins with commas between them, as browsers say them. ERR_BAD_REQUEST: `*ret_detail`, static
 * text, says why. */
enum err cors_parse(struct cors *ret, const char *text, const char **ret_detail) MUST_CHECK;
void cors_done(struct cors *c);

/* The configured origin whose page asks; NULL: none. */
const struct cors_origin *cors_find(const struct cors *c, const struct http_request *h);

/* Whether this is a preflight: a question of the browser's own, before the request itself. */
bool cors_is_preflight(const struct http_request *h);

/* Answers it. `methods` of the route, separated by ", "; "" where it takes any. */
void cors_answer_preflight(struct http_exchange *x, const char *methods);

#endif
