/* Two workers of one node, on one data directory, and the disk space that they may use together. */
#include "storage/disk_quota.h"

#include <string.h>

#include "base/address.h"
#include "base/mem.h"
#include "storage/engine.h"
#include "tests/lib/engine_fixture.h"

enum { WORKERS = 2, VALUE_BYTES = 800 * 1000, VALUES_MAX = 200 };

#define LOG_BYTES   (UINT64_C(16) << 20) /* of each worker, counted whole */
#define QUOTA_BYTES (UINT64_C(64) << 20)

struct pair {
    struct engine_fixture workers[WORKERS];
    struct disk_quota quota;
    char id[WORKERS][32]; /* an actor of each */
};

static void name_actors(struct pair *p)
{
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        struct engine_fixture *f = &p->workers[worker];
        for (int i = 0; p->id[worker][0] == '\0'; i++) {
            char id[32];
            (void)snprintf(id, sizeof id, "actor %d", i);
            struct request *r = get_request(id, "k");
            uint32_t shard = identity_shard(&r->identity, f->options.shard_count);
            request_free(r);
            if (engine_worker_of_shard(shard, WORKERS) == worker) {
                memcpy(p->id[worker], id, sizeof id);
            }
        }
    }
}

static int setup(void **state)
{
    struct pair *p = mem_zalloc(sizeof *p);
    p->quota.bytes_max = QUOTA_BYTES;
    engine_fixture_init(&p->workers[0]);
    engine_fixture_init_below(&p->workers[1], mem_strdup(p->workers[0].base));
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        struct engine_options *o = &p->workers[worker].options;
        o->worker = worker;
        o->worker_count = WORKERS;
        o->quota = &p->quota;
        o->wal_segment_bytes = 4 << 20;
        o->wal_budget_bytes = LOG_BYTES;
    }
    name_actors(p);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    struct pair *p = *state;
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        if (p->workers[worker].engine != NULL) {
            engine_fixture_stop(&p->workers[worker]);
        }
    }
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        engine_fixture_done(&p->workers[worker]);
    }
    assert_int_equal(p->quota.said_bytes, 0);
    mem_free(p);
    return 0;
}

static void start_both(struct pair *p)
{
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        engine_fixture_start(&p->workers[worker]);
    }
}

/* Time passes for both, so that each has said what it uses. */
static void wait_both(struct pair *p, uint64_t ms)
{
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        engine_fixture_wait(&p->workers[worker], ms);
    }
}

/* Writes one value after the other until that is refused for want of space. Returns how many. No time
 * passes, but where memory has to be waited for. */
static int fill(struct pair *p, uint32_t worker)
{
    struct engine_fixture *f = &p->workers[worker];
    int written = 0;
    for (int i = 0; i < VALUES_MAX; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key %d", i);
        enum err err = answer_of(f, bytes_request(p->id[worker], key, VALUE_BYTES));
        assert_true(p->quota.said_bytes <= QUOTA_BYTES);
        if (err == ERR_STORAGE_FULL) {
            return written;
        }
        assert_true(err == ERR_OK || err == ERR_OVERLOADED);
        written += err == ERR_OK ? 1 : 0;
        engine_fixture_wait(f, err == ERR_OVERLOADED ? ENGINE_TICK_MS : 0);
    }
    fail_msg("never full");
    return 0;
}

static void one_worker_may_use_what_the_other_does_not(void **state)
{
    struct pair *p = *state;
    start_both(p);
    uint64_t bytes = (uint64_t)fill(p, 0) * VALUE_BYTES;
    uint64_t left_bytes = QUOTA_BYTES - WORKERS * LOG_BYTES;
    assert_true(bytes > left_bytes * 3 / 4);
    assert_true(bytes < left_bytes);
}

static void what_no_look_has_seen_yet_counts_all_the_same(void **state)
{
    struct pair *p = *state;
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        p->workers[worker].options.memory_bytes = QUOTA_BYTES;
        p->workers[worker].options.wal_budget_bytes = UINT64_C(24) << 20; /* 16 for the stores */
    }
    start_both(p);
    uint64_t began_ms = p->workers[0].mono_ms;
    assert_true(fill(p, 0) >= 10);
    assert_int_equal(p->workers[0].mono_ms, began_ms);
    expect_err(answer_of(&p->workers[1], bytes_request(p->id[1], "k", VALUE_BYTES)),
               ERR_STORAGE_FULL);
}

static void what_one_uses_is_refused_to_the_other_with_the_limit_of_both(void **state)
{
    struct pair *p = *state;
    struct engine_fixture *other = &p->workers[1];
    struct asked a = {0};
    start_both(p);
    put_text(other, p->id[1], "k", "one");
    (void)fill(p, 0);
    ask(other, &a, bytes_request(p->id[1], "k", VALUE_BYTES));
    engine_fixture_settle(other);
    expect_answer(&a, ERR_STORAGE_FULL);
    assert_string_equal(a.reply.limit_name, "max_disk");
    assert_int_equal(a.reply.limit_value, QUOTA_BYTES);
    asked_done(&a);
    expect_text(other, p->id[1], "k", "one");

    struct engine_stats stats;
    engine_stats(other->engine, &stats);
    assert_true(stats.is_full);
    assert_int_equal(stats.refused_full, 1);
}

static void deletes_go_through_and_make_room_for_both(void **state)
{
    struct pair *p = *state;
    struct engine_fixture *other = &p->workers[1];
    start_both(p);
    put_text(other, p->id[1], "k", "one");
    put_text(other, p->id[1], "k2", "one");
    (void)fill(p, 0);
    struct request *r = get_request(p->id[1], "k2");
    r->kind = REQUEST_KV_DELETE;
    expect_err(answer_of(other, r), ERR_OK);
    expect_err(answer_of(other, bytes_request(p->id[1], "k", VALUE_BYTES)), ERR_STORAGE_FULL);

    expect_err(answer_of(&p->workers[0], request_of(REQUEST_ACTOR_DELETE, p->id[0])), ERR_OK);
    wait_both(p, 30 * 1000);
    expect_err(answer_of(other, bytes_request(p->id[1], "k", VALUE_BYTES)), ERR_OK);
    expect_err(answer_of(&p->workers[0], bytes_request(p->id[0], "k", VALUE_BYTES)), ERR_OK);
}

static void a_start_on_full_data_refuses_at_once(void **state)
{
    struct pair *p = *state;
    start_both(p);
    put_text(&p->workers[1], p->id[1], "k", "one");
    (void)fill(p, 0);
    for (uint32_t worker = 0; worker < WORKERS; worker++) {
        engine_fixture_kill(&p->workers[worker]);
    }
    p->quota.bytes_max = QUOTA_BYTES - VALUE_BYTES; /* what memory held may be less in a store */
    start_both(p);
    expect_err(answer_of(&p->workers[1], put_request(p->id[1], "k", "two")), ERR_STORAGE_FULL);
}

/* What a log has of a quota: all of them together leave most of it to the stores, but none is too small
 * for the largest batch. */
static void logs_get_their_part_of_a_quota(void **state)
{
    (void)state;
    static const struct {
        uint64_t quota_mib;
        uint32_t workers;
        uint64_t segment_mib;
        uint64_t budget_mib;
    } rows[] = {{0, 1, 64, 512},    {0, 64, 64, 512},   {256, 1, 32, 128},   {1023, 1, 32, 255},
                {1024, 1, 64, 256}, {2048, 1, 64, 512}, {9999, 1, 64, 512},  {2048, 2, 64, 256},
                {1024, 7, 32, 128}, {8192, 4, 64, 512}, {8192, 15, 32, 136}, {8320, 64, 32, 128}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct engine_log_size size = engine_log_size(rows[i].quota_mib << 20, rows[i].workers);
        assert_int_equal(size.segment_bytes >> 20, rows[i].segment_mib);
        assert_int_equal(size.budget_bytes >> 20, rows[i].budget_mib);
    }
}

static void a_quota_that_the_logs_alone_need_is_refused(void **state)
{
    struct pair *p = *state;
    struct engine_fixture *f = &p->workers[0];
    assert_int_equal(engine_quota_bytes_min(1), UINT64_C(256) << 20);
    assert_int_equal(engine_quota_bytes_min(2), UINT64_C(384) << 20);
    p->quota.bytes_max = engine_quota_bytes_min(WORKERS) - 1;
    f->options.wal_segment_bytes = 0;
    f->options.wal_budget_bytes = 0;
    expect_err(engine_fixture_try_start(f), ERR_BAD_REQUEST);
    assert_non_null(strstr(f->detail, "384 MiB that 2 workers need"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(one_worker_may_use_what_the_other_does_not),
          TEST(what_no_look_has_seen_yet_counts_all_the_same),
          TEST(what_one_uses_is_refused_to_the_other_with_the_limit_of_both),
          TEST(deletes_go_through_and_make_room_for_both),
          TEST(a_start_on_full_data_refuses_at_once), TEST(logs_get_their_part_of_a_quota),
          TEST(a_quota_that_the_logs_alone_need_is_refused))
