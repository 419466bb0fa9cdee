/* What an isolate asks for. All of it is hostile until it has been read here. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "base/mem.h"

static void fail_ask(struct code_session *s, uint64_t ask, enum err err, const char *detail)
{
    struct reply reply;
    reply_init(&reply);
    (void)reply_fail(&reply, err, "%s", detail);
    code_answer_error(s, ask, &reply);
    reply_clear(&reply);
}

void code_write_first(struct code_session *s, struct slice writes)
{
    struct code_turn *t;
    if (value_type(writes) == VALUE_NIL || value_count(writes) == 0) {
        return;
    }
    struct request *r = code_turn_new(s, REQUEST_CODE_COMMIT, CODE_TURN_WRITE, &t);
    r->body = bytes_new(writes);
    code_turn_submit(r);
}

/* The n-th item; false where there is none, or it is no text. Nil and absent are empty. */
static bool text_at(struct slice args, uint32_t n, struct slice *ret)
{
    struct slice item;
    struct value_iter it = value_items(args);
    *ret = (struct slice){0};
    for (uint32_t i = 0; value_next(&it, &item); i++) {
        if (i == n) {
            return value_type(item) == VALUE_NIL || value_get_str(item, ret);
        }
    }
    return true;
}

static bool item_at(struct slice args, uint32_t n, struct slice *ret)
{
    struct value_iter it = value_items(args);
    for (uint32_t i = 0; value_next(&it, ret); i++) {
        if (i == n) {
            return true;
        }
    }
    return false;
}

/* Storage */

static void ask_rows(struct code_session *s, uint64_t ask, enum request_kind kind,
                     struct slice args)
{
    struct code_turn *t;
    struct request *r = code_turn_new(s, kind, CODE_TURN_ASK, &t);
    t->ask = ask;
    r->stays_inside = kind != REQUEST_CODE_COMMIT && kind != REQUEST_CODE_JOURNAL;
    r->body = value_type(args) == VALUE_NIL ? NULL : bytes_new(args);
    code_turn_submit(r);
}

static bool take_bound(struct slice args, const char *name, struct bytes **ret)
{
    struct slice doc;
    struct slice text;
    if (!value_member(args, name, &doc) || value_type(doc) == VALUE_NIL) {
        return true;
    }
    if (!value_get_str(doc, &text) || text.len > KV_KEY_BYTES_MAX) {
        return false;
    }
    *ret = bytes_new(text);
    return true;
}

static bool take_list(struct slice args, struct list_params *p)
{
    struct slice doc;
    uint64_t limit;
    if (value_member(args, "limit", &doc) && value_get_uint(doc, &limit) && limit > 0) {
        p->limit = limit < LIST_LIMIT_MAX ? (uint32_t)limit : LIST_LIMIT_MAX;
    } else {
        p->limit = LIST_LIMIT_MAX;
    }
    if (value_member(args, "reverse", &doc)) {
        p->reverse = value_get_bool(doc, &p->reverse) && p->reverse;
    }
    return take_bound(args, "prefix", &p->prefix) && take_bound(args, "start", &p->start) &&
           take_bound(args, "startAfter", &p->start_after) && take_bound(args, "end", &p->end);
}

static void ask_list(struct code_session *s, uint64_t ask, struct slice args)
{
    struct code_turn *t;
    struct request *r = code_turn_new(s, REQUEST_CODE_LIST, CODE_TURN_ASK, &t);
    t->ask = ask;
    r->stays_inside = true;
    if (take_list(args, &r->list)) {
        code_turn_submit(r);
        return;
    }
    fail_ask(s, ask, ERR_INVALID_VALUE, "A bound of the listing is no key.");
    mem_free(t);
    request_free(r);
}

/* Timers */

/* [name, document] | [name] */
static void ask_timer(struct code_session *s, uint64_t ask, enum request_kind kind,
                      struct slice args)
{
    struct slice name = {0};
    struct slice doc = {0};
    struct code_turn *t;
    bool is_put = kind == REQUEST_TIMER_PUT;
    if (!text_at(args, 0, &name) || name.len == 0 || name.len > NAME_BYTES_MAX ||
        (is_put && (!item_at(args, 1, &doc) || value_type(doc) != VALUE_MAP))) {
        code_bad_frame(s);
        return;
    }
    struct request *r = code_turn_new(s, kind, CODE_TURN_ASK, &t);
    t->ask = ask;
    r->name = bytes_new(name);
    r->body = is_put ? bytes_new(doc) : NULL;
    code_turn_submit(r);
}

/* Others */

/* [class, name] | [class, nil] | [class, hex, true] */
static void ask_identity(struct code_session *s, uint64_t ask, struct slice args)
{
    char hex[2 * IDENTITY_BYTES + 1];
    struct slice class;
    struct slice text;
    if (!text_at(args, 0, &class) || !text_at(args, 1, &text)) {
        code_bad_frame(s);
        return;
    }
    bool is_hex = value_count(args) == 3;
    if (!s->host->hooks->identify(s->host->ctx, s->address.ns, class, is_hex ? SLICE("") : text,
                                  is_hex ? text : SLICE(""), hex)) {
        fail_ask(s, ask, ERR_INVALID_ID, "This is no id of that class.");
        return;
    }
    struct buf payload = {0};
    value_put_text(&payload, hex);
    code_answer(s, ask, true, buf_slice(&payload));
    buf_done(&payload);
}

/* The socket of an event of its own goes along with a fetch of another actor. */
static struct socket_ref forward_socket(struct code_session *s, struct slice args)
{
    enum { SOCKET_ARG = 7 };
    struct slice doc;
    uint64_t id;
    if (!item_at(args, SOCKET_ARG, &doc) || !value_get_uint(doc, &id) || id == 0) {
        return (struct socket_ref){0};
    }
    LIST_FOREACH (link, &s->events) {
        struct code_event *e = LIST_ENTRY(link, struct code_event, link);
        if (e->socket.id == id) {
            e->is_forwarded = true;
            return e->socket;
        }
    }
    return (struct socket_ref){0};
}

/* They leave once all that was written before is durable. */
static void ask_actor(struct code_session *s, uint64_t ask, struct slice type, struct slice args,
                      struct slice writes)
{
    bool is_fetch = slice_equal_str(type, "fetch_actor");
    struct code_turn *t;
    struct request *r = code_turn_new(s, REQUEST_CODE_COMMIT, CODE_TURN_CALL, &t);
    t->ask = ask;
    t->is_fetch = is_fetch;
    t->is_of_run = slice_equal_str(type, "workflow");
    if (is_fetch) {
        t->socket = forward_socket(s, args);
    }
    t->args = bytes_new(args);
    r->body = value_type(writes) == VALUE_NIL ? NULL : bytes_new(writes);
    code_turn_submit(r);
}

static void ask_outside(struct code_session *s, uint64_t ask, struct slice args,
                        struct slice writes)
{
    struct code_turn *t;
    struct code_incoming *in = code_incoming_new(s, ask);
    if (in == NULL) {
        code_write_first(s, writes);
        fail_ask(s, ask, ERR_OVERLOADED,
                 "Too many requests of this actor to the outside are under way, their bodies "
                 "included.");
        return;
    }
    struct request *r = code_turn_new(s, REQUEST_CODE_COMMIT, CODE_TURN_FETCH, &t);
    t->ask = ask;
    t->incoming = in;
    t->args = bytes_new(args);
    r->body = value_type(writes) == VALUE_NIL ? NULL : bytes_new(writes);
    code_turn_submit(r);
}

/* [class, hex, name, verb, body]; the body is a map, or empty. */
static bool take_run(struct request *r, struct slice args)
{
    static const struct {
        const char *verb;
        enum request_kind kind;
    } verbs[] = {
        {"create", REQUEST_WORKFLOW_START},    {"status", REQUEST_WORKFLOW_GET},
        {"event", REQUEST_WORKFLOW_EVENT},     {"pause", REQUEST_WORKFLOW_CONTROL},
        {"resume", REQUEST_WORKFLOW_CONTROL},  {"terminate", REQUEST_WORKFLOW_CONTROL},
        {"restart", REQUEST_WORKFLOW_CONTROL},
    };
    enum { VERBS = sizeof verbs / sizeof verbs[0] };
    struct slice verb;
    struct slice doc;
    struct slice body;
    const char *reason;
    size_t i = 0;
    if (!text_at(args, 3, &verb) || !item_at(args, 4, &doc) || !value_get_bin(doc, &body) ||
        value_check(body, VALUE_DEPTH_MAX + 1, &reason) != ERR_OK) {
        return false;
    }
    while (i < VERBS && !slice_equal_str(verb, verbs[i].verb)) {
        i++;
    }
    if (i == VERBS) {
        return false;
    }
    r->kind = verbs[i].kind;
    r->name = r->kind == REQUEST_WORKFLOW_CONTROL ? bytes_new(verb) : NULL;
    r->body = r->kind == REQUEST_WORKFLOW_GET ? NULL : bytes_new(body);
    return true;
}

/* [class, hex, name, method, args] and [class, hex, name, method, url, fields, body]. */
static bool take_call(struct request *r, bool is_fetch, struct slice args)
{
    struct slice method;
    struct slice doc;
    struct slice body;
    const char *reason;
    struct buf fetch = {0};
    if (!text_at(args, 3, &method) || !item_at(args, 4, &doc)) {
        return false;
    }
    if (!is_fetch) {
        if (!value_get_bin(doc, &body) || value_check(body, VALUE_DEPTH_MAX, &reason) != ERR_OK ||
            value_type(body) != VALUE_ARRAY || method.len == 0) {
            return false;
        }
        r->name = bytes_new(method);
        r->body = bytes_new(body);
        return true;
    }
    value_put_array(&fetch, 4);
    value_put_str(&fetch, method);
    for (uint32_t i = 4; i < 7; i++) {
        if (!item_at(args, i, &doc)) {
            buf_done(&fetch);
            return false;
        }
        value_put_raw(&fetch, doc);
    }
    r->body = bytes_new(buf_slice(&fetch));
    buf_done(&fetch);
    return true;
}

void code_call_actor(struct code_call *call, const struct code_turn *t)
{
    struct code_session *s = call->session;
    struct slice args = bytes_slice(t->args);
    struct request *r = request_new(t->is_fetch ? REQUEST_CLASS_FETCH : REQUEST_CALL);
    struct address a = {.ns = s->address.ns};
    struct slice hex;
    struct slice name;
    struct buf error = {0};
    bool is_read = text_at(args, 0, &a.class) && text_at(args, 1, &hex) && text_at(args, 2, &name);
    a.id = is_read && hex.len > 0 ? hex : name;
    if (is_read && address_check(&a) == ERR_OK &&
        (t->is_of_run ? take_run(r, args) : take_call(r, t->is_fetch, args))) {
        request_set_address(r, &a);
        r->socket = t->socket;
        s->host->hooks->call(s->host->ctx, call, r);
        return;
    }
    request_free(r);
    value_put_map(&error, 2);
    value_put_text(&error, "code");
    value_put_text(&error, "bad_request");
    value_put_text(&error, "message");
    value_put_text(&error, "The call of another actor is malformed.");
    code_host_called(call, false, buf_slice(&error));
    buf_done(&error);
}

void code_host_called(struct code_call *call, bool is_ok, struct slice payload)
{
    struct code_session *s = call->session;
    if (s->state != CODE_ENDED) {
        code_answer(s, call->ask, is_ok, payload);
    }
    mem_free(call);
    code_turn_is_back(s);
}

/* [ask, type, args, writes] */
void code_ask(struct code_session *s, struct value_iter *frame)
{
    struct slice doc;
    struct slice type;
    struct slice args;
    struct slice writes;
    uint64_t ask;
    if (!value_next(frame, &doc) || !value_get_uint(doc, &ask) || !value_next(frame, &doc) ||
        !value_get_str(doc, &type) || !value_next(frame, &args) || !value_next(frame, &writes)) {
        code_bad_frame(s);
        return;
    }
    if (slice_equal_str(type, "call") || slice_equal_str(type, "fetch_actor") ||
        slice_equal_str(type, "workflow")) {
        ask_actor(s, ask, type, args, writes);
        return;
    }
    if (slice_equal_str(type, "fetch")) {
        ask_outside(s, ask, args, writes);
        return;
    }
    code_write_first(s, writes);
    if (slice_equal_str(type, "get")) {
        ask_rows(s, ask, REQUEST_CODE_GET, args);
    } else if (slice_equal_str(type, "list")) {
        ask_list(s, ask, args);
    } else if (slice_equal_str(type, "alarm")) {
        ask_rows(s, ask, REQUEST_CODE_ALARM, args);
    } else if (slice_equal_str(type, "timers")) {
        ask_rows(s, ask, REQUEST_TIMER_LIST, SLICE("\xc0"));
    } else if (slice_equal_str(type, "timer_put")) {
        ask_timer(s, ask, REQUEST_TIMER_PUT, args);
    } else if (slice_equal_str(type, "timer_delete")) {
        ask_timer(s, ask, REQUEST_TIMER_DELETE, args);
    } else if (slice_equal_str(type, "sync")) {
        static const uint8_t nothing = 0x90;
        ask_rows(s, ask, REQUEST_CODE_COMMIT, slice_of(&nothing, 1));
    } else if (slice_equal_str(type, "journal")) {
        ask_rows(s, ask, REQUEST_CODE_JOURNAL, args);
    } else if (slice_equal_str(type, "journal_page")) {
        ask_rows(s, ask, REQUEST_CODE_JOURNAL_PAGE, args);
    } else if (slice_equal_str(type, "identity")) {
        ask_identity(s, ask, args);
    } else if (slice_equal_str(type, "auto_time")) {
        code_socket_ask_time(s, ask, args);
    } else {
        fail_ask(s, ask, ERR_NOT_IMPLEMENTED, "This version does not have that yet.");
    }
}

/* [id, writes] */
void code_write(struct code_session *s, struct value_iter *frame)
{
    struct slice id;
    struct slice writes;
    if (!value_next(frame, &id) || !value_next(frame, &writes)) {
        code_bad_frame(s);
        return;
    }
    code_write_first(s, writes);
}
