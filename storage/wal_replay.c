#include "storage/wal_replay.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"

enum { ENTRIES_FIRST = 64 };

#define LOG_OF(map_entry) CONTAINER_OF(map_entry, struct wal_log, node)

/* Entries */

static enum err push(struct wal_entries *e, const struct wal_entry *entry)
{
    if (e->count == e->cap) {
        size_t cap = e->cap != 0 ? e->cap * 2 : ENTRIES_FIRST;
        struct wal_entry *grown = mem_try_realloc(e->at, cap * sizeof *grown);
        if (grown == NULL) {
            return ERR_NO_MEMORY;
        }
        e->at = grown;
        e->cap = cap;
    }
    e->at[e->count++] = *entry;
    return ERR_OK;
}

/* The position of the first entry whose index is not below. */
static size_t position_of(const struct wal_entries *e, uint64_t index)
{
    size_t low = 0;
    size_t high = e->count;
    if (high > 0 && e->at[high - 1].index < index) {
        return high; /* nearly always */
    }
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (e->at[middle].index < index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static void cut_from(struct wal_entries *e, uint64_t index)
{
    e->count = position_of(e, index);
}

static void drop_first(struct wal_entries *e, size_t n)
{
    if (n > 0) {
        e->count -= n;
        memmove(e->at, e->at + n, e->count * sizeof *e->at);
    }
}

static void entries_done(struct wal_entries *e)
{
    mem_free(e->at);
    *e = (struct wal_entries){0};
}

static enum err add_entry(struct wal_log *log, const struct wal_entry *entry)
{
    size_t at = position_of(&log->entries, entry->index);
    if (at < log->entries.count) {
        struct wal_entry *old = &log->entries.at[at];
        if (old->index == entry->index && old->term == entry->term) {
            *old = *entry;
            return ERR_OK;
        }
        log->entries.count = at;
        cut_from(&log->copies, entry->index);
    }
    return push(&log->entries, entry);
}

static enum err add_copy(struct wal_log *log, const struct wal_entry *entry)
{
    struct wal_entries *copies = &log->copies;
    size_t at = position_of(copies, entry->index);
    if (at < copies->count && copies->at[at].index == entry->index) {
        copies->at[at] = *entry;
        return ERR_OK;
    }
    enum err err = push(copies, entry);
    if (err == ERR_OK && at < copies->count - 1) {
        memmove(copies->at + at + 1, copies->at + at, (copies->count - 1 - at) * sizeof *entry);
        copies->at[at] = *entry;
    }
    return err;
}

/* Logs */

static struct wal_log *log_find(const struct wal_replay *r, uint32_t group)
{
    struct map_node *n = map_find(&r->logs, wal_group_hash(group));
    for (; n != NULL; n = map_next_same(n)) {
        if (LOG_OF(n)->group == group) {
            return LOG_OF(n);
        }
    }
    return NULL;
}

static struct wal_log *log_make(struct wal_replay *r, uint32_t group)
{
    struct wal_log *log = log_find(r, group);
    if (log == NULL) {
        log = MEM_NEW(struct wal_log);
        log->group = group;
        map_add(&r->logs, &log->node, wal_group_hash(group));
    }
    return log;
}

static void log_free(struct wal_replay *r, struct wal_log *log)
{
    if (log != NULL) {
        map_remove(&r->logs, &log->node);
        entries_done(&log->entries);
        entries_done(&log->copies);
        mem_free(log);
    }
}

void wal_replay_done(struct wal_replay *r)
{
    while (r->logs.count > 0) {
        log_free(r, LOG_OF(map_first(&r->logs)));
    }
    map_done(&r->logs);
    wal_table_done(&r->table);
    *r = (struct wal_replay){0};
}

/* Entries that a snapshot covers go when they are the larger part: a long log of short-lived entries
 * does not pile up in memory. */
static void trim(struct wal_log *log, uint64_t snapshot_index)
{
    size_t covered = position_of(&log->entries, snapshot_index + 1);
    if (covered > log->entries.count / 2) {
        drop_first(&log->entries, covered);
    }
}

static enum err add(struct wal_replay *r, const struct wal_record *record, uint32_t segment)
{
    const struct wal_member *m = wal_table_find(&r->table, record->group);
    if (record->index <= m->snapshot.index) {
        return ERR_OK;
    }
    struct wal_entry entry = {.index = record->index,
                              .term = record->term,
                              .data = record->data,
                              .segment = segment,
                              .type = record->type};
    struct wal_log *log = log_make(r, record->group);
    return record->kind == WAL_COPY ? add_copy(log, &entry) : add_entry(log, &entry);
}

static enum err apply(struct wal_replay *r, const struct wal_record *record, uint32_t segment)
{
    if (wal_table_apply(&r->table, record) == WAL_EFFECT_NONE) {
        return ERR_OK;
    }
    struct wal_log *log;
    switch (record->kind) {
    case WAL_ENTRY:
    case WAL_COPY:
        return add(r, record, segment);
    case WAL_CREATE:
    case WAL_REMOVE:
    case WAL_INSTALL:
        log_free(r, log_find(r, record->group));
        break;
    case WAL_TRUNCATE:
        log = log_make(r, record->group);
        cut_from(&log->entries, record->index);
        cut_from(&log->copies, record->index);
        break;
    case WAL_SNAPSHOT:
        trim(log_make(r, record->group), record->index);
        break;
    case WAL_TABLE:
    case WAL_TERM:
    case WAL_FLOOR:
        break;
    case WAL_KIND_COUNT:
        UNREACHABLE();
    }
    return ERR_OK;
}

/* Tables */

/* A record of a later segment's table must repeat what the records before it have led to. */
static bool repeats(const struct wal_table *t, const struct wal_record *record)
{
    const struct wal_member *m = wal_table_find(t, record->group);
    if (m == NULL || m->replica != record->replica) {
        return false;
    }
    switch (record->kind) {
    case WAL_CREATE:
        return true;
    case WAL_TERM:
        return m->term == record->term && m->vote == record->vote;
    case WAL_SNAPSHOT:
        return m->snapshot.index == record->index && m->snapshot.term == record->term &&
               m->snapshot.configuration_index == record->configuration_index &&
               slice_equal(m->snapshot.configuration, record->data);
    case WAL_TABLE:
    case WAL_REMOVE:
    case WAL_ENTRY:
    case WAL_COPY:
    case WAL_TRUNCATE:
    case WAL_INSTALL:
    case WAL_FLOOR:
        return false;
    case WAL_KIND_COUNT:
        break;
    }
    UNREACHABLE();
}

static enum err read_table(struct wal_replay *r, struct slice *rest, uint32_t segment,
                           const char **ret_reason)
{
    struct wal_record record;
    *ret_reason = "a segment does not begin with its table";
    if (wal_record_decode(rest, &record) != ERR_OK || record.kind != WAL_TABLE) {
        return ERR_CORRUPT;
    }
    enum err err = apply(r, &record, segment);
    size_t members = 0;
    *ret_reason = "the table of a segment contradicts what was read before it";
    for (uint64_t left = record.term; err == ERR_OK && left > 0; left--) {
        if (wal_record_decode(rest, &record) != ERR_OK || record.kind == WAL_TABLE) {
            return ERR_CORRUPT;
        }
        members += record.kind == WAL_CREATE;
        if (r->has_begun && !repeats(&r->table, &record)) {
            return ERR_CORRUPT;
        }
        err = apply(r, &record, segment);
    }
    if (err == ERR_OK && members != r->table.members.count) {
        return ERR_CORRUPT;
    }
    r->has_begun = true;
    return err;
}

enum err wal_replay_frame(struct wal_replay *r, struct slice payload, uint32_t segment,
                          bool opens_segment, const char **ret_reason)
{
    PRE(opens_segment || r->has_begun);

    struct slice rest = payload;
    enum err err = opens_segment ? read_table(r, &rest, segment, ret_reason) : ERR_OK;
    while (err == ERR_OK && rest.len > 0) {
        struct wal_record record;
        if (wal_record_decode(&rest, &record) != ERR_OK || record.kind == WAL_TABLE) {
            *ret_reason = "a frame holds what is not a record";
            return ERR_CORRUPT;
        }
        err = apply(r, &record, segment);
    }
    return err;
}

/* The end */

/* Copies fill what the log lost with its oldest segments. Where both have an entry the copy counts:
 * its segment is the later one. */
static enum err merge_copies(struct wal_log *log)
{
    struct wal_entries merged = {0};
    const struct wal_entries *from[2] = {&log->copies, &log->entries};
    size_t at[2] = {0, 0};
    enum err err = ERR_OK;
    while (err == ERR_OK && (at[0] < from[0]->count || at[1] < from[1]->count)) {
        bool takes_copy = at[0] < from[0]->count;
        bool takes_entry = at[1] < from[1]->count;
        if (takes_copy && takes_entry) {
            uint64_t copy = from[0]->at[at[0]].index;
            uint64_t entry = from[1]->at[at[1]].index;
            takes_copy = copy <= entry;
            takes_entry = entry <= copy;
        }
        err = push(&merged, takes_copy ? &from[0]->at[at[0]] : &from[1]->at[at[1]]);
        at[0] += takes_copy;
        at[1] += takes_entry;
    }
    entries_done(&log->copies);
    entries_done(&log->entries);
    log->entries = merged;
    return err;
}

enum err wal_replay_finish(struct wal_replay *r, const char **ret_reason)
{
    MAP_FOREACH (n, &r->logs) {
        struct wal_log *log = LOG_OF(n);
        const struct wal_member *m = wal_table_find(&r->table, log->group);
        INVARIANT(m != NULL);
        enum err err = log->copies.count > 0 ? merge_copies(log) : ERR_OK;
        if (err != ERR_OK) {
            *ret_reason = "memory is exhausted";
            return err;
        }
        drop_first(&log->entries, position_of(&log->entries, m->snapshot.index + 1));
        for (size_t i = 0; i < log->entries.count; i++) {
            if (log->entries.at[i].index != m->snapshot.index + 1 + i) {
                *ret_reason = "the entries of a group have a gap";
                return ERR_CORRUPT;
            }
        }
    }
    return ERR_OK;
}

const struct wal_entry *wal_replay_entries(const struct wal_replay *r, uint32_t group,
                                           size_t *ret_count)
{
    const struct wal_log *log = log_find(r, group);
    *ret_count = log != NULL ? log->entries.count : 0;
    return log != NULL ? log->entries.at : NULL;
}
