#include "actor/egress_frame.h"

#include "actor/channel.h"
#include "base/mem.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static struct slice body_of(const struct buf *b)
{
    return slice_skip(buf_slice(b), CHANNEL_HEAD_BYTES);
}

static struct egress_frame decode(const struct buf *b)
{
    struct egress_frame f;
    expect_err(egress_frame_decode(body_of(b), &f), ERR_OK);
    return f;
}

static struct buf empty_array(void)
{
    struct buf b = {0};
    value_put_array(&b, 0);
    return b;
}

static struct egress_fetch fetch_with(const struct buf *array)
{
    return (struct egress_fetch){.ns = SLICE("app"),
                                 .class = SLICE("Agent"),
                                 .actor = SLICE("a"),
                                 .method = SLICE("POST"),
                                 .url = SLICE("https://example.com/"),
                                 .fields = buf_slice(array),
                                 .body = SLICE("body"),
                                 .has_body = true,
                                 .redirect = EGRESS_MANUAL,
                                 .allow = buf_slice(array),
                                 .any_port = true,
                                 .bytes_max = 1000,
                                 .ms_max = 2000};
}

static void a_fetch_is_read_as_it_is_written(void **state)
{
    (void)state;
    struct buf array = empty_array();
    struct buf out = {0};
    struct egress_fetch fetch = fetch_with(&array);
    egress_put_fetch(&out, 77, &fetch);
    struct egress_frame f = decode(&out);
    assert_int_equal(f.kind, EGRESS_FETCH);
    assert_int_equal(f.id, 77);
    expect_slice(f.fetch.ns, SLICE("app"));
    expect_slice(f.fetch.class, SLICE("Agent"));
    expect_slice(f.fetch.actor, SLICE("a"));
    expect_slice(f.fetch.method, SLICE("POST"));
    expect_slice(f.fetch.url, SLICE("https://example.com/"));
    expect_slice(f.fetch.body, SLICE("body"));
    assert_true(f.fetch.has_body && f.fetch.any_port && !f.fetch.allow_private);
    assert_int_equal(f.fetch.redirect, EGRESS_MANUAL);
    assert_int_equal(f.fetch.bytes_max, 1000);
    assert_int_equal(f.fetch.ms_max, 2000);
    buf_done(&out);
    buf_done(&array);
}

static void a_fetch_with_an_empty_body_is_another_than_one_without(void **state)
{
    (void)state;
    struct buf array = empty_array();
    for (int has_body = 0; has_body < 2; has_body++) {
        struct buf out = {0};
        struct egress_fetch fetch = fetch_with(&array);
        fetch.body = (struct slice){0};
        fetch.has_body = has_body;
        egress_put_fetch(&out, 1, &fetch);
        assert_int_equal(decode(&out).fetch.has_body, has_body);
        buf_done(&out);
    }
    buf_done(&array);
}

static void what_is_over_its_bound_is_corrupt(void **state)
{
    (void)state;
    struct buf array = empty_array();
    struct buf large = {0};
    memset(buf_extend(&large, EGRESS_REQUEST_BODY_BYTES_MAX + 1), 'x', large.len);
    for (int i = 0; i < 4; i++) {
        struct buf out = {0};
        struct egress_frame f;
        struct egress_fetch fetch = fetch_with(&array);
        fetch.bytes_max = i == 1 ? EGRESS_BYTES_MAX + 1ULL : EGRESS_BYTES_MAX;
        fetch.ms_max = i == 2 ? EGRESS_MS_MAX + 1 : EGRESS_MS_MAX;
        fetch.body = slice_of(large.data, EGRESS_REQUEST_BODY_BYTES_MAX + (i == 3 ? 1U : 0U));
        egress_put_fetch(&out, 1, &fetch);
        expect_err(egress_frame_decode(body_of(&out), &f), i == 0 ? ERR_OK : ERR_CORRUPT);
        buf_done(&out);
    }
    buf_done(&large);
    buf_done(&array);
}

static struct buf fields_of(uint32_t count, size_t value_bytes)
{
    struct buf b = {0};
    value_put_array(&b, count);
    for (uint32_t i = 0; i < count; i++) {
        value_put_array(&b, 2);
        value_put_text(&b, "name");
        value_put_str_head(&b, (uint32_t)value_bytes);
        memset(buf_extend(&b, value_bytes), 'v', value_bytes);
    }
    return b;
}

static void fields_are_pairs_of_strings_and_bounded(void **state)
{
    (void)state;
    static const struct {
        uint32_t count;
        size_t bytes;
        enum err err;
    } rows[] = {{0, 0, ERR_OK},
                {EGRESS_FIELDS_MAX, 10, ERR_OK},
                {EGRESS_FIELDS_MAX + 1, 10, ERR_CORRUPT},
                {2, EGRESS_FIELD_BYTES_MAX, ERR_OK},
                {3, EGRESS_FIELD_BYTES_MAX, ERR_CORRUPT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf fields = fields_of(rows[i].count, rows[i].bytes);
        struct buf out = {0};
        struct egress_frame f;
        egress_put_head(&out, 5,
                        &(struct egress_head){.status = 200, .fields = buf_slice(&fields)});
        expect_err(egress_frame_decode(body_of(&out), &f), rows[i].err);
        buf_done(&out);
        buf_done(&fields);
    }
    static const struct slice bad[] = {{(const uint8_t *)"\xc0", 1},          /* nil */
                                       {(const uint8_t *)"\x91\xc0", 2},      /* [nil] */
                                       {(const uint8_t *)"\x91\x91\xa1n", 4}, /* [["n"]] */
                                       {(const uint8_t *)"\x91\x92\xa1n\x01", 5}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf out = {0};
        struct egress_frame f;
        egress_put_head(&out, 5, &(struct egress_head){.status = 200, .fields = bad[i]});
        expect_err(egress_frame_decode(body_of(&out), &f), ERR_CORRUPT);
        buf_done(&out);
    }
}

static void what_egress_says_is_read_as_it_is_written(void **state)
{
    (void)state;
    struct buf array = empty_array();
    struct buf out = {0};
    egress_put_head(&out, 5,
                    &(struct egress_head){.status = 404,
                                          .text = SLICE("Not Found"),
                                          .fields = buf_slice(&array),
                                          .url = SLICE("http://a/"),
                                          .redirected = true});
    struct egress_frame f = decode(&out);
    assert_true(f.kind == EGRESS_HEAD && f.id == 5 && f.head.status == 404 && f.head.redirected);
    expect_slice(f.head.text, SLICE("Not Found"));
    expect_slice(f.head.url, SLICE("http://a/"));
    buf_clear(&out);
    egress_put_chunk(&out, 6, SLICE("abc"), true);
    f = decode(&out);
    assert_true(f.kind == EGRESS_CHUNK && f.id == 6 && f.chunk.is_end);
    expect_slice(f.chunk.bytes, SLICE("abc"));
    buf_clear(&out);
    egress_put_record(&out, 7,
                      &(struct egress_record){.ns = SLICE("n"),
                                              .host = SLICE("h:80"),
                                              .path = SLICE("/"),
                                              .status = 200,
                                              .sent_bytes = 1,
                                              .received_bytes = 2,
                                              .ms = 3,
                                              .code = SLICE("timeout")});
    f = decode(&out);
    assert_true(f.kind == EGRESS_RECORD && f.record.status == 200 && f.record.sent_bytes == 1 &&
                f.record.received_bytes == 2 && f.record.ms == 3);
    expect_slice(f.record.host, SLICE("h:80"));
    expect_slice(f.record.code, SLICE("timeout"));
    buf_clear(&out);
    egress_put_hello(&out, 31);
    f = decode(&out);
    assert_true(f.kind == EGRESS_HELLO && f.layers == 31);
    buf_done(&out);
    buf_done(&array);
}

static void a_failure_has_the_code_and_the_promises_of_its_error(void **state)
{
    (void)state;
    struct buf out = {0};
    struct egress_fail fail = egress_fail_of(ERR_TIMEOUT_IN_DOUBT, NULL);
    egress_put_fail(&out, 8, &fail);
    struct egress_frame f = decode(&out);
    assert_int_equal(f.kind, EGRESS_FAIL);
    expect_slice(f.fail.code, SLICE("timeout"));
    assert_true(f.fail.retryable && f.fail.maybe_applied && f.fail.message.len > 0);
    fail = egress_fail_of(ERR_EGRESS_DENIED, "no");
    expect_slice(fail.code, SLICE("egress_denied"));
    expect_slice(fail.message, SLICE("no"));
    assert_true(!fail.retryable && !fail.maybe_applied);
    buf_done(&out);
}

static void credit_is_at_least_a_byte_and_at_most_a_whole_response(void **state)
{
    (void)state;
    static const struct {
        uint64_t bytes;
        enum err err;
    } rows[] = {{0, ERR_CORRUPT},
                {1, ERR_OK},
                {EGRESS_BYTES_MAX, ERR_OK},
                {EGRESS_BYTES_MAX + 1ULL, ERR_CORRUPT}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf out = {0};
        struct egress_frame f;
        egress_put_credit(&out, 1, rows[i].bytes);
        expect_err(egress_frame_decode(body_of(&out), &f), rows[i].err);
        buf_done(&out);
    }
}

static void a_frame_that_is_cut_or_longer_is_corrupt(void **state)
{
    (void)state;
    struct buf array = empty_array();
    struct buf out = {0};
    struct egress_frame f;
    struct egress_fetch fetch = fetch_with(&array);
    egress_put_fetch(&out, 1, &fetch);
    for (size_t len = 0; len < body_of(&out).len; len++) {
        expect_err(egress_frame_decode(slice_of(body_of(&out).data, len), &f), ERR_CORRUPT);
    }
    buf_append_byte(&out, 0);
    expect_err(egress_frame_decode(body_of(&out), &f), ERR_CORRUPT);
    static const struct slice bad[] = {
        {(const uint8_t *)"\xc0", 1},             /* nil */
        {(const uint8_t *)"\x90", 1},             /* [] */
        {(const uint8_t *)"\x91\x06", 2},         /* [6] */
        {(const uint8_t *)"\x92\x00\x01", 3},     /* no such kind */
        {(const uint8_t *)"\x92\x09\x01", 3},     /* nor this */
        {(const uint8_t *)"\x92\x06\xff", 3},     /* the id is negative */
        {(const uint8_t *)"\x93\x06\x01\x01", 4}, /* CANCEL with more */
        {(const uint8_t *)"\x92\x04\x01", 3},     /* CREDIT with less */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_err(egress_frame_decode(bad[i], &f), ERR_CORRUPT);
    }
    buf_done(&out);
    buf_done(&array);
}

TEST_MAIN(cmocka_unit_test(a_fetch_is_read_as_it_is_written),
          cmocka_unit_test(a_fetch_with_an_empty_body_is_another_than_one_without),
          cmocka_unit_test(what_is_over_its_bound_is_corrupt),
          cmocka_unit_test(fields_are_pairs_of_strings_and_bounded),
          cmocka_unit_test(what_egress_says_is_read_as_it_is_written),
          cmocka_unit_test(a_failure_has_the_code_and_the_promises_of_its_error),
          cmocka_unit_test(credit_is_at_least_a_byte_and_at_most_a_whole_response),
          cmocka_unit_test(a_frame_that_is_cut_or_longer_is_corrupt))
