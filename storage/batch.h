/* A batch: what one turn of an actor writes, applied whole or not at all (DESIGN, idea 1).
 *
 *     header   format u8 | version u64 | log_time_ms u64 | number born u64, 0: none | op count u32
 *     ops      PUT          1 | key length u16 | payload length u32 | key | payload
 *              PUT_VERSION  2 | key length u16 | payload length u32 | version u64 | key | payload
 *              DELETE       3 | key length u16 | key
 *              DROP         4 | number u64
 *
 * Keys are whole row keys (storage/keyspace.h). A PUT carries the version of its batch; PUT_VERSION
 * is for rows that change without a new version of their own. DROP makes all rows of an actor
 * invisible and for good: its number takes no row afterwards, a rebirth gets a new one.
 *
 * A Raft entry is batches one behind the other, each after its length (u32); an entry of no bytes is
 * a barrier. */
#ifndef STORAGE_BATCH_H
#define STORAGE_BATCH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "storage/keyspace.h"

enum {
    BATCH_FORMAT = 1,
    BATCH_BYTES_MAX = 24 * 1024 * 1024,  /* encoded; the API's 16 MiB turn with all that belongs */
    BATCH_OPS_MAX = 8 * 1024 * 1024,     /* what fits: a delete is at least 12 bytes */
    ENTRY_COLLECT_BYTES_MAX = 256 << 10, /* collecting stops here; a larger batch goes alone */
    ENTRY_COLLECT_BATCHES_MAX = 1000,
    BATCH_HEADER_BYTES = 29,
};

/* In batch_put: the version of the batch itself, which is known only when the turn ends. */
#define BATCH_OWN_VERSION UINT64_C(0)

struct batch_header {
    uint64_t version;     /* >= 1 */
    uint64_t log_time_ms; /* leader's, never falls within a shard */
    uint64_t born;        /* actor number first used here, or 0; need not be in order */
    uint32_t op_count;
};

enum batch_op_type { BATCH_PUT = 1, BATCH_PUT_VERSION = 2, BATCH_DELETE = 3, BATCH_DROP = 4 };

/* Slices borrow from the batch. */
struct batch_op {
    enum batch_op_type type; /* BATCH_PUT for both forms of it */
    struct slice key;        /* of put and delete */
    struct slice payload;    /* of put */
    uint64_t version;        /* of put */
    uint64_t number;         /* of drop; of put and delete that of the key */
};

/* Builds one batch at the end of `out`. Between begin and end only the builder appends to it. */
struct batch_builder {
    struct buf *out;
    size_t start;
    uint32_t op_count;
};

void batch_begin(struct batch_builder *b, struct buf *out);
void batch_put(struct batch_builder *b, struct slice key, uint64_t version, struct slice payload);
void batch_delete(struct batch_builder *b, struct slice key);
void batch_drop(struct batch_builder *b, uint64_t number);
size_t batch_bytes(const struct batch_builder *b); /* encoded so far, header included */
/* What the op would add: lets a turn reserve before it builds. */
size_t batch_put_bytes(struct slice key, uint64_t version, size_t payload_bytes);
/* Writes the header; op_count of the argument is ignored. ERR_TOO_LARGE over BATCH_BYTES_MAX, and
 * then the batch is cut off `out` again. */
enum err batch_end(struct batch_builder *b, const struct batch_header *header) MUST_CHECK;

/* Reads ops in order:
 *     err = batch_open(&r, bytes);
 *     while (err == ERR_OK && r.ops_left > 0)
 *         err = batch_next(&r, &op);
 * ERR_CORRUPT where bounds or keys do not hold, ERR_FORMAT for a newer form. */
struct batch_reader {
    struct batch_header header;
    uint32_t ops_left;
    struct slice rest;
};

enum err batch_open(struct batch_reader *r, struct slice batch) MUST_CHECK;
enum err batch_next(struct batch_reader *r, struct batch_op *ret_op) MUST_CHECK;
enum err batch_check(struct slice batch) MUST_CHECK; /* all of the above, to the end */

/* Entries. */
void entry_append(struct buf *entry, struct slice batch);
/* Whether the collected entry takes another batch of this size. An empty one takes any. */
bool entry_has_room(size_t entry_bytes, uint32_t batch_count, size_t batch_bytes);
/* Cuts the next batch off `rest`, which must not be empty. */
enum err entry_next(struct slice *rest, struct slice *ret_batch) MUST_CHECK;
enum err entry_check(struct slice entry) MUST_CHECK; /* every batch of it */

#endif
