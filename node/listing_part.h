/* What one worker finds for a listing: of its shards that are asked for the actors with the least keys.
 *
 *     each shard: a proof that it leads --> a page of its LISTING rows --> the least `limit` of all
 *                 --> their directory and meta rows --> the page
 *
 * A shard that this node does not lead makes the whole part ERR_NOT_OWNER: a page lacks nobody. Reads of
 * all shards run at once on the worker's reader thread; what they hold is bounded for all of them
 * together. */
#ifndef NODE_LISTING_PART_H
#define NODE_LISTING_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/gather.h"
#include "node/listing_page.h"

struct listing_rows;
struct found;

struct listing_part {
    struct gather_part part;
    const struct listing_query *query; /* the same for all parts */
    struct listing_page page;          /* the outcome, where `part.err` is ERR_OK */

    struct listing_rows *shards; /* the rest is the part's own */
    uint32_t shard_count;
    struct found *found; /* in the order of their keys */
    size_t found_count;
    size_t reads; /* under way */
    enum err err; /* the first that failed */
};

void listing_part_begin(struct gather_part *p); /* a gathering's `begin` */

#endif
