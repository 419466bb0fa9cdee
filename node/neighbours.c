#include "node/neighbours.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/node.h"
#include "node/record.h"
#include "node/standing.h"
#include "node/status.h"
#include "node/steward.h"

enum { MEMBERS_DIALLED_MAX = BOARD_NODES_MAX + GUESTS_MAX };

void neighbours_init(struct neighbours *n, struct worker *w)
{
    *n = (struct neighbours){.worker = w};
}

/* Who there is */

static bool has_node(const struct peers_member *members, size_t count, uint32_t node)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].node == node) {
            return true;
        }
    }
    return false;
}

struct dial_list {
    struct peers_member members[MEMBERS_DIALLED_MAX];
    size_t count;
    struct board_node heard[BOARD_NODES_MAX];
    size_t heard_count;
    bool has_leaving;
};

static void add(struct dial_list *l, const struct neighbours *n, uint32_t node, const char *address)
{
    if (l->count < MEMBERS_DIALLED_MAX && node != n->worker->node->id &&
        !has_node(l->members, l->count, node)) {
        l->members[l->count++] = (struct peers_member){node, address};
    }
}

/* One that asks to be let in under the id of a member is answered where it is, if that member is not
 * there: it may be the same machine without its data. Once nothing is left of a removed one its connections
 * end, a guest's too. */
static void add_guests(struct dial_list *l, const struct neighbours *n)
{
    uint64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < n->guest_count; i++) {
        const struct guest *g = &n->guests[i];
        if (standing_of(n->worker, g->node) != STANDING_REMOVED &&
            !board_is_alive(&n->worker->node->board, g->node, now_ms)) {
            add(l, n, g->node, g->address);
        }
    }
}

static void add_members(struct dial_list *l, const struct neighbours *n)
{
    for (size_t i = 0; i < n->view->member_count; i++) {
        const struct cluster_member *m = &n->view->members[i];
        enum standing standing = standing_of(n->worker, m->id);
        if (standing != STANDING_REMOVED) {
            add(l, n, m->id, m->peer);
        }
        l->has_leaving = l->has_leaving || standing == STANDING_LEAVING;
    }
}

/* A node that lives is where it says, which a view that is old may not know. */
static void add_living(struct dial_list *l, const struct neighbours *n)
{
    struct board *b = &n->worker->node->board;
    for (size_t i = 0; i < l->heard_count; i++) {
        const struct board_node *other = &l->heard[i];
        bool is_removed = standing_of(n->worker, other->node) == STANDING_REMOVED;
        if (!is_removed && board_is_alive(b, other->node, clock_mono_ms())) {
            add(l, n, other->node, other->peer);
        }
    }
}

/* Those of whom the view, where there is one, is too old to know. */
static void add_heard(struct dial_list *l, const struct neighbours *n)
{
    for (size_t i = 0; i < l->heard_count; i++) {
        uint32_t node = l->heard[i].node;
        if (n->view == NULL || cluster_view_member(n->view, node) == NULL) {
            add(l, n, node, l->heard[i].peer);
        }
    }
}

static void set_members(struct neighbours *n)
{
    struct dial_list *l = MEM_NEW(struct dial_list);
    l->heard_count = board_nodes(&n->worker->node->board, l->heard, BOARD_NODES_MAX);
    add_living(l, n);
    add_guests(l, n);
    if (n->view != NULL) {
        add_members(l, n);
    }
    add_heard(l, n);
    peers_set_members(n->peers, l->members, l->count);
    n->has_leaving = l->has_leaving;
    mem_free(l);
    n->is_stale = false;
}

static void take_view(struct neighbours *n)
{
    struct node *node = n->worker->node;
    if (n->view_number != atomic_load_explicit(&node->view_number, memory_order_acquire)) {
        cluster_view_unref(n->view);
        n->view = node_view(node, &n->view_number);
        n->is_stale = true;
    }
    uint64_t number = board_nodes_number(&node->board);
    n->is_stale = n->is_stale || number != n->nodes_number;
    n->nodes_number = number;
}

static void renew_tls(struct neighbours *n)
{
    char detail[PEERS_DETAIL_BYTES];
    struct tls_source *source = n->worker->node->peer_tls;
    if (atomic_load(&source->generation) == n->tls_generation) {
        return;
    }
    struct tls_context *tls = tls_source_take(source, &n->tls_generation);
    if (peers_use_tls(n->peers, tls, detail) != ERR_OK) {
        LOG(LOG_ERROR, "peer_certificate_refused", LOG_STR("why", detail));
    }
    tls_context_unref(tls);
}

static void drop_guests(struct neighbours *n, uint64_t now_ms)
{
    for (size_t i = n->guest_count; i > 0; i--) {
        if (n->guests[i - 1].until_ms <= now_ms) {
            n->guests[i - 1] = n->guests[--n->guest_count];
            n->is_stale = true;
        }
    }
}

void neighbours_invite(struct neighbours *n, uint32_t node, const char *address)
{
    uint64_t until_ms = clock_mono_ms() + GUEST_MS;
    struct guest *g = NULL;
    for (size_t i = 0; i < n->guest_count && g == NULL; i++) {
        g = n->guests[i].node == node ? &n->guests[i] : NULL;
    }
    if (g == NULL && n->guest_count == GUESTS_MAX) {
        return; /* it asks again */
    }
    g = g != NULL ? g : &n->guests[n->guest_count++];
    g->node = node;
    g->until_ms = until_ms;
    (void)snprintf(g->address, sizeof g->address, "%s", address);
    n->is_stale = true;
}

/* What comes */

static bool names_a_group(const struct worker *w, uint32_t group)
{
    return group == GROUP_OF_META || group <= w->node->data.shard_count;
}

/* Its author is the node of the certificate, whatever the message says. */
static bool is_from(uint32_t from, const struct peer_message *m)
{
    return replica_node(m->from) == from;
}

static enum err take_raft(struct worker *w, uint32_t from, const struct peer_message *m)
{
    if (!is_from(from, m)) {
        return ERR_CORRUPT;
    }
    enum err err = engine_receive(w->engine, m->group - 1, m->from, m->payload);
    if (err == ERR_NOT_FOUND) {
        steward_hear_of_replica(&w->steward, m->group - 1, m->to);
        return ERR_OK;
    }
    return err;
}

static enum err take_member_message(struct worker *w, uint32_t from, const struct peer_message *m)
{
    switch (m->kind) {
    case PEER_KIND_RAFT:
        return take_raft(w, from, m);
    case PEER_KIND_REQUEST:
        return forward_take_request(&w->forward, from, m);
    case PEER_KIND_REPLY:
        return forward_take_reply(&w->forward, from, m);
    case PEER_KIND_CANCEL:
        return forward_take_cancel(&w->forward, from, m);
    case PEER_KIND_STATUS:
        return status_take(m->payload, from, &w->node->board, clock_mono_ms());
    case PEER_KIND_PULSE:
        return neighbours_take_pulse(w, from, m->payload, clock_mono_ms());
    case PEER_KIND_OUTCOME:
        return orders_take_outcome(&w->orders, from, m->payload);
    case PEER_KIND_SNAPSHOT_BEGIN:
    case PEER_KIND_SNAPSHOT_PART:
    case PEER_KIND_SNAPSHOT_WANT:
    case PEER_KIND_SNAPSHOT_END:
        return snapshots_take(&w->snapshots, from, m);
    case PEER_KIND_WATCH_TEXT:
    case PEER_KIND_WATCH_END:
        return watch_relays_take(&w->relays, from, m);
    case PEER_KIND_WATCH_OPEN:
    case PEER_KIND_WATCH_TAKEN:
    case PEER_KIND_WATCH_CANCEL:
        return sink_peers_take(&w->sink_peers, from, m);
    case PEER_KIND_SOCKET_UP:
    case PEER_KIND_SOCKET_DOWN:
        return sockets_take(&w->sockets, from, m);
    case PEER_KIND_LISTING_ASK:
        return listings_take_ask(&w->listings, from, m->payload);
    case PEER_KIND_LISTING_ANSWER:
        return listings_take_answer(&w->listings, from, m->payload);
    case PEER_KIND_AUDIT_ASK:
        return audits_take_ask(&w->audits, from, m->payload);
    case PEER_KIND_AUDIT_ANSWER:
        return audits_take_answer(&w->audits, from, m->payload);
    case PEER_KIND_FRESH_ASK:
    case PEER_KIND_FRESH_ANSWER:
        return glances_take(&w->glances, from, m);
    case PEER_KIND_LOG_WANT:
    case PEER_KIND_LOG_LINES:
        return log_peers_take(&w->log_peers, from, m);
    default:
        return ERR_OK; /* of a newer version */
    }
}

/* A node that the view does not know may have been let in since, and may be the one to learn so from: a
 * replica of the meta group that has missed it must hear it, and answer. Of all else it is not heard. */
static enum err take_message_of_stranger(struct worker *w, uint32_t from,
                                         const struct peer_message *m)
{
    char address[MEMBER_ADDRESS_BYTES];
    if (m->kind == PEER_KIND_STATUS) {
        if (!record_is_map(m->payload) ||
            !record_text(m->payload, "peer", address, sizeof address - 1) ||
            !member_address_is_valid(slice_of_str(address))) {
            return ERR_CORRUPT;
        }
        board_hear(&w->node->board, from, address, false, clock_mono_ms());
        return ERR_OK;
    }
    if (m->group != GROUP_OF_META) {
        return ERR_OK;
    }
    switch (m->kind) {
    case PEER_KIND_RAFT:
    case PEER_KIND_SNAPSHOT_BEGIN:
    case PEER_KIND_SNAPSHOT_PART:
    case PEER_KIND_SNAPSHOT_WANT:
    case PEER_KIND_SNAPSHOT_END:
        return take_member_message(w, from, m);
    default:
        return ERR_OK;
    }
}

/* A stranger may ask to become a member. */
static bool may_order(enum standing standing)
{
    return standing == STANDING_MEMBER || standing == STANDING_STRANGER;
}

static bool is_heard(enum standing standing)
{
    return standing == STANDING_MEMBER || standing == STANDING_LEAVING;
}

static void on_message(void *ctx, uint32_t from, const struct peer_message *m)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    enum standing standing = standing_of(worker, from);
    enum err err = ERR_OK;
    (void)worker_read_clocks(worker);
    if (!names_a_group(worker, m->group)) {
        err = ERR_CORRUPT;
    } else if (m->kind == PEER_KIND_ORDER && may_order(standing)) {
        err = orders_take_order(&worker->orders, from, standing == STANDING_MEMBER, m->payload);
    } else if (m->kind != PEER_KIND_ORDER && is_heard(standing)) {
        err = take_member_message(worker, from, m);
    } else if (standing == STANDING_STRANGER) {
        err = take_message_of_stranger(worker, from, m);
    }
    if (err != ERR_OK) {
        LOG(LOG_WARN, "peer_message_refused", LOG_INT("peer", from), LOG_INT("kind", m->kind),
            LOG_INT("group", m->group), LOG_STR("why", err_info(err)->text));
    }
}

static bool admits(void *ctx, const struct peer_hello *hello)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    return standing_of(worker, hello->node) != STANDING_REMOVED;
}

static void on_up(void *ctx, const struct peer_hello *hello, enum peer_channel channel)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    (void)hello;
    if (channel == PEER_MESSAGES) {
        neighbours_say_status(&worker->neighbours);
    }
}

static void on_lost(void *ctx, uint32_t node)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    courier_on_lost(&worker->courier, node);
    orders_on_lost(&worker->orders, node);
    listings_on_lost(&worker->listings, node);
    audits_on_lost(&worker->audits, node);
    sink_peers_on_lost(&worker->sink_peers, node);
    watch_relays_on_lost(&worker->relays, node);
    sockets_on_lost(&worker->sockets, node);
}

static uint32_t owner_of(void *ctx, uint32_t group)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    return engine_worker_of_shard(group - 1, worker->node->worker_count);
}

static void post(void *ctx, uint32_t to, struct task *t)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    worker_post(worker, &worker->node->workers[to], t);
}

static const struct peers_hooks hooks = {.admits = admits,
                                         .on_message = on_message,
                                         .on_up = on_up,
                                         .on_lost = on_lost,
                                         .owner_of = owner_of,
                                         .post = post};

/* What goes */

bool neighbours_send(struct neighbours *n, uint32_t node, enum peer_kind kind, uint32_t shard,
                     struct slice payload)
{
    const struct peer_message m = {.kind = (uint8_t)kind,
                                   .group = engine_group_of_shard(shard),
                                   .from = replica_id(n->worker->node->id, 0),
                                   .to = replica_id(node, 0),
                                   .payload = payload};
    return n->peers != NULL && !n->is_closing &&
           peers_send(n->peers, node, PEER_MESSAGES, &m) == ERR_OK;
}

bool neighbours_send_bulk(struct neighbours *n, uint32_t node, const struct peer_message *m)
{
    return n->peers != NULL && !n->is_closing && peers_send(n->peers, node, PEER_BULK, m) == ERR_OK;
}

void neighbours_send_raft(struct neighbours *n, const struct shard *s, uint64_t to,
                          struct slice message)
{
    const struct peer_message m = {.kind = PEER_KIND_RAFT,
                                   .group = engine_group_of_shard(shard_id(s)),
                                   .from = shard_replica(s),
                                   .to = to,
                                   .payload = message};
    if (n->peers != NULL && !n->is_closing) {
        enum err err = peers_send(n->peers, replica_node(to), PEER_MESSAGES, &m);
        (void)err; /* Raft copes with loss */
    }
}

/* To every member, also those that know of it already: it says as well that this node lives. */
static void send_status(struct neighbours *n)
{
    struct worker *w = n->worker;
    struct buf payload = {0};
    steward_write_status(&w->steward, &payload);
    enum err err = status_take(buf_slice(&payload), w->node->id, &w->node->board, clock_mono_ms());
    INVARIANT(err == ERR_OK);
    for (size_t i = 0; n->view != NULL && i < n->view->member_count; i++) {
        const struct cluster_member *m = &n->view->members[i];
        if (m->id != w->node->id && standing_of(w, m->id) != STANDING_REMOVED) {
            (void)neighbours_send(n, m->id, PEER_KIND_STATUS, SHARD_META, buf_slice(&payload));
        }
    }
    buf_done(&payload);
}

void neighbours_say_status(struct neighbours *n)
{
    n->next_status_ms = 0;
}

void neighbours_tick(struct neighbours *n, uint64_t now_ms)
{
    if (n->peers == NULL || n->is_closing) {
        return;
    }
    renew_tls(n);
    take_view(n);
    drop_guests(n, now_ms);
    if (n->is_stale) {
        set_members(n);
    }
    if (now_ms >= n->next_status_ms) {
        n->next_status_ms = now_ms + STATUS_MS;
        n->is_stale = n->has_leaving; /* it may not be needed any more */
        send_status(n);
    }
    neighbours_beat(n, now_ms);
}

uint64_t neighbours_next_ms(const struct neighbours *n)
{
    if (n->peers == NULL || n->is_closing) {
        return UINT64_MAX;
    }
    return n->next_pulse_ms < n->next_status_ms ? n->next_pulse_ms : n->next_status_ms;
}

size_t neighbours_stats(const struct neighbours *n, struct peer_stats *ret_stats, size_t max)
{
    return n->peers != NULL && !n->is_closing ? peers_stats(n->peers, ret_stats, max) : 0;
}

void neighbours_flush(struct neighbours *n)
{
    if (n->peers != NULL && !n->is_closing) {
        peers_flush(n->peers);
    }
}

bool neighbours_is_shard_of(const struct neighbours *n, const struct identity *identity,
                            uint32_t group)
{
    return engine_group_of_shard(identity_shard(identity, n->worker->node->data.shard_count)) ==
           group;
}

/* Life */

enum err neighbours_open(struct neighbours *n, char ret_detail[PEERS_DETAIL_BYTES])
{
    struct worker *w = n->worker;
    struct node *node = w->node;
    struct tls_context *tls = tls_source_take(node->peer_tls, &n->tls_generation);
    const struct peers_options options = {
        .cluster_id = node->data.cluster_id,
        .node = node->id,
        .worker = w->index,
        .host = node->peer_host,
        .port = node->peer_port,
        .tls = tls,
        .shared = &node->peers_shared,
        .hooks = &hooks,
        .ctx = w,
    };
    enum err err = peers_open(&n->peers, &w->loop, &options, ret_detail);
    tls_context_unref(tls);
    if (err != ERR_OK) {
        n->peers = NULL;
    }
    return err;
}

static void on_closed(void *ctx)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    worker->neighbours.peers = NULL;
}

void neighbours_close(struct neighbours *n)
{
    if (n->peers != NULL && !n->is_closing) {
        n->is_closing = true;
        peers_close(n->peers, on_closed);
    }
}

bool neighbours_is_closed(const struct neighbours *n)
{
    return n->peers == NULL;
}

void neighbours_done(struct neighbours *n)
{
    PRE(n->peers == NULL);
    cluster_view_unref(n->view);
}
