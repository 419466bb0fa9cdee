/* What the log keeps with a snapshot of a shard, in the place of its configuration: that, and which file
 * is the store. Pure.
 *
 *     format u8, 2 | generation u64, big-endian | configuration (group_config.h)
 *
 * A configuration alone, whose own format is 1, means the first generation: a store that was never
 * replaced, and what nodes without peers have ever written. */
#ifndef STORAGE_MARKER_H
#define STORAGE_MARKER_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

void marker_encode(uint64_t generation, struct slice configuration, struct buf *to);
/* An empty marker, of a shard without a snapshot: the first generation, no configuration. */
enum err marker_decode(struct slice marker, uint64_t *ret_generation,
                       struct slice *ret_configuration) MUST_CHECK;

#endif
