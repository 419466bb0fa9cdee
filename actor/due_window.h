/* A due window: the nearest due rows of one shard, so that a million dormant timers are rows and no
 * memory.
 *
 *         due rows of the shard, in key order (that is, by time)
 *     |x x x x x x x x x x x x x x|. . . . . . . . . . . . . . .
 *      in the window               ^ edge: nothing is known of what stands there or beyond;
 *                                    the empty key: the window holds all rows
 *
 *            due_window_take            _hold
 *     WAITING --------------> TAKEN -----------> HELD until a time (a heap of the scheduler)
 *        ^  ^                   |                  |
 *        |  +--- _release ------+                  |
 *        +--------- _release ----------------------+
 *
 * Batches that became durable are told in their order: _put and _delete keep the window equal to the
 * rows below the edge. A page read from storage moves the edge on. Only WAITING entries count as
 * near: where those run out the next page is wanted, so entries that are held off cannot keep later
 * ones from their turn. When the window is full its last waiting entry goes, and the edge with it.
 *
 * A page is no snapshot: it is merged in parts, and batches go on meanwhile. What they did from the
 * page's start on is noted and done again on top of it.
 *
 * Pure: no clock, no storage. */
#ifndef ACTOR_DUE_WINDOW_H
#define ACTOR_DUE_WINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/tree.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/heap.h"
#include "base/slice.h"
#include "storage/keyspace.h"

enum {
    DUE_WINDOW_NEAR_MAX = 1000, /* waiting entries */
    DUE_WINDOW_NEAR_LOW = 250,  /* fewer, and rows beyond the edge: a page is wanted */
    DUE_WINDOW_ALL_MAX = 16 * 1000,
    DUE_WINDOW_NOTED_BYTES_MAX = 256 * 1024,
};

enum due_stage { DUE_WAITING, DUE_TAKEN, DUE_HELD };

struct due_entry {
    RB_ENTRY(due_entry) node;
    enum due_stage stage;
    struct identity identity; /* of the actor, from the row */
    struct heap_node held;    /* the scheduler's heap while HELD; key: monotonic ms */
    void *owner;              /* the scheduler's */
    uint16_t key_len;
    uint8_t key[]; /* of the DUE row */
};

RB_HEAD(due_tree, due_entry);

struct due_window {
    struct due_tree waiting;
    struct due_tree others; /* taken and held */
    size_t waiting_count;
    size_t others_count;
    struct row_key edge;
    bool is_paging;    /* a page is being read ... */
    bool page_is_void; /* ... for nothing: the edge has moved, or too much was noted */
    struct buf noted;  /* puts and deletes since, in order */
    void *owner;       /* for the entries */
    struct heap *held; /* entries leave it when they go */
};

/* Nothing is known yet: the edge is before the first row. */
void due_window_init(struct due_window *w, struct heap *held, void *owner);
void due_window_done(struct due_window *w);

static inline struct slice due_entry_key(const struct due_entry *e)
{
    return slice_of(e->key, e->key_len);
}

uint64_t due_entry_ms(const struct due_entry *e);

/* What a durable batch did, or a page showed. A row that is there already changes nothing. */
void due_window_put(struct due_window *w, struct slice key, const struct identity *identity);
void due_window_delete(struct due_window *w, struct slice key);

/* A page of at most due_window_room rows from the edge on. */
bool due_window_wants_page(const struct due_window *w);
size_t due_window_room(const struct due_window *w);
void due_window_begin_page(struct due_window *w);
/* The page was read up to before `edge`, to the end of all where that is empty. True: its rows are
 * to be put now, then end_page. False: it came to nothing, one is wanted anew. */
bool due_window_take_page(struct due_window *w, const struct row_key *edge);
void due_window_end_page(struct due_window *w);
void due_window_drop_page(struct due_window *w); /* it could not be read */

/* NULL: none. Borrowed until the window changes. */
struct due_entry *due_window_first(struct due_window *w);
struct due_entry *due_window_find(struct due_window *w, struct slice key);

void due_window_take(struct due_window *w, struct due_entry *e);
void due_window_hold(struct due_window *w, struct due_entry *e, uint64_t until_mono_ms);
void due_window_release(struct due_window *w, struct due_entry *e);

#endif
