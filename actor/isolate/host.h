/* Host functions of an isolate, but those of the engine itself (engine.c): what the prelude finds in
 * `__host`. README.md lists them. */
#ifndef ACTOR_ISOLATE_HOST_H
#define ACTOR_ISOLATE_HOST_H

#include "actor/isolate/channel.h"
#include "actor/isolate/engine.h"

struct host {
    struct channel *channel; /* borrowed; NULL in the zygote */
    int statm_fd;            /* of this process; -1 in the zygote */
};

/* `h` lives as long as the engine. */
void host_add(struct host *h, struct engine *e);

#endif
