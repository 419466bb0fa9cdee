#include "node/sink_remote.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/sink.h"
#include "node/sink_direct.h"
#include "node/watch_relay.h"
#include "node/worker.h"

struct remote;

struct chunk {
    struct task task;
    struct list link; /* while the origin holds it */
    struct remote *remote;
    size_t len;
    uint8_t text[];
};

/* What ends it: an error or a reply in place of a stream, or the end of one. */
struct ending {
    bool has_begun;
    enum err err;
    bool has_limit;
    struct problem_limit limit;
    struct request *request; /* NULL: none */
};

struct remote {
    /* set once */
    struct callee callee;
    struct worker *origin;
    struct worker *owner;
    uint32_t timeout_ms;

    /* origin */
    struct http_exchange *x; /* NULL: the client is gone, or has its answer */
    struct list held;        /* chunks that found no room */
    bool has_begun;
    bool has_ended; /* the end is here */
    bool cancel_is_away;

    /* owner */
    struct sink sink;
    bool is_over;           /* the stream has let go of the sink */
    bool wants_writable;    /* a write was refused since */
    struct list waits_link; /* owner.waiting_sinks: because of the others' chunks */
    size_t untaken_bytes;

    /* whoever has the task */
    struct request *request; /* with `travel`, until the stream has it */
    struct ending ending;    /* with `end` */
    struct task travel;      /* there with the request; at last there and back again */
    struct task end;
    struct task cancel;
};

static struct remote *remote_of(struct sink *s)
{
    return CONTAINER_OF(s, struct remote, sink);
}

/* At the origin */

static void is_let_go(struct worker *origin, struct task *t)
{
    struct remote *m = CONTAINER_OF(t, struct remote, travel);
    INVARIANT(m->x == NULL && list_is_empty(&m->held) && m->untaken_bytes == 0);
    origin->away_count--;
    mem_free(m);
}

static void let_go_on_owner(struct worker *owner, struct task *t)
{
    struct remote *m = CONTAINER_OF(t, struct remote, travel);
    INVARIANT(m->is_over);
    list_remove(&m->waits_link);
    m->travel.run = is_let_go;
    worker_post(owner, m->origin, &m->travel);
}

static void let_go(struct remote *m)
{
    m->travel.run = let_go_on_owner;
    worker_post(m->origin, m->owner, &m->travel);
}

static void chunk_is_taken_on_owner(struct worker *owner, struct task *t);

static void give_back(struct remote *m, struct chunk *c)
{
    list_remove(&c->link);
    c->task.run = chunk_is_taken_on_owner;
    worker_post(m->origin, m->owner, &c->task);
}

static void write_held(struct remote *m)
{
    struct chunk *c;
    while ((c = LIST_FIRST(&m->held, struct chunk, link)) != NULL) {
        if (!m->has_begun) {
            sink_begin_events(m->x);
            m->has_begun = true;
        }
        if (http_stream_write(m->x, slice_of(c->text, c->len)) != ERR_OK) {
            return; /* on_writable goes on */
        }
        give_back(m, c);
    }
}

/* The exchange gets what ends it, once all chunks are out. */
static void end_exchange(struct remote *m)
{
    struct http_exchange *x = m->x;
    const struct ending *e = &m->ending;
    m->x = NULL;
    http_exchange_set_user(x, NULL);
    if (e->has_begun) {
        http_stream_end(x);
    } else if (e->request != NULL) {
        answer_reply(x, e->request, FORM_JSON);
    } else {
        http_respond_problem(x, e->err, SLICE(""), e->has_limit ? &e->limit : NULL);
    }
}

static void end_if_written(struct remote *m)
{
    if (m->has_ended && list_is_empty(&m->held)) {
        end_exchange(m);
        request_free(m->ending.request);
        let_go(m);
    }
}

static void chunk_is_here(struct worker *origin, struct task *t)
{
    (void)origin;
    struct chunk *c = CONTAINER_OF(t, struct chunk, task);
    struct remote *m = c->remote;
    list_append(&m->held, &c->link);
    if (m->x != NULL) {
        write_held(m);
    } else {
        give_back(m, c);
    }
}

static void end_is_here(struct worker *origin, struct task *t)
{
    (void)origin;
    struct remote *m = CONTAINER_OF(t, struct remote, end);
    m->has_ended = true;
    if (m->cancel_is_away) {
        request_free(m->ending.request); /* both crossed: the cancel's return lets go */
    } else {
        end_if_written(m);
    }
}

static void cancel_is_back(struct worker *origin, struct task *t)
{
    (void)origin;
    let_go(CONTAINER_OF(t, struct remote, cancel));
}

static void cancel_on_owner(struct worker *owner, struct task *t)
{
    struct remote *m = CONTAINER_OF(t, struct remote, cancel);
    if (!m->is_over) {
        m->is_over = true;
        m->sink.on_cancel(m->sink.ctx);
    }
    m->cancel.run = cancel_is_back;
    worker_post(owner, m->origin, &m->cancel);
}

static void on_cancel(struct callee *callee)
{
    struct remote *m = CONTAINER_OF(callee, struct remote, callee);
    m->x = NULL;
    LIST_FOREACH_SAFE (link, &m->held) {
        give_back(m, LIST_ENTRY(link, struct chunk, link));
    }
    if (m->has_ended) {
        request_free(m->ending.request);
        let_go(m);
        return;
    }
    m->cancel_is_away = true;
    m->cancel.run = cancel_on_owner;
    worker_post(m->origin, m->owner, &m->cancel);
}

static void on_writable(struct callee *callee)
{
    struct remote *m = CONTAINER_OF(callee, struct remote, callee);
    write_held(m);
    end_if_written(m);
}

/* At the owner */

static size_t chunk_bytes(const struct chunk *c)
{
    return sizeof *c + c->len;
}

static void tell_writable(struct remote *m)
{
    if (m->wants_writable && !m->is_over && m->untaken_bytes <= SINK_BYTES_MAX / 2) {
        m->wants_writable = false;
        m->sink.on_writable(m->sink.ctx);
    }
}

static void tell_waiting(struct worker *owner)
{
    LIST_FOREACH_SAFE (link, &owner->waiting_sinks) {
        list_remove(link);
        tell_writable(LIST_ENTRY(link, struct remote, waits_link));
    }
}

static void chunk_is_taken_on_owner(struct worker *owner, struct task *t)
{
    struct chunk *c = CONTAINER_OF(t, struct chunk, task);
    struct remote *m = c->remote;
    m->untaken_bytes -= chunk_bytes(c);
    owner->sink_bytes -= chunk_bytes(c);
    mem_free(c);
    if (list_is_empty(&m->waits_link)) {
        tell_writable(m);
    }
    if (owner->sink_bytes <= SINK_ALL_BYTES_MAX / 2) {
        tell_waiting(owner);
    }
}

static bool has_room(struct sink *s, size_t bytes)
{
    struct remote *m = remote_of(s);
    bool is_small = m->untaken_bytes == 0 && bytes <= HTTP_STREAM_SMALL_BYTES;
    bool waits = m->owner->sink_bytes >= SINK_ALL_BYTES_MAX && !is_small;
    if (!waits && m->untaken_bytes < SINK_BYTES_MAX) {
        return true;
    }
    m->wants_writable = true;
    if (waits && list_is_empty(&m->waits_link)) {
        list_append(&m->owner->waiting_sinks, &m->waits_link);
    }
    return false;
}

static enum err write_chunk(struct sink *s, struct slice text)
{
    struct remote *m = remote_of(s);
    if (!has_room(s, text.len)) {
        return ERR_OVERLOADED;
    }
    struct chunk *c = mem_alloc(sizeof *c + text.len);
    *c = (struct chunk){.task.run = chunk_is_here, .remote = m, .len = text.len};
    memcpy(c->text, text.data, text.len);
    m->untaken_bytes += chunk_bytes(c);
    m->owner->sink_bytes += chunk_bytes(c);
    worker_post(m->owner, m->origin, &c->task);
    return ERR_OK;
}

static void post_end(struct sink *s, const struct ending *ending)
{
    struct remote *m = remote_of(s);
    m->is_over = true;
    m->ending = *ending;
    m->end.run = end_is_here;
    worker_post(m->owner, m->origin, &m->end);
}

static void end(struct sink *s)
{
    post_end(s, &(struct ending){.has_begun = true});
}

static void refuse(struct sink *s, enum err err, const struct problem_limit *limit)
{
    struct ending ending = {.err = err, .has_limit = limit != NULL};
    if (limit != NULL) {
        ending.limit = *limit;
    }
    post_end(s, &ending);
}

static void answer(struct sink *s, struct request *r)
{
    post_end(s, &(struct ending){.request = r});
}

static void open_on_owner(struct worker *owner, struct task *t)
{
    struct remote *m = CONTAINER_OF(t, struct remote, travel);
    struct request *r = m->request;
    m->request = NULL;
    watch_begin(owner, &m->sink, r, m->timeout_ms);
}

void sink_remote_open(struct worker *origin, struct worker *owner, struct http_exchange *x,
                      struct request *r, uint32_t timeout_ms)
{
    static const struct sink_kind kind = {
        .has_room = has_room, .write = write_chunk, .end = end, .refuse = refuse, .answer = answer};
    struct remote *m = MEM_NEW(struct remote);
    *m = (struct remote){.callee = {.cancel = on_cancel, .writable = on_writable},
                         .origin = origin,
                         .owner = owner,
                         .timeout_ms = timeout_ms,
                         .x = x,
                         .sink.kind = &kind,
                         .request = r,
                         .travel.run = open_on_owner};
    list_init(&m->held);
    list_init(&m->waits_link);
    if (worker_try_post(origin, owner, &m->travel) != ERR_OK) {
        answer_err(x, ERR_OVERLOADED);
        request_free(r);
        mem_free(m);
        return;
    }
    origin->away_count++;
    http_exchange_set_user(x, &m->callee);
}
