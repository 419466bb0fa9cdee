/* Events of a session: from a client's request to its answer.
 *
 *     WAITS --a key--> KEYED --no record--> WAITS --EVENT--> SENT --DONE--> ENDING --durable--> freed
 *
 * A client that goes away, or whose time is over, leaves the event behind: what the code does goes on. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"
#include "base/invariant.h"
#include "base/mem.h"

enum {
    RESPONSE_ITEMS = 3,
    STREAM_ITEM = 4,
    SOCKET_ITEM = 5,
    RESPONSE_BODY_BYTES_MAX = 16 << 20,
};

/* A state change has one door. */
void code_event_move(struct code_event *e, enum code_event_stage to)
{
    e->session->waiting_count -= e->stage == CODE_EVENT_WAITS ? 1 : 0;
    e->session->waiting_count += to == CODE_EVENT_WAITS ? 1 : 0;
    e->stage = to;
}

static struct code_event *event_new(struct code_session *s, enum request_kind kind)
{
    struct code_event *e = MEM_NEW(struct code_event);
    e->stage = CODE_EVENT_WAITS;
    e->session = s;
    e->kind = kind;
    e->id = ++s->last_event_id;
    list_init(&e->link);
    list_append(&s->events, &e->link);
    s->event_count++;
    s->waiting_count++;
    s->host->stats.events++;
    s->of_class->events++;
    return e;
}

struct code_event *code_event_new_of_socket(struct code_session *s, struct socket_event *of)
{
    struct code_event *e = event_new(s, REQUEST_KIND_COUNT);
    e->socket_event = of;
    s->socket_event_count++;
    return e;
}

struct code_event *code_event_new(struct code_session *s, struct request *r, uint32_t timeout_ms)
{
    struct code_event *e = event_new(s, r->kind);
    e->request = r;
    s->client_count++;
    r->stage = REQUEST_RUNNING;
    r->code_event = e;
    heap_set(&s->host->deadlines, &e->deadline, s->host->now_ms + timeout_ms);
    return e;
}

/* Its client gets no more of it. */
static struct request *part(struct code_event *e)
{
    struct request *r = e->request;
    if (r != NULL) {
        heap_remove(&e->session->host->deadlines, &e->deadline);
        e->session->client_count--;
        e->request = NULL;
        r->code_event = NULL;
        r->stage = REQUEST_DONE;
    }
    return r;
}

void code_event_free(struct code_event *e)
{
    PRE(e->request == NULL && e->socket_event == NULL);
    code_socket_settle(e, false);
    bytes_unref(e->head);
    buf_done(&e->body);
    list_remove(&e->link);
    e->session->event_count--;
    e->session->waiting_count -= e->stage == CODE_EVENT_WAITS ? 1 : 0;
    mem_free(e);
}

void code_event_answer(struct code_event *e)
{
    struct request *r = part(e);
    r->answer(r);
}

static void fill_in(struct reply *reply, enum err err, struct slice exception)
{
    struct slice doc;
    struct slice message;
    bool has_message = exception.len > 0 && value_member(exception, "message", &doc) &&
                       value_get_str(doc, &message);
    bool is_whole =
        err == ERR_ACTOR_EXCEPTION || err == ERR_ACTOR_CUT_OFF || err == ERR_INVALID_CODE;
    if (has_message && !is_whole) {
        (void)reply_fail(reply, err, "%.*s", (int)message.len, (const char *)message.data);
        return;
    }
    (void)reply_fail(reply, err, NULL);
    if (is_whole && exception.len > 0) {
        reply->body = bytes_new(exception);
    }
}

/* Ends the event. `exception` is a document, or empty. */
void code_event_fail(struct code_event *e, enum err err, struct slice exception)
{
    struct request *r = part(e);
    code_event_free(e);
    if (r == NULL) {
        return;
    }
    fill_in(&r->reply, err, exception);
    r->answer(r);
}

struct code_event *code_event_find(const struct code_session *s, uint64_t id)
{
    LIST_FOREACH (link, &s->events) {
        struct code_event *e = LIST_ENTRY(link, struct code_event, link);
        if (e->id == id) {
            return e;
        }
    }
    return NULL;
}

/* Nobody waits for it any more; the isolate is told, where it has it. */
static void leave(struct code_event *e, enum err err)
{
    struct code_session *s = e->session;
    struct request *r = part(e);
    if (e->stage == CODE_EVENT_WAITS) {
        code_event_free(e);
    } else if (e->stage == CODE_EVENT_SENT) {
        struct buf frame = {0};
        code_frame_begin(&frame, FRAME_CANCEL, e->id, 0);
        code_frame_send(s, &frame);
    }
    (void)reply_fail(&r->reply, err, NULL);
    r->answer(r);
}

void code_event_time_out(struct code_event *e)
{
    bool is_begun = e->stage == CODE_EVENT_SENT || e->stage == CODE_EVENT_ENDING;
    leave(e, is_begun ? ERR_TIMEOUT_IN_DOUBT : ERR_TIMEOUT);
}

void code_event_cancel(struct code_event *e)
{
    leave(e, ERR_CLOSED);
}

/* DONE */

/* The fifth item of a fetch's result: the socket that the client asked for is in it. */
static bool has_socket(const struct code_event *e, struct slice result)
{
    struct value_iter it = value_items(result);
    struct slice item;
    bool is_accepted = false;
    for (int i = 0; i < SOCKET_ITEM; i++) {
        if (!value_next(&it, &item)) {
            return false;
        }
    }
    return e->socket.id != 0 && value_get_bool(item, &is_accepted) && is_accepted;
}

/* [status, fields, body]: the body is last, so that an answer shows it where it lies. With a socket it is
 * [status, fields, nil, nil, true]. */
static struct bytes *response_of(struct code_event *e, struct slice result)
{
    bool is_socket = has_socket(e, result);
    int items = is_socket ? RESPONSE_ITEMS - 1 : RESPONSE_ITEMS;
    struct value_iter it = value_items(result);
    struct slice item;
    struct buf out = {0};
    value_put_array(&out, is_socket ? SOCKET_ITEM : RESPONSE_ITEMS);
    for (int i = 0; i < items; i++) {
        if (!value_next(&it, &item)) {
            buf_done(&out);
            return NULL;
        }
        value_put_raw(&out, item);
    }
    if (is_socket) {
        value_put_nil(&out);
        value_put_nil(&out);
        value_put_bool(&out, true);
    }
    code_socket_settle(e, is_socket);
    struct bytes *response = bytes_new(buf_slice(&out));
    buf_done(&out);
    return response;
}

/* [status, fields, nil, true, false]: the body comes by the line. */
static struct bytes *head_of(struct slice result)
{
    struct value_iter it = value_items(result);
    struct slice status;
    struct slice fields;
    struct buf out = {0};
    bool has_both = value_next(&it, &status) && value_next(&it, &fields);
    INVARIANT(has_both); /* has_stream has seen what comes behind them */
    value_put_array(&out, SOCKET_ITEM);
    value_put_raw(&out, status);
    value_put_raw(&out, fields);
    value_put_nil(&out);
    value_put_bool(&out, true);
    value_put_bool(&out, false);
    struct bytes *head = bytes_new(buf_slice(&out));
    buf_done(&out);
    return head;
}

/* [result] of a call; [status, fields, body, ...] of a fetch, as it is. NULL: it is malformed. */
static struct bytes *outcome_of(struct code_event *e, struct slice result)
{
    struct slice doc;
    struct buf out = {0};
    const char *reason;
    if (e->kind == REQUEST_CODE_TIMER || e->kind == REQUEST_CODE_WORKFLOW ||
        e->socket_event != NULL) {
        value_put_nil(&out);
        struct bytes *nothing = bytes_new(buf_slice(&out));
        buf_done(&out);
        return nothing;
    }
    if (e->kind == REQUEST_CLASS_FETCH || e->kind == REQUEST_MODULE_FETCH) {
        return response_of(e, result);
    }
    if (!value_get_bin(result, &doc) || value_check(doc, VALUE_DEPTH_MAX, &reason) != ERR_OK) {
        return NULL;
    }
    if (e->kind == REQUEST_EXECUTE) {
        code_run_outcome(e->session, doc, &out);
    } else {
        value_put_map(&out, 1);
        value_put_text(&out, "result");
        value_put_raw(&out, doc);
    }
    struct bytes *outcome = bytes_new(buf_slice(&out));
    buf_done(&out);
    return outcome;
}

static bool has_text(struct slice map, const char *name, const char *want)
{
    struct slice doc;
    struct slice text;
    return value_member(map, name, &doc) && value_get_str(doc, &text) &&
           slice_equal_str(text, want);
}

/* What the engine throws at its bound of memory; where code caught it, that was its own business. */
static const char *code_of(struct slice exception)
{
    return has_text(exception, "name", "RangeError") &&
                   has_text(exception, "message", "Out of memory")
               ? "memory_exceeded"
               : "exception";
}

static struct bytes *exception_of(const struct code_event *e, struct slice exception)
{
    struct buf out = {0};
    if (value_type(exception) != VALUE_MAP) {
        return NULL;
    }
    if (e->kind != REQUEST_EXECUTE) {
        return code_exception_err(exception) == ERR_ACTOR_EXCEPTION
                   ? code_session_thrown(e->session, exception)
                   : bytes_new(exception);
    }
    code_run_error(e->session, code_of(exception), exception, &out);
    struct bytes *outcome = bytes_new(buf_slice(&out));
    buf_done(&out);
    return outcome;
}

static void set_key(struct request *turn, const struct request *asked)
{
    if (asked != NULL && asked->idempotency_key != NULL) {
        turn->idempotency_key = bytes_ref(asked->idempotency_key);
        memcpy(turn->hash, asked->hash, sizeof turn->hash);
    }
}

/* The fourth item of a fetch's result: its body comes in pieces. */
static bool has_stream(const struct code_event *e, struct slice result, uint64_t *ret_stream)
{
    struct value_iter it = value_items(result);
    struct slice item;
    bool is_fetch = e->kind == REQUEST_CLASS_FETCH || e->kind == REQUEST_MODULE_FETCH;
    for (int i = 0; is_fetch && i < STREAM_ITEM; i++) {
        if (!value_next(&it, &item)) {
            return false;
        }
    }
    return is_fetch && value_get_uint(item, ret_stream) && *ret_stream != 0;
}

static struct code_event *find_stream(const struct code_session *s, uint64_t stream)
{
    LIST_FOREACH (link, &s->events) {
        struct code_event *e = LIST_ENTRY(link, struct code_event, link);
        if (e->stream == stream && e->stage == CODE_EVENT_SENT) {
            return e;
        }
    }
    return NULL;
}

/* All of the body is here: the answer waits for what was written before, as any other. */
static void end_stream(struct code_event *e)
{
    struct value_iter it = value_items(bytes_slice(e->head));
    struct slice item;
    struct buf out = {0};
    struct code_turn *t;
    value_put_array(&out, RESPONSE_ITEMS);
    for (int i = 0; i < RESPONSE_ITEMS - 1; i++) {
        bool has_item = value_next(&it, &item);
        INVARIANT(has_item); /* has_stream has seen it */
        value_put_raw(&out, item);
    }
    value_put_bin(&out, buf_slice(&e->body));
    struct request *r = code_turn_new(e->session, REQUEST_CODE_COMMIT, CODE_TURN_DONE, &t);
    t->event = e;
    r->outcome = bytes_new(buf_slice(&out));
    buf_done(&out);
    code_event_move(e, CODE_EVENT_ENDING);
    code_turn_submit(r);
}

static void fail_stream(struct code_event *e, const char *why)
{
    struct buf exception = {0};
    value_put_map(&exception, 2);
    value_put_text(&exception, "name");
    value_put_text(&exception, "Error");
    value_put_text(&exception, "message");
    value_put_text(&exception, why);
    struct bytes *shown = code_session_thrown(e->session, buf_slice(&exception));
    code_event_fail(e, ERR_ACTOR_EXCEPTION, bytes_slice(shown));
    bytes_unref(shown);
    buf_done(&exception);
}

void code_give_credit(struct code_session *s, uint64_t stream, size_t bytes)
{
    struct buf frame = {0};
    code_frame_begin(&frame, FRAME_CREDIT_IN, stream, 1);
    value_put_uint(&frame, bytes);
    code_frame_send(s, &frame);
}

/* [stream, bytes, end]: end is true, false, or why the body broke off. */
void code_event_chunk(struct code_session *s, struct value_iter *frame)
{
    struct slice doc;
    struct slice bytes;
    struct slice end;
    uint64_t stream;
    bool is_end = false;
    if (!value_next(frame, &doc) || !value_get_uint(doc, &stream) || !value_next(frame, &doc) ||
        !value_get_bin(doc, &bytes) || !value_next(frame, &end)) {
        code_bad_frame(s);
        return;
    }
    bool is_broken = value_type(end) == VALUE_STR;
    bool is_last = value_get_bool(end, &is_end) && is_end;
    if (code_stream_chunk(s, stream, bytes,
                          is_broken ? CODE_CHUNK_BREAKS_OFF
                          : is_last ? CODE_CHUNK_IS_LAST
                                    : CODE_CHUNK_GOES_ON)) {
        return;
    }
    struct code_event *e = find_stream(s, stream);
    if (e == NULL) {
        return; /* nobody waits for it any more */
    }
    if (e->body.len + bytes.len > RESPONSE_BODY_BYTES_MAX) {
        fail_stream(e, "The body of the response is larger than 16 MiB.");
    } else if (is_broken) {
        fail_stream(e, "The body of the response ended before it was whole.");
    } else {
        buf_append_slice(&e->body, bytes);
        if (is_last) {
            end_stream(e);
        } else {
            code_give_credit(s, stream, bytes.len);
        }
    }
}

void code_event_done(struct code_session *s, struct value_iter *frame)
{
    struct slice id_doc;
    struct slice ok_doc;
    struct slice result;
    struct slice writes;
    uint64_t id;
    bool is_ok;
    if (!value_next(frame, &id_doc) || !value_get_uint(id_doc, &id) ||
        !value_next(frame, &ok_doc) || !value_get_bool(ok_doc, &is_ok) ||
        !value_next(frame, &result) || !value_next(frame, &writes)) {
        code_bad_frame(s);
        return;
    }
    struct code_event *e = code_event_find(s, id);
    if (e == NULL || e->stage != CODE_EVENT_SENT || e->stream != 0) {
        code_bad_frame(s);
        return;
    }
    struct code_usage usage = {0};
    s->host->hooks->usage(s->isolate, false, &usage);
    code_session_charge(s, &usage);
    uint64_t stream = 0;
    bool is_streamed = is_ok && has_stream(e, result, &stream);
    bool leaves_in_pieces = is_streamed && code_stream_open(e, stream);
    if (is_streamed && !leaves_in_pieces) {
        e->stream = stream;
        e->head = bytes_new(result);
        code_write_first(s, writes);
        return;
    }
    struct bytes *outcome = leaves_in_pieces ? head_of(result)
                            : is_ok          ? outcome_of(e, result)
                                             : exception_of(e, result);
    if (outcome == NULL) {
        code_bad_frame(s);
        return;
    }
    struct code_turn *t;
    bool is_run = e->kind == REQUEST_CODE_WORKFLOW;
    struct request *r =
        code_turn_new(s, is_run ? REQUEST_CODE_JOURNAL : REQUEST_CODE_COMMIT, CODE_TURN_DONE, &t);
    t->event = e;
    t->is_exception = !is_ok;
    t->is_last = is_run && is_ok && value_get_bool(result, &t->is_last) && t->is_last;
    r->body = value_type(writes) == VALUE_NIL ? NULL : bytes_new(writes);
    if (is_ok || s->is_run) {
        r->outcome = outcome;
    } else {
        t->args = outcome;
    }
    if (is_ok) {
        set_key(r, e->request);
    }
    bool is_one_shot = s->is_run;
    code_event_move(e, CODE_EVENT_ENDING);
    code_turn_submit(r); /* with which a session that is no run's may be gone */
    if (is_one_shot) {
        code_session_end(s, CODE_END_DONE, ERR_ACTOR_CUT_OFF);
    }
}
