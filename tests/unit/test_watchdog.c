#include "node/watchdog.h"

#include "tests/lib/test.h"

enum { BEGIN = 5000, TIMEOUT = 4000, LOOK = TIMEOUT / WATCHDOG_LOOKS };

static struct watchdog serving(uint64_t timeout_ms)
{
    struct watchdog w;
    watchdog_init(&w, true, timeout_ms, BEGIN);
    watchdog_serve(&w, BEGIN);
    return w;
}

static void a_start_asks_for_more_time_before_the_last_grant_is_over(void **state)
{
    (void)state;
    struct watchdog w;
    watchdog_init(&w, true, 0, BEGIN);
    uint64_t granted_ms = BEGIN;
    for (uint64_t now_ms = BEGIN; now_ms < BEGIN + WATCHDOG_START_MS_MAX; now_ms = w.next_ms) {
        assert_true(now_ms <= granted_ms);
        assert_int_equal(watchdog_look(&w, now_ms, 0), WORD_MORE_TIME);
        assert_int_equal(watchdog_look(&w, now_ms, 0), WORD_NONE);
        granted_ms = now_ms + WATCHDOG_MORE_TIME_MS;
    }
}

static void a_start_that_takes_too_long_asks_no_more(void **state)
{
    (void)state;
    struct watchdog w;
    watchdog_init(&w, true, TIMEOUT, BEGIN);
    assert_int_equal(watchdog_look(&w, BEGIN + WATCHDOG_START_MS_MAX - 1, 0), WORD_MORE_TIME);
    assert_int_equal(watchdog_look(&w, w.next_ms, 0), WORD_NONE);
    assert_true(w.next_ms == UINT64_MAX);
    watchdog_serve(&w, 2 * WATCHDOG_START_MS_MAX); /* yet it comes to serve */
    assert_int_equal(watchdog_look(&w, w.next_ms, w.next_ms), WORD_ALIVE);
}

static void without_a_manager_there_is_nothing_to_do(void **state)
{
    (void)state;
    struct watchdog w;
    watchdog_init(&w, false, TIMEOUT, BEGIN);
    assert_true(w.next_ms == UINT64_MAX);
    watchdog_serve(&w, BEGIN);
    assert_true(w.next_ms == UINT64_MAX);
}

static void a_manager_without_a_watchdog_hears_nothing_while_the_node_serves(void **state)
{
    (void)state;
    struct watchdog w = serving(0);
    assert_true(w.next_ms == UINT64_MAX);
    assert_int_equal(watchdog_look(&w, BEGIN + TIMEOUT, BEGIN + TIMEOUT), WORD_NONE);
}

static void workers_that_report_are_alive_several_times_in_a_time_out(void **state)
{
    (void)state;
    struct watchdog w = serving(TIMEOUT);
    for (int i = 1; i <= 100; i++) {
        assert_true(w.next_ms == BEGIN + (uint64_t)i * LOOK);
        assert_int_equal(watchdog_look(&w, w.next_ms - 1, w.next_ms - 1), WORD_NONE);
        assert_int_equal(watchdog_look(&w, w.next_ms, w.next_ms - LOOK + 1), WORD_ALIVE);
    }
}

/* One report stands for one word, however often it is looked at. */
static void a_loop_that_stands_still_is_not_called_alive(void **state)
{
    (void)state;
    struct watchdog w = serving(TIMEOUT);
    uint64_t last_report_ms = BEGIN + LOOK;
    assert_int_equal(watchdog_look(&w, w.next_ms, last_report_ms), WORD_ALIVE);
    for (int i = 0; i < 100; i++) {
        assert_int_not_equal(watchdog_look(&w, w.next_ms, last_report_ms), WORD_ALIVE);
    }
}

static void a_stall_is_told_once_and_again_when_it_comes_again(void **state)
{
    (void)state;
    struct watchdog w = serving(TIMEOUT);
    assert_int_equal(watchdog_look(&w, w.next_ms, BEGIN),
                     WORD_NONE); /* not half the time-out yet */
    assert_int_equal(watchdog_look(&w, w.next_ms, BEGIN), WORD_STALLED);
    assert_int_equal(watchdog_look(&w, w.next_ms, BEGIN), WORD_NONE);
    uint64_t report_ms = w.next_ms;
    assert_int_equal(watchdog_look(&w, w.next_ms, report_ms), WORD_ALIVE);
    assert_int_equal(watchdog_look(&w, w.next_ms, report_ms), WORD_NONE);
    assert_int_equal(watchdog_look(&w, w.next_ms, report_ms), WORD_STALLED);
}

static void a_node_that_stops_says_nothing(void **state)
{
    (void)state;
    struct watchdog w = serving(TIMEOUT);
    watchdog_stop(&w);
    assert_true(w.next_ms == UINT64_MAX);
    watchdog_init(&w, true, TIMEOUT, BEGIN);
    watchdog_stop(&w); /* before it served */
    assert_true(w.next_ms == UINT64_MAX);
}

static void it_serves_once(void **state)
{
    (void)state;
    struct watchdog w = serving(TIMEOUT);
    expect_invariants_to_fail();
    expect_assert_failure(watchdog_serve(&w, BEGIN));
}

TEST_MAIN(cmocka_unit_test(a_start_asks_for_more_time_before_the_last_grant_is_over),
          cmocka_unit_test(a_start_that_takes_too_long_asks_no_more),
          cmocka_unit_test(without_a_manager_there_is_nothing_to_do),
          cmocka_unit_test(a_manager_without_a_watchdog_hears_nothing_while_the_node_serves),
          cmocka_unit_test(workers_that_report_are_alive_several_times_in_a_time_out),
          cmocka_unit_test(a_loop_that_stands_still_is_not_called_alive),
          cmocka_unit_test(a_stall_is_told_once_and_again_when_it_comes_again),
          cmocka_unit_test(a_node_that_stops_says_nothing), cmocka_unit_test(it_serves_once))
