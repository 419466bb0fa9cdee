/* POST .../exec: a program that somebody waits for. When nobody does any more, it is killed. */
#include <signal.h>
#include <sys/wait.h>

#include "actor/members.h"
#include "actor/sandbox_own.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/value.h"

enum { EXEC_MAGIC = 0x73626501, EXEC_TIMEOUT_MS_MAX = 24 * 3600 * 1000 };

struct exec {
    uint32_t magic;
    struct sandbox_ask *ask;
    struct machine_spawn spawn;
    struct process_texts texts;
    struct bytes *stdin_bytes;
    bool has_stdin;
    uint64_t timeout_ms;       /* 0: none of its own */
    struct heap_node deadline; /* host.spawn_deadlines */
    bool has_timed_out;
    bool is_over_bound;
    bool streams;
    bool is_open; /* the stream */
    struct sandbox_stream stream;
    struct text_tail tails[2];
    struct buf output[2];
    uint64_t began_ms;
    struct machine_usage before;
};

static void exec_free(void *state)
{
    struct exec *e = state;
    process_texts_done(&e->texts);
    bytes_unref(e->stdin_bytes);
    buf_done(&e->output[0]);
    buf_done(&e->output[1]);
    e->magic = 0;
    mem_free(e);
}

/* The answer */

static void put_number(struct buf *out, const char *name, uint64_t number)
{
    value_put_text(out, name);
    value_put_uint(out, number);
}

static void put_outcome(const struct exec *e, struct buf *out)
{
    struct machine_usage after = e->before;
    int status = e->spawn.status;
    if (e->ask->box != NULL) {
        box_usage(e->ask->box, &after);
    }
    bool is_signalled = WIFSIGNALED(status);
    uint64_t cpu_us = after.cpu_us > e->before.cpu_us ? after.cpu_us - e->before.cpu_us : 0;
    value_put_text(out, "exit_code");
    value_put_int(out, is_signalled ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    value_put_text(out, "signal");
    if (is_signalled) {
        value_put_int(out, WTERMSIG(status));
    } else {
        value_put_nil(out);
    }
    put_number(out, "cpu_ms", cpu_us / 1000);
    put_number(out, "wall_ms", clock_mono_ms() - e->began_ms);
    value_put_text(out, "timed_out");
    value_put_bool(out, e->has_timed_out);
    value_put_text(out, "oom_killed");
    value_put_bool(out, after.oom_kills > e->before.oom_kills);
}

enum { OUTCOME_ENTRIES = 6 };

static void answer_stream(struct exec *e)
{
    static const char *const names[] = {"stdout", "stderr"};
    struct buf doc = {0};
    for (int i = 0; i < 2; i++) {
        if (text_event(&e->tails[i], SLICE(""), true, &doc)) {
            stream_event(&e->stream, names[i], buf_slice(&doc));
        }
        buf_clear(&doc);
    }
    value_put_map(&doc, OUTCOME_ENTRIES);
    put_outcome(e, &doc);
    stream_event(&e->stream, "exit", buf_slice(&doc));
    stream_close(&e->stream, true);
    buf_done(&doc);
}

static void answer_whole(struct exec *e)
{
    struct buf doc = {0};
    if (e->is_over_bound) {
        (void)reply_too_large(&e->ask->request->reply, "output_bytes", SANDBOX_OUTPUT_BYTES_MAX);
        ask_reply(e->ask);
        return;
    }
    value_put_map(&doc, OUTCOME_ENTRIES + 2);
    put_outcome(e, &doc);
    value_put_text(&doc, "stdout");
    put_text_or_bytes(&doc, buf_slice(&e->output[0]));
    value_put_text(&doc, "stderr");
    put_text_or_bytes(&doc, buf_slice(&e->output[1]));
    ask_document(e->ask, 200, &doc);
}

/* From the machine */

static struct exec *exec_of(struct machine_spawn *s)
{
    return CONTAINER_OF(s, struct exec, spawn);
}

static void on_started(struct machine_spawn *s)
{
    struct exec *e = exec_of(s);
    struct buf doc = {0};
    if (e->has_stdin) {
        machine_spawn_write(s, bytes_slice(e->stdin_bytes));
        machine_spawn_end_input(s);
    }
    if (!e->streams || e->ask->request == NULL) {
        return;
    }
    e->is_open = stream_open(&e->stream, e->ask, "text/event-stream");
    if (!e->is_open) {
        machine_spawn_abandon(s);
        return;
    }
    value_put_map(&doc, 1);
    put_number(&doc, "pid", (uint64_t)s->pid);
    stream_event(&e->stream, "start", buf_slice(&doc));
    buf_done(&doc);
}

static void on_output(struct machine_spawn *s, int stream, struct slice bytes)
{
    struct exec *e = exec_of(s);
    struct buf doc = {0};
    if (e->streams) {
        if (text_event(&e->tails[stream - 1], bytes, false, &doc)) {
            stream_event(&e->stream, stream == 1 ? "stdout" : "stderr", buf_slice(&doc));
        }
        buf_done(&doc);
        return;
    }
    if (e->output[0].len + e->output[1].len + bytes.len > SANDBOX_OUTPUT_BYTES_MAX) {
        e->is_over_bound = true;
        machine_spawn_abandon(s);
        return;
    }
    buf_append_slice(&e->output[stream - 1], bytes);
}

static void on_closed(struct machine_spawn *s, int error, bool of_folder)
{
    struct exec *e = exec_of(s);
    struct sandbox_ask *a = e->ask;
    heap_remove(&a->host->spawn_deadlines, &e->deadline);
    if (error != 0 && of_folder) {
        ask_fail(a, ERR_BAD_REQUEST, "cwd cannot be entered: %s", strerror(error));
    } else if (error != 0) {
        ask_errno(a, error, "The program cannot be started");
    } else if (e->is_open) {
        answer_stream(e);
    } else if (a->request != NULL) {
        answer_whole(e);
    }
    ask_end(a);
}

/* From the client's side */

static void on_room(struct sandbox_stream *s, bool has_room)
{
    struct exec *e = CONTAINER_OF(s, struct exec, stream);
    machine_spawn_pause(&e->spawn, !has_room);
}

static void on_gone(struct sandbox_stream *s)
{
    struct exec *e = CONTAINER_OF(s, struct exec, stream);
    e->is_open = false;
    machine_spawn_abandon(&e->spawn);
}

static void stop(struct sandbox_ask *a)
{
    struct exec *e = a->own;
    if (e->is_open) {
        stream_close(&e->stream, false);
        e->is_open = false;
    }
    machine_spawn_abandon(&e->spawn);
}

static void run(struct sandbox_ask *a)
{
    struct exec *e = a->own;
    box_usage(a->box, &e->before);
    e->began_ms = clock_mono_ms();
    ask_begin(a);
    enum err err = machine_spawn(a->box->machine, &e->spawn, SANDBOX_SPAWN_PROGRAM,
                                 buf_slice(&e->texts.bytes), e->texts.count, e->has_stdin);
    if (err != ERR_OK) {
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "sandbox_processes",
                            SANDBOX_SPAWNS_MAX);
        ask_reply(a);
        ask_end(a);
        return;
    }
    a->host->stats.execs++;
    if (e->timeout_ms != 0) {
        heap_set(&a->host->spawn_deadlines, &e->deadline, a->host->now_ms + e->timeout_ms);
    }
}

void exec_expire(struct sandbox_host *h)
{
    struct heap_node *n;
    while ((n = heap_first(&h->spawn_deadlines)) != NULL && n->key <= h->now_ms) {
        struct exec *e = CONTAINER_OF(n, struct exec, deadline);
        heap_remove(&h->spawn_deadlines, n);
        e->has_timed_out = true;
        machine_spawn_signal(&e->spawn, SIGKILL);
    }
}

static enum err read_body(struct sandbox_ask *a, struct exec *e)
{
    struct member m[] = {{.name = "cmd"},
                         {.name = "cwd"},
                         {.name = "env"},
                         {.name = "stdin"},
                         {.name = "timeout_ms"}};
    struct reply *reply = &a->request->reply;
    struct slice text;
    if (a->what.body.len == 0) {
        return reply_fail(reply, ERR_BAD_REQUEST, "The request has no body.");
    }
    enum err err = members_read(a->what.body, m, sizeof m / sizeof m[0], reply);
    if (err == ERR_OK) {
        err = member_ms(&m[4], 1, EXEC_TIMEOUT_MS_MAX, &e->timeout_ms, reply);
    }
    if (err == ERR_OK && member_is_given(&m[3]) && value_type(m[3].doc) != VALUE_NIL) {
        if (!value_get_str(m[3].doc, &text) && !value_get_bin(m[3].doc, &text)) {
            return reply_fail(reply, ERR_BAD_REQUEST, "stdin is neither a string nor bytes.");
        }
        e->has_stdin = true;
        e->stdin_bytes = bytes_new(text);
    }
    return err != ERR_OK ? err : process_texts_read(a->box, a->what.body, &e->texts, reply);
}

void exec_begin(struct sandbox_ask *a)
{
    struct exec *e = MEM_NEW(struct exec);
    e->magic = EXEC_MAGIC;
    e->ask = a;
    e->streams = a->what.wants_stream;
    e->spawn.started = on_started;
    e->spawn.output = on_output;
    e->spawn.closed = on_closed;
    e->stream.on_room = on_room;
    e->stream.on_gone = on_gone;
    a->own = e;
    a->free_own = exec_free;
    if (read_body(a, e) != ERR_OK) {
        ask_reply(a);
        return;
    }
    a->run = run;
    a->stop = stop;
    box_use(a->box, a);
}
