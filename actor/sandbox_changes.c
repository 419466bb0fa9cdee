/* GET .../changes: what changes below a folder, as server-sent events. A process of ours inside watches
 * (actor/sandbox/watch.c) and writes records, which are not believed more than anything that comes from there. While the
 * client is slow they are not read, and what the kernel then drops is told as a resync. */
#include <errno.h>

#include "actor/sandbox_own.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum {
    PATH_BYTES_MAX = SANDBOX_FILE_PATH_MAX,
    ALIVE_MS = 15 * 1000,
    CHANGES_MAX = 32, /* streams of a sandbox: each has an instance of inotify */
};

struct changes {
    struct list link; /* box.changes */
    struct sandbox_ask *ask;
    struct box *box;
    struct machine_spawn spawn;
    struct sandbox_stream stream;
    struct buf root; /* path of the watched folder, "" where it is the root */
    struct buf texts;
    struct buf records;
    bool is_recursive;
    bool is_open;
    uint64_t said_ms; /* something, last */
};

static void changes_free(void *state)
{
    struct changes *c = state;
    list_remove(&c->link);
    buf_done(&c->root);
    buf_done(&c->texts);
    buf_done(&c->records);
    mem_free(c);
}

static void put_path(const struct changes *c, const char *name, struct slice below, struct buf *out)
{
    struct buf path = {0};
    buf_append_slice(&path, buf_slice(&c->root));
    if (below.len > 0 || path.len == 0) {
        buf_append_byte(&path, '/');
    }
    buf_append_slice(&path, below);
    value_put_text(out, name);
    put_text_or_bytes(out, buf_slice(&path));
    buf_done(&path);
}

static void say(struct changes *c, const struct sandbox_change *r, struct slice path,
                struct slice from)
{
    static const char *const names[SANDBOX_CHANGE_KINDS] = {
        [SANDBOX_CHANGE_READY] = "ready",   [SANDBOX_CHANGE_CREATE] = "create",
        [SANDBOX_CHANGE_MODIFY] = "modify", [SANDBOX_CHANGE_DELETE] = "delete",
        [SANDBOX_CHANGE_MOVE] = "move",     [SANDBOX_CHANGE_ATTRIB] = "attrib",
        [SANDBOX_CHANGE_RESYNC] = "resync"};
    struct buf doc = {0};
    bool is_move = r->kind == SANDBOX_CHANGE_MOVE;
    value_put_map(&doc, is_move ? 3 : 2);
    put_path(c, "path", path, &doc);
    if (is_move) {
        put_path(c, "from", from, &doc);
    }
    value_put_text(&doc, "type");
    value_put_text(&doc, r->is_folder != 0 ? "directory" : "file");
    stream_event(&c->stream, names[r->kind], buf_slice(&doc));
    c->said_ms = c->box->host->now_ms;
    buf_done(&doc);
}

/* False: it is no record. */
static bool take(struct changes *c)
{
    struct sandbox_change r;
    while (c->records.len >= sizeof r) {
        memcpy(&r, c->records.data, sizeof r);
        if (r.kind >= SANDBOX_CHANGE_KINDS || r.path_bytes > PATH_BYTES_MAX ||
            r.from_bytes > PATH_BYTES_MAX) {
            return false;
        }
        size_t bytes = sizeof r + r.path_bytes + r.from_bytes;
        if (c->records.len < bytes) {
            return true;
        }
        const uint8_t *text = c->records.data + sizeof r;
        if (r.kind == SANDBOX_CHANGE_READY && !c->is_open && c->ask->request != NULL) {
            c->is_open = stream_open(&c->stream, c->ask, "text/event-stream");
            if (!c->is_open) {
                return false;
            }
        }
        if (c->is_open) {
            say(c, &r, slice_of(text, r.path_bytes), slice_of(text + r.path_bytes, r.from_bytes));
        }
        buf_consume(&c->records, bytes);
    }
    return true;
}

static struct changes *changes_of(struct machine_spawn *s)
{
    return CONTAINER_OF(s, struct changes, spawn);
}

static void on_output(struct machine_spawn *s, int stream, struct slice bytes)
{
    struct changes *c = changes_of(s);
    if (stream != 1) {
        return;
    }
    buf_append_slice(&c->records, bytes);
    if (!take(c)) {
        machine_spawn_abandon(s);
    }
}

static void on_started(struct machine_spawn *s)
{
    (void)s; /* it says READY once it sees what happens */
}

static void on_closed(struct machine_spawn *s, int error, bool of_folder)
{
    struct changes *c = changes_of(s);
    struct sandbox_ask *a = c->ask;
    int status = error != 0 ? error : (s->status >> 8) & 0xff;
    (void)of_folder;
    if (c->is_open) {
        c->is_open = false;
        stream_close(&c->stream,
                     true); /* the folder is gone, or the sandbox: what was told is whole */
    } else {
        ask_errno(a, status != 0 ? status : ESHUTDOWN, "The folder cannot be watched");
    }
    ask_end(a);
}

static void on_room(struct sandbox_stream *s, bool has_room)
{
    struct changes *c = CONTAINER_OF(s, struct changes, stream);
    machine_spawn_pause(&c->spawn, !has_room);
}

static void on_gone(struct sandbox_stream *s)
{
    struct changes *c = CONTAINER_OF(s, struct changes, stream);
    c->is_open = false;
    machine_spawn_abandon(&c->spawn);
}

static void stop(struct sandbox_ask *a)
{
    struct changes *c = a->own;
    if (c->is_open) {
        stream_close(&c->stream, false);
        c->is_open = false;
    }
    machine_spawn_abandon(&c->spawn);
}

void changes_look(struct box *b)
{
    LIST_FOREACH (link, &b->changes) {
        struct changes *c = LIST_ENTRY(link, struct changes, link);
        if (c->is_open && c->said_ms + ALIVE_MS <= b->host->now_ms) {
            c->said_ms = b->host->now_ms;
            stream_bytes(&c->stream, SLICE(": alive\n\n"));
        }
    }
}

static size_t count_of(const struct box *b)
{
    size_t count = 0;
    LIST_FOREACH (link, &b->changes) {
        count++;
    }
    return count;
}

static void run(struct sandbox_ask *a)
{
    struct changes *c = a->own;
    if (count_of(a->box) >= CHANGES_MAX) {
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "changes_streams", CHANGES_MAX);
        ask_reply(a);
        return;
    }
    buf_append_slice(&c->texts, c->root.len > 0 ? buf_slice(&c->root) : SLICE("/"));
    buf_append_byte(&c->texts, '\0');
    buf_append_str(&c->texts, c->is_recursive ? "1" : "0");
    buf_append_byte(&c->texts, '\0');
    ask_begin(a);
    c->box = a->box;
    list_append(&a->box->changes, &c->link);
    if (machine_spawn(a->box->machine, &c->spawn, SANDBOX_SPAWN_WATCH, buf_slice(&c->texts), 2,
                      false) != ERR_OK) {
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "sandbox_processes",
                            SANDBOX_SPAWNS_MAX);
        ask_reply(a);
        ask_end(a);
    }
}

/* Absolute, without a slash at its end; nothing in it climbs. */
static bool take_root(struct changes *c, struct slice path)
{
    while (path.len > 0 && path.data[path.len - 1] == '/') {
        path.len--;
    }
    buf_append_slice(&c->root, path);
    struct buf whole = {0};
    buf_append_slice(&whole, path);
    buf_append_str(&whole, "/");
    bool is_good = path.len <= PATH_BYTES_MAX && (path.len == 0 || path.data[0] == '/') &&
                   memchr(whole.data, '\0', whole.len) == NULL &&
                   memmem(whole.data, whole.len, "/../", 4) == NULL;
    buf_done(&whole);
    return is_good;
}

void changes_begin(struct sandbox_ask *a)
{
    struct query q;
    struct slice path = SLICE("/root");
    struct changes *c = MEM_NEW(struct changes);
    list_init(&c->link);
    c->ask = a;
    c->is_recursive = false;
    c->spawn.started = on_started;
    c->spawn.output = on_output;
    c->spawn.closed = on_closed;
    c->stream.on_room = on_room;
    c->stream.on_gone = on_gone;
    a->own = c;
    a->free_own = changes_free;
    enum err err = query_init(&q, a->what.query);
    if (err != ERR_OK) {
        ask_fail(a, err, NULL);
        return;
    }
    (void)query_find(&q, "path", &path);
    bool is_good = take_root(c, path) && query_bool(&q, "recursive", &c->is_recursive) == ERR_OK;
    query_done(&q);
    if (!is_good) {
        ask_fail(a, ERR_BAD_REQUEST,
                 "path is an absolute path without \"..\", recursive true or false.");
        return;
    }
    a->run = run;
    a->stop = stop;
    box_use(a->box, a);
}
