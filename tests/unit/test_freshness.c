#include "node/freshness.h"

#include "tests/lib/test.h"

enum { REPLICA = 7, WALL_MS = 1000000 };

static uint64_t age(struct freshness *f, uint64_t index, uint64_t mono_ms)
{
    const struct applied applied = {.index = index, .log_time_ms = WALL_MS - 5000};
    uint64_t ms;
    assert_true(freshness_age(f, REPLICA, &applied, mono_ms, WALL_MS, &ms));
    return ms;
}

static void rows_of_no_batch_have_no_age_until_somebody_says_so(void **state)
{
    struct freshness f = {0};
    const struct applied applied = {.index = 3}; /* of leaders that only became such */
    uint64_t ms;
    (void)state;
    assert_false(freshness_age(&f, REPLICA, &applied, 10, WALL_MS, &ms));
    assert_true(freshness_wants_ask(&f, 10));
    freshness_asked(&f, 1, 10);
    freshness_answered(&f, 1, 3);
    assert_true(freshness_age(&f, REPLICA, &applied, 30, WALL_MS, &ms));
    assert_int_equal(ms, 20);
}

static void before_anybody_has_answered_rows_are_as_old_as_the_newest_batch(void **state)
{
    struct freshness f = {0};
    const struct applied ahead = {.index = 1, .log_time_ms = WALL_MS + 1};
    uint64_t ms;
    (void)state;
    assert_int_equal(age(&f, 1, 10), 5000);
    assert_true(freshness_wants_ask(&f, 10));
    freshness_asked(&f, 1, 10);
    assert_int_equal(age(&f, 1, 20), 5000);
    assert_true(freshness_age(&f, REPLICA, &ahead, 1, WALL_MS, &ms));
    assert_int_equal(ms, 0); /* a clock that is ahead is no news of the future */
}

static void rows_are_of_the_time_of_the_question_once_they_have_what_was_answered(void **state)
{
    struct freshness f = {0};
    (void)state;
    (void)age(&f, 4, 10);
    freshness_asked(&f, 1, 10);
    freshness_answered(&f, 1, 6);
    assert_int_equal(age(&f, 5, 20), 5000); /* one entry is still missing */
    assert_int_equal(age(&f, 6, 30), 20);
    assert_int_equal(age(&f, 6, 100), 90); /* and grow old from then on */
    assert_int_equal(age(&f, 9, 110), 100);
}

static void who_was_told_lately_does_not_ask(void **state)
{
    struct freshness f = {0};
    (void)state;
    (void)age(&f, 4, 10);
    freshness_asked(&f, 1, 10);
    assert_false(freshness_wants_ask(&f, 20)); /* it is under way */
    freshness_answered(&f, 1, 4);
    (void)age(&f, 4, 30);
    assert_false(freshness_wants_ask(&f, 10 + FRESH_MS - 1));
    assert_true(freshness_wants_ask(&f, 10 + FRESH_MS));
}

static void a_question_that_is_lost_is_asked_again_and_its_answer_comes_too_late(void **state)
{
    struct freshness f = {0};
    (void)state;
    (void)age(&f, 4, 10);
    freshness_asked(&f, 1, 10);
    assert_false(freshness_wants_ask(&f, 10 + FRESH_ASK_MS - 1));
    assert_true(freshness_wants_ask(&f, 10 + FRESH_ASK_MS));
    freshness_asked(&f, 2, 2000);
    freshness_answered(&f, 1, 4); /* it says nothing of 2000 */
    assert_int_equal(age(&f, 4, 2010), 5000);
    freshness_answered(&f, 2, 4);
    assert_int_equal(age(&f, 4, 2010), 10);
    freshness_answered(&f, 2, 5); /* twice */
    assert_int_equal(age(&f, 4, 2020), 20);
}

/* It came back to this node after it had left: it is another replica, and empty at first. */
static void what_was_known_of_another_replica_is_forgotten(void **state)
{
    struct freshness f = {0};
    const struct applied applied = {.index = 1, .log_time_ms = WALL_MS - 7000};
    uint64_t ms;
    (void)state;
    (void)age(&f, 4, 10);
    freshness_asked(&f, 1, 10);
    freshness_answered(&f, 1, 4);
    assert_int_equal(age(&f, 4, 20), 10);
    assert_true(freshness_age(&f, REPLICA + 1, &applied, 30, WALL_MS, &ms));
    assert_int_equal(ms, 7000);
}

static void messages_of_another_length_are_refused(void **state)
{
    struct buf bytes = {0};
    uint64_t id;
    uint64_t index;
    (void)state;
    freshness_put_answer(UINT64_MAX, 3, &bytes);
    expect_err(freshness_take_answer(buf_slice(&bytes), &id, &index), ERR_OK);
    assert_true(id == UINT64_MAX && index == 3);
    buf_append_byte(&bytes, 0);
    for (size_t len = 0; len <= bytes.len; len++) {
        enum err err = freshness_take_answer(slice_of(bytes.data, len), &id, &index);
        expect_err(err, len == 16 ? ERR_OK : ERR_CORRUPT);
        err = freshness_take_ask(slice_of(bytes.data, len), &id);
        expect_err(err, len == 8 ? ERR_OK : ERR_CORRUPT);
    }
    buf_clear(&bytes);
    freshness_put_ask(5, &bytes);
    expect_err(freshness_take_ask(buf_slice(&bytes), &id), ERR_OK);
    assert_int_equal(id, 5);
    buf_done(&bytes);
}

TEST_MAIN(cmocka_unit_test(rows_of_no_batch_have_no_age_until_somebody_says_so),
          cmocka_unit_test(before_anybody_has_answered_rows_are_as_old_as_the_newest_batch),
          cmocka_unit_test(rows_are_of_the_time_of_the_question_once_they_have_what_was_answered),
          cmocka_unit_test(who_was_told_lately_does_not_ask),
          cmocka_unit_test(a_question_that_is_lost_is_asked_again_and_its_answer_comes_too_late),
          cmocka_unit_test(what_was_known_of_another_replica_is_forgotten),
          cmocka_unit_test(messages_of_another_length_are_refused))
