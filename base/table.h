/* A table: finds items by the hash of their keys. Keys stay with the owner, as for a map (base/map.h),
 * but hashes lie here beside each other: that an item is not there is known after one look at memory,
 * and growing looks at no item. Nothing is ever taken out.
 *
 *     struct table_walk w;
 *     for (void *item = table_first(&t, hash, &w); item != NULL; item = table_next(&t, hash, &w))
 *         if (owner's key equals) ...
 */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_slot {
    uint64_t hash;
    void *item; /* NULL: the slot is free */
};

/* An item is in its hash's slot or in one after it, and no slot between the two is free. */
struct table {
    struct table_slot *slots;
    size_t slot_count; /* a power of two, or 0 while empty */
    size_t count;      /* at most two thirds of it */
};

struct table_walk {
    size_t at;
};

void table_done(struct table *t);                           /* items stay with their owners */
void table_add(struct table *t, uint64_t hash, void *item); /* equal hashes may coexist */

/* The next item with this hash from where the walk stands. */
static inline void *table_next(const struct table *t, uint64_t hash, struct table_walk *w)
{
    for (;;) {
        const struct table_slot *slot = &t->slots[w->at & (t->slot_count - 1)];
        if (slot->item == NULL) {
            return NULL;
        }
        w->at++;
        if (slot->hash == hash) {
            return slot->item;
        }
    }
}

static inline void *table_first(const struct table *t, uint64_t hash, struct table_walk *w)
{
    w->at = (size_t)hash;
    return t->slot_count == 0 ? NULL : table_next(t, hash, w);
}

#endif
