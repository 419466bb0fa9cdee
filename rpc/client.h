/* A client: blocking HTTP over libcurl, one request at a time, connections kept between them.
 *
 * HTTP/1.1, or HTTP/2 with prior knowledge (without TLS) and by ALPN (with it). No redirects, no
 * proxies, no environment: what is asked goes to the base URL and nowhere else, because requests
 * carry a token.
 *
 * A client belongs to one thread at a time; different clients are independent. No retries in here,
 * with one exception: where `may_repeat` is set, a request that met a kept connection which the
 * server had just closed is sent again on a new one.
 *
 * Failures say whether the server may have seen the request:
 *
 *     not sent                            sent, or partly
 *     ERR_UNAVAILABLE  no connection      ERR_OUTCOME_UNKNOWN   broke before the answer's end
 *     ERR_TIMEOUT      time was up        ERR_TIMEOUT_IN_DOUBT  time was up
 *     ERR_UNAUTHENTICATED  no TLS, or a   ERR_TOO_LARGE         the answer is over its limit
 *                      certificate that   ERR_CLOSED            the callback asked to stop
 *                      does not verify
 *     ERR_BAD_REQUEST  a header value with control characters
 *
 * An answer of any status is ERR_OK. */
#ifndef RPC_CLIENT_H
#define RPC_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    CLIENT_DETAIL_BYTES = 256,          /* libcurl's own size of an error text */
    CLIENT_CONNECT_MS_MAX = 5000,       /* one attempt; leaves time for another one */
    CLIENT_HEADER_BYTES_MAX = 64 << 10, /* of an answer */
};

struct client;

struct client_options {
    const char *base_url; /* "http://host:port", without a path */
    const char *ca_file;  /* PEM; NULL: the system's */
    const char *user_agent;
    bool http2;
};

struct client_header {
    const char *name;
    const char *value;
};

/* Everything is the caller's and must outlive the call. */
struct client_request {
    const char *method;
    const char *target; /* path and query, percent-encoded */
    const struct client_header *headers;
    size_t header_count;
    struct slice body;
    bool has_body;
    bool may_repeat;
    uint64_t timeout_ms;      /* the whole exchange; 0: none, for streams */
    uint64_t idle_timeout_ms; /* without a byte; 0: none; counted in whole seconds */
    uint64_t body_bytes_max;  /* of an answer that is collected */

    /* Where given, the body of a 200 goes here instead of the response. False stops. */
    bool (*on_body)(void *data, struct slice chunk);
    /* Asked about once a second while nothing arrives, too; false stops. NULL: go on. */
    bool (*keep_going)(void *data);
    void *data;
};

/* Zero-initialise; written over by each request, reusable. */
struct client_response {
    int status; /* 0 until the head of the answer has arrived; callbacks may look */
    struct buf body;
    struct buf headers; /* "name: value" and a NUL, each */
};

/* ERR_BAD_REQUEST: the URL is not one of http or https, or has a path, query or user in it. */
enum err client_new(const struct client_options *o, struct client **ret_client) MUST_CHECK;
void client_free(struct client *c); /* NULL is fine; closes its connections */

/* `ret_detail` gets a sentence for people, or "". */
enum err client_perform(struct client *c, const struct client_request *request,
                        struct client_response *response,
                        char ret_detail[CLIENT_DETAIL_BYTES]) MUST_CHECK;

void client_response_done(struct client_response *r);

/* The value of the first such header, or NULL; valid until the response is used again. */
const char *client_response_header(const struct client_response *r, const char *name);

#endif
