/* What one worker finds for a listing: of all its shards the actors with the least keys.
 *
 *     each shard: a page of its LISTING rows --> the least `limit` of all --> their directory and
 *     meta rows
 *
 * Reads of all shards run at once on the worker's reader thread. */
#ifndef NODE_LISTING_PART_H
#define NODE_LISTING_PART_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "actor/meta.h"
#include "node/gather.h"
#include "storage/keyspace.h"
#include "storage/shard.h"

struct listing_query {
    uint32_t limit;
    struct row_key prefix; /* of the LISTING rows */
    struct row_key after;  /* the last key of the page before; empty: none */
};

struct listing_page;

/* An actor of the page. */
struct found {
    struct slice key; /* of its LISTING row; in the part's rows */
    struct identity identity;
    uint64_t number;
    bool is_awake;
    struct shard *shard;
    struct shard_read read; /* its directory and meta rows */
    struct listing_part *part;
};

struct listing_part {
    struct gather_part part;
    const struct listing_query *query; /* the same for all parts */

    struct listing_page *pages; /* of its shards */
    uint32_t page_count;
    struct found *found; /* in the order of their keys */
    size_t found_count;
    bool more;    /* there are others after these */
    size_t reads; /* under way */
    enum err err; /* the first that failed */
};

void listing_part_begin(struct gather_part *p); /* a gathering's `begin` */
void listing_part_free_rows(struct listing_part *p);

/* What the rows of an actor say; false where it was deleted between the two reads, or is damaged:
 * then it is not shown. The slices are the part's. */
bool found_decode(const struct found *f, struct directory_row *ret_directory,
                  struct meta *ret_meta);

#endif
