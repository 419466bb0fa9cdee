/* Turns on behalf of an actor's code: requests to the registry whose replies come back to the session,
 * which stays until the last of them has. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"
#include "base/invariant.h"
#include "base/mem.h"

static void put_reply_error(struct buf *out, const struct reply *reply)
{
    const struct err_info *info = err_info(reply->err);
    value_put_map(out, 4);
    value_put_text(out, "code");
    value_put_text(out, info->code);
    value_put_text(out, "message");
    value_put_text(out, reply->detail != NULL && slice_is_utf8(slice_of_str(reply->detail))
                            ? reply->detail
                            : info->text);
    value_put_text(out, "retryable");
    value_put_bool(out, info->retryable);
    value_put_text(out, "maybe_applied");
    value_put_bool(out, info->maybe_applied);
}

void code_answer(struct code_session *s, uint64_t ask, bool is_ok, struct slice payload)
{
    struct buf frame = {0};
    code_frame_begin(&frame, FRAME_ANSWER, ask, 2);
    value_put_bool(&frame, is_ok);
    value_put_raw(&frame, payload);
    code_frame_send(s, &frame);
}

void code_answer_error(struct code_session *s, uint64_t ask, const struct reply *reply)
{
    struct buf payload = {0};
    if (reply->err == ERR_ACTOR_EXCEPTION && reply->body != NULL) {
        buf_append_slice(&payload, bytes_slice(reply->body));
    } else {
        put_reply_error(&payload, reply);
    }
    code_answer(s, ask, false, buf_slice(&payload));
    buf_done(&payload);
}

static void free_turn(struct code_turn *t)
{
    code_socket_drop_letters(t->session, &t->letters);
    bytes_unref(t->args);
    if (t->incoming != NULL) {
        code_incoming_free(t->incoming);
    }
    t->magic = 0;
    mem_free(t);
}

static void answer_with(struct code_event *e, struct request *r)
{
    struct request *asked = e->request;
    if (asked != NULL) {
        reply_clear(&asked->reply);
        asked->reply = r->reply;
        asked->has_wrote = r->has_wrote;
        reply_init(&r->reply);
        code_event_answer(e);
    }
    code_event_free(e);
}

enum err code_exception_err(struct slice exception)
{
    struct slice doc;
    struct slice code;
    if (!value_member(exception, "code", &doc) || !value_get_str(doc, &code)) {
        return ERR_ACTOR_EXCEPTION;
    }
    return slice_equal_str(code, "no_such_method")    ? ERR_NO_SUCH_METHOD
           : slice_equal_str(code, "not_implemented") ? ERR_NOT_IMPLEMENTED
                                                      : ERR_ACTOR_EXCEPTION;
}

/* The event's answer is what the turn's reply says, or what it threw. */
static void end_event(struct code_turn *t, struct request *r)
{
    struct code_event *e = t->event;
    struct code_session *s = t->session;
    bool is_lost = r->reply.err != ERR_OK;
    code_socket_event_over(e, !is_lost);
    if (!is_lost && t->is_exception && !s->is_run) {
        code_event_fail(e, code_exception_err(bytes_slice(t->args)), bytes_slice(t->args));
    } else {
        answer_with(e, r);
    }
    if (!is_lost && t->is_last && s->client_count == 0 && s->state == CODE_READY) {
        code_session_end(s, CODE_END_DONE, ERR_ACTOR_CUT_OFF);
    }
    if (is_lost) { /* what it holds in memory is not what storage holds any more */
        code_session_end(s, CODE_END_RESET, ERR_ACTOR_CUT_OFF);
    }
}

/* Nothing was found under the key: now it runs. Else the first answer is this one's too. */
static void end_begin(struct code_turn *t, struct request *r)
{
    struct code_event *e = t->event;
    bool is_new = r->reply.err == ERR_OK && !r->reply.replayed;
    if (is_new && t->session->state == CODE_ENDED) {
        code_event_fail(e, ERR_UNAVAILABLE, SLICE(""));
        return;
    }
    if (is_new && e->request != NULL) {
        code_event_move(e, CODE_EVENT_WAITS);
        e->is_new = true;
        return;
    }
    answer_with(e, r);
}

static void go_out(struct code_turn *t)
{
    struct code_session *s = t->session;
    if (t->kind == CODE_TURN_FETCH) {
        struct code_incoming *in = t->incoming;
        t->incoming = NULL;
        code_incoming_begin(in, bytes_slice(t->args));
        return;
    }
    struct code_call *call = MEM_NEW(struct code_call);
    call->session = s;
    call->ask = t->ask;
    s->turn_count++;
    code_call_actor(call, t);
}

static void end_ask(struct code_turn *t, const struct request *r)
{
    struct code_session *s = t->session;
    if (s->state == CODE_ENDED) {
        return;
    }
    if (r->reply.err != ERR_OK) {
        code_answer_error(s, t->ask, &r->reply);
    } else if (t->kind == CODE_TURN_ASK) {
        static const uint8_t nil = 0xc0;
        if (r->kind == REQUEST_CODE_JOURNAL) {
            code_session_note_progress(s);
        }
        code_answer(s, t->ask, true,
                    r->reply.body != NULL ? bytes_slice(r->reply.body) : slice_of(&nil, 1));
    } else {
        go_out(t);
    }
}

/* The isolate is read again when there is room for what it says. */
void code_turn_is_back(struct code_session *s)
{
    INVARIANT(s->turn_count > 0);
    s->turn_count--;
    code_session_pace(s);
    if (s->state == CODE_READY) {
        code_session_deliver(s);
    }
    code_session_free_if_over(s);
}

static void on_turn(struct request *r)
{
    OBJ_CAST(code_turn, r->user, CODE_TURN_MAGIC);
    struct code_turn *t = code_turn;
    struct code_session *s = t->session;
    code_session_touch(s);
    s->tells = s->tells == t ? NULL : s->tells;
    switch (t->kind) {
    case CODE_TURN_BEGIN:
        end_begin(t, r);
        break;
    case CODE_TURN_DONE:
        end_event(t, r);
        break;
    case CODE_TURN_ASK:
    case CODE_TURN_CALL:
    case CODE_TURN_FETCH:
        end_ask(t, r);
        break;
    case CODE_TURN_WRITE:
        if (r->reply.err != ERR_OK) {
            code_session_end(s, CODE_END_RESET, ERR_ACTOR_CUT_OFF);
        }
        break;
    case CODE_TURN_TELL:
        if (r->reply.err == ERR_OK) {
            code_socket_say(s, &t->letters);
        } else {
            code_session_end(s, CODE_END_RESET, ERR_ACTOR_CUT_OFF);
        }
        break;
    }
    free_turn(t);
    request_free(r);
    code_turn_is_back(s);
}

struct request *code_turn_new(struct code_session *s, enum request_kind kind,
                              enum code_turn_kind what, struct code_turn **ret_turn)
{
    struct request *r = request_new(kind);
    struct code_turn *t = MEM_NEW(struct code_turn);
    t->magic = CODE_TURN_MAGIC;
    t->kind = what;
    t->session = s;
    list_init(&t->letters);
    r->identity = s->identity;
    r->address = s->address;
    r->address_text = bytes_ref(s->address_text);
    r->answer = on_turn;
    r->user = t;
    *ret_turn = t;
    return r;
}

/* A module has no storage: what leaves it waits for nothing. */
static void pass(struct request *r)
{
    bool has_writes = r->body != NULL && value_count(bytes_slice(r->body)) > 0;
    if (r->kind != REQUEST_CODE_COMMIT || has_writes) {
        (void)reply_fail(&r->reply, ERR_BAD_REQUEST, "A module has no storage.");
    } else {
        r->reply.status = r->outcome != NULL ? 200 : 204;
        r->reply.body = bytes_ref(r->outcome);
    }
    r->stage = REQUEST_DONE;
    r->answer(r);
}

void code_turn_submit(struct request *r)
{
    OBJ_CAST(code_turn, r->user, CODE_TURN_MAGIC);
    struct code_session *s = code_turn->session;
    s->turn_count++;
    s->tells = code_turn->kind == CODE_TURN_TELL ? code_turn : NULL;
    code_session_pace(s);
    if (s->shard != NULL) {
        registry_submit(s->host->registry, s->shard, r, CODE_TURN_TIMEOUT_MS);
    } else {
        pass(r);
    }
}
