#include "node/placement.h"

#include "base/invariant.h"

uint32_t placement_replicas(const struct placement_member *members, size_t member_count,
                            uint32_t wanted)
{
    uint32_t staying = 0;
    for (size_t i = 0; i < member_count; i++) {
        staying += members[i].is_removed ? 0 : 1;
    }
    uint32_t count = staying < wanted ? staying : wanted;
    return count == 0 ? 1 : count - (count % 2 == 0 ? 1 : 0);
}

static struct placement_member *find(struct placement_member *members, size_t count, uint32_t id)
{
    for (size_t i = 0; i < count; i++) {
        if (members[i].id == id) {
            return &members[i];
        }
    }
    return NULL;
}

static bool holds(const struct placement_shard *s, uint32_t node)
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

static void count_replicas(struct placement_member *members, size_t member_count,
                           const struct placement_shard *shards, size_t shard_count)
{
    for (size_t i = 0; i < member_count; i++) {
        members[i].replicas = 0;
    }
    for (size_t s = 0; s < shard_count; s++) {
        PRE(shards[s].node_count <= PLACEMENT_REPLICAS_MAX);
        for (uint32_t i = 0; i < shards[s].node_count; i++) {
            struct placement_member *m = find(members, member_count, shards[s].nodes[i]);
            if (m != NULL) {
                m->replicas++;
            }
        }
    }
}

/* A member that the records no longer know is as good as removed. */
static bool is_leaving(struct placement_member *members, size_t count, uint32_t node)
{
    const struct placement_member *m = find(members, count, node);
    return m == NULL || m->is_removed;
}

/* The member with the fewest replicas that could take one of this shard; NULL: there is none. */
static const struct placement_member *taker_of(const struct placement_member *members, size_t count,
                                               const struct placement_shard *s)
{
    const struct placement_member *best = NULL;
    for (size_t i = 0; i < count; i++) {
        const struct placement_member *m = &members[i];
        if (m->is_reachable && !m->is_removed && !holds(s, m->id) &&
            (best == NULL || m->replicas < best->replicas)) {
            best = m;
        }
    }
    return best;
}

/* Of the shard's nodes the one to give it up: one that leaves the cluster, else the one that was told to,
 * else the one that has most. */
static uint32_t giver_of(struct placement_member *members, size_t count,
                         const struct placement_shard *s)
{
    uint32_t giver = s->nodes[0];
    uint32_t most = 0;
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (is_leaving(members, count, s->nodes[i])) {
            return s->nodes[i];
        }
        const struct placement_member *m = find(members, count, s->nodes[i]);
        if (m->id == s->leaving) {
            giver = m->id;
            most = UINT32_MAX;
        } else if (m->replicas > most) {
            most = m->replicas;
            giver = m->id;
        }
    }
    return giver;
}

static bool has_leaving(struct placement_member *members, size_t count,
                        const struct placement_shard *s)
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (is_leaving(members, count, s->nodes[i])) {
            return true;
        }
    }
    return false;
}

static uint32_t takers_of(const struct placement_member *members, size_t count,
                          const struct placement_shard *s)
{
    uint32_t takers = 0;
    for (size_t i = 0; i < count; i++) {
        takers += members[i].is_reachable && !members[i].is_removed && !holds(s, members[i].id);
    }
    return takers;
}

/* What rules 1 and 2 want of one settled shard. */
static struct placement_change repair(struct placement_member *members, size_t member_count,
                                      const struct placement_shard *s, uint32_t shard,
                                      uint32_t replicas)
{
    struct placement_change change = {.action = PLACEMENT_NONE, .shard = shard};
    bool leaving = has_leaving(members, member_count, s);
    if (s->node_count + takers_of(members, member_count, s) < replicas) {
        return change; /* it waits for more nodes */
    }
    if (s->node_count < replicas || (s->node_count == replicas && leaving)) {
        const struct placement_member *taker = taker_of(members, member_count, s);
        if (taker != NULL) {
            change.action = PLACEMENT_ADD;
            change.node = taker->id;
        }
    } else if (s->node_count > replicas) {
        change.action = PLACEMENT_REMOVE;
        change.node = giver_of(members, member_count, s);
    }
    return change;
}

/* Rule 3: a shard that the fullest member has and the emptiest has not. */
static struct placement_change balance(const struct placement_member *members, size_t member_count,
                                       const struct placement_shard *shards, size_t shard_count)
{
    const struct placement_change none = {.action = PLACEMENT_NONE};
    const struct placement_member *most = NULL;
    const struct placement_member *least = NULL;
    for (size_t i = 0; i < member_count; i++) {
        const struct placement_member *m = &members[i];
        if (m->is_removed) {
            continue;
        }
        most = most == NULL || m->replicas > most->replicas ? m : most;
        if (m->is_reachable) {
            least = least == NULL || m->replicas < least->replicas ? m : least;
        }
    }
    if (least == NULL || most->replicas < least->replicas + 2) {
        return none;
    }
    for (size_t s = 0; s < shard_count; s++) {
        if (shards[s].is_settled && !shards[s].is_pinned && holds(&shards[s], most->id) &&
            !holds(&shards[s], least->id) && shards[s].node_count < PLACEMENT_REPLICAS_MAX) {
            return (struct placement_change){
                .action = PLACEMENT_ADD, .shard = (uint32_t)s, .node = least->id};
        }
    }
    return none;
}

struct placement_change placement_next(struct placement_member *members, size_t member_count,
                                       const struct placement_shard *shards, size_t shard_count,
                                       uint32_t wanted)
{
    const struct placement_change none = {.action = PLACEMENT_NONE};
    uint32_t replicas = placement_replicas(members, member_count, wanted);
    uint32_t unsettled = 0;
    count_replicas(members, member_count, shards, shard_count);
    for (size_t s = 0; s < shard_count; s++) {
        unsettled += shards[s].is_settled ? 0 : 1;
    }
    if (unsettled >= PLACEMENT_MOVES_MAX) {
        return none;
    }
    for (size_t s = 0; s < shard_count; s++) {
        if (!shards[s].is_settled) {
            continue;
        }
        struct placement_change change =
            repair(members, member_count, &shards[s], (uint32_t)s, replicas);
        if (change.action != PLACEMENT_NONE) {
            return change;
        }
    }
    return balance(members, member_count, shards, shard_count);
}

uint32_t placement_lead_target(const struct placement_leads *own,
                               const struct placement_leads *candidates, size_t candidate_count)
{
    const struct placement_leads *best = NULL;
    for (size_t i = 0; i < candidate_count; i++) {
        const struct placement_leads *c = &candidates[i];
        if (c->may_lead && c->id != own->id && (best == NULL || c->leads < best->leads)) {
            best = c;
        }
    }
    if (best == NULL || (own->may_lead && best->leads + 1 >= own->leads)) {
        return 0;
    }
    return best->id;
}
