#include "storage/job_thread.h"

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"

enum {
    THREAD_NAME_BYTES_MAX = 15,  /* what Linux takes */
    TOGETHER_NS_MAX = 100 * 1000 /* a finished job waits so long for quick ones behind it */
};

struct job_thread {
    pthread_t thread; /* set once in start, where has_thread */
    bool has_thread;
    void (*notify)(void *ctx); /* set once in start */
    void *ctx;
    size_t jobs_max;

    /* worker */
    size_t job_count; /* submitted and not yet polled */
    struct list collected;

    pthread_mutex_t mutex;
    pthread_cond_t wakeup; /* queued is not empty, or stopping */
    struct list queued;    /* under mutex, like the rest */
    struct list finished;
    bool stopping;
};

/* Waits for jobs and takes them all. False: the thread is to end, and there are none. */
static bool take_queued(struct job_thread *t, struct list *taken)
{
    (void)pthread_mutex_lock(&t->mutex);
    while (list_is_empty(&t->queued) && !t->stopping) {
        (void)pthread_cond_wait(&t->wakeup, &t->mutex);
    }
    list_move_all(taken, &t->queued);
    (void)pthread_mutex_unlock(&t->mutex);
    return !list_is_empty(taken);
}

static void hand_over(struct job_thread *t, struct list *done)
{
    (void)pthread_mutex_lock(&t->mutex);
    bool first = list_is_empty(&t->finished);
    list_move_all(&t->finished, done);
    (void)pthread_mutex_unlock(&t->mutex);
    if (first) {
        t->notify(t->ctx);
    }
}

static void run_all(struct job_thread *t, struct list *taken)
{
    struct list done;
    list_init(&done);
    uint64_t since_ns = clock_mono_ns();
    for (struct job *job; (job = LIST_FIRST(taken, struct job, link)) != NULL;) {
        list_remove(&job->link);
        job->run_on_thread(job);
        list_append(&done, &job->link);
        const struct job *next = LIST_FIRST(taken, struct job, link);
        uint64_t now_ns = clock_mono_ns();
        if (next == NULL || !next->is_quick || now_ns - since_ns > TOGETHER_NS_MAX) {
            hand_over(t, &done);
            since_ns = now_ns;
        }
    }
}

static void *run(void *ctx)
{
    struct job_thread *t = ctx;
    struct list taken;
    list_init(&taken);
    while (take_queued(t, &taken)) {
        run_all(t, &taken);
    }
    return NULL;
}

bool job_thread_work(struct job_thread *t)
{
    PRE(!t->has_thread);
    if (list_is_empty(&t->queued)) {
        return false;
    }
    struct list one;
    struct job *job = LIST_FIRST(&t->queued, struct job, link);
    list_remove(&job->link);
    list_init(&one);
    list_append(&one, &job->link);
    run_all(t, &one);
    return true;
}

/* Signals are the main thread's business: the helper is born with all of them blocked. */
static int create_thread(struct job_thread *t)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGBUS); /* of a page that cannot be read: it goes to who reads it */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int code = pthread_create(&t->thread, NULL, run, t);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return code;
}

static void free_thread(struct job_thread *t)
{
    (void)pthread_cond_destroy(&t->wakeup);
    (void)pthread_mutex_destroy(&t->mutex);
    mem_free(t);
}

enum err job_thread_start(const char *name, size_t jobs_max, void (*notify)(void *ctx), void *ctx,
                          struct job_thread **ret_thread)
{
    PRE(name == NULL || strlen(name) <= THREAD_NAME_BYTES_MAX);
    PRE(jobs_max > 0 && notify != NULL);

    struct job_thread *t = MEM_NEW(struct job_thread);
    t->notify = notify;
    t->ctx = ctx;
    t->jobs_max = jobs_max;
    t->has_thread = name != NULL;
    list_init(&t->collected);
    list_init(&t->queued);
    list_init(&t->finished);
    (void)pthread_mutex_init(&t->mutex, NULL);
    (void)pthread_cond_init(&t->wakeup, NULL);
    if (t->has_thread && create_thread(t) != 0) {
        free_thread(t);
        return ERR_NO_MEMORY;
    }
    if (t->has_thread) {
        (void)pthread_setname_np(t->thread, name);
    }
    *ret_thread = t;
    return ERR_OK;
}

enum err job_thread_submit(struct job_thread *t, struct job *job)
{
    PRE(job->run_on_thread != NULL && job->done_on_worker != NULL);

    if (t->job_count >= t->jobs_max) {
        return ERR_OVERLOADED;
    }
    t->job_count++;
    list_append(&t->collected, &job->link);
    return ERR_OK;
}

void job_thread_kick(struct job_thread *t)
{
    if (list_is_empty(&t->collected)) {
        return;
    }
    (void)pthread_mutex_lock(&t->mutex);
    PRE(!t->stopping);
    list_move_all(&t->queued, &t->collected);
    (void)pthread_mutex_unlock(&t->mutex);
    (void)pthread_cond_signal(
        &t->wakeup); /* not before: it would wake up to a mutex that is held */
}

void job_thread_poll(struct job_thread *t)
{
    struct list finished;
    list_init(&finished);
    (void)pthread_mutex_lock(&t->mutex);
    list_move_all(&finished, &t->finished);
    (void)pthread_mutex_unlock(&t->mutex);

    for (struct job *job; (job = LIST_FIRST(&finished, struct job, link)) != NULL;) {
        list_remove(&job->link);
        INVARIANT(t->job_count > 0);
        t->job_count--;
        job->done_on_worker(job);
    }
}

void job_thread_stop(struct job_thread *t)
{
    if (t == NULL) {
        return;
    }
    job_thread_kick(t);
    (void)pthread_mutex_lock(&t->mutex);
    t->stopping = true;
    (void)pthread_cond_signal(&t->wakeup);
    (void)pthread_mutex_unlock(&t->mutex);
    if (t->has_thread) {
        (void)pthread_join(t->thread, NULL);
    }
    while (!t->has_thread && job_thread_work(t)) {
    }
    job_thread_poll(t);
    POST(t->job_count == 0);
    free_thread(t);
}
