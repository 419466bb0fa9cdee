#include "storage/view.h"

#include <stdlib.h>

#include "tests/lib/shard.h"
#include "tests/lib/test.h"

/* The model test: random writes, drops, births, freezes and checkpoints, also between a read of LMDB
 * and its merge. What comes back must be what the model holds at the merge. */

static struct row_key random_kv(uint64_t *seed, uint64_t number)
{
    uint8_t bytes[4];
    size_t len = 1 + test_below(seed, sizeof bytes);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (uint8_t)(test_below(seed, 4) * 85);
    }
    struct row_key k;
    row_key_kv(&k, number, slice_of(bytes, len));
    return k;
}

static void change_rows(struct shard_fixture *f, uint64_t *seed)
{
    uint64_t who = test_below(seed, IDENTITIES);
    if (f->numbers[who] == 0) {
        if (f->last_number + 1 < MODEL_NUMBERS_MAX) {
            (void)shard_give_birth(f, who);
        }
    } else if (test_below(seed, 40) == 0) {
        shard_drop(f, who);
    } else {
        for (uint64_t ops = 1 + test_below(seed, 6); ops > 0; ops--) {
            struct row_key key = random_kv(seed, f->numbers[who]);
            if (test_below(seed, 3) == 0) {
                shard_delete(f, &key);
            } else {
                shard_put_value(f, &key, (uint32_t)test_next(seed));
            }
        }
    }
    shard_commit(f);
}

/* Moves rows between levels; no reader may notice. */
static void change_levels(struct shard_fixture *f, uint64_t *seed)
{
    if (f->shard.frozen == NULL) {
        if (test_below(seed, 3) == 0) {
            (void)shard_state_freeze(&f->shard);
        }
    } else if (!f->written) {
        shard_write_checkpoint(f);
    } else {
        shard_finish_checkpoint(f);
    }
}

static void disturb(struct shard_fixture *f, uint64_t *seed, bool rows_may_change)
{
    for (uint64_t steps = test_below(seed, 4); steps > 0; steps--) {
        if (rows_may_change && test_below(seed, 2) == 0) {
            change_rows(f, seed);
        } else {
            change_levels(f, seed);
        }
    }
}

/* Merges what has been read. Once a part of the answer stands (rows, or a range that has narrowed) the
 * rows must stay as they are, for the model knows one state only. */
static enum err merge(struct shard_fixture *f, struct read_job *job, bool *rows_may_change)
{
    struct row_key start = job->start;
    struct row_key end = job->end;
    enum err err = view_read(&f->shard, job);
    if (err == ERR_OK || job->rows.count > 0 ||
        !slice_equal(row_key_slice(&job->start), row_key_slice(&start)) ||
        !slice_equal(row_key_slice(&job->end), row_key_slice(&end))) {
        *rows_may_change = false;
    }
    return err;
}

/* Brings one page. */
static void read_page(struct shard_fixture *f, struct read_job *job, uint64_t *seed,
                      bool *rows_may_change)
{
    enum err err;
    while ((err = merge(f, job, rows_may_change)) == ERR_COLD) {
        disturb(f, seed, *rows_may_change);
        read_job_run_on_reader(f->store, job);
        disturb(f, seed, *rows_may_change);
    }
    expect_err(err, ERR_OK);
}

static void expect_row(const struct read_job *job, size_t i, const struct model_row *want)
{
    expect_slice(rowset_key(&job->rows, i), row_key_slice(&want->key));
    expect_slice(rowset_payload(&job->rows, i), slice_of(&want->value, sizeof want->value));
    assert_int_equal(job->rows.rows[i].version, want->version);
}

/* Compares all pages of a range with rows [at, to) of the model, taken from the front or the back. */
static void expect_range(struct shard_fixture *f, struct read_job *job, uint64_t *seed,
                         const struct row_key *start, const struct row_key *end)
{
    bool rows_may_change = true;
    read_page(f, job, seed, &rows_may_change);
    size_t at = model_seek(&f->model, row_key_slice(start));
    size_t to = model_seek(&f->model, row_key_slice(end));
    for (;;) {
        assert_true(job->rows.count <= job->rows_max);
        assert_true(job->rows.count == 1 || job->rows.bytes.len <= job->bytes_max);
        for (size_t i = 0; i < job->rows.count; i++) {
            assert_true(at < to);
            expect_row(job, i, &f->model.rows[job->reverse ? --to : at++]);
        }
        if (!job->more) {
            break;
        }
        read_job_continue(job);
        read_page(f, job, seed, &rows_may_change);
    }
    assert_int_equal(at, to);
    read_job_done(job);
}

static void check_range(struct shard_fixture *f, uint64_t *seed)
{
    uint64_t number = f->numbers[test_below(seed, IDENTITIES)];
    if (number == 0) {
        return;
    }
    struct read_job job;
    struct row_key start = random_kv(seed, number);
    struct row_key end = random_kv(seed, number);
    size_t rows_max = 1 + test_below(seed, 6);
    size_t bytes_max = 1 + test_below(seed, 100);
    bool reverse = test_below(seed, 2) == 0;
    if (test_below(seed, 3) == 0) {
        row_key_number(&start, number);
        end = start;
        row_key_after_prefix(&end);
    }
    if (slice_compare(row_key_slice(&start), row_key_slice(&end)) > 0) {
        struct row_key swap = start;
        start = end;
        end = swap;
    }
    read_job_range(&job, &start, &end, reverse, rows_max, bytes_max);
    expect_range(f, &job, seed, &start, &end);
}

static void check_actor(struct shard_fixture *f, uint64_t *seed)
{
    uint64_t who = test_below(seed, IDENTITIES);
    struct identity identity = test_identity(who);
    struct read_job job;
    bool rows_may_change = true;
    read_job_actor(&job, &identity, 1 + test_below(seed, 30), 1 + test_below(seed, 600));
    read_page(f, &job, seed, &rows_may_change);
    uint64_t number = f->numbers[who];
    assert_int_equal(job.number, number);
    assert_int_equal(job.exists, number != 0);
    struct row_key start;
    row_key_number(&start, number);
    size_t at = model_seek(&f->model, row_key_slice(&start));
    row_key_after_prefix(&start);
    size_t to = number == 0 ? at : model_seek(&f->model, row_key_slice(&start));
    for (size_t i = 0; i < job.rows.count; i++) {
        assert_true(at < to);
        expect_row(&job, i, &f->model.rows[at++]);
    }
    assert_true(job.more || at == to);
    read_job_done(&job);
}

static void check_points(struct shard_fixture *f, uint64_t *seed)
{
    struct read_job job;
    bool rows_may_change = true;
    read_job_points(&job);
    for (uint64_t n = 1 + test_below(seed, 8); n > 0; n--) {
        /* of living, dropped and unborn actors */
        struct row_key key = random_kv(seed, 1 + test_below(seed, f->last_number + 2));
        read_job_add_point(&job, row_key_slice(&key));
    }
    read_page(f, &job, seed, &rows_may_change);
    assert_int_equal(job.rows.count, job.wanted.count);
    for (size_t i = 0; i < job.wanted.count; i++) {
        struct slice key = rowset_key(&job.wanted, i);
        size_t at = model_seek(&f->model, key);
        assert_int_equal(job.rows.rows[i].present, model_has(&f->model, at, key));
        if (job.rows.rows[i].present) {
            expect_row(&job, i, &f->model.rows[at]);
        }
    }
    read_job_done(&job);
}

static void run_model(uint64_t seed)
{
    void *state;
    (void)shard_setup(&state);
    struct shard_fixture *f = state;
    for (int step = 0; step < 400; step++) {
        disturb(f, &seed, true);
        check_range(f, &seed);
        check_actor(f, &seed);
        check_points(f, &seed);
    }
    (void)shard_teardown(&state);
}

static void reads_agree_with_a_model_whatever_happens_meanwhile(void **state)
{
    (void)state;
    const char *chosen = getenv("SEED");
    uint64_t first = chosen != NULL ? strtoull(chosen, NULL, 10) : 1;
    uint64_t last = chosen != NULL ? first : 4;
    for (uint64_t seed = first; seed <= last; seed++) {
        print_message("SEED=%llu\n", (unsigned long long)seed);
        run_model(seed);
    }
}

TEST_MAIN(cmocka_unit_test(reads_agree_with_a_model_whatever_happens_meanwhile))
