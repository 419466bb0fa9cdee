#include "storage/job_thread.h"

#include <pthread.h>
#include <semaphore.h>
#include <stdbool.h>

#include "base/invariant.h"
#include "tests/lib/test.h"

enum { JOBS_MAX = 8 };

struct counted {
    struct job job;
    sem_t *held;  /* the job waits for it, where there is one */
    sem_t *began; /* and says so here */
    int order;
    bool on_other_thread;
    pthread_t worker;
    int *done_count;
};

static int run_count; /* helper thread */

static void run(struct job *job)
{
    struct counted *c = CONTAINER_OF(job, struct counted, job);
    if (c->held != NULL) {
        (void)sem_post(c->began);
        (void)sem_wait(c->held);
    }
    c->order = run_count++;
    c->on_other_thread = !pthread_equal(pthread_self(), c->worker);
}

static void done(struct job *job)
{
    struct counted *c = CONTAINER_OF(job, struct counted, job);
    assert_true(pthread_equal(pthread_self(), c->worker));
    (*c->done_count)++;
}

static struct counted counted(int *done_count)
{
    return (struct counted){.job = {.run_on_thread = run, .done_on_worker = done},
                            .order = -1,
                            .worker = pthread_self(),
                            .done_count = done_count};
}

static void post(void *ctx)
{
    (void)sem_post(ctx);
}

static void jobs_run_in_order_elsewhere_and_are_done_here(void **state)
{
    (void)state;
    struct job_thread *t;
    struct counted jobs[JOBS_MAX];
    sem_t notified;
    int done_count = 0;
    run_count = 0;
    (void)sem_init(&notified, 0, 0);
    expect_err(job_thread_start("test", JOBS_MAX, post, &notified, &t), ERR_OK);
    for (int i = 0; i < JOBS_MAX; i++) {
        jobs[i] = counted(&done_count);
        expect_err(job_thread_submit(t, &jobs[i].job), ERR_OK);
    }
    job_thread_kick(t);
    while (done_count < JOBS_MAX) { /* each wait ends: who finishes after a poll notifies again */
        (void)sem_wait(&notified);
        job_thread_poll(t);
    }
    for (int i = 0; i < JOBS_MAX; i++) {
        assert_int_equal(jobs[i].order, i);
        assert_true(jobs[i].on_other_thread);
    }
    job_thread_stop(t);
    (void)sem_destroy(&notified);
}

static void notify_comes_once_until_the_next_poll(void **state)
{
    (void)state;
    struct job_thread *t;
    struct counted jobs[3];
    sem_t notified;
    sem_t held;
    sem_t began;
    int done_count = 0;
    (void)sem_init(&notified, 0, 0);
    (void)sem_init(&held, 0, 0);
    (void)sem_init(&began, 0, 0);
    expect_err(job_thread_start("test", JOBS_MAX, post, &notified, &t), ERR_OK);
    for (int i = 0; i < 3; i++) {
        jobs[i] = counted(&done_count);
        jobs[i].held = &held;
        jobs[i].began = &began;
        expect_err(job_thread_submit(t, &jobs[i].job), ERR_OK);
    }
    job_thread_kick(t);
    (void)sem_post(&held);
    (void)sem_post(&held);
    for (int i = 0; i < 3; i++) { /* the third has begun: the first two have finished */
        (void)sem_wait(&began);
    }
    int count;
    (void)sem_getvalue(&notified, &count);
    assert_int_equal(count, 1);
    job_thread_poll(t);
    assert_int_equal(done_count, 2);
    (void)sem_post(&held);
    job_thread_stop(t);
    (void)sem_getvalue(&notified, &count);
    assert_int_equal(count, 2);
    assert_int_equal(done_count, 3);
    (void)sem_destroy(&notified);
    (void)sem_destroy(&held);
    (void)sem_destroy(&began);
}

static void a_full_queue_says_so_and_polling_makes_room(void **state)
{
    (void)state;
    struct job_thread *t;
    struct counted jobs[3];
    sem_t notified;
    sem_t held;
    sem_t began;
    int done_count = 0;
    (void)sem_init(&notified, 0, 0);
    (void)sem_init(&held, 0, 0);
    (void)sem_init(&began, 0, 0);
    expect_err(job_thread_start("test", 2, post, &notified, &t), ERR_OK);
    for (int i = 0; i < 3; i++) {
        jobs[i] = counted(&done_count);
    }
    jobs[0].held = &held;
    jobs[0].began = &began;
    expect_err(job_thread_submit(t, &jobs[0].job), ERR_OK);
    expect_err(job_thread_submit(t, &jobs[1].job), ERR_OK);
    expect_err(job_thread_submit(t, &jobs[2].job), ERR_OVERLOADED);
    job_thread_kick(t);
    (void)sem_post(&held);
    (void)sem_wait(&notified);
    expect_err(job_thread_submit(t, &jobs[2].job), ERR_OVERLOADED); /* finished, but not polled */
    job_thread_poll(t);
    assert_true(done_count >= 1);
    expect_err(job_thread_submit(t, &jobs[2].job), ERR_OK);
    job_thread_stop(t);
    assert_int_equal(done_count, 3);
    (void)sem_destroy(&notified);
    (void)sem_destroy(&held);
    (void)sem_destroy(&began);
}

static void quick_jobs_come_back_together_before_one_that_is_not(void **state)
{
    (void)state;
    struct job_thread *t;
    struct counted jobs[4];
    sem_t notified;
    sem_t held;
    sem_t began;
    int done_count = 0;
    (void)sem_init(&notified, 0, 0);
    (void)sem_init(&held, 0, 0);
    (void)sem_init(&began, 0, 0);
    expect_err(job_thread_start("test", JOBS_MAX, post, &notified, &t), ERR_OK);
    for (int i = 0; i < 4; i++) {
        jobs[i] = counted(&done_count);
        jobs[i].job.is_quick = i < 3;
        jobs[i].held = i < 3 ? NULL : &held;
        jobs[i].began = &began;
        expect_err(job_thread_submit(t, &jobs[i].job), ERR_OK);
    }
    job_thread_poll(t);
    assert_int_equal(done_count, 0); /* nothing runs before the kick */
    job_thread_kick(t);
    (void)sem_wait(&began);
    job_thread_poll(t);
    assert_int_equal(done_count, 3); /* none of them waits for the long one */
    (void)sem_post(&held);
    job_thread_stop(t);
    assert_int_equal(done_count, 4);
    (void)sem_destroy(&notified);
    (void)sem_destroy(&held);
    (void)sem_destroy(&began);
}

static void stopping_runs_what_is_queued(void **state)
{
    (void)state;
    struct job_thread *t;
    struct counted jobs[JOBS_MAX];
    sem_t notified;
    int done_count = 0;
    (void)sem_init(&notified, 0, 0);
    expect_err(job_thread_start("test", JOBS_MAX, post, &notified, &t), ERR_OK);
    for (int i = 0; i < JOBS_MAX; i++) {
        jobs[i] = counted(&done_count);
        expect_err(job_thread_submit(t, &jobs[i].job), ERR_OK);
    }
    job_thread_stop(t);
    assert_int_equal(done_count, JOBS_MAX);
    for (int i = 0; i < JOBS_MAX; i++) {
        assert_true(jobs[i].on_other_thread);
    }
    job_thread_stop(NULL);
    (void)sem_destroy(&notified);
}

struct repeated {
    struct job job;
    struct job_thread *thread;
    int left;
};

static void run_nothing(struct job *job)
{
    (void)job;
}

static void submit_again(struct job *job)
{
    struct repeated *r = CONTAINER_OF(job, struct repeated, job);
    if (--r->left > 0) {
        expect_err(job_thread_submit(r->thread, job), ERR_OK);
        job_thread_kick(r->thread);
    }
}

static void a_job_may_be_submitted_again_when_done(void **state)
{
    (void)state;
    sem_t notified;
    (void)sem_init(&notified, 0, 0);
    struct repeated r = {.job = {.run_on_thread = run_nothing, .done_on_worker = submit_again},
                         .left = 1000};
    expect_err(job_thread_start("test", 1, post, &notified, &r.thread), ERR_OK);
    expect_err(job_thread_submit(r.thread, &r.job), ERR_OK);
    job_thread_kick(r.thread);
    while (r.left > 0) {
        (void)sem_wait(&notified);
        job_thread_poll(r.thread);
    }
    job_thread_stop(r.thread);
    (void)sem_destroy(&notified);
}

TEST_MAIN(cmocka_unit_test(jobs_run_in_order_elsewhere_and_are_done_here),
          cmocka_unit_test(notify_comes_once_until_the_next_poll),
          cmocka_unit_test(a_full_queue_says_so_and_polling_makes_room),
          cmocka_unit_test(quick_jobs_come_back_together_before_one_that_is_not),
          cmocka_unit_test(stopping_runs_what_is_queued),
          cmocka_unit_test(a_job_may_be_submitted_again_when_done))
