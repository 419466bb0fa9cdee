#include "node/membership.h"

static const struct group_peer *find_peer(const struct group_peer *peers, size_t count,
                                          uint64_t replica)
{
    for (size_t i = 0; i < count; i++) {
        if (peers[i].replica == replica) {
            return &peers[i];
        }
    }
    return NULL;
}

static bool has_place(const struct place *place, uint64_t replica)
{
    for (uint32_t i = 0; i < place->replica_count; i++) {
        if (place->replicas[i] == replica) {
            return true;
        }
    }
    return false;
}

/* The voter that has most of the log among those that stay. */
static uint64_t successor(const struct group_peer *peers, size_t count, uint64_t own_replica,
                          const struct place *place)
{
    const struct group_peer *best = NULL;
    for (size_t i = 0; i < count; i++) {
        if (peers[i].replica != own_replica && peers[i].role == GROUP_VOTER &&
            has_place(place, peers[i].replica) && (best == NULL || peers[i].match > best->match)) {
            best = &peers[i];
        }
    }
    return best != NULL ? best->replica : 0;
}

static struct membership_step leave(const struct group_peer *peers, size_t count,
                                    uint64_t own_replica, const struct place *place)
{
    for (size_t i = 0; i < count; i++) {
        if (peers[i].replica != own_replica && !has_place(place, peers[i].replica)) {
            return (struct membership_step){MEMBERSHIP_REMOVE, peers[i].replica};
        }
    }
    uint64_t next = has_place(place, own_replica) ? 0 : successor(peers, count, own_replica, place);
    return (struct membership_step){next != 0 ? MEMBERSHIP_HAND_OVER : MEMBERSHIP_NONE, next};
}

struct membership_step membership_next(const struct group_peer *peers, size_t peer_count,
                                       uint64_t own_replica, const struct place *place,
                                       uint32_t voters_max)
{
    for (uint32_t i = 0; i < place->replica_count; i++) {
        uint64_t replica = place->replicas[i];
        const struct group_peer *p = find_peer(peers, peer_count, replica);
        if (p == NULL || p->role == GROUP_SPARE) {
            return (struct membership_step){MEMBERSHIP_ADD, replica};
        }
        if (p->role == GROUP_STANDBY && i < voters_max) {
            return (struct membership_step){MEMBERSHIP_PROMOTE, replica};
        }
    }
    return leave(peers, peer_count, own_replica, place);
}

bool membership_is_settled(const struct group_peer *peers, size_t peer_count, uint64_t own_replica,
                           uint64_t last_index, uint64_t lag, const struct place *place,
                           uint32_t voters_max)
{
    if (peer_count != place->replica_count) {
        return false;
    }
    for (uint32_t i = 0; i < place->replica_count; i++) {
        const struct group_peer *p = find_peer(peers, peer_count, place->replicas[i]);
        bool has_log = p != NULL && (p->replica == own_replica || p->match + lag >= last_index);
        if (!has_log || (i < voters_max ? p->role != GROUP_VOTER : p->role == GROUP_SPARE)) {
            return false;
        }
    }
    return true;
}
