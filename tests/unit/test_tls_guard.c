#include "rpc/tls_guard.h"

#include "base/buf.h"
#include "tests/lib/test.h"

/* A record of the handshake (22) or another type. */
static void put_record(struct buf *b, uint8_t type, struct slice body)
{
    buf_append_byte(b, type);
    buf_append_u16(b, 0x0301);
    buf_append_u16(b, (uint16_t)body.len);
    buf_append_slice(b, body);
}

static void put_message(struct buf *b, uint32_t announced, size_t filled)
{
    buf_append_u32(b, UINT32_C(1) << 24 | announced);
    memset(buf_extend(b, filled), 0xff, filled);
}

static bool pass(struct slice in, size_t piece)
{
    struct tls_guard g = {0};
    while (in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        if (!tls_guard_pass(&g, slice_of(in.data, n))) {
            return false;
        }
        in = slice_skip(in, n);
    }
    return true;
}

static void expect_pass(struct buf *wire, bool passes)
{
    static const size_t pieces[] = {SIZE_MAX, 1, 2, 3, 5, 7, 100};
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        assert_int_equal(pass(buf_slice(wire), pieces[i]), passes);
    }
    buf_clear(wire);
}

static void a_message_within_its_bound_passes_however_it_is_cut(void **state)
{
    (void)state;
    struct buf body = {0};
    struct buf wire = {0};
    put_message(&body, TLS_GUARD_MESSAGE_BYTES_MAX, TLS_GUARD_MESSAGE_BYTES_MAX);
    for (size_t at = 0; at < body.len; at += 1000) { /* a message in many records */
        size_t n = body.len - at < 1000 ? body.len - at : 1000;
        put_record(&wire, 22, slice_of(body.data + at, n));
    }
    expect_pass(&wire, true);
    buf_clear(&body);
    for (int i = 0; i < 20; i++) { /* and many in one */
        put_message(&body, 100, 100);
    }
    put_record(&wire, 22, buf_slice(&body));
    expect_pass(&wire, true);
    buf_done(&body);
    buf_done(&wire);
}

static void a_message_that_announces_too_much_is_refused_by_its_header_alone(void **state)
{
    (void)state;
    struct buf body = {0};
    struct buf wire = {0};
    put_message(&body, TLS_GUARD_MESSAGE_BYTES_MAX + 1, 0);
    put_record(&wire, 22, buf_slice(&body));
    expect_pass(&wire, false);

    buf_clear(&body); /* the second one, with its header over two records */
    put_message(&body, 50, 50);
    put_message(&body, 0xffffff, 0);
    put_record(&wire, 22, slice_of(body.data, body.len - 1));
    put_record(&wire, 22, (struct slice){0});
    put_record(&wire, 22, slice_of(body.data + body.len - 1, 1));
    expect_pass(&wire, false);
    buf_done(&body);
    buf_done(&wire);
}

static void what_is_sealed_is_not_looked_at(void **state)
{
    (void)state;
    struct buf wire = {0};
    struct buf body = {0};
    put_message(&body, 0xffffff, 0);
    put_record(&wire, 20, SLICE("\x01"));
    put_record(&wire, 22, buf_slice(&body));
    expect_pass(&wire, true);
    buf_done(&body);
    buf_done(&wire);
}

TEST_MAIN(cmocka_unit_test(a_message_within_its_bound_passes_however_it_is_cut),
          cmocka_unit_test(a_message_that_announces_too_much_is_refused_by_its_header_alone),
          cmocka_unit_test(what_is_sealed_is_not_looked_at))
