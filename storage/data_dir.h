/* The data directory: who may use it, and what was fixed when it was made.
 *
 *     DORMOUSE        identity and format of this data, a few `key = value` lines and a checksum
 *     LOCK            held with flock(2) by the one process that uses the data
 *     wal-<n>/        the write-ahead log of worker n (storage/wal_dirs.h)
 *     shards/         one LMDB file a shard, g<id>.<generation>.mdb
 *     CLUSTER, certs/ of a node of a cluster (node/cluster_file.h); may be there before the rest
 *
 * Format 1 has no generation of the logs: it is 0 there. The file is written again, in the newest
 * format, when the logs are dealt anew, and not before.
 *
 * A second process gets ERR_BUSY, data of another format ERR_FORMAT, a file that fails its checksum
 * ERR_CORRUPT; each with one sentence in `ret_detail`. */
#ifndef STORAGE_DATA_DIR_H
#define STORAGE_DATA_DIR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/err.h"

enum {
    DATA_FORMAT = 2,
    DATA_FORMAT_OLDEST = 1, /* that is still read */
    DATA_SHARDS_DEFAULT = 64,
    DATA_SHARDS_MAX = 4096,
    DATA_WORKERS_MAX = 64,
    DATA_DETAIL_BYTES = 512,
};

struct disk_file;

struct data_dir {
    char *path;
    struct disk_file *lock; /* NULL: not locked */
    uint32_t shard_count;   /* fixed at the first start */
    uint32_t wal_count;     /* workers whose logs are here */
    uint32_t wal_generation;
    uint64_t cluster_id;
    uint8_t address_key[ADDRESS_KEY_BYTES];
    bool is_new; /* made by this very call */
};

/* Whether there is data in it, sound or not. */
bool data_dir_is_there(const char *path);

/* Creates what is missing: a first start takes `shard_count` (0: the default) and `wal_count`. Later
 * starts take what is stored; another shard count given then is ERR_BAD_REQUEST. */
enum err data_dir_open(struct data_dir *d, const char *path, uint32_t shard_count,
                       uint32_t wal_count, char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;

/* What the data of a node that joins a cluster must say. */
struct data_origin {
    uint64_t cluster_id;
    uint32_t shard_count;
    uint8_t address_key[ADDRESS_KEY_BYTES];
};

/* The directory is there, and holds nothing that is not ours: before anything is put into it. */
enum err data_dir_prepare(const char *path, char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;
/* A first start with what the cluster says. ERR_CONFLICT: there is data already. */
enum err data_dir_make(struct data_dir *d, const char *path, const struct data_origin *origin,
                       uint32_t wal_count, char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;

/* For `--check`: must exist, is locked likewise, nothing is created or changed. */
enum err data_dir_open_existing(struct data_dir *d, const char *path,
                                char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;
void data_dir_close(struct data_dir *d);

/* From now on these logs are in use. Durable when it returns; after an error the next start finds the
 * old ones or the new ones named, so both must be kept until then. */
enum err data_dir_set_logs(struct data_dir *d, uint32_t wal_count, uint32_t wal_generation,
                           char ret_detail[DATA_DETAIL_BYTES]) MUST_CHECK;

/* The path of `name` inside; free with mem_free. */
char *data_dir_path(const struct data_dir *d, const char *name);

#endif
