/* The payloads of the shard's own rows (number 0, storage/keyspace.h), big-endian:
 *
 *     APPLIED      format u32 | index u64 | term u64 | version u64 | number u64 | log_time_ms u64 |
 *                  actors u64
 *     DIRECTORY    number u64 | namespace length u8 | class length u8 | namespace class id
 *     LISTING      number u64
 *     IDEMPOTENCY  log_time_ms u64 | the answer, or the count, in the form of the layer above
 *     DUE          identity 32
 *     DROPPED      rows erased so far u64
 *
 * IDEMPOTENCY_HOUR is empty. A due row of an actor that was dropped may outlive it: whoever meets
 * one whose actor is not in the directory under that number deletes it. Decoded slices borrow. */
#ifndef STORAGE_ROWS_H
#define STORAGE_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { ROWS_FORMAT = 1 };

#define IDEMPOTENCY_KEEP_MS UINT64_C(86400000) /* 24 h of log time, API section 3 */

/* How far a shard's state has come. All but the term and the count only grow. */
struct applied {
    uint64_t index;       /* of the last Raft entry in this state; 0: none */
    uint64_t term;        /* of that entry */
    uint64_t version;     /* last one given to a batch */
    uint64_t number;      /* last one given to an actor */
    uint64_t log_time_ms; /* of the last batch */
    uint64_t actors;      /* that are there: born and not dropped */
};

struct directory_row {
    uint64_t number;
    struct slice ns;
    struct slice class;
    struct slice id; /* whole */
};

void applied_encode(struct buf *to, const struct applied *applied);
/* ERR_FORMAT where a newer program wrote it. */
enum err applied_decode(struct slice payload, struct applied *ret_applied) MUST_CHECK;

void directory_row_encode(struct buf *to, uint64_t number, const struct address *address);
enum err directory_row_decode(struct slice payload, struct directory_row *ret_row) MUST_CHECK;

/* LISTING and DROPPED: one number. IDEMPOTENCY begins with one, its log time. */
void number_row_encode(struct buf *to, uint64_t number);
enum err number_row_decode(struct slice payload, uint64_t *ret_number) MUST_CHECK;
enum err idempotency_row_time(struct slice payload, uint64_t *ret_log_time_ms) MUST_CHECK;

/* An expired row counts as absent, whether or not a checkpoint has removed it. */
static inline bool idempotency_is_expired(uint64_t row_log_time_ms, uint64_t log_time_ms)
{
    return log_time_ms >= IDEMPOTENCY_KEEP_MS &&
           log_time_ms - IDEMPOTENCY_KEEP_MS >= row_log_time_ms;
}

enum err due_row_decode(struct slice payload, struct identity *ret_identity) MUST_CHECK;

#endif
