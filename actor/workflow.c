#include "actor/workflow.h"

#include "base/endian.h"
#include "base/invariant.h"
#include "rpc/value.h"

enum {
    WORKFLOW_FORMAT = 1,
    WORKFLOW_ROW_BYTES = 1 + 1 + 1 + 4 + 4 + 4 + 8 * 6,
    STEP_FORMAT = 1,
    STEP_ITEMS = 13,
};

bool workflow_is_over(const struct workflow *w)
{
    return w->state == WORKFLOW_ERRORED || w->state == WORKFLOW_TERMINATED ||
           w->state == WORKFLOW_COMPLETE;
}

const char *workflow_state_name(enum workflow_state state)
{
    switch (state) {
    case WORKFLOW_RUNNING:
        return "running";
    case WORKFLOW_WAITING:
        return "waiting";
    case WORKFLOW_PAUSED:
        return "paused";
    case WORKFLOW_ERRORED:
        return "errored";
    case WORKFLOW_TERMINATED:
        return "terminated";
    case WORKFLOW_COMPLETE:
        return "complete";
    }
    UNREACHABLE();
}

enum workflow_state workflow_shown_state(const struct workflow *w, uint64_t now_ms)
{
    bool is_woken = w->state == WORKFLOW_WAITING && w->due_ms != 0 && w->due_ms <= now_ms;
    return is_woken ? WORKFLOW_RUNNING : w->state;
}

/* Moves */

void workflow_start(struct workflow *w, uint64_t now_ms)
{
    *w = (struct workflow){
        .state = WORKFLOW_RUNNING, .epoch = 1, .created_ms = now_ms, .due_ms = now_ms, .news = 1};
}

enum err workflow_pause(struct workflow *w)
{
    if (workflow_is_over(w)) {
        return ERR_CONFLICT;
    }
    w->state = WORKFLOW_PAUSED;
    w->due_ms = 0;
    return ERR_OK;
}

enum err workflow_resume(struct workflow *w, uint64_t now_ms)
{
    if (workflow_is_over(w)) {
        return ERR_CONFLICT;
    }
    if (w->state == WORKFLOW_PAUSED) {
        w->state = WORKFLOW_RUNNING;
        workflow_tell(w, now_ms);
    }
    return ERR_OK;
}

enum err workflow_terminate(struct workflow *w, uint64_t now_ms)
{
    if (w->state == WORKFLOW_COMPLETE || w->state == WORKFLOW_ERRORED) {
        return ERR_CONFLICT;
    }
    if (w->state != WORKFLOW_TERMINATED) {
        workflow_end(w, WORKFLOW_TERMINATED, now_ms);
    }
    return ERR_OK;
}

void workflow_restart(struct workflow *w, uint64_t now_ms)
{
    w->state = WORKFLOW_RUNNING;
    w->is_begun = false;
    w->epoch++;
    w->cut_offs = 0;
    w->created_ms = now_ms;
    w->ended_ms = 0;
    workflow_tell(w, now_ms);
}

void workflow_tell(struct workflow *w, uint64_t now_ms)
{
    w->news++;
    if (w->state == WORKFLOW_RUNNING || w->state == WORKFLOW_WAITING) {
        w->due_ms = now_ms;
    }
}

void workflow_wait(struct workflow *w, uint64_t news, uint64_t due_ms, uint64_t now_ms)
{
    if (w->state == WORKFLOW_PAUSED) {
        return;
    }
    PRE(!workflow_is_over(w));
    w->state = WORKFLOW_WAITING;
    w->due_ms = news == w->news ? due_ms : now_ms;
}

void workflow_end(struct workflow *w, enum workflow_state state, uint64_t now_ms)
{
    w->state = state;
    POST(workflow_is_over(w));
    w->ended_ms = now_ms;
    w->due_ms = 0;
    w->news++;
}

bool workflow_cut_off(struct workflow *w, uint64_t now_ms)
{
    if (++w->cut_offs >= WORKFLOW_CUT_OFFS_MAX) {
        workflow_end(w, WORKFLOW_ERRORED, now_ms);
        return false;
    }
    uint64_t pause_ms = (uint64_t)WORKFLOW_AGAIN_MS << (w->cut_offs - 1);
    if (w->state != WORKFLOW_PAUSED) {
        w->due_ms = now_ms + (pause_ms < WORKFLOW_AGAIN_MS_MAX ? pause_ms : WORKFLOW_AGAIN_MS_MAX);
    }
    return true;
}

/* Steps */

void workflow_step_arrive(struct workflow_step *s, struct slice event, uint64_t now_ms)
{
    PRE(s->type == WORKFLOW_EVENT && event.len > 0);
    s->state = WORKFLOW_STEP_DONE;
    s->ended_ms = now_ms;
    s->result = event;
}

static bool is_sleep_over(const struct workflow_step *s, uint64_t now_ms)
{
    return s->type == WORKFLOW_SLEEP && s->state == WORKFLOW_STEP_WAITING && s->due_ms <= now_ms;
}

const char *workflow_step_shown_state(const struct workflow_step *s, uint64_t now_ms)
{
    switch (s->state) {
    case WORKFLOW_STEP_RUNNING:
        return "running";
    case WORKFLOW_STEP_WAITING:
        return is_sleep_over(s, now_ms) ? "complete" : "waiting";
    case WORKFLOW_STEP_DONE:
        return "complete";
    case WORKFLOW_STEP_FAILED:
        return "errored";
    }
    UNREACHABLE();
}

uint64_t workflow_step_shown_end(const struct workflow_step *s, uint64_t now_ms)
{
    return is_sleep_over(s, now_ms) ? s->due_ms : s->ended_ms;
}

/* Rows */

void workflow_encode(const struct workflow *w, struct buf *out)
{
    buf_append_byte(out, WORKFLOW_FORMAT);
    buf_append_byte(out, (uint8_t)w->state);
    buf_append_byte(out, w->is_begun ? 1 : 0);
    buf_append_u32(out, w->epoch);
    buf_append_u32(out, w->cut_offs);
    buf_append_u32(out, w->event_count);
    buf_append_u64(out, w->last_event);
    buf_append_u64(out, w->created_ms);
    buf_append_u64(out, w->ended_ms);
    buf_append_u64(out, w->due_ms);
    buf_append_u64(out, w->news);
    buf_append_u64(out, w->bytes);
}

enum err workflow_decode(struct slice payload, struct workflow *ret_workflow)
{
    const uint8_t *at = payload.data;
    if (payload.len != WORKFLOW_ROW_BYTES || at[0] != WORKFLOW_FORMAT || at[1] < WORKFLOW_RUNNING ||
        at[1] > WORKFLOW_COMPLETE) {
        return ERR_CORRUPT;
    }
    *ret_workflow = (struct workflow){
        .state = (enum workflow_state)at[1],
        .is_begun = at[2] != 0,
        .epoch = get_be32(at + 3),
        .cut_offs = get_be32(at + 7),
        .event_count = get_be32(at + 11),
        .last_event = get_be64(at + 15),
        .created_ms = get_be64(at + 23),
        .ended_ms = get_be64(at + 31),
        .due_ms = get_be64(at + 39),
        .news = get_be64(at + 47),
        .bytes = get_be64(at + 55),
    };
    return ERR_OK;
}

void workflow_step_encode(const struct workflow_step *s, struct buf *out)
{
    value_put_array(out, STEP_ITEMS);
    value_put_uint(out, STEP_FORMAT);
    value_put_uint(out, s->order);
    value_put_str(out, s->name);
    value_put_uint(out, s->type);
    value_put_uint(out, s->state);
    value_put_uint(out, s->attempts);
    value_put_uint(out, s->failures);
    value_put_uint(out, s->started_ms);
    value_put_uint(out, s->ended_ms);
    value_put_uint(out, s->due_ms);
    value_put_uint(out, s->resolved);
    value_put_str(out, s->event_type);
    value_put_bin(out, s->result);
}

static bool take_uint(struct value_iter *it, uint64_t max, uint64_t *ret)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_uint(doc, ret) && *ret <= max;
}

static bool take_str(struct value_iter *it, struct slice *ret)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_str(doc, ret);
}

enum err workflow_step_decode(struct slice payload, struct workflow_step *ret_step)
{
    struct value_iter it = value_items(payload);
    struct workflow_step s = {0};
    struct slice doc;
    uint64_t n[10];
    bool is_read = it.left == STEP_ITEMS && take_uint(&it, STEP_FORMAT, &n[0]) &&
                   take_uint(&it, WORKFLOW_STEPS_MAX, &n[1]) && take_str(&it, &s.name) &&
                   take_uint(&it, WORKFLOW_ROLLBACK, &n[2]) &&
                   take_uint(&it, WORKFLOW_STEP_FAILED, &n[3]);
    for (int i = 4; is_read && i < 6; i++) {
        is_read = take_uint(&it, UINT32_MAX, &n[i]);
    }
    for (int i = 6; is_read && i < 10; i++) {
        is_read = take_uint(&it, UINT64_MAX, &n[i]);
    }
    is_read = is_read && take_str(&it, &s.event_type) && value_next(&it, &doc) &&
              value_get_bin(doc, &s.result);
    if (!is_read || n[0] != STEP_FORMAT || n[2] == 0 || n[3] == 0) {
        return ERR_CORRUPT;
    }
    s.order = (uint32_t)n[1];
    s.type = (enum workflow_step_type)n[2];
    s.state = (enum workflow_step_state)n[3];
    s.attempts = (uint32_t)n[4];
    s.failures = (uint32_t)n[5];
    s.started_ms = n[6];
    s.ended_ms = n[7];
    s.due_ms = n[8];
    s.resolved = n[9];
    *ret_step = s;
    return ERR_OK;
}

void workflow_step_key(uint32_t order, struct buf *out)
{
    buf_append_byte(out, 's');
    buf_append_u32(out, order);
}

void workflow_event_prefix(char kind, struct slice type, struct buf *out)
{
    PRE(type.len <= WORKFLOW_EVENT_TYPE_BYTES_MAX);
    buf_append_byte(out, (uint8_t)kind);
    buf_append_slice(out, type);
    buf_append_byte(out, 0);
}

void workflow_event_key(char kind, struct slice type, uint64_t number, struct buf *out)
{
    workflow_event_prefix(kind, type, out);
    buf_append_u64(out, number);
}
