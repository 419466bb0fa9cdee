/* Metrics: what a node counts, as Prometheus reads it (text format 0.0.4). */
#ifndef NODE_METRICS_H
#define NODE_METRICS_H

#include "base/buf.h"
#include "node/worker.h"

/* Appends the text; `reports` are copies, one a worker. */
void metrics_write(const struct worker_report *reports, uint32_t count, struct buf *out);

#endif
