/* The simulator of clusters: many worlds (tests/sim/world.h), each from its seed.
 *
 *     SEEDS=2000 ./clusters          more worlds than in make check
 *     FIRST=7 SEEDS=1 ./clusters     this one
 *     PLANT=2 ...                    with a defect put in (tests/sim/plant.def); it must be found */
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/invariant.h"
#include "tests/lib/test.h"
#include "tests/sim/world.h"

enum {
    SEEDS_DEFAULT = 300,
    SEEDS_FOR_ALL = 300,    /* a campaign of so many has every fault in it */
    PLANT_SEEDS = 300,      /* a planted defect must be found by then */
    PLANT_SECONDS_MAX = 60, /* one that makes worlds without end is found, too */
};

#define ULL(n) ((unsigned long long)(n))

static uint64_t seed_now;
static enum plant plant_now;

static const char *const fault_texts[FAULT_COUNT] = {
#define X(name, text) text,
#include "tests/sim/fault.def"
#undef X
};

static const struct {
    const char *name;
    uint64_t from;
} plants[PLANT_COUNT] = {
#define X(name, guards, from) {#name, from},
#include "tests/sim/plant.def"
#undef X
};

static uint64_t setting(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

/* A broken invariant of ours, or of the core where it is built with its asserts. */
static void say_seed(int signal_number)
{
    char line[80];
    int n = snprintf(line, sizeof line, "# signal %d in FIRST=%llu SEEDS=1 PLANT=%d\n",
                     signal_number, ULL(seed_now), (int)plant_now);
    ssize_t ignored = write(STDOUT_FILENO, line, (size_t)n);
    (void)ignored;
    (void)signal(signal_number, SIG_DFL);
    (void)raise(signal_number);
}

static void run_one(uint64_t seed, enum plant plant, uint64_t *hits, struct run_result *ret_result)
{
    seed_now = seed;
    plant_now = plant;
    world_run(seed, plant, hits, ret_result);
}

/* The campaign */

struct campaign {
    uint64_t hits[FAULT_COUNT];
    uint64_t worlds;
    uint64_t events;
    uint64_t ops;
    uint64_t done;
    uint64_t failed;
};

static void run_campaign(struct campaign *c, uint64_t first, uint64_t count, enum plant plant)
{
    for (uint64_t seed = first; seed < first + count; seed++) {
        struct run_result result;
        run_one(seed, plant, c->hits, &result);
        c->worlds++;
        c->events += result.events;
        c->ops += result.ops;
        c->done += result.done;
        c->failed += result.reason[0] != 0;
        if (result.reason[0] != 0) {
            print_message("# FIRST=%llu SEEDS=1 PLANT=%d: %s\n", ULL(seed), (int)plant,
                          result.reason);
        }
    }
}

static void print_campaign(const struct campaign *c)
{
    for (int f = 0; f < FAULT_COUNT; f++) {
        print_message("# %9llu %s\n", ULL(c->hits[f]), fault_texts[f]);
    }
    print_message("# %llu worlds, %llu events, %llu operations, %llu done, %llu failed\n",
                  ULL(c->worlds), ULL(c->events), ULL(c->ops), ULL(c->done), ULL(c->failed));
}

static void no_seed_breaks_what_must_hold(void **state)
{
    (void)state;
    struct campaign c = {0};
    (void)signal(SIGABRT, say_seed);
    (void)signal(SIGSEGV, say_seed);
    run_campaign(&c, setting("FIRST", 1), setting("SEEDS", SEEDS_DEFAULT),
                 (enum plant)setting("PLANT", PLANT_NONE));
    print_campaign(&c);
    assert_int_equal(c.failed, 0);
    for (int f = 0; f < FAULT_COUNT && c.worlds >= SEEDS_FOR_ALL; f++) {
        if (c.hits[f] == 0) { /* what never happened was not tested */
            fail_msg("this never happened: %s", fault_texts[f]);
        }
    }
}

static void a_seed_is_the_same_world_again(void **state)
{
    (void)state;
    uint64_t hits[FAULT_COUNT] = {0};
    struct run_result first;
    struct run_result second;
    run_one(3, PLANT_NONE, hits, &first);
    run_one(3, PLANT_NONE, hits, &second);
    assert_true(first.events > 1000 && first.events == second.events);
    assert_true(first.trace == second.trace);
}

/* Planted defects. Some break invariants, which end the process: each is looked for in one of its own. */

static _Noreturn void look_for(enum plant plant)
{
    uint64_t hits[FAULT_COUNT] = {0};
    struct run_result result;
    (void)signal(SIGABRT, SIG_DFL);
    (void)signal(SIGSEGV, SIG_DFL);
    (void)alarm(PLANT_SECONDS_MAX);
    (void)close(STDERR_FILENO);
    for (uint64_t i = 0; i < PLANT_SEEDS; i++) {
        run_one(plants[plant].from + i, plant, hits, &result);
        if (result.reason[0] != 0) {
            print_message("# plant %s is found by FIRST=%llu SEEDS=1 PLANT=%d: %s\n",
                          plants[plant].name, ULL(seed_now), (int)plant, result.reason);
            _exit(1);
        }
    }
    _exit(0);
}

static bool is_found(enum plant plant)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        look_for(plant);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WIFSIGNALED(status)) {
        print_message("# plant %s ends in signal %d\n", plants[plant].name, WTERMSIG(status));
    }
    return status != 0;
}

static void planted_defects_are_found(void **state)
{
    (void)state;
    for (int plant = PLANT_NONE + 1; plant < PLANT_COUNT; plant++) {
        if (!is_found((enum plant)plant)) {
            fail_msg("plant %s is not found by %d seeds from %llu on", plants[plant].name,
                     PLANT_SEEDS, ULL(plants[plant].from));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(no_seed_breaks_what_must_hold),
                                       cmocka_unit_test(a_seed_is_the_same_world_again),
                                       cmocka_unit_test(planted_defects_are_found)};
    test_begin();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
