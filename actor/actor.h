/* An actor that is awake: its rows in memory, its mailbox, and the two gates (DESIGN section 4).
 *
 *            a request     the directory row and first rows are read
 *     ABSENT ------------> LOADING ------------------------------------------> IDLE <-----+
 *       ^                     |                                               |          |
 *       +---- a read failed --+                                               |          |
 *                     mailbox: the first request runs and ends in one go  <---+          |
 *                     ... or needs rows that are not in memory               v          |
 *                                                                          READING ------+
 *     IDLE, nothing gated, unused for 10 s or memory short  ------> freed (hibernated)
 *     leadership of the shard lost, in any state            ------> freed, outcome unknown
 *
 * Input gate: while LOADING or READING no other request enters. Output gate: a reply waits until
 * every proposal that was made when its turn ended is durable, and, where the turn only read, until the
 * shard is proven to have led still after it; replies leave in that order. Turns themselves run ahead
 * of durability on the actor's own rows.
 *
 * A thousand requests may have waited for the same rows, or the same batch: they run, and their replies
 * leave, a slice at a time, so that other actors have their turns in between.
 *
 * Invariants
 *   - committed <= proposed; a request in `gated` has gate <= proposed, and waits for its gate, for its
 *     proof, or for one before it.
 *   - READING implies a turn; one turn at a time.
 *   - no turn runs before the load has come to its end: an actor whose rows could not be read is not
 *     taken for one that holds nothing. Its requests fail, the next one tries again.
 *   - the actor is freed only with an empty mailbox and nothing gated, or by actor_depose. */
#ifndef ACTOR_ACTOR_H
#define ACTOR_ACTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/meta.h"
#include "actor/request.h"
#include "actor/row_set.h"
#include "actor/turn.h"
#include "actor/watch.h"
#include "base/address.h"
#include "base/list.h"
#include "base/map.h"
#include "storage/shard.h"

struct registry;

enum actor_state { ACTOR_ABSENT, ACTOR_LOADING, ACTOR_IDLE, ACTOR_READING, ACTOR_STATE_COUNT };

enum {
    ACTOR_MAGIC = 0x61637401,
    MAILBOX_REQUESTS_MAX = 1024, /* waiting for one actor; more are ERR_OVERLOADED */
    GATED_REQUESTS_MAX = 4096,   /* answered and not yet durable */
    ACTOR_TRIM_BYTES = 64 << 10, /* of rows: less is not worth forgetting */
    ACTOR_SLICE = 256,           /* turns and replies in one go, or what costs as much ... */
    ACTOR_SLICE_BYTES = 256,     /* ... as these bytes of a reply, each a further one */
};

struct actor {
    uint32_t magic;
    enum actor_state state;
    struct map_node by_identity; /* registry.actors */
    struct list by_use;          /* registry.by_use: least recently used first */
    struct list unfinished;      /* registry.unfinished, or alone */
    struct registry *registry;
    struct shard *shard;

    struct identity identity;
    struct address address; /* unknown, and address_text NULL, where nobody has told it yet */
    struct bytes *address_text;
    uint64_t number; /* in storage; 0: it holds nothing */
    bool is_whole;   /* all its rows are in `rows` */
    struct row_set rows;
    struct meta meta;
    uint64_t durable_version; /* of the last batch that is durable; 0: none since it was woken */
    uint64_t last_version;    /* of its newest batch, durable or not; grows across its deletion */

    struct list mailbox;
    uint32_t mailbox_count;
    struct turn *turn; /* the one that runs or waits for rows; NULL: none */
    struct list gated;
    uint32_t gated_count;
    uint64_t proposed;   /* batches handed to the shard */
    uint64_t committed;  /* of these, durable */
    struct list commits; /* the batches themselves, in order */

    struct list reads;   /* storage reads under way, for the turn or the load */
    enum err read_err;   /* the first of the turn's that failed */
    struct watch watch;  /* recent events */
    bool waits_to_drain; /* the scans of the turn wait for committed == proposed */
    bool is_running;     /* inside a turn, further up the stack */
    bool is_visit;       /* read for its description only: it counts as hibernated */
    bool wants_sleep;    /* hibernate as soon as idle */
    uint64_t used_ms;
    size_t noted_bytes; /* of memory, as counted in the registry */
};

struct actor *actor_new(struct registry *registry, struct shard *shard, const struct request *r);

/* `text` holds the slices of `address`; no effect where the address is known, or `text` NULL. */
void actor_set_address(struct actor *a, struct bytes *text, const struct address *address);

/* Takes the request; it runs now or when its turn comes. ERR_OVERLOADED where the mailbox is full:
 * then it is still the caller's. */
enum err actor_submit(struct actor *a, struct request *r) MUST_CHECK;

/* Takes a request back out that waits for its turn, or whose turn waits for rows: its time is over or
 * its client is gone, and nothing was done for it. False where it is GATED: then the reply comes
 * through `done` as usual. The caller runs the actor afterwards. */
bool actor_withdraw(struct actor *a, struct request *r);
/* Likewise one that is GATED: what it wrote stays written. */
void actor_abandon(struct actor *a, struct request *r);

/* What can run now does, up to a slice of it; with the rest the registry has it go on. */
void actor_run(struct actor *a);
void actor_on_loaded(struct actor *a, enum err err); /* its first rows are here */
void actor_on_rows(struct actor *a);                 /* what the turn waits for is here */

bool actor_is_idle(const struct actor *a); /* nothing loads, runs, waits, is gated or watches */
void actor_free(struct actor *a);          /* must be idle */

/* The shard is not ours any more: all requests get their errors, the actor is freed. */
void actor_depose(struct actor *a);

/* Forgets what storage has; it is read again when it is wanted. No effect while a turn is under way. */
void actor_trim(struct actor *a);

size_t actor_memory_bytes(const struct actor *a);
size_t actor_part_count(const struct actor *a); /* rows and events: each is freed by itself */

#endif
