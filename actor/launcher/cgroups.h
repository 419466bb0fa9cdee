/* The control groups of sandboxes: one directory each below one of ours, in the hierarchy of version 2 and, where that
 * has no controllers, in those of version 1. All by descriptor. */
#ifndef ACTOR_LAUNCHER_CGROUPS_H
#define ACTOR_LAUNCHER_CGROUPS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor/launch_wire.h"

enum cgroup_controller { CGROUP_MEMORY, CGROUP_PIDS, CGROUP_CPU, CGROUP_CONTROLLERS };

struct cgroups {
    int own;                          /* our directory of version 2; -1: there is none */
    int legacy[CGROUP_CONTROLLERS];   /* that of version 1; -1: none */
    bool unified[CGROUP_CONTROLLERS]; /* the controller is one of version 2 */
};

/* Finds them, makes our directories, and removes those of launchers that are gone, with all that lives in them.
 * The bits of enum launch_sandbox_need that hold. */
uint32_t cgroups_open(struct cgroups *c);
void cgroups_close(struct cgroups *c); /* and removes ours: they are empty by now */

/* A group with these limits; 0 and its directory, or an errno and nothing. */
int cgroup_make(const struct cgroups *c, uint32_t number, const struct launch_sandbox *limits,
                int *ret_dir);
/* Opens what the daemon reads and writes of it: SANDBOX_FD_CPU to SANDBOX_FD_OOM. 0 or an errno. */
int cgroup_open_files(const struct cgroups *c, uint32_t number, int dir, int fds[SANDBOX_FDS]);
/* Of those of version 1: files through which a process that has them open joins by itself, which waits for no other; a
 * process that another one moves waits until none forks. -1: there is none. 0 or an errno. */
int cgroup_open_tasks(const struct cgroups *c, uint32_t number, int ret_tasks[CGROUP_CONTROLLERS]);
void cgroup_kill(const struct cgroups *c, uint32_t number);
bool cgroup_remove(const struct cgroups *c, uint32_t number); /* false: not empty yet */

#endif
