/* A WebSocket's frames from the wire: however the bytes are cut, the same messages arrive, within their
 * limits; what we send is read without fault by the other side; and time may pass anywhere.
 *
 * The first byte of an input says how long the pieces are, the second, by its lowest bit, which side the
 * bytes come to. */
#include "base/address.h"
#include "base/buf.h"
#include "rpc/websocket.h"
#include "tests/fuzz/fuzz.h"

static const struct websocket_limits limits = {.message_bytes_max = 300,
                                               .unsent_bytes_max = 200,
                                               .ping_ms = 50,
                                               .pong_ms = 70,
                                               .close_ms = 90};

struct world {
    struct websocket *ws;
    struct websocket *other; /* reads what ws sends */
    struct buf seen;
    uint64_t now_ms;
};

static void open_world(struct world *w, enum websocket_role role)
{
    bool is_server = role == WEBSOCKET_SERVER;
    *w = (struct world){.now_ms = 1};
    w->ws = websocket_new(role, &limits, w->now_ms);
    w->other = websocket_new(is_server ? WEBSOCKET_CLIENT : WEBSOCKET_SERVER, &limits, w->now_ms);
}

static void see(struct world *w, const struct websocket_event *e)
{
    struct slice data = bytes_slice(e->data);
    HOLDS(data.len <= limits.message_bytes_max);
    HOLDS(!e->is_text || slice_is_utf8(data));
    HOLDS(slice_is_utf8(e->reason) && e->reason.len <= WEBSOCKET_REASON_BYTES_MAX);
    buf_printf(&w->seen, "%d %d %d %d %d %zu:", e->kind, e->is_text, e->code, e->is_clean,
               e->is_owed, data.len);
    buf_append_slice(&w->seen, data);
    buf_append_slice(&w->seen, e->reason);
}

/* What is sent is well-formed, whatever was heard. */
static void carry_output(struct world *w)
{
    struct slice out;
    struct websocket_event e;
    while ((out = websocket_output(w->ws)).len > 0) {
        websocket_recv(w->other, out);
        websocket_sent(w->ws, out.len);
    }
    while (websocket_next(w->other, &e, w->now_ms)) {
        HOLDS(e.kind != WEBSOCKET_FAILED);
        bytes_unref(e.data);
    }
}

/* Echoes; the last byte of a message may ask for a close instead. */
static void answer(struct world *w, const struct websocket_event *e)
{
    struct slice data = bytes_slice(e->data);
    enum err err = ERR_OK;
    if (e->kind == WEBSOCKET_MESSAGE && data.len > 0 && data.data[data.len - 1] == 'c') {
        err = websocket_close(w->ws, 1000, SLICE("as you wish"), w->now_ms);
    } else if (e->kind == WEBSOCKET_MESSAGE) {
        err = websocket_send(w->ws, e->is_text, data);
    } else if (e->is_owed && e->code != WEBSOCKET_NO_CODE) {
        err = websocket_close(w->ws, e->code, e->reason, w->now_ms);
        HOLDS(err == ERR_OK);
    }
    HOLDS(err == ERR_OK || err == ERR_CLOSED || err == ERR_OVERLOADED);
}

static void take_events(struct world *w)
{
    struct websocket_event e;
    while (websocket_next(w->ws, &e, w->now_ms)) {
        see(w, &e);
        answer(w, &e);
        bytes_unref(e.data);
    }
    HOLDS(websocket_part_bytes(w->ws) <= limits.message_bytes_max);
    HOLDS(websocket_input_bytes(w->ws) == 0); /* all that came was looked at */
}

static void run(struct world *w, struct slice in, size_t piece)
{
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        websocket_recv(w->ws, slice_of(in.data, n));
        take_events(w);
        in = slice_skip(in, n);
    }
    websocket_recv_end(w->ws);
    take_events(w);
    carry_output(w);
}

static void close_world(struct world *w)
{
    websocket_free(w->ws);
    websocket_free(w->other);
    buf_done(&w->seen);
}

static void expect_same_in_pieces(enum websocket_role role, struct slice in, size_t piece)
{
    struct world whole;
    struct world pieces;
    open_world(&whole, role);
    open_world(&pieces, role);
    run(&whole, in, SIZE_MAX);
    run(&pieces, in, piece);
    HOLDS(slice_equal(buf_slice(&whole.seen), buf_slice(&pieces.seen)));
    close_world(&whole);
    close_world(&pieces);
}

/* Whatever was done, it is over in bounded time once the peer says nothing more. */
static void let_time_pass(enum websocket_role role, struct slice in, size_t piece)
{
    struct world w;
    open_world(&w, role);
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        websocket_recv(w.ws, slice_of(in.data, n));
        w.now_ms += in.data[0];
        websocket_tick(w.ws, w.now_ms);
        if (in.data[n - 1] % 2 == 0) {
            take_events(&w);
            carry_output(&w);
        }
        in = slice_skip(in, n);
    }
    for (int i = 0; i < 4; i++) {
        take_events(&w);
        carry_output(&w);
        w.now_ms += limits.ping_ms + limits.pong_ms + limits.close_ms;
        websocket_tick(w.ws, w.now_ms);
    }
    take_events(&w);
    carry_output(&w);
    HOLDS(websocket_is_over(w.ws));
    close_world(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3) {
        return 0;
    }
    size_t piece = 1 + data[0] % 64U;
    enum websocket_role role = data[1] % 2 == 0 ? WEBSOCKET_SERVER : WEBSOCKET_CLIENT;
    struct slice in = slice_of(data + 2, len - 2);
    expect_same_in_pieces(role, in, piece);
    let_time_pass(role, in, piece);
    return 0;
}
