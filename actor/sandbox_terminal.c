/* GET .../terminal: a terminal that a program in the sandbox runs on, and those who look at it, each by a WebSocket.
 *
 * What the program writes goes into a ring, from which each viewer takes as fast as it reads. While one of them has room, or
 * nobody looks, the program goes on; a viewer that has fallen behind by more than the ring is told what it has missed. Where
 * all of them are slow the program waits, as on any terminal, but for at most VIEWER_STALL_MS: a viewer that takes nothing
 * for so long is sent away. So neither a flood of output nor a client that does not read costs more than a ring and a window
 * for each viewer. A terminal lives on without viewers for TERMINAL_ALONE_MS, and ends with its machine. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>

#include "actor/sandbox_own.h"
#include "actor/sandbox_pty.h"
#include "actor/sandbox_ring.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "rpc/json.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum {
    TERMINAL_MAGIC = 0x73627402,
    TERMINALS_MAX = 16,               /* of a sandbox */
    VIEWERS_MAX = 16,                 /* of a terminal */
    VIEWER_WINDOW_BYTES = 512 * 1024, /* on its way to a client */
    VIEWER_STALL_MS = 30 * 1000,
    TERMINAL_ALONE_MS = 3600 * 1000,
    TERMINAL_ENDED_MS = 60 * 1000, /* so that who comes back learns how it ended */
    ID_BYTES = 16,
    SIZE_MAX_CELLS = 1000,
    CONTROL_BYTES_MAX = 1024,
    CLOSE_NORMAL = 1000,
    CLOSE_POLICY = 1008,
    CLOSE_TRY_AGAIN = 1013,
};

struct terminal {
    uint32_t magic;
    struct box *box;
    struct list link; /* box.terminals */
    char id[2 * ID_BYTES + 1];
    struct machine_spawn spawn;
    struct pty *pty; /* NULL: not yet, or no more */
    struct ring ring;
    struct list viewers;
    size_t viewer_count;
    struct list input;           /* that the program has not taken */
    struct sandbox_ask *starter; /* until it has started */
    struct process_texts texts;
    uint32_t columns;
    uint32_t rows;
    uint64_t alone_ms; /* since when nobody looks */
    bool has_ended;
    bool is_freed_when_closed;
};

struct viewer {
    struct terminal *terminal;
    struct list link;
    uint64_t socket;
    uint64_t cursor; /* of the ring: what is sent next */
    size_t unread_bytes;
    uint64_t progress_ms; /* it took something then */
};

/* What a viewer has typed. */
struct input {
    struct list link;
    struct bytes *data;
    size_t at;
    uint64_t socket;
};

/* Viewers */

static struct actor_socket *socket_of(const struct terminal *t, uint64_t id)
{
    struct socket_set *set = socket_sets_find(t->box->host->sockets, &t->box->identity);
    return set != NULL ? socket_set_find(set, id) : NULL;
}

static struct actor_socket *viewer_socket(const struct viewer *v)
{
    struct actor_socket *s = socket_of(v->terminal, v->socket);
    return s != NULL && s->body_ctx == v ? s : NULL;
}

static void pace(struct terminal *t)
{
    bool has_room = list_is_empty(&t->viewers);
    LIST_FOREACH (link, &t->viewers) {
        has_room =
            has_room || LIST_ENTRY(link, struct viewer, link)->unread_bytes < VIEWER_WINDOW_BYTES;
    }
    if (t->pty != NULL) {
        pty_read(t->pty, has_room);
    }
}

static void viewer_free(struct viewer *v)
{
    struct terminal *t = v->terminal;
    list_remove(&v->link);
    t->viewer_count--;
    t->alone_ms = t->box->host->now_ms;
    mem_free(v);
    pace(t);
}

static void send(struct viewer *v, bool is_text, struct slice text)
{
    struct actor_socket *s = viewer_socket(v);
    if (s != NULL && text.len > 0) {
        struct bytes *data = bytes_new(text);
        v->unread_bytes += text.len;
        socket_send(s, is_text, data);
        bytes_unref(data);
    }
}

PRINTF_LIKE(2, 3)
static void say(struct viewer *v, const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    send(v, true, slice_of_str(text));
}

static void viewer_close(struct viewer *v, uint16_t code, const char *reason)
{
    struct actor_socket *s = viewer_socket(v);
    viewer_free(v);
    if (s != NULL) {
        s->body_hooks = NULL;
        s->body_ctx = NULL;
        enum err err = socket_close(s, code, slice_of_str(reason));
        INVARIANT(err == ERR_OK);
    }
}

/* It may be gone then: once it has seen the end. */
static void feed(struct viewer *v)
{
    struct terminal *t = v->terminal;
    const struct ring *r = &t->ring;
    if (v->unread_bytes < VIEWER_WINDOW_BYTES && v->cursor < r->start) {
        say(v, "{\"type\":\"lost\",\"cursor\":%llu,\"bytes\":%llu}", (unsigned long long)r->start,
            (unsigned long long)(r->start - v->cursor));
        v->cursor = r->start;
    }
    while (v->unread_bytes < VIEWER_WINDOW_BYTES && v->cursor < r->end) {
        struct slice piece = ring_at(r, v->cursor);
        send(v, false, piece);
        v->cursor += piece.len;
    }
    if (t->has_ended && v->cursor == r->end) {
        int status = t->spawn.status;
        say(v, "{\"type\":\"exit\",\"code\":%d}",
            WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
        viewer_close(v, CLOSE_NORMAL, "");
    }
}

static void feed_all(struct terminal *t)
{
    LIST_FOREACH_SAFE (link, &t->viewers) {
        feed(LIST_ENTRY(link, struct viewer, link));
    }
    pace(t);
}

/* Input */

static void input_free(struct input *i)
{
    list_remove(&i->link);
    bytes_unref(i->data);
    mem_free(i);
}

static void write_input(struct terminal *t)
{
    struct input *i;
    while ((i = LIST_FIRST(&t->input, struct input, link)) != NULL) {
        struct slice rest = slice_skip(bytes_slice(i->data), i->at);
        size_t done = t->pty != NULL ? pty_write(t->pty, rest) : rest.len;
        i->at += done;
        if (done < rest.len) {
            return;
        }
        struct actor_socket *s = socket_of(t, i->socket);
        input_free(i);
        if (s != NULL && s->is_body) {
            socket_message_taken(s);
        }
    }
}

static bool get_size(struct slice doc, const char *name, uint32_t *ret)
{
    struct slice item;
    uint64_t n;
    if (!value_member(doc, name, &item) || !value_get_uint(item, &n) || n < 1 ||
        n > SIZE_MAX_CELLS) {
        return false;
    }
    *ret = (uint32_t)n;
    return true;
}

/* {"type":"resize","cols","rows"} */
static bool take_control(struct terminal *t, struct slice text)
{
    struct buf doc = {0};
    struct json_detail detail;
    struct slice type;
    struct slice name;
    bool is_good = text.len > 0 && text.len <= CONTROL_BYTES_MAX &&
                   json_to_value(text, 4, &doc, &detail) == ERR_OK &&
                   value_type(buf_slice(&doc)) == VALUE_MAP &&
                   value_member(buf_slice(&doc), "type", &type) && value_get_str(type, &name) &&
                   slice_equal_str(name, "resize") &&
                   get_size(buf_slice(&doc), "cols", &t->columns) &&
                   get_size(buf_slice(&doc), "rows", &t->rows);
    buf_done(&doc);
    if (is_good && t->pty != NULL) {
        pty_resize(t->pty, (uint16_t)t->columns, (uint16_t)t->rows);
    }
    return is_good;
}

static void on_message(void *ctx, struct actor_socket *s, bool is_text, struct bytes *data)
{
    struct viewer *v = ctx;
    struct terminal *t = v->terminal;
    box_touch(t->box);
    if (is_text) {
        bool is_good = take_control(t, bytes_slice(data));
        socket_message_taken(s);
        if (!is_good) {
            viewer_close(v, CLOSE_POLICY,
                         "A text frame is {\"type\":\"resize\",\"cols\",\"rows\"}.");
        }
        return;
    }
    struct input *i = MEM_NEW(struct input);
    i->data = bytes_ref(data);
    i->socket = s->ref.id;
    list_init(&i->link);
    list_append(&t->input, &i->link);
    write_input(t);
}

static void on_drained(void *ctx, const struct actor_socket *socket, size_t bytes)
{
    struct viewer *v = ctx;
    struct terminal *t = v->terminal;
    (void)socket;
    v->unread_bytes -= bytes < v->unread_bytes ? bytes : v->unread_bytes;
    v->progress_ms = t->box->host->now_ms;
    if (v->unread_bytes <= VIEWER_WINDOW_BYTES / 2) {
        feed(v);
        pace(t);
    }
}

static void on_gone(void *ctx, const struct actor_socket *socket)
{
    (void)socket;
    viewer_free(ctx);
}

static const struct socket_body_hooks viewer_hooks = {
    .message = on_message, .drained = on_drained, .gone = on_gone};

/* The terminal itself */

static void terminal_free(struct terminal *t)
{
    PRE(t->spawn.machine == NULL && t->starter == NULL);
    while (!list_is_empty(&t->viewers)) {
        viewer_close(LIST_FIRST(&t->viewers, struct viewer, link), CLOSE_NORMAL, "");
    }
    while (!list_is_empty(&t->input)) {
        input_free(LIST_FIRST(&t->input, struct input, link));
    }
    pty_free(t->pty);
    list_remove(&t->link);
    t->box->terminal_count--;
    process_texts_done(&t->texts);
    mem_free(t->ring.data);
    t->magic = 0;
    mem_free(t);
}

static void on_output(void *ctx, struct slice bytes)
{
    OBJ_CAST(terminal, ctx, TERMINAL_MAGIC);
    ring_put(&terminal->ring, bytes);
    feed_all(terminal);
}

static void on_writable(void *ctx)
{
    OBJ_CAST(terminal, ctx, TERMINAL_MAGIC);
    write_input(terminal);
}

static const struct pty_hooks pty_hooks = {.output = on_output, .writable = on_writable};

static void agree(struct sandbox_ask *a)
{
    enum { AGREED = 101, FETCHED_ITEMS = 5 };
    struct buf doc = {0};
    value_put_array(&doc, FETCHED_ITEMS);
    value_put_uint(&doc, AGREED);
    value_put_array(&doc, 0);
    value_put_nil(&doc);
    value_put_bool(&doc, false);
    value_put_bool(&doc, true);
    ask_document(a, 200, &doc);
}

/* Answers the ask. `cursor` is what it has seen. */
static void attach(struct terminal *t, struct sandbox_ask *a, uint64_t cursor)
{
    struct request *r = a->request;
    struct viewer *v;
    if (t->viewer_count >= VIEWERS_MAX) {
        (void)reply_limited(&r->reply, ERR_OVERLOADED, "terminal_viewers", VIEWERS_MAX);
        ask_reply(a);
        return;
    }
    v = MEM_NEW(struct viewer);
    if (socket_offer_direct(a->host->sockets, &r->identity, &r->address, shard_id(a->shard),
                            r->socket, &viewer_hooks, v) != ERR_OK) {
        mem_free(v);
        ask_fail(a, ERR_OVERLOADED, "There is no line to the client.");
        return;
    }
    v->terminal = t;
    v->socket = r->socket.id;
    v->cursor = cursor < t->ring.start ? t->ring.start : cursor;
    v->progress_ms = a->host->now_ms;
    list_init(&v->link);
    list_append(&t->viewers, &v->link);
    t->viewer_count++;
    agree(a);
    say(v, "{\"type\":\"ready\",\"id\":\"%s\",\"cursor\":%llu,\"from\":%llu}", t->id,
        (unsigned long long)t->ring.end, (unsigned long long)v->cursor);
    feed(v);
}

static void on_terminal(struct machine_spawn *s, int fd)
{
    struct terminal *t = CONTAINER_OF(s, struct terminal, spawn);
    t->pty = pty_new(s->machine, fd, &pty_hooks, t);
}

static void on_started(struct machine_spawn *s)
{
    struct terminal *t = CONTAINER_OF(s, struct terminal, spawn);
    struct sandbox_ask *a = t->starter;
    t->starter = NULL;
    if (t->pty == NULL) {
        t->is_freed_when_closed = true;
        machine_spawn_abandon(s);
        ask_fail(a, ERR_UNAVAILABLE, "The sandbox gives no terminal.");
    } else if (a->request != NULL) {
        t->box->host->stats.execs++;
        attach(t, a, 0);
    }
    ask_end(a);
}

static void on_closed(struct machine_spawn *s, int error, bool of_folder)
{
    struct terminal *t = CONTAINER_OF(s, struct terminal, spawn);
    struct sandbox_ask *a = t->starter;
    (void)of_folder;
    t->starter = NULL;
    if (t->pty != NULL) {
        pty_drain(t->pty, RING_BYTES_MAX);
        pty_free(t->pty);
        t->pty = NULL;
    }
    t->has_ended = true;
    t->alone_ms = t->box->host->now_ms;
    bool had_viewers = t->viewer_count > 0;
    write_input(t); /* nobody will take it */
    feed_all(t);
    if (a != NULL) {
        ask_errno(a, error != 0 ? error : ESHUTDOWN, "The terminal cannot be started");
    }
    if (a != NULL || t->is_freed_when_closed || (had_viewers && t->viewer_count == 0)) {
        terminal_free(t);
    }
    if (a != NULL) {
        ask_end(a);
    }
}

static void look_at_viewers(struct terminal *t, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (link, &t->viewers) {
        struct viewer *v = LIST_ENTRY(link, struct viewer, link);
        if (viewer_socket(v) == NULL) {
            viewer_free(v);
        } else if (v->unread_bytes >= VIEWER_WINDOW_BYTES &&
                   v->progress_ms + VIEWER_STALL_MS <= now_ms) {
            viewer_close(v, CLOSE_TRY_AGAIN, "The client does not read.");
        }
    }
}

void terminals_look(struct box *b)
{
    uint64_t now_ms = b->host->now_ms;
    LIST_FOREACH_SAFE (link, &b->terminals) {
        struct terminal *t = LIST_ENTRY(link, struct terminal, link);
        look_at_viewers(t, now_ms);
        if (t->viewer_count > 0 || t->starter != NULL || t->is_freed_when_closed) {
            continue;
        }
        if (t->has_ended &&
            (t->ring.end == t->ring.start || t->alone_ms + TERMINAL_ENDED_MS <= now_ms)) {
            terminal_free(t);
        } else if (!t->has_ended && t->alone_ms + TERMINAL_ALONE_MS <= now_ms) {
            t->is_freed_when_closed = true;
            pty_free(t->pty);
            t->pty = NULL;
            machine_spawn_abandon(&t->spawn);
        }
    }
}

void terminals_free(struct box *b)
{
    while (!list_is_empty(&b->terminals)) {
        terminal_free(LIST_FIRST(&b->terminals, struct terminal, link));
    }
}

/* Asks */

static void stop(struct sandbox_ask *a)
{
    struct terminal *t = a->own;
    if (t != NULL && t->starter == a) {
        t->is_freed_when_closed = true;
        machine_spawn_abandon(&t->spawn);
    }
}

static struct terminal *terminal_new(struct box *b, uint32_t columns, uint32_t rows)
{
    uint8_t id[ID_BYTES];
    struct terminal *t = MEM_NEW(struct terminal);
    t->magic = TERMINAL_MAGIC;
    t->box = b;
    t->columns = columns;
    t->rows = rows;
    t->alone_ms = b->host->now_ms;
    random_bytes(id, sizeof id);
    hex_encode(id, sizeof id, t->id);
    t->spawn.terminal = on_terminal;
    t->spawn.started = on_started;
    t->spawn.closed = on_closed;
    list_init(&t->viewers);
    list_init(&t->input);
    list_init(&t->link);
    list_append(&b->terminals, &t->link);
    b->terminal_count++;
    return t;
}

struct wanted {
    uint64_t columns;
    uint64_t rows;
    uint64_t cursor;
    bool has_cursor;
    struct slice id;
};

static enum err read_query(const struct query *q, struct wanted *ret)
{
    struct slice text;
    *ret = (struct wanted){.columns = 80, .rows = 24};
    ret->has_cursor = query_find(q, "cursor", &text) && text.len > 0;
    (void)query_find(q, "id", &ret->id);
    enum err err = query_uint(q, "cols", 1, SIZE_MAX_CELLS, &ret->columns);
    err = err != ERR_OK ? err : query_uint(q, "rows", 1, SIZE_MAX_CELLS, &ret->rows);
    return err == ERR_OK && ret->has_cursor ? query_uint(q, "cursor", 0, UINT64_MAX, &ret->cursor)
                                            : err;
}

static void run(struct sandbox_ask *a)
{
    static const char shell[] = "if command -v bash >/dev/null; then exec bash -l; fi; exec sh -l";
    const struct slice cmd[] = {SLICE("sh"), SLICE("-c"), slice_of_str(shell)};
    struct query q;
    struct wanted w;
    struct buf env = {0};
    struct box *b = a->box;
    if (b->terminal_count >= TERMINALS_MAX) {
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "terminals", TERMINALS_MAX);
        ask_reply(a);
        return;
    }
    enum err err = query_init(&q, a->what.query);
    INVARIANT(err == ERR_OK && read_query(&q, &w) == ERR_OK); /* terminal_begin has looked */
    query_done(&q);
    struct terminal *t = terminal_new(b, (uint32_t)w.columns, (uint32_t)w.rows);
    value_put_map(&env, 1);
    value_put_text(&env, "TERM");
    value_put_text(&env, "xterm-256color");
    err = process_texts_make(b, "/root", cmd, 3, buf_slice(&env), &t->texts);
    buf_done(&env);
    if (err == ERR_OK) {
        err = machine_spawn_terminal(b->machine, &t->spawn, buf_slice(&t->texts.bytes),
                                     t->texts.count, t->columns, t->rows);
    }
    if (err != ERR_OK) {
        terminal_free(t);
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "sandbox_processes",
                            SANDBOX_SPAWNS_MAX);
        ask_reply(a);
        return;
    }
    t->starter = a;
    a->own = t;
    ask_begin(a);
}

static struct terminal *find(struct box *b, struct slice id)
{
    LIST_FOREACH (link, &b->terminals) {
        struct terminal *t = LIST_ENTRY(link, struct terminal, link);
        if (slice_equal_str(id, t->id) && !t->is_freed_when_closed && t->starter == NULL) {
            return t;
        }
    }
    return NULL;
}

/* Without a cursor: from here on. */
static void join(struct sandbox_ask *a, const struct wanted *w)
{
    struct terminal *t = find(a->box, w->id);
    if (t == NULL) {
        ask_fail(a, ERR_NO_SUCH_TERMINAL, NULL);
        return;
    }
    if (w->has_cursor && w->cursor > t->ring.end) {
        ask_fail(a, ERR_BAD_REQUEST, "cursor is beyond what the terminal has written.");
        return;
    }
    box_touch(a->box);
    t->columns = (uint32_t)w->columns;
    t->rows = (uint32_t)w->rows;
    if (t->pty != NULL) {
        pty_resize(t->pty, (uint16_t)t->columns, (uint16_t)t->rows);
    }
    attach(t, a, w->has_cursor ? w->cursor : t->ring.end);
}

void terminal_begin(struct sandbox_ask *a)
{
    struct query q;
    struct wanted w;
    if (a->request->is_for_body || a->request->socket.id == 0) {
        ask_fail(a, ERR_BAD_REQUEST, "A terminal is a WebSocket.");
        return;
    }
    enum err err = query_init(&q, a->what.query);
    if (err != ERR_OK) {
        ask_fail(a, err, NULL);
        return;
    }
    if (read_query(&q, &w) != ERR_OK) {
        ask_fail(a, ERR_BAD_REQUEST, "cols and rows are 1 to %d, cursor a number.", SIZE_MAX_CELLS);
    } else if (w.id.len > 0) {
        join(a, &w);
    } else if (w.has_cursor) {
        ask_fail(a, ERR_BAD_REQUEST, "cursor needs the id of a terminal.");
    } else {
        a->run = run;
        a->stop = stop;
        box_use(a->box, a);
    }
    query_done(&q);
}
