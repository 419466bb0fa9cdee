#include "node/sockets.h"

#include <string.h>

#include "actor/isolate_frame.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/errand.h"
#include "node/node.h"
#include "node/peer_kind.h"
#include "node/worker.h"

enum {
    ROUNDS_MAX = 64,                            /* in one flush: then others of the loop */
    MESSAGE_BYTES_MAX = FRAME_BYTES_MAX - 1024, /* so that it fits into a frame to its isolate */
};

/* A mail within the node: on its way, or in `here`. */
struct posted {
    struct task task;
    struct list link;
    bool is_up;
    uint32_t from; /* the node that said it */
    uint32_t shard;
    struct bytes *data; /* of a piece; NULL: its bytes are in `wire` */
    size_t len;
    uint8_t wire[];
};

static void free_posted(struct posted *p)
{
    list_remove(&p->link);
    bytes_unref(p->data);
    mem_free(p);
}

static struct posted *posted_new(bool is_up, uint32_t from, uint32_t shard, struct slice wire,
                                 struct bytes *data)
{
    struct posted *p = mem_alloc(sizeof *p + wire.len);
    *p = (struct posted){
        .is_up = is_up, .from = from, .shard = shard, .data = bytes_ref(data), .len = wire.len};
    list_init(&p->link);
    memcpy(p->wire, wire.data, wire.len);
    return p;
}

/* Arriving */

static enum err take(struct sockets *s, bool is_up, uint32_t from, uint32_t shard,
                     struct slice wire, struct bytes *data)
{
    struct socket_mail m;
    enum err err = socket_mail_decode(wire, data, &m);
    if (err != ERR_OK) {
        return err;
    }
    m.shard = shard;
    return is_up ? socket_owner_take(&s->owner, from, &m) : socket_lines_take(&s->lines, from, &m);
}

static void arrive(struct worker *w, struct posted *p)
{
    /* Another node's was looked at where it came in, as far as can be without knowing the socket. */
    enum err err =
        take(&w->sockets, p->is_up, p->from, p->shard, slice_of(p->wire, p->len), p->data);
    INVARIANT(err == ERR_OK || p->from != w->node->id);
    free_posted(p);
}

static void arrive_by_ring(struct worker *w, struct task *t)
{
    arrive(w, CONTAINER_OF(t, struct posted, task));
}

static void post(struct worker *from, struct worker *to, struct posted *p)
{
    if (from == to) {
        list_append(&from->sockets.here, &p->link);
    } else {
        p->task.run = arrive_by_ring;
        worker_post(from, to, &p->task);
    }
}

/* The worker of the line; NULL: the number is nobody's. */
static struct worker *worker_of_line(struct worker *w, uint64_t id)
{
    uint32_t index = socket_line_worker(id);
    return index < w->node->worker_count ? &w->node->workers[index] : NULL;
}

/* From another node, to the worker of the shard: what is said to a line goes on to its worker. */
static enum err pass_down(struct worker *w, uint32_t from, uint32_t shard, struct slice wire)
{
    struct socket_mail m;
    enum err err = socket_mail_decode(wire, NULL, &m);
    struct worker *to = err == ERR_OK ? worker_of_line(w, m.id) : NULL;
    if (to == NULL) {
        return ERR_CORRUPT;
    }
    if (to == w) {
        return take(&w->sockets, false, from, shard, wire, NULL);
    }
    post(w, to, posted_new(false, from, shard, wire, NULL));
    return ERR_OK;
}

/* An owner is told of actors of its own shards alone. */
static bool is_of_shard(struct worker *w, struct slice wire, uint32_t group)
{
    struct socket_mail m;
    struct socket_who who;
    if (socket_mail_decode(wire, NULL, &m) != ERR_OK) {
        return false;
    }
    return m.kind != SOCKET_MAIL_OPEN ||
           (socket_who_decode(m.who, &who) == ERR_OK &&
            neighbours_is_shard_of(&w->neighbours, &who.identity, group));
}

enum err sockets_take(struct sockets *s, uint32_t from, const struct peer_message *m)
{
    if (m->group == GROUP_OF_META) {
        return ERR_CORRUPT;
    }
    if (m->kind == PEER_KIND_SOCKET_DOWN) {
        return pass_down(s->worker, from, m->group - 1, m->payload);
    }
    if (!is_of_shard(s->worker, m->payload, m->group)) {
        return ERR_CORRUPT;
    }
    return take(s, true, from, m->group - 1, m->payload, NULL);
}

/* Sending */

static void post_here(struct worker *w, bool is_up, const struct socket_mail *m)
{
    bool has_data = m->kind == SOCKET_MAIL_PIECE && m->piece.data != NULL;
    struct worker *to = !is_up                        ? worker_of_line(w, m->id)
                        : m->shard == SOCKET_NO_SHARD ? w
                                                      : node_worker_of(w->node, m->shard);
    struct buf wire = {0};
    INVARIANT(to != NULL);
    socket_mail_encode(m, !has_data, &wire);
    post(w, to,
         posted_new(is_up, w->node->id, m->shard, buf_slice(&wire),
                    has_data ? m->piece.data : NULL));
    buf_done(&wire);
}

static bool net_send(void *ctx, uint32_t node, bool is_up, const struct socket_mail *m)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    if (worker->state >= WORKER_QUIET) {
        return false; /* the loop of another one may have ended */
    }
    if (node == worker->node->id) {
        post_here(worker, is_up, m);
        return true;
    }
    struct buf wire = {0};
    socket_mail_encode(m, true, &wire);
    bool is_sent = neighbours_send(&worker->neighbours, node,
                                   is_up ? PEER_KIND_SOCKET_UP : PEER_KIND_SOCKET_DOWN, m->shard,
                                   buf_slice(&wire));
    buf_done(&wire);
    return is_sent;
}

/* Of shards of other workers what the board says is good enough: who does not lead it says so. */
static uint32_t net_leader_of(void *ctx, uint32_t shard)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    struct node *n = worker->node;
    struct board_line line;
    if (shard == SOCKET_NO_SHARD) {
        return n->id; /* a module runs where its client is */
    }
    if (node_worker_of(n, shard) == worker) {
        return errand_courier_hooks.leader_of(worker, shard);
    }
    if (!n->has_joined) {
        return n->id;
    }
    return board_find(&n->board, shard, clock_mono_ms(), &line) ? line.leader : 0;
}

static size_t net_piece_bytes(void *ctx, uint32_t node)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    return node == worker->node->id ? SIZE_MAX : SOCKET_PIECE_BYTES;
}

static const struct socket_net net = {
    .send = net_send, .leader_of = net_leader_of, .piece_bytes = net_piece_bytes};

/* Life */

void sockets_init(struct sockets *s, struct worker *w)
{
    *s = (struct sockets){.worker = w};
    list_init(&s->here);
    socket_lines_init(&s->lines, &net, w, w->node->id, w->index);
    s->limits = websocket_limits_default;
    if (s->limits.message_bytes_max > MESSAGE_BYTES_MAX) {
        s->limits.message_bytes_max = MESSAGE_BYTES_MAX;
    }
    client_bodies_init(&s->bodies, &s->lines);
    client_sockets_init(&s->clients, &s->lines, &s->limits);
    socket_owner_init(&s->owner, &net, w, w->node->id);
}

void sockets_done(struct sockets *s)
{
    client_sockets_done(&s->clients);
    client_bodies_done(&s->bodies);
    socket_owner_done(&s->owner);
    socket_lines_done(&s->lines);
    LIST_FOREACH_SAFE (link, &s->here) {
        free_posted(LIST_ENTRY(link, struct posted, link));
    }
}

void sockets_on_lost(struct sockets *s, uint32_t node)
{
    socket_owner_on_lost(&s->owner, node);
    socket_lines_on_lost(&s->lines, node);
}

void sockets_depose(struct sockets *s, uint32_t shard)
{
    socket_owner_depose(&s->owner, shard);
}

void sockets_tick(struct sockets *s, uint64_t now_ms, uint64_t wall_ms)
{
    socket_owner_tick(&s->owner, now_ms, wall_ms);
    socket_lines_tick(&s->lines, now_ms);
    client_sockets_tick(&s->clients, now_ms);
}

static bool token_holds(void *ctx, const uint8_t hash[DIGEST_BYTES])
{
    const struct sockets *s = ctx;
    return cluster_view_token(worker_view(s->worker), hash, s->owner.wall_ms) != NULL;
}

void sockets_check_tokens(struct sockets *s)
{
    client_sockets_end_revoked(&s->clients, token_holds, s);
}

/* What the worker says to itself is heard at once, and what that makes the other end say. */
void sockets_flush(struct sockets *s)
{
    struct posted *p;
    for (int round = 0; round < ROUNDS_MAX; round++) {
        socket_owner_flush(&s->owner);
        socket_lines_flush(&s->lines);
        if (list_is_empty(&s->here)) {
            return;
        }
        struct list arriving;
        list_init(&arriving);
        list_move_all(&arriving, &s->here);
        while ((p = LIST_FIRST(&arriving, struct posted, link)) != NULL) {
            arrive(s->worker, p);
        }
    }
}

void sockets_end_all(struct sockets *s)
{
    client_sockets_end_all(&s->clients);
    client_bodies_end_all(&s->bodies);
}

/* What is yet to be taken by actors of this node is heard of by nobody any more. */
bool sockets_are_quiet(const struct sockets *s)
{
    LIST_FOREACH (link, &s->lines.all) {
        const struct socket_line *y = LIST_ENTRY(link, struct socket_line, link);
        if (y->node != s->worker->node->id && !socket_link_is_empty(&y->letters)) {
            return false;
        }
    }
    return true;
}
