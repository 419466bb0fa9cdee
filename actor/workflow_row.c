#include "actor/workflow_row.h"

#include "base/endian.h"
#include "base/invariant.h"

enum { DUE_BYTES = 8 };

static void put_row(struct turn *t, struct slice key, struct slice payload)
{
    struct bytes *value = bytes_new(payload);
    turn_put(t, ROW_WORKFLOW, key, value);
    bytes_unref(value);
}

enum err workflow_row_get(struct turn *t, struct workflow *ret_workflow, bool *ret_found)
{
    const struct row *row;
    enum err err = turn_get(t, ROW_WORKFLOW, SLICE("r"), &row);
    if (err != ERR_OK) {
        return err;
    }
    *ret_found = row != NULL;
    if (row != NULL && workflow_decode(bytes_slice(row->value), ret_workflow) != ERR_OK) {
        return reply_fail(&t->request->reply, ERR_CORRUPT, "The record of the run is damaged.");
    }
    return ERR_OK;
}

void workflow_row_put(struct turn *t, const struct workflow *old, const struct workflow *w)
{
    struct buf record = {0};
    uint64_t had_ms = old != NULL ? old->due_ms : 0;
    if (had_ms != w->due_ms && had_ms != 0) {
        turn_delete_due(t, had_ms, ROW_WORKFLOW, SLICE("r"));
    }
    if (had_ms != w->due_ms && w->due_ms != 0) {
        turn_put_due(t, w->due_ms, ROW_WORKFLOW, SLICE("r"));
    }
    workflow_encode(w, &record);
    put_row(t, SLICE("r"), buf_slice(&record));
    buf_done(&record);
}

enum err workflow_value_get(struct turn *t, char which, struct slice *ret_value)
{
    const struct row *row;
    enum err err = turn_get(t, ROW_WORKFLOW, slice_of(&which, 1), &row);
    if (err == ERR_OK) {
        *ret_value = row != NULL ? bytes_slice(row->value) : (struct slice){0};
    }
    return err;
}

void workflow_value_put(struct turn *t, char which, struct slice value)
{
    put_row(t, slice_of(&which, 1), value);
}

void workflow_value_delete(struct turn *t, char which)
{
    turn_delete(t, ROW_WORKFLOW, slice_of(&which, 1));
}

enum err workflow_step_get(struct turn *t, uint32_t order, struct workflow_step *ret_step,
                           bool *ret_found)
{
    const struct row *row;
    struct buf key = {0};
    workflow_step_key(order, &key);
    enum err err = turn_get(t, ROW_WORKFLOW, buf_slice(&key), &row);
    buf_done(&key);
    if (err != ERR_OK) {
        return err;
    }
    *ret_found = row != NULL;
    if (row != NULL && workflow_step_decode(bytes_slice(row->value), ret_step) != ERR_OK) {
        return reply_fail(&t->request->reply, ERR_CORRUPT, "The record of a step is damaged.");
    }
    return ERR_OK;
}

void workflow_step_put(struct turn *t, const struct workflow_step *s)
{
    struct buf key = {0};
    struct buf record = {0};
    workflow_step_key(s->order, &key);
    workflow_step_encode(s, &record);
    put_row(t, buf_slice(&key), buf_slice(&record));
    buf_done(&key);
    buf_done(&record);
}

void workflow_range_init(struct workflow_range *w, struct slice prefix, struct slice low,
                         uint32_t rows_max, size_t bytes_max)
{
    PRE(prefix.len > 0 && prefix.data[prefix.len - 1] < 0xff);
    *w = (struct workflow_range){0};
    buf_append_slice(&w->low, low.len > 0 ? low : prefix);
    buf_append_slice(&w->high, prefix);
    w->high.data[w->high.len - 1]++;
    w->range = (struct scan_range){.kind = ROW_WORKFLOW,
                                   .low = buf_slice(&w->low),
                                   .high = buf_slice(&w->high),
                                   .rows_max = rows_max,
                                   .bytes_max = bytes_max};
}

void workflow_range_done(struct workflow_range *w)
{
    buf_done(&w->low);
    buf_done(&w->high);
}

enum err workflow_event_take(struct turn *t, struct workflow *w, struct slice type,
                             struct slice *ret_event)
{
    struct workflow_range range;
    struct scan_cursor cursor;
    struct scan_item item;
    struct buf prefix = {0};
    *ret_event = (struct slice){0};
    if (w->event_count == 0) {
        return ERR_OK;
    }
    workflow_event_prefix('e', type, &prefix);
    workflow_range_init(&range, buf_slice(&prefix), SLICE(""), 2, 2 * WORKFLOW_VALUE_BYTES_MAX);
    enum err err = turn_scan(t, &range.range, &cursor);
    if (err == ERR_OK && scan_next(&cursor, &item)) {
        *ret_event = bytes_slice(item.value);
        w->event_count--;
        turn_delete(t, ROW_WORKFLOW, item.key);
    } else if (err == ERR_OK && cursor.ended_early) {
        err = turn_scan_further(t);
    }
    workflow_range_done(&range);
    buf_done(&prefix);
    return err;
}

void workflow_wait_put(struct turn *t, const struct workflow_step *s)
{
    struct buf key = {0};
    uint8_t until[DUE_BYTES];
    put_be64(until, s->due_ms);
    workflow_event_key('w', s->event_type, s->order, &key);
    put_row(t, buf_slice(&key), slice_of(until, sizeof until));
    buf_done(&key);
}

void workflow_wait_delete(struct turn *t, const struct workflow_step *s)
{
    struct buf key = {0};
    workflow_event_key('w', s->event_type, s->order, &key);
    turn_delete(t, ROW_WORKFLOW, buf_slice(&key));
    buf_done(&key);
}
