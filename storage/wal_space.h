/* The space of a WAL, on the worker: which segments are needed, and for whom; which slots are free.
 *
 *     slot:   free --> current --> kept --> retired --> free --> given back
 *                 switch     switch    no pins    its FLOOR      where the log
 *                                                 is durable     is too large
 *
 * A group pins a segment while it has entries there that its snapshot does not cover. Segments go in
 * the order of their numbers, so what is kept is always one run up to the current segment, and a hole
 * is proof of a lost file. A segment may be retired as soon as the records that cover its entries are
 * in the log, durable or not: the FLOOR record comes behind them, and only when that is durable is the
 * slot written again.
 *
 * Invariants
 *   - kept segments and the current one are numbered floor, floor + 1, ... without a gap.
 *   - a segment's pin_count is the number of groups that have it among their pins. */
#ifndef STORAGE_WAL_SPACE_H
#define STORAGE_WAL_SPACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/disk.h"
#include "storage/wal_batch.h"

/* Of one group, in one segment. */
struct wal_pin {
    uint64_t segment;
    uint64_t max_index;
    uint64_t bytes;
};

/* What a group holds; embedded in the WAL's groups. */
struct wal_pins {
    struct wal_pin *at; /* ascending by segment */
    size_t count;
    size_t cap;
};

struct wal_segment {
    uint64_t number;
    uint32_t slot;
    uint64_t bytes; /* size of the slot */
    uint32_t pin_count;
    struct disk_file *file; /* the current segment's */
};

struct wal_free_slot {
    uint32_t slot;
    uint64_t bytes;
    uint64_t after_record; /* may be written once this record is durable */
};

struct wal_space {
    struct wal_segment *segments; /* the last one is current */
    size_t segment_count;
    size_t segment_cap;
    struct wal_free_slot *slots; /* free, or about to be: ascending by after_record */
    size_t slot_count;
    size_t slot_cap;
    uint64_t total_bytes; /* of all slots */
};

void wal_space_done(struct wal_space *s); /* closes the current file */

void wal_space_add_slot(struct wal_space *s, uint32_t slot, uint64_t bytes);     /* new and free */
size_t wal_space_free_slots(const struct wal_space *s, uint64_t durable_record); /* ready ones */
uint32_t wal_space_unused_slot(const struct wal_space *s); /* a number no file has */

/* Takes one of more than `keep` ready slots away, for good. False: there are no more. */
bool wal_space_take_slot(struct wal_space *s, uint64_t durable_record, size_t keep,
                         uint32_t *ret_slot);

/* NULL: there is none. */
struct wal_segment *wal_space_current(const struct wal_space *s);

/* Recovery: segments are added oldest first. */
struct wal_segment *wal_space_add_segment(struct wal_space *s, uint64_t number, uint32_t slot,
                                          uint64_t bytes);
/* Takes a ready slot as the next segment. */
struct wal_segment *wal_space_switch(struct wal_space *s, uint64_t number, uint64_t durable_record);

/* Retires segments before the current one that nobody pins. Returns the new floor, 0 where it stays.
 * Their slots are free once the record given to wal_space_retired is durable. */
uint64_t wal_space_retire(struct wal_space *s);
void wal_space_retired(struct wal_space *s, uint64_t record);

void wal_pins_add(struct wal_pins *p, struct wal_space *s, uint64_t segment, uint64_t max_index,
                  uint64_t bytes);
void wal_pins_cut(struct wal_pins *p, uint64_t from_index);                   /* truncation */
void wal_pins_cover(struct wal_pins *p, struct wal_space *s, uint64_t index); /* up to index */
/* Copies up to `index` are in the segments from `before` on. */
void wal_pins_copied(struct wal_pins *p, struct wal_space *s, uint64_t before, uint64_t index);
void wal_pins_done(struct wal_pins *p, struct wal_space *s);

#endif
