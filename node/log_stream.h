/* Log streams: what the code of a namespace logs as server-sent events, at the pace of their clients. Each
 * stands on the worker of its connection, and takes from its queue on the log board (node/log_board.h). */
#ifndef NODE_LOG_STREAM_H
#define NODE_LOG_STREAM_H

#include <stdint.h>

#include "base/slice.h"
#include "node/token.h"
#include "rpc/http.h"

struct worker;

enum { LOG_COMMENT_MS = 15 * 1000 };

/* GET /v1/{namespace}/logs. `ns` is a segment of the path. */
void log_stream_open(struct worker *w, struct http_exchange *x, struct slice ns, struct slice query,
                     const struct token *token);

void log_streams_flush(struct worker *w); /* before the loop sleeps */
/* Comments that keep idle ones alive, and the end of those whose token is gone; a few times a second. */
void log_streams_tick(struct worker *w, uint64_t now_ms, uint64_t wall_ms);
void log_streams_end_all(struct worker *w); /* the node stops */

#endif
