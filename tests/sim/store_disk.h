/* LMDB's files under the seam of storage/disk.h: LMDB calls the system by itself, so the calls are
 * caught at their symbols, for files *.mdb alone, and told to the hook of a `struct disk`. A program
 * that links this file needs nothing else; all other files pass through. */
#ifndef TESTS_SIM_STORE_DISK_H
#define TESTS_SIM_STORE_DISK_H

#include <stdbool.h>
#include <stdint.h>

#include "storage/disk.h"

/* NULL: nothing is told. */
void store_disk_attach(const struct disk *disk);

/* A planted defect: LMDB's syncs are answered and not done. */
void store_disk_skip_syncs(bool skip);

struct store_disk_stats {
    uint64_t writes;
    uint64_t syncs;
    uint64_t meta_writes; /* durable by themselves: a transaction commits with one */
    uint64_t refused;     /* the process was dead */
};
struct store_disk_stats store_disk_stats(void);

#endif
