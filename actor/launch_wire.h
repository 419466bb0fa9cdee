/* What the daemon and dormouse-launcher say to each other on a SEQPACKET socket: one struct a packet, in the
 * byte order of the machine that both run on.
 *
 *     launcher                              daemon
 *       HELLO  what it may do                  once, first
 *                                    START     with the program's end of its channel, and a socket for
 *                                              reports where these are wanted (SCM_RIGHTS)
 *       STARTED, EXITED                        on that socket
 *                                    SANDBOX   with a socket for reports, the init process's end of its socket, the
 *                                              mounted disk, and the files of its layers, the topmost first
 *       STARTED, EXITED                        on that socket; STARTED brings enum launch_sandbox_fd. EXITED: it
 *                                              is gone, with its cgroups
 *                                    DISK      with a socket for the report, and the file of an ext4 file system
 *       STARTED                                with the mounted file system; it is unmounted when nobody has it
 *                                    CONNECT   with a socket for the report, and a sandbox's pidfd
 *       STARTED                                with a socket connected to that port of its loopback
 *                                    PACK      with a socket for reports, a mounted disk, and an empty file
 *       STARTED, EXITED                        the disk's upper layer is in that file, as erofs, where status is 0
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

enum launch_kind {
    LAUNCH_HELLO = 1,
    LAUNCH_START = 2,
    LAUNCH_STARTED = 3,
    LAUNCH_EXITED = 4,
    LAUNCH_SANDBOX = 5,
    LAUNCH_DISK = 6,
    LAUNCH_CONNECT = 7,
    LAUNCH_PACK = 8,
    LAUNCH_KIND_END,
};

/* Layers around every program; each adds its own (enum isolate_layer, enum egress_layer). */
enum launch_layer {
    LAUNCH_IS_ROOT = 1 << 0,    /* it may give programs another user, and kill all of them */
    LAUNCH_OTHER_USER = 1 << 1, /* programs and daemon are not root */
    LAUNCH_SUBREAPER = 1 << 2,  /* what a program leaves behind becomes its own, and ends with it */
    LAUNCH_NO_NEW_PRIVS = 1 << 3,
};

/* What a sandbox needs of the machine, as the launcher has tried it. All but `weak` ones are wanted. */
#define SANDBOX_LIST(X)                                                            \
    X(NAMESPACES, "namespaces", "user, mount, pid, net, ipc, uts and cgroup ones") \
    X(CGROUPS, "cgroups", "a cgroup of version 2 that processes can be born into") \
    X(MEMORY, "memory_limit", "the memory controller")                             \
    X(PIDS, "pids_limit", "the pids controller")                                   \
    X(CPU, "cpu_limit", "the cpu controller")                                      \
    X(OVERLAY, "overlay", "overlayfs in a user namespace")                         \
    X(IDMAP, "idmap", "mounts with mapped ids")                                    \
    X(EROFS, "erofs", "erofs from a file or a loop device")                        \
    X(LOOP, "disk_quota", "loop devices with ext4")                                \
    X(SECCOMP, "seccomp", "filters of system calls")

enum launch_sandbox_need {
#define X(name, text, what) SANDBOX_NEEDS_##name,
    SANDBOX_LIST(X)
#undef X
        SANDBOX_NEEDS
};

enum { LAUNCH_FD = 3 /* the end of a socket that a started program has, the launcher as well */ };

struct launch_hello {
    uint32_t kind;
    uint32_t layers;
    uint32_t sandbox; /* bit of enum launch_sandbox_need: it is there */
};

enum {
    LAUNCH_LAYERS_MAX = 32, /* of a sandbox; well below it they are made one */
    LAUNCH_FDS_MAX = 3 + LAUNCH_LAYERS_MAX,
};

struct launch_sandbox {
    uint32_t kind;
    uint32_t pids_max;
    uint32_t cpu_milli; /* thousandths of a processor */
    uint32_t port;      /* CONNECT: 1 to 65535 */
    uint64_t memory_bytes;
    uint32_t is_new; /* DISK: nothing has had it mounted before */
    uint32_t unused;
};

/* Descriptors that come with STARTED of a sandbox, in this order. The four listeners are for dormouse-egress. */
enum launch_sandbox_fd {
    SANDBOX_FD_PROCESS, /* pidfd of its first process */
    SANDBOX_FD_CPU,     /* cpu.stat */
    SANDBOX_FD_FREEZE,  /* cgroup.freeze */
    SANDBOX_FD_KILL,    /* cgroup.kill */
    SANDBOX_FD_MEMORY,  /* bytes in use */
    SANDBOX_FD_OOM,     /* text with a line "oom_kill N" */
    SANDBOX_FD_DIAG,    /* netlink socket for inet_diag, of its network */
    SANDBOX_FD_PROXY,   /* tcp 127.0.0.1:3128, bound, not listening */
    SANDBOX_FD_HTTP,    /* tcp 198.18.0.1:80 */
    SANDBOX_FD_HTTPS,   /* tcp 198.18.0.1:443 */
    SANDBOX_FD_DNS,     /* udp 127.0.0.1:53 */
    SANDBOX_FDS,
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
