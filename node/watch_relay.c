#include "node/watch_relay.h"

#include "actor/reply.h"
#include "actor/request_wire.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/errand.h"
#include "node/node.h"
#include "node/peer_kind.h"
#include "node/sink.h"
#include "node/watch_stream.h"
#include "node/watch_wire.h"
#include "node/worker.h"

enum { RELAY_MAGIC = 0x72656c01, TAKEN_BYTES = WATCH_TEXT_BYTES_MAX / 4 };

enum relay_state { RELAY_LOOKING, RELAY_LOCAL, RELAY_AWAY };

struct watch_relay {
    uint32_t magic;
    enum relay_state state;
    struct watch_relays *owner;
    struct list link;
    struct map_node by_id;   /* AWAY */
    struct sink *out;        /* NULL: the client is gone, or has its end */
    struct request *request; /* as it was asked, and from where to go on */
    uint32_t shard;
    uint32_t timeout_ms;
    uint64_t deadline_ms; /* of one that has not begun */
    uint64_t retry_ms;    /* LOOKING */
    uint64_t written_ms;

    struct sink in; /* LOCAL: what the stream writes into */

    uint32_t node; /* AWAY */
    uint64_t id;
    struct buf held; /* text that found no room */
    uint64_t taken;  /* bytes written out */
    uint64_t told;   /* of these the other node has heard */
};

void watch_relays_init(struct watch_relays *s, struct worker *w)
{
    *s = (struct watch_relays){.worker = w};
    list_init(&s->relays);
}

/* A state change has one door. */
static void relay_move(struct watch_relay *y, enum relay_state to)
{
    INVARIANT(y->state == RELAY_LOOKING || to == RELAY_LOOKING);
    if (y->state == RELAY_AWAY) {
        map_remove(&y->owner->by_id, &y->by_id);
    }
    if (to == RELAY_AWAY) {
        map_add(&y->owner->by_id, &y->by_id, y->id);
    }
    y->state = to;
}

static void free_relay(struct watch_relay *y)
{
    PRE(y->out == NULL && y->state != RELAY_LOCAL);
    list_remove(&y->link);
    y->owner->count--;
    request_free(y->request);
    buf_done(&y->held);
    y->magic = 0;
    mem_free(y);
}

static bool post(struct watch_relay *y, enum peer_kind kind, const struct buf *payload)
{
    return neighbours_send(&y->owner->worker->neighbours, y->node, kind, y->shard,
                           buf_slice(payload));
}

/* The client's end */

static void end_with(struct watch_relay *y, enum err err)
{
    struct sink *out = y->out;
    y->out = NULL;
    if (out->has_begun) {
        sink_end(out);
    } else {
        sink_refuse(out, err, NULL);
    }
    free_relay(y);
}

static void look_again(struct watch_relay *y)
{
    y->retry_ms = clock_mono_ms() + RELAY_RETRY_MS;
}

static void note_position(struct watch_relay *y, struct slice text)
{
    uint64_t version;
    uint32_t n;
    if (watch_text_position(text, &version, &n)) {
        y->request->has_since = true;
        y->request->since_version = version;
        y->request->since_n = n;
    }
}

static bool write_out(struct watch_relay *y, struct slice text)
{
    if (sink_write(y->out, text) != ERR_OK) {
        return false;
    }
    y->written_ms = clock_mono_ms();
    note_position(y, text);
    return true;
}

/* A stream of this node */

static struct watch_relay *relay_of(struct sink *in)
{
    return CONTAINER_OF(in, struct watch_relay, in);
}

static bool in_has_room(struct sink *in, size_t bytes)
{
    return sink_has_room(relay_of(in)->out, bytes);
}

/* The first word of a stream that takes over is for the relay alone: the client knows that it is
 * connected, and may have no room. */
static enum err in_write(struct sink *in, struct slice text)
{
    struct watch_relay *y = relay_of(in);
    if (!in->has_begun && y->out->has_begun) {
        note_position(y, text);
        return ERR_OK;
    }
    return write_out(y, text) ? ERR_OK : ERR_OVERLOADED;
}

static void in_end(struct sink *in)
{
    struct watch_relay *y = relay_of(in);
    relay_move(y, RELAY_LOOKING);
    look_again(y);
}

/* What another owner may do better. */
static bool may_pass(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_NOT_OWNER || err == ERR_OUTCOME_UNKNOWN;
}

static void in_refuse(struct sink *in, enum err err, const struct problem_limit *limit)
{
    struct watch_relay *y = relay_of(in);
    relay_move(y, RELAY_LOOKING);
    if (may_pass(err) || y->out->has_begun) {
        look_again(y);
        return;
    }
    struct sink *out = y->out;
    y->out = NULL;
    sink_refuse(out, err, limit);
    free_relay(y);
}

static void in_answer(struct sink *in, struct request *r)
{
    struct watch_relay *y = relay_of(in);
    relay_move(y, RELAY_LOOKING);
    if (may_pass(r->reply.err) || y->out->has_begun) {
        request_free(r);
        look_again(y);
        return;
    }
    struct sink *out = y->out;
    y->out = NULL;
    sink_answer(out, r);
    free_relay(y);
}

static struct request *ask_again(const struct watch_relay *y)
{
    const struct request *asked = y->request;
    struct request *r = request_new(REQUEST_WATCH);
    request_set_address(r, &asked->address);
    r->identity = asked->identity;
    r->list.prefix = bytes_ref(asked->list.prefix);
    r->has_since = asked->has_since;
    r->since_version = asked->since_version;
    r->since_n = asked->since_n;
    r->has_token = asked->has_token;
    memcpy(r->token_hash, asked->token_hash, sizeof r->token_hash);
    return r;
}

static void open_here(struct watch_relay *y)
{
    static const struct sink_kind kind = {.has_room = in_has_room,
                                          .write = in_write,
                                          .end = in_end,
                                          .refuse = in_refuse,
                                          .answer = in_answer};
    y->in = (struct sink){.kind = &kind};
    relay_move(y, RELAY_LOCAL);
    watch_stream_open(y->owner->worker, &y->in, ask_again(y), y->timeout_ms);
}

/* A stream of another node */

static void open_there(struct watch_relay *y, uint32_t node)
{
    struct buf payload = {0};
    y->node = node;
    y->id = ++y->owner->last_id;
    y->taken = 0;
    y->told = 0;
    buf_clear(&y->held);
    watch_put_open(y->id, y->timeout_ms, y->request, &payload);
    if (post(y, PEER_KIND_WATCH_OPEN, &payload)) {
        relay_move(y, RELAY_AWAY);
        y->retry_ms = clock_mono_ms() + y->timeout_ms;
    } else {
        look_again(y);
    }
    buf_done(&payload);
}

static void tell_taken(struct watch_relay *y)
{
    if (y->taken - y->told < TAKEN_BYTES && y->held.len > 0) {
        return;
    }
    struct buf payload = {0};
    buf_append_u64(&payload, y->id);
    buf_append_u64(&payload, y->taken);
    if (post(y, PEER_KIND_WATCH_TAKEN, &payload)) {
        y->told = y->taken;
    }
    buf_done(&payload);
}

static void write_held(struct watch_relay *y)
{
    size_t len = y->held.len;
    if (len > 0 && write_out(y, buf_slice(&y->held))) {
        buf_done(&y->held);
        y->taken += len;
        tell_taken(y);
    }
}

static void cancel_there(struct watch_relay *y)
{
    struct buf payload = {0};
    buf_append_u64(&payload, y->id);
    (void)post(y, PEER_KIND_WATCH_CANCEL, &payload);
    buf_done(&payload);
}

static struct watch_relay *find(const struct watch_relays *s, uint32_t node, uint64_t id)
{
    struct map_node *n = map_find(&s->by_id, id);
    struct watch_relay *y = n != NULL ? CONTAINER_OF(n, struct watch_relay, by_id) : NULL;
    return y != NULL && y->node == node ? y : NULL;
}

static void take_text(struct watch_relay *y, struct slice text)
{
    buf_append_slice(&y->held, text);
    write_held(y);
}

/* What is held still goes to the client: the next owner goes on from there. */
static enum err take_end(struct watch_relay *y, struct slice bytes)
{
    struct reply reply;
    reply_init(&reply);
    enum err err = reply_from_wire(bytes, &reply);
    enum err why = err == ERR_OK ? reply.err : ERR_UNAVAILABLE;
    reply_clear(&reply);
    relay_move(y, RELAY_LOOKING);
    if (may_pass(why) || y->out->has_begun) {
        look_again(y);
    } else {
        end_with(y, why);
    }
    return err;
}

enum err watch_relays_take(struct watch_relays *s, uint32_t from, const struct peer_message *m)
{
    uint64_t id;
    struct slice rest;
    enum err err = watch_take_id(m->payload, &id, &rest);
    struct watch_relay *y = err == ERR_OK ? find(s, from, id) : NULL;
    if (y == NULL) {
        return err; /* one that was given up */
    }
    if (m->kind == PEER_KIND_WATCH_END) {
        return take_end(y, rest);
    }
    take_text(y, rest);
    return ERR_OK;
}

void watch_relays_on_lost(struct watch_relays *s, uint32_t node)
{
    LIST_FOREACH_SAFE (link, &s->relays) {
        struct watch_relay *y = LIST_ENTRY(link, struct watch_relay, link);
        if (y->state == RELAY_AWAY && y->node == node) {
            cancel_there(y); /* one of the two connections may be left */
            relay_move(y, RELAY_LOOKING);
            look_again(y);
        }
    }
}

/* From the client's sink */

static void on_writable(void *ctx)
{
    OBJ_CAST(watch_relay, ctx, RELAY_MAGIC);
    struct watch_relay *y = watch_relay;
    write_held(y);
    if (y->state == RELAY_LOCAL && y->held.len == 0) {
        y->in.on_writable(y->in.ctx);
    }
}

static void on_cancel(void *ctx)
{
    OBJ_CAST(watch_relay, ctx, RELAY_MAGIC);
    struct watch_relay *y = watch_relay;
    y->out = NULL;
    if (y->state == RELAY_LOCAL) {
        y->in.on_cancel(y->in.ctx);
    } else if (y->state == RELAY_AWAY) {
        cancel_there(y);
    }
    if (y->state != RELAY_LOOKING) {
        relay_move(y, RELAY_LOOKING);
    }
    free_relay(y);
}

/* Looking for who leads the shard */

static bool is_revoked(const struct watch_relay *y)
{
    const struct cluster_view *v = y->owner->worker->neighbours.view;
    return y->request->has_token && v != NULL &&
           cluster_view_token(v, y->request->token_hash, clock_wall_ms()) == NULL;
}

/* What is held from the owner before must be out first: it is older. */
static void look(struct watch_relay *y, uint64_t now_ms)
{
    struct worker *w = y->owner->worker;
    uint32_t node = errand_courier_hooks.leader_of(w, y->shard);
    if (is_revoked(y)) {
        end_with(y, ERR_UNAUTHENTICATED);
    } else if (!y->out->has_begun && now_ms >= y->deadline_ms) {
        end_with(y, ERR_UNAVAILABLE);
    } else if (node == COURIER_NODE_UNKNOWN || y->held.len > 0) {
        y->retry_ms = now_ms + RELAY_RETRY_MS;
    } else if (node == w->node->id) {
        open_here(y);
    } else {
        open_there(y, node);
    }
}

static void say_that_it_lives(struct watch_relay *y, uint64_t now_ms)
{
    static const struct slice comment = {(const uint8_t *)":\n\n", 3};
    if (y->out->has_begun && y->held.len == 0 && now_ms >= y->written_ms + WATCH_COMMENT_MS) {
        (void)write_out(y, comment); /* a full buffer is being read, or will be cut */
    }
}

/* The first word of the other node may have been lost. */
static bool is_unheard(const struct watch_relay *y, uint64_t now_ms)
{
    return y->state == RELAY_AWAY && !y->out->has_begun && now_ms >= y->retry_ms;
}

void watch_relays_tick(struct watch_relays *s, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (link, &s->relays) {
        struct watch_relay *y = LIST_ENTRY(link, struct watch_relay, link);
        if (is_unheard(y, now_ms)) {
            cancel_there(y);
            relay_move(y, RELAY_LOOKING);
        }
        if (y->state != RELAY_LOCAL) {
            say_that_it_lives(y, now_ms);
        }
        if (y->state == RELAY_LOOKING && now_ms >= y->retry_ms) {
            look(y, now_ms);
        }
    }
}

static void watch_relay_open(struct watch_relays *s, struct sink *out, struct request *r,
                             uint32_t timeout_ms)
{
    const struct problem_limit limit = {.name = "watch_streams", .value = WATCH_STREAMS_MAX};
    if (s->count >= WATCH_STREAMS_MAX || s->worker->state >= WORKER_DRAINING) {
        bool stops = s->worker->state >= WORKER_DRAINING;
        request_free(r);
        sink_refuse(out, stops ? ERR_UNAVAILABLE : ERR_OVERLOADED, stops ? NULL : &limit);
        return;
    }
    struct watch_relay *y = MEM_NEW(struct watch_relay);
    uint64_t now_ms = clock_mono_ms();
    y->magic = RELAY_MAGIC;
    y->owner = s;
    y->out = out;
    y->request = r;
    y->shard = identity_shard(&r->identity, s->worker->node->data.shard_count);
    y->timeout_ms = timeout_ms;
    y->deadline_ms = now_ms + timeout_ms;
    y->written_ms = now_ms;
    out->ctx = y;
    out->on_writable = on_writable;
    out->on_cancel = on_cancel;
    list_init(&y->link);
    list_append(&s->relays, &y->link);
    s->count++;
    look(y, now_ms);
}

void watch_begin(struct worker *w, struct sink *out, struct request *r, uint32_t timeout_ms)
{
    if (w->node->has_joined) {
        watch_relay_open(&w->relays, out, r, timeout_ms);
    } else {
        watch_stream_open(w, out, r, timeout_ms);
    }
}

void watch_relays_done(struct watch_relays *s)
{
    PRE(s->count == 0);
    map_done(&s->by_id);
}

void watch_relays_end_all(struct watch_relays *s)
{
    LIST_FOREACH_SAFE (link, &s->relays) {
        struct watch_relay *y = LIST_ENTRY(link, struct watch_relay, link);
        if (y->state == RELAY_AWAY) {
            cancel_there(y);
            relay_move(y, RELAY_LOOKING);
        }
        if (y->state == RELAY_LOOKING) {
            end_with(y, ERR_UNAVAILABLE);
        }
    }
}
