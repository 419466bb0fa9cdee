/* A turn: one request runs against one actor and ends as one batch and one reply.
 *
 * An operation reads rows with turn_get and turn_scan and stages writes. Where it needs rows that
 * are not in memory it gets ERR_COLD and returns it; the driver (actor.c) reads what was asked for
 * and runs the operation again from the start, on a turn that has staged nothing. Nothing else
 * enters the actor meanwhile: the input gate. So an operation must not do anything that cannot be
 * done again, and it asks for all it knows it will need before it gives up (turn_want).
 *
 * Reads see, newest first: what this turn staged, the actor's rows (uncommitted ones included),
 * storage. */
#ifndef ACTOR_TURN_H
#define ACTOR_TURN_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/meta.h"
#include "actor/request.h"
#include "actor/row_set.h"
#include "actor/scan.h"
#include "actor/watch.h"
#include "base/buf.h"
#include "storage/batch.h"
#include "storage/keyspace.h"

struct actor;

enum {
    TURN_MAGIC = 0x7475726e,
    TURN_WANTS_MAX = 512,      /* rows asked for in one go: a txn of 128 operations and its own */
    TURN_BYTES_MAX = 16 << 20, /* of keys and values that one turn writes (API section 3) */
};

#define ACTOR_BYTES_MAX (UINT64_C(10) << 30) /* of its keys and values */

/* A row that was asked for. */
struct want {
    enum row_kind kind;
    struct slice key; /* borrowed from the turn */
};

struct turn {
    uint32_t magic;
    struct actor *actor;
    struct request *request;
    uint64_t log_time_ms; /* of this run */

    /* What this run has done so far */
    struct row_set staged;
    struct meta meta;
    uint64_t version; /* of the batch; 0 while nothing is written */
    bool touches;     /* the batch changes the actor: its meta row goes along */
    bool has_due;     /* the batch changes rows of the index of due times */
    bool drops;       /* the actor goes with all that it held before this turn */
    uint64_t number;  /* the actor's, or the one it is born with; 0: none yet */
    struct buf ops;   /* the batch as far as it is built: rows of the shard */
    struct batch_builder builder;

    /* What it could not go on without */
    struct buf wants; /* kind, length of the key, key: turn_next_want */
    uint32_t want_count;
    struct scan *scans; /* in the order in which the operation asks for them */
    uint32_t scan_count;
    uint32_t scan_next; /* the next turn_scan of this run is the n-th */
};

void turn_init(struct turn *t, struct actor *a, struct request *r);
void turn_reset(struct turn *t);   /* a new run: what was staged goes, what was read stays */
void turn_discard(struct turn *t); /* what was staged goes, the reply stays */
void turn_done(struct turn *t);

/* Runs the request's operation under its idempotency key. ERR_COLD: read what is wanted, run again.
 * ERR_OK: the reply is complete, and what is staged is to be committed with it. */
enum err turn_run(struct turn *t) MUST_CHECK;

/* Whether there is anything to commit. */
static inline bool turn_writes(const struct turn *t)
{
    return t->version != 0;
}

/* Whether the batch takes rows away and adds none but what is kept beside the actor. */
bool turn_only_deletes(const struct turn *t);

/* An upper bound of the bytes of the batch, for the reservation before it is built. */
size_t turn_bytes(const struct turn *t);

/* Moves what is staged into the actor's rows and builds the batch. ERR_TOO_LARGE: the turn is as
 * after turn_discard. */
enum err turn_seal(struct turn *t, struct buf *ret_batch) MUST_CHECK;

/* ERR_OK with the row, or NULL where it is absent; ERR_COLD. Borrowed until the turn writes. */
enum err turn_get(struct turn *t, enum row_kind kind, struct slice key,
                  const struct row **ret_row) MUST_CHECK;

/* Asks for a row ahead, so that one read fetches all. */
void turn_want(struct turn *t, enum row_kind kind, struct slice key);

/* What this run asked for, in that order: `rest` begins as buf_slice(&t->wants). False at the end. */
bool turn_next_want(struct slice *rest, struct want *ret_want);

/* The version of this turn's batch: taken at the first call, and from then on the turn writes. */
uint64_t turn_version(struct turn *t);

/* What watchers will hear of this turn once it is durable. The events take references of their own. */
size_t turn_event_count(const struct turn *t);
void turn_take_events(const struct turn *t, struct watch_event *ret_events);

/* The row's key in storage. False where the actor holds nothing there. */
bool turn_storage_key(const struct actor *a, uint8_t kind, struct slice key,
                      struct row_key *ret_key);

/* Stages a row of the actor; the value gets a reference of the turn. */
void turn_put(struct turn *t, enum row_kind kind, struct slice key, struct bytes *value);
void turn_delete(struct turn *t, enum row_kind kind, struct slice key);

/* A key of the actor, counted in its meta row. `old` is what turn_get gave for it. */
enum err turn_put_key(struct turn *t, struct slice key, const struct row *old,
                      struct bytes *value) MUST_CHECK;
void turn_delete_key(struct turn *t, struct slice key, const struct row *old);

/* The shard's index of due times (storage/keyspace.h); `kind` is TIMER or STEP. */
void turn_put_due(struct turn *t, uint64_t due_ms, enum row_kind kind, struct slice name);
void turn_delete_due(struct turn *t, uint64_t due_ms, enum row_kind kind, struct slice name);
/* A due row that an actor left behind when it was dropped; `number` was its. */
void turn_forget_due(struct turn *t, uint64_t number, uint64_t due_ms, enum row_kind kind,
                     struct slice name);

/* Everything of the actor goes but its idempotency records. */
void turn_drop_actor(struct turn *t);

/* Rows of a kind with keys in [low, high), high without an end where it is empty. Items come through
 * scan_next (actor/scan.h); a cursor is good until the turn writes. */
enum err turn_scan(struct turn *t, const struct scan_range *range,
                   struct scan_cursor *ret_cursor) MUST_CHECK;

/* What storage gave for the last scan was hidden by what the turn staged: more of it is wanted.
 * Always ERR_COLD. */
enum err turn_scan_further(struct turn *t) MUST_CHECK;

#endif
