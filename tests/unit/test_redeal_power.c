/* The power-loss harness of the redeal.
 *
 * A case is a start with another number of workers that dies at a given call of the disk, alone or with
 * the machine. The next start, with the old number, the new one or a third, may die on its way too. Once
 * one gets through, everything that the logs held must be there, to the byte; and what is then
 * acknowledged must outlast a further loss of power and a further redeal.
 *
 *     SEEDS=20 ./test_redeal_power      more deaths at each call than in make check
 *     SEED=7 CALL=12 ./test_redeal_power  this one
 *     PLANT=2 ...                       with a defect of power_disk.h put in; it must be found */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/wal_dirs.h"

#include "tests/lib/test.h"
#include "tests/unit/power_disk.h"
#include "tests/unit/redeal_data.h"

enum { SEEDS_DEFAULT = 2, PLANT_SEEDS = 20, DEATHS_MAX = 4, CALL_NONE = 0, CLEANING_CALLS = 16 };

static const struct deal {
    uint32_t from;
    uint32_t to;
} deals[] = {{1, 3}, {3, 1}, {2, 3}, {3, 2}};

enum { DEALS = sizeof deals / sizeof deals[0] };

struct totals {
    struct power_stats disk;
    uint64_t cases;
    uint64_t old_found; /* after the first death */
    uint64_t new_found;
    uint64_t died_again;
};

struct life {
    uint64_t random;
    const struct deal *deal;
    struct redeal_data data;
    struct power_disk *disk;
    struct totals *totals;
    uint64_t second_call; /* where the next start dies, with the machine; CALL_NONE: anywhere */
    char reason[DATA_DETAIL_BYTES];
};

static uint64_t draw(struct life *l, uint64_t below)
{
    return power_random(&l->random) % below;
}

static uint32_t any_count(struct life *l)
{
    const uint32_t counts[] = {l->deal->from, l->deal->to, 4, 2};
    return counts[draw(l, 4)];
}

static bool fails(struct life *l, const char *what)
{
    (void)snprintf(l->reason, sizeof l->reason, "%s: %.400s", what, l->data.detail);
    return false;
}

static void die(struct life *l, bool with_machine)
{
    redeal_data_stop(&l->data);
    if (with_machine) {
        power_disk_lose_power(l->disk);
    } else {
        power_disk_kill(l->disk);
    }
}

static void note_logs_found(struct life *l)
{
    struct redeal_data *r = &l->data;
    if (data_dir_open_existing(&r->data, r->path, r->detail) == ERR_OK) {
        l->totals->old_found += r->data.wal_generation == 0;
        l->totals->new_found += r->data.wal_generation != 0;
        data_dir_close(&r->data);
    }
}

/* Where the next start dies. */
static uint64_t draw_call(struct life *l, int deaths)
{
    if (l->second_call != CALL_NONE) {
        return l->second_call;
    }
    return deaths < DEATHS_MAX && draw(l, 2) == 0 ? 1 + draw(l, 60) : CALL_NONE;
}

/* Until a start gets through. False: one was refused. */
static bool start(struct life *l)
{
    for (int deaths = 0;; deaths++) {
        power_disk_arm(l->disk, draw_call(l, deaths));
        enum err err = redeal_data_start(&l->data, any_count(l));
        if (err == ERR_OK && !power_disk_is_dead(l->disk)) {
            power_disk_arm(l->disk, 0);
            return true;
        }
        if (!power_disk_is_dead(l->disk)) {
            return fails(l, "refused");
        }
        l->totals->died_again++;
        die(l, l->second_call != CALL_NONE || draw(l, 2) == 0);
        l->second_call = CALL_NONE;
    }
}

static bool is_tidy(struct life *l)
{
    struct wal_dir *dirs;
    size_t count;
    if (wal_dirs_left_over(&l->data.data, &dirs, &count) != ERR_OK) {
        return fails(l, "no listing");
    }
    mem_free(dirs);
    return count == 0 || fails(l, "logs are left over");
}

static bool goes_on(struct life *l)
{
    return start(l) && (redeal_data_is_whole(&l->data) || fails(l, "lost")) && is_tidy(l);
}

static bool acknowledge(struct life *l)
{
    return redeal_data_add(&l->data) == ERR_OK || fails(l, "no entry could be added");
}

/* A case. `second_call`: the first start is killed alone, the next one dies there with the machine. */
struct plan {
    const struct deal *deal;
    uint64_t seed;
    uint64_t call;
    uint64_t second_call;
    enum power_plant plant;
};

/* NULL, or what went wrong (static). `*ret_died`: the start did not come past that call. */
static const char *run(const struct plan *plan, struct totals *totals, bool *ret_died)
{
    static struct life life;
    static char reason[sizeof life.reason];
    struct life *l = &life;
    uint64_t salt = plan->call * 100 + plan->second_call;
    *l = (struct life){.random = plan->seed * 7919 + salt, .deal = plan->deal, .totals = totals};
    redeal_data_init(&l->data);
    l->disk = power_disk_new(l->data.base, plan->seed * 1009 + salt, plan->plant);
    disk_set_default(power_disk_seam(l->disk));
    redeal_data_make(&l->data, plan->deal->from, draw(l, 2) == 0);

    power_disk_arm(l->disk, plan->call);
    enum err err = redeal_data_start(&l->data, plan->deal->to);
    *ret_died = power_disk_is_dead(l->disk);
    bool good = *ret_died || err == ERR_OK || fails(l, "refused");
    die(l, plan->second_call == CALL_NONE && draw(l, 3) != 0);
    note_logs_found(l);
    l->second_call = plan->second_call;
    for (int lives = 0; good && lives < 2; lives++) {
        good = goes_on(l) && acknowledge(l);
        die(l, true);
    }
    good = good && goes_on(l);

    disk_set_default(NULL);
    power_stats_add(&totals->disk, power_disk_stats(l->disk));
    totals->cases++;
    power_disk_free(l->disk);
    redeal_data_done(&l->data);
    memcpy(reason, l->reason, sizeof reason);
    return good ? NULL : reason;
}

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

#define ULL(n) ((unsigned long long)(n))

/* At every call in turn, until a start comes through without reaching it. NULL, or what went wrong. */
static const char *run_all_calls(uint64_t seed, enum power_plant plant, struct totals *t)
{
    static char where[DATA_DETAIL_BYTES + 100];
    uint64_t only = setting("CALL", CALL_NONE);
    for (size_t i = 0; i < DEALS; i++) {
        bool died = true;
        for (uint64_t call = only != CALL_NONE ? only : 1; died; call++) {
            const struct plan plan = {
                .deal = &deals[i], .seed = seed, .call = call, .plant = plant};
            const char *reason = run(&plan, t, &died);
            if (reason != NULL) {
                (void)snprintf(where, sizeof where, "SEED=%llu CALL=%llu PLANT=%d, %u to %u: %s",
                               ULL(seed), ULL(call), plant, deals[i].from, deals[i].to, reason);
                return where;
            }
            died = died && only == CALL_NONE;
        }
    }
    return NULL;
}

static void a_death_at_any_call_of_a_redeal_loses_nothing(void **state)
{
    (void)state;
    struct totals t = {0};
    enum power_plant plant = (enum power_plant)setting("PLANT", POWER_PLANT_NONE);
    uint64_t first = setting("SEED", 1);
    uint64_t count = getenv("SEED") != NULL ? 1 : setting("SEEDS", SEEDS_DEFAULT);
    for (uint64_t seed = first; seed < first + count; seed++) {
        const char *reason = run_all_calls(seed, plant, &t);
        if (reason != NULL) {
            fail_msg("%s", reason);
        }
    }
    print_message(
        "# %llu cases: %llu found the old logs, %llu the new ones; %llu further starts died\n",
        ULL(t.cases), ULL(t.old_found), ULL(t.new_found), ULL(t.died_again));
    power_stats_print(&t.disk);
    if (count < SEEDS_DEFAULT) {
        return;
    }
    /* A fault that never happened was not tested. */
    assert_true(t.old_found > 0 && t.new_found > 0 && t.died_again > 0);
    assert_true(t.disk.power_losses > 0 && t.disk.kills > 0 && t.disk.caught_writes > 0);
    assert_true(t.disk.writes_lost > 0 && t.disk.changes_lost > 0);
}

/* The call at which a killed start leaves the new logs named for the first time: the sync of the name. */
static uint64_t call_after_switch(const struct deal *deal)
{
    for (uint64_t call = 1;; call++) {
        struct totals t = {0};
        const struct plan plan = {.deal = deal, .seed = 1, .call = call, .second_call = 1};
        bool died;
        const char *reason = run(&plan, &t, &died);
        assert_null(reason);
        assert_true(died);
        if (t.new_found > 0) {
            return call;
        }
    }
}

/* Killed between the new name and its sync; the next start removes the old logs, and the machine stops
 * in that. NULL, or what went wrong. */
static const char *run_after_switch(uint64_t seeds, enum power_plant plant)
{
    const struct deal *deal = &deals[2];
    uint64_t call = call_after_switch(deal);
    const char *reason = NULL;
    for (uint64_t i = 0; reason == NULL && i < seeds * CLEANING_CALLS; i++) {
        struct totals t = {0};
        const struct plan plan = {.deal = deal,
                                  .seed = 1 + i / CLEANING_CALLS,
                                  .call = call,
                                  .second_call = 1 + i % CLEANING_CALLS,
                                  .plant = plant};
        bool died;
        reason = run(&plan, &t, &died);
        assert_true(died && t.new_found == 1);
    }
    return reason;
}

static void what_a_start_removes_is_never_named_again(void **state)
{
    (void)state;
    const char *reason = run_after_switch(setting("SEEDS", SEEDS_DEFAULT) * 4, POWER_PLANT_NONE);
    if (reason != NULL) {
        fail_msg("%s", reason);
    }
    reason = run_after_switch(PLANT_SEEDS, POWER_PLANT_SKIP_FOUND_SYNC);
    print_message("# plant %d: %s\n", POWER_PLANT_SKIP_FOUND_SYNC,
                  reason != NULL ? reason : "not found");
    assert_non_null(reason);
}

/* That recovery's sync is needed shows where a log is written on after it, in test_wal_power. */
static void planted_defects_are_found(void **state)
{
    (void)state;
    static const enum power_plant plants[] = {
        POWER_PLANT_ACK_BEFORE_SYNC, POWER_PLANT_SKIP_DIR_SYNC, POWER_PLANT_SKIP_IDENTITY_SYNC};
    for (size_t i = 0; i < sizeof plants / sizeof plants[0]; i++) {
        struct totals t = {0};
        const char *reason = NULL;
        uint64_t seed = 1;
        while (reason == NULL && seed <= PLANT_SEEDS) {
            reason = run_all_calls(seed++, plants[i], &t);
        }
        print_message("# plant %d: %s\n", plants[i], reason != NULL ? reason : "not found");
        assert_non_null(reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_death_at_any_call_of_a_redeal_loses_nothing),
        cmocka_unit_test(what_a_start_removes_is_never_named_again),
        cmocka_unit_test(planted_defects_are_found)};
    test_begin();
    if (access("/dev/shm", W_OK) == 0) {
        (void)setenv("TMPDIR", "/dev/shm", 0); /* the real syncs are of no use here */
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
