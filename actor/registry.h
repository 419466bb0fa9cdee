/* The registry: the actors that are awake on one worker, and the requests that wait for them.
 *
 * A request finds its actor or wakes it, and is answered through its `answer`. The registry keeps the
 * deadlines of all requests, hibernates actors that are idle for long or, least recently used
 * first, while their memory is over the budget, has busy ones forget what storage has, and drops
 * those of a shard that is lost. */
#ifndef ACTOR_REGISTRY_H
#define ACTOR_REGISTRY_H

#include <stdint.h>

#include "actor/request.h"
#include "actor/zone_cache.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "storage/shard.h"

struct actor;

enum {
    ACTOR_IDLE_MS = 10 * 1000,        /* until it hibernates (API section 3) */
    REGISTRY_SLICE = 256,             /* actors looked at for sleep in one go, ... */
    REGISTRY_SLICE_PARTS = 16 * 1024, /* ... and rows and events that go with them */
    REGISTRY_PAUSE_MS = 20,           /* between two such slices */
    REGISTRY_RUNS = 4,                /* actors that go on with what they have, in one tick */
    REGISTRY_GATED_BYTES_MAX = 32 * 1024 * 1024, /* replies that wait for their batches */
    REQUEST_TIMEOUT_MS = 30 * 1000,
    REQUEST_TIMEOUT_MS_MAX = 600 * 1000,
};

/* Of an actor's code, since it woke. */
struct actor_usage {
    uint64_t calls; /* calls, requests, timers, messages */
    uint64_t cpu_us;
    uint64_t memory_bytes; /* that its process has now */
};

struct registry_stats {
    uint64_t turns;
    uint64_t woken;
    uint64_t hibernated;
    uint64_t overloaded; /* requests refused for a full queue */
    uint64_t timed_out;
};

struct registry {
    /* Hears of each batch that changed the index of due times, once it is durable. NULL: nobody */
    void (*on_due)(void *ctx, struct shard *s, struct slice batch);
    void *on_due_ctx;
    /* Whether the actor's code is awake (actor/code_host.h), and what it has taken since; NULL: that is not
     * wanted. NULL: there is no code. */
    bool (*has_code)(void *ctx, const struct identity *identity, struct actor_usage *ret_usage);
    void *has_code_ctx;
    struct zone_cache zones;
    bool allow_private_targets; /* webhooks may go there */

    struct map actors;      /* by identity */
    struct list by_use;     /* least recently used first */
    struct list unfinished; /* actors that could go on at once, but have had their share */
    size_t gated_bytes;     /* of replies, in all actors */
    struct heap deadlines;  /* of requests: nearest first */
    size_t memory_bytes;    /* of all actors, as of their last turns */
    size_t memory_max;
    size_t request_count;
    size_t request_max;       /* in all mailboxes and gates together */
    uint32_t idempotency_max; /* records of an actor */
    uint64_t now_ms;          /* of the loop iteration */
    struct registry_stats stats;
};

void registry_init(struct registry *g, size_t memory_max, size_t request_max);
void registry_done(struct registry *g); /* drops all actors; their requests end as unavailable */

/* Runs the request, now or later, within `timeout_ms`. Its `answer` may be called from inside. */
void registry_submit(struct registry *g, struct shard *shard, struct request *r,
                     uint32_t timeout_ms);

/* The client went away. A request for which nothing was done yet ends at once; else as usual. */
void registry_cancel(struct registry *g, struct request *r);

void registry_tick(struct registry *g, uint64_t now_ms); /* deadlines and hibernation */
uint64_t registry_next_ms(const struct registry *g);     /* when to tick again */

void registry_depose(struct registry *g, struct shard *shard);

/* Something came to its end in the actor, and its caller is done with it: the actor may sleep now,
 * and is gone then. */
void registry_settle(struct registry *g, struct actor *a);

/* The actor has more to do that waits for nothing: its turn comes in a tick, before long. */
void registry_go_on_later(struct registry *g, struct actor *a);

/* NULL where it sleeps or does not exist. */
struct actor *registry_find(const struct registry *g, const struct identity *identity);

#endif
