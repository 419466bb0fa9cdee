/* A shard: its Raft group, its rows in memory and on disk, and the batches on their way into it.
 *
 *     shard_propose -> collected -> one entry of the group -> WAL -> applied -> proposal->done
 *                      (while one entry is in flight the next collects: the group commit)
 *
 * The actor layer above takes versions, numbers and log time from the shard it leads, reserves room,
 * and proposes; it reads rows from memory with shard_peek and from the store with shard_read.
 *
 * A shard leads or follows. One that follows applies, checkpoints and lets go of its log like the one
 * that leads; it takes no proposals. One that is deposed ends them all: those of the entry that was on
 * its way as ERR_OUTCOME_UNKNOWN, those that no entry held yet as ERR_NOT_OWNER, which never happened.
 *
 * Everything here belongs to the worker; storage/engine.h owns the shards and their helper threads.
 *
 * Invariants
 *   - proposals end in the order in which they were made.
 *   - a proposal ends with ERR_OK only when its batch is durable on a majority and applied.
 *   - versions and numbers that were taken are never taken again, used or not. */
#ifndef STORAGE_SHARD_H
#define STORAGE_SHARD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/list.h"
#include "base/slice.h"
#include "storage/group.h"
#include "storage/job_thread.h"
#include "storage/rows.h"
#include "storage/view.h"

struct shard;
struct engine;

enum {
    SHARD_QUEUE_BYTES_MAX = 32 << 20, /* proposed and not yet applied; more is ERR_OVERLOADED */
    SHARD_HELD_BYTES_MAX = 64 << 20,  /* of the log, for a snapshot that is on its way */
    SHARD_VERSION_BITS = 53,          /* versions are exact in a double */
};

/* The id of the shard that holds no actors but the cluster's own records: the meta group. */
#define SHARD_META UINT32_MAX

struct proposal {
    struct list link;
    struct buf batch; /* the proposer's, until done */
    bool is_logged;   /* the shard's: an entry has it, so it may happen whoever leads then */
    /* ERR_OK, ERR_OUTCOME_UNKNOWN, or ERR_NOT_OWNER: nothing was done */
    void (*done)(struct proposal *p, enum err err);
};

/* What the layer above wants to hear. */
struct shard_hooks {
    void (*lead)(void *ctx, struct shard *s);   /* it may be used from now on */
    void (*depose)(void *ctx, struct shard *s); /* proposals and proofs end after this */
    /* Records of SHARD_META have changed, or a copy of another replica's store has taken their place.
     * May be NULL. */
    void (*meta_applied)(void *ctx, struct shard *s);

    /* Of groups with other replicas; may be NULL where there are none. A message is borrowed for the
     * call and may be lost; it goes to engine_receive of the node of `to`. */
    void (*send)(void *ctx, struct shard *s, uint64_t to, struct slice message);
    /* The replica needs a copy of the store, of this index or later: shard_offer and shard_install.
     * Said again and again until it has one. */
    void (*wants_snapshot)(void *ctx, struct shard *s, uint64_t to, uint64_t index);
    /* Each command that is applied here, for tests; may be NULL. */
    void (*applied)(void *ctx, struct shard *s, const struct group_entry *entry);
};

uint32_t shard_id(const struct shard *s); /* SHARD_META: the cluster's own */
bool shard_is_leading(const struct shard *s);
uint32_t shard_owner_node(const struct shard *s); /* the node that leads it; 0: none is known */
uint64_t shard_replica(const struct shard *s);    /* this one */

/* Whose rows shard_read reads: all entries up to this one. Borrowed until the loop goes on. */
const struct applied *shard_applied(const struct shard *s);

/* Leader only. */
uint64_t shard_take_version(struct shard *s);
uint64_t shard_take_number(struct shard *s);
uint64_t shard_log_time_ms(struct shard *s);

/* Whether `bytes` more may be proposed now. ERR_OVERLOADED or ERR_STORAGE_FULL, and why: the name of
 * the limit that was met (static text) and its value. What only deletes is not refused for a store
 * that is full. */
enum err shard_reserve(struct shard *s, size_t bytes, bool only_deletes, const char **ret_limit,
                       uint64_t *ret_value) MUST_CHECK;
void shard_propose(struct shard *s, struct proposal *p);

enum shard_row { SHARD_ROW_FOUND, SHARD_ROW_ABSENT, SHARD_ROW_COLD };

/* A row from the part of the shard that is in memory; COLD: ask shard_read. The payload is borrowed
 * until the loop goes on. */
enum shard_row shard_peek(const struct shard *s, struct slice key, struct slice *ret_payload,
                          uint64_t *ret_version);

/* A read of rows that may be on disk. `job` is begun by the caller (storage/view.h) and holds the
 * result afterwards. */
struct shard_read {
    struct read_job job;
    void (*done)(struct shard_read *rd, enum err err);
    void *user;
    struct shard *shard; /* the rest is the shard's */
    struct job running;
};

/* ERR_OK: answered from memory, `done` is not called. ERR_COLD: `done` will be called from the loop,
 * once. Then and there too: ERR_CORRUPT, a row fails its checks; ERR_OVERLOADED, too many reads wait;
 * ERR_CLOSED, the node stops. */
enum err shard_read(struct shard *s, struct shard_read *rd) MUST_CHECK;

/* Proof that what this shard has applied is the newest state: that it led still after the call. True: it
 * is proven now, one voter always is. Else `done` comes once, from the loop: ERR_OK, or ERR_NOT_OWNER
 * where the shard was deposed. Leader only. */
struct shard_proof {
    struct list link;
    void (*done)(struct shard_proof *p, enum err err);
    void *user;
    uint64_t read; /* the shard's */
};
bool shard_prove(struct shard *s, struct shard_proof *p) MUST_CHECK;

/* Members of the shard's group, asked of its leader: group.h says what comes back. */
enum err shard_assign(struct shard *s, uint64_t replica, enum group_role role) MUST_CHECK;
enum err shard_remove(struct shard *s, uint64_t replica) MUST_CHECK;
enum err shard_transfer(struct shard *s, uint64_t replica) MUST_CHECK; /* 0: to any voter */
bool shard_is_transferring(const struct shard *s);
bool shard_is_changing(const struct shard *s); /* its members */
/* As of the newest configuration that is committed. */
size_t shard_peers(const struct shard *s, struct group_peer ret_peers[GROUP_MEMBERS_MAX]);

/* Snapshots. shard_copy makes a copy of the leader's store, as of one of its transactions. shard_offer makes the message that goes with it, to shard_install of
 * the other replica. ERR_NOT_OWNER: not the leader any more. ERR_NOT_FOUND: the copy is too old by now.
 *
 * `path` is a file beside the stores (engine_store_dir), whole; shard_install takes it, durably. `done`
 * comes once, from the loop: ERR_OK where it took the store's place, or was not needed; ERR_CORRUPT,
 * ERR_FORMAT: it is not the copy of the offer; ERR_CLOSED; or the disk's error. One at a time
 * (ERR_BUSY). */
struct shard_copy {
    void (*done)(struct shard_copy *c, enum err err); /* once, from the loop */
    void *user;
    char *path; /* the caller's: where it is made, beside the stores (engine_store_dir) */

    struct applied applied; /* of the copy */
    uint64_t bytes;
    struct shard *shard; /* the rest is the shard's */
    struct job running;
    enum err err;
    int reason;
};
/* ERR_BUSY: the store is being replaced, or opened again; ERR_OVERLOADED. */
enum err shard_copy(struct shard *s, struct shard_copy *c) MUST_CHECK;
/* While it is held the log keeps what is newer than the copy, so that the copy is of use when it has
 * arrived; up to SHARD_HELD_BYTES_MAX of it. */
void shard_hold_log(struct shard *s);
void shard_release_log(struct shard *s);
enum err shard_offer(struct shard *s, uint64_t to, const struct applied *applied,
                     struct buf *ret_message) MUST_CHECK;

struct shard_install {
    void (*done)(struct shard_install *i, enum err err);
    void *user;
    uint64_t from;      /* replica */
    struct buf message; /* the offer; freed by the shard, with the next */
    char *path;

    struct shard *shard; /* the rest is the shard's */
    struct job running;
    struct store *store; /* of the file, until it is the shard's */
    struct applied applied;
    uint64_t generation;
    bool is_taken;
    bool is_logged;
    bool swaps;
    bool wants_erasing;
    enum err err;
    int reason; /* errno of it */
};
enum err shard_install(struct shard *s, struct shard_install *i) MUST_CHECK;

/* For metrics and /admin */
struct shard_status {
    uint64_t applied;
    uint64_t last;    /* index in the log */
    uint64_t durable; /* checkpointed */
    uint64_t version;
    uint64_t actors;     /* stored, awake or not */
    size_t memory_bytes; /* of rows not yet checkpointed */
    size_t queued_bytes;
    size_t log_bytes; /* of entries in memory, for peers */
    uint64_t term;
    bool leading;
};
void shard_status(const struct shard *s, struct shard_status *ret_status);

#endif
