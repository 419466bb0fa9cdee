/* Time, chance, and the life of a world from its first event to the last check. */
#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/group_guard.h"

enum {
    TIE_BITS = 16, /* of an event's key: which of those of one millisecond comes first */
    EVENTS_MAX = 4 * 1000 * 1000,
    CALM_MS = 100, /* between two looks whether all is quiet */
    REST_MS = 3000,
    FAILOVER_MS = 10 * 1000, /* an election, and more where votes are split */
};

/* Chance and time */

static uint64_t next_random(uint64_t *seed)
{
    uint64_t z = *seed += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    return z ^ z >> 31;
}

uint64_t world_draw(struct world *w, uint64_t below)
{
    return next_random(&w->random) % below;
}

bool world_chance(struct world *w, unsigned percent)
{
    return world_draw(w, 100) < percent;
}

uint64_t world_between(struct world *w, uint64_t low, uint64_t high)
{
    return low + world_draw(w, high - low + 1);
}

void world_plan(struct world *w, struct event *e, uint64_t at_ms)
{
    uint64_t soonest_ms = at_ms > w->now_ms ? at_ms : w->now_ms;
    heap_set(&w->events, &e->at, soonest_ms << TIE_BITS | world_draw(w, UINT64_C(1) << TIE_BITS));
}

void world_plan_after(struct world *w, struct event *e, uint64_t in_ms)
{
    world_plan(w, e, w->now_ms + in_ms);
}

void world_call_off(struct world *w, struct event *e)
{
    heap_remove(&w->events, &e->at);
}

void world_hit(struct world *w, enum fault f)
{
    w->hits[f]++;
}

void world_fail(struct world *w, const char *format, ...)
{
    va_list arguments;
    if (w->reason[0] != 0) {
        return;
    }
    int n = snprintf(w->reason, sizeof w->reason, "at %llu ms: ", (unsigned long long)w->now_ms);
    va_start(arguments, format);
    (void)vsnprintf(w->reason + n, sizeof w->reason - (size_t)n, format, arguments);
    va_end(arguments);
}

/* Beginning. A seed draws the kind of world that it is, too: some are nearly still. */

static void draw_settings(struct world *w)
{
    static const unsigned losses[] = {0, 1, 5, 20};
    static const uint64_t delays_ms[] = {1, 5, 30, 150};
    static const uint64_t disks_ms[] = {1, 4, 30};
    static const size_t keeps[] = {0, 200, 2000, 1 << 20};
    bool is_hot = world_chance(w, 50);
    w->settings = (struct settings){
        .lost_percent = losses[world_draw(w, 4)],
        .doubled_percent = world_chance(w, 40) ? 5 : 0,
        .keeps_order = world_chance(w, 50),
        .delay_ms = delays_ms[world_draw(w, 4)],
        .disk_ms = disks_ms[world_draw(w, 3)],
        .think_ms = is_hot ? world_between(w, 1, 20) : world_between(w, 20, 200),
        .fault_ms = is_hot ? world_between(w, 100, 1500) : world_between(w, 200, 4000),
        .faults_ms = is_hot ? 9 * 1000 : 25 * 1000,
        .keys = is_hot ? 1 : WORLD_KEYS,
        .checkpoint_entries = world_between(w, 1, 40),
        .keep_bytes = keeps[world_draw(w, 4)],
        .has_naps = world_chance(w, 25),
    };
}

static void draw_places(struct world *w)
{
    w->first_voters = world_chance(w, 20) ? 1 : w->node_count < 5 || world_chance(w, 50) ? 3 : 5;
    w->last_sequence = FIRST_SEQUENCE;
    for (uint32_t g = 0; g < w->group_count; g++) {
        struct place *place = &w->places[g];
        place->shard = g;
        place->replica_count = (uint32_t)w->first_voters;
        for (uint32_t i = 0; i < place->replica_count; i++) {
            place->replicas[i] = replica_id(i + 1, g + 1);
        }
    }
}

static struct world *begin(uint64_t seed, enum plant plant, uint64_t *hits)
{
    struct world *w = MEM_NEW(struct world);
    w->seed = seed;
    w->random = seed * UINT64_C(7919) + 1;
    w->plant = plant;
    w->hits = hits;
    w->now_ms = WORLD_START_MS;
    list_init(&w->packets);
    draw_settings(w);
    w->node_count = world_between(w, 3, WORLD_NODES_MAX);
    w->group_count = world_between(w, 1, w->settings.keys); /* few keys, few groups */
    w->client_count = world_between(w, 2, WORLD_CLIENTS_MAX);
    draw_places(w);
    network_init(w);
    for (uint32_t i = 0; i < w->node_count; i++) {
        w->machines[i] = machine_new(w, i + 1);
    }
    for (uint32_t i = 0; i < w->node_count; i++) {
        machine_start(w->machines[i]);
    }
    for (uint32_t i = 0; i < w->client_count; i++) {
        client_init(w, &w->clients[i], i);
    }
    nemesis_init(w);
    return w;
}

static void end(struct world *w)
{
    heap_done(&w->events); /* what is planned goes before those who planned it */
    for (uint32_t i = 0; i < w->client_count; i++) {
        client_done(&w->clients[i]);
    }
    network_done(w);
    for (uint32_t i = 0; i < w->node_count; i++) {
        machine_free(w->machines[i]);
    }
    judge_done(w);
    mem_free(w);
}

/* Running */

static void heal(struct world *w)
{
    w->is_healed = true;
    nemesis_heal(w);
    network_heal(w);
    for (uint32_t i = 0; i < w->node_count; i++) {
        struct machine *m = w->machines[i];
        m->paused_until_ms = 0;
        m->slow_disk_until_ms = 0;
        m->doom = DOOM_NONE;
        world_call_off(w, &m->end);
        if (!m->is_up) {
            machine_start(m);
        }
    }
}

static bool step(struct world *w)
{
    struct heap_node *first = heap_first(&w->events);
    if (first == NULL || w->reason[0] != 0) {
        return false;
    }
    if (++w->event_count == EVENTS_MAX) {
        world_fail(w, "events without end");
    }
    struct event *e = CONTAINER_OF(first, struct event, at);
    w->now_ms = first->key >> TIE_BITS;
    w->trace = (w->trace ^ first->key) * UINT64_C(0x100000001b3);
    heap_remove(&w->events, first);
    e->happen(w, e);
    return w->reason[0] == 0;
}

static void run_until(struct world *w, uint64_t until_ms)
{
    const struct heap_node *first;
    while ((first = heap_first(&w->events)) != NULL && first->key >> TIE_BITS < until_ms) {
        if (!step(w)) {
            return;
        }
    }
    w->now_ms = until_ms;
}

/* What is not well again a long time after the last fault never will be. */
static void come_to_rest(struct world *w)
{
    uint64_t until_ms = w->now_ms + WORLD_QUIET_MS;
    while (w->reason[0] == 0 && !judge_is_quiet(w)) {
        if (w->now_ms >= until_ms) {
            judge_unrest(w);
            return;
        }
        run_until(w, w->now_ms + CALM_MS);
    }
}

/* All was at rest: the node of a leader goes, and stays away. */
static void fail_over(struct world *w)
{
    run_until(w, w->now_ms + REST_MS);
    const struct replica *leader = members_leader(w, 0);
    if (w->reason[0] != 0 || leader == NULL) {
        return;
    }
    struct machine *dead = leader->machine;
    world_hit(w, FAULT_FAILED_OVER);
    machine_crash(dead);
    run_until(w, w->now_ms + FAILOVER_MS);
    judge_failover(w, dead);
}

static unsigned guards_of(enum plant plant)
{
    static const unsigned guards[] = {
#define X(name, off, from) off,
#include "tests/sim/plant.def"
#undef X
    };
    return guards[plant];
}

void world_run(uint64_t seed, enum plant plant, uint64_t hits[FAULT_COUNT],
               struct run_result *ret_result)
{
    group_guards_off(guards_of(plant));
    struct world *w = begin(seed, plant, hits);
    run_until(w, WORLD_START_MS + w->settings.faults_ms);
    if (w->reason[0] == 0) {
        heal(w);
        come_to_rest(w);
    }
    if (w->reason[0] == 0) {
        judge_end(w);
    }
    if (w->reason[0] == 0) {
        fail_over(w);
    }
    *ret_result =
        (struct run_result){.events = w->event_count, .ops = w->op_count, .trace = w->trace};
    for (uint32_t i = 1; i <= w->op_count; i++) {
        ret_result->done += w->ops[i].state == OP_DONE;
    }
    memcpy(ret_result->reason, w->reason, sizeof w->reason);
    end(w);
    group_guards_off(0);
}
