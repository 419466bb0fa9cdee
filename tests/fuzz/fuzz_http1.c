/* HTTP/1.1 from the wire: however the bytes are cut, the same requests are seen and the same
 * answers given; and time may pass anywhere.
 *
 * The first byte of an input says how long the pieces are. */
#include "rpc/http2.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_http.h"

/* Answers let further requests through, which may be of the kind that is answered late. */
static void answer_late(struct fuzz_http *world)
{
    fuzz_http_flush(world);
    while (world->unanswered_count > 0) {
        struct http_exchange *x = world->unanswered[--world->unanswered_count];
        http_respond(x, 204, NULL, 0, NULL);
        fuzz_http_flush(world);
    }
}

static void run(struct fuzz_http *world, struct slice in, size_t piece)
{
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        fuzz_http_recv(world, slice_of(in.data, n));
        answer_late(world);
        in = slice_skip(in, n);
    }
}

static void expect_same_in_pieces(struct slice in, size_t piece)
{
    struct fuzz_http whole;
    struct fuzz_http pieces;
    fuzz_http_open_roomy(&whole);
    fuzz_http_open_roomy(&pieces);
    run(&whole, in, SIZE_MAX);
    run(&pieces, in, piece);
    HOLDS(slice_equal(buf_slice(&whole.seen), buf_slice(&pieces.seen)));
    HOLDS(slice_equal(buf_slice(&whole.said), buf_slice(&pieces.said)));
    /* How a stream is cut into chunks depends on what waits to be sent when it is written. */
    HOLDS(whole.has_streamed || slice_equal(buf_slice(&whole.sent), buf_slice(&pieces.sent)));
    HOLDS(http_conn_wants_close(whole.conn) == http_conn_wants_close(pieces.conn));
    fuzz_http_close(&whole);
    fuzz_http_close(&pieces);
}

static void let_time_pass(struct slice in, size_t piece)
{
    struct fuzz_http world;
    fuzz_http_open(&world);
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        fuzz_http_recv(&world, slice_of(in.data, n));
        fuzz_http_tick(&world, in.data[0] * 10U);
        if (in.data[n - 1] % 2 == 0) {
            fuzz_http_flush(&world);
        }
        in = slice_skip(in, n);
    }
    http_conn_drain(world.conn);
    fuzz_http_close(&world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2) {
        return 0;
    }
    size_t piece = 1 + data[0] % 32U;
    struct slice in = slice_of(data + 1, len - 1);
    if (slice_has_prefix(in, HTTP2_PREFACE)) {
        return 0; /* the other target */
    }
    expect_same_in_pieces(in, piece);
    let_time_pass(in, piece);
    return 0;
}
