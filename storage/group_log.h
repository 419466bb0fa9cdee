/* The entries of a group that are in memory, a run of indexes without a gap.
 *
 *     group_log_drop -->  first ........................ last  <-- group_log_append
 *                                      group_log_truncate <--'
 *
 * Entries are needed until they are applied, and after that by peers that are behind; what they take
 * is counted here, how much of it is kept is for the owner to say.
 *
 * Invariants
 *   - terms and the sequence numbers of log records never fall from one entry to the next. */
#ifndef STORAGE_GROUP_LOG_H
#define STORAGE_GROUP_LOG_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

/* As stored in the log; the numbers are part of the on-disk format. */
enum group_entry_type {
    GROUP_COMMAND = 1,       /* one or more batches (storage/batch.h) */
    GROUP_BARRIER = 2,       /* proves a leader's term; no data */
    GROUP_CONFIGURATION = 3, /* the members from here on (group_config.h) */
};

struct group_entry {
    uint64_t index;
    uint64_t term;
    enum group_entry_type type;
    struct slice data; /* borrowed for the call */
};

/* An entry as it is held. */
struct group_item {
    uint64_t term;
    uint64_t sequence; /* of its record in the log */
    enum group_entry_type type;
    struct buf data;
};

struct group_log {
    struct group_item *ring;
    size_t cap; /* a power of two, or 0 */
    size_t head;
    size_t count;
    uint64_t first; /* index of the first item, or of the one to come */
    size_t bytes;   /* of memory */
};

void group_log_start(struct group_log *l,
                     uint64_t first); /* empty; the next entry has this index */
void group_log_done(struct group_log *l);

/* Takes `data`. */
void group_log_append(struct group_log *l, uint64_t term, enum group_entry_type type,
                      struct buf *data, uint64_t sequence);
void group_log_truncate(struct group_log *l, uint64_t from_index); /* and all after it */
void group_log_drop(struct group_log *l, uint64_t to_index);       /* and all before it */

static inline uint64_t group_log_next(const struct group_log *l)
{
    return l->first + l->count;
}

/* NULL: not in memory. Valid until the log changes. */
const struct group_item *group_log_find(const struct group_log *l, uint64_t index);
struct group_entry group_log_entry(const struct group_log *l, uint64_t index); /* must be there */

/* The lowest index from which on the entries up to `index` take no more than `bytes_max`; index + 1
 * where even that one is larger, or is not here. */
uint64_t group_log_tail(const struct group_log *l, uint64_t index, size_t bytes_max);

#endif
