#include "base/table.h"

#include "base/invariant.h"
#include "base/mem.h"

enum { TABLE_FIRST_SLOTS = 16 };

static void put(struct table *t, uint64_t hash, void *item)
{
    size_t at = (size_t)hash;
    while (t->slots[at & (t->slot_count - 1)].item != NULL) {
        at++;
    }
    t->slots[at & (t->slot_count - 1)] = (struct table_slot){.hash = hash, .item = item};
}

static void grow(struct table *t)
{
    struct table wider = {
        .slot_count = t->slot_count != 0 ? t->slot_count * 2 : TABLE_FIRST_SLOTS,
        .count = t->count,
    };
    wider.slots = mem_zalloc(wider.slot_count * sizeof *wider.slots);
    for (size_t i = 0; i < t->slot_count; i++) {
        if (t->slots[i].item != NULL) {
            put(&wider, t->slots[i].hash, t->slots[i].item);
        }
    }
    mem_free(t->slots);
    *t = wider;
}

void table_done(struct table *t)
{
    mem_free(t->slots);
    *t = (struct table){0};
}

void table_add(struct table *t, uint64_t hash, void *item)
{
    PRE(item != NULL);
    if (t->count + 1 > t->slot_count / 3 * 2) {
        grow(t);
    }
    put(t, hash, item);
    t->count++;
}
