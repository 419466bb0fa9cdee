/* The shards that this node leads, and the places of all where it leads the meta group. */
#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/membership.h"
#include "node/node.h"
#include "node/steward_own.h"
#include "node/worker.h"

static bool is_up(const struct cluster_view *v, uint32_t node)
{
    const struct cluster_member *m = cluster_view_member(v, node);
    return m != NULL && m->state == MEMBER_UP;
}

bool steward_is_awaited(const struct worker *w, uint32_t node)
{
    const struct cluster_view *v = w->neighbours.view;
    const struct cluster_member *m = v != NULL ? cluster_view_member(v, node) : NULL;
    return m != NULL && m->state != MEMBER_REMOVED &&
           (node == w->node->id || board_is_alive(&w->node->board, node, clock_mono_ms()));
}

/* Members */

static enum err take_step(struct shard *shard, struct membership_step step)
{
    switch (step.action) {
    case MEMBERSHIP_ADD:
        return shard_assign(shard, step.replica, GROUP_STANDBY);
    case MEMBERSHIP_PROMOTE:
        return shard_assign(shard, step.replica, GROUP_VOTER);
    case MEMBERSHIP_REMOVE:
        return shard_remove(shard, step.replica);
    case MEMBERSHIP_HAND_OVER:
        return shard_transfer(shard, step.replica);
    case MEMBERSHIP_NONE:
        return ERR_OK;
    }
    UNREACHABLE();
}

/* Leadership */

/* The nodes of the other voters that have what was logged, and what each leads. */
static size_t candidates_of(const struct worker *w, const struct shard *shard,
                            const struct cluster_view *v, uint64_t now_ms,
                            struct placement_leads *ret_leads, uint64_t *ret_replicas)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    struct shard_status status;
    size_t peer_count = shard_peers(shard, peers);
    size_t count = 0;
    shard_status(shard, &status);
    for (size_t i = 0; i < peer_count; i++) {
        uint32_t node = replica_node(peers[i].replica);
        bool is_close = peers[i].match + GROUP_PROMOTE_LAG >= status.last;
        if (peers[i].role == GROUP_VOTER && is_close && node != w->node->id && is_up(v, node) &&
            board_is_staying(&w->node->board, node, now_ms)) {
            ret_replicas[count] = peers[i].replica;
            ret_leads[count++] = (struct placement_leads){.id = node, .may_lead = true};
        }
    }
    return count;
}

static void hand_over(struct steward *s, struct shard *shard, const struct cluster_view *v,
                      uint64_t now_ms)
{
    const struct worker *w = s->worker;
    struct placement_leads leads[GROUP_MEMBERS_MAX + 1];
    uint64_t replicas[GROUP_MEMBERS_MAX];
    bool may_lead = is_up(v, w->node->id) && !s->is_leaving;
    if (may_lead && now_ms < s->next_hand_over_ms) {
        return;
    }
    size_t count = candidates_of(w, shard, v, now_ms, leads, replicas);
    leads[count] = (struct placement_leads){.id = w->node->id, .may_lead = may_lead};
    board_count_leads(&w->node->board, now_ms, leads, count + 1);
    uint32_t target = placement_lead_target(&leads[count], leads, count);
    for (size_t i = 0; i < count; i++) {
        if (leads[i].id == target && shard_transfer(shard, replicas[i]) == ERR_OK) {
            s->next_hand_over_ms = now_ms + STEWARD_HAND_OVER_MS;
            s->is_busy = true;
        }
    }
}

/* A node that was away may lead before it has heard what became of the places meanwhile. A member with a
 * sequence that the view has not given out yet came after it: by that place it would be removed. */
static bool is_outdated(const struct cluster_view *v, const struct group_peer *peers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (replica_sequence(peers[i].replica) >= v->next_sequence) {
            return true;
        }
    }
    return false;
}

void steward_lead(struct steward *s, struct shard *shard, const struct place *place,
                  const struct cluster_view *v, uint64_t now_ms)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    if (shard_is_changing(shard) || shard_is_transferring(shard)) {
        return;
    }
    size_t count = shard_peers(shard, peers);
    if (is_outdated(v, peers, count)) {
        return; /* the view comes, or leadership goes */
    }
    struct membership_step step = membership_next(peers, count, shard_replica(shard), place,
                                                  steward_voters_max(shard_id(shard)));
    if (step.action == MEMBERSHIP_NONE || s->is_leaving) {
        hand_over(s, shard, v, now_ms);
        return;
    }
    s->is_busy = true;
    enum err err = take_step(shard, step); /* one that cannot be taken yet comes again */
    if (err != ERR_OK && err != ERR_OVERLOADED && err != ERR_NOT_OWNER) {
        LOG(LOG_WARN, "membership_step_refused", LOG_INT("shard", (int32_t)shard_id(shard)),
            LOG_INT("action", step.action), LOG_STR("why", err_info(err)->text));
    }
}

/* Alone among the voters it goes on leading until the process ends. */
static bool could_go(const struct worker *w, const struct shard *shard)
{
    struct placement_leads leads[GROUP_MEMBERS_MAX];
    uint64_t replicas[GROUP_MEMBERS_MAX];
    const struct cluster_view *v = w->neighbours.view;
    return shard != NULL && v != NULL && shard_is_leading(shard) &&
           candidates_of(w, shard, v, clock_mono_ms(), leads, replicas) > 0;
}

bool steward_has_left(const struct steward *s)
{
    const struct worker *w = s->worker;
    if (neighbours_is_closed(&w->neighbours)) {
        return true;
    }
    for (uint32_t id = w->index; id < w->node->data.shard_count; id += w->node->worker_count) {
        if (could_go(w, engine_shard(w->engine, id))) {
            return false;
        }
    }
    return w->index != 0 || !could_go(w, engine_meta(w->engine));
}

/* Places */

/* All that placement_next looks at. */
struct world {
    struct placement_member *members;
    size_t member_count;
    struct placement_shard *shards;
    size_t shard_count;
};

static void world_init(struct world *world, struct worker *w, const struct cluster_view *v)
{
    uint64_t now_ms = clock_mono_ms();
    world->member_count = v->member_count;
    world->members = mem_zalloc(v->member_count * sizeof *world->members);
    for (size_t i = 0; i < v->member_count; i++) {
        const struct cluster_member *m = &v->members[i];
        bool is_alive = m->id == w->node->id || board_is_alive(&w->node->board, m->id, now_ms);
        world->members[i] =
            (struct placement_member){.id = m->id,
                                      .is_reachable = m->state == MEMBER_UP && is_alive,
                                      .is_removed = m->state == MEMBER_REMOVED};
    }
    world->shard_count = w->node->data.shard_count;
    world->shards = mem_zalloc(world->shard_count * sizeof *world->shards);
    for (uint32_t id = 0; id < world->shard_count; id++) {
        struct placement_shard *shard = &world->shards[id];
        struct place place = cluster_view_place(v, id);
        struct board_line line;
        shard->node_count = place.replica_count;
        shard->leaving = place.leaving;
        shard->is_pinned = place.is_pinned;
        for (uint32_t i = 0; i < place.replica_count; i++) {
            shard->nodes[i] = replica_node(place.replicas[i]);
        }
        shard->is_settled = board_find(&w->node->board, id, now_ms, &line) &&
                            line.said.is_settled && line.said.replica_count == place.replica_count;
    }
}

static void world_done(struct world *world)
{
    mem_free(world->members);
    mem_free(world->shards);
}

static void add_to_place(struct records_changes *c, const struct cluster_view *v, uint32_t shard,
                         uint32_t node, uint32_t sequence)
{
    struct place place = cluster_view_place(v, shard);
    PRE(place.replica_count < PLACEMENT_REPLICAS_MAX);
    place.replicas[place.replica_count++] = replica_id(node, sequence);
    records_put_place(c, &place);
}

static void remove_from_place(struct records_changes *c, const struct cluster_view *v,
                              uint32_t shard, uint32_t node)
{
    struct place place = cluster_view_place(v, shard);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < place.replica_count; i++) {
        if (replica_node(place.replicas[i]) != node) {
            place.replicas[kept++] = place.replicas[i];
        }
    }
    INVARIANT(kept > 0);
    place.replica_count = kept;
    place.leaving = 0; /* it is as many as it should be again */
    records_put_place(c, &place);
}

static bool is_on(const struct board_shard *said, uint32_t node)
{
    for (uint32_t i = 0; i < said->replica_count; i++) {
        if (replica_node(said->replicas[i].replica) == node) {
            return true;
        }
    }
    return false;
}

/* A removed member that lives hears of the records until no group counts it any more: by them it hands
 * over what it leads. */
static bool may_leave_meta(const struct worker *w, const struct cluster_view *v, uint32_t node)
{
    struct board *board = &w->node->board;
    uint64_t now_ms = clock_mono_ms();
    if (node != w->node->id && !board_is_alive(board, node, now_ms)) {
        return true;
    }
    for (uint32_t id = 0; id < w->node->data.shard_count; id++) {
        struct place place = cluster_view_place(v, id);
        struct board_line line;
        if (place_replica_on(&place, node) != 0 || !board_find(board, id, now_ms, &line) ||
            is_on(&line.said, node)) {
            return false;
        }
    }
    return true;
}

/* Every member has a replica of the meta group, for it must know of the cluster. True: one changes. */
static bool place_meta(const struct worker *w, const struct cluster_view *v,
                       struct records_changes *c)
{
    struct place place = cluster_view_place(v, SHARD_META);
    struct board_line line;
    bool is_settled = board_find(&w->node->board, SHARD_META, clock_mono_ms(), &line) &&
                      line.said.is_settled && line.said.replica_count == place.replica_count;
    for (size_t i = 0; i < v->member_count && is_settled; i++) {
        const struct cluster_member *m = &v->members[i];
        bool has = place_replica_on(&place, m->id) != 0;
        if (m->state != MEMBER_REMOVED && !has && place.replica_count < PLACEMENT_REPLICAS_MAX) {
            add_to_place(c, v, SHARD_META, m->id, v->next_sequence);
            records_put_sequence(c, v->next_sequence + 1);
            return true;
        }
        if (m->state == MEMBER_REMOVED && has && place.replica_count > 1 &&
            may_leave_meta(w, v, m->id)) {
            remove_from_place(c, v, SHARD_META, m->id);
            return true;
        }
    }
    return false;
}

/* A shard that changes is left alone from here on, and counts as changed. */
static void note_change(struct placement_shard *shard, const struct placement_change *change)
{
    uint32_t kept = 0;
    shard->is_settled = false;
    if (change->action == PLACEMENT_ADD) {
        shard->nodes[shard->node_count++] = change->node;
        return;
    }
    for (uint32_t i = 0; i < shard->node_count; i++) {
        if (shard->nodes[i] != change->node) {
            shard->nodes[kept++] = shard->nodes[i];
        }
    }
    shard->node_count = kept;
}

/* False: there is nothing more to change now. */
static bool place_one(struct world *world, const struct cluster_view *v, uint32_t *sequence,
                      struct records_changes *c)
{
    struct placement_change change =
        placement_next(world->members, world->member_count, world->shards, world->shard_count,
                       PLACEMENT_REPLICAS_DEFAULT);
    if (change.action == PLACEMENT_NONE) {
        return false;
    }
    note_change(&world->shards[change.shard], &change);
    if (change.action == PLACEMENT_ADD) {
        add_to_place(c, v, change.shard, change.node, (*sequence)++);
    } else {
        remove_from_place(c, v, change.shard, change.node);
    }
    return true;
}

static void place_shards(struct worker *w, const struct cluster_view *v, struct records_changes *c)
{
    struct world world;
    uint32_t sequence = v->next_sequence;
    world_init(&world, w, v);
    while (place_one(&world, v, &sequence, c)) {
    }
    world_done(&world);
    if (sequence != v->next_sequence) {
        records_put_sequence(c, sequence);
    }
}

static enum err decide_placement(struct records_request *r, const struct cluster_view *v,
                                 struct records_changes *c)
{
    struct steward *s = CONTAINER_OF(r, struct steward, placing);
    if (v->member_count > 0 && !place_meta(s->worker, v, c)) {
        place_shards(s->worker, v, c);
    }
    return ERR_OK;
}

static void on_placed(struct records_request *r, enum err err)
{
    struct steward *s = CONTAINER_OF(r, struct steward, placing);
    (void)err; /* what was not done is decided again */
    s->is_placing = false;
}

void steward_place(struct steward *s)
{
    const struct shard *meta = engine_meta(s->worker->engine);
    if (s->is_placing || s->is_leaving || meta == NULL || !shard_is_leading(meta)) {
        return;
    }
    s->is_placing = true;
    s->placing = (struct records_request){.decide = decide_placement, .done = on_placed};
    records_submit(&s->worker->records, &s->placing);
}
