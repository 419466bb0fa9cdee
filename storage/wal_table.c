#include "storage/wal_table.h"

#include "base/invariant.h"
#include "base/mem.h"

#define MEMBER_OF(map_entry) CONTAINER_OF(map_entry, struct wal_member, node)

static void member_free(struct wal_member *m)
{
    buf_done(&m->configuration);
    mem_free(m);
}

static struct map_node *any(const struct wal_table *t)
{
    return t->members.count == 0 ? NULL : map_first(&t->members);
}

void wal_table_done(struct wal_table *t)
{
    for (struct map_node *n; (n = any(t)) != NULL;) {
        map_remove(&t->members, n);
        member_free(MEMBER_OF(n));
    }
    map_done(&t->members);
    *t = (struct wal_table){0};
}

static void set_snapshot(struct wal_member *m, struct wal_snapshot s)
{
    buf_clear(&m->configuration);
    buf_append_slice(&m->configuration, s.configuration);
    m->snapshot = s;
    m->snapshot.configuration = buf_slice(&m->configuration);
}

static struct wal_member *add(struct wal_table *t, uint32_t group, uint64_t replica)
{
    struct wal_member *m = MEM_NEW(struct wal_member);
    m->group = group;
    m->replica = replica;
    map_add(&t->members, &m->node, wal_group_hash(group));
    return m;
}

void wal_table_copy(struct wal_table *to, const struct wal_table *from)
{
    PRE(to->members.count == 0);
    to->floor = from->floor;
    MAP_FOREACH (n, &from->members) {
        const struct wal_member *m = MEMBER_OF(n);
        struct wal_member *copy = add(to, m->group, m->replica);
        copy->term = m->term;
        copy->vote = m->vote;
        set_snapshot(copy, m->snapshot);
    }
}

struct wal_member *wal_table_find(const struct wal_table *t, uint32_t group)
{
    struct map_node *n = map_find(&t->members, wal_group_hash(group));
    for (; n != NULL; n = map_next_same(n)) {
        if (MEMBER_OF(n)->group == group) {
            return MEMBER_OF(n);
        }
    }
    return NULL;
}

static void drop(struct wal_table *t, struct wal_member *m)
{
    map_remove(&t->members, &m->node);
    member_free(m);
}

static enum wal_effect create(struct wal_table *t, struct wal_member *m, const struct wal_record *r)
{
    if (m != NULL && m->replica == r->replica) {
        return WAL_EFFECT_NONE;
    }
    if (m != NULL) {
        drop(t, m);
    }
    (void)add(t, r->group, r->replica);
    return WAL_EFFECT_APPLIED;
}

static void raise_floor(struct wal_table *t, uint64_t segment)
{
    t->floor = segment > t->floor ? segment : t->floor;
}

enum wal_effect wal_table_apply(struct wal_table *t, const struct wal_record *r)
{
    if (r->kind == WAL_TABLE || r->kind == WAL_FLOOR) {
        raise_floor(t, r->index);
        return WAL_EFFECT_APPLIED;
    }
    struct wal_member *m = wal_table_find(t, r->group);
    if (r->kind == WAL_CREATE) {
        return create(t, m, r);
    }
    if (m == NULL || m->replica != r->replica) {
        return WAL_EFFECT_NONE;
    }
    switch (r->kind) {
    case WAL_REMOVE:
        drop(t, m);
        break;
    case WAL_TERM:
        m->term = r->term;
        m->vote = r->vote;
        break;
    case WAL_SNAPSHOT:
    case WAL_INSTALL:
        set_snapshot(m, (struct wal_snapshot){.index = r->index,
                                              .term = r->term,
                                              .configuration_index = r->configuration_index,
                                              .configuration = r->data});
        break;
    case WAL_ENTRY:
    case WAL_COPY:
    case WAL_TRUNCATE:
        break;
    case WAL_TABLE:
    case WAL_CREATE:
    case WAL_FLOOR:
    case WAL_KIND_COUNT:
        UNREACHABLE();
    }
    return WAL_EFFECT_APPLIED;
}

/* One record, or its size alone where there is no `to`. */
static size_t put(struct buf *to, const struct wal_record *r)
{
    size_t bytes = wal_record_bytes(r);
    if (to != NULL) {
        uint8_t *data = wal_record_encode(buf_extend(to, bytes), r);
        if (r->data.len > 0) {
            memcpy(data, r->data.data, r->data.len);
        }
    }
    return bytes;
}

static size_t put_member(struct buf *to, const struct wal_member *m, uint64_t *count)
{
    struct wal_record create = {.kind = WAL_CREATE, .group = m->group, .replica = m->replica};
    struct wal_record term = create;
    term.kind = WAL_TERM;
    term.term = m->term;
    term.vote = m->vote;
    size_t bytes = put(to, &create) + put(to, &term);
    *count += 2;
    if (m->snapshot.index > 0) {
        struct wal_record snapshot = create;
        snapshot.kind = WAL_SNAPSHOT;
        snapshot.index = m->snapshot.index;
        snapshot.term = m->snapshot.term;
        snapshot.configuration_index = m->snapshot.configuration_index;
        snapshot.data = m->snapshot.configuration;
        bytes += put(to, &snapshot);
        *count += 1;
    }
    return bytes;
}

static size_t put_all(const struct wal_table *t, struct buf *to)
{
    struct wal_record head = {.kind = WAL_TABLE, .index = t->floor};
    size_t head_at = to != NULL ? to->len : 0;
    size_t bytes = put(to, &head);
    MAP_FOREACH (n, &t->members) {
        bytes += put_member(to, MEMBER_OF(n), &head.term);
    }
    if (to != NULL) {
        (void)wal_record_encode(to->data + head_at, &head); /* now it knows how many follow */
    }
    return bytes;
}

void wal_table_encode(const struct wal_table *t, struct buf *to)
{
    (void)put_all(t, to);
}

size_t wal_table_bytes(const struct wal_table *t)
{
    return put_all(t, NULL);
}
