/* The turns of the scheduler: a timer that is due fires, and what came of its delivery.
 *
 * A firing without a webhook is delivered by being recorded: one turn. With one, the first turn records
 * it and guards it by a new due time, the scheduler posts once that is durable and reports in a second
 * turn. Whatever happens in between, the guard brings the timer back: at least once. */
#include "actor/actor.h"
#include "actor/ops.h"
#include "actor/registry.h"
#include "actor/timer_row.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "rpc/value.h"

enum {
    EVENT_KEPT_MS = 10 * 60 * 1000,
    TRIM_EVERY = 64, /* events between two looks, so that most firings read nothing ... */
    TRIM_MAX = 128,  /* ... and more go than come */
    TRIM_BYTES_MAX = 1 << 20,
};

/* Events */

/* The keys of events that are neither of the last 1 000 nor of the last 10 minutes, some of them. */
static enum err find_old_events(struct turn *t, struct buf *ret_keys, uint32_t *ret_count)
{
    const struct scan_range range = {
        .kind = ROW_WATCH, .rows_max = TRIM_MAX, .bytes_max = TRIM_BYTES_MAX};
    struct scan_cursor cursor;
    struct scan_item item;
    *ret_count = 0;
    if (t->meta.timer_events <= WATCH_TIMER_EVENTS_MAX || t->meta.timer_events % TRIM_EVERY != 0) {
        return ERR_OK;
    }
    uint32_t surplus = t->meta.timer_events - WATCH_TIMER_EVENTS_MAX;
    enum err err = turn_scan(t, &range, &cursor);
    if (err != ERR_OK) {
        return err;
    }
    while (*ret_count < surplus && *ret_count < TRIM_MAX && scan_next(&cursor, &item)) {
        struct slice doc;
        uint64_t fired_ms = 0;
        if (value_member(bytes_slice(item.value), "fired", &doc) &&
            value_get_uint(doc, &fired_ms) && fired_ms + EVENT_KEPT_MS > t->log_time_ms) {
            break;
        }
        buf_append_u16(ret_keys, (uint16_t)item.key.len);
        buf_append_slice(ret_keys, item.key);
        ++*ret_count;
    }
    return ERR_OK;
}

static void delete_events(struct turn *t, struct slice keys, uint32_t count)
{
    t->meta.timer_events -= count;
    while (keys.len > 0) {
        struct slice key = slice_of(keys.data + 2, get_be16(keys.data));
        turn_delete(t, ROW_WATCH, key);
        keys = slice_skip(keys, 2 + key.len);
    }
}

/* What watchers and webhooks get. */
static void put_event(struct buf *out, struct slice name, const struct timer *timer)
{
    value_put_map(out, 4);
    value_put_text(out, "timer");
    value_put_str(out, name);
    value_put_text(out, "payload");
    if (timer->payload.len > 0) {
        value_put_raw(out, timer->payload);
    } else {
        value_put_nil(out);
    }
    value_put_text(out, "scheduled");
    value_put_uint(out, timer->at_ms);
    value_put_text(out, "fired");
    value_put_uint(out, timer->fired_ms);
}

static void record_event(struct turn *t, struct slice name, const struct timer *timer)
{
    struct buf event = {0};
    uint8_t key[12]; /* as storage/keyspace.h has it */
    put_be64(key, turn_version(t));
    put_be32(key + 8, 0);
    put_event(&event, name, timer);
    struct bytes *value = bytes_new(buf_slice(&event));
    buf_done(&event);
    turn_put(t, ROW_WATCH, slice_of(key, sizeof key), value);
    bytes_unref(value);
    t->meta.timer_events++;
}

/* Fire */

/* The due row stands for nothing (any more). */
static enum err forget(struct turn *t, struct request *r)
{
    turn_forget_due(t, r->timer.number, r->timer.due_ms, ROW_TIMER, bytes_slice(r->name));
    r->reply.status = 204;
    return ERR_OK;
}

/* Timers of classes with code are delivered to that. */
static bool is_of_code(const struct turn *t)
{
    return !slice_equal_str(t->actor->address.class, "Store");
}

static bool is_delivered(const struct turn *t, const struct timer *timer)
{
    return timer->webhook.len > 0 || is_of_code(t);
}

/* What is to be delivered: {"address", "failed", "webhook", "firing", "event"}; to code where the webhook
 * is "". */
static enum err answer_delivery(struct turn *t, const struct timer *timer)
{
    struct request *r = t->request;
    const struct address *a = &t->actor->address;
    struct buf body = {0};
    value_put_map(&body, 5);
    value_put_text(&body, "address");
    value_put_array(&body, 3);
    value_put_str(&body, a->ns);
    value_put_str(&body, a->class);
    value_put_str(&body, a->id);
    value_put_text(&body, "failed");
    value_put_uint(&body, timer->failed_count);
    value_put_text(&body, "webhook");
    value_put_str(&body, timer->webhook);
    value_put_text(&body, "firing");
    value_put_uint(&body, timer->firing);
    value_put_text(&body, "event");
    put_event(&body, bytes_slice(r->name), timer);
    reply_body(&r->reply, 200, &body);
    return ERR_OK;
}

/* Its cron or zone is not known any more, as after a change of the system's zone files. */
static void give_up(struct timer *timer, const char *detail)
{
    *timer = (struct timer){.state = TIMER_FAILED,
                            .catch_up = timer->catch_up,
                            .at_ms = timer->at_ms,
                            .every_ms = timer->every_ms,
                            .missed = timer->missed,
                            .cron = timer->cron,
                            .tz = timer->tz,
                            .webhook = timer->webhook,
                            .payload = timer->payload,
                            .error = slice_of_str(detail)};
}

static void put_passed(struct turn *t, struct slice name, const struct timer *old,
                       struct timer *timer, const struct rhythm *rhythm)
{
    if (timer_pass(timer, rhythm)) {
        timer_row_put(t, name, old, timer);
    } else {
        timer_row_delete(t, name, old);
    }
}

static enum err fire(struct turn *t, struct request *r, const struct timer *old,
                     const struct rhythm *rhythm)
{
    struct slice name = bytes_slice(r->name);
    struct timer timer = *old;
    struct timer_plan plan;
    struct buf old_events = {0};
    uint32_t old_count;
    enum err err = find_old_events(t, &old_events, &old_count);
    if (err != ERR_OK) {
        return err;
    }
    timer_plan(&timer, rhythm, t->log_time_ms, r->timer.up_since_ms, &plan);
    timer_fire(&timer, &plan, turn_version(t), t->log_time_ms);
    if (plan.fires && !is_of_code(t)) {
        record_event(t, name, &timer);
        delete_events(t, buf_slice(&old_events), old_count);
    }
    buf_done(&old_events);
    if (plan.fires && is_delivered(t, &timer)) {
        timer_row_put(t, name, old, &timer);
        return answer_delivery(t, &timer);
    }
    put_passed(t, name, old, &timer, rhythm);
    r->reply.status = 204;
    return ERR_OK;
}

/* It failed, or nobody told how it went. */
static enum err deliver_again(struct turn *t, struct request *r, const struct timer *old)
{
    struct timer timer = *old;
    timer_guard(&timer, t->log_time_ms);
    timer_row_put(t, bytes_slice(r->name), old, &timer);
    return answer_delivery(t, &timer);
}

enum err op_timer_fire(struct turn *t, struct request *r)
{
    const struct timer_call *call = &r->timer;
    struct slice name = bytes_slice(r->name);
    struct timer timer;
    bool found = false;
    if (t->number != call->number) {
        return forget(t, r);
    }
    enum err err = timer_row_get(t, name, &timer, &found);
    if (err != ERR_OK) {
        return err;
    }
    if (!found || timer.state != TIMER_SCHEDULED || timer.due_ms != call->due_ms) {
        return forget(t, r);
    }
    if (timer.due_ms > t->log_time_ms || timer.due_ms > call->wall_ms) {
        return reply_fail(&r->reply, ERR_BUSY, "The timer is not due.");
    }
    if (is_delivered(t, &timer)) {
        err = call->may_deliver(call->ctx, r, timer.webhook, timer.firing);
        if (err != ERR_OK) {
            return reply_fail(&r->reply, err, NULL);
        }
    }
    if (timer.firing != 0) {
        return deliver_again(t, r, &timer);
    }
    struct rhythm rhythm;
    const char *detail;
    if (timer_rhythm(&t->actor->registry->zones, &timer, &rhythm, &detail) != ERR_OK) {
        struct timer failed = timer;
        give_up(&failed, detail);
        timer_row_put(t, name, &timer, &failed);
        return ERR_OK;
    }
    return fire(t, r, &timer, &rhythm);
}

/* The body is the error's text; none: delivered. An outcome of a firing that is no more, because the
 * timer was set anew or went, is no news. */
enum err op_timer_outcome(struct turn *t, struct request *r)
{
    struct slice name = bytes_slice(r->name);
    struct slice error;
    struct timer old;
    bool found = false;
    r->reply.status = 204;
    if (t->number != r->timer.number) {
        return ERR_OK;
    }
    enum err err = timer_row_get(t, name, &old, &found);
    if (err != ERR_OK) {
        return err;
    }
    if (!found || old.firing != r->timer.firing) {
        return ERR_OK;
    }
    struct timer timer = old;
    struct rhythm rhythm;
    const char *detail;
    if (timer_rhythm(&t->actor->registry->zones, &timer, &rhythm, &detail) != ERR_OK) {
        give_up(&timer, detail);
        timer_row_put(t, name, &old, &timer);
    } else if (r->body != NULL && value_get_str(bytes_slice(r->body), &error)) {
        timer_fail(&timer, &rhythm, error, t->log_time_ms);
        timer_row_put(t, name, &old, &timer);
    } else {
        put_passed(t, name, &old, &timer, &rhythm);
    }
    return ERR_OK;
}
