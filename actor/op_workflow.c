/* What clients ask of a workflow: POST and GET .../workflow, its events, pause, resume, terminate and restart.
 * What comes of its run is op_workflow_run.c. */
#include <string.h>

#include "actor/actor.h"
#include "actor/members.h"
#include "actor/ops.h"
#include "actor/registry.h"
#include "actor/workflow_row.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "rpc/value.h"

enum {
    SHOWN_BYTES_MAX = 4 * 1024 * 1024, /* of outputs in one answer; larger ones are left out */
    SCAN_BYTES_FIRST = 16 * 1024 * 1024,
    QUEUED_AFTER_MS = 1000,
    NAME_SHOWN_BYTES = 120,
};

static enum err get_run(struct turn *t, struct workflow *ret_workflow)
{
    bool found = false;
    enum err err = workflow_row_get(t, ret_workflow, &found);
    return err == ERR_OK && !found ? reply_fail(&t->request->reply, ERR_NO_SUCH_WORKFLOW, NULL)
                                   : err;
}

static enum err read_body(struct request *r, struct member *members, size_t count)
{
    return r->body != NULL ? members_read(bytes_slice(r->body), members, count, &r->reply) : ERR_OK;
}

static enum err check_value(struct request *r, const struct member *m, const char *limit)
{
    return m->doc.len > WORKFLOW_VALUE_BYTES_MAX
               ? reply_too_large(&r->reply, limit, WORKFLOW_VALUE_BYTES_MAX)
               : ERR_OK;
}

static void answer_status(struct request *r, int status, const char *text)
{
    struct buf body = {0};
    value_put_map(&body, 1);
    value_put_text(&body, "status");
    value_put_text(&body, text);
    reply_body(&r->reply, status, &body);
}

/* POST */

enum err op_workflow_start(struct turn *t, struct request *r)
{
    struct member params = {.name = "params"};
    struct workflow w;
    bool found = false;
    enum err err = read_body(r, &params, 1);
    if (err == ERR_OK) {
        err = check_value(r, &params, "params_bytes");
    }
    if (err == ERR_OK) {
        err = workflow_row_get(t, &w, &found);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (found) {
        return reply_fail(&r->reply, ERR_CONFLICT, "The workflow was started before.");
    }
    workflow_start(&w, t->log_time_ms);
    workflow_row_put(t, NULL, &w);
    if (member_is_given(&params)) {
        workflow_value_put(t, 'p', params.doc);
    }
    answer_status(r, 201, "running");
    return ERR_OK;
}

/* GET */

static void put_time(struct buf *body, const char *name, uint64_t ms)
{
    value_put_text(body, name);
    if (ms != 0) {
        value_put_uint(body, ms);
    } else {
        value_put_nil(body);
    }
}

static void put_step(struct buf *body, const struct workflow_step *s, size_t *shown_bytes,
                     uint64_t now_ms)
{
    static const char *const types[] = {[WORKFLOW_DO] = "do",
                                        [WORKFLOW_SLEEP] = "sleep",
                                        [WORKFLOW_EVENT] = "event",
                                        [WORKFLOW_ROLLBACK] = "rollback"};
    bool is_done = s->state == WORKFLOW_STEP_DONE;
    bool has_result = s->result.len > 0;
    bool fits = *shown_bytes + s->result.len <= SHOWN_BYTES_MAX;
    bool waits = s->state == WORKFLOW_STEP_WAITING && s->due_ms != 0;
    value_put_map(body, 6 + (has_result ? 1 : 0) + (waits ? 1 : 0));
    value_put_text(body, "name");
    value_put_str(body, s->name);
    value_put_text(body, "type");
    value_put_text(body, types[s->type]);
    value_put_text(body, "attempts");
    value_put_uint(body, s->attempts);
    value_put_text(body, "status");
    value_put_text(body, workflow_step_shown_state(s, now_ms));
    put_time(body, "started", s->started_ms);
    put_time(body, "ended", workflow_step_shown_end(s, now_ms));
    if (waits) {
        put_time(body, "due", s->due_ms);
    }
    if (has_result && fits) {
        *shown_bytes += s->result.len;
        value_put_text(body, is_done ? "output" : "error");
        value_put_raw(body, s->result);
    } else if (has_result) {
        value_put_text(body, "output_bytes");
        value_put_uint(body, s->result.len);
    }
}

/* In the order of their start, as far as one read goes. */
static enum err put_steps(struct turn *t, struct buf *ret_steps, uint32_t *ret_count, bool *ret_cut)
{
    struct workflow_range range;
    struct scan_cursor cursor;
    struct scan_item item;
    struct workflow_step s;
    size_t shown_bytes = 0;
    workflow_range_init(&range, SLICE("s"), SLICE(""), WORKFLOW_STEPS_MAX + 1, SCAN_BYTES_FIRST);
    enum err err = turn_scan(t, &range.range, &cursor);
    while (err == ERR_OK && scan_next(&cursor, &item)) {
        if (workflow_step_decode(bytes_slice(item.value), &s) != ERR_OK) {
            err = reply_fail(&t->request->reply, ERR_CORRUPT, "The record of a step is damaged.");
        } else {
            put_step(ret_steps, &s, &shown_bytes, t->log_time_ms);
            ++*ret_count;
        }
    }
    *ret_cut = err == ERR_OK && cursor.ended_early;
    workflow_range_done(&range);
    return err;
}

/* It waits for an isolate to begin in. */
static bool is_queued(const struct turn *t, const struct workflow *w)
{
    const struct registry *g = t->actor->registry;
    return w->state == WORKFLOW_RUNNING && !w->is_begun &&
           w->created_ms + QUEUED_AFTER_MS < t->log_time_ms &&
           (g->has_code == NULL || !g->has_code(g->has_code_ctx, &t->actor->identity, NULL));
}

static void put_value(struct buf *body, const char *name, bool has, struct slice value)
{
    value_put_text(body, name);
    if (has && value.len > 0) {
        value_put_raw(body, value);
    } else {
        value_put_nil(body);
    }
}

enum err op_workflow_get(struct turn *t, struct request *r)
{
    struct workflow w;
    struct slice result = {0};
    struct buf steps = {0};
    uint32_t count = 0;
    bool is_cut = false;
    enum err err = get_run(t, &w);
    if (err == ERR_OK) {
        err = workflow_value_get(t, 'o', &result);
    }
    if (err == ERR_OK) {
        err = put_steps(t, &steps, &count, &is_cut);
    }
    if (err == ERR_OK) {
        struct buf body = {0};
        enum workflow_state state = workflow_shown_state(&w, t->log_time_ms);
        value_put_map(&body, is_cut ? 7 : 6);
        value_put_text(&body, "status");
        value_put_text(&body, is_queued(t, &w) ? "queued" : workflow_state_name(state));
        put_value(&body, "output", w.state == WORKFLOW_COMPLETE, result);
        put_value(&body, "error", w.state == WORKFLOW_ERRORED, result);
        put_time(&body, "created", w.created_ms);
        put_time(&body, "ended", w.ended_ms);
        value_put_text(&body, "steps");
        value_put_array(&body, count);
        buf_append_slice(&body, buf_slice(&steps));
        if (is_cut) {
            value_put_text(&body, "steps_cut");
            value_put_bool(&body, true);
        }
        reply_body(&r->reply, 200, &body);
    }
    buf_done(&steps);
    return err;
}

/* Events */

static void put_event(struct buf *out, struct slice type, const struct member *payload,
                      uint64_t now_ms)
{
    value_put_map(out, 3);
    value_put_text(out, "payload");
    if (member_is_given(payload)) {
        value_put_raw(out, payload->doc);
    } else {
        value_put_nil(out);
    }
    value_put_text(out, "timestamp");
    value_put_date_ms(out, (int64_t)now_ms);
    value_put_text(out, "type");
    value_put_str(out, type);
}

/* The step that has waited longest for an event of that type, and does so still. */
static enum err find_waiting(struct turn *t, struct slice type, struct workflow_step *ret_step,
                             bool *ret_found)
{
    enum { ROWS_FIRST = 64, BYTES_FIRST = 64 * 1024 };
    struct workflow_range range;
    struct scan_cursor cursor;
    struct scan_item item;
    struct buf prefix = {0};
    *ret_found = false;
    workflow_event_prefix('w', type, &prefix);
    workflow_range_init(&range, buf_slice(&prefix), SLICE(""), ROWS_FIRST, BYTES_FIRST);
    enum err err = turn_scan(t, &range.range, &cursor);
    while (err == ERR_OK && !*ret_found && scan_next(&cursor, &item)) {
        uint64_t until_ms = item.value->len == 8 ? get_be64(item.value->data) : 1;
        uint64_t order = get_be64(item.key.data + item.key.len - 8);
        if (until_ms == 0 || until_ms > t->log_time_ms) {
            err = workflow_step_get(t, (uint32_t)order, ret_step, ret_found);
        }
    }
    if (err == ERR_OK && !*ret_found && cursor.ended_early) {
        err = turn_scan_further(t);
    }
    workflow_range_done(&range);
    buf_done(&prefix);
    return err;
}

static void keep_event(struct turn *t, struct workflow *w, struct slice type, struct slice event)
{
    struct buf key = {0};
    struct bytes *value = bytes_new(event);
    workflow_event_key('e', type, ++w->last_event, &key);
    turn_put(t, ROW_WORKFLOW, buf_slice(&key), value);
    bytes_unref(value);
    buf_done(&key);
    w->event_count++;
}

static void end_wait(struct turn *t, struct workflow *w, struct workflow_step *s,
                     struct slice event)
{
    workflow_wait_delete(t, s);
    workflow_step_arrive(s, event, t->log_time_ms);
    w->bytes += event.len;
    workflow_step_put(t, s);
    workflow_tell(w, t->log_time_ms);
}

static enum err check_type(struct request *r, struct slice type)
{
    if (type.len == 0 || !slice_is_utf8(type) || memchr(type.data, 0, type.len) != NULL) {
        return reply_fail(&r->reply, ERR_BAD_REQUEST,
                          "type is no text of 1 to %d bytes without NUL.",
                          WORKFLOW_EVENT_TYPE_BYTES_MAX);
    }
    if (type.len > WORKFLOW_EVENT_TYPE_BYTES_MAX) {
        (void)reply_fail(&r->reply, ERR_TOO_LARGE,
                         "The event type \"%.*s...\" is longer than %d bytes.", 40,
                         (const char *)type.data, WORKFLOW_EVENT_TYPE_BYTES_MAX);
        r->reply.limit_name = "event_type_bytes";
        r->reply.limit_value = WORKFLOW_EVENT_TYPE_BYTES_MAX;
        return ERR_TOO_LARGE;
    }
    return ERR_OK;
}

enum err op_workflow_event(struct turn *t, struct request *r)
{
    struct member m[] = {{.name = "type"}, {.name = "payload"}};
    struct workflow_step s;
    struct workflow w;
    struct slice type;
    bool waits = false;
    enum err err = read_body(r, m, 2);
    if (err == ERR_OK) {
        err = member_str(&m[0], &type, &r->reply);
    }
    if (err == ERR_OK) {
        err = check_type(r, type);
    }
    if (err == ERR_OK) {
        err = check_value(r, &m[1], "payload_bytes");
    }
    if (err == ERR_OK) {
        err = get_run(t, &w);
    }
    if (err == ERR_OK && workflow_is_over(&w)) {
        err = reply_fail(&r->reply, ERR_CONFLICT, "The run is %s.", workflow_state_name(w.state));
    }
    if (err == ERR_OK) {
        err = find_waiting(t, type, &s, &waits);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (!waits && w.event_count >= WORKFLOW_EVENTS_MAX) {
        return reply_limited(&r->reply, ERR_OVERLOADED, "workflow_events", WORKFLOW_EVENTS_MAX);
    }
    const struct workflow old = w;
    struct buf event = {0};
    put_event(&event, type, &m[1], t->log_time_ms);
    if (waits) {
        end_wait(t, &w, &s, buf_slice(&event));
    } else {
        keep_event(t, &w, type, buf_slice(&event));
    }
    buf_done(&event);
    workflow_row_put(t, &old, &w);
    answer_status(r, 202, workflow_state_name(workflow_shown_state(&w, t->log_time_ms)));
    return ERR_OK;
}

/* Restart */

static void append_key(struct buf *keys, struct slice key)
{
    buf_append_u16(keys, (uint16_t)key.len);
    buf_append_slice(keys, key);
}

/* Appends the keys of all steps, or of what steps from that order on wait for. */
static enum err collect_keys(struct turn *t, char letter, uint64_t from, struct buf *ret_keys)
{
    struct workflow_range range;
    struct scan_cursor cursor;
    struct scan_item item;
    workflow_range_init(&range, slice_of(&letter, 1), SLICE(""), WORKFLOW_STEPS_MAX + 1,
                        SCAN_BYTES_FIRST);
    range.range.keys_only = true;
    enum err err = turn_scan(t, &range.range, &cursor);
    while (err == ERR_OK && scan_next(&cursor, &item)) {
        if (letter == 's' || get_be64(item.key.data + item.key.len - 8) >= from) {
            append_key(ret_keys, item.key);
        }
    }
    if (err == ERR_OK && cursor.ended_early) {
        err = turn_scan_further(t);
    }
    workflow_range_done(&range);
    return err;
}

/* The steps from the named one on: their keys, the first one's order, and how many bytes they have. */
static enum err collect_from(struct turn *t, struct slice name, struct buf *ret_keys,
                             uint64_t *ret_from, uint64_t *ret_bytes)
{
    struct workflow_range range;
    struct scan_cursor cursor;
    struct scan_item item;
    struct workflow_step s;
    workflow_range_init(&range, SLICE("s"), SLICE(""), WORKFLOW_STEPS_MAX + 1, SCAN_BYTES_FIRST);
    enum err err = turn_scan(t, &range.range, &cursor);
    while (err == ERR_OK && scan_next(&cursor, &item)) {
        if (workflow_step_decode(bytes_slice(item.value), &s) != ERR_OK) {
            err = reply_fail(&t->request->reply, ERR_CORRUPT, "The record of a step is damaged.");
        } else if (ret_keys->len > 0 || slice_equal(s.name, name)) {
            *ret_from = ret_keys->len > 0 ? *ret_from : s.order;
            append_key(ret_keys, item.key);
            *ret_bytes += s.result.len;
        }
    }
    if (err == ERR_OK && cursor.ended_early) {
        err = turn_scan_further(t);
    }
    workflow_range_done(&range);
    if (err == ERR_OK && ret_keys->len == 0) {
        err = reply_fail(&t->request->reply, ERR_NO_SUCH_STEP, "The run has no step \"%.*s\".",
                         (int)(name.len < NAME_SHOWN_BYTES ? name.len : NAME_SHOWN_BYTES),
                         (const char *)name.data);
    }
    return err;
}

static void delete_rows(struct turn *t, struct slice keys)
{
    while (keys.len > 0) {
        struct slice key = slice_of(keys.data + 2, get_be16(keys.data));
        turn_delete(t, ROW_WORKFLOW, key);
        keys = slice_skip(keys, 2 + key.len);
    }
}

static enum err restart(struct turn *t, struct workflow *w, const struct member *from)
{
    struct buf keys = {0};
    struct slice name;
    uint64_t bytes = 0;
    uint64_t order = 0;
    enum err err = member_str(from, &name, &t->request->reply);
    if (err == ERR_OK) {
        err = member_is_given(from) ? collect_from(t, name, &keys, &order, &bytes)
                                    : collect_keys(t, 's', 0, &keys);
    }
    if (err == ERR_OK) {
        err = collect_keys(t, 'w', order, &keys);
    }
    if (err == ERR_OK) {
        delete_rows(t, buf_slice(&keys));
        workflow_value_delete(t, 'o');
        w->bytes = member_is_given(from) && bytes < w->bytes ? w->bytes - bytes : 0;
        workflow_restart(w, t->log_time_ms);
    }
    buf_done(&keys);
    return err;
}

/* Control */

static enum err control(struct turn *t, struct workflow *w, struct slice verb,
                        const struct member *from)
{
    struct request *r = t->request;
    if (slice_equal_str(verb, "restart")) {
        return restart(t, w, from);
    }
    enum err err = slice_equal_str(verb, "pause")    ? workflow_pause(w)
                   : slice_equal_str(verb, "resume") ? workflow_resume(w, t->log_time_ms)
                                                     : workflow_terminate(w, t->log_time_ms);
    return err == ERR_OK
               ? ERR_OK
               : reply_fail(&r->reply, err, "The run is %s.", workflow_state_name(w->state));
}

enum err op_workflow_control(struct turn *t, struct request *r)
{
    struct member from = {.name = "from"};
    struct slice verb = bytes_slice(r->name);
    struct workflow w;
    enum err err = read_body(r, &from, slice_equal_str(verb, "restart") ? 1 : 0);
    if (err == ERR_OK) {
        err = get_run(t, &w);
    }
    if (err != ERR_OK) {
        return err;
    }
    const struct workflow old = w;
    err = control(t, &w, verb, &from);
    if (err != ERR_OK) {
        return err;
    }
    workflow_row_put(t, &old, &w);
    answer_status(r, 200, workflow_state_name(workflow_shown_state(&w, t->log_time_ms)));
    return ERR_OK;
}
