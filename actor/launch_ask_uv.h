/* Something asked of the launcher, and its reports, on a loop. */
#ifndef ACTOR_LAUNCH_ASK_UV_H
#define ACTOR_LAUNCH_ASK_UV_H

#include <stdbool.h>
#include <stddef.h>

#include <uv.h>

#include "actor/launch.h"

struct launch_ask;

/* A report with its descriptors, which are the callee's; NULL: the launcher says nothing more, and the ask is freed
 * when this returns. */
typedef void (*launch_ask_cb)(void *ctx, struct launch_ask *a, const struct launch_report *r,
                              const int *fds, size_t count);

/* NULL: there is no launcher, or it is far behind. The descriptors stay the caller's. */
struct launch_ask *launch_ask_begin(uv_loop_t *loop, const struct launch *launch,
                                    const struct launch_sandbox *what, const int *fds, size_t count,
                                    launch_ask_cb cb, void *ctx);
void launch_ask_drop(struct launch_ask *a); /* nothing more is wanted of it; NULL is fine */

#endif
