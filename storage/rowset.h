/* A rowset: rows copied out of where they were read, in the order they were added. It owns them.
 *
 * Zero-initialised is empty and valid. Keys are whole row keys. Slices that come out are valid until
 * the next add, clear or done. */
#ifndef STORAGE_ROWSET_H
#define STORAGE_ROWSET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/slice.h"

struct rowset_row {
    size_t at; /* in the bytes: key, then payload */
    uint64_t version;
    uint32_t payload_len;
    uint16_t key_len;
    bool present; /* false: this key was asked for and has no row */
};

struct rowset {
    struct buf bytes;
    struct rowset_row *rows;
    size_t count;
    size_t cap;
};

void rowset_add(struct rowset *s, struct slice key, uint64_t version, struct slice payload);
void rowset_add_absent(struct rowset *s, struct slice key);
void rowset_clear(struct rowset *s); /* keeps the memory */
void rowset_done(struct rowset *s);
struct rowset rowset_take(struct rowset *from); /* moves the rows out; `from` is empty then */

static inline struct slice rowset_key(const struct rowset *s, size_t i)
{
    return slice_of(s->bytes.data + s->rows[i].at, s->rows[i].key_len);
}

static inline struct slice rowset_payload(const struct rowset *s, size_t i)
{
    const struct rowset_row *row = &s->rows[i];
    return slice_of(s->bytes.data + row->at + row->key_len, row->payload_len);
}

#endif
