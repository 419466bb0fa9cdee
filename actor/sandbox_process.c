/* Processes in the background: started, listed, signalled; what they write is kept, bounded, and can be followed. */
#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "actor/members.h"
#include "actor/sandbox_own.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum {
    PROCESSES_MAX = 256,      /* of a sandbox, those that have ended included */
    PROCESSES_ENDED_MAX = 64, /* of which the oldest go first */
    LOG_BYTES_MAX = 1 << 20,  /* of one */
    LOG_BYTES_KEPT = 3 << 18, /* after the oldest have gone */
    LOG_HEAD_BYTES = 5,       /* stream u8 | length u32 */
    PATTERN_BYTES_MAX = 256,
    PATTERN_LINE_BYTES_MAX = 4096,
    WAIT_TIMEOUT_MS = 30 * 1000,
    WAIT_TIMEOUT_MS_MAX = 3600 * 1000,
};

struct process {
    struct box *box;
    struct list link; /* box.processes */
    struct machine_spawn spawn;
    struct bytes *cmd; /* document */
    pid_t pid;
    uint64_t started_ms;
    uint64_t ended_ms;  /* 0: it runs */
    bool is_free;       /* the box forgets it: freed once it is closed */
    struct buf log;     /* heads and bytes */
    uint64_t log_start; /* bytes that have gone before it */
    struct list followers;
    struct list waiters;
    struct sandbox_ask *starter; /* until it has started */
    struct process_texts texts;
};

/* Shown */

static void put_number(struct buf *out, const char *name, uint64_t number)
{
    value_put_text(out, name);
    value_put_uint(out, number);
}

static void put_end(const struct process *p, struct buf *out)
{
    int status = p->spawn.status;
    value_put_text(out, "exit_code");
    if (p->ended_ms == 0) {
        value_put_nil(out);
    } else {
        value_put_int(out, WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    }
    value_put_text(out, "signal");
    if (p->ended_ms != 0 && WIFSIGNALED(status)) {
        value_put_int(out, WTERMSIG(status));
    } else {
        value_put_nil(out);
    }
}

static void put_process(const struct process *p, struct buf *out)
{
    value_put_map(out, p->ended_ms != 0 ? 7 : 6);
    put_number(out, "pid", (uint64_t)p->pid);
    value_put_text(out, "cmd");
    value_put_raw(out, bytes_slice(p->cmd));
    value_put_text(out, "state");
    value_put_text(out, p->ended_ms != 0 ? "exited" : "running");
    put_number(out, "started", p->started_ms);
    put_end(p, out);
    if (p->ended_ms != 0) {
        put_number(out, "ended", p->ended_ms);
    }
}

void processes_put(const struct box *b, struct buf *out)
{
    uint32_t count = 0;
    LIST_FOREACH (link, &b->processes) {
        count += LIST_ENTRY(link, struct process, link)->pid != 0 ? 1 : 0;
    }
    value_put_array(out, count);
    LIST_FOREACH (link, &b->processes) {
        const struct process *p = LIST_ENTRY(link, struct process, link);
        if (p->pid != 0) {
            put_process(p, out);
        }
    }
}

/* The log */

struct log_entry {
    int stream;
    struct slice bytes;
    uint64_t next; /* offset of the one behind it */
};

/* False: nothing is there yet. What has gone is passed over. */
static bool log_at(const struct process *p, uint64_t offset, struct log_entry *ret)
{
    uint32_t len;
    size_t at = offset < p->log_start ? 0 : (size_t)(offset - p->log_start);
    if (at >= p->log.len) {
        return false;
    }
    ret->stream = p->log.data[at];
    memcpy(&len, p->log.data + at + 1, sizeof len);
    ret->bytes = slice_of(p->log.data + at + LOG_HEAD_BYTES, len);
    ret->next = p->log_start + at + LOG_HEAD_BYTES + len;
    return true;
}

static void log_add(struct process *p, int stream, struct slice bytes)
{
    uint32_t len = (uint32_t)bytes.len;
    size_t at = 0;
    struct log_entry entry;
    buf_append_byte(&p->log, (uint8_t)stream);
    buf_append(&p->log, &len, sizeof len);
    buf_append_slice(&p->log, bytes);
    if (p->log.len <= LOG_BYTES_MAX) {
        return;
    }
    while (p->log.len - at > LOG_BYTES_KEPT && log_at(p, p->log_start + at, &entry)) {
        at = (size_t)(entry.next - p->log_start);
    }
    buf_consume(&p->log, at);
    p->log_start += at;
}

/* Followers */

struct follower {
    struct list link; /* process.followers */
    struct sandbox_ask *ask;
    struct process *process;
    struct sandbox_stream stream;
    struct text_tail tails[2];
    uint64_t offset;
};

static void follower_end(struct follower *f, bool is_whole)
{
    struct sandbox_ask *a = f->ask;
    stream_close(&f->stream, is_whole);
    list_remove(&f->link);
    mem_free(f);
    a->state = NULL;
    a->stop = NULL;
    ask_end(a);
}

static void follower_finish(struct follower *f)
{
    static const char *const names[] = {"stdout", "stderr"};
    struct buf doc = {0};
    for (int i = 0; i < 2; i++) {
        if (text_event(&f->tails[i], SLICE(""), true, &doc)) {
            stream_event(&f->stream, names[i], buf_slice(&doc));
        }
        buf_clear(&doc);
    }
    value_put_map(&doc, 2);
    put_end(f->process, &doc);
    stream_event(&f->stream, "exit", buf_slice(&doc));
    buf_done(&doc);
    follower_end(f, true);
}

/* As much as the client has room for; it may be gone then. */
static void follower_go_on(struct follower *f)
{
    struct log_entry entry;
    struct buf doc = {0};
    while (!f->stream.is_full && log_at(f->process, f->offset, &entry)) {
        f->offset = entry.next;
        if (text_event(&f->tails[entry.stream - 1], entry.bytes, false, &doc)) {
            stream_event(&f->stream, entry.stream == 1 ? "stdout" : "stderr", buf_slice(&doc));
        }
        buf_clear(&doc);
    }
    buf_done(&doc);
    if (f->process->ended_ms != 0 && !log_at(f->process, f->offset, &entry)) {
        follower_finish(f);
    }
}

static void on_room(struct sandbox_stream *s, bool has_room)
{
    struct follower *f = CONTAINER_OF(s, struct follower, stream);
    if (has_room) {
        follower_go_on(f);
    }
}

static void on_gone(struct sandbox_stream *s)
{
    follower_end(CONTAINER_OF(s, struct follower, stream), false);
}

static void stop_follower(struct sandbox_ask *a)
{
    follower_end(a->state, false);
}

static void follow(struct sandbox_ask *a, struct process *p)
{
    struct follower *f = MEM_NEW(struct follower);
    f->ask = a;
    f->process = p;
    f->stream.on_room = on_room;
    f->stream.on_gone = on_gone;
    list_init(&f->link);
    if (!stream_open(&f->stream, a, "text/event-stream")) {
        mem_free(f);
        return;
    }
    list_append(&p->followers, &f->link);
    a->state = f;
    a->stop = stop_follower;
    ask_begin(a);
    follower_go_on(f);
}

static void follow_on(struct process *p)
{
    LIST_FOREACH_SAFE (link, &p->followers) {
        follower_go_on(LIST_ENTRY(link, struct follower, link));
    }
}

/* Who waits */

struct waiter {
    struct list link; /* process.waiters */
    struct sandbox_ask *ask;
    struct process *process;
    uint16_t port; /* 0: not for one */
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
    list_remove(&w->link);
    mem_free(w);
}

static void waiter_end(struct waiter *w)
{
    struct sandbox_ask *a = w->ask;
    waiter_free(w);
    a->state = NULL;
    a->stop = NULL;
    ask_end(a);
}

static void waiter_answer(struct waiter *w)
{
    struct buf doc = {0};
    put_process(w->process, &doc);
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

/* It may be gone then. */
static void waiter_look(struct waiter *w)
{
    struct process *p = w->process;
    bool is_ready = w->has_pattern ? has_line(w)
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

static void look_at_all(struct process *p)
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
        look_at_all(p);
        has_some = has_some || !list_is_empty(&p->waiters);
    }
    return has_some;
}

static void stop_waiter(struct sandbox_ask *a)
{
    waiter_end(a->state);
}

/* Life */

static void process_free(struct process *p)
{
    INVARIANT(list_is_empty(&p->followers) && list_is_empty(&p->waiters));
    list_remove(&p->link);
    bytes_unref(p->cmd);
    process_texts_done(&p->texts);
    buf_done(&p->log);
    mem_free(p);
}

static void forget_oldest(struct box *b)
{
    size_t ended = 0;
    LIST_FOREACH (link, &b->processes) {
        ended += LIST_ENTRY(link, struct process, link)->ended_ms != 0 ? 1 : 0;
    }
    LIST_FOREACH_SAFE (link, &b->processes) {
        struct process *p = LIST_ENTRY(link, struct process, link);
        if (ended <= PROCESSES_ENDED_MAX) {
            return;
        }
        if (p->ended_ms != 0 && list_is_empty(&p->followers) && list_is_empty(&p->waiters)) {
            process_free(p);
            b->process_count--;
            ended--;
        }
    }
}

static void on_started(struct machine_spawn *s)
{
    struct process *p = CONTAINER_OF(s, struct process, spawn);
    struct sandbox_ask *a = p->starter;
    p->pid = s->pid;
    p->started_ms = p->box->host->wall_ms;
    p->starter = NULL;
    if (a->request != NULL) {
        struct buf doc = {0};
        put_process(p, &doc);
        ask_document(a, 200, &doc);
    }
    ask_end(a);
}

static void on_output(struct machine_spawn *s, int stream, struct slice bytes)
{
    struct process *p = CONTAINER_OF(s, struct process, spawn);
    log_add(p, stream, bytes);
    follow_on(p);
    look_at_all(p);
}

static void on_closed(struct machine_spawn *s, int error, bool of_folder)
{
    struct process *p = CONTAINER_OF(s, struct process, spawn);
    struct sandbox_ask *a = p->starter;
    if (a != NULL) { /* it never ran */
        p->starter = NULL;
        p->box->process_count--;
        process_free(p);
        if (of_folder) {
            ask_fail(a, ERR_BAD_REQUEST, "cwd cannot be entered: %s", strerror(error));
        } else {
            ask_errno(a, error, "The program cannot be started");
        }
        ask_end(a);
        return;
    }
    p->ended_ms = p->box->host->wall_ms;
    follow_on(p);
    look_at_all(p);
    if (p->is_free) {
        process_free(p);
        return;
    }
    forget_oldest(p->box);
}

/* The spawns have been closed by then. */
void processes_ended(struct box *b)
{
    (void)b;
}

void processes_free(struct box *b)
{
    struct process *p;
    while ((p = LIST_FIRST(&b->processes, struct process, link)) != NULL) {
        while (!list_is_empty(&p->followers)) {
            follower_end(LIST_FIRST(&p->followers, struct follower, link), false);
        }
        while (!list_is_empty(&p->waiters)) {
            struct waiter *w = LIST_FIRST(&p->waiters, struct waiter, link);
            ask_fail(w->ask, ERR_NO_SUCH_PROCESS, NULL);
            waiter_end(w);
        }
        process_free(p);
    }
    b->process_count = 0;
}

/* Requests */

static void run(struct sandbox_ask *a)
{
    struct process *p = a->state;
    struct box *b = a->box;
    a->state = NULL;
    a->free_state = NULL;
    p->box = b;
    p->starter = a;
    list_append(&b->processes, &p->link);
    b->process_count++;
    ask_begin(a);
    enum err err = machine_spawn(b->machine, &p->spawn, SANDBOX_SPAWN_PROGRAM,
                                 buf_slice(&p->texts.bytes), p->texts.count, false);
    if (err != ERR_OK) {
        b->process_count--;
        process_free(p);
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "sandbox_processes",
                            SANDBOX_SPAWNS_MAX);
        ask_reply(a);
        ask_end(a);
    }
}

static void free_unstarted(void *state)
{
    process_free(state);
}

void process_begin(struct sandbox_ask *a)
{
    struct member m[] = {{.name = "cmd"}, {.name = "cwd"}, {.name = "env"}};
    struct reply *reply = &a->request->reply;
    struct process *p;
    if (a->what.body.len == 0) {
        ask_fail(a, ERR_BAD_REQUEST, "The request has no body.");
        return;
    }
    if (a->box->process_count >= PROCESSES_MAX) {
        (void)reply_limited(reply, ERR_OVERLOADED, "processes", PROCESSES_MAX);
        ask_reply(a);
        return;
    }
    if (members_read(a->what.body, m, sizeof m / sizeof m[0], reply) != ERR_OK) {
        ask_reply(a);
        return;
    }
    p = MEM_NEW(struct process);
    list_init(&p->link);
    list_init(&p->followers);
    list_init(&p->waiters);
    p->spawn.started = on_started;
    p->spawn.output = on_output;
    p->spawn.closed = on_closed;
    a->state = p;
    a->free_state = free_unstarted;
    if (process_texts_read(a->box, a->what.body, &p->texts, reply) != ERR_OK) {
        ask_reply(a);
        return;
    }
    p->cmd = bytes_new(m[0].doc);
    a->run = run;
    box_use(a->box, a);
}

void process_list(struct sandbox_ask *a)
{
    struct buf doc = {0};
    value_put_map(&doc, 1);
    value_put_text(&doc, "processes");
    processes_put(a->box, &doc);
    ask_document(a, 200, &doc);
}

/* The newest of that number. NULL: answered. */
static struct process *process_of(struct sandbox_ask *a)
{
    uint64_t pid;
    struct process *found = NULL;
    if (!parse_uint(a->what.argument, &pid)) {
        ask_fail(a, ERR_BAD_REQUEST, "The number of the process is none.");
        return NULL;
    }
    LIST_FOREACH (link, &a->box->processes) {
        struct process *p = LIST_ENTRY(link, struct process, link);
        if (p->pid != 0 && (uint64_t)p->pid == pid) {
            found = p;
        }
    }
    if (found == NULL) {
        ask_fail(a, ERR_NO_SUCH_PROCESS, NULL);
    }
    return found;
}

void process_show(struct sandbox_ask *a)
{
    struct buf doc = {0};
    struct process *p = process_of(a);
    if (p != NULL) {
        put_process(p, &doc);
        ask_document(a, 200, &doc);
    }
}

static void signal_now(struct sandbox_ask *a)
{
    struct process *p = process_of(a);
    if (p != NULL) {
        machine_spawn_signal(&p->spawn, (int)(intptr_t)a->state);
        a->request->reply.status = 204;
        ask_reply(a);
    }
}

void process_signal(struct sandbox_ask *a)
{
    struct query q = {0};
    uint64_t number = 15;
    bool is_good = query_init(&q, a->what.query) == ERR_OK;
    is_good = is_good && query_uint(&q, "signal", 1, 64, &number) == ERR_OK;
    query_done(&q);
    if (!is_good) {
        ask_fail(a, ERR_BAD_REQUEST, "signal is not a number from 1 to 64.");
        return;
    }
    if (process_of(a) != NULL) {
        a->state = (void *)(intptr_t)number;
        a->run = signal_now;
        box_use(a->box, a);
    }
}

static void put_log(const struct process *p, int stream, struct buf *out)
{
    struct buf text = {0};
    struct log_entry entry;
    for (uint64_t at = p->log_start; log_at(p, at, &entry); at = entry.next) {
        if (entry.stream == stream) {
            buf_append_slice(&text, entry.bytes);
        }
    }
    put_text_or_bytes(out, buf_slice(&text));
    buf_done(&text);
}

void process_logs(struct sandbox_ask *a)
{
    struct query q = {0};
    bool follows = a->what.wants_stream;
    struct buf doc = {0};
    bool is_good =
        query_init(&q, a->what.query) == ERR_OK && query_bool(&q, "follow", &follows) == ERR_OK;
    query_done(&q);
    if (!is_good) {
        ask_fail(a, ERR_BAD_REQUEST, "follow is true or false.");
        return;
    }
    struct process *p = process_of(a);
    if (p == NULL) {
        return;
    }
    if (follows) {
        follow(a, p);
        return;
    }
    value_put_map(&doc, 3);
    value_put_text(&doc, "stdout");
    put_log(p, 1, &doc);
    value_put_text(&doc, "stderr");
    put_log(p, 2, &doc);
    put_number(&doc, "lost_bytes", p->log_start);
    ask_document(a, 200, &doc);
}

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
        return reply_fail(reply, ERR_NOT_IMPLEMENTED, NULL);
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
    a->state = w;
    a->stop = stop_waiter;
    ask_begin(a);
    uint64_t until_ms = a->host->now_ms + timeout_ms;
    if (until_ms < a->deadline.key) {
        heap_set(&a->host->deadlines, &a->deadline, until_ms);
    }
    box_keep(a);
    waiter_look(w);
}
