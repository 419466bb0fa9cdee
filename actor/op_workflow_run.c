/* The turns of a run: the scheduler has it looked after, and its code writes its journal.
 *
 * A run whose time has come is told to its code, with its journal. What the code does then comes back as
 * batches of the journal, each of which names the epoch that it is of: what a run of another epoch says, or of one
 * that is over, is refused. */
#include "actor/actor.h"
#include "actor/ops.h"
#include "actor/workflow_row.h"
#include "base/invariant.h"
#include "rpc/value.h"

enum { PAGE_ROWS = 1000, JOURNAL_PAGE_BYTES = 4 * 1024 * 1024, WRITES_MAX = 4096 };

/* The journal, page by page */

/* [rows, more] from that order on. */
static enum err put_page(struct turn *t, uint32_t from, struct buf *out)
{
    struct workflow_range range;
    struct scan_cursor cursor;
    struct scan_item item;
    struct buf low = {0};
    struct buf rows = {0};
    uint32_t count = 0;
    bool more = false;
    workflow_step_key(from, &low);
    workflow_range_init(&range, SLICE("s"), buf_slice(&low), PAGE_ROWS + 1,
                        JOURNAL_PAGE_BYTES + WORKFLOW_VALUE_BYTES_MAX);
    enum err err = turn_scan(t, &range.range, &cursor);
    while (err == ERR_OK && !more && scan_next(&cursor, &item)) {
        more = count == PAGE_ROWS || (count > 0 && rows.len + item.value->len > JOURNAL_PAGE_BYTES);
        if (!more) {
            value_put_raw(&rows, bytes_slice(item.value));
            count++;
        }
    }
    if (err == ERR_OK && cursor.ended_early && count == 0) {
        err = turn_scan_further(t);
    }
    if (err == ERR_OK) {
        value_put_array(out, count);
        buf_append_slice(out, buf_slice(&rows));
        value_put_bool(out, more || cursor.ended_early);
    }
    workflow_range_done(&range);
    buf_done(&low);
    buf_done(&rows);
    return err;
}

/* The body is the order to begin with. */
enum err op_code_journal_page(struct turn *t, struct request *r)
{
    struct buf body = {0};
    uint64_t from = 0;
    if (r->body == NULL || !value_get_uint(bytes_slice(r->body), &from) ||
        from > WORKFLOW_STEPS_MAX) {
        return reply_fail(&r->reply, ERR_INVALID_VALUE,
                          "A page of the journal begins with a step.");
    }
    value_put_array(&body, 2);
    enum err err = put_page(t, (uint32_t)from, &body);
    if (err == ERR_OK) {
        reply_body(&r->reply, 200, &body);
    }
    buf_done(&body);
    return err;
}

/* Fire */

static enum err forget(struct turn *t, struct request *r)
{
    turn_forget_due(t, r->timer.number, r->timer.due_ms, ROW_WORKFLOW, bytes_slice(r->name));
    r->reply.status = 204;
    return ERR_OK;
}

/* As a timer's delivery (op_timer_fire.c), and what the run's code is told:
 * [epoch, news, now, created, parameters or nil, rows, more]. */
static enum err answer_delivery(struct turn *t, const struct workflow *w)
{
    struct request *r = t->request;
    const struct address *a = &t->actor->address;
    struct slice params;
    struct buf body = {0};
    enum err err = workflow_value_get(t, 'p', &params);
    if (err != ERR_OK) {
        return err;
    }
    value_put_map(&body, 5);
    value_put_text(&body, "address");
    value_put_array(&body, 3);
    value_put_str(&body, a->ns);
    value_put_str(&body, a->class);
    value_put_str(&body, a->id);
    value_put_text(&body, "failed");
    value_put_uint(&body, w->cut_offs);
    value_put_text(&body, "webhook");
    value_put_text(&body, "");
    value_put_text(&body, "firing");
    value_put_uint(&body, w->news);
    value_put_text(&body, "event");
    value_put_array(&body, 7);
    value_put_uint(&body, w->epoch);
    value_put_uint(&body, w->news);
    value_put_uint(&body, t->log_time_ms);
    value_put_uint(&body, w->created_ms);
    if (params.len > 0) {
        value_put_bin(&body, params);
    } else {
        value_put_nil(&body);
    }
    err = put_page(t, 0, &body);
    if (err == ERR_OK) {
        reply_body(&r->reply, 200, &body);
    }
    buf_done(&body);
    return err;
}

enum err op_workflow_fire(struct turn *t, struct request *r)
{
    const struct timer_call *call = &r->timer;
    struct workflow w;
    bool found = false;
    if (t->number != call->number) {
        return forget(t, r);
    }
    enum err err = workflow_row_get(t, &w, &found);
    if (err != ERR_OK) {
        return err;
    }
    if (!found || w.due_ms != call->due_ms) {
        return forget(t, r);
    }
    if (w.due_ms > t->log_time_ms || w.due_ms > call->wall_ms) {
        return reply_fail(&r->reply, ERR_BUSY, "The run waits.");
    }
    err = call->may_deliver(call->ctx, r, SLICE(""), w.news);
    return err != ERR_OK ? reply_fail(&r->reply, err, NULL) : answer_delivery(t, &w);
}

/* The run's code was stopped in the middle, or never began; the body says how. */
enum err op_workflow_outcome(struct turn *t, struct request *r)
{
    struct workflow w;
    struct slice text;
    bool found = false;
    r->reply.status = 204;
    if (t->number != r->timer.number) {
        return ERR_OK;
    }
    enum err err = workflow_row_get(t, &w, &found);
    if (err != ERR_OK) {
        return err;
    }
    if (!found || workflow_is_over(&w) || w.news != r->timer.firing || r->body == NULL) {
        return ERR_OK;
    }
    const struct workflow old = w;
    if (!workflow_cut_off(&w, t->log_time_ms)) {
        struct buf error = {0};
        text = value_get_str(bytes_slice(r->body), &text) ? text : SLICE("It was stopped.");
        value_put_map(&error, 2);
        value_put_text(&error, "name");
        value_put_text(&error, "Error");
        value_put_text(&error, "message");
        value_put_str(&error, text);
        workflow_value_put(t, 'o', buf_slice(&error));
        buf_done(&error);
    }
    workflow_row_put(t, &old, &w);
    return ERR_OK;
}

/* What the code writes. All of it is hostile. */

static enum err bad(struct request *r)
{
    return reply_fail(&r->reply, ERR_INVALID_VALUE, "A write of the run's journal is malformed.");
}

static bool take_uint(struct value_iter *it, uint64_t low, uint64_t high, uint64_t *ret)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_uint(doc, ret) && *ret >= low && *ret <= high;
}

/* Nil: nothing. */
static bool take_value(struct value_iter *it, struct slice *ret)
{
    struct slice doc;
    const char *reason;
    *ret = (struct slice){0};
    if (!value_next(it, &doc)) {
        return false;
    }
    return value_type(doc) == VALUE_NIL ||
           (value_get_bin(doc, ret) && value_check(*ret, VALUE_DEPTH_MAX, &reason) == ERR_OK);
}

/* order, name, type, state, attempts, failures, started, due, resolved, event type, result */
static bool take_step(struct value_iter *it, struct workflow_step *ret)
{
    struct slice doc;
    struct slice name;
    struct slice type;
    struct slice result;
    uint64_t n[8] = {0};
    bool is_read = take_uint(it, 0, WORKFLOW_STEPS_MAX - 1, &n[0]) && value_next(it, &doc) &&
                   value_get_str(doc, &name) && name.len > 0 &&
                   take_uint(it, WORKFLOW_DO, WORKFLOW_ROLLBACK, &n[1]) &&
                   take_uint(it, WORKFLOW_STEP_RUNNING, WORKFLOW_STEP_FAILED, &n[2]) &&
                   take_uint(it, 0, UINT32_MAX, &n[3]) && take_uint(it, 0, UINT32_MAX, &n[4]) &&
                   take_uint(it, 0, UINT64_MAX, &n[5]) && take_uint(it, 0, UINT64_MAX, &n[6]) &&
                   take_uint(it, 0, UINT64_MAX, &n[7]) && value_next(it, &doc) &&
                   value_get_str(doc, &type) && type.len <= WORKFLOW_EVENT_TYPE_BYTES_MAX &&
                   take_value(it, &result) && it->left == 0;
    if (!is_read || !slice_is_utf8(name) || !slice_is_utf8(type) ||
        (n[1] == WORKFLOW_EVENT) != (type.len > 0)) {
        return false;
    }
    *ret = (struct workflow_step){.order = (uint32_t)n[0],
                                  .type = (enum workflow_step_type)n[1],
                                  .state = (enum workflow_step_state)n[2],
                                  .attempts = (uint32_t)n[3],
                                  .failures = (uint32_t)n[4],
                                  .started_ms = n[5],
                                  .due_ms = n[6],
                                  .resolved = n[7],
                                  .name = name,
                                  .event_type = type,
                                  .result = result};
    return true;
}

/* An event may have come before: then the step does not wait, and its code hears of it. */
static enum err begin_wait(struct turn *t, struct workflow *w, struct workflow_step *s)
{
    struct slice event;
    enum err err = workflow_event_take(t, w, s->event_type, &event);
    if (err == ERR_OK && event.len > 0) {
        workflow_step_arrive(s, event, t->log_time_ms);
        w->bytes += event.len;
        workflow_tell(w, t->log_time_ms);
    } else if (err == ERR_OK) {
        workflow_wait_put(t, s);
    }
    return err;
}

static enum err write_step(struct turn *t, struct workflow *w, struct value_iter *it)
{
    struct workflow_step s = {0};
    struct request *r = t->request;
    if (!take_step(it, &s)) {
        return bad(r);
    }
    if (s.result.len > WORKFLOW_VALUE_BYTES_MAX) {
        return reply_too_large(&r->reply, "output_bytes", WORKFLOW_VALUE_BYTES_MAX);
    }
    w->bytes += s.result.len;
    if (w->bytes > WORKFLOW_BYTES_MAX) {
        return reply_limited(&r->reply, ERR_STORAGE_FULL, "workflow_bytes", WORKFLOW_BYTES_MAX);
    }
    bool ends = s.state == WORKFLOW_STEP_DONE || s.state == WORKFLOW_STEP_FAILED;
    uint64_t now_ms = t->log_time_ms;
    s.started_ms = s.started_ms < now_ms ? s.started_ms : now_ms;
    if (ends) {
        s.ended_ms = s.type == WORKFLOW_SLEEP && s.due_ms < now_ms ? s.due_ms : now_ms;
    }
    enum err err = ERR_OK;
    if (s.type == WORKFLOW_EVENT && s.state == WORKFLOW_STEP_WAITING) {
        err = begin_wait(t, w, &s);
    } else if (s.type == WORKFLOW_EVENT) {
        workflow_wait_delete(t, &s);
    }
    if (err == ERR_OK) {
        workflow_step_put(t, &s);
    }
    return err;
}

/* order, resolved: its code has heard how that step ended. */
static enum err write_ack(struct turn *t, struct value_iter *it)
{
    struct workflow_step s;
    uint64_t order;
    uint64_t resolved;
    bool found = false;
    if (!take_uint(it, 0, WORKFLOW_STEPS_MAX - 1, &order) ||
        !take_uint(it, 1, UINT64_MAX, &resolved)) {
        return bad(t->request);
    }
    enum err err = workflow_step_get(t, (uint32_t)order, &s, &found);
    if (err == ERR_OK && found) {
        s.resolved = resolved;
        workflow_step_put(t, &s);
    }
    return err;
}

/* has failed, result */
static enum err write_end(struct turn *t, struct workflow *w, struct value_iter *it)
{
    struct slice doc;
    struct slice result;
    bool failed;
    if (!value_next(it, &doc) || !value_get_bool(doc, &failed) || !take_value(it, &result)) {
        return bad(t->request);
    }
    if (result.len > WORKFLOW_VALUE_BYTES_MAX) {
        return reply_too_large(&t->request->reply, "output_bytes", WORKFLOW_VALUE_BYTES_MAX);
    }
    if (result.len > 0) {
        workflow_value_put(t, 'o', result);
    }
    workflow_end(w, failed ? WORKFLOW_ERRORED : WORKFLOW_COMPLETE, t->log_time_ms);
    return ERR_OK;
}

static enum err write_one(struct turn *t, struct workflow *w, uint64_t news, struct slice write)
{
    struct value_iter it = value_items(write);
    struct slice doc;
    struct slice what;
    uint64_t due_ms;
    if (workflow_is_over(w) || !value_next(&it, &doc) || !value_get_str(doc, &what)) {
        return bad(t->request);
    }
    if (slice_equal_str(what, "step")) {
        return write_step(t, w, &it);
    }
    if (slice_equal_str(what, "ack")) {
        return write_ack(t, &it);
    }
    if (slice_equal_str(what, "end")) {
        return write_end(t, w, &it);
    }
    if (!slice_equal_str(what, "wait") || !take_uint(&it, 0, UINT64_MAX, &due_ms)) {
        return bad(t->request);
    }
    workflow_wait(w, news, due_ms, t->log_time_ms);
    return ERR_OK;
}

struct journal {
    uint64_t epoch;
    uint64_t news;
    struct slice writes;
};

static bool read_journal(const struct request *r, struct journal *ret)
{
    struct value_iter it =
        r->body != NULL ? value_items(bytes_slice(r->body)) : (struct value_iter){.left = 0};
    return take_uint(&it, 0, UINT32_MAX, &ret->epoch) &&
           take_uint(&it, 0, UINT64_MAX, &ret->news) && value_next(&it, &ret->writes) &&
           value_type(ret->writes) == VALUE_ARRAY && value_count(ret->writes) <= WRITES_MAX;
}

/* What the code asked for is written, or nothing of it. It stops where it is told that the run is paused. */
static void answer_journal(struct request *r, const struct workflow *w)
{
    r->reply.status = r->outcome != NULL || w->state == WORKFLOW_PAUSED ? 200 : 204;
    r->reply.body = bytes_ref(r->outcome);
    if (r->outcome == NULL && w->state == WORKFLOW_PAUSED) {
        struct buf body = {0};
        value_put_text(&body, "paused");
        reply_body(&r->reply, 200, &body);
    }
}

enum err op_code_journal(struct turn *t, struct request *r)
{
    struct journal j;
    struct workflow w;
    struct slice write;
    bool found = false;
    if (r->body == NULL) { /* an event that ends without a word: its run was stopped */
        r->reply.status = r->outcome != NULL ? 200 : 204;
        r->reply.body = bytes_ref(r->outcome);
        return ERR_OK;
    }
    if (!read_journal(r, &j)) {
        return bad(r);
    }
    enum err err = workflow_row_get(t, &w, &found);
    if (err != ERR_OK) {
        return err;
    }
    if (!found || w.epoch != j.epoch || workflow_is_over(&w)) {
        return reply_fail(&r->reply, ERR_CONFLICT, "The run is over.");
    }
    const struct workflow old = w;
    w.is_begun = true;
    w.cut_offs = 0;
    for (struct value_iter it = value_items(j.writes); err == ERR_OK && value_next(&it, &write);) {
        err = write_one(t, &w, j.news, write);
    }
    if (err == ERR_OK) {
        workflow_row_put(t, &old, &w);
        answer_journal(r, &w);
    }
    return err;
}
