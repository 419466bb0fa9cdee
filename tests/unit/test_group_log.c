#include "storage/group_log.h"

#include "tests/lib/storage.h"
#include "tests/lib/test.h"

static void append(struct group_log *l, uint64_t term, const char *text)
{
    struct buf data = {0};
    buf_append_str(&data, text);
    group_log_append(l, term, GROUP_COMMAND, &data, group_log_next(l) * 10);
    assert_null(data.data);
}

static void expect_entry(const struct group_log *l, uint64_t index, uint64_t term, const char *text)
{
    struct group_entry e = group_log_entry(l, index);
    assert_int_equal(e.index, index);
    assert_int_equal(e.term, term);
    expect_str(e.data, text);
}

static void entries_are_found_by_their_index(void **state)
{
    (void)state;
    struct group_log l = {0};
    group_log_start(&l, 7);
    append(&l, 1, "seven");
    append(&l, 2, "eight");
    expect_entry(&l, 7, 1, "seven");
    expect_entry(&l, 8, 2, "eight");
    assert_null(group_log_find(&l, 6));
    assert_null(group_log_find(&l, 9));
    assert_int_equal(group_log_next(&l), 9);
    group_log_done(&l);
}

static void what_is_truncated_is_gone_and_its_place_is_taken_again(void **state)
{
    (void)state;
    struct group_log l = {0};
    group_log_start(&l, 1);
    append(&l, 1, "one");
    append(&l, 1, "two");
    append(&l, 1, "three");
    group_log_truncate(&l, 2);
    assert_int_equal(group_log_next(&l), 2);
    append(&l, 3, "other");
    expect_entry(&l, 1, 1, "one");
    expect_entry(&l, 2, 3, "other");
    group_log_truncate(&l, 1);
    assert_int_equal(l.bytes, 0);
    append(&l, 4, "again");
    expect_entry(&l, 1, 4, "again");
    group_log_done(&l);
}

static void dropping_more_than_is_there_moves_the_beginning(void **state)
{
    (void)state;
    struct group_log l = {0};
    group_log_start(&l, 1);
    append(&l, 1, "one");
    group_log_drop(&l, 5);
    assert_int_equal(l.bytes, 0);
    assert_int_equal(group_log_next(&l), 6);
    append(&l, 1, "six");
    expect_entry(&l, 6, 1, "six");
    group_log_drop(&l, 3);
    expect_entry(&l, 6, 1, "six");
    group_log_done(&l);
}

static void the_tail_is_as_long_as_its_bytes_allow(void **state)
{
    (void)state;
    struct group_log l = {0};
    group_log_start(&l, 1);
    append(&l, 1, "one");
    size_t each = l.bytes;
    append(&l, 1, "two");
    append(&l, 1, "three");
    assert_int_equal(group_log_tail(&l, 3, 3 * each), 1);
    assert_int_equal(group_log_tail(&l, 3, 2 * each), 2);
    assert_int_equal(group_log_tail(&l, 2, 2 * each - 1), 2);
    assert_int_equal(group_log_tail(&l, 3, each - 1), 4);
    assert_int_equal(group_log_tail(&l, 4, SIZE_MAX), 5); /* not here */
    group_log_drop(&l, 1);
    assert_int_equal(group_log_tail(&l, 3, SIZE_MAX), 2);
    group_log_done(&l);
}

/* Against an array: any order of appends, truncations and drops. */
static void any_order_of_changes_keeps_the_run_whole(void **state)
{
    (void)state;
    enum { STEPS = 20000, SPAN = 64 * 1024 };
    static uint64_t terms[SPAN];
    uint64_t seed = 7;
    uint64_t first = 1;
    uint64_t next = 1;
    uint64_t term = 1;
    struct group_log l = {0};
    group_log_start(&l, 1);
    for (int step = 0; step < STEPS; step++) {
        uint64_t what = test_below(&seed, 10);
        if (what < 7) {
            terms[next++] = term;
            append(&l, term, "entry");
        } else if (what < 8 && next > first) {
            next = first + test_below(&seed, next - first + 1);
            group_log_truncate(&l, next);
            term++;
        } else if (next > first) {
            uint64_t to = first + test_below(&seed, next - first);
            group_log_drop(&l, to);
            first = to + 1;
        }
        assert_int_equal(l.first, first);
        assert_int_equal(group_log_next(&l), next);
        if (next > first) {
            uint64_t at = first + test_below(&seed, next - first);
            expect_entry(&l, at, terms[at], "entry");
        }
    }
    group_log_done(&l);
}

TEST_MAIN(cmocka_unit_test(entries_are_found_by_their_index),
          cmocka_unit_test(what_is_truncated_is_gone_and_its_place_is_taken_again),
          cmocka_unit_test(dropping_more_than_is_there_moves_the_beginning),
          cmocka_unit_test(the_tail_is_as_long_as_its_bytes_allow),
          cmocka_unit_test(any_order_of_changes_keeps_the_run_whole))
