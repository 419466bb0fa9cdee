/* A source of events: what the loop's epoll hands back, at the beginning of what it belongs to. Whoever has one
 * frees it at the end of a turn, for the batch at hand may still name it. */
#ifndef ACTOR_EGRESS_SOURCE_H
#define ACTOR_EGRESS_SOURCE_H

#include <stdint.h>

struct source {
    void (*act)(struct source *s, uint32_t events);
};

#endif
