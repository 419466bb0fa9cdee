#include "base/mem.h"

#include "tests/lib/test.h"
#include "tests/unit/http2_world.h"

/* Requests and answers */

static void a_request_is_seen_with_its_parts(void **state)
{
    (void)state;
    struct http_header more[] = {{SLICE("x-thing"), SLICE("one two")}};
    (void)http2_client_request(&client, "GET", "/p?q=%20", more, 1, false, (struct slice){0});
    http2_client_pump(&client);
    const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
    expect_str(r->method, "GET");
    expect_str(r->target, "/p?q=%20");
    expect_str(r->authority, "a");
    assert_int_equal(r->header_count, 1);
    expect_str(r->headers[0].name, "x-thing");
    expect_str(r->headers[0].value, "one two");
    assert_null(r->body);
    http_callee_respond(&world, 204, NULL);
}

static void the_preface_may_come_byte_by_byte(void **state)
{
    (void)state;
    http_callee_done(&world);
    http2_client_done(&client);
    http_callee_init(&world, &limits);
    http2_client_init(&client, &world);
    int32_t id = http2_client_get(&client, "/");
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(client.session, &bytes)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            http_callee_recv(&world, slice_of(bytes + i, 1));
        }
    }
    assert_int_equal(world.request_count, 1);
    http_callee_respond(&world, 200, "ok");
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->body), "ok");
}

static void what_only_begins_like_the_preface_is_http_1(void **state)
{
    (void)state;
    struct http_callee other;
    http_callee_init(&other, &limits);
    http_callee_recv(&other, SLICE("P"));
    http_callee_recv(&other, SLICE("R"));
    http_callee_recv(&other, SLICE("OPFIND / HTTP/1.1\r\nHost: a\r\n\r\n"));
    expect_str(http_exchange_request(http_callee_open(&other, 0))->method, "PROPFIND");
    http_callee_respond(&other, 204, NULL);
    http_callee_done(&other);
}

static void a_preface_that_goes_wrong_is_refused(void **state)
{
    (void)state;
    struct http_callee other;
    http_callee_init(&other, &limits);
    http_callee_recv(&other, SLICE("PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n"));
    http_callee_flush(&other);
    assert_true(slice_has_prefix(buf_slice(&other.sent), SLICE("HTTP/1.1 400 ")));
    assert_int_equal(other.request_count, 0);
    http_callee_done(&other);
}

static void many_fields_keep_their_places_while_the_head_grows(void **state)
{
    (void)state;
    struct http_header more[20];
    char values[20][100];
    for (int i = 0; i < 20; i++) {
        memset(values[i], 'a' + i, sizeof values[i]);
        more[i] = (struct http_header){SLICE("some-name"), slice_of(values[i], 100)};
    }
    (void)http2_client_request(&client, "GET", "/path", more, 20, false, (struct slice){0});
    http2_client_pump(&client);
    const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
    expect_str(r->method, "GET");
    expect_str(r->target, "/path");
    expect_str(r->authority, "a");
    for (int i = 0; i < 20; i++) {
        expect_str(r->headers[i].name, "some-name");
        expect_slice(r->headers[i].value, slice_of(values[i], 100));
    }
    http_callee_respond(&world, 204, NULL);
}

static void answers_come_in_the_order_in_which_they_are_given(void **state)
{
    (void)state;
    int32_t first = http2_client_get(&client, "/1");
    int32_t second = http2_client_get(&client, "/2");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 1);
    http_callee_forget(&world, x);
    struct bytes *body = bytes_new(SLICE("two"));
    struct http_header headers[] = {{SLICE("ETag"), SLICE("\"1\"")},
                                    {SLICE("Connection"), SLICE("close")}};
    http_respond(x, 201, headers, 2, body);
    bytes_unref(body);
    http2_client_pump(&client);
    assert_int_equal(stream(first)->status, 0);
    expect_str(buf_slice(&stream(second)->head), ":status: 201\netag: \"1\"\ncontent-length: 3\n");
    expect_str(buf_slice(&stream(second)->body), "two");
    assert_true(stream(second)->is_closed);
    http_callee_respond(&world, 204, NULL);
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(first)->head), ":status: 204\n");
    assert_true(stream(first)->has_ended);
}

static void head_gets_the_length_without_the_body(void **state)
{
    (void)state;
    int32_t id = http2_client_request(&client, "HEAD", "/", NULL, 0, false, (struct slice){0});
    http2_client_pump(&client);
    http_callee_respond(&world, 200, "body");
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->head), ":status: 200\ncontent-length: 4\n");
    assert_int_equal(stream(id)->body.len, 0);
    assert_true(stream(id)->is_closed);
}

static void bodies_larger_than_the_windows_pass_both_ways(void **state)
{
    (void)state;
    enum { BODY_BYTES = 290 * 1000 };
    uint8_t *text = mem_alloc(BODY_BYTES);
    for (size_t i = 0; i < BODY_BYTES; i++) {
        text[i] = (uint8_t)(i * 31 / 7);
    }
    int32_t id =
        http2_client_request(&client, "PUT", "/", NULL, 0, true, slice_of(text, BODY_BYTES));
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 0);
    expect_slice(bytes_slice(http_exchange_request(x)->body), slice_of(text, BODY_BYTES));
    http_callee_forget(&world, x);
    http_respond(x, 200, NULL, 0, http_exchange_request(x)->body);
    http2_client_pump(&client);
    expect_slice(buf_slice(&stream(id)->body), slice_of(text, BODY_BYTES));
    assert_true(stream(id)->is_closed);
    mem_free(text);
}

static void trailers_end_a_request_and_are_dropped(void **state)
{
    (void)state;
    int32_t id = http2_client_request(&client, "PUT", "/", NULL, 0, true, SLICE("hi"));
    stream(id)->holds = true;
    http2_client_pump(&client);
    assert_int_equal(world.request_count, 0);
    /* literal field "t: v", never indexed */
    raw(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id,
        SLICE("\x10\x01t\x01v"));
    const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
    expect_str(bytes_slice(r->body), "hi");
    assert_int_equal(r->header_count, 0);
    http_callee_respond(&world, 204, NULL);
}

static void a_client_that_expects_it_is_told_to_continue(void **state)
{
    (void)state;
    struct http_header more[] = {{SLICE("expect"), SLICE("100-continue")}};
    int32_t id = http2_client_request(&client, "PUT", "/", more, 1, true, (struct slice){0});
    stream(id)->holds = true;
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 100);
    http2_client_send_more(&client, id, SLICE("hi"), true);
    http2_client_pump(&client);
    http_callee_respond(&world, 204, NULL);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 204);
}

static void a_stream_goes_out_as_it_is_written(void **state)
{
    (void)state;
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 200);
    expect_err(http_stream_write(x, SLICE("hello ")), ERR_OK);
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->body), "hello ");
    expect_err(http_stream_write(x, SLICE("world")), ERR_OK);
    http_callee_forget(&world, x);
    http_stream_end(x);
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->body), "hello world");
    assert_true(stream(id)->has_ended);
}

static void a_stream_may_end_after_everything_was_sent(void **state)
{
    (void)state;
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    expect_err(http_stream_write(x, SLICE("hello")), ERR_OK);
    http2_client_pump(&client);
    assert_false(stream(id)->has_ended);
    http_callee_forget(&world, x);
    http_stream_end(x);
    http2_client_pump(&client);
    assert_true(stream(id)->has_ended);
    assert_int_equal(stream(id)->error_code, 0);
}

static void an_aborted_stream_is_reset(void **state)
{
    (void)state;
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    expect_err(http_stream_write(x, SLICE("hello")), ERR_OK);
    http_callee_forget(&world, x);
    http_stream_abort(x);
    http2_client_pump(&client);
    expect_str(buf_slice(&stream(id)->body), "hello");
    assert_false(stream(id)->has_ended);
    assert_int_equal(stream(id)->error_code, NGHTTP2_INTERNAL_ERROR);
    expect_alive();
}

static void a_full_stream_refuses_and_says_when_it_is_writable(void **state)
{
    (void)state;
    (void)http2_client_get(&client, "/");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    uint8_t piece[600] = {0};
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OK);
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OK);
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OVERLOADED);
    http2_client_pump(&client);
    assert_int_equal(world.writable_count, 1);
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OK);
    http_callee_forget(&world, x);
    http_stream_end(x);
}

static void an_exchange_is_used_again_on_another_stream(void **state)
{
    (void)state;
    for (int i = 0; i < 100; i++) {
        expect_alive();
    }
}

/* Refusals */

static void expect_refused(int32_t id, int status, const char *part)
{
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, status);
    assert_true(contains(buf_slice(&stream(id)->head), "content-type: application/problem+json\n"));
    assert_true(contains(buf_slice(&stream(id)->body), part));
    assert_int_equal(world.request_count, 0);
    expect_alive();
}

static void a_header_section_over_the_limit_is_431(void **state)
{
    (void)state;
    char value[4096];
    memset(value, 'v', sizeof value);
    struct http_header more[] = {{SLICE("a"), slice_of(value, sizeof value)}};
    int32_t id = http2_client_request(&client, "GET", "/", more, 1, false, (struct slice){0});
    expect_refused(id, 431, "\"name\":\"header_bytes_max\"");
}

static void too_many_fields_are_431(void **state)
{
    (void)state;
    struct http_header more[21];
    for (int i = 0; i < 21; i++) {
        more[i] = (struct http_header){SLICE("a"), SLICE("b")};
    }
    int32_t id = http2_client_request(&client, "GET", "/", more, 21, false, (struct slice){0});
    expect_refused(id, 431, "headers_too_large");
}

static void a_long_target_is_413(void **state)
{
    (void)state;
    char path[66] = "/";
    memset(path + 1, 'a', 64);
    expect_refused(http2_client_get(&client, path), 413, "\"name\":\"target_bytes_max\"");
}

static void a_fragment_in_the_target_is_400(void **state)
{
    (void)state;
    expect_refused(http2_client_get(&client, "/a#b"), 400, "bad_request");
}

static void a_host_that_is_none_is_400(void **state)
{
    (void)state;
    struct http_header more[] = {{SLICE("host"), SLICE("b")}};
    int32_t id = http2_client_request(&client, "GET", "/", more, 1, false, (struct slice){0});
    expect_refused(id, 400, "Host and :authority differ.");
}

static void an_announced_body_over_the_limit_is_413_before_it_comes(void **state)
{
    (void)state;
    struct http_header more[] = {{SLICE("content-length"), SLICE("300001")}};
    int32_t id = http2_client_request(&client, "PUT", "/", more, 1, true, (struct slice){0});
    stream(id)->holds = true;
    expect_refused(id, 413, "\"name\":\"body_bytes_max\",\"value\":300000");
}

static void a_body_over_the_limit_is_413_and_the_rest_is_read_and_dropped(void **state)
{
    (void)state;
    uint8_t *body = mem_zalloc(900 * 1000);
    int32_t id =
        http2_client_request(&client, "PUT", "/", NULL, 0, true, slice_of(body, 900 * 1000));
    expect_refused(id, 413, "\"name\":\"body_bytes_max\",\"value\":300000");
    assert_true(stream(id)->is_closed);
    assert_int_equal(stream(id)->error_code, NGHTTP2_NO_ERROR);
    mem_free(body);
}

static void more_than_anybody_sends_by_mistake_is_not_read_after_an_early_answer(void **state)
{
    (void)state;
    enum { BODY_BYTES = 70 * 1000 * 1000 };
    uint8_t *body = mem_zalloc(BODY_BYTES);
    int32_t id =
        http2_client_request(&client, "PUT", "/", NULL, 0, true, slice_of(body, BODY_BYTES));
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 413);
    assert_true(stream(id)->is_closed);
    assert_in_range(stream(id)->sending.len, 1 * 1000 * 1000, 5 * 1000 * 1000);
    mem_free(body);
}

static void what_follows_an_early_answer_is_cut_off_in_the_end(void **state)
{
    (void)state;
    struct http_header more[] = {{SLICE("content-length"), SLICE("300001")}};
    int32_t id = http2_client_request(&client, "PUT", "/", more, 1, true, SLICE("x"));
    stream(id)->holds = true;
    http2_client_pump(&client);
    assert_false(stream(id)->is_closed);
    tick_after(5000);
    http2_client_pump(&client);
    assert_true(stream(id)->is_closed);
    expect_alive();
}

static void exhausted_memory_is_an_answer(void **state)
{
    (void)state;
    int32_t id = http2_client_request(&client, "PUT", "/", NULL, 0, true, SLICE("x"));
    mem_fail_after(0);
    http2_client_pump(&client);
    mem_fail_after(-1);
    assert_int_equal(stream(id)->status, 500);
    expect_alive();
}

static void send_head(int32_t id, const char *name, const char *value)
{
    struct buf block = {0};
    put_field(&block, ":method", "GET");
    put_field(&block, ":scheme", "http");
    put_field(&block, ":authority", "a");
    put_field(&block, ":path", "/");
    put_field(&block, name, value);
    raw(NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS | NGHTTP2_FLAG_END_STREAM, id, buf_slice(&block));
    buf_done(&block);
}

static void malformed_requests_are_reset_and_the_connection_lives(void **state)
{
    (void)state;
    static const char *const bad[][2] = {{"Upper", "v"},
                                         {"connection", "close"},
                                         {"transfer-encoding", "chunked"},
                                         {"a b", "v"},
                                         {"a", "v\r\nb: c"},
                                         {"a", "v\x01"},
                                         {"content-length", "-1"},
                                         {":unknown", "v"},
                                         {":path", "/again"}};
    enum { COUNT = sizeof bad / sizeof bad[0] };
    int32_t ids[COUNT];
    for (size_t i = 0; i < COUNT; i++) { /* so that the client knows the streams */
        ids[i] = http2_client_request(&client, "GET", "/", NULL, 0, false, (struct slice){0});
        const uint8_t *bytes;
        while (nghttp2_session_mem_send(client.session, &bytes) > 0) {
            /* not carried over: a bad one goes in its place */
        }
        send_head(ids[i], bad[i][0], bad[i][1]);
        http2_client_receive(&client);
        if (!stream(ids[i])->is_closed || stream(ids[i])->status != 0) {
            fail_msg("\"%s: %s\" was not refused", bad[i][0], bad[i][1]);
        }
        assert_int_equal(stream(ids[i])->error_code, NGHTTP2_PROTOCOL_ERROR);
    }
    assert_int_equal(world.request_count, 0);
    send_head(ids[COUNT - 1] + 2, "a", "v");
    assert_int_equal(world.request_count, 1);
    assert_false(client.got_goaway);
    http_callee_respond(&world, 204, NULL);
}

static void a_body_longer_than_announced_is_reset(void **state)
{
    (void)state;
    struct http_header more[] = {{SLICE("content-length"), SLICE("2")}};
    int32_t id = http2_client_request(&client, "PUT", "/", more, 1, true, SLICE("hi there"));
    http2_client_pump(&client);
    assert_int_equal(stream(id)->error_code, NGHTTP2_PROTOCOL_ERROR);
    assert_int_equal(world.request_count, 0);
    expect_alive();
}

/* Ends */

static void a_reset_by_the_client_cancels_the_request(void **state)
{
    (void)state;
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    assert_int_equal(nghttp2_submit_rst_stream(client.session, 0, id, NGHTTP2_CANCEL), 0);
    http2_client_pump(&client);
    assert_int_equal(world.cancel_count, 1);
    expect_alive();
}

static void a_reset_in_the_middle_of_a_large_answer_is_survived(void **state)
{
    (void)state;
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 0);
    http_callee_forget(&world, x);
    struct bytes *body = bytes_new_uninit(1000 * 1000);
    memset(body->data, 'b', body->len);
    http_respond(x, 200, NULL, 0, body);
    bytes_unref(body);
    http2_client_receive(&client);
    assert_true(stream(id)->body.len > 0 && stream(id)->body.len < 1000 * 1000);
    assert_int_equal(nghttp2_submit_rst_stream(client.session, 0, id, NGHTTP2_CANCEL), 0);
    http2_client_pump(&client);
    assert_int_equal(world.cancel_count, 0); /* the callee had given its answer */
    expect_alive();
}

static void a_peer_that_goes_away_cancels_what_is_open(void **state)
{
    (void)state;
    (void)http2_client_get(&client, "/1");
    (void)http2_client_get(&client, "/2");
    int32_t id = http2_client_request(&client, "PUT", "/", NULL, 0, true, SLICE("x"));
    stream(id)->holds = true;
    http2_client_pump(&client);
    http_conn_cut(world.conn);
    assert_int_equal(world.cancel_count, 2);
    assert_true(http_conn_wants_close(world.conn));
    http_callee_flush(&world);
    assert_int_equal(world.sent.len, 0);
}

static void a_connection_that_ends_in_a_protocol_error_cancels_what_is_open(void **state)
{
    (void)state;
    (void)http2_client_get(&client, "/");
    http2_client_pump(&client);
    raw(NGHTTP2_SETTINGS, 0, 0, SLICE("12345")); /* not a multiple of six */
    assert_int_equal(world.open_count, 1);       /* until the GOAWAY is out */
    expect_death(NGHTTP2_FRAME_SIZE_ERROR);
    assert_int_equal(world.cancel_count, 1);
}

static void a_drain_takes_what_is_under_way_and_refuses_the_rest(void **state)
{
    (void)state;
    int32_t before = http2_client_get(&client, "/1");
    http2_client_send(&client);
    http_conn_drain(world.conn);
    int32_t meanwhile = http2_client_get(&client, "/2");
    http2_client_send(&client);
    assert_int_equal(world.request_count, 2);
    http2_client_receive(&client);
    assert_true(client.got_goaway);
    assert_int_equal(client.goaway_last_id, INT32_MAX);
    tick_after(100);
    http2_client_receive(&client);
    assert_int_equal(client.goaway_last_id, meanwhile);
    assert_false(http_conn_wants_close(world.conn));
    http_callee_respond(&world, 200, "one");
    http_callee_respond(&world, 200, "two");
    http2_client_receive(&client);
    expect_str(buf_slice(&stream(before)->body), "one");
    expect_str(buf_slice(&stream(meanwhile)->body), "two");
    assert_int_equal(client.goaway_code, NGHTTP2_NO_ERROR);
    assert_true(http_conn_wants_close(world.conn));
}

static void a_drained_connection_without_streams_closes_after_the_notice(void **state)
{
    (void)state;
    http_conn_drain(world.conn);
    http2_client_pump(&client);
    assert_int_equal(http_conn_next_deadline_ms(world.conn), world.now_ms + 100);
    tick_after(100);
    http2_client_receive(&client);
    assert_true(http_conn_wants_close(world.conn));
}

static void an_idle_connection_is_closed_in_the_end(void **state)
{
    (void)state;
    tick_after(1000); /* the buffers of the greeting go first */
    assert_int_equal(http_conn_next_deadline_ms(world.conn), world.now_ms + limits.idle_ms - 1000);
    tick_after(limits.idle_ms - 1000);
    expect_death(NGHTTP2_NO_ERROR);
}

static void a_client_that_says_goodbye_is_closed(void **state)
{
    (void)state;
    assert_int_equal(nghttp2_session_terminate_session(client.session, NGHTTP2_NO_ERROR), 0);
    http2_client_send(&client);
    http_callee_flush(&world);
    assert_true(http_conn_wants_close(world.conn));
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

static void a_problem_that_passes_says_when_to_come_again(void **state)
{
    (void)state;
    for (int err = ERR_OK + 1; err < ERR_COUNT; err++) {
        int status = err_info(err)->status;
        int32_t id = http2_client_get(&client, "/");
        http2_client_pump(&client);
        struct http_exchange *x = http_callee_open(&world, 0);
        http_callee_forget(&world, x);
        http_respond_problem(x, err, SLICE(""), NULL);
        http2_client_pump(&client);
        assert_int_equal(stream(id)->status, status);
        assert_int_equal(contains(buf_slice(&stream(id)->head), "retry-after: 1\n"),
                         status == 429 || status == 503);
    }
}

TEST_MAIN(T(a_problem_that_passes_says_when_to_come_again), T(a_request_is_seen_with_its_parts),
          T(the_preface_may_come_byte_by_byte), T(what_only_begins_like_the_preface_is_http_1),
          T(a_preface_that_goes_wrong_is_refused),
          T(many_fields_keep_their_places_while_the_head_grows),
          T(answers_come_in_the_order_in_which_they_are_given),
          T(head_gets_the_length_without_the_body),
          T(bodies_larger_than_the_windows_pass_both_ways),
          T(trailers_end_a_request_and_are_dropped),
          T(a_client_that_expects_it_is_told_to_continue), T(a_stream_goes_out_as_it_is_written),
          T(a_stream_may_end_after_everything_was_sent), T(an_aborted_stream_is_reset),
          T(a_full_stream_refuses_and_says_when_it_is_writable),
          T(an_exchange_is_used_again_on_another_stream), T(a_header_section_over_the_limit_is_431),
          T(too_many_fields_are_431), T(a_long_target_is_413), T(a_fragment_in_the_target_is_400),
          T(a_host_that_is_none_is_400), T(an_announced_body_over_the_limit_is_413_before_it_comes),
          T(a_body_over_the_limit_is_413_and_the_rest_is_read_and_dropped),
          T(more_than_anybody_sends_by_mistake_is_not_read_after_an_early_answer),
          T(what_follows_an_early_answer_is_cut_off_in_the_end), T(exhausted_memory_is_an_answer),
          T(malformed_requests_are_reset_and_the_connection_lives),
          T(a_body_longer_than_announced_is_reset), T(a_reset_by_the_client_cancels_the_request),
          T(a_reset_in_the_middle_of_a_large_answer_is_survived),
          T(a_peer_that_goes_away_cancels_what_is_open),
          T(a_connection_that_ends_in_a_protocol_error_cancels_what_is_open),
          T(a_drain_takes_what_is_under_way_and_refuses_the_rest),
          T(a_drained_connection_without_streams_closes_after_the_notice),
          T(an_idle_connection_is_closed_in_the_end), T(a_client_that_says_goodbye_is_closed))
