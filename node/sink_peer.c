#include "node/sink_peer.h"

#include "actor/reply.h"
#include "actor/request_wire.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/peer_kind.h"
#include "node/sink.h"
#include "node/watch_stream.h"
#include "node/watch_wire.h"
#include "node/worker.h"

struct peer_sink {
    struct sink sink;
    struct list link;
    struct map_node by_id;
    struct sink_peers *owner;
    uint32_t node;
    uint32_t shard;
    uint64_t id;
    uint64_t sent; /* bytes of all texts */
    uint64_t taken;
    bool wants_writable; /* a write was refused since */
};

void sink_peers_init(struct sink_peers *s, struct worker *w)
{
    *s = (struct sink_peers){.worker = w};
    list_init(&s->sinks);
}

void sink_peers_done(struct sink_peers *s)
{
    PRE(s->count == 0);
    map_done(&s->by_id);
}

static struct peer_sink *peer_sink_of(struct sink *s)
{
    return CONTAINER_OF(s, struct peer_sink, sink);
}

static uint64_t hash_of_sink(uint32_t node, uint64_t id)
{
    const uint64_t key[2] = {node, id};
    return hash_of(slice_of(key, sizeof key));
}

static void free_sink(struct peer_sink *p)
{
    map_remove(&p->owner->by_id, &p->by_id);
    list_remove(&p->link);
    p->owner->count--;
    mem_free(p);
}

static bool post(struct peer_sink *p, enum peer_kind kind, const struct buf *payload)
{
    return neighbours_send(&p->owner->worker->neighbours, p->node, kind, p->shard,
                           buf_slice(payload));
}

/* The sink, as a stream sees it */

static bool has_room(struct sink *s, size_t bytes)
{
    struct peer_sink *p = peer_sink_of(s);
    bool is_small = p->sent == p->taken && bytes <= HTTP_STREAM_SMALL_BYTES;
    if (is_small || p->sent - p->taken < WATCH_TEXT_BYTES_MAX) {
        return true;
    }
    p->wants_writable = true;
    return false;
}

static enum err write_text(struct sink *s, struct slice text)
{
    struct peer_sink *p = peer_sink_of(s);
    struct buf payload = {0};
    if (!has_room(s, text.len)) {
        return ERR_OVERLOADED;
    }
    buf_append_u64(&payload, p->id);
    buf_append_slice(&payload, text);
    bool is_sent = post(p, PEER_KIND_WATCH_TEXT, &payload);
    buf_done(&payload);
    /* The first one is taken all the same, as sinks have to: where it is lost, so is the connection, or
     * the client's node asks again when nothing has come. */
    if (!is_sent && s->has_begun) {
        p->wants_writable = true;
        return ERR_OVERLOADED;
    }
    p->sent += text.len;
    return ERR_OK;
}

static void post_end(struct peer_sink *p, const struct reply *reply)
{
    struct buf payload = {0};
    buf_append_u64(&payload, p->id);
    reply_to_wire(reply, &payload);
    (void)post(p, PEER_KIND_WATCH_END, &payload);
    buf_done(&payload);
    free_sink(p);
}

static void refuse(struct sink *s, enum err err, const struct problem_limit *limit)
{
    struct reply reply;
    reply_init(&reply);
    if (limit != NULL) {
        (void)reply_limited(&reply, err, limit->name, limit->value);
    } else {
        (void)reply_fail(&reply, err, NULL);
    }
    post_end(peer_sink_of(s), &reply);
    reply_clear(&reply);
}

static void end(struct sink *s)
{
    refuse(s, ERR_UNAVAILABLE, NULL);
}

static void answer(struct sink *s, struct request *r)
{
    post_end(peer_sink_of(s), &r->reply);
    request_free(r);
}

/* From the other node */

static struct peer_sink *find(const struct sink_peers *s, uint32_t node, uint64_t id)
{
    struct map_node *n = map_find(&s->by_id, hash_of_sink(node, id));
    for (; n != NULL; n = map_next_same(n)) {
        struct peer_sink *p = CONTAINER_OF(n, struct peer_sink, by_id);
        if (p->node == node && p->id == id) {
            return p;
        }
    }
    return NULL;
}

static void open_stream(struct sink_peers *s, uint32_t from, uint32_t shard,
                        const struct watch_open *open)
{
    static const struct sink_kind kind = {
        .has_room = has_room, .write = write_text, .end = end, .refuse = refuse, .answer = answer};
    struct peer_sink *p = MEM_NEW(struct peer_sink);
    p->sink.kind = &kind;
    p->owner = s;
    p->node = from;
    p->shard = shard;
    p->id = open->id;
    list_init(&p->link);
    list_append(&s->sinks, &p->link);
    map_add(&s->by_id, &p->by_id, hash_of_sink(from, open->id));
    s->count++;
    const struct shard *here = engine_shard(s->worker->engine, shard);
    if (here == NULL || !shard_is_leading(here)) {
        request_free(open->request);
        sink_refuse(&p->sink, ERR_NOT_OWNER, NULL);
        return;
    }
    watch_stream_open(s->worker, &p->sink, open->request, open->timeout_ms);
}

static enum err take_open(struct sink_peers *s, uint32_t from, const struct peer_message *m)
{
    struct watch_open open;
    enum err err = watch_take_open(m->payload, &open);
    if (err != ERR_OK) {
        return err;
    }
    if (!neighbours_is_shard_of(&s->worker->neighbours, &open.request->identity, m->group) ||
        find(s, from, open.id) != NULL) {
        request_free(open.request);
        return ERR_CORRUPT;
    }
    open_stream(s, from, m->group - 1, &open);
    return ERR_OK;
}

static void tell_writable(struct peer_sink *p)
{
    if (p->wants_writable && p->sent - p->taken <= WATCH_TEXT_BYTES_MAX / 2) {
        p->wants_writable = false;
        p->sink.on_writable(p->sink.ctx);
    }
}

static void cancel(struct peer_sink *p)
{
    p->sink.on_cancel(p->sink.ctx);
    free_sink(p);
}

enum err sink_peers_take(struct sink_peers *s, uint32_t from, const struct peer_message *m)
{
    uint64_t id;
    struct slice rest;
    if (m->kind == PEER_KIND_WATCH_OPEN) {
        return take_open(s, from, m);
    }
    enum err err = watch_take_id(m->payload, &id, &rest);
    struct peer_sink *p = err == ERR_OK ? find(s, from, id) : NULL;
    if (p == NULL) {
        return err;
    }
    if (m->kind == PEER_KIND_WATCH_CANCEL) {
        cancel(p);
        return ERR_OK;
    }
    if (rest.len != sizeof(uint64_t) || get_be64(rest.data) > p->sent) {
        return ERR_CORRUPT;
    }
    p->taken = get_be64(rest.data);
    tell_writable(p);
    return ERR_OK;
}

void sink_peers_on_lost(struct sink_peers *s, uint32_t node)
{
    LIST_FOREACH_SAFE (link, &s->sinks) {
        struct peer_sink *p = LIST_ENTRY(link, struct peer_sink, link);
        if (p->node == node) {
            cancel(p);
        }
    }
}

void sink_peers_tick(struct sink_peers *s)
{
    LIST_FOREACH_SAFE (link, &s->sinks) {
        tell_writable(LIST_ENTRY(link, struct peer_sink, link));
    }
}
