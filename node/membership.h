/* Membership: what the leader of a shard does next so that its Raft configuration becomes the shard's
 * place (node/member.h). Pure.
 *
 *     missing --ADD--> standby --PROMOTE, once it has nearly all of the log--> voter
 *     a member that has no place --REMOVE--> gone, once every replica of the place is a voter
 *     the leader itself has no place --HAND_OVER--> another leads, and removes it
 *
 * Of a place with more than `voters_max` replicas the first so many vote; the others stay standbys.
 *
 * One step at a time; a step that cannot be done yet is asked for again. New replicas vote before old
 * ones go, so the shard never has fewer voters than it had. */
#ifndef NODE_MEMBERSHIP_H
#define NODE_MEMBERSHIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/member.h"
#include "storage/group.h"

enum membership_action {
    MEMBERSHIP_NONE, /* it is as it should be */
    MEMBERSHIP_ADD,  /* as a standby */
    MEMBERSHIP_PROMOTE,
    MEMBERSHIP_REMOVE,
    MEMBERSHIP_HAND_OVER, /* leadership, to `replica` */
};

struct membership_step {
    enum membership_action action;
    uint64_t replica;
};

struct membership_step membership_next(const struct group_peer *peers, size_t peer_count,
                                       uint64_t own_replica, const struct place *place,
                                       uint32_t voters_max);

/* The configuration is the place, and every replica has all but `lag` of the log. */
bool membership_is_settled(const struct group_peer *peers, size_t peer_count, uint64_t own_replica,
                           uint64_t last_index, uint64_t lag, const struct place *place,
                           uint32_t voters_max);

#endif
