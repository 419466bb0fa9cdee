/* What the tests of the redeal share: a data directory with logs that hold what logs can hold, and what
 * must be found in them, whichever logs are in use. There are no stores. */
#ifndef TESTS_UNIT_REDEAL_DATA_H
#define TESTS_UNIT_REDEAL_DATA_H

#include "base/buf.h"
#include "storage/data_dir.h"
#include "storage/redeal.h"

enum {
    REDEAL_SHARDS = 6,
    REDEAL_GROUPS = REDEAL_SHARDS + 1, /* the last one is the cluster's own */
    REDEAL_SEGMENT = 32 * 1024,
};

struct redeal_data {
    char *base;
    char *path;           /* of the data, below `base` */
    struct data_dir data; /* while it is open */
    struct redeal_report report;
    char detail[DATA_DETAIL_BYTES];
    struct buf want[REDEAL_GROUPS]; /* what the logs hold of each group, as text */
    uint64_t last[REDEAL_GROUPS];   /* index of the last entry; 0: there is none */
};

void redeal_data_init(struct redeal_data *r);
void redeal_data_done(struct redeal_data *r);

/* Makes the data with logs for so many workers, stopped or as a kill leaves them. */
void redeal_data_make(struct redeal_data *r, uint32_t wal_count, bool is_killed);

/* As a start does for so many workers: opens the data, removes what is left over, redeals. */
enum err redeal_data_start(struct redeal_data *r, uint32_t wal_count) MUST_CHECK;
void redeal_data_stop(struct redeal_data *r);

/* Reads the logs in use, of open data. False: something is missing, or more than there should be;
 * `detail` says what. */
bool redeal_data_is_whole(struct redeal_data *r) MUST_CHECK;

/* Many small entries for the first shard. */
void redeal_data_add_small(struct redeal_data *r, uint64_t count);

/* One entry more for each group, durable where it returns ERR_OK. */
enum err redeal_data_add(struct redeal_data *r) MUST_CHECK;

#endif
