#include "storage/pulse.h"

#include "tests/lib/test.h"

enum { NOW_MS = 5000 };

static void a_node_that_was_never_heard_is_not_heard_and_does_not_fall_silent(void **state)
{
    (void)state;
    struct pulses p = {0};
    assert_false(pulses_is_heard(&p, 2));
    assert_null(pulses_next_silent(&p, NOW_MS));
}

static void a_node_falls_silent_once_each_time(void **state)
{
    (void)state;
    struct pulses p = {0};
    (void)pulses_hear(&p, 2, 7, NOW_MS);
    assert_true(pulses_is_heard(&p, 2));
    assert_null(pulses_next_silent(&p, NOW_MS + PULSE_SILENT_MS - 1));
    const struct pulse *silent = pulses_next_silent(&p, NOW_MS + PULSE_SILENT_MS);
    assert_non_null(silent);
    assert_int_equal(silent->node, 2);
    assert_int_equal(silent->heard_ms, NOW_MS);
    assert_false(pulses_is_heard(&p, 2));
    assert_null(pulses_next_silent(&p, NOW_MS + 2 * PULSE_SILENT_MS));
    assert_false(pulses_hear(&p, 2, 7, NOW_MS + 1000));
    assert_true(pulses_is_heard(&p, 2));
    assert_non_null(pulses_next_silent(&p, NOW_MS + 1000 + PULSE_SILENT_MS));
}

static void what_was_heard_before_does_not_end_a_silence(void **state)
{
    (void)state;
    struct pulses p = {0};
    (void)pulses_hear(&p, 2, 7, NOW_MS);
    assert_non_null(pulses_next_silent(&p, NOW_MS + PULSE_SILENT_MS));
    (void)pulses_hear(&p, 2, 7, NOW_MS);
    assert_false(pulses_is_heard(&p, 2));
}

static void another_life_is_told(void **state)
{
    (void)state;
    struct pulses p = {0};
    assert_false(pulses_hear(&p, 2, 7, NOW_MS));
    assert_false(pulses_hear(&p, 2, 7, NOW_MS + 1));
    assert_true(pulses_hear(&p, 2, 8, NOW_MS + 2));
    assert_true(pulses_is_heard(&p, 2));
}

static void a_node_without_room_is_never_heard(void **state)
{
    (void)state;
    struct pulses p = {0};
    for (uint32_t node = 1; node <= PULSE_NODES_MAX + 1; node++) {
        (void)pulses_hear(&p, node, 1, NOW_MS);
    }
    assert_true(pulses_is_heard(&p, PULSE_NODES_MAX));
    assert_false(pulses_is_heard(&p, PULSE_NODES_MAX + 1));
}

TEST_MAIN(cmocka_unit_test(a_node_that_was_never_heard_is_not_heard_and_does_not_fall_silent),
          cmocka_unit_test(a_node_falls_silent_once_each_time),
          cmocka_unit_test(what_was_heard_before_does_not_end_a_silence),
          cmocka_unit_test(another_life_is_told),
          cmocka_unit_test(a_node_without_room_is_never_heard))
