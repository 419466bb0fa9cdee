#include <string.h>

#include "base/buf.h"
#include "rpc/uri.h"
#include "tests/lib/test.h"

static void a_target_splits_at_its_first_question_mark(void **state)
{
    (void)state;
    static const struct {
        const char *target;
        const char *path;
        const char *query;
    } cases[] = {
        {"/", "/", ""},
        {"/a/b", "/a/b", ""},
        {"/a?", "/a", ""},
        {"/a?b=c", "/a", "b=c"},
        {"/a?b?c/d", "/a", "b?c/d"},
        {"/?", "/", ""},
        {"/a%3Fb?c", "/a%3Fb", "c"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct slice path;
        struct slice query;
        expect_err(uri_split(slice_of_str(cases[i].target), &path, &query), ERR_OK);
        expect_str(path, cases[i].path);
        expect_str(query, cases[i].query);
    }
}

static void other_targets_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",     "*",      "a",   "http://h/a", "?a",           "/a b",
                                      "/a#b", "/a?b#c", "/\t", "/\x7f",      "/a\r\nHost: x"};
    struct slice path;
    struct slice query;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_err(uri_split(slice_of_str(bad[i]), &path, &query), ERR_BAD_REQUEST);
    }
    expect_err(uri_split(SLICE("/\0"), &path, &query), ERR_BAD_REQUEST);
}

static void a_path_is_taken_segment_by_segment(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *segments; /* each closed by '|' */
    } cases[] = {
        {"/", "|"},         {"/a", "a|"},       {"/a/", "a||"},
        {"//", "||"},       {"/a//b", "a||b|"}, {"/a%2Fb/c", "a%2Fb|c|"},
        {"/./..", ".|..|"}, {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf got = {0};
        struct slice rest = slice_of_str(cases[i].path);
        for (struct slice segment; path_next(&rest, &segment);) {
            buf_append_slice(&got, segment);
            buf_append_byte(&got, '|');
        }
        expect_str(buf_slice(&got), cases[i].segments);
        buf_done(&got);
    }
}

static void escapes_are_decoded_strictly(void **state)
{
    (void)state;
    static const struct {
        const char *raw;
        const char *bytes; /* NULL: refused */
    } cases[] = {
        {"", ""},       {"a+b", "a+b"},         {"%41%7a", "Az"}, {"a%2Fb", "a/b"}, {"%2f", "/"},
        {"%25", "%"},   {"%c3%A4", "\xc3\xa4"}, {"%FF", "\xff"},  {"\xc3", "\xc3"}, {"%", NULL},
        {"%4", NULL},   {"a%", NULL},           {"%4g", NULL},    {"%g4", NULL},    {"%%41", NULL},
        {"% 41", NULL}, {"%+1", NULL},          {"%u0041", NULL}, {"%2 ", NULL},    {"%0x", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf out = {0};
        buf_append_str(&out, "=");
        enum err want = cases[i].bytes != NULL ? ERR_OK : ERR_BAD_REQUEST;
        expect_err(percent_decode(slice_of_str(cases[i].raw), &out), want);
        expect_str(slice_skip(buf_slice(&out), 1), want == ERR_OK ? cases[i].bytes : "");
        buf_done(&out);
    }
}

static void every_byte_survives_encoding(void **state)
{
    (void)state;
    uint8_t all[256];
    for (unsigned i = 0; i < sizeof all; i++) {
        all[i] = (uint8_t)i;
    }
    struct buf encoded = {0};
    struct buf decoded = {0};
    percent_encode(slice_of(all, sizeof all), &encoded);
    for (size_t i = 0; i < encoded.len; i++) {
        assert_true(encoded.data[i] > ' ' && encoded.data[i] < 0x7f);
        assert_null(strchr("/?#&=+", encoded.data[i]));
    }
    expect_err(percent_decode(buf_slice(&encoded), &decoded), ERR_OK);
    expect_slice(buf_slice(&decoded), slice_of(all, sizeof all));
    buf_done(&decoded);
    buf_done(&encoded);
}

static void a_query_gives_decoded_names_and_values(void **state)
{
    (void)state;
    struct query q;
    struct slice v;
    expect_err(query_init(&q, SLICE("prefix=x+y%2B&&%61=b=c&flag&empty=&=nameless")), ERR_OK);
    assert_int_equal(q.count, 5);
    assert_true(query_find(&q, "prefix", &v));
    expect_str(v, "x y+");
    assert_true(query_find(&q, "a", &v));
    expect_str(v, "b=c");
    assert_true(query_find(&q, "flag", &v));
    expect_str(v, "");
    assert_true(query_find(&q, "empty", &v));
    expect_str(v, "");
    assert_true(query_find(&q, "", &v));
    expect_str(v, "nameless");
    assert_false(query_find(&q, "other", &v));
    query_done(&q);
}

static void a_query_that_two_readers_might_read_differently_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"a=%", "%zz=1", "a=1&a=2", "a=1&%61=2", "a&a", "a=1&b=%4"};
    struct query q;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_err(query_init(&q, slice_of_str(bad[i])), ERR_BAD_REQUEST);
    }
}

static void a_query_has_at_most_32_parameters(void **state)
{
    (void)state;
    struct buf text = {0};
    struct query q;
    for (unsigned i = 0; i < QUERY_PARAMETERS_MAX; i++) {
        buf_printf(&text, "p%u=%u&", i, i);
    }
    expect_err(query_init(&q, buf_slice(&text)), ERR_OK);
    uint64_t last = 0;
    expect_err(query_uint(&q, "p31", 0, 31, &last), ERR_OK);
    assert_int_equal(last, 31);
    query_done(&q);
    buf_append_str(&text, "more");
    expect_err(query_init(&q, buf_slice(&text)), ERR_BAD_REQUEST);
    buf_done(&text);
}

static void numbers_are_digits_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "-1",
                                      "+1",
                                      " 1",
                                      "1 ",
                                      "0x1",
                                      "1.0",
                                      "1e3",
                                      "a",
                                      "18446744073709551616",
                                      "99999999999999999999",
                                      "000000000000000000001"};
    uint64_t v = 7;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(parse_uint(slice_of_str(bad[i]), &v));
        assert_int_equal(v, 7);
    }
    assert_true(parse_uint(SLICE("18446744073709551615"), &v));
    assert_true(v == UINT64_MAX);
    assert_true(parse_uint(SLICE("007"), &v));
    assert_int_equal(v, 7);
}

static void a_number_parameter_keeps_within_its_range(void **state)
{
    (void)state;
    static const struct {
        const char *query;
        enum err want;
        uint64_t value;
    } cases[] = {
        {"limit=1", ERR_OK, 1},
        {"limit=1000", ERR_OK, 1000},
        {"", ERR_OK, 100},
        {"limit=0", ERR_BAD_REQUEST, 100},
        {"limit=1001", ERR_BAD_REQUEST, 100},
        {"limit=", ERR_BAD_REQUEST, 100},
        {"limit", ERR_BAD_REQUEST, 100},
        {"limit=ten", ERR_BAD_REQUEST, 100},
        {"limit=%31", ERR_OK, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct query q;
        uint64_t limit = 100;
        expect_err(query_init(&q, slice_of_str(cases[i].query)), ERR_OK);
        expect_err(query_uint(&q, "limit", 1, 1000, &limit), cases[i].want);
        assert_int_equal(limit, cases[i].value);
        query_done(&q);
    }
}

static void a_boolean_parameter_is_true_or_false(void **state)
{
    (void)state;
    struct query q;
    bool v = false;
    expect_err(query_init(&q, SLICE("a=true&b=false&c=1&d=&e=TRUE")), ERR_OK);
    expect_err(query_bool(&q, "a", &v), ERR_OK);
    assert_true(v);
    expect_err(query_bool(&q, "none", &v), ERR_OK);
    assert_true(v);
    expect_err(query_bool(&q, "b", &v), ERR_OK);
    assert_false(v);
    expect_err(query_bool(&q, "c", &v), ERR_BAD_REQUEST);
    expect_err(query_bool(&q, "d", &v), ERR_BAD_REQUEST);
    expect_err(query_bool(&q, "e", &v), ERR_BAD_REQUEST);
    query_done(&q);
}

TEST_MAIN(cmocka_unit_test(a_target_splits_at_its_first_question_mark),
          cmocka_unit_test(other_targets_are_refused),
          cmocka_unit_test(a_path_is_taken_segment_by_segment),
          cmocka_unit_test(escapes_are_decoded_strictly),
          cmocka_unit_test(every_byte_survives_encoding),
          cmocka_unit_test(a_query_gives_decoded_names_and_values),
          cmocka_unit_test(a_query_that_two_readers_might_read_differently_is_refused),
          cmocka_unit_test(a_query_has_at_most_32_parameters),
          cmocka_unit_test(numbers_are_digits_alone),
          cmocka_unit_test(a_number_parameter_keeps_within_its_range),
          cmocka_unit_test(a_boolean_parameter_is_true_or_false))
