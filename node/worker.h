/* A worker: one thread with its loop, its listening socket, its shards and their awake actors. It
 * shares nothing with other workers but what is marked so; what it wants of them it posts as tasks.
 *
 *     STARTING --> READY --LISTEN--> SERVING --DRAIN--> LEAVING --other nodes lead--+
 *         |          |                                                              v
 *         +-- DRAIN--+-----------------------------------------------------------> DRAINING
 *                             no connection is left, nothing is away                |
 *                                              ENDING, the thread ends <--END-- QUIET
 *
 * The node gives the orders, each to all workers before the next: no port is open before every shard
 * of a single node leads, and no loop ends while another may still post to it.
 *
 * One iteration of the loop: sockets are read and requests run; then, before the loop sleeps,
 * answers are written and what was proposed goes to the log (worker_uv.c). */
#ifndef NODE_WORKER_H
#define NODE_WORKER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <uv.h>

#include "actor/registry.h"
#include "actor/scheduler.h"
#include "base/identity_cache.h"
#include "base/list.h"
#include "node/audit.h"
#include "node/board.h"
#include "node/broker.h"
#include "node/cluster_view.h"
#include "node/code.h"
#include "node/courier.h"
#include "node/forward.h"
#include "node/glances.h"
#include "node/listener_uv.h"
#include "node/listings.h"
#include "node/log_peers.h"
#include "node/mailring.h"
#include "node/neighbours.h"
#include "node/orders.h"
#include "node/records.h"
#include "node/route.h"
#include "node/sandboxes.h"
#include "node/sideline.h"
#include "node/sink_peer.h"
#include "node/snapshots.h"
#include "node/sockets.h"
#include "node/steward.h"
#include "node/watch_relay.h"
#include "rpc/http_date.h"
#include "rpc/http_wire.h"
#include "rpc/webhook_uv.h"
#include "storage/engine.h"

struct node;

enum {
    WORKER_MAGIC = 0x776f7201,
    WORKER_DETAIL_BYTES = 512,
    WORKER_TASKS_MAX = 256,              /* of other workers, run in one iteration */
    WORKER_STREAMS_NS = 2 * 1000 * 1000, /* for watch streams, in one iteration */
    DRAIN_MS = 10 * 1000,
};

enum worker_state {
    WORKER_STARTING,
    WORKER_READY,
    WORKER_SERVING,
    WORKER_LEAVING,
    WORKER_DRAINING,
    WORKER_QUIET,
    WORKER_ENDING,
    WORKER_STATE_COUNT
};

/* Given in this order; some are left out. */
enum worker_order { ORDER_START, ORDER_LISTEN, ORDER_DRAIN, ORDER_END };

/* Requests, by what they asked and how they ended. */
struct request_counts {
    uint64_t by_route[ROUTE_COUNT];
    uint64_t by_err[ERR_COUNT];
};

/* What a worker tells the others, copied under the node's mutex once a second and at changes. */
struct worker_report {
    uint64_t mono_ms; /* when it was made: that it grows is the proof that the loop turns */
    struct engine_stats engine;
    struct registry_stats registry;
    struct request_counts counts;
    size_t streams;
    size_t sockets;
    size_t sockets_owned;
    uint64_t sockets_moved;
    uint64_t sockets_lost;
    size_t actors;
    size_t actor_bytes;
    size_t requests;
    size_t connections;
    size_t connections_refused;
    struct http_wire_counts tls;
    uint64_t tls_expires_ms; /* of the certificate, wall; of the first worker alone */
    bool ready;              /* every shard of this worker leads, or knows who does */
    uint64_t forwarded;      /* requests of clients, to other nodes */
    uint64_t forwarded_again;
    uint64_t visited; /* requests of other nodes, taken here */
    uint64_t snapshots_sent;
    uint64_t snapshots_taken;
    uint64_t snapshots_failed;
    uint64_t snapshot_bytes_out;
    uint64_t snapshot_bytes_in;
    struct peer_stats peers[BOARD_NODES_MAX];
    size_t peer_count;
    struct code_report code;
    size_t sandboxes;
    struct sandbox_host_stats sandbox_stats;
    uint32_t log_streams; /* these three: of the first worker alone */
    uint64_t log_lines;
    uint64_t log_lines_lost;
};

struct worker {
    uint32_t magic;
    uint32_t index;
    struct node *node;
    pthread_t thread;

    /* worker */
    enum worker_state state;
    uv_loop_t loop;
    uv_async_t wake; /* a helper thread or another worker has something, or the node an order */
    uv_prepare_t before_sleep;
    uv_check_t after_sleep;
    uv_timer_t timer;
    uint64_t timer_ms; /* when it fires, monotonic; UINT64_MAX: it is stopped */
    struct engine *engine;
    struct registry registry;
    struct code code;
    struct broker broker;
    struct sandboxes sandboxes;
    struct courier courier;
    struct forward forward;
    struct glances glances;
    struct neighbours neighbours;
    struct steward steward;
    struct snapshots snapshots;
    struct watch_relays relays;
    struct sink_peers sink_peers;
    struct sockets sockets;
    struct identity_cache identities;
    struct webhooks webhooks;
    struct sideline sideline;
    struct scheduler scheduler;
    struct records records;     /* worker 0 alone */
    struct orders orders;       /* likewise */
    struct listings listings;   /* likewise */
    struct log_peers log_peers; /* likewise */
    struct audits audits;       /* likewise */
    struct cluster_view *view;  /* as this worker last saw it: see worker_view */
    uint64_t view_number;
    struct listener listener;
    struct http_date date; /* of its answers */
    struct list log_streams;
    struct list streams;       /* watch streams */
    struct list ready_streams; /* of these: something can be written */
    struct list state_waiters; /* of these: they wait to read an actor's state ... */
    size_t state_readers;      /* ... of which only so many do so at a time */
    size_t stream_count;
    size_t sink_bytes;         /* of streams to clients of other workers, not yet taken there */
    struct list waiting_sinks; /* for these to become fewer */
    struct request_counts counts;
    bool leads_more; /* of its shards, since the last iteration */
    bool is_listening;
    uint64_t tls_generation; /* of the certificate that new connections get */
    uint64_t tls_expires_ms;
    bool was_full;        /* as last logged */
    size_t deploy_count;  /* under way */
    size_t away_count;    /* own tasks that are with other workers and will come back */
    uint32_t next_source; /* whose ring is looked at first */
    uint64_t next_report_ms;
    uint64_t drain_ms; /* until when it leaves, or drains */

    /* set once before the thread ends or fails */
    enum err err; /* why it does not serve */
    char detail[WORKER_DETAIL_BYTES];

    /* any thread */
    _Atomic int order;
    /* under node->mutex */
    struct worker_report report;
    bool has_ended; /* its loop is closed: nobody may wake it */
};

/* Starts the thread; it reports through the node_on_ functions. */
enum err worker_start(struct worker *w, struct node *node, uint32_t index) MUST_CHECK;
void worker_give_order(struct worker *w, enum worker_order order); /* any thread */
void worker_join(struct worker *w);

/* Before anything that asks for the time: the loop may have slept since it was read last. The wall clock's
 * is returned, and is the Date of the answers from now on. */
uint64_t worker_read_clocks(struct worker *w);
void worker_publish_report(struct worker *w); /* from its own thread: the report is of now */

/* The newest view of the cluster, borrowed until the next call. Of a worker that serves. */
const struct cluster_view *worker_view(struct worker *w);

/* Tasks for another worker (node/mailring.h); from the thread of `from`. ERR_OVERLOADED: its ring is
 * full. What was posted will be run: the caller counts in `away_count` what it waits for. */
enum err worker_try_post(struct worker *from, struct worker *to, struct task *t) MUST_CHECK;
void worker_post(struct worker *from, struct worker *to, struct task *t);
void worker_wake(void *node, uint32_t index); /* any thread; its loop is there */

/* Of the loop. True: there is more, come again soon. */
bool worker_run_tasks(struct worker *w);
bool worker_retry_posts(struct worker *w);

#endif
