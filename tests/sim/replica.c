/* A replica of a group: the hooks of the group, and the rows that it applies entries to. */
#include "base/invariant.h"
#include "base/mem.h"
#include "tests/sim/world.h"

enum { INSTALL_MS = 30 }; /* that it takes, about */

/* The log */

static uint64_t add(struct replica *r, struct record *record, struct slice data)
{
    record->g = r->g;
    record->replica = r->id;
    r->logged = machine_log(r->machine, record, data);
    return r->logged;
}

static uint64_t log_term_vote(void *ctx, uint64_t term, uint64_t vote)
{
    struct record record = {.kind = RECORD_TERM, .term = term, .other = vote};
    return add(ctx, &record, SLICE(""));
}

static uint64_t log_entry(void *ctx, const struct group_entry *e)
{
    struct record record = {
        .kind = RECORD_ENTRY, .index = e->index, .term = e->term, .type = e->type};
    return add(ctx, &record, e->data);
}

static uint64_t log_truncate(void *ctx, uint64_t from_index)
{
    struct replica *r = ctx;
    struct record record = {.kind = RECORD_TRUNCATE, .index = from_index};
    if (from_index <= r->state.applied) {
        world_fail(r->world, "group %u: what was applied is cut off", r->g);
    }
    return add(r, &record, SLICE(""));
}

static uint64_t log_marker(struct replica *r, enum record_kind kind, uint64_t generation,
                           const struct group_snapshot *s)
{
    struct record record = {.kind = kind,
                            .index = s->index,
                            .term = s->term,
                            .other = s->configuration_index,
                            .generation = generation};
    return add(r, &record, s->configuration);
}

static uint64_t log_snapshot(void *ctx, const struct group_snapshot *s)
{
    struct replica *r = ctx;
    return log_marker(r, RECORD_SNAPSHOT, r->machine->slots[r->g].generation, s);
}

static uint64_t log_install(void *ctx, const struct group_snapshot *s)
{
    struct replica *r = ctx;
    machine_meet(r->machine, DOOM_INSTALL, INSTALL_MS);
    return log_marker(r, RECORD_INSTALL, r->machine->slots[r->g].generation + 1, s);
}

/* Rows */

static uint64_t mix(uint64_t digest, uint64_t value)
{
    uint64_t z = (digest ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return z ^ z >> 29;
}

static uint64_t digest_after(uint64_t before, const struct group_entry *e)
{
    uint64_t digest = mix(before, e->index);
    digest = mix(digest, e->term);
    digest = mix(digest, (uint64_t)e->type);
    for (size_t i = 0; i < e->data.len; i++) {
        digest = (digest ^ e->data.data[i]) * UINT64_C(0x100000001b3);
    }
    return mix(digest, e->data.len);
}

void replica_apply(struct state *s, const struct group_entry *e)
{
    s->digest = digest_after(s->digest, e);
    s->applied = e->index;
    s->term = e->term;
    for (size_t at = 0; e->type == GROUP_COMMAND && at < e->data.len; at += sizeof(struct batch)) {
        struct batch b;
        memcpy(&b, e->data.data + at, sizeof b);
        s->version = b.version;
        s->log_ms = b.log_ms;
        s->cells[b.key] = (struct cell){.version = b.version, .op = b.op};
        s->done[b.op] = (uint32_t)b.version;
    }
}

static void judge_batches(struct replica *r, const struct group_entry *e)
{
    uint64_t version = r->state.version;
    uint64_t log_ms = r->state.log_ms;
    for (size_t at = 0; e->type == GROUP_COMMAND && at < e->data.len; at += sizeof(struct batch)) {
        struct batch b;
        memcpy(&b, e->data.data + at, sizeof b);
        if (b.version <= version || b.log_ms < log_ms) {
            world_fail(r->world, "group %u: version %llu after %llu, log time %llu after %llu",
                       r->g, (unsigned long long)b.version, (unsigned long long)version,
                       (unsigned long long)b.log_ms, (unsigned long long)log_ms);
        }
        version = b.version;
        log_ms = b.log_ms;
        judge_batch(r, &b, e->index);
    }
}

static void apply(void *ctx, const struct group_entry *e)
{
    struct replica *r = ctx;
    if (e->index <= r->state.applied) {
        return; /* a restart: it is in the store */
    }
    if (e->index != r->state.applied + 1) {
        world_fail(r->world, "group %u: %llu is applied after %llu", r->g,
                   (unsigned long long)e->index, (unsigned long long)r->state.applied);
        return;
    }
    judge_batches(r, e);
    replica_apply(&r->state, e);
    judge_applied(r, e);
    owner_hear_applied(r, e);
}

static void lead(void *ctx)
{
    struct replica *r = ctx;
    judge_lead(r);
    owner_lead(r);
}

static void depose(void *ctx)
{
    struct replica *r = ctx;
    world_hit(r->world, FAULT_DEPOSED);
    owner_depose(r);
}

/* Peers */

static void send(void *ctx, uint64_t to, struct slice message)
{
    struct replica *r = ctx;
    if (!r->is_releasing) {
        judge_said(r, to, message);
    }
    struct packet *p = MEM_NEW(struct packet);
    p->kind = PACKET_GROUP;
    p->from = r->machine->id;
    p->to = replica_node(to);
    p->g = r->g;
    p->from_replica = r->id;
    buf_append_slice(&p->bytes, message);
    network_send(r->world, p);
}

static bool accepts(void *ctx, size_t bytes)
{
    struct replica *r = ctx;
    (void)bytes;
    return r->world->is_healed || !world_chance(r->world, 1);
}

static void wants_snapshot(void *ctx, uint64_t to, uint64_t index)
{
    (void)index;
    ((struct replica *)ctx)->offer_to = to;
}

static void wants_compaction(void *ctx)
{
    ((struct replica *)ctx)->wants_checkpoint = true;
}

static void install(void *ctx, const struct group_snapshot *s)
{
    struct replica *r = ctx;
    (void)s;
    snapshot_place(r);
}

static void reads_proven(void *ctx, uint64_t read)
{
    (void)ctx;
    (void)read; /* turns look at group_proven, after the call */
}

static bool is_watched(void *ctx, uint64_t replica)
{
    struct replica *r = ctx;
    return pulses_is_heard(&r->machine->pulses, replica_node(replica));
}

static const struct group_hooks hooks = {
    .log_term_vote = log_term_vote,
    .log_entry = log_entry,
    .log_truncate = log_truncate,
    .log_snapshot = log_snapshot,
    .log_install = log_install,
    .apply = apply,
    .lead = lead,
    .depose = depose,
    .send = send,
    .accepts = accepts,
    .wants_snapshot = wants_snapshot,
    .wants_compaction = wants_compaction,
    .install = install,
    .reads_proven = reads_proven,
    .is_watched = is_watched,
};

/* Events */

static void tick(struct world *w, struct event *e)
{
    struct replica *r = CONTAINER_OF(e, struct replica, tick);
    struct machine *m = r->machine;
    if (machine_is_awake(m, e)) {
        group_tick(r->group, w->now_ms);
        machine_end_turn(m);
    }
}

void replica_receive(struct replica *r, uint64_t from, struct slice message)
{
    judge_heard(r, message);
    enum err err = group_receive(r->group, from, message, r->world->now_ms);
    if (err != ERR_OK) {
        world_fail(r->world, "group %u: a message from node %u is refused: %s", r->g,
                   replica_node(from), err_info(err)->name);
    }
}

/* Told of a flush only where it waits for one, as an engine does. */
void replica_on_durable(struct replica *r)
{
    uint64_t waited_for = r->logged;
    if (waited_for != 0) {
        r->is_releasing = true;
        group_on_durable(r->group, r->machine->durable, r->world->now_ms);
        r->is_releasing = false;
        if (r->logged == waited_for && waited_for <= r->machine->durable) {
            r->logged = 0;
        }
    }
}

void replica_rouse(struct replica *r, uint32_t node, uint64_t heard_ms)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = group_peers(r->group, peers);
    for (size_t i = 0; i < count; i++) {
        if (replica_node(peers[i].replica) == node) {
            group_rouse(r->group, heard_ms);
            world_hit(r->world, FAULT_ROUSED);
            return;
        }
    }
}

static void note_rest(struct replica *r)
{
    bool is_resting = group_is_resting(r->group);
    if (is_resting && !r->was_resting && group_is_leading(r->group)) {
        world_hit(r->world, FAULT_RESTED);
    }
    r->was_resting = is_resting;
}

void replica_after(struct replica *r)
{
    note_rest(r);
    uint32_t leader = replica_node(group_leader(r->group));
    judge_leader(r);
    owner_release(r);
    snapshot_begin_checkpoint(r);
    snapshot_compact(r);
    snapshot_offer(r);
    uint64_t next_ms = group_next_ms(r->group);
    if (next_ms == UINT64_MAX) {
        world_call_off(r->world, &r->tick);
    } else if (!heap_has(&r->tick.at) || r->tick.at.key >> 16 != next_ms) {
        world_plan(r->world, &r->tick, next_ms);
    }
    if (leader != r->leader) {
        r->leader = leader;
        if (leader != 0) {
            courier_tick(&r->machine->courier, r->world->now_ms);
            courier_on_leaders(&r->machine->courier);
        }
    }
}

/* Life */

struct replica *replica_new(struct machine *m, uint32_t g, uint64_t id)
{
    struct world *w = m->world;
    uint64_t voters[WORLD_NODES_MAX];
    for (size_t i = 0; i < w->first_voters; i++) {
        voters[i] = replica_id((uint32_t)i + 1, g + 1);
    }
    bool is_first = (id & UINT32_MAX) == g + 1;
    struct replica *r = MEM_NEW(struct replica);
    r->world = w;
    r->machine = m;
    r->g = g;
    r->id = id;
    r->tick.happen = tick;
    owner_init(r);
    snapshot_init(r);
    const struct group_options options = {.replica = id,
                                          .voters = voters,
                                          .voter_count = is_first ? w->first_voters : 0,
                                          .random = world_draw(w, UINT64_MAX) | 1};
    r->group = group_new(&options, &hooks, r);
    return r;
}

void replica_start(struct replica *r, struct group_recovered *recovered)
{
    const struct state *stored = r->machine->slots[r->g].stored;
    if (stored != NULL) {
        r->state = *stored;
    }
    r->compacted = recovered->snapshot.index;
    enum err err = group_start(r->group, recovered, r->world->now_ms);
    if (err != ERR_OK) {
        world_fail(r->world, "node %u, group %u: does not start: %s", r->machine->id, r->g,
                   err_info(err)->name);
        return;
    }
}

void replica_free(struct replica *r)
{
    world_call_off(r->world, &r->tick);
    owner_done(r);
    snapshot_done(r);
    group_free(r->group);
    mem_free(r);
}
