#include "storage/engine.h"

#include <stdlib.h>

#include "base/mem.h"
#include "storage/group_wire.h"
#include "storage/store.h"
#include "tests/lib/engine_fixture.h"

static int setup(void **state)
{
    struct engine_fixture *f = mem_alloc(sizeof *f);
    engine_fixture_init(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    engine_fixture_done(*state);
    mem_free(*state);
    return 0;
}

/* Restarts */

static void what_was_acknowledged_is_there_after_a_stop(void **state)
{
    struct engine_fixture *f = *state;
    engine_fixture_start(f);
    put_text(f, "a", "k", "one");
    engine_fixture_stop(f);
    engine_fixture_start(f);
    expect_text(f, "a", "k", "one");
    expect_no_key(f, "a", "other");
}

static void what_was_acknowledged_is_there_after_a_kill(void **state)
{
    struct engine_fixture *f = *state;
    engine_fixture_start(f);
    put_text(f, "a", "k", "one");
    engine_fixture_kill(f);
    engine_fixture_start(f);
    expect_text(f, "a", "k", "one");
}

static void rows_come_back_from_the_store(void **state)
{
    struct engine_fixture *f = *state;
    engine_fixture_start(f);
    put_text(f, "a", "k", "one");
    make_cold(f);
    expect_text(f, "a", "k", "one");
    engine_fixture_kill(f);
    engine_fixture_start(f);
    expect_text(f, "a", "k", "one");
}

/* Takes away a part of a stopped node's data. */
static void remove_part(struct engine_fixture *f, const char *part)
{
    char command[8192];
    (void)snprintf(command, sizeof command, "rm -r '%s'/%s", f->dir, part);
    assert_int_equal(system(command), 0);
}

static void a_log_that_is_gone_is_refused(void **state)
{
    struct engine_fixture *f = *state;
    engine_fixture_start(f);
    put_text(f, "a", "k", "one");
    make_cold(f);
    engine_fixture_stop(f);
    remove_part(f, "wal-0");
    expect_err(engine_fixture_try_start(f), ERR_CORRUPT);
    assert_non_null(strstr(f->detail, "log"));
}

static void a_store_that_is_gone_is_refused(void **state)
{
    struct engine_fixture *f = *state;
    engine_fixture_start(f);
    put_text(f, "a", "k", "one");
    make_cold(f);
    engine_fixture_stop(f);
    remove_part(f, "shards/*");
    expect_err(engine_fixture_try_start(f), ERR_CORRUPT);
}

/* An actor that lies in this shard. */
static void id_in_shard(struct engine_fixture *f, uint32_t shard, char ret_id[32])
{
    for (int i = 0;; i++) {
        (void)snprintf(ret_id, 32, "actor %d", i);
        struct request *r = get_request(ret_id, "k");
        bool is_there = shard_id(engine_fixture_shard_of(f, r)) == shard;
        request_free(r);
        if (is_there) {
            return;
        }
    }
}

/* Writes this much to one actor, and gives way where it is told to. */
static void write_bytes(struct engine_fixture *f, const char *id, size_t bytes)
{
    enum { VALUE_BYTES = 64 * 1024, WAITS_MAX = 1000 };
    int waits = 0;
    for (size_t written = 0; written < bytes;) {
        enum err err = answer_of(f, bytes_request(id, "k", VALUE_BYTES));
        if (err == ERR_OVERLOADED) {
            assert_true(waits++ < WAITS_MAX);
        } else {
            expect_err(err, ERR_OK);
            written += VALUE_BYTES;
        }
        engine_fixture_wait(f, 50);
    }
}

static void an_idle_shard_lets_go_of_the_log(void **state)
{
    struct engine_fixture *f = *state;
    char id[32];
    engine_fixture_start(f);
    id_in_shard(f, 0, id);
    put_text(f, id, "k", "one");
    id_in_shard(f, 1, id);
    write_bytes(f, id, 32 << 20);
}

static void a_shard_that_was_killed_after_its_checkpoint_lets_go_of_the_log(void **state)
{
    struct engine_fixture *f = *state;
    char id[32];
    char other[32];
    engine_fixture_start(f);
    id_in_shard(f, 0, id);
    id_in_shard(f, 1, other);
    put_text(f, id, "k", "one");
    for (int i = 0; i < 20; i++) { /* into the next segment */
        expect_err(answer_of(f, bytes_request(other, "k", 64 * 1024)), ERR_OK);
    }
    f->mono_ms += 20 * 1000;
    engine_set_time(f->engine, f->mono_ms, f->wall_ms);
    engine_tick(f->engine);
    while (engine_work(f->engine, ENGINE_CHECKPOINTS)) { /* and nobody hears of it */
    }
    engine_fixture_kill(f);
    engine_fixture_start(f);
    write_bytes(f, other, 32 << 20);
    expect_text(f, id, "k", "one");
}

/* Space and queues */

static void what_was_admitted_before_a_flush_finds_room_in_the_log(void **state)
{
    struct engine_fixture *f = *state;
    enum { COUNT = 4000, VALUE_BYTES = 16 * 1024 };
    struct asked *all = mem_zalloc(COUNT * sizeof *all);
    int admitted = 0;
    f->options.shard_count = 2;
    f->options.memory_bytes = 256 << 20;
    engine_fixture_start(f);
    for (int i = 0; i < COUNT; i++) { /* awake, so that the next ones only propose */
        char id[32];
        (void)snprintf(id, sizeof id, "actor %d", i % 16);
        if (i < 16) {
            put_text(f, id, "k", "one");
        }
        ask(f, &all[i], bytes_request(id, "k", VALUE_BYTES));
    }
    for (int waits = 0; waits < 100; waits++) {
        engine_fixture_wait(f, ENGINE_TICK_MS);
    }
    for (int i = 0; i < COUNT; i++) {
        assert_true(all[i].is_answered);
        assert_true(all[i].reply.err == ERR_OK || all[i].reply.err == ERR_OVERLOADED);
        admitted += all[i].reply.err == ERR_OK ? 1 : 0;
        asked_done(&all[i]);
    }
    assert_in_range(admitted, 1, COUNT - 1);
    mem_free(all);
    put_text(f, "actor 0", "k", "two");
    expect_text(f, "actor 0", "k", "two");
}

static void a_batch_larger_than_the_memory_for_rows_goes_alone(void **state)
{
    struct engine_fixture *f = *state;
    f->options.memory_bytes = 1 << 20;
    f->options.wal_segment_bytes = 8 << 20;
    f->options.wal_budget_bytes = 64 << 20;
    engine_fixture_start(f);
    put_text(f, "a", "k", "one");
    expect_err(answer_of(f, bytes_request("b", "k", 2 << 20)), ERR_OVERLOADED);
    engine_fixture_wait(f, 2 * ENGINE_TICK_MS);
    expect_err(answer_of(f, bytes_request("b", "k", 2 << 20)), ERR_OK);
    expect_err(answer_of(f, put_request("a", "k", "two")), ERR_OVERLOADED);
    engine_fixture_wait(f, 2 * ENGINE_TICK_MS);
    expect_err(answer_of(f, put_request("a", "k", "two")), ERR_OK);
}

static void a_limit_on_the_disk_refuses_writes_and_lets_deletes_make_room(void **state)
{
    struct engine_fixture *f = *state;
    enum { VALUES_MAX = 200, VALUE_BYTES = 800 * 1000 };
    struct disk_quota quota = {.bytes_max = 32 << 20};
    f->options.quota = &quota;
    f->options.wal_segment_bytes = 4 << 20;
    f->options.wal_budget_bytes = 16 << 20;
    engine_fixture_start(f);
    put_text(f, "b", "k", "one");
    enum err err = ERR_OK;
    for (int i = 0; err == ERR_OK || err == ERR_OVERLOADED; i++) {
        char key[32];
        assert_true(i < VALUES_MAX);
        (void)snprintf(key, sizeof key, "key %d", i);
        err = answer_of(f, bytes_request("a", key, VALUE_BYTES));
        engine_fixture_wait(f, ENGINE_TICK_MS);
    }
    expect_err(err, ERR_STORAGE_FULL);
    expect_err(answer_of(f, bytes_request("b", "k", VALUE_BYTES)), ERR_STORAGE_FULL);
    expect_text(f, "b", "k", "one");

    expect_err(answer_of(f, request_of(REQUEST_ACTOR_DELETE, "a")), ERR_OK);
    engine_fixture_wait(f, 30 * 1000);
    expect_err(answer_of(f, bytes_request("b", "k", VALUE_BYTES)), ERR_OK);
    engine_fixture_stop(f); /* before the quota goes */
}

static void a_store_that_is_full_refuses_writes_of_its_shard_alone(void **state)
{
    struct engine_fixture *f = *state;
    char full[32];
    char other[32];
    f->options.map_bytes = 4 << 20;
    f->options.wal_segment_bytes = 16 << 20;
    f->options.wal_budget_bytes = 64 << 20;
    engine_fixture_start(f);
    id_in_shard(f, 0, full);
    id_in_shard(f, 1, other);
    for (int i = 0; i < 8; i++) {
        char key[32];
        (void)snprintf(key, sizeof key, "key %d", i);
        expect_err(answer_of(f, bytes_request(full, key, 700 * 1000)), ERR_OK);
    }
    engine_fixture_wait(f, 20 * 1000);
    expect_err(answer_of(f, put_request(full, "k", "x")), ERR_STORAGE_FULL);
    expect_err(answer_of(f, put_request(other, "k", "x")), ERR_OK);
    expect_text(f, other, "k", "x");

    engine_fixture_kill(f); /* with a larger map all of it is there */
    f->options.map_bytes = STORE_MAP_BYTES_TESTS;
    engine_fixture_start(f);
    engine_fixture_wait(f, 20 * 1000);
    expect_err(answer_of(f, put_request(full, "k", "x")), ERR_OK);
    expect_err(answer_of(f, get_request(full, "key 7")), ERR_OK);
}

/* Erasing */

enum { ROWS_OF_LARGE_ACTOR = 25600 };

static void make_large_actor(struct engine_fixture *f)
{
    struct buf json = {0};
    f->options.wal_segment_bytes = 16 << 20; /* the log asks for no checkpoints */
    f->options.wal_budget_bytes = 256 << 20;
    engine_fixture_start(f);
    for (int i = 0; i < ROWS_OF_LARGE_ACTOR;) {
        buf_clear(&json);
        buf_append_str(&json, "{\"do\":[");
        for (int j = 0; j < 128; j++, i++) {
            buf_printf(&json, "%s{\"put\":\"key %d\",\"value\":%d}", j > 0 ? "," : "", i, i);
        }
        buf_append(&json, "]}", 3);
        expect_err(answer_of(f, json_request(REQUEST_TXN, "a", (char *)json.data)), ERR_OK);
    }
    buf_done(&json);
    make_cold(f);
}

static uint64_t rows_erased(struct engine_fixture *f)
{
    struct engine_stats stats;
    engine_stats(f->engine, &stats);
    return stats.rows_erased;
}

static void a_large_actor_that_was_deleted_is_erased_without_further_writes(void **state)
{
    struct engine_fixture *f = *state;
    make_large_actor(f);
    expect_err(answer_of(f, request_of(REQUEST_ACTOR_DELETE, "a")), ERR_OK);
    engine_fixture_wait(f, 20 * 1000);
    assert_int_equal(rows_erased(f), ROWS_OF_LARGE_ACTOR + 1); /* and its meta row */
}

static void erasing_goes_on_after_a_restart(void **state)
{
    struct engine_fixture *f = *state;
    make_large_actor(f);
    expect_err(answer_of(f, request_of(REQUEST_ACTOR_DELETE, "a")), ERR_OK);
    while (rows_erased(f) == 0) {
        f->mono_ms += ENGINE_TICK_MS;
        engine_set_time(f->engine, f->mono_ms, f->wall_ms);
        engine_tick(f->engine);
        (void)engine_fixture_turn(f, ENGINE_ALL);
    }
    uint64_t before = rows_erased(f);
    assert_true(before < ROWS_OF_LARGE_ACTOR);
    engine_fixture_kill(f);
    engine_fixture_start(f);
    engine_fixture_wait(f, 1000);
    assert_true(before + rows_erased(f) >= ROWS_OF_LARGE_ACTOR + 1);
}

/* Peers */

enum { OTHER_NODE = 2 };

static uint64_t replica_on(uint32_t node, uint32_t shard)
{
    return (uint64_t)node << 32 | (shard + 1);
}

static void replica_of_three(void *ctx, uint32_t shard, struct engine_replica *replica)
{
    static uint64_t voters[3];
    (void)ctx;
    for (uint32_t i = 0; i < 3; i++) {
        voters[i] = replica_on(i + 1, shard);
    }
    *replica = (struct engine_replica){.replica = voters[0], .voters = voters, .voter_count = 3};
}

/* One entry of a leader of term 2, which says that nothing but the first configuration is committed. */
static void hear_entry(struct engine_fixture *f, uint64_t index, size_t bytes)
{
    struct buf data = {0};
    struct buf message = {0};
    memset(buf_extend(&data, bytes), 0, bytes);
    const struct group_message m = {.type = GROUP_APPEND,
                                    .from = replica_on(OTHER_NODE, 0),
                                    .to = replica_on(1, 0),
                                    .term = 2,
                                    .append = {.previous_index = index - 1,
                                               .previous_term = index == 2 ? 1 : 2,
                                               .commit = 1,
                                               .count = 1}};
    const struct group_entry entry = {
        .index = index, .term = 2, .type = GROUP_COMMAND, .data = buf_slice(&data)};
    group_wire_encode(&m, &message);
    group_wire_put(&entry, &message);
    expect_err(engine_receive(f->engine, 0, m.from, buf_slice(&message)), ERR_OK);
    buf_done(&message);
    buf_done(&data);
    engine_fixture_settle(f);
}

/* The simulator of engines found it: they fill the log, and no checkpoint helps. */
static void entries_that_nobody_commits_are_checkpointed_by_nobody(void **state)
{
    struct engine_fixture *f = *state;
    struct engine_stats stats;
    f->options.replica_of = replica_of_three;
    expect_err(engine_fixture_try_start(f), ERR_OK);
    engine_fixture_settle(f);
    for (uint64_t index = 2; index < 8; index++) {
        hear_entry(f, index, 512 * 1024);
    }
    engine_fixture_wait(f, 2000);
    engine_stats(f->engine, &stats);
    assert_true(stats.wal.retained_bytes > stats.wal.budget_bytes / 4);
    assert_true(stats.checkpoints <= 2);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_limit_on_the_disk_refuses_writes_and_lets_deletes_make_room),
          TEST(a_store_that_is_full_refuses_writes_of_its_shard_alone),
          TEST(what_was_acknowledged_is_there_after_a_stop),
          TEST(what_was_acknowledged_is_there_after_a_kill), TEST(rows_come_back_from_the_store),
          TEST(a_log_that_is_gone_is_refused), TEST(a_store_that_is_gone_is_refused),
          TEST(an_idle_shard_lets_go_of_the_log),
          TEST(a_shard_that_was_killed_after_its_checkpoint_lets_go_of_the_log),
          TEST(what_was_admitted_before_a_flush_finds_room_in_the_log),
          TEST(a_batch_larger_than_the_memory_for_rows_goes_alone),
          TEST(a_large_actor_that_was_deleted_is_erased_without_further_writes),
          TEST(erasing_goes_on_after_a_restart),
          TEST(entries_that_nobody_commits_are_checkpointed_by_nobody))
