#include "actor/scheduler.h"

#include <string.h>

#include "actor/timer.h"
#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/webhook_uv.h"
#include "tests/lib/engine_fixture.h"

/* The world of a test: actors on an engine, the scheduler over them, and webhooks that end when and
 * how the test says. */
struct world {
    struct engine_fixture fixture;
    struct scheduler scheduler;
    struct buf shown; /* a timer as GET gives it */
};

static struct {
    bool has_room;
    size_t count;              /* ever posted */
    struct webhook_post *post; /* under way; NULL: none */
    struct buf body;
} webhooks;

bool webhooks_have_room(const struct webhooks *w, struct slice url)
{
    (void)w;
    (void)url;
    return webhooks.has_room;
}

void webhooks_post(struct webhooks *w, struct webhook_post *p, struct slice url, struct bytes *body)
{
    (void)w;
    expect_str(url, "https://example.com/hook");
    assert_null(webhooks.post);
    webhooks.count++;
    webhooks.post = p;
    buf_clear(&webhooks.body);
    buf_append_slice(&webhooks.body, bytes_slice(body));
}

/* NULL: delivered. */
static void end_post(const char *error)
{
    struct webhook_post *p = webhooks.post;
    assert_non_null(p);
    webhooks.post = NULL;
    p->done(p, error);
}

static void on_lead(void *ctx, struct shard *s)
{
    struct world *w = ctx;
    scheduler_lead(&w->scheduler, s);
}

static void on_depose(void *ctx, struct shard *s)
{
    struct world *w = ctx;
    registry_depose(&w->fixture.registry, s);
    scheduler_depose(&w->scheduler, s);
}

static const struct shard_hooks hooks = {.lead = on_lead, .depose = on_depose};

static int setup(void **state)
{
    struct world *w = mem_zalloc(sizeof *w);
    struct engine_fixture *f = &w->fixture;
    webhooks.has_room = true;
    webhooks.count = 0;
    webhooks.post = NULL;
    engine_fixture_init(f);
    f->options.hooks = &hooks;
    f->options.hooks_ctx = w;
    expect_err(engine_fixture_try_start(f), ERR_OK);
    scheduler_init(&w->scheduler, &f->registry, NULL);
    engine_fixture_settle(f);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    scheduler_stop(&w->scheduler);
    engine_fixture_stop(&w->fixture);
    scheduler_done(&w->scheduler);
    engine_fixture_done(&w->fixture);
    buf_done(&w->shown);
    buf_done(&webhooks.body);
    mem_free(w);
    return 0;
}

/* A page of due rows is asked for, comes, is fired; each takes an iteration of the loop. */
static void settle(struct world *w)
{
    enum { ITERATIONS = 4 };
    for (int i = 0; i < ITERATIONS; i++) {
        scheduler_tick(&w->scheduler, w->fixture.mono_ms, w->fixture.wall_ms);
        engine_fixture_settle(&w->fixture);
    }
}

/* Moves both clocks on, as the worker's loop does. */
static void pass(struct world *w, uint64_t ms)
{
    struct engine_fixture *f = &w->fixture;
    for (uint64_t left_ms = ms;; left_ms -= ENGINE_TICK_MS) {
        settle(w);
        if (left_ms == 0) {
            return;
        }
        assert_true(left_ms >= ENGINE_TICK_MS);
        engine_fixture_wait(f, ENGINE_TICK_MS);
    }
}

static struct request *timer_request(enum request_kind kind)
{
    struct request *r = request_of(kind, "a");
    r->name = bytes_new(SLICE("t"));
    return r;
}

static void put_timer(struct world *w, const char *json)
{
    struct request *r = json_request(REQUEST_TIMER_PUT, "a", json);
    r->name = bytes_new(SLICE("t"));
    expect_err(answer_of(&w->fixture, r), ERR_OK);
}

static void expect_timer_has(struct world *w, const char *part)
{
    struct asked a = {0};
    ask(&w->fixture, &a, timer_request(REQUEST_TIMER_GET));
    engine_fixture_settle(&w->fixture);
    expect_answer(&a, ERR_OK);
    buf_clear(&w->shown);
    value_to_json(bytes_slice(a.reply.body), &w->shown);
    asked_done(&a);
    if (memmem(w->shown.data, w->shown.len, part, strlen(part)) == NULL) {
        fail_msg("%s is not in %.*s", part, (int)w->shown.len, (const char *)w->shown.data);
    }
}

static void expect_no_timer(struct world *w)
{
    expect_err(answer_of(&w->fixture, timer_request(REQUEST_TIMER_GET)), ERR_NO_SUCH_TIMER);
}

#define WEBHOOK "\"webhook\":\"https://example.com/hook\""

/* Fails the first attempt and all that come after it, each when it is due and not before. */
static void fail_all_attempts(struct world *w)
{
    pass(w, 0);
    size_t first = webhooks.count;
    for (uint64_t pause_ms = 2000; pause_ms <= 64000; pause_ms *= 2) {
        end_post("The receiver answered 500.");
        pass(w, pause_ms - ENGINE_TICK_MS);
        assert_null(webhooks.post);
        expect_timer_has(w, "\"state\":\"scheduled\"");
        expect_timer_has(w, "\"error\":\"The receiver answered 500.\"");
        pass(w, ENGINE_TICK_MS);
        assert_non_null(webhooks.post);
    }
    assert_int_equal(webhooks.count, first + 6);
    end_post("The receiver answered 404.");
    pass(w, 0);
}

static void a_timer_is_never_delivered_before_its_time(void **state)
{
    struct world *w = *state;
    put_timer(w, "{\"in\":10000," WEBHOOK "}");
    pass(w, 9950);
    assert_int_equal(webhooks.count, 0);
    pass(w, 50);
    assert_int_equal(webhooks.count, 1);
    end_post(NULL);
    pass(w, 0);
    expect_no_timer(w);
}

static void after_six_retries_a_one_shot_is_kept_as_failed_with_its_last_error(void **state)
{
    struct world *w = *state;
    put_timer(w, "{\"in\":0," WEBHOOK "}");
    fail_all_attempts(w);
    expect_timer_has(w, "\"state\":\"failed\"");
    expect_timer_has(w, "\"error\":\"The receiver answered 404.\"");
    pass(w, 200 * 1000);
    assert_int_equal(webhooks.count, 7); /* and never again */
    make_cold(&w->fixture);
    expect_timer_has(w, "\"state\":\"failed\"");
    put_timer(w, "{\"in\":0," WEBHOOK "}"); /* but by hand */
    pass(w, 0);
    end_post(NULL);
    pass(w, 0);
    expect_no_timer(w);
}

static void a_repetition_that_failed_for_good_is_recorded_and_the_timer_goes_on(void **state)
{
    struct world *w = *state;
    char next[64];
    uint64_t every_ms = 300 * 1000;
    uint64_t at_ms = w->fixture.wall_ms + every_ms;
    put_timer(w, "{\"in\":0,\"every\":300000," WEBHOOK "}");
    fail_all_attempts(w);
    expect_timer_has(w, "\"state\":\"scheduled\"");
    expect_timer_has(w, "\"error\":\"The receiver answered 404.\"");
    (void)snprintf(next, sizeof next, "\"at\":%llu", (unsigned long long)at_ms);
    expect_timer_has(w, next);
    pass(w, every_ms - 126 * 1000);
    assert_int_equal(webhooks.count, 8);
    (void)snprintf(next, sizeof next, "\"scheduled\":%llu", (unsigned long long)at_ms);
    assert_non_null(memmem(webhooks.body.data, webhooks.body.len, next, strlen(next)));
    end_post(NULL);
}

static void a_firing_waits_while_there_is_no_room_for_its_webhook(void **state)
{
    struct world *w = *state;
    webhooks.has_room = false;
    put_timer(w, "{\"in\":0," WEBHOOK "}");
    pass(w, 5000);
    assert_int_equal(webhooks.count, 0);
    expect_timer_has(w, "\"state\":\"scheduled\"");
    webhooks.has_room = true;
    pass(w, FIRING_OVERLOADED_MS + ENGINE_TICK_MS);
    assert_int_equal(webhooks.count, 1);
    end_post(NULL);
    pass(w, 0);
    expect_no_timer(w);
}

/* Nobody told how it went: the guard delivers it again, with the same document. */
static void a_lost_delivery_is_made_again(void **state)
{
    struct world *w = *state;
    struct engine_fixture *f = &w->fixture;
    put_timer(w, "{\"in\":0,\"payload\":\"x\"," WEBHOOK "}");
    pass(w, 0);
    struct buf first = buf_take(&webhooks.body);
    scheduler_stop(&w->scheduler);
    engine_fixture_kill(f);
    end_post(NULL); /* too late to be recorded */
    scheduler_done(&w->scheduler);
    expect_err(engine_fixture_try_start(f), ERR_OK);
    scheduler_init(&w->scheduler, &f->registry, NULL);
    engine_fixture_settle(f);
    pass(w, TIMER_GUARD_MS + ENGINE_TICK_MS);
    assert_int_equal(webhooks.count, 2);
    expect_slice(buf_slice(&webhooks.body), buf_slice(&first));
    end_post(NULL);
    pass(w, 0);
    expect_no_timer(w);
    buf_done(&first);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_timer_is_never_delivered_before_its_time),
          TEST(after_six_retries_a_one_shot_is_kept_as_failed_with_its_last_error),
          TEST(a_repetition_that_failed_for_good_is_recorded_and_the_timer_goes_on),
          TEST(a_firing_waits_while_there_is_no_room_for_its_webhook),
          TEST(a_lost_delivery_is_made_again))
