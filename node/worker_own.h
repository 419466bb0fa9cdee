/* The inside of a worker: for node/worker*.c alone. */
#ifndef NODE_WORKER_OWN_H
#define NODE_WORKER_OWN_H

#include "node/worker.h"

/* What the state and the order make of each other; once an iteration. */
void worker_follow_order(struct worker *w);
void worker_renew_tls(struct worker *w);     /* a new certificate is for the connections to come */
void worker_close_handles(struct worker *w); /* of its loop, which ends when they are gone */

#endif
