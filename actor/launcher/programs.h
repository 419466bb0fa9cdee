/* The programs that the launcher has started, and who is told of their ends.
 *
 * Each leads a process group of its own, so that it and what it forks end together, and gets: one socket, standard
 * error, no environment, no signals blocked or ignored, the user that was asked for. It dies with the launcher. */
#ifndef ACTOR_LAUNCHER_PROGRAMS_H
#define ACTOR_LAUNCHER_PROGRAMS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor/launch_wire.h"

enum {
    PROGRAMS_MAX = 1024 /* alive at once: two for each worker, and those that are being replaced */
};

struct program {
    pid_t pid;  /* 0: free */
    int report; /* socket to who wants to know; -1: nobody */
    enum launch_program which;
};

struct programs {
    int folder; /* where they are */
    bool has_user;
    uid_t uid;
    gid_t gid;
    bool (*other_ended)(pid_t pid, int status); /* a child that is none of these; false: nobody's */
    struct program alive[PROGRAMS_MAX];
};

/* Takes both descriptors; `report` is -1 where nobody wants to know. */
void programs_start(struct programs *p, enum launch_program which, int fd, int report);

/* Those that have ended are told of. */
void programs_reap(struct programs *p);

/* Kills all. Returns once they are gone, or will not go. */
void programs_kill(struct programs *p);

#endif
