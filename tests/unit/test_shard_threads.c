/* A shard with its real helper threads: the worker writes and merges, the store thread writes
 * checkpoints, the reader reads LMDB, all at once. To be run under a thread sanitizer too. */
#include "storage/job_thread.h"

#include <semaphore.h>

#include "tests/lib/shard.h"
#include "tests/lib/test.h"

enum { READS = 4, STEPS = 3000, KEYS = 200 };

struct threads;

struct read {
    struct job job;
    struct read_job read;
    struct threads *all;
    uint64_t who;
    bool busy;
};

struct threads {
    struct shard_fixture *shard;
    struct job_thread *writer;
    struct job_thread *reader;
    struct job checkpoint;
    enum err checkpoint_err;
    struct checkpoint_report report;
    bool checkpoint_busy;
    struct read reads[READS];
    uint64_t reads_done;
    uint64_t checkpoints_done;
    bool stopping;
    sem_t notified;
};

static void notify(void *ctx)
{
    struct threads *t = ctx;
    (void)sem_post(&t->notified);
}

static void write_checkpoint_on_store(struct job *job)
{
    struct threads *t = CONTAINER_OF(job, struct threads, checkpoint);
    /* The frozen overlay is this thread's to read until the job is done. */
    t->checkpoint_err = checkpoint_write(t->shard->store, t->shard->shard.frozen, &t->report);
}

static void checkpoint_is_done(struct job *job)
{
    struct threads *t = CONTAINER_OF(job, struct threads, checkpoint);
    expect_err(t->checkpoint_err, ERR_OK);
    shard_state_checkpoint_done(&t->shard->shard);
    t->checkpoint_busy = false;
    t->checkpoints_done++;
}

static void read_on_reader(struct job *job)
{
    struct read *r = CONTAINER_OF(job, struct read, job);
    read_job_run_on_reader(r->all->shard->store, &r->read);
}

/* All rows of an actor come in one page: what is merged is the state of now. */
static void expect_actor(struct shard_fixture *f, const struct read *r)
{
    const struct read_job *job = &r->read;
    struct row_key key;
    uint64_t number = f->numbers[r->who];
    assert_int_equal(job->number, number);
    assert_false(job->more);
    if (number == 0) {
        assert_int_equal(job->rows.count, 0);
        return;
    }
    row_key_number(&key, number);
    size_t from = model_seek(&f->model, row_key_slice(&key));
    row_key_after_prefix(&key);
    size_t to = model_seek(&f->model, row_key_slice(&key));
    assert_int_equal(job->rows.count, to - from);
    for (size_t i = 0; i < job->rows.count; i++) {
        const struct model_row *want = &f->model.rows[from + i];
        expect_slice(rowset_key(&job->rows, i), row_key_slice(&want->key));
        expect_slice(rowset_payload(&job->rows, i), slice_of(&want->value, sizeof want->value));
    }
}

/* Asks, or merges what has come. */
static void advance(struct read *r)
{
    struct threads *t = r->all;
    enum err err = view_read(&t->shard->shard, &r->read);
    if (err == ERR_COLD && !t->stopping) {
        r->busy = true;
        expect_err(job_thread_submit(t->reader, &r->job), ERR_OK);
        return;
    }
    if (err != ERR_COLD) {
        expect_err(err, ERR_OK);
        expect_actor(t->shard, r);
        t->reads_done++;
    }
    read_job_done(&r->read);
    r->busy = false;
}

static void read_is_done(struct job *job)
{
    advance(CONTAINER_OF(job, struct read, job));
}

static void write_some(struct shard_fixture *f, uint64_t *seed)
{
    uint64_t who = test_below(seed, IDENTITIES);
    if (f->numbers[who] == 0) {
        (void)shard_give_birth(f, who);
    } else if (test_below(seed, 100) == 0) {
        shard_drop(f, who);
    } else {
        char name[16];
        (void)snprintf(name, sizeof name, "%u", (unsigned)test_below(seed, KEYS));
        struct row_key key = test_kv(f->numbers[who], name);
        if (test_below(seed, 3) == 0) {
            shard_delete(f, &key);
        } else {
            shard_put_value(f, &key, (uint32_t)test_next(seed));
        }
    }
    shard_commit(f);
}

static void work(struct threads *t, uint64_t *seed)
{
    write_some(t->shard, seed);
    if (!t->checkpoint_busy && test_below(seed, 10) == 0) {
        (void)shard_state_freeze(&t->shard->shard);
        t->checkpoint_busy = true;
        expect_err(job_thread_submit(t->writer, &t->checkpoint), ERR_OK);
    }
    for (int i = 0; i < READS; i++) {
        struct read *r = &t->reads[i];
        if (!r->busy) {
            r->who = test_below(seed, IDENTITIES);
            struct identity identity = test_identity(r->who);
            read_job_actor(&r->read, &identity, READ_ROWS_MAX, READ_BYTES_MAX);
            advance(r);
        }
    }
    job_thread_poll(t->reader);
    job_thread_poll(t->writer);
    job_thread_kick(t->reader);
    job_thread_kick(t->writer);
}

static bool all_reads_are_busy(const struct threads *t)
{
    for (int i = 0; i < READS; i++) {
        if (!t->reads[i].busy) {
            return false;
        }
    }
    return true;
}

static void start(struct threads *t, struct shard_fixture *f)
{
    t->shard = f;
    t->checkpoint = (struct job){.run_on_thread = write_checkpoint_on_store,
                                 .done_on_worker = checkpoint_is_done};
    for (int i = 0; i < READS; i++) {
        t->reads[i] = (struct read){
            .job = {.run_on_thread = read_on_reader, .done_on_worker = read_is_done}, .all = t};
    }
    (void)sem_init(&t->notified, 0, 0);
    expect_err(job_thread_start("store", 1, notify, t, &t->writer), ERR_OK);
    expect_err(job_thread_start("reader", READS, notify, t, &t->reader), ERR_OK);
}

static void reads_checkpoints_and_writes_at_once_agree_with_the_model(void **state)
{
    struct threads *t = MEM_NEW(struct threads);
    uint64_t seed = 1;
    start(t, *state);
    for (int step = 0; step < STEPS || t->checkpoints_done < 20; step++) {
        work(t, &seed);
        if (all_reads_are_busy(t)) { /* else the worker would outrun the others */
            (void)sem_wait(&t->notified);
        }
    }
    t->stopping = true;
    job_thread_stop(t->reader);
    job_thread_stop(t->writer);
    assert_true(t->reads_done > STEPS / 2);
    (void)sem_destroy(&t->notified);
    mem_free(t);
}

TEST_MAIN(cmocka_unit_test_setup_teardown(reads_checkpoints_and_writes_at_once_agree_with_the_model,
                                          shard_setup, shard_teardown))
