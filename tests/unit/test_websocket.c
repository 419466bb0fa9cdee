#include "rpc/websocket.h"

#include "base/buf.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/lib/test.h"

enum { TEXT = 1, BINARY = 2, CLOSE = 8, PING = 9, PONG = 10, LAST = 0x80, RSV1 = 0x40 };

/* The world of a test: the server's side with small limits, its last event, and what it has sent. */
static struct websocket_limits limits;
static struct websocket *ws;
static struct websocket_event event;
static struct buf sent;
static uint64_t now_ms;

static int open_world(void **state)
{
    (void)state;
    random_init();
    limits = websocket_limits_default;
    limits.message_bytes_max = 200 * 1000;
    limits.unsent_bytes_max = 1000;
    now_ms = 1000;
    ws = websocket_new(WEBSOCKET_SERVER, &limits, now_ms);
    return 0;
}

static void forget_event(void)
{
    bytes_unref(event.data);
    event = (struct websocket_event){0};
}

static int close_world(void **state)
{
    (void)state;
    forget_event();
    websocket_free(ws);
    buf_done(&sent);
    return 0;
}

/* Frames of a client, by hand. */

static void put_head(struct buf *b, uint8_t first, uint64_t len, bool is_masked)
{
    buf_append_byte(b, first);
    uint8_t mask = is_masked ? 0x80 : 0;
    if (len < 126) {
        buf_append_byte(b, (uint8_t)len | mask);
    } else if (len <= UINT16_MAX) {
        buf_append_byte(b, 126 | mask);
        buf_append_u16(b, (uint16_t)len);
    } else {
        buf_append_byte(b, 127 | mask);
        buf_append_u64(b, len);
    }
}

static void put_masked(struct buf *b, uint8_t first, struct slice payload)
{
    static const uint8_t key[4] = {0x12, 0xfe, 0x00, 0x9a};
    put_head(b, first, payload.len, true);
    buf_append(b, key, sizeof key);
    for (size_t i = 0; i < payload.len; i++) {
        buf_append_byte(b, payload.data[i] ^ key[i % 4]);
    }
}

static void recv_frame(uint8_t first, struct slice payload)
{
    struct buf b = {0};
    put_masked(&b, first, payload);
    websocket_recv(ws, buf_slice(&b));
    buf_done(&b);
}

static bool next(void)
{
    forget_event();
    return websocket_next(ws, &event, now_ms);
}

static struct slice take_sent(void)
{
    buf_clear(&sent);
    struct slice out;
    while ((out = websocket_output(ws)).len > 0) {
        size_t n = out.len < 1000 ? out.len : 1000;
        buf_append(&sent, out.data, n);
        websocket_sent(ws, n);
    }
    return buf_slice(&sent);
}

static void expect_message(bool is_text, const char *text)
{
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_MESSAGE);
    assert_int_equal(event.is_text, is_text);
    expect_str(bytes_slice(event.data), text);
}

static void expect_nothing(void)
{
    assert_false(next());
}

static void expect_frame(struct slice frame, uint8_t first, const char *payload)
{
    assert_int_equal(frame.len, 2 + strlen(payload));
    assert_int_equal(frame.data[0], first);
    assert_int_equal(frame.data[1], strlen(payload));
    expect_str(slice_skip(frame, 2), payload);
}

static void expect_close_frame(uint16_t code)
{
    struct slice frame = take_sent();
    assert_true(frame.len >= 4);
    assert_int_equal(frame.data[0], LAST | CLOSE);
    assert_int_equal(frame.data[2] << 8 | frame.data[3], code);
    assert_true(frame.len - 2 == frame.data[1]);
}

/* The peer broke a rule: an event, a close frame with the code, and nothing is heard any more. */
static void expect_failed(uint16_t code)
{
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_FAILED);
    assert_int_equal(event.code, code);
    assert_true(event.reason.len > 0);
    assert_false(websocket_is_over(ws));
    expect_close_frame(code);
    assert_true(websocket_is_over(ws));
    recv_frame(LAST | TEXT, SLICE("more"));
    expect_nothing();
    assert_int_equal(websocket_input_bytes(ws), 0);
    assert_int_equal(websocket_next_deadline_ms(ws), UINT64_MAX);
    expect_err(websocket_send(ws, true, SLICE("x")), ERR_CLOSED);
}

/* Messages */

static void a_text_message_arrives(void **state)
{
    (void)state;
    recv_frame(LAST | TEXT, SLICE("gr\xc3\xbc\xc3\x9f dich"));
    expect_message(true, "gr\xc3\xbc\xc3\x9f dich");
    expect_nothing();
}

static void an_empty_message_is_one(void **state)
{
    (void)state;
    recv_frame(LAST | BINARY, SLICE(""));
    recv_frame(LAST | TEXT, SLICE(""));
    assert_true(next());
    assert_false(event.is_text);
    assert_null(event.data);
    assert_true(next());
    assert_true(event.is_text);
    expect_nothing();
}

static void messages_arrive_one_at_a_time_in_their_order(void **state)
{
    (void)state;
    recv_frame(LAST | TEXT, SLICE("one"));
    recv_frame(LAST | BINARY, SLICE("two"));
    recv_frame(LAST | TEXT, SLICE("three"));
    expect_message(true, "one");
    expect_message(false, "two");
    expect_message(true, "three");
    expect_nothing();
    assert_int_equal(websocket_input_bytes(ws), 0);
}

static void bytes_may_come_one_at_a_time(void **state)
{
    (void)state;
    struct buf b = {0};
    put_masked(&b, TEXT, SLICE("hel"));
    put_masked(&b, LAST | PING, SLICE("are you there"));
    put_masked(&b, LAST, SLICE("lo"));
    for (size_t i = 0; i < b.len; i++) {
        expect_nothing();
        websocket_recv(ws, slice_of(b.data + i, 1));
    }
    expect_message(true, "hello");
    expect_frame(take_sent(), LAST | PONG, "are you there");
    buf_done(&b);
}

static void fragments_are_joined(void **state)
{
    (void)state;
    recv_frame(BINARY, SLICE("a"));
    recv_frame(0, SLICE(""));
    recv_frame(0, SLICE("bc"));
    expect_nothing();
    recv_frame(LAST, SLICE("d"));
    expect_message(false, "abcd");
    recv_frame(LAST | TEXT, SLICE("next"));
    expect_message(true, "next");
}

static void a_character_may_be_cut_between_fragments(void **state)
{
    (void)state;
    recv_frame(TEXT, SLICE("\xe2\x82"));
    recv_frame(LAST, SLICE("\xac"));
    expect_message(true, "\xe2\x82\xac");
}

static void lengths_of_each_form_arrive(void **state)
{
    (void)state;
    static const size_t lengths[] = {1,     125,       126,       127,   4095,  4096,
                                     65535, 65536 - 2, 65535 + 1, 65537, 200000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        uint8_t *payload = mem_alloc(lengths[i]);
        for (size_t k = 0; k < lengths[i]; k++) {
            payload[k] = (uint8_t)(k * 31 / 7);
        }
        recv_frame(LAST | BINARY, slice_of(payload, lengths[i]));
        assert_true(next());
        expect_slice(bytes_slice(event.data), slice_of(payload, lengths[i]));
        mem_free(payload);
    }
}

static void what_is_sent_is_read_by_the_other_role(void **state)
{
    (void)state;
    struct websocket *client = websocket_new(WEBSOCKET_CLIENT, &limits, now_ms);
    static const size_t lengths[] = {0, 1, 125, 126, 65535, 65536, 150000};
    uint8_t *payload = mem_zalloc(150000);
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        random_bytes(payload, lengths[i]);
        struct slice data = slice_of(payload, lengths[i]);
        expect_err(websocket_send(client, false, data), ERR_OK);
        struct slice out = websocket_output(client);
        websocket_recv(ws, out);
        websocket_sent(client, out.len);
        assert_true(next());
        expect_slice(bytes_slice(event.data), data);
        expect_err(websocket_send(ws, false, data), ERR_OK);
        websocket_recv(client, take_sent());
        forget_event();
        assert_true(websocket_next(client, &event, now_ms));
        expect_slice(bytes_slice(event.data), data);
    }
    mem_free(payload);
    websocket_free(client);
}

static void a_short_message_is_sent_in_two_bytes_more(void **state)
{
    (void)state;
    expect_err(websocket_send(ws, true, SLICE("hello")), ERR_OK);
    expect_frame(take_sent(), LAST | TEXT, "hello");
    expect_err(websocket_send(ws, false, SLICE("")), ERR_OK);
    expect_frame(take_sent(), LAST | BINARY, "");
}

/* Bounds */

static void a_message_over_the_limit_is_1009_before_it_comes(void **state)
{
    (void)state;
    struct buf b = {0};
    put_head(&b, LAST | BINARY, limits.message_bytes_max + 1, true);
    buf_append_str(&b, "mask.");
    websocket_recv(ws, buf_slice(&b));
    buf_done(&b);
    expect_failed(WEBSOCKET_TOO_BIG);
}

static void fragments_over_the_limit_are_1009(void **state)
{
    (void)state;
    static uint8_t half[100 * 1000];
    recv_frame(BINARY, slice_of(half, sizeof half));
    recv_frame(0, slice_of(half, sizeof half));
    expect_nothing();
    recv_frame(LAST, SLICE("!"));
    expect_failed(WEBSOCKET_TOO_BIG);
}

static void a_message_of_the_limit_passes(void **state)
{
    (void)state;
    static uint8_t half[100 * 1000];
    recv_frame(BINARY, slice_of(half, sizeof half));
    recv_frame(LAST, slice_of(half, sizeof half));
    assert_true(next());
    assert_int_equal(bytes_slice(event.data).len, limits.message_bytes_max);
}

static void an_announced_length_alone_takes_little_memory(void **state)
{
    (void)state;
    struct buf b = {0};
    put_head(&b, LAST | BINARY, limits.message_bytes_max, true);
    buf_append_str(&b, "mask!");
    websocket_recv(ws, buf_slice(&b));
    buf_done(&b);
    expect_nothing();
    assert_true(websocket_part_bytes(ws) <= 64 * 1024);
}

static void what_is_not_asked_for_waits_as_it_came(void **state)
{
    (void)state;
    static uint8_t payload[10 * 1000];
    for (int i = 0; i < 5; i++) {
        recv_frame(LAST | BINARY, slice_of(payload, sizeof payload));
    }
    assert_true(websocket_input_bytes(ws) > 5 * sizeof payload);
    assert_true(next());
    assert_true(websocket_input_bytes(ws) > 3 * sizeof payload);
    for (int i = 0; i < 4; i++) {
        assert_true(next());
    }
    expect_nothing();
    assert_int_equal(websocket_input_bytes(ws), 0);
}

static void more_than_the_limit_is_not_sent_until_there_is_room(void **state)
{
    (void)state;
    static const uint8_t payload[1500];
    expect_err(websocket_send(ws, false, slice_of(payload, sizeof payload)), ERR_OK);
    assert_true(websocket_unsent_bytes(ws) > limits.unsent_bytes_max);
    expect_err(websocket_send(ws, true, SLICE("x")), ERR_OVERLOADED);
    size_t unsent = websocket_unsent_bytes(ws);
    (void)websocket_output(ws);
    websocket_sent(ws, unsent - limits.unsent_bytes_max);
    expect_err(websocket_send(ws, true, SLICE("x")), ERR_OVERLOADED);
    websocket_sent(ws, 1);
    expect_err(websocket_send(ws, true, SLICE("x")), ERR_OK);
    expect_frame(slice_skip(take_sent(), limits.unsent_bytes_max - 1), LAST | TEXT, "x");
}

static void of_many_pings_the_last_is_answered(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        recv_frame(LAST | PING, SLICE("ping"));
    }
    recv_frame(LAST | PING, SLICE("last"));
    expect_nothing();
    assert_int_equal(websocket_unsent_bytes(ws), 0);
    expect_frame(take_sent(), LAST | PONG, "last");
    assert_int_equal(take_sent().len, 0);
}

static void exhausted_memory_ends_that_socket_alone(void **state)
{
    (void)state;
    static uint8_t payload[70 * 1000];
    recv_frame(LAST | BINARY, slice_of(payload, sizeof payload));
    mem_fail_after(0);
    bool has_event = next();
    mem_fail_after(-1);
    assert_true(has_event);
    assert_int_equal(event.kind, WEBSOCKET_FAILED);
    assert_int_equal(event.code, WEBSOCKET_INTERNAL_ERROR);
    expect_close_frame(WEBSOCKET_INTERNAL_ERROR);
}

/* Control frames */

static void a_pong_stands_before_the_next_message(void **state)
{
    (void)state;
    recv_frame(LAST | PING, SLICE("a"));
    expect_nothing();
    expect_err(websocket_send(ws, true, SLICE("b")), ERR_OK);
    expect_str(take_sent(), "\x8a\x01"
                            "a\x81\x01"
                            "b");
}

static void control_frames_come_between_fragments(void **state)
{
    (void)state;
    recv_frame(TEXT, SLICE("one "));
    recv_frame(LAST | PING, SLICE("p"));
    recv_frame(LAST | PONG, SLICE("unasked"));
    recv_frame(0, SLICE("message"));
    expect_nothing();
    expect_frame(take_sent(), LAST | PONG, "p");
    recv_frame(LAST, SLICE(""));
    expect_message(true, "one message");
}

static void a_close_between_fragments_drops_the_message(void **state)
{
    (void)state;
    recv_frame(TEXT, SLICE("half"));
    recv_frame(LAST | CLOSE, SLICE("\x03\xe8"));
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, 1000);
    assert_int_equal(websocket_part_bytes(ws), 0);
}

/* What breaks the rules: 1002. */

#define FAILS(name, code, statement) \
    static void name(void **state)   \
    {                                \
        (void)state;                 \
        statement;                   \
        expect_failed(code);         \
    }

static void recv_bytes(struct slice bytes)
{
    websocket_recv(ws, bytes);
}

static void recv_unmasked(void)
{
    recv_bytes(SLICE("\x81\x01x"));
}

static void recv_long_ping(void)
{
    static uint8_t payload[126];
    recv_frame(LAST | PING, slice_of(payload, sizeof payload));
}

FAILS(an_unmasked_frame, 1002, recv_unmasked())
FAILS(an_unmasked_empty_frame, 1002, recv_bytes(SLICE("\x81\x00")))
FAILS(a_reserved_bit, 1002, recv_frame(LAST | RSV1 | TEXT, SLICE("x")))
FAILS(a_reserved_bit_of_a_control_frame, 1002, recv_frame(LAST | RSV1 | PING, SLICE("")))
FAILS(an_unknown_data_opcode, 1002, recv_frame(LAST | 3, SLICE("x")))
FAILS(an_unknown_control_opcode, 1002, recv_frame(LAST | 11, SLICE("x")))
FAILS(a_fragmented_ping, 1002, recv_frame(PING, SLICE("x")))
FAILS(a_fragmented_close, 1002, recv_frame(CLOSE, SLICE("\x03\xe8")))
FAILS(a_ping_over_125_bytes, 1002, recv_long_ping())
FAILS(a_fragment_of_no_message, 1002, recv_frame(0, SLICE("x")))
FAILS(a_last_fragment_of_no_message, 1002, recv_frame(LAST, SLICE("x")))
FAILS(a_message_inside_another, 1002,
      (recv_frame(TEXT, SLICE("x")), recv_frame(LAST | TEXT, SLICE("y"))))
FAILS(a_length_in_more_bytes_than_needed, 1002, recv_bytes(SLICE("\x82\xfe\x00\x05maskhello")))
FAILS(a_length_in_eight_bytes_that_needs_two, 1002,
      recv_bytes(SLICE("\x82\xff\x00\x00\x00\x00\x00\x00\xff\xffmask")))
FAILS(a_length_over_63_bits, 1002,
      recv_bytes(SLICE("\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00mask")))
FAILS(a_length_of_63_bits, 1009, recv_bytes(SLICE("\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffmaskx")))
FAILS(a_close_of_one_byte, 1002, recv_frame(LAST | CLOSE, SLICE("\x03")))
FAILS(a_close_code_under_1000, 1002, recv_frame(LAST | CLOSE, SLICE("\x03\xe7")))
FAILS(a_close_code_that_is_reserved, 1002, recv_frame(LAST | CLOSE, SLICE("\x03\xec")))
FAILS(a_close_code_that_is_never_sent, 1002, recv_frame(LAST | CLOSE, SLICE("\x03\xed")))
FAILS(a_close_code_of_nobody, 1002, recv_frame(LAST | CLOSE, SLICE("\x07\xd0")))
FAILS(a_close_code_over_4999, 1002, recv_frame(LAST | CLOSE, SLICE("\x13\x88")))

static void a_server_that_masks_fails_a_client(void **state)
{
    (void)state;
    websocket_free(ws);
    ws = websocket_new(WEBSOCKET_CLIENT, &limits, now_ms);
    recv_frame(LAST | TEXT, SLICE("x"));
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_FAILED);
    assert_int_equal(event.code, 1002);
}

/* UTF-8: 1007 */

FAILS(a_text_of_a_stray_byte, 1007, recv_frame(LAST | TEXT, SLICE("a\x80z")))
FAILS(a_text_that_ends_inside_a_character, 1007, recv_frame(LAST | TEXT, SLICE("\xe2\x82")))
FAILS(a_text_with_a_surrogate, 1007, recv_frame(LAST | TEXT, SLICE("\xed\xa0\x80")))
FAILS(a_text_with_an_overlong_form, 1007, recv_frame(LAST | TEXT, SLICE("\xc0\xaf")))
FAILS(a_text_over_the_last_code_point, 1007, recv_frame(LAST | TEXT, SLICE("\xf4\x90\x80\x80")))
FAILS(a_reason_that_is_not_utf_8, 1007, recv_frame(LAST | CLOSE, SLICE("\x03\xe8\xff")))

static void a_reason_that_is_not_utf_8_is_found_byte_by_byte(void **state)
{
    (void)state;
    struct buf b = {0};
    put_masked(&b, LAST | CLOSE, SLICE("\x03\xe8\xff"));
    for (size_t i = 0; i + 1 < b.len; i++) {
        websocket_recv(ws, slice_of(b.data + i, 1));
        expect_nothing();
    }
    websocket_recv(ws, slice_of(b.data + b.len - 1, 1));
    buf_done(&b);
    expect_failed(1007);
}

static void bytes_need_not_be_utf_8(void **state)
{
    (void)state;
    recv_frame(LAST | BINARY, SLICE("\xff\xfe"));
    expect_message(false, "\xff\xfe");
}

/* Closing */

static void a_close_of_the_peer_waits_for_ours(void **state)
{
    (void)state;
    recv_frame(LAST | CLOSE, SLICE("\x0f\xa0"
                                   "bye"));
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, 4000);
    expect_str(event.reason, "bye");
    assert_true(event.is_clean && event.is_owed);
    assert_int_equal(take_sent().len, 0);
    expect_err(websocket_send(ws, true, SLICE("late")), ERR_CLOSED);
    expect_err(websocket_close(ws, 4001, SLICE("so long"), now_ms), ERR_OK);
    expect_str(take_sent(), "\x88\x09\x0f\xa1so long");
    assert_true(websocket_is_over(ws));
    expect_err(websocket_close(ws, 4001, SLICE(""), now_ms), ERR_CLOSED);
}

static void a_close_that_nobody_answers_is_answered_in_the_end(void **state)
{
    (void)state;
    recv_frame(LAST | CLOSE, SLICE("\x0f\xa0"
                                   "bye"));
    assert_true(next());
    assert_int_equal(websocket_next_deadline_ms(ws), now_ms + limits.close_ms);
    websocket_tick(ws, now_ms + limits.close_ms - 1);
    assert_int_equal(take_sent().len, 0);
    websocket_tick(ws, now_ms + limits.close_ms);
    expect_str(take_sent(), "\x88\x02\x0f\xa0");
    assert_true(websocket_is_over(ws));
}

static void an_empty_close_has_no_code(void **state)
{
    (void)state;
    recv_frame(LAST | CLOSE, SLICE(""));
    assert_true(next());
    assert_int_equal(event.code, WEBSOCKET_NO_CODE);
    websocket_tick(ws, now_ms + limits.close_ms);
    expect_frame(take_sent(), LAST | CLOSE, "");
}

static void our_close_waits_for_that_of_the_peer(void **state)
{
    (void)state;
    expect_err(websocket_close(ws, 1000, SLICE("done"), now_ms), ERR_OK);
    expect_str(take_sent(), "\x88\x06\x03\xe8"
                            "done");
    assert_false(websocket_is_over(ws));
    recv_frame(LAST | TEXT, SLICE("crossed it"));
    recv_frame(LAST | PING, SLICE("too"));
    expect_nothing();
    assert_int_equal(take_sent().len, 0);
    recv_frame(LAST | CLOSE, SLICE("\x03\xe8"));
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, 1000);
    assert_true(event.is_clean && !event.is_owed);
    assert_true(websocket_is_over(ws));
}

static void our_close_waits_only_so_long(void **state)
{
    (void)state;
    expect_err(websocket_close(ws, 0, SLICE(""), now_ms), ERR_OK);
    expect_frame(take_sent(), LAST | CLOSE, "");
    assert_int_equal(websocket_next_deadline_ms(ws), now_ms + limits.close_ms);
    websocket_tick(ws, now_ms + limits.close_ms);
    assert_false(websocket_is_over(ws));
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, WEBSOCKET_ABNORMAL);
    assert_false(event.is_clean);
    assert_true(websocket_is_over(ws));
}

static void a_close_that_must_not_be_sent_is_refused(void **state)
{
    (void)state;
    char long_reason[WEBSOCKET_REASON_BYTES_MAX + 2] = {0};
    memset(long_reason, 'x', WEBSOCKET_REASON_BYTES_MAX + 1);
    static const uint16_t codes[] = {1, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++) {
        expect_err(websocket_close(ws, codes[i], SLICE(""), now_ms), ERR_BAD_REQUEST);
    }
    expect_err(websocket_close(ws, 1000, slice_of_str(long_reason), now_ms), ERR_BAD_REQUEST);
    expect_err(websocket_close(ws, 1000, SLICE("\xff"), now_ms), ERR_BAD_REQUEST);
    expect_err(websocket_close(ws, 0, SLICE("why"), now_ms), ERR_BAD_REQUEST);
    assert_true(websocket_is_open(ws));
    long_reason[WEBSOCKET_REASON_BYTES_MAX] = '\0';
    expect_err(websocket_close(ws, 3000, slice_of_str(long_reason), now_ms), ERR_OK);
    assert_int_equal(take_sent().len, 2 + 125);
}

static void a_peer_that_ends_without_a_close_is_1006_behind_what_it_sent(void **state)
{
    (void)state;
    recv_frame(LAST | TEXT, SLICE("last words"));
    websocket_recv_end(ws);
    expect_message(true, "last words");
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, WEBSOCKET_ABNORMAL);
    assert_false(event.is_clean || event.is_owed);
    assert_true(websocket_is_over(ws));
}

static void a_peer_may_end_right_after_its_close(void **state)
{
    (void)state;
    recv_frame(LAST | CLOSE, SLICE("\x03\xe8"));
    websocket_recv_end(ws);
    assert_true(next());
    assert_int_equal(event.code, 1000);
    assert_true(event.is_clean);
    expect_nothing();
    expect_err(websocket_close(ws, 1000, SLICE(""), now_ms), ERR_OK);
}

static void nothing_is_heard_behind_a_close(void **state)
{
    (void)state;
    struct buf b = {0};
    put_masked(&b, LAST | CLOSE, SLICE("\x03\xe8"));
    put_masked(&b, LAST | TEXT, SLICE("behind"));
    put_masked(&b, LAST | 7, SLICE("nonsense"));
    websocket_recv(ws, buf_slice(&b));
    buf_done(&b);
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_CLOSE);
    expect_nothing();
}

/* Time */

static void tick_after(uint64_t ms)
{
    now_ms += ms;
    websocket_tick(ws, now_ms);
}

static void a_silent_peer_is_asked_whether_it_is_there(void **state)
{
    (void)state;
    assert_int_equal(websocket_next_deadline_ms(ws), now_ms + limits.ping_ms);
    tick_after(limits.ping_ms - 1);
    assert_int_equal(take_sent().len, 0);
    tick_after(1);
    expect_frame(take_sent(), LAST | PING, "");
    assert_int_equal(websocket_next_deadline_ms(ws), now_ms + limits.pong_ms);
    now_ms += 10;
    recv_frame(LAST | PONG, SLICE(""));
    expect_nothing();
    assert_int_equal(websocket_next_deadline_ms(ws), now_ms + limits.ping_ms);
}

static void a_peer_that_says_nothing_is_given_up(void **state)
{
    (void)state;
    tick_after(limits.ping_ms);
    tick_after(limits.pong_ms - 1);
    expect_nothing();
    tick_after(1);
    assert_true(next());
    assert_int_equal(event.kind, WEBSOCKET_CLOSE);
    assert_int_equal(event.code, WEBSOCKET_ABNORMAL);
    assert_true(websocket_is_over(ws));
}

static void half_a_head_is_one_sign_of_life_and_no_more(void **state)
{
    (void)state;
    websocket_recv(ws, SLICE("\x81\xfe"));
    expect_nothing();
    tick_after(limits.ping_ms);
    expect_nothing();
    tick_after(limits.pong_ms);
    assert_true(next());
    assert_int_equal(event.code, WEBSOCKET_ABNORMAL);
}

static void a_message_is_a_sign_of_life_too(void **state)
{
    (void)state;
    now_ms += limits.ping_ms - 1;
    recv_frame(LAST | TEXT, SLICE("x"));
    expect_message(true, "x");
    assert_int_equal(websocket_next_deadline_ms(ws), now_ms + limits.ping_ms);
}

static void a_peer_that_we_do_not_listen_to_is_not_silent(void **state)
{
    (void)state;
    tick_after(limits.ping_ms);
    recv_frame(LAST | TEXT, SLICE("x"));
    assert_int_equal(websocket_next_deadline_ms(ws), UINT64_MAX);
    tick_after(100 * limits.pong_ms);
    expect_message(true, "x");
    assert_int_equal(websocket_next_deadline_ms(ws), now_ms + limits.ping_ms);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(T(a_text_message_arrives), T(an_empty_message_is_one),
          T(messages_arrive_one_at_a_time_in_their_order), T(bytes_may_come_one_at_a_time),
          T(fragments_are_joined), T(a_character_may_be_cut_between_fragments),
          T(lengths_of_each_form_arrive), T(what_is_sent_is_read_by_the_other_role),
          T(a_short_message_is_sent_in_two_bytes_more),
          T(a_message_over_the_limit_is_1009_before_it_comes), T(fragments_over_the_limit_are_1009),
          T(a_message_of_the_limit_passes), T(an_announced_length_alone_takes_little_memory),
          T(what_is_not_asked_for_waits_as_it_came),
          T(more_than_the_limit_is_not_sent_until_there_is_room),
          T(of_many_pings_the_last_is_answered), T(exhausted_memory_ends_that_socket_alone),
          T(a_pong_stands_before_the_next_message), T(control_frames_come_between_fragments),
          T(a_close_between_fragments_drops_the_message), T(an_unmasked_frame),
          T(an_unmasked_empty_frame), T(a_reserved_bit), T(a_reserved_bit_of_a_control_frame),
          T(an_unknown_data_opcode), T(an_unknown_control_opcode), T(a_fragmented_ping),
          T(a_fragmented_close), T(a_ping_over_125_bytes), T(a_fragment_of_no_message),
          T(a_last_fragment_of_no_message), T(a_message_inside_another),
          T(a_length_in_more_bytes_than_needed), T(a_length_in_eight_bytes_that_needs_two),
          T(a_length_over_63_bits), T(a_length_of_63_bits), T(a_close_of_one_byte),
          T(a_close_code_under_1000), T(a_close_code_that_is_reserved),
          T(a_close_code_that_is_never_sent), T(a_close_code_of_nobody), T(a_close_code_over_4999),
          T(a_server_that_masks_fails_a_client), T(a_text_of_a_stray_byte),
          T(a_text_that_ends_inside_a_character), T(a_text_with_a_surrogate),
          T(a_text_with_an_overlong_form), T(a_text_over_the_last_code_point),
          T(a_reason_that_is_not_utf_8), T(a_reason_that_is_not_utf_8_is_found_byte_by_byte),
          T(bytes_need_not_be_utf_8), T(a_close_of_the_peer_waits_for_ours),
          T(a_close_that_nobody_answers_is_answered_in_the_end), T(an_empty_close_has_no_code),
          T(our_close_waits_for_that_of_the_peer), T(our_close_waits_only_so_long),
          T(a_close_that_must_not_be_sent_is_refused),
          T(a_peer_that_ends_without_a_close_is_1006_behind_what_it_sent),
          T(a_peer_may_end_right_after_its_close), T(nothing_is_heard_behind_a_close),
          T(a_silent_peer_is_asked_whether_it_is_there), T(a_peer_that_says_nothing_is_given_up),
          T(half_a_head_is_one_sign_of_life_and_no_more), T(a_message_is_a_sign_of_life_too),
          T(a_peer_that_we_do_not_listen_to_is_not_silent))
