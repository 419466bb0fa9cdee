/* What the two HTTP targets share: a connection whose requests are written down as they are seen,
 * and answered by a rule that looks at nothing but the request. */
#ifndef TESTS_FUZZ_FUZZ_HTTP_H
#define TESTS_FUZZ_FUZZ_HTTP_H

#include "base/buf.h"
#include "rpc/http.h"

struct fuzz_http {
    struct http_conn *conn;
    struct buf seen; /* the requests */
    struct buf said; /* what sockets have said, all together */
    struct buf sent; /* the output */
    struct http_exchange *unanswered[64];
    size_t unanswered_count;
    uint64_t now_ms;
    bool output_is_due;
    bool has_streamed;
};

void fuzz_http_open(struct fuzz_http *world);
/* Where an address never holds too much: whether it does hangs on what was sent meanwhile. */
void fuzz_http_open_roomy(struct fuzz_http *world);
void fuzz_http_recv(struct fuzz_http *world, struct slice in);
void fuzz_http_flush(struct fuzz_http *world);
void fuzz_http_tick(struct fuzz_http *world, uint64_t ms);
void fuzz_http_close(struct fuzz_http *world);

#endif
