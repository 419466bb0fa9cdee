#include "node/sideline.h"

#include "base/invariant.h"

enum { JOBS_MAX = 1 }; /* in the thread's hands: the rest waits for its turn here */

static void run_on_sideline(struct job *job)
{
    struct sidework *w = CONTAINER_OF(job, struct sidework, job);
    w->run_on_thread(w);
}

static void begin_next(struct sideline *s);

static void is_done(struct job *job)
{
    struct sidework *w = CONTAINER_OF(job, struct sidework, job);
    struct sideline *s = w->sideline;
    s->is_running = false;
    w->done(w);
    begin_next(s);
}

static void begin_next(struct sideline *s)
{
    struct rota_member *next;
    if (s->is_running || (next = rota_next(&s->line)) == NULL) {
        return;
    }
    struct sidework *w = CONTAINER_OF(next, struct sidework, turn);
    w->party = NULL;
    w->job = (struct job){.run_on_thread = run_on_sideline, .done_on_worker = is_done};
    enum err err = job_thread_submit(s->thread, &w->job);
    INVARIANT(err == ERR_OK); /* it has nothing else */
    s->is_running = true;
    job_thread_kick(s->thread);
}

enum err sideline_open(struct sideline *s, const char *name, void (*notify)(void *ctx), void *ctx)
{
    *s = (struct sideline){.thread = NULL};
    rota_init(&s->line);
    return job_thread_start(name, JOBS_MAX, notify, ctx, &s->thread);
}

void sideline_close(struct sideline *s)
{
    if (s->thread != NULL) {
        PRE(rota_is_empty(&s->line));
        job_thread_stop(s->thread);
        s->thread = NULL;
    }
}

void sideline_submit(struct sideline *s, struct sidework *w, struct rota_party *party)
{
    PRE(s->thread != NULL);
    w->sideline = s;
    w->party = party;
    rota_member_init(&w->turn);
    rota_add(&s->line, party, &w->turn);
    begin_next(s);
}

bool sideline_withdraw(struct sidework *w)
{
    if (w->party == NULL) {
        return false;
    }
    rota_remove(w->party, &w->turn);
    w->party = NULL;
    return true;
}

void sideline_poll(struct sideline *s)
{
    if (s->thread != NULL) {
        job_thread_poll(s->thread);
    }
}
