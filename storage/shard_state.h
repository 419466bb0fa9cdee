/* What a worker holds of one shard's rows in memory: the levels above LMDB.
 *
 *     writes --> active --freeze--> frozen --checkpoint done--> (in LMDB, freed)
 *
 * Invariants
 *   - at most one overlay is frozen; it does not change until its checkpoint is done or the state
 *     is replaced, and only the store thread's checkpoint reads it meanwhile, besides the worker;
 *   - durable <= frozen <= active in index, version, number and log time;
 *   - the epoch grows whenever rows leave memory: what was read from LMDB in an older epoch may lack
 *     them and must be read again (storage/view.h).
 *
 * The caller decides when to freeze, and never beyond what its own log has stored; a checkpoint that
 * failed for want of space is simply written again. Everything here belongs to the worker. */
#ifndef STORAGE_SHARD_STATE_H
#define STORAGE_SHARD_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "storage/overlay.h"
#include "storage/rows.h"

enum {
    FREEZE_AGE_MS = 2000,
    FREEZE_BYTES = 16 << 20,
    FREEZE_ROWS = 100 * 1000, /* LMDB spills a transaction of over 131 071 dirty pages */
};

struct shard_state {
    struct overlay *active;
    struct overlay *frozen; /* NULL: none */
    struct applied durable; /* of the last checkpoint done */
    uint64_t epoch;
};

void shard_state_init(struct shard_state *s, const struct applied *durable); /* of store_applied */
void shard_state_done(struct shard_state *s);

/* Applies a committed entry. One that the state has already (index <= applied) is skipped: after a
 * restart the log comes again. */
enum err shard_state_apply(struct shard_state *s, struct slice entry, uint64_t index, uint64_t term,
                           uint64_t now_ms) MUST_CHECK;

static inline const struct applied *shard_state_applied(const struct shard_state *s)
{
    return &s->active->applied;
}

size_t shard_state_bytes(const struct shard_state *s);

/* Nothing is frozen, and the active overlay is large, long or old enough. An overlay without rows
 * is frozen only when the caller wants the log behind its barriers to go. */
bool shard_state_wants_freeze(const struct shard_state *s, uint64_t now_ms);

/* The active overlay becomes the frozen one; nothing may be frozen yet. Borrowed until one of the
 * two below. */
const struct overlay *shard_state_freeze(struct shard_state *s);
void shard_state_checkpoint_done(struct shard_state *s); /* the frozen one is in LMDB, synced */
/* Another file has taken the store's place (a snapshot): memory goes, `durable` is its state. The
 * store thread must not be at work on the frozen overlay. */
void shard_state_replace(struct shard_state *s, const struct applied *durable);

#endif
