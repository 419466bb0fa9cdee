/* Glances: reads that may be stale, answered from this worker's own replicas (actor/glance.h), and what
 * nodes ask each other to say how old these are (node/freshness.h). One a worker, for its shards.
 *
 *     errand --glances_begin--> glance --> `done`: the reply, and how old it may be
 *                                |  the replica's age is not known to be small
 *                                +--> FRESH_ASK --> the leader: a proof --> FRESH_ANSWER --> the next glance */
#ifndef NODE_GLANCES_H
#define NODE_GLANCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/request.h"
#include "base/err.h"
#include "node/freshness.h"
#include "rpc/peer_frame.h"

struct worker;

enum {
    GLANCES_MAX = 4096,       /* reads under way; more go the way of all others */
    GLANCE_PROOFS_MAX = 4096, /* for other nodes; more are not answered */
};

struct glances {
    struct worker *worker;
    struct freshness *shards; /* of this worker, in order */
    uint64_t last_id;
    size_t count;
    size_t proof_count;
};

void glances_init(struct glances *g, struct worker *w);
void glances_done(struct glances *g); /* after the engine: none is under way */

/* False: the shard has no replica here, it leads, or nobody knows how old it is; nothing was done. Else `done` comes
 * once, perhaps from inside, and the request is the caller's again. */
bool glances_begin(struct glances *g, uint32_t shard, struct request *r, void (*done)(void *ctx),
                   void *ctx);

/* From the node `from`. */
enum err glances_take(struct glances *g, uint32_t from, const struct peer_message *m) MUST_CHECK;

#endif
