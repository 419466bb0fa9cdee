#include "actor/scan.h"

#include "base/mem.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

/* The model: keys "a" to "p"; each may be in the base and in what is staged, with a value or as
 * known to be absent. */
enum { KEYS = 16, ROUNDS = 4000 };

enum place { NOWHERE, ABSENT, PRESENT };

struct fixture {
    struct row_set base;
    struct row_set staged;
    enum place in_base[KEYS];
    enum place in_staged[KEYS];
};

static void fill(struct row_set *set, enum place places[KEYS], uint64_t version, uint64_t *seed)
{
    row_set_init(set);
    (void)row_set_set(set, ROW_META, SLICE(""), NULL, 0); /* neighbours that are not meant */
    (void)row_set_set(set, ROW_KV + 1, SLICE(""), NULL, 0);
    for (int i = 0; i < KEYS; i++) {
        char key = (char)('a' + i);
        places[i] = (enum place)test_below(seed, 3);
        if (places[i] == NOWHERE) {
            continue;
        }
        struct bytes *value = places[i] == PRESENT ? bytes_new(slice_of(&key, 1)) : NULL;
        (void)row_set_set(set, ROW_KV, slice_of(&key, 1), value, version);
        bytes_unref(value);
    }
}

static void done(struct fixture *f)
{
    row_set_done(&f->base);
    row_set_done(&f->staged);
}

/* 0: it is not there. */
static uint64_t version_at(struct fixture *f, int i)
{
    if (f->in_staged[i] != NOWHERE) {
        return f->in_staged[i] == PRESENT ? 2 : 0;
    }
    return f->in_base[i] == PRESENT ? 1 : 0;
}

/* The last key of the base in the direction of the range; beyond it a cut scan knows nothing. */
static int edge_of(struct fixture *f, int low, int high, bool reverse)
{
    for (int n = 0; n < high - low; n++) {
        int i = reverse ? low + n : high - 1 - n;
        if (f->in_base[i] != NOWHERE) {
            return i;
        }
    }
    return -1;
}

static void expect_scan(struct fixture *f, int low, int high, bool reverse, bool cut)
{
    char low_key = (char)('a' + low);
    char high_key = (char)('a' + high);
    const struct scan_range range = {.kind = ROW_KV,
                                     .low = slice_of(&low_key, 1),
                                     .high = high == KEYS ? SLICE("") : slice_of(&high_key, 1),
                                     .reverse = reverse,
                                     .rows_max = KEYS,
                                     .bytes_max = SIZE_MAX};
    struct scan_cursor c;
    struct scan_item item;
    int edge = edge_of(f, low, high, reverse);
    scan_begin(&c, &range, &f->base, cut, &f->staged);
    for (int n = 0; n < high - low; n++) {
        int i = reverse ? high - 1 - n : low + n;
        bool is_beyond = cut && (edge < 0 || (reverse ? i < edge : i > edge));
        if (is_beyond) {
            break;
        }
        if (version_at(f, i) == 0) {
            continue;
        }
        char key = (char)('a' + i);
        assert_true(scan_next(&c, &item));
        expect_slice(item.key, slice_of(&key, 1));
        assert_int_equal(item.version, version_at(f, i));
        expect_slice(bytes_slice(item.value), slice_of(&key, 1));
    }
    assert_false(scan_next(&c, &item));
    assert_int_equal(c.ended_early, cut);
}

static void a_scan_merges_what_is_stored_and_what_is_staged(void **state)
{
    (void)state;
    uint64_t seed = 11;
    for (int round = 0; round < ROUNDS; round++) {
        struct fixture f;
        fill(&f.base, f.in_base, 1, &seed);
        fill(&f.staged, f.in_staged, 2, &seed);
        int low = (int)test_below(&seed, KEYS);
        int high = low + 1 + (int)test_below(&seed, (uint64_t)(KEYS - low));
        for (int way = 0; way < 4; way++) {
            expect_scan(&f, low, high, way % 2 == 1, way >= 2);
        }
        done(&f);
    }
}

static void an_empty_set_has_nothing_to_scan(void **state)
{
    (void)state;
    struct row_set empty;
    struct scan_cursor c;
    struct scan_item item;
    const struct scan_range range = {.kind = ROW_KV, .rows_max = 1, .bytes_max = 1};
    const struct scan_range back = {.kind = ROW_KV, .reverse = true, .rows_max = 1, .bytes_max = 1};
    row_set_init(&empty);
    scan_begin(&c, &range, &empty, false, &empty);
    assert_false(scan_next(&c, &item));
    assert_false(c.ended_early);
    scan_begin(&c, &back, &empty, false, &empty);
    assert_false(scan_next(&c, &item));
}

TEST_MAIN(cmocka_unit_test(a_scan_merges_what_is_stored_and_what_is_staged),
          cmocka_unit_test(an_empty_set_has_nothing_to_scan))
