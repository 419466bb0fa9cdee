#include "node/standing.h"

#include <stdbool.h>

#include "node/node.h"
#include "node/worker.h"

static bool has_place(const struct cluster_view *v, uint32_t node)
{
    for (size_t i = 0; i < v->place_count; i++) {
        if (place_replica_on(&v->places[i], node) != 0) {
            return true;
        }
    }
    return false;
}

static bool counts(const struct shard *shard, uint32_t node)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = shard_peers(shard, peers);
    for (size_t i = 0; i < count; i++) {
        if (replica_node(peers[i].replica) == node) {
            return true;
        }
    }
    return false;
}

/* The groups of other workers speak over connections of their own. */
static bool is_counted(const struct worker *w, uint32_t node)
{
    uint32_t shard_count = w->node->data.shard_count;
    for (uint32_t id = w->index; id < shard_count; id += w->node->worker_count) {
        const struct shard *shard = engine_shard(w->engine, id);
        if (shard != NULL && counts(shard, node)) {
            return true;
        }
    }
    const struct shard *meta = w->index == 0 ? engine_meta(w->engine) : NULL;
    return meta != NULL && counts(meta, node);
}

enum standing standing_of(const struct worker *w, uint32_t node)
{
    const struct cluster_view *v = w->neighbours.view;
    if (v == NULL || v->member_count == 0) {
        return w->node->has_joined ? STANDING_MEMBER : STANDING_STRANGER;
    }
    const struct cluster_member *m = cluster_view_member(v, node);
    if (m == NULL) {
        return STANDING_STRANGER;
    }
    if (m->state != MEMBER_REMOVED) {
        return STANDING_MEMBER;
    }
    return has_place(v, node) || is_counted(w, node) ? STANDING_LEAVING : STANDING_REMOVED;
}
