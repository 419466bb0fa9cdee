#include "actor/row_set.h"

#include <stdlib.h>

#include "base/mem.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

/* The model: an array of all possible rows. Keys are "", "a" .. and pairs of these letters. */
enum { KINDS = 3, NAMES = 1 + 4 + 16, ROUNDS = 3000 };

struct modelled {
    bool known;
    int value; /* 0: absent */
    uint64_t version;
};

static struct slice name_of(int i, char text[3])
{
    int len = 0;
    if (i > 4) {
        text[len++] = (char)('a' + (i - 5) / 4);
        text[len++] = (char)('a' + (i - 5) % 4);
    } else if (i > 0) {
        text[len++] = (char)('a' + i - 1);
    }
    text[len] = '\0';
    return slice_of(text, (size_t)len);
}

static struct bytes *value_of(int value)
{
    return value == 0 ? NULL : bytes_new(slice_of(&value, sizeof value));
}

struct fixture {
    struct row_set set;
    struct modelled model[KINDS][NAMES];
    uint64_t seed;
};

static void set_row(struct fixture *f, int kind, int name, int value, uint64_t version)
{
    char text[3];
    struct bytes *bytes = value_of(value);
    const struct row *row =
        row_set_set(&f->set, (uint8_t)kind, name_of(name, text), bytes, version);
    assert_ptr_equal(row->value, bytes);
    bytes_unref(bytes);
    f->model[kind][name] = (struct modelled){true, value, version};
}

static void forget_up_to(struct fixture *f, uint64_t version)
{
    row_set_forget(&f->set, version);
    for (int i = 0; i < KINDS * NAMES; i++) {
        struct modelled *m = &f->model[i / NAMES][i % NAMES];
        m->known = m->known && m->version > version;
    }
}

static void expect_row(const struct row *row, int kind, int name, const struct modelled *m)
{
    char text[3];
    assert_non_null(row);
    assert_int_equal(row->kind, kind);
    expect_slice(row_name(row), name_of(name, text));
    assert_true(row->version == m->version);
    int value = 0;
    if (row->value != NULL) {
        memcpy(&value, row->value->data, sizeof value);
    }
    assert_int_equal(value, m->value);
}

struct place {
    int kind;
    int name;
};

static int by_order(const void *left, const void *right)
{
    const struct place *a = left;
    const struct place *b = right;
    char text[2][3];
    return a->kind != b->kind ? a->kind - b->kind
                              : slice_compare(name_of(a->name, text[0]), name_of(b->name, text[1]));
}

/* All that is known, in order. */
static size_t sorted_places(const struct fixture *f, struct place places[KINDS * NAMES])
{
    size_t count = 0;
    for (int i = 0; i < KINDS * NAMES; i++) {
        if (f->model[i / NAMES][i % NAMES].known) {
            places[count++] = (struct place){i / NAMES, i % NAMES};
        }
    }
    qsort(places, count, sizeof *places, by_order);
    return count;
}

static void expect_model(struct fixture *f)
{
    struct place places[KINDS * NAMES];
    size_t count = sorted_places(f, places);
    size_t bytes = 0;
    struct row *row = row_set_first(&f->set);
    for (size_t i = 0; i < count; i++, row = row_set_next(row)) {
        expect_row(row, places[i].kind, places[i].name, &f->model[places[i].kind][places[i].name]);
        bytes += sizeof *row + row->key_len + (row->value != NULL ? row->value->len : 0);
    }
    assert_null(row);
    assert_int_equal(f->set.count, count);
    assert_int_equal(f->set.bytes, bytes);
    row = row_set_last(&f->set);
    for (size_t i = count; i > 0; i--, row = row_set_prev(row)) {
        assert_int_equal(row->kind, places[i - 1].kind);
    }
    assert_null(row);
}

static void expect_lookups(struct fixture *f)
{
    struct place places[KINDS * NAMES];
    size_t count = sorted_places(f, places);
    for (int i = 0; i < KINDS * NAMES; i++) {
        const struct place at = {i / NAMES, i % NAMES};
        char text[3];
        struct slice name = name_of(at.name, text);
        const struct row *row = row_set_find(&f->set, (uint8_t)at.kind, name);
        assert_int_equal(row != NULL, f->model[at.kind][at.name].known);
        size_t next = 0;
        while (next < count && by_order(&places[next], &at) < 0) {
            next++;
        }
        row = row_set_at_or_after(&f->set, (uint8_t)at.kind, name);
        assert_int_equal(row != NULL, next < count);
        if (row != NULL) {
            expect_row(row, places[next].kind, places[next].name,
                       &f->model[places[next].kind][places[next].name]);
        }
    }
}

static void a_row_set_agrees_with_its_model(void **state)
{
    (void)state;
    struct fixture *f = MEM_NEW(struct fixture);
    row_set_init(&f->set);
    f->seed = 3;
    for (int round = 1; round <= ROUNDS; round++) {
        set_row(f, (int)test_below(&f->seed, KINDS), (int)test_below(&f->seed, NAMES),
                (int)test_below(&f->seed, 4), (uint64_t)round);
        if (test_below(&f->seed, 50) == 0) {
            forget_up_to(f, (uint64_t)round - test_below(&f->seed, 40));
        }
        if (test_below(&f->seed, 3) == 0) { /* between two looks several come */
            expect_model(f);
        }
        if (round % 20 == 0) {
            expect_lookups(f);
        }
    }
    row_set_done(&f->set);
    assert_null(row_set_first(&f->set));
    assert_int_equal(f->set.bytes, 0);
    mem_free(f);
}

static void a_row_keeps_the_place_of_its_first_setting(void **state)
{
    (void)state;
    struct row_set set;
    row_set_init(&set);
    (void)row_set_set(&set, 1, SLICE("b"), NULL, 1);
    (void)row_set_set(&set, 1, SLICE("a"), NULL, 1);
    (void)row_set_set(&set, 1, SLICE("b"), NULL, 2);
    assert_non_null(row_set_first(&set));
    const char *const want[] = {"b", "a"};
    size_t count = 0;
    ROW_SET_FOREACH (row, &set) {
        expect_str(row_name(row), want[count++]);
    }
    assert_int_equal(count, 2);
    row_set_done(&set);
}

static void expect_numbers_in_order(struct row_set *set, int count)
{
    char last[16] = "";
    int seen = 0;
    for (struct row *row = row_set_first(set); row != NULL; row = row_set_next(row)) {
        assert_true(slice_compare(slice_of_str(last), row_name(row)) < 0);
        (void)snprintf(last, sizeof last, "%.*s", (int)row->key_len, (const char *)row->key);
        seen++;
    }
    assert_int_equal(seen, count);
}

/* Far more than may be loose, and never asked for in order until the end. */
static void a_large_set_finds_each_and_knows_their_order(void **state)
{
    (void)state;
    enum { ROWS = 20 * ROW_SET_LOOSE_MAX };
    struct row_set set;
    char name[16];
    row_set_init(&set);
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        (void)row_set_set(&set, 1, slice_of_str(name), NULL, (uint64_t)i);
        assert_true(set.loose_count <= ROW_SET_LOOSE_MAX);
    }
    for (int i = 0; i < ROWS; i++) {
        (void)snprintf(name, sizeof name, "%d", i);
        const struct row *row = row_set_find(&set, 1, slice_of_str(name));
        assert_non_null(row);
        assert_int_equal(row->version, i);
        assert_null(row_set_find(&set, 2, slice_of_str(name)));
    }
    expect_numbers_in_order(&set, ROWS);
    row_set_forget(&set, ROWS / 2);
    expect_numbers_in_order(&set, ROWS - ROWS / 2 - 1);
    row_set_done(&set);
}

TEST_MAIN(cmocka_unit_test(a_row_set_agrees_with_its_model),
          cmocka_unit_test(a_row_keeps_the_place_of_its_first_setting),
          cmocka_unit_test(a_large_set_finds_each_and_knows_their_order))
