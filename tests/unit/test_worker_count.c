#include "node/worker_count.h"

#include "storage/data_dir.h"
#include "storage/engine.h"
#include "tests/lib/test.h"

static void new_data_has_a_worker_for_each_processor_but_one(void **state)
{
    (void)state;
    static const uint32_t rows[][2] = {{0, 1},   {1, 1},   {2, 1},   {3, 2},
                                       {16, 15}, {65, 64}, {256, 64}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(worker_count_default(rows[i][0], 0), rows[i][1]);
        assert_in_range(rows[i][1], 1, DATA_WORKERS_MAX);
    }
}

static void little_disk_space_lets_fewer_workers(void **state)
{
    (void)state;
    assert_int_equal(worker_count_default(16, engine_quota_bytes_min(15)), 15);
    assert_int_equal(worker_count_default(16, engine_quota_bytes_min(15) - 1), 14);
    assert_int_equal(worker_count_default(16, engine_quota_bytes_min(1)), 1);
    assert_int_equal(worker_count_default(16, 1), 1); /* refused elsewhere */
    assert_int_equal(worker_count_default(2, UINT64_MAX), 1);
}

static void there_is_a_processor(void **state)
{
    (void)state;
    assert_true(worker_count_processors() >= 1);
}

TEST_MAIN(cmocka_unit_test(new_data_has_a_worker_for_each_processor_but_one),
          cmocka_unit_test(little_disk_space_lets_fewer_workers),
          cmocka_unit_test(there_is_a_processor))
