/* The engine: all storage of one worker. It owns the shards given to it, their shared write-ahead
 * log, and three helper threads, one that writes checkpoints, one that reads what is cold, and one for the
 * files of snapshots.
 *
 *     worker      engine_flush   once per loop iteration, before it sleeps: entries are made, the log
 *                                and the helper threads are kicked
 *                 engine_poll    after `notify`: what became durable is applied, reads come back
 *                 engine_receive what another node's `send` hook gave
 *                 engine_tick    at engine_next_ms, and now and then: time-outs of the groups;
 *                                checkpoints are begun, space is watched
 *
 * Nothing here blocks but open and close. A disk that fails ends the process with exit code 74 and
 * one line (a disk that lied once is not asked again); a full one is an answer, ERR_STORAGE_FULL,
 * until space is back. */
#ifndef STORAGE_ENGINE_H
#define STORAGE_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/histogram.h"
#include "storage/disk_quota.h"
#include "storage/group.h"
#include "storage/shard.h"
#include "storage/wal.h"

enum {
    ENGINE_READS_MAX = 4096, /* cold reads under way; more are ERR_OVERLOADED */
    ENGINE_TICK_MS = 50,
    ENGINE_DETAIL_BYTES = 512,
};

#define ENGINE_RESERVE_BYTES   (UINT64_C(256) << 20) /* of the disk, for logs and checkpoints */
#define ENGINE_LOG_BYTES_MIN   (UINT64_C(128) << 20) /* of a log: batches of 24 MiB fit */
#define ENGINE_STORE_BYTES_MIN (UINT64_C(128) << 20) /* of a quota, beside the logs */

/* The least quota that so many workers can do with. */
static inline uint64_t engine_quota_bytes_min(uint32_t worker_count)
{
    return worker_count * ENGINE_LOG_BYTES_MIN + ENGINE_STORE_BYTES_MIN;
}

/* A shard's replica on this node: (node << 32) | sequence, never used twice in the life of a cluster. */
struct engine_replica {
    uint64_t replica;       /* 0: none; the log may still have one, which goes on */
    const uint64_t *voters; /* the first members, where the group is new in the cluster ... */
    size_t voter_count;     /* ... 0: it joins, and starts empty */
};

struct engine_options {
    const char *data_dir;
    uint32_t worker;
    uint32_t worker_count;    /* see engine_worker_of_shard */
    uint32_t wal_generation;  /* of the data's logs */
    uint32_t shard_count;     /* of the cluster */
    bool has_meta;            /* this worker has the cluster's own group, too */
    uint64_t memory_bytes;    /* for rows that are not yet checkpointed */
    struct disk_quota *quota; /* of all workers' logs and stores; NULL: what the disk has */
    const struct shard_hooks *hooks;
    void *hooks_ctx;
    /* Fills in the replica of a shard, given its default: the only one, on node 1. `voters` is borrowed
     * until the next call. NULL: all are the default. */
    void (*replica_of)(void *hooks_ctx, uint32_t shard, struct engine_replica *replica);
    void (*notify)(void *ctx); /* on a helper thread: call engine_poll soon */
    void *notify_ctx;

    /* For tests; zero means what a node has. */
    uint64_t wal_segment_bytes;
    uint64_t wal_budget_bytes;
    uint64_t map_bytes;
    const struct disk *disk;
    wal_fatal_fn *log_fatal; /* NULL: the process ends */
    bool unthreaded;         /* no helper threads: engine_work does their work */
    uint64_t random;         /* seed of the groups' time-outs; 0: any */
};

struct engine;

enum { GROUP_OF_META = 0 };

/* Its number in the log and in the name of its store; that of SHARD_META is GROUP_OF_META. */
static inline uint32_t engine_group_of_shard(uint32_t shard)
{
    return shard + 1;
}

/* The worker that has a shard; the first has SHARD_META. */
static inline uint32_t engine_worker_of_shard(uint32_t shard, uint32_t worker_count)
{
    return shard == SHARD_META ? 0 : shard % worker_count;
}

/* Reads the log, applies it over the stores and starts the groups; takes as long as that takes.
 * On an error `ret_detail` is one sentence for people. */
enum err engine_open(const struct engine_options *options, uint64_t mono_ms, uint64_t wall_ms,
                     struct engine **ret_engine, char ret_detail[ENGINE_DETAIL_BYTES]) MUST_CHECK;

/* Finishes what is in flight, checkpoints nothing, stops the threads. NULL is fine. */
void engine_close(struct engine *e);
/* Without writing anything more: what a crash leaves. Unthreaded alone. */
void engine_abandon(struct engine *e);

/* unthreaded: one piece of the helper threads' work, of any of these kinds. False: there is none. */
enum engine_work {
    ENGINE_LOG = 1,
    ENGINE_CHECKPOINTS = 2,
    ENGINE_READS = 4,
    ENGINE_BULK = 8,
    ENGINE_ALL = 15
};
bool engine_work(struct engine *e, int kinds);

void engine_set_time(struct engine *e, uint64_t mono_ms, uint64_t wall_ms); /* of the iteration */
void engine_flush(struct engine *e);
void engine_poll(struct engine *e);
void engine_tick(struct engine *e);
uint64_t engine_next_ms(struct engine *e); /* engine_tick is wanted then; UINT64_MAX: by no group */

/* A message for `shard` from a node that has proved to be that of the replica `from`. ERR_NOT_FOUND: no
 * replica of it is here. ERR_CORRUPT, ERR_FORMAT: no replica of ours says that. */
enum err engine_receive(struct engine *e, uint32_t shard, uint64_t from,
                        struct slice message) MUST_CHECK;

/* Another node was heard at `heard_ms`, in this life of its process (storage/pulse.h). Groups rest only
 * while the nodes of all their members are; to be said before engine_tick, which notices silence. */
void engine_hear_pulse(struct engine *e, uint32_t node, uint64_t life, uint64_t heard_ms);

/* A replica that joins its group, empty, or one that leaves this node with all it has. `done` comes once,
 * from the loop: ERR_OK, ERR_CLOSED, or the disk's error. Refused at once: ERR_CONFLICT where there is
 * one already, or the one to remove leads; ERR_NOT_FOUND where there is none; ERR_BUSY, to be asked
 * again, while a change, a checkpoint or a snapshot of it is under way. Removing ends the shard: whoever
 * holds a pointer to it lets go of it first. */
struct engine_change {
    void (*done)(struct engine_change *c, enum err err);
    void *user;
    uint32_t shard;
    uint64_t replica; /* to add */

    struct engine *engine; /* the rest is the engine's */
    struct list link;
    struct job running;
    struct store *store;   /* that comes */
    struct shard *leaving; /* NULL: none does */
    uint64_t sequence;     /* of the record that it is gone */
    bool runs;
    enum err err;
};
enum err engine_add_replica(struct engine *e, struct engine_change *c) MUST_CHECK;
enum err engine_remove_replica(struct engine *e, struct engine_change *c) MUST_CHECK;

/* Work on files that others must not wait behind, on a thread of its own; it is kicked with the next
 * engine_flush. ERR_OVERLOADED. */
enum err engine_submit_bulk(struct engine *e, struct job *job) MUST_CHECK;

/* The path of the stores, for files that shard_install is to take. mem_free. */
char *engine_store_dir(const struct engine *e);

/* NULL: it has no replica on this worker. */
struct shard *engine_shard(const struct engine *e, uint32_t id); /* SHARD_META too */
struct shard *engine_meta(const struct engine *e);
bool engine_is_ready(const struct engine *e); /* every shard leads, or knows who does */

/* Of the log that a worker has under a quota, as in wal_options; `quota_bytes` 0: none. */
struct engine_log_size {
    uint64_t segment_bytes;
    uint64_t budget_bytes;
};
struct engine_log_size engine_log_size(uint64_t quota_bytes, uint32_t worker_count);

/* For metrics. Counters only grow. */
struct engine_stats {
    struct wal_stats wal;
    uint64_t leading; /* shards */
    uint64_t resting; /* of these and others: their groups */
    uint64_t entries;
    uint64_t batches;
    uint64_t entry_bytes;
    struct histogram flushes; /* of the log: from kick to durable */
    struct histogram commits; /* of entries: from proposal to application */
    uint64_t actors;          /* that are stored, awake or not */
    uint64_t checkpoints;
    uint64_t checkpoint_rows;
    uint64_t checkpoint_ns;
    uint64_t checkpoint_failures; /* for want of space */
    uint64_t rows_erased;         /* of dropped actors */
    uint64_t overlay_bytes;
    uint64_t overlay_bytes_max; /* of these and the next */
    uint64_t log_bytes;         /* of entries that are kept in memory for peers */
    uint64_t snapshots_installed;
    uint64_t store_bytes;
    uint64_t disk_free_bytes;
    uint64_t refused_full;
    uint64_t refused_overloaded;
    bool is_full;
    bool is_direct;
};
void engine_stats(const struct engine *e, struct engine_stats *ret_stats);

#endif
