/* A row set: what an awake actor has of its own rows in memory, ordered by kind and key.
 *
 * Most rows are only ever found by their key, so they are brought into order when somebody asks for it
 * first: until then a row is loose. In a large set loose rows are few, and bringing them in is short.
 *
 * A row without a value is known to be absent. `whole` says that every row of the actor is here, so
 * that what is not found does not exist. Uncommitted rows are newer than storage: row_set_forget, which
 * makes room, leaves them. */
#ifndef ACTOR_ROW_SET_H
#define ACTOR_ROW_SET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <bsd/sys/tree.h>

#include "base/bytes.h"
#include "base/slice.h"
#include "base/table.h"

enum {
    ROW_SET_FEW = 8,         /* rows are looked through; more of them are hashed */
    ROW_SET_LOOSE_MAX = 256, /* of these the oldest is brought into order when one comes */
};

struct row {
    struct row *newer; /* in the order of their first setting */
    RB_ENTRY(row) node;
    struct bytes *value; /* NULL: absent */
    uint64_t version;
    uint16_t key_len;
    uint8_t kind;
    uint8_t key[];
};

struct row_set {
    struct row *oldest;
    struct row *newest;
    struct row *loose; /* the oldest that is not in the tree; those after it are not either */
    size_t loose_count;
    RB_HEAD(row_tree, row) tree;
    struct table by_key; /* all, where there are more than a few */
    size_t bytes;        /* of memory, values that are shared with others included */
    size_t count;
};

void row_set_init(struct row_set *set);
void row_set_done(struct row_set *set);

/* NULL where nothing is known of the row. Borrowed until the row is set again. */
struct row *row_set_find(const struct row_set *set, uint8_t kind, struct slice key);

/* In order. The first row at or after the key, of whatever kind; NULL: none. A row found otherwise has
 * no next or prev. */
struct row *row_set_at_or_after(struct row_set *set, uint8_t kind, struct slice key);
struct row *row_set_next(struct row *row);
struct row *row_set_prev(struct row *row);
struct row *row_set_first(struct row_set *set);
struct row *row_set_last(struct row_set *set);

/* In the order of their first setting. */
#define ROW_SET_FOREACH(it, set) for (struct row *it = (set)->oldest; it != NULL; it = it->newer)

/* Inserts or overwrites; takes its own reference of `value`, NULL for absent. */
struct row *row_set_set(struct row_set *set, uint8_t kind, struct slice key, struct bytes *value,
                        uint64_t version);

/* Forgets the rows up to this version, known absences among them: storage has them. */
void row_set_forget(struct row_set *set, uint64_t version);

static inline struct slice row_name(const struct row *row)
{
    return slice_of(row->key, row->key_len);
}

#endif
