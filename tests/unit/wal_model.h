/* What a WAL must hold, kept in the plainest way: the oracle of the power-loss harness.
 *
 * An operation is applied to the model when it is appended; `model_state` prints a model as
 * wal_state_append prints a recovery, so the two can be compared as bytes. */
#ifndef TESTS_UNIT_WAL_MODEL_H
#define TESTS_UNIT_WAL_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "storage/wal.h"

enum { MODEL_GROUPS = 4, MODEL_ENTRIES_MAX = 256 };

struct model_entry {
    uint64_t term;
    uint32_t len;
};

struct model_group {
    uint64_t replica; /* 0: is not there */
    uint64_t term;
    uint64_t vote;
    uint64_t snapshot_index;
    uint64_t snapshot_term;
    uint64_t last;
    struct model_entry entries[MODEL_ENTRIES_MAX]; /* by index modulo */
};

struct model {
    struct model_group groups[MODEL_GROUPS];
};

enum model_kind {
    MODEL_CREATE,
    MODEL_REMOVE,
    MODEL_TERM,
    MODEL_ENTRY,
    MODEL_COPY,
    MODEL_TRUNCATE,
    MODEL_SNAPSHOT,
    MODEL_INSTALL,
};

struct model_op {
    uint64_t number; /* of its record */
    enum model_kind kind;
    uint32_t group;
    uint64_t index; /* CREATE: the replica */
    uint64_t term;
    uint64_t vote;
    uint32_t len;
};

void model_apply(struct model *m, const struct model_op *op);
uint64_t model_append(struct wal *w, const struct model_op *op); /* the same to the log */
void model_state(const struct model *m, struct buf *to);

/* The contents of an entry follow from what it is. */
void model_data(uint32_t group, uint64_t index, uint64_t term, uint32_t len, struct buf *to);

static inline struct model_entry *model_entry(struct model_group *g, uint64_t index)
{
    return &g->entries[index % MODEL_ENTRIES_MAX];
}

#endif
