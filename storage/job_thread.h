/* A helper thread of a worker: it runs jobs one after the other, in the order of their coming. A
 * worker has one for checkpoints (the store thread) and one for cold reads (the reader).
 *
 *     worker                                           helper thread
 *     job_thread_submit  --> collected (bounded)
 *     job_thread_kick    --> queued ----------------->  run_on_thread
 *     job_thread_poll    <-- finished              <--  then notify, where none had been waiting
 *       done_on_worker
 *
 * A wake-up costs more than a small read: the worker kicks once per loop iteration, and jobs that are
 * quick come back together, unless that takes long. One that is not quick keeps no other waiting: what
 * has finished before it is handed over first.
 *
 * A job is embedded in what it works on and belongs to the thread from submit until done_on_worker
 * is called, which may free it or submit it again. Jobs collected, queued, running and finished but
 * not polled count against one bound, so no queue outgrows it. */
#ifndef STORAGE_JOB_THREAD_H
#define STORAGE_JOB_THREAD_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/list.h"

struct job {
    struct list link;                        /* the thread's */
    void (*run_on_thread)(struct job *job);  /* no worker state may be touched */
    void (*done_on_worker)(struct job *job); /* from job_thread_poll */
    bool is_quick; /* microseconds, as a rule: those that finished before it may wait for it */
};

struct job_thread;

/* `notify` runs on the helper thread when the first finished job appears: it wakes the worker
 * (uv_async_send), which then polls. `name` shows in ps: at most 15 bytes; NULL: there is no thread,
 * job_thread_work runs the jobs (simulation). ERR_NO_MEMORY where the system gives no thread. */
enum err job_thread_start(const char *name, size_t jobs_max, void (*notify)(void *ctx), void *ctx,
                          struct job_thread **ret_thread) MUST_CHECK;

/* ERR_OVERLOADED at the bound: the job stays the caller's. It runs after the next kick. */
enum err job_thread_submit(struct job_thread *t, struct job *job) MUST_CHECK;

/* Hands over what was submitted since the last time. */
void job_thread_kick(struct job_thread *t);

/* Without a thread: runs one job that was kicked. False: there is none. */
bool job_thread_work(struct job_thread *t);

/* Calls done_on_worker of what has finished. Those that finish meanwhile notify again. */
void job_thread_poll(struct job_thread *t);

/* Runs all that was submitted, ends the thread, calls done_on_worker of everything, which must not
 * submit any more, and frees it. NULL is fine. */
void job_thread_stop(struct job_thread *t);

#endif
