/* Neighbours: a worker's end of the cluster. It opens the worker's connections (node/peers.h), dials the
 * members that the cluster view names, brings what comes to whoever it is for, and tells the other nodes
 * how the shards are that this worker leads (node/status.h).
 *
 *     view, board  --who there is-->  peers  --RAFT-->             engine
 *     guests                                 --REQUEST, REPLY-->   forward, courier
 *                                            --STATUS-->           board
 *                                            --ORDER, OUTCOME-->   orders (worker 0)
 *                                            --SOCKET_UP, _DOWN-->     sockets
 *                                            --LISTING_ASK, _ANSWER--> listings (worker 0)
 *                                            --AUDIT_ASK, _ANSWER--> audits (worker 0)
 *                                            --LOG_WANT, _LINES--> log_peers (worker 0)
 *
 * Who may speak (node/standing.h): whoever has a certificate of the cluster's CA may connect, but for a
 * removed member of which nothing is left. Of a node that the newest view does not name nothing is taken
 * but its order to become a member, and what concerns the meta group: the view may be older than the
 * member, and it may be the one to learn so from.
 * A node that has no view yet, for it has just joined, listens to all of them and dials whom it has heard.
 *
 * On a single node it is closed, and every call is without effect. */
#ifndef NODE_NEIGHBOURS_H
#define NODE_NEIGHBOURS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/err.h"
#include "base/slice.h"
#include "node/cluster_view.h"
#include "node/member.h"
#include "node/peer_kind.h"
#include "node/peers.h"

struct worker;
struct shard;

enum { GUESTS_MAX = 16, GUEST_MS = 30 * 1000 };

/* A node that asked to become a member, dialled so that it can be answered. */
struct guest {
    uint32_t node;
    uint64_t until_ms;
    char address[MEMBER_ADDRESS_BYTES];
};

struct neighbours {
    struct worker *worker;
    struct peers *peers; /* NULL: closed */
    bool is_closing;
    bool is_stale;             /* who there is must be looked at again */
    bool has_leaving;          /* a node that was removed is still needed */
    struct cluster_view *view; /* the newest seen; NULL before the first */
    uint64_t view_number;
    uint64_t nodes_number; /* of the board, as last looked at */
    uint64_t tls_generation;
    uint64_t next_status_ms;
    uint64_t next_pulse_ms;
    uint64_t next_hear_ms;
    struct guest guests[GUESTS_MAX];
    size_t guest_count;
};

void neighbours_init(struct neighbours *n, struct worker *w);
/* Of a member of a cluster. One sentence where it cannot listen. */
enum err neighbours_open(struct neighbours *n, char ret_detail[PEERS_DETAIL_BYTES]) MUST_CHECK;
/* Nothing is sent or heard from here on; neighbours_is_closed says when nothing is left on the loop. */
void neighbours_close(struct neighbours *n);
bool neighbours_is_closed(const struct neighbours *n);
void neighbours_done(struct neighbours *n);

void neighbours_tick(struct neighbours *n, uint64_t now_ms);
uint64_t neighbours_next_ms(const struct neighbours *n); /* UINT64_MAX: it is closed */
void neighbours_say_status(struct neighbours *n);        /* with the next tick */
void neighbours_flush(struct neighbours *n);             /* before the loop sleeps */

/* Pulses (node/neighbours_pulse.c): takes one that came, sends the next where it is time, and tells the
 * engine of those that came to any worker, before it ticks. */
enum err neighbours_take_pulse(struct worker *w, uint32_t from, struct slice payload,
                               uint64_t now_ms) MUST_CHECK;
void neighbours_beat(struct neighbours *n, uint64_t now_ms);
void neighbours_hear_pulses(struct neighbours *n, uint64_t now_ms);

/* To a node, about a shard; false: not connected, or too much waits. Then it is dropped. */
bool neighbours_send(struct neighbours *n, uint32_t node, enum peer_kind kind, uint32_t shard,
                     struct slice payload);
/* Likewise on the connection for what is large; the message is whole. */
bool neighbours_send_bulk(struct neighbours *n, uint32_t node, const struct peer_message *m);
/* The engine's hook. */
void neighbours_send_raft(struct neighbours *n, const struct shard *s, uint64_t to,
                          struct slice message);

/* Of connections to each other node; at most `max`; returns how many. */
size_t neighbours_stats(const struct neighbours *n, struct peer_stats *ret_stats, size_t max);

/* Answers to that node may be sent, for a while. */
void neighbours_invite(struct neighbours *n, uint32_t node, const char *address);

/* Whether requests for the actor come with this group. */
bool neighbours_is_shard_of(const struct neighbours *n, const struct identity *identity,
                            uint32_t group);

#endif
