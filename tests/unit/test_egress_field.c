#include "actor/egress/field.h"

#include "actor/egress/response.h"
#include "actor/egress_frame.h"
#include "base/mem.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

/* Requests */

static enum err put(const char *name, const char *value, struct buf *out)
{
    const char *detail = NULL;
    buf_clear(out);
    enum err err = field_put_line(out, slice_of_str(name), slice_of_str(value), &detail);
    assert_true(err == ERR_OK || (err == ERR_BAD_REQUEST && detail != NULL));
    return err;
}

static void a_field_is_a_line_with_the_bytes_of_its_characters(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
        const char *line;
    } rows[] = {
        {"Accept", "text/html", "Accept: text/html"},
        {"X-A", "  a\tb \t", "X-A: a\tb"},
        {"X-A", "", "X-A;"},
        {"X-A", " \t ", "X-A;"},
        {"X-A", "caf\xc3\xa9 \xc2\xa7", "X-A: caf\xe9 \xa7"},
        {"x!#$%&'*+-.^_`|~9", "1", "x!#$%&'*+-.^_`|~9: 1"},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_err(put(rows[i].name, rows[i].value, &out), ERR_OK);
        assert_int_equal(out.data[out.len - 1], '\0');
        expect_str(slice_of(out.data, out.len - 1), rows[i].line);
    }
    buf_done(&out);
}

static void nothing_can_end_a_line_or_be_another_field(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *value;
    } rows[] = {
        {"", "v"},
        {"a b", "v"},
        {"a:", "v"},
        {"a\r\nHost", "v"},
        {"a\n", "v"},
        {"caf\xc3\xa9", "v"},
        {"a;", "v"},
        {"(a)", "v"},
        {"a", "b\r\nHost: c"},
        {"a", "b\nc"},
        {"a", "b\rc"},
        {"a", "b\x01"
              "c"},
        {"a", "b\x7f"},
        {"a", "\xe2\x82\xac"},
        {"a", "\xf0\x9f\x98\x80"},
    };
    struct buf out = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_err(put(rows[i].name, rows[i].value, &out), ERR_BAD_REQUEST);
    }
    const char *detail;
    expect_err(field_put_line(&out, slice_of("a\0b", 3), SLICE("v"), &detail), ERR_BAD_REQUEST);
    expect_err(field_put_line(&out, SLICE("a"), slice_of("v\0w", 3), &detail), ERR_BAD_REQUEST);
    buf_done(&out);
}

static void framing_and_where_a_request_goes_are_not_for_user_code_to_say(void **state)
{
    (void)state;
    static const char *const ours[] = {"Host",
                                       "HOST",
                                       "Connection",
                                       "Content-Length",
                                       "Transfer-Encoding",
                                       "Upgrade",
                                       "TE",
                                       "Trailer",
                                       "Keep-Alive",
                                       "Expect",
                                       "Proxy-Authorization",
                                       "proxy-connection",
                                       "HTTP2-Settings"};
    static const char *const theirs[] = {
        "Accept",           "Authorization", "Cookie", "Content-Type", "Hostname",
        "X-Forwarded-Host", "Proxy",         "Origin", "Referer",      "Range"};
    for (size_t i = 0; i < sizeof ours / sizeof ours[0]; i++) {
        assert_true(field_is_ours(slice_of_str(ours[i])));
    }
    for (size_t i = 0; i < sizeof theirs / sizeof theirs[0]; i++) {
        assert_false(field_is_ours(slice_of_str(theirs[i])));
    }
    assert_true(field_is_credential(SLICE("AUTHORIZATION")) &&
                field_is_credential(SLICE("cookie")));
    assert_false(field_is_credential(SLICE("x-api-key")));
    assert_true(field_is_of_body(SLICE("Content-Type")) &&
                field_is_of_body(SLICE("content-encoding")));
    assert_false(field_is_of_body(SLICE("Accept")));
}

/* Responses */

static enum err read(struct response *r, const char *const *lines, size_t count)
{
    enum err err = ERR_OK;
    const char *detail = NULL;
    response_init(r);
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        err = response_line(r, slice_of_str(lines[i]), &detail);
    }
    assert_true(err == ERR_OK || detail != NULL);
    return err;
}
#define READ(r, ...)                            \
    read(r, (const char *const[]){__VA_ARGS__}, \
         sizeof((const char *const[]){__VA_ARGS__}) / sizeof(char *))

static void a_head_has_a_status_a_text_and_fields(void **state)
{
    (void)state;
    struct response r;
    struct slice value;
    expect_err(READ(&r, "HTTP/1.1 404 Not Found\r\n", "A: b\r\n", "Location:  /c \r\n", "a: d\r\n"),
               ERR_OK);
    assert_false(r.is_complete);
    const char *detail;
    expect_err(response_line(&r, SLICE("\r\n"), &detail), ERR_OK);
    assert_true(r.is_complete);
    assert_int_equal(r.status, 404);
    expect_slice(buf_slice(&r.text), SLICE("Not Found"));
    assert_true(response_field(&r, "location", &value));
    expect_slice(value, SLICE("/c"));
    assert_true(response_field(&r, "a", &value));
    expect_slice(value, SLICE("b"));
    assert_false(response_field(&r, "loc", &value));
    response_done(&r);
}

static void the_text_of_a_status_may_be_missing(void **state)
{
    (void)state;
    static const char *const lines[] = {"HTTP/1.1 200\r\n", "HTTP/1.1 200 \r\n", "HTTP/2 200\n"};
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++) {
        struct response r;
        expect_err(READ(&r, lines[i], "\r\n"), ERR_OK);
        assert_true(r.status == 200 && r.is_complete && r.text.len == 0);
        response_done(&r);
    }
}

static void a_response_before_the_final_one_is_forgotten(void **state)
{
    (void)state;
    struct response r;
    struct slice value;
    expect_err(
        READ(&r, "HTTP/1.1 103 Early Hints\r\n", "Link: x\r\n", "\r\n", "HTTP/1.1 200 OK\r\n"),
        ERR_OK);
    assert_false(r.is_complete);
    assert_false(response_field(&r, "link", &value));
    assert_int_equal(r.status, 200);
    response_done(&r);
}

static void what_follows_the_body_is_not_of_the_head(void **state)
{
    (void)state;
    struct response r;
    struct slice value;
    expect_err(READ(&r, "HTTP/1.1 200 OK\r\n", "\r\n", "Trailer: x\r\n", "HTTP/1.1 500 No\r\n"),
               ERR_OK);
    assert_false(response_field(&r, "trailer", &value));
    assert_int_equal(r.status, 200);
    response_done(&r);
}

static void a_line_that_is_none_of_http_ends_the_response(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "HTTP/1.1\r\n",       "HTTP/1.1 20\r\n", "HTTP/1.1 2000 OK\r\n", "HTTP/1.1 20x OK\r\n",
        "HTTP/1.1 099 x\r\n", "no colon\r\n",    "a b: c\r\n",           ": c\r\n",
        " folded\r\n",        "a: b\rc\r\n"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct response r;
        expect_err(READ(&r, "HTTP/1.1 200 OK\r\n", bad[i]), ERR_UNAVAILABLE);
        response_done(&r);
    }
}

static void a_head_has_at_most_256_fields_of_64_kilobytes(void **state)
{
    (void)state;
    struct response r;
    const char *detail;
    struct buf line = {0};
    expect_err(READ(&r, "HTTP/1.1 200 OK\r\n"), ERR_OK);
    for (int i = 0; i < EGRESS_FIELDS_MAX; i++) {
        expect_err(response_line(&r, SLICE("a: b\r\n"), &detail), ERR_OK);
    }
    expect_err(response_line(&r, SLICE("a: b\r\n"), &detail), ERR_TOO_LARGE);
    response_done(&r);
    for (size_t extra = 0; extra < 2; extra++) {
        expect_err(READ(&r, "HTTP/1.1 200 OK\r\n"), ERR_OK);
        buf_clear(&line);
        buf_append_str(&line, "a: ");
        memset(buf_extend(&line, EGRESS_FIELD_BYTES_MAX - 4 + extra), 'v',
               EGRESS_FIELD_BYTES_MAX - 4 + extra);
        expect_err(response_line(&r, buf_slice(&line), &detail),
                   extra == 0 ? ERR_OK : ERR_TOO_LARGE);
        response_done(&r);
    }
    buf_done(&line);
}

static void expect_fields(const struct response *r, bool is_decoded, const char *want)
{
    struct buf doc = {0};
    struct buf text = {0};
    struct slice item;
    const char *reason;
    response_put_fields(r, is_decoded, &doc);
    expect_err(value_check(buf_slice(&doc), 3, &reason), ERR_OK);
    for (struct value_iter it = value_items(buf_slice(&doc)); value_next(&it, &item);) {
        struct slice part;
        struct slice bytes;
        for (struct value_iter pair = value_items(item); value_next(&pair, &part);) {
            assert_true(value_get_str(part, &bytes));
            buf_append_slice(&text, bytes);
            buf_append_byte(&text, '|');
        }
    }
    expect_str(buf_slice(&text), want);
    buf_done(&text);
    buf_done(&doc);
}

static void bytes_of_a_value_are_told_as_characters(void **state)
{
    (void)state;
    struct response r;
    expect_err(READ(&r, "HTTP/1.1 200 OK\r\n", "A: caf\xe9\r\n", "b: \xc3\xa9\r\n", "\r\n"),
               ERR_OK);
    expect_fields(&r, false, "A|caf\xc3\xa9|b|\xc3\x83\xc2\xa9|");
    response_done(&r);
}

static void the_encoding_of_a_body_that_was_decoded_is_not_told(void **state)
{
    (void)state;
    struct response r;
    expect_err(READ(&r, "HTTP/1.1 200 OK\r\n", "Content-Encoding: gzip\r\n",
                    "content-length: 9\r\n", "A: b\r\n", "\r\n"),
               ERR_OK);
    expect_fields(&r, false, "Content-Encoding|gzip|content-length|9|A|b|");
    expect_fields(&r, true, "A|b|");
    response_done(&r);
}

TEST_MAIN(cmocka_unit_test(a_field_is_a_line_with_the_bytes_of_its_characters),
          cmocka_unit_test(nothing_can_end_a_line_or_be_another_field),
          cmocka_unit_test(framing_and_where_a_request_goes_are_not_for_user_code_to_say),
          cmocka_unit_test(a_head_has_a_status_a_text_and_fields),
          cmocka_unit_test(the_text_of_a_status_may_be_missing),
          cmocka_unit_test(a_response_before_the_final_one_is_forgotten),
          cmocka_unit_test(what_follows_the_body_is_not_of_the_head),
          cmocka_unit_test(a_line_that_is_none_of_http_ends_the_response),
          cmocka_unit_test(a_head_has_at_most_256_fields_of_64_kilobytes),
          cmocka_unit_test(bytes_of_a_value_are_told_as_characters),
          cmocka_unit_test(the_encoding_of_a_body_that_was_decoded_is_not_told))
