/* The inspection list: actors of a namespace in the order of class and id, without waking them
 * (API section 7), of all shards of the cluster (node/listings.h). */
#ifndef NODE_LISTING_H
#define NODE_LISTING_H

#include "base/slice.h"
#include "rpc/http.h"

struct worker;

/* Answers the exchange, now or later. */
void listing_open(struct worker *w, struct http_exchange *x, struct slice ns, struct slice query);

#endif
