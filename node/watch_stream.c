#include "node/watch_stream.h"

#include "actor/actor.h"
#include "actor/registry.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/node.h"
#include "node/watch_stream_own.h"
#include "node/watch_text.h"
#include "node/watch_wire.h"
#include "rpc/value.h"

struct watch_stream *watch_stream_of(struct request *r)
{
    OBJ_CAST(watch_stream, r->user, STREAM_MAGIC);
    return watch_stream;
}

/* A state change has one door. */
void watch_stream_move(struct watch_stream *s, enum stream_state to)
{
    static const bool allowed[STREAM_STATE_COUNT][STREAM_STATE_COUNT] = {
        [STREAM_JOINING] = {[STREAM_LIVE] = true, [STREAM_STATE] = true},
        [STREAM_LIVE] = {[STREAM_STATE] = true},
        [STREAM_STATE] = {[STREAM_STATE] = true, [STREAM_TIMERS] = true},
        [STREAM_TIMERS] = {[STREAM_TIMERS] = true, [STREAM_LIVE] = true},
    };
    INVARIANT(allowed[s->state][to]);
    s->state = to;
}

/* There may be something to do for it, or room for it. */
void watch_stream_make_ready(struct watch_stream *s)
{
    if (list_is_empty(&s->ready_link)) {
        list_append(&s->worker->ready_streams, &s->ready_link);
    }
}

/* The sink, where there was one, has been dealt with. */
static void stream_free(struct watch_stream *s)
{
    PRE(s->request == NULL);
    watch_state_let_go(s);
    struct actor *a = registry_find(&s->worker->registry, &s->identity);
    if (a != NULL && !list_is_empty(&s->watcher.link)) {
        watch_remove(&a->watch, &s->watcher);
    }
    list_remove(&s->link);
    list_remove(&s->ready_link);
    s->worker->stream_count--;
    bytes_unref(s->address_text);
    bytes_unref(s->prefix);
    bytes_unref(s->shown_to);
    bytes_unref(s->before_held);
    buf_done(&s->held);
    s->magic = 0;
    mem_free(s);
}

/* The client sees an ended stream and comes again with Last-Event-ID. */
static void stream_end(struct watch_stream *s)
{
    struct sink *sink = s->sink;
    s->sink = NULL;
    sink_end(sink);
    if (s->request == NULL) {
        stream_free(s);
    }
}

/* Writing */

bool watch_stream_write(struct watch_stream *s, struct buf *text)
{
    enum err err = sink_write(s->sink, buf_slice(text));
    if (err == ERR_OK) {
        s->sent_ms = s->worker->registry.now_ms;
    }
    return err == ERR_OK;
}

bool watch_stream_concerns(const struct watch_stream *s, const struct watch_event *e)
{
    return e->key == NULL || s->prefix == NULL ||
           slice_has_prefix(bytes_slice(e->key), bytes_slice(s->prefix));
}

/* Live */

static void go_live(struct watch_stream *s)
{
    const struct actor *a = registry_find(&s->worker->registry, &s->identity);
    if (a == NULL) {
        stream_end(s);
        return;
    }
    for (;;) {
        bool gap;
        const struct watch_event *e = watch_at(&a->watch, s->next_seq, &gap);
        if (gap) {
            watch_state_begin(s);
            return;
        }
        if (e == NULL) {
            return;
        }
        if (watch_stream_concerns(s, e)) {
            if (!sink_has_room(s->sink, watch_event_bytes(e))) {
                return; /* on_writable goes on */
            }
            struct buf text = {0};
            watch_text_event(&text, e, true);
            bool written = watch_stream_write(s, &text);
            buf_done(&text);
            if (!written) {
                return; /* its text is longer */
            }
        }
        s->next_seq++;
    }
}

static void on_news(struct watcher *w)
{
    struct watch_stream *s = CONTAINER_OF(w, struct watch_stream, watcher);
    if (s->state == STREAM_LIVE && s->sink != NULL) {
        watch_stream_make_ready(s);
    }
}

static void on_end(struct watcher *w)
{
    struct watch_stream *s = CONTAINER_OF(w, struct watch_stream, watcher);
    if (s->sink != NULL) {
        stream_end(s);
    }
}

/* Turns on its behalf */

void watch_stream_submit(struct watch_stream *s, struct request *r,
                         void (*answer)(struct request *r))
{
    if (r->address_text == NULL) {
        request_set_address(r, &s->address);
        r->identity = s->identity;
    }
    r->user = s;
    r->answer = answer;
    s->request = r;
    registry_submit(&s->worker->registry, s->shard, r, s->timeout_ms);
}

bool watch_stream_take_reply(struct watch_stream *s, struct request *r)
{
    s->request = NULL;
    if (s->sink != NULL && r->reply.err == ERR_OK) {
        return true;
    }
    if (s->sink == NULL) {
        stream_free(s);
    } else if (!s->sink->has_begun) {
        sink_answer(s->sink, r);
        s->sink = NULL;
        stream_free(s);
        return false; /* the request is the sink's */
    } else {
        stream_end(s);
    }
    request_free(r);
    return false;
}

/* Joining */

/* The client sees at once that it is connected. A relay hears where a stream begins that has no event yet. */
static void say_hello(struct watch_stream *s, bool from_now, uint64_t version)
{
    struct buf hello = {0};
    if (from_now && s->worker->node->has_joined) {
        watch_put_hello(version, &hello);
    } else {
        buf_append_str(&hello, ":\n\n");
    }
    bool written = watch_stream_write(s, &hello);
    INVARIANT(written); /* the first write always is */
    buf_done(&hello);
}

static void on_joined(struct request *r)
{
    struct watch_stream *s = watch_stream_of(r);
    struct actor *a = registry_find(&s->worker->registry, &s->identity);
    if (!watch_stream_take_reply(s, r)) {
        return;
    }
    uint64_t version = r->reply.state_version;
    request_free(r);
    INVARIANT(a != NULL);
    if (!watch_add(&a->watch, &s->watcher)) {
        const struct problem_limit limit = {.name = "watchers", .value = WATCHERS_MAX};
        sink_refuse(s->sink, ERR_OVERLOADED, &limit);
        s->sink = NULL;
        stream_free(s);
        return;
    }
    bool from_now = !s->has_since || s->since_version > version;
    say_hello(s, from_now, version);
    bool found = from_now ? watch_seek(&a->watch, version, UINT32_MAX, &s->next_seq)
                          : watch_seek(&a->watch, s->since_version, s->since_n, &s->next_seq);
    if (found) {
        watch_stream_move(s, STREAM_LIVE);
        watch_stream_make_ready(s);
    } else {
        watch_state_begin(s);
    }
}

/* From the sink */

static void on_cancel(void *ctx)
{
    OBJ_CAST(watch_stream, ctx, STREAM_MAGIC);
    struct watch_stream *s = watch_stream;
    s->sink = NULL;
    if (s->request == NULL) {
        stream_free(s);
    } else {
        registry_cancel(&s->worker->registry, s->request); /* take_reply frees the stream */
    }
}

static void on_writable(void *ctx)
{
    OBJ_CAST(watch_stream, ctx, STREAM_MAGIC);
    watch_stream_make_ready(watch_stream);
}

static bool refuse(const struct worker *w, struct sink *sink)
{
    const struct problem_limit limit = {.name = "watch_streams", .value = WATCH_STREAMS_MAX};
    if (w->state >= WORKER_DRAINING) {
        sink_refuse(sink, ERR_UNAVAILABLE, NULL);
        return true;
    }
    if (w->stream_count >= WATCH_STREAMS_MAX) {
        sink_refuse(sink, ERR_OVERLOADED, &limit);
        return true;
    }
    return false;
}

void watch_stream_open(struct worker *w, struct sink *sink, struct request *r, uint32_t timeout_ms)
{
    if (refuse(w, sink)) {
        request_free(r);
        return;
    }
    struct watch_stream *s = MEM_NEW(struct watch_stream);
    s->magic = STREAM_MAGIC;
    s->worker = w;
    s->sink = sink;
    s->shard = engine_shard(w->engine, identity_shard(&r->identity, w->node->data.shard_count));
    s->identity = r->identity;
    s->address = r->address;
    s->address_text = bytes_ref(r->address_text);
    s->prefix = bytes_ref(r->list.prefix);
    s->has_since = r->has_since;
    s->since_version = r->since_version;
    s->since_n = r->since_n;
    s->timeout_ms = timeout_ms;
    s->has_token = r->has_token;
    memcpy(s->token_hash, r->token_hash, sizeof s->token_hash);
    sink->ctx = s;
    sink->on_cancel = on_cancel;
    sink->on_writable = on_writable;
    s->watcher.on_news = on_news;
    s->watcher.on_end = on_end;
    list_init(&s->watcher.link);
    list_init(&s->link);
    list_init(&s->ready_link);
    list_append(&w->streams, &s->link);
    w->stream_count++;
    watch_stream_submit(s, r, on_joined);
}

static void take_step(struct watch_stream *s)
{
    if (s->sink == NULL || s->request != NULL) {
        return; /* it ends, or a turn is under way for it */
    }
    switch (s->state) {
    case STREAM_JOINING:
    case STREAM_STATE_COUNT:
        return;
    case STREAM_LIVE:
        go_live(s);
        return;
    case STREAM_STATE:
    case STREAM_TIMERS:
        watch_state_step(s);
        return;
    }
}

bool watch_stream_step(struct worker *w)
{
    struct watch_stream *s = LIST_FIRST(&w->ready_streams, struct watch_stream, ready_link);
    if (s != NULL) {
        list_remove(&s->ready_link);
        take_step(s);
    }
    return !list_is_empty(&w->ready_streams);
}

/* Its token is gone: the client comes again and is refused as it should be. */
static bool is_revoked(const struct watch_stream *s, const struct cluster_view *v, uint64_t wall_ms)
{
    return s->has_token && cluster_view_token(v, s->token_hash, wall_ms) == NULL;
}

void watch_stream_tick(struct worker *w, uint64_t now_ms, uint64_t wall_ms)
{
    struct buf comment = {0};
    const struct cluster_view *view = worker_view(w);
    buf_append_str(&comment, ":\n\n");
    LIST_FOREACH_SAFE (link, &w->streams) {
        struct watch_stream *s = LIST_ENTRY(link, struct watch_stream, link);
        if (s->sink != NULL && is_revoked(s, view, wall_ms)) {
            stream_end(s);
        } else if (s->sink != NULL && s->sink->has_begun &&
                   s->sent_ms + WATCH_COMMENT_MS <= now_ms) {
            (void)watch_stream_write(s, &comment); /* a full buffer is being read, or will be cut */
        }
    }
    buf_done(&comment);
}

void watch_stream_end_all(struct worker *w)
{
    LIST_FOREACH_SAFE (link, &w->streams) {
        struct watch_stream *s = LIST_ENTRY(link, struct watch_stream, link);
        if (s->sink != NULL) {
            stream_end(s);
        }
    }
}
