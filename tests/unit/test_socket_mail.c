#include "node/socket_mail.h"

#include "base/mem.h"
#include "tests/lib/test.h"

static struct buf wire;

static int close_world(void **state)
{
    (void)state;
    buf_done(&wire);
    return 0;
}

static struct socket_mail again(const struct socket_mail *m, struct bytes *data)
{
    struct socket_mail ret;
    buf_clear(&wire);
    socket_mail_encode(m, data == NULL, &wire);
    expect_err(socket_mail_decode(buf_slice(&wire), data, &ret), ERR_OK);
    assert_int_equal(ret.kind, m->kind);
    assert_int_equal(ret.id, m->id);
    assert_int_equal(ret.attempt, m->attempt);
    return ret;
}

static struct socket_mail mail(enum socket_mail_kind kind)
{
    return (struct socket_mail){.kind = kind, .id = 0x12345678901234, .attempt = 7};
}

static void what_is_said_is_what_is_heard(void **state)
{
    (void)state;
    struct socket_mail open = mail(SOCKET_MAIL_OPEN);
    open.up = 3;
    open.down = UINT64_MAX;
    open.who = SLICE("who it is");
    struct socket_mail got = again(&open, NULL);
    assert_int_equal(got.up, 3);
    assert_int_equal(got.down, UINT64_MAX);
    expect_str(got.who, "who it is");

    struct socket_mail sync = mail(SOCKET_MAIL_SYNC);
    sync.sync = (struct socket_sync){.received = 9, .part = 100, .taken = 8, .is_question = true};
    got = again(&sync, NULL);
    assert_int_equal(got.sync.received, 9);
    assert_int_equal(got.sync.part, 100);
    assert_int_equal(got.sync.taken, 8);
    assert_true(got.sync.is_question && !got.sync.is_answer);

    struct socket_mail end = mail(SOCKET_MAIL_END);
    end.up = 1;
    end.down = 2;
    end.is_clean = true;
    got = again(&end, NULL);
    assert_int_equal(got.up, 1);
    assert_int_equal(got.down, 2);
    assert_true(got.is_clean);

    struct socket_mail gone = mail(SOCKET_MAIL_GONE);
    (void)again(&gone, NULL);
}

static void a_piece_is_said_with_its_bytes_or_beside_them(void **state)
{
    (void)state;
    struct socket_mail m = mail(SOCKET_MAIL_PIECE);
    m.piece = (struct socket_piece){
        .number = 5,
        .head = {.kind = SOCKET_LETTER_CLOSE, .code = 4000, .was_clean = true, .is_owed = true},
        .whole_bytes = 10,
        .at = 4,
        .bytes = SLICE("middle")};
    struct socket_mail got = again(&m, NULL);
    assert_int_equal(got.piece.number, 5);
    assert_int_equal(got.piece.head.kind, SOCKET_LETTER_CLOSE);
    assert_int_equal(got.piece.head.code, 4000);
    assert_true(got.piece.head.was_clean && got.piece.head.is_owed);
    assert_int_equal(got.piece.whole_bytes, 10);
    assert_int_equal(got.piece.at, 4);
    expect_str(got.piece.bytes, "middle");
    assert_null(got.piece.data);
    struct bytes *data = bytes_new(SLICE("all of it"));
    got = again(&m, data);
    assert_ptr_equal(got.piece.data, data);
    expect_str(got.piece.bytes, "all of it");
    bytes_unref(data);
}

static void whose_socket_it_is_is_said_in_full(void **state)
{
    (void)state;
    struct socket_who who = {.address = {SLICE("app"), SLICE("Room"), SLICE("lob\xc3\xbcy")},
                             .memo = SLICE("memo")};
    memset(&who.identity, 3, sizeof who.identity);
    socket_who_encode(&who, &wire);
    struct socket_who got;
    expect_err(socket_who_decode(buf_slice(&wire), &got), ERR_OK);
    assert_memory_equal(&got.identity, &who.identity, sizeof got.identity);
    expect_str(got.address.ns, "app");
    expect_str(got.address.class, "Room");
    expect_str(got.address.id, "lob\xc3\xbcy");
    expect_str(got.memo, "memo");
    for (size_t len = 0; len < wire.len - 4; len++) {
        expect_err(socket_who_decode(slice_of(wire.data, len), &got), ERR_CORRUPT);
    }
    buf_clear(&wire);
    who.address.ns = SLICE("NO");
    socket_who_encode(&who, &wire);
    expect_err(socket_who_decode(buf_slice(&wire), &got), ERR_CORRUPT);
}

static void what_is_cut_off_is_refused(void **state)
{
    (void)state;
    struct socket_mail got;
    static const struct {
        enum socket_mail_kind kind;
        size_t bytes;
    } cases[] = {{SOCKET_MAIL_OPEN, 32},
                 {SOCKET_MAIL_PIECE, 36},
                 {SOCKET_MAIL_SYNC, 40},
                 {SOCKET_MAIL_GONE, 16},
                 {SOCKET_MAIL_END, 32}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct socket_mail m = mail(cases[i].kind);
        buf_clear(&wire);
        socket_mail_encode(&m, true, &wire);
        assert_int_equal(wire.len, cases[i].bytes);
        for (size_t len = 0; len < wire.len; len++) {
            expect_err(socket_mail_decode(slice_of(wire.data, len), NULL, &got), ERR_CORRUPT);
        }
    }
}

static void kinds_of_nobody_and_sockets_of_no_number_are_refused(void **state)
{
    (void)state;
    struct socket_mail got;
    struct socket_mail m = mail(SOCKET_MAIL_GONE);
    socket_mail_encode(&m, true, &wire);
    wire.data[0] = SOCKET_MAIL_KIND_END;
    expect_err(socket_mail_decode(buf_slice(&wire), NULL, &got), ERR_CORRUPT);
    wire.data[0] = 0;
    expect_err(socket_mail_decode(buf_slice(&wire), NULL, &got), ERR_CORRUPT);
    m.id = 0;
    buf_clear(&wire);
    socket_mail_encode(&m, true, &wire);
    expect_err(socket_mail_decode(buf_slice(&wire), NULL, &got), ERR_CORRUPT);
}

#define T(name) cmocka_unit_test_teardown(name, close_world)

TEST_MAIN(T(what_is_said_is_what_is_heard), T(a_piece_is_said_with_its_bytes_or_beside_them),
          T(whose_socket_it_is_is_said_in_full), T(what_is_cut_off_is_refused),
          T(kinds_of_nobody_and_sockets_of_no_number_are_refused))
