/* A watch relay: a watch stream that outlives the owner of its actor. It stands on the node that holds the
 * client, on the worker of the actor's shard, between the client's sink and whoever leads the shard.
 *
 *                 this node leads                    another one does
 *     LOOKING --> LOCAL: a watch_stream    or -->    AWAY: OPEN id  -->   node/sink_peer.h
 *        ^          writes into it                     <-- TEXT id        a watch_stream there
 *        |                                             TAKEN id -->
 *        +--- the owner is lost, or another <----------+  END id
 *
 * What passes says where the stream is: at the last event with an id, or at the version that its first
 * comment tells. From there it goes on with the next owner; where events are gone by then the client gets
 * a reset and the state, as it would have from one owner that had forgotten them. A stream that has begun
 * is looked after as long as its client stays; one that has not, until its deadline. Only in a cluster. */
#ifndef NODE_WATCH_RELAY_H
#define NODE_WATCH_RELAY_H

#include "actor/request.h"
#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "rpc/peer_frame.h"

struct worker;
struct sink;

enum { RELAY_RETRY_MS = 50 };

struct watch_relays {
    struct worker *worker;
    struct list relays;
    struct map by_id; /* those that are AWAY */
    size_t count;
    uint64_t last_id;
};

void watch_relays_init(struct watch_relays *s, struct worker *w);

void watch_relays_done(struct watch_relays *s); /* none may be left */

/* On the worker of the shard: a stream for the client behind `out`, through a relay where there is a
 * cluster. Takes the request, which is a WATCH. */
void watch_begin(struct worker *w, struct sink *out, struct request *r, uint32_t timeout_ms);
void watch_relays_tick(struct watch_relays *s, uint64_t now_ms);
void watch_relays_on_lost(struct watch_relays *s, uint32_t node); /* a connection to or from it */
void watch_relays_end_all(struct watch_relays *s);                /* the node stops */

/* TEXT and END, from the node `from`. */
enum err watch_relays_take(struct watch_relays *s, uint32_t from,
                           const struct peer_message *m) MUST_CHECK;

#endif
