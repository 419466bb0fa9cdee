/* What code logs, from its isolate to the log board; and places in it and in exceptions as its author knows
 * them, where the deployment has source maps. Hooks of the code host; `ctx` is the worker's struct code. */
#ifndef NODE_CODE_LOG_H
#define NODE_CODE_LOG_H

#include "actor/code_host.h"
#include "base/buf.h"
#include "base/slice.h"

void code_log_line(void *ctx, const struct code_session *s, struct slice level, struct slice text);
void code_log_thrown(void *ctx, const struct code_session *s, struct slice exception,
                     struct buf *ret_shown);

#endif
