/* An overlay: the rows of one shard that are committed and not yet checkpointed.
 *
 *     key = number | kind | rest --hash--> row
 *     actor number               --hash--> actor --> its rows as they came, and in order
 *
 * A row is a payload or a tombstone; `dropped` on an actor hides all that lies below, in the frozen
 * overlay and in LMDB, as well as what this overlay held of it. Ops on a dropped number change
 * nothing: it never comes back.
 *
 * Most rows are written, found by their key and checkpointed: nobody on the worker asks for their
 * order. So a row is loose until somebody does; a large actor has few loose rows, and bringing them
 * in is short.
 *
 * One overlay at a time is active and changed by its worker. Once frozen (storage/shard_state.h) its
 * rows are immutable until freed, so the store thread may read them, in the order of its own sorting,
 * while the worker does, and brings them into its own. Its memory comes from an arena: overwritten
 * payloads are reused where the new one fits and otherwise stay until the overlay goes, which
 * `overlay_bytes` shows and the freeze bounds. */
#ifndef STORAGE_OVERLAY_H
#define STORAGE_OVERLAY_H

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "base/slice.h"
#include "base/table.h"
#include "storage/arena.h"
#include "storage/keyspace.h"
#include "storage/rows.h"

enum { OVERLAY_LOOSE_MAX = 1024 }; /* of one actor: then the oldest is brought in when one comes */

struct overlay_row {
    RB_ENTRY(overlay_row) link; /* worker, once the row is not loose */
    struct overlay_row *newer;  /* of the same actor */
    uint64_t
        prefix; /* first 8 bytes of kind | rest: decides most comparisons without touching it */
    uint64_t version;
    uint8_t *payload;
    uint32_t payload_len;
    uint32_t payload_cap;
    uint16_t key_len;
    bool deleted;  /* a tombstone */
    uint8_t key[]; /* number | kind | rest */
};

RB_HEAD(overlay_tree, overlay_row);

struct overlay_actor {
    struct map_node
        node; /* hash: the number; numbers are counted up, so they spread by themselves */
    uint64_t number;
    bool dropped;
    struct overlay_row
        *oldest; /* of its rows; those it had when it was dropped are not among them */
    struct overlay_row *newest;
    size_t row_count;

    /* worker */
    struct overlay_row
        *loose; /* the oldest that is not in the tree; those after it are not either */
    size_t loose_count;
    struct overlay_tree rows;
};

struct overlay {
    struct arena arena;
    struct map actors;
    struct table by_key;    /* rows, those of dropped actors too */
    struct applied applied; /* starts as that of the overlay or store below */
    uint64_t row_count;     /* tombstones included, and rows hidden by a later drop */
    uint64_t drop_count;
    uint64_t oldest_ms; /* when the first op came, by the caller's clock; 0: empty */
};

enum overlay_answer { OVERLAY_ABSENT, OVERLAY_FOUND, OVERLAY_DELETED };

struct overlay *overlay_new(const struct applied *below);
void overlay_free(struct overlay *o); /* NULL is fine */

/* Applies one entry (storage/batch.h) and moves the applied index, which must grow. A malformed
 * entry, or one that names an actor number not yet given (batch_header.born), is ERR_CORRUPT or
 * ERR_FORMAT and changes nothing. */
enum err overlay_apply_entry(struct overlay *o, struct slice entry, uint64_t index, uint64_t term,
                             uint64_t now_ms) MUST_CHECK;
/* One batch of it; the index stays. Likewise all or nothing. */
enum err overlay_apply_batch(struct overlay *o, struct slice batch, uint64_t now_ms) MUST_CHECK;

size_t overlay_bytes(const struct overlay *o);
bool overlay_is_empty(const struct overlay *o); /* no row and no drop; the index may have moved */

/* `key` is a whole row key. What comes back is borrowed until the overlay changes or goes. */
enum overlay_answer overlay_get(const struct overlay *o, struct slice key,
                                const struct overlay_row **ret_row);
bool overlay_is_dropped(const struct overlay *o, uint64_t number);
bool overlay_has_actor(const struct overlay *o, uint64_t number); /* any row or a drop of it */

/* Rows of one actor in key order, tombstones included; NULL at the end. `key` is kind | rest and
 * may be empty. Borrowed like the above. Next and prev go on from a row that came from here. */
const struct overlay_row *overlay_seek(struct overlay *o, uint64_t number,
                                       struct slice key); /* first with key >= this */
const struct overlay_row *overlay_seek_below(struct overlay *o, uint64_t number,
                                             struct slice key); /* last with key < this */
const struct overlay_row *overlay_last(struct overlay *o, uint64_t number);
const struct overlay_row *overlay_next(const struct overlay_row *row);
const struct overlay_row *overlay_prev(const struct overlay_row *row);

static inline struct slice overlay_row_whole_key(const struct overlay_row *row)
{
    return slice_of(row->key, row->key_len);
}

static inline struct slice overlay_row_key(const struct overlay_row *row) /* kind | rest */
{
    return slice_skip(overlay_row_whole_key(row), ROW_KEY_NUMBER_BYTES);
}

static inline struct slice overlay_row_payload(const struct overlay_row *row)
{
    return slice_of(row->payload, row->payload_len);
}

/* For the checkpoint, on the store thread too: all actors by ascending number, all rows of one of them
 * in key order. Free the arrays with mem_free. */
const struct overlay_actor **overlay_sorted_actors(const struct overlay *o, size_t *ret_count);
const struct overlay_row **overlay_sorted_rows(const struct overlay_actor *actor);

#endif
