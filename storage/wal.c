#include "storage/wal.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/wal_private.h"

#define GROUP_OF(map_entry) CONTAINER_OF(map_entry, struct wal_group, node)

/* Groups */

struct wal_group *wal_group_find(const struct wal *w, uint32_t group)
{
    struct map_node *n = map_find(&w->groups, wal_group_hash(group));
    for (; n != NULL; n = map_next_same(n)) {
        if (GROUP_OF(n)->group == group) {
            return GROUP_OF(n);
        }
    }
    return NULL;
}

static struct wal_group *group_of(const struct wal *w, uint32_t group)
{
    struct wal_group *g = wal_group_find(w, group);
    PRE(g != NULL);
    return g;
}

struct wal_group *wal_group_add(struct wal *w, uint32_t group, uint64_t replica)
{
    struct wal_group *g = MEM_NEW(struct wal_group);
    g->group = group;
    g->replica = replica;
    map_add(&w->groups, &g->node, wal_group_hash(group));
    return g;
}

void wal_group_free(struct wal *w, struct wal_group *g)
{
    LIST_FOREACH (link, &w->queue) {
        wal_batch_forget(LIST_ENTRY(link, struct wal_batch, link), g);
    }
    wal_pins_done(&g->pins, &w->space);
    map_remove(&w->groups, &g->node);
    mem_free(g);
}

/* Batches */

/* Where the frame after the last one known will begin, within its block: a guess, since a batch may
 * yet go to another segment. */
static size_t next_start(const struct wal *w)
{
    if (list_is_empty(&w->queue)) {
        return w->position % WAL_BLOCK_BYTES;
    }
    const struct wal_batch *last = LIST_ENTRY(w->queue.prev, struct wal_batch, link);
    return wal_frame_end(last->start, (uint32_t)last->length) % WAL_BLOCK_BYTES;
}

static struct wal_batch *add_batch(struct wal *w)
{
    struct wal_batch *b = LIST_FIRST(&w->spare, struct wal_batch, link);
    if (b != NULL) {
        list_remove(&b->link);
        w->spare_count--;
    } else {
        b = wal_batch_new();
    }
    wal_batch_reset(b, ++w->next_batch, next_start(w));
    list_append(&w->queue, &b->link);
    return b;
}

/* The last of the queue, unless `bytes` more would make it too large for one write. */
struct wal_batch *wal_open_batch(struct wal *w, size_t bytes)
{
    if (list_is_empty(&w->queue)) {
        return add_batch(w);
    }
    struct wal_batch *last = LIST_ENTRY(w->queue.prev, struct wal_batch, link);
    bool fits = last->length == 0 || last->length + bytes <= w->flush_bytes_max;
    return fits ? last : add_batch(w);
}

/* Appending */

uint64_t wal_append(struct wal *w, const struct wal_record *r, uint8_t **ret_data)
{
    size_t bytes = wal_record_bytes(r);
    struct wal_batch *b = wal_open_batch(w, bytes);
    uint8_t *data = wal_batch_add(b, r);
    if (ret_data != NULL) {
        *ret_data = data;
    } else if (r->data.len > 0) {
        memcpy(data, r->data.data, r->data.len);
    }
    b->last_record = ++w->last_record;
    w->queued_bytes += bytes;
    w->stats.records++;
    return w->last_record;
}

static struct wal_record record_of(const struct wal_group *g, enum wal_kind kind)
{
    return (struct wal_record){.kind = kind, .group = g->group, .replica = g->replica};
}

uint64_t wal_create_replica(struct wal *w, uint32_t group, uint64_t replica)
{
    PRE(wal_group_find(w, group) == NULL);
    struct wal_record r = record_of(wal_group_add(w, group, replica), WAL_CREATE);
    return wal_append(w, &r, NULL);
}

uint64_t wal_remove_replica(struct wal *w, uint32_t group)
{
    struct wal_group *g = group_of(w, group);
    struct wal_record r = record_of(g, WAL_REMOVE);
    wal_group_free(w, g);
    return wal_append(w, &r, NULL);
}

bool wal_has_replica(const struct wal *w, uint32_t group)
{
    return wal_group_find(w, group) != NULL;
}

uint64_t wal_term_vote(struct wal *w, uint32_t group, uint64_t term, uint64_t vote)
{
    struct wal_record r = record_of(group_of(w, group), WAL_TERM);
    r.term = term;
    r.vote = vote;
    return wal_append(w, &r, NULL);
}

static uint64_t append_entry(struct wal *w, struct wal_group *g, struct wal_record *r,
                             const struct slice *parts, size_t part_count)
{
    size_t len = 0;
    for (size_t i = 0; i < part_count; i++) {
        len += parts[i].len;
    }
    PRE(r->index > 0);
    PRE(len <= wal_data_bytes_max(w));

    uint8_t *at;
    r->data = slice_of(NULL, len);
    uint64_t number = wal_append(w, r, &at);
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].len > 0) {
            memcpy(at, parts[i].data, parts[i].len);
            at += parts[i].len;
        }
    }
    struct wal_batch *b = LIST_ENTRY(w->queue.prev, struct wal_batch, link);
    wal_batch_touch(b, g, &g->touch_batch, &g->touch_at, r->index, wal_record_bytes(r));
    return number;
}

uint64_t wal_entry(struct wal *w, uint32_t group, uint64_t index, uint64_t term, uint8_t type,
                   const struct slice *parts, size_t part_count)
{
    struct wal_group *g = group_of(w, group);
    PRE(index > g->snapshot_index);
    struct wal_record r = record_of(g, WAL_ENTRY);
    r.index = index;
    r.term = term;
    r.type = type;
    return append_entry(w, g, &r, parts, part_count);
}

/* A run of copies that began right after the snapshot stands for what older segments hold. */
static void note_copy(struct wal *w, struct wal_group *g, uint64_t index)
{
    const struct wal_segment *current = wal_space_current(&w->space);
    if (g->copy_first == 0 || index != g->copy_last + 1) {
        g->copy_first = index;
        g->copy_segment = current != NULL ? current->number : 0;
    }
    g->copy_last = index;
    if (g->copy_first <= g->snapshot_index + 1) {
        wal_pins_copied(&g->pins, &w->space, g->copy_segment, index);
    }
}

uint64_t wal_copy(struct wal *w, uint32_t group, uint64_t index, uint64_t term, uint8_t type,
                  const struct slice *parts, size_t part_count)
{
    struct wal_group *g = group_of(w, group);
    PRE(index > g->snapshot_index);
    struct wal_record r = record_of(g, WAL_COPY);
    r.index = index;
    r.term = term;
    r.type = type;
    uint64_t number = append_entry(w, g, &r, parts, part_count);
    note_copy(w, g, index);
    return number;
}

/* The group's entries from `from_index` on hold no segment any more: what takes them away is in the
 * log before any record that lets a segment go. */
static void let_go_from(struct wal *w, struct wal_group *g, uint64_t from_index)
{
    wal_pins_cut(&g->pins, from_index);
    wal_pins_cover(&g->pins, &w->space, g->snapshot_index);
    LIST_FOREACH (link, &w->queue) {
        wal_batch_cut(LIST_ENTRY(link, struct wal_batch, link), g, from_index);
    }
    if (g->copy_last >= from_index) {
        g->copy_first = 0;
    }
}

uint64_t wal_truncate(struct wal *w, uint32_t group, uint64_t from_index)
{
    struct wal_group *g = group_of(w, group);
    PRE(from_index > g->snapshot_index);
    let_go_from(w, g, from_index);
    struct wal_record r = record_of(g, WAL_TRUNCATE);
    r.index = from_index;
    return wal_append(w, &r, NULL);
}

static uint64_t append_snapshot(struct wal *w, const struct wal_group *g, enum wal_kind kind,
                                const struct wal_snapshot *snapshot)
{
    struct wal_record r = record_of(g, kind);
    PRE(snapshot->configuration.len <= w->control_bytes / 2);
    r.index = snapshot->index;
    r.term = snapshot->term;
    r.configuration_index = snapshot->configuration_index;
    r.data = snapshot->configuration;
    return wal_append(w, &r, NULL);
}

uint64_t wal_snapshot(struct wal *w, uint32_t group, const struct wal_snapshot *snapshot)
{
    struct wal_group *g = group_of(w, group);
    PRE(snapshot->index > 0 && snapshot->index >= g->snapshot_index);
    g->snapshot_index = snapshot->index;
    wal_pins_cover(&g->pins, &w->space, snapshot->index);
    return append_snapshot(w, g, WAL_SNAPSHOT, snapshot);
}

uint64_t wal_install(struct wal *w, uint32_t group, const struct wal_snapshot *snapshot)
{
    struct wal_group *g = group_of(w, group);
    PRE(snapshot->index > 0 && snapshot->index >= g->snapshot_index);
    g->snapshot_index = snapshot->index;
    let_go_from(w, g, 1);
    return append_snapshot(w, g, WAL_INSTALL, snapshot);
}

/* Space */

size_t wal_data_bytes_max(const struct wal *w)
{
    size_t taken = w->table_bytes + w->control_bytes;
    size_t segment = (size_t)w->options.segment_bytes;
    return segment > taken ? segment - taken : 0;
}

enum err wal_reserve(struct wal *w, size_t bytes)
{
    const struct wal_segment *current = wal_space_current(&w->space);
    uint64_t need = wal_frame_bytes_max(w->queued_bytes + bytes) + w->control_bytes;
    uint64_t room = current != NULL ? current->bytes - w->position : 0;
    if (w->queued_bytes + bytes > WAL_QUEUE_BYTES_MAX && w->queued_bytes > 0) {
        return ERR_OVERLOADED;
    }
    if (w->is_stuck) {
        return ERR_STORAGE_FULL;
    }
    if (need <= room) {
        return ERR_OK;
    }
    /* The last free slot is for the records that free space; a new log begins while its second one
     * is still being made. */
    size_t slots = wal_space_free_slots(&w->space, w->durable_record);
    slots += current == NULL && slots == 1 && w->wants_slot && !w->is_full;
    if (slots >= 2 && need <= wal_data_bytes_max(w)) {
        return ERR_OK; /* all of it fits into one, whatever the current segment still takes */
    }
    wal_want_slots(w);
    bool comes_soon = (w->wants_slot && !w->is_full) || w->space.slot_count > slots;
    return comes_soon ? ERR_OVERLOADED : ERR_STORAGE_FULL;
}

static uint64_t bytes_of(const struct wal_pins *p)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < p->count; i++) {
        bytes += p->at[i].bytes;
    }
    return bytes;
}

size_t wal_pinned(const struct wal *w, struct wal_holder *ret_holders, size_t cap)
{
    size_t count = 0;
    if (w->space.segment_count < 2) {
        return 0;
    }
    uint64_t oldest = w->space.segments[0].number;
    MAP_FOREACH (n, &w->groups) {
        const struct wal_group *g = GROUP_OF(n);
        if (count < cap && g->pins.count > 0 && g->pins.at[0].segment == oldest) {
            ret_holders[count++] = (struct wal_holder){.group = g->group,
                                                       .oldest_segment = oldest,
                                                       .max_index = g->pins.at[0].max_index,
                                                       .bytes = g->pins.at[0].bytes,
                                                       .bytes_all = bytes_of(&g->pins)};
        }
    }
    return count;
}

struct wal_stats wal_stats(const struct wal *w)
{
    struct wal_stats s = w->stats;
    for (size_t i = 0; i < w->space.segment_count; i++) {
        s.retained_bytes += w->space.segments[i].bytes;
    }
    s.segments = (uint32_t)w->space.segment_count;
    s.free_slots = (uint32_t)wal_space_free_slots(&w->space, w->durable_record);
    s.total_bytes = w->space.total_bytes;
    s.budget_bytes = w->options.budget_bytes;
    s.queued_bytes = w->queued_bytes;
    s.is_full = w->is_full || w->is_stuck;
    return s;
}

bool wal_is_direct(const struct wal *w)
{
    return w->is_direct;
}
