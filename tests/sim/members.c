/* Members: which replicas a node has, and what a leader does about its group's, step by step. */
#include "base/invariant.h"
#include "node/membership.h"
#include "tests/sim/world.h"

static bool has_place(const struct place *place, uint64_t replica)
{
    for (uint32_t i = 0; i < place->replica_count; i++) {
        if (place->replicas[i] == replica) {
            return true;
        }
    }
    return false;
}

static uint64_t replica_on(const struct place *place, uint32_t node)
{
    for (uint32_t i = 0; i < place->replica_count; i++) {
        if (replica_node(place->replicas[i]) == node) {
            return place->replicas[i];
        }
    }
    return 0;
}

struct replica *members_leader(struct world *w, uint32_t g)
{
    struct replica *found = NULL;
    for (size_t i = 0; i < w->node_count; i++) {
        struct replica *r = w->machines[i]->slots[g].replica;
        if (r != NULL && group_is_leading(r->group) &&
            (found == NULL || group_term(r->group) > group_term(found->group))) {
            found = r;
        }
    }
    return found;
}

bool members_are_settled(const struct replica *leader)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = group_peers(leader->group, peers);
    return !group_is_changing(leader->group) &&
           membership_is_settled(peers, count, leader->id, group_last_index(leader->group), 0,
                                 &leader->world->places[leader->g], PLACEMENT_REPLICAS_MAX);
}

/* One without a place goes once no committed configuration has it. */
static void host(struct machine *m, uint32_t g)
{
    struct world *w = m->world;
    const struct place *place = &w->places[g];
    struct replica *r = m->slots[g].replica;
    uint64_t wanted = replica_on(place, m->id);
    if (r == NULL && wanted != 0) {
        machine_host(m, g, wanted);
    }
    bool is_of_no_use = r != NULL && !has_place(place, r->id) && !group_is_leading(r->group) &&
                        w->verdicts[g].members_index > 0 &&
                        group_config_find(&w->verdicts[g].members, r->id) == NULL;
    if (is_of_no_use) {
        machine_evict(m, g);
    }
}

static void take_step(struct replica *r)
{
    struct world *w = r->world;
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = group_peers(r->group, peers);
    struct membership_step step =
        membership_next(peers, count, r->id, &w->places[r->g], PLACEMENT_REPLICAS_MAX);
    enum err err = ERR_OK;
    enum fault hit = FAULT_TRANSFER;
    switch (step.action) {
    case MEMBERSHIP_NONE:
        return;
    case MEMBERSHIP_ADD:
        hit = FAULT_MEMBER_ADDED;
        err = group_assign(r->group, step.replica, GROUP_STANDBY, w->now_ms);
        break;
    case MEMBERSHIP_PROMOTE:
        hit = FAULT_MEMBER_PROMOTED;
        err = group_assign(r->group, step.replica, GROUP_VOTER, w->now_ms);
        break;
    case MEMBERSHIP_REMOVE:
        hit = FAULT_MEMBER_REMOVED;
        err = group_remove(r->group, step.replica, w->now_ms);
        break;
    case MEMBERSHIP_HAND_OVER:
        err = group_transfer(r->group, step.replica, w->now_ms);
        break;
    }
    if (err == ERR_OK) {
        world_hit(w, hit);
    } else if (err != ERR_OVERLOADED) {
        world_fail(w, "group %u: step %d of members is refused: %s", r->g, (int)step.action,
                   err_info(err)->name);
    }
}

void members_look(struct machine *m)
{
    for (uint32_t g = 0; g < m->world->group_count; g++) {
        host(m, g);
        struct replica *r = m->slots[g].replica;
        if (r != NULL && group_is_leading(r->group)) {
            take_step(r);
        }
    }
}

/* What the nemesis does */

static bool has_member_on(const struct replica *leader, uint32_t node)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = group_peers(leader->group, peers);
    for (size_t i = 0; i < count; i++) {
        if (replica_node(peers[i].replica) == node) {
            return true;
        }
    }
    return false;
}

/* A node takes a replica only once the one before it is gone: it has one slot for a group. */
static void add_to(struct place *place, const struct replica *leader)
{
    struct world *w = leader->world;
    struct machine *m = w->machines[world_draw(w, w->node_count)];
    if (replica_on(place, m->id) == 0 && !has_member_on(leader, m->id) &&
        m->slots[leader->g].replica == NULL && place->replica_count < PLACEMENT_REPLICAS_MAX) {
        place->replicas[place->replica_count++] = replica_id(m->id, ++w->last_sequence);
    }
}

static void take_from(struct world *w, struct place *place)
{
    if (place->replica_count > 1) {
        size_t i = (size_t)world_draw(w, place->replica_count);
        place->replicas[i] = place->replicas[--place->replica_count];
    }
}

/* Replicas are added once the last change is through: until then nobody knows which nodes have one. */
void members_change_place(struct world *w)
{
    uint32_t g = (uint32_t)world_draw(w, w->group_count);
    struct replica *leader = members_leader(w, g);
    bool is_settled = leader != NULL && members_are_settled(leader);
    if (is_settled && world_chance(w, 60)) {
        add_to(&w->places[g], leader);
    } else if (is_settled || world_chance(w, 20)) {
        take_from(w, &w->places[g]);
    }
}

void members_demote(struct world *w)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    struct replica *leader = members_leader(w, (uint32_t)world_draw(w, w->group_count));
    if (leader == NULL || leader->machine->paused_until_ms > w->now_ms) {
        return;
    }
    const struct group_peer *peer = &peers[world_draw(w, group_peers(leader->group, peers))];
    enum group_role role = world_chance(w, 70) ? GROUP_STANDBY : GROUP_SPARE;
    if (peer->role == GROUP_VOTER && peer->replica != leader->id &&
        group_assign(leader->group, peer->replica, role, w->now_ms) == ERR_OK) {
        world_hit(w, FAULT_MEMBER_DEMOTED);
    }
    machine_end_turn(leader->machine);
}
