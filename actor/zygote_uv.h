/* One zygote of a worker, from its start to the end of its socket (actor/isolate_control.h): what it is asked and
 * what it says. Whoever starts it has it until `lost` or zygote_close; the process ends with its socket. */
#ifndef ACTOR_ZYGOTE_UV_H
#define ACTOR_ZYGOTE_UV_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "actor/isolate_control.h"
#include "actor/launch.h"
#include "base/list.h"

struct zygote;

struct zygote_hooks {
    void (*hello)(void *ctx, struct zygote *z, const struct isolate_hello *m);
    void (*spawned)(void *ctx, const struct isolate_spawned *m,
                    int pidfd); /* its descriptor, or -1 */
    void (*exited)(void *ctx, const struct isolate_exited *m);
    void (*lost)(void *ctx, struct zygote *z); /* zygote_close is to follow */
};

struct zygote {
    uint32_t magic;
    uv_poll_t poll;
    int control;
    const struct zygote_hooks *hooks;
    void *ctx;
    bool is_closed;

    /* of whoever started it */
    struct list link;
    uint32_t children;   /* ever */
    size_t isolates;     /* that live */
    uint64_t started_ms; /* monotonic */
    bool is_ready;       /* its HELLO has come, without an error */
};

/* NULL, and one clause, where it cannot be started. */
struct zygote *zygote_start(uv_loop_t *loop, const struct launch *launch,
                            const struct zygote_hooks *hooks, void *ctx, const char **ret_why);
/* With the isolate's end of its channel, which stays the caller's. False: it is behind, or gone. */
bool zygote_spawn(struct zygote *z, const struct isolate_spawn *spawn, int fd);
void zygote_close(struct zygote *z); /* nothing more is heard of it; freed as the loop runs on */

#endif
