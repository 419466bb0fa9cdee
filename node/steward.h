/* The steward: makes this worker's shards what the cluster's records say of them. It compares, every
 * STEWARD_MS, and takes one step at a time where they differ; a step that cannot be taken yet is taken
 * later. Nothing of it is remembered over a restart.
 *
 *     a place here, and no replica      -->  engine_add_replica: empty, the leader fills it
 *     a replica that has no place any more, and its shard's leader has settled without it
 *                                       -->  engine_remove_replica
 *     this node leads the shard         -->  node/membership.h: the group's members become the place;
 *                                            then leadership goes where there is less of it, and all of
 *                                            it away from a node that drains or stops
 *     this node leads the meta group    -->  node/placement.h: places of shards change, one at a time
 *     this node's own record is missing, or of another address
 *                                       -->  the order MEMBER_SAY
 *
 * Of a single node it does nothing. */
#ifndef NODE_STEWARD_H
#define NODE_STEWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "node/board.h"
#include "node/orders.h"
#include "node/records.h"

struct worker;
struct shard;

enum {
    STEWARD_MS = 50,            /* while there is something to do, ... */
    STEWARD_IDLE_MS = 250,      /* ... and while there is not */
    STEWARD_HAND_OVER_MS = 200, /* between two leaderships that go to balance */
    STEWARD_SAY_MS = 1000,      /* between two tries to tell of itself */
    STEWARD_LEAVE_MS = 3000,    /* for all leaderships to go where the node stops */
};

struct steward {
    struct worker *worker;
    uint64_t next_ms;
    uint64_t next_hand_over_ms;
    size_t change_count;   /* replicas that come or go */
    uint64_t settled_hash; /* of what was last said: it is said again when it is another */
    bool is_busy;          /* since the last look: something is not as it should be */
    bool is_leaving;

    /* worker 0 */
    bool is_placing;
    struct records_request placing;
    bool is_saying;
    uint64_t next_say_ms;
    struct order_run saying;
    struct order order;
};

void steward_init(struct steward *s, struct worker *w);
void steward_tick(struct steward *s, uint64_t now_ms);
uint64_t steward_next_ms(const struct steward *s); /* UINT64_MAX: of a single node */

/* Somebody speaks to a replica that is not here: of the meta group's a node that has just joined learns so
 * that it has one. */
void steward_hear_of_replica(struct steward *s, uint32_t shard, uint64_t replica);

/* The worker's part of the node's status (node/status.h). */
void steward_write_status(struct steward *s, struct buf *out);

/* What this worker knows of a shard that it leads. */
void steward_describe(const struct worker *w, const struct shard *shard, struct board_shard *ret);

/* The node stops: leaderships go away from here on. */
void steward_leave(struct steward *s);
/* Nothing is led here that another node could lead. */
bool steward_has_left(const struct steward *s);
bool steward_is_idle(const struct steward *s); /* nothing that it began is under way */

#endif
