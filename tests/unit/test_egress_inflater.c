#include "actor/egress/inflater.h"

#include <zlib.h>

#include "base/buf.h"
#include "base/mem.h"
#include "tests/lib/test.h"

enum { GZIP = 15 + 16, ZLIB = 15, RAW = -15 };

static struct buf compress_as(int format, struct slice in)
{
    struct buf out = {0};
    z_stream z = {0};
    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, format, 9, Z_DEFAULT_STRATEGY), Z_OK);
    buf_reserve(&out, deflateBound(&z, in.len) + 64);
    z.next_in = (Bytef *)(uintptr_t)in.data;
    z.avail_in = (uInt)in.len;
    z.next_out = out.data;
    z.avail_out = (uInt)out.cap;
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    out.len = out.cap - z.avail_out;
    (void)deflateEnd(&z);
    return out;
}

struct result {
    enum err err;
    bool is_whole;
    struct buf out;
};

/* Given `in_piece` bytes at a time, taken `out_piece` at a time. */
static struct result inflate_all(const char *encoding, struct slice in, size_t in_piece,
                                 size_t out_piece)
{
    uint8_t room[4096];
    struct result r = {0};
    struct inflater *i = inflater_new(slice_of_str(encoding));
    assert_non_null(i);
    while (in.len > 0 && r.err == ERR_OK) {
        struct slice piece = slice_of(in.data, in.len < in_piece ? in.len : in_piece);
        size_t n = out_piece;
        in = slice_skip(in, piece.len);
        while (r.err == ERR_OK && n == out_piece) {
            n = 0;
            r.err = inflater_take(i, &piece, room, out_piece, &n);
            buf_append(&r.out, room, n);
        }
        assert_true(r.err != ERR_OK || piece.len == 0);
    }
    r.is_whole = inflater_is_whole(i);
    inflater_free(i);
    return r;
}

static struct buf text_of(size_t len)
{
    struct buf b = {0};
    for (size_t i = 0; b.len < len; i++) {
        buf_printf(&b, "line %zu\n", i * i);
    }
    b.len = len;
    return b;
}

static void each_encoding_gives_the_body_again_however_it_is_cut(void **state)
{
    (void)state;
    static const struct {
        const char *encoding;
        int format;
    } rows[] = {
        {"gzip", GZIP}, {"x-gzip", GZIP}, {"GZIP", GZIP}, {"deflate", ZLIB}, {"deflate", RAW}};
    static const size_t pieces[] = {1, 7, 100, 4096};
    struct buf text = text_of(20000);
    for (size_t r = 0; r < sizeof rows / sizeof rows[0]; r++) {
        struct buf packed = compress_as(rows[r].format, buf_slice(&text));
        for (size_t i = 0; i < 16; i++) {
            struct result result =
                inflate_all(rows[r].encoding, buf_slice(&packed), pieces[i / 4], pieces[i % 4]);
            expect_err(result.err, ERR_OK);
            assert_true(result.is_whole && slice_equal(buf_slice(&result.out), buf_slice(&text)));
            buf_done(&result.out);
        }
        buf_done(&packed);
    }
    buf_done(&text);
}

static void other_encodings_are_passed_on(void **state)
{
    (void)state;
    static const char *const encodings[] = {"", "br", "zstd", "identity", "gzip, br", "compress"};
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        assert_null(inflater_new(slice_of_str(encodings[i])));
    }
}

static void gzip_bodies_may_follow_each_other_and_what_else_follows_is_let_go(void **state)
{
    (void)state;
    struct buf a = compress_as(GZIP, SLICE("one "));
    struct buf b = compress_as(GZIP, SLICE("two"));
    buf_append_slice(&a, buf_slice(&b));
    buf_append_str(&a, "padding");
    struct result r = inflate_all("gzip", buf_slice(&a), 3, 2);
    expect_err(r.err, ERR_OK);
    assert_true(r.is_whole);
    expect_slice(buf_slice(&r.out), SLICE("one two"));
    buf_done(&r.out);
    buf_done(&a);
    buf_done(&b);
}

static void a_body_that_is_cut_off_is_not_whole_and_an_empty_one_is(void **state)
{
    (void)state;
    struct buf text = text_of(1000);
    struct buf packed = compress_as(GZIP, buf_slice(&text));
    for (size_t len = 0; len < packed.len; len++) {
        struct result r = inflate_all("gzip", slice_of(packed.data, len), 50, 4096);
        expect_err(r.err, ERR_OK);
        assert_int_equal(r.is_whole, len == 0);
        buf_done(&r.out);
    }
    buf_done(&packed);
    buf_done(&text);
}

static void a_body_that_is_something_else_is_corrupt(void **state)
{
    (void)state;
    struct buf text = text_of(5000);
    struct buf packed = compress_as(GZIP, buf_slice(&text));
    packed.data[packed.len / 2] ^= 0x55;
    struct result r = inflate_all("gzip", buf_slice(&packed), 4096, 4096);
    expect_err(r.err, ERR_CORRUPT);
    buf_done(&r.out);
    r = inflate_all("gzip", SLICE("<html>plain</html>"), 4096, 4096);
    expect_err(r.err, ERR_CORRUPT);
    buf_done(&r.out);
    buf_done(&packed);
    buf_done(&text);
}

static void a_small_body_that_becomes_a_huge_one_gives_what_was_asked_for_and_no_more(void **state)
{
    (void)state;
    enum { HUGE_BYTES = 64 << 20, ASKED = 1000 };
    uint8_t room[ASKED];
    struct buf zeros = {0};
    memset(buf_extend(&zeros, HUGE_BYTES), 0, HUGE_BYTES);
    struct buf packed = compress_as(GZIP, buf_slice(&zeros));
    assert_true(packed.len < HUGE_BYTES / 500);
    struct inflater *i = inflater_new(SLICE("gzip"));
    struct slice in = buf_slice(&packed);
    for (int n = 0; n < 10; n++) {
        size_t len;
        expect_err(inflater_take(i, &in, room, ASKED, &len), ERR_OK);
        assert_int_equal(len, ASKED);
    }
    assert_true(in.len > packed.len / 2);
    inflater_free(i);
    buf_done(&packed);
    buf_done(&zeros);
}

TEST_MAIN(
    cmocka_unit_test(each_encoding_gives_the_body_again_however_it_is_cut),
    cmocka_unit_test(other_encodings_are_passed_on),
    cmocka_unit_test(gzip_bodies_may_follow_each_other_and_what_else_follows_is_let_go),
    cmocka_unit_test(a_body_that_is_cut_off_is_not_whole_and_an_empty_one_is),
    cmocka_unit_test(a_body_that_is_something_else_is_corrupt),
    cmocka_unit_test(a_small_body_that_becomes_a_huge_one_gives_what_was_asked_for_and_no_more))
