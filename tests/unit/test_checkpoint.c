#include "storage/checkpoint.h"

#include <fcntl.h>
#include <lmdb.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "storage/shard_state.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

struct fixture {
    char *dir;
    char *path;
    uint64_t map_bytes;
    struct store *store;
    struct shard_state shard;
    struct checkpoint_report report; /* of the last one that went through */
    struct buf batch;                /* under construction */
    struct buf entry;
    struct batch_builder builder;
};

static void open_all(struct fixture *f)
{
    struct applied applied;
    expect_err(store_open(f->path, f->map_bytes, &f->store), ERR_OK);
    expect_err(store_applied(f->store, &applied), ERR_OK);
    shard_state_init(&f->shard, &applied);
}

static void close_all(struct fixture *f)
{
    store_close(f->store);
    shard_state_done(&f->shard);
}

static void restart(struct fixture *f)
{
    close_all(f);
    open_all(f);
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    struct buf path = {0};
    f->dir = test_make_dir();
    store_path(&path, f->dir, 0, 1);
    f->path = mem_strndup((char *)path.data, path.len);
    buf_done(&path);
    f->map_bytes = STORE_MAP_BYTES_TESTS;
    open_all(f);
    batch_begin(&f->builder, &f->batch);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    buf_done(&f->batch);
    buf_done(&f->entry);
    mem_free(f->path);
    test_remove_dir(f->dir);
    mem_free(f);
    return 0;
}

/* Commits the batch under construction as the next entry. */
static void commit_at(struct fixture *f, uint64_t log_time_ms)
{
    const struct applied *applied = shard_state_applied(&f->shard);
    struct batch_header header = {
        .version = applied->version + 1, .log_time_ms = log_time_ms, .born = 1000};
    expect_err(batch_end(&f->builder, &header), ERR_OK);
    buf_clear(&f->entry);
    entry_append(&f->entry, buf_slice(&f->batch));
    expect_err(shard_state_apply(&f->shard, buf_slice(&f->entry), applied->index + 1, 1, 1),
               ERR_OK);
    buf_clear(&f->batch);
    batch_begin(&f->builder, &f->batch);
}

static void put(struct fixture *f, const struct row_key *key, struct slice payload)
{
    batch_put(&f->builder, row_key_slice(key), BATCH_OWN_VERSION, payload);
}

static void put_kv(struct fixture *f, uint64_t number, const char *key, const char *value)
{
    struct row_key k = test_kv(number, key);
    put(f, &k, slice_of_str(value));
}

static enum err try_checkpoint(struct fixture *f)
{
    if (f->shard.frozen == NULL) {
        (void)shard_state_freeze(&f->shard);
    }
    enum err err = checkpoint_write(f->store, f->shard.frozen, &f->report);
    if (err == ERR_OK) {
        shard_state_checkpoint_done(&f->shard);
    }
    return err;
}

static void checkpoint(struct fixture *f)
{
    expect_err(try_checkpoint(f), ERR_OK);
}

static bool is_stored(struct fixture *f, const struct row_key *key)
{
    struct store_read r = {0};
    bool found;
    expect_err(store_read_begin(f->store, &r), ERR_OK);
    expect_err(store_has(&r, row_key_slice(key), &found), ERR_OK);
    store_read_end(&r);
    return found;
}

static bool kv_is_stored(struct fixture *f, uint64_t number, const char *key)
{
    struct row_key k = test_kv(number, key);
    return is_stored(f, &k);
}

static size_t count_rows(struct fixture *f, const struct row_key *prefix)
{
    struct store_read r = {0};
    struct rowset rows = {0};
    struct row_key end = *prefix;
    bool more;
    row_key_after_prefix(&end);
    struct store_range range = {.start = row_key_slice(prefix),
                                .end = row_key_slice(&end),
                                .rows_max = SIZE_MAX,
                                .bytes_max = SIZE_MAX};
    expect_err(store_read_begin(f->store, &r), ERR_OK);
    expect_err(store_scan(&r, &range, &rows, &more), ERR_OK);
    size_t count = rows.count;
    rowset_done(&rows);
    store_read_end(&r);
    return count;
}

static size_t count_actor(struct fixture *f, uint64_t number)
{
    struct row_key prefix;
    row_key_number(&prefix, number);
    return count_rows(f, &prefix);
}

static size_t count_kind(struct fixture *f, enum row_kind kind)
{
    struct row_key prefix;
    row_key_kind(&prefix, SHARD_NUMBER, kind);
    return count_rows(f, &prefix);
}

static void rows_and_applied_state_are_there_after_a_restart(void **state)
{
    struct fixture *f = *state;
    put_kv(f, 1, "kept", "v");
    put_kv(f, 1, "deleted later", "v");
    commit_at(f, 77);
    checkpoint(f);
    struct row_key gone = test_kv(1, "deleted later");
    struct row_key never = test_kv(1, "never was");
    batch_delete(&f->builder, row_key_slice(&gone));
    batch_delete(&f->builder, row_key_slice(&never));
    commit_at(f, 88);
    checkpoint(f);
    assert_int_equal(f->report.rows_deleted, 2);
    put_kv(f, 1, "lost with the memory", "v");
    commit_at(f, 99);
    restart(f);

    assert_true(kv_is_stored(f, 1, "kept"));
    assert_false(kv_is_stored(f, 1, "deleted later"));
    assert_false(kv_is_stored(f, 1, "lost with the memory"));
    const struct applied *applied = shard_state_applied(&f->shard);
    assert_int_equal(applied->index, 2);
    assert_int_equal(applied->version, 2);
    assert_int_equal(applied->number, 1000);
    assert_int_equal(applied->log_time_ms, 88);
    assert_int_equal(applied->term, 1);
}

static void entries_that_come_again_are_skipped_by_index(void **state)
{
    struct fixture *f = *state;
    put_kv(f, 1, "a", "1");
    commit_at(f, 1);
    struct buf first = buf_take(&f->entry);
    put_kv(f, 1, "a", "2");
    commit_at(f, 2);
    checkpoint(f);
    restart(f);
    expect_err(shard_state_apply(&f->shard, buf_slice(&first), 1, 1, 1), ERR_OK);
    assert_true(overlay_is_empty(f->shard.active));
    assert_int_equal(shard_state_applied(&f->shard)->index, 2);
    put_kv(f, 1, "a", "3");
    commit_at(f, 3);
    assert_false(overlay_is_empty(f->shard.active));
    buf_done(&first);
}

static void what_is_written_while_a_checkpoint_runs_goes_with_the_next(void **state)
{
    struct fixture *f = *state;
    put_kv(f, 1, "first", "v");
    commit_at(f, 1);
    const struct overlay *frozen = shard_state_freeze(&f->shard);
    put_kv(f, 1, "second", "v");
    commit_at(f, 2);
    expect_err(checkpoint_write(f->store, frozen, &f->report), ERR_OK);
    shard_state_checkpoint_done(&f->shard);
    assert_true(kv_is_stored(f, 1, "first"));
    assert_false(kv_is_stored(f, 1, "second"));
    assert_int_equal(f->shard.durable.index, 1);
    checkpoint(f);
    assert_true(kv_is_stored(f, 1, "second"));
    assert_int_equal(f->shard.durable.index, 2);
}

static void a_barrier_alone_moves_the_applied_index(void **state)
{
    struct fixture *f = *state;
    expect_err(shard_state_apply(&f->shard, (struct slice){0}, 5, 3, 1), ERR_OK);
    assert_false(shard_state_wants_freeze(&f->shard, UINT64_MAX / 2));
    checkpoint(f);
    restart(f);
    assert_int_equal(shard_state_applied(&f->shard)->index, 5);
    assert_int_equal(shard_state_applied(&f->shard)->term, 3);
}

static void freezing_is_wanted_by_age_and_not_while_one_is_frozen(void **state)
{
    struct fixture *f = *state;
    assert_false(shard_state_wants_freeze(&f->shard, 1 << 30));
    put_kv(f, 1, "k", "v");
    commit_at(f, 1); /* applied at 1 ms */
    assert_false(shard_state_wants_freeze(&f->shard, FREEZE_AGE_MS));
    assert_true(shard_state_wants_freeze(&f->shard, 1 + FREEZE_AGE_MS));
    (void)shard_state_freeze(&f->shard);
    put_kv(f, 1, "k", "v");
    commit_at(f, 1);
    assert_false(shard_state_wants_freeze(&f->shard, 1 << 30));
    expect_invariants_to_fail();
    expect_assert_failure((void)shard_state_freeze(&f->shard));
}

static void put_much(struct fixture *f, uint64_t number, int rows)
{
    char value[4001];
    memset(value, 'v', 4000);
    value[4000] = '\0';
    for (int i = 0; i < rows; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%06d", i);
        put_kv(f, number, name, value);
    }
}

static void a_full_map_fails_the_checkpoint_and_nothing_else(void **state)
{
    struct fixture *f = *state;
    close_all(f);
    f->map_bytes = 1 << 20;
    open_all(f);
    put_kv(f, 1, "k", "v");
    commit_at(f, 1);
    checkpoint(f);
    put_much(f, 2, 500);
    commit_at(f, 2);
    for (int i = 0; i < 3; i++) {
        expect_err(try_checkpoint(f), ERR_STORAGE_FULL);
    }
    assert_true(kv_is_stored(f, 1, "k"));
    assert_int_equal(count_actor(f, 2), 0);
    assert_int_equal(f->shard.durable.index, 1);
    const struct overlay_row *row;
    struct row_key in_frozen = test_kv(2, "000499");
    assert_int_equal(overlay_get(f->shard.frozen, row_key_slice(&in_frozen), &row), OVERLAY_FOUND);

    store_close(f->store); /* the shard stays in memory while the map grows */
    expect_err(store_open(f->path, STORE_MAP_BYTES_TESTS, &f->store), ERR_OK);
    expect_err(try_checkpoint(f), ERR_OK);
    assert_int_equal(count_actor(f, 2), 500);
}

static void a_disk_that_fills_while_committing_loses_nothing(void **state)
{
    struct fixture *f = *state;
    put_kv(f, 1, "k", "v");
    commit_at(f, 1);
    checkpoint(f);
    put_much(f, 2, 500);
    commit_at(f, 2);

    /* The file may not grow: every write beyond its end fails as on a full disk (EFBIG). */
    struct stat st;
    struct rlimit before;
    assert_int_equal(stat(f->path, &st), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit tight = {.rlim_cur = (rlim_t)st.st_size, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    enum err err = try_checkpoint(f);
    enum err again = try_checkpoint(f);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    expect_err(err, ERR_STORAGE_FULL);
    expect_err(again, ERR_STORAGE_FULL);

    assert_true(kv_is_stored(f, 1, "k"));
    assert_int_equal(count_actor(f, 2), 0);
    expect_err(try_checkpoint(f), ERR_OK);
    restart(f);
    assert_int_equal(count_actor(f, 2), 500);
}

static void a_disk_that_fails_is_told_from_a_full_one(void **state)
{
    struct fixture *f = *state;
    put_kv(f, 1, "k", "v");
    commit_at(f, 1);
    int fd;
    assert_int_equal(mdb_env_get_fd(f->store->env, &fd), 0);
    int broken = open(f->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(dup2(broken, fd), fd); /* writes to it fail now */
    (void)close(broken);
    expect_err(try_checkpoint(f), ERR_IO);
}

static void drop(struct fixture *f, uint64_t number)
{
    batch_drop(&f->builder, number);
}

static void a_dropped_actor_is_erased_in_steps_across_restarts(void **state)
{
    struct fixture *f = *state;
    enum { ROWS = 2 * CHECKPOINT_ERASE_ROWS_MAX + 500 };
    for (int i = 0; i < ROWS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", i);
        put_kv(f, 2, name, "v");
    }
    put_kv(f, 1, "neighbour", "v");
    put_kv(f, 3, "neighbour", "v");
    commit_at(f, 1);
    checkpoint(f);
    assert_int_equal(count_actor(f, 2), ROWS);

    drop(f, 2);
    commit_at(f, 2);
    checkpoint(f);
    assert_int_equal(f->report.actors_dropped, 1);
    assert_int_equal(f->report.rows_erased, CHECKPOINT_ERASE_ROWS_MAX);
    assert_true(f->report.more_to_erase);
    assert_int_equal(count_kind(f, ROW_DROPPED), 1);
    restart(f);
    checkpoint(f); /* of nothing but chores */
    assert_true(f->report.more_to_erase);
    assert_int_equal(count_actor(f, 2), 500);
    checkpoint(f);
    assert_int_equal(f->report.rows_erased, 500);
    assert_false(f->report.more_to_erase);
    assert_int_equal(count_actor(f, 2), 0);
    assert_int_equal(count_kind(f, ROW_DROPPED), 0);
    assert_true(kv_is_stored(f, 1, "neighbour"));
    assert_true(kv_is_stored(f, 3, "neighbour"));
}

static void many_small_drops_are_bounded_too(void **state)
{
    struct fixture *f = *state;
    enum { ACTORS = CHECKPOINT_ERASE_ROWS_MAX + 10 };
    struct batch_header header = {.version = 1, .log_time_ms = 1, .born = ACTORS};
    for (uint64_t n = 1; n <= ACTORS; n++) {
        drop(f, n);
    }
    expect_err(batch_end(&f->builder, &header), ERR_OK);
    entry_append(&f->entry, buf_slice(&f->batch));
    expect_err(shard_state_apply(&f->shard, buf_slice(&f->entry), 1, 1, 1), ERR_OK);
    checkpoint(f);
    assert_true(f->report.more_to_erase);
    assert_int_equal(count_kind(f, ROW_DROPPED), 10);
    checkpoint(f);
    assert_false(f->report.more_to_erase);
    assert_int_equal(count_kind(f, ROW_DROPPED), 0);
    buf_clear(&f->batch);
    batch_begin(&f->builder, &f->batch);
}

/* Idempotency */

enum { HOUR_MS = IDEMPOTENCY_HOUR_MS };

static const uint64_t BEGAN_MS = UINT64_C(1000) * HOUR_MS;

static void put_idempotency(struct fixture *f, uint64_t identity, const char *key,
                            uint64_t log_time_ms)
{
    struct identity id = test_identity(identity);
    struct row_key k;
    struct buf payload = {0};
    number_row_encode(&payload, log_time_ms); /* and no answer behind it */
    row_key_idempotency(&k, &id, slice_of_str(key));
    put(f, &k, buf_slice(&payload));
    row_key_idempotency_hour(&k, log_time_ms, &id, slice_of_str(key));
    put(f, &k, (struct slice){0});
    buf_done(&payload);
}

static void pass_time(struct fixture *f, uint64_t log_time_ms)
{
    put_kv(f, 1, "clock", "ticks");
    commit_at(f, log_time_ms);
    checkpoint(f);
}

static void idempotency_rows_go_when_their_whole_hour_is_24_hours_old(void **state)
{
    struct fixture *f = *state;
    put_idempotency(f, 1, "early in the hour", BEGAN_MS);
    put_idempotency(f, 2, "late in the hour", BEGAN_MS + HOUR_MS - 1);
    put_idempotency(f, 3, "in the next", BEGAN_MS + HOUR_MS);
    pass_time(f, BEGAN_MS + 2 * HOUR_MS);
    pass_time(f, BEGAN_MS + 25 * HOUR_MS - 1);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 3);
    pass_time(f, BEGAN_MS + 25 * HOUR_MS);
    assert_int_equal(f->report.rows_expired, 2);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 1);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY_HOUR), 1);
    pass_time(f, BEGAN_MS + 26 * HOUR_MS);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 0);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY_HOUR), 0);
}

static void a_key_used_again_after_its_expiry_stays(void **state)
{
    struct fixture *f = *state;
    put_idempotency(f, 1, "key", BEGAN_MS);
    commit_at(f, BEGAN_MS);
    put_idempotency(f, 1, "key", BEGAN_MS + 24 * HOUR_MS);
    pass_time(f, BEGAN_MS + 25 * HOUR_MS);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 1);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY_HOUR), 1);
    pass_time(f, BEGAN_MS + 49 * HOUR_MS);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 0);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY_HOUR), 0);
}

/* After a long time without checkpoints both uses may have expired, but not the hour of the second. */
static void a_row_goes_with_its_own_hour_and_never_leaves_it_behind(void **state)
{
    struct fixture *f = *state;
    put_idempotency(f, 1, "key", BEGAN_MS);
    commit_at(f, BEGAN_MS);
    put_idempotency(f, 1, "key", BEGAN_MS + 24 * HOUR_MS);
    pass_time(f, BEGAN_MS + 48 * HOUR_MS + HOUR_MS / 2);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 1);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY_HOUR), 1);
    pass_time(f, BEGAN_MS + 49 * HOUR_MS);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 0);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY_HOUR), 0);
}

/* A count has a row by hour for each hour in which it counted, and its time is that of its last. */
static void the_count_of_records_goes_with_the_last_of_them(void **state)
{
    struct fixture *f = *state;
    put_idempotency(f, 1, "", BEGAN_MS);
    commit_at(f, BEGAN_MS);
    put_idempotency(f, 1, "", BEGAN_MS + HOUR_MS);
    put_idempotency(f, 1, "key", BEGAN_MS + HOUR_MS);
    pass_time(f, BEGAN_MS + 25 * HOUR_MS);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 2);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY_HOUR), 2);
    pass_time(f, BEGAN_MS + 26 * HOUR_MS);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 0);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY_HOUR), 0);
}

static void expiry_is_bounded_and_goes_on_with_the_next_checkpoint(void **state)
{
    struct fixture *f = *state;
    enum { ROWS = CHECKPOINT_EXPIRE_ROWS_MIN + 100 };
    for (uint64_t i = 0; i < ROWS; i++) {
        put_idempotency(f, i, "key", BEGAN_MS);
    }
    commit_at(f, BEGAN_MS);
    checkpoint(f);
    pass_time(f, BEGAN_MS + 30 * HOUR_MS); /* puts one row */
    assert_int_equal(f->report.rows_expired, CHECKPOINT_EXPIRE_ROWS_MIN + 2);
    checkpoint(f);
    assert_int_equal(f->report.rows_expired, 98);
    assert_int_equal(count_kind(f, ROW_IDEMPOTENCY), 0);
}

static void a_damaged_idempotency_row_stops_no_checkpoint(void **state)
{
    struct fixture *f = *state;
    put_idempotency(f, 1, "key", BEGAN_MS);
    commit_at(f, BEGAN_MS);
    checkpoint(f);

    struct identity id = test_identity(1);
    struct row_key k;
    row_key_idempotency(&k, &id, SLICE("key"));
    MDB_txn *txn;
    MDB_val key = {.mv_size = k.len, .mv_data = k.bytes};
    char bad[] = "no checksum of ours";
    MDB_val value = {.mv_size = sizeof bad, .mv_data = bad};
    assert_int_equal(mdb_txn_begin(f->store->env, NULL, 0, &txn), 0);
    assert_int_equal(mdb_put(txn, f->store->dbi, &key, &value, 0), 0);
    assert_int_equal(mdb_txn_commit(txn), 0);

    pass_time(f, BEGAN_MS + 30 * HOUR_MS);
    assert_int_equal(f->report.rows_damaged, 1);
    pass_time(f, BEGAN_MS + 30 * HOUR_MS);
    assert_int_equal(f->report.rows_damaged, 0);
    assert_true(is_stored(f, &k)); /* as evidence */
}

#define WITH_SHARD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

TEST_MAIN(WITH_SHARD(rows_and_applied_state_are_there_after_a_restart),
          WITH_SHARD(entries_that_come_again_are_skipped_by_index),
          WITH_SHARD(what_is_written_while_a_checkpoint_runs_goes_with_the_next),
          WITH_SHARD(a_barrier_alone_moves_the_applied_index),
          WITH_SHARD(freezing_is_wanted_by_age_and_not_while_one_is_frozen),
          WITH_SHARD(a_full_map_fails_the_checkpoint_and_nothing_else),
          WITH_SHARD(a_disk_that_fills_while_committing_loses_nothing),
          WITH_SHARD(a_disk_that_fails_is_told_from_a_full_one),
          WITH_SHARD(a_dropped_actor_is_erased_in_steps_across_restarts),
          WITH_SHARD(many_small_drops_are_bounded_too),
          WITH_SHARD(idempotency_rows_go_when_their_whole_hour_is_24_hours_old),
          WITH_SHARD(a_key_used_again_after_its_expiry_stays),
          WITH_SHARD(expiry_is_bounded_and_goes_on_with_the_next_checkpoint),
          WITH_SHARD(a_row_goes_with_its_own_hour_and_never_leaves_it_behind),
          WITH_SHARD(the_count_of_records_goes_with_the_last_of_them),
          WITH_SHARD(a_damaged_idempotency_row_stops_no_checkpoint))
