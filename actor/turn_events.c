#include "actor/turn.h"
#include "base/invariant.h"

static bool is_watched_kind(const struct row *row)
{
    return row->kind == ROW_KV || (row->kind == ROW_WATCH && row->value != NULL);
}

size_t turn_event_count(const struct turn *t)
{
    size_t count = t->drops ? 1 : 0;
    ROW_SET_FOREACH (row, &t->staged) {
        count += is_watched_kind(row) ? 1 : 0;
    }
    return count;
}

static bool is_request_name(const struct turn *t, const struct row *row)
{
    return t->request->name != NULL && slice_equal(bytes_slice(t->request->name), row_name(row));
}

static struct watch_event event_of(const struct turn *t, const struct row *row)
{
    struct watch_event event = {.version = t->version};
    if (row->kind == ROW_WATCH) {
        event.type = WATCH_TIMER;
        event.value = bytes_ref(row->value);
        return event;
    }
    event.type = row->value != NULL ? WATCH_PUT : WATCH_DELETE;
    event.key = is_request_name(t, row) ? bytes_ref(t->request->name) : bytes_new(row_name(row));
    event.value = bytes_ref(row->value);
    return event;
}

void turn_take_events(const struct turn *t, struct watch_event *ret_events)
{
    size_t count = 0;
    ROW_SET_FOREACH (row, &t->staged) {
        if (is_watched_kind(row)) {
            ret_events[count] = event_of(t, row);
            ret_events[count].n = (uint32_t)count;
            count++;
        }
    }
    if (t->drops) {
        INVARIANT(count == 0); /* the drop took what was staged before, nothing comes after it */
        ret_events[0] = (struct watch_event){.version = t->version, .type = WATCH_CLEAR};
    }
}
