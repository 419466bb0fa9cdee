/* A page of the list of actors: those with the least keys among some shards. Pages of other shards are
 * merged into it; of all of them it is the answer. Pure.
 *
 *     of a worker's shards (node/listing_part.h) --+
 *     of the node's other workers -----------------+--> of a node --+
 *                                                       of others --+--> what the client gets
 *
 * A page says how far it goes: of its shards every actor up to `end` is in it, or was deleted meanwhile.
 * A merged page goes as far as the one that goes least far, so a page may be short and yet not the last. */
#ifndef NODE_LISTING_PAGE_H
#define NODE_LISTING_PAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "rpc/value.h"
#include "storage/data_dir.h"
#include "storage/keyspace.h"

enum { LISTING_SHARDS_BYTES = DATA_SHARDS_MAX / 8 };

struct listing_query {
    uint32_t limit;                       /* of the page; up to LIST_LIMIT_MAX */
    struct row_key prefix;                /* of the LISTING rows */
    struct row_key after;                 /* the end of the page before; empty: none */
    uint8_t shards[LISTING_SHARDS_BYTES]; /* asked for, a bit each */
};

static inline void listing_query_add_shard(struct listing_query *q, uint32_t shard)
{
    q->shards[shard / 8] |= (uint8_t)(1U << shard % 8);
}

static inline bool listing_query_has_shard(const struct listing_query *q, uint32_t shard)
{
    return (q->shards[shard / 8] >> shard % 8 & 1) != 0;
}

/* An actor. */
struct listed {
    struct slice key; /* of its LISTING row */
    struct slice class;
    struct slice id;
    bool is_awake;
    uint64_t version;
    uint64_t bytes;
};

/* Zero-initialised: nobody, of no shard. */
struct listing_page {
    struct buf actors; /* a document each, in the order of their keys */
    uint32_t count;
    struct buf end; /* empty: there are no others */
};

void listing_page_done(struct listing_page *p);
void listing_page_clear(struct listing_page *p);

void listing_page_put(struct listing_page *p,
                      const struct listed *l); /* after all that are there */
void listing_page_end_at(struct listing_page *p, struct slice key);

/* `p` becomes the page of both, of at most `limit` actors. */
void listing_page_merge(struct listing_page *p, const struct listing_page *other, uint32_t limit);

/* for (it = listing_page_items(p); listing_page_next(&it, &listed);)   The slices are the page's. */
struct value_iter listing_page_items(const struct listing_page *p);
bool listing_page_next(struct value_iter *it, struct listed *ret_listed);

/* Between nodes: msgpack, of which members that a reader does not know are ignored.
 *
 *     ask      {"limit":n,"prefix":bin,"after":bin,"shards":bin: a bit each}
 *     answer   {"err":"OK","end":bin,"actors":[[key bin, class, id, awake, version, bytes]]}
 *              {"err":NAME of base/err.def} */
void listing_ask_encode(const struct listing_query *q, uint32_t shard_count, struct buf *out);
/* ERR_CORRUPT: it is none, or names shards that there are not. */
enum err listing_ask_decode(struct slice bytes, uint32_t shard_count,
                            struct listing_query *ret_query) MUST_CHECK;
void listing_answer_encode(enum err err, const struct listing_page *p, struct buf *out);
/* `ret_page` is empty, and stays so where it fails. ERR_CORRUPT: it is no answer to the question.
 * ERR_FORMAT: an error that this version does not know. */
enum err listing_answer_decode(struct slice bytes, const struct listing_query *q, enum err *ret_err,
                               struct listing_page *ret_page) MUST_CHECK;

#endif
