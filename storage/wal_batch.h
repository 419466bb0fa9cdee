/* A batch: records that go to the disk as one frame, encoded where they will be written from.
 *
 *     memory   | rest of the block before | frame header | records ...        |
 *              0                          start          + 56                 + length
 *
 * `start` is the frame's position modulo the block. The worker guesses it when it begins a batch and
 * moves the records where the guess was wrong (a batch went to another segment).
 *
 * A batch remembers which groups have entries in it, and up to which index: that decides later when
 * its segment can be used again. */
#ifndef STORAGE_WAL_BATCH_H
#define STORAGE_WAL_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"
#include "base/slice.h"
#include "storage/wal_format.h"

struct wal_group;

struct wal_touch {
    struct wal_group *group; /* NULL: was removed since */
    uint64_t max_index;
    uint64_t bytes;
};

struct wal_batch {
    struct list link;
    uint64_t id;     /* of this use of the memory */
    uint8_t *memory; /* aligned to blocks */
    size_t capacity;
    size_t start;
    size_t length;        /* records */
    uint64_t last_record; /* sequence number of its last record */

    struct wal_touch *touches;
    size_t touch_count;
    size_t touch_cap;

    uint32_t *controls; /* where in the payload stand the records that change the table */
    size_t control_count;
    size_t control_cap;
};

struct wal_batch *wal_batch_new(void);
void wal_batch_free(struct wal_batch *b);                             /* NULL is fine */
void wal_batch_reset(struct wal_batch *b, uint64_t id, size_t start); /* empty; large memory goes */
void wal_batch_move(struct wal_batch *b, size_t start); /* the records move to another start */
void wal_batch_prepend(struct wal_batch *b, struct slice records);

/* Adds a record without its data; `data_len` bytes follow at the place returned. */
uint8_t *wal_batch_add(struct wal_batch *b, const struct wal_record *r);

struct slice wal_batch_records(const struct wal_batch *b);

/* Notes an entry of the group; `*at` is where the group's last note stands, in the batch `*id`. */
void wal_batch_touch(struct wal_batch *b, struct wal_group *group, uint64_t *id, size_t *at,
                     uint64_t index, uint64_t bytes);
/* The group's entries from `from_index` on are gone. */
void wal_batch_cut(struct wal_batch *b, const struct wal_group *group, uint64_t from_index);
void wal_batch_forget(struct wal_batch *b, const struct wal_group *group);

/* What a frame of so many payload bytes takes in a segment at most. */
static inline uint64_t wal_frame_bytes_max(size_t length)
{
    return (uint64_t)length + WAL_FRAME_HEADER_BYTES + WAL_FRAME_ALIGN;
}

#endif
