#include "actor/registry.h"

#include "actor/actor.h"
#include "actor/idempotency.h"
#include "base/endian.h"
#include "base/invariant.h"

static uint64_t hash_of_identity(const struct identity *identity)
{
    return get_be64(identity->bytes + 8); /* the first 8 bytes chose the shard */
}

void registry_init(struct registry *g, size_t memory_max, size_t request_max)
{
    *g = (struct registry){.memory_max = memory_max,
                           .request_max = request_max,
                           .idempotency_max = IDEMPOTENCY_RECORDS_MAX};
    list_init(&g->by_use);
    list_init(&g->unfinished);
}

struct actor *registry_find(const struct registry *g, const struct identity *identity)
{
    struct map_node *n = map_find(&g->actors, hash_of_identity(identity));
    for (; n != NULL; n = map_next_same(n)) {
        struct actor *a = CONTAINER_OF(n, struct actor, by_identity);
        if (memcmp(&a->identity, identity, sizeof *identity) == 0) {
            return a;
        }
    }
    return NULL;
}

static void note_memory(struct registry *g, struct actor *a)
{
    size_t bytes = actor_memory_bytes(a);
    g->memory_bytes += bytes - a->noted_bytes; /* may wrap on the way, not in the sum */
    a->noted_bytes = bytes;
}

static void forget(struct registry *g, struct actor *a)
{
    map_remove(&g->actors, &a->by_identity);
    g->memory_bytes -= a->noted_bytes;
}

/* Nobody uses it, or it was asked to, or it is nothing yet. */
static bool sleeps_at_once(const struct actor *a)
{
    return a->is_visit || a->wants_sleep || a->state == ACTOR_ABSENT;
}

static void put_to_sleep(struct registry *g, struct actor *a)
{
    PRE(actor_is_idle(a));
    g->stats.hibernated += a->is_visit ? 0 : 1;
    forget(g, a);
    actor_free(a);
}

void registry_settle(struct registry *g, struct actor *a)
{
    note_memory(g, a);
    if (g->memory_bytes > g->memory_max) {
        actor_trim(a); /* it may be too busy ever to sleep */
        note_memory(g, a);
    }
    if (sleeps_at_once(a) && actor_is_idle(a)) {
        put_to_sleep(g, a);
    }
}

static struct actor *wake(struct registry *g, struct shard *shard, const struct request *r)
{
    struct actor *a = actor_new(g, shard, r);
    map_add(&g->actors, &a->by_identity, hash_of_identity(&a->identity));
    list_prepend(&g->by_use, &a->by_use); /* a visit may go at once; touch() moves the others */
    note_memory(g, a);
    return a;
}

static void touch(struct registry *g, struct actor *a)
{
    a->used_ms = g->now_ms;
    list_remove(&a->by_use);
    list_append(&g->by_use, &a->by_use);
}

/* The registry's end of a request: every way out leads through here. */
static void on_done(struct request *r)
{
    struct registry *g = r->registry;
    heap_remove(&g->deadlines, &r->deadline);
    g->request_count--;
    r->answer(r);
}

static void refuse(struct request *r, enum err err)
{
    (void)reply_fail(&r->reply, err, NULL);
    r->stage = REQUEST_DONE;
    on_done(r);
}

static void refuse_overloaded(struct registry *g, struct request *r, const char *queue, size_t max)
{
    g->stats.overloaded++;
    (void)reply_limited(&r->reply, ERR_OVERLOADED, queue, max);
    r->stage = REQUEST_DONE;
    on_done(r);
}

/* Asking what an actor is, or to sleep, is no use of it. */
static bool is_visit(const struct request *r)
{
    return r->kind == REQUEST_ACTOR_INFO || r->kind == REQUEST_HIBERNATE;
}

void registry_submit(struct registry *g, struct shard *shard, struct request *r,
                     uint32_t timeout_ms)
{
    PRE(r->magic == REQUEST_MAGIC && r->stage == REQUEST_NEW);

    r->registry = g;
    r->done = on_done;
    g->request_count++;
    heap_set(&g->deadlines, &r->deadline, g->now_ms + timeout_ms);
    if (!shard_is_leading(shard)) {
        refuse(r, ERR_UNAVAILABLE);
        return;
    }
    if (g->request_count > g->request_max) {
        refuse_overloaded(g, r, "worker_requests", g->request_max);
        return;
    }
    struct actor *a = registry_find(g, &r->identity);
    if (a == NULL) {
        a = wake(g, shard, r);
    }
    if (!is_visit(r)) {
        g->stats.woken += a->is_visit ? 1 : 0;
        a->wants_sleep = false;
        touch(g, a);
    }
    if (actor_submit(a, r) != ERR_OK) {
        refuse_overloaded(g, r, "mailbox_requests", MAILBOX_REQUESTS_MAX);
        return;
    }
    registry_settle(g, a);
}

/* Takes the request out of its actor and answers it; the actor goes on with the others. */
static void withdraw(struct registry *g, struct actor *a, struct request *r, enum err err)
{
    const struct identity identity = a->identity;
    refuse(r, err);
    a = registry_find(g, &identity); /* the answer may have brought a visit, and that its sleep */
    if (a != NULL) {
        actor_run(a);
        registry_settle(g, a);
    }
}

void registry_cancel(struct registry *g, struct request *r)
{
    struct actor *a = registry_find(g, &r->identity);
    if (a != NULL && actor_withdraw(a, r)) {
        withdraw(g, a, r, ERR_CLOSED);
    }
}

static void time_out(struct registry *g, struct request *r)
{
    struct actor *a = registry_find(g, &r->identity);
    INVARIANT(a != NULL);
    g->stats.timed_out++;
    if (actor_withdraw(a, r)) {
        withdraw(g, a, r, ERR_TIMEOUT);
        return;
    }
    actor_abandon(a, r);
    withdraw(g, a, r, r->has_wrote ? ERR_TIMEOUT_IN_DOUBT : ERR_TIMEOUT);
}

static void expire_requests(struct registry *g)
{
    struct heap_node *n;
    while ((n = heap_first(&g->deadlines)) != NULL && n->key <= g->now_ms) {
        time_out(g, CONTAINER_OF(n, struct request, deadline));
    }
}

static bool may_sleep(const struct registry *g, const struct actor *a)
{
    return a->is_visit || a->wants_sleep || a->state == ACTOR_ABSENT ||
           g->memory_bytes > g->memory_max || a->used_ms + ACTOR_IDLE_MS <= g->now_ms;
}

/* From the least recently used on, until one is found that is too young: all after it are younger.
 * One that is busy, or watched, is in use: it goes to the end, or a slice full of such would keep all
 * others awake for good. */
static void hibernate_idle(struct registry *g)
{
    size_t parts = 0;
    for (int left = REGISTRY_SLICE;
         left > 0 && parts < REGISTRY_SLICE_PARTS && !list_is_empty(&g->by_use); left--) {
        struct actor *a = LIST_FIRST(&g->by_use, struct actor, by_use);
        if (!may_sleep(g, a)) {
            break;
        }
        if (actor_is_idle(a)) {
            parts += actor_part_count(a);
            put_to_sleep(g, a);
        } else {
            touch(g, a);
        }
    }
}

void registry_go_on_later(struct registry *g, struct actor *a)
{
    list_remove(&a->unfinished);
    list_append(&g->unfinished, &a->unfinished);
}

/* Those that stand in line, each once. */
static void run_unfinished(struct registry *g)
{
    const struct list *last = g->unfinished.prev;
    bool is_last = list_is_empty(&g->unfinished);
    for (int left = REGISTRY_RUNS; left > 0 && !is_last && !list_is_empty(&g->unfinished); left--) {
        struct actor *a = LIST_FIRST(&g->unfinished, struct actor, unfinished);
        is_last = &a->unfinished == last;
        list_remove(&a->unfinished);
        actor_run(a);
        registry_settle(g, a);
    }
}

void registry_tick(struct registry *g, uint64_t now_ms)
{
    g->now_ms = now_ms;
    expire_requests(g);
    run_unfinished(g);
    hibernate_idle(g);
}

uint64_t registry_next_ms(const struct registry *g)
{
    const struct heap_node *n = heap_first(&g->deadlines);
    uint64_t next_ms = n != NULL ? n->key : UINT64_MAX;
    if (!list_is_empty(&g->unfinished)) {
        return g->now_ms;
    }
    if (!list_is_empty(&g->by_use)) {
        const struct actor *a = LIST_FIRST(&g->by_use, struct actor, by_use);
        uint64_t sleep_ms =
            may_sleep(g, a) ? g->now_ms + REGISTRY_PAUSE_MS : a->used_ms + ACTOR_IDLE_MS;
        next_ms = sleep_ms < next_ms ? sleep_ms : next_ms;
    }
    return next_ms;
}

void registry_depose(struct registry *g, struct shard *shard)
{
    LIST_FOREACH_SAFE (link, &g->by_use) {
        struct actor *a = LIST_ENTRY(link, struct actor, by_use);
        if (shard == NULL || a->shard == shard) {
            forget(g, a);
            actor_depose(a);
        }
    }
}

void registry_done(struct registry *g)
{
    registry_depose(g, NULL);
    INVARIANT(g->request_count == 0 && g->gated_bytes == 0);
    zone_cache_done(&g->zones);
    map_done(&g->actors);
    heap_done(&g->deadlines);
}
