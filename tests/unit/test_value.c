#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

/* A document from JSON, in a buf to be released. */
static struct buf from_json(const char *json)
{
    struct buf doc = {0};
    struct json_detail detail;
    expect_err(json_to_value(slice_of_str(json), VALUE_DEPTH_MAX, &doc, &detail), ERR_OK);
    return doc;
}

static enum err check(struct slice doc)
{
    const char *reason = NULL;
    enum err err = value_check(doc, VALUE_DEPTH_MAX, &reason);
    assert_true((err == ERR_OK) == (reason == NULL));
    return err;
}

static void every_kind_of_value_passes_the_check(void **state)
{
    (void)state;
    static const struct slice good[] = {
        SLICE("\xc0"),
        SLICE("\xc2"),
        SLICE("\xc3"),
        SLICE("\x00"),
        SLICE("\x7f"),
        SLICE("\xe0"),
        SLICE("\xff"),
        SLICE("\xcc\x00"),
        SLICE("\xcd\x00\x01"),
        SLICE("\xce\x00\x00\x00\x01"),
        SLICE("\xcf\xff\xff\xff\xff\xff\xff\xff\xff"),
        SLICE("\xd0\x80"),
        SLICE("\xd1\x80\x00"),
        SLICE("\xd2\x80\x00\x00\x00"),
        SLICE("\xd3\x80\x00\x00\x00\x00\x00\x00\x00"),
        SLICE("\xca\x3f\x80\x00\x00"),
        SLICE("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00"),
        SLICE("\xa0"),
        SLICE("\xa1"
              "a"),
        SLICE("\xd9\x01"
              "a"),
        SLICE("\xda\x00\x01"
              "a"),
        SLICE("\xdb\x00\x00\x00\x01"
              "a"),
        SLICE("\xa1\x00"),
        SLICE("\xc4\x00"),
        SLICE("\xc4\x01\xff"),
        SLICE("\xc5\x00\x01\xff"),
        SLICE("\xc6\x00\x00\x00\x01\xff"),
        SLICE("\x90"),
        SLICE("\x91\xc0"),
        SLICE("\xdc\x00\x01\xc0"),
        SLICE("\xdd\x00\x00\x00\x01\xc0"),
        SLICE("\x80"),
        SLICE("\x81\xa1"
              "a\x01"),
        SLICE("\xde\x00\x01\xa1"
              "a\x01"),
        SLICE("\xdf\x00\x00\x00\x01\xa1"
              "a\x01"),
        SLICE("\xd6\xff\xff\xff\xff\xff"),
        SLICE("\xd7\xff\x00\x00\x00\x00\x00\x00\x00\x01"),
        SLICE("\xc7\x0c\xff\x00\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"),
        SLICE("\xd4\x01\xc0"),
        SLICE("\xd4\x02\x90"),
        SLICE("\xc7\x01\x02\x90"),
        SLICE("\xd5\x03\x91\xc0"),
        SLICE("\xd5\x04\xa1"
              "0"),
        SLICE("\xd4\x05\xc3"),
        SLICE("\xd4\x06\x80"),
        SLICE("\xc9\x00\x00\x00\x01\x06\x80"),
    };
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        expect_err(check(good[i]), ERR_OK);
    }
}

static void every_document_cut_short_is_refused(void **state)
{
    (void)state;
    struct buf doc = from_json("{\"a\":[1,-1,300,70000,5000000000,-5000000000,1.5,null,true],"
                               "\"b\":{\"$bytes\":\"AAEC\"},\"c\":\"0123456789012345678901234567890"
                               "12345\",\"d\":{\"$map\":[[1,2]]},\"e\":{\"$date\":1700000000123},"
                               "\"f\":{\"$set\":[1]},\"g\":{\"$error\":{\"name\":\"x\"}},"
                               "\"h\":{\"$bigint\":\"12\"},\"i\":{\"$undefined\":true},"
                               "\"j\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}");
    expect_err(check(buf_slice(&doc)), ERR_OK);
    for (size_t len = 0; len < doc.len; len++) {
        /* Exactly as long as it says, so that valgrind and ASan see any byte read behind it. */
        struct buf cut = {0};
        buf_append(&cut, doc.data, len);
        expect_err(check(buf_slice(&cut)), ERR_INVALID_VALUE);
        buf_done(&cut);
    }
    buf_append_byte(&doc, 0xc0);
    expect_err(check(buf_slice(&doc)), ERR_INVALID_VALUE);
    buf_done(&doc);
}

static void hostile_and_malformed_documents_are_refused(void **state)
{
    (void)state;
    static const struct slice bad[] = {
        {.data = NULL, .len = 0},
        SLICE("\xc1"),
        SLICE("\xdd\x7f\xff\xff\xff"), /* 2 Gi items in 5 bytes */
        SLICE("\xdd\xff\xff\xff\xff"),
        SLICE("\xdf\x7f\xff\xff\xff"),
        SLICE("\xdf\x80\x00\x00\x00"),
        SLICE("\xdb\x7f\xff\xff\xff"),
        SLICE("\xc6\x7f\xff\xff\xff"),
        SLICE("\xc9\x7f\xff\xff\xff\x02"),
        SLICE("\xc9\xff\xff\xff\xff\xff"),
        SLICE("\x91\xdd\x00\x00\x00\x02\xc0"),
        SLICE("\xa1\xff"),
        SLICE("\xa2\xc0\xaf"),
        SLICE("\xa3\xed\xa0\x80"),
        SLICE("\x81\xa1\xff\x01"),
        SLICE("\x81\x01\x01"), /* keys that are no strings */
        SLICE("\x81\xc4\x01"
              "a\x01"),
        SLICE("\x81\xc0\x01"),
        SLICE("\x81\x90\x01"),
        SLICE("\x82\xa1"
              "a\x01\xa1"
              "a\x02"),
        SLICE("\x82\xa1"
              "a\x01\xd9\x01"
              "a\x02"),
        SLICE("\xc0\xc0"),
        SLICE("\xd4\x00\xc0"), /* ext types without a meaning */
        SLICE("\xd4\x08\xc0"),
        SLICE("\xd4\x7f\xc0"),
        SLICE("\xd4\xfe\xc0"),
        SLICE("\xd4\xff\xc0"), /* a timestamp of one byte, and of none */
        SLICE("\xc7\x00\xff"),
        SLICE("\xd7\xff\xff\xff\xff\xff\xff\xff\xff\xff"), /* over 999999999 ns */
        SLICE("\xc7\x0c\xff\x00\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff"),
        SLICE("\xc7\x0c\xff\x00\x00\x00\x00\x80\x00\x00\x00\x00\x00\x00\x00"),
        SLICE("\xc7\x0c\xff\x00\x00\x00\x01\x00\x00\x07\xdb\xa8\x21\x80\x00"),
        SLICE("\xd4\x01\xc3"),
        SLICE("\xc7\x00\x01"),
        SLICE("\xd5\x01\xc0\xc0"),
        SLICE("\xd4\x02\x80"),
        SLICE("\xd5\x02\x91\xc0"),
        SLICE("\xc7\x03\x02\x91\x91\xc0"),
        SLICE("\xd5\x02\x90\xc0"), /* bytes behind the payload's document */
        SLICE("\xd4\x03\x80"),
        SLICE("\xd4\x03\x91"), /* an item outside of the payload */
        SLICE("\xd5\x03\x90\x90"),
        SLICE("\xd4\x04\x01"),
        SLICE("\xd4\x04\xa0"),
        SLICE("\xc7\x03\x04\xa1"
              "1\xc0"),
        SLICE("\xd4\x05\xc2"),
        SLICE("\xd4\x06\x90"),
        SLICE("\xd5\x06\x80\xc0"),
        SLICE("\xc7\x07\x06\x81\xa4name\x01"),
        SLICE("\xd4\x07\xc0"), /* what only JavaScript has: its kind, and scalars */
        SLICE("\xd4\x07\x90"),
        SLICE("\xd5\x07\x91\x01"),
        SLICE("\xd5\x07\x91\xa1"),
        SLICE("\xd6\x07\x91\xa1r\x01"),
        SLICE("\xd6\x07\x92\xa1r\x90"),
        SLICE("\xd6\x07\x92\xa1r\x80"),
        SLICE("\xc7\x06\x07\x92\xa1r\xd4\x03\x90"),
        SLICE("\xc7\x08\x07\x92\xa1r\xd5\x07\x91\xa0"),
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_err(check(bad[i]), ERR_INVALID_VALUE);
    }
}

static void a_value_nests_at_most_32_deep(void **state)
{
    (void)state;
    struct buf arrays = {0};
    for (int i = 0; i < 32; i++) {
        buf_append_byte(&arrays, 0x91);
    }
    buf_append_byte(&arrays, 0xc0);
    expect_err(check(buf_slice(&arrays)), ERR_OK);
    arrays.data[32] = 0x90;
    expect_err(check(buf_slice(&arrays)), ERR_INVALID_VALUE);
    const char *reason;
    expect_err(value_check(buf_slice(&arrays), 33, &reason), ERR_OK);
    buf_done(&arrays);

    struct buf bomb = {0};
    memset(buf_extend(&bomb, 1000000), 0x91, 1000000);
    expect_err(check(buf_slice(&bomb)), ERR_INVALID_VALUE);
    buf_done(&bomb);
}

static void a_key_that_is_twice_among_many_is_found(void **state)
{
    (void)state;
    static const uint32_t counts[] = {2, 12, 13, 1000, 65536};
    for (size_t i = 0; i < sizeof counts / sizeof counts[0]; i++) {
        struct buf doc = {0};
        char key[16];
        value_put_map(&doc, counts[i]);
        for (uint32_t n = 0; n < counts[i]; n++) {
            (void)snprintf(key, sizeof key, "%u", n);
            value_put_text(&doc, key);
            value_put_map(&doc, 1); /* the same keys in other maps are no matter */
            value_put_text(&doc, "0");
            value_put_uint(&doc, n);
        }
        expect_err(check(buf_slice(&doc)), ERR_OK);
        struct buf twin = {0};
        value_put_map(&twin, counts[i] + 1);
        size_t head = counts[i] < 16 ? 1 : counts[i] < 65536 ? 3 : 5;
        buf_append_slice(&twin, slice_skip(buf_slice(&doc), head));
        value_put_text(&twin, "1");
        value_put_nil(&twin);
        expect_err(check(buf_slice(&twin)), ERR_INVALID_VALUE);
        buf_done(&twin);
        buf_done(&doc);
    }
}

static void numbers_are_read_as_what_they_fit(void **state)
{
    (void)state;
    int64_t i = 5;
    uint64_t u = 5;
    double d = 5;
    struct buf doc = from_json("-9223372036854775808");
    assert_true(value_get_int(buf_slice(&doc), &i));
    assert_true(i == INT64_MIN);
    assert_false(value_get_uint(buf_slice(&doc), &u));
    assert_false(value_get_double(buf_slice(&doc), &d));
    buf_done(&doc);
    doc = from_json("18446744073709551615");
    i = 5;
    assert_false(value_get_int(buf_slice(&doc), &i));
    assert_int_equal(i, 5);
    assert_true(value_get_uint(buf_slice(&doc), &u));
    assert_true(u == UINT64_MAX);
    buf_done(&doc);
    assert_true(value_get_int(SLICE("\xd3\x00\x00\x00\x00\x00\x00\x00\x07"), &i));
    assert_int_equal(i, 7);
    assert_true(value_get_int(SLICE("\xff"), &i));
    assert_int_equal(i, -1);
    assert_true(value_get_double(SLICE("\xca\x3f\x00\x00\x00"), &d));
    assert_true(d == 0.5);
    assert_false(value_get_int(SLICE("\xca\x3f\x00\x00\x00"), &i));
}

static void members_and_items_are_found_in_order(void **state)
{
    (void)state;
    struct buf doc = from_json("{\"if\":[1,[2,3],\"x\"],\"do\":{\"$bytes\":\"AAE=\"},\"b\":true}");
    struct slice items;
    struct slice item;
    struct slice text = {0};
    bool b = false;
    assert_int_equal(value_type(buf_slice(&doc)), VALUE_MAP);
    assert_int_equal(value_count(buf_slice(&doc)), 3);
    assert_true(value_member(buf_slice(&doc), "if", &items));
    assert_int_equal(value_count(items), 3);
    struct value_iter it = value_items(items);
    int64_t one = 0;
    assert_true(value_next(&it, &item) && value_get_int(item, &one) && one == 1);
    assert_true(value_next(&it, &item) && value_count(item) == 2);
    assert_true(value_next(&it, &item) && value_get_str(item, &text));
    expect_str(text, "x");
    assert_false(value_next(&it, &item));
    assert_true(value_member(buf_slice(&doc), "do", &item) && value_get_bin(item, &text));
    expect_slice(text, SLICE("\0\1"));
    assert_false(value_get_str(item, &text));
    assert_true(value_member(buf_slice(&doc), "b", &item) && value_get_bool(item, &b) && b);
    assert_false(value_member(buf_slice(&doc), "other", &item));
    assert_false(value_member(items, "if", &item));
    buf_done(&doc);
}

static void values_are_equal_by_what_they_mean(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        bool are_equal;
    } cases[] = {
        {"null", "null", true},
        {"null", "false", false},
        {"true", "true", true},
        {"true", "false", false},
        {"1", "true", false},
        {"1", "1.0", true},
        {"1", "1.5", false},
        {"-1", "-1.0", true},
        {"0", "-0.0", true},
        {"-1", "18446744073709551615", false},
        {"9007199254740993", "9007199254740992.0", false},
        {"9223372036854775807", "9223372036854775808.0", false},
        {"9223372036854775808", "9223372036854775808.0", true},
        {"-9223372036854775808", "-9223372036854775808.0", true},
        {"18446744073709551615", "18446744073709551616.0", false},
        {"1", "1e300", false},
        {"-1", "-1e300", false},
        {"1", "\"1\"", false},
        {"\"a\"", "\"a\"", true},
        {"\"a\"", "\"b\"", false},
        {"\"\"", "{\"$bytes\":\"\"}", false},
        {"{\"$bytes\":\"AA==\"}", "{\"$bytes\":\"AA==\"}", true},
        {"[1,2]", "[1,2]", true},
        {"[1,2]", "[2,1]", false},
        {"[1,2]", "[1,2,3]", false},
        {"[]", "{}", false},
        {"{\"a\":1,\"b\":2}", "{\"b\":2.0,\"a\":1}", true},
        {"{\"a\":1,\"b\":2}", "{\"b\":1,\"a\":2}", false},
        {"{\"a\":1}", "{\"a\":1,\"b\":1}", false},
        {"{\"a\":1,\"b\":{\"c\":1,\"d\":2},\"e\":3}", "{\"e\":3,\"b\":{\"d\":2,\"c\":1},\"a\":1}",
         true},
        {"{\"$date\":1}", "{\"$date\":1}", true},
        {"{\"$date\":1}", "{\"$date\":2}", false},
        {"{\"$date\":1}", "1", false},
        {"{\"$date\":null}", "{\"$date\":null}", true},
        {"{\"$date\":null}", "{\"$date\":0}", false},
        {"{\"$set\":[1,2]}", "{\"$set\":[1,2]}", true},
        {"{\"$set\":[1,2]}", "{\"$set\":[2,1]}", false},
        {"{\"$map\":[[1,{\"a\":1,\"b\":2}]]}", "{\"$map\":[[1.0,{\"b\":2,\"a\":1}]]}", true},
        {"{\"$bigint\":\"1\"}", "{\"$bigint\":\"1\"}", true},
        {"{\"$bigint\":\"1\"}", "{\"$bigint\":\"2\"}", false},
        {"{\"$bigint\":\"1\"}", "1", false},
        {"{\"$undefined\":true}", "{\"$undefined\":true}", true},
        {"{\"$undefined\":true}", "null", false},
        {"{\"$error\":{\"name\":\"a\",\"message\":\"b\"}}",
         "{\"$error\":{\"message\":\"b\",\"name\":\"a\"}}", true},
        {"{\"$js\":[\"regexp\",\"a\",\"g\"]}", "{\"$js\":[\"regexp\",\"a\",\"g\"]}", true},
        {"{\"$js\":[\"regexp\",\"a\",\"g\"]}", "{\"$js\":[\"regexp\",\"a\",\"\"]}", false},
        {"{\"$js\":[\"hole\"]}", "[\"hole\"]", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf a = from_json(cases[i].a);
        struct buf b = from_json(cases[i].b);
        if (value_equal(buf_slice(&a), buf_slice(&b)) != cases[i].are_equal) {
            print_message("%s and %s\n", cases[i].a, cases[i].b);
            fail();
        }
        assert_true(value_equal(buf_slice(&b), buf_slice(&a)) == cases[i].are_equal);
        buf_done(&a);
        buf_done(&b);
    }
}

static void encodings_of_the_same_value_are_equal(void **state)
{
    (void)state;
    static const struct slice ones[] = {
        SLICE("\x01"),
        SLICE("\xcc\x01"),
        SLICE("\xcf\x00\x00\x00\x00\x00\x00\x00\x01"),
        SLICE("\xd0\x01"),
        SLICE("\xd3\x00\x00\x00\x00\x00\x00\x00\x01"),
        SLICE("\xca\x3f\x80\x00\x00"),
        SLICE("\xcb\x3f\xf0\x00\x00\x00\x00\x00\x00"),
    };
    for (size_t i = 0; i < sizeof ones / sizeof ones[0]; i++) {
        assert_true(value_equal(ones[0], ones[i]));
    }
    assert_true(value_equal(SLICE("\xa1"
                                  "a"),
                            SLICE("\xdb\x00\x00\x00\x01"
                                  "a")));
    assert_true(value_equal(SLICE("\x91\xc0"), SLICE("\xdd\x00\x00\x00\x01\xc0")));
    assert_true(value_equal(SLICE("\xd6\xff\x00\x00\x00\x01"),
                            SLICE("\xd7\xff\x00\x00\x00\x00\x00\x00\x00\x01")));
    struct slice nan = SLICE("\xcb\x7f\xf8\x00\x00\x00\x00\x00\x00");
    assert_false(value_equal(nan, nan));
}

static void large_maps_in_another_order_are_compared_in_linear_time(void **state)
{
    (void)state;
    enum { KEYS = 200000 }; /* each with each would be 2e10 comparisons */
    struct buf up = {0};
    struct buf down = {0};
    char key[16];
    value_put_map(&up, KEYS);
    value_put_map(&down, KEYS);
    for (unsigned i = 0; i < KEYS; i++) {
        (void)snprintf(key, sizeof key, "%u", i);
        value_put_text(&up, key);
        value_put_uint(&up, i);
        (void)snprintf(key, sizeof key, "%u", KEYS - 1 - i);
        value_put_text(&down, key);
        value_put_uint(&down, KEYS - 1 - i);
    }
    expect_err(check(buf_slice(&up)), ERR_OK);
    assert_true(value_equal(buf_slice(&up), buf_slice(&down)));
    down.data[down.len - 1] = 1;
    assert_false(value_equal(buf_slice(&up), buf_slice(&down)));
    buf_done(&up);
    buf_done(&down);
}

static void addition_keeps_to_its_range(void **state)
{
    (void)state;
    static const struct {
        const char *a;
        const char *b;
        const char *sum; /* NULL: refused */
    } cases[] = {
        {"1", "2", "3"},
        {"0", "-5", "-5"},
        {"9223372036854775806", "1", "9223372036854775807"},
        {"9223372036854775807", "1", NULL},
        {"-9223372036854775808", "-1", NULL},
        {"-9223372036854775808", "9223372036854775807", "-1"},
        {"9223372036854775808", "-1", NULL},
        {"1", "18446744073709551615", NULL},
        {"1.0", "18446744073709551615", NULL},
        {"1", "0.5", "1.5"},
        {"0.5", "0.5", "1.0"},
        {"1e308", "1e308", NULL},
        {"\"1\"", "1", NULL},
        {"1", "null", NULL},
        {"0.5", "true", NULL},
        {"[]", "1", NULL},
        {"{\"$bigint\":\"1\"}", "1", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf a = from_json(cases[i].a);
        struct buf b = from_json(cases[i].b);
        struct buf sum = {0};
        enum err want = cases[i].sum == NULL ? ERR_INVALID_VALUE : ERR_OK;
        expect_err(value_add(buf_slice(&a), buf_slice(&b), &sum), want);
        if (want == ERR_OK) {
            struct buf shown = {0};
            value_to_json(buf_slice(&sum), &shown);
            expect_str(buf_slice(&shown), cases[i].sum);
            buf_done(&shown);
        } else {
            assert_int_equal(sum.len, 0);
        }
        buf_done(&sum);
        buf_done(&a);
        buf_done(&b);
    }
}

static void dates_survive_in_each_width(void **state)
{
    (void)state;
    static const int64_t times_ms[] = {0,
                                       1000,
                                       1,
                                       -1,
                                       -1000,
                                       4294967295000,
                                       4294967296000,
                                       17179869183999,
                                       17179869184000,
                                       -62135596800000,
                                       VALUE_DATE_MS_MAX,
                                       -VALUE_DATE_MS_MAX};
    for (size_t i = 0; i < sizeof times_ms / sizeof times_ms[0]; i++) {
        struct buf doc = {0};
        int64_t ms = 7;
        value_put_date_ms(&doc, times_ms[i]);
        expect_err(check(buf_slice(&doc)), ERR_OK);
        assert_int_equal(value_type(buf_slice(&doc)), VALUE_DATE);
        assert_true(value_get_date_ms(buf_slice(&doc), &ms));
        assert_true(ms == times_ms[i]);
        buf_done(&doc);
    }
}

static void writers_use_the_shortest_form(void **state)
{
    (void)state;
    static const struct {
        uint64_t number;
        bool is_negative;
        const char *hex;
    } integers[] = {
        {0, false, "00"},
        {127, false, "7f"},
        {128, false, "cc80"},
        {255, false, "ccff"},
        {256, false, "cd0100"},
        {65536, false, "ce00010000"},
        {UINT64_C(1) << 32, false, "cf0000000100000000"},
        {1, true, "ff"},
        {32, true, "e0"},
        {33, true, "d0df"},
        {129, true, "d1ff7f"},
        {32769, true, "d2ffff7fff"},
        {UINT64_C(1) << 63, true, "d38000000000000000"},
    };
    for (size_t i = 0; i < sizeof integers / sizeof integers[0]; i++) {
        struct buf doc = {0};
        struct buf hex = {0};
        if (integers[i].is_negative) {
            value_put_int(&doc, (int64_t)(0 - integers[i].number));
        } else {
            value_put_uint(&doc, integers[i].number);
        }
        for (size_t n = 0; n < doc.len; n++) {
            buf_printf(&hex, "%02x", doc.data[n]);
        }
        expect_str(buf_slice(&hex), integers[i].hex);
        buf_done(&hex);
        buf_done(&doc);
    }
}

static void heads_grow_with_what_they_declare(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        size_t str, bin, array, map, ext; /* bytes of the head */
    } cases[] = {
        {0, 1, 2, 1, 1, 3},     {1, 1, 2, 1, 1, 2},     {15, 1, 2, 1, 1, 3},  {16, 1, 2, 3, 3, 2},
        {31, 1, 2, 3, 3, 3},    {32, 2, 2, 3, 3, 3},    {255, 2, 2, 3, 3, 3}, {256, 3, 3, 3, 3, 4},
        {65535, 3, 3, 3, 3, 4}, {65536, 5, 5, 5, 5, 6},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct buf b = {0};
        value_put_str_head(&b, cases[i].count);
        assert_int_equal(b.len, cases[i].str);
        buf_clear(&b);
        value_put_bin_head(&b, cases[i].count);
        assert_int_equal(b.len, cases[i].bin);
        buf_clear(&b);
        value_put_array(&b, cases[i].count);
        assert_int_equal(b.len, cases[i].array);
        buf_clear(&b);
        value_put_map(&b, cases[i].count);
        assert_int_equal(b.len, cases[i].map);
        buf_clear(&b);
        value_put_ext_head(&b, VALUE_EXT_SET, cases[i].count);
        assert_int_equal(b.len, cases[i].ext);
        buf_done(&b);
    }
}

static void an_unchecked_document_stops_the_reader(void **state)
{
    (void)state;
    struct value_iter it = {.rest = SLICE("\x01\xdb\x7f\xff\xff\xff"), .left = 2};
    struct slice item;
    expect_invariants_to_fail();
    expect_assert_failure((void)value_type(SLICE("\xc1")));
    assert_true(value_next(&it, &item));
    expect_assert_failure((void)value_next(&it, &item));
}

TEST_MAIN(cmocka_unit_test(every_kind_of_value_passes_the_check),
          cmocka_unit_test(every_document_cut_short_is_refused),
          cmocka_unit_test(hostile_and_malformed_documents_are_refused),
          cmocka_unit_test(a_value_nests_at_most_32_deep),
          cmocka_unit_test(a_key_that_is_twice_among_many_is_found),
          cmocka_unit_test(numbers_are_read_as_what_they_fit),
          cmocka_unit_test(members_and_items_are_found_in_order),
          cmocka_unit_test(values_are_equal_by_what_they_mean),
          cmocka_unit_test(encodings_of_the_same_value_are_equal),
          cmocka_unit_test(large_maps_in_another_order_are_compared_in_linear_time),
          cmocka_unit_test(addition_keeps_to_its_range),
          cmocka_unit_test(dates_survive_in_each_width),
          cmocka_unit_test(writers_use_the_shortest_form),
          cmocka_unit_test(heads_grow_with_what_they_declare),
          cmocka_unit_test(an_unchecked_document_stops_the_reader))
