/* A request as the HTTP layer would hand it on, for tests of what reads one. */
#ifndef TESTS_UNIT_HTTP_REQUEST_H
#define TESTS_UNIT_HTTP_REQUEST_H

#include <string.h>

#include "rpc/http.h"

enum { TEST_HEADERS_MAX = 8 };

struct test_request {
    struct http_request http;
    struct http_header headers[TEST_HEADERS_MAX];
};

static inline void test_request_begin(struct test_request *r, const char *method,
                                      const char *target)
{
    *r = (struct test_request){.http = {.method = slice_of_str(method),
                                        .target = slice_of_str(target),
                                        .authority = SLICE("localhost:7420")}};
    r->http.headers = r->headers;
}

/* Names are in lower case, as the layer leaves them. */
static inline void test_request_header(struct test_request *r, const char *name, const char *value)
{
    r->headers[r->http.header_count++] =
        (struct http_header){.name = slice_of_str(name), .value = slice_of_str(value)};
}

#endif
