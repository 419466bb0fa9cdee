#include "actor/reply.h"

#include "base/mem.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

static struct reply reply_of(enum err err, int status)
{
    struct reply r;
    reply_init(&r);
    if (err != ERR_OK) {
        (void)reply_fail(&r, err, "because of %d", 7);
    }
    r.status = status;
    return r;
}

static void expect_same(const struct reply *got, const struct reply *want)
{
    expect_err(got->err, want->err);
    assert_int_equal(got->status, want->status);
    assert_true(got->etag == want->etag);
    assert_int_equal(got->existed, want->existed);
    assert_int_equal(got->is_value, want->is_value);
    assert_true(got->failed == want->failed);
    expect_str(slice_of_str(got->detail != NULL ? got->detail : ""),
               want->detail != NULL ? want->detail : "");
    expect_slice(bytes_slice(got->body), bytes_slice(want->body));
}

static void expect_round_trip(const struct reply *r)
{
    struct buf stored = {0};
    struct reply decoded;
    reply_encode(r, &stored);
    expect_err(reply_decode(buf_slice(&stored), &decoded), ERR_OK);
    expect_same(&decoded, r);
    assert_false(decoded.replayed);
    reply_clear(&decoded);
    buf_done(&stored);
}

static void every_kept_reply_is_the_same_when_it_is_read_again(void **state)
{
    (void)state;
    struct reply plain = reply_of(ERR_OK, 204);
    expect_round_trip(&plain);

    struct reply rich = reply_of(ERR_OK, 200);
    rich.etag = (UINT64_C(1) << 53) - 1;
    rich.existed = EXISTED_YES;
    rich.is_value = true;
    rich.body = bytes_new(SLICE("\xa1x"));
    expect_round_trip(&rich);
    reply_clear(&rich);

    static const enum err kept[] = {ERR_CONFLICT, ERR_LEASE_LOST, ERR_VERSION_MISMATCH};
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) {
        struct reply failed = reply_of(kept[i], 200);
        failed.failed = (int64_t)i - 1;
        expect_round_trip(&failed);
        reply_clear(&failed);
    }
}

static void definite_outcomes_are_kept_and_no_others(void **state)
{
    (void)state;
    for (int err = 0; err < ERR_COUNT; err++) {
        struct reply r = reply_of((enum err)err, 200);
        int status = err_info((enum err)err)->status;
        bool is_definite = status == 200 || status == 409 || status == 412;
        assert_int_equal(reply_is_definite(&r), is_definite);
        reply_clear(&r);
    }
}

static struct buf stored_example(void)
{
    struct buf stored = {0};
    struct reply r = reply_of(ERR_CONFLICT, 200);
    r.failed = 3;
    r.body = bytes_new(SLICE("body"));
    reply_encode(&r, &stored);
    reply_clear(&r);
    return stored;
}

/* In memory of just this size, so that a read beyond it is caught. */
static enum err decode_exact(struct slice stored, struct reply *ret)
{
    uint8_t *copy = mem_alloc(stored.len);
    if (stored.len > 0) {
        memcpy(copy, stored.data, stored.len);
    }
    enum err err = reply_decode(slice_of(copy, stored.len), ret);
    mem_free(copy);
    return err;
}

static void a_record_that_is_cut_is_damaged(void **state)
{
    (void)state;
    enum { BODY_BYTES = 4 };
    struct buf stored = stored_example();
    for (size_t len = 0; len < stored.len; len++) {
        struct reply r;
        enum err err = decode_exact(slice_of(stored.data, len), &r);
        if (err == ERR_OK) { /* only the body's end can be missing unseen: rows have a checksum */
            assert_true(len >= stored.len - BODY_BYTES);
            reply_clear(&r);
        } else {
            expect_err(err, ERR_CORRUPT);
        }
    }
    buf_done(&stored);
}

/* Whatever the bytes are, what is decoded can be answered. */
static void random_bytes_are_damaged_or_a_reply_within_bounds(void **state)
{
    (void)state;
    uint64_t seed = 1;
    struct buf example = stored_example();
    for (int i = 0; i < 20000; i++) {
        struct buf stored = {0};
        struct reply r;
        buf_append_slice(&stored, buf_slice(&example));
        for (uint64_t changes = 1 + test_below(&seed, 3); changes > 0; changes--) {
            stored.data[test_below(&seed, stored.len)] = (uint8_t)test_next(&seed);
        }
        if (decode_exact(buf_slice(&stored), &r) == ERR_OK) {
            assert_true(reply_is_definite(&r));
            assert_in_range(r.status, 200, 599);
            assert_in_range(r.existed, EXISTED_UNSAID, EXISTED_YES);
            assert_true(r.failed >= -1);
            reply_clear(&r);
        }
        buf_done(&stored);
    }
    buf_done(&example);
}

static void a_failure_replaces_what_was_answered_before(void **state)
{
    (void)state;
    struct reply r = reply_of(ERR_OK, 200);
    r.body = bytes_new(SLICE("x"));
    r.etag = 7;
    expect_err(reply_too_large(&r, "key_bytes", 480), ERR_TOO_LARGE);
    assert_null(r.body);
    assert_int_equal(r.etag, 0);
    assert_string_equal(r.limit_name, "key_bytes");
    assert_int_equal(r.limit_value, 480);
    assert_string_equal(r.detail, "Something is over its limit. The limit key_bytes is 480.");
    reply_clear(&r);
    assert_null(r.limit_name);
}

TEST_MAIN(cmocka_unit_test(every_kept_reply_is_the_same_when_it_is_read_again),
          cmocka_unit_test(definite_outcomes_are_kept_and_no_others),
          cmocka_unit_test(a_record_that_is_cut_is_damaged),
          cmocka_unit_test(random_bytes_are_damaged_or_a_reply_within_bounds),
          cmocka_unit_test(a_failure_replaces_what_was_answered_before))
