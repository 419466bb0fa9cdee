/* The log clock: the time that decides expiry and due times in a shard (DESIGN section 3).
 *
 * It goes on from the time of the last entry at the pace of the monotonic clock and is drawn toward
 * wall time: backward by slowing down, by at most a tenth; forward at once where those who vote
 * agree on the time (one voter agrees with itself), else by at most a tenth too.
 *
 * Invariant: readings never fall, whatever the wall clock does. No clock is read in here. */
#ifndef STORAGE_LOG_CLOCK_H
#define STORAGE_LOG_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct log_clock {
    uint64_t read_ms; /* the last reading */
    uint64_t mono_ms; /* when it was made */
};

/* Goes on from `last_ms`, the time of the last applied entry. */
void log_clock_start(struct log_clock *c, uint64_t last_ms, uint64_t mono_ms);

uint64_t log_clock_read(struct log_clock *c, uint64_t mono_ms, uint64_t wall_ms, bool agreed);

#endif
