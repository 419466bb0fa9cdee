/* Isolates on a loop, with the real program: how one zygote takes over from another. */
#include "actor/isolates_uv.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "actor/isolate_frame.h"
#include "base/clock.h"
#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

enum { MEMORY_BYTES = 64 << 20, TICK_MS = 5, DEADLINE_SECONDS = 60, FEW_CHILDREN = 8 };

static const char start[] =
    "[1,0,{\"mode\":\"execute\",\"ns\":\"app\",\"class\":\"Store\",\"id\":\"00\","
    "\"name\":\"a\",\"code\":\"() => 7\",\"grants\":null}]";
static const char event[] = "[2,1,8,{\"$bytes\":\"wA==\"}]";

struct world {
    uv_loop_t loop;
    uv_timer_t tick;
    struct launch launch;
    struct isolates isolates;
    uint64_t later_ms; /* that the isolates' clock is ahead */
};

struct run {
    struct isolate_user user;
    struct isolate *isolate;
    bool has_started;
    bool is_done;
    bool has_ended;
};

static void flush(struct world *w)
{
    isolates_flush(&w->isolates, clock_mono_ms() + w->later_ms);
}

static void on_tick(uv_timer_t *timer)
{
    flush(timer->data);
}

static int setup(void **state)
{
    static const uint64_t sizes[] = {MEMORY_BYTES};
    const char *folder = getenv("top_builddir");
    struct world *w = MEM_NEW(struct world);
    (void)alarm(DEADLINE_SECONDS);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    assert_int_equal(uv_timer_init(&w->loop, &w->tick), 0);
    w->tick.data = w;
    launch_init_direct(&w->launch, folder != NULL ? folder : ".");
    isolates_open(&w->isolates, &w->loop, &w->launch, sizes, 1);
    assert_int_equal(uv_timer_start(&w->tick, on_tick, TICK_MS, TICK_MS), 0);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    isolates_close(&w->isolates);
    uv_close((uv_handle_t *)&w->tick, NULL);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&w->loop), 0);
    while (waitpid(-1, NULL, 0) > 0) { /* each zygote ends with its socket */
    }
    (void)alarm(0);
    mem_free(w);
    return 0;
}

/* Sentences */

static void on_frame(struct isolate_user *u, struct slice frame)
{
    struct run *r = CONTAINER_OF(u, struct run, user);
    struct value_iter it = value_items(frame);
    struct slice kind;
    uint64_t number = 0;
    if (value_next(&it, &kind) && value_get_uint(kind, &number)) {
        r->has_started = r->has_started || number == FRAME_STARTED;
        r->is_done = r->is_done || number == FRAME_DONE;
    }
}

static void on_ended(struct isolate_user *u, enum isolate_end end,
                     const struct isolate_usage *usage)
{
    (void)end;
    (void)usage;
    CONTAINER_OF(u, struct run, user)->has_ended = true;
}

static void say(struct run *r, const char *json)
{
    struct buf doc = {0};
    struct json_detail detail;
    expect_err(json_to_value(slice_of_str(json), VALUE_DEPTH_MAX, &doc, &detail), ERR_OK);
    isolate_send(r->isolate, buf_slice(&doc));
    buf_done(&doc);
}

static void begin(struct world *w, struct run *r)
{
    static const struct isolate_limits limits = {.memory_bytes = MEMORY_BYTES};
    *r = (struct run){.user = {.frame = on_frame, .ended = on_ended}};
    r->isolate = isolates_take(&w->isolates, &limits, &r->user);
    assert_non_null(r->isolate);
    say(r, start);
    flush(w);
    while (!r->has_started && !r->has_ended) {
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

static void finish(struct world *w, struct run *r)
{
    say(r, event);
    flush(w);
    while (!r->is_done && !r->has_ended) {
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
    assert_false(r->has_ended);
    isolate_kill(r->isolate);
}

static void run_many(struct world *w, int count)
{
    for (int i = 0; i < count; i++) {
        struct run r;
        begin(w, &r);
        finish(w, &r);
    }
}

static void await_retired(struct world *w, uint64_t retired, uint32_t left)
{
    while (w->isolates.stats.zygotes_retired < retired || w->isolates.retired_count != left) {
        (void)uv_run(&w->loop, UV_RUN_ONCE);
    }
}

static void after_many_children_another_zygote_takes_over_and_no_run_notices(void **state)
{
    struct world *w = *state;
    w->isolates.children_max = FEW_CHILDREN;
    while (w->isolates.stats.zygotes_retired < 2) {
        run_many(w, 1);
    }
    await_retired(w, 2, 0);
    run_many(w, 1);
    assert_string_equal(w->isolates.text, "");
}

static void what_runs_under_the_old_zygote_goes_on_and_then_that_is_closed(void **state)
{
    struct world *w = *state;
    struct run old;
    begin(w, &old);
    w->isolates.children_max = FEW_CHILDREN;
    while (w->isolates.stats.zygotes_retired < 1) {
        run_many(w, 1);
    }
    w->isolates.children_max = ISOLATE_ZYGOTE_CHILDREN_MAX;
    assert_int_equal(w->isolates.retired_count, 1);
    finish(w, &old);
    await_retired(w, 1, 0);
    run_many(w, 1);
}

static void a_zygote_that_is_old_is_replaced_though_nobody_asks(void **state)
{
    struct world *w = *state;
    run_many(w, 1);
    uint64_t started = w->isolates.stats.zygotes_started;
    w->later_ms = ISOLATE_ZYGOTE_AGE_MS_MAX;
    await_retired(w, 1, 0);
    assert_int_equal(w->isolates.stats.zygotes_started, started + 1);
    run_many(w, 1);
}

static void too_many_old_zygotes_put_the_next_change_off(void **state)
{
    struct world *w = *state;
    struct run old[ISOLATES_RETIRED_MAX + 1];
    for (uint64_t i = 0; i < ISOLATES_RETIRED_MAX; i++) {
        begin(w, &old[i]);
        w->later_ms += ISOLATE_ZYGOTE_AGE_MS_MAX;
        await_retired(w, i + 1, (uint32_t)i + 1);
    }
    w->later_ms += ISOLATE_ZYGOTE_AGE_MS_MAX;
    begin(w, &old[ISOLATES_RETIRED_MAX]);
    assert_null(w->isolates.successor);
    finish(w, &old[0]);
    await_retired(w, ISOLATES_RETIRED_MAX + 1, ISOLATES_RETIRED_MAX);
    for (int i = 1; i <= ISOLATES_RETIRED_MAX; i++) {
        finish(w, &old[i]);
    }
    await_retired(w, ISOLATES_RETIRED_MAX + 1, 0);
}

static void where_no_successor_can_be_had_the_old_zygote_forks_on(void **state)
{
    struct world *w = *state;
    run_many(w, 1);
    (void)snprintf(w->launch.folder, sizeof w->launch.folder, "/nonexistent");
    w->isolates.children_max = 1;
    run_many(w, FEW_CHILDREN);
    assert_int_equal(w->isolates.stats.zygotes_retired, 0);
    assert_true(w->isolates.zygote->children > FEW_CHILDREN);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(after_many_children_another_zygote_takes_over_and_no_run_notices),
          TEST(what_runs_under_the_old_zygote_goes_on_and_then_that_is_closed),
          TEST(a_zygote_that_is_old_is_replaced_though_nobody_asks),
          TEST(too_many_old_zygotes_put_the_next_change_off),
          TEST(where_no_successor_can_be_had_the_old_zygote_forks_on))
