/* How many idempotency records an actor has: so many of each hour in which they were written.
 *
 * The count is one row beside the records. Like them it hangs on the identity, so a DELETE of the actor
 * leaves it; its key is the empty one, which no client can give. Whoever writes a record counts it in
 * the same batch, and a new hour of the count gets a row by hour as a record does: so the count expires
 * with the last of its records.
 *
 * It is a bound from above, never too low: a record counts until all of its hour has expired, up to an hour
 * longer than it is kept, and one that is written anew after it has expired counts twice until then.
 * Checkpoints remove records by the hour as well, so it bounds what is stored too.
 *
 * Pure: times come in. `now_ms` is the shard's log time, which never falls. */
#ifndef ACTOR_IDEMPOTENCY_COUNT_H
#define ACTOR_IDEMPOTENCY_COUNT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { IDEMPOTENCY_HOURS_MAX = 25 }; /* that begin or end within 24 h */

struct idempotency_count {
    uint64_t counted_ms; /* when the last one was counted */
    uint32_t hour_count;
    struct {
        uint32_t hour; /* since the epoch; oldest first */
        uint32_t records;
    } hours[IDEMPOTENCY_HOURS_MAX];
};

uint64_t idempotency_count_of(const struct idempotency_count *c, uint64_t now_ms);

/* One more. True: it is the first of its hour, and the row needs a row by hour. */
bool idempotency_count_add(struct idempotency_count *c, uint64_t now_ms);

/* The row's payload (storage/rows.h). An empty one is a count of none. */
void idempotency_count_encode(const struct idempotency_count *c, struct buf *out);
enum err idempotency_count_decode(struct slice payload,
                                  struct idempotency_count *ret_count) MUST_CHECK;

#endif
