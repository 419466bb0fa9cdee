#include "node/snapshot_wire.h"

#include <string.h>

#include "base/mem.h"
#include "tests/lib/test.h"

static void what_is_put_is_taken(void **state)
{
    struct buf bytes = {0};
    const struct snapshot_begin begin = {.stream = 1, .bytes = UINT64_MAX, .offer = SLICE("offer")};
    const struct snapshot_part part = {.stream = 2, .offset = 1 << 20, .bytes = SLICE("x")};
    const struct snapshot_want want = {.stream = UINT64_MAX, .next = 5, .limit = 5};
    const struct snapshot_end ends[] = {{3, true}, {4, false}};
    struct snapshot_begin got_begin;
    struct snapshot_part got_part;
    struct snapshot_want got_want;
    struct snapshot_end got_end;
    (void)state;

    snapshot_put_begin(&begin, &bytes);
    expect_err(snapshot_take_begin(buf_slice(&bytes), &got_begin), ERR_OK);
    assert_int_equal(got_begin.stream, begin.stream);
    assert_true(got_begin.bytes == begin.bytes);
    expect_str(got_begin.offer, "offer");

    buf_clear(&bytes);
    snapshot_put_part(&part, &bytes);
    expect_err(snapshot_take_part(buf_slice(&bytes), &got_part), ERR_OK);
    assert_int_equal(got_part.stream, part.stream);
    assert_int_equal(got_part.offset, part.offset);
    expect_str(got_part.bytes, "x");

    buf_clear(&bytes);
    snapshot_put_want(&want, &bytes);
    expect_err(snapshot_take_want(buf_slice(&bytes), &got_want), ERR_OK);
    assert_true(got_want.stream == want.stream);
    assert_int_equal(got_want.next, want.next);
    assert_int_equal(got_want.limit, want.limit);

    for (size_t i = 0; i < 2; i++) {
        buf_clear(&bytes);
        snapshot_put_end(&ends[i], &bytes);
        expect_err(snapshot_take_end(buf_slice(&bytes), &got_end), ERR_OK);
        assert_int_equal(got_end.stream, ends[i].stream);
        assert_int_equal(got_end.is_installed, ends[i].is_installed);
    }
    buf_done(&bytes);
}

static void a_part_of_the_largest_size_is_taken_and_a_larger_one_is_not(void **state)
{
    struct buf bytes = {0};
    struct snapshot_part got;
    uint8_t *room = mem_zalloc(SNAPSHOT_PART_BYTES + 1);
    struct snapshot_part part = {.stream = 1, .bytes = slice_of(room, SNAPSHOT_PART_BYTES)};
    (void)state;
    snapshot_put_part(&part, &bytes);
    expect_err(snapshot_take_part(buf_slice(&bytes), &got), ERR_OK);
    buf_clear(&bytes);
    part.bytes.len++;
    snapshot_put_part(&part, &bytes);
    expect_err(snapshot_take_part(buf_slice(&bytes), &got), ERR_CORRUPT);
    buf_done(&bytes);
    mem_free(room);
}

static void a_part_of_which_a_bit_has_changed_is_refused(void **state)
{
    struct buf bytes = {0};
    struct snapshot_part got;
    const struct snapshot_part part = {.stream = 1, .offset = 7, .bytes = SLICE("some bytes")};
    (void)state;
    snapshot_put_part(&part, &bytes);
    for (size_t bit = 16 * 8; bit < bytes.len * 8; bit++) { /* the sum and what it is of */
        bytes.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
        expect_err(snapshot_take_part(buf_slice(&bytes), &got), ERR_CORRUPT);
        bytes.data[bit / 8] ^= (uint8_t)(1U << bit % 8);
    }
    buf_done(&bytes);
}

static void messages_of_another_length_are_refused(void **state)
{
    struct buf bytes = {0};
    struct snapshot_begin begin = {.stream = 1, .bytes = 1, .offer = SLICE("o")};
    struct snapshot_part part = {.stream = 1, .bytes = SLICE("x")};
    struct snapshot_want want = {.stream = 1};
    struct snapshot_end end = {.stream = 1};
    (void)state;
    snapshot_put_begin(&begin, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        expect_err(snapshot_take_begin(slice_of(bytes.data, len), &begin), ERR_CORRUPT);
    }
    buf_clear(&bytes);
    snapshot_put_part(&part, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        expect_err(snapshot_take_part(slice_of(bytes.data, len), &part), ERR_CORRUPT);
    }
    buf_clear(&bytes);
    snapshot_put_want(&want, &bytes);
    buf_append_byte(&bytes, 0);
    for (size_t len = 0; len <= bytes.len; len++) {
        enum err err = snapshot_take_want(slice_of(bytes.data, len), &want);
        expect_err(err, len == bytes.len - 1 ? ERR_OK : ERR_CORRUPT);
    }
    buf_clear(&bytes);
    snapshot_put_end(&end, &bytes);
    buf_append_byte(&bytes, 0);
    for (size_t len = 0; len <= bytes.len; len++) {
        enum err err = snapshot_take_end(slice_of(bytes.data, len), &end);
        expect_err(err, len == bytes.len - 1 ? ERR_OK : ERR_CORRUPT);
    }
    buf_done(&bytes);
}

static void what_makes_no_sense_is_refused(void **state)
{
    struct buf bytes = {0};
    struct snapshot_begin begin = {.stream = 0, .bytes = 1, .offer = SLICE("o")};
    struct snapshot_want want = {.stream = 1, .next = 6, .limit = 5};
    struct snapshot_end end = {.stream = 1};
    (void)state;
    snapshot_put_begin(&begin, &bytes);
    expect_err(snapshot_take_begin(buf_slice(&bytes), &begin), ERR_CORRUPT);
    buf_clear(&bytes);
    begin = (struct snapshot_begin){.stream = 1, .bytes = 0, .offer = SLICE("o")};
    snapshot_put_begin(&begin, &bytes);
    expect_err(snapshot_take_begin(buf_slice(&bytes), &begin), ERR_CORRUPT);
    buf_clear(&bytes);
    snapshot_put_want(&want, &bytes);
    expect_err(snapshot_take_want(buf_slice(&bytes), &want), ERR_CORRUPT);
    buf_clear(&bytes);
    snapshot_put_end(&end, &bytes);
    bytes.data[8] = 2;
    expect_err(snapshot_take_end(buf_slice(&bytes), &end), ERR_CORRUPT);
    buf_done(&bytes);
}

TEST_MAIN(cmocka_unit_test(what_is_put_is_taken),
          cmocka_unit_test(a_part_of_the_largest_size_is_taken_and_a_larger_one_is_not),
          cmocka_unit_test(a_part_of_which_a_bit_has_changed_is_refused),
          cmocka_unit_test(messages_of_another_length_are_refused),
          cmocka_unit_test(what_makes_no_sense_is_refused))
