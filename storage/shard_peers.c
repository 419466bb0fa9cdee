/* A shard among the other replicas of its group: members, and proofs of leadership. */
#include "base/invariant.h"
#include "storage/engine_own.h"
#include "storage/shard_own.h"

/* Members */

enum err shard_assign(struct shard *s, uint64_t replica, enum group_role role)
{
    enum err err = group_assign(s->group, replica, role, s->engine->now_ms);
    shard_after_group(s);
    return err;
}

enum err shard_remove(struct shard *s, uint64_t replica)
{
    enum err err = group_remove(s->group, replica, s->engine->now_ms);
    shard_after_group(s);
    return err;
}

enum err shard_transfer(struct shard *s, uint64_t replica)
{
    if (!group_is_leading(s->group)) {
        return ERR_NOT_OWNER;
    }
    if (shard_is_transferring(s)) {
        return ERR_OVERLOADED;
    }
    s->transfer_waits = s->in_flight_index != 0;
    s->transfer_to = replica;
    if (s->transfer_waits) {
        return ERR_OK;
    }
    enum err err = group_transfer(s->group, replica, s->engine->now_ms);
    shard_after_group(s);
    return err;
}

void shard_go_on_transferring(struct shard *s)
{
    if (s->transfer_waits && s->in_flight_index == 0) {
        s->transfer_waits = false;
        enum err err = group_transfer(s->group, s->transfer_to, s->engine->now_ms);
        (void)err; /* a member that is gone meanwhile: leadership stays */
    }
}

bool shard_is_transferring(const struct shard *s)
{
    return s->transfer_waits || group_is_transferring(s->group);
}

bool shard_is_changing(const struct shard *s)
{
    return group_is_changing(s->group);
}

size_t shard_peers(const struct shard *s, struct group_peer ret_peers[GROUP_MEMBERS_MAX])
{
    return group_agreed_peers(s->group, ret_peers);
}

/* Rest */

static uint32_t node_of(uint64_t replica)
{
    return (uint32_t)(replica >> 32);
}

bool shard_is_watched(void *ctx, uint64_t replica)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    return pulses_is_heard(&shard->engine->pulses, node_of(replica));
}

void shard_rouse(struct shard *s, uint32_t node, uint64_t heard_ms)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = group_is_resting(s->group) ? group_peers(s->group, peers) : 0;
    for (size_t i = 0; i < count; i++) {
        if (node_of(peers[i].replica) == node) {
            group_rouse(s->group, heard_ms);
            shard_after_group(s);
            return;
        }
    }
}

/* Proofs */

bool shard_prove(struct shard *s, struct shard_proof *p)
{
    PRE(shard_is_leading(s));
    enum err err = group_read(s->group, &p->read);
    INVARIANT(err == ERR_OK);
    if (group_proven(s->group) >= p->read) {
        return true;
    }
    list_init(&p->link);
    list_append(&s->proofs, &p->link);
    shard_mark_dirty(s);
    return false;
}

void shard_hear_proven(void *ctx, uint64_t read)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    struct shard_proof *p;
    while ((p = LIST_FIRST(&shard->proofs, struct shard_proof, link)) != NULL && p->read <= read) {
        list_remove(&p->link);
        p->done(p, ERR_OK);
    }
    if (!list_is_empty(&shard->proofs)) {
        shard_mark_dirty(shard); /* those that came while the probe was under way */
    }
}

void shard_end_proofs(struct shard *s)
{
    struct shard_proof *p;
    while ((p = LIST_FIRST(&s->proofs, struct shard_proof, link)) != NULL) {
        list_remove(&p->link);
        p->done(p, ERR_NOT_OWNER);
    }
}
