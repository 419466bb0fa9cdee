/* Processes in the background: started, listed, signalled; what they write is kept (sandbox_log.c). */
#include <string.h>
#include <sys/wait.h>

#include "actor/members.h"
#include "actor/sandbox_process_own.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum {
    PROCESSES_MAX = 256,      /* of a sandbox, those that have ended included */
    PROCESSES_ENDED_MAX = 64, /* of which the oldest go first */
};

/* Shown */

static void put_number(struct buf *out, const char *name, uint64_t number)
{
    value_put_text(out, name);
    value_put_uint(out, number);
}

void process_put_end(const struct process *p, struct buf *out)
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

void process_put(const struct process *p, struct buf *out)
{
    value_put_map(out, p->ended_ms != 0 ? 7 : 6);
    put_number(out, "pid", (uint64_t)p->pid);
    value_put_text(out, "cmd");
    value_put_raw(out, bytes_slice(p->cmd));
    value_put_text(out, "state");
    value_put_text(out, p->ended_ms != 0 ? "exited" : "running");
    put_number(out, "started", p->started_ms);
    process_put_end(p, out);
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
            process_put(p, out);
        }
    }
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
        process_put(p, &doc);
        ask_document(a, 200, &doc);
    }
    ask_end(a);
}

static void on_output(struct machine_spawn *s, int stream, struct slice bytes)
{
    struct process *p = CONTAINER_OF(s, struct process, spawn);
    log_add(p, stream, bytes);
    log_follow_on(p);
    wait_look(p);
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
    log_follow_on(p);
    wait_look(p);
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
        log_drop_followers(p);
        wait_drop(p);
        process_free(p);
    }
    b->process_count = 0;
}

/* Requests */

static void run(struct sandbox_ask *a)
{
    struct process *p = a->own;
    struct box *b = a->box;
    a->own = NULL;
    a->free_own = NULL;
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
    a->own = p;
    a->free_own = free_unstarted;
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

/* The newest of that number. */
struct process *process_of(struct sandbox_ask *a)
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
        process_put(p, &doc);
        ask_document(a, 200, &doc);
    }
}

static void signal_now(struct sandbox_ask *a)
{
    struct process *p = process_of(a);
    if (p != NULL) {
        machine_spawn_signal(&p->spawn, (int)(intptr_t)a->own);
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
        a->own = (void *)(intptr_t)number;
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
        log_follow(a, p);
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
