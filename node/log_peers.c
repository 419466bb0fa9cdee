#include "node/log_peers.h"

#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/log_wire.h"
#include "node/node.h"
#include "node/peer_kind.h"
#include "node/standing.h"

struct wanted {
    struct log_queue queue;
    struct list link; /* log_peer.wanted */
    bool is_wanted;   /* by the newest WANT */
};

struct log_peer {
    struct list link;
    uint32_t node;
    struct list wanted;
    uint64_t until_ms;
    uint64_t window_ms; /* since when so much went there */
    size_t window_bytes;
};

static struct log_board *board_of(const struct log_peers *p)
{
    return &p->worker->node->logs;
}

void log_peers_init(struct log_peers *p, struct worker *w)
{
    *p = (struct log_peers){.worker = w};
    list_init(&p->peers);
}

/* Nodes that want something */

static void drop_wanted(struct log_peers *p, struct wanted *v)
{
    log_board_remove(board_of(p), &v->queue);
    list_remove(&v->link);
    mem_free(v);
}

static void drop_peer(struct log_peers *p, struct log_peer *peer)
{
    LIST_FOREACH_SAFE (link, &peer->wanted) {
        drop_wanted(p, LIST_ENTRY(link, struct wanted, link));
    }
    list_remove(&peer->link);
    mem_free(peer);
}

void log_peers_stop(struct log_peers *p)
{
    LIST_FOREACH_SAFE (link, &p->peers) {
        drop_peer(p, LIST_ENTRY(link, struct log_peer, link));
    }
}

static struct log_peer *peer_of(struct log_peers *p, uint32_t node)
{
    LIST_FOREACH (link, &p->peers) {
        struct log_peer *peer = LIST_ENTRY(link, struct log_peer, link);
        if (peer->node == node) {
            return peer;
        }
    }
    struct log_peer *peer = MEM_NEW(struct log_peer);
    peer->node = node;
    list_init(&peer->wanted);
    list_init(&peer->link);
    list_append(&p->peers, &peer->link);
    return peer;
}

static struct wanted *find(const struct log_peer *peer, const struct log_filter *f)
{
    LIST_FOREACH (link, &peer->wanted) {
        struct wanted *v = LIST_ENTRY(link, struct wanted, link);
        if (log_filter_equal(&v->queue.filter, f)) {
            return v;
        }
    }
    return NULL;
}

static void want(struct log_peers *p, struct log_peer *peer, const struct log_filter *f)
{
    struct wanted *v = find(peer, f);
    if (v == NULL) {
        v = MEM_NEW(struct wanted);
        v->queue.filter = *f;
        v->queue.reader = LOG_READER_NODE;
        v->queue.worker = p->worker->index;
        list_init(&v->link);
        list_append(&peer->wanted, &v->link);
        enum err err = log_board_add(board_of(p), &v->queue);
        INVARIANT(err == ERR_OK); /* what another node may want is bounded by its WANT */
    }
    v->is_wanted = true;
}

static enum err take_want(struct log_peers *p, uint32_t from, struct slice payload)
{
    struct log_filter filters[LOG_STREAMS_MAX];
    size_t count;
    enum err err = log_want_decode(payload, filters, &count);
    if (err != ERR_OK || p->worker->state >= WORKER_DRAINING) {
        return err;
    }
    struct log_peer *peer = peer_of(p, from);
    peer->until_ms = clock_mono_ms() + LOG_WANT_MS;
    LIST_FOREACH (link, &peer->wanted) {
        LIST_ENTRY(link, struct wanted, link)->is_wanted = false;
    }
    for (size_t i = 0; i < count; i++) {
        want(p, peer, &filters[i]);
    }
    LIST_FOREACH_SAFE (link, &peer->wanted) {
        struct wanted *v = LIST_ENTRY(link, struct wanted, link);
        if (!v->is_wanted) {
            drop_wanted(p, v);
        }
    }
    if (count == 0) {
        drop_peer(p, peer);
    }
    return ERR_OK;
}

enum err log_peers_take(struct log_peers *p, uint32_t from, const struct peer_message *m)
{
    struct log_lines l;
    if (m->kind == PEER_KIND_LOG_WANT) {
        return take_want(p, from, m->payload);
    }
    enum err err = log_lines_decode(m->payload, &l);
    if (err == ERR_OK) {
        log_board_pass(board_of(p), &l.filter, l.text, l.lines);
    }
    return err;
}

/* What this node wants */

static void say(struct log_peers *p, const struct log_filter *filters, size_t count)
{
    struct worker *w = p->worker;
    const struct cluster_view *view = w->neighbours.view;
    struct buf payload = {0};
    log_want_encode(filters, count, &payload);
    for (size_t i = 0; view != NULL && i < view->member_count; i++) {
        uint32_t node = view->members[i].id;
        if (node != w->node->id && standing_of(w, node) != STANDING_REMOVED) {
            (void)neighbours_send(&w->neighbours, node, PEER_KIND_LOG_WANT, SHARD_META,
                                  buf_slice(&payload)); /* a lost one is said again */
        }
    }
    buf_done(&payload);
}

static void say_what_is_wanted(struct log_peers *p, uint64_t now_ms)
{
    struct log_filter filters[LOG_STREAMS_MAX];
    uint64_t number = atomic_load(&board_of(p)->streams_number);
    if (number == p->streams_number && (!p->has_said || now_ms < p->next_say_ms)) {
        return;
    }
    size_t count = log_board_filters(board_of(p), filters);
    if (count > 0 || p->has_said) {
        say(p, filters, count);
    }
    p->streams_number = number;
    p->has_said = count > 0;
    p->next_say_ms = now_ms + LOG_SAY_MS;
}

void log_peers_tick(struct log_peers *p, uint64_t now_ms)
{
    if (!p->worker->node->has_joined || p->worker->index != 0) {
        return;
    }
    say_what_is_wanted(p, now_ms);
    LIST_FOREACH_SAFE (link, &p->peers) {
        struct log_peer *peer = LIST_ENTRY(link, struct log_peer, link);
        if (peer->until_ms <= now_ms) {
            drop_peer(p, peer);
        }
    }
}

/* Lines */

static void send_lines(struct log_peers *p, struct log_peer *peer, struct wanted *v)
{
    struct buf text = {0};
    struct buf payload = {0};
    struct log_lines l = {.filter = v->queue.filter};
    if (!log_board_take(board_of(p), &v->queue, &text, &l.lines)) {
        buf_done(&text);
        return;
    }
    l.text = buf_slice(&text);
    log_lines_encode(&l, &payload);
    const struct peer_message m = {.kind = PEER_KIND_LOG_LINES,
                                   .group = engine_group_of_shard(SHARD_META),
                                   .from = replica_id(p->worker->node->id, 0),
                                   .to = replica_id(peer->node, 0),
                                   .payload = buf_slice(&payload)};
    peer->window_bytes += payload.len;
    if (!neighbours_send_bulk(&p->worker->neighbours, peer->node, &m)) {
        log_board_lose(board_of(p), &v->queue, l.lines);
    }
    buf_done(&payload);
    buf_done(&text);
}

/* Whoever had lines sent goes to the end: within the pace all have their turn. */
static void flush_peer(struct log_peers *p, struct log_peer *peer, uint64_t now_ms)
{
    struct list had = {0};
    if (now_ms >= peer->window_ms + LOG_PACE_MS) {
        peer->window_ms = now_ms;
        peer->window_bytes = 0;
    }
    list_init(&had);
    LIST_FOREACH_SAFE (link, &peer->wanted) {
        struct wanted *v = LIST_ENTRY(link, struct wanted, link);
        if (peer->window_bytes >= LOG_PACE_BYTES) {
            break;
        }
        if (atomic_load(&v->queue.has_news)) {
            send_lines(p, peer, v);
            list_remove(link);
            list_append(&had, link);
        }
    }
    list_move_all(&peer->wanted, &had);
}

void log_peers_flush(struct log_peers *p, uint64_t now_ms)
{
    LIST_FOREACH (link, &p->peers) {
        flush_peer(p, LIST_ENTRY(link, struct log_peer, link), now_ms);
    }
}
