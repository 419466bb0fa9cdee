#include "actor/timer.h"

#include "base/endian.h"
#include "base/invariant.h"

enum {
    TIMER_FORMAT = 1,
    TIMER_HEAD_BYTES = 1 + 1 + 1 + 6 * 8 + 4 + 5 * 4, /* then the five slices */
    /* Repetitions counted one by one; of a cron expression they are at least a minute apart. */
    WALK_MAX = 20 * 1000,
};
#define WALK_SPAN_MS (UINT64_C(60) * 1000 * WALK_MAX)

static bool timer_is_sane(const struct timer *t)
{
    return (t->due_ms == 0 || t->state == TIMER_SCHEDULED) &&
           (t->firing == 0 || t->state == TIMER_SCHEDULED) && t->at_ms <= TIMER_MS_MAX;
}

bool rhythm_next(const struct rhythm *r, uint64_t at_ms, uint64_t after_ms, uint64_t *ret_next_ms)
{
    PRE(at_ms <= after_ms && after_ms <= 2 * TIMER_MS_MAX);

    uint64_t next_ms = 0;
    if (r->zone != NULL) {
        return cron_next(&r->cron, r->zone, after_ms, ret_next_ms);
    }
    if (r->every_ms != 0) {
        next_ms = at_ms + ((after_ms - at_ms) / r->every_ms + 1) * r->every_ms;
    }
    if (next_ms == 0 || next_ms > TIMER_MS_MAX) {
        return false;
    }
    *ret_next_ms = next_ms;
    return true;
}

/* What is due by now: how many, and the last TIMER_CATCH_UP_MAX of them. */
struct due_times {
    uint64_t count;
    uint64_t last_ms;
    uint64_t first_kept_ms; /* the oldest that `all` still fires */
};

static void count_every(uint64_t every_ms, uint64_t at_ms, uint64_t now_ms, struct due_times *d)
{
    d->count = (now_ms - at_ms) / every_ms + 1;
    uint64_t dropped = d->count > TIMER_CATCH_UP_MAX ? d->count - TIMER_CATCH_UP_MAX : 0;
    d->first_kept_ms = at_ms + dropped * every_ms;
    d->last_ms = at_ms + (d->count - 1) * every_ms;
}

/* Goes through the repetitions; false where there are more than WALK_MAX. */
static bool walk_cron(const struct rhythm *r, uint64_t from_ms, uint64_t now_ms,
                      struct due_times *d)
{
    uint64_t kept[TIMER_CATCH_UP_MAX];
    uint64_t walked = 0;
    uint64_t next_ms = from_ms;
    do {
        kept[walked % TIMER_CATCH_UP_MAX] = next_ms;
        d->last_ms = next_ms;
        walked++;
    } while (walked < WALK_MAX && cron_next(&r->cron, r->zone, next_ms, &next_ms) &&
             next_ms <= now_ms);
    d->count += walked;
    d->first_kept_ms = kept[walked > TIMER_CATCH_UP_MAX ? walked % TIMER_CATCH_UP_MAX : 0];
    return walked < WALK_MAX;
}

/* Years of a minutely timer are not walked minute by minute: `missed` is then a lower bound. */
static void count_cron(const struct rhythm *r, uint64_t at_ms, uint64_t now_ms, struct due_times *d)
{
    if (walk_cron(r, at_ms, now_ms, d)) {
        return;
    }
    uint64_t near_ms = now_ms > WALK_SPAN_MS ? now_ms - WALK_SPAN_MS : 0;
    uint64_t from_ms;
    near_ms = near_ms > d->last_ms ? near_ms : d->last_ms;
    if (!cron_next(&r->cron, r->zone, near_ms, &from_ms) || from_ms > now_ms) {
        return;
    }
    (void)walk_cron(r, from_ms, now_ms, d);
}

static void count_due(const struct rhythm *r, uint64_t at_ms, uint64_t now_ms,
                      struct due_times *ret)
{
    *ret = (struct due_times){.count = 1, .last_ms = at_ms, .first_kept_ms = at_ms};
    if (r->every_ms != 0) {
        count_every(r->every_ms, at_ms, now_ms, ret);
    } else if (r->zone != NULL) {
        ret->count = 0;
        count_cron(r, at_ms, now_ms, ret);
    }
    POST(ret->count >= 1 && ret->last_ms <= now_ms && ret->first_kept_ms <= ret->last_ms);
}

void timer_plan(const struct timer *t, const struct rhythm *r, uint64_t now_ms,
                uint64_t up_since_ms, struct timer_plan *ret_plan)
{
    PRE(timer_is_sane(t) && t->state == TIMER_SCHEDULED && t->firing == 0 && t->at_ms <= now_ms);

    struct due_times due;
    count_due(r, t->at_ms, now_ms, &due);
    *ret_plan =
        (struct timer_plan){.fires = true, .scheduled_ms = due.last_ms, .missed = due.count - 1};
    if (!timer_repeats(t)) {
        return;
    }
    switch (t->catch_up) {
    case CATCH_UP_ONE:
        break;
    case CATCH_UP_ALL:
        ret_plan->scheduled_ms = due.first_kept_ms;
        ret_plan->missed = due.count > TIMER_CATCH_UP_MAX ? due.count - TIMER_CATCH_UP_MAX : 0;
        break;
    case CATCH_UP_NONE:
        ret_plan->fires = due.last_ms >= up_since_ms;
        ret_plan->missed += ret_plan->fires ? 0 : 1;
        break;
    }
}

void timer_fire(struct timer *t, const struct timer_plan *plan, uint64_t version, uint64_t now_ms)
{
    PRE(t->firing == 0 && plan->scheduled_ms <= now_ms);

    t->at_ms = plan->scheduled_ms;
    t->missed += plan->missed;
    t->firing = version;
    t->fired_ms = now_ms;
    t->failed_count = 0;
    timer_guard(t, now_ms);
}

void timer_guard(struct timer *t, uint64_t now_ms)
{
    t->due_ms = now_ms + TIMER_GUARD_MS;
    POST(timer_is_sane(t));
}

bool timer_pass(struct timer *t, const struct rhythm *r)
{
    uint64_t next_ms;
    t->firing = 0;
    t->failed_count = 0;
    if (!rhythm_next(r, t->at_ms, t->at_ms, &next_ms)) {
        return false;
    }
    t->at_ms = next_ms;
    t->due_ms = next_ms;
    POST(timer_is_sane(t));
    return true;
}

void timer_fail(struct timer *t, const struct rhythm *r, struct slice error, uint64_t now_ms)
{
    PRE(t->firing != 0);

    t->error =
        slice_of(error.data, error.len < TIMER_ERROR_BYTES_MAX ? error.len : TIMER_ERROR_BYTES_MAX);
    t->failed_count++;
    if (t->failed_count <= TIMER_RETRIES_MAX) {
        t->due_ms = now_ms + ((uint64_t)TIMER_RETRY_MS << (t->failed_count - 1));
    } else if (!timer_pass(t, r)) {
        t->state = TIMER_FAILED;
        t->due_ms = 0;
    }
    POST(timer_is_sane(t));
}

static void put_text(struct buf *out, struct slice text)
{
    buf_append_u32(out, (uint32_t)text.len);
    buf_append_slice(out, text);
}

void timer_encode(const struct timer *t, struct buf *out)
{
    PRE(timer_is_sane(t));

    buf_append_byte(out, TIMER_FORMAT);
    buf_append_byte(out, (uint8_t)t->state);
    buf_append_byte(out, (uint8_t)t->catch_up);
    buf_append_u64(out, t->at_ms);
    buf_append_u64(out, t->due_ms);
    buf_append_u64(out, t->every_ms);
    buf_append_u64(out, t->missed);
    buf_append_u64(out, t->firing);
    buf_append_u64(out, t->fired_ms);
    buf_append_u32(out, t->failed_count);
    put_text(out, t->cron);
    put_text(out, t->tz);
    put_text(out, t->webhook);
    put_text(out, t->payload);
    put_text(out, t->error);
}

static bool get_text(struct slice *rest, struct slice *ret_text)
{
    if (rest->len < 4 || get_be32(rest->data) > rest->len - 4) {
        return false;
    }
    *ret_text = slice_of(rest->data + 4, get_be32(rest->data));
    *rest = slice_skip(*rest, 4 + ret_text->len);
    return true;
}

enum err timer_decode(struct slice payload, struct timer *ret_timer)
{
    const uint8_t *at = payload.data;
    if (payload.len < TIMER_HEAD_BYTES || at[0] != TIMER_FORMAT || at[1] < TIMER_SCHEDULED ||
        at[1] > TIMER_FAILED || at[2] < CATCH_UP_ONE || at[2] > CATCH_UP_NONE) {
        return ERR_CORRUPT;
    }
    struct timer t = {
        .state = (enum timer_state)at[1],
        .catch_up = (enum timer_catch_up)at[2],
        .at_ms = get_be64(at + 3),
        .due_ms = get_be64(at + 11),
        .every_ms = get_be64(at + 19),
        .missed = get_be64(at + 27),
        .firing = get_be64(at + 35),
        .fired_ms = get_be64(at + 43),
        .failed_count = get_be32(at + 51),
    };
    struct slice rest = slice_skip(payload, 55);
    if (!get_text(&rest, &t.cron) || !get_text(&rest, &t.tz) || !get_text(&rest, &t.webhook) ||
        !get_text(&rest, &t.payload) || !get_text(&rest, &t.error) || rest.len != 0 ||
        !timer_is_sane(&t)) {
        return ERR_CORRUPT;
    }
    *ret_timer = t;
    return ERR_OK;
}
