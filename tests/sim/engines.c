/* Real engines in one process: shards, logs and stores of four nodes, in directories of their own, without
 * threads, on virtual time. What tests/sim/clusters leaves out is real here: entries made of batches, the
 * write-ahead log, rows in memory and in LMDB, checkpoints, copies of a store that take another's place,
 * replicas that come to a node and go from it. A crash leaves what was written by then.
 *
 *     SEEDS=200 ./engines            more clusters than in make check
 *     FIRST=7 SEEDS=1 ./engines      this one */
#include "tests/sim/engines.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "node/membership.h"
#include "storage/data_dir.h"
#include "storage/engine.h"
#include "storage/pulse.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

enum {
    STEP_MS = 10,
    FAULT_STEPS = 1500,
    QUIET_STEPS = 3000,
    REST_STEPS = 300,
    FAILOVER_STEPS = 1000,
    SEEDS_DEFAULT = 10,
    DIR_BYTES = 4096,
    CHECKPOINTS_MORE = 20, /* than entries */
};

uint64_t cluster_draw(struct cluster *c, uint64_t below)
{
    return test_below(&c->random, below);
}

void cluster_fail(struct cluster *c, const char *format, ...)
{
    va_list arguments;
    if (c->reason[0] == 0) {
        int n = snprintf(c->reason, sizeof c->reason, "at %llu ms: ", ULL(c->now_ms));
        va_start(arguments, format);
        (void)vsnprintf(c->reason + n, sizeof c->reason - (size_t)n, format, arguments);
        va_end(arguments);
    }
}

/* Messages */

static struct node *node_of(struct cluster *c, uint64_t replica)
{
    return &c->nodes[replica_node(replica) - 1];
}

static void free_message(struct cluster *c, struct message *m)
{
    if (m->path != NULL) {
        (void)unlink(m->path);
    }
    list_remove(&m->link);
    c->message_count--;
    mem_free(m->path);
    buf_done(&m->bytes);
    mem_free(m);
}

static struct message *put_message(struct node *from, struct shard *s, uint64_t to)
{
    struct message *m = MEM_NEW(struct message);
    m->shard = shard_id(s);
    m->from = shard_replica(s);
    m->to = to;
    list_append(&from->c->messages, &m->link);
    from->c->message_count++;
    return m;
}

static bool is_cut(const struct node *n)
{
    return n->cut_ms > n->c->now_ms;
}

static void on_installed(struct shard_install *i, enum err err)
{
    struct node *n = i->user;
    if (err == ERR_OK) {
        n->c->totals->installed++;
    } else if (err != ERR_CLOSED && err != ERR_BUSY) {
        cluster_fail(n->c, "node %u: a copy is refused: %s", n->id, err_info(err)->name);
    }
    mem_free(i);
}

static char *path_of_copy(struct cluster *c, const struct node *n)
{
    struct buf path = {0};
    char *dir = engine_store_dir(n->engine);
    buf_printf(&path, "%s/copy-%u%c", dir, ++c->copy_count, 0);
    mem_free(dir);
    return (char *)path.data;
}

static void deliver_copy(struct node *to, struct shard *s, struct message *m)
{
    struct shard_install *i = MEM_NEW(struct shard_install);
    i->done = on_installed;
    i->user = to;
    i->from = m->from;
    i->message = buf_take(&m->bytes);
    i->path = path_of_copy(to->c, to);
    int rc = rename(m->path, i->path); /* as if it had been sent */
    INVARIANT(rc == 0);
    if (shard_install(s, i) != ERR_OK) {
        (void)unlink(i->path);
        buf_done(&i->message);
        mem_free(i->path);
        mem_free(i);
    }
    mem_free(m->path);
    m->path = NULL;
}

static void deliver(struct cluster *c, struct message *m)
{
    struct node *to = node_of(c, m->to);
    struct shard *s = to->engine != NULL ? engine_shard(to->engine, m->shard) : NULL;
    if (s == NULL || is_cut(to)) {
        return;
    }
    if (m->path != NULL) {
        deliver_copy(to, s, m);
        return;
    }
    enum err err = engine_receive(to->engine, m->shard, m->from, buf_slice(&m->bytes));
    if (err != ERR_OK) {
        cluster_fail(c, "node %u refuses a message of node %u: %s", to->id, replica_node(m->from),
                     err_info(err)->name);
    }
}

/* Some of what is on its way, mostly the oldest first; a few are lost. */
static void deliver_some(struct cluster *c)
{
    for (uint64_t count = cluster_draw(c, 1 + 2 * c->message_count); count > 0; count--) {
        struct list *at = c->messages.next;
        for (uint64_t skip = cluster_draw(c, 4) == 0 ? cluster_draw(c, 5) : 0; skip > 0; skip--) {
            at = at->next != &c->messages ? at->next : at;
        }
        if (at == &c->messages) {
            return;
        }
        struct message *m = LIST_ENTRY(at, struct message, link);
        if (c->is_healed || cluster_draw(c, 50) != 0) {
            deliver(c, m);
        }
        free_message(c, m);
    }
}

/* Hooks */

static void on_lead(void *ctx, struct shard *s)
{
    struct node *n = ctx;
    struct shard_status status;
    shard_status(s, &status);
    n->has_born[shard_id(s)] = status.actors > 0;
}

static void on_depose(void *ctx, struct shard *s)
{
    (void)ctx;
    (void)s;
}

static void send(void *ctx, struct shard *s, uint64_t to, struct slice bytes)
{
    struct node *n = ctx;
    if (!is_cut(n)) {
        buf_append_slice(&put_message(n, s, to)->bytes, bytes);
    }
}

static void wants_snapshot(void *ctx, struct shard *s, uint64_t to, uint64_t index)
{
    (void)index;
    ((struct node *)ctx)->copy_for[shard_id(s)] = to;
}

static uint64_t digest_of_entry(const struct group_entry *e)
{
    uint64_t digest = e->term * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t i = 0; i < e->data.len; i++) {
        digest = (digest ^ e->data.data[i]) * UINT64_C(0x100000001b3);
    }
    return digest | 1;
}

static void on_applied(void *ctx, struct shard *s, const struct group_entry *e)
{
    struct node *n = ctx;
    struct cluster *c = n->c;
    INVARIANT(e->index < ENTRIES_MAX);
    uint64_t *known = &c->entries[shard_id(s)][e->index];
    if (*known != 0 && *known != digest_of_entry(e)) {
        cluster_fail(c, "shard %u: nodes differ at %llu", shard_id(s), ULL(e->index));
    }
    struct slice rest = e->data;
    struct slice batch;
    while (*known == 0 && rest.len > 0) {
        enum err err = entry_next(&rest, &batch);
        INVARIANT(err == ERR_OK);
        ops_note_batch(c, batch);
    }
    *known = digest_of_entry(e);
}

static const struct shard_hooks hooks = {.lead = on_lead,
                                         .depose = on_depose,
                                         .send = send,
                                         .wants_snapshot = wants_snapshot,
                                         .applied = on_applied};

static uint64_t place_on(const struct cluster *c, uint32_t shard, uint32_t node)
{
    const struct place *place = &c->places[shard];
    for (uint32_t i = 0; i < place->replica_count; i++) {
        if (replica_node(place->replicas[i]) == node) {
            return place->replicas[i];
        }
    }
    return 0;
}

static void replica_of(void *ctx, uint32_t shard, struct engine_replica *replica)
{
    struct node *n = ctx;
    for (uint32_t i = 0; i < FIRST_VOTERS; i++) {
        n->voters[i] = replica_id(i + 1, shard + 1);
    }
    uint64_t id = place_on(n->c, shard, n->id);
    bool is_first = id == replica_id(n->id, shard + 1);
    *replica = (struct engine_replica){
        .replica = id, .voters = n->voters, .voter_count = is_first ? FIRST_VOTERS : 0};
}

static void notify(void *ctx)
{
    (void)ctx; /* the loop looks by itself */
}

/* Copies of stores */

struct copy_op {
    struct shard_copy copy;
    struct node *node;
    uint32_t shard;
    uint64_t to;
};

static void send_copy(struct copy_op *o)
{
    struct node *n = o->node;
    struct shard *s = engine_shard(n->engine, o->shard);
    struct buf offer = {0};
    if (s != NULL && o->copy.applied.index > 0 && !is_cut(n) &&
        shard_offer(s, o->to, &o->copy.applied, &offer) == ERR_OK) {
        struct message *m = put_message(n, s, o->to);
        m->bytes = buf_take(&offer);
        m->path = o->copy.path;
        o->copy.path = NULL;
        n->c->totals->copies++;
    }
}

static void on_copied(struct shard_copy *copy, enum err err)
{
    struct copy_op *o = CONTAINER_OF(copy, struct copy_op, copy);
    if (err == ERR_OK) {
        send_copy(o);
    } else if (err != ERR_CLOSED) {
        cluster_fail(o->node->c, "node %u: its store is not copied: %s", o->node->id,
                     err_info(err)->name);
    }
    if (o->copy.path != NULL) {
        (void)unlink(o->copy.path);
    }
    mem_free(o->copy.path);
    mem_free(o);
}

static void make_copy(struct node *n, struct shard *s)
{
    struct copy_op *o = MEM_NEW(struct copy_op);
    o->node = n;
    o->shard = shard_id(s);
    o->to = n->copy_for[o->shard];
    o->copy.done = on_copied;
    o->copy.path = path_of_copy(n->c, n);
    n->copy_for[o->shard] = 0;
    if (shard_copy(s, &o->copy) != ERR_OK) {
        mem_free(o->copy.path);
        mem_free(o);
    }
}

/* Members */

static struct shard *shard_on(struct node *n, uint32_t shard)
{
    return n->engine != NULL ? engine_shard(n->engine, shard) : NULL;
}

static bool is_settled(struct shard *leader, const struct place *place, uint64_t lag)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    struct shard_status status;
    size_t count = shard_peers(leader, peers);
    shard_status(leader, &status);
    return !shard_is_changing(leader) &&
           membership_is_settled(peers, count, shard_replica(leader), status.applied, lag, place,
                                 PLACEMENT_REPLICAS_MAX);
}

static struct shard *settled_leader(struct cluster *c, uint32_t shard)
{
    for (size_t i = 0; i < NODES; i++) {
        struct shard *s = shard_on(&c->nodes[i], shard);
        if (s != NULL && shard_is_leading(s) && is_settled(s, &c->places[shard], UINT64_MAX / 2)) {
            return s;
        }
    }
    return NULL;
}

static void on_changed(struct engine_change *change, enum err err)
{
    struct node *n = change->user;
    n->is_changing[change->shard] = false;
    if (err == ERR_OK) {
        n->c->totals->left += change->replica == 0;
    } else if (err != ERR_CLOSED) {
        cluster_fail(n->c, "node %u: a replica does not come or go: %s", n->id,
                     err_info(err)->name);
    }
}

static void host(struct node *n, uint32_t shard)
{
    struct shard *s = shard_on(n, shard);
    uint64_t wanted = place_on(n->c, shard, n->id);
    struct engine_change *change = &n->changes[shard];
    bool comes = s == NULL && wanted != 0;
    bool goes = s != NULL && shard_replica(s) != wanted && !shard_is_leading(s) &&
                settled_leader(n->c, shard) != NULL;
    if (n->is_changing[shard] || (!comes && !goes)) {
        return;
    }
    *change = (struct engine_change){
        .done = on_changed, .user = n, .shard = shard, .replica = comes ? wanted : 0};
    enum err err =
        comes ? engine_add_replica(n->engine, change) : engine_remove_replica(n->engine, change);
    n->is_changing[shard] = err == ERR_OK;
}

static void take_step(struct node *n, struct shard *s)
{
    struct totals *t = n->c->totals;
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = shard_peers(s, peers);
    struct membership_step step = membership_next(
        peers, count, shard_replica(s), &n->c->places[shard_id(s)], PLACEMENT_REPLICAS_MAX);
    switch (step.action) {
    case MEMBERSHIP_NONE:
        return;
    case MEMBERSHIP_ADD:
        t->added += shard_assign(s, step.replica, GROUP_STANDBY) == ERR_OK;
        return;
    case MEMBERSHIP_PROMOTE:
        t->promoted += shard_assign(s, step.replica, GROUP_VOTER) == ERR_OK;
        return;
    case MEMBERSHIP_REMOVE:
        t->removed += shard_remove(s, step.replica) == ERR_OK;
        return;
    case MEMBERSHIP_HAND_OVER:
        t->transfers += shard_transfer(s, step.replica) == ERR_OK;
        return;
    }
}

/* A replica goes from one node to another that has none. */
static void move_a_replica(struct cluster *c)
{
    uint32_t shard = (uint32_t)cluster_draw(c, SHARDS);
    struct place *place = &c->places[shard];
    struct node *to = &c->nodes[cluster_draw(c, NODES)];
    if (settled_leader(c, shard) != NULL && place_on(c, shard, to->id) == 0 &&
        shard_on(to, shard) == NULL && to->engine != NULL && !to->is_changing[shard]) {
        place->replicas[cluster_draw(c, place->replica_count)] =
            replica_id(to->id, ++c->last_sequence);
    }
}

/* Nodes */

static void start_node(struct node *n)
{
    struct cluster *c = n->c;
    char detail[ENGINE_DETAIL_BYTES];
    n->life++;
    enum err err = engine_open(&n->options, c->now_ms, UINT64_C(1700000000000) + c->now_ms,
                               &n->engine, detail);
    if (err != ERR_OK) {
        n->engine = NULL;
        cluster_fail(c, "node %u does not start: %s", n->id, detail);
    }
}

/* Each takes something over, else they would never end. */
static void count_checkpoints(struct node *n)
{
    struct engine_stats stats;
    uint64_t entries = 0;
    engine_stats(n->engine, &stats);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        for (size_t i = 0; i < ENTRIES_MAX; i++) {
            entries += n->c->entries[shard][i] != 0;
        }
    }
    n->c->totals->checkpoints += stats.checkpoints;
    if (stats.checkpoints > entries + CHECKPOINTS_MORE) {
        cluster_fail(n->c, "node %u has made %llu checkpoints of %llu entries", n->id,
                     ULL(stats.checkpoints), ULL(entries));
    }
}

static void crash_node(struct node *n)
{
    count_checkpoints(n);
    engine_abandon(n->engine);
    n->engine = NULL;
    n->up_ms = n->c->now_ms + cluster_draw(n->c, 2000);
    n->c->totals->crashes++;
}

static void look_after(struct node *n, uint32_t shard)
{
    host(n, shard);
    struct shard *s = shard_on(n, shard);
    if (s != NULL && n->copy_for[shard] != 0) {
        make_copy(n, s);
    }
    if (s != NULL && shard_is_leading(s) && cluster_draw(n->c, 10) == 0) {
        take_step(n, s);
    }
}

static void ask_something(struct node *n, uint32_t shard)
{
    struct shard *s = shard_on(n, shard);
    bool asks = s != NULL && shard_is_leading(s) && n->c->op_count < OPS_MAX - 1;
    if (asks && cluster_draw(n->c, 4) == 0) {
        ops_write(n, s);
    } else if (asks && cluster_draw(n->c, 4) == 0) {
        ops_read(n->c, s);
    }
}

static void turn_node(struct node *n, bool asks)
{
    struct cluster *c = n->c;
    engine_set_time(n->engine, c->now_ms, UINT64_C(1700000000000) + c->now_ms);
    engine_tick(n->engine);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        look_after(n, shard);
        if (asks) {
            ask_something(n, shard);
        }
    }
    engine_flush(n->engine);
    bool is_slow = n->slow_ms > c->now_ms;
    for (uint64_t pieces = is_slow ? cluster_draw(c, 10) == 0 : cluster_draw(c, 6); pieces > 0;
         pieces--) {
        static const int kinds[] = {ENGINE_LOG, ENGINE_CHECKPOINTS, ENGINE_READS, ENGINE_BULK,
                                    ENGINE_ALL};
        (void)engine_work(n->engine, kinds[cluster_draw(c, 5)]);
    }
    engine_poll(n->engine);
}

static void strike(struct cluster *c)
{
    struct node *n = &c->nodes[cluster_draw(c, NODES)];
    switch (cluster_draw(c, 6)) {
    case 0:
        if (n->engine != NULL) {
            crash_node(n);
        }
        break;
    case 1:
        n->cut_ms = c->now_ms + cluster_draw(c, 2500);
        break;
    case 2:
        n->slow_ms = c->now_ms + cluster_draw(c, 1500);
        break;
    case 3:
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            struct shard *s = shard_on(n, shard);
            if (s != NULL && shard_is_leading(s)) {
                c->totals->transfers += shard_transfer(s, 0) == ERR_OK;
            }
        }
        break;
    default:
        move_a_replica(c);
        break;
    }
}

/* Pulses travel at once, or not at all. */
static void beat(struct cluster *c, struct node *from)
{
    for (size_t i = 0; i < NODES; i++) {
        struct node *to = &c->nodes[i];
        if (to != from && to->engine != NULL && from->engine != NULL && !is_cut(from) &&
            !is_cut(to)) {
            engine_set_time(to->engine, c->now_ms, UINT64_C(1700000000000) + c->now_ms);
            engine_hear_pulse(to->engine, from->id, from->life, c->now_ms);
        }
    }
}

static void note_rest(struct node *n)
{
    struct engine_stats stats;
    engine_stats(n->engine, &stats);
    n->c->totals->rested += stats.resting;
}

static void step(struct cluster *c, bool asks)
{
    c->now_ms += STEP_MS;
    if (!c->is_healed && cluster_draw(c, 40) == 0) {
        strike(c);
    }
    for (size_t i = 0; i < NODES && c->reason[0] == 0; i++) {
        struct node *n = &c->nodes[i];
        if (n->engine == NULL && ((c->is_healed && !c->is_missing_one) || n->up_ms <= c->now_ms)) {
            start_node(n);
        }
        if (n->engine != NULL) {
            turn_node(n, asks);
        }
        if (n->engine != NULL && c->now_ms % PULSE_MS == 0) {
            beat(c, n);
            note_rest(n);
        }
    }
    deliver_some(c);
}

/* Worlds */

static void begin(struct cluster *c, uint64_t seed, struct totals *totals)
{
    static const size_t memories[] = {200 << 10, 1 << 20, 16 << 20};
    *c = (struct cluster){.random = seed * 7919 + 1, .now_ms = 1000, .totals = totals};
    c->base = test_make_dir();
    c->last_sequence = FIRST_SEQUENCE;
    list_init(&c->messages);
    size_t memory = memories[cluster_draw(c, 3)];
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        c->places[shard] = (struct place){.shard = shard, .replica_count = FIRST_VOTERS};
        for (uint32_t i = 0; i < FIRST_VOTERS; i++) {
            c->places[shard].replicas[i] = replica_id(i + 1, shard + 1);
        }
    }
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *n = &c->nodes[i];
        struct data_dir data;
        char detail[ENGINE_DETAIL_BYTES];
        n->c = c;
        n->id = i + 1;
        n->dir = mem_alloc(DIR_BYTES);
        (void)snprintf(n->dir, DIR_BYTES, "%s/n%u", c->base, n->id);
        expect_err(data_dir_open(&data, n->dir, SHARDS, 1, detail), ERR_OK);
        data_dir_close(&data);
        n->options = (struct engine_options){.data_dir = n->dir,
                                             .worker_count = 1,
                                             .shard_count = SHARDS,
                                             .memory_bytes = memory,
                                             .hooks = &hooks,
                                             .hooks_ctx = n,
                                             .replica_of = replica_of,
                                             .notify = notify,
                                             .notify_ctx = n,
                                             /* a message of entries fits, as it does in a node */
                                             .wal_segment_bytes = (40 + cluster_draw(c, 24)) * 4096,
                                             .map_bytes = 8 << 20,
                                             .unthreaded = true,
                                             .random = seed * 64 + n->id};
        n->options.wal_budget_bytes = (4 + cluster_draw(c, 6)) * n->options.wal_segment_bytes;
    }
}

static void end(struct cluster *c)
{
    while (!list_is_empty(&c->messages)) {
        free_message(c, LIST_FIRST(&c->messages, struct message, link));
    }
    for (uint32_t i = 0; i < NODES; i++) {
        struct node *n = &c->nodes[i];
        if (n->engine != NULL) {
            engine_abandon(n->engine);
        }
        mem_free(n->dir);
    }
    test_remove_dir(c->base);
}

/* NULL, or what is not as it should be (static). */
static const char *unrest_of(struct cluster *c, uint32_t shard)
{
    struct shard *leader = settled_leader(c, shard);
    struct shard_status first;
    size_t found = 0;
    if (leader == NULL) {
        return "nobody leads, or its members are not as they should be";
    }
    shard_status(leader, &first);
    for (size_t i = 0; i < NODES; i++) {
        struct shard *s = shard_on(&c->nodes[i], shard);
        struct shard_status status;
        if (s == NULL) {
            continue;
        }
        shard_status(s, &status);
        found++;
        if (status.applied != first.applied || status.queued_bytes > 0 ||
            c->nodes[i].is_changing[shard]) {
            return "a replica has not caught up";
        }
    }
    return found == FIRST_VOTERS ? NULL : "a replica is missing, or one too many";
}

static bool is_quiet(struct cluster *c)
{
    return unrest_of(c, 0) == NULL && unrest_of(c, 1) == NULL;
}

static void check_end(struct cluster *c)
{
    for (size_t i = 0; i < NODES; i++) {
        for (uint32_t shard = 0; shard < SHARDS; shard++) {
            struct shard *s = shard_on(&c->nodes[i], shard);
            for (uint32_t key = 0; s != NULL && key < KEYS; key++) {
                ops_check(&c->nodes[i], s, key);
            }
        }
    }
}

static void come_to_rest(struct cluster *c)
{
    c->is_healed = true;
    for (size_t i = 0; i < NODES; i++) {
        c->nodes[i].cut_ms = 0;
        c->nodes[i].slow_ms = 0;
    }
    for (int steps = 0; c->reason[0] == 0 && !is_quiet(c); steps++) {
        if (steps == QUIET_STEPS) {
            for (uint32_t shard = 0; shard < SHARDS; shard++) {
                const char *unrest = unrest_of(c, shard);
                if (unrest != NULL) {
                    cluster_fail(c, "shard %u is not well again: %s", shard, unrest);
                }
            }
            return;
        }
        step(c, false);
    }
}

static size_t led_without(struct cluster *c, const struct node *dead)
{
    size_t led = 0;
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        bool is_led = false;
        for (size_t i = 0; i < NODES; i++) {
            struct shard *s = &c->nodes[i] != dead ? shard_on(&c->nodes[i], shard) : NULL;
            is_led = is_led || (s != NULL && shard_is_leading(s));
        }
        led += is_led;
    }
    return led;
}

/* All was at rest: a node goes, and stays away; nobody is told. */
static void fail_over(struct cluster *c)
{
    for (int steps = 0; steps < REST_STEPS && c->reason[0] == 0; steps++) {
        step(c, false);
    }
    struct node *dead = &c->nodes[cluster_draw(c, NODES)];
    crash_node(dead);
    dead->up_ms = UINT64_MAX;
    c->is_missing_one = true;
    for (int steps = 0; steps < FAILOVER_STEPS && c->reason[0] == 0; steps++) {
        if (led_without(c, dead) == SHARDS) {
            c->totals->failed_over++;
            return;
        }
        step(c, false);
    }
    cluster_fail(c, "a shard is led by nobody long after node %u has gone", dead->id);
}

static void run(uint64_t seed, struct totals *totals, char reason[400])
{
    static struct cluster c;
    begin(&c, seed, totals);
    for (int steps = 0; steps < FAULT_STEPS && c.reason[0] == 0; steps++) {
        step(&c, true);
    }
    come_to_rest(&c);
    for (size_t i = 0; i < NODES && c.reason[0] == 0; i++) {
        count_checkpoints(&c.nodes[i]);
    }
    if (c.reason[0] == 0) {
        check_end(&c);
    }
    if (c.reason[0] == 0) {
        fail_over(&c);
    }
    end(&c);
    memcpy(reason, c.reason, sizeof c.reason);
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void engines_of_a_cluster_keep_what_they_acknowledged(void **state)
{
    (void)state;
    struct totals t = {0};
    uint64_t first = setting("FIRST", 1);
    uint64_t count = setting("SEEDS", SEEDS_DEFAULT);
    uint64_t failed = 0;
    for (uint64_t seed = first; seed < first + count; seed++) {
        char reason[400];
        run(seed, &t, reason);
        if (reason[0] != 0) {
            print_message("# FIRST=%llu SEEDS=1: %s\n", ULL(seed), reason);
            failed++;
        }
    }
    print_message("# %llu clusters: %llu writes, %llu done, %llu unknown, %llu refused, %llu "
                  "reads (%llu cold); %llu crashes, %llu checkpoints, %llu copies of a store, %llu "
                  "installed; members: %llu added, %llu promoted, %llu removed, %llu left their "
                  "node, %llu transfers\n",
                  ULL(count), ULL(t.writes), ULL(t.done), ULL(t.unknown), ULL(t.refused),
                  ULL(t.reads), ULL(t.cold_reads), ULL(t.crashes), ULL(t.checkpoints),
                  ULL(t.copies), ULL(t.installed), ULL(t.added), ULL(t.promoted), ULL(t.removed),
                  ULL(t.left), ULL(t.transfers));
    print_message("# %llu times a replica was seen at rest, %llu leaders failed over from there\n",
                  ULL(t.rested), ULL(t.failed_over));
    assert_int_equal(failed, 0);
    if (count >= SEEDS_DEFAULT) { /* what never happened was not tested */
        assert_true(t.done > 0 && t.unknown > 0 && t.refused > 0 && t.cold_reads > 0);
        assert_true(t.crashes > 0 && t.checkpoints > 0 && t.installed > 0 && t.transfers > 0);
        assert_true(t.rested > 0 && t.failed_over > 0);
        assert_true(t.added > 0 && t.promoted > 0 && t.removed > 0 && t.left > 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines_of_a_cluster_keep_what_they_acknowledged)};
    test_begin();
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0); /* the real syncs are of no use here */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
