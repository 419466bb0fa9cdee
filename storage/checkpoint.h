/* A checkpoint: a frozen overlay becomes rows of LMDB, in one sorted, fully synced transaction that
 * also moves the applied index. Until it has committed the log keeps all of it; once it has, the log
 * may go.
 *
 * In the same transaction, bounded, go two chores whose effect no reader can see:
 *   - erasing the rows of dropped actors, 10 000 at a time. The DROPPED row is the durable cursor: it
 *     is written by the checkpoint that makes the drop durable, hides what is left from readers, and
 *     goes with the last row.
 *   - removing idempotency rows that are expired by log time, through their rows by hour. */
#ifndef STORAGE_CHECKPOINT_H
#define STORAGE_CHECKPOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "storage/overlay.h"
#include "storage/rows.h"
#include "storage/store.h"

enum {
    CHECKPOINT_ERASE_ROWS_MAX = 10 * 1000,
    CHECKPOINT_ERASE_BYTES_MAX = 64 << 20, /* large values free many pages each */
    /* Expiry may remove this many and two for each row put, so that it never falls behind. */
    CHECKPOINT_EXPIRE_ROWS_MIN = 10 * 1000,
};

struct checkpoint_report {
    struct applied applied; /* now durable */
    uint64_t rows_put;
    uint64_t rows_deleted;
    uint64_t actors_dropped;
    uint64_t rows_erased;
    uint64_t rows_expired;
    uint64_t rows_damaged; /* expired by the hour but unreadable: left where they are */
    bool more_to_erase;    /* a checkpoint of an empty overlay would go on erasing */
    uint64_t file_bytes;
    uint64_t used_bytes;
    uint64_t duration_ns;
};

/* Runs on the store thread. ERR_STORAGE_FULL: nothing has changed, try again later, after store_reopen.
 * ERR_IO: the program must end (exit code 74), errno says why. The overlay is only read. */
enum err checkpoint_write(struct store *store, const struct overlay *frozen,
                          struct checkpoint_report *ret_report) MUST_CHECK;

/* Whether dropped actors have rows left in the store: a checkpoint goes on erasing them. */
enum err checkpoint_has_to_erase(struct store *store, bool *ret_has) MUST_CHECK;

#endif
