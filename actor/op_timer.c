/* PUT, GET, DELETE .../timers/{name} and GET .../timers. What comes of them is op_timer_fire.c. */
#include "actor/actor.h"
#include "actor/members.h"
#include "actor/ops.h"
#include "actor/registry.h"
#include "actor/timer_row.h"
#include "base/invariant.h"
#include "rpc/value.h"
#include "rpc/webhook_url.h"

enum {
    PUT_AT,
    PUT_IN,
    PUT_EVERY,
    PUT_CRON,
    PUT_TZ,
    PUT_PAYLOAD,
    PUT_WEBHOOK,
    PUT_CATCH_UP,
    PUT_MEMBERS
};

static const char *const put_names[PUT_MEMBERS] = {
    [PUT_AT] = "at",           [PUT_IN] = "in",
    [PUT_EVERY] = "every",     [PUT_CRON] = "cron",
    [PUT_TZ] = "tz",           [PUT_PAYLOAD] = "payload",
    [PUT_WEBHOOK] = "webhook", [PUT_CATCH_UP] = "catch_up",
};

static const char *const catch_up_names[] = {
    [CATCH_UP_ONE] = "one", [CATCH_UP_ALL] = "all", [CATCH_UP_NONE] = "none"};

/* The document of a timer */

static void put_number(struct buf *body, const char *name, uint64_t number)
{
    value_put_text(body, name);
    value_put_uint(body, number);
}

static void put_string(struct buf *body, const char *name, struct slice text)
{
    value_put_text(body, name);
    value_put_str(body, text);
}

static void put_timer(struct buf *body, struct slice name, const struct timer *timer)
{
    bool retries = timer->failed_count > 0;
    value_put_map(body, 4U + (timer->every_ms != 0) + (timer->cron.len > 0) + (timer->tz.len > 0) +
                            (timer->payload.len > 0) + (timer->webhook.len > 0) +
                            (timer->missed != 0) + (timer->error.len > 0) + (retries ? 2U : 0U));
    put_string(body, "name", name);
    put_number(body, "at", timer->at_ms);
    if (timer->every_ms != 0) {
        put_number(body, "every", timer->every_ms);
    }
    if (timer->cron.len > 0) {
        put_string(body, "cron", timer->cron);
    }
    if (timer->tz.len > 0) {
        put_string(body, "tz", timer->tz);
    }
    if (timer->payload.len > 0) {
        value_put_text(body, "payload");
        value_put_raw(body, timer->payload);
    }
    if (timer->webhook.len > 0) {
        put_string(body, "webhook", timer->webhook);
    }
    put_string(body, "catch_up", slice_of_str(catch_up_names[timer->catch_up]));
    put_string(body, "state", timer->state == TIMER_FAILED ? SLICE("failed") : SLICE("scheduled"));
    if (timer->missed != 0) {
        put_number(body, "missed", timer->missed);
    }
    if (retries) {
        put_number(body, "failures", timer->failed_count);
        put_number(body, "retry_at", timer->due_ms);
    }
    if (timer->error.len > 0) {
        put_string(body, "error", timer->error);
    }
}

static enum err answer_timer(struct request *r, const struct timer *timer)
{
    struct buf body = {0};
    put_timer(&body, bytes_slice(r->name), timer);
    reply_body(&r->reply, 200, &body);
    return ERR_OK;
}

/* PUT */

static enum err bad(struct request *r, const char *detail)
{
    return reply_fail(&r->reply, ERR_BAD_REQUEST, "%s", detail);
}

static enum err read_texts(struct request *r, const struct member m[PUT_MEMBERS],
                           struct timer *timer)
{
    struct slice catch_up;
    enum err err = member_str(&m[PUT_CRON], &timer->cron, &r->reply);
    if (err == ERR_OK) {
        err = member_str(&m[PUT_TZ], &timer->tz, &r->reply);
    }
    if (err == ERR_OK) {
        err = member_str(&m[PUT_WEBHOOK], &timer->webhook, &r->reply);
    }
    if (err == ERR_OK) {
        err = member_str(&m[PUT_CATCH_UP], &catch_up, &r->reply);
    }
    if (err != ERR_OK || !member_is_given(&m[PUT_CATCH_UP])) {
        return err;
    }
    for (int i = CATCH_UP_ONE; i <= CATCH_UP_NONE; i++) {
        if (slice_equal_str(catch_up, catch_up_names[i])) {
            timer->catch_up = (enum timer_catch_up)i;
            return ERR_OK;
        }
    }
    return bad(r, "catch_up is none of one, all and none.");
}

/* Which members go together. */
static enum err check_form(struct request *r, const struct member m[PUT_MEMBERS])
{
    bool has_start = member_is_given(&m[PUT_AT]) || member_is_given(&m[PUT_IN]);
    if (member_is_given(&m[PUT_AT]) && member_is_given(&m[PUT_IN])) {
        return bad(r, "at and in exclude each other.");
    }
    if (!has_start && !member_is_given(&m[PUT_CRON])) {
        return bad(r, "A timer has at, in or cron.");
    }
    if (member_is_given(&m[PUT_EVERY]) && member_is_given(&m[PUT_CRON])) {
        return bad(r, "every and cron exclude each other.");
    }
    if (member_is_given(&m[PUT_TZ]) && !member_is_given(&m[PUT_CRON])) {
        return bad(r, "tz stands with cron alone.");
    }
    return ERR_OK;
}

static enum err check_webhook(struct turn *t, struct request *r, const struct member *m,
                              struct slice url)
{
    const char *detail;
    if (!member_is_given(m)) {
        return ERR_OK;
    }
    if (url.len > TIMER_WEBHOOK_BYTES_MAX) {
        return bad(r, "webhook is longer than 2048 bytes.");
    }
    if (webhook_url_check(url, t->actor->registry->allow_private_targets, &detail) != ERR_OK) {
        return bad(r, detail);
    }
    return ERR_OK;
}

/* When it is due first: at, in, or what cron says. */
static enum err read_start(struct turn *t, struct request *r, const struct member m[PUT_MEMBERS],
                           struct timer *timer)
{
    uint64_t in_ms = 0;
    struct rhythm rhythm;
    const char *detail = "";
    enum err err = member_ms(&m[PUT_AT], 0, TIMER_MS_MAX, &timer->at_ms, &r->reply);
    if (err == ERR_OK) {
        err = member_ms(&m[PUT_IN], 0, TIMER_MS_MAX - t->log_time_ms, &in_ms, &r->reply);
    }
    if (err == ERR_OK) {
        err =
            member_ms(&m[PUT_EVERY], TIMER_EVERY_MS_MIN, TIMER_MS_MAX, &timer->every_ms, &r->reply);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (member_is_given(&m[PUT_CRON]) && timer->cron.len == 0) {
        return bad(r, "cron is empty.");
    }
    if (member_is_given(&m[PUT_TZ]) && timer->tz.len == 0) {
        return bad(r, "tz is empty.");
    }
    if (timer_rhythm(&t->actor->registry->zones, timer, &rhythm, &detail) != ERR_OK) {
        return bad(r, detail);
    }
    if (member_is_given(&m[PUT_IN])) {
        timer->at_ms = t->log_time_ms + in_ms;
    } else if (!member_is_given(&m[PUT_AT]) &&
               !cron_next(&rhythm.cron, rhythm.zone, t->log_time_ms, &timer->at_ms)) {
        return bad(r, "cron is never due.");
    }
    timer->due_ms = timer->at_ms;
    return ERR_OK;
}

static enum err read_timer(struct turn *t, struct request *r, struct timer *ret_timer)
{
    struct member m[PUT_MEMBERS];
    struct timer timer = {.state = TIMER_SCHEDULED, .catch_up = CATCH_UP_ONE};
    for (int i = 0; i < PUT_MEMBERS; i++) {
        m[i] = (struct member){.name = put_names[i]};
    }
    enum err err = members_read(bytes_slice(r->body), m, PUT_MEMBERS, &r->reply);
    if (err == ERR_OK) {
        err = check_form(r, m);
    }
    if (err == ERR_OK) {
        err = read_texts(r, m, &timer);
    }
    if (err == ERR_OK) {
        err = check_webhook(t, r, &m[PUT_WEBHOOK], timer.webhook);
    }
    if (err == ERR_OK) {
        err = read_start(t, r, m, &timer);
    }
    if (err == ERR_OK && m[PUT_PAYLOAD].doc.len > TIMER_PAYLOAD_BYTES_MAX) {
        err = reply_too_large(&r->reply, "payload_bytes", TIMER_PAYLOAD_BYTES_MAX);
    }
    if (err == ERR_OK) {
        timer.payload = m[PUT_PAYLOAD].doc;
        *ret_timer = timer;
    }
    return err;
}

enum err op_timer_put(struct turn *t, struct request *r)
{
    struct timer timer;
    struct timer old;
    bool found = false;
    enum err err = read_timer(t, r, &timer);
    if (err == ERR_OK) {
        err = timer_row_get(t, bytes_slice(r->name), &old, &found);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (!found && t->meta.timers >= TIMERS_MAX) {
        return reply_too_large(&r->reply, "timers", TIMERS_MAX);
    }
    timer_row_put(t, bytes_slice(r->name), found ? &old : NULL, &timer);
    return answer_timer(r, &timer);
}

/* The others */

enum err op_timer_get(struct turn *t, struct request *r)
{
    struct timer timer;
    bool found = false;
    enum err err = timer_row_get(t, bytes_slice(r->name), &timer, &found);
    if (err != ERR_OK) {
        return err;
    }
    return found ? answer_timer(r, &timer) : reply_fail(&r->reply, ERR_NO_SUCH_TIMER, NULL);
}

enum err op_timer_delete(struct turn *t, struct request *r)
{
    struct timer timer;
    bool found = false;
    enum err err = timer_row_get(t, bytes_slice(r->name), &timer, &found);
    if (err != ERR_OK) {
        return err;
    }
    if (found) {
        timer_row_delete(t, bytes_slice(r->name), &timer);
    }
    r->reply.status = 204;
    return ERR_OK;
}

enum err op_timer_list(struct turn *t, struct request *r)
{
    const struct scan_range range = {
        .kind = ROW_TIMER, .rows_max = TIMERS_MAX + 1, .bytes_max = TIMERS_BYTES_MAX};
    struct scan_cursor cursor;
    struct scan_item item;
    struct buf timers = {0};
    uint32_t count = 0;
    enum err err = turn_scan(t, &range, &cursor);
    while (err == ERR_OK && scan_next(&cursor, &item)) {
        struct timer timer;
        if (timer_decode(bytes_slice(item.value), &timer) != ERR_OK) {
            err = reply_fail(&r->reply, ERR_CORRUPT, "The record of a timer is damaged.");
        } else {
            put_timer(&timers, item.key, &timer);
            count++;
        }
    }
    if (err == ERR_OK && (cursor.ended_early || timers.len > TIMERS_BYTES_MAX)) {
        err = reply_too_large(&r->reply, "timers_bytes", TIMERS_BYTES_MAX);
    }
    if (err == ERR_OK) {
        struct buf body = {0};
        value_put_map(&body, 1);
        value_put_text(&body, "timers");
        value_put_array(&body, count);
        buf_append_slice(&body, buf_slice(&timers));
        reply_body(&r->reply, 200, &body);
    }
    buf_done(&timers);
    return err;
}
