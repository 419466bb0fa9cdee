/* The directories of the logs in a data directory: which are in use, and which are left over.
 *
 *     wal-0    wal-1    ...    generation 0, of workers 0, 1, ...
 *     wal-0.1  wal-1.1  ...    generation 1: the logs were dealt anew (storage/redeal.h)
 *
 * The DORMOUSE file names the generation in use and how many logs it has. Those of another one are
 * left over, from a redeal that was not finished or from before one that was, and of no use.
 *
 * None are removed while a log in use is missing: then somebody has put a part of another copy of the
 * data here, and what looks left over may be all there is. */
#ifndef STORAGE_WAL_DIRS_H
#define STORAGE_WAL_DIRS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "storage/data_dir.h"

enum { WAL_DIR_NAME_BYTES = 32 };

struct wal_dir {
    uint32_t generation;
    uint32_t worker;
};

void wal_dir_name(struct wal_dir dir, char ret_name[WAL_DIR_NAME_BYTES]);
char *wal_dir_path(const char *data_dir, struct wal_dir dir); /* mem_free */

static inline struct wal_dir wal_dir_in_use(const struct data_dir *d, uint32_t worker)
{
    return (struct wal_dir){.generation = d->wal_generation, .worker = worker};
}

bool wal_dir_has_log(const char *data_dir, struct wal_dir dir); /* begun at least */

/* Those left over, in no order; mem_free. */
enum err wal_dirs_left_over(const struct data_dir *d, struct wal_dir **ret_dirs,
                            size_t *ret_count) MUST_CHECK;

/* Removes those left over. What cannot be removed stays for the next start. */
void wal_dirs_clean(const struct data_dir *d);

/* The lowest generation above the one in use that no directory here has. */
enum err wal_dirs_unused_generation(const struct data_dir *d, uint32_t *ret_generation) MUST_CHECK;

#endif
