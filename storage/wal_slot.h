/* The making of a slot: a file of zeros under its final name, synced, in steps that each take well
 * under a millisecond, so that flushes go in between.
 *
 *     slot_maker_start        step: OPEN -> FILL ... FILL -> FINISH -> made
 *                                     any step fails: the temporary file goes, ERR_STORAGE_FULL or ERR_IO
 *
 * Zeros are written, not reserved: a synced write into blocks that were never written costs half as
 * much again. */
#ifndef STORAGE_WAL_SLOT_H
#define STORAGE_WAL_SLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "storage/disk.h"

struct slot_maker {
    const struct disk *disk; /* set once; with the next three */
    const char *dir;
    uint64_t bytes;
    bool direct;

    bool is_open;
    uint32_t slot;
    uint64_t filled;
    struct disk_file *file;
    bool was_direct; /* of the last one made: the file system let us write around its cache */
};

void slot_maker_start(struct slot_maker *m, uint32_t slot);
void slot_maker_done(struct slot_maker *m); /* also in the middle */

/* One step. `*ret_made` once the slot is there. After an error `slot_maker_start` begins anew. */
enum err slot_maker_step(struct slot_maker *m, bool *ret_made) MUST_CHECK;

/* "dir/slot-0001", and "dir/slot-0001.tmp" while it is made; mem_free. */
char *wal_slot_path(const char *dir, uint32_t slot, bool is_temporary);

#endif
