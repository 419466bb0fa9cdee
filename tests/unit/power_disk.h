/* A disk that can lose power: a hook for storage/disk.h that keeps what was synced apart from what
 * was only written, for all files below one directory.
 *
 *   - a write is safe once its file was synced, or at once where it was made durable; else each of its
 *     sectors of 512 bytes is kept or lost on its own when power goes.
 *   - making, renaming and removing a file is safe once its directory was synced; else a first part of
 *     these changes is kept, in their order: of all of them, or of each directory's on its own.
 *   - `power_disk_arm(n)` lets the n-th call from now on fail; a write is caught in the middle. From
 *     then on the process is dead: every call fails.
 *
 * A plant is a defect put in on purpose: the harness must find it. */
#ifndef TESTS_UNIT_POWER_DISK_H
#define TESTS_UNIT_POWER_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/disk.h"

enum power_plant {
    POWER_PLANT_NONE,
    POWER_PLANT_ACK_BEFORE_SYNC,   /* durable writes are not */
    POWER_PLANT_SKIP_RECOVER_SYNC, /* what recovery has read is not synced */
    POWER_PLANT_SKIP_DIR_SYNC,
    POWER_PLANT_SKIP_IDENTITY_SYNC,
    POWER_PLANT_SKIP_FOUND_SYNC, /* of the data directory, before a start acts on what it names */
    POWER_PLANT_COUNT,
};

/* Of one operation at one site of storage/disk.def. */
struct power_place {
    uint64_t calls;
    uint64_t cuts; /* the process died in it */
    uint64_t lost; /* writes and changes of directories: all of it */
    uint64_t torn; /* writes: a part of it */
};

struct power_stats {
    struct power_place places[DISK_SITE_COUNT][DISK_OP_COUNT];
    uint64_t calls;
    uint64_t power_losses;
    uint64_t kills;
    uint64_t writes_lost;   /* all of a write's sectors */
    uint64_t writes_torn;   /* some of them */
    uint64_t changes_lost;  /* of a directory */
    uint64_t caught_writes; /* the process died in the middle of one */
};

struct power_disk;

struct power_disk *power_disk_new(const char *root, uint64_t seed, enum power_plant plant);
void power_disk_free(struct power_disk *p);
const struct disk *power_disk_seam(struct power_disk *p);

void power_disk_arm(struct power_disk *p, uint64_t calls); /* 0: not at all */
bool power_disk_is_dead(const struct power_disk *p);

/* The process is gone, the machine stays up: nothing written is lost. */
void power_disk_kill(struct power_disk *p);
/* The machine is gone: rewrites the files below root as they are after the next start. */
void power_disk_lose_power(struct power_disk *p);

const struct power_stats *power_disk_stats(const struct power_disk *p);
void power_stats_add(struct power_stats *to, const struct power_stats *s);
void power_stats_print(const struct power_stats *s);
/* A place that was called this often and never cut, "SITE op" (static); NULL: there is none. */
const char *power_stats_uncut(const struct power_stats *s, uint64_t calls);
uint64_t power_random(uint64_t *seed); /* splitmix64 */

#endif
