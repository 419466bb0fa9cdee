/* Contexts: interpreters that keep their variables, each one process (actor/sandbox/driver.*). What runs in one runs one
 * after the other. Its answers are as hostile as all that comes out of a sandbox.
 *
 *     STARTING --"ready"--> IDLE --its next run--> BUSY --its answer--> IDLE
 *                                                    |  timeout, or nobody waits: SIGINT; CONTEXT_GRACE_MS later SIGKILL
 *     from any state: the process has ended, or breaks the rules --> gone, 404 from then on */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "actor/members.h"
#include "actor/sandbox_own.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "rpc/json.h"
#include "rpc/value.h"

enum {
    CONTEXT_MAGIC = 0x73626301,
    CONTEXTS_MAX = 16, /* of a sandbox */
    RUNS_MAX = 64,     /* that wait for one context */
    ID_BYTES = 16,
    CONTEXT_GRACE_MS = 2000,
    RUN_TIMEOUT_MS = 25 * 1000, /* less than requests have by default */
    RUN_TIMEOUT_MS_MAX = 24 * 3600 * 1000,
    CODE_BYTES_MAX = 1 << 20,
    RESULT_BYTES_MAX = 4 << 20, /* they are read within the loop */
    ANSWER_DEPTH_MAX = 24,
};

enum context_state { CONTEXT_STARTING, CONTEXT_IDLE, CONTEXT_BUSY, CONTEXT_GOING };

struct context {
    uint32_t magic;
    enum context_state state;
    struct box *box;
    struct list link; /* box.contexts */
    char id[2 * ID_BYTES + 1];
    bool is_python;
    struct machine_spawn spawn;
    struct process_texts texts;
    struct sandbox_ask *starter; /* STARTING; NULL: nobody waits for it any more */
    struct sandbox_ask *ender;   /* it is deleted */
    struct list
        runs; /* struct run; BUSY: the first is under way, unless nobody wants it any more */
    size_t run_count;
    bool is_answered; /* BUSY: the first run is none of the list's any more */
    struct buf answer;
    struct buf output[2];
    bool is_over_bound;
    bool is_result_over_bound;
    bool has_timed_out;
    bool is_interrupted;       /* the next deadline is its end */
    struct heap_node deadline; /* host.context_deadlines */
};

struct run {
    struct list link;
    struct sandbox_ask *ask;
    struct context *context; /* NULL: it is over, or not yet begun */
    struct slice code;
    uint64_t timeout_ms;
};

/* A state change has one door. */
static void context_move(struct context *c, enum context_state to)
{
    INVARIANT(c->state != CONTEXT_GOING && to != c->state);
    c->state = to;
}

static void run_free(void *state)
{
    mem_free(state);
}

static struct run *first_run(struct context *c)
{
    return LIST_FIRST(&c->runs, struct run, link);
}

static void run_leave(struct run *r)
{
    list_remove(&r->link);
    r->context->run_count--;
    r->context = NULL;
}

static void context_free(struct context *c)
{
    PRE(c->spawn.machine == NULL && list_is_empty(&c->runs));
    heap_remove(&c->box->host->context_deadlines, &c->deadline);
    list_remove(&c->link);
    c->box->context_count--;
    process_texts_done(&c->texts);
    buf_done(&c->answer);
    buf_done(&c->output[0]);
    buf_done(&c->output[1]);
    c->magic = 0;
    mem_free(c);
}

/* Runs */

static void due_in(struct context *c, uint64_t ms)
{
    struct sandbox_host *h = c->box->host;
    heap_set(&h->context_deadlines, &c->deadline, h->now_ms + ms);
}

static void end(struct context *c)
{
    if (c->state != CONTEXT_GOING) {
        context_move(c, CONTEXT_GOING);
        heap_remove(&c->box->host->context_deadlines, &c->deadline);
        machine_spawn_abandon(&c->spawn);
    }
}

static void interrupt(struct context *c)
{
    if (c->state == CONTEXT_BUSY && !c->is_interrupted) {
        c->is_interrupted = true;
        machine_spawn_signal(&c->spawn, SIGINT);
        due_in(c, CONTEXT_GRACE_MS);
    }
}

static void next_run(struct context *c)
{
    struct run *r = first_run(c);
    struct buf doc = {0};
    struct buf line = {0};
    if (c->state != CONTEXT_IDLE || r == NULL) {
        return;
    }
    context_move(c, CONTEXT_BUSY);
    c->is_answered = false;
    c->is_over_bound = c->is_result_over_bound = c->has_timed_out = c->is_interrupted = false;
    buf_clear(&c->output[0]);
    buf_clear(&c->output[1]);
    value_put_map(&doc, 2);
    value_put_text(&doc, "code");
    value_put_str(&doc, r->code);
    value_put_text(&doc, "timeout");
    value_put_uint(&doc, r->timeout_ms);
    value_to_json(buf_slice(&doc), &line);
    buf_append_byte(&line, '\n');
    machine_spawn_write(&c->spawn, buf_slice(&line));
    buf_done(&doc);
    buf_done(&line);
    due_in(c, r->timeout_ms);
}

static void put_error(struct buf *out, const char *name, const char *message)
{
    value_put_map(out, 3);
    value_put_text(out, "name");
    value_put_text(out, name);
    value_put_text(out, "message");
    value_put_text(out, message);
    value_put_text(out, "traceback");
    value_put_text(out, "");
}

static void put_rest(const struct context *c, struct buf *out)
{
    value_put_text(out, "stdout");
    put_text_or_bytes(out, buf_slice(&c->output[0]));
    value_put_text(out, "stderr");
    put_text_or_bytes(out, buf_slice(&c->output[1]));
    value_put_text(out, "timed_out");
    value_put_bool(out, c->has_timed_out);
}

enum { ANSWER_ENTRIES = 5 };

static void answer_run(struct context *c, struct run *r, struct slice results, struct slice error)
{
    struct sandbox_ask *a = r->ask;
    struct buf doc = {0};
    if (a->request == NULL) {
        return;
    }
    if (c->is_over_bound) {
        (void)reply_too_large(&a->request->reply, "output_bytes", SANDBOX_OUTPUT_BYTES_MAX);
        ask_reply(a);
        return;
    }
    if (c->is_result_over_bound) {
        (void)reply_too_large(&a->request->reply, "result_bytes", RESULT_BYTES_MAX);
        ask_reply(a);
        return;
    }
    value_put_map(&doc, ANSWER_ENTRIES);
    value_put_text(&doc, "results");
    value_put_raw(&doc, results);
    value_put_text(&doc, "error");
    value_put_raw(&doc, error);
    put_rest(c, &doc);
    ask_document(a, 200, &doc);
}

/* Answers the first run, and lets go of it. */
static void finish_run(struct context *c, struct slice results, struct slice error)
{
    struct run *r = c->is_answered ? NULL : first_run(c);
    c->is_answered = true;
    if (r != NULL) {
        struct sandbox_ask *a = r->ask;
        run_leave(r);
        answer_run(c, r, results, error);
        ask_end(a);
    }
}

/* The context is gone: with a run under way, that is an error of its code. */
static void fail_runs(struct context *c)
{
    struct buf results = {0};
    struct buf error = {0};
    struct run *r;
    value_put_array(&results, 0);
    if (c->has_timed_out) {
        put_error(&error, "TimeoutError",
                  "The code took too long and could not be interrupted: the context is gone.");
    } else {
        put_error(&error, "ContextEnded", "The interpreter ended: the context is gone.");
    }
    if (!c->is_answered) {
        finish_run(c, buf_slice(&results), buf_slice(&error));
    }
    while ((r = first_run(c)) != NULL) {
        struct sandbox_ask *a = r->ask;
        run_leave(r);
        ask_fail(a, ERR_NO_SUCH_CONTEXT, NULL);
        ask_end(a);
    }
    buf_done(&results);
    buf_done(&error);
}

/* From the interpreter */

static bool take_answer(struct context *c, struct slice doc)
{
    struct slice results;
    struct slice error;
    if (c->state != CONTEXT_BUSY || !value_member(doc, "results", &results) ||
        value_type(results) != VALUE_ARRAY || !value_member(doc, "error", &error) ||
        (value_type(error) != VALUE_NIL && value_type(error) != VALUE_MAP)) {
        return false;
    }
    heap_remove(&c->box->host->context_deadlines, &c->deadline);
    machine_spawn_drain(&c->spawn); /* what it has written before it said so */
    context_move(c, CONTEXT_IDLE);
    finish_run(c, results, error);
    next_run(c);
    return true;
}

static bool take_ready(struct context *c)
{
    struct sandbox_ask *a = c->starter;
    struct buf doc = {0};
    if (c->state != CONTEXT_STARTING) {
        return false;
    }
    heap_remove(&c->box->host->context_deadlines, &c->deadline);
    context_move(c, CONTEXT_IDLE);
    c->starter = NULL;
    value_put_map(&doc, 2);
    value_put_text(&doc, "id");
    value_put_text(&doc, c->id);
    value_put_text(&doc, "language");
    value_put_text(&doc, c->is_python ? "python" : "javascript");
    ask_document(a, 200, &doc);
    ask_end(a);
    return true;
}

static bool take_line(struct context *c, struct slice line)
{
    struct buf doc = {0};
    struct json_detail detail;
    struct slice ready;
    bool is_good =
        line.len > 0 && json_to_value(line, ANSWER_DEPTH_MAX, &doc, &detail) == ERR_OK &&
        value_type(buf_slice(&doc)) == VALUE_MAP &&
        (value_member(buf_slice(&doc), "ready", &ready) ? take_ready(c)
                                                        : take_answer(c, buf_slice(&doc)));
    buf_done(&doc);
    return is_good;
}

static struct context *context_of(struct machine_spawn *s)
{
    return CONTAINER_OF(s, struct context, spawn);
}

/* One answer at a time: what follows it before it is asked for is not of our driver. */
static void take_answers(struct context *c, struct slice bytes)
{
    if (c->answer.len + bytes.len > RESULT_BYTES_MAX) {
        c->is_result_over_bound = true;
    }
    if (!c->is_result_over_bound) {
        buf_append_slice(&c->answer, bytes);
    }
    if (bytes.data[bytes.len - 1] != '\n') {
        return;
    }
    struct buf line = c->answer;
    c->answer = (struct buf){0};
    if (c->is_result_over_bound && c->state == CONTEXT_BUSY) {
        static const char none[] = "{\"results\":[],\"error\":null}";
        buf_clear(&line);
        buf_append_str(&line, none);
    }
    bool is_good = take_line(c, buf_slice(&line));
    buf_done(&line);
    if (!is_good) {
        end(c);
    }
}

static void on_output(struct machine_spawn *s, int stream, struct slice bytes)
{
    struct context *c = context_of(s);
    if (c->state == CONTEXT_GOING) {
        return;
    }
    if (stream == 3) {
        take_answers(c, bytes);
        return;
    }
    if (c->state != CONTEXT_BUSY || c->is_over_bound) {
        return; /* of threads that go on between runs: nobody asked for it */
    }
    if (c->output[0].len + c->output[1].len + bytes.len > SANDBOX_OUTPUT_BYTES_MAX) {
        c->is_over_bound = true;
        interrupt(c);
        return;
    }
    buf_append_slice(&c->output[stream - 1], bytes);
}

static void on_started(struct machine_spawn *s)
{
    (void)s; /* it says when it can be asked */
}

static void on_closed(struct machine_spawn *s, int error, bool of_folder)
{
    struct context *c = context_of(s);
    struct sandbox_ask *starter = c->starter;
    struct sandbox_ask *ender = c->ender;
    (void)of_folder;
    c->starter = c->ender = NULL;
    fail_runs(c);
    if (starter != NULL) {
        if (error != 0) {
            ask_errno(starter, error, "The interpreter cannot be started");
        } else {
            ask_fail(starter, ERR_UNAVAILABLE,
                     "The interpreter ended before it was ready; is it in the image?");
        }
    }
    context_free(c);
    if (starter != NULL) {
        ask_end(starter);
    }
    if (ender != NULL) {
        if (ender->request != NULL) {
            ender->request->reply.status = 204;
            ask_reply(ender);
        }
        ask_end(ender);
    }
}

void contexts_expire(struct sandbox_host *h)
{
    struct heap_node *n;
    while ((n = heap_first(&h->context_deadlines)) != NULL && n->key <= h->now_ms) {
        struct context *c = CONTAINER_OF(n, struct context, deadline);
        heap_remove(&h->context_deadlines, n);
        if (c->state == CONTEXT_BUSY && !c->is_interrupted) {
            c->has_timed_out = true;
            interrupt(c);
        } else {
            machine_spawn_drain(&c->spawn);
            end(c);
        }
    }
}

void contexts_free(struct box *b)
{
    INVARIANT(list_is_empty(&b->contexts)); /* each went with its process */
}

/* POST /contexts */

static void stop_start(struct sandbox_ask *a)
{
    struct context *c = a->own;
    if (c != NULL && c->starter == a) {
        end(c);
    }
}

static struct context *context_new(struct box *b, bool is_python)
{
    uint8_t id[ID_BYTES];
    struct context *c = MEM_NEW(struct context);
    c->magic = CONTEXT_MAGIC;
    c->box = b;
    c->is_python = is_python;
    c->is_answered = true;
    random_bytes(id, sizeof id);
    hex_encode(id, sizeof id, c->id);
    c->spawn.started = on_started;
    c->spawn.output = on_output;
    c->spawn.closed = on_closed;
    list_init(&c->runs);
    list_init(&c->link);
    list_append(&b->contexts, &c->link);
    b->context_count++;
    return c;
}

static bool wants_python(const struct sandbox_ask *a)
{
    struct slice language;
    struct slice name;
    return value_member(a->what.body, "language", &language) && value_get_str(language, &name) &&
           slice_equal_str(name, "python");
}

static void start(struct sandbox_ask *a)
{
    struct box *b = a->box;
    bool is_python = wants_python(a);
    const struct slice python[] = {SLICE("python3"), SLICE("-q"), SLICE("-c"), driver_of(true)};
    const struct slice javascript[] = {SLICE("node"), SLICE("-e"), driver_of(false)};
    struct buf env = {0};
    if (b->context_count >= CONTEXTS_MAX) {
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "contexts", CONTEXTS_MAX);
        ask_reply(a);
        return;
    }
    struct context *c = context_new(b, is_python);
    value_put_map(&env, 2);
    value_put_text(&env, "MPLBACKEND");
    value_put_text(&env, "Agg");
    value_put_text(&env, "PYTHONUNBUFFERED");
    value_put_text(&env, "1");
    enum err err = process_texts_make(b, "/root", is_python ? python : javascript,
                                      is_python ? 4 : 3, buf_slice(&env), &c->texts);
    buf_done(&env);
    if (err == ERR_OK) {
        err = machine_spawn(b->machine, &c->spawn, SANDBOX_SPAWN_DRIVER, buf_slice(&c->texts.bytes),
                            c->texts.count, true);
    }
    if (err != ERR_OK) {
        context_free(c);
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "sandbox_processes",
                            SANDBOX_SPAWNS_MAX);
        ask_reply(a);
        return;
    }
    c->starter = a;
    a->own = c;
    ask_begin(a);
}

void context_begin(struct sandbox_ask *a)
{
    struct member m[] = {{.name = "language"}};
    struct slice language;
    if (a->what.body.len == 0) {
        ask_fail(a, ERR_BAD_REQUEST, "The request has no body.");
        return;
    }
    enum err err = members_read(a->what.body, m, 1, &a->request->reply);
    if (err != ERR_OK) {
        ask_reply(a);
        return;
    }
    if (!member_is_given(&m[0]) || !value_get_str(m[0].doc, &language) ||
        (!slice_equal_str(language, "python") && !slice_equal_str(language, "javascript"))) {
        ask_fail(a, ERR_BAD_REQUEST, "language is \"python\" or \"javascript\".");
        return;
    }
    a->run = start;
    a->stop = stop_start;
    box_use(a->box, a);
}

/* POST /contexts/{id}/run, DELETE /contexts/{id} */

static struct context *find(struct sandbox_ask *a)
{
    LIST_FOREACH (link, &a->box->contexts) {
        struct context *c = LIST_ENTRY(link, struct context, link);
        if (slice_equal_str(a->what.argument, c->id) && c->state != CONTEXT_GOING &&
            c->state != CONTEXT_STARTING) {
            return c;
        }
    }
    ask_fail(a, ERR_NO_SUCH_CONTEXT, NULL);
    return NULL;
}

static void stop_run(struct sandbox_ask *a)
{
    struct run *r = a->own;
    struct context *c = r->context;
    if (c == NULL) {
        return;
    }
    bool is_under_way = c->state == CONTEXT_BUSY && !c->is_answered && first_run(c) == r;
    run_leave(r);
    if (is_under_way) {
        c->is_answered = true;
        interrupt(c);
    }
    ask_end(a);
}

static void enter(struct sandbox_ask *a)
{
    struct run *r = a->own;
    struct context *c = find(a); /* it may have ended since */
    if (c == NULL) {
        return;
    }
    if (c->run_count >= RUNS_MAX) {
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "context_runs", RUNS_MAX);
        ask_reply(a);
        return;
    }
    r->context = c;
    list_append(&c->runs, &r->link);
    c->run_count++;
    ask_begin(a);
    next_run(c);
}

void context_run(struct sandbox_ask *a)
{
    struct member m[] = {{.name = "code"}, {.name = "timeout_ms"}};
    struct run *r;
    if (a->what.body.len == 0) {
        ask_fail(a, ERR_BAD_REQUEST, "The request has no body.");
        return;
    }
    r = MEM_NEW(struct run);
    list_init(&r->link);
    r->ask = a;
    r->timeout_ms = RUN_TIMEOUT_MS;
    a->own = r;
    a->free_own = run_free;
    struct reply *reply = &a->request->reply;
    enum err err = members_read(a->what.body, m, 2, reply);
    if (err == ERR_OK && (!member_is_given(&m[0]) || !value_get_str(m[0].doc, &r->code))) {
        err = reply_fail(reply, ERR_BAD_REQUEST, "code is not a string.");
    }
    if (err == ERR_OK && r->code.len > CODE_BYTES_MAX) {
        err = reply_too_large(reply, "code_bytes", CODE_BYTES_MAX);
    }
    if (err == ERR_OK) {
        err = member_ms(&m[1], 1, RUN_TIMEOUT_MS_MAX, &r->timeout_ms, reply);
    }
    if (err != ERR_OK) {
        ask_reply(a);
    } else if (find(a) != NULL) {
        a->run = enter;
        a->stop = stop_run;
        box_use(a->box, a);
    }
}

void context_end(struct sandbox_ask *a)
{
    struct context *c = find(a);
    if (c == NULL) {
        return;
    }
    box_touch(a->box);
    c->ender = a;
    ask_begin(a);
    end(c);
}
