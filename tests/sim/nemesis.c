/* The nemesis: does something to the world now and then, until the world is healed. */
#include "base/invariant.h"
#include "tests/sim/world.h"

enum {
    CUT_MS = 4000,
    SLOW_MS = 2000,
    DOWN_MS = 4000,
    PAUSE_MS = 5000,
    SLOW_LINK_MS = 400,
    JUMP_MS = 20 * 1000,
};

static struct machine *any_machine(struct world *w)
{
    return w->machines[world_draw(w, w->node_count)];
}

/* Most are short: a world in which nothing works any more tests little. */
static uint64_t span(struct world *w, uint64_t most_ms)
{
    return 1 + world_draw(w, most_ms) * world_draw(w, most_ms) / most_ms;
}

/* Links */

static void cut(struct world *w, uint32_t from, uint32_t to, uint64_t ms)
{
    struct link_state *l = network_link(w, from, to);
    if (from != to) {
        l->is_cut = true;
        world_plan_after(w, &l->end, ms);
    }
}

static void cut_one_way(struct world *w)
{
    uint32_t from = any_machine(w)->id;
    bool all = world_chance(w, 40);
    uint32_t to = any_machine(w)->id;
    for (uint32_t id = 1; id <= w->node_count; id++) {
        if (all || id == to) {
            cut(w, from, id, span(w, CUT_MS));
        }
    }
    world_hit(w, FAULT_CUT_ONE_WAY);
}

static void cut_off(struct world *w)
{
    uint32_t node = any_machine(w)->id;
    uint64_t ms = span(w, CUT_MS);
    for (uint32_t id = 1; id <= w->node_count; id++) {
        cut(w, node, id, ms);
        cut(w, id, node, ms);
    }
    world_hit(w, FAULT_CUT_OFF);
}

static void cut_in_two(struct world *w)
{
    uint64_t ms = span(w, CUT_MS);
    uint64_t side = world_draw(w, UINT64_C(1) << w->node_count);
    for (uint32_t a = 1; a <= w->node_count; a++) {
        for (uint32_t b = 1; b <= w->node_count; b++) {
            if ((side >> a & 1) != (side >> b & 1)) {
                cut(w, a, b, ms);
            }
        }
    }
    world_hit(w, FAULT_CUT_IN_TWO);
}

static void slow_link(struct world *w)
{
    struct link_state *l = network_link(w, any_machine(w)->id, any_machine(w)->id);
    l->slow_ms = world_between(w, 20, SLOW_LINK_MS);
    world_plan_after(w, &l->end, span(w, CUT_MS));
    world_hit(w, FAULT_LINK_SLOW);
}

static void lose_connection(struct world *w)
{
    uint32_t from = any_machine(w)->id;
    uint32_t to = any_machine(w)->id;
    if (from != to) {
        network_lose_connection(w, network_link(w, from, to));
    }
}

/* Nodes */

static void crash(struct world *w, struct machine *m, uint64_t down_ms)
{
    if (m->is_up) {
        machine_crash(m);
        world_plan_after(w, &m->start, down_ms);
    }
}

static void crash_one(struct world *w)
{
    crash(w, any_machine(w), span(w, DOWN_MS));
}

static void crash_leader(struct world *w)
{
    struct replica *r = members_leader(w, (uint32_t)world_draw(w, w->group_count));
    if (r != NULL) {
        crash(w, r->machine, span(w, DOWN_MS));
    }
}

static void crash_all(struct world *w)
{
    for (size_t i = 0; i < w->node_count; i++) {
        crash(w, w->machines[i], span(w, DOWN_MS / 4));
    }
    world_hit(w, FAULT_CRASH_OF_ALL);
}

static void doom_one(struct world *w)
{
    any_machine(w)->doom = world_chance(w, 60) ? DOOM_FLUSH : DOOM_INSTALL;
}

static void pause_one(struct world *w)
{
    struct replica *r = members_leader(w, (uint32_t)world_draw(w, w->group_count));
    struct machine *m = r != NULL && world_chance(w, 60) ? r->machine : any_machine(w);
    if (m->is_up) {
        m->paused_until_ms = w->now_ms + span(w, PAUSE_MS);
        world_hit(w, FAULT_PAUSE);
    }
}

static void slow_disk(struct world *w)
{
    any_machine(w)->slow_disk_until_ms = w->now_ms + span(w, SLOW_MS);
    world_hit(w, FAULT_DISK_SLOW);
}

static void jump_clock(struct world *w)
{
    any_machine(w)->skew_ms = (int64_t)world_draw(w, JUMP_MS) - JUMP_MS / 2;
    world_hit(w, FAULT_CLOCK_JUMP);
}

/* Often with trouble right behind it: late messages and a dead leader are what transfers fear. */
static void hand_over(struct world *w)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    struct replica *r = members_leader(w, (uint32_t)world_draw(w, w->group_count));
    if (r == NULL || r->machine->paused_until_ms > w->now_ms) {
        return;
    }
    const struct group_peer *to = &peers[world_draw(w, group_peers(r->group, peers))];
    if (to->replica != r->id &&
        group_transfer(r->group, world_chance(w, 30) ? 0 : to->replica, w->now_ms) == ERR_OK) {
        world_hit(w, FAULT_TRANSFER);
    }
    machine_end_turn(r->machine);
    if (world_chance(w, 20)) {
        crash(w, r->machine, span(w, DOWN_MS));
    }
}

/* How often each is done, among all. Each world has a taste of its own, so that some see much of a few
 * kinds and nothing of others. */
static const struct {
    unsigned weight;
    void (*does)(struct world *w);
} deeds[WORLD_DEEDS] = {
    {10, cut_one_way},    {8, cut_off},
    {6, cut_in_two},      {8, slow_link},
    {6, lose_connection}, {12, crash_one},
    {8, crash_leader},    {2, crash_all},
    {12, doom_one},       {10, pause_one},
    {8, slow_disk},       {3, jump_clock},
    {12, hand_over},      {24, members_change_place},
    {10, members_demote},
};

static void draw_taste(struct world *w)
{
    static const unsigned factors[] = {0, 1, 1, 4};
    for (size_t i = 0; i < WORLD_DEEDS; i++) {
        w->taste[i] = deeds[i].weight * factors[world_draw(w, 4)];
    }
}

static void do_something(struct world *w)
{
    unsigned sum = 0;
    for (size_t i = 0; i < WORLD_DEEDS; i++) {
        sum += w->taste[i];
    }
    uint64_t drawn = world_draw(w, sum + 1);
    for (size_t i = 0; i < WORLD_DEEDS; i++) {
        if (drawn < w->taste[i]) {
            deeds[i].does(w);
            return;
        }
        drawn -= w->taste[i];
    }
}

static void strike(struct world *w, struct event *e)
{
    INVARIANT(!w->is_healed);
    do_something(w);
    world_plan_after(w, e, world_between(w, 1, w->settings.fault_ms));
}

void nemesis_init(struct world *w)
{
    draw_taste(w);
    w->nemesis.happen = strike;
    world_plan_after(w, &w->nemesis, world_between(w, 1, w->settings.fault_ms));
}

void nemesis_heal(struct world *w)
{
    world_call_off(w, &w->nemesis);
}
