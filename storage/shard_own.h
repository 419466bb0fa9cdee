/* The inside of a shard: for shard*.c and engine*.c alone. All fields belong to the worker. */
#ifndef STORAGE_SHARD_OWN_H
#define STORAGE_SHARD_OWN_H

#include "base/heap.h"
#include "storage/checkpoint.h"
#include "storage/group.h"
#include "storage/job_thread.h"
#include "storage/log_clock.h"
#include "storage/shard.h"
#include "storage/shard_state.h"
#include "storage/store.h"

enum { SHARD_MAGIC = 0x73686401 };

struct shard {
    uint32_t magic;
    uint32_t id;
    bool is_leaving; /* this node, or it has left */
    uint64_t replica;
    struct engine *engine;
    struct group *group;
    struct heap_node due; /* in engine->due */
    struct store *store;  /* store thread: writes; reader thread: its read, and its replacement */
    uint64_t generation;  /* of its file */
    struct shard_state state; /* rows in memory */

    /* As leader */
    uint64_t version; /* last one taken */
    uint64_t number;  /* last one taken */
    struct log_clock clock;

    struct list queued;       /* proposals that no entry holds yet, in order */
    struct list in_flight;    /* those of the one entry that is on its way */
    uint64_t in_flight_index; /* of that entry; 0: none */
    uint64_t in_flight_term;
    uint64_t in_flight_ns; /* when it was proposed */
    bool transfer_waits;   /* for that entry, so that nobody has to wonder what became of it */
    uint64_t transfer_to;
    size_t queued_bytes; /* of both lists */
    struct list dirty;   /* in engine->dirty while there is something to submit or to ask */
    struct list proofs;  /* that wait, by the number of their read */
    struct list logging; /* in engine->logging while a record of its is not yet durable: ... */
    uint64_t logged;     /* ... up to this one */

    size_t kept_bytes;             /* of entries in memory, as the engine has counted it */
    struct shard_install *install; /* NULL: none is under way */
    uint32_t copies;               /* of the store, under way: it stays open */
    uint32_t log_holds;            /* copies whose receivers will want the log after them */

    /* Checkpoint */
    struct job checkpoint; /* on the store thread while `state.frozen` is being written */
    bool checkpoint_runs;
    bool wants_checkpoint;        /* its log is in the way */
    bool wants_erasing;           /* rows of dropped actors are left in the store */
    uint64_t checkpoint_after_ms; /* not before: the disk was full */
    uint64_t compacted;           /* index up to which the log may go already */
    uint64_t file_bytes;          /* of the store, as of the last checkpoint */
    uint64_t used_bytes;          /* of these: they hold rows */
    bool is_full;                 /* the last checkpoint found no room */
    struct job reopen;            /* on the reader thread, while no checkpoint runs */
    bool reopen_runs;
    bool wants_reopen; /* checkpoints have left pages in LMDB's hands */
    bool must_reopen;  /* a checkpoint found no room: before the next one */
    enum err reopen_err;
    int reopen_errno;
    enum err checkpoint_err;
    int checkpoint_errno;
    struct checkpoint_report checkpoint_report;
};

struct shard *shard_new(struct engine *e, uint32_t id, const struct group_options *options,
                        struct store *store, uint64_t generation);
void shard_free(struct shard *s); /* proposals left end as ERR_OUTCOME_UNKNOWN */

/* Continues from what the store and the log hold. Applies; may call the `lead` hook. On an error
 * `ret_reason` is a few words for people. */
enum err shard_start(struct shard *s, const struct group_recovered *recovered, uint64_t now_ms,
                     const char **ret_reason) MUST_CHECK;

/* Where the store holds more than the log has let go: it may go now. */
void shard_compact(struct shard *s);

/* Makes the next entry of what is queued, if none is in flight, and asks for the proofs wanted. */
void shard_flush(struct shard *s);
void shard_mark_dirty(struct shard *s);

/* After every call of the group that may have changed something. */
void shard_after_group(struct shard *s);
enum err shard_receive(struct shard *s, uint64_t from, struct slice message) MUST_CHECK;
void shard_on_durable(struct shard *s, uint64_t sequence);
void shard_tick(struct shard *s);
/* Where it rests and has a member on that node. */
void shard_rouse(struct shard *s, uint32_t node, uint64_t heard_ms);
/* Begins a transfer that waited for the entry in flight, once that is committed. */
void shard_go_on_transferring(struct shard *s);

/* The hooks of the group: shard_peers.c and shard_install.c. `ctx` is the shard. */
void shard_hear_proven(void *ctx, uint64_t read);
bool shard_is_watched(void *ctx, uint64_t replica);
void shard_end_proofs(struct shard *s);
void shard_hear_install(void *ctx, const struct group_snapshot *snapshot);
/* Goes on with a snapshot that waits for a checkpoint to end. */
void shard_go_on_installing(struct shard *s);
bool shard_is_replacing_store(const struct shard *s);  /* no checkpoint may begin */
void shard_end_install(struct shard *s, enum err err); /* none: no effect */

#endif
