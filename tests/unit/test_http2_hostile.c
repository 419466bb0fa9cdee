/* What a slow, greedy or hostile client of HTTP/2 does, and what must happen then. */
#include "base/mem.h"
#include "rpc/http2_guard.h"

#include "tests/lib/test.h"
#include "tests/unit/http2_world.h"

/* Time */

static void silence_after_the_preface_is_cut(void **state)
{
    (void)state;
    struct http_callee other;
    http_callee_init(&other, &limits);
    http_callee_recv(&other, SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    http_callee_flush(&other);
    http_conn_tick(other.conn, other.now_ms + limits.head_ms - 1);
    http_callee_flush(&other);
    assert_int_equal(http_conn_next_deadline_ms(other.conn), other.now_ms + limits.head_ms);
    assert_false(http_conn_wants_close(other.conn));
    http_conn_tick(other.conn, other.now_ms + limits.head_ms);
    http_callee_flush(&other);
    assert_true(http_conn_wants_close(other.conn));
    http_callee_done(&other);
}

static void silence_inside_the_preface_is_cut(void **state)
{
    (void)state;
    struct http_callee other;
    http_callee_init(&other, &limits);
    http_callee_recv(&other, SLICE("PRI * HTTP"));
    http_conn_tick(other.conn, other.now_ms + limits.head_ms);
    assert_true(http_conn_wants_close(other.conn));
    http_callee_done(&other);
}

static void a_header_block_that_does_not_end_is_cut(void **state)
{
    (void)state;
    raw(NGHTTP2_HEADERS, 0, 1, SLICE("\x82"));
    assert_int_equal(http_conn_next_deadline_ms(world.conn), world.now_ms + 1000);
    tick_after(limits.head_ms - 1);
    assert_false(client.got_goaway);
    tick_after(1);
    expect_death(NGHTTP2_ENHANCE_YOUR_CALM);
}

static void a_header_block_that_comes_in_time_may_come_in_pieces(void **state)
{
    (void)state;
    world.now_ms = limits.stall_ms * 2; /* no clock begins at nothing */
    struct buf block = {0};
    put_field(&block, ":method", "GET");
    put_field(&block, ":scheme", "http");
    put_field(&block, ":authority", "a");
    put_field(&block, ":path", "/");
    struct buf frame = {0};
    buf_append_u32(&frame, (uint32_t)block.len << 8 | NGHTTP2_HEADERS);
    buf_append_byte(&frame, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM);
    buf_append_u32(&frame, 1);
    buf_append_slice(&frame, buf_slice(&block));
    http_callee_recv(&world, slice_of(frame.data, frame.len / 2));
    tick_after(limits.head_ms - 1);
    http_callee_recv(&world, slice_skip(buf_slice(&frame), frame.len / 2));
    buf_done(&block);
    buf_done(&frame);
    assert_int_equal(world.request_count, 1);
    expect_str(http_exchange_request(http_callee_open(&world, 0))->target, "/");
}

static void a_slow_body_is_408_and_others_are_served(void **state)
{
    (void)state;
    int32_t id = http2_client_request(&client, "PUT", "/", NULL, 0, true, SLICE("x"));
    stream(id)->holds = true;
    http2_client_pump(&client);
    tick_after(limits.stall_ms - 1);
    http2_client_send_more(&client, id, SLICE("y"), false);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 0);
    tick_after(1);
    tick_after(1000);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 408);
    expect_alive();
}

static void an_answer_held_up_by_a_closed_window_is_reset(void **state)
{
    (void)state;
    client.keeps_windows_shut = true;
    nghttp2_settings_entry none = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    assert_int_equal(nghttp2_submit_settings(client.session, 0, &none, 1), 0);
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    http_callee_respond(&world, 200, "body");
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 200);
    assert_int_equal(stream(id)->body.len, 0);
    tick_after(limits.stall_ms - 1000);
    assert_int_equal(nghttp2_submit_window_update(client.session, 0, id, 1), 0);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->body.len, 1); /* one byte is no progress */
    tick_after(1000);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->error_code, NGHTTP2_CANCEL);
    assert_false(client.got_goaway);
}

static void a_callee_has_all_the_time_it_needs(void **state)
{
    (void)state;
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    for (int i = 0; i < 100; i++) {
        tick_after(60 * 1000);
    }
    http_callee_respond(&world, 200, "late");
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->body), "late");
}

static void nothing_is_due_while_the_last_words_wait_to_be_sent(void **state)
{
    (void)state;
    http_callee_recv(&world, SLICE("\0\0\5\4\0\0\0\0\0"
                                   "12345")); /* odd SETTINGS: a GOAWAY */
    tick_after(limits.idle_ms);
    assert_int_equal(http_conn_next_deadline_ms(world.conn), UINT64_MAX);
    expect_death(NGHTTP2_FRAME_SIZE_ERROR);
}

/* Floods */

static void a_flood_of_frames_without_use_ends_the_connection(void **state)
{
    (void)state;
    static const struct {
        uint8_t type;
        uint8_t flags;
        int32_t id;
        size_t bytes;
    } floods[] = {{NGHTTP2_PING, 0, 0, 8},
                  {NGHTTP2_PING, NGHTTP2_FLAG_ACK, 0, 8},
                  {NGHTTP2_SETTINGS, 0, 0, 0},
                  {NGHTTP2_PRIORITY, 0, 1, 5},
                  {NGHTTP2_WINDOW_UPDATE, 0, 1, 4},
                  {NGHTTP2_DATA, 0, 1, 0},
                  {0xbe, 0, 1, 8}};
    uint8_t payload[8] = {0, 0, 0, 1};
    for (size_t f = 0; f < sizeof floods / sizeof floods[0]; f++) {
        (void)close_world(NULL);
        open_client();
        int32_t id = http2_client_request(&client, "PUT", "/", NULL, 0, true, SLICE("x"));
        stream(id)->holds = true;
        http2_client_pump(&client);
        size_t sent = 0;
        for (; sent < 4000 && !http_conn_wants_close(world.conn); sent++) {
            buf_clear(&world.sent);
            raw(floods[f].type, floods[f].flags, floods[f].id, slice_of(payload, floods[f].bytes));
            http_callee_flush(&world);
        }
        if (sent < 1500 || sent > 2100) {
            fail_msg("type %d ended after %zu frames", floods[f].type, sent);
        }
        static const char code[] = {0, 0, 0, NGHTTP2_ENHANCE_YOUR_CALM};
        assert_true(world.sent.len >= 17); /* of the GOAWAY */
        assert_memory_equal(world.sent.data + world.sent.len - sizeof code, code, sizeof code);
        assert_int_equal(world.open_count, 0);
    }
}

static void frames_at_a_moderate_pace_are_welcome(void **state)
{
    (void)state;
    uint8_t payload[8] = {0};
    for (int second = 0; second < 60; second++) {
        world.now_ms += 1000;
        for (int i = 0; i < 150; i++) {
            raw(NGHTTP2_PING, 0, 0, slice_of(payload, 8));
            http2_client_receive(&client);
        }
    }
    assert_int_equal(client.ping_acks, 60 * 150);
    expect_alive();
}

static void a_client_that_updates_its_windows_for_every_frame_is_welcome(void **state)
{
    (void)state;
    for (int round = 0; round < 40; round++) {
        int32_t id = http2_client_get(&client, "/");
        http2_client_pump(&client);
        struct http_exchange *x = http_callee_open(&world, 0);
        http_callee_forget(&world, x);
        struct bytes *body = bytes_new_uninit(1000 * 1000);
        memset(body->data, 'b', body->len);
        http_respond(x, 200, NULL, 0, body);
        bytes_unref(body);
        while (!stream(id)->is_closed) {
            size_t before = stream(id)->body.len;
            http2_client_pump(&client);
            for (size_t n = before; n < stream(id)->body.len; n += 16 * 1024) {
                raw(NGHTTP2_WINDOW_UPDATE, 0, 0, SLICE("\0\0\0\1"));
                raw(NGHTTP2_WINDOW_UPDATE, 0, id, SLICE("\0\0\0\1"));
            }
        }
    }
    expect_alive();
}

static void pings_to_a_server_whose_output_nobody_reads_are_bounded(void **state)
{
    (void)state;
    uint8_t payload[8] = {0};
    for (int i = 0; i < 5000 && !http_conn_wants_close(world.conn); i++) {
        raw(NGHTTP2_PING, 0, 0, slice_of(payload, 8));
    }
    http_callee_flush(&world);
    assert_true(http_conn_wants_close(world.conn));
    assert_true(world.sent.len < 64 * 1024);
}

static void ask_and_cancel(void)
{
    int32_t id = http2_client_get(&client, "/");
    http2_client_send(&client);
    assert_int_equal(nghttp2_submit_rst_stream(client.session, 0, id, NGHTTP2_CANCEL), 0);
    http2_client_pump(&client);
}

static void rapid_resets_end_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < HTTP2_CANCELS_MAX; i++) {
        ask_and_cancel();
    }
    assert_false(client.got_goaway);
    assert_int_equal(world.cancel_count, HTTP2_CANCELS_MAX); /* each is really cancelled */
    ask_and_cancel();
    expect_death(NGHTTP2_ENHANCE_YOUR_CALM);
}

static void resets_at_a_moderate_pace_are_welcome(void **state)
{
    (void)state;
    enum { CANCELS = HTTP2_CANCELS_MAX + 50 }; /* nghttp2 would take 1000 */
    for (size_t i = 0; i < CANCELS; i++) {
        world.now_ms += 1000 / HTTP2_CANCELS_PER_SECOND + 1;
        ask_and_cancel();
    }
    assert_int_equal(world.cancel_count, CANCELS);
    expect_alive();
}

static void resets_that_the_client_provokes_end_the_connection(void **state)
{
    (void)state;
    size_t sent = 0;
    for (; sent < 500 && !client.got_goaway; sent++) {
        int32_t id = http2_client_get(&client, "/");
        http2_client_send(&client);
        raw(NGHTTP2_WINDOW_UPDATE, 0, id, SLICE("\x7f\xff\xff\xff")); /* overflows the window */
        http2_client_receive(&client);
    }
    assert_in_range(sent, HTTP2_RESETS_MAX, HTTP2_RESETS_MAX + 5);
    assert_int_equal(world.cancel_count, sent);
    expect_death(NGHTTP2_ENHANCE_YOUR_CALM);
}

static void a_flood_of_continuations_ends_the_connection(void **state)
{
    (void)state;
    raw(NGHTTP2_HEADERS, 0, 1, SLICE("\x82"));
    for (int i = 0; i < 20; i++) {
        raw(NGHTTP2_CONTINUATION, 0, 1, (struct slice){0});
    }
    http_callee_flush(&world);
    assert_true(http_conn_wants_close(world.conn));
    assert_int_equal(world.request_count, 0);
}

/* A dynamic table entry of 1 KB, then one byte for each further KB. */
static void a_header_block_that_grows_in_decoding_ends_the_connection(void **state)
{
    (void)state;
    limits.header_count_max = 100 * 1000; /* its size alone must be enough */
    struct buf block = {0};
    put_field(&block, ":method", "GET");
    put_field(&block, ":scheme", "http");
    put_field(&block, ":authority", "a");
    put_field(&block, ":path", "/");
    buf_append(&block,
               "\x40\x01"
               "b"
               "\x7f\x81\x07",
               6); /* literal, indexed, 1024 bytes */
    uint8_t *value = buf_extend(&block, 1024);
    memset(value, 'v', 1024);
    memset(buf_extend(&block, 10000), 0xbe, 10000); /* index 62: the newest entry */
    raw(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, buf_slice(&block));
    buf_done(&block);
    expect_death(NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(world.request_count, 0);
}

static void a_header_block_of_many_small_fields_ends_the_connection(void **state)
{
    (void)state;
    struct buf block = {0};
    for (int i = 0; i < 41; i++) {
        put_field(&block, "a", "b");
    }
    raw(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, 1, buf_slice(&block));
    buf_done(&block);
    expect_death(NGHTTP2_ENHANCE_YOUR_CALM);
}

static void requests_over_the_number_of_streams_wait_or_are_refused(void **state)
{
    (void)state;
    for (int i = 0; i < 25; i++) {
        (void)http2_client_get(&client, "/");
    }
    http2_client_pump(&client);
    assert_int_equal(world.request_count, 20);
    world.answers_at_once = true;
    while (world.open_count > 0) {
        http_callee_respond(&world, 204, NULL);
    }
    http2_client_pump(&client);
    assert_int_equal(world.request_count, 25);
}

/* Memory */

static void bodies_over_the_connections_bound_wait_for_their_turn(void **state)
{
    (void)state;
    enum { BODY_BYTES = 290 * 1000, COUNT = 8 };
    limits.conn_body_bytes_max = 400 * 1000;
    uint8_t *body = mem_zalloc(BODY_BYTES);
    for (int i = 0; i < COUNT; i++) {
        (void)http2_client_request(&client, "PUT", "/", NULL, 0, true, slice_of(body, BODY_BYTES));
    }
    for (size_t answered = 0; answered < COUNT; answered++) {
        http2_client_pump(&client);
        /* At least one always arrives; never so many that the bound is passed by more than one. */
        assert_in_range(world.open_count, 1, 2);
        http_callee_respond(&world, 204, NULL);
    }
    http2_client_pump(&client);
    assert_int_equal(world.request_count, COUNT);
    mem_free(body);
}

static void requests_are_refused_while_answers_are_not_read(void **state)
{
    (void)state;
    limits.conn_unsent_bytes_max = 100 * 1000;
    (void)http2_client_get(&client, "/");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 0);
    http_callee_forget(&world, x);
    struct bytes *body = bytes_new_uninit(200 * 1000);
    memset(body->data, 'b', body->len);
    http_respond(x, 200, NULL, 0, body);
    bytes_unref(body);
    int32_t id = http2_client_get(&client, "/");
    http2_client_send(&client);
    assert_int_equal(world.request_count, 1);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 429);
    assert_true(contains(buf_slice(&stream(id)->body), "\"code\":\"overloaded\""));
    expect_alive();
}

static void streams_of_one_connection_share_a_bound(void **state)
{
    (void)state;
    limits.conn_stream_bytes_max = 500;
    (void)http2_client_get(&client, "/1");
    (void)http2_client_get(&client, "/2");
    http2_client_send(&client);
    uint8_t piece[400] = {0};
    struct http_exchange *first = http_callee_open(&world, 0);
    struct http_exchange *second = http_callee_open(&world, 1);
    http_stream_begin(first, 200, NULL, 0);
    http_stream_begin(second, 200, NULL, 0);
    expect_err(http_stream_write(first, slice_of(piece, sizeof piece)), ERR_OK);
    expect_err(http_stream_write(first, slice_of(piece, sizeof piece)), ERR_OK);
    expect_err(http_stream_write(first, slice_of(piece, sizeof piece)), ERR_OVERLOADED);
    expect_err(http_stream_write(second, slice_of(piece, sizeof piece)), ERR_OK); /* its first */
    expect_err(http_stream_write(second, slice_of(piece, sizeof piece)), ERR_OVERLOADED);
    http2_client_pump(&client);
    assert_int_equal(world.writable_count, 2);
    expect_err(http_stream_write(second, slice_of(piece, sizeof piece)), ERR_OK);
}

static void under_load_who_does_not_read_is_cut_soon(void **state)
{
    (void)state;
    static struct http_load load; /* outlives the connection */
    http_conn_share(world.conn, &load);
    limits.total_bytes_max = 1000;
    client.keeps_windows_shut = true;
    nghttp2_settings_entry none = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 0};
    assert_int_equal(nghttp2_submit_settings(client.session, 0, &none, 1), 0);
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    http_callee_respond(&world, 200, "body");
    http2_client_pump(&client);
    assert_int_equal(load.unsent_bytes, 4);
    tick_after(2000);
    http2_client_pump(&client);
    assert_false(stream(id)->is_closed);

    load.request_bytes += 1000; /* of other connections */
    assert_true(http_load_is_pressing(&load, &limits));
    tick_after(1000);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->error_code, NGHTTP2_CANCEL);
    assert_int_equal(load.unsent_bytes, 0);
    load.request_bytes -= 1000;
}

static void output_does_not_run_ahead_of_the_socket(void **state)
{
    (void)state;
    nghttp2_settings_entry wide = {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, 10 * 1000 * 1000};
    assert_int_equal(nghttp2_submit_settings(client.session, 0, &wide, 1), 0);
    for (int i = 0; i < 4; i++) {
        (void)http2_client_get(&client, "/");
    }
    assert_int_equal(nghttp2_session_set_local_window_size(client.session, 0, 0, 100 * 1000 * 1000),
                     0);
    http2_client_pump(&client);
    struct bytes *body = bytes_new_uninit(1000 * 1000);
    memset(body->data, 'b', body->len);
    while (world.open_count > 0) {
        struct http_exchange *x = http_callee_open(&world, 0);
        http_callee_forget(&world, x);
        http_respond(x, 200, NULL, 0, body);
    }
    bytes_unref(body);
    assert_true(http_conn_output(world.conn, world.now_ms).len <= 300 * 1024);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(
    T(silence_after_the_preface_is_cut), T(silence_inside_the_preface_is_cut),
    T(a_header_block_that_does_not_end_is_cut),
    T(a_header_block_that_comes_in_time_may_come_in_pieces),
    T(a_slow_body_is_408_and_others_are_served), T(an_answer_held_up_by_a_closed_window_is_reset),
    T(a_callee_has_all_the_time_it_needs), T(nothing_is_due_while_the_last_words_wait_to_be_sent),
    T(a_flood_of_frames_without_use_ends_the_connection), T(frames_at_a_moderate_pace_are_welcome),
    T(a_client_that_updates_its_windows_for_every_frame_is_welcome),
    T(pings_to_a_server_whose_output_nobody_reads_are_bounded), T(rapid_resets_end_the_connection),
    T(resets_at_a_moderate_pace_are_welcome), T(resets_that_the_client_provokes_end_the_connection),
    T(a_flood_of_continuations_ends_the_connection),
    T(a_header_block_that_grows_in_decoding_ends_the_connection),
    T(a_header_block_of_many_small_fields_ends_the_connection),
    T(requests_over_the_number_of_streams_wait_or_are_refused),
    T(bodies_over_the_connections_bound_wait_for_their_turn),
    T(requests_are_refused_while_answers_are_not_read), T(streams_of_one_connection_share_a_bound),
    T(under_load_who_does_not_read_is_cut_soon), T(output_does_not_run_ahead_of_the_socket))
