/* A shard's rows as a test believes them to be: a sorted array, searched from its start. Slow, and
 * too simple to be wrong. */
#ifndef TESTS_LIB_ROW_MODEL_H
#define TESTS_LIB_ROW_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/invariant.h"
#include "storage/keyspace.h"

enum { MODEL_ROWS_MAX = 4096, MODEL_NUMBERS_MAX = 4096 };

struct model_row {
    struct row_key key;
    uint64_t version;
    uint32_t value; /* the payload */
    bool deleted;   /* for levels that keep tombstones */
};

struct model {
    struct model_row rows[MODEL_ROWS_MAX];
    size_t count;
    bool dropped[MODEL_NUMBERS_MAX];
};

/* Position of the first row with a key not below this one. */
static inline size_t model_seek(const struct model *m, struct slice key)
{
    size_t i = 0;
    while (i < m->count && slice_compare(row_key_slice(&m->rows[i].key), key) < 0) {
        i++;
    }
    return i;
}

static inline bool model_has(const struct model *m, size_t i, struct slice key)
{
    return i < m->count && slice_equal(row_key_slice(&m->rows[i].key), key);
}

static inline void model_write(struct model *m, const struct model_row *row)
{
    size_t i = model_seek(m, row_key_slice(&row->key));
    if (!model_has(m, i, row_key_slice(&row->key))) {
        INVARIANT(m->count < MODEL_ROWS_MAX);
        memmove(&m->rows[i + 1], &m->rows[i], (m->count - i) * sizeof m->rows[0]);
        m->count++;
    }
    m->rows[i] = *row;
}

static inline void model_erase(struct model *m, struct slice key)
{
    size_t i = model_seek(m, key);
    if (model_has(m, i, key)) {
        m->count--;
        memmove(&m->rows[i], &m->rows[i + 1], (m->count - i) * sizeof m->rows[0]);
    }
}

static inline void model_drop(struct model *m, uint64_t number)
{
    size_t kept = 0;
    for (size_t i = 0; i < m->count; i++) {
        if (row_key_number_of(row_key_slice(&m->rows[i].key)) != number) {
            m->rows[kept++] = m->rows[i];
        }
    }
    m->count = kept;
    m->dropped[number] = true;
}

#endif
