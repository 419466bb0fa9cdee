/* A machine: a sandbox that runs, as namespaces, cgroups and a first process that starts others (actor/sandbox/).
 *
 *     STARTING --HELLO--> RUNNING <--machine_freeze--> FROZEN
 *         |                  |                           |
 *         +------------------+-- killed, or it ended ----+--> ENDING --all of it is gone: `ended`--> freed
 *
 * What comes out of a machine is hostile: whatever breaks the rules ends it. */
#ifndef ACTOR_SANDBOX_MACHINE_H
#define ACTOR_SANDBOX_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor/launch_wire.h"
#include "actor/sandbox_frame.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"

struct machines;
struct machine;

enum { MACHINE_WHY_BYTES = 160 };

struct machine_spec {
    uint64_t memory_bytes;
    uint32_t cpu_milli;
    uint32_t pids_max;
    int disk;                      /* its mount; the machine's */
    int layers[LAUNCH_LAYERS_MAX]; /* files, the topmost first; the caller's */
    size_t layer_count;
};

struct machine_hooks {
    void (*ready)(void *ctx);
    /* It is gone, with all its processes; `why` is empty where it was killed. */
    void (*ended)(void *ctx, const char *why);
    /* The four listeners for dormouse-egress (SANDBOX_FD_PROXY and the rest, in that order): the callee's. */
    void (*listeners)(void *ctx, const int fds[4]);
};

struct machine_usage {
    uint64_t cpu_us;
    uint64_t memory_bytes;
    uint64_t oom_kills;
};

/* ERR_UNAVAILABLE, and one clause. The disk is closed in any case. */
enum err machine_start(struct machines *ms, const struct machine_spec *spec,
                       const struct machine_hooks *hooks, void *ctx, struct machine **ret_machine,
                       const char **ret_why) MUST_CHECK;
void machine_kill(struct machine *m); /* `ended` is to come */
void machine_freeze(struct machine *m, bool is_frozen);
bool machine_is_frozen(const struct machine *m);
void machine_usage(struct machine *m, struct machine_usage *ret);
/* The ports that something inside listens on; how many. */
size_t machine_ports(struct machine *m, uint16_t *ret_ports, size_t max);

/* A process that was started for somebody. Its memory is the caller's, until `closed`. */
struct machine_spawn {
    struct machine *machine; /* NULL: it was never started, or is closed */
    uint32_t id;
    struct list link;
    pid_t pid; /* inside */
    bool has_exited;
    bool is_abandoned;
    bool is_paused; /* its output is not wanted now */
    int status;     /* as of waitpid, once it has exited */
    uint32_t cpu_ms;
    struct machine_pump
        *pumps[4];    /* output, errors, input, of a driver its answers; NULL: closed */
    struct buf input; /* that is still to be written */
    bool input_ends;

    /* the caller's */
    void (*started)(struct machine_spawn *s);
    void (*output)(struct machine_spawn *s, int stream, struct slice bytes); /* 1, 2; 3: answers */
    /* Of a terminal, before `started`: its other side, the callee's. NULL for other kinds. */
    void (*terminal)(struct machine_spawn *s, int fd);
    /* It never ran (`error` an errno; of the working directory where `of_folder`), or has ended and all that it has
     * written was given; 0 then. */
    void (*closed)(struct machine_spawn *s, int error, bool of_folder);
};

/* `texts` are as SANDBOX_SPAWN has them; `count` of them stand before the environment. Of a machine that runs.
 * ERR_OVERLOADED, ERR_TOO_LARGE: nothing was begun. */
enum err machine_spawn(struct machine *m, struct machine_spawn *s, enum sandbox_spawn_kind kind,
                       struct slice texts, uint32_t count, bool has_stdin) MUST_CHECK;
/* Likewise, on a terminal of that size. */
enum err machine_spawn_terminal(struct machine *m, struct machine_spawn *s, struct slice texts,
                                uint32_t count, uint32_t columns, uint32_t rows) MUST_CHECK;
void machine_spawn_pause(struct machine_spawn *s, bool is_paused);
void machine_spawn_drain(struct machine_spawn *s); /* gives what its output and errors have now */
void machine_spawn_write(struct machine_spawn *s, struct slice bytes); /* with its input */
void machine_spawn_end_input(struct machine_spawn *s);
void machine_spawn_signal(struct machine_spawn *s, int number);
/* Nobody wants it any more: it is killed, its output goes nowhere; `closed` comes all the same. */
void machine_spawn_abandon(struct machine_spawn *s);

/* A file, opened inside. */
struct machine_open {
    struct machine *machine;
    uint32_t id;
    struct list link;
    /* 0 and the descriptor, the callee's, or an errno. `names`: where it replaces another file. */
    void (*done)(struct machine_open *o, int error, int fd, struct slice names);
};
enum err machine_open(struct machine *m, struct machine_open *o, struct slice path,
                      bool is_for_replacing) MUST_CHECK;
void machine_open_forget(struct machine_open *o);

/* A connection to a port of its loopback. */
struct machine_connect {
    struct launch_ask *ask;
    void (*done)(struct machine_connect *c, int error, int fd);
};
enum err machine_connect(struct machine *m, struct machine_connect *c, uint16_t port) MUST_CHECK;
void machine_connect_forget(struct machine_connect *c);

#endif
