#include "actor/timer.h"

#include "tests/lib/test.h"

enum { SECOND = 1000, MINUTE = 60 * SECOND };
#define HOUR (UINT64_C(60) * MINUTE)
#define DAY  (24 * HOUR)
#define T0   UINT64_C(1700000000000) /* 2023-11-14 22:13:20 UTC */
#define MIDDAYS \
    UINT64_C(1711713600000) /* 2024-03-29 12:00 UTC, two days before Berlin's clocks change */
#define ERROR SLICE("The receiver answered 500.")

static struct timer timer_at(uint64_t at_ms)
{
    return (struct timer){
        .state = TIMER_SCHEDULED, .catch_up = CATCH_UP_ONE, .at_ms = at_ms, .due_ms = at_ms};
}

static struct timer every(uint64_t every_ms, enum timer_catch_up catch_up)
{
    struct timer t = timer_at(T0);
    t.every_ms = every_ms;
    t.catch_up = catch_up;
    return t;
}

static struct rhythm rhythm_of(const struct timer *t)
{
    return (struct rhythm){.every_ms = t->every_ms};
}

static struct rhythm cron_of(const char *text, const char *zone_name)
{
    struct rhythm r = {.every_ms = 0};
    struct zone *zone;
    const char *detail;
    expect_err(cron_parse(slice_of_str(text), &r.cron, &detail), ERR_OK);
    expect_err(zone_new(slice_of_str(zone_name), &zone), ERR_OK);
    r.zone = zone;
    return r;
}

static void free_cron(struct rhythm *r)
{
    zone_free((struct zone *)(uintptr_t)r->zone);
}

static struct timer_plan plan_of(const struct timer *t, const struct rhythm *r, uint64_t now_ms,
                                 uint64_t up_since_ms)
{
    struct timer_plan plan;
    timer_plan(t, r, now_ms, up_since_ms, &plan);
    return plan;
}

static void a_one_shot_fires_however_late_it_is(void **state)
{
    (void)state;
    for (int mode = CATCH_UP_ONE; mode <= CATCH_UP_NONE; mode++) {
        struct timer t = timer_at(T0);
        struct rhythm r = rhythm_of(&t);
        t.catch_up = (enum timer_catch_up)mode;
        struct timer_plan plan = plan_of(&t, &r, T0 + 365 * DAY, T0 + 364 * DAY);
        assert_true(plan.fires);
        assert_int_equal(plan.scheduled_ms, T0);
        assert_int_equal(plan.missed, 0);
        timer_fire(&t, &plan, 7, T0 + 365 * DAY);
        assert_false(timer_pass(&t, &r));
    }
}

static void a_repetition_is_counted_from_its_scheduled_time(void **state)
{
    (void)state;
    struct timer t = every(10 * SECOND, CATCH_UP_ONE);
    struct rhythm r = rhythm_of(&t);
    for (uint64_t i = 0; i < 100; i++) {
        uint64_t now_ms = t.due_ms + i * 37; /* always somewhat late */
        struct timer_plan plan = plan_of(&t, &r, now_ms, T0 - DAY);
        assert_true(plan.fires);
        assert_int_equal(plan.scheduled_ms, T0 + i * 10 * SECOND);
        timer_fire(&t, &plan, i + 1, now_ms);
        assert_true(timer_pass(&t, &r));
    }
    assert_int_equal(t.missed, 0);
}

/* Due at T0 and each 10 s; looked at 35 s later. */
static void catching_up_is_one_firing_or_all_or_none(void **state)
{
    (void)state;
    static const struct {
        enum timer_catch_up catch_up;
        uint64_t up_since_ms;
        bool fires;
        uint64_t scheduled_ms;
        uint64_t missed;
    } rows[] = {
        {CATCH_UP_ONE, T0 + 33 * SECOND, true, T0 + 30 * SECOND, 3},
        {CATCH_UP_ONE, T0 - DAY, true, T0 + 30 * SECOND, 3},
        {CATCH_UP_ALL, T0 + 33 * SECOND, true, T0, 0},
        {CATCH_UP_NONE, T0 + 33 * SECOND, false, T0 + 30 * SECOND, 4},
        {CATCH_UP_NONE, T0 + 30 * SECOND, true, T0 + 30 * SECOND, 3},
        {CATCH_UP_NONE, T0 - DAY, true, T0 + 30 * SECOND, 3},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct timer t = every(10 * SECOND, rows[i].catch_up);
        struct rhythm r = rhythm_of(&t);
        struct timer_plan plan = plan_of(&t, &r, T0 + 35 * SECOND, rows[i].up_since_ms);
        assert_int_equal(plan.fires, rows[i].fires);
        assert_int_equal(plan.scheduled_ms, rows[i].scheduled_ms);
        assert_int_equal(plan.missed, rows[i].missed);
    }
}

static void all_fires_each_missed_repetition_and_then_keeps_time(void **state)
{
    (void)state;
    struct timer t = every(10 * SECOND, CATCH_UP_ALL);
    struct rhythm r = rhythm_of(&t);
    for (uint64_t i = 0; i < 4; i++) {
        struct timer_plan plan = plan_of(&t, &r, T0 + 35 * SECOND, T0 + 33 * SECOND);
        assert_int_equal(plan.scheduled_ms, T0 + i * 10 * SECOND);
        timer_fire(&t, &plan, i + 1, T0 + 35 * SECOND);
        assert_true(timer_pass(&t, &r));
    }
    assert_int_equal(t.due_ms, T0 + 40 * SECOND);
    assert_int_equal(t.missed, 0);
}

static void all_catches_up_at_most_1000_and_counts_the_rest(void **state)
{
    (void)state;
    struct timer t = every(SECOND, CATCH_UP_ALL);
    struct rhythm r = rhythm_of(&t);
    uint64_t now_ms = T0 + 365 * DAY;
    uint64_t fired = 0;
    while (t.due_ms <= now_ms) {
        struct timer_plan plan = plan_of(&t, &r, now_ms, now_ms);
        assert_true(plan.fires);
        timer_fire(&t, &plan, fired + 1, now_ms);
        assert_true(timer_pass(&t, &r));
        fired++;
    }
    assert_int_equal(fired, 1000);
    assert_int_equal(t.missed, 365 * 86400 + 1 - 1000);
}

static void none_goes_on_with_the_next_repetition(void **state)
{
    (void)state;
    struct timer t = every(10 * SECOND, CATCH_UP_NONE);
    struct rhythm r = rhythm_of(&t);
    struct timer_plan plan = plan_of(&t, &r, T0 + 35 * SECOND, T0 + 35 * SECOND);
    assert_false(plan.fires);
    timer_fire(&t, &plan, 1, T0 + 35 * SECOND);
    assert_true(timer_pass(&t, &r));
    assert_int_equal(t.due_ms, T0 + 40 * SECOND);
    assert_int_equal(t.missed, 4);
}

static void cron_repetitions_that_were_missed_are_counted_one_by_one(void **state)
{
    (void)state;
    struct rhythm r = cron_of("0 * * * *", "UTC");
    struct timer t = timer_at(MIDDAYS);
    t.cron = SLICE("0 * * * *");
    t.catch_up = CATCH_UP_ALL;
    struct timer_plan plan = plan_of(&t, &r, MIDDAYS + 5 * HOUR + MINUTE, T0);
    assert_int_equal(plan.scheduled_ms, MIDDAYS);
    t.catch_up = CATCH_UP_ONE;
    plan = plan_of(&t, &r, MIDDAYS + 5 * HOUR + MINUTE, T0);
    assert_int_equal(plan.scheduled_ms, MIDDAYS + 5 * HOUR);
    assert_int_equal(plan.missed, 5);
    t.catch_up = CATCH_UP_ALL; /* more than a thousand */
    plan = plan_of(&t, &r, MIDDAYS + 1500 * HOUR, T0);
    assert_int_equal(plan.missed, 501);
    assert_int_equal(plan.scheduled_ms, MIDDAYS + 501 * HOUR);
    free_cron(&r);
}

static void years_of_a_minutely_cron_are_caught_up_in_bounded_time(void **state)
{
    (void)state;
    struct rhythm r = cron_of("* * * * *", "Europe/Berlin");
    struct timer t = timer_at(T0 - T0 % MINUTE);
    t.cron = SLICE("* * * * *");
    uint64_t now_ms = t.at_ms + 10 * 365 * DAY + 1;
    struct timer_plan plan = plan_of(&t, &r, now_ms, now_ms);
    assert_int_equal(plan.scheduled_ms, t.at_ms + 10 * 365 * DAY);
    t.catch_up = CATCH_UP_ALL;
    plan = plan_of(&t, &r, now_ms, now_ms);
    assert_int_equal(plan.scheduled_ms, t.at_ms + 10 * 365 * DAY - 999 * MINUTE);
    assert_true(plan.missed >= 20000);
    free_cron(&r);
}

/* Berlin, 31 March 2024: 02:00 to 03:00 does not exist. 27 October 2024: it comes twice. */
static void a_daily_cron_keeps_its_local_time_over_clock_changes(void **state)
{
    (void)state;
    static const struct {
        const char *cron;
        uint64_t at_ms;
        uint64_t next_ms;
    } rows[] = {
        {"30 2 * * *", UINT64_C(1711762200000), UINT64_C(1711846800000)}, /* skipped: 03:00 */
        {"30 2 * * *", UINT64_C(1711846800000), UINT64_C(1711931400000)}, /* and 02:30 again */
        {"30 2 * * *", UINT64_C(1729902600000), UINT64_C(1729989000000)}, /* the first of two */
        {"30 2 * * *", UINT64_C(1729989000000), UINT64_C(1730079000000)}, /* not the second */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct rhythm r = cron_of(rows[i].cron, "Europe/Berlin");
        struct timer t = timer_at(rows[i].at_ms);
        t.cron = slice_of_str(rows[i].cron);
        struct timer_plan plan = plan_of(&t, &r, rows[i].at_ms, T0);
        assert_true(plan.fires);
        timer_fire(&t, &plan, 1, rows[i].at_ms);
        assert_true(timer_pass(&t, &r));
        assert_int_equal(t.due_ms, rows[i].next_ms);
        free_cron(&r);
    }
}

static struct timer fired(struct timer t, uint64_t now_ms)
{
    struct rhythm r = rhythm_of(&t);
    t.webhook = SLICE("https://example.com/");
    struct timer_plan plan = plan_of(&t, &r, now_ms, T0);
    timer_fire(&t, &plan, 42, now_ms);
    return t;
}

static void a_firing_is_guarded_until_its_outcome_is_known(void **state)
{
    (void)state;
    struct timer t = fired(timer_at(T0), T0 + 5);
    assert_int_equal(t.firing, 42);
    assert_int_equal(t.fired_ms, T0 + 5);
    assert_int_equal(t.at_ms, T0);
    assert_int_equal(t.due_ms, T0 + 5 + TIMER_GUARD_MS);
}

static void a_delivery_is_retried_six_times_after_2_s_doubling(void **state)
{
    (void)state;
    struct timer t = fired(timer_at(T0), T0);
    struct rhythm r = rhythm_of(&t);
    uint64_t now_ms = T0;
    for (uint64_t pause_ms = 2000; pause_ms <= 64000; pause_ms *= 2) {
        timer_fail(&t, &r, ERROR, now_ms);
        assert_int_equal(t.state, TIMER_SCHEDULED);
        assert_int_equal(t.due_ms, now_ms + pause_ms);
        assert_int_equal(t.firing, 42);
        now_ms = t.due_ms;
        timer_guard(&t, now_ms);
    }
    assert_int_equal(t.failed_count, TIMER_RETRIES_MAX);
    timer_fail(&t, &r, ERROR, now_ms);
    assert_int_equal(t.state, TIMER_FAILED);
    assert_int_equal(t.due_ms, 0);
    assert_int_equal(t.at_ms, T0);
    expect_slice(t.error, ERROR);
}

static void a_repetition_that_failed_for_good_leaves_its_error_and_goes_on(void **state)
{
    (void)state;
    struct timer t = fired(every(10 * SECOND, CATCH_UP_ONE), T0);
    struct rhythm r = rhythm_of(&t);
    for (int i = 0; i <= TIMER_RETRIES_MAX; i++) {
        timer_fail(&t, &r, ERROR, T0);
    }
    assert_int_equal(t.state, TIMER_SCHEDULED);
    assert_int_equal(t.due_ms, T0 + 10 * SECOND);
    assert_int_equal(t.firing, 0);
    assert_int_equal(t.failed_count, 0);
    expect_slice(t.error, ERROR);
}

static void a_repetition_never_leaves_the_range_of_dates(void **state)
{
    (void)state;
    struct rhythm r = {.every_ms = TIMER_MS_MAX};
    uint64_t next_ms;
    assert_false(rhythm_next(&r, 1, 1, &next_ms));
    assert_true(rhythm_next(&r, 0, 0, &next_ms));
    assert_int_equal(next_ms, TIMER_MS_MAX);
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct timer t = fired(every(10 * SECOND, CATCH_UP_ALL), T0 + 3);
    struct rhythm r = rhythm_of(&t);
    struct timer back;
    struct buf record = {0};
    t.payload = SLICE("\x93\x01\x02\x03");
    t.missed = 9;
    timer_fail(&t, &r, ERROR, T0);
    timer_encode(&t, &record);
    expect_err(timer_decode(buf_slice(&record), &back), ERR_OK);
    assert_int_equal(back.state, TIMER_SCHEDULED);
    assert_int_equal(back.catch_up, CATCH_UP_ALL);
    assert_int_equal(back.at_ms, T0);
    assert_int_equal(back.due_ms, T0 + 2000);
    assert_int_equal(back.every_ms, 10 * SECOND);
    assert_int_equal(back.missed, 9);
    assert_int_equal(back.firing, 42);
    assert_int_equal(back.fired_ms, T0 + 3);
    assert_int_equal(back.failed_count, 1);
    expect_slice(back.payload, t.payload);
    expect_slice(back.webhook, t.webhook);
    expect_slice(back.error, ERROR);
    buf_done(&record);
}

static void a_damaged_record_is_an_error(void **state)
{
    (void)state;
    struct timer t = timer_at(T0);
    struct timer back;
    struct buf record = {0};
    t.payload = SLICE("\x01");
    timer_encode(&t, &record);
    for (size_t len = 0; len < record.len; len++) {
        expect_err(timer_decode(slice_of(record.data, len), &back), ERR_CORRUPT);
    }
    buf_append_byte(&record, 0);
    expect_err(timer_decode(buf_slice(&record), &back), ERR_CORRUPT);
    buf_done(&record);
}

TEST_MAIN(cmocka_unit_test(a_one_shot_fires_however_late_it_is),
          cmocka_unit_test(a_repetition_is_counted_from_its_scheduled_time),
          cmocka_unit_test(catching_up_is_one_firing_or_all_or_none),
          cmocka_unit_test(all_fires_each_missed_repetition_and_then_keeps_time),
          cmocka_unit_test(all_catches_up_at_most_1000_and_counts_the_rest),
          cmocka_unit_test(none_goes_on_with_the_next_repetition),
          cmocka_unit_test(cron_repetitions_that_were_missed_are_counted_one_by_one),
          cmocka_unit_test(years_of_a_minutely_cron_are_caught_up_in_bounded_time),
          cmocka_unit_test(a_daily_cron_keeps_its_local_time_over_clock_changes),
          cmocka_unit_test(a_firing_is_guarded_until_its_outcome_is_known),
          cmocka_unit_test(a_delivery_is_retried_six_times_after_2_s_doubling),
          cmocka_unit_test(a_repetition_that_failed_for_good_leaves_its_error_and_goes_on),
          cmocka_unit_test(a_repetition_never_leaves_the_range_of_dates),
          cmocka_unit_test(a_record_comes_back_as_it_was),
          cmocka_unit_test(a_damaged_record_is_an_error))
