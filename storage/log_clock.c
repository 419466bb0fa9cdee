#include "storage/log_clock.h"

#include "base/invariant.h"

enum { SLEW_PART = 10 }; /* a tenth of the time that passed */

void log_clock_start(struct log_clock *c, uint64_t last_ms, uint64_t mono_ms)
{
    *c = (struct log_clock){.read_ms = last_ms, .mono_ms = mono_ms};
}

uint64_t log_clock_read(struct log_clock *c, uint64_t mono_ms, uint64_t wall_ms, bool agreed)
{
    uint64_t passed_ms = mono_ms > c->mono_ms ? mono_ms - c->mono_ms : 0;
    uint64_t slew_ms = passed_ms / SLEW_PART;
    uint64_t read_ms = c->read_ms + passed_ms;
    if (read_ms > wall_ms) {
        uint64_t ahead_ms = read_ms - wall_ms;
        read_ms -= ahead_ms < slew_ms ? ahead_ms : slew_ms;
    } else {
        uint64_t behind_ms = wall_ms - read_ms;
        read_ms += agreed || behind_ms < slew_ms ? behind_ms : slew_ms;
    }
    POST(read_ms >= c->read_ms);
    /* Slewing needs time to have passed: short steps must not round it away. */
    if (passed_ms >= SLEW_PART || read_ms > c->read_ms + passed_ms) {
        c->read_ms = read_ms;
        c->mono_ms = mono_ms;
    }
    return read_ms;
}
