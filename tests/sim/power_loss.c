/* The power-loss harness of the whole engine: data directory, log, stores and actors.
 *
 * A seed is a life of a node: random transactions on a few actors with small segments and frequent
 * checkpoints, and again and again the process dies in the middle of some call of the disk, alone or
 * with the machine (tests/unit/power_disk.h; LMDB's own calls are caught by tests/sim/store_disk.h).
 * What the next start finds of an actor must be its state after some of its transactions, in order,
 * and not before the last acknowledged one: nothing acknowledged lost, nothing applied in part, and
 * no start refused.
 *
 *     SEEDS=1000 ./power_loss       more lives than in make check
 *     SEED=7 ./power_loss           this one
 *     PLANT=1 ...                   with a defect put in; it must be found */
#include <stdlib.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"
#include "storage/store.h"
#include "tests/lib/engine_fixture.h"
#include "tests/sim/store_disk.h"
#include "tests/unit/power_disk.h"

enum {
    SEEDS_DEFAULT = 100,
    PLANT_SEEDS = 100, /* a planted defect must be found by then */
    DEATHS = 6,        /* in a life */
    ACTORS = 6,
    KEYS = 4,
    OPS_MAX = 400, /* between two starts */
    STEPS_MAX = 400,
    PAD_BYTES_MAX = 3000,
    PLACE_CALLS_MIN = 500,                /* a place called so often must have been cut */
    PLANT_STORE_SYNC = POWER_PLANT_COUNT, /* LMDB does not sync */
};

/* What an actor holds: the number of the transaction that wrote each key; 0: absent. */
struct contents {
    uint32_t at[KEYS];
};

struct op {
    uint32_t actor;
    uint32_t stamp;
    enum { KEEPS, PUTS, DELETES } does[KEYS];
    bool is_drop;
    struct asked asked;
};

struct totals {
    struct power_stats disk;
    struct store_disk_stats store;
    uint64_t ops;
    uint64_t acknowledged;
    uint64_t refused;
    uint64_t found_unacknowledged;
    uint64_t lost_unacknowledged;
    uint64_t drops;
    uint64_t died_in_start;
    uint64_t died_in_checkpoint;
    uint64_t clean_stops;
    uint64_t checkpoints;
    uint64_t segments; /* begun */
};

struct life {
    uint64_t random;
    struct engine_fixture f;
    struct power_disk *disk;
    struct contents base[ACTORS]; /* what the last start found */
    struct op ops[OPS_MAX];
    size_t op_count;
    uint32_t last_stamp;
    bool log_died;
    struct totals *totals;
    char reason[600];
};

static uint64_t draw(struct life *l, uint64_t below)
{
    return power_random(&l->random) % below;
}

static bool is_dead(const struct life *l)
{
    return l->log_died || power_disk_is_dead(l->disk);
}

static void note_death(void *ctx, const char *path, uint64_t offset, int reason)
{
    (void)path;
    (void)offset;
    (void)reason;
    struct engine_fixture *f = ctx;
    CONTAINER_OF(f, struct life, f)->log_died = true;
}

/* Values: the stamp, then as many letters as follow from it. */

static size_t pad_of(uint32_t stamp)
{
    uint64_t seed = stamp;
    uint64_t drawn = power_random(&seed);
    return drawn % 4 == 0 ? drawn / 4 % PAD_BYTES_MAX : drawn / 4 % 60;
}

static void put_value(struct buf *json, uint32_t stamp)
{
    buf_printf(json, "\"%u:", stamp);
    memset(buf_extend(json, pad_of(stamp)), 'p', pad_of(stamp));
    buf_append_byte(json, '"');
}

/* False: nobody wrote this. */
static bool stamp_of(struct slice value, uint32_t *ret_stamp)
{
    struct slice text;
    char digits[16] = "";
    if (!value_get_str(value, &text)) {
        return false;
    }
    const uint8_t *colon = memchr(text.data, ':', text.len);
    size_t len = colon != NULL ? (size_t)(colon - text.data) : 0;
    if (len == 0 || len >= sizeof digits) {
        return false;
    }
    memcpy(digits, text.data, len);
    *ret_stamp = (uint32_t)strtoul(digits, NULL, 10);
    return text.len == len + 1 + pad_of(*ret_stamp);
}

/* Asking */

static void id_of(uint32_t actor, char ret_id[32])
{
    (void)snprintf(ret_id, 32, "actor %u", actor);
}

/* Puts and deletes of several keys: seen all or none. */
static struct request *random_txn(struct life *l, struct op *op, const char *id)
{
    struct buf json = {0};
    op->stamp = ++l->last_stamp;
    buf_append_str(&json, "{\"do\":[");
    for (int key = 0; key < KEYS; key++) {
        static const int kinds[] = {PUTS, DELETES, KEEPS};
        op->does[key] = key == 0 ? PUTS : kinds[draw(l, 3)]; /* the first says which was last */
        if (op->does[key] == KEEPS) {
            continue;
        }
        buf_append_str(&json, key > 0 ? "," : "");
        if (op->does[key] == PUTS) {
            buf_printf(&json, "{\"put\":\"%d\",\"value\":", key);
            put_value(&json, op->stamp);
            buf_append_byte(&json, '}');
        } else {
            buf_printf(&json, "{\"delete\":\"%d\"}", key);
        }
    }
    buf_append(&json, "]}", 3);
    struct request *r = json_request(REQUEST_TXN, id, (char *)json.data);
    buf_done(&json);
    return r;
}

static void apply(struct contents *c, const struct op *op)
{
    for (int key = 0; key < KEYS; key++) {
        if (op->is_drop || op->does[key] == DELETES) {
            c->at[key] = 0;
        } else if (op->does[key] == PUTS) {
            c->at[key] = op->stamp;
        }
    }
}

static void ask_something(struct life *l)
{
    if (l->op_count == OPS_MAX) {
        return;
    }
    struct op *op = &l->ops[l->op_count++];
    char id[32];
    *op = (struct op){.actor = (uint32_t)draw(l, ACTORS)};
    id_of(op->actor, id);
    op->is_drop = draw(l, 20) == 0;
    l->totals->ops++;
    ask(&l->f, &op->asked,
        op->is_drop ? request_of(REQUEST_ACTOR_DELETE, id) : random_txn(l, op, id));
}

/* Living */

static void work_some(struct life *l)
{
    engine_flush(l->f.engine);
    for (uint64_t pieces = draw(l, 4); pieces > 0 && !is_dead(l); pieces--) {
        static const int kinds[] = {ENGINE_LOG, ENGINE_CHECKPOINTS, ENGINE_READS, ENGINE_ALL};
        int kind = kinds[draw(l, 4)];
        uint64_t writes = store_disk_stats().writes;
        (void)engine_work(l->f.engine, kind);
        if (is_dead(l) && store_disk_stats().writes != writes) {
            l->totals->died_in_checkpoint++;
        }
    }
    if (!is_dead(l)) {
        engine_poll(l->f.engine);
    }
}

static void pass_time(struct life *l)
{
    uint64_t ms = draw(l, 3) == 0 ? draw(l, 12 * 1000) : draw(l, 100);
    l->f.mono_ms += ms;
    l->f.wall_ms += ms;
    engine_set_time(l->f.engine, l->f.mono_ms, l->f.wall_ms);
    registry_tick(&l->f.registry, l->f.mono_ms);
    engine_tick(l->f.engine);
}

static void live(struct life *l)
{
    for (uint64_t steps = draw(l, STEPS_MAX); steps > 0 && !is_dead(l); steps--) {
        uint64_t what = draw(l, 10);
        if (what < 4) {
            ask_something(l);
        } else if (what < 9) {
            work_some(l);
        } else {
            pass_time(l);
        }
    }
}

static void add_engine(struct life *l)
{
    struct engine_stats stats;
    engine_stats(l->f.engine, &stats);
    l->totals->checkpoints += stats.checkpoints;
    l->totals->segments += stats.wal.begun;
}

/* The process ends, one way or another. */
static void end(struct life *l)
{
    add_engine(l);
    power_disk_arm(l->disk, 0);
    if (!is_dead(l) && draw(l, 4) == 0) {
        l->totals->clean_stops++;
        engine_fixture_stop(&l->f);
        return;
    }
    engine_fixture_kill(&l->f);
}

static void die(struct life *l)
{
    store_disk_attach(NULL);
    disk_set_default(NULL);
    if (draw(l, 3) == 0) {
        power_disk_kill(l->disk);
    } else {
        power_disk_lose_power(l->disk);
    }
    l->log_died = false;
}

/* Starting */

static enum err open_all(struct life *l)
{
    disk_set_default(power_disk_seam(l->disk));
    store_disk_attach(power_disk_seam(l->disk));
    enum err err = engine_fixture_make_data(&l->f);
    return err == ERR_OK ? engine_fixture_try_start(&l->f) : err;
}

/* Until it starts; it may die in that too. False: refused. */
static bool start(struct life *l)
{
    for (int tries = 0;; tries++) {
        power_disk_arm(l->disk, tries < 3 && draw(l, 2) == 0 ? 1 + draw(l, 60) : 0);
        enum err err = open_all(l);
        if (err == ERR_OK && !is_dead(l)) {
            power_disk_arm(l->disk, 0);
            engine_fixture_settle(&l->f);
            return engine_is_ready(l->f.engine);
        }
        if (!is_dead(l)) {
            (void)snprintf(l->reason, sizeof l->reason, "refused: %s: %.400s", err_info(err)->name,
                           l->f.detail);
            return false;
        }
        l->totals->died_in_start++;
        if (err == ERR_OK) {
            engine_fixture_kill(&l->f);
        }
        die(l);
    }
}

/* Looking */

static bool read_entries(struct slice body, struct contents *ret)
{
    struct slice entries;
    struct slice entry;
    *ret = (struct contents){{0}};
    if (!value_member(body, "entries", &entries)) {
        return false;
    }
    struct value_iter it = value_items(entries);
    while (value_next(&it, &entry)) {
        struct slice doc;
        struct slice key;
        uint32_t stamp;
        if (!value_member(entry, "key", &doc) || !value_get_str(doc, &key) || key.len != 1 ||
            !value_member(entry, "value", &doc) || !stamp_of(doc, &stamp)) {
            return false;
        }
        ret->at[key.data[0] - '0'] = stamp;
    }
    return true;
}

static bool read_actor(struct life *l, uint32_t actor, struct contents *ret)
{
    struct asked a = {0};
    char id[32];
    id_of(actor, id);
    ask(&l->f, &a, request_of(REQUEST_KV_LIST, id));
    engine_fixture_settle(&l->f);
    bool good =
        a.is_answered && a.reply.err == ERR_OK && read_entries(bytes_slice(a.reply.body), ret);
    if (!good) {
        (void)snprintf(l->reason, sizeof l->reason, "actor %u cannot be read: %s", actor,
                       a.is_answered ? err_info(a.reply.err)->name : "no answer");
    }
    asked_done(&a);
    return good;
}

static bool equals(const struct contents *a, const struct contents *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static bool is_refused(const struct op *op)
{
    return op->asked.reply.err != ERR_OK && !err_info(op->asked.reply.err)->maybe_applied;
}

/* The state found must be that after the last acknowledged transaction, or after a later one; what was
 * refused has not happened. */
static bool check_actor(struct life *l, uint32_t actor)
{
    struct contents found;
    if (!read_actor(l, actor, &found)) {
        return false;
    }
    struct contents at = l->base[actor];
    bool fits = equals(&found, &at);
    for (size_t i = 0; i < l->op_count; i++) {
        const struct op *op = &l->ops[i];
        if (op->actor != actor || is_refused(op)) {
            continue;
        }
        apply(&at, op);
        bool is_acknowledged = op->asked.reply.err == ERR_OK;
        fits = equals(&found, &at) || (fits && !is_acknowledged);
        l->totals->found_unacknowledged += !is_acknowledged && equals(&found, &at);
        l->totals->lost_unacknowledged += !is_acknowledged && !equals(&found, &at);
    }
    if (!fits) {
        (void)snprintf(l->reason, sizeof l->reason, "actor %u: %u %u %u %u is none of its states",
                       actor, found.at[0], found.at[1], found.at[2], found.at[3]);
    }
    l->base[actor] = found;
    return fits;
}

/* What the answers said, and what is there. */
static bool check(struct life *l)
{
    for (size_t i = 0; i < l->op_count; i++) {
        struct op *op = &l->ops[i];
        INVARIANT(op->asked.is_answered);
        l->totals->acknowledged += op->asked.reply.err == ERR_OK;
        l->totals->drops += op->is_drop && op->asked.reply.err == ERR_OK;
        l->totals->refused += is_refused(op);
    }
    bool good = true;
    for (uint32_t actor = 0; good && actor < ACTORS; actor++) {
        good = check_actor(l, actor);
    }
    for (size_t i = 0; i < l->op_count; i++) {
        asked_done(&l->ops[i].asked);
    }
    l->op_count = 0;
    return good;
}

/* Lives */

static void begin_life(struct life *l, uint64_t seed, int plant, struct totals *totals)
{
    *l = (struct life){.random = seed * 7919 + 1, .totals = totals};
    char *made = test_make_dir();
    engine_fixture_init_below(&l->f, mem_strdup(made));
    mem_free(made);
    enum power_plant disk_plant =
        plant < POWER_PLANT_COUNT ? (enum power_plant)plant : POWER_PLANT_NONE;
    l->disk = power_disk_new(l->f.base, seed, disk_plant);
    store_disk_skip_syncs(plant == PLANT_STORE_SYNC);
    l->f.options.log_fatal = note_death;
    l->f.options.wal_segment_bytes = (8 + draw(l, 16)) * 4096;
    l->f.options.wal_budget_bytes = (4 + draw(l, 4)) * l->f.options.wal_segment_bytes;
    l->f.options.map_bytes = 8 << 20;
}

static void end_life(struct life *l)
{
    store_disk_attach(NULL);
    disk_set_default(NULL);
    if (l->f.engine != NULL) {
        engine_fixture_kill(&l->f);
    }
    for (size_t i = 0; i < l->op_count; i++) {
        asked_done(&l->ops[i].asked);
    }
    power_stats_add(&l->totals->disk, power_disk_stats(l->disk));
    power_disk_free(l->disk);
    engine_fixture_done(&l->f);
}

/* NULL, or what went wrong (static). */
static const char *run(uint64_t seed, int plant, struct totals *totals)
{
    static struct life life;
    static char reason[sizeof life.reason];
    struct life *l = &life;
    begin_life(l, seed, plant, totals);
    bool good = start(l) && check(l);
    for (int deaths = 0; good && deaths < DEATHS; deaths++) {
        power_disk_arm(l->disk, 1 + draw(l, 300));
        live(l);
        end(l);
        die(l);
        good = start(l) && check(l);
    }
    end_life(l);
    memcpy(reason, l->reason, sizeof reason);
    return good ? NULL : reason;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

#define ULL(n) ((unsigned long long)(n))

/* Segments in slots that had held another one: a new slot is begun once. */
static uint64_t recycled(const struct totals *t)
{
    uint64_t made = t->disk.places[DISK_WAL_SLOT][DISK_OP_RENAME].calls;
    return t->segments > made ? t->segments - made : 0;
}

static void print_totals(const struct totals *t)
{
    struct store_disk_stats s = store_disk_stats();
    power_stats_print(&t->disk);
    print_message("# %llu segments begun, of which %llu at least in slots used before\n",
                  ULL(t->segments), ULL(recycled(t)));
    print_message("# %llu died during a start, %llu during a checkpoint, %llu stopped cleanly\n",
                  ULL(t->died_in_start), ULL(t->died_in_checkpoint), ULL(t->clean_stops));
    print_message("# of the stores: %llu writes, %llu syncs, %llu commits\n", ULL(s.writes),
                  ULL(s.syncs), ULL(s.meta_writes));
    print_message("# %llu transactions (%llu deletes of an actor): %llu acknowledged and found, "
                  "%llu not acknowledged and found, %llu lost, %llu refused; %llu checkpoints\n",
                  ULL(t->ops), ULL(t->drops), ULL(t->acknowledged), ULL(t->found_unacknowledged),
                  ULL(t->lost_unacknowledged), ULL(t->refused), ULL(t->checkpoints));
}

static void nothing_acknowledged_is_lost_and_no_start_refused(void **state)
{
    (void)state;
    struct totals t = {0};
    int plant = (int)setting("PLANT", POWER_PLANT_NONE);
    uint64_t first = setting("SEED", 1);
    uint64_t count = getenv("SEED") != NULL ? 1 : setting("SEEDS", SEEDS_DEFAULT);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *reason = run(seed, plant, &t);
        if (reason != NULL) {
            fail_msg("SEED=%llu PLANT=%d: %s", ULL(seed), plant, reason);
        }
    }
    print_totals(&t);
    if (count < SEEDS_DEFAULT) {
        return;
    }
    /* A fault that never happened was not tested. */
    assert_true(t.disk.power_losses > 0 && t.disk.kills > 0 && t.disk.caught_writes > 0);
    assert_true(t.disk.writes_lost > 0 && t.disk.writes_torn > 0 && t.disk.changes_lost > 0);
    assert_true(t.found_unacknowledged > 0 && t.lost_unacknowledged > 0 && t.acknowledged > 0);
    assert_true(t.died_in_start > 0 && t.died_in_checkpoint > 0 && t.clean_stops > 0);
    assert_true(t.checkpoints > 0 && t.drops > 0 && t.refused > 0);
    assert_true(recycled(&t) > 0);
    assert_null(power_stats_uncut(&t.disk, PLACE_CALLS_MIN));
}

/* That recovery's sync is needed shows only in lives as long as those of test_wal_power. */
static void planted_defects_are_found(void **state)
{
    (void)state;
    static const int plants[] = {POWER_PLANT_ACK_BEFORE_SYNC, POWER_PLANT_SKIP_DIR_SYNC,
                                 POWER_PLANT_SKIP_IDENTITY_SYNC, PLANT_STORE_SYNC};
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        struct totals t = {0};
        uint64_t seed = 1;
        while (seed <= PLANT_SEEDS && run(seed, plants[i], &t) == NULL) {
            seed++;
        }
        print_message("# plant %d found by seed %llu\n", plants[i], ULL(seed));
        assert_true(seed <= PLANT_SEEDS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_acknowledged_is_lost_and_no_start_refused),
        cmocka_unit_test(planted_defects_are_found)};
    test_begin();
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0); /* the real syncs are of no use here */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
