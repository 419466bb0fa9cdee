/* Peers: what one worker has to do with the other nodes of the cluster.
 *
 *     worker i of node A --dials--> any worker of node B, twice: for messages, and for bulk
 *     worker j of node B --dials--> any worker of node A, twice
 *
 * A worker sends on connections that it dialled itself and receives on those that were dialled to it. So
 * what worker i says of a group goes one way, in order, whatever the number of workers of either node; and
 * where a message arrives at a worker that does not own the group it is handed to the owner, in order too
 * (node/mailring.h). Of an older connection of the same worker nothing is delivered once a newer one has
 * been heard, so nothing of before a break comes late.
 *
 * A connection that cannot be made or breaks is dialled again, after a pause that doubles up to
 * PEERS_BACKOFF_MS_MAX, with jitter. Meanwhile, and while PEER_QUEUE_BYTES_MAX wait, what is sent is
 * dropped: Raft and the courier cope with loss, and would not be helped by what is stale.
 *
 * Everything here belongs to the worker, but for `peers_shared`. */
#ifndef NODE_PEERS_H
#define NODE_PEERS_H

#include <stdatomic.h>

#include "base/buf.h"
#include "base/map.h"
#include "node/mailring.h"
#include "node/peer_uv.h"

enum {
    PEERS_BACKOFF_MS_MIN = 50,
    PEERS_BACKOFF_MS_MAX = 2000,
    PEERS_STEADY_MS = 2000,          /* up for so long: the next pause is the shortest again */
    PEERS_STRANGERS_MAX = 64,        /* accepted connections that have not said who they are */
    PEERS_AWAY_BYTES_MAX = 32 << 20, /* messages on their way to other workers, of one */
    PEERS_ADDRESS_BYTES = 262,
    PEERS_DETAIL_BYTES = 512,
};

struct peers;

struct peers_hooks {
    /* Whether a node of this cluster's CA may come (it may be one that wants to join). */
    bool (*admits)(void *ctx, const struct peer_hello *hello);
    /* For a group of this worker; borrowed for the call. `from` is the node by its certificate. */
    void (*on_message)(void *ctx, uint32_t from, const struct peer_message *m);
    /* This worker can send to the node from now on, on the channel that it dialled for. What the node
     * says of itself: worker and channel are of the side that took the call. */
    void (*on_up)(void *ctx, const struct peer_hello *hello, enum peer_channel channel);
    /* A connection to the node broke, or one from it, to whichever worker: what was sent or expected on
     * it may be lost. */
    void (*on_lost)(void *ctx, uint32_t node);
    uint32_t (*owner_of)(void *ctx, uint32_t group); /* a worker of this node */
    /* A task for another worker of this node; it must not be refused. */
    void (*post)(void *ctx, uint32_t worker, struct task *t);
};

/* What the workers of a node share. */
struct peers_shared {
    uint32_t workers;
    _Atomic uint64_t last_number; /* of accepted connections */
    struct {
        _Atomic size_t away_bytes; /* messages from this worker to others */
        struct peers *peers;       /* read and written by this worker alone */
    } of[PEER_WORKERS_MAX];
};

struct peers_options {
    uint64_t cluster_id; /* 0: no data yet */
    uint32_t node;
    uint32_t worker;
    const char *host; /* numeric, to listen on */
    uint16_t port;    /* 0: the system chooses */
    bool is_first;    /* of this process on this port */
    struct tls_context *tls;
    const struct peer_limits *limits; /* NULL: the defaults; borrowed until closed */
    struct peers_shared *shared;
    const struct peers_hooks *hooks;
    void *ctx;
};

struct peers_member {
    uint32_t node; /* 0: whichever is there, of whom a node that joins knows the address alone */
    const char *address; /* "HOST:PORT" */
};

/* Of one node, as this worker sees it. */
struct peer_stats {
    uint32_t node;
    uint32_t up;           /* connections to it: 0 to 2 */
    uint32_t up_from;      /* connections from it */
    struct peer_counts to; /* rtt_us is of messages */
    struct peer_counts from;
    uint64_t undelivered; /* messages that came, and were late or found no way to their worker */
};

void peers_shared_init(struct peers_shared *s, uint32_t workers);

/* ERR_BAD_REQUEST, ERR_BUSY, ERR_IO with one sentence: where it should listen, or a certificate that is
 * not this node's. */
enum err peers_open(struct peers **ret_peers, uv_loop_t *loop, const struct peers_options *o,
                    char ret_detail[PEERS_DETAIL_BYTES]) MUST_CHECK;
/* Drops every connection; `cb` when nothing of it is left on the loop, which frees it. */
void peers_close(struct peers *p, void (*cb)(void *ctx));

uint16_t peers_port(const struct peers *p);

/* The other nodes there are; a new address is dialled, nodes that are no longer there are left. */
void peers_set_members(struct peers *p, const struct peers_member *members, size_t count);
/* Told in greetings from here on. */
void peers_set_cluster(struct peers *p,
                       uint64_t cluster_id); /* a node that had no data has joined */
void peers_set_term(struct peers *p, uint64_t term);
/* For connections to come. ERR_BAD_REQUEST: it names another node. */
enum err peers_use_tls(struct peers *p, struct tls_context *tls,
                       char ret_detail[PEERS_DETAIL_BYTES]) MUST_CHECK;

/* `m->from` is a replica of this node. ERR_UNAVAILABLE: not connected; ERR_OVERLOADED: too much waits.
 * Then it is dropped, and counted. */
enum err peers_send(struct peers *p, uint32_t node, enum peer_channel channel,
                    const struct peer_message *m) MUST_CHECK;
bool peers_is_up(const struct peers *p, uint32_t node, enum peer_channel channel);

void peers_flush(struct peers *p); /* from the worker's uv_prepare */

/* At most `max`; returns how many there are. */
size_t peers_stats(const struct peers *p, struct peer_stats *ret_stats, size_t max);
/* What another worker sees of the same node; the longest way counts. */
void peer_stats_add(struct peer_stats *to, const struct peer_stats *from);
/* In Prometheus' text format, a line for each node. */
void peer_stats_write(const struct peer_stats *stats, size_t count, struct buf *out);

#endif
