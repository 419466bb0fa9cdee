/* The power-loss harness of the WAL.
 *
 * A seed is a life of a log: random records, and again and again the process dies in the middle of
 * some call of the disk, alone or with the machine. What a start then finds must be the state after
 * some record that is not before the last acknowledged one: nothing acknowledged lost, nothing applied
 * in part, and no log refused.
 *
 *     SEEDS=5000 ./test_wal_power       more lives than in make check
 *     SEED=7 ./test_wal_power           this one
 *     PLANT=1 ...                       with a defect of power_disk.h put in; it must be found */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/wal.h"

#include "tests/lib/test.h"
#include "tests/unit/power_disk.h"
#include "tests/unit/wal_log.h"
#include "tests/unit/wal_model.h"

enum {
    SEEDS_DEFAULT = 200,
    DEATHS = 12, /* in a life */
    OPS_MAX = 1000,
    TURNS_MAX = 5000,      /* a log that is full for good */
    PLACE_CALLS_MIN = 500, /* a place called so often must have been cut */
};

struct totals {
    struct power_stats disk;
    uint64_t records;
    uint64_t acknowledged;
    uint64_t unacknowledged_found; /* written, not acknowledged, and there after the start */
    uint64_t unacknowledged_lost;
    uint64_t cuts;
    uint64_t died_in_open;
    uint64_t clean_stops;
    uint64_t full;
    uint64_t segments;    /* begun */
    uint64_t given_bytes; /* files given back: the budget of a start was smaller */
};

struct life {
    uint64_t random;
    struct power_disk *disk;
    struct wal_options options;
    struct wal *w;
    struct wal_recovery *r;
    struct model base; /* what the last start found */
    struct model now;  /* with all that was appended since */
    struct model_op ops[OPS_MAX];
    size_t op_count;
    uint64_t acknowledged;
    uint64_t replicas;
    uint64_t snapshots; /* percent of what is appended: few, and the log fills up */
    uint64_t bytes;     /* of all files, when last looked at */
    bool is_dead;       /* `fatal` was called */
    struct totals *totals;
    char reason[400];
};

static void ignore_news(void *ctx)
{
    (void)ctx;
}

static void note_death(void *ctx, const char *path, uint64_t offset, int reason)
{
    (void)path;
    (void)offset;
    (void)reason;
    ((struct life *)ctx)->is_dead = true;
}

static uint64_t draw(struct life *l, uint64_t below)
{
    return power_random(&l->random) % below;
}

/* Records */

static void append(struct life *l, struct model_op op)
{
    if (l->op_count == OPS_MAX) {
        return;
    }
    op.number = model_append(l->w, &op);
    model_apply(&l->now, &op);
    l->ops[l->op_count++] = op;
    l->totals->records++;
}

static void append_entries(struct life *l, uint32_t group)
{
    struct model_group *g = &l->now.groups[group];
    for (uint64_t n = 1 + draw(l, 3); n > 0; n--) {
        uint32_t len = (uint32_t)(draw(l, 8) == 0 ? draw(l, 5000) : draw(l, 400));
        if (g->last - g->snapshot_index >= MODEL_ENTRIES_MAX / 2) {
            return;
        }
        if (wal_reserve(l->w, len + 100) != ERR_OK) {
            l->totals->full++;
            return;
        }
        append(l, (struct model_op){.kind = MODEL_ENTRY,
                                    .group = group,
                                    .index = g->last + 1,
                                    .term = g->term,
                                    .len = len});
    }
}

static void append_copies(struct life *l, uint32_t group)
{
    struct model_group *g = &l->now.groups[group];
    for (uint64_t index = g->snapshot_index + 1; index <= g->last; index++) {
        const struct model_entry *e = model_entry(g, index);
        if (wal_reserve(l->w, e->len + 100) != ERR_OK) {
            return;
        }
        append(l, (struct model_op){.kind = MODEL_COPY,
                                    .group = group,
                                    .index = index,
                                    .term = e->term,
                                    .len = e->len});
    }
}

static void append_snapshot(struct life *l, uint32_t group)
{
    struct model_group *g = &l->now.groups[group];
    uint64_t index = g->snapshot_index + draw(l, g->last - g->snapshot_index + 1);
    index = draw(l, 3) == 0 ? g->last : index;
    if (draw(l, 8) == 0) {
        append(l, (struct model_op){.kind = MODEL_INSTALL,
                                    .group = group,
                                    .index = g->snapshot_index + 1 + draw(l, 20),
                                    .term = g->term});
    } else if (index > 0) {
        append(l, (struct model_op){
                      .kind = MODEL_SNAPSHOT, .group = group, .index = index, .term = g->term});
    }
}

static void append_something(struct life *l)
{
    uint32_t group = (uint32_t)draw(l, MODEL_GROUPS);
    struct model_group *g = &l->now.groups[group];
    uint64_t choice = draw(l, 100);
    if (wal_reserve(l->w, 100) != ERR_OK) {
        /* As the owner does: nothing but what frees space, and not without end. */
        l->totals->full++;
        choice = 72;
        if (g->replica == 0 || wal_stats(l->w).queued_bytes > l->options.segment_bytes / 8) {
            return;
        }
    }
    if (g->replica == 0) {
        append(l, (struct model_op){.kind = MODEL_CREATE, .group = group, .index = ++l->replicas});
    } else if (choice < 60) {
        append_entries(l, group);
    } else if (choice < 72) {
        append(l, (struct model_op){.kind = MODEL_TERM,
                                    .group = group,
                                    .term = g->term + draw(l, 2),
                                    .vote = draw(l, 3)});
    } else if (choice < 74 + l->snapshots) {
        append_snapshot(l, group);
    } else if (choice < 94 && g->last > g->snapshot_index) {
        append(l, (struct model_op){.kind = MODEL_TRUNCATE,
                                    .group = group,
                                    .index = g->snapshot_index + 1 +
                                             draw(l, g->last - g->snapshot_index)});
    } else if (choice < 98) {
        append_copies(l, group);
    } else if (choice == 98) {
        append(l, (struct model_op){.kind = MODEL_REMOVE, .group = group});
    } else {
        wal_seal(l->w);
    }
}

/* A life */

static void poll(struct life *l)
{
    l->acknowledged = wal_poll(l->w);
}

static void live(struct life *l)
{
    uint64_t segment = 0;
    uint64_t ops_max = draw(l, 5) == 0 ? draw(l, 150) : OPS_MAX - MODEL_GROUPS;
    for (int turns = 0; turns < TURNS_MAX && !l->is_dead && l->op_count < ops_max; turns++) {
        for (uint64_t n = draw(l, 4); n > 0; n--) {
            append_something(l);
        }
        wal_kick(l->w);
        for (uint64_t n = draw(l, 4); n > 0 && wal_work(l->w); n--) {
        }
        if (!l->is_dead) {
            poll(l);
        }
        uint64_t bytes = wal_stats(l->w).total_bytes;
        l->totals->given_bytes += bytes < l->bytes ? l->bytes - bytes : 0;
        l->bytes = bytes;
        uint64_t floor = l->r->floor + wal_stats(l->w).segments;
        l->totals->segments += floor > segment && segment > 0;
        segment = floor;
    }
}

/* However full the log was: snapshots of all groups make room again. False: they did not. */
static bool makes_room(struct life *l)
{
    for (uint32_t group = 0; group < MODEL_GROUPS; group++) {
        const struct model_group *g = &l->now.groups[group];
        if (g->replica != 0 && g->last > 0 && l->op_count < OPS_MAX) {
            append(l,
                   (struct model_op){
                       .kind = MODEL_SNAPSHOT, .group = group, .index = g->last, .term = g->term});
        }
    }
    for (wal_kick(l->w); wal_work(l->w); wal_kick(l->w)) {
        poll(l);
    }
    return l->is_dead || l->op_count == OPS_MAX || wal_reserve(l->w, 200) == ERR_OK;
}

static bool matches(const struct model *m, const struct buf *found)
{
    struct buf want = {0};
    model_state(m, &want);
    bool equal = slice_equal(buf_slice(&want), buf_slice(found));
    buf_done(&want);
    return equal;
}

/* What was found must be the state after some record from the last acknowledged one on. */
static bool check_found(struct life *l)
{
    struct buf found = {0};
    struct model m = l->base;
    size_t at = 0;
    wal_state_append(&found, l->r);
    while (at < l->op_count && l->ops[at].number <= l->acknowledged) {
        model_apply(&m, &l->ops[at++]);
    }
    size_t acknowledged = at;
    bool same = matches(&m, &found);
    while (!same && at < l->op_count) {
        model_apply(&m, &l->ops[at++]);
        same = matches(&m, &found);
    }
    if (same) {
        l->totals->acknowledged += acknowledged;
        l->totals->unacknowledged_found += at - acknowledged;
        l->totals->unacknowledged_lost += l->op_count - at;
        l->base = m;
        l->now = m;
    } else {
        (void)snprintf(l->reason, sizeof l->reason, "what was found is no state after record %llu",
                       (unsigned long long)l->acknowledged);
    }
    l->op_count = 0;
    l->acknowledged = 0;
    buf_done(&found);
    return same;
}

static void die(struct life *l)
{
    if (draw(l, 3) == 0) {
        power_disk_kill(l->disk);
    } else {
        power_disk_lose_power(l->disk);
    }
}

/* Starts, dying again and again if it must. False: refused. */
static bool start(struct life *l)
{
    for (;;) {
        wal_recovery_free(l->r);
        l->r = NULL;
        l->is_dead = false;
        l->options.budget_bytes = (WAL_SEGMENTS_MIN + draw(l, 3)) * l->options.segment_bytes;
        power_disk_arm(l->disk, 1 + draw(l, draw(l, 4) == 0 ? 12 : 120));
        enum err err = wal_open(&l->options, &l->w, &l->r);
        if (err == ERR_OK) {
            l->bytes = 0;
            l->totals->cuts += l->r->was_cut;
            return true;
        }
        l->w = NULL;
        if (!power_disk_is_dead(l->disk)) {
            (void)snprintf(l->reason, sizeof l->reason, "refused, %s: %s in %s at %llu",
                           err_info(err)->name, l->r->damage.text, l->r->damage.file,
                           (unsigned long long)l->r->damage.offset);
            return false;
        }
        l->totals->died_in_open++;
        die(l);
    }
}

/* Stops as asked to; the disk may die even then. */
static void stop(struct life *l)
{
    if (draw(l, 2) == 0 && !l->is_dead) {
        power_disk_arm(l->disk, 0);
        for (wal_kick(l->w); wal_work(l->w); wal_kick(l->w)) {
            poll(l);
        }
        poll(l);
        wal_close(l->w);
        l->totals->clean_stops++;
    } else {
        wal_abandon(l->w);
    }
    l->w = NULL;
}

/* NULL, or what went wrong (static). */
static const char *run(uint64_t seed, enum power_plant plant, struct totals *totals)
{
    static struct life life;
    static char reason[sizeof life.reason];
    struct life *l = &life;
    char *root = test_make_dir();
    struct buf dir = {0};
    buf_printf(&dir, "%s/wal%c", root, 0);
    *l = (struct life){.random = seed * 7919 + 1, .totals = totals};
    l->disk = power_disk_new(root, seed, plant);
    l->snapshots = draw(l, 16);
    uint64_t segment_bytes = (8 + draw(l, 8)) * WAL_BLOCK_BYTES;
    l->options = (struct wal_options){.dir = (char *)dir.data,
                                      .segment_bytes = segment_bytes,
                                      .disk = power_disk_seam(l->disk),
                                      .unthreaded = true,
                                      .notify = ignore_news,
                                      .fatal = note_death,
                                      .ctx = l};
    bool good = start(l) && check_found(l);
    for (int deaths = 0; good && deaths < DEATHS; deaths++) {
        live(l);
        good = l->is_dead || makes_room(l);
        if (!good) {
            (void)snprintf(l->reason, sizeof l->reason, "full for good");
            break;
        }
        stop(l);
        die(l);
        good = start(l) && check_found(l);
    }
    wal_abandon(l->w);
    wal_recovery_free(l->r);
    power_stats_add(&totals->disk, power_disk_stats(l->disk));
    power_disk_free(l->disk);
    buf_done(&dir);
    test_remove_dir(root);
    memcpy(reason, l->reason, sizeof reason);
    return good ? NULL : reason;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void print_totals(const struct totals *t)
{
    power_stats_print(&t->disk);
    print_message("# %llu died during a start, %llu stopped cleanly\n",
                  (unsigned long long)t->died_in_open, (unsigned long long)t->clean_stops);
    print_message("# %llu records, %llu acknowledged and found, %llu not acknowledged and found, "
                  "%llu lost; %llu tails cut, %llu segments begun, %llu times full, %llu bytes of "
                  "files given back\n",
                  (unsigned long long)t->records, (unsigned long long)t->acknowledged,
                  (unsigned long long)t->unacknowledged_found,
                  (unsigned long long)t->unacknowledged_lost, (unsigned long long)t->cuts,
                  (unsigned long long)t->segments, (unsigned long long)t->full,
                  (unsigned long long)t->given_bytes);
}

static void no_acknowledged_record_is_lost_and_no_log_refused(void **state)
{
    (void)state;
    struct totals t = {0};
    enum power_plant plant = (enum power_plant)setting("PLANT", POWER_PLANT_NONE);
    uint64_t first = setting("SEED", 1);
    uint64_t count = getenv("SEED") != NULL ? 1 : setting("SEEDS", SEEDS_DEFAULT);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *reason = run(seed, plant, &t);
        if (reason != NULL) {
            fail_msg("SEED=%llu PLANT=%d: %s", (unsigned long long)seed, plant, reason);
        }
    }
    print_totals(&t);
    if (count < SEEDS_DEFAULT) {
        return;
    }
    /* A fault that never happened was not tested. */
    assert_true(t.disk.power_losses > 0 && t.disk.kills > 0 && t.disk.caught_writes > 0);
    assert_true(t.disk.writes_lost > 0 && t.disk.writes_torn > 0 && t.disk.changes_lost > 0);
    assert_true(t.unacknowledged_found > 0 && t.unacknowledged_lost > 0);
    assert_true(t.cuts > 0 && t.died_in_open > 0 && t.clean_stops > 0);
    assert_true(t.segments > 0 && t.full > 0 && t.given_bytes > 0);
    assert_null(power_stats_uncut(&t.disk, PLACE_CALLS_MIN));
}

static void every_planted_defect_is_found(void **state)
{
    (void)state;
    for (enum power_plant plant = 1; plant <= POWER_PLANT_SKIP_IDENTITY_SYNC; plant++) {
        struct totals t = {0};
        uint64_t seed = 1;
        while (seed <= SEEDS_DEFAULT && run(seed, plant, &t) == NULL) {
            seed++;
        }
        print_message("# plant %d found by seed %llu\n", plant, (unsigned long long)seed);
        assert_true(seed <= SEEDS_DEFAULT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_acknowledged_record_is_lost_and_no_log_refused),
        cmocka_unit_test(every_planted_defect_is_found)};
    test_begin();
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0); /* the real syncs are of no use here */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
