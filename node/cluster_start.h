/* What a start does that only nodes of a cluster do: who this node is, where the others find it, its
 * certificate for them, and being let in. On the main thread, before there are workers. */
#ifndef NODE_CLUSTER_START_H
#define NODE_CLUSTER_START_H

#include "base/err.h"
#include "node/cluster_plan.h"
#include "node/join_uv.h"
#include "node/tls_source.h"

struct node;

enum { CLUSTER_START_DETAIL_BYTES = 512 };

struct cluster_start {
    bool is_open;
    struct tls_source tls; /* between nodes */
    char *cert;
    char *key;
    char *ca;
};

/* Plans (node/cluster_plan.h); of a single node there is nothing more to do. With one sentence:
 * ERR_BAD_REQUEST, flags that do not fit, no such address, certificates that cannot be used; and what
 * cluster_file_read says. */
enum err cluster_start_open(struct node *n, char ret_detail[CLUSTER_START_DETAIL_BYTES]) MUST_CHECK;
void cluster_start_close(struct node *n); /* not open: no effect */

/* Asks to be let in, until there is an answer or a signal that ends the node, and makes the data that it
 * says, with logs for so many workers. Errors as of join_cluster and data_dir_open. */
enum err cluster_start_join(struct node *n, uint32_t wal_count,
                            char ret_detail[CLUSTER_START_DETAIL_BYTES]) MUST_CHECK;

#endif
