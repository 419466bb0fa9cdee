/* The meta row: what an actor knows of itself without reading its keys. One per stored actor,
 * rewritten by each batch that changes the actor; its row's version is the actor's version. */
#ifndef ACTOR_META_H
#define ACTOR_META_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { META_BYTES = 1 + 8 + 8 + 4 + 4 + 4 + 8 }; /* of the payload */

struct meta {
    uint64_t version; /* of the last batch that wrote; 0: nothing stored. Not in the payload */
    uint64_t keys;
    uint64_t bytes; /* of keys and values of kind KV */
    uint32_t timers;
    uint32_t steps;        /* ever started: gives the order of their first start */
    uint32_t timer_events; /* kept for the watch stream */
    uint64_t alarm_at_ms;  /* due time of the timer named "alarm"; 0: none */
};

void meta_encode(const struct meta *m, uint8_t ret_payload[META_BYTES]);
enum err meta_decode(struct slice payload, uint64_t version, struct meta *ret_meta) MUST_CHECK;

#endif
