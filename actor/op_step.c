/* POST, PUT .../steps/{name} and GET .../steps: the moves of actor/step.h as turns. */
#include <stdlib.h>

#include "actor/actor.h"
#include "actor/members.h"
#include "actor/ops.h"
#include "actor/step.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "rpc/value.h"

/* The step as stored; `*ret_found` says whether it was ever begun. */
static enum err get_step(struct turn *t, struct request *r, struct step *ret_step, bool *ret_found)
{
    const struct row *row;
    enum err err = turn_get(t, ROW_STEP, bytes_slice(r->name), &row);
    if (err != ERR_OK) {
        return err;
    }
    *ret_found = row != NULL;
    if (row != NULL && step_decode(bytes_slice(row->value), ret_step) != ERR_OK) {
        return reply_fail(&r->reply, ERR_CORRUPT, "The record of the step is damaged.");
    }
    return ERR_OK;
}

static void put_step(struct turn *t, struct request *r, const struct step *s)
{
    struct buf record = {0};
    step_encode(s, &record);
    struct bytes *value = bytes_new(buf_slice(&record));
    buf_done(&record);
    turn_put(t, ROW_STEP, bytes_slice(r->name), value);
    bytes_unref(value);
}

/* A value that is stored with the step. */
static enum err check_value_bytes(struct request *r, const struct member *m)
{
    return m->doc.len > VALUE_BYTES_MAX ? reply_too_large(&r->reply, "value_bytes", VALUE_BYTES_MAX)
                                        : ERR_OK;
}

static void put_attempt(struct buf *body, const struct step *s)
{
    char lease[STEP_LEASE_TEXT_BYTES + 1];
    step_lease_text(s->lease, lease);
    value_put_map(body, 3);
    value_put_text(body, "state");
    value_put_text(body, "run");
    value_put_text(body, "attempt");
    value_put_uint(body, s->attempts);
    value_put_text(body, "lease");
    value_put_text(body, lease);
}

static void put_outcome(struct buf *body, const char *state, const char *member,
                        struct slice result)
{
    value_put_map(body, 2);
    value_put_text(body, "state");
    value_put_text(body, state);
    value_put_text(body, member);
    value_put_raw(body, result);
}

static void answer_begin(struct request *r, const struct step *s, enum step_answer answer,
                         uint64_t retry_after_ms)
{
    struct buf body = {0};
    switch (answer) {
    case STEP_MAY_RUN:
        put_attempt(&body, s);
        break;
    case STEP_IS_DONE:
        put_outcome(&body, "done", "output", s->result);
        break;
    case STEP_HAS_FAILED:
        put_outcome(&body, "failed", "error", s->result);
        break;
    case STEP_IS_BUSY:
        value_put_map(&body, 2);
        value_put_text(&body, "state");
        value_put_text(&body, "busy");
        value_put_text(&body, "retry_after_ms");
        value_put_uint(&body, retry_after_ms);
        break;
    }
    reply_body(&r->reply, 200, &body);
}

enum err op_step_begin(struct turn *t, struct request *r)
{
    struct member m[] = {{.name = "lease_ms"}, {.name = "input"}};
    uint64_t lease_ms = STEP_LEASE_MS;
    enum err err = ERR_OK;
    if (r->body != NULL) {
        err = members_read(bytes_slice(r->body), m, 2, &r->reply);
    }
    if (err == ERR_OK) {
        err = member_ms(&m[0], STEP_LEASE_MS_MIN, STEP_LEASE_MS_MAX, &lease_ms, &r->reply);
    }
    if (err == ERR_OK) {
        err = check_value_bytes(r, &m[1]);
    }
    struct step s = {.state = STEP_WAITING, .order = t->meta.steps};
    bool found = false;
    if (err == ERR_OK) {
        err = get_step(t, r, &s, &found);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (!found && t->meta.steps >= STEPS_MAX) {
        return reply_too_large(&r->reply, "steps", STEPS_MAX);
    }
    uint8_t lease[STEP_LEASE_BYTES];
    random_bytes(lease, sizeof lease);
    uint64_t retry_after_ms = 0;
    enum step_answer answer = step_begin(&s, lease, lease_ms, t->log_time_ms, &retry_after_ms);
    if (answer == STEP_MAY_RUN) {
        s.input = member_is_given(&m[1]) ? m[1].doc : s.input;
        t->meta.steps += found ? 0 : 1;
        put_step(t, r, &s);
    }
    answer_begin(r, &s, answer, retry_after_ms);
    return ERR_OK;
}

enum { END_LEASE, END_OUTPUT, END_ERROR, END_RETRY, END_EXTEND, END_MEMBERS };

static enum err read_end(struct request *r, struct member m[END_MEMBERS], struct slice *ret_lease,
                         uint64_t *ret_ms)
{
    enum err err = members_read(bytes_slice(r->body), m, END_MEMBERS, &r->reply);
    if (err == ERR_OK) {
        err = member_str(&m[END_LEASE], ret_lease, &r->reply);
    }
    if (err != ERR_OK) {
        return err;
    }
    int ways = member_is_given(&m[END_OUTPUT]) + member_is_given(&m[END_ERROR]) +
               member_is_given(&m[END_EXTEND]);
    if (!member_is_given(&m[END_LEASE]) || ways != 1) {
        return reply_fail(&r->reply, ERR_BAD_REQUEST,
                          "The body has lease and one of output, error and extend_ms.");
    }
    if (member_is_given(&m[END_RETRY]) && !member_is_given(&m[END_ERROR])) {
        return reply_fail(&r->reply, ERR_BAD_REQUEST, "retry_in_ms stands with error alone.");
    }
    err = check_value_bytes(r, &m[END_OUTPUT]);
    if (err == ERR_OK) {
        err = check_value_bytes(r, &m[END_ERROR]);
    }
    if (err == ERR_OK) {
        err = member_ms(&m[END_RETRY], 0, STEP_RETRY_MS_MAX, ret_ms, &r->reply);
    }
    if (err == ERR_OK) {
        err = member_ms(&m[END_EXTEND], STEP_LEASE_MS_MIN, STEP_LEASE_MS_MAX, ret_ms, &r->reply);
    }
    return err;
}

static enum err end_attempt(struct step *s, const struct member m[END_MEMBERS], struct slice lease,
                            uint64_t ms, uint64_t now_ms)
{
    if (member_is_given(&m[END_EXTEND])) {
        return step_extend(s, lease, ms, now_ms);
    }
    if (member_is_given(&m[END_OUTPUT])) {
        return step_finish(s, lease, m[END_OUTPUT].doc, now_ms);
    }
    if (member_is_given(&m[END_RETRY])) {
        return step_retry(s, lease, m[END_ERROR].doc, ms, now_ms);
    }
    return step_fail(s, lease, m[END_ERROR].doc, now_ms);
}

static const char *name_of_state(enum step_state state)
{
    switch (state) {
    case STEP_RUNNING:
        return "running";
    case STEP_WAITING:
        return "waiting";
    case STEP_DONE:
        return "done";
    case STEP_FAILED:
        return "failed";
    }
    UNREACHABLE();
}

enum err op_step_end(struct turn *t, struct request *r)
{
    struct member m[END_MEMBERS] = {
        [END_LEASE] = {.name = "lease"},      [END_OUTPUT] = {.name = "output"},
        [END_ERROR] = {.name = "error"},      [END_RETRY] = {.name = "retry_in_ms"},
        [END_EXTEND] = {.name = "extend_ms"},
    };
    struct slice lease;
    uint64_t ms = 0;
    struct step s;
    bool found = false;
    enum err err = read_end(r, m, &lease, &ms);
    if (err == ERR_OK) {
        err = get_step(t, r, &s, &found);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (!found) {
        return reply_fail(&r->reply, ERR_NO_SUCH_STEP, NULL);
    }
    err = end_attempt(&s, m, lease, ms, t->log_time_ms);
    if (err != ERR_OK) {
        return reply_fail(&r->reply, err, NULL);
    }
    put_step(t, r, &s);
    struct buf body = {0};
    value_put_map(&body, 1);
    value_put_text(&body, "state");
    value_put_text(&body, name_of_state(s.state));
    reply_body(&r->reply, 200, &body);
    return ERR_OK;
}

/* Listing */

struct listed {
    struct slice name; /* of the scan, good while the turn lasts */
    struct step step;
};

static int by_order(const void *a, const void *b)
{
    uint32_t left = ((const struct listed *)a)->step.order;
    uint32_t right = ((const struct listed *)b)->step.order;
    return left < right ? -1 : left > right;
}

static void put_listed(struct buf *body, const struct listed *l, uint64_t now_ms)
{
    const struct step *s = &l->step;
    enum step_state state = step_shown_state(s, now_ms);
    bool has_result = state != STEP_RUNNING && s->result.len > 0;
    value_put_map(body, has_result ? 6 : 5);
    value_put_text(body, "name");
    value_put_str(body, l->name);
    value_put_text(body, "state");
    value_put_text(body, name_of_state(state));
    value_put_text(body, "attempts");
    value_put_uint(body, s->attempts);
    value_put_text(body, "started");
    value_put_uint(body, s->started_ms);
    value_put_text(body, "ended");
    if (s->ended_ms != 0) {
        value_put_uint(body, s->ended_ms);
    } else {
        value_put_nil(body);
    }
    if (has_result) {
        value_put_text(body, state == STEP_DONE ? "output" : "error");
        value_put_raw(body, s->result);
    }
}

/* All steps by name; the caller puts them into their order. */
static enum err collect(struct turn *t, struct request *r, struct buf *ret_listed)
{
    const struct scan_range range = {
        .kind = ROW_STEP, .rows_max = STEPS_MAX + 1, .bytes_max = STEPS_BYTES_MAX};
    struct scan_cursor cursor;
    struct scan_item item;
    size_t bytes = 0;
    enum err err = turn_scan(t, &range, &cursor);
    while (err == ERR_OK && scan_next(&cursor, &item)) {
        struct listed l = {.name = item.key};
        bytes += item.key.len + item.value->len;
        if (step_decode(bytes_slice(item.value), &l.step) != ERR_OK) {
            err = reply_fail(&r->reply, ERR_CORRUPT, "The record of a step is damaged.");
        } else {
            buf_append(ret_listed, &l, sizeof l);
        }
    }
    if (err == ERR_OK && (cursor.ended_early || bytes > STEPS_BYTES_MAX)) {
        err = reply_too_large(&r->reply, "steps_bytes", STEPS_BYTES_MAX);
    }
    return err;
}

enum err op_step_list(struct turn *t, struct request *r)
{
    struct buf found = {0};
    enum err err = collect(t, r, &found);
    if (err == ERR_OK) {
        struct listed *listed = (struct listed *)(void *)found.data;
        size_t count = found.len / sizeof *listed;
        struct buf body = {0};
        if (count > 0) {
            qsort(listed, count, sizeof *listed, by_order);
        }
        value_put_map(&body, 1);
        value_put_text(&body, "steps");
        value_put_array(&body, (uint32_t)count);
        for (size_t i = 0; i < count; i++) {
            put_listed(&body, &listed[i], t->log_time_ms);
        }
        reply_body(&r->reply, 200, &body);
    }
    buf_done(&found);
    return err;
}
