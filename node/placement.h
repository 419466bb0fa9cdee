/* Placement: which node should hold a replica of which shard. Pure: the leader of the meta group asks
 * for one change after the other and writes each into the shard's record; the shard's leader then makes
 * its Raft configuration follow the record.
 *
 *     record {n1,n2,n3} --add n4--> {n1,n2,n3,n4} --the leader says: settled--> --remove n1--> {n2,n3,n4}
 *
 * Rules, first to last:
 *   1. a shard has R replicas: the largest odd number <= min(wanted, members that are not removed);
 *   2. none of them on a removed member, where another can take it;
 *   3. the members hold as many replicas as each other, within one.
 * Where an administrator has moved a replica the shard is pinned: rule 3 takes others, until a balance is
 * asked for. Rules 1 and 2 hold for it as for all.
 *
 * A shard grows only when there are nodes for all of its replicas: two that vote are worse than one.
 * A replica is added before the one that it replaces goes. A shard that is not settled is left alone, and
 * at most PLACEMENT_MOVES_MAX are unsettled at a time: streams of snapshots share disks and network. */
#ifndef NODE_PLACEMENT_H
#define NODE_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PLACEMENT_REPLICAS_MAX = 32, /* of a group; the meta group has one on every node */
    PLACEMENT_REPLICAS_DEFAULT = 3,
    PLACEMENT_META_VOTERS = 5,
    PLACEMENT_MOVES_MAX = 16,
};

struct placement_member {
    uint32_t id;
    bool is_reachable; /* takes new replicas */
    bool is_removed;   /* holds none in the end */
    uint32_t replicas; /* filled in by placement_next */
};

struct placement_shard {
    uint32_t nodes[PLACEMENT_REPLICAS_MAX]; /* that hold a replica, by the record */
    uint32_t node_count;
    uint32_t leaving; /* the node to give its replica up, where there is one too many; 0: any */
    bool is_pinned;   /* the balance leaves it where it is */
    bool is_settled; /* its leader's configuration is the record, and all replicas have caught up */
};

enum placement_action { PLACEMENT_NONE, PLACEMENT_ADD, PLACEMENT_REMOVE };

struct placement_change {
    enum placement_action action;
    uint32_t shard; /* place in `shards` */
    uint32_t node;
};

/* The number of replicas that a shard has in the end. */
uint32_t placement_replicas(const struct placement_member *members, size_t member_count,
                            uint32_t wanted);

/* The next change; PLACEMENT_NONE where all is well or enough is under way. */
struct placement_change placement_next(struct placement_member *members, size_t member_count,
                                       const struct placement_shard *shards, size_t shard_count,
                                       uint32_t wanted);

/* Leaderships. What this node knows of the members that could take one. */
struct placement_leads {
    uint32_t id;
    uint32_t leads;    /* shards of actors that it leads now */
    uint32_t replicas; /* shards that it could lead */
    bool may_lead;     /* up, reachable, neither draining nor removed */
};

/* Of `candidates`, the other replicas of a shard that `own` leads, the member to which its leadership
 * should move; 0: it stays. A node that may not lead gives all away; another one gives only where the
 * other then still has no more than itself. */
uint32_t placement_lead_target(const struct placement_leads *own,
                               const struct placement_leads *candidates, size_t candidate_count);

#endif
