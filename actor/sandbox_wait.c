/* POST .../processes/{pid}/wait: for a port, an answer over HTTP, a line of the log, the end. */
#include <regex.h>
#include <string.h>

#include "actor/members.h"
#include "actor/sandbox_probe.h"
#include "actor/sandbox_process_own.h"
#include "base/mem.h"
#include "rpc/value.h"

enum {
    PATTERN_BYTES_MAX = 256,
    PATTERN_LINE_BYTES_MAX = 4096,
    PATH_BYTES_MAX = 2048,
    PROBE_MS = 50,           /* between two */
    PROBE_MS_MAX = 5 * 1000, /* then one that has no answer is given up */
    WAIT_TIMEOUT_MS = 30 * 1000,
    WAIT_TIMEOUT_MS_MAX = 3600 * 1000,
};

/* Who waits */

struct waiter {
    struct list link; /* process.waiters */
    struct sandbox_ask *ask;
    struct process *process;
    uint16_t port; /* 0: not for one */
    bool has_http; /* for an answer from there: */
    struct buf path;
    uint64_t status_from;
    uint64_t status_to;
    struct probe *probe; /* under way; NULL: none */
    uint64_t probe_ms;   /* when it began; the next one not before PROBE_MS after */
    bool has_answered;
    bool has_pattern;
    regex_t pattern;
    uint64_t offset; /* of the log: looked at before */
    struct buf line; /* of each stream, what has no end yet */
};

static void waiter_free(struct waiter *w)
{
    if (w->has_pattern) {
        regfree(&w->pattern);
    }
    buf_done(&w->line);
    buf_done(&w->path);
    probe_free(w->probe);
    list_remove(&w->link);
    mem_free(w);
}

static void waiter_end(struct waiter *w)
{
    struct sandbox_ask *a = w->ask;
    waiter_free(w);
    a->own = NULL;
    a->stop = NULL;
    ask_end(a);
}

static void waiter_answer(struct waiter *w)
{
    struct buf doc = {0};
    process_put(w->process, &doc);
    ask_document(w->ask, 200, &doc);
    waiter_end(w);
}

/* Lines as they come, of both streams; a long one is looked at in parts. */
static bool has_line(struct waiter *w)
{
    struct log_entry entry;
    bool found = false;
    while (!found && log_at(w->process, w->offset, &entry)) {
        w->offset = entry.next;
        for (size_t i = 0; i < entry.bytes.len && !found; i++) {
            uint8_t c = entry.bytes.data[i];
            buf_append_byte(&w->line, c == '\0' ? ' ' : c);
            if (c == '\n' || w->line.len >= PATTERN_LINE_BYTES_MAX) {
                w->line.data[w->line.len - 1] = c == '\n' ? '\0' : w->line.data[w->line.len - 1];
                buf_append_byte(&w->line, '\0');
                found = regexec(&w->pattern, (const char *)w->line.data, 0, NULL, 0) == 0;
                buf_clear(&w->line);
            }
        }
    }
    if (!found && w->line.len > 0) { /* a prompt has no end */
        buf_append_byte(&w->line, '\0');
        found = regexec(&w->pattern, (const char *)w->line.data, 0, NULL, 0) == 0;
        w->line.len--;
    }
    return found;
}

static bool listens(const struct box *b, uint16_t port)
{
    enum { PORTS_MAX = 1024 };
    uint16_t ports[PORTS_MAX];
    size_t count = b->state == BOX_RUNNING ? machine_ports(b->machine, ports, PORTS_MAX) : 0;
    for (size_t i = 0; i < count; i++) {
        if (ports[i] == port) {
            return true;
        }
    }
    return false;
}

static void on_probed(void *ctx, int status)
{
    struct waiter *w = ctx;
    w->probe = NULL;
    w->has_answered =
        status > 0 && (uint64_t)status >= w->status_from && (uint64_t)status <= w->status_to;
}

/* What has been answered shows at the next look. */
static bool has_been_answered(struct waiter *w)
{
    const struct box *b = w->process->box;
    uint64_t now_ms = w->ask->host->now_ms;
    if (w->has_answered || b->state != BOX_RUNNING) {
        return w->has_answered;
    }
    if (w->probe != NULL && now_ms >= w->probe_ms + PROBE_MS_MAX) {
        probe_free(w->probe);
        w->probe = NULL;
    }
    if (w->probe == NULL && now_ms >= w->probe_ms + PROBE_MS && listens(b, w->port)) {
        w->probe_ms = now_ms;
        w->probe = probe_new(b->machine, w->port, buf_slice(&w->path), on_probed, w);
    }
    return false;
}

/* It may be gone then. */
static void waiter_look(struct waiter *w)
{
    struct process *p = w->process;
    bool is_ready = w->has_pattern ? has_line(w)
                    : w->has_http  ? has_been_answered(w)
                    : w->port != 0 ? listens(p->box, w->port)
                                   : p->ended_ms != 0;
    if (is_ready) {
        waiter_answer(w);
    } else if (p->ended_ms != 0) {
        struct sandbox_ask *a = w->ask;
        ask_fail(a, ERR_CONFLICT, "The process has ended, and was not ready before.");
        waiter_end(w);
    }
}

void wait_look(struct process *p)
{
    LIST_FOREACH_SAFE (link, &p->waiters) {
        waiter_look(LIST_ENTRY(link, struct waiter, link));
    }
}

bool processes_poll(struct box *b)
{
    bool has_some = false;
    LIST_FOREACH_SAFE (link, &b->processes) {
        struct process *p = LIST_ENTRY(link, struct process, link);
        wait_look(p);
        has_some = has_some || !list_is_empty(&p->waiters);
    }
    return has_some;
}

static void stop_waiter(struct sandbox_ask *a)
{
    waiter_end(a->own);
}

void wait_drop(struct process *p)
{
    while (!list_is_empty(&p->waiters)) {
        struct waiter *w = LIST_FIRST(&p->waiters, struct waiter, link);
        ask_fail(w->ask, ERR_NO_SUCH_PROCESS, NULL);
        waiter_end(w);
    }
}

/* Requests */

/* What could take long to match, or to compile, is refused: this runs where all other requests do. */
static bool is_cheap(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        bool is_escape = text.data[i] == '\\' && i + 1 < text.len;
        if (text.data[i] == '{' || text.data[i] == '\0' ||
            (is_escape && text.data[i + 1] >= '0' && text.data[i + 1] <= '9')) {
            return false;
        }
        i += is_escape ? 1 : 0;
    }
    return text.len > 0 && text.len <= PATTERN_BYTES_MAX;
}

static enum err read_pattern(struct waiter *w, struct slice text, struct reply *reply)
{
    char pattern[PATTERN_BYTES_MAX + 1];
    if (!is_cheap(text)) {
        return reply_fail(
            reply, ERR_BAD_REQUEST,
            "log is not a regular expression of at most %d bytes without { and back references.",
            PATTERN_BYTES_MAX);
    }
    memcpy(pattern, text.data, text.len);
    pattern[text.len] = '\0';
    if (regcomp(&w->pattern, pattern, REG_EXTENDED | REG_NOSUB) != 0) {
        return reply_fail(reply, ERR_BAD_REQUEST, "log is not a regular expression.");
    }
    w->has_pattern = true;
    return ERR_OK;
}

static bool read_status(struct waiter *w, struct slice range)
{
    struct slice doc;
    struct value_iter it = value_items(range);
    return value_type(range) == VALUE_ARRAY && value_count(range) == 2 && value_next(&it, &doc) &&
           value_get_uint(doc, &w->status_from) && value_next(&it, &doc) &&
           value_get_uint(doc, &w->status_to) && w->status_from >= 100 && w->status_to <= 999 &&
           w->status_from <= w->status_to;
}

static bool is_target(struct slice path)
{
    for (size_t i = 0; i < path.len; i++) {
        if (path.data[i] <= ' ' || path.data[i] >= 0x7f) {
            return false;
        }
    }
    return path.len > 0 && path.len <= PATH_BYTES_MAX && path.data[0] == '/';
}

/* {"port":8080,"path":"/","status":[200,399]} */
static enum err read_http(struct waiter *w, struct slice doc, struct reply *reply)
{
    struct member m[] = {{.name = "port"}, {.name = "path"}, {.name = "status"}};
    struct slice path = SLICE("/");
    uint64_t port = 0;
    enum err err = members_read(doc, m, sizeof m / sizeof m[0], reply);
    if (err != ERR_OK) {
        return err;
    }
    if (!member_is_given(&m[0]) || !value_get_uint(m[0].doc, &port) || port < 1 ||
        port > UINT16_MAX) {
        return reply_fail(reply, ERR_BAD_REQUEST, "http.port is not a number from 1 to 65535.");
    }
    if (member_is_given(&m[1]) && (!value_get_str(m[1].doc, &path) || !is_target(path))) {
        return reply_fail(reply, ERR_BAD_REQUEST,
                          "http.path is not visible ASCII that begins with a slash.");
    }
    w->status_from = 200;
    w->status_to = 399;
    if (member_is_given(&m[2]) && !read_status(w, m[2].doc)) {
        return reply_fail(reply, ERR_BAD_REQUEST,
                          "http.status is not the first and the last one that will do.");
    }
    w->port = (uint16_t)port;
    w->has_http = true;
    buf_append_slice(&w->path, path);
    return ERR_OK;
}

static enum err read_wait(struct sandbox_ask *a, struct waiter *w, uint64_t *ret_timeout_ms)
{
    struct member m[] = {{.name = "port"},
                         {.name = "http"},
                         {.name = "log"},
                         {.name = "exit"},
                         {.name = "timeout_ms"}};
    struct reply *reply = &a->request->reply;
    struct slice text;
    uint64_t port = 0;
    bool wants_exit = false;
    if (a->what.body.len == 0) {
        return reply_fail(reply, ERR_BAD_REQUEST, "The request has no body.");
    }
    enum err err = members_read(a->what.body, m, sizeof m / sizeof m[0], reply);
    if (err == ERR_OK) {
        err = member_ms(&m[4], 1, WAIT_TIMEOUT_MS_MAX, ret_timeout_ms, reply);
    }
    if (err != ERR_OK) {
        return err;
    }
    int count = member_is_given(&m[0]) + member_is_given(&m[1]) + member_is_given(&m[2]) +
                member_is_given(&m[3]);
    if (count != 1) {
        return reply_fail(reply, ERR_BAD_REQUEST,
                          "It is one of port, http, log and exit that is waited for.");
    }
    if (member_is_given(&m[1])) {
        return read_http(w, m[1].doc, reply);
    }
    if (member_is_given(&m[0]) &&
        (!value_get_uint(m[0].doc, &port) || port < 1 || port > UINT16_MAX)) {
        return reply_fail(reply, ERR_BAD_REQUEST, "port is not a number from 1 to 65535.");
    }
    if (member_is_given(&m[3]) && (!value_get_bool(m[3].doc, &wants_exit) || !wants_exit)) {
        return reply_fail(reply, ERR_BAD_REQUEST, "exit is not true.");
    }
    w->port = (uint16_t)port;
    if (member_is_given(&m[2])) {
        return value_get_str(m[2].doc, &text)
                   ? read_pattern(w, text, reply)
                   : reply_fail(reply, ERR_BAD_REQUEST, "log is not a string.");
    }
    return ERR_OK;
}

void process_wait(struct sandbox_ask *a)
{
    uint64_t timeout_ms = WAIT_TIMEOUT_MS;
    struct process *p = process_of(a);
    if (p == NULL) {
        return;
    }
    struct waiter *w = MEM_NEW(struct waiter);
    list_init(&w->link);
    w->ask = a;
    w->process = p;
    if (read_wait(a, w, &timeout_ms) != ERR_OK) {
        waiter_free(w);
        ask_reply(a);
        return;
    }
    list_append(&p->waiters, &w->link);
    a->own = w;
    a->stop = stop_waiter;
    ask_begin(a);
    uint64_t until_ms = a->host->now_ms + timeout_ms;
    if (until_ms < a->deadline.key) {
        heap_set(&a->host->deadlines, &a->deadline, until_ms);
    }
    box_keep(a);
    waiter_look(w);
}
