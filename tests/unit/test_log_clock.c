#include "storage/log_clock.h"

#include "tests/lib/test.h"

static void it_follows_the_wall_clock(void **state)
{
    (void)state;
    struct log_clock c;
    log_clock_start(&c, 1000, 0);
    assert_int_equal(log_clock_read(&c, 50, 5000, true), 5000);
    assert_int_equal(log_clock_read(&c, 150, 5100, true), 5100);
}

static void it_jumps_forward_only_where_voters_agree(void **state)
{
    (void)state;
    struct log_clock c;
    log_clock_start(&c, 1000, 0);
    assert_int_equal(log_clock_read(&c, 1000, 90000, false), 2100);
    assert_int_equal(log_clock_read(&c, 2000, 91000, false), 3200);
    assert_int_equal(log_clock_read(&c, 2001, 91001, true), 91001);
}

static void a_wall_clock_set_back_slows_it_by_a_tenth(void **state)
{
    (void)state;
    struct log_clock c;
    log_clock_start(&c, 100000, 0);
    assert_int_equal(log_clock_read(&c, 1000, 5000, true), 100900);
    assert_int_equal(log_clock_read(&c, 2000, 6000, true), 101800);
}

static void readings_never_fall(void **state)
{
    (void)state;
    struct log_clock c;
    log_clock_start(&c, 100000, 0);
    uint64_t last_ms = 0;
    for (uint64_t mono_ms = 0; mono_ms < 5000; mono_ms += mono_ms % 7) {
        uint64_t wall_ms = mono_ms % 3 == 0 ? 1 : 100000 + mono_ms * (mono_ms % 2);
        uint64_t read_ms = log_clock_read(&c, mono_ms, wall_ms, mono_ms % 5 == 0);
        assert_true(read_ms >= last_ms);
        last_ms = read_ms;
        mono_ms++;
    }
}

TEST_MAIN(cmocka_unit_test(it_follows_the_wall_clock),
          cmocka_unit_test(it_jumps_forward_only_where_voters_agree),
          cmocka_unit_test(a_wall_clock_set_back_slows_it_by_a_tenth),
          cmocka_unit_test(readings_never_fall))
