#include "tests/lib/code_world.h"

#include "actor/isolate_frame.h"
#include "base/hex.h"
#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"

static bool find(void *ctx, struct slice ns, struct slice class, struct code_class *ret)
{
    struct world *w = ctx;
    static const uint8_t none[] = {0x90, 0x80};
    (void)ns;
    (void)class;
    *ret = (struct code_class){.version = w->version,
                               .modules = slice_of(none, 1),
                               .main = SLICE("main.js"),
                               .env = slice_of(none + 1, 1),
                               .bindings = slice_of(none + 1, 1)};
    return w->version != 0;
}

static uint64_t version_of(void *ctx, struct slice ns, struct slice class)
{
    const struct world *w = ctx;
    (void)ns;
    (void)class;
    return w->version;
}

static struct isolate *take(void *ctx, struct code_session *s, const struct code_limits *limits,
                            const char **ret_why)
{
    struct world *w = ctx;
    (void)limits;
    if (w->is_full || w->taken == ISOLATES) {
        *ret_why = "full";
        return NULL;
    }
    struct isolate *i = &w->isolates[w->taken++];
    i->session = s;
    return i;
}

static void send(struct isolate *i, struct slice frame)
{
    assert_false(i->is_killed);
    if (i->is_deaf) {
        return;
    }
    assert_true(i->sent_count < sizeof i->sent / sizeof i->sent[0]);
    value_to_json(frame, &i->sent[i->sent_count++]);
}

static void pause_reading(struct isolate *i, bool paused)
{
    i->is_paused = paused;
}

static void kill_isolate(struct isolate *i)
{
    assert_false(i->is_killed);
    i->is_killed = true;
}

static void usage_of(struct isolate *i, bool wants_peak, struct code_usage *ret)
{
    *ret = (struct code_usage){.cpu_us = i->cpu_us, .peak_bytes = wants_peak ? i->peak_bytes : 0};
}

static uint64_t memory_of(struct isolate *i)
{
    return i->peak_bytes / 2;
}

static bool identify(void *ctx, struct slice ns, struct slice class, struct slice name,
                     struct slice hex, char ret_hex[2 * IDENTITY_BYTES + 1])
{
    static const uint8_t key[ADDRESS_KEY_BYTES] = {0};
    const struct address a = {.ns = ns, .class = class, .id = name};
    (void)ctx;
    if (hex.len > 0 || name.len == 0) {
        return false;
    }
    struct identity identity = address_identity(&a, key);
    hex_encode(identity.bytes, IDENTITY_BYTES, ret_hex);
    return true;
}

static void call_actor(void *ctx, struct code_call *call, struct request *r)
{
    struct world *w = ctx;
    w->call = call;
    w->called = r;
}

static void fetch(void *ctx, struct code_incoming *in, struct slice args)
{
    struct world *w = ctx;
    in->user = w;
    w->incoming = in;
    value_to_json(args, &w->fetched);
    buf_append_byte(&w->fetched, '\n');
}

static void credit_fetch(struct code_incoming *in, uint64_t bytes)
{
    struct world *w = in->user;
    buf_printf(&w->fetched, "credit %d\n", (int)bytes);
}

static void cancel_fetch(struct code_incoming *in)
{
    struct world *w = in->user;
    w->incoming = w->incoming == in ? NULL : w->incoming;
    buf_printf(&w->fetched, "cancel\n");
}

static void log_line(void *ctx, const struct code_session *s, struct slice level, struct slice text)
{
    struct world *w = ctx;
    (void)s;
    buf_append_slice(&w->logged, level);
    buf_append_byte(&w->logged, ':');
    buf_append_slice(&w->logged, text);
    buf_append_byte(&w->logged, '\n');
}

/* Shows every exception with one more member. */
static void thrown(void *ctx, const struct code_session *s, struct slice exception,
                   struct buf *ret_shown)
{
    struct world *w = ctx;
    struct slice message;
    bool has_message =
        value_member(exception, "message", &message) && value_get_str(message, &message);
    assert_true(has_message);
    log_line(w, s, SLICE("thrown"), message);
    struct slice key;
    struct slice value;
    value_put_map(ret_shown, value_count(exception) + 1);
    for (struct value_iter it = value_entries(exception); value_next_entry(&it, &key, &value);) {
        value_put_str(ret_shown, key);
        value_put_raw(ret_shown, value);
    }
    value_put_text(ret_shown, "stack");
    value_put_text(ret_shown, "shown");
}

static struct shard *shard_of(void *ctx, uint32_t number)
{
    struct world *w = ctx;
    struct shard *shard = engine_shard(w->f.engine, number);
    return shard != NULL && shard_is_leading(shard) ? shard : NULL;
}

static const struct code_hooks hooks = {.version = version_of,
                                        .find = find,
                                        .take = take,
                                        .send = send,
                                        .pause = pause_reading,
                                        .kill = kill_isolate,
                                        .usage = usage_of,
                                        .memory = memory_of,
                                        .identify = identify,
                                        .call = call_actor,
                                        .fetch = fetch,
                                        .fetch_credit = credit_fetch,
                                        .fetch_cancel = cancel_fetch,
                                        .log = log_line,
                                        .thrown = thrown,
                                        .shard = shard_of};

/* Sockets: their clients are a list of lines. */

static void on_changed(void *ctx, struct actor_socket *s)
{
    struct world *w = ctx;
    buf_printf(&w->heard, "changed %d\n", (int)s->ref.id);
}

static void on_send(void *ctx, struct actor_socket *s, bool is_text, struct bytes *data)
{
    struct world *w = ctx;
    struct slice text = bytes_slice(data);
    buf_printf(&w->heard, "send %d %s %.*s\n", (int)s->ref.id, is_text ? "text" : "bytes",
               (int)text.len, (const char *)text.data);
}

static void on_close(void *ctx, struct actor_socket *s, uint16_t code, struct slice reason)
{
    struct world *w = ctx;
    buf_printf(&w->heard, "close %d %d %.*s\n", (int)s->ref.id, code, (int)reason.len,
               (const char *)reason.data);
}

static void on_taken(void *ctx, struct actor_socket *s)
{
    struct world *w = ctx;
    buf_printf(&w->heard, "taken %d\n", (int)s->ref.id);
}

static void on_gone(void *ctx, struct actor_socket *s, bool is_over)
{
    struct world *w = ctx;
    buf_printf(&w->heard, "gone %d%s%s\n", (int)s->ref.id, is_over ? "" : ", let go",
               s->is_in_doubt ? ", in doubt" : "");
}

static const struct socket_hooks socket_hooks = {
    .changed = on_changed, .send = on_send, .close = on_close, .taken = on_taken, .gone = on_gone};

void expect_heard(struct world *w, const char *lines)
{
    expect_str(buf_slice(&w->heard), lines);
    buf_clear(&w->heard);
}

void expect_fetched(struct world *w, const char *lines)
{
    expect_str(buf_slice(&w->fetched), lines);
    buf_clear(&w->fetched);
}

int code_world_setup(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    engine_fixture_init(&w->f);
    engine_fixture_start(&w->f);
    code_host_init(&w->host, &w->f.registry, &hooks, w);
    socket_sets_init(&w->sockets, &socket_hooks, w);
    code_host_attach_sockets(&w->host, &w->sockets);
    code_host_tick(&w->host, w->f.mono_ms);
    w->version = 1;
    *state = w;
    return 0;
}

int code_world_teardown(void **state)
{
    struct world *w = *state;
    code_host_stop(&w->host);
    engine_fixture_settle(&w->f);
    socket_sets_done(&w->sockets);
    code_host_done(&w->host);
    engine_fixture_done(&w->f);
    for (size_t i = 0; i < ISOLATES; i++) {
        for (size_t k = 0; k < w->isolates[i].sent_count; k++) {
            buf_done(&w->isolates[i].sent[k]);
        }
    }
    buf_done(&w->fetched);
    buf_done(&w->heard);
    buf_done(&w->logged);
    mem_free(w);
    return 0;
}

static void on_answer(struct request *r)
{
    struct asked *a = r->user;
    assert_false(a->is_answered);
    a->is_answered = true;
    a->reply = r->reply;
    reply_init(&r->reply);
    a->request = NULL;
    request_free(r);
}

void ask_code(struct world *w, struct asked *a, struct request *r, uint32_t timeout_ms)
{
    *a = (struct asked){.request = r};
    r->user = a;
    r->answer = on_answer;
    code_host_submit(&w->host, engine_fixture_shard_of(&w->f, r), r, timeout_ms);
}

void ask_module(struct world *w, struct asked *a, struct request *r)
{
    *a = (struct asked){.request = r};
    r->user = a;
    r->answer = on_answer;
    code_host_submit_module(&w->host, r, 1000);
}

struct request *call_request(const char *id, const char *method)
{
    struct request *r = json_request(REQUEST_CALL, id, "[1,2]");
    r->name = bytes_new(slice_of_str(method));
    return r;
}

struct request *keyed_call(const char *id, const char *key)
{
    struct request *r = call_request(id, "add");
    r->idempotency_key = bytes_new(slice_of_str(key));
    return r;
}

void call(struct world *w, struct asked *a, struct request *r)
{
    ask_code(w, a, r, 30 * 1000);
}

void say(struct isolate *i, const char *json)
{
    struct buf doc = {0};
    struct json_detail detail;
    expect_err(json_to_value(slice_of_str(json), VALUE_DEPTH_MAX, &doc, &detail), ERR_OK);
    code_host_on_frame(i->session, buf_slice(&doc));
    buf_done(&doc);
}

void say_and_settle(struct world *w, struct isolate *i, const char *json)
{
    say(i, json);
    engine_fixture_settle(&w->f);
}

/* The next frame that it was sent. */
void expect_sent(struct isolate *i, const char *json)
{
    assert_true(i->seen_count < i->sent_count);
    expect_str(buf_slice(&i->sent[i->seen_count++]), json);
}

void skip_start(struct isolate *i)
{
    assert_true(i->seen_count < i->sent_count);
    struct slice frame = buf_slice(&i->sent[i->seen_count++]);
    assert_true(slice_has_prefix(frame, SLICE("[1,0,{\"mode\":\"")));
}

void expect_nothing_sent(const struct isolate *i)
{
    assert_int_equal(i->seen_count, i->sent_count);
}

struct isolate *start(struct world *w, struct asked *a, struct request *r)
{
    call(w, a, r);
    struct isolate *i = &w->isolates[w->taken - 1];
    skip_start(i);
    say(i, "[66,0,null]");
    return i;
}
