#include "actor/channel.h"

#include "base/mem.h"
#include "tests/lib/test.h"

struct seen {
    struct buf bytes; /* of all frames, each after its length */
    size_t count;
    enum err answer;
};

static enum err see(void *ctx, struct slice frame)
{
    struct seen *s = ctx;
    s->count++;
    buf_append_u32(&s->bytes, (uint32_t)frame.len);
    buf_append_slice(&s->bytes, frame);
    return s->answer;
}

static void put(struct buf *out, size_t len, uint8_t byte)
{
    size_t at = channel_begin(out);
    memset(buf_extend(out, len), byte, len);
    channel_end(out, at);
}

static enum err feed(struct seen *s, struct slice in, size_t piece)
{
    struct channel_inbox inbox;
    enum err err = ERR_OK;
    channel_inbox_init(&inbox);
    while (err == ERR_OK && in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        err = channel_inbox_feed(&inbox, slice_of(in.data, n), see, s);
        in = slice_skip(in, n);
    }
    channel_inbox_done(&inbox);
    return err;
}

static void a_length_is_little_endian_and_stands_before_its_frame(void **state)
{
    (void)state;
    struct buf out = {0};
    put(&out, 258, 'x');
    assert_int_equal(out.len, 262);
    expect_slice(slice_of(out.data, 5), SLICE("\x02\x01\x00\x00x"));
    buf_done(&out);
}

static void frames_come_out_the_same_however_the_bytes_are_cut(void **state)
{
    (void)state;
    static const size_t pieces[] = {1, 2, 3, 4, 5, 7, 64, 100000};
    static const size_t lengths[] = {1, 3, 4, 100, 70000, 1, 200000};
    struct buf out = {0};
    struct seen whole = {0};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        put(&out, lengths[i], (uint8_t)i);
    }
    expect_err(feed(&whole, buf_slice(&out), SIZE_MAX), ERR_OK);
    assert_int_equal(whole.count, 7);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        struct seen cut = {0};
        expect_err(feed(&cut, buf_slice(&out), pieces[i]), ERR_OK);
        assert_true(slice_equal(buf_slice(&whole.bytes), buf_slice(&cut.bytes)));
        buf_done(&cut.bytes);
    }
    buf_done(&whole.bytes);
    buf_done(&out);
}

static void an_empty_frame_or_one_over_the_bound_is_corrupt(void **state)
{
    (void)state;
    static const struct slice bad[] = {
        {(const uint8_t *)"\x00\x00\x00\x00x", 5},
        {(const uint8_t *)"\x01\x00\x80\x01x", 5}, /* 24 MiB and one byte */
        {(const uint8_t *)"\xff\xff\xff\xffx", 5},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct seen s = {0};
        expect_err(feed(&s, bad[i], SIZE_MAX), ERR_CORRUPT);
        expect_err(feed(&s, bad[i], 1), ERR_CORRUPT);
        assert_int_equal(s.count, 0);
    }
}

static void an_announced_length_takes_no_memory_before_its_bytes_come(void **state)
{
    (void)state;
    struct channel_inbox inbox;
    struct seen s = {0};
    channel_inbox_init(&inbox);
    expect_err(channel_inbox_feed(&inbox, slice_of("\x00\x00\x80\x01xyz", 7), see, &s), ERR_OK);
    assert_true(inbox.partial.cap < 1024);
    channel_inbox_done(&inbox);
}

static void the_memory_of_a_large_frame_is_not_kept(void **state)
{
    (void)state;
    struct channel_inbox inbox;
    struct buf out = {0};
    struct seen s = {0};
    put(&out, 5 << 20, 'x');
    channel_inbox_init(&inbox);
    expect_err(channel_inbox_feed(&inbox, slice_of(out.data, 100), see, &s), ERR_OK);
    expect_err(channel_inbox_feed(&inbox, slice_skip(buf_slice(&out), 100), see, &s), ERR_OK);
    assert_int_equal(s.count, 1);
    assert_int_equal(inbox.partial.cap, 0);
    channel_inbox_done(&inbox);
    buf_done(&s.bytes);
    buf_done(&out);
}

static void an_error_of_the_callback_ends_the_feed(void **state)
{
    (void)state;
    struct buf out = {0};
    put(&out, 3, 'a');
    put(&out, 3, 'b');
    for (size_t piece = 1; piece < 20; piece++) {
        struct seen s = {.answer = ERR_OVERLOADED};
        expect_err(feed(&s, buf_slice(&out), piece), ERR_OVERLOADED);
        assert_int_equal(s.count, 1);
        buf_done(&s.bytes);
    }
    buf_done(&out);
}

TEST_MAIN(cmocka_unit_test(a_length_is_little_endian_and_stands_before_its_frame),
          cmocka_unit_test(frames_come_out_the_same_however_the_bytes_are_cut),
          cmocka_unit_test(an_empty_frame_or_one_over_the_bound_is_corrupt),
          cmocka_unit_test(an_announced_length_takes_no_memory_before_its_bytes_come),
          cmocka_unit_test(the_memory_of_a_large_frame_is_not_kept),
          cmocka_unit_test(an_error_of_the_callback_ends_the_feed))
