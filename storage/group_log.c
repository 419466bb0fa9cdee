#include "storage/group_log.h"

#include "base/invariant.h"
#include "base/mem.h"

enum { CAP_FIRST = 16 };

static struct group_item *item_at(const struct group_log *l, size_t i)
{
    return &l->ring[(l->head + i) & (l->cap - 1)];
}

static size_t bytes_of(const struct group_item *item)
{
    return sizeof *item + item->data.cap;
}

static void grow(struct group_log *l)
{
    size_t cap = l->cap != 0 ? l->cap * 2 : CAP_FIRST;
    struct group_item *ring = mem_alloc(cap * sizeof *ring);
    for (size_t i = 0; i < l->count; i++) {
        ring[i] = *item_at(l, i);
    }
    mem_free(l->ring);
    l->ring = ring;
    l->cap = cap;
    l->head = 0;
}

/* A ring that was large for a while gives its memory back when it is empty. */
static void note_empty(struct group_log *l)
{
    INVARIANT(l->bytes == 0);
    l->head = 0;
    if (l->cap > CAP_FIRST) {
        mem_free(l->ring);
        l->ring = NULL;
        l->cap = 0;
    }
}

void group_log_start(struct group_log *l, uint64_t first)
{
    PRE(first > 0);
    group_log_done(l);
    l->first = first;
}

void group_log_done(struct group_log *l)
{
    for (size_t i = 0; i < l->count; i++) {
        buf_done(&item_at(l, i)->data);
    }
    mem_free(l->ring);
    *l = (struct group_log){0};
}

void group_log_append(struct group_log *l, uint64_t term, enum group_entry_type type,
                      struct buf *data, uint64_t sequence)
{
    PRE(l->first > 0 && term > 0);
    if (l->count == l->cap) {
        grow(l);
    }
    const struct group_item *last = l->count > 0 ? item_at(l, l->count - 1) : NULL;
    INVARIANT(last == NULL || (last->term <= term && last->sequence <= sequence));
    struct group_item *item = item_at(l, l->count);
    *item = (struct group_item){
        .term = term, .sequence = sequence, .type = type, .data = buf_take(data)};
    l->count++;
    l->bytes += bytes_of(item);
}

void group_log_truncate(struct group_log *l, uint64_t from_index)
{
    PRE(from_index >= l->first);
    while (group_log_next(l) > from_index) {
        struct group_item *last = item_at(l, l->count - 1);
        l->bytes -= bytes_of(last);
        buf_done(&last->data);
        l->count--;
    }
    if (l->count == 0) {
        note_empty(l);
    }
}

void group_log_drop(struct group_log *l, uint64_t to_index)
{
    while (l->count > 0 && l->first <= to_index) {
        struct group_item *item = item_at(l, 0);
        l->bytes -= bytes_of(item);
        buf_done(&item->data);
        l->head = (l->head + 1) & (l->cap - 1);
        l->count--;
        l->first++;
    }
    if (l->count == 0) {
        l->first = l->first > to_index ? l->first : to_index + 1;
        note_empty(l);
    }
}

const struct group_item *group_log_find(const struct group_log *l, uint64_t index)
{
    return index >= l->first && index < group_log_next(l) ? item_at(l, (size_t)(index - l->first))
                                                          : NULL;
}

struct group_entry group_log_entry(const struct group_log *l, uint64_t index)
{
    const struct group_item *item = group_log_find(l, index);
    PRE(item != NULL);
    return (struct group_entry){
        .index = index, .term = item->term, .type = item->type, .data = buf_slice(&item->data)};
}

uint64_t group_log_tail(const struct group_log *l, uint64_t index, size_t bytes_max)
{
    size_t bytes = 0;
    uint64_t from = index + 1;
    for (const struct group_item *item = group_log_find(l, index); item != NULL;
         item = group_log_find(l, from - 1)) {
        bytes += bytes_of(item);
        if (bytes > bytes_max) {
            break;
        }
        from--;
    }
    return from;
}
