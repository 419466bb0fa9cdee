#include "rpc/peer_queue.h"

#include "base/invariant.h"
#include "base/mem.h"

enum {
    TURN_BYTES = 64 * 1024,        /* of whole frames, before a piece of a lane */
    KEPT_WHOLE_BYTES = 256 * 1024, /* a larger buffer is given back when it is empty */
};

/* Messages of one kind and group of which the first is large. */
struct lane {
    struct map_node node;
    struct list turn;
    struct list messages;
    uint64_t after_bytes; /* of whole frames: those that go before it */
    uint8_t kind;
    uint32_t group;
};

struct waiting {
    struct list link;
    struct peer_message message; /* its payload is `data` */
    size_t sent;
    uint8_t data[];
};

static uint64_t hash_of_lane(uint8_t kind, uint32_t group)
{
    uint64_t key = (uint64_t)kind << 32 | group;
    return hash_of(slice_of(&key, sizeof key));
}

static struct lane *find_lane(const struct peer_queue *q, uint8_t kind, uint32_t group)
{
    struct map_node *n = map_find(&q->lanes, hash_of_lane(kind, group));
    for (; n != NULL; n = map_next_same(n)) {
        struct lane *lane = CONTAINER_OF(n, struct lane, node);
        if (lane->kind == kind && lane->group == group) {
            return lane;
        }
    }
    return NULL;
}

static struct lane *open_lane(struct peer_queue *q, const struct peer_message *m)
{
    struct lane *lane = MEM_NEW(struct lane);
    lane->kind = m->kind;
    lane->group = m->group;
    lane->after_bytes = q->pushed_bytes;
    list_init(&lane->messages);
    list_append(&q->turns, &lane->turn);
    map_add(&q->lanes, &lane->node, hash_of_lane(m->kind, m->group));
    return lane;
}

static void close_lane(struct peer_queue *q, struct lane *lane)
{
    PRE(list_is_empty(&lane->messages));
    list_remove(&lane->turn);
    map_remove(&q->lanes, &lane->node);
    mem_free(lane);
}

void peer_queue_init(struct peer_queue *q, size_t bytes_max)
{
    *q = (struct peer_queue){.bytes_max = bytes_max};
    list_init(&q->turns);
}

static void drop(struct peer_queue *q, struct waiting *w)
{
    list_remove(&w->link);
    q->lane_bytes -= w->message.payload.len;
    q->message_count--;
    mem_free(w);
}

void peer_queue_done(struct peer_queue *q)
{
    struct lane *lane;
    while ((lane = LIST_FIRST(&q->turns, struct lane, turn)) != NULL) {
        struct waiting *w;
        while ((w = LIST_FIRST(&lane->messages, struct waiting, link)) != NULL) {
            drop(q, w);
        }
        close_lane(q, lane);
    }
    POST(q->lane_bytes == 0 && q->lanes.count == 0);
    map_done(&q->lanes);
    buf_done(&q->whole);
    peer_queue_init(q, q->bytes_max);
}

size_t peer_queue_bytes(const struct peer_queue *q)
{
    return q->whole.len - q->whole_at + q->lane_bytes;
}

static enum err push_to_lane(struct peer_queue *q, struct lane *lane, const struct peer_message *m)
{
    struct waiting *w = mem_try_alloc(sizeof *w + m->payload.len);
    if (w == NULL) {
        return ERR_NO_MEMORY;
    }
    *w = (struct waiting){.message = *m};
    if (m->payload.len > 0) {
        memcpy(w->data, m->payload.data, m->payload.len);
    }
    w->message.payload.data = w->data;
    list_append(&lane->messages, &w->link);
    q->lane_bytes += m->payload.len;
    q->message_count++;
    return ERR_OK;
}

enum err peer_queue_push(struct peer_queue *q, const struct peer_message *m)
{
    PRE(m->payload.len <= PEER_MESSAGE_BYTES_MAX);
    if (peer_queue_bytes(q) + m->payload.len + PEER_HEAD_BYTES + PEER_FIRST_HEAD_BYTES >
        q->bytes_max) {
        return ERR_OVERLOADED;
    }
    struct lane *lane = find_lane(q, m->kind, m->group);
    if (lane == NULL && m->payload.len > PEER_WHOLE_BYTES_MAX) {
        lane = open_lane(q, m);
    }
    if (lane != NULL) {
        enum err err = push_to_lane(q, lane, m);
        if (list_is_empty(&lane->messages)) {
            close_lane(q, lane);
        }
        return err;
    }
    size_t before = q->whole.len;
    peer_put_message(&q->whole, m);
    q->pushed_bytes += q->whole.len - before;
    q->message_count++;
    return ERR_OK;
}

/* The room of what was taken; each byte is moved about once. */
static void give_back(struct peer_queue *q)
{
    if (q->whole_at == q->whole.len && q->whole.cap > KEPT_WHOLE_BYTES) {
        buf_done(&q->whole);
        q->whole_at = 0;
    } else if (q->whole_at >= q->whole.len - q->whole_at) {
        buf_consume(&q->whole, q->whole_at);
        q->whole_at = 0;
    }
}

/* Whole frames, as many as fit, or one. */
static void take_whole(struct peer_queue *q, size_t bytes, struct buf *out)
{
    struct slice left = slice_of(q->whole.data + q->whole_at, q->whole.len - q->whole_at);
    size_t taken = 0;
    while (taken < left.len && taken < bytes) {
        size_t n = 0;
        enum err err = peer_frame_bytes(slice_skip(left, taken), &n);
        INVARIANT(err == ERR_OK && taken + n <= left.len); /* we wrote it */
        taken += n;
        q->message_count--;
    }
    buf_append(out, left.data, taken);
    q->whole_at += taken;
    q->taken_bytes += taken;
    give_back(q);
}

/* The lane whose turn it is. */
static struct lane *next_lane(const struct peer_queue *q)
{
    LIST_FOREACH (link, &q->turns) {
        struct lane *lane = LIST_ENTRY(link, struct lane, turn);
        if (lane->after_bytes <= q->taken_bytes) {
            return lane;
        }
    }
    return NULL;
}

/* One frame of it; then it is the others' turn. */
static void take_piece(struct peer_queue *q, struct lane *lane, struct buf *out)
{
    struct waiting *w = LIST_FIRST(&lane->messages, struct waiting, link);
    size_t left = w->message.payload.len - w->sent;
    size_t n = left < PEER_PIECE_BYTES ? left : PEER_PIECE_BYTES;
    if (w->message.payload.len <= PEER_WHOLE_BYTES_MAX) {
        n = left;
        peer_put_message(out, &w->message);
    } else if (w->sent == 0) {
        peer_put_first(out, &w->message, n);
    } else {
        peer_put_more(out, &w->message, w->sent, n);
    }
    w->sent += n;
    if (w->sent == w->message.payload.len) {
        drop(q, w);
    }
    list_remove(&lane->turn);
    list_append(&q->turns, &lane->turn);
    if (list_is_empty(&lane->messages)) {
        close_lane(q, lane);
    }
}

void peer_queue_fill(struct peer_queue *q, size_t bytes, struct buf *out)
{
    size_t end = out->len + bytes;
    while (out->len < end) {
        bool has_whole = q->whole_at < q->whole.len;
        struct lane *lane = q->lane_is_due || !has_whole ? next_lane(q) : NULL;
        if (lane != NULL) {
            take_piece(q, lane, out);
        } else if (has_whole) {
            size_t room = end - out->len;
            take_whole(q, room < TURN_BYTES ? room : TURN_BYTES, out);
        } else {
            return;
        }
        q->lane_is_due = lane == NULL;
    }
}
