#include "actor/idempotency_count.h"

#include "tests/lib/storage.h"
#include "tests/lib/test.h"

#define HOUR UINT64_C(3600000)
#define DAY  (24 * HOUR)
#define T0   (UINT64_C(500000) * HOUR) /* begins an hour */

static void add(struct idempotency_count *c, uint64_t now_ms, int times)
{
    for (int i = 0; i < times; i++) {
        (void)idempotency_count_add(c, now_ms);
    }
}

static void expect_count(const struct idempotency_count *c, uint64_t now_ms, uint64_t want)
{
    assert_true(idempotency_count_of(c, now_ms) == want);
}

static void the_first_of_an_hour_is_told(void **state)
{
    (void)state;
    struct idempotency_count c = {0};
    assert_true(idempotency_count_add(&c, T0));
    assert_false(idempotency_count_add(&c, T0));
    assert_false(idempotency_count_add(&c, T0 + HOUR - 1));
    assert_true(idempotency_count_add(&c, T0 + HOUR));
    assert_true(idempotency_count_add(&c, T0 + 40 * HOUR));
    expect_count(&c, T0 + 40 * HOUR, 1);
}

static void a_record_counts_as_long_as_it_is_kept_and_until_its_hour_is_over(void **state)
{
    (void)state;
    struct idempotency_count c = {0};
    add(&c, T0 + 1, 3);
    add(&c, T0 + HOUR - 1, 2);
    add(&c, T0 + HOUR, 10);
    expect_count(&c, T0 + HOUR, 15);
    expect_count(&c, T0 + DAY, 15);
    expect_count(&c, T0 + DAY + HOUR - 1, 15); /* the first three have expired by now */
    expect_count(&c, T0 + DAY + HOUR, 10);
    expect_count(&c, T0 + DAY + 2 * HOUR - 1, 10);
    expect_count(&c, T0 + DAY + 2 * HOUR, 0);
}

/* At every minute of five days: never less than what is kept, never more than an hour's more. */
static void the_count_is_a_bound_from_above(void **state)
{
    (void)state;
    enum { MINUTES = 5 * 24 * 60, MINUTE_MS = 60 * 1000 };
    static uint8_t written[MINUTES];
    struct idempotency_count c = {0};
    uint64_t seed = 17;
    for (int minute = 0; minute < MINUTES; minute++) {
        uint64_t now_ms = T0 + 7 * MINUTE_MS + (uint64_t)minute * MINUTE_MS;
        written[minute] = (uint8_t)(test_below(&seed, 3) == 0 ? test_below(&seed, 5) : 0);
        add(&c, now_ms, written[minute]);
        uint64_t kept = 0;
        uint64_t an_hour_longer = 0;
        for (int back = 0; back < 25 * 60 && back <= minute; back++) {
            kept += back < 24 * 60 ? written[minute - back] : 0;
            an_hour_longer += written[minute - back];
        }
        assert_in_range(idempotency_count_of(&c, now_ms), kept, an_hour_longer);
    }
}

static void a_count_comes_back_as_it_was(void **state)
{
    (void)state;
    struct idempotency_count c = {0};
    struct idempotency_count back;
    struct buf row = {0};
    expect_err(idempotency_count_decode((struct slice){0}, &back), ERR_OK);
    expect_count(&back, T0, 0);
    for (uint64_t hour = 0; hour < 100; hour++) { /* more hours than it holds */
        add(&c, T0 + hour * HOUR, (int)hour + 1);
        buf_clear(&row);
        idempotency_count_encode(&c, &row);
        expect_err(idempotency_count_decode(buf_slice(&row), &back), ERR_OK);
        for (uint64_t later = 0; later < 30 * HOUR; later += HOUR / 2) {
            uint64_t at_ms = T0 + hour * HOUR + later;
            expect_count(&back, at_ms, idempotency_count_of(&c, at_ms));
        }
    }
    buf_done(&row);
}

static void a_damaged_count_is_an_error(void **state)
{
    (void)state;
    struct idempotency_count c = {0};
    struct idempotency_count back;
    struct buf row = {0};
    add(&c, T0, 1);
    add(&c, T0 + HOUR, 1);
    idempotency_count_encode(&c, &row);
    for (size_t len = 1; len < row.len; len++) {
        if (len != 9 && len != 17) { /* these hold fewer hours */
            expect_err(idempotency_count_decode(slice_of(row.data, len), &back), ERR_CORRUPT);
        }
    }
    static const size_t places[] = {8, 12, 20}; /* the format, and the order of the hours */
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        row.data[places[i]] ^= 0x7f;
        expect_err(idempotency_count_decode(buf_slice(&row), &back), ERR_CORRUPT);
        row.data[places[i]] ^= 0x7f;
    }
    for (int i = 0; i < 24; i++) {
        buf_append_u64(&row, (UINT64_C(500002) << 32) + ((uint64_t)i << 32));
    }
    expect_err(idempotency_count_decode(buf_slice(&row), &back), ERR_CORRUPT); /* too many hours */
    buf_done(&row);
}

TEST_MAIN(cmocka_unit_test(the_first_of_an_hour_is_told),
          cmocka_unit_test(a_record_counts_as_long_as_it_is_kept_and_until_its_hour_is_over),
          cmocka_unit_test(the_count_is_a_bound_from_above),
          cmocka_unit_test(a_count_comes_back_as_it_was),
          cmocka_unit_test(a_damaged_count_is_an_error))
