#include "actor/sandbox_ring.h"

#include <string.h>

#include "base/mem.h"
#include "tests/lib/test.h"

/* The byte at that place of all that there ever was. */
static uint8_t byte_at(uint64_t place)
{
    return (uint8_t)(place * 131 + place / 251);
}

static void put(struct ring *r, size_t n)
{
    uint8_t *bytes = mem_alloc(n);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = byte_at(r->end + i);
    }
    ring_put(r, slice_of(bytes, n));
    mem_free(bytes);
}

static void expect_kept(const struct ring *r)
{
    uint64_t cursor = r->start;
    while (cursor < r->end) {
        struct slice piece = ring_at(r, cursor);
        assert_true(piece.len > 0 && piece.len <= r->end - cursor);
        for (size_t i = 0; i < piece.len; i++) {
            assert_int_equal(piece.data[i], byte_at(cursor + i));
        }
        cursor += piece.len;
    }
    assert_int_equal(ring_at(r, r->end).len, 0);
}

static void the_last_mebibyte_is_kept_in_order(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 7, 4096, 16384, 65536, 100000, 1 << 19, RING_BYTES_MAX, 3};
    struct ring r = {0};
    for (int round = 0; round < 3; round++) {
        for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
            put(&r, sizes[i]);
            expect_kept(&r);
        }
    }
    assert_int_equal(r.end - r.start, RING_BYTES_MAX);
    mem_free(r.data);
}

static void little_is_kept_in_little(void **state)
{
    (void)state;
    struct ring r = {0};
    put(&r, 10);
    expect_kept(&r);
    assert_true(r.capacity < RING_BYTES_MAX / 16);
    mem_free(r.data);
}

static void nothing_is_in_an_empty_one(void **state)
{
    (void)state;
    const struct ring r = {0};
    assert_int_equal(ring_at(&r, 0).len, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_mebibyte_is_kept_in_order),
        cmocka_unit_test(little_is_kept_in_little),
        cmocka_unit_test(nothing_is_in_an_empty_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
