/* Sinks whose client is at another node: the end of a watch stream at the node that leads its shard
 * (node/watch_relay.h is the other one). What was sent and not TAKEN is bounded. When the connection to
 * the other node breaks, its streams end: it opens them anew. */
#ifndef NODE_SINK_PEER_H
#define NODE_SINK_PEER_H

#include "base/err.h"
#include "base/list.h"
#include "base/map.h"
#include "rpc/peer_frame.h"

struct worker;

struct sink_peers {
    struct worker *worker;
    struct list sinks;
    struct map by_id; /* of the other node, and that node */
    size_t count;
};

void sink_peers_init(struct sink_peers *s, struct worker *w);

void sink_peers_done(struct sink_peers *s); /* none may be left */

/* OPEN, TAKEN and CANCEL, from the node `from`. */
enum err sink_peers_take(struct sink_peers *s, uint32_t from,
                         const struct peer_message *m) MUST_CHECK;
void sink_peers_on_lost(struct sink_peers *s, uint32_t node);
void sink_peers_tick(struct sink_peers *s); /* those for which the connection had no room */

#endif
