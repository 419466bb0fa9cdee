/* The zygote: holds an engine that is ready, and forks children of it for its worker. Single-threaded.
 *
 *     zygote_init    engine, prelude, filter, empty root, self-test (two children)
 *     zygote_serve   HELLO, then SPAWN by SPAWN, until the control socket closes
 *
 * Invariant: this process has one task whenever it forks. A second one would be a helper of the engine that
 * holds a lock which no thread of the child would ever release. */
#ifndef ACTOR_ISOLATE_ZYGOTE_H
#define ACTOR_ISOLATE_ZYGOTE_H

#include <stdbool.h>

#include "actor/isolate/engine.h"
#include "actor/isolate/lockdown.h"
#include "base/slice.h"

struct zygote_options {
    int control_fd;
    bool has_jit;
    bool keeps_stderr; /* children keep standard error: for development */
    struct slice prelude;
    void (*add_hosts)(struct engine *e); /* NULL; tests add host functions of their own */
};

/* `l` has been entered. Serves until the worker is gone; the program's exit code. */
int zygote_run(const struct zygote_options *o, struct lockdown *l);

#endif
