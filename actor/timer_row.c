#include "actor/timer_row.h"

#include "base/invariant.h"

enum err timer_row_get(struct turn *t, struct slice name, struct timer *ret_timer, bool *ret_found)
{
    const struct row *row;
    enum err err = turn_get(t, ROW_TIMER, name, &row);
    if (err != ERR_OK) {
        return err;
    }
    *ret_found = row != NULL;
    if (row != NULL && timer_decode(bytes_slice(row->value), ret_timer) != ERR_OK) {
        return reply_fail(&t->request->reply, ERR_CORRUPT, "The record of the timer is damaged.");
    }
    return ERR_OK;
}

static bool has_due_row(const struct timer *timer)
{
    return timer != NULL && timer->state == TIMER_SCHEDULED;
}

static void move_due_row(struct turn *t, struct slice name, const struct timer *old,
                         const struct timer *timer)
{
    bool had = has_due_row(old);
    bool has = has_due_row(timer);
    if (had && has && old->due_ms == timer->due_ms) {
        return;
    }
    if (had) {
        turn_delete_due(t, old->due_ms, ROW_TIMER, name);
    }
    if (has) {
        turn_put_due(t, timer->due_ms, ROW_TIMER, name);
    }
}

/* What GET of the actor shows as its alarm. */
static void note_alarm(struct turn *t, struct slice name, const struct timer *timer)
{
    if (slice_equal_str(name, "alarm")) {
        t->meta.alarm_at_ms = has_due_row(timer) ? timer->at_ms : 0;
    }
}

void timer_row_put(struct turn *t, struct slice name, const struct timer *old,
                   const struct timer *timer)
{
    struct buf record = {0};
    timer_encode(timer, &record);
    struct bytes *value = bytes_new(buf_slice(&record));
    buf_done(&record);
    move_due_row(t, name, old, timer);
    note_alarm(t, name, timer);
    t->meta.timers += old == NULL ? 1 : 0;
    turn_put(t, ROW_TIMER, name, value);
    bytes_unref(value);
}

void timer_row_delete(struct turn *t, struct slice name, const struct timer *old)
{
    PRE(old != NULL && t->meta.timers > 0);

    move_due_row(t, name, old, NULL);
    note_alarm(t, name, NULL);
    t->meta.timers--;
    turn_delete(t, ROW_TIMER, name);
}

enum err timer_rhythm(struct zone_cache *zones, const struct timer *timer,
                      struct rhythm *ret_rhythm, const char **ret_detail)
{
    struct rhythm r = {.every_ms = timer->every_ms};
    if (timer->cron.len > 0) {
        struct slice tz = timer->tz.len > 0 ? timer->tz : SLICE("UTC");
        enum err err = cron_parse(timer->cron, &r.cron, ret_detail);
        if (err != ERR_OK) {
            return err;
        }
        if (zone_cache_get(zones, tz, &r.zone) != ERR_OK) {
            *ret_detail = "tz is no time zone of the IANA database.";
            return ERR_BAD_REQUEST;
        }
    }
    *ret_rhythm = r;
    return ERR_OK;
}
