/* A workflow's run: what is kept of it, and how it moves (API section 6).
 *
 *              start                  its code waits            a time, an event
 *     (none) --------> RUNNING <----------------------> WAITING ----------------> RUNNING
 *                      |  ^  |                            |
 *             pause    |  |  | ends                       | terminate, also from PAUSED
 *                      v  |  v                            v
 *                    PAUSED  COMPLETE, ERRORED          TERMINATED
 *                            \______________ restart, from any: RUNNING, in another epoch
 *
 * A run that is RUNNING or WAITING has a row in the shard's index of due times, unless it waits for nothing
 * but events: from then on somebody must look after it. What is RUNNING has one that is past; so whoever comes
 * to lead the shard finds it, whatever became of the process that ran it.
 *
 * Rows of an actor, all of kind WORKFLOW:
 *
 *     "r"                            the run (struct workflow)
 *     "p"                            its parameters, a value
 *     "o"                            COMPLETE: its output; ERRORED: its error; a value
 *     "s" order                      a step, by the order of its start (struct workflow_step)
 *     "w" type 0 order               a step that waits for an event of that type: until when
 *     "e" type 0 number              an event that no step has waited for yet
 *
 * Invariants
 *   - news grows with everything that the code of the run has not made itself: what is told to it says which
 *     it knows, and what it asks for as well.
 *   - a step that is DONE or FAILED stays so, until a restart takes it away.
 *
 * Pure: times are the shard's log time and come in. */
#ifndef ACTOR_WORKFLOW_H
#define ACTOR_WORKFLOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* The bytes are on disk. */
enum workflow_state {
    WORKFLOW_RUNNING = 1,
    WORKFLOW_WAITING = 2,
    WORKFLOW_PAUSED = 3,
    WORKFLOW_ERRORED = 4,
    WORKFLOW_TERMINATED = 5,
    WORKFLOW_COMPLETE = 6,
};
enum workflow_step_state {
    WORKFLOW_STEP_RUNNING = 1,
    WORKFLOW_STEP_WAITING = 2,
    WORKFLOW_STEP_DONE = 3,
    WORKFLOW_STEP_FAILED = 4,
};
enum workflow_step_type {
    WORKFLOW_DO = 1,
    WORKFLOW_SLEEP = 2,
    WORKFLOW_EVENT = 3,
    WORKFLOW_ROLLBACK = 4,
};

enum {
    WORKFLOW_STEPS_MAX = 10 * 1000,
    WORKFLOW_VALUE_BYTES_MAX = 1024 * 1024, /* of parameters, an output, a payload */
    WORKFLOW_EVENT_TYPE_BYTES_MAX = 100,
    WORKFLOW_EVENTS_MAX = 1000,   /* that no step has waited for yet */
    WORKFLOW_CUT_OFFS_MAX = 20,   /* in a row without a step in between; then the run fails */
    WORKFLOW_AGAIN_MS = 100,      /* after the first of them, doubling ... */
    WORKFLOW_AGAIN_MS_MAX = 60000 /* ... up to this */
};
#define WORKFLOW_BYTES_MAX (UINT64_C(1) << 30) /* of all steps of a run */

struct workflow {
    enum workflow_state state;
    bool is_begun;  /* its code has said something */
    uint32_t epoch; /* grows with every restart */
    uint32_t cut_offs;
    uint32_t event_count;
    uint64_t last_event;
    uint64_t created_ms; /* this epoch */
    uint64_t ended_ms;
    uint64_t due_ms; /* of its row in the index; 0: none */
    uint64_t news;
    uint64_t bytes; /* of its steps */
};

struct workflow_step {
    uint32_t order;
    enum workflow_step_type type;
    enum workflow_step_state state;
    uint32_t attempts; /* begun */
    uint32_t failures;
    uint64_t started_ms;
    uint64_t ended_ms; /* DONE, FAILED */
    uint64_t due_ms; /* WAITING: when a sleep, a wait or the pause before a retry ends; 0: never */
    uint64_t resolved;       /* its place among what the code has learned; 0: it has not yet */
    struct slice name;       /* text */
    struct slice event_type; /* text; empty: of no event */
    struct slice result;     /* a document: output or error; empty: none yet */
};

bool workflow_is_over(const struct workflow *w);
const char *workflow_state_name(enum workflow_state state);
/* As a client sees it: what waited until now runs. */
enum workflow_state workflow_shown_state(const struct workflow *w, uint64_t now_ms);

/* Moves. Each leaves due_ms as it is to be from then on. ERR_CONFLICT: not from where it is. */
void workflow_start(struct workflow *w, uint64_t now_ms);
enum err workflow_pause(struct workflow *w) MUST_CHECK;
enum err workflow_resume(struct workflow *w, uint64_t now_ms) MUST_CHECK;
enum err workflow_terminate(struct workflow *w, uint64_t now_ms) MUST_CHECK;
void workflow_restart(struct workflow *w, uint64_t now_ms);
/* Something happened that its code does not know of: it is told at once, unless the run is paused or over. */
void workflow_tell(struct workflow *w, uint64_t now_ms);
/* Its code knew all up to `news`, and has nothing to do until `due_ms`; 0: until an event. */
void workflow_wait(struct workflow *w, uint64_t news, uint64_t due_ms, uint64_t now_ms);
void workflow_end(struct workflow *w, enum workflow_state state, uint64_t now_ms);
/* Its code was stopped in the middle. False: that was once too often, the run is ERRORED. */
bool workflow_cut_off(struct workflow *w, uint64_t now_ms) MUST_CHECK;

/* What it has waited for is here; the document is borrowed until the step is encoded. */
void workflow_step_arrive(struct workflow_step *s, struct slice event, uint64_t now_ms);

/* A step as a client sees it: a sleep that is over is done, whether or not its code knows. */
const char *workflow_step_shown_state(const struct workflow_step *s, uint64_t now_ms);
uint64_t workflow_step_shown_end(const struct workflow_step *s, uint64_t now_ms);

void workflow_encode(const struct workflow *w, struct buf *out);
enum err workflow_decode(struct slice payload, struct workflow *ret_workflow) MUST_CHECK;

/* One document, also as the run's code gets it. Slices of a decoded step borrow from it. */
void workflow_step_encode(const struct workflow_step *s, struct buf *out);
enum err workflow_step_decode(struct slice payload, struct workflow_step *ret_step) MUST_CHECK;

/* Keys of rows */
void workflow_step_key(uint32_t order, struct buf *out);
/* 'w' or 'e', with `number` an order or a number; the prefix of a type's, without. */
void workflow_event_key(char kind, struct slice type, uint64_t number, struct buf *out);
void workflow_event_prefix(char kind, struct slice type, struct buf *out);

#endif
