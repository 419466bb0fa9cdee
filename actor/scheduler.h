/* The scheduler of a worker: it fires the timers of the shards that the worker leads.
 *
 *     lead --> schedule of the shard: a window of its nearest due rows (actor/due_window.h), kept equal
 *              to them by the batches that become durable
 *     due  --> an internal request to the actor: a turn, which records the firing and moves the due row
 *     the turn's answer names a webhook --> it is posted --> the outcome is a second turn
 *
 * A timer is due once the shard's log time and the wall clock have both passed its time. Due rows go
 * in order of their time, at most FIRINGS_MAX turns at once. A turn that could not be (the queue or
 * the disk is full, the actor's rows cannot be read) leaves the due row where it is, and it is tried
 * again after a while; other timers go on meanwhile.
 *
 * What is in memory is a copy: all of it may be lost at any time, and the due rows bring it back.
 *
 * Everything belongs to the worker. Times come in through scheduler_tick. */
#ifndef ACTOR_SCHEDULER_H
#define ACTOR_SCHEDULER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/registry.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"
#include "base/slice.h"
#include "storage/shard.h"

struct webhooks;

enum {
    SCHEDULER_MAGIC = 0x73636801,
    FIRINGS_MAX = 64,   /* turns under way */
    RUNS_MAX = 1024,    /* runs of workflows under way: each is a process */
    RUN_QUEUE_MS = 200, /* until one for which there is no room is looked at again */
    FIRING_TIMEOUT_MS = 10 * 1000,
    FIRING_RETRY_MS = 1000,            /* after a turn that could not be */
    FIRING_OVERLOADED_MS = 100,        /* after one that a full queue refused */
    CODE_DELIVERY_MS = 15 * 60 * 1000, /* of a class's alarm() or onTimer() */
    CODE_RUN_MS = INT32_MAX,           /* of a workflow's run: its steps have times of their own */
    OUTCOME_TRIES_MS = 60 * 1000,      /* then the timer's guard tries again */
    DUE_PAGE_BYTES_MAX = 512 * 1024,
    DUE_PAGE_RETRY_MS = 100,
    DUE_LAG_MS = 10, /* how soon log time is looked at again where it is behind the wall clock */
};

struct scheduler {
    uint32_t magic;
    struct registry *registry;
    struct webhooks *webhooks;
    /* Runs a CODE_TIMER or CODE_WORKFLOW of an actor with code (actor/code_host.h). NULL: there is no code. */
    void (*submit_code)(void *ctx, struct shard *shard, struct request *r, uint32_t timeout_ms);
    void *code_ctx;
    struct map schedules;   /* by shard id */
    struct heap heads;      /* schedules with a waiting entry: nearest due time first */
    struct heap held;       /* due entries that wait for another try: monotonic ms */
    struct heap outcomes;   /* deliveries whose outcome waits likewise */
    struct list hungry;     /* schedules that want a page of due rows */
    struct list deliveries; /* all webhooks */
    size_t firing_count;
    size_t run_count; /* under way, or about to be */
    uint64_t mono_ms;
    uint64_t wall_ms;
    uint64_t page_after_ms; /* monotonic: reads were refused */
    bool has_news;          /* since the last tick */
    bool is_stopped;
};

/* Registers itself with the registry. */
void scheduler_init(struct scheduler *s, struct registry *registry, struct webhooks *webhooks);
void scheduler_stop(struct scheduler *s); /* nothing is begun any more */
void scheduler_done(struct scheduler *s); /* after its requests, posts and reads have ended */

void scheduler_lead(struct scheduler *s, struct shard *shard);
void scheduler_depose(struct scheduler *s, struct shard *shard); /* after registry_depose */

void scheduler_tick(struct scheduler *s, uint64_t mono_ms, uint64_t wall_ms);
uint64_t scheduler_next_ms(const struct scheduler *s); /* monotonic; when to tick again */

#endif
