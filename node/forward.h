/* Forwarding: requests of actors between nodes, over the peers' connections.
 *
 *     the node that has the client                      the node that leads the shard
 *       courier: forward_request   -- REQUEST id -->    forward_take_request: an errand of a node
 *       forward_take_reply         <-- REPLY id ----    its answer
 *       forward_cancel             -- CANCEL id --->    forward_take_cancel
 *
 *     REQUEST   id u64 | timeout ms u32 | request (actor/request_wire.h)
 *     REPLY     id u64 | reply
 *     CANCEL    id u64
 *
 * Numbers are big-endian; the id is the courier's. A reply that cannot be sent is lost, like one whose
 * connection breaks: the courier's deadline ends the wait. */
#ifndef NODE_FORWARD_H
#define NODE_FORWARD_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/request.h"
#include "base/list.h"
#include "base/map.h"
#include "rpc/peer_frame.h"

struct worker;

enum { FORWARD_VISITORS_MAX = 64 * 1024 }; /* requests of other nodes that run here */

struct forward {
    struct worker *worker;
    struct map visitors; /* by node and id */
    size_t visitor_count;
    uint64_t taken; /* for metrics */
};

void forward_init(struct forward *f, struct worker *w);
void forward_done(struct forward *f); /* none may be under way */

/* False: there is no connection, or no room in it. */
bool forward_request(struct forward *f, uint32_t node, uint32_t shard, uint64_t id,
                     const struct request *r, uint32_t timeout_ms);
void forward_cancel(struct forward *f, uint32_t node, uint32_t shard, uint64_t id);

/* From the node `from`. What cannot be read is dropped, and ERR_CORRUPT. */
enum err forward_take_request(struct forward *f, uint32_t from,
                              const struct peer_message *m) MUST_CHECK;
enum err forward_take_reply(struct forward *f, uint32_t from,
                            const struct peer_message *m) MUST_CHECK;
enum err forward_take_cancel(struct forward *f, uint32_t from,
                             const struct peer_message *m) MUST_CHECK;

#endif
