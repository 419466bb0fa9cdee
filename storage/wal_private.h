/* What the files of the WAL share: wal.c appends, wal_write.c brings batches to the disk, wal_open.c
 * starts and stops. Nobody else includes this. */
#ifndef STORAGE_WAL_PRIVATE_H
#define STORAGE_WAL_PRIVATE_H

#include "base/buf.h"
#include "base/list.h"
#include "base/map.h"
#include "storage/wal.h"
#include "storage/wal_batch.h"
#include "storage/wal_space.h"
#include "storage/wal_table.h"

struct wal_group {
    struct map_node node;
    uint32_t group;
    uint64_t replica;
    uint64_t snapshot_index; /* as appended */
    struct wal_pins pins;    /* of batches that have their place */

    uint64_t touch_batch; /* where the open batch notes this group */
    size_t touch_at;

    uint64_t copy_first; /* a run of copies; 0: none */
    uint64_t copy_last;
    uint64_t copy_segment; /* the current one when the run began: copies are in it or later */
};

struct wal {
    struct wal_options options; /* set once; `dir` is a copy */
    size_t flush_bytes_max;     /* set once, with the next */
    size_t control_bytes;
    bool is_direct;

    /* worker */
    struct wal_identity identity;
    struct map groups;
    struct wal_table table; /* as of the last batch that has its place */
    size_t table_bytes;     /* of it, encoded */
    struct wal_space space;
    struct list queue; /* batches without a place yet; the last one is open */
    size_t queued_bytes;
    struct wal_batch *in_flight;
    struct list spare; /* batches to be used again */
    size_t spare_count;
    struct buf scratch;
    uint64_t position; /* in the current segment: of the next frame */
    uint64_t next_sequence;
    uint64_t next_batch;
    uint64_t last_record;
    uint64_t durable_record;
    bool is_sealed; /* the last frame is empty, or there is none */
    bool wants_slot;
    bool gives_slot; /* the flusher removes one */
    bool is_full;    /* for a slot */
    bool is_stuck;   /* for the frame in flight */
    bool is_dead;    /* a write failed and `fatal` returned */
    struct wal_stats stats;

    struct flusher *flusher;
};

struct wal_group *wal_group_find(const struct wal *w, uint32_t group);
struct wal_group *wal_group_add(struct wal *w, uint32_t group, uint64_t replica);
void wal_group_free(struct wal *w, struct wal_group *g);

/* Adds a record to the open batch. `*ret_data`, where wanted, is where its data goes. */
uint64_t wal_append(struct wal *w, const struct wal_record *r, uint8_t **ret_data);
struct wal_batch *wal_open_batch(struct wal *w, size_t bytes);

bool wal_open_current(struct wal *w, struct wal_segment *current);
void wal_want_slots(struct wal *w); /* keeps two free, within the budget */
void wal_give_slots(struct wal *w); /* those too many, where there is more than the budget */
void wal_drain(struct wal *w); /* for the stop: until everything is written, or no slot is free */

#endif
