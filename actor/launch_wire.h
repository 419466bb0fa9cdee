/* What the daemon and dormouse-launcher say to each other on a SEQPACKET socket: one struct a packet, in the
 * byte order of the machine that both run on.
 *
 *     launcher                              daemon
 *       HELLO  what it may do                  once, first
 *                                    START     with the program's end of its channel, and a socket for
 *                                              reports where these are wanted (SCM_RIGHTS)
 *       STARTED, EXITED                        on that socket
 *
 * When the daemon's end closes, all that was started is killed, and the launcher ends. */
#ifndef ACTOR_LAUNCH_WIRE_H
#define ACTOR_LAUNCH_WIRE_H

#include <stdint.h>

/* X(name, file, flag in front of LAUNCH_FD) */
#define LAUNCH_LIST(X)                          \
    X(ISOLATE, "dormouse-isolate", "--control") \
    X(EGRESS, "dormouse-egress", "--channel")

enum launch_program {
#define X(name, file, flag) LAUNCH_##name,
    LAUNCH_LIST(X)
#undef X
        LAUNCH_PROGRAMS
};

struct launch_text {
    const char *file;
    const char *flag;
};

static inline struct launch_text launch_text(enum launch_program program)
{
    static const struct launch_text texts[LAUNCH_PROGRAMS] = {
#define X(name, file, flag) {file, flag},
        LAUNCH_LIST(X)
#undef X
    };
    return texts[program];
}

enum launch_kind { LAUNCH_HELLO = 1, LAUNCH_START = 2, LAUNCH_STARTED = 3, LAUNCH_EXITED = 4 };

/* Layers around every program; each adds its own (enum isolate_layer, enum egress_layer). */
enum launch_layer {
    LAUNCH_IS_ROOT = 1 << 0,    /* it may give programs another user, and kill all of them */
    LAUNCH_OTHER_USER = 1 << 1, /* programs and daemon are not root */
    LAUNCH_SUBREAPER = 1 << 2,  /* what a program leaves behind becomes its own, and ends with it */
    LAUNCH_NO_NEW_PRIVS = 1 << 3,
};

enum { LAUNCH_FD = 3 /* the end of a socket that a started program has, the launcher as well */ };

struct launch_hello {
    uint32_t kind;
    uint32_t layers;
};

struct launch_start {
    uint32_t kind;
    uint32_t program;
};

struct launch_report {
    uint32_t kind;
    int32_t pid;
    int32_t error;  /* STARTED: 0, or an errno; nothing more is reported then */
    int32_t status; /* EXITED: as of waitpid */
};

#endif
