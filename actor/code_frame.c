/* Frames to an isolate (actor/isolate_frame.h), as documents. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"
#include "base/hex.h"
#include "base/invariant.h"

void code_frame_begin(struct buf *out, uint8_t kind, uint64_t id, uint32_t items)
{
    value_put_array(out, 2 + items);
    value_put_uint(out, kind);
    value_put_uint(out, id);
}

void code_frame_send(struct code_session *s, struct buf *frame)
{
    if (s->isolate != NULL && frame->len <= FRAME_BYTES_MAX) {
        s->host->hooks->send(s->isolate, buf_slice(frame));
    }
    buf_done(frame);
}

/* START */

/* Who is known by the identity alone, as new ones are, has it for a name. */
static void put_who(struct buf *out, const struct code_session *s)
{
    char hex[2 * IDENTITY_BYTES + 1];
    hex_encode(s->identity.bytes, IDENTITY_BYTES, hex);
    value_put_text(out, "ns");
    value_put_str(out, s->address.ns);
    value_put_text(out, "class");
    value_put_str(out, s->address.class);
    value_put_text(out, "id");
    value_put_text(out, hex);
    value_put_text(out, "name");
    if (slice_equal_str(s->address.id, hex)) {
        value_put_nil(out);
    } else {
        value_put_str(out, s->address.id);
    }
}

static void put_sockets(struct buf *out, const struct socket_set *set)
{
    value_put_text(out, "sockets");
    if (set != NULL) {
        socket_set_put(set, out);
    } else {
        value_put_array(out, 0);
    }
    value_put_text(out, "auto");
    if (set != NULL) {
        socket_set_put_auto(set, out);
    } else {
        value_put_nil(out);
    }
}

void code_frame_start(const struct code_session *s, const struct code_class *c, struct buf *out)
{
    code_frame_begin(out, FRAME_START, 0, 1);
    value_put_map(out, 12);
    value_put_text(out, "mode");
    value_put_text(out, s->shard != NULL ? "class" : "module");
    put_who(out, s);
    value_put_text(out, "modules");
    value_put_raw(out, c->modules);
    value_put_text(out, "main");
    value_put_str(out, c->main);
    value_put_text(out, "env");
    value_put_bin(out, c->env);
    value_put_text(out, "bindings");
    value_put_raw(out, c->bindings);
    value_put_text(out, "workflows");
    if (c->workflows.len > 0) {
        value_put_raw(out, c->workflows);
    } else {
        value_put_array(out, 0);
    }
    put_sockets(out, code_socket_set_of(s));
}

static void put_member(struct buf *out, struct slice map, const char *name)
{
    struct slice doc;
    value_put_text(out, name);
    if (value_member(map, name, &doc)) {
        value_put_raw(out, doc);
    } else {
        value_put_nil(out);
    }
}

/* The body is what `execute` got: {"code", "grants"}, checked where it was decoded. */
bool code_frame_start_run(const struct code_session *s, struct slice body, struct buf *out)
{
    struct slice doc;
    if (!value_member(body, "code", &doc) || value_type(doc) != VALUE_STR) {
        return false;
    }
    code_frame_begin(out, FRAME_START, 0, 1);
    value_put_map(out, 7);
    value_put_text(out, "mode");
    value_put_text(out, "execute");
    put_who(out, s);
    put_member(out, body, "code");
    put_member(out, body, "grants");
    return true;
}

/* EVENT */

static void put_fetch(struct buf *out, struct slice body)
{
    struct slice item;
    for (struct value_iter it = value_items(body); value_next(&it, &item);) {
        value_put_raw(out, item);
    }
}

/* {"event": {"timer", "payload", "scheduled", ...}, "failed"}: ours. */
static void put_timer(struct buf *out, const struct code_event *e, struct slice body)
{
    struct slice event;
    struct slice failed;
    struct slice payload;
    struct slice scheduled;
    bool is_whole = value_member(body, "event", &event) && value_member(body, "failed", &failed) &&
                    value_member(event, "payload", &payload) &&
                    value_member(event, "scheduled", &scheduled);
    INVARIANT(is_whole);
    if (slice_equal_str(bytes_slice(e->request->name), "alarm")) {
        code_frame_begin(out, FRAME_EVENT, e->id, 3);
        value_put_uint(out, FRAME_EVENT_ALARM);
        value_put_raw(out, scheduled);
        value_put_raw(out, failed);
        return;
    }
    code_frame_begin(out, FRAME_EVENT, e->id, 4);
    value_put_uint(out, FRAME_EVENT_TIMER);
    value_put_str(out, bytes_slice(e->request->name));
    value_put_bin(out, payload);
    value_put_raw(out, scheduled);
}

/* {"event": [...], "failed"}: ours. */
static void put_run(struct buf *out, const struct code_event *e, struct slice body)
{
    struct slice event;
    bool is_whole = value_member(body, "event", &event);
    INVARIANT(is_whole);
    code_frame_begin(out, FRAME_EVENT, e->id, 1 + value_count(event));
    value_put_uint(out, FRAME_EVENT_WORKFLOW);
    put_fetch(out, event);
}

static void put_input(struct buf *out, struct slice body)
{
    static const uint8_t nil = 0xc0;
    struct slice input;
    value_put_bin(out, value_member(body, "input", &input) ? input : slice_of(&nil, 1));
}

static void put_request(struct buf *out, const struct code_event *e)
{
    const struct request *r = e->request;
    struct slice body = bytes_slice(r->body);
    if (r->kind == REQUEST_CALL) {
        code_frame_begin(out, FRAME_EVENT, e->id, 3);
        value_put_uint(out, FRAME_EVENT_CALL);
        value_put_str(out, bytes_slice(r->name));
        value_put_bin(out, body);
    } else if (r->kind == REQUEST_CLASS_FETCH ||
               r->kind == REQUEST_MODULE_FETCH) { /* [method, url, fields, body], socket */
        code_frame_begin(out, FRAME_EVENT, e->id, 2 + value_count(body));
        value_put_uint(out, FRAME_EVENT_FETCH);
        put_fetch(out, body);
        if (e->socket.id != 0) {
            value_put_uint(out, e->socket.id);
        } else {
            value_put_nil(out);
        }
    } else if (r->kind == REQUEST_CODE_TIMER) {
        put_timer(out, e, body);
    } else if (r->kind == REQUEST_CODE_WORKFLOW) {
        put_run(out, e, body);
    } else {
        INVARIANT(r->kind == REQUEST_EXECUTE);
        code_frame_begin(out, FRAME_EVENT, e->id, 2);
        value_put_uint(out, FRAME_EVENT_EXECUTE);
        put_input(out, body);
    }
}

static void put_socket_event(struct buf *out, const struct code_event *e)
{
    const struct socket_event *of = e->socket_event;
    struct slice data = bytes_slice(of->data);
    static const uint8_t types[] = {[SOCKET_MESSAGE] = FRAME_EVENT_MESSAGE,
                                    [SOCKET_CLOSED] = FRAME_EVENT_CLOSE,
                                    [SOCKET_FAILED] = FRAME_EVENT_ERROR};
    code_frame_begin(out, FRAME_EVENT, e->id, of->kind == SOCKET_CLOSED ? 5 : 3);
    value_put_uint(out, types[of->kind]);
    value_put_uint(out, of->socket->ref.id);
    if (of->kind == SOCKET_CLOSED) {
        value_put_uint(out, of->code);
    }
    if (of->kind == SOCKET_MESSAGE && !of->is_text) {
        value_put_bin(out, data);
    } else {
        value_put_str(out, data);
    }
    if (of->kind == SOCKET_CLOSED) {
        value_put_bool(out, of->was_clean);
    }
}

void code_frame_event(const struct code_event *e, struct buf *out)
{
    if (e->socket_event != NULL) {
        put_socket_event(out, e);
    } else {
        put_request(out, e);
    }
}
