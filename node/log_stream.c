#include "node/log_stream.h"

#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/decode.h"
#include "node/node.h"
#include "node/sink_direct.h"
#include "rpc/uri.h"

struct log_stream {
    struct callee callee;
    struct list link; /* worker.log_streams */
    struct worker *worker;
    struct http_exchange *x;
    struct log_queue queue;
    struct buf held; /* text that found no room */
    bool has_token;  /* it ends when that is gone */
    uint8_t token_hash[DIGEST_BYTES];
    uint64_t sent_ms;
};

static void stream_free(struct log_stream *s)
{
    log_board_remove(&s->worker->node->logs, &s->queue);
    list_remove(&s->link);
    buf_done(&s->held);
    mem_free(s);
}

static void on_cancel(struct callee *c)
{
    stream_free(CONTAINER_OF(c, struct log_stream, callee));
}

static void stream_end(struct log_stream *s)
{
    struct http_exchange *x = s->x;
    http_exchange_set_user(x, NULL);
    stream_free(s);
    http_stream_end(x);
}

/* Writing */

static bool write_held(struct log_stream *s)
{
    if (s->held.len == 0) {
        return true;
    }
    if (http_stream_write(s->x, buf_slice(&s->held)) != ERR_OK) {
        return false; /* on_writable goes on; meanwhile the queue fills, and loses what finds no room */
    }
    buf_done(&s->held);
    s->sent_ms = clock_mono_ms();
    return true;
}

static void flush(struct log_stream *s)
{
    uint64_t lines;
    while (write_held(s) && log_board_take(&s->worker->node->logs, &s->queue, &s->held, &lines)) {
    }
}

static void on_writable(struct callee *c)
{
    flush(CONTAINER_OF(c, struct log_stream, callee));
}

void log_streams_flush(struct worker *w)
{
    LIST_FOREACH (link, &w->log_streams) {
        struct log_stream *s = LIST_ENTRY(link, struct log_stream, link);
        if (s->held.len == 0) {
            flush(s);
        }
    }
}

void log_streams_tick(struct worker *w, uint64_t now_ms, uint64_t wall_ms)
{
    if (list_is_empty(&w->log_streams)) {
        return;
    }
    const struct cluster_view *view = worker_view(w);
    LIST_FOREACH_SAFE (link, &w->log_streams) {
        struct log_stream *s = LIST_ENTRY(link, struct log_stream, link);
        if (s->has_token && cluster_view_token(view, s->token_hash, wall_ms) == NULL) {
            stream_end(s);
        } else if (s->held.len == 0 && s->sent_ms + LOG_COMMENT_MS <= now_ms) {
            buf_append_str(&s->held, ":\n\n");
            (void)write_held(s);
        }
    }
}

void log_streams_end_all(struct worker *w)
{
    LIST_FOREACH_SAFE (link, &w->log_streams) {
        stream_end(LIST_ENTRY(link, struct log_stream, link));
    }
}

/* Opening */

static enum err decode_namespace(struct slice segment, struct log_filter *f, struct decode_error *e)
{
    struct buf ns = {0};
    enum err err = percent_decode(segment, &ns);
    if (err != ERR_OK) {
        err = decode_fail(e, err, "A percent escape in the path is not valid.");
    } else if (!address_namespace_is_valid(buf_slice(&ns))) {
        err = decode_fail(e, ERR_INVALID_ID, "The namespace is not valid.");
    } else {
        memcpy(f->ns, ns.data, ns.len);
    }
    buf_done(&ns);
    return err;
}

static enum err decode_actor(const struct worker *w, const struct query *q, struct log_filter *f,
                             struct decode_error *e)
{
    struct address a = {.ns = slice_of_str(f->ns)};
    bool has_class = query_find(q, "class", &a.class);
    bool has_id = query_find(q, "id", &a.id);
    if (has_class && !address_class_is_valid(a.class)) {
        return decode_fail(e, ERR_INVALID_ID, "The class is not valid.");
    }
    if (has_id && !has_class) {
        return decode_fail(e, ERR_BAD_REQUEST, "id needs class.");
    }
    if (has_id && address_check(&a) != ERR_OK) {
        return decode_fail(e, ERR_INVALID_ID, "The id is not valid.");
    }
    if (has_class) {
        memcpy(f->class, a.class.data, a.class.len);
    }
    if (has_id) {
        f->has_identity = true;
        f->identity = address_identity(&a, w->node->data.address_key);
    }
    return ERR_OK;
}

static enum err decode_query(const struct worker *w, struct slice text, struct log_filter *f,
                             struct decode_error *e)
{
    static const char *const names[] = {"class", "id", "follow"};
    struct slice follow;
    struct query q;
    if (query_init(&q, text) != ERR_OK) {
        return decode_fail(e, ERR_BAD_REQUEST, "The query is malformed.");
    }
    enum err err = decode_parameters(&q, names, sizeof names / sizeof names[0], e);
    if (err == ERR_OK && query_find(&q, "follow", &follow) && !slice_equal_str(follow, "true") &&
        !slice_equal_str(follow, "false")) {
        err = decode_fail(e, ERR_BAD_REQUEST, "follow is true or false.");
    }
    if (err == ERR_OK) {
        err = decode_actor(w, &q, f, e);
    }
    query_done(&q);
    return err;
}

static void begin(struct worker *w, struct http_exchange *x, struct log_stream *s)
{
    s->callee = (struct callee){.cancel = on_cancel, .writable = on_writable};
    s->worker = w;
    s->x = x;
    list_init(&s->link);
    list_append(&w->log_streams, &s->link);
    http_exchange_set_user(x, &s->callee);
    sink_begin_events(x);
    buf_append_str(&s->held, ":\n\n"); /* the client sees at once that it is connected */
    (void)write_held(s);
}

/* ERR_OVERLOADED: this node has as many as it may have. */
static enum err add(struct worker *w, struct log_stream *s, struct decode_error *e)
{
    s->queue.reader = LOG_READER_STREAM;
    s->queue.worker = w->index;
    if (w->state >= WORKER_DRAINING) {
        return decode_fail(e, ERR_UNAVAILABLE, NULL);
    }
    enum err err = log_board_add(&w->node->logs, &s->queue);
    if (err != ERR_OK) {
        (void)decode_fail(e, err, NULL);
        e->limit = (struct problem_limit){.name = "log_streams", .value = LOG_STREAMS_MAX};
    }
    return err;
}

void log_stream_open(struct worker *w, struct http_exchange *x, struct slice ns, struct slice query,
                     const struct token *token)
{
    struct decode_error error;
    struct log_stream *s = MEM_NEW(struct log_stream);
    s->has_token = token != NULL;
    if (token != NULL) {
        memcpy(s->token_hash, token->hash, sizeof s->token_hash);
    }
    enum err err = decode_namespace(ns, &s->queue.filter, &error);
    err = err == ERR_OK ? decode_query(w, query, &s->queue.filter, &error) : err;
    err = err == ERR_OK ? add(w, s, &error) : err;
    if (err != ERR_OK) {
        mem_free(s);
        w->counts.by_err[err]++;
        answer_error(x, &error);
        return;
    }
    begin(w, x, s);
}
