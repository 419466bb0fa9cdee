#include "actor/actor.h"

#include "actor/actor_read.h"
#include "actor/registry.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/engine.h"

/* One batch on its way to the disk. */
struct commit {
    struct proposal proposal;
    struct actor *actor; /* NULL: deposed meanwhile */
    struct list link;    /* actor.commits, in order */
    uint64_t version;
    bool has_due; /* its index rows are news for the scheduler */
    size_t event_count;
    struct watch_event events[]; /* for the watchers, once it is durable */
};

/* A state change has one door. */
static void actor_move(struct actor *a, enum actor_state to)
{
    static const bool allowed[ACTOR_STATE_COUNT][ACTOR_STATE_COUNT] = {
        [ACTOR_ABSENT] = {[ACTOR_LOADING] = true},
        [ACTOR_LOADING] = {[ACTOR_IDLE] = true, [ACTOR_ABSENT] = true},
        [ACTOR_IDLE] = {[ACTOR_READING] = true},
        [ACTOR_READING] = {[ACTOR_IDLE] = true},
    };
    INVARIANT(allowed[a->state][to]);
    a->state = to;
    INVARIANT(a->state != ACTOR_READING || a->turn != NULL);
}

static void finish(struct request *r)
{
    r->stage = REQUEST_DONE;
    r->done(r);
}

/* A request of the scheduler knows the identity alone; who knows the address tells it. */
void actor_set_address(struct actor *a, struct bytes *text, const struct address *address)
{
    if (a->address_text == NULL && text != NULL) {
        a->address = *address; /* its slices point into the shared text */
        a->address_text = bytes_ref(text);
    }
}

struct actor *actor_new(struct registry *registry, struct shard *shard, const struct request *r)
{
    struct actor *a = MEM_NEW(struct actor);
    a->magic = ACTOR_MAGIC;
    a->state = ACTOR_ABSENT;
    a->registry = registry;
    a->shard = shard;
    a->identity = r->identity;
    actor_set_address(a, r->address_text, &r->address);
    a->is_visit = true;
    row_set_init(&a->rows);
    list_init(&a->by_use);
    list_init(&a->unfinished);
    list_init(&a->mailbox);
    list_init(&a->gated);
    list_init(&a->commits);
    list_init(&a->reads);
    watch_init(&a->watch, 0);
    return a;
}

bool actor_is_idle(const struct actor *a)
{
    return (a->state == ACTOR_IDLE || a->state == ACTOR_ABSENT) && !a->is_running &&
           a->mailbox_count == 0 && a->gated_count == 0 && a->committed == a->proposed &&
           a->watch.watcher_count == 0;
}

void actor_free(struct actor *a)
{
    PRE(a->magic == ACTOR_MAGIC);
    PRE(a->mailbox_count == 0 && a->gated_count == 0 && a->turn == NULL);

    watch_done(&a->watch);
    row_set_done(&a->rows);
    bytes_unref(a->address_text);
    list_remove(&a->by_use);
    list_remove(&a->unfinished);
    a->magic = 0;
    mem_free(a);
}

size_t actor_memory_bytes(const struct actor *a)
{
    return sizeof *a + a->rows.bytes + a->watch.bytes + bytes_slice(a->address_text).len;
}

size_t actor_part_count(const struct actor *a)
{
    return a->rows.count + (size_t)(a->watch.next_seq - a->watch.first_seq);
}

void actor_trim(struct actor *a)
{
    if (a->turn != NULL || a->is_running || a->rows.bytes < ACTOR_TRIM_BYTES) {
        return;
    }
    /* With nothing on its way all is in storage, also what came from there. */
    row_set_forget(&a->rows, a->committed == a->proposed ? UINT64_MAX : a->durable_version);
    a->is_whole = false;
}

/* Output gate */

static void on_proven(struct shard_proof *p, enum err err);

/* Whether the state that it has read was the newest is not known before that. */
static bool is_proven(struct actor *a, struct request *r)
{
    r->proof = (struct shard_proof){.done = on_proven, .user = r};
    r->awaits_proof = !r->has_wrote && !shard_prove(a->shard, &r->proof);
    return !r->awaits_proof;
}

static size_t reply_bytes(const struct request *r)
{
    return bytes_slice(r->reply.body).len;
}

/* Of a slice. What comes after the turn costs, too: the reply becomes text. */
static void spend(size_t *left, size_t bytes)
{
    size_t cost = 1 + bytes / ACTOR_SLICE_BYTES;
    *left -= cost < *left ? cost : *left;
}

static void gate(struct actor *a, struct request *r)
{
    if (r->stays_inside) {
        finish(r);
        return;
    }
    r->gate = a->proposed;
    if (is_proven(a, r) && a->committed == a->proposed && a->gated_count == 0) {
        finish(r);
        return;
    }
    r->stage = REQUEST_GATED;
    list_append(&a->gated, &r->link);
    a->gated_count++;
    a->registry->gated_bytes += reply_bytes(r);
}

/* It leaves the gate, whatever it has waited for. */
static void ungate(struct actor *a, struct request *r)
{
    INVARIANT(a->gated_count > 0 && a->registry->gated_bytes >= reply_bytes(r));
    list_remove(&r->link);
    a->gated_count--;
    a->registry->gated_bytes -= reply_bytes(r);
    if (r->awaits_proof) {
        r->awaits_proof = false;
        list_remove(&r->proof.link);
    }
}

/* The next one whose batches are durable, and whose proof has come; NULL: there is none. */
static struct request *next_released(const struct actor *a)
{
    struct request *r = LIST_FIRST(&a->gated, struct request, link);
    return r != NULL && r->gate <= a->committed && !r->awaits_proof ? r : NULL;
}

static void release(struct actor *a, size_t *left)
{
    struct request *r;
    while (*left > 0 && (r = next_released(a)) != NULL) {
        spend(left, reply_bytes(r));
        ungate(a, r);
        finish(r);
    }
}

static void on_proven(struct shard_proof *p, enum err err)
{
    struct request *r = p->user;
    struct actor *a = registry_find(r->registry, &r->identity);
    INVARIANT(err == ERR_OK && a != NULL); /* a shard that is lost deposes the actor first */
    INVARIANT(!a->is_running);
    r->awaits_proof = false;
    actor_run(a);
    registry_settle(a->registry, a);
}

static void drop_events(struct commit *c)
{
    for (size_t i = 0; i < c->event_count; i++) {
        watch_event_done(&c->events[i]);
    }
}

/* The events come before the replies: whoever hears of a write finds it in the watch memory. */
static void publish_events(struct actor *a, struct commit *c)
{
    for (size_t i = 0; i < c->event_count; i++) {
        watch_append(&a->watch, &c->events[i]);
    }
    if (c->event_count > 0) {
        watch_tell(&a->watch);
    }
}

static void on_committed(struct proposal *p, enum err err)
{
    struct commit *c = CONTAINER_OF(p, struct commit, proposal);
    struct actor *a = c->actor;
    list_remove(&c->link);
    if (a != NULL && c->has_due && a->registry->on_due != NULL) {
        a->registry->on_due(a->registry->on_due_ctx, a->shard, buf_slice(&p->batch));
    }
    buf_done(&p->batch);
    if (a == NULL) { /* its requests were answered when the shard was lost */
        drop_events(c);
        mem_free(c);
        return;
    }
    INVARIANT(err == ERR_OK); /* all else deposes the actor first */
    INVARIANT(!a->is_running);
    a->is_running = true; /* what watchers and answers bring waits in the mailbox */
    a->committed++;
    a->durable_version = c->version;
    INVARIANT(a->committed <= a->proposed);
    publish_events(a, c);
    mem_free(c);
    a->is_running = false;
    actor_on_drained(a);
    actor_run(a);
    registry_settle(a->registry, a);
}

/* Turns */

static void propose(struct turn *t, struct buf *batch)
{
    struct actor *a = t->actor;
    size_t event_count = turn_event_count(t);
    struct commit *c = mem_zalloc(sizeof *c + event_count * sizeof c->events[0]);
    c->actor = a;
    c->version = t->version;
    c->has_due = t->has_due;
    c->event_count = event_count;
    turn_take_events(t, c->events);
    c->proposal.batch = buf_take(batch);
    c->proposal.done = on_committed;
    list_init(&c->link);
    list_append(&a->commits, &c->link);
    a->proposed++;
    shard_propose(a->shard, &c->proposal);
}

/* Space and queues are claimed before the next turn can see what this one did. */
static void commit_turn(struct turn *t)
{
    struct actor *a = t->actor;
    struct reply *reply = &t->request->reply;
    struct buf batch = {0};
    const char *limit = NULL;
    uint64_t value = 0;
    enum err err = shard_reserve(a->shard, turn_bytes(t), turn_only_deletes(t), &limit, &value);
    if (err != ERR_OK) {
        turn_discard(t);
        (void)reply_limited(reply, err, limit, value);
        return;
    }
    err = turn_seal(t, &batch);
    if (err != ERR_OK) {
        (void)reply_too_large(reply, "batch_bytes", BATCH_BYTES_MAX);
        return;
    }
    t->request->has_wrote = true;
    propose(t, &batch);
}

/* Rows could not be read: for good, or because as many reads as may be are under way. */
static void fail_read(struct reply *reply, enum err err)
{
    if (err == ERR_OVERLOADED) {
        (void)reply_limited(reply, err, "cold_reads", ENGINE_READS_MAX);
    } else {
        (void)reply_fail(reply, err, "The actor's rows cannot be read.");
    }
}

/* Runs the turn until it ends, or has to wait for rows that are on disk. True where it ended. */
static bool drive(struct actor *a)
{
    struct turn *t = a->turn;
    while (turn_run(t) == ERR_COLD) {
        if (!actor_read(a)) {
            return false;
        }
        if (a->read_err != ERR_OK) {
            turn_discard(t);
            fail_read(&t->request->reply, a->read_err);
            break;
        }
    }
    if (turn_writes(t)) {
        commit_turn(t);
    }
    a->registry->stats.turns++;
    return true;
}

static struct request *free_turn(struct actor *a)
{
    struct request *r = a->turn->request;
    turn_done(a->turn);
    mem_free(a->turn);
    a->turn = NULL;
    return r;
}

/* Bytes of its reply, which may be gone already. */
static size_t end_turn(struct actor *a)
{
    struct request *r = free_turn(a);
    size_t bytes = reply_bytes(r);
    gate(a, r);
    return bytes;
}

/* Likewise; 0 where it waits for rows. */
static size_t begin_turn(struct actor *a, struct request *r)
{
    a->turn = mem_alloc(sizeof *a->turn); /* warm memory, where that of a sleepy actor is not */
    turn_init(a->turn, a, r);
    r->stage = REQUEST_RUNNING;
    if (drive(a)) {
        return end_turn(a);
    }
    actor_move(a, ACTOR_READING);
    return 0;
}

/* NULL where it is empty. */
static struct request *take_from_mailbox(struct actor *a)
{
    struct request *r = LIST_FIRST(&a->mailbox, struct request, link);
    if (r != NULL) {
        list_remove(&r->link);
        a->mailbox_count--;
    }
    return r;
}

static bool may_begin(const struct actor *a)
{
    return a->state == ACTOR_IDLE && a->mailbox_count > 0 && a->gated_count < GATED_REQUESTS_MAX &&
           (a->gated_count == 0 || a->registry->gated_bytes < REGISTRY_GATED_BYTES_MAX);
}

static void run_mailbox(struct actor *a, size_t *left)
{
    while (*left > 0 && may_begin(a)) {
        spend(left, begin_turn(a, take_from_mailbox(a)));
    }
}

/* Inside, what an answer brings waits in the mailbox: the loops here take it. */
static void run_slice(struct actor *a)
{
    size_t left = ACTOR_SLICE;
    PRE(a->is_running);
    release(a, &left);
    run_mailbox(a, &left);
    if (next_released(a) != NULL || may_begin(a)) {
        registry_go_on_later(a->registry, a);
    }
}

void actor_run(struct actor *a)
{
    if (!a->is_running) {
        a->is_running = true;
        run_slice(a);
        a->is_running = false;
    }
}

static void fail_load(struct actor *a, enum err err)
{
    struct request *r;
    a->is_running = true; /* what the answers bring fails likewise, and nobody frees the actor */
    while ((r = take_from_mailbox(a)) != NULL) {
        fail_read(&r->reply, err);
        finish(r);
    }
    a->is_running = false;
}

void actor_on_loaded(struct actor *a, enum err err)
{
    if (err != ERR_OK) {
        actor_move(a, ACTOR_ABSENT);
        fail_load(a, err);
        return;
    }
    actor_move(a, ACTOR_IDLE);
    actor_run(a);
}

/* The rows that the turn waited for are here: it runs again from its start. */
void actor_on_rows(struct actor *a)
{
    PRE(a->state == ACTOR_READING && a->turn != NULL);

    a->is_running = true;
    if (a->read_err != ERR_OK) {
        turn_reset(a->turn);
        fail_read(&a->turn->request->reply, a->read_err);
    } else if (!drive(a)) {
        a->is_running = false;
        return;
    }
    actor_move(a, ACTOR_IDLE);
    (void)end_turn(a);
    run_slice(a);
    a->is_running = false;
}

enum err actor_submit(struct actor *a, struct request *r)
{
    if (a->mailbox_count >= MAILBOX_REQUESTS_MAX) {
        return ERR_OVERLOADED;
    }
    actor_set_address(a, r->address_text, &r->address);
    a->is_visit = a->is_visit && (r->kind == REQUEST_ACTOR_INFO || r->kind == REQUEST_HIBERNATE);
    r->stage = REQUEST_QUEUED;
    list_append(&a->mailbox, &r->link);
    a->mailbox_count++;
    if (a->state == ACTOR_ABSENT && !a->is_running) {
        actor_move(a, ACTOR_LOADING);
        actor_load(a);
    } else {
        actor_run(a);
    }
    return ERR_OK;
}

/* Its reads may still come, to nobody; what it staged was never seen. */
static void interrupt(struct actor *a)
{
    PRE(a->state == ACTOR_READING && a->turn != NULL);
    actor_cancel_reads(a);
    (void)free_turn(a);
    actor_move(a, ACTOR_IDLE);
}

bool actor_withdraw(struct actor *a, struct request *r)
{
    if (r->stage == REQUEST_QUEUED) {
        list_remove(&r->link);
        a->mailbox_count--;
        return true;
    }
    if (r->stage == REQUEST_RUNNING) {
        INVARIANT(!a->is_running && a->turn->request == r);
        interrupt(a);
        return true;
    }
    return false;
}

void actor_abandon(struct actor *a, struct request *r)
{
    PRE(r->stage == REQUEST_GATED);
    ungate(a, r);
}

/* The newest proposal that may happen yet. Those behind it are in no entry, and never will be. */
static uint64_t newest_logged(const struct actor *a)
{
    uint64_t newest = a->committed;
    LIST_FOREACH (link, &a->commits) {
        newest += LIST_ENTRY(link, struct commit, link)->proposal.is_logged ? 1 : 0;
    }
    return newest;
}

/* The shard is lost. What a gated request has read may never have become durable, so it is not
 * answered with that. The gate of one that wrote is its own proposal. */
static void fail_requests(struct actor *a, uint64_t logged)
{
    struct request *r;
    while ((r = LIST_FIRST(&a->gated, struct request, link)) != NULL) {
        bool may_happen = r->has_wrote && r->gate <= logged;
        ungate(a, r);
        (void)reply_fail(&r->reply, may_happen ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE, NULL);
        finish(r);
    }
    while ((r = take_from_mailbox(a)) != NULL) {
        (void)reply_fail(&r->reply, ERR_UNAVAILABLE, NULL);
        finish(r);
    }
}

void actor_depose(struct actor *a)
{
    uint64_t logged = newest_logged(a);
    actor_cancel_reads(a);
    LIST_FOREACH_SAFE (link, &a->commits) {
        struct commit *c = LIST_ENTRY(link, struct commit, link);
        list_remove(&c->link);
        c->actor = NULL;
    }
    if (a->turn != NULL) {
        struct request *r = free_turn(a);
        (void)reply_fail(&r->reply, ERR_UNAVAILABLE, NULL);
        finish(r);
    }
    fail_requests(a, logged);
    actor_free(a);
}
