#include "tests/lib/engine_fixture.h"

#include "actor/registry.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "storage/data_dir.h"
#include "storage/store.h"

enum {
    SHARDS = 2,
    DIR_BYTES = 4096,
    TURNS_MAX = 1000 * 1000, /* it never settles */
    JSON_DEPTH = 40,
    COLD_MS = 25 * 1000, /* actors hibernate, checkpoints are written */
};

static const uint8_t address_key[ADDRESS_KEY_BYTES] = "a key for tests";

static void on_lead(void *ctx, struct shard *s)
{
    (void)ctx;
    (void)s;
}

static void on_depose(void *ctx, struct shard *s)
{
    struct engine_fixture *f = ctx;
    registry_depose(&f->registry, s);
}

static const struct shard_hooks hooks = {.lead = on_lead, .depose = on_depose};

static void notify(void *ctx)
{
    (void)ctx; /* the loop of a test looks by itself */
}

void engine_fixture_init_below(struct engine_fixture *f, char *base)
{
    *f = (struct engine_fixture){.base = base,
                                 .dir = mem_alloc(DIR_BYTES),
                                 .memory_max = 64 << 20,
                                 .request_max = 64 * 1024,
                                 .mono_ms = 1000 * 1000,
                                 .wall_ms = UINT64_C(1700000000000)};
    (void)snprintf(f->dir, DIR_BYTES, "%s/data", f->base);
    f->options = (struct engine_options){
        .data_dir = f->dir,
        .worker_count = 1,
        .shard_count = SHARDS,
        .memory_bytes = 64 << 20,
        .hooks = &hooks,
        .hooks_ctx = f,
        .notify = notify,
        .notify_ctx = f,
        .wal_segment_bytes = 1 << 20,
        .wal_budget_bytes = 8 << 20,
        .map_bytes = STORE_MAP_BYTES_TESTS,
        .unthreaded = true,
    };
}

enum err engine_fixture_make_data(struct engine_fixture *f)
{
    struct data_dir data;
    enum err err = data_dir_open(&data, f->dir, SHARDS, 1, f->detail);
    if (err == ERR_OK) {
        data_dir_close(&data);
    }
    return err;
}

void engine_fixture_init(struct engine_fixture *f)
{
    engine_fixture_init_below(f, test_make_dir());
    expect_err(engine_fixture_make_data(f), ERR_OK);
}

enum err engine_fixture_try_start(struct engine_fixture *f)
{
    PRE(f->engine == NULL);
    registry_init(&f->registry, f->memory_max, f->request_max);
    registry_tick(&f->registry, f->mono_ms);
    return engine_open(&f->options, f->mono_ms, f->wall_ms, &f->engine, f->detail);
}

void engine_fixture_start(struct engine_fixture *f)
{
    enum err err = engine_fixture_try_start(f);
    if (err != ERR_OK) {
        fail_msg("%s: %s", err_info(err)->name, f->detail);
    }
    engine_fixture_settle(f);
    assert_true(engine_is_ready(f->engine));
}

void engine_fixture_stop(struct engine_fixture *f)
{
    registry_done(&f->registry);
    engine_close(f->engine);
    f->engine = NULL;
}

void engine_fixture_kill(struct engine_fixture *f)
{
    registry_done(&f->registry);
    engine_abandon(f->engine);
    f->engine = NULL;
}

void engine_fixture_done(struct engine_fixture *f)
{
    if (f->engine != NULL) {
        engine_fixture_stop(f);
    }
    test_remove_dir(f->base);
    mem_free(f->dir);
}

/* The loop */

bool engine_fixture_turn(struct engine_fixture *f, int kinds)
{
    bool worked = false;
    engine_set_time(f->engine, f->mono_ms, f->wall_ms);
    engine_flush(f->engine);
    while (engine_work(f->engine, kinds)) {
        worked = true;
    }
    engine_poll(f->engine);
    return worked;
}

void engine_fixture_settle(struct engine_fixture *f)
{
    bool worked = true;
    for (int turns = 0; worked; turns++) {
        assert_true(turns < TURNS_MAX);
        worked = engine_fixture_turn(f, ENGINE_ALL);
        if (!list_is_empty(&f->registry.unfinished)) {
            registry_tick(&f->registry, f->mono_ms);
            worked = true;
        }
    }
}

void engine_fixture_wait(struct engine_fixture *f, uint64_t ms)
{
    while (ms > 0) {
        uint64_t step_ms = ms < ENGINE_TICK_MS ? ms : ENGINE_TICK_MS;
        f->mono_ms += step_ms;
        f->wall_ms += step_ms;
        ms -= step_ms;
        engine_set_time(f->engine, f->mono_ms, f->wall_ms);
        registry_tick(&f->registry, f->mono_ms);
        engine_tick(f->engine);
        engine_fixture_settle(f);
    }
}

void make_cold(struct engine_fixture *f)
{
    engine_fixture_wait(f, COLD_MS);
    assert_int_equal(f->registry.actors.count, 0);
}

/* Requests */

struct request *request_of(enum request_kind kind, const char *id)
{
    struct request *r = request_new(kind);
    const struct address address = {SLICE("test"), SLICE("Store"), slice_of_str(id)};
    request_set_address(r, &address);
    r->identity = address_identity(&r->address, address_key);
    return r;
}

struct shard *engine_fixture_shard_of(struct engine_fixture *f, const struct request *r)
{
    return engine_shard(f->engine, identity_shard(&r->identity, f->options.shard_count));
}

static void on_answer(struct request *r)
{
    struct asked *a = r->user;
    assert_false(a->is_answered);
    a->is_answered = true;
    a->reply = r->reply; /* moves */
    reply_init(&r->reply);
    a->request = NULL;
    request_free(r);
    if (a->then != NULL) {
        a->then(a);
    }
}

void ask_within(struct engine_fixture *f, struct asked *a, struct request *r, uint32_t timeout_ms)
{
    PRE(a->request == NULL && !a->is_answered);
    a->request = r;
    r->user = a;
    r->answer = on_answer;
    registry_submit(&f->registry, engine_fixture_shard_of(f, r), r, timeout_ms);
}

void ask(struct engine_fixture *f, struct asked *a, struct request *r)
{
    ask_within(f, a, r, REQUEST_TIMEOUT_MS);
}

void asked_done(struct asked *a)
{
    assert_true(a->is_answered);
    reply_clear(&a->reply);
    a->is_answered = false;
}

void expect_answer(const struct asked *a, enum err err)
{
    assert_true(a->is_answered);
    expect_err(a->reply.err, err);
}

void expect_limited(const struct asked *a, enum err err, const char *name, uint64_t value)
{
    expect_answer(a, err);
    assert_non_null(a->reply.limit_name);
    assert_string_equal(a->reply.limit_name, name);
    assert_true(a->reply.limit_value == value);
}

struct bytes *text_value(const char *text)
{
    struct buf doc = {0};
    value_put_text(&doc, text);
    struct bytes *value = bytes_new(buf_slice(&doc));
    buf_done(&doc);
    return value;
}

static struct request *key_request(enum request_kind kind, const char *id, const char *key)
{
    struct request *r = request_of(kind, id);
    r->name = bytes_new(slice_of_str(key));
    return r;
}

struct request *put_request(const char *id, const char *key, const char *text)
{
    struct request *r = key_request(REQUEST_KV_PUT, id, key);
    r->body = text_value(text);
    return r;
}

struct request *get_request(const char *id, const char *key)
{
    return key_request(REQUEST_KV_GET, id, key);
}

struct request *json_request(enum request_kind kind, const char *id, const char *json)
{
    struct request *r = request_of(kind, id);
    struct buf doc = {0};
    struct json_detail detail;
    expect_err(json_to_value(slice_of_str(json), JSON_DEPTH, &doc, &detail), ERR_OK);
    r->body = bytes_new(buf_slice(&doc));
    buf_done(&doc);
    return r;
}

struct request *bytes_request(const char *id, const char *key, size_t len)
{
    struct request *r = key_request(REQUEST_KV_PUT, id, key);
    struct buf doc = {0};
    uint8_t *zeros = mem_zalloc(len);
    value_put_bin(&doc, slice_of(zeros, len));
    mem_free(zeros);
    r->body = bytes_new(buf_slice(&doc));
    buf_done(&doc);
    return r;
}

/* The whole way */

enum err answer_of(struct engine_fixture *f, struct request *r)
{
    struct asked a = {0};
    ask(f, &a, r);
    engine_fixture_settle(f);
    assert_true(a.is_answered);
    enum err err = a.reply.err;
    asked_done(&a);
    return err;
}

void put_text(struct engine_fixture *f, const char *id, const char *key, const char *text)
{
    expect_err(answer_of(f, put_request(id, key, text)), ERR_OK);
}

void expect_text(struct engine_fixture *f, const char *id, const char *key, const char *text)
{
    struct asked a = {0};
    ask(f, &a, get_request(id, key));
    engine_fixture_settle(f);
    expect_answer(&a, ERR_OK);
    struct slice found;
    assert_true(value_get_str(bytes_slice(a.reply.body), &found));
    expect_str(found, text);
    asked_done(&a);
}

void expect_no_key(struct engine_fixture *f, const char *id, const char *key)
{
    expect_err(answer_of(f, get_request(id, key)), ERR_NO_SUCH_KEY);
}

void expect_json(const struct asked *a, const char *json)
{
    struct buf text = {0};
    expect_answer(a, ERR_OK);
    value_to_json(bytes_slice(a->reply.body), &text);
    expect_str(buf_slice(&text), json);
    buf_done(&text);
}
