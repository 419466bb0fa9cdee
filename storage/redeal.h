/* A redeal: the logs of a data directory are made anew, for another number of workers.
 *
 *     wal-0     wal-1               in use: each holds the groups of one worker's shards
 *       | \     / |  \
 *     wal-0.1   wal-1.1   wal-2.1   made beside them, synced, of a generation that nobody has used
 *
 *     DORMOUSE names the new ones   the switch, one rename
 *     wal-0 and wal-1 are removed
 *
 * All that is retained goes over as records: replica, term, vote, snapshot and entries of each group,
 * whether they are committed and applied or not. A process that ends anywhere in here, with the machine
 * or alone, leaves data that the next start opens with the old logs or with the new ones, all of them
 * whole; the others are left over (storage/wal_dirs.h).
 *
 * Memory: one of the old logs at a time, as a start holds it. Disk: old and new are there together for
 * a moment. Where few logs are made of many, one may be larger than the budget it is opened with
 * later: it then gives files back as checkpoints free them (storage/wal.h).
 *
 * Blocks: for the start of the program, under the directory's lock, before there is an engine. */
#ifndef STORAGE_REDEAL_H
#define STORAGE_REDEAL_H

#include <stdint.h>

#include "base/err.h"
#include "storage/data_dir.h"

/* What went over. */
struct redeal_report {
    uint32_t groups;
    uint64_t entries;
    uint64_t entry_bytes;
};

/* On success `d` says what is in use now. After an error the old logs are as they were and in use at the
 * next start, but for a failure of the switch itself: then it may be either. `segment_bytes` is as in
 * wal_options. ERR_STORAGE_FULL, ERR_IO, ERR_CORRUPT, ERR_FORMAT, ERR_NO_MEMORY, or ERR_TOO_LARGE
 * for an entry that no segment takes; with one sentence. */
enum err redeal(struct data_dir *d, uint32_t wal_count, uint64_t segment_bytes,
                struct redeal_report *ret_report, char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;

#endif
