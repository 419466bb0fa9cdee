#include "actor/actor.h"
#include "actor/registry.h"
#include "base/invariant.h"
#include "node/watch_stream_own.h"
#include "node/watch_text.h"
#include "rpc/value.h"

enum { PAGE_ROWS = 100 };

/* Who reads */

/* It goes on at once: others wait for it. */
static void make_next(struct watch_stream *s)
{
    list_remove(&s->ready_link);
    list_prepend(&s->worker->ready_streams, &s->ready_link);
}

/* False: it waits until another one has let go. */
static bool may_read_state(struct watch_stream *s)
{
    struct worker *w = s->worker;
    if (!s->reads_state && w->state_readers >= WATCH_STATE_READERS_MAX) {
        list_append(&w->state_waiters, &s->ready_link);
        return false;
    }
    w->state_readers += !s->reads_state;
    s->reads_state = true;
    return true;
}

/* What it held is read again when its turn comes. */
void watch_state_let_go(struct watch_stream *s)
{
    struct worker *w = s->worker;
    if (!s->reads_state) {
        return;
    }
    s->reads_state = false;
    w->state_readers--;
    if (s->held.len > 0 && s->shown_to != NULL) {
        bytes_unref(s->shown_to);
        s->shown_to = bytes_ref(s->before_held);
        buf_done(&s->held);
    }
    struct watch_stream *next = LIST_FIRST(&w->state_waiters, struct watch_stream, ready_link);
    if (next != NULL) {
        list_remove(&next->ready_link);
        watch_stream_make_ready(next);
    }
}

/* Writing */

/* Where there is room for any length. */
static void write_page(struct watch_stream *s, struct buf *text)
{
    bool written = text->len == 0 || watch_stream_write(s, text);
    INVARIANT(written);
    buf_done(text);
}

/* The event that was held back goes out, closed. */
static void release_held(struct watch_stream *s, struct buf *text)
{
    if (s->held.len > 0) {
        buf_append_slice(text, buf_slice(&s->held));
        buf_append_byte(text, '\n');
        buf_done(&s->held);
    }
}

/* State */

static void on_page(struct request *r);

static void ask_page(struct watch_stream *s)
{
    struct request *r = request_new(REQUEST_KV_LIST);
    r->list.prefix = bytes_ref(s->prefix);
    r->list.cursor = bytes_ref(s->shown_to);
    r->list.limit = PAGE_ROWS;
    watch_stream_submit(s, r, on_page);
}

void watch_state_begin(struct watch_stream *s)
{
    watch_stream_move(s, STREAM_STATE);
    bytes_unref(s->shown_to);
    bytes_unref(s->before_held);
    s->shown_to = s->before_held = NULL;
    buf_done(&s->held);
    buf_append_str(&s->held, "event: reset\ndata: {}\n"); /* without data clients drop it */
    watch_stream_make_ready(s);
}

/* Events up to the page's version: of keys shown before they are news, the page has the others. */
static bool forward_shown(struct watch_stream *s, const struct actor *a, uint64_t version,
                          struct buf *text)
{
    for (;; s->next_seq++) {
        bool gap;
        const struct watch_event *e = watch_at(&a->watch, s->next_seq, &gap);
        if (gap) {
            return false;
        }
        if (e == NULL || e->version > version) {
            return true;
        }
        bool is_shown = e->type == WATCH_CLEAR ||
                        (e->key != NULL && s->shown_to != NULL &&
                         slice_compare(bytes_slice(e->key), bytes_slice(s->shown_to)) <= 0);
        if (is_shown && watch_stream_concerns(s, e)) {
            release_held(s, text);
            watch_text_event(text, e, false);
        }
    }
}

static void put_page(struct watch_stream *s, struct slice entries, struct buf *text)
{
    struct value_iter it = value_items(entries);
    struct slice entry;
    while (value_next(&it, &entry)) {
        struct slice doc;
        struct slice key = {0};
        struct slice value = {0};
        uint64_t version = 0;
        bool whole = value_member(entry, "key", &doc) && value_get_str(doc, &key) &&
                     value_member(entry, "version", &doc) && value_get_uint(doc, &version) &&
                     value_member(entry, "value", &value);
        INVARIANT(whole); /* our own listing wrote it */
        release_held(s, text);
        buf_append_str(&s->held, "event: put\n");
        watch_text_key(&s->held, key, value, version);
        bytes_unref(s->before_held);
        s->before_held = s->shown_to;
        s->shown_to = bytes_new(key);
    }
}

static void on_timers(struct request *r);

static void ask_timers(struct watch_stream *s)
{
    struct request *r = request_new(REQUEST_WATCH_TIMERS);
    r->since_version = s->since_version;
    r->since_n = s->since_n;
    watch_stream_submit(s, r, on_timers);
}

/* The last of the state says its version. */
static void close_state(struct watch_stream *s, uint64_t version, struct buf *text)
{
    buf_append_slice(text, buf_slice(&s->held));
    buf_done(&s->held);
    watch_text_id(text, version, 0);
    buf_append_byte(text, '\n');
}

static void on_page(struct request *r)
{
    struct watch_stream *s = watch_stream_of(r);
    struct actor *a = registry_find(&s->worker->registry, &s->identity);
    if (!watch_stream_take_reply(s, r)) {
        return;
    }
    if (!sink_has_room(s->sink, SIZE_MAX)) {
        request_free(r);
        watch_state_let_go(s); /* on_writable asks for it again */
        return;
    }
    struct slice body = bytes_slice(r->reply.body);
    struct slice entries;
    struct slice next;
    struct buf text = {0};
    bool has_both = value_member(body, "entries", &entries) && value_member(body, "next", &next);
    INVARIANT(has_both && a != NULL); /* it is watched, so it stays awake */
    if (s->shown_to == NULL) {
        bool found = watch_seek(&a->watch, r->reply.state_version, UINT32_MAX, &s->next_seq);
        INVARIANT(found); /* these events are the newest */
    } else if (!forward_shown(s, a, r->reply.state_version, &text)) {
        buf_done(&text);
        request_free(r);
        watch_state_begin(s);
        return;
    }
    put_page(s, entries, &text);
    bool is_last = value_type(next) == VALUE_NIL;
    if (is_last) {
        s->live_version = r->reply.state_version;
        close_state(s, s->live_version, &text);
    }
    request_free(r);
    write_page(s, &text);
    if (is_last) {
        watch_stream_move(s, STREAM_TIMERS);
        watch_state_let_go(s);
        watch_stream_make_ready(s);
    } else {
        make_next(s);
    }
}

/* Appends one of [version, n, data] and moves on to it; false where it comes live. */
static bool put_timer(struct watch_stream *s, struct slice item, struct buf *text,
                      uint64_t *version, uint32_t *n)
{
    struct value_iter parts = value_items(item);
    struct slice doc;
    uint64_t item_version = 0;
    uint64_t item_n = 0;
    bool whole = value_next(&parts, &doc) && value_get_uint(doc, &item_version) &&
                 value_next(&parts, &doc) && value_get_uint(doc, &item_n) &&
                 value_next(&parts, &doc);
    INVARIANT(whole);
    if (item_version > s->live_version) {
        return false;
    }
    *version = item_version;
    *n = (uint32_t)item_n;
    buf_append_str(text, "event: timer\n");
    watch_text_id(text, *version, *n);
    watch_text_data(text, doc);
    buf_append_byte(text, '\n');
    return true;
}

static void on_timers(struct request *r)
{
    struct watch_stream *s = watch_stream_of(r);
    if (!watch_stream_take_reply(s, r)) {
        return;
    }
    if (!sink_has_room(s->sink, SIZE_MAX)) {
        request_free(r);
        return;
    }
    struct slice doc;
    struct slice events;
    struct slice item;
    struct buf text = {0};
    bool more = false;
    bool whole = value_member(bytes_slice(r->reply.body), "events", &events) &&
                 value_member(bytes_slice(r->reply.body), "more", &doc) &&
                 value_get_bool(doc, &more);
    INVARIANT(whole);
    uint64_t version = s->since_version;
    uint32_t n = s->since_n;
    struct value_iter it = value_items(events);
    while (value_next(&it, &item)) {
        if (!put_timer(s, item, &text, &version, &n)) {
            more = false;
            break;
        }
    }
    request_free(r);
    s->since_version = version;
    s->since_n = n;
    write_page(s, &text);
    watch_stream_move(s, more ? STREAM_TIMERS : STREAM_LIVE);
    watch_stream_make_ready(s);
}

void watch_state_step(struct watch_stream *s)
{
    bool has_room = sink_has_room(s->sink, SIZE_MAX);
    if (s->state == STREAM_TIMERS) {
        if (has_room) {
            ask_timers(s);
        }
    } else if (!has_room) {
        watch_state_let_go(s);
    } else if (may_read_state(s)) {
        ask_page(s);
    }
}
