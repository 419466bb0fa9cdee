#include "node/sink_direct.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"

struct direct {
    struct sink sink;
    struct callee callee;
    struct http_exchange *x;
};

void sink_begin_events(struct http_exchange *x)
{
    static const struct http_header fields[] = {
        {{(const uint8_t *)"content-type", 12}, {(const uint8_t *)"text/event-stream", 17}},
        {{(const uint8_t *)"cache-control", 13}, {(const uint8_t *)"no-store", 8}},
    };
    http_stream_begin(x, 200, fields, sizeof fields / sizeof fields[0]);
}

static struct direct *direct_of(struct sink *s)
{
    return CONTAINER_OF(s, struct direct, sink);
}

/* The exchange, for its last answer. */
static struct http_exchange *let_go(struct sink *s)
{
    struct direct *d = direct_of(s);
    struct http_exchange *x = d->x;
    http_exchange_set_user(x, NULL);
    mem_free(d);
    return x;
}

static enum err write_out(struct sink *s, struct slice text)
{
    struct direct *d = direct_of(s);
    if (!s->has_begun) {
        sink_begin_events(d->x);
    }
    return http_stream_write(d->x, text);
}

static bool has_room(struct sink *s, size_t bytes)
{
    return http_stream_has_room(direct_of(s)->x, bytes);
}

static void end(struct sink *s)
{
    http_stream_end(let_go(s));
}

static void refuse(struct sink *s, enum err err, const struct problem_limit *limit)
{
    http_respond_problem(let_go(s), err, SLICE(""), limit);
}

static void answer(struct sink *s, struct request *r)
{
    answer_reply(let_go(s), r, FORM_JSON);
    request_free(r);
}

static void on_cancel(struct callee *c)
{
    struct direct *d = CONTAINER_OF(c, struct direct, callee);
    d->sink.on_cancel(d->sink.ctx);
    mem_free(d);
}

static void on_writable(struct callee *c)
{
    struct direct *d = CONTAINER_OF(c, struct direct, callee);
    d->sink.on_writable(d->sink.ctx);
}

struct sink *sink_direct_new(struct http_exchange *x)
{
    static const struct sink_kind kind = {
        .has_room = has_room, .write = write_out, .end = end, .refuse = refuse, .answer = answer};
    struct direct *d = MEM_NEW(struct direct);
    *d = (struct direct){
        .sink.kind = &kind, .callee = {.cancel = on_cancel, .writable = on_writable}, .x = x};
    http_exchange_set_user(x, &d->callee);
    return &d->sink;
}
