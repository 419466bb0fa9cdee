/* Freshness: how old the rows of a replica may be, at most. Pure: clock and state come from outside.
 *
 *     replica   ASK id, at its time T        -->    the leader
 *               it has all up to `index`?   <--     ANSWER id | index: what the leader has applied when it
 *               then all of before T                has proved that it still leads, after the question
 *
 * Whatever was acknowledged before T is within that index, so once the replica has applied that its rows
 * are those of T or later. Only the replica's own clock counts. Where nobody has asked yet, or the leader
 * does not answer, the log time of the newest batch is what is known: nothing that was acknowledged before
 * that batch was made is missing. That compares clocks of two nodes, and is far too old where nobody
 * writes, so it is followed by a question.
 *
 * Nobody asks while nobody wants to know. */
#ifndef NODE_FRESHNESS_H
#define NODE_FRESHNESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "storage/rows.h"

enum {
    FRESH_MS = 100,      /* what was proven so lately need not be asked again */
    FRESH_ASK_MS = 1000, /* a question without an answer for so long is lost */
};

/* Of one shard's replica here. Zero-initialised: nothing is known. */
struct freshness {
    uint64_t replica;  /* of which the rest is */
    uint64_t since_ms; /* its rows have all that was acknowledged by then; 0: unknown */
    uint64_t ask;      /* a question's id; 0: none is under way */
    uint64_t asked_ms;
    uint64_t index; /* that was answered, and is not yet applied; 0: none */
};

/* How old the rows may be. False: they are of no batch yet, and nobody has said that there is none. */
bool freshness_age(struct freshness *f, uint64_t replica, const struct applied *applied,
                   uint64_t mono_ms, uint64_t wall_ms, uint64_t *ret_ms) MUST_CHECK;

bool freshness_wants_ask(const struct freshness *f, uint64_t mono_ms);
void freshness_asked(struct freshness *f, uint64_t id, uint64_t mono_ms);
void freshness_answered(struct freshness *f, uint64_t id, uint64_t index);

/* Messages: numbers are big-endian u64, and nothing else is there. ERR_CORRUPT. */
void freshness_put_ask(uint64_t id, struct buf *out);
enum err freshness_take_ask(struct slice bytes, uint64_t *ret_id) MUST_CHECK;
void freshness_put_answer(uint64_t id, uint64_t index, struct buf *out);
enum err freshness_take_answer(struct slice bytes, uint64_t *ret_id,
                               uint64_t *ret_index) MUST_CHECK;

#endif
