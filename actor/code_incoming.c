/* What an actor's code asks of the outside, and the bodies that it gets from there, in pieces.
 *
 *     QUEUED --all that was written before is durable--> ASKED --head--> OPEN --last chunk, failure--> freed
 *        |                                                 |               |
 *        +--cancelled, the session ends--> DROPPED         +---------------+--cancelled, the session ends--> freed
 *                                             +--its turn is back--> freed
 *
 * Until its head has come a request counts as one of its session's turns. After that it keeps the session awake
 * as work does that only the isolate knows of. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"
#include "base/invariant.h"
#include "base/mem.h"

struct code_incoming *code_incoming_new(struct code_session *s, uint64_t ask)
{
    if (s->incoming_count >= CODE_INCOMING_MAX) {
        return NULL;
    }
    struct code_incoming *in = MEM_NEW(struct code_incoming);
    in->session = s;
    in->ask = ask;
    list_init(&in->link);
    list_append(&s->incoming, &in->link);
    s->incoming_count++;
    return in;
}

void code_incoming_free(struct code_incoming *in)
{
    list_remove(&in->link);
    in->session->incoming_count--;
    mem_free(in);
}

static struct code_incoming *find_stream(const struct code_session *s, uint64_t stream)
{
    LIST_FOREACH (link, &s->incoming) {
        struct code_incoming *in = LIST_ENTRY(link, struct code_incoming, link);
        if (in->stream == stream) {
            return in;
        }
    }
    return NULL;
}

static struct code_incoming *find_ask(const struct code_session *s, uint64_t ask)
{
    LIST_FOREACH (link, &s->incoming) {
        struct code_incoming *in = LIST_ENTRY(link, struct code_incoming, link);
        if (in->ask == ask) {
            return in;
        }
    }
    return NULL;
}

void code_incoming_begin(struct code_incoming *in, struct slice args)
{
    struct code_session *s = in->session;
    if (in->stage == CODE_INCOMING_DROPPED) {
        code_incoming_free(in);
        return;
    }
    in->stage = CODE_INCOMING_ASKED;
    s->turn_count++;
    s->host->hooks->fetch(s->host->ctx, in, args);
}

/* From outside */

uint64_t code_incoming_stream(struct code_incoming *in)
{
    PRE(in->stage == CODE_INCOMING_ASKED && in->stream == 0);
    in->stream = ++in->session->last_stream_id;
    return in->stream;
}

void code_incoming_head(struct code_incoming *in, struct slice payload)
{
    PRE(in->stage == CODE_INCOMING_ASKED);
    struct code_session *s = in->session;
    in->stage = CODE_INCOMING_OPEN;
    code_session_touch(s);
    code_answer(s, in->ask, true, payload);
    code_turn_is_back(s);
}

/* `end` is a document: whether it is the last, or why the body broke off. */
static void send_chunk(struct code_incoming *in, struct slice bytes, struct slice end)
{
    struct buf frame = {0};
    if (in->stream != 0) {
        code_frame_begin(&frame, FRAME_CHUNK_IN, in->stream, 2);
        value_put_bin(&frame, bytes);
        value_put_raw(&frame, end);
        code_frame_send(in->session, &frame);
    }
}

void code_incoming_chunk(struct code_incoming *in, struct slice bytes, bool is_end)
{
    PRE(in->stage == CODE_INCOMING_OPEN && (in->stream != 0 || bytes.len == 0));
    PRE(in->unread_bytes + bytes.len <= FRAME_STREAM_CREDIT);
    struct buf end = {0};
    code_session_touch(in->session);
    in->unread_bytes += bytes.len;
    value_put_bool(&end, is_end);
    send_chunk(in, bytes, buf_slice(&end));
    buf_done(&end);
    if (is_end) {
        code_incoming_free(in);
    }
}

void code_incoming_fail(struct code_incoming *in, struct slice error)
{
    PRE(in->stage == CODE_INCOMING_ASKED || in->stage == CODE_INCOMING_OPEN);
    struct code_session *s = in->session;
    bool was_asked = in->stage == CODE_INCOMING_ASKED;
    code_session_touch(s);
    if (was_asked) {
        code_answer(s, in->ask, false, error);
    } else {
        send_chunk(in, SLICE(""), error);
    }
    code_incoming_free(in);
    if (was_asked) {
        code_turn_is_back(s);
    }
}

/* From the isolate */

/* [stream, bytes]: so much was read. */
void code_incoming_credit(struct code_session *s, struct value_iter *frame)
{
    struct slice doc;
    uint64_t stream;
    uint64_t bytes;
    if (!value_next(frame, &doc) || !value_get_uint(doc, &stream) || stream == 0 ||
        !value_next(frame, &doc) || !value_get_uint(doc, &bytes)) {
        code_bad_frame(s);
        return;
    }
    struct code_incoming *in = find_stream(s, stream);
    if (in == NULL) {
        return; /* it has ended meanwhile */
    }
    if (bytes > in->unread_bytes) {
        code_bad_frame(s);
        return;
    }
    in->unread_bytes -= bytes;
    code_session_touch(s);
    s->host->hooks->fetch_credit(in, bytes);
}

/* The hooks hear no more of it. True: a turn less is under way. */
static bool cancel(struct code_incoming *in)
{
    bool was_asked = in->stage == CODE_INCOMING_ASKED;
    if (in->stage == CODE_INCOMING_QUEUED || in->stage == CODE_INCOMING_DROPPED) {
        in->stage = CODE_INCOMING_DROPPED;
        return false;
    }
    in->session->host->hooks->fetch_cancel(in);
    code_incoming_free(in);
    return was_asked;
}

static bool number_or_nil(struct value_iter *items, uint64_t *ret)
{
    struct slice doc;
    *ret = 0;
    return value_next(items, &doc) && (value_type(doc) == VALUE_NIL || value_get_uint(doc, ret));
}

/* [ask or nil, stream or nil]: nobody waits for it any more. Asks of other actors go on. */
bool code_incoming_cancelled(struct code_session *s, struct slice args)
{
    struct value_iter it = value_items(args);
    uint64_t ask;
    uint64_t stream;
    if (!number_or_nil(&it, &ask) || !number_or_nil(&it, &stream)) {
        return false;
    }
    /* By its ask also where the answer has crossed with this: then nobody knows of the stream. */
    struct code_incoming *in = ask != 0      ? find_ask(s, ask)
                               : stream != 0 ? find_stream(s, stream)
                                             : NULL;
    if (in != NULL && cancel(in)) {
        code_turn_is_back(s);
    }
    return true;
}

void code_incoming_session_over(struct code_session *s)
{
    PRE(s->state == CODE_ENDED);
    LIST_FOREACH_SAFE (link, &s->incoming) {
        s->turn_count -= cancel(LIST_ENTRY(link, struct code_incoming, link)) ? 1 : 0;
    }
}
