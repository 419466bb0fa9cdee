/* A rate: so many a minute, all of them at once where there were none before. Pure. */
#ifndef ACTOR_EGRESS_RATE_H
#define ACTOR_EGRESS_RATE_H

#include <stdbool.h>
#include <stdint.h>

/* Zero-initialised is full. */
struct rate {
    uint64_t tokens_micro;
    uint64_t since_ms;
};

/* False: there have been too many. */
bool rate_take(struct rate *r, uint32_t a_minute, uint64_t now_ms);

#endif
