#include "actor/step.h"

#include <string.h>

#include "tests/lib/test.h"

enum { NOW_MS = 1000000 };

static const uint8_t first_lease[STEP_LEASE_BYTES] = {0x01, 0xab};
static const uint8_t second_lease[STEP_LEASE_BYTES] = {0x02};
#define FIRST  SLICE("01ab0000000000000000000000000000")
#define SECOND SLICE("02000000000000000000000000000000")
#define OUTPUT SLICE("\x01")
#define ERROR  SLICE("\x02")

static struct step begun(uint64_t lease_ms)
{
    struct step s = {.state = STEP_WAITING};
    uint64_t retry_after_ms = 0;
    assert_int_equal(step_begin(&s, first_lease, lease_ms, NOW_MS, &retry_after_ms), STEP_MAY_RUN);
    return s;
}

static void the_first_to_ask_may_run_and_others_are_told_when_to_ask_again(void **state)
{
    (void)state;
    struct step s = begun(60000);
    uint64_t retry_after_ms = 0;
    assert_int_equal(s.attempts, 1);
    assert_int_equal(s.started_ms, NOW_MS);
    assert_int_equal(step_begin(&s, second_lease, 60000, NOW_MS + 59999, &retry_after_ms),
                     STEP_IS_BUSY);
    assert_int_equal(retry_after_ms, 1);
    assert_int_equal(s.attempts, 1);
}

static void an_expired_lease_is_taken_over_by_the_next_attempt(void **state)
{
    (void)state;
    struct step s = begun(60000);
    uint64_t retry_after_ms = 0;
    assert_int_equal(step_shown_state(&s, NOW_MS + 59999), STEP_RUNNING);
    assert_int_equal(step_shown_state(&s, NOW_MS + 60000), STEP_WAITING);
    assert_int_equal(step_begin(&s, second_lease, 1, NOW_MS + 60000, &retry_after_ms),
                     STEP_MAY_RUN);
    assert_int_equal(s.attempts, 2);
    assert_int_equal(s.started_ms, NOW_MS);
    expect_err(step_finish(&s, FIRST, OUTPUT, NOW_MS + 60000), ERR_LEASE_LOST);
    expect_err(step_finish(&s, SECOND, OUTPUT, NOW_MS + 60000), ERR_OK);
}

static void a_lease_that_expired_ends_nothing_though_nobody_took_it(void **state)
{
    (void)state;
    struct step s = begun(60000);
    expect_err(step_finish(&s, FIRST, OUTPUT, NOW_MS + 60000), ERR_LEASE_LOST);
    expect_err(step_fail(&s, FIRST, ERROR, NOW_MS + 60000), ERR_LEASE_LOST);
    expect_err(step_retry(&s, FIRST, ERROR, 1, NOW_MS + 60000), ERR_LEASE_LOST);
    expect_err(step_extend(&s, FIRST, 60000, NOW_MS + 60000), ERR_LEASE_LOST);
    assert_int_equal(s.state, STEP_RUNNING);
}

static void only_the_whole_lease_is_the_lease(void **state)
{
    (void)state;
    struct step s = begun(60000);
    expect_err(step_finish(&s, SECOND, OUTPUT, NOW_MS), ERR_LEASE_LOST);
    expect_err(step_finish(&s, slice_of(FIRST.data, 31), OUTPUT, NOW_MS), ERR_LEASE_LOST);
    expect_err(step_finish(&s, SLICE(""), OUTPUT, NOW_MS), ERR_LEASE_LOST);
    expect_err(step_finish(&s, SLICE("01AB0000000000000000000000000000"), OUTPUT, NOW_MS),
               ERR_LEASE_LOST);
}

static void a_finished_step_stays_finished(void **state)
{
    (void)state;
    struct step s = begun(60000);
    uint64_t retry_after_ms = 0;
    expect_err(step_finish(&s, FIRST, OUTPUT, NOW_MS + 1), ERR_OK);
    assert_int_equal(s.ended_ms, NOW_MS + 1);
    expect_err(step_finish(&s, FIRST, OUTPUT, NOW_MS + 1), ERR_LEASE_LOST);
    expect_err(step_fail(&s, FIRST, ERROR, NOW_MS + 1), ERR_LEASE_LOST);
    /* ... nor does the lease that is all zeroes, as an ended attempt has it. */
    expect_err(step_fail(&s, SLICE("00000000000000000000000000000000"), ERROR, NOW_MS + 1),
               ERR_LEASE_LOST);
    assert_int_equal(step_begin(&s, second_lease, 1000, NOW_MS + 100000, &retry_after_ms),
                     STEP_IS_DONE);
    expect_slice(s.result, OUTPUT);
}

static void a_failed_attempt_waits_until_its_retry_is_due(void **state)
{
    (void)state;
    struct step s = begun(60000);
    uint64_t retry_after_ms = 0;
    expect_err(step_retry(&s, FIRST, ERROR, 5000, NOW_MS), ERR_OK);
    assert_int_equal(step_shown_state(&s, NOW_MS), STEP_WAITING);
    assert_int_equal(step_begin(&s, second_lease, 1000, NOW_MS + 4000, &retry_after_ms),
                     STEP_IS_BUSY);
    assert_int_equal(retry_after_ms, 1000);
    assert_int_equal(step_begin(&s, second_lease, 1000, NOW_MS + 5000, &retry_after_ms),
                     STEP_MAY_RUN);
    assert_int_equal(s.attempts, 2);
}

static void a_step_that_failed_for_good_is_never_run_again(void **state)
{
    (void)state;
    struct step s = begun(60000);
    uint64_t retry_after_ms = 0;
    expect_err(step_fail(&s, FIRST, ERROR, NOW_MS), ERR_OK);
    assert_int_equal(step_begin(&s, second_lease, 1000, NOW_MS + 100000, &retry_after_ms),
                     STEP_HAS_FAILED);
    expect_slice(s.result, ERROR);
}

static void a_lease_is_prolonged_and_never_cut(void **state)
{
    (void)state;
    struct step s = begun(60000);
    expect_err(step_extend(&s, FIRST, 1000, NOW_MS + 1), ERR_OK);
    assert_int_equal(s.until_ms, NOW_MS + 60000);
    expect_err(step_extend(&s, FIRST, 60000, NOW_MS + 30000), ERR_OK);
    assert_int_equal(s.until_ms, NOW_MS + 90000);
    expect_err(step_finish(&s, FIRST, OUTPUT, NOW_MS + 89999), ERR_OK);
}

static void a_record_comes_back_as_it_was(void **state)
{
    (void)state;
    struct step s = begun(60000);
    struct step back;
    struct buf record = {0};
    s.input = SLICE("\x93\x01\x02\x03");
    s.order = 7;
    s.result = ERROR;
    step_encode(&s, &record);
    expect_err(step_decode(buf_slice(&record), &back), ERR_OK);
    assert_int_equal(back.state, STEP_RUNNING);
    assert_int_equal(back.attempts, 1);
    assert_int_equal(back.order, 7);
    assert_int_equal(back.until_ms, NOW_MS + 60000);
    assert_int_equal(back.started_ms, NOW_MS);
    assert_int_equal(back.ended_ms, 0);
    expect_slice(back.input, s.input);
    expect_slice(back.result, ERROR);
    expect_err(step_finish(&back, FIRST, OUTPUT, NOW_MS), ERR_OK);
    assert_int_equal(back.input.len, 0);
    buf_done(&record);
}

static void a_damaged_record_is_an_error(void **state)
{
    (void)state;
    struct step s = begun(60000);
    struct step back;
    struct buf record = {0};
    s.input = SLICE("\x01");
    step_encode(&s, &record);
    for (size_t len = 0; len < record.len; len++) {
        expect_err(step_decode(slice_of(record.data, len), &back), ERR_CORRUPT);
    }
    record.data[1] = 5;
    expect_err(step_decode(buf_slice(&record), &back), ERR_CORRUPT);
    buf_done(&record);
}

TEST_MAIN(cmocka_unit_test(the_first_to_ask_may_run_and_others_are_told_when_to_ask_again),
          cmocka_unit_test(an_expired_lease_is_taken_over_by_the_next_attempt),
          cmocka_unit_test(a_lease_that_expired_ends_nothing_though_nobody_took_it),
          cmocka_unit_test(only_the_whole_lease_is_the_lease),
          cmocka_unit_test(a_finished_step_stays_finished),
          cmocka_unit_test(a_failed_attempt_waits_until_its_retry_is_due),
          cmocka_unit_test(a_step_that_failed_for_good_is_never_run_again),
          cmocka_unit_test(a_lease_is_prolonged_and_never_cut),
          cmocka_unit_test(a_record_comes_back_as_it_was),
          cmocka_unit_test(a_damaged_record_is_an_error))
