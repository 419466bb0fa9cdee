/* The sandbox host of a worker: the sandboxes of the actors that it owns (DESIGN section 6).
 *
 * A request finds its row by a turn of the actor, which proves leadership, and then its box: what this node has of the
 * sandbox.
 *
 *     ASLEEP --wanted--> FETCHING --its disk is mounted--> STARTING --> RUNNING <--idle, asked--> FROZEN
 *        ^                   | failed                         | failed    |                          |
 *        +-------------------+--------------------------------+           |                          |
 *        +---- its machine is gone <-- STOPPING <-------------------------+--------------------------+
 *
 * Invariants
 *   - a box has a machine in STARTING, RUNNING, FROZEN and STOPPING, and in no other state.
 *   - every request that was submitted is answered once.
 *   - a disk has one box, and a box one machine at a time. */
#ifndef ACTOR_SANDBOX_HOST_H
#define ACTOR_SANDBOX_HOST_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/registry.h"
#include "actor/request.h"
#include "actor/socket_set.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

struct machines;
struct disks;

enum {
    SANDBOX_FREEZE_MS = 20 * 1000,       /* without a request, and without work inside */
    SANDBOX_POLL_MS = 10,                /* of ports that are waited for */
    SANDBOX_LOOK_MS = 1000,              /* between two looks at what a sandbox does */
    SANDBOX_WAITING_MAX = 256,           /* requests of one sandbox, under way or waiting */
    SANDBOX_OUTPUT_BYTES_MAX = 16 << 20, /* of an exec that is not streamed */
};

struct sandbox_host_stats {
    uint64_t started;
    uint64_t execs;
    uint64_t failed;
};

/* The way out of sandboxes: node/broker.h. */
struct sandbox_outside {
    void *ctx;
    /* Takes the listeners (SANDBOX_FD_PROXY and the rest). NULL: there is no room, and whatever leaves is refused. */
    void *(*open)(void *ctx, const struct address *actor, const char *name, struct slice rules,
                  const int fds[4]);
    void (*close)(void *opened);
    struct slice (*authority)(void *ctx); /* its certificate, PEM; empty: it is still to be made */
    const char *const *environment;       /* "NAME=value", each; NULL at the end */
};

struct sandbox_host {
    const struct sandbox_outside *outside; /* NULL: there is no way */
    struct registry *registry;
    struct socket_sets *sockets;
    struct machines *machines;
    struct disks *disks;
    const char *images; /* folder of images */
    /* To the owner of another actor, whose address is set: the request comes back with its `answer`. */
    void (*send)(void *ctx, struct request *r, uint32_t timeout_ms);
    void *send_ctx;
    uint32_t missing; /* bits of enum launch_sandbox_need that are wanted and not there */
    struct map boxes; /* by actor and name */
    struct list all;
    size_t box_count;
    struct list asks;            /* requests under way */
    struct heap deadlines;       /* of them */
    struct heap spawn_deadlines; /* of what they have started */
    struct heap context_deadlines;
    uint64_t now_ms;
    uint64_t wall_ms;
    uint64_t next_look_ms;
    uint64_t next_poll_ms; /* of what is waited for; UINT64_MAX: nothing is */
    bool is_stopped;
    struct sandbox_host_stats stats;
};

void sandbox_host_init(struct sandbox_host *h, struct registry *registry,
                       struct socket_sets *sockets, struct machines *machines, struct disks *disks,
                       const char *images);
void sandbox_host_stop(struct sandbox_host *h); /* every box goes; before registry_done */
void sandbox_host_done(struct sandbox_host *h); /* after it */

/* A SANDBOX request, of an actor of `shard`, which leads. */
void sandbox_host_submit(struct sandbox_host *h, struct shard *shard, struct request *r,
                         uint32_t timeout_ms);
void sandbox_host_cancel(struct sandbox_host *h, struct request *r);
/* The actor is deleted: its sandboxes go with it. */
void sandbox_host_forget_actor(struct sandbox_host *h, const struct identity *identity);
void sandbox_host_depose(struct sandbox_host *h, const struct shard *shard);

void sandbox_host_tick(struct sandbox_host *h, uint64_t now_ms, uint64_t wall_ms);
uint64_t sandbox_host_next_ms(const struct sandbox_host *h); /* UINT64_MAX: never */

#endif
