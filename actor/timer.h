/* A timer: when it is due, what became of its firings, and its record (API section 3).
 *
 *                          fired (the batch writes the event)
 *     SCHEDULED, at rest ----------------------------------> delivered: no webhook, a 2xx
 *       due at at_ms  \                                        |  next repetition: at rest again
 *          ^           \ fired, has a webhook                  |  one-shot: the timer is gone
 *          |            v                                      |
 *          |         SCHEDULED, delivering --------------------+
 *          |           due again after TIMER_GUARD_MS, if nobody tells how it went
 *          |            |  ^
 *          |     failed |  | due after 2 s, doubling: delivering again
 *          |            v  |
 *          |         SCHEDULED, waiting to retry
 *          |            |
 *          |            | failed a seventh time; the error is kept
 *          +------------+--------------------> FAILED: a one-shot; it is due no more
 *           a repetition
 *
 * A repetition that is past when the timer fires was missed together with those after it:
 * catch_up says what comes of them. What got no firing of its own counts as missed.
 *
 * Invariants
 *   - due_ms is the time of the timer's DUE row; FAILED has none, and due_ms 0.
 *   - firing != 0 while a firing is being delivered: the version of the batch that recorded it.
 *
 * Pure: times come in. `now_ms` is the shard's log time. */
#ifndef ACTOR_TIMER_H
#define ACTOR_TIMER_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/cron.h"
#include "actor/zone.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    TIMERS_MAX = 10 * 1000, /* of an actor */
    TIMER_EVERY_MS_MIN = 1000,
    TIMER_PAYLOAD_BYTES_MAX = 64 * 1024,
    TIMER_WEBHOOK_BYTES_MAX = 2048,
    TIMER_ERROR_BYTES_MAX = 512,
    TIMER_CATCH_UP_MAX = 1000, /* firings of one catching up */
    TIMER_RETRIES_MAX = 6,
    TIMER_RETRY_MS = 2000, /* before the first retry */
    TIMER_GUARD_MS = 5000, /* then a leader that is not delivering it delivers it again */
};
#define TIMER_MS_MAX UINT64_C(8640000000000000) /* what a JavaScript Date can hold */

/* The bytes are on disk. */
enum timer_state { TIMER_SCHEDULED = 1, TIMER_FAILED = 2 };
enum timer_catch_up { CATCH_UP_ONE = 1, CATCH_UP_ALL = 2, CATCH_UP_NONE = 3 };

struct timer {
    enum timer_state state;
    enum timer_catch_up catch_up;
    uint64_t at_ms;    /* the repetition that comes next or is being delivered; FAILED: the last */
    uint64_t due_ms;   /* when there is something to do: at_ms, or a retry or guard */
    uint64_t every_ms; /* 0: none */
    uint64_t missed;
    uint64_t firing;       /* 0: none */
    uint64_t fired_ms;     /* when that was recorded */
    uint32_t failed_count; /* deliveries of that firing */
    struct slice cron;     /* "": none */
    struct slice tz;
    struct slice webhook; /* "": none */
    struct slice payload; /* a value; empty: none */
    struct slice error;   /* text of the last firing that failed, "": none did */
};

static inline bool timer_repeats(const struct timer *t)
{
    return t->every_ms != 0 || t->cron.len > 0;
}

/* How a timer repeats. Neither: once. */
struct rhythm {
    uint64_t every_ms;
    struct cron cron;
    const struct zone *zone; /* NULL: no cron */
};

/* The first repetition after `after_ms`, given that one is at `at_ms` <= after_ms. False: no more. */
bool rhythm_next(const struct rhythm *r, uint64_t at_ms, uint64_t after_ms, uint64_t *ret_next_ms);

/* What is to be done for a timer that is due and at rest: which repetition fires, if any; how many
 * get no firing. `up_since_ms` is when this leader took over: what was due before that and has
 * catch_up none was missed while nobody could fire it. */
struct timer_plan {
    bool fires;
    uint64_t scheduled_ms; /* of the firing; of the last that is passed over where none fires */
    uint64_t missed;
};
void timer_plan(const struct timer *t, const struct rhythm *r, uint64_t now_ms,
                uint64_t up_since_ms, struct timer_plan *ret_plan);

/* Takes the plan up: a firing of at_ms begins. */
void timer_fire(struct timer *t, const struct timer_plan *plan, uint64_t version, uint64_t now_ms);

/* The firing's delivery is under way (again). */
void timer_guard(struct timer *t, uint64_t now_ms);

/* The firing is over: on to the repetition after at_ms. False where there is none: the timer goes. */
bool timer_pass(struct timer *t, const struct rhythm *r) MUST_CHECK;

/* A delivery failed: it is retried; or, after the last time, the firing is over. The error is
 * borrowed. */
void timer_fail(struct timer *t, const struct rhythm *r, struct slice error, uint64_t now_ms);

/* The TIMER row. Slices of a decoded timer borrow from the payload. */
void timer_encode(const struct timer *t, struct buf *out);
enum err timer_decode(struct slice payload, struct timer *ret_timer) MUST_CHECK;

#endif
