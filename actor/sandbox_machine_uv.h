/* The machines of a worker (actor/sandbox_machine.h), on its loop. */
#ifndef ACTOR_SANDBOX_MACHINE_UV_H
#define ACTOR_SANDBOX_MACHINE_UV_H

#include <uv.h>

#include "actor/launch.h"
#include "actor/sandbox_machine.h"

struct machines {
    uv_loop_t *loop;
    const struct launch *launch;
    struct list all;
    size_t count;
};

void machines_open(struct machines *ms, uv_loop_t *loop, const struct launch *launch);
void machines_close(struct machines *ms); /* what still runs ends without a word */

#endif
