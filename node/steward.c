#include "node/steward.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/membership.h"
#include "node/node.h"
#include "node/status.h"
#include "node/steward_own.h"
#include "node/worker.h"
#include "rpc/value.h"

void steward_init(struct steward *s, struct worker *w)
{
    *s = (struct steward){.worker = w};
}

static const struct cluster_view *view_of(const struct steward *s)
{
    const struct cluster_view *v = s->worker->neighbours.view;
    return v != NULL && v->member_count > 0 ? v : NULL;
}

/* Replicas that come and go */

struct replica_change {
    struct engine_change change;
    struct steward *steward;
    bool adds;
};

static void on_changed(struct engine_change *c, enum err err)
{
    struct replica_change *change = CONTAINER_OF(c, struct replica_change, change);
    struct worker *w = change->steward->worker;
    change->steward->change_count--;
    if (err != ERR_CLOSED) {
        LOG(err == ERR_OK ? LOG_INFO : LOG_ERROR,
            change->adds ? "replica_added" : "replica_removed", LOG_INT("shard", (int32_t)c->shard),
            LOG_STR("outcome", err_info(err)->text));
    }
    if (err == ERR_OK && change->adds && c->shard == SHARD_META) {
        records_open(&w->records, engine_meta(w->engine));
    }
    mem_free(change);
}

static void begin_change(struct steward *s, uint32_t shard, uint64_t replica, bool adds)
{
    struct replica_change *change = MEM_NEW(struct replica_change);
    change->steward = s;
    change->adds = adds;
    change->change = (struct engine_change){.done = on_changed, .shard = shard, .replica = replica};
    s->change_count++;
    s->is_busy = true;
    enum err err = adds ? engine_add_replica(s->worker->engine, &change->change)
                        : engine_remove_replica(s->worker->engine, &change->change);
    if (err != ERR_OK) { /* busy: later */
        s->change_count--;
        mem_free(change);
    }
}

static uint64_t own_replica(const struct worker *w, const struct place *place)
{
    for (uint32_t i = 0; i < place->replica_count; i++) {
        if (replica_node(place->replicas[i]) == w->node->id) {
            return place->replicas[i];
        }
    }
    return 0;
}

static bool is_among(const struct board_shard *said, uint64_t replica)
{
    for (uint32_t i = 0; i < said->replica_count; i++) {
        if (said->replicas[i].replica == replica) {
            return true;
        }
    }
    return false;
}

/* The place is without it, and the leader is through with making it so. The meta group's stays: a node
 * without it would know of nothing. */
static bool may_go(const struct worker *w, const struct shard *shard, uint64_t now_ms)
{
    struct board_line line;
    return shard_id(shard) != SHARD_META && !shard_is_leading(shard) &&
           board_find(&w->node->board, shard_id(shard), now_ms, &line) &&
           line.leader != w->node->id && line.said.is_settled &&
           !is_among(&line.said, shard_replica(shard));
}

static void look_after(struct steward *s, uint32_t id, const struct cluster_view *v,
                       uint64_t now_ms)
{
    struct worker *w = s->worker;
    struct place place = cluster_view_place(v, id);
    uint64_t own = own_replica(w, &place);
    struct shard *shard = engine_shard(w->engine, id);
    if (shard == NULL && own != 0) {
        begin_change(s, id, own, true);
    } else if (shard != NULL && shard_is_leading(shard)) {
        steward_lead(s, shard, &place, v, now_ms);
    } else if (shard != NULL && own != shard_replica(shard) && may_go(w, shard, now_ms)) {
        begin_change(s, id, shard_replica(shard), false);
    }
}

void steward_hear_of_replica(struct steward *s, uint32_t shard, uint64_t replica)
{
    struct worker *w = s->worker;
    if (shard == SHARD_META && w->node->has_joined && engine_meta(w->engine) == NULL &&
        w->neighbours.view == NULL && replica_node(replica) == w->node->id) {
        begin_change(s, shard, replica, true);
    }
}

/* This node's own record */

static void on_said(struct order_run *r)
{
    struct steward *s = CONTAINER_OF(r, struct steward, saying);
    if (s->order.error.err != ERR_OK && s->order.error.err != ERR_UNAVAILABLE) {
        LOG(LOG_WARN, "member_refused", LOG_STR("why", err_info(s->order.error.err)->text),
            LOG_STR("detail", s->order.error.detail));
    }
    order_done(&s->order);
    s->is_saying = false;
}

static void say(struct steward *s)
{
    struct cluster_member m;
    struct buf body = {0};
    node_describe(s->worker->node, &m);
    member_say_encode(&m, SLICE(""), &body);
    s->is_saying = true;
    order_init(&s->order, ORDER_MEMBER_SAY);
    s->order.body = bytes_new(buf_slice(&body));
    buf_done(&body);
    s->saying = (struct order_run){.order = &s->order, .done = on_said};
    orders_submit(&s->worker->orders, &s->saying, ORDER_TIMEOUT_MS);
}

static bool knows_us(const struct steward *s)
{
    const struct cluster_view *v = s->worker->neighbours.view;
    struct cluster_member own;
    node_describe(s->worker->node, &own);
    const struct cluster_member *m = v != NULL ? cluster_view_member(v, own.id) : NULL;
    return m != NULL && strcmp(m->peer, own.peer) == 0 && strcmp(m->url, own.url) == 0;
}

static void say_where_needed(struct steward *s, uint64_t now_ms)
{
    if (s->worker->state == WORKER_SERVING && s->worker->neighbours.view != NULL && !s->is_saying &&
        now_ms >= s->next_say_ms) {
        s->next_say_ms = now_ms + STEWARD_SAY_MS;
        if (!knows_us(s)) {
            say(s);
        }
    }
}

/* Status */

static struct place place_of(const struct worker *w, uint32_t shard)
{
    const struct cluster_view *v = w->neighbours.view;
    return v != NULL ? cluster_view_place(v, shard) : place_of_single_node(shard);
}

void steward_describe(const struct worker *w, const struct shard *shard, struct board_shard *ret)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    struct shard_status status;
    struct place place = place_of(w, shard_id(shard));
    size_t count = shard_peers(shard, peers);
    shard_status(shard, &status);
    *ret = (struct board_shard){.shard = shard_id(shard), .term = status.term};
    for (size_t i = 0; i < count && i < PLACEMENT_REPLICAS_MAX; i++) {
        bool is_own = peers[i].replica == shard_replica(shard);
        uint64_t lag = is_own || peers[i].match >= status.last ? 0 : status.last - peers[i].match;
        ret->replicas[ret->replica_count++] =
            (struct board_replica){peers[i].replica, peers[i].role, lag};
        if (!steward_is_awaited(w, replica_node(peers[i].replica))) {
            peers[i].match = status.last; /* nobody waits for a node that is gone */
        }
    }
    ret->is_settled =
        !shard_is_changing(shard) &&
        membership_is_settled(peers, count, shard_replica(shard), status.last, GROUP_PROMOTE_LAG,
                              &place, steward_voters_max(shard_id(shard)));
}

/* Calls `each` for every shard that this worker leads. */
static uint32_t each_lead(struct steward *s,
                          void (*each)(const struct board_shard *said, void *ctx), void *ctx)
{
    struct worker *w = s->worker;
    const struct cluster_view *v = view_of(s);
    uint32_t count = 0;
    for (uint32_t slot = w->index; slot <= w->node->data.shard_count; slot++) {
        bool is_meta = slot == w->node->data.shard_count;
        uint32_t id = is_meta ? SHARD_META : slot;
        if (engine_worker_of_shard(id, w->node->worker_count) != w->index) {
            continue;
        }
        const struct shard *shard = engine_shard(w->engine, id);
        if (v != NULL && shard != NULL && shard_is_leading(shard)) {
            struct board_shard said;
            steward_describe(w, shard, &said);
            each(&said, ctx);
            count++;
        }
    }
    return count;
}

static void put_lead(const struct board_shard *said, void *ctx)
{
    status_put_lead(said, ctx);
}

struct leads_digest {
    uint64_t hash;
    bool has_unsettled;
};

static void mix_lead(const struct board_shard *said, void *ctx)
{
    struct leads_digest *digest = ctx;
    const uint64_t facts[] = {digest->hash, said->shard, said->term, said->is_settled,
                              said->replica_count};
    digest->hash = hash_of(slice_of(facts, sizeof facts));
    digest->has_unsettled = digest->has_unsettled || !said->is_settled;
}

void steward_write_status(struct steward *s, struct buf *out)
{
    struct buf leads = {0};
    uint32_t count = each_lead(s, put_lead, &leads);
    status_begin(s->worker->node->peer_address, s->is_leaving, count, out);
    buf_append_slice(out, buf_slice(&leads));
    buf_done(&leads);
}

static void say_what_changed(struct steward *s)
{
    struct leads_digest digest = {0};
    (void)each_lead(s, mix_lead, &digest);
    s->is_busy = s->is_busy || digest.has_unsettled;
    if (digest.hash != s->settled_hash) {
        s->settled_hash = digest.hash;
        neighbours_say_status(&s->worker->neighbours);
    }
}

/* The loop */

static void look_after_all(struct steward *s, const struct cluster_view *v, uint64_t now_ms)
{
    const struct worker *w = s->worker;
    for (uint32_t id = w->index; id < w->node->data.shard_count; id += w->node->worker_count) {
        look_after(s, id, v, now_ms);
    }
    if (w->index == 0) {
        look_after(s, SHARD_META, v, now_ms);
        steward_place(s);
    }
}

void steward_tick(struct steward *s, uint64_t now_ms)
{
    if (now_ms < s->next_ms || neighbours_is_closed(&s->worker->neighbours)) {
        return;
    }
    const struct cluster_view *v = view_of(s);
    s->is_busy = s->is_leaving || v == NULL || s->worker->neighbours.is_stale;
    if (v != NULL) {
        look_after_all(s, v, now_ms);
    }
    if (s->worker->index == 0) {
        say_where_needed(s, now_ms);
    }
    say_what_changed(s);
    s->next_ms = now_ms + (s->is_busy ? STEWARD_MS : STEWARD_IDLE_MS);
}

uint64_t steward_next_ms(const struct steward *s)
{
    return neighbours_is_closed(&s->worker->neighbours) ? UINT64_MAX : s->next_ms;
}

void steward_leave(struct steward *s)
{
    s->is_leaving = true;
    s->next_ms = 0;
    neighbours_say_status(&s->worker->neighbours);
}

bool steward_is_idle(const struct steward *s)
{
    return s->change_count == 0 && !s->is_placing && !s->is_saying;
}
