#include "storage/marker.h"

#include "base/mem.h"
#include "tests/lib/test.h"

#define CONFIGURATION SLICE("\1 what the group says")

static void a_first_store_needs_no_more_than_the_configuration(void **state)
{
    (void)state;
    struct buf marker = {0};
    uint64_t generation = 0;
    struct slice configuration;
    marker_encode(1, CONFIGURATION, &marker);
    expect_slice(buf_slice(&marker),
                 CONFIGURATION); /* as nodes without peers have ever written it */
    expect_err(marker_decode(buf_slice(&marker), &generation, &configuration), ERR_OK);
    assert_int_equal(generation, 1);
    expect_slice(configuration, CONFIGURATION);
    buf_done(&marker);
}

static void a_later_store_is_named(void **state)
{
    (void)state;
    struct buf marker = {0};
    uint64_t generation = 0;
    struct slice configuration;
    marker_encode(UINT64_C(1) << 40, CONFIGURATION, &marker);
    expect_err(marker_decode(buf_slice(&marker), &generation, &configuration), ERR_OK);
    assert_true(generation == UINT64_C(1) << 40);
    expect_slice(configuration, CONFIGURATION);
    for (size_t len = 1; len <= 9; len++) {
        expect_err(marker_decode(slice_of(marker.data, len), &generation, &configuration),
                   ERR_CORRUPT);
    }
    buf_done(&marker);
}

static void a_shard_without_a_snapshot_has_its_first_store(void **state)
{
    (void)state;
    uint64_t generation = 0;
    struct slice configuration;
    expect_err(marker_decode((struct slice){0}, &generation, &configuration), ERR_OK);
    assert_int_equal(generation, 1);
    assert_int_equal(configuration.len, 0);
}

TEST_MAIN(cmocka_unit_test(a_first_store_needs_no_more_than_the_configuration),
          cmocka_unit_test(a_later_store_is_named),
          cmocka_unit_test(a_shard_without_a_snapshot_has_its_first_store))
