/* HTTP/2 from the wire: preface and an empty SETTINGS are given, what follows is the input. However
 * it is cut the same requests are seen; and output and time may come in anywhere.
 *
 * The first byte of an input says how long the pieces are. */
#include "rpc/http2.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/fuzz_http.h"

static void open_session(struct fuzz_http *world)
{
    static const uint8_t settings[9] = {0, 0, 0, 4};
    fuzz_http_open(world);
    fuzz_http_recv(world, HTTP2_PREFACE);
    fuzz_http_recv(world, slice_of(settings, sizeof settings));
    fuzz_http_flush(world);
}

/* nghttp2 1.52 counts a CONTINUATION again for each piece in which its header comes, and ends the
 * connection over eight: one of the two may have seen only a part of what the other saw. */
static void expect_same_seen(const struct fuzz_http *a, const struct fuzz_http *b)
{
    struct slice x = buf_slice(&a->seen);
    struct slice y = buf_slice(&b->seen);
    bool both_live = !http_conn_wants_close(a->conn) && !http_conn_wants_close(b->conn);
    HOLDS(slice_has_prefix(x, y) || slice_has_prefix(y, x));
    HOLDS(!both_live || slice_equal(x, y));
}

/* Output waits until the end: a reset that is sent changes what later frames of its stream mean. */
static void expect_same_in_pieces(struct slice in, size_t piece)
{
    struct fuzz_http whole;
    struct fuzz_http pieces;
    open_session(&whole);
    open_session(&pieces);
    fuzz_http_recv(&whole, in);
    fuzz_http_flush(&whole);
    for (size_t at = 0; at < in.len; at += piece) {
        fuzz_http_recv(&pieces, slice_of(in.data + at, in.len - at < piece ? in.len - at : piece));
    }
    fuzz_http_flush(&pieces);
    expect_same_seen(&whole, &pieces);
    fuzz_http_close(&whole);
    fuzz_http_close(&pieces);
}

static void let_time_pass(struct slice in, size_t piece)
{
    struct fuzz_http world;
    open_session(&world);
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        fuzz_http_recv(&world, slice_of(in.data, n));
        fuzz_http_tick(&world, in.data[0] * 10U);
        if (in.data[n - 1] % 2 == 0) {
            fuzz_http_flush(&world);
        } else if (world.unanswered_count > 0) {
            struct http_exchange *x = world.unanswered[--world.unanswered_count];
            http_respond(x, 200, NULL, 0, http_exchange_request(x)->body);
        }
        in = slice_skip(in, n);
    }
    http_conn_drain(world.conn);
    fuzz_http_flush(&world);
    fuzz_http_tick(&world, 1000);
    fuzz_http_flush(&world);
    fuzz_http_close(&world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 2) {
        return 0;
    }
    size_t piece = 1 + data[0] % 64U;
    struct slice in = slice_of(data + 1, len - 1);
    expect_same_in_pieces(in, piece);
    let_time_pass(in, piece);
    return 0;
}
