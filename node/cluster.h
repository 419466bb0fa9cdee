/* The cluster, as /admin/v1/cluster shows it (API section 7): its members and who leads each shard. */
#ifndef NODE_CLUSTER_H
#define NODE_CLUSTER_H

#include "rpc/http.h"

struct worker;

/* Answers the exchange, now or later: each worker says which of its shards lead. */
void cluster_open(struct worker *w, struct http_exchange *x);

#endif
