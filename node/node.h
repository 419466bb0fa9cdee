/* A node: the process. It has the data directory, the workers, and what they share. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "actor/launch.h"
#include "node/audit_log.h"
#include "node/board.h"
#include "node/cluster_plan.h"
#include "node/cluster_start.h"
#include "node/cluster_view.h"
#include "node/log_board.h"
#include "node/options.h"
#include "node/peers.h"
#include "node/tls_source.h"
#include "node/watchdog.h"
#include "node/worker.h"
#include "storage/data_dir.h"
#include "storage/disk_quota.h"

struct node {
    /* set once before the workers start */
    const struct options *options;
    struct launch *launch; /* starts the other programs */
    struct cluster_plan cluster;
    struct cluster_start start;
    struct data_dir data;
    uint32_t id;     /* in the cluster; 1 of a single node */
    uint64_t life;   /* of this process: other nodes tell it from the last one by it */
    bool has_joined; /* it is a member of a cluster; the next fields are of such a node */
    bool founds;     /* it makes the replicas that a single node has */
    uint64_t birth;
    char peer_address[MEMBER_ADDRESS_BYTES]; /* that others dial */
    char peer_host[OPTIONS_HOST_BYTES];      /* of it */
    uint16_t peer_port;
    struct tls_source *peer_tls;
    struct peers_shared peers_shared;
    struct board board;
    struct log_board logs;
    struct audit_log audit;

    bool opens_admin; /* the file OPEN_ADMIN_FILE is in the data directory */
    uint32_t worker_count;
    uint64_t memory; /* bytes, of all workers */
    struct disk_quota quota;
    uint64_t started_ms; /* wall */
    uint16_t port;       /* that the first worker listens on */
    struct worker *workers;
    struct mailring **rings; /* see node_ring */
    struct tls_source *tls;  /* of clients; NULL: in the clear */

    pthread_mutex_t mutex;
    pthread_cond_t changed;
    /* under mutex */
    uint32_t ready_count; /* workers that have come that far */
    uint32_t serving_count;
    uint32_t quiet_count;
    bool failed;               /* one cannot serve */
    struct cluster_view *view; /* NULL until it is first loaded; worker 0 alone changes it */

    /* any thread: rises when there is a new view */
    _Atomic uint64_t view_number;

    /* main thread */
    struct watchdog watchdog;
    enum err err;        /* that ended the start, of no worker */
    bool launcher_ended; /* by itself */
};

/* Whoever can make this file in the data directory may administer the node, on loopback and without a
 * token, from its next start until the file is gone: the way back in where every admin token is lost. */
#define OPEN_ADMIN_FILE "open-admin"

enum { EXIT_USAGE = 2 };

/* Runs until SIGTERM or SIGINT, or until the launcher ends. The exit status of the process. */
int node_run(const struct options *options, struct launch *launch);

/* From a worker's thread. */
void node_on_ready(struct node *n);
void node_on_serving(struct node *n);
void node_on_failed(struct node *n);
void node_on_quiet(struct node *n);

/* A new view, from worker 0: takes the reference. */
void node_publish_view(struct node *n, struct cluster_view *v);
/* A reference of the caller's own; NULL before the first. */
struct cluster_view *node_view(struct node *n, uint64_t *ret_number);

/* A signal that ends the node is pending. Main thread. */
bool node_is_stopped(void);

/* What the node says of itself. Its port is known once it listens. */
void node_describe(const struct node *n, struct cluster_member *ret_self);

/* The worker that owns a shard. */
struct worker *node_worker_of(struct node *n, uint32_t shard);

/* The tasks from one worker to another; NULL from a worker to itself. */
static inline struct mailring *node_ring(const struct node *n, uint32_t from, uint32_t to)
{
    return n->rings[from * n->worker_count + to];
}

#endif
