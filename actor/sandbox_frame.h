/* What the daemon and the first process of a sandbox say to each other on a SEQPACKET socket: one frame a packet, a
 * head and its payload, in the byte order of the machine that both run on. Neither believes the other.
 *
 *     daemon                              dormouse-init
 *                                           HELLO    it serves; or FAILED id 0, before: its launch went wrong
 *       SPAWN id  how, texts
 *                                           SPAWNED  pid, and the daemon's ends of its streams (SCM_RIGHTS)
 *                                           EXITED   how it ended; `pid` may be another's from then on
 *       SIGNAL id                             to the process group of that spawn; a process that has ended: nothing
 *       OPEN id   flags, mode, path
 *                                           OPENED   and the file (SCM_RIGHTS)
 *                                           FAILED   errno: of SPAWN or OPEN */
#ifndef ACTOR_SANDBOX_FRAME_H
#define ACTOR_SANDBOX_FRAME_H

#include <stdint.h>

enum {
    SANDBOX_FRAME_BYTES_MAX = 128 * 1024,
    SANDBOX_INIT_FD = 3,
    SANDBOX_SPAWNS_MAX = 512, /* processes that the daemon has started, alive */
    SANDBOX_TEXTS_MAX = 4096, /* arguments and environment of one */
};

enum sandbox_frame_kind {
    SANDBOX_HELLO = 1,
    SANDBOX_SPAWN,
    SANDBOX_SPAWNED,
    SANDBOX_EXITED,
    SANDBOX_SIGNAL,
    SANDBOX_OPEN,
    SANDBOX_OPENED,
    SANDBOX_FAILED,
};

/* What a spawned process is. */
enum sandbox_spawn_kind {
    SANDBOX_SPAWN_PROGRAM, /* texts: cwd, arguments; then the environment */
    SANDBOX_SPAWN_LIST,    /* path, "1" where recursive: records on its output */
    SANDBOX_SPAWN_REMOVE,  /* path */
    SANDBOX_SPAWN_MKDIR,   /* path */
    SANDBOX_SPAWN_MOVE,    /* from, to */
    SANDBOX_SPAWN_COPY,    /* from, to */
    SANDBOX_SPAWN_TERMINAL, /* as PROGRAM, on a terminal; its one stream is the terminal's other side */
    SANDBOX_SPAWN_DRIVER, /* as PROGRAM; its input is file 3, and file 4 is one stream more */
    SANDBOX_SPAWN_WATCH,  /* path, "1" where recursive: records on its output, until it is killed */
    SANDBOX_SPAWN_KINDS,
};

/* Where the first process's launch went wrong, in `a` of a FAILED with id 0. */
enum sandbox_stage {
    SANDBOX_STAGE_JOIN = 1,
    SANDBOX_STAGE_OVERLAY,
    SANDBOX_STAGE_PROC,
    SANDBOX_STAGE_DEV,
    SANDBOX_STAGE_ROOT,
    SANDBOX_STAGE_PRIVILEGES,
    SANDBOX_STAGE_FILTER,
    SANDBOX_STAGE_EXEC,
};

struct sandbox_frame {
    uint32_t kind;
    uint32_t id;
    uint32_t
        a; /* SPAWN: its kind. SPAWNED: pid. EXITED: status as of waitpid. SIGNAL: number. OPEN: flags.
                   FAILED: errno, or of a launch the stage */
    uint32_t
        b; /* SPAWN: bit 0: it gets input; of a TERMINAL its size: columns | rows << 16. OPEN: mode. EXITED: 1: a builtin's errno is in `c`.
                   FAILED: 1: of the working directory; of a launch: errno */
    uint32_t
        c; /* SPAWN: how many of the texts are before the environment. EXITED: CPU time in ms */
};

/* The record of a listed file: this, its path below the one that was listed, and where it is a link what is in it. */
struct sandbox_listed {
    uint64_t bytes;
    int64_t modified_ms;
    uint32_t mode; /* as of stat */
    uint16_t path_bytes;
    uint16_t link_bytes;
};

/* The record of a change: this, its path below the watched folder, and of a MOVE the one that it had. */
enum sandbox_change_kind {
    SANDBOX_CHANGE_READY, /* what happens from here on is told */
    SANDBOX_CHANGE_CREATE,
    SANDBOX_CHANGE_MODIFY,
    SANDBOX_CHANGE_DELETE,
    SANDBOX_CHANGE_MOVE,
    SANDBOX_CHANGE_ATTRIB,
    SANDBOX_CHANGE_RESYNC, /* others were lost: below that path anything may be different */
    SANDBOX_CHANGE_KINDS,
};

struct sandbox_change {
    uint32_t kind;
    uint32_t is_folder;
    uint32_t path_bytes;
    uint32_t from_bytes;
};

#endif
