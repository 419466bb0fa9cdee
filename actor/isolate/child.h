/* A child: from the fork to its end. */
#ifndef ACTOR_ISOLATE_CHILD_H
#define ACTOR_ISOLATE_CHILD_H

#include <stdint.h>

#include "actor/isolate/channel.h"
#include "actor/isolate/engine.h"
#include "actor/isolate/host.h"
#include "actor/isolate/lockdown.h"
#include "actor/isolate/proc.h"
#include "actor/isolate/touched.h"

/* What a child is forked for. */
enum child_task {
    CHILD_SERVE,        /* its channel, until that closes */
    CHILD_PROVE_ENGINE, /* self-test: runs code, collects garbage, must end with 0 */
    CHILD_PROVE_FILTER, /* self-test: makes a forbidden call, must be killed for it */
    CHILD_REHEARSE, /* does what all do before READY, and says in `rehearsed` which pages that wrote */
};

struct child {
    enum child_task task;
    struct engine *engine;
    struct host *host;
    const struct lockdown *lockdown;
    const struct proc_fds *engine_fds;       /* those that the engine opened in the zygote */
    int engine_statm_fd;                     /* one of them: of the zygote; -1: none */
    const struct proc_fds *engine_event_fds; /* others of them: they wake the engine's loops */
    struct channel *channel;       /* the zygote made it; its descriptor is -1 in a self-test */
    int stderr_fd;                 /* becomes standard error */
    const struct touched *touched; /* NULL: nothing is known of its pages */
    struct touched *rehearsed;
    uint64_t memory_bytes;
    uint32_t cpu_seconds;
};

/* In the new process. Gives its exit code. */
int child_run(const struct child *c);

#endif
