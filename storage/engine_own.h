/* The inside of an engine: for engine*.c and shard.c alone. All fields belong to the worker. */
#ifndef STORAGE_ENGINE_OWN_H
#define STORAGE_ENGINE_OWN_H

#include "base/heap.h"
#include "storage/engine.h"
#include "storage/pulse.h"
#include "storage/shard_own.h"

struct engine {
    char *data_dir;
    uint32_t worker_count;
    uint64_t memory_bytes;
    struct disk_quota *quota; /* may be NULL */
    uint64_t map_bytes;       /* of each store */
    const struct shard_hooks *hooks;
    void *hooks_ctx;

    struct wal *wal;
    struct job_thread *store_thread;
    struct job_thread *reader;
    struct job_thread *bulk;
    struct shard **shards; /* by id; NULL where another worker has it; behind them that of meta */
    uint32_t shard_count;
    uint32_t slot_count; /* of `shards`: one more */
    uint32_t leading_count;
    struct list changes; /* replicas that come or go */
    uint64_t random;
    struct heap due;         /* shards, by when time means something to their groups */
    struct pulses pulses;    /* of the other nodes */
    struct list dirty;       /* shards with something to submit */
    struct list logging;     /* shards that wait for the log */
    size_t queued_bytes;     /* of proposals that are not yet applied */
    size_t collecting_bytes; /* of these: not yet in the log, with what the log adds */

    uint64_t now_ms;
    uint64_t wall_ms;
    uint64_t next_tick_ms;
    uint64_t next_space_ms;
    uint64_t next_trim_ms;
    struct job trim; /* on the store thread */
    bool trim_runs;
    bool reopen_runs; /* of one shard's store */
    uint64_t flushes_seen;
    uint64_t flushed_ms; /* when the last of them was seen */
    bool is_unthreaded;
    bool is_closing;
    bool is_abandoned;      /* and whatever fails now is of no interest */
    bool wants_memory;      /* something was refused for want of it */
    bool checkpoint_ended;  /* since the last look at which are due */
    bool is_disk_full;      /* but for the reserve, when it was last looked at */
    uint64_t unseen_bytes;  /* that writes asked for since then */
    uint64_t said_bytes;    /* to the quota, or taken of it */
    uint64_t no_room_bytes; /* of the write that it refused last; 0: none */
    struct engine_stats stats;
};

/* Where a shard is in `shards`. */
static inline uint32_t engine_slot_of(const struct engine *e, uint32_t shard)
{
    return shard == SHARD_META ? e->shard_count : shard;
}

/* The only one of its group, on node 1: where the options say nothing else. */
static inline uint64_t engine_default_replica(uint32_t shard)
{
    return (UINT64_C(1) << 32) | (shard + 1);
}

/* "dir/shards/g5.2.mdb"; mem_free. */
char *engine_store_path(const struct engine *e, uint32_t shard, uint64_t generation);
void engine_unlink_store(const char *path); /* and its lock file; not there: no effect */

/* The quota has refused a write, and still has no room for it. */
bool engine_is_over_quota(const struct engine *e);
/* Room in memory, in the log and on the disk, for what is about to be proposed and not to be seen without
 * it. Room on the disk is taken: a proposal follows, or the next look at the space gives it back. */
enum err engine_reserve(struct engine *e, size_t bytes, bool only_deletes, const char **ret_limit,
                        uint64_t *ret_value) MUST_CHECK;
/* Whether entries of so many bytes may come from a leader. */
bool engine_accepts(struct engine *e, size_t bytes);
/* How much of a shard's log may stay in memory for its peers. */
struct group_keep engine_keep(const struct engine *e, const struct shard *s);
/* Opening: engine_open.c, engine_shards.c */
enum err engine_explain(char detail[ENGINE_DETAIL_BYTES], enum err err, const char *where,
                        const char *what);
enum err engine_open_shards(struct engine *e, const struct wal_recovery *r,
                            const struct engine_options *o,
                            char detail[ENGINE_DETAIL_BYTES]) MUST_CHECK;
/* In its slot, and not yet started. */
struct shard *engine_make_shard(struct engine *e, uint32_t id, const struct engine_replica *replica,
                                struct store *store, uint64_t generation);

/* Replicas that go: engine_change.c */
void engine_go_on_changing(struct engine *e, uint64_t durable);
void engine_end_changes(struct engine *e);

/* A proposal came, went into the log, or ended. */
void engine_note_proposed(struct engine *e, size_t bytes);
void engine_note_logged(struct engine *e, size_t bytes);
void engine_note_ended(struct engine *e, size_t bytes);
void engine_note_entry(struct engine *e, uint32_t batches, size_t bytes);

/* Starts a checkpoint of every shard that is due. */
void engine_checkpoint_due(struct engine *e);
void engine_watch_space(struct engine *e);
void engine_trim_memory(struct engine *e);

/* Ends the process: data that was durable cannot be read back, or the disk failed. */
_Noreturn void engine_stop_corrupt(struct engine *e, uint32_t shard, uint64_t index);
const char *engine_reason(enum err err,
                          int reason); /* of errno `reason`, where the system gave one */
_Noreturn void engine_stop_io(const struct shard *s, enum err err, int reason, const char *what);

#endif
