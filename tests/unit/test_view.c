#include "storage/view.h"

#include "tests/lib/shard.h"
#include "tests/lib/test.h"

/* Reading */

static void run_to_the_end(struct shard_fixture *f, struct read_job *job)
{
    enum err err;
    while ((err = view_read(&f->shard, job)) == ERR_COLD) {
        read_job_run_on_reader(f->store, job);
    }
    expect_err(err, ERR_OK);
}

static void expect_point(struct shard_fixture *f, const struct row_key *key, bool want_present)
{
    struct read_job job;
    read_job_points(&job);
    read_job_add_point(&job, row_key_slice(key));
    run_to_the_end(f, &job);
    assert_int_equal(job.rows.count, 1);
    assert_int_equal(job.rows.rows[0].present, want_present);
    read_job_done(&job);
}

static void a_peek_tells_memory_from_cold(void **state)
{
    struct shard_fixture *f = *state;
    struct view_row row;
    uint64_t number = shard_give_birth(f, 0);
    struct row_key key = test_kv(number, "k");
    struct row_key other = test_kv(number, "other");
    shard_put_value(f, &key, 7);
    shard_commit(f);
    assert_int_equal(view_peek(&f->shard, row_key_slice(&key), &row), VIEW_FOUND);
    assert_int_equal(row.payload.len, sizeof(uint32_t));
    assert_int_equal(row.version, 1);
    /* Born since the last checkpoint: what is not in memory is nowhere. */
    assert_int_equal(view_peek(&f->shard, row_key_slice(&other), &row), VIEW_DELETED);
    assert_true(view_is_warm(&f->shard, number));
    (void)shard_state_freeze(&f->shard);
    assert_int_equal(view_peek(&f->shard, row_key_slice(&key), &row), VIEW_FOUND);
    shard_delete(f, &key);
    shard_commit(f);
    assert_int_equal(view_peek(&f->shard, row_key_slice(&key), &row), VIEW_DELETED);
    shard_write_checkpoint(f);
    shard_finish_checkpoint(f);
    assert_int_equal(view_peek(&f->shard, row_key_slice(&key), &row), VIEW_DELETED);
    assert_int_equal(view_peek(&f->shard, row_key_slice(&other), &row), VIEW_COLD);
    assert_false(view_is_warm(&f->shard, number));
    assert_false(view_is_warm(&f->shard, SHARD_NUMBER));
}

static void a_checkpoint_done_between_read_and_merge_loses_no_row(void **state)
{
    struct shard_fixture *f = *state;
    uint64_t number = shard_give_birth(f, 0);
    shard_commit(f);
    shard_checkpoint(f);
    struct row_key key = test_kv(number, "k");
    struct row_key prefix;
    shard_put_value(f, &key, 7);
    shard_commit(f);
    (void)shard_state_freeze(&f->shard);

    struct read_job range;
    struct read_job point;
    struct read_job actor;
    struct identity identity = test_identity(0);
    row_key_kind(&prefix, number, ROW_KV);
    read_job_prefix(&range, &prefix, false, 10, 1000);
    read_job_points(&point);
    read_job_add_point(&point, row_key_slice(&key));
    struct row_key other = test_kv(number, "other"); /* makes the job cold */
    read_job_add_point(&point, row_key_slice(&other));
    read_job_actor(&actor, &identity, 10, 1000);
    expect_err(view_read(&f->shard, &range), ERR_COLD);
    expect_err(view_read(&f->shard, &point), ERR_COLD);
    expect_err(view_read(&f->shard, &actor), ERR_COLD);
    read_job_run_on_reader(f->store, &range); /* LMDB from before the checkpoint */
    read_job_run_on_reader(f->store, &point);
    read_job_run_on_reader(f->store, &actor);
    assert_int_equal(range.stored.count, 0);
    shard_write_checkpoint(f);
    shard_finish_checkpoint(f); /* the row leaves memory */

    expect_err(view_read(&f->shard, &range), ERR_COLD);
    expect_err(view_read(&f->shard, &point), ERR_COLD);
    expect_err(view_read(&f->shard, &actor), ERR_COLD);
    run_to_the_end(f, &range);
    run_to_the_end(f, &point);
    run_to_the_end(f, &actor);
    assert_int_equal(range.rows.count, 1);
    assert_true(point.rows.rows[0].present);
    assert_int_equal(actor.rows.count, 2); /* with META */
    read_job_done(&range);
    read_job_done(&point);
    read_job_done(&actor);
}

static void a_checkpoint_committed_but_not_done_shows_each_row_once(void **state)
{
    struct shard_fixture *f = *state;
    uint64_t number = shard_give_birth(f, 0);
    struct row_key key = test_kv(number, "k");
    shard_put_value(f, &key, 7);
    shard_commit(f);
    shard_checkpoint(f);
    shard_put_value(f, &key, 8);
    shard_commit(f);
    (void)shard_state_freeze(&f->shard);
    shard_write_checkpoint(f);
    struct row_key prefix;
    struct read_job job;
    row_key_kind(&prefix, number, ROW_KV);
    read_job_prefix(&job, &prefix, false, 10, 1000);
    run_to_the_end(f, &job);
    assert_int_equal(job.rows.count, 1);
    assert_int_equal(job.rows.rows[0].version, 2);
    read_job_done(&job);
}

static void a_replaced_store_makes_reads_start_again(void **state)
{
    struct shard_fixture *f = *state;
    uint64_t number = shard_give_birth(f, 0);
    struct row_key key = test_kv(number, "k");
    shard_put_value(f, &key, 7);
    shard_commit(f);
    shard_checkpoint(f);
    struct read_job job;
    read_job_points(&job);
    read_job_add_point(&job, row_key_slice(&key));
    expect_err(view_read(&f->shard, &job), ERR_COLD);
    read_job_run_on_reader(f->store, &job);
    struct applied durable = f->shard.durable;
    shard_state_replace(&f->shard, &durable);
    expect_err(view_read(&f->shard, &job), ERR_COLD);
    run_to_the_end(f, &job);
    assert_true(job.rows.rows[0].present);
    read_job_done(&job);
}

static void a_dropped_actor_is_gone_on_every_level_at_once(void **state)
{
    struct shard_fixture *f = *state;
    uint64_t number = shard_give_birth(f, 0);
    for (int i = 0; i < CHECKPOINT_ERASE_ROWS_MAX + 50; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%d", i);
        struct row_key row = test_kv(number, name);
        shard_put(f, &row, SLICE("v"));
    }
    shard_commit(f);
    shard_checkpoint(f);
    struct row_key key = test_kv(number, "9999"); /* the last to be erased */
    struct identity identity = test_identity(0);
    expect_point(f, &key, true);
    shard_drop(f, 0);
    shard_commit(f);
    for (int level = 0; level < 3; level++) {
        struct read_job job;
        struct row_key all;
        expect_point(f, &key, false);
        row_key_number(&all, number);
        read_job_prefix(&job, &all, level == 1, 10, 1000);
        run_to_the_end(f, &job);
        assert_int_equal(job.rows.count, 0);
        assert_false(job.more);
        read_job_done(&job);
        read_job_actor(&job, &identity, 10, 1000);
        run_to_the_end(f, &job);
        assert_false(job.exists);
        read_job_done(&job);
        if (level == 0) {
            (void)shard_state_freeze(&f->shard);
        } else if (level == 1) {
            shard_write_checkpoint(f); /* erases the first 10 000 of its rows */
            shard_finish_checkpoint(f);
        }
    }
    struct store_read *r;
    bool still_there;
    expect_err(store_reader(f->store, &r), ERR_OK);
    expect_err(store_has(r, row_key_slice(&key), &still_there), ERR_OK);
    assert_true(still_there); /* else the last round proved nothing */
    store_read_reset(r);
}

static void an_actor_job_finds_the_number_wherever_the_directory_row_is(void **state)
{
    struct shard_fixture *f = *state;
    struct identity identity = test_identity(0);
    struct read_job job;
    uint64_t first = shard_give_birth(f, 0);
    shard_commit(f);
    read_job_actor(&job, &identity, 10, 1000);
    expect_err(view_read(&f->shard, &job), ERR_OK); /* all in memory */
    assert_int_equal(job.number, first);
    read_job_done(&job);

    shard_checkpoint(f);
    read_job_actor(&job, &identity, 10, 1000);
    expect_err(view_read(&f->shard, &job), ERR_COLD);
    read_job_run_on_reader(f->store, &job);
    expect_err(view_read(&f->shard, &job), ERR_OK);
    assert_int_equal(job.number, first);
    assert_true(read_job_is_whole(&job));
    read_job_done(&job);

    /* Dropped and born again while the reader was at work. */
    read_job_actor(&job, &identity, 10, 1000);
    expect_err(view_read(&f->shard, &job), ERR_COLD);
    read_job_run_on_reader(f->store, &job);
    shard_drop(f, 0);
    shard_commit(f);
    uint64_t second = shard_give_birth(f, 0);
    shard_commit(f);
    run_to_the_end(f, &job);
    assert_int_equal(job.number, second);
    assert_int_equal(job.rows.count, 1);
    struct directory_row row;
    expect_err(directory_row_decode(buf_slice(&job.directory), &row), ERR_OK);
    assert_int_equal(row.number, second);
    read_job_done(&job);

    struct identity nobody = test_identity(99);
    read_job_actor(&job, &nobody, 10, 1000);
    run_to_the_end(f, &job);
    assert_false(job.exists);
    assert_int_equal(job.rows.count, 0);
    read_job_done(&job);
}

static void a_damaged_row_is_an_error_with_its_key(void **state)
{
    struct shard_fixture *f = *state;
    uint64_t number = shard_give_birth(f, 0);
    shard_commit(f);
    shard_checkpoint(f);
    struct row_key key;
    struct identity identity = test_identity(0);
    struct store_write w;
    row_key_directory(&key, &identity);
    expect_err(store_write_begin(f->store, &w), ERR_OK);
    expect_err(store_put(&w, row_key_slice(&key), 1, SLICE("not a directory row")), ERR_OK);
    expect_err(store_write_commit(&w), ERR_OK);
    struct read_job job;
    read_job_actor(&job, &identity, 10, 1000);
    expect_err(view_read(&f->shard, &job), ERR_COLD);
    read_job_run_on_reader(f->store, &job);
    expect_err(view_read(&f->shard, &job), ERR_CORRUPT);
    expect_slice(row_key_slice(&job.bad_key), row_key_slice(&key));
    read_job_done(&job);
    assert_true(number > 0);
}

static void a_range_ends_with_its_number(void **state)
{
    struct shard_fixture *f = *state;
    uint64_t first = shard_give_birth(f, 0);
    uint64_t second = shard_give_birth(f, 1);
    shard_commit(f);
    shard_checkpoint(f);
    struct row_key start;
    struct row_key end;
    struct read_job job;
    row_key_meta(&start, first);
    row_key_meta(&end, second + 1);
    read_job_range(&job, &start, &end, false, 10, 1000);
    run_to_the_end(f, &job);
    assert_int_equal(job.rows.count, 1);
    read_job_done(&job);
    row_key_meta(&end, 0x7fff);
    read_job_range(&job, &end, &start, true, 10, 1000); /* the wrong way round */
    run_to_the_end(f, &job);
    assert_int_equal(job.rows.count, 0);
    read_job_done(&job);
}

#define WITH_SHARD(test) cmocka_unit_test_setup_teardown(test, shard_setup, shard_teardown)

/* The reader knows from before that nothing was dropped. */
static void rows_of_a_dropped_actor_are_hidden_until_they_are_erased(void **state)
{
    struct shard_fixture *f = *state;
    enum { ROWS = CHECKPOINT_ERASE_ROWS_MAX + 500 };
    struct row_key last;
    uint64_t number = shard_give_birth(f, 0);
    for (int i = 0; i < ROWS; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "%06d", i);
        last = test_kv(number, name);
        shard_put(f, &last, SLICE("v"));
    }
    shard_commit(f);
    shard_checkpoint(f);
    expect_point(f, &last, true);
    shard_drop(f, 0);
    shard_commit(f);
    shard_checkpoint(f);

    struct rowset stored = {0};
    struct store_read r = {0};
    expect_err(store_read_begin(f->store, &r), ERR_OK);
    expect_err(store_get(&r, row_key_slice(&last), &stored), ERR_OK);
    assert_true(stored.rows[0].present); /* it is still there */
    store_read_end(&r);
    rowset_done(&stored);
    expect_point(f, &last, false);
    shard_checkpoint(f); /* erases the rest */
    expect_point(f, &last, false);
}

TEST_MAIN(WITH_SHARD(a_peek_tells_memory_from_cold),
          WITH_SHARD(a_checkpoint_done_between_read_and_merge_loses_no_row),
          WITH_SHARD(a_checkpoint_committed_but_not_done_shows_each_row_once),
          WITH_SHARD(a_replaced_store_makes_reads_start_again),
          WITH_SHARD(a_dropped_actor_is_gone_on_every_level_at_once),
          WITH_SHARD(rows_of_a_dropped_actor_are_hidden_until_they_are_erased),
          WITH_SHARD(an_actor_job_finds_the_number_wherever_the_directory_row_is),
          WITH_SHARD(a_damaged_row_is_an_error_with_its_key),
          WITH_SHARD(a_range_ends_with_its_number))
