/* A step: one piece of a worker's own run, done once however often it is asked for (API section 6).
 *
 *              step_begin              step_finish
 *     (none) -----------> RUNNING -----------------> DONE
 *                         |  ^  \------------------> FAILED
 *        step_fail, retry |  |       step_fail, final
 *                         v  | step_begin, once the retry is due
 *                        WAITING
 *
 * An attempt is held by whoever knows its lease, until a time. A lease that has expired is gone,
 * whether or not another attempt was begun: its step waits for one, due at once.
 *
 * Invariants
 *   - attempts >= 1 and only grows; RUNNING alone has a lease.
 *   - DONE and FAILED are for good.
 *
 * Pure: times are the shard's log time and come in. */
#ifndef ACTOR_STEP_H
#define ACTOR_STEP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* The bytes are on disk. */
enum step_state { STEP_RUNNING = 1, STEP_WAITING = 2, STEP_DONE = 3, STEP_FAILED = 4 };

enum {
    STEP_LEASE_BYTES = 16,
    STEP_LEASE_TEXT_BYTES = 2 * STEP_LEASE_BYTES, /* lower-case hex */
    STEP_LEASE_MS = 60 * 1000,                    /* where the client does not say */
    STEP_LEASE_MS_MIN = 1,
    STEP_LEASE_MS_MAX = 24 * 3600 * 1000,
};
#define STEP_RETRY_MS_MAX (UINT64_C(365) * 24 * 3600 * 1000)

struct step {
    enum step_state state;
    uint32_t attempts;
    uint32_t order; /* of its first start among the actor's steps, from 0 */
    uint8_t lease[STEP_LEASE_BYTES];
    uint64_t until_ms;   /* RUNNING: the lease's end; WAITING: when the retry is due */
    uint64_t started_ms; /* its first attempt */
    uint64_t ended_ms;   /* DONE, FAILED */
    struct slice input;  /* of the last attempt, a value; empty: none */
    struct slice result; /* DONE: its output; FAILED: its error; WAITING: the last error, if any */
};

enum step_answer { STEP_MAY_RUN, STEP_IS_DONE, STEP_IS_BUSY, STEP_HAS_FAILED };

/* As a client sees it: an expired lease is no attempt any more. */
enum step_state step_shown_state(const struct step *s, uint64_t now_ms);

/* Asks for the step. Only with STEP_MAY_RUN it changes; STEP_IS_BUSY says how long at least. */
enum step_answer step_begin(struct step *s, const uint8_t lease[STEP_LEASE_BYTES],
                            uint64_t lease_ms, uint64_t now_ms, uint64_t *ret_retry_after_ms);

/* The attempt that holds this lease ends, or goes on for longer. ERR_LEASE_LOST, and nothing is
 * changed, where no attempt holds it now. Slices are borrowed until the step is encoded. */
enum err step_finish(struct step *s, struct slice lease_text, struct slice output,
                     uint64_t now_ms) MUST_CHECK;
enum err step_fail(struct step *s, struct slice lease_text, struct slice error,
                   uint64_t now_ms) MUST_CHECK;
enum err step_retry(struct step *s, struct slice lease_text, struct slice error,
                    uint64_t retry_in_ms, uint64_t now_ms) MUST_CHECK;
/* Until `extend_ms` from now; never shorter than it was. */
enum err step_extend(struct step *s, struct slice lease_text, uint64_t extend_ms,
                     uint64_t now_ms) MUST_CHECK;

void step_lease_text(const uint8_t lease[STEP_LEASE_BYTES],
                     char ret_text[STEP_LEASE_TEXT_BYTES + 1]);

/* The STEP row. Slices of a decoded step borrow from the payload. */
void step_encode(const struct step *s, struct buf *out);
enum err step_decode(struct slice payload, struct step *ret_step) MUST_CHECK;

#endif
