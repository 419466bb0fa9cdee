/* What peers say: however the bytes are cut, the same frames come out of the inbox, within its bounds; and
 * what goes into a queue comes out of an inbox whole, once, in the order of its kind and group.
 *
 * The first byte of an input says how long the pieces are. If the second one is even, the rest is what a
 * peer sent; else it is a list of what to push, two bytes each, and when to take. */
#include "base/buf.h"
#include "base/endian.h"
#include "base/mem.h"
#include "rpc/peer_inbox.h"
#include "rpc/peer_queue.h"
#include "tests/fuzz/fuzz.h"

enum { LANES = 8, QUEUE_BYTES = 1 << 20 };

/* Raw bytes */

struct seen {
    struct buf bytes;
    struct peer_inbox inbox;
};

static enum err see(void *ctx, const struct peer_frame *f)
{
    struct seen *s = ctx;
    HOLDS(f->type != PEER_FIRST && f->type != PEER_MORE);
    HOLDS(f->message.payload.len <= PEER_MESSAGE_BYTES_MAX);
    buf_append_byte(&s->bytes, (uint8_t)f->type);
    buf_append_u64(&s->bytes, f->stamp);
    buf_append_u64(&s->bytes, f->message.from);
    buf_append_u64(&s->bytes, f->message.to);
    buf_append_u32(&s->bytes, f->message.group);
    buf_append_u32(&s->bytes, (uint32_t)f->message.payload.len);
    buf_append_slice(&s->bytes, f->message.payload);
    buf_append_slice(&s->bytes, f->text);
    if (f->type == PEER_HELLO || f->type == PEER_WELCOME) {
        HOLDS(f->hello.node > 0 && f->hello.worker < f->hello.workers);
        HOLDS(f->hello.workers <= PEER_WORKERS_MAX);
        HOLDS(f->hello.channel < PEER_CHANNEL_COUNT);
        struct buf again = {0}; /* what was read can be written */
        peer_put_hello(&again, f->type, &f->hello);
        buf_append_slice(&s->bytes, buf_slice(&again));
        buf_done(&again);
    }
    return ERR_OK;
}

static enum err read_all(struct seen *s, struct slice in, size_t piece)
{
    enum err err = ERR_OK;
    peer_inbox_init(&s->inbox, QUEUE_BYTES);
    while (err == ERR_OK && in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        err = peer_inbox_feed(&s->inbox, slice_of(in.data, n), see, s);
        in = slice_skip(in, n);
        HOLDS(s->inbox.assembly_bytes <= QUEUE_BYTES);
        HOLDS(s->inbox.partial.len <= PEER_HEAD_BYTES + PEER_BODY_BYTES_MAX);
    }
    return err;
}

static void run_raw(size_t piece, struct slice in)
{
    struct seen whole = {0};
    struct seen pieces = {0};
    enum err err = read_all(&whole, in, SIZE_MAX);
    HOLDS(err == ERR_OK || err == ERR_CORRUPT);
    HOLDS(read_all(&pieces, in, piece) == err);
    HOLDS(slice_equal(buf_slice(&whole.bytes), buf_slice(&pieces.bytes)));
    peer_inbox_done(&whole.inbox);
    peer_inbox_done(&pieces.inbox);
    buf_done(&whole.bytes);
    buf_done(&pieces.bytes);
}

/* Through a queue */

struct world {
    struct peer_queue queue;
    struct peer_inbox inbox;
    size_t sizes[LANES][1024]; /* that were pushed, in order */
    size_t pushed[LANES];
    size_t come[LANES];
};

static uint8_t noise[QUEUE_BYTES];

static enum err receive(void *ctx, const struct peer_frame *f)
{
    struct world *w = ctx;
    const struct peer_message *m = &f->message;
    size_t lane = m->kind * 4U + m->group;
    HOLDS(f->type == PEER_MESSAGE && lane < LANES && w->come[lane] < w->pushed[lane]);
    HOLDS(m->payload.len == w->sizes[lane][w->come[lane]]);
    HOLDS(m->from == w->come[lane] && m->to == lane);
    HOLDS(m->payload.len == 0 || memcmp(m->payload.data, noise, m->payload.len) == 0);
    w->come[lane]++;
    return ERR_OK;
}

static size_t take(struct world *w, size_t bytes, size_t piece)
{
    struct buf out = {0};
    peer_queue_fill(&w->queue, bytes, &out);
    size_t total = out.len;
    HOLDS(total <= bytes + PEER_HEAD_BYTES + PEER_BODY_BYTES_MAX);
    for (struct slice left = buf_slice(&out); left.len > 0;) {
        size_t n = left.len < piece ? left.len : piece;
        HOLDS(peer_inbox_feed(&w->inbox, slice_of(left.data, n), receive, w) == ERR_OK);
        left = slice_skip(left, n);
    }
    buf_done(&out);
    return total;
}

static void push(struct world *w, size_t lane, size_t bytes)
{
    const struct peer_message m = {.kind = (uint8_t)(lane / 4),
                                   .group = lane % 4,
                                   .from = w->pushed[lane],
                                   .to = lane,
                                   .payload = slice_of(noise, bytes)};
    size_t before = peer_queue_bytes(&w->queue);
    if (w->pushed[lane] == 1024 || peer_queue_push(&w->queue, &m) != ERR_OK) {
        HOLDS(w->pushed[lane] == 1024 || before + bytes + 100 > QUEUE_BYTES);
        return;
    }
    w->sizes[lane][w->pushed[lane]++] = bytes;
    HOLDS(peer_queue_bytes(&w->queue) <= QUEUE_BYTES);
}

static void run_queue(size_t piece, struct slice in)
{
    struct world *w = MEM_NEW(struct world);
    for (size_t i = 0; i < QUEUE_BYTES && noise[QUEUE_BYTES - 1] == 0; i++) {
        noise[i] = (uint8_t)(1 + i * 2654435761U % 251);
    }
    peer_queue_init(&w->queue, QUEUE_BYTES);
    peer_inbox_init(&w->inbox, QUEUE_BYTES);
    while (in.len >= 2) {
        unsigned what = in.data[0];
        size_t n = in.data[1];
        in = slice_skip(in, 2);
        if (what % 16 < LANES) {
            push(w, what % 16, what < 128 ? n : n * 1501);
        } else {
            (void)take(w, 1 + n * 1000, piece);
        }
    }
    while (take(w, SIZE_MAX / 2, piece) > 0) {
    }
    HOLDS(peer_queue_bytes(&w->queue) == 0 && w->queue.message_count == 0);
    HOLDS(w->inbox.assembly_bytes == 0 && w->inbox.partial.len == 0);
    for (size_t lane = 0; lane < LANES; lane++) {
        HOLDS(w->come[lane] == w->pushed[lane]);
    }
    peer_queue_done(&w->queue);
    peer_inbox_done(&w->inbox);
    mem_free(w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3) {
        return 0;
    }
    size_t piece = data[0] < 128 ? 1U + data[0] : (data[0] - 127U) * 1000;
    struct slice in = slice_of(data + 2, len - 2);
    if (data[1] % 2 == 0) {
        run_raw(piece, in);
    } else {
        run_queue(piece * 97, in); /* much goes through it */
    }
    return 0;
}
