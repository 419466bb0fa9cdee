/* What other nodes dialled: who they are, and to which worker their messages go. */
#include <inttypes.h>
#include <stdio.h>

#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/peers_own.h"

enum { COMPLAINT_US = 1000 * 1000 };

/* A message on its way to the worker that owns its group. */
struct letter {
    struct task task;
    struct peers_shared *shared;
    uint32_t from_worker;
    uint32_t to_worker;
    struct sender sender;
    size_t bytes;                /* of this struct with its payload */
    struct peer_message message; /* its payload is `data` */
    uint8_t data[];
};

/* A word to another worker that a connection from a node is gone. */
struct notice {
    struct task task;
    struct peers_shared *shared;
    uint32_t to_worker;
    uint32_t node;
};

/* Sources */

static struct source *source_of(struct peers *p, uint32_t node)
{
    LIST_FOREACH (link, &p->sources) {
        struct source *s = LIST_ENTRY(link, struct source, link);
        if (s->node == node) {
            return s;
        }
    }
    struct source *s = MEM_NEW(struct source);
    s->node = node;
    list_append(&p->sources, &s->link);
    return s;
}

/* Order over broken connections */

static uint64_t hash_of_sender(const struct sender *s)
{
    uint64_t key = (uint64_t)s->node << 32 | (uint64_t)s->worker << 8 | s->channel;
    return hash_of(slice_of(&key, sizeof key));
}

static struct origin *origin_of(struct peers *p, const struct sender *s)
{
    uint64_t hash = hash_of_sender(s);
    struct map_node *n = map_find(&p->origins, hash);
    for (; n != NULL; n = map_next_same(n)) {
        struct origin *o = CONTAINER_OF(n, struct origin, node);
        if (o->newest.node == s->node && o->newest.worker == s->worker &&
            o->newest.channel == s->channel) {
            return o;
        }
    }
    struct origin *o = MEM_NEW(struct origin);
    o->newest = *s;
    map_add(&p->origins, &o->node, hash);
    return o;
}

/* On the worker that owns the group. */
static void deliver(struct peers *p, const struct sender *s, const struct peer_message *m)
{
    struct origin *o = origin_of(p, s);
    if (s->number < o->newest.number) {
        source_of(p, s->node)->undelivered++;
        return;
    }
    o->newest.number = s->number;
    p->o.hooks->on_message(p->o.ctx, s->node, m);
}

/* Between workers */

static void take_letter(struct worker *w, struct task *t)
{
    (void)w;
    struct letter *letter = CONTAINER_OF(t, struct letter, task);
    struct peers_shared *shared = letter->shared;
    struct peers *p = shared->of[letter->to_worker].peers;
    if (p != NULL && !p->is_closing) {
        deliver(p, &letter->sender, &letter->message);
    }
    (void)atomic_fetch_sub(&shared->of[letter->from_worker].away_bytes, letter->bytes);
    mem_free(letter);
}

/* What other workers have not taken yet is bounded, by its bytes: the ring bounds its number. */
static void hand_over(struct peers *p, uint32_t worker, const struct sender *s,
                      const struct peer_message *m)
{
    struct peers_shared *shared = p->o.shared;
    size_t bytes = sizeof(struct letter) + m->payload.len;
    size_t away = atomic_fetch_add(&shared->of[p->o.worker].away_bytes, bytes);
    struct letter *letter = away + bytes <= PEERS_AWAY_BYTES_MAX ? mem_try_alloc(bytes) : NULL;
    if (letter == NULL) {
        (void)atomic_fetch_sub(&shared->of[p->o.worker].away_bytes, bytes);
        source_of(p, s->node)->undelivered++;
        return;
    }
    *letter = (struct letter){.task.run = take_letter,
                              .shared = shared,
                              .from_worker = p->o.worker,
                              .to_worker = worker,
                              .sender = *s,
                              .bytes = bytes,
                              .message = *m};
    if (m->payload.len > 0) {
        memcpy(letter->data, m->payload.data, m->payload.len);
    }
    letter->message.payload.data = letter->data;
    p->o.hooks->post(p->o.ctx, worker, &letter->task);
}

static void take_notice(struct worker *w, struct task *t)
{
    (void)w;
    struct notice *notice = CONTAINER_OF(t, struct notice, task);
    struct peers *p = notice->shared->of[notice->to_worker].peers;
    if (p != NULL && !p->is_closing) {
        p->o.hooks->on_lost(p->o.ctx, notice->node);
    }
    mem_free(notice);
}

/* Answers to any of our workers may have been on it. */
static void tell_lost(struct peers *p, uint32_t node)
{
    for (uint32_t i = 0; i < p->o.shared->workers; i++) {
        if (i == p->o.worker) {
            p->o.hooks->on_lost(p->o.ctx, node);
            continue;
        }
        struct notice *notice = MEM_NEW(struct notice);
        *notice = (struct notice){
            .task.run = take_notice, .shared = p->o.shared, .to_worker = i, .node = node};
        p->o.hooks->post(p->o.ctx, i, &notice->task);
    }
}

/* Connections */

/* The same worker has dialled again: it knows that its older connection is no good, before we do. */
static void end_older(struct peers *p, const struct incoming *newer)
{
    LIST_FOREACH (link, &p->set.conns) {
        struct peer_conn *c = LIST_ENTRY(link, struct peer_conn, all_link);
        const struct incoming *in = c->owner;
        if (c->options.side == PEER_ACCEPTED && c->state == CONN_LINKED && in != newer &&
            in->is_up && in->sender.node == newer->sender.node &&
            in->sender.worker == newer->sender.worker &&
            in->sender.channel == newer->sender.channel) {
            peer_conn_end(c, "another connection has taken its place");
        }
    }
}

void incoming_up(struct peer_conn *c, const struct peer_hello *hello)
{
    struct incoming *in = c->owner;
    struct peers *p = in->peers;
    in->is_up = true;
    in->sender = (struct sender){.node = hello->node,
                                 .worker = hello->worker,
                                 .channel = (uint8_t)hello->channel,
                                 .number = atomic_fetch_add(&p->o.shared->last_number, 1) + 1};
    p->stranger_count--;
    source_of(p, hello->node)->up++;
    end_older(p, in);
}

void incoming_message(struct peer_conn *c, const struct peer_message *m)
{
    struct incoming *in = c->owner;
    struct peers *p = in->peers;
    uint32_t worker = p->o.hooks->owner_of(p->o.ctx, m->group);
    PRE(worker < p->o.shared->workers);
    if (worker == p->o.worker) {
        deliver(p, &in->sender, m);
    } else {
        hand_over(p, worker, &in->sender, m);
    }
}

void incoming_closed(struct peer_conn *c)
{
    struct incoming *in = c->owner;
    struct peers *p = in->peers;
    bool was_up = in->is_up;
    uint32_t node = in->sender.node;
    c->owner = NULL;
    mem_free(in);
    if (!was_up) {
        p->stranger_count--;
        peers_log_refused(p, peer_conn_reason(c));
        return;
    }
    struct peer_counts counts = peer_conn_counts(c);
    struct source *s = source_of(p, node);
    s->up--;
    peer_counts_add(&s->past, &counts);
    if (!p->is_closing) {
        tell_lost(p, node);
    }
}

void peers_accept(uv_stream_t *server, int status)
{
    OBJ_CAST(peers, server->data, PEERS_MAGIC);
    struct peers *p = peers;
    if (status < 0 || p->is_closing) {
        return; /* where descriptors run out libuv closes what waits */
    }
    struct incoming *in = MEM_NEW(struct incoming);
    in->peers = p;
    p->stranger_count++;
    struct peer_conn *c = peer_conn_accept(&p->set, server, in);
    if (c != NULL && p->stranger_count > PEERS_STRANGERS_MAX) {
        peer_conn_drop(c, "too many connections that have not said who they are");
    }
}

void incoming_end_of(struct peers *p, uint32_t node, const char *reason)
{
    LIST_FOREACH (link, &p->set.conns) {
        struct peer_conn *c = LIST_ENTRY(link, struct peer_conn, all_link);
        const struct incoming *in = c->owner;
        if (c->options.side == PEER_ACCEPTED && in != NULL && in->is_up &&
            in->sender.node == node) {
            peer_conn_end(c, reason);
        }
    }
}

/* Anybody who reaches the port can cause this: one line a second. */
void peers_log_refused(struct peers *p, const char *reason)
{
    uint64_t now_us = peer_now_us();
    if (!p->is_closing && now_us >= p->complained_us + COMPLAINT_US) {
        p->complained_us = now_us;
        LOG(LOG_WARN, "peer_refused", LOG_INT("worker", p->o.worker), LOG_STR("why", reason));
    }
}

void incoming_done(struct peers *p)
{
    struct source *s;
    while ((s = LIST_FIRST(&p->sources, struct source, link)) != NULL) {
        list_remove(&s->link);
        mem_free(s);
    }
    struct map_node *n;
    while ((n = map_first(&p->origins)) != NULL) {
        map_remove(&p->origins, n);
        mem_free(CONTAINER_OF(n, struct origin, node));
    }
    map_done(&p->origins);
}
