/* Log peers: readers of what code logs, and that code, on different nodes. Of worker 0; nothing on a single
 * node.
 *
 *     this node    WANT: the filters of its streams -->    every other one, once a second and at changes
 *                  <-- LINES of one filter                 a queue on its board for each of these filters
 *
 * A WANT is all that its node wants; it is forgotten when none comes for LOG_WANT_MS. So nothing needs to be
 * taken back, and what a lost message or a broken connection costs are lines. What goes to a node is bounded
 * in size and in speed, on the connection for what is large: Raft's is left alone. */
#ifndef NODE_LOG_PEERS_H
#define NODE_LOG_PEERS_H

#include "base/list.h"
#include "node/log_board.h"
#include "rpc/peer_frame.h"

struct worker;

enum {
    LOG_SAY_MS = 1000,
    LOG_WANT_MS = 5 * LOG_SAY_MS,
    LOG_PACE_MS = 100,
    LOG_PACE_BYTES = 512 * 1024, /* to one node, within that; one message may pass it */
};

struct log_peers {
    struct worker *worker;
    struct list peers; /* nodes that want something */
    uint64_t streams_number;
    uint64_t next_say_ms;
    bool has_said; /* that it wants something */
};

void log_peers_init(struct log_peers *p, struct worker *w);
void log_peers_stop(struct log_peers *p); /* nobody gets anything more */
void log_peers_tick(struct log_peers *p, uint64_t now_ms);
void log_peers_flush(struct log_peers *p, uint64_t now_ms);

/* WANT and LINES, from the node `from`. */
enum err log_peers_take(struct log_peers *p, uint32_t from,
                        const struct peer_message *m) MUST_CHECK;

#endif
