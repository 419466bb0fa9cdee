/* The inside of the steward: for node/steward*.c alone. */
#ifndef NODE_STEWARD_OWN_H
#define NODE_STEWARD_OWN_H

#include "node/steward.h"

/* What the leader of a shard has to do. */
void steward_lead(struct steward *s, struct shard *shard, const struct place *place,
                  const struct cluster_view *v, uint64_t now_ms);
/* What the leader of the meta group has to do. */
void steward_place(struct steward *s);

/* Whether a replica there is waited for: its node is a member that lives. */
bool steward_is_awaited(const struct worker *w, uint32_t node);

/* Replicas of a place that vote; the others follow. */
static inline uint32_t steward_voters_max(uint32_t shard)
{
    return shard == SHARD_META ? PLACEMENT_META_VOTERS : PLACEMENT_REPLICAS_MAX;
}

#endif
