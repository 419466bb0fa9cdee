/* The disk space that all engines of a node may use together: `--max-disk`.
 *
 * Each engine says now and then what it uses, and takes room before it uses more. What all have said and
 * taken is one number that each of them reads, so the shards of one worker may use what those of another
 * do not, and what is deleted in one makes room in all. No lock: an engine adds the difference to what it
 * said before.
 *
 * Invariant: taking never brings the sum above the limit, whoever takes at the same moment. Saying may:
 * what an engine uses is a fact. */
#ifndef STORAGE_DISK_QUOTA_H
#define STORAGE_DISK_QUOTA_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct disk_quota {
    uint64_t bytes_max; /* set once, before the engines; 0: no limit */
    /* any thread */
    _Atomic uint64_t said_bytes;
};

/* `*said` is what the caller said last, its own, 0 at first. It replaces what was taken since. */
void disk_quota_say(struct disk_quota *q, uint64_t *said, uint64_t bytes);

/* So much more. False: it would exceed the limit, and nothing was taken. */
bool disk_quota_take(struct disk_quota *q, uint64_t *said, uint64_t bytes);
bool disk_quota_has_room(const struct disk_quota *q, uint64_t bytes);

#endif
