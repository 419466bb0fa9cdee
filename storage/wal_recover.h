/* Recovery of a WAL: reads the segments of a stopped WAL and says what is in them, or why not.
 *
 *     slot files          | 3 | 7 | 4 | 5 | 6 | - |     each holds the segment its first frame names
 *     needed              floor = 4 ............ 7 = newest
 *
 * Frames of the needed segments are read in the order of their sequence, which has no gap. At the
 * first place where the next one cannot be read, either it was never acknowledged (the writing of it
 * was cut short, or not begun), or it is damaged. A frame header with a higher sequence, anywhere in
 * any file, proves the second: the WAL writes a frame only when the one before it is durable. Then
 * recovery refuses, with file and offset; else the log ends here.
 *
 * A start that found an unreadable tail goes on at the next block, with the next epoch, so recovery
 * looks there as well before it ends a segment.
 *
 * Nothing here writes. wal_recover_images works on images in memory (tests, fuzzing). */
#ifndef STORAGE_WAL_RECOVER_H
#define STORAGE_WAL_RECOVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "storage/wal_identity.h"
#include "storage/wal_image.h"
#include "storage/wal_replay.h"

/* Where it was found, and what. */
struct wal_detail {
    char file[WAL_SLOT_NAME_BYTES]; /* inside the directory; "" where it is no single file */
    uint64_t offset;
    char text[160];
};

struct wal_recovered_group {
    uint32_t group;
    uint64_t replica;
    uint64_t term;
    uint64_t vote;
    struct wal_snapshot snapshot;
    const struct wal_entry *entries; /* contiguous from snapshot.index + 1 */
    size_t entry_count;
};

/* A frame that belongs to the log: every byte of it counts. */
typedef void wal_seen_fn(void *ctx, uint32_t slot, uint64_t offset, uint64_t len);

struct wal_recovery {
    struct wal_identity identity; /* of the start that wrote last */

    struct wal_recovered_group *groups; /* ascending by group */
    size_t group_count;

    uint64_t floor;         /* needed segments: from here ... */
    uint64_t newest;        /* ... to here; 0: no frame was ever written */
    uint64_t next_sequence; /* of the frame after the last one */
    uint64_t frame_count;
    bool was_cut; /* the log ended in a frame whose writing was not finished: `cut` says where */
    struct wal_detail cut;
    struct wal_detail damage; /* filled where recovery refuses */

    /* own */
    const char *dir;   /* where images are loaded from; NULL: they are all in memory */
    wal_seen_fn *seen; /* NULL: nobody asks */
    void *seen_ctx;
    struct wal_image *images;
    size_t image_count;
    struct wal_replay replay;
};

/* Identity and images are given, the rest is zero. wal_recovery_free frees the images.
 * ERR_CORRUPT, ERR_FORMAT, ERR_IO, ERR_NO_MEMORY: see `damage`. */
enum err wal_recover_images(struct wal_recovery *r) MUST_CHECK;

/* ERR_NOT_FOUND: there is no WAL in `dir`, which must live as long as the result. `*ret_recovery` is
 * set whatever is returned; groups and entries live until it is freed. */
enum err wal_recover(const char *dir, struct wal_recovery **ret_recovery) MUST_CHECK;
/* The same, and tells of each frame. */
enum err wal_recover_seen(const char *dir, wal_seen_fn *seen, void *ctx,
                          struct wal_recovery **ret_recovery) MUST_CHECK;
void wal_recovery_free(struct wal_recovery *r); /* NULL is fine */

/* The image of a needed segment. */
struct wal_image *wal_recovery_image(const struct wal_recovery *r, uint64_t segment);

#endif
