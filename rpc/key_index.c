#include "rpc/key_index.h"

#include "base/invariant.h"
#include "base/map.h"
#include "base/mem.h"

static struct slice key_at(const struct key_index *ix, size_t i)
{
    return slice_of(ix->doc + ix->keys[i].at, ix->keys[i].len);
}

/* The slot that holds the key, or the free one where it belongs. */
static size_t slot_of(const struct key_index *ix, struct slice key)
{
    size_t mask = ix->slot_count - 1;
    size_t slot = (size_t)hash_of(key) & mask;
    while (ix->slots[slot] != 0 && !slice_equal(key_at(ix, ix->slots[slot] - 1), key)) {
        slot = (slot + 1) & mask;
    }
    return slot;
}

int64_t key_index_find(const struct key_index *ix, struct slice key)
{
    return (int64_t)ix->slots[slot_of(ix, key)] - 1;
}

bool key_index_init(struct key_index *ix, const uint8_t *doc, const struct key_place *keys,
                    size_t count)
{
    PRE(count < UINT32_MAX / 2);

    *ix = (struct key_index){.doc = doc, .keys = keys, .slot_count = 2};
    while (ix->slot_count < 2 * count) {
        ix->slot_count *= 2;
    }
    ix->slots = mem_zalloc(ix->slot_count * sizeof *ix->slots);
    for (size_t i = 0; i < count; i++) {
        size_t slot = slot_of(ix, key_at(ix, i));
        if (ix->slots[slot] != 0) {
            return false;
        }
        ix->slots[slot] = (uint32_t)(i + 1);
    }
    return true;
}

void key_index_done(struct key_index *ix)
{
    mem_free(ix->slots);
    *ix = (struct key_index){0};
}
