/* An index over the keys of one map: finds a key, and the one that is there twice, in linear time
 * whatever the client chose (the hash is keyed once per process).
 *
 * Keys are places in a document, 8 bytes each, so that a map of a million short keys stays cheap. */
#ifndef RPC_KEY_INDEX_H
#define RPC_KEY_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct key_place {
    uint32_t at; /* of the string's first byte in the document */
    uint32_t len;
};

struct key_index {
    const uint8_t *doc;
    const struct key_place *keys; /* the caller's */
    uint32_t *slots;              /* place of a key + 1; 0: free */
    size_t slot_count;            /* a power of two */
};

/* The position of the key in `keys`, or -1. */
int64_t key_index_find(const struct key_index *ix, struct slice key);

/* False where a key is there twice; the index is to be released all the same. */
bool key_index_init(struct key_index *ix, const uint8_t *doc, const struct key_place *keys,
                    size_t count);
void key_index_done(struct key_index *ix);

#endif
