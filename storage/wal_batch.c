#include "storage/wal_batch.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"

enum {
    BATCH_BYTES_FIRST = 64 * 1024,
    BATCH_BYTES_KEPT = 8 * 1024 * 1024, /* more than the usual cap of a flush */
};

struct wal_batch *wal_batch_new(void)
{
    struct wal_batch *b = MEM_NEW(struct wal_batch);
    list_init(&b->link);
    b->capacity = BATCH_BYTES_FIRST;
    b->memory = mem_alloc_aligned(WAL_BLOCK_BYTES, b->capacity);
    return b;
}

void wal_batch_free(struct wal_batch *b)
{
    if (b != NULL) {
        mem_free(b->memory);
        mem_free(b->touches);
        mem_free(b->controls);
        mem_free(b);
    }
}

void wal_batch_reset(struct wal_batch *b, uint64_t id, size_t start)
{
    PRE(start < WAL_BLOCK_BYTES);
    if (b->capacity > BATCH_BYTES_KEPT) {
        mem_free(b->memory);
        b->capacity = BATCH_BYTES_FIRST;
        b->memory = mem_alloc_aligned(WAL_BLOCK_BYTES, b->capacity);
    }
    b->id = id;
    b->start = start;
    b->length = 0;
    b->last_record = 0;
    b->touch_count = 0;
    b->control_count = 0;
}

static uint8_t *payload(const struct wal_batch *b)
{
    return b->memory + b->start + WAL_FRAME_HEADER_BYTES;
}

/* Room for `more` payload bytes at any start, in whole blocks. */
static void reserve(struct wal_batch *b, size_t more)
{
    size_t need = (size_t)wal_block_up(WAL_BLOCK_BYTES + wal_frame_bytes_max(b->length + more));
    if (need <= b->capacity) {
        return;
    }
    size_t capacity = b->capacity;
    while (capacity < need) {
        capacity *= 2;
    }
    uint8_t *memory = mem_alloc_aligned(WAL_BLOCK_BYTES, capacity);
    memcpy(memory + b->start + WAL_FRAME_HEADER_BYTES, payload(b), b->length);
    mem_free(b->memory);
    b->memory = memory;
    b->capacity = capacity;
}

void wal_batch_move(struct wal_batch *b, size_t start)
{
    PRE(start < WAL_BLOCK_BYTES);
    const uint8_t *from = payload(b);
    b->start = start;
    memmove(payload(b), from, b->length);
}

void wal_batch_prepend(struct wal_batch *b, struct slice records)
{
    reserve(b, records.len);
    memmove(payload(b) + records.len, payload(b), b->length);
    memcpy(payload(b), records.data, records.len);
    b->length += records.len;
}

static void note_control(struct wal_batch *b)
{
    if (b->control_count == b->control_cap) {
        b->control_cap = b->control_cap != 0 ? b->control_cap * 2 : 8;
        b->controls = mem_realloc(b->controls, b->control_cap * sizeof *b->controls);
    }
    b->controls[b->control_count++] = (uint32_t)b->length;
}

uint8_t *wal_batch_add(struct wal_batch *b, const struct wal_record *r)
{
    size_t bytes = wal_record_bytes(r);
    reserve(b, bytes);
    INVARIANT(b->length + bytes <= UINT32_MAX);
    if (r->kind != WAL_ENTRY && r->kind != WAL_COPY && r->kind != WAL_TRUNCATE) {
        note_control(b);
    }
    uint8_t *data = wal_record_encode(payload(b) + b->length, r);
    b->length += bytes;
    return data;
}

struct slice wal_batch_records(const struct wal_batch *b)
{
    return slice_of(payload(b), b->length);
}

void wal_batch_touch(struct wal_batch *b, struct wal_group *group, uint64_t *id, size_t *at,
                     uint64_t index, uint64_t bytes)
{
    if (*id != b->id) {
        if (b->touch_count == b->touch_cap) {
            b->touch_cap = b->touch_cap != 0 ? b->touch_cap * 2 : 8;
            b->touches = mem_realloc(b->touches, b->touch_cap * sizeof *b->touches);
        }
        *id = b->id;
        *at = b->touch_count++;
        b->touches[*at] = (struct wal_touch){.group = group};
    }
    struct wal_touch *touch = &b->touches[*at];
    INVARIANT(touch->group == group);
    touch->max_index = index > touch->max_index ? index : touch->max_index;
    touch->bytes += bytes;
}

static struct wal_touch *touch_of(struct wal_batch *b, const struct wal_group *group)
{
    for (size_t i = 0; i < b->touch_count; i++) {
        if (b->touches[i].group == group) {
            return &b->touches[i];
        }
    }
    return NULL;
}

void wal_batch_cut(struct wal_batch *b, const struct wal_group *group, uint64_t from_index)
{
    PRE(from_index > 0);
    struct wal_touch *touch = touch_of(b, group);
    if (touch != NULL && touch->max_index >= from_index) {
        touch->max_index = from_index - 1;
    }
}

void wal_batch_forget(struct wal_batch *b, const struct wal_group *group)
{
    struct wal_touch *touch = touch_of(b, group);
    if (touch != NULL) {
        touch->group = NULL;
    }
}
