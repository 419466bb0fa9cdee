/* The identity of a WAL: the small file beside its segments that says whose they are, which start of
 * the program writes now, and how far an earlier start or a clean stop had read the log. A log that
 * ends before `sequence` has lost frames that were durable.
 *
 * The file holds two copies, each in a block of its own. A change overwrites the older one in place
 * and syncs it: a torn write leaves the other, and a full disk cannot keep the node from starting.
 * The higher (epoch, sequence) counts. */
#ifndef STORAGE_WAL_IDENTITY_H
#define STORAGE_WAL_IDENTITY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "storage/disk.h"

enum { WAL_IDENTITY_BYTES = 48, WAL_IDENTITY_COPIES = 2 };

struct wal_identity {
    uint64_t wal;      /* random, drawn once */
    uint64_t epoch;    /* of the last start */
    uint64_t sequence; /* the last frame known when this was written */
    uint32_t worker;
    uint32_t copy;  /* which of the two it was read from or written to */
    bool is_single; /* read: the other could not be; a start that was cut short leaves that */
};

void wal_identity_encode(uint8_t at[WAL_IDENTITY_BYTES], const struct wal_identity *identity);
enum err wal_identity_decode(struct slice bytes, struct wal_identity *ret_identity) MUST_CHECK;

/* ERR_NOT_FOUND: there is none. ERR_CORRUPT, ERR_FORMAT, ERR_IO. */
enum err wal_identity_read(const char *dir, struct wal_identity *ret_identity) MUST_CHECK;
/* The first one of a new WAL. */
enum err wal_identity_create(const struct disk *d, const char *dir,
                             struct wal_identity *identity) MUST_CHECK;
/* Durable when it returns. */
enum err wal_identity_update(const struct disk *d, const char *dir,
                             struct wal_identity *identity) MUST_CHECK;
/* Where in the file the next update goes. */
uint64_t wal_identity_next_offset(const struct wal_identity *identity);

#endif
