#include "storage/wal_space.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/wal_image.h"

/* One more item in an array that doubles. */
static void *grown(void *array, size_t count, size_t *cap, size_t item_bytes)
{
    if (count < *cap) {
        return array;
    }
    *cap = *cap != 0 ? *cap * 2 : 4;
    return mem_realloc(array, *cap * item_bytes);
}

void wal_space_done(struct wal_space *s)
{
    for (size_t i = 0; i < s->segment_count; i++) {
        disk_close(s->segments[i].file);
    }
    mem_free(s->segments);
    mem_free(s->slots);
    *s = (struct wal_space){0};
}

/* Slots */

static void put_slot(struct wal_space *s, struct wal_free_slot slot)
{
    s->slots = grown(s->slots, s->slot_count, &s->slot_cap, sizeof *s->slots);
    s->slots[s->slot_count++] = slot;
}

void wal_space_add_slot(struct wal_space *s, uint32_t slot, uint64_t bytes)
{
    put_slot(s, (struct wal_free_slot){.slot = slot, .bytes = bytes});
    s->total_bytes += bytes;
}

static bool is_ready(const struct wal_free_slot *slot, uint64_t durable_record)
{
    return slot->after_record <= durable_record;
}

size_t wal_space_free_slots(const struct wal_space *s, uint64_t durable_record)
{
    size_t ready = 0;
    for (size_t i = 0; i < s->slot_count; i++) {
        ready += is_ready(&s->slots[i], durable_record);
    }
    return ready;
}

/* Out of the list: the first one that is ready. */
static struct wal_free_slot take_ready(struct wal_space *s, uint64_t durable_record)
{
    size_t at = 0;
    while (at < s->slot_count && !is_ready(&s->slots[at], durable_record)) {
        at++;
    }
    PRE(at < s->slot_count);
    struct wal_free_slot taken = s->slots[at];
    s->slot_count--;
    memmove(s->slots + at, s->slots + at + 1, (s->slot_count - at) * sizeof *s->slots);
    return taken;
}

bool wal_space_take_slot(struct wal_space *s, uint64_t durable_record, size_t keep,
                         uint32_t *ret_slot)
{
    if (wal_space_free_slots(s, durable_record) <= keep) {
        return false;
    }
    struct wal_free_slot taken = take_ready(s, durable_record);
    s->total_bytes -= taken.bytes;
    *ret_slot = taken.slot;
    return true;
}

static bool is_used(const struct wal_space *s, uint32_t slot)
{
    for (size_t i = 0; i < s->segment_count; i++) {
        if (s->segments[i].slot == slot) {
            return true;
        }
    }
    for (size_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i].slot == slot) {
            return true;
        }
    }
    return false;
}

uint32_t wal_space_unused_slot(const struct wal_space *s)
{
    for (uint32_t slot = 0; slot < WAL_SLOTS_MAX; slot++) {
        if (!is_used(s, slot)) {
            return slot;
        }
    }
    UNREACHABLE();
}

/* Segments */

struct wal_segment *wal_space_current(const struct wal_space *s)
{
    return s->segment_count == 0 ? NULL : &s->segments[s->segment_count - 1];
}

static struct wal_segment *append_segment(struct wal_space *s, uint64_t number, uint32_t slot,
                                          uint64_t bytes)
{
    struct wal_segment *last = wal_space_current(s);
    PRE(last == NULL || last->number + 1 == number);
    s->segments = grown(s->segments, s->segment_count, &s->segment_cap, sizeof *s->segments);
    struct wal_segment *added = &s->segments[s->segment_count++];
    *added = (struct wal_segment){.number = number, .slot = slot, .bytes = bytes};
    return added;
}

struct wal_segment *wal_space_add_segment(struct wal_space *s, uint64_t number, uint32_t slot,
                                          uint64_t bytes)
{
    s->total_bytes += bytes;
    return append_segment(s, number, slot, bytes);
}

struct wal_segment *wal_space_switch(struct wal_space *s, uint64_t number, uint64_t durable_record)
{
    struct wal_free_slot taken = take_ready(s, durable_record);
    struct wal_segment *last = wal_space_current(s);
    if (last != NULL) {
        disk_close(last->file);
        last->file = NULL;
    }
    return append_segment(s, number, taken.slot, taken.bytes);
}

uint64_t wal_space_retire(struct wal_space *s)
{
    size_t n = 0;
    while (n + 1 < s->segment_count && s->segments[n].pin_count == 0) {
        put_slot(s, (struct wal_free_slot){.slot = s->segments[n].slot,
                                           .bytes = s->segments[n].bytes,
                                           .after_record = UINT64_MAX});
        n++;
    }
    if (n == 0) {
        return 0;
    }
    s->segment_count -= n;
    memmove(s->segments, s->segments + n, s->segment_count * sizeof *s->segments);
    return s->segments[0].number;
}

void wal_space_retired(struct wal_space *s, uint64_t record)
{
    for (size_t i = 0; i < s->slot_count; i++) {
        if (s->slots[i].after_record == UINT64_MAX) {
            s->slots[i].after_record = record;
        }
    }
}

/* Pins */

static struct wal_segment *segment_of(struct wal_space *s, uint64_t number)
{
    INVARIANT(s->segment_count > 0 && number >= s->segments[0].number);
    size_t at = (size_t)(number - s->segments[0].number);
    INVARIANT(at < s->segment_count);
    return &s->segments[at];
}

void wal_pins_add(struct wal_pins *p, struct wal_space *s, uint64_t segment, uint64_t max_index,
                  uint64_t bytes)
{
    size_t at = p->count;
    while (at > 0 && p->at[at - 1].segment > segment) {
        at--; /* recovery alone: copies stand behind what follows them */
    }
    if (at > 0 && p->at[at - 1].segment == segment) {
        struct wal_pin *pin = &p->at[at - 1];
        pin->max_index = max_index > pin->max_index ? max_index : pin->max_index;
        pin->bytes += bytes;
        return;
    }
    p->at = grown(p->at, p->count, &p->cap, sizeof *p->at);
    memmove(p->at + at + 1, p->at + at, (p->count - at) * sizeof *p->at);
    p->at[at] = (struct wal_pin){.segment = segment, .max_index = max_index, .bytes = bytes};
    p->count++;
    segment_of(s, segment)->pin_count++;
}

void wal_pins_cut(struct wal_pins *p, uint64_t from_index)
{
    for (size_t i = 0; i < p->count; i++) {
        if (p->at[i].max_index >= from_index) {
            p->at[i].max_index = from_index - 1;
        }
    }
}

static void drop_pins(struct wal_pins *p, struct wal_space *s, uint64_t before, uint64_t index)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->count; i++) {
        if (p->at[i].max_index <= index && p->at[i].segment < before) {
            struct wal_segment *segment = segment_of(s, p->at[i].segment);
            INVARIANT(segment->pin_count > 0);
            segment->pin_count--;
        } else {
            p->at[kept++] = p->at[i];
        }
    }
    p->count = kept;
}

void wal_pins_cover(struct wal_pins *p, struct wal_space *s, uint64_t index)
{
    drop_pins(p, s, UINT64_MAX, index);
}

void wal_pins_copied(struct wal_pins *p, struct wal_space *s, uint64_t before, uint64_t index)
{
    drop_pins(p, s, before, index);
}

void wal_pins_done(struct wal_pins *p, struct wal_space *s)
{
    drop_pins(p, s, UINT64_MAX, UINT64_MAX);
    mem_free(p->at);
    *p = (struct wal_pins){0};
}
