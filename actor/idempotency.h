/* Idempotency records: what came of a request with an Idempotency-Key, so that a repeat acts no more
 * (API section 3).
 *
 *     begin: a record is there ------------------------> its answer, or idempotency_mismatch
 *            none, and the actor has too many of them --> rate_limited
 *            none --> the operation runs --> keep: the answer goes into the same batch as the effect
 *
 * A record hangs on the identity, not on the actor's number, and is kept for 24 h of log time; from then
 * on it counts as absent, whether or not a checkpoint has removed it. How many there are is
 * actor/idempotency_count.h. */
#ifndef ACTOR_IDEMPOTENCY_H
#define ACTOR_IDEMPOTENCY_H

#include <stdbool.h>

#include "actor/turn.h"
#include "base/err.h"

enum { IDEMPOTENCY_RECORDS_MAX = 1000 * 1000 }; /* of an actor: some 100 MB of its shard */

/* ERR_COLD: rows have to be read first. ERR_OK: where `*ret_answered` the reply is complete. */
enum err idempotency_begin(struct turn *t, bool *ret_answered) MUST_CHECK;

/* The reply is definite. One that is too large to be kept becomes too_large, and nothing is written. */
void idempotency_keep(struct turn *t);

#endif
