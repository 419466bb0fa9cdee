#include "rpc/peer_frame.h"

#include "base/endian.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/lib/test.h"

static const struct peer_hello hello = {.version = 3,
                                        .version_oldest = 2,
                                        .cluster_id = UINT64_C(0x1122334455667788),
                                        .node = 7,
                                        .worker = 2,
                                        .workers = 4,
                                        .channel = PEER_BULK,
                                        .term = 99};
static const struct peer_message message = {.kind = 250,
                                            .group = UINT32_C(0xdeadbeef),
                                            .from = UINT64_C(7) << 32 | 1,
                                            .to = UINT64_C(8) << 32 | 2,
                                            .payload = {(const uint8_t *)"hello", 5}};

static struct peer_frame decode(const struct buf *b)
{
    struct peer_frame f;
    size_t n = 0;
    expect_err(peer_frame_bytes(buf_slice(b), &n), ERR_OK);
    assert_int_equal(n, b->len);
    expect_err(peer_frame_decode(buf_slice(b), &f), ERR_OK);
    return f;
}

static void greetings_are_read_as_they_are_written(void **state)
{
    (void)state;
    static const enum peer_frame_type types[] = {PEER_HELLO, PEER_WELCOME};
    for (size_t i = 0; i < 2; i++) {
        struct buf b = {0};
        peer_put_hello(&b, types[i], &hello);
        struct peer_frame f = decode(&b);
        assert_int_equal(f.type, types[i]);
        assert_int_equal(f.hello.version, 3);
        assert_int_equal(f.hello.version_oldest, 2);
        assert_true(f.hello.cluster_id == hello.cluster_id && f.hello.term == 99);
        assert_int_equal(f.hello.node, 7);
        assert_int_equal(f.hello.worker, 2);
        assert_int_equal(f.hello.workers, 4);
        assert_int_equal(f.hello.channel, PEER_BULK);
        buf_done(&b);
    }
}

static void what_a_later_version_appends_to_a_greeting_is_skipped(void **state)
{
    (void)state;
    struct buf b = {0};
    peer_put_hello(&b, PEER_HELLO, &hello);
    buf_append_str(&b, "something new");
    put_be32(b.data, (uint32_t)(b.len - PEER_HEAD_BYTES));
    assert_int_equal(decode(&b).hello.node, 7);
    buf_done(&b);
}

static void a_greeting_that_makes_no_sense_is_corrupt(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        const char *bytes;
        size_t len;
    } rows[] = {
        {PEER_HEAD_BYTES, "X", 1},             /* magic */
        {PEER_HEAD_BYTES + 4, "\0\1", 2},      /* newest below oldest */
        {PEER_HEAD_BYTES + 6, "\0\0", 2},      /* oldest 0 */
        {PEER_HEAD_BYTES + 16, "\0\0\0\0", 4}, /* node 0 */
        {PEER_HEAD_BYTES + 20, "\0\4", 2},     /* worker 4 of 4 */
        {PEER_HEAD_BYTES + 22, "\0\0", 2},     /* no workers */
        {PEER_HEAD_BYTES + 22, "\0\x41", 2},   /* 65 workers */
        {PEER_HEAD_BYTES + 24, "\2", 1},       /* channel */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = {0};
        struct peer_frame f;
        peer_put_hello(&b, PEER_HELLO, &hello);
        memcpy(b.data + rows[i].at, rows[i].bytes, rows[i].len);
        expect_err(peer_frame_decode(buf_slice(&b), &f), ERR_CORRUPT);
        buf_done(&b);
    }
}

static void refusals_and_pings_are_read_as_they_are_written(void **state)
{
    (void)state;
    struct buf b = {0};
    peer_put_refuse(&b, PEER_OTHER_CLUSTER, "why");
    struct peer_frame f = decode(&b);
    assert_int_equal(f.refusal, PEER_OTHER_CLUSTER);
    expect_str(f.text, "why");
    b.data[PEER_HEAD_BYTES] = PEER_REFUSAL_END;
    expect_err(peer_frame_decode(buf_slice(&b), &f), ERR_CORRUPT);
    buf_clear(&b);
    peer_put_stamp(&b, PEER_PING, UINT64_MAX - 1);
    assert_true(decode(&b).stamp == UINT64_MAX - 1);
    buf_clear(&b);
    peer_put_stamp(&b, PEER_PONG, 5);
    f = decode(&b);
    assert_int_equal(f.type, PEER_PONG);
    assert_int_equal(f.stamp, 5);
    buf_clear(&b);
    char *text = mem_zalloc(PEER_TEXT_BYTES_MAX + 100);
    memset(text, 'x', PEER_TEXT_BYTES_MAX + 50);
    peer_put_refuse(&b, PEER_OTHER_NODE, text);
    assert_int_equal(decode(&b).text.len, PEER_TEXT_BYTES_MAX);
    mem_free(text);
    buf_done(&b);
}

static void messages_are_read_as_they_are_written(void **state)
{
    (void)state;
    struct buf b = {0};
    peer_put_message(&b, &message);
    struct peer_frame f = decode(&b);
    assert_int_equal(f.type, PEER_MESSAGE);
    assert_int_equal(f.message.kind, 250);
    assert_int_equal(f.message.group, message.group);
    assert_true(f.message.from == message.from && f.message.to == message.to);
    expect_str(f.message.payload, "hello");
    buf_clear(&b);
    struct peer_message empty = message;
    empty.payload = (struct slice){0};
    peer_put_message(&b, &empty);
    assert_int_equal(decode(&b).message.payload.len, 0);
    buf_done(&b);
}

static void pieces_are_read_as_they_are_written(void **state)
{
    (void)state;
    struct buf b = {0};
    uint8_t *bytes = mem_alloc(PEER_WHOLE_BYTES_MAX + 1);
    random_bytes(bytes, PEER_WHOLE_BYTES_MAX + 1);
    struct peer_message large = message;
    large.payload = slice_of(bytes, PEER_WHOLE_BYTES_MAX + 1);
    peer_put_first(&b, &large, 1000);
    struct peer_frame f = decode(&b);
    assert_int_equal(f.type, PEER_FIRST);
    assert_int_equal(f.whole_bytes, PEER_WHOLE_BYTES_MAX + 1);
    assert_true(f.message.from == message.from && f.message.group == message.group);
    expect_slice(f.message.payload, slice_of(bytes, 1000));
    buf_clear(&b);
    peer_put_more(&b, &large, 1000, PEER_PIECE_BYTES);
    f = decode(&b);
    assert_int_equal(f.type, PEER_MORE);
    assert_int_equal(f.message.kind, 250);
    assert_int_equal(f.message.group, message.group);
    expect_slice(f.message.payload, slice_of(bytes + 1000, PEER_PIECE_BYTES));
    mem_free(bytes);
    buf_done(&b);
}

/* Each frame cut off anywhere wants more; its length is never taken from what is not there. */
static void a_frame_cut_off_wants_more(void **state)
{
    (void)state;
    struct buf b = {0};
    size_t n;
    peer_put_hello(&b, PEER_HELLO, &hello);
    for (size_t len = 0; len < PEER_HEAD_BYTES; len++) {
        expect_err(peer_frame_bytes(slice_of(b.data, len), &n), ERR_MORE);
    }
    expect_err(peer_frame_bytes(slice_of(b.data, PEER_HEAD_BYTES), &n), ERR_OK);
    assert_int_equal(n, b.len);
    buf_done(&b);
}

static void heads_are_checked_by_themselves(void **state)
{
    (void)state;
    static const struct {
        uint32_t body;
        uint8_t type;
        enum err err;
    } rows[] = {
        {8, PEER_PING, ERR_OK},
        {7, PEER_PING, ERR_CORRUPT},
        {9, PEER_PING, ERR_CORRUPT},
        {8, 0, ERR_CORRUPT},
        {8, PEER_MORE + 1, ERR_CORRUPT},
        {8, 255, ERR_CORRUPT},
        {UINT32_MAX, PEER_MESSAGE, ERR_CORRUPT},
        {PEER_MESSAGE_HEAD_BYTES - 1, PEER_MESSAGE, ERR_CORRUPT},
        {PEER_MESSAGE_HEAD_BYTES + PEER_WHOLE_BYTES_MAX, PEER_MESSAGE, ERR_OK},
        {PEER_MESSAGE_HEAD_BYTES + PEER_WHOLE_BYTES_MAX + 1, PEER_MESSAGE, ERR_CORRUPT},
        {PEER_FIRST_HEAD_BYTES, PEER_FIRST, ERR_CORRUPT}, /* an empty piece */
        {PEER_MORE_HEAD_BYTES, PEER_MORE, ERR_CORRUPT},
        {PEER_MORE_HEAD_BYTES + PEER_PIECE_BYTES + 1, PEER_MORE, ERR_CORRUPT},
        {PEER_HELLO_BYTES - 1, PEER_HELLO, ERR_CORRUPT},
        {PEER_HELLO_BYTES_MAX + 1, PEER_HELLO, ERR_CORRUPT},
        {0, PEER_REFUSE, ERR_CORRUPT},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf b = {0};
        size_t n;
        buf_append_u32(&b, rows[i].body);
        buf_append_u32(&b, (uint32_t)rows[i].type << 24);
        if (peer_frame_bytes(buf_slice(&b), &n) != rows[i].err) {
            fail_msg("row %zu", i);
        }
        b.data[7] = 1; /* what must be zero is */
        expect_err(peer_frame_bytes(buf_slice(&b), &n), ERR_CORRUPT);
        buf_done(&b);
    }
}

static void a_first_piece_announces_what_needs_pieces_and_fits(void **state)
{
    (void)state;
    static const uint32_t wrong[] = {0, 1, PEER_WHOLE_BYTES_MAX, PEER_MESSAGE_BYTES_MAX + 1,
                                     UINT32_MAX};
    struct buf b = {0};
    struct peer_frame f;
    uint8_t *bytes = mem_zalloc(PEER_WHOLE_BYTES_MAX + 1);
    struct peer_message large = message;
    large.payload = slice_of(bytes, PEER_WHOLE_BYTES_MAX + 1);
    peer_put_first(&b, &large, 10);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        put_be32(b.data + PEER_HEAD_BYTES + PEER_MESSAGE_HEAD_BYTES, wrong[i]);
        expect_err(peer_frame_decode(buf_slice(&b), &f), ERR_CORRUPT);
    }
    mem_free(bytes);
    buf_done(&b);
}

static void the_newest_version_of_both_is_spoken(void **state)
{
    (void)state;
    static const struct {
        uint16_t own[2];
        uint16_t other[2];
        uint16_t version;
    } rows[] = {
        {{1, 1}, {1, 1}, 1}, {{2, 1}, {1, 1}, 1}, {{1, 1}, {2, 1}, 1}, {{3, 2}, {2, 1}, 2},
        {{3, 2}, {1, 1}, 0}, {{1, 1}, {3, 2}, 0}, {{3, 2}, {4, 3}, 3}, {{5, 5}, {4, 4}, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_int_equal(peer_version_of_both(rows[i].own[0], rows[i].own[1], rows[i].other[0],
                                              rows[i].other[1]),
                         rows[i].version);
    }
}

TEST_MAIN(cmocka_unit_test(greetings_are_read_as_they_are_written),
          cmocka_unit_test(what_a_later_version_appends_to_a_greeting_is_skipped),
          cmocka_unit_test(a_greeting_that_makes_no_sense_is_corrupt),
          cmocka_unit_test(refusals_and_pings_are_read_as_they_are_written),
          cmocka_unit_test(messages_are_read_as_they_are_written),
          cmocka_unit_test(pieces_are_read_as_they_are_written),
          cmocka_unit_test(a_frame_cut_off_wants_more),
          cmocka_unit_test(heads_are_checked_by_themselves),
          cmocka_unit_test(a_first_piece_announces_what_needs_pieces_and_fits),
          cmocka_unit_test(the_newest_version_of_both_is_spoken))
