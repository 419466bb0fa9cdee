/* What the files of a machine share; for nobody else. */
#ifndef ACTOR_SANDBOX_MACHINE_OWN_UV_H
#define ACTOR_SANDBOX_MACHINE_OWN_UV_H

#include <uv.h>

#include "actor/launch_ask_uv.h"
#include "actor/sandbox_machine_own.h"
#include "actor/sandbox_machine_uv.h"

enum { MACHINE_MAGIC = 0x73626d01, PUMP_MAGIC = 0x73627001 };

enum machine_state { MACHINE_STARTING, MACHINE_RUNNING, MACHINE_FROZEN, MACHINE_ENDING };

struct machine {
    uint32_t magic;
    enum machine_state state;
    struct machines *owner;
    struct list link;
    struct launch_ask *ask;
    const struct machine_hooks *hooks;
    void *ctx;
    uv_poll_t init;
    int socket; /* to the first process */
    int fds[SANDBOX_FDS];
    uint32_t last_id;
    struct list spawns;
    struct list opens;
    size_t spawn_count;
    bool is_killed;
    char why[MACHINE_WHY_BYTES];
};

struct machine_pump {
    uint32_t magic;
    uv_poll_t poll;
    int fd;
    int stream; /* 0 input, 1 output, 2 errors */
    struct machine_spawn *spawn;
};

/* sandbox_machine_uv.c */
enum err machine_send_frame(struct machine *m, const struct sandbox_frame *f,
                            struct slice payload) MUST_CHECK;
void machine_bad_frame(struct machine *m); /* it breaks the rules: it is killed */

/* sandbox_spawn_uv.c */
struct machine_spawn *machine_find_spawn(const struct machine *m, uint32_t id);
void machine_spawn_finish(struct machine_spawn *s, int error, bool of_folder);
/* The descriptors are taken where it returns true. */
bool machine_on_spawned(struct machine *m, const struct sandbox_frame *f, const int *fds,
                        size_t count);
void machine_on_exited(struct machine *m, const struct sandbox_frame *f);

#endif
