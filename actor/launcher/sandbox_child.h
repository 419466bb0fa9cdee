/* A sandbox's first process between clone3 and execve: from a copy of the launcher to dormouse-init, alone in its
 * namespaces. */
#ifndef ACTOR_LAUNCHER_SANDBOX_CHILD_H
#define ACTOR_LAUNCHER_SANDBOX_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor/launch_wire.h"
#include "actor/launcher/cgroups.h"

struct sandbox_child {
    int go;     /* socket to the launcher: one packet, `struct sandbox_go` and the mounts */
    int init;   /* the file of dormouse-init */
    int socket; /* to the daemon */
    int tasks[CGROUP_CONTROLLERS]; /* of cgroups.h */
    bool
        packs; /* `socket` is the file that the disk's upper layer goes into, and init is not run */
};

/* Comes with the disk's mount and those of its layers, the topmost first. */
struct sandbox_go {
    uint32_t layer_count;
};

enum { SANDBOX_PACK_NOTHING = 42 /* exit status of a packer: there is nothing in the layer */ };

/* Tells of what went wrong on the socket (actor/sandbox_frame.h). */
_Noreturn void sandbox_child_run(const struct sandbox_child *c);

#endif
