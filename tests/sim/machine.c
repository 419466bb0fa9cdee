/* A node: one log for all its groups, flushed one write after the other; what a crash leaves of it, and
 * what a start finds. */
#include "base/invariant.h"
#include "base/mem.h"
#include "tests/sim/world.h"

#define WALL_MS INT64_C(1700000000000)

enum { LOOK_MS = 100, SLOW_DISK_MS = 1200, LOST_MS = 500, DOWN_MS = 2000 };

bool machine_is_awake(struct machine *m, struct event *e)
{
    if (m->is_up && m->paused_until_ms > m->world->now_ms) {
        world_plan(m->world, e, m->paused_until_ms);
        return false;
    }
    return m->is_up;
}

uint64_t machine_wall_ms(const struct machine *m)
{
    return (uint64_t)(WALL_MS + (int64_t)m->world->now_ms + m->skew_ms);
}

/* The log */

uint64_t machine_log(struct machine *m, const struct record *r, struct slice data)
{
    if (m->record_count == m->record_cap) {
        m->record_cap = m->record_cap != 0 ? m->record_cap * 2 : 256;
        m->records = mem_realloc(m->records, m->record_cap * sizeof *m->records);
    }
    struct record *at = &m->records[m->record_count++];
    *at = *r;
    at->data = (struct buf){0};
    buf_append_slice(&at->data, data);
    return m->record_count;
}

static void cut_log(struct machine *m, size_t count)
{
    for (size_t i = count; i < m->record_count; i++) {
        buf_done(&m->records[i].data);
    }
    m->record_count = count;
}

static void begin_flush(struct machine *m)
{
    struct world *w = m->world;
    if (m->flushing != 0 || m->durable == m->record_count) {
        return;
    }
    m->flushing = m->record_count;
    uint64_t ms = world_draw(w, w->settings.disk_ms + 1);
    if (m->slow_disk_until_ms > w->now_ms) {
        ms += world_draw(w, SLOW_DISK_MS);
    }
    world_plan_after(w, &m->flush, ms);
    machine_meet(m, DOOM_FLUSH, ms);
}

static void end_flush(struct world *w, struct event *e)
{
    struct machine *m = CONTAINER_OF(e, struct machine, flush);
    if (!machine_is_awake(m, e)) {
        return;
    }
    /* The disk that lies has the flush before this one, at best. */
    m->safe = w->plant == PLANT_ACK_BEFORE_DURABLE ? m->durable : m->flushing;
    m->durable = m->flushing;
    m->flushing = 0;
    for (uint32_t g = 0; g < w->group_count; g++) {
        if (m->slots[g].replica != NULL) {
            replica_on_durable(m->slots[g].replica);
        }
    }
    machine_end_turn(m);
}

void machine_end_turn(struct machine *m)
{
    do {
        m->is_dirty = false;
        for (uint32_t g = 0; g < m->world->group_count; g++) {
            if (m->slots[g].replica != NULL) {
                owner_flush(m->slots[g].replica);
                replica_after(m->slots[g].replica);
            }
        }
    } while (m->is_dirty);
    begin_flush(m);
    courier_plan(m);
}

/* Recovery */

struct found {
    bool has_left;
    struct group_recovered r; /* `replica` 0: nothing */
    uint64_t replica;
    uint64_t generation;
    struct group_entry *entries; /* from `first` on */
    uint64_t first;
    size_t count;
};

static void take_entry(struct found *f, const struct record *at)
{
    if (f->count == 0) {
        f->first = at->index;
    }
    INVARIANT(at->index >= f->first && at->index <= f->first + f->count);
    f->count = (size_t)(at->index - f->first);
    f->entries[f->count++] = (struct group_entry){
        .index = at->index, .term = at->term, .type = at->type, .data = buf_slice(&at->data)};
}

static void take_marker(struct found *f, const struct record *at)
{
    f->generation = at->generation;
    f->count = at->kind == RECORD_INSTALL ? 0 : f->count;
    f->r.snapshot = (struct group_snapshot){.index = at->index,
                                            .term = at->term,
                                            .configuration_index = at->other,
                                            .configuration = buf_slice(&at->data)};
}

static void take(struct found *f, const struct record *at)
{
    switch (at->kind) {
    case RECORD_CREATE:
    case RECORD_REMOVE:
        *f = (struct found){.entries = f->entries,
                            .has_left = at->kind == RECORD_REMOVE,
                            .replica = at->kind == RECORD_CREATE ? at->replica : 0};
        break;
    case RECORD_TERM:
        f->r.term = at->term;
        f->r.vote = at->other;
        break;
    case RECORD_ENTRY:
        take_entry(f, at);
        break;
    case RECORD_TRUNCATE:
        if (f->count > 0 && at->index < f->first + f->count) {
            f->count = at->index > f->first ? (size_t)(at->index - f->first) : 0;
        }
        break;
    case RECORD_SNAPSHOT:
    case RECORD_INSTALL:
        take_marker(f, at);
        break;
    }
}

static void find(const struct machine *m, uint32_t g, struct found *f)
{
    *f = (struct found){.entries = mem_alloc((m->record_count + 1) * sizeof *f->entries)};
    for (size_t i = 0; i < m->record_count; i++) {
        if (m->records[i].g == g) {
            take(f, &m->records[i]);
        }
    }
    size_t skipped = 0;
    while (skipped < f->count && f->entries[skipped].index <= f->r.snapshot.index) {
        skipped++;
    }
    f->r.entries = f->entries + skipped;
    f->r.entry_count = f->count - skipped;
}

static void forget_files(struct slot *slot)
{
    mem_free(slot->stored);
    mem_free(slot->staged);
    slot->stored = NULL;
    slot->staged = NULL;
    slot->evicted = 0;
}

/* The log says which file is the store; what no record names goes. */
static void settle_files(struct machine *m, struct slot *slot, const struct found *f)
{
    if (f->replica == 0) {
        forget_files(slot);
        return;
    }
    if (f->generation == slot->generation + 1 && slot->staged != NULL) {
        mem_free(slot->stored);
        slot->stored = slot->staged;
        slot->staged = NULL;
        slot->generation++;
        world_hit(m->world, FAULT_INSTALL_RECOVERED);
    }
    mem_free(slot->staged);
    slot->staged = NULL;
}

static void start_slot(struct machine *m, uint32_t g)
{
    struct slot *slot = &m->slots[g];
    struct found f;
    find(m, g, &f);
    settle_files(m, slot, &f);
    if (f.replica != 0) {
        slot->replica = replica_new(m, g, f.replica);
        f.r.committed = slot->stored != NULL ? slot->stored->applied : 0;
        if (f.r.committed < f.r.snapshot.index ||
            f.r.committed > f.r.snapshot.index + f.r.entry_count) {
            world_fail(m->world, "node %u, group %u: store of %llu, log from %llu of %zu", m->id, g,
                       (unsigned long long)f.r.committed, (unsigned long long)f.r.snapshot.index,
                       f.r.entry_count);
        } else {
            replica_start(slot->replica, &f.r);
        }
    } else if (!f.has_left && m->id <= m->world->first_voters) {
        machine_host(m, g, replica_id(m->id, g + 1));
    }
    mem_free(f.entries);
}

/* Replicas that come and go */

void machine_host(struct machine *m, uint32_t g, uint64_t replica)
{
    struct slot *slot = &m->slots[g];
    struct group_recovered nothing = {0};
    if (slot->replica != NULL || slot->evicted > m->durable) {
        return; /* asked again */
    }
    forget_files(slot);
    const struct record created = {.kind = RECORD_CREATE, .g = g, .replica = replica};
    (void)machine_log(m, &created, SLICE(""));
    slot->replica = replica_new(m, g, replica);
    replica_start(slot->replica, &nothing);
}

void machine_evict(struct machine *m, uint32_t g)
{
    struct slot *slot = &m->slots[g];
    const struct record left = {.kind = RECORD_REMOVE, .g = g, .replica = slot->replica->id};
    replica_free(slot->replica);
    slot->replica = NULL;
    slot->evicted = machine_log(m, &left, SLICE(""));
    world_hit(m->world, FAULT_REPLICA_GONE);
}

static void look(struct world *w, struct event *e)
{
    struct machine *m = CONTAINER_OF(e, struct machine, look);
    if (!machine_is_awake(m, e)) {
        return;
    }
    world_plan_after(w, &m->look, LOOK_MS);
    members_look(m);
    machine_end_turn(m);
}

/* Pulses */

static void rouse_all(struct machine *m, uint32_t node, uint64_t heard_ms)
{
    for (uint32_t g = 0; g < m->world->group_count; g++) {
        struct replica *r = m->slots[g].replica;
        if (r != NULL && group_is_resting(r->group)) {
            replica_rouse(r, node, heard_ms);
        }
    }
}

void machine_hear_pulse(struct machine *m, const struct packet *p)
{
    if (pulses_hear(&m->pulses, p->from, p->from_life, m->world->now_ms)) {
        rouse_all(m, p->from, m->world->now_ms);
    }
}

static void notice_silence(struct machine *m)
{
    const struct pulse *silent;
    while ((silent = pulses_next_silent(&m->pulses, m->world->now_ms)) != NULL) {
        if (m->world->plant != PLANT_SILENCE_UNNOTICED) {
            rouse_all(m, silent->node, silent->heard_ms);
        }
    }
}

static void pulse(struct world *w, struct event *e)
{
    struct machine *m = CONTAINER_OF(e, struct machine, pulse);
    if (!machine_is_awake(m, e)) {
        return;
    }
    world_plan_after(w, e, PULSE_MS / 2);
    notice_silence(m);
    m->beats++;
    for (uint32_t id = 1; id <= w->node_count && m->beats % 2 == 0; id++) {
        if (id != m->id) {
            struct packet *p = MEM_NEW(struct packet);
            p->kind = PACKET_PULSE;
            p->from = m->id;
            p->to = id;
            network_send(w, p);
        }
    }
    machine_end_turn(m);
}

/* Life and death */

void machine_start(struct machine *m)
{
    PRE(!m->is_up);
    world_call_off(m->world, &m->start);
    m->is_up = true;
    m->life++;
    m->safe = m->record_count;
    m->durable = m->record_count;
    m->flushing = 0;
    courier_begin(m);
    for (uint32_t g = 0; g < m->world->group_count; g++) {
        start_slot(m, g);
    }
    m->pulses = (struct pulses){0};
    world_plan_after(m->world, &m->pulse, world_draw(m->world, PULSE_MS));
    world_plan_after(m->world, &m->look, world_draw(m->world, LOOK_MS));
    machine_end_turn(m);
}

static void start_again(struct world *w, struct event *e)
{
    (void)w;
    machine_start(CONTAINER_OF(e, struct machine, start));
}

/* The flush that is under way may be whole, gone, or torn: recovery cuts it at the first record that
 * is not whole. */
static size_t draw_kept(struct machine *m)
{
    struct world *w = m->world;
    size_t kept = (size_t)m->safe;
    size_t most = (size_t)(m->flushing > m->safe ? m->flushing : m->safe);
    uint64_t mood = world_draw(w, 3);
    kept = mood == 0 ? kept : mood == 1 ? most : kept + (size_t)world_draw(w, most - kept + 1);
    if (kept > m->safe && kept < most) {
        world_hit(w, FAULT_TAIL_TORN);
    }
    if (kept < m->record_count) {
        world_hit(w, FAULT_UNSYNCED_LOST);
    }
    return kept;
}

static void forget_last_votes(struct machine *m)
{
    for (uint32_t g = 0; g < m->world->group_count; g++) {
        for (size_t i = m->record_count; i > 0; i--) {
            if (m->records[i - 1].g == g && m->records[i - 1].kind == RECORD_TERM) {
                m->records[i - 1].other = 0;
                break;
            }
        }
    }
}

static void tell_others(struct machine *m)
{
    struct world *w = m->world;
    for (uint32_t id = 1; id <= w->node_count; id++) {
        if (id != m->id) {
            world_plan_after(w, &network_link(w, id, m->id)->lost, world_draw(w, LOST_MS));
        }
    }
}

void machine_meet(struct machine *m, enum doom doom, uint64_t most_ms)
{
    if (m->doom == doom) {
        m->doom = DOOM_NONE;
        world_plan_after(m->world, &m->end, world_draw(m->world, most_ms + 1));
    }
}

static void meet_end(struct world *w, struct event *e)
{
    struct machine *m = CONTAINER_OF(e, struct machine, end);
    if (m->is_up) {
        machine_crash(m);
        world_plan_after(w, &m->start, world_between(w, 1, DOWN_MS));
    }
}

void machine_crash(struct machine *m)
{
    struct world *w = m->world;
    PRE(m->is_up);
    for (uint32_t g = 0; g < w->group_count; g++) {
        struct replica *r = m->slots[g].replica;
        if (r == NULL) {
            continue;
        }
        if (group_is_installing(r->group)) {
            world_hit(w, FAULT_INSTALL_CUT);
        }
        if (group_is_transferring(r->group)) {
            world_hit(w, FAULT_TRANSFER_CRASH);
        }
        replica_free(r);
        m->slots[g].replica = NULL;
    }
    cut_log(m, draw_kept(m));
    if (w->plant == PLANT_VOTE_NOT_KEPT) {
        forget_last_votes(m);
    }
    m->is_up = false;
    m->paused_until_ms = 0;
    world_call_off(w, &m->flush);
    world_call_off(w, &m->look);
    world_call_off(w, &m->pulse);
    courier_end(m);
    for (size_t i = 0; i < w->client_count; i++) {
        if (w->clients[i].machine == m) {
            client_lose(&w->clients[i]);
        }
    }
    tell_others(m);
    world_hit(w, FAULT_CRASH);
}

struct machine *machine_new(struct world *w, uint32_t id)
{
    struct machine *m = MEM_NEW(struct machine);
    m->world = w;
    m->id = id;
    m->flush.happen = end_flush;
    m->look.happen = look;
    m->pulse.happen = pulse;
    m->start.happen = start_again;
    m->end.happen = meet_end;
    return m;
}

void machine_free(struct machine *m)
{
    for (uint32_t g = 0; g < m->world->group_count; g++) {
        if (m->slots[g].replica != NULL) {
            replica_free(m->slots[g].replica);
        }
        forget_files(&m->slots[g]);
    }
    if (m->is_up) {
        courier_end(m);
    }
    cut_log(m, 0);
    mem_free(m->records);
    mem_free(m);
}
