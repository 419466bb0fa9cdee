/* The sandboxes that the launcher has made: namespaces, users, cgroups, and who is told of their ends.
 *
 * Each has 65 536 users of its own, which no other sandbox of this launcher has while it lives. Its mounts are in its
 * own mount namespace or attached nowhere, so they end with it. */
#ifndef ACTOR_LAUNCHER_SANDBOXES_H
#define ACTOR_LAUNCHER_SANDBOXES_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "actor/launch_wire.h"
#include "actor/launcher/cgroups.h"
#include "actor/launcher/layers.h"

enum {
    SANDBOXES_MAX = 4096, /* alive at once */
    SANDBOX_USERS = 65536,
};

struct sandbox {
    pid_t pid;  /* 0: free */
    int report; /* socket to who wants to know */
    bool is_dead;
    int status; /* as of waitpid */
    int packed; /* -1, or the file that it packs a disk into */
};

struct sandboxes {
    uint32_t needs; /* bits of enum launch_sandbox_need that hold */
    int init;       /* the file of dormouse-init; -1: there is none */
    int own_net;    /* our network namespace */
    uid_t owner;    /* of packed files */
    gid_t group;
    uint32_t first_user;
    uint32_t last;     /* the slot that was given last */
    size_t dead_count; /* whose cgroups are still to be removed */
    struct cgroups cgroups;
    struct layers layers;
    struct sandbox alive[SANDBOXES_MAX];
};

/* Tries what the machine has. `folder` has the programs; `owner` and `group` are the daemon's. */
void sandboxes_open(struct sandboxes *s, int folder, uid_t owner, gid_t group);
void sandboxes_close(struct sandboxes *s); /* all are dead */

/* Descriptors as launch_wire.h has them; each takes them all. */
void sandboxes_start(struct sandboxes *s, const struct launch_sandbox *wanted, const int *fds,
                     size_t count);
void sandboxes_mount_disk(const struct launch_sandbox *wanted, const int *fds, size_t count);
void sandboxes_pack(struct sandboxes *s, const struct launch_sandbox *wanted, const int *fds,
                    size_t count);
void sandboxes_connect(struct sandboxes *s, const struct launch_sandbox *wanted, const int *fds,
                       size_t count);

/* A child has ended; false: it was no sandbox. */
bool sandboxes_on_end(struct sandboxes *s, pid_t pid, int status);
void sandboxes_tidy(struct sandboxes *s); /* while dead_count > 0, now and then */
void sandboxes_kill(struct sandboxes *s);

#endif
