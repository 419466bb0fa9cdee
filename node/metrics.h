/* Metrics: what a node counts, as Prometheus reads it (text format 0.0.4). */
#ifndef NODE_METRICS_H
#define NODE_METRICS_H

#include "base/buf.h"
#include "node/worker.h"

/* Appends the text; `reports` are copies, one a worker. */
void metrics_write(const struct node *n, const struct worker_report *reports, uint32_t count,
                   struct buf *out);

/* Its parts: "# HELP" and "# TYPE"; what concerns code (node/metrics_code.c). */
void metrics_head(struct buf *out, const char *name, const char *type, const char *help);
void metrics_write_code(const struct node *n, const struct worker_report *reports, uint32_t count,
                        struct buf *out);

#endif
