/* A sideline: a thread beside a worker's loop for what would hold the loop up, such as reading and showing
 * large bodies: 12 MB of JSON take longer than others should wait for their answers.
 *
 *     sideline_submit --> WAITING --its turn--> RUNNING (run_on_thread) --> `done`, on the worker
 *                            |
 *                            +--sideline_withdraw--> the caller's again, it never runs
 *
 * One piece of work runs at a time, and addresses take turns (node/rota.h): what one of them asks for
 * delays another's by one piece. How many wait is bounded by the exchanges that there can be. */
#ifndef NODE_SIDELINE_H
#define NODE_SIDELINE_H

#include <stdbool.h>

#include "base/err.h"
#include "node/rota.h"
#include "storage/job_thread.h"

struct sideline;

/* Embedded in what is worked on; belongs to the sideline from submit to `done`. */
struct sidework {
    void (*run_on_thread)(struct sidework *w); /* no worker state may be touched */
    void (*done)(struct sidework *w);          /* from sideline_poll or _close */

    /* the sideline's own */
    struct job job;
    struct rota_member turn;
    struct rota_party *party;
    struct sideline *sideline;
};

struct sideline {
    struct job_thread *thread;
    struct rota line;
    bool is_running;
};

/* `notify` runs on the thread: the worker shall poll. ERR_NO_MEMORY: there is no thread. */
enum err sideline_open(struct sideline *s, const char *name, void (*notify)(void *ctx),
                       void *ctx) MUST_CHECK;
/* Ends what runs; nothing may wait. A sideline that never was opened is fine. */
void sideline_close(struct sideline *s);

/* `party` is that of the client's address, and stays while the work waits. */
void sideline_submit(struct sideline *s, struct sidework *w, struct rota_party *party);
/* True: it did not run and will not. False: `done` comes. */
bool sideline_withdraw(struct sidework *w) MUST_CHECK;
void sideline_poll(struct sideline *s);

#endif
