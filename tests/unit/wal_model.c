#include "tests/unit/wal_model.h"

#include "base/invariant.h"
#include "base/slice.h"

void model_data(uint32_t group, uint64_t index, uint64_t term, uint32_t len, struct buf *to)
{
    uint64_t x = index * 1000003 + term * 31 + group;
    for (uint32_t i = 0; i < len; i++) {
        x = x * UINT64_C(6364136223846793005) + 1442695040888963407U;
        buf_append_byte(to, (uint8_t)(x >> 56));
    }
}

void model_apply(struct model *m, const struct model_op *op)
{
    struct model_group *g = &m->groups[op->group];
    switch (op->kind) {
    case MODEL_CREATE:
        *g = (struct model_group){.replica = op->index};
        break;
    case MODEL_REMOVE:
        *g = (struct model_group){0};
        break;
    case MODEL_TERM:
        g->term = op->term;
        g->vote = op->vote;
        break;
    case MODEL_ENTRY:
        INVARIANT(op->index == g->last + 1);
        g->last = op->index;
        *model_entry(g, op->index) = (struct model_entry){.term = op->term, .len = op->len};
        break;
    case MODEL_COPY:
        break;
    case MODEL_TRUNCATE:
        g->last = op->index - 1;
        break;
    case MODEL_SNAPSHOT:
    case MODEL_INSTALL:
        g->snapshot_index = op->index;
        g->snapshot_term = op->term;
        if (op->kind == MODEL_INSTALL || g->last < op->index) {
            g->last = op->index;
        }
        break;
    }
}

static uint64_t append_entry(struct wal *w, const struct model_op *op)
{
    struct buf data = {0};
    model_data(op->group, op->index, op->term, op->len, &data);
    struct slice whole = buf_slice(&data);
    size_t half = whole.len / 2;
    struct slice parts[2] = {slice_of(whole.data, half),
                             slice_of(whole.data + half, whole.len - half)};
    uint64_t number = (op->kind == MODEL_COPY ? wal_copy : wal_entry)(w, op->group, op->index,
                                                                      op->term, 1, parts, 2);
    buf_done(&data);
    return number;
}

uint64_t model_append(struct wal *w, const struct model_op *op)
{
    struct wal_snapshot s = {.index = op->index,
                             .term = op->term,
                             .configuration_index = op->index / 2,
                             .configuration = SLICE("voters")};
    switch (op->kind) {
    case MODEL_CREATE:
        return wal_create_replica(w, op->group, op->index);
    case MODEL_REMOVE:
        return wal_remove_replica(w, op->group);
    case MODEL_TERM:
        return wal_term_vote(w, op->group, op->term, op->vote);
    case MODEL_ENTRY:
    case MODEL_COPY:
        return append_entry(w, op);
    case MODEL_TRUNCATE:
        return wal_truncate(w, op->group, op->index);
    case MODEL_SNAPSHOT:
        return wal_snapshot(w, op->group, &s);
    case MODEL_INSTALL:
        return wal_install(w, op->group, &s);
    }
    UNREACHABLE();
}

void model_state(const struct model *m, struct buf *to)
{
    for (uint32_t i = 0; i < MODEL_GROUPS; i++) {
        struct model_group g = m->groups[i];
        if (g.replica == 0) {
            continue;
        }
        buf_printf(to, "group %u replica %llu term %llu vote %llu snapshot %llu/%llu/%llu '%s'\n",
                   i, (unsigned long long)g.replica, (unsigned long long)g.term,
                   (unsigned long long)g.vote, (unsigned long long)g.snapshot_index,
                   (unsigned long long)g.snapshot_term, (unsigned long long)g.snapshot_index / 2,
                   g.snapshot_index > 0 ? "voters" : "");
        for (uint64_t index = g.snapshot_index + 1; index <= g.last; index++) {
            const struct model_entry *e = model_entry(&g, index);
            buf_printf(to, "%llu/%llu/1 ", (unsigned long long)index, (unsigned long long)e->term);
            model_data(i, index, e->term, e->len, to);
        }
    }
}
