#include "actor/sandbox_spec.h"

#include <string.h>

#include "actor/sandbox_ask.h"
#include "actor/sandbox_own.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static struct buf json(const char *text)
{
    struct buf doc = {0};
    struct json_detail detail;
    assert_int_equal(json_to_value(slice_of_str(text), VALUE_DEPTH_MAX, &doc, &detail), ERR_OK);
    return doc;
}

static enum err read(const char *text, struct sandbox_spec *ret, struct buf *doc)
{
    struct reply reply;
    reply_init(&reply);
    *doc = json(text);
    enum err err = sandbox_spec_read(buf_slice(doc), ret, &reply);
    assert_int_equal(reply.err, err);
    reply_clear(&reply);
    return err;
}

static void names_are_plain(void **state)
{
    (void)state;
    static const char *const good[] = {"s", "a.b", "A-1_x", "0"};
    static const char *const bad[] = {"", ".", ".a", "a/b", "a b", "\xc3\xa4"};
    char long_name[SANDBOX_NAME_MAX + 2] = {0};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(sandbox_name_is_valid(slice_of_str(good[i])));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(sandbox_name_is_valid(slice_of_str(bad[i])));
    }
    memset(long_name, 'x', SANDBOX_NAME_MAX + 1);
    assert_false(sandbox_name_is_valid(slice_of_str(long_name)));
    assert_false(sandbox_name_is_valid(SLICE("a\0b")));
}

static void what_is_left_out_has_its_default(void **state)
{
    (void)state;
    struct sandbox_spec s;
    struct buf doc;
    assert_int_equal(read("{}", &s, &doc), ERR_OK);
    assert_true(slice_equal_str(s.image, "base"));
    assert_int_equal(s.memory_mb, SANDBOX_MEMORY_MB);
    assert_int_equal(s.cpu_milli, 1000);
    assert_int_equal(s.disk_mb, SANDBOX_DISK_MB);
    assert_int_equal(s.sleep_after_ms, SANDBOX_SLEEP_MS);
    buf_done(&doc);
}

static void parts_of_a_processor_are_thousandths(void **state)
{
    (void)state;
    struct sandbox_spec s;
    struct buf doc;
    assert_int_equal(read("{\"limits\":{\"cpus\":0.25}}", &s, &doc), ERR_OK);
    assert_int_equal(s.cpu_milli, 250);
    buf_done(&doc);
    assert_int_equal(read("{\"limits\":{\"cpus\":4}}", &s, &doc), ERR_OK);
    assert_int_equal(s.cpu_milli, 4000);
    buf_done(&doc);
}

static void what_cannot_be_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
    } rows[] = {
        {"[]", ERR_BAD_REQUEST},
        {"{\"limits\":3}", ERR_BAD_REQUEST},
        {"{\"limits\":{\"cpus\":-1}}", ERR_BAD_REQUEST},
        {"{\"limits\":{\"memory_mb\":1.5}}", ERR_BAD_REQUEST},
        {"{\"image\":\"../x\"}", ERR_BAD_REQUEST},
        {"{\"env\":{\"A\":\"\\u0000\"}}", ERR_BAD_REQUEST},
        {"{\"env\":{\"\":\"x\"}}", ERR_BAD_REQUEST},
        {"{\"egress\":[]}", ERR_BAD_REQUEST},
        {"{\"egress\":{\"allow\":[7]}}", ERR_BAD_REQUEST},
        {"{\"egress\":{\"more\":[]}}", ERR_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sandbox_spec s;
        struct buf doc;
        assert_int_equal(read(rows[i].text, &s, &doc), rows[i].err);
        buf_done(&doc);
    }
}

static void a_row_comes_back_as_it_was_written(void **state)
{
    (void)state;
    struct sandbox_spec s;
    struct sandbox_spec back;
    struct buf doc;
    struct buf row = {0};
    struct buf layers = json("[\"aa\",\"bb\"]");
    assert_int_equal(read("{\"env\":{\"A\":\"1\"},\"limits\":{\"pids\":77}}", &s, &doc), ERR_OK);
    memset(s.id, 7, sizeof s.id);
    s.created_ms = 5;
    s.slept_ms = 6;
    s.layers = buf_slice(&layers);
    sandbox_spec_encode(&s, &row);
    assert_int_equal(sandbox_spec_decode(buf_slice(&row), &back), ERR_OK);
    assert_int_equal(back.pids, 77);
    assert_int_equal(back.slept_ms, 6);
    assert_memory_equal(back.id, s.id, sizeof s.id);
    assert_true(slice_equal(back.layers, s.layers));
    assert_true(slice_equal(back.env, s.env));
    assert_int_equal(back.snapshots.len, 0);
    buf_done(&layers);
    buf_done(&row);
    buf_done(&doc);
}

static void a_damaged_row_is_refused(void **state)
{
    (void)state;
    struct sandbox_spec s;
    struct sandbox_spec back;
    struct buf doc;
    struct buf row = {0};
    assert_int_equal(read("{}", &s, &doc), ERR_OK);
    sandbox_spec_encode(&s, &row);
    for (size_t len = 0; len < row.len; len++) {
        assert_int_not_equal(sandbox_spec_decode(slice_of(row.data, len), &back), ERR_OK);
    }
    row.data[1] = 99; /* its format */
    assert_int_not_equal(sandbox_spec_decode(buf_slice(&row), &back), ERR_OK);
    buf_done(&row);
    buf_done(&doc);
}

static void what_is_asked_travels_whole(void **state)
{
    (void)state;
    struct sandbox_what back;
    struct buf doc = {0};
    struct buf body = json("{\"a\":1}");
    const struct sandbox_what what = {.verb = SANDBOX_VERB_FILE,
                                      .method = SLICE("GET"),
                                      .name = SLICE("s"),
                                      .argument = SLICE("/\xff"),
                                      .query = SLICE("a=b"),
                                      .wants_stream = true,
                                      .body = buf_slice(&body)};
    sandbox_what_encode(&what, &doc);
    assert_int_equal(sandbox_what_decode(buf_slice(&doc), &back), ERR_OK);
    assert_int_equal(back.verb, SANDBOX_VERB_FILE);
    assert_true(slice_equal(back.argument, what.argument));
    assert_true(slice_equal(back.body, what.body));
    assert_true(back.wants_stream);
    struct buf other = json("[1,2]");
    assert_int_equal(sandbox_what_decode(buf_slice(&other), &back), ERR_BAD_REQUEST);
    buf_done(&other);
    buf_done(&body);
    buf_done(&doc);
}

/* Whatever the pieces are, the texts together are the whole. */
static void text_is_never_cut_within_a_character(void **state)
{
    (void)state;
    static const char whole[] = "a\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80z";
    for (size_t piece = 1; piece < sizeof whole; piece++) {
        struct text_tail tail = {.len = 0};
        struct buf all = {0};
        for (size_t at = 0; at < sizeof whole; at += piece) {
            size_t left = sizeof whole - 1 - at;
            bool is_last = left <= piece;
            struct buf doc = {0};
            struct slice text_doc;
            struct slice text;
            if (text_event(&tail, slice_of(whole + at, is_last ? left : piece), is_last, &doc)) {
                assert_true(value_member(buf_slice(&doc), "text", &text_doc));
                assert_true(value_get_str(text_doc, &text));
                buf_append_slice(&all, text);
            }
            buf_done(&doc);
            if (is_last) {
                break;
            }
        }
        assert_true(slice_equal_str(buf_slice(&all), whole));
        buf_done(&all);
    }
}

TEST_MAIN(cmocka_unit_test(names_are_plain), cmocka_unit_test(what_is_left_out_has_its_default),
          cmocka_unit_test(parts_of_a_processor_are_thousandths),
          cmocka_unit_test(what_cannot_be_is_refused),
          cmocka_unit_test(a_row_comes_back_as_it_was_written),
          cmocka_unit_test(a_damaged_row_is_refused), cmocka_unit_test(what_is_asked_travels_whole),
          cmocka_unit_test(text_is_never_cut_within_a_character))
