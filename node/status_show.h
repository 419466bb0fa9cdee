/* The status of this node, as `GET /admin/v1/status` shows it: what it runs code with, and what that has done. */
#ifndef NODE_STATUS_SHOW_H
#define NODE_STATUS_SHOW_H

#include "base/buf.h"
#include "node/worker.h"

/* Appends the document; `reports` are copies, one a worker. */
void status_show(const struct node *n, const struct worker_report *reports, uint32_t count,
                 struct buf *doc);

#endif
