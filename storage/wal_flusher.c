#include "storage/wal_flusher.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/invariant.h"
#include "base/mem.h"

struct flusher {
    struct flusher_options options; /* set once */
    pthread_t thread;               /* set once, where options.threaded */

    pthread_mutex_t mtx;
    pthread_cond_t wake; /* the flusher waits for work */
    pthread_cond_t idle; /* flusher_wait waits for the flusher */

    /* under mtx */
    bool has_job; /* submitted and not yet durable */
    bool is_stopping;
    bool is_dead;
    bool is_waited_for;    /* the worker waits: a full disk is the end then */
    uint64_t job_retry_ns; /* 0: at once; else the disk was full */
    bool wants_slot;
    uint64_t slot_retry_ns; /* 0: at once */
    uint32_t wanted_slot;
    bool removes_slot;
    uint32_t removed_slot;
    uint64_t submit_ns;
    struct flusher_job job;
    struct flusher_news news;

    /* flusher */
    struct slot_maker maker;
    bool slot_turn; /* the last piece of work was a job: something for a slot comes next */
    uint8_t *tail;  /* the last block written, up to where its last frame ended */
};

static void default_fatal(void *ctx, const char *path, uint64_t offset, int reason)
{
    (void)ctx;
    (void)fprintf(stderr, "WAL: writing %s at %" PRIu64 " failed: %s; stopping\n", path, offset,
                  strerror(reason));
    _exit(EX_IOERR);
}

static void die_on_flusher(struct flusher *f, const char *path, uint64_t offset)
{
    int reason = errno;
    wal_fatal_fn *fatal = f->options.fatal != NULL ? f->options.fatal : default_fatal;
    fatal(f->options.ctx, path, offset, reason);
    pthread_mutex_lock(&f->mtx);
    f->is_dead = true;
    pthread_cond_broadcast(&f->idle);
    pthread_mutex_unlock(&f->mtx);
}

static enum err write_frame_on_flusher(struct flusher *f, struct flusher_job *job)
{
    size_t head = job->position % WAL_BLOCK_BYTES;
    uint8_t *frame = job->memory + head;
    uint64_t end = wal_frame_end(job->position, job->frame.length);
    uint64_t base = job->position - head;
    size_t written = (size_t)(wal_block_up(end) - base);
    size_t used = head + WAL_FRAME_HEADER_BYTES + job->frame.length;

    memcpy(job->memory, f->tail, head);
    memset(job->memory + used, 0, written - used);
    job->frame.crc = crc32c(0, frame + WAL_FRAME_HEADER_BYTES, job->frame.length);
    wal_frame_encode(frame, &job->frame);
    enum err err =
        disk_write(f->options.disk, DISK_WAL_FRAME, job->file, job->memory, written, base);
    if (err == ERR_OK) {
        size_t tail = (size_t)(end % WAL_BLOCK_BYTES);
        memcpy(f->tail, job->memory + (end - base) - tail, tail);
    }
    return err;
}

/* The disk had no room for a frame, although its place was reserved (a file system that writes
 * elsewhere than in place). All of its blocks are written again when there may be some. False: somebody
 * waits for the job. */
static bool put_off_on_flusher(struct flusher *f)
{
    pthread_mutex_lock(&f->mtx);
    bool may_wait = !f->is_waited_for;
    if (may_wait) {
        f->job_retry_ns = clock_mono_ns() + UINT64_C(1000000) * WAL_RETRY_MS;
        f->news.is_stuck = true;
    }
    pthread_mutex_unlock(&f->mtx);
    return may_wait;
}

static void do_job_on_flusher(struct flusher *f)
{
    struct flusher_job job = f->job; /* has_job: the worker leaves it alone */
    enum err err = write_frame_on_flusher(f, &job);
    if (err == ERR_STORAGE_FULL && put_off_on_flusher(f)) {
        f->options.notify(f->options.ctx);
        return;
    }
    if (err != ERR_OK) {
        die_on_flusher(f, job.file->path, job.position);
        return;
    }
    uint64_t now_ns = clock_mono_ns();
    pthread_mutex_lock(&f->mtx);
    f->has_job = false;
    f->job_retry_ns = 0;
    f->news.is_stuck = false;
    f->news.has_flushed = true;
    f->news.flush_ns = now_ns - f->submit_ns;
    pthread_cond_broadcast(&f->idle);
    pthread_mutex_unlock(&f->mtx);
    f->options.notify(f->options.ctx);
}

static void report_slot_on_flusher(struct flusher *f, bool made)
{
    pthread_mutex_lock(&f->mtx);
    f->news.is_full = !made;
    f->slot_retry_ns = made ? 0 : clock_mono_ns() + UINT64_C(1000000) * WAL_RETRY_MS;
    if (made) {
        f->news.has_slot = true;
        f->news.slot = f->wanted_slot;
        f->wants_slot = false;
    }
    pthread_mutex_unlock(&f->mtx);
    f->options.notify(f->options.ctx);
}

static void do_slot_on_flusher(struct flusher *f)
{
    if (!f->maker.is_open) {
        slot_maker_start(&f->maker, f->wanted_slot);
    }
    pthread_mutex_lock(&f->mtx);
    f->slot_retry_ns = 0;
    pthread_mutex_unlock(&f->mtx);
    bool made = false;
    enum err err = slot_maker_step(&f->maker, &made);
    if (err == ERR_STORAGE_FULL || made) {
        report_slot_on_flusher(f, made);
    } else if (err != ERR_OK) {
        int reason = errno;
        char *path = wal_slot_path(f->options.dir, f->wanted_slot, true);
        errno = reason;
        die_on_flusher(f, path, f->maker.filled);
        mem_free(path);
    }
}

static void remove_slot_on_flusher(struct flusher *f)
{
    char *path = wal_slot_path(f->options.dir, f->removed_slot, false);
    (void)disk_unlink(f->options.disk, DISK_WAL_CLEAN, path);
    mem_free(path);
    pthread_mutex_lock(&f->mtx);
    f->removes_slot = false;
    f->news.has_removed = true;
    pthread_mutex_unlock(&f->mtx);
    f->options.notify(f->options.ctx);
}

enum work { WORK_NONE, WORK_JOB, WORK_SLOT, WORK_REMOVE };

/* Whether what a full disk put off may be tried again. */
static bool is_time(const struct flusher *f, uint64_t retry_ns)
{
    return retry_ns == 0 || !f->options.threaded || clock_mono_ns() >= retry_ns;
}

/* Under mtx. What there is to do for slots; a removal goes first, its number may be wanted again. */
static enum work next_slot_work(const struct flusher *f)
{
    bool has_step = f->wants_slot && is_time(f, f->slot_retry_ns);
    if (f->is_stopping) {
        return WORK_NONE;
    }
    return f->removes_slot ? WORK_REMOVE : has_step ? WORK_SLOT : WORK_NONE;
}

/* Under mtx. A busy log must not keep the next slot from being made: they take turns. */
static enum work next_work(const struct flusher *f)
{
    if (f->is_dead) {
        return WORK_NONE;
    }
    enum work of_slots = next_slot_work(f);
    bool has_job = f->has_job && (f->is_waited_for || is_time(f, f->job_retry_ns));
    bool goes_first = has_job && !(f->slot_turn && of_slots != WORK_NONE);
    return goes_first ? WORK_JOB : of_slots;
}

static void do_work_on_flusher(struct flusher *f, enum work work)
{
    f->slot_turn = work == WORK_JOB;
    switch (work) {
    case WORK_JOB:
        do_job_on_flusher(f);
        return;
    case WORK_SLOT:
        do_slot_on_flusher(f);
        return;
    case WORK_REMOVE:
        remove_slot_on_flusher(f);
        return;
    case WORK_NONE:
        break;
    }
    UNREACHABLE();
}

/* Under mtx. */
static void wait_on_flusher(struct flusher *f)
{
    uint64_t until_ns = f->wants_slot ? f->slot_retry_ns : 0;
    if (f->has_job && (until_ns == 0 || f->job_retry_ns < until_ns)) {
        until_ns = f->job_retry_ns;
    }
    if (until_ns > 0) {
        struct timespec until = {.tv_sec = (time_t)(until_ns / 1000000000U),
                                 .tv_nsec = (long)(until_ns % 1000000000U)};
        (void)pthread_cond_timedwait(&f->wake, &f->mtx, &until);
    } else {
        (void)pthread_cond_wait(&f->wake, &f->mtx);
    }
}

static void *run_on_flusher(void *arg)
{
    struct flusher *f = arg;
    pthread_mutex_lock(&f->mtx);
    for (;;) {
        enum work work = next_work(f);
        if (work != WORK_NONE) {
            pthread_mutex_unlock(&f->mtx);
            do_work_on_flusher(f, work);
            pthread_mutex_lock(&f->mtx);
        } else if (f->is_stopping || f->is_dead) {
            break;
        } else {
            wait_on_flusher(f);
        }
    }
    pthread_mutex_unlock(&f->mtx);
    return NULL;
}

bool flusher_work(struct flusher *f)
{
    PRE(!f->options.threaded);
    enum work work = next_work(f);
    if (work != WORK_NONE) {
        do_work_on_flusher(f, work);
    }
    if (work == WORK_JOB) {
        return f->job_retry_ns == 0;
    }
    return work == WORK_REMOVE || (work == WORK_SLOT && (f->slot_retry_ns == 0 || f->has_job));
}

static void init_sync(struct flusher *f)
{
    pthread_condattr_t attr;
    int rc = pthread_mutex_init(&f->mtx, NULL);
    INVARIANT(rc == 0);
    rc = pthread_condattr_init(&attr);
    INVARIANT(rc == 0);
    rc = pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    INVARIANT(rc == 0);
    rc = pthread_cond_init(&f->wake, &attr);
    INVARIANT(rc == 0);
    rc = pthread_cond_init(&f->idle, &attr);
    INVARIANT(rc == 0);
    (void)pthread_condattr_destroy(&attr);
}

struct flusher *flusher_new(const struct flusher_options *options)
{
    PRE(options->notify != NULL);

    struct flusher *f = MEM_NEW(struct flusher);
    f->options = *options;
    f->tail = mem_zalloc(WAL_BLOCK_BYTES);
    f->maker = (struct slot_maker){.disk = options->disk,
                                   .dir = options->dir,
                                   .bytes = options->slot_bytes,
                                   .direct = options->direct};
    init_sync(f);
    if (options->threaded) {
        int rc = pthread_create(&f->thread, NULL, run_on_flusher, f);
        INVARIANT(rc == 0);
        (void)pthread_setname_np(f->thread, "flusher");
    }
    return f;
}

void flusher_free(struct flusher *f)
{
    if (f == NULL) {
        return;
    }
    if (f->options.threaded) {
        pthread_mutex_lock(&f->mtx);
        f->is_stopping = true;
        pthread_cond_signal(&f->wake);
        pthread_mutex_unlock(&f->mtx);
        (void)pthread_join(f->thread, NULL);
    }
    slot_maker_done(&f->maker);
    (void)pthread_cond_destroy(&f->wake);
    (void)pthread_cond_destroy(&f->idle);
    (void)pthread_mutex_destroy(&f->mtx);
    mem_free(f->tail);
    mem_free(f);
}

void flusher_submit(struct flusher *f, const struct flusher_job *job)
{
    pthread_mutex_lock(&f->mtx);
    PRE(!f->has_job);
    f->job = *job;
    f->has_job = true;
    f->submit_ns = clock_mono_ns();
    pthread_mutex_unlock(&f->mtx);
    pthread_cond_signal(&f->wake); /* not before: it would wake up to a mutex that is held */
}

struct flusher_news flusher_collect(struct flusher *f)
{
    pthread_mutex_lock(&f->mtx);
    struct flusher_news news = f->news;
    f->news.has_flushed = false;
    f->news.has_slot = false;
    f->news.has_removed = false;
    pthread_mutex_unlock(&f->mtx);
    return news;
}

void flusher_want_slot(struct flusher *f, uint32_t slot)
{
    pthread_mutex_lock(&f->mtx);
    PRE(!f->wants_slot && !f->news.has_slot);
    f->wants_slot = true;
    f->wanted_slot = slot;
    f->slot_retry_ns = 0;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->mtx);
}

void flusher_remove_slot(struct flusher *f, uint32_t slot)
{
    pthread_mutex_lock(&f->mtx);
    PRE(!f->removes_slot && !f->news.has_removed);
    f->removes_slot = true;
    f->removed_slot = slot;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->mtx);
}

bool flusher_has_job(struct flusher *f)
{
    pthread_mutex_lock(&f->mtx);
    bool has_job = f->has_job;
    pthread_mutex_unlock(&f->mtx);
    return has_job;
}

bool flusher_is_dead(struct flusher *f)
{
    pthread_mutex_lock(&f->mtx);
    bool is_dead = f->is_dead;
    pthread_mutex_unlock(&f->mtx);
    return is_dead;
}

void flusher_fail(struct flusher *f, const char *path, uint64_t offset)
{
    die_on_flusher(f, path, offset);
}

void flusher_insist(struct flusher *f)
{
    pthread_mutex_lock(&f->mtx);
    f->is_waited_for = true;
    pthread_cond_signal(&f->wake);
    pthread_mutex_unlock(&f->mtx);
}

void flusher_wait(struct flusher *f)
{
    PRE(f->options.threaded);
    pthread_mutex_lock(&f->mtx);
    while (f->has_job && !f->is_dead) {
        (void)pthread_cond_wait(&f->idle, &f->mtx);
    }
    pthread_mutex_unlock(&f->mtx);
}
