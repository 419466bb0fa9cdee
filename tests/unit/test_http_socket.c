/* Exchanges that become sockets, on both versions of HTTP. */
#include "base/mem.h"
#include "rpc/http.h"
#include "tests/lib/test.h"
#include "tests/unit/http2_world.h"

#define GET       "GET /ws HTTP/1.1\r\nHost: a\r\n"
#define UPGRADE   "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define VERSION   "Sec-WebSocket-Version: 13\r\n"
#define KEY       "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" /* of RFC 6455, 1.3 */
#define HANDSHAKE GET UPGRADE VERSION KEY "\r\n"
#define CONSENT                                                                         \
    "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n" \
    "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"

/* `one` speaks HTTP/1.1; `world` and `client` speak HTTP/2 (http2_world.h). All are of one address. */
static struct http_callee one;
static struct http_load whole;
static struct http_load address;

static int open_both(void **state)
{
    (void)open_world(state);
    (void)close_world(state);
    whole = (struct http_load){0};
    address = (struct http_load){.whole = &whole};
    http_callee_init(&one, &limits);
    http_conn_share(one.conn, &address);
    http_callee_init(&world, &limits);
    http_conn_share(world.conn, &address);
    http2_client_init(&client, &world);
    http2_client_pump(&client);
    return 0;
}

static int close_both(void **state)
{
    http_callee_done(&one);
    (void)close_world(state);
    assert_int_equal(whole.request_bytes, 0);
    assert_int_equal(whole.unsent_bytes, 0);
    assert_int_equal(whole.exchange_count, 0);
    return 0;
}

/* HTTP/1.1 */

static void recv_str(const char *text)
{
    http_callee_recv(&one, slice_of_str(text));
}

static struct slice take_sent(void)
{
    static struct buf last;
    http_callee_flush(&one);
    buf_done(&last);
    last = buf_take(&one.sent);
    return buf_slice(&last);
}

static struct slice take_data(struct http_callee *callee)
{
    static struct buf last;
    buf_done(&last);
    last = buf_take(&callee->data);
    return buf_slice(&last);
}

static struct http_exchange *accept_first(struct http_callee *callee)
{
    struct http_exchange *x = http_callee_open(callee, 0);
    assert_true(http_exchange_request(x)->wants_socket);
    http_socket_accept(x, NULL, 0);
    return x;
}

static struct http_exchange *open_socket(void)
{
    recv_str(HANDSHAKE);
    struct http_exchange *x = accept_first(&one);
    expect_str(take_sent(), CONSENT);
    return x;
}

static void end_socket(struct http_callee *callee, struct http_exchange *x)
{
    http_callee_forget(callee, x);
    http_stream_end(x);
}

static void a_socket_opens_with_the_answer_to_its_key(void **state)
{
    (void)state;
    recv_str(HANDSHAKE);
    const struct http_request *r = http_exchange_request(http_callee_open(&one, 0));
    assert_true(r->wants_socket);
    expect_str(r->method, "GET");
    expect_str(r->target, "/ws");
    (void)accept_first(&one);
    expect_str(take_sent(), CONSENT);
    assert_false(http_conn_wants_close(one.conn));
}

static void bytes_go_both_ways_as_they_are(void **state)
{
    (void)state;
    struct http_exchange *x = open_socket();
    recv_str("hello");
    expect_str(take_data(&one), "hello");
    expect_err(http_stream_write(x, SLICE("\x81\x02hi")), ERR_OK);
    expect_str(take_sent(), "\x81\x02hi");
    recv_str(GET "\r\n");
    expect_str(take_data(&one), GET "\r\n");
    assert_int_equal(one.request_count, 1);
}

static void a_subprotocol_passes_and_other_fields_of_the_handshake_do_not(void **state)
{
    (void)state;
    recv_str(GET UPGRADE VERSION KEY "Sec-WebSocket-Protocol: chat, superchat\r\n\r\n");
    struct http_exchange *x = http_callee_open(&one, 0);
    struct slice offered;
    assert_true(http_request_header(http_exchange_request(x), "sec-websocket-protocol", &offered));
    expect_str(offered, "chat, superchat");
    struct http_header headers[] = {
        {SLICE("Sec-WebSocket-Protocol"), SLICE("chat")},
        {SLICE("Sec-WebSocket-Accept"), SLICE("forged")},
        {SLICE("Sec-WebSocket-Extensions"), SLICE("permessage-deflate")},
        {SLICE("Upgrade"), SLICE("h2c")},
        {SLICE("Connection"), SLICE("close")},
        {SLICE("X-Mine"), SLICE("1")},
    };
    http_socket_accept(x, headers, sizeof headers / sizeof headers[0]);
    expect_str(take_sent(),
               "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Protocol: chat\r\nX-Mine: 1\r\n"
               "upgrade: websocket\r\nconnection: Upgrade\r\n"
               "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n");
}

static void what_comes_with_the_request_is_the_sockets(void **state)
{
    (void)state;
    recv_str(HANDSHAKE "early");
    recv_str(" bytes");
    assert_false(http_conn_wants_read(one.conn));
    assert_int_equal(one.data.len, 0);
    (void)accept_first(&one);
    expect_str(take_sent(), CONSENT);
    expect_str(take_data(&one), "early bytes");
    assert_true(http_conn_wants_read(one.conn));
    recv_str("late");
    expect_str(take_data(&one), "late");
}

static void a_socket_waits_for_the_answers_ahead_of_it(void **state)
{
    (void)state;
    recv_str(GET "\r\n" HANDSHAKE);
    struct http_exchange *x = http_callee_open(&one, 1);
    http_socket_accept(x, NULL, 0);
    expect_err(http_stream_write(x, SLICE("hi")), ERR_OK);
    assert_int_equal(take_sent().len, 0);
    http_callee_respond(&one, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\n" CONSENT "hi");
}

static void a_refused_socket_ends_the_connection_and_what_came_early_is_no_request(void **state)
{
    (void)state;
    recv_str(HANDSHAKE GET "\r\n");
    http_callee_respond(&one, 404, "no");
    expect_str(take_sent(),
               "HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\nconnection: close\r\n\r\nno");
    assert_int_equal(one.request_count, 1);
    assert_true(http_conn_wants_close(one.conn));
}

static void expect_bad(const char *text)
{
    recv_str(text);
    struct slice sent = take_sent();
    if (!slice_has_prefix(sent, SLICE("HTTP/1.1 400 ")) || one.request_count != 0) {
        fail_msg("\"%s\" was answered with \"%.*s\"", text, (int)sent.len, (const char *)sent.data);
    }
    assert_true(contains(sent, "sec-websocket-version: 13\r\n"));
    assert_true(http_conn_wants_close(one.conn));
}

#define REFUSES(name, text)        \
    static void name(void **state) \
    {                              \
        (void)state;               \
        expect_bad(text "\r\n");   \
    }
#define POST      "POST /ws HTTP/1.1\r\nHost: a\r\n"
#define OTHER_KEY "Sec-WebSocket-Key: "

REFUSES(no_version, GET UPGRADE KEY)
REFUSES(another_version, GET UPGRADE KEY "Sec-WebSocket-Version: 8\r\n")
REFUSES(two_versions, GET UPGRADE KEY VERSION VERSION)
REFUSES(no_key, GET UPGRADE VERSION)
REFUSES(two_keys, GET UPGRADE VERSION KEY KEY)
REFUSES(an_empty_key, GET UPGRADE VERSION OTHER_KEY "\r\n")
REFUSES(a_key_of_15_bytes, GET UPGRADE VERSION OTHER_KEY "AAAAAAAAAAAAAAAAAAAA\r\n")
REFUSES(a_key_of_17_bytes, GET UPGRADE VERSION OTHER_KEY "AAAAAAAAAAAAAAAAAAAAAAA=\r\n")
REFUSES(a_key_that_is_no_base64, GET UPGRADE VERSION OTHER_KEY "dGhlIHNhbXBsZSBub25jZQ!!\r\n")
REFUSES(a_key_with_stray_bits, GET UPGRADE VERSION OTHER_KEY "dGhlIHNhbXBsZSBub25jZR==\r\n")
REFUSES(a_key_with_blanks_inside, GET UPGRADE VERSION OTHER_KEY "dGhlIHNhbXBs ZSBub25jZ==\r\n")
REFUSES(a_socket_by_post, POST UPGRADE VERSION KEY)
REFUSES(a_socket_with_a_body, GET UPGRADE VERSION KEY "Content-Length: 2\r\n")
REFUSES(a_socket_with_a_chunked_body, GET UPGRADE VERSION KEY "Transfer-Encoding: chunked\r\n")

static void expect_plain(const char *text)
{
    recv_str(text);
    assert_false(http_exchange_request(http_callee_open(&one, 0))->wants_socket);
    http_callee_respond(&one, 204, NULL);
    (void)take_sent();
}

static void what_does_not_ask_for_a_socket_is_a_request_like_others(void **state)
{
    (void)state;
    expect_plain(GET "Upgrade: websocket\r\n" VERSION KEY "\r\n");
    expect_plain(GET "Connection: Upgrade\r\nUpgrade: h2c\r\n" VERSION KEY "\r\n");
    expect_plain(GET "Connection: Upgraded\r\nUpgrade: websocket\r\n" VERSION KEY "\r\n");
    expect_plain(GET "Connection: keep-alive\r\nUpgrade: websocket\r\n" VERSION KEY "\r\n");
    expect_plain(GET VERSION KEY "\r\n");
    expect_plain("GET / HTTP/1.0\r\nConnection: keep-alive, Upgrade\r\n"
                 "Upgrade: websocket\r\n" VERSION KEY "\r\n");
    recv_str(GET "Connection: close, Upgrade\r\nUpgrade: websocket\r\n" VERSION KEY "\r\n");
    assert_false(http_exchange_request(http_callee_open(&one, 0))->wants_socket);
    http_callee_respond(&one, 204, NULL);
}

static void the_words_of_a_handshake_stand_in_lists_and_in_any_case(void **state)
{
    (void)state;
    recv_str(GET "Connection: keep-alive\r\nConnection: x , UPGRADE\r\n"
                 "Upgrade: h2c, WebSocket\r\n" VERSION KEY "\r\n");
    (void)accept_first(&one);
    expect_str(take_sent(), CONSENT);
}

static void consent_without_being_asked_is_a_bug(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    expect_invariants_to_fail();
    expect_assert_failure(http_socket_accept(http_callee_open(&one, 0), NULL, 0));
}

/* Ends */

static void an_end_of_ours_closes_the_connection_behind_what_was_written(void **state)
{
    (void)state;
    struct http_exchange *x = open_socket();
    expect_err(http_stream_write(x, SLICE("bye")), ERR_OK);
    end_socket(&one, x);
    recv_str("too late");
    assert_int_equal(one.data.len, 0);
    assert_false(http_conn_wants_close(one.conn));
    expect_str(take_sent(), "bye");
    assert_true(http_conn_wants_close(one.conn));
}

static void a_peer_that_closes_its_side_is_told_and_may_be_answered(void **state)
{
    (void)state;
    one.keeps_data = true;
    struct http_exchange *x = open_socket();
    recv_str("last");
    http_conn_recv_end(one.conn, one.now_ms);
    expect_str(take_data(&one), "last");
    assert_int_equal(one.ended_count, 1);
    expect_err(http_stream_write(x, SLICE("bye")), ERR_OK);
    end_socket(&one, x);
    expect_str(take_sent(), "bye");
    assert_true(http_conn_wants_close(one.conn));
    assert_int_equal(one.cancel_count, 0);
}

static void a_callee_that_does_not_end_what_has_ended_loses_it(void **state)
{
    (void)state;
    one.keeps_data = true;
    (void)open_socket();
    http_conn_recv_end(one.conn, one.now_ms);
    http_conn_tick(one.conn, one.now_ms + limits.half_closed_ms);
    assert_int_equal(one.cancel_count, 1);
}

static void a_peer_that_goes_away_before_our_consent_is_gone(void **state)
{
    (void)state;
    recv_str(HANDSHAKE);
    http_conn_recv_end(one.conn, one.now_ms);
    assert_int_equal(one.cancel_count, 1);
    assert_true(http_conn_wants_close(one.conn));
}

static void what_came_early_is_there_before_the_end(void **state)
{
    (void)state;
    recv_str(HANDSHAKE "early");
    (void)accept_first(&one);
    http_conn_recv_end(one.conn, one.now_ms); /* nothing was sent meanwhile */
    assert_int_equal(one.ended_count, 0);
    (void)take_sent();
    expect_str(take_data(&one), "early");
    assert_int_equal(one.ended_count, 1);
}

static void a_connection_that_breaks_cancels_its_socket(void **state)
{
    (void)state;
    (void)open_socket();
    http_conn_cut(one.conn);
    assert_int_equal(one.cancel_count, 1);
}

static void a_drained_connection_keeps_its_socket_until_it_ends(void **state)
{
    (void)state;
    struct http_exchange *x = open_socket();
    http_conn_drain(one.conn);
    recv_str("still here");
    expect_str(take_data(&one), "still here");
    assert_false(http_conn_wants_close(one.conn));
    end_socket(&one, x);
    (void)take_sent();
    assert_true(http_conn_wants_close(one.conn));
}

static void no_socket_opens_on_a_connection_that_is_drained(void **state)
{
    (void)state;
    recv_str("GET /ws HTTP/1.1\r\n");
    http_conn_drain(one.conn);
    recv_str("Host: a\r\n" UPGRADE VERSION KEY "\r\n");
    assert_false(http_exchange_request(http_callee_open(&one, 0))->wants_socket);
    http_callee_respond(&one, 204, NULL);
}

/* Bounds, the same on both versions */

static void recv_bytes(size_t len)
{
    uint8_t *bytes = mem_zalloc(len);
    http_callee_recv(&one, slice_of(bytes, len));
    mem_free(bytes);
}

static void who_does_not_consume_is_not_read_for(void **state)
{
    (void)state;
    one.keeps_data = true;
    struct http_exchange *x = open_socket();
    recv_bytes(HTTP_SOCKET_AHEAD_BYTES - 1);
    assert_true(http_conn_wants_read(one.conn));
    recv_bytes(10 * 1000); /* what one read gave */
    assert_false(http_conn_wants_read(one.conn));
    http_callee_flush(&one);
    size_t told = one.output_count;
    http_socket_consume(x, 9 * 1000);
    assert_false(http_conn_wants_read(one.conn));
    http_socket_consume(x, 1000);
    assert_true(http_conn_wants_read(one.conn));
    assert_true(one.output_count > told); /* so that its socket is looked at */
}

static void what_is_held_for_a_socket_counts(void **state)
{
    (void)state;
    struct http_exchange *x = open_socket();
    assert_int_equal(whole.request_bytes, 0);
    http_socket_hold(x, 100, 20, 7);
    assert_int_equal(whole.request_bytes, 120);
    assert_int_equal(address.unsent_bytes, 7);
    assert_true(http_socket_has_room(x));
    http_socket_hold(x, limits.address_bytes_max, 20, 7);
    assert_false(http_socket_has_room(x));
    http_socket_hold(x, 1, 0, 2);
    assert_int_equal(whole.request_bytes, 1);
    assert_int_equal(whole.unsent_bytes, 2);
    http_conn_cut(one.conn);
    assert_int_equal(whole.request_bytes, 0);
    assert_int_equal(whole.unsent_bytes, 0);
}

static void a_full_socket_refuses_and_says_when_it_is_writable(void **state)
{
    (void)state;
    struct http_exchange *x = open_socket();
    uint8_t piece[1200] = {0};
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OK);
    expect_err(http_stream_write(x, SLICE("x")), ERR_OVERLOADED);
    http_callee_flush(&one);
    assert_int_equal(one.writable_count, 1);
    expect_err(http_stream_write(x, SLICE("x")), ERR_OK);
}

static void a_large_message_must_get_on(void **state)
{
    (void)state;
    struct http_exchange *x = open_socket();
    one.now_ms += 5 * limits.stall_ms;
    recv_str("x");
    http_socket_hold(x, HTTP_SOCKET_LITTLE_BYTES, 0, 0);
    assert_int_equal(http_conn_next_deadline_ms(one.conn), UINT64_MAX);
    http_socket_hold(x, HTTP_SOCKET_LITTLE_BYTES + 1, 0, 0);
    assert_int_equal(http_conn_next_deadline_ms(one.conn), one.now_ms + limits.stall_ms);
    one.now_ms += limits.stall_ms - 1;
    recv_bytes(16 * 1024);
    http_conn_tick(one.conn, one.now_ms + 1);
    assert_int_equal(one.cancel_count, 0);
    http_conn_tick(one.conn, one.now_ms + limits.stall_ms);
    assert_int_equal(one.cancel_count, 1);
    assert_true(http_conn_wants_close(one.conn));
}

static void a_large_message_has_a_second_where_too_much_is_held(void **state)
{
    (void)state;
    struct http_exchange *x = open_socket();
    http_socket_hold(x, limits.address_bytes_max + 1, 0, 0);
    assert_int_equal(http_conn_next_deadline_ms(one.conn), one.now_ms + 1000);
}

static void messages_that_wait_for_us_do_not_hurry_the_peer(void **state)
{
    (void)state;
    one.keeps_data = true;
    struct http_exchange *x = open_socket();
    http_socket_hold(x, 0, 1000 * 1000, 0);
    assert_int_equal(http_conn_next_deadline_ms(one.conn), UINT64_MAX);
    recv_bytes(HTTP_SOCKET_AHEAD_BYTES);
    http_socket_hold(x, 100 * 1000, 0, 0);
    assert_int_equal(http_conn_next_deadline_ms(one.conn), UINT64_MAX); /* we do not read */
    one.now_ms += 2 * limits.stall_ms;
    http_conn_tick(one.conn, one.now_ms);
    http_socket_consume(x, 1);
    assert_int_equal(http_conn_next_deadline_ms(one.conn), one.now_ms + limits.stall_ms);
}

/* HTTP/2 */

static const struct http_header version[] = {
    {{(const uint8_t *)"sec-websocket-version", 21}, {(const uint8_t *)"13", 2}}};

static int32_t ask_for_socket(void)
{
    int32_t id = http2_client_connect(&client, "websocket", "/ws", version, 1, false);
    http2_client_pump(&client);
    return id;
}

static void http2_says_that_it_connects_to_protocols(void **state)
{
    (void)state;
    assert_int_equal(nghttp2_session_get_remote_settings(client.session,
                                                         NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL),
                     1);
}

static void a_socket_opens_on_a_stream(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
    expect_str(r->method, "GET");
    expect_str(r->target, "/ws");
    expect_str(r->authority, "a");
    struct http_header headers[] = {{SLICE("sec-websocket-protocol"), SLICE("chat")},
                                    {SLICE("sec-websocket-accept"), SLICE("forged")}};
    struct http_exchange *x = http_callee_open(&world, 0);
    http_socket_accept(x, headers, 2);
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->head), ":status: 200\nsec-websocket-protocol: chat\n");
    assert_false(stream(id)->has_ended);
    http2_client_send_more(&client, id, SLICE("hello"), false);
    http2_client_pump(&client);
    expect_str(take_data(&world), "hello");
    expect_err(http_stream_write(x, SLICE("hi")), ERR_OK);
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->body), "hi");
}

/* A request beside the open socket. */
static void expect_answer_beside(void)
{
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 1);
    http_callee_forget(&world, x);
    http_respond(x, 204, NULL, 0, NULL);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 204);
    assert_true(stream(id)->is_closed);
}

static void other_streams_go_on_beside_a_socket(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    (void)accept_first(&world);
    expect_answer_beside();
    http2_client_send_more(&client, id, SLICE("still here"), false);
    http2_client_pump(&client);
    expect_str(take_data(&world), "still here");
}

static void an_end_of_the_client_is_told_on_http2(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    (void)accept_first(&world);
    http2_client_send_more(&client, id, SLICE("bye"), true);
    http2_client_pump(&client);
    expect_str(take_data(&world), "bye");
    assert_int_equal(world.ended_count, 1); /* and the callee has ended it too */
    assert_true(stream(id)->has_ended && stream(id)->is_closed);
    assert_int_equal(stream(id)->error_code, NGHTTP2_NO_ERROR);
    expect_alive();
}

static void an_end_of_ours_ends_the_stream_behind_what_was_written(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    struct http_exchange *x = accept_first(&world);
    expect_err(http_stream_write(x, SLICE("bye")), ERR_OK);
    end_socket(&world, x);
    tick_after(1000);
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->body), "bye");
    assert_true(stream(id)->has_ended);
    assert_false(stream(id)->is_closed); /* until the client ends it, or some seconds */
    for (int i = 0; i < 6; i++) {
        tick_after(1000);
    }
    http2_client_pump(&client);
    assert_true(stream(id)->is_closed);
    assert_int_equal(whole.exchange_count, 0);
    expect_alive();
}

static void a_reset_cancels_a_socket(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    (void)accept_first(&world);
    http2_client_pump(&client);
    raw(NGHTTP2_RST_STREAM, 0, id, SLICE("\0\0\0\x08"));
    assert_int_equal(world.cancel_count, 1);
    expect_alive();
}

static void data_before_our_consent_resets_the_stream(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    http2_client_send_more(&client, id, SLICE("early"), false);
    http2_client_pump(&client);
    assert_int_equal(world.cancel_count, 1);
    assert_int_equal(stream(id)->error_code, NGHTTP2_PROTOCOL_ERROR);
    expect_alive();
}

static void a_client_that_ends_before_our_consent_is_gone(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    http2_client_send_more(&client, id, SLICE(""), true);
    http2_client_pump(&client);
    assert_int_equal(world.cancel_count, 1);
    assert_true(stream(id)->is_closed);
    expect_alive();
}

static void expect_status(int32_t id, int status)
{
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, status);
    assert_int_equal(world.request_count, 0);
    expect_alive();
}

static void another_protocol_is_501(void **state)
{
    (void)state;
    expect_status(http2_client_connect(&client, "connect-udp", "/ws", version, 1, false), 501);
}

static void connect_without_a_protocol_is_refused(void **state)
{
    (void)state;
    nghttp2_nv fields[] = {
        {(uint8_t *)(uintptr_t) ":method", (uint8_t *)(uintptr_t) "CONNECT", 7, 7, 0},
        {(uint8_t *)(uintptr_t) ":authority", (uint8_t *)(uintptr_t) "a", 10, 1, 0}};
    int32_t id = nghttp2_submit_request(client.session, NULL, fields, 2, NULL, NULL);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 400);
}

static void a_socket_without_version_13_is_400_on_http2(void **state)
{
    (void)state;
    int32_t id = http2_client_connect(&client, "websocket", "/ws", NULL, 0, false);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 400);
    assert_true(contains(buf_slice(&stream(id)->head), "sec-websocket-version: 13\n"));
    assert_int_equal(world.request_count, 0);
}

static void a_socket_on_a_stream_that_has_ended_is_400(void **state)
{
    (void)state;
    expect_status(http2_client_connect(&client, "websocket", "/ws", version, 1, true), 400);
}

static void a_refused_socket_is_answered_like_a_request(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    http_callee_respond(&world, 404, "no");
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 404);
    expect_str(buf_slice(&stream(id)->body), "no");
    assert_true(stream(id)->has_ended);
    expect_alive();
}

static void a_socket_on_a_stream_is_held_back_by_its_window(void **state)
{
    (void)state;
    enum { BYTES = 300 * 1000 };
    uint8_t *bytes = mem_zalloc(BYTES);
    world.keeps_data = true;
    int32_t id = ask_for_socket();
    struct http_exchange *x = accept_first(&world);
    http2_client_send_more(&client, id, slice_of(bytes, BYTES), false);
    http2_client_pump(&client);
    assert_int_equal(world.data.len, HTTP_SOCKET_AHEAD_BYTES);
    expect_answer_beside();
    http_socket_consume(x, HTTP_SOCKET_AHEAD_BYTES);
    http2_client_pump(&client);
    assert_int_equal(world.data.len, 2 * HTTP_SOCKET_AHEAD_BYTES);
    http_socket_consume(x, HTTP_SOCKET_AHEAD_BYTES);
    http2_client_pump(&client);
    assert_int_equal(world.data.len, BYTES);
    mem_free(bytes);
}

static void a_large_message_must_get_on_upon_a_stream(void **state)
{
    (void)state;
    int32_t id = ask_for_socket();
    struct http_exchange *x = accept_first(&world);
    http_socket_hold(x, HTTP_SOCKET_LITTLE_BYTES + 1, 0, 0);
    http2_client_pump(&client);
    tick_after(limits.stall_ms - 1);
    assert_int_equal(world.cancel_count, 0);
    tick_after(1000);
    http2_client_pump(&client);
    assert_int_equal(world.cancel_count, 1);
    assert_int_equal(stream(id)->error_code, NGHTTP2_CANCEL);
    expect_alive();
}

static void a_socket_arrives_after_a_rest_like_a_request(void **state)
{
    (void)state;
    world.rests = true;
    int32_t first = http2_client_get(&client, "/");
    (void)first;
    (void)http2_client_connect(&client, "websocket", "/ws", version, 1, false);
    http2_client_send(&client);
    assert_int_equal(world.request_count, 1);
    http2_client_pump(&client);
    assert_int_equal(world.request_count, 2);
    http_callee_respond(&world, 204, NULL);
    (void)accept_first(&world);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_both, close_both)

TEST_MAIN(
    T(a_socket_opens_with_the_answer_to_its_key), T(bytes_go_both_ways_as_they_are),
    T(a_subprotocol_passes_and_other_fields_of_the_handshake_do_not),
    T(what_comes_with_the_request_is_the_sockets), T(a_socket_waits_for_the_answers_ahead_of_it),
    T(a_refused_socket_ends_the_connection_and_what_came_early_is_no_request), T(no_version),
    T(another_version), T(two_versions), T(no_key), T(two_keys), T(an_empty_key),
    T(a_key_of_15_bytes), T(a_key_of_17_bytes), T(a_key_that_is_no_base64),
    T(a_key_with_stray_bits), T(a_key_with_blanks_inside), T(a_socket_by_post),
    T(a_socket_with_a_body), T(a_socket_with_a_chunked_body),
    T(what_does_not_ask_for_a_socket_is_a_request_like_others),
    T(the_words_of_a_handshake_stand_in_lists_and_in_any_case),
    T(consent_without_being_asked_is_a_bug),
    T(an_end_of_ours_closes_the_connection_behind_what_was_written),
    T(a_peer_that_closes_its_side_is_told_and_may_be_answered),
    T(a_callee_that_does_not_end_what_has_ended_loses_it),
    T(a_peer_that_goes_away_before_our_consent_is_gone), T(what_came_early_is_there_before_the_end),
    T(a_connection_that_breaks_cancels_its_socket),
    T(a_drained_connection_keeps_its_socket_until_it_ends),
    T(no_socket_opens_on_a_connection_that_is_drained), T(who_does_not_consume_is_not_read_for),
    T(what_is_held_for_a_socket_counts), T(a_full_socket_refuses_and_says_when_it_is_writable),
    T(a_large_message_must_get_on), T(a_large_message_has_a_second_where_too_much_is_held),
    T(messages_that_wait_for_us_do_not_hurry_the_peer), T(http2_says_that_it_connects_to_protocols),
    T(a_socket_opens_on_a_stream), T(other_streams_go_on_beside_a_socket),
    T(an_end_of_the_client_is_told_on_http2),
    T(an_end_of_ours_ends_the_stream_behind_what_was_written), T(a_reset_cancels_a_socket),
    T(data_before_our_consent_resets_the_stream), T(a_client_that_ends_before_our_consent_is_gone),
    T(another_protocol_is_501), T(connect_without_a_protocol_is_refused),
    T(a_socket_without_version_13_is_400_on_http2), T(a_socket_on_a_stream_that_has_ended_is_400),
    T(a_refused_socket_is_answered_like_a_request),
    T(a_socket_on_a_stream_is_held_back_by_its_window),
    T(a_large_message_must_get_on_upon_a_stream), T(a_socket_arrives_after_a_rest_like_a_request))
