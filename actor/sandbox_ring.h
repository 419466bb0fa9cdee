/* A ring: the last MiB of what a terminal has written. It grows as it is used. */
#ifndef ACTOR_SANDBOX_RING_H
#define ACTOR_SANDBOX_RING_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

enum { RING_BYTES_MAX = 1 << 20 };

struct ring {
    uint8_t *data;
    size_t capacity;
    uint64_t start; /* the oldest byte that is kept, counted from the first there ever was */
    uint64_t end;
};

void ring_put(struct ring *r, struct slice bytes); /* at most RING_BYTES_MAX */
/* What is kept from there on (start to end), as far as it lies in one piece that is not too large. */
struct slice ring_at(const struct ring *r, uint64_t cursor);

#endif
