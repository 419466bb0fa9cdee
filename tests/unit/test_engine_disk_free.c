/* A disk that others use too: what it has left is what statvfs says, which a test says here. */
#include <sys/statvfs.h>

#include "storage/engine.h"
#include "tests/lib/engine_fixture.h"

enum { VALUE_BYTES = 1000 * 1000, VALUES_MAX = 100 };

static uint64_t free_bytes;

/* In place of libc's. */
int statvfs(const char *path, struct statvfs *ret_fs)
{
    (void)path;
    *ret_fs = (struct statvfs){.f_bavail = (fsblkcnt_t)free_bytes / 512, .f_frsize = 512};
    return 0;
}

static int setup(void **state)
{
    static struct engine_fixture fixture;
    engine_fixture_init(&fixture);
    fixture.options.memory_bytes = UINT64_C(256) << 20;
    fixture.options.wal_segment_bytes = 16 << 20;
    fixture.options.wal_budget_bytes = 128 << 20;
    free_bytes = 2 * ENGINE_RESERVE_BYTES;
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    engine_fixture_done(*state);
    return 0;
}

static enum err write_value(struct engine_fixture *f, int i)
{
    char key[32];
    (void)snprintf(key, sizeof key, "key %d", i);
    return answer_of(f, bytes_request("a", key, VALUE_BYTES));
}

static void what_others_take_is_seen_within_a_second(void **state)
{
    struct engine_fixture *f = *state;
    engine_fixture_start(f);
    expect_err(write_value(f, 0), ERR_OK);
    free_bytes = ENGINE_RESERVE_BYTES - VALUE_BYTES; /* a store may have some room */
    engine_fixture_wait(f, 1000);
    expect_err(write_value(f, 1), ERR_STORAGE_FULL);
    free_bytes = 2 * ENGINE_RESERVE_BYTES;
    engine_fixture_wait(f, 1000);
    expect_err(write_value(f, 1), ERR_OK);
}

static void however_fast_writes_come_little_of_the_reserve_is_taken(void **state)
{
    struct engine_fixture *f = *state;
    engine_fixture_start(f);
    free_bytes = ENGINE_RESERVE_BYTES - VALUE_BYTES;
    int written = 0;
    while (written < VALUES_MAX && write_value(f, written) == ERR_OK) {
        written++; /* and no time passes */
    }
    assert_in_range(written, 1, ENGINE_RESERVE_BYTES / 8 / VALUE_BYTES);
    struct asked a = {0};
    ask(f, &a, bytes_request("b", "k", VALUE_BYTES));
    engine_fixture_settle(f);
    expect_limited(&a, ERR_STORAGE_FULL, "disk_free_bytes", ENGINE_RESERVE_BYTES);
    asked_done(&a);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(what_others_take_is_seen_within_a_second),
          TEST(however_fast_writes_come_little_of_the_reserve_is_taken))
