/* What a worker and its zygote say to each other, on a SEQPACKET socket: one struct a packet, in the byte
 * order of the machine that both run on.
 *
 *     zygote                                    worker
 *       HELLO  which layers of the lock-down       once, first
 *                                       SPAWN      with the isolate's end of its channel (SCM_RIGHTS)
 *       SPAWNED                                    with a pidfd (SCM_RIGHTS) where error is 0
 *       EXITED                                     after SPAWNED of that tag, once the process is reaped
 *
 * A zygote whose HELLO has an error spawns nothing: every SPAWN is answered with it. It ends when its
 * socket closes, and all of its children end with it. */
#ifndef ACTOR_ISOLATE_CONTROL_H
#define ACTOR_ISOLATE_CONTROL_H

#include <stdint.h>

#include "base/err.h"

enum isolate_control_kind {
    ISOLATE_SPAWN = 1,
    ISOLATE_SPAWNED = 2,
    ISOLATE_EXITED = 3,
    ISOLATE_HELLO = 4,
};

enum {
    ISOLATE_TEXT_BYTES = 256,

    /* Flags of SPAWN. A zygote has its JIT or has none (--no-jit): NO_JIT is refused with EOPNOTSUPP
     * where it has. */
    ISOLATE_SPAWN_NO_JIT = 1,

    /* Children of one zygote share the layout of their address space: a worker replaces it after so many
     * children, or when it is that old. SPAWNED counts. */
    ISOLATE_ZYGOTE_CHILDREN_MAX = 4096,
    ISOLATE_ZYGOTE_AGE_MS_MAX = 60 * 60 * 1000,
};

/* Layers of the lock-down, bits of HELLO. Children run without the others; without SECCOMP none runs. */
enum isolate_layer {
    ISOLATE_LAYER_USERNS = 1 << 0,
    ISOLATE_LAYER_NETNS = 1 << 1,
    ISOLATE_LAYER_MOUNTNS = 1 << 2, /* an empty root, read-only */
    ISOLATE_LAYER_PIDNS = 1 << 3,
    ISOLATE_LAYER_IPCNS = 1 << 4,
    ISOLATE_LAYER_UTSNS = 1 << 5,
    ISOLATE_LAYER_SECCOMP = 1 << 6,
    ISOLATE_LAYER_LANDLOCK = 1 << 7,
    ISOLATE_LAYER_RLIMIT = 1 << 8, /* memory: RLIMIT_DATA, and a tick that reads what is resident */
    ISOLATE_LAYERS = 9,            /* so many bits */
};

struct isolate_spawn {
    uint32_t kind;
    uint32_t tag;          /* the worker's, for SPAWNED and EXITED */
    uint64_t memory_bytes; /* over what the zygote has; at least ISOLATE_MEMORY_BYTES_MIN */
    uint32_t cpu_seconds; /* of the whole process, should the worker fail to stop it; 0: no bound */
    uint32_t flags;
};

struct isolate_spawned {
    uint32_t kind;
    uint32_t tag;
    int32_t pid;   /* in the zygote's namespace; the worker's number: isolate_control_pid */
    int32_t error; /* errno; 0: it runs */
    uint32_t children_count; /* of this zygote, ever */
    uint32_t zero;
};

struct isolate_exited {
    uint32_t kind;
    uint32_t tag;
    int32_t status; /* as of waitpid */
    uint32_t zero;
    uint64_t cpu_us;     /* user and system */
    uint64_t peak_bytes; /* resident at most, with what it shared with the zygote */
};

struct isolate_hello {
    uint32_t kind;
    uint32_t layers; /* enum isolate_layer */
    int32_t error;   /* errno; 0: the self-test has passed */
    uint32_t zero;
    char text[ISOLATE_TEXT_BYTES]; /* for people; closed by NUL */
};

enum { ISOLATE_MEMORY_BYTES_MIN = 8 << 20 };

/* Exit codes of a child. */
enum isolate_exit {
    ISOLATE_EXIT_OK = 0,         /* exit(0), or the channel was closed */
    ISOLATE_EXIT_BUG = 70,       /* the prelude threw, or said what it must not */
    ISOLATE_EXIT_MEMORY = 71,    /* C ran out of memory (as base/mem has it) */
    ISOLATE_EXIT_LOCKDOWN = 72,  /* a layer that HELLO named could not be had */
    ISOLATE_EXIT_FRAME = 73,     /* a frame of the worker was malformed */
    ISOLATE_EXIT_RESIDENT = 137, /* the tick saw more memory than the bound */
};

/* Why a child ended, from the status of EXITED. */
enum isolate_end {
    ISOLATE_END_OK,
    ISOLATE_END_MEMORY,    /* over its bound: exit codes above, SIGABRT, SIGILL, SIGTRAP */
    ISOLATE_END_CPU,       /* cpu_seconds: SIGXCPU */
    ISOLATE_END_KILLED,    /* SIGKILL: by the worker, or by the system for want of memory */
    ISOLATE_END_FORBIDDEN, /* a system call that the filter kills for: SIGSYS */
    ISOLATE_END_CRASHED,   /* any other signal or code */
};
enum isolate_end isolate_control_end(int32_t status);

/* The process of a pidfd, as this process's own namespace numbers it: for its CPU clock and for /proc.
 * ERR_CLOSED where it is gone. */
enum err isolate_control_pid(int pidfd, int32_t *ret_pid) MUST_CHECK;

#endif
