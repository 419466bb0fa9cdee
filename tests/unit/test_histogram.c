#include "tests/bench/histogram.h"

#include "tests/lib/test.h"

static void percentiles_are_within_three_per_cent(void **state)
{
    (void)state;
    static struct histogram h;
    for (uint64_t i = 1; i <= 100000; i++) {
        histogram_add(&h, i * 10);
    }
    uint64_t p50 = histogram_percentile_ns(&h, 0.50);
    uint64_t p99 = histogram_percentile_ns(&h, 0.99);
    assert_in_range(p50, 485000, 515000);
    assert_in_range(p99, 960300, 1019700);
    assert_int_equal(h.highest_ns, 1000000);
    assert_int_equal(h.total, 100000);
}

static void the_shortest_and_the_longest_durations_are_counted(void **state)
{
    (void)state;
    static struct histogram h;
    assert_int_equal(histogram_percentile_ns(&h, 0.5), 0);
    histogram_add(&h, 0);
    histogram_add(&h, UINT64_MAX);
    assert_int_equal(histogram_percentile_ns(&h, 0.0), 0);
    assert_true(histogram_percentile_ns(&h, 0.9) > UINT64_MAX / 2);
    assert_int_equal(histogram_percentile_ns(&h, 1.0), UINT64_MAX);
}

TEST_MAIN(cmocka_unit_test(percentiles_are_within_three_per_cent),
          cmocka_unit_test(the_shortest_and_the_longest_durations_are_counted))
