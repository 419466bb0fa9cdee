/* Bringing batches to the disk: their place, their frame, and what follows from being durable. */
#include <errno.h>
#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/wal.h"
#include "storage/wal_private.h"

enum { FREE_SLOTS_WANTED = 2, SPARE_BATCHES_MAX = 3 };

void wal_want_slots(struct wal *w)
{
    bool has_enough = w->space.slot_count >= FREE_SLOTS_WANTED;
    bool has_budget = w->space.total_bytes + w->options.segment_bytes <= w->options.budget_bytes;
    if (w->wants_slot || has_enough || !has_budget) {
        return;
    }
    w->wants_slot = true;
    flusher_want_slot(w->flusher, wal_space_unused_slot(&w->space));
}

/* A log is larger than its budget where it was made with a larger one, or of several logs. */
void wal_give_slots(struct wal *w)
{
    uint32_t slot;
    if (w->gives_slot || w->space.total_bytes <= w->options.budget_bytes ||
        !wal_space_take_slot(&w->space, w->durable_record, FREE_SLOTS_WANTED, &slot)) {
        return;
    }
    w->gives_slot = true;
    flusher_remove_slot(w->flusher, slot);
}

/* Segments that nobody needs any more: the record that says so goes behind the ones that made it so,
 * and their slots are free once it is durable. */
static void append_floor(struct wal *w)
{
    uint64_t floor = wal_space_retire(&w->space);
    if (floor != 0) {
        struct wal_record r = {.kind = WAL_FLOOR, .index = floor};
        wal_space_retired(&w->space, wal_append(w, &r, NULL));
    }
}

static void apply_controls(struct wal *w, const struct wal_batch *b)
{
    struct slice records = wal_batch_records(b);
    for (size_t i = 0; i < b->control_count; i++) {
        struct slice rest = slice_skip(records, b->controls[i]);
        struct wal_record r;
        enum err err = wal_record_decode(&rest, &r);
        INVARIANT(err == ERR_OK);
        (void)wal_table_apply(&w->table, &r);
    }
    if (b->control_count > 0) {
        w->table_bytes = wal_table_bytes(&w->table);
    }
}

bool wal_open_current(struct wal *w, struct wal_segment *current)
{
    char *path = wal_slot_path(w->options.dir, current->slot, false);
    int flags = DISK_DURABLE | (w->options.buffered ? 0 : DISK_DIRECT);
    enum err err = disk_open(w->options.disk, DISK_WAL_OPEN, path, flags, &current->file);
    if (err == ERR_OK) {
        w->is_direct = current->file->direct;
    } else if (w->flusher != NULL) {
        w->is_dead = true;
        flusher_fail(w->flusher, path, 0);
    }
    mem_free(path);
    return err == ERR_OK;
}

/* The next segment begins with the table as it was before the batch. False: no slot is free yet. */
static bool switch_segment(struct wal *w, struct wal_batch *b)
{
    if (wal_space_free_slots(&w->space, w->durable_record) == 0) {
        wal_want_slots(w);
        return false;
    }
    const struct wal_segment *last = wal_space_current(&w->space);
    uint64_t number = last != NULL ? last->number + 1 : 1;
    struct wal_segment *current = wal_space_switch(&w->space, number, w->durable_record);
    if (!wal_open_current(w, current)) {
        return false;
    }
    w->position = 0;
    w->stats.begun++;
    if (w->table.floor == 0) {
        w->table.floor = number;
    }
    buf_clear(&w->scratch);
    wal_table_encode(&w->table, &w->scratch);
    apply_controls(w, b);
    wal_batch_prepend(b, buf_slice(&w->scratch));
    INVARIANT(wal_frame_bytes_max(b->length) <= current->bytes);
    return true;
}

/* Gives the batch its place: segment and position. */
static bool place(struct wal *w, struct wal_batch *b)
{
    const struct wal_segment *current = wal_space_current(&w->space);
    if (current == NULL || w->position + wal_frame_bytes_max(b->length) > current->bytes) {
        if (!switch_segment(w, b)) {
            return false;
        }
        current = wal_space_current(&w->space);
    } else {
        apply_controls(w, b);
    }
    wal_batch_move(b, w->position % WAL_BLOCK_BYTES);
    for (size_t i = 0; i < b->touch_count; i++) {
        struct wal_group *g = b->touches[i].group;
        if (g != NULL && b->touches[i].max_index > g->snapshot_index) {
            wal_pins_add(&g->pins, &w->space, current->number, b->touches[i].max_index,
                         b->touches[i].bytes);
        }
    }
    wal_want_slots(w);
    return true;
}

static void submit(struct wal *w, struct wal_batch *b)
{
    const struct wal_segment *current = wal_space_current(&w->space);
    struct flusher_job job = {
        .file = current->file,
        .memory = b->memory,
        .position = w->position,
        .frame = {.wal = w->identity.wal,
                  .epoch = w->identity.epoch,
                  .segment = current->number,
                  .sequence = w->next_sequence++,
                  .length = (uint32_t)b->length},
    };
    uint64_t end = wal_frame_end(w->position, job.frame.length);
    w->stats.bytes_written += wal_block_up(end) - w->position / WAL_BLOCK_BYTES * WAL_BLOCK_BYTES;
    w->stats.bytes_logged += b->length;
    w->position = end;
    w->is_sealed = b->length == 0;
    w->in_flight = b;
    flusher_submit(w->flusher, &job);
}

void wal_kick(struct wal *w)
{
    if (w->in_flight != NULL || w->is_dead) {
        return;
    }
    append_floor(w);
    struct wal_batch *b = LIST_FIRST(&w->queue, struct wal_batch, link);
    if (b == NULL) {
        return;
    }
    size_t records = b->length;
    if (!place(w, b)) {
        return;
    }
    list_remove(&b->link);
    w->queued_bytes -= records;
    submit(w, b);
}

void wal_seal(struct wal *w)
{
    const struct wal_segment *current = wal_space_current(&w->space);
    if (w->in_flight != NULL || w->is_dead || w->is_sealed || !list_is_empty(&w->queue) ||
        current == NULL || w->position + wal_frame_bytes_max(0) > current->bytes) {
        return;
    }
    (void)wal_open_batch(w, 0);
    wal_kick(w);
}

static void put_spare(struct wal *w, struct wal_batch *b)
{
    if (w->spare_count >= SPARE_BATCHES_MAX) {
        wal_batch_free(b);
        return;
    }
    list_append(&w->spare, &b->link);
    w->spare_count++;
}

uint64_t wal_poll(struct wal *w)
{
    struct flusher_news news = flusher_collect(w->flusher);
    if (news.has_flushed) {
        struct wal_batch *b = w->in_flight;
        INVARIANT(b != NULL);
        w->in_flight = NULL;
        if (b->last_record != 0) {
            w->durable_record = b->last_record;
        }
        w->stats.flushes++;
        w->stats.last_flush_ns = news.flush_ns;
        put_spare(w, b);
    }
    if (news.has_slot) {
        w->wants_slot = false;
        wal_space_add_slot(&w->space, news.slot, w->options.segment_bytes);
        wal_want_slots(w);
    }
    w->gives_slot = w->gives_slot && !news.has_removed;
    w->is_full = news.is_full;
    w->is_stuck = news.is_stuck;
    wal_give_slots(w);
    return w->durable_record;
}

bool wal_work(struct wal *w)
{
    return flusher_work(w->flusher);
}

void wal_drain(struct wal *w)
{
    flusher_insist(w->flusher);
    for (wal_kick(w); w->in_flight != NULL; wal_kick(w)) {
        if (w->options.unthreaded) {
            while (!flusher_is_dead(w->flusher) && flusher_has_job(w->flusher)) {
                (void)flusher_work(w->flusher);
            }
        } else {
            flusher_wait(w->flusher);
        }
        if (flusher_is_dead(w->flusher)) {
            w->is_dead = true;
            return;
        }
        (void)wal_poll(w);
    }
}
