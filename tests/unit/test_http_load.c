/* What the connections of one address may hold together, and what the others notice of it; how one
 * connection is held back for the others' sake. */
#include "rpc/http.h"

#include "base/mem.h"
#include "tests/lib/test.h"
#include "tests/unit/http2_world.h"

#define GET  "GET / HTTP/1.1\r\nHost: a\r\n\r\n"
#define FULL "\"limit\":{\"name\":\"address_bytes_max\","

/* `world` (HTTP/2) and `one` (HTTP/1.1) are of an address, `other` is of another. */
static struct http_load whole;
static struct http_load address;
static struct http_load other_address;
static struct http_callee one;
static struct http_callee other;

static int open_loads(void **state)
{
    (void)open_world(state);
    (void)close_world(state);
    limits.address_bytes_max = 10 * 1000;
    limits.address_requests_max = 8;
    limits.total_bytes_max = 64 * 1000;
    limits.stream_bytes_max = 100 * 1000;
    whole = (struct http_load){0};
    address = other_address = (struct http_load){.whole = &whole};
    http_callee_init(&one, &limits);
    http_callee_init(&other, &limits);
    http_conn_share(one.conn, &address);
    http_conn_share(other.conn, &other_address);
    http_callee_init(&world, &limits);
    http_conn_share(world.conn, &address);
    http2_client_init(&client, &world);
    http2_client_pump(&client);
    return 0;
}

static int close_loads(void **state)
{
    http_callee_done(&one);
    http_callee_done(&other);
    (void)close_world(state);
    assert_int_equal(whole.request_bytes, 0);
    assert_int_equal(whole.unsent_bytes, 0);
    assert_int_equal(whole.exchange_count, 0);
    return 0;
}

static void ask(struct http_callee *callee)
{
    http_callee_recv(callee, SLICE(GET));
}

/* An answer of so many bytes that its client does not take. */
static void answer_with(struct http_callee *callee, size_t len)
{
    struct http_exchange *x = http_callee_open(callee, 0);
    http_callee_forget(callee, x);
    struct bytes *body = bytes_new_uninit(len);
    memset(body->data, 'b', len);
    http_respond(x, 200, NULL, 0, body);
    bytes_unref(body);
}

static void fill_address(void)
{
    ask(&one);
    answer_with(&one, limits.address_bytes_max + 1);
    assert_true(http_load_is_full(&address, &limits));
}

static void expect_refused(struct http_callee *callee, const char *part)
{
    buf_clear(&callee->sent);
    http_callee_flush(callee);
    struct slice sent = buf_slice(&callee->sent);
    assert_true(contains(sent, "HTTP/1.1 429 "));
    assert_true(contains(sent, part));
}

static void what_is_held_is_counted_until_it_is_gone(void **state)
{
    (void)state;
    http_callee_recv(&one, SLICE("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabc"));
    size_t head = sizeof "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n" - 1;
    assert_int_equal(address.request_bytes, head + 3);
    assert_int_equal(whole.request_bytes, head + 3);
    http_callee_recv(&one, SLICE("de"));
    assert_int_equal(address.request_bytes, head + 5);
    assert_int_equal(address.exchange_count, 1);
    answer_with(&one, 1000);
    assert_int_equal(address.request_bytes, 0);
    assert_int_equal(address.unsent_bytes, 1000);
    struct slice out = http_conn_output(one.conn, one.now_ms);
    assert_int_equal(address.unsent_bytes, out.len); /* with its header section */
    assert_int_equal(address.exchange_count, 0);
    http_conn_sent(one.conn, out.len - 1, one.now_ms);
    assert_int_equal(address.unsent_bytes, out.len);
    http_conn_sent(one.conn, 1, one.now_ms);
    assert_int_equal(address.unsent_bytes, 0);
}

static void an_address_over_its_share_is_refused_and_others_are_served(void **state)
{
    (void)state;
    fill_address();
    struct http_callee third; /* a further connection of the address */
    http_callee_init(&third, &limits);
    http_conn_share(third.conn, &address);
    ask(&third);
    assert_int_equal(third.request_count, 0);
    expect_refused(&third, FULL);
    http_callee_done(&third);

    int32_t id = http2_client_get(&client, "/");
    http2_client_send(&client);
    ask(&other);
    assert_int_equal(world.request_count, 0);
    assert_int_equal(other.request_count, 1);
    http_callee_respond(&other, 204, NULL);

    http_callee_flush(&one); /* its client reads at last */
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 429);
    assert_true(contains(buf_slice(&stream(id)->body), FULL));
    expect_alive();
}

static void a_body_over_the_share_of_its_address_is_refused(void **state)
{
    (void)state;
    uint8_t piece[6000] = {0};
    http_callee_recv(&one, SLICE("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999\r\n\r\n"));
    http_callee_recv(&one, slice_of(piece, sizeof piece));
    int32_t id =
        http2_client_request(&client, "PUT", "/", NULL, 0, true, slice_of(piece, sizeof piece));
    http2_client_pump(&client);
    assert_int_equal(stream(id)->status, 429);
    assert_true(contains(buf_slice(&stream(id)->body), FULL));
    http_callee_recv(&one, slice_of(piece, 3000)); /* there is room for that */
    assert_int_equal(one.sent.len, 0);
    http_callee_recv(&one, slice_of(piece, 3000));
    expect_refused(&one, FULL);
    assert_true(http_conn_wants_close(one.conn));
    expect_alive();
}

static void a_body_in_chunks_is_refused_likewise(void **state)
{
    (void)state;
    ask(&one);
    answer_with(&one, limits.address_bytes_max - 100);
    struct http_callee third;
    http_callee_init(&third, &limits);
    http_conn_share(third.conn, &address);
    http_callee_recv(&third,
                     SLICE("PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"));
    http_callee_recv(&third, SLICE("64\r\n0123456789012345678901234567890123456789012345678"
                                   "901234567890123456789012345678901234567890123456789\r\n"));
    http_callee_recv(&third, SLICE("1\r\nx\r\n"));
    expect_refused(&third, FULL);
    http_callee_done(&third);
}

static void header_sections_are_part_of_the_share(void **state)
{
    (void)state;
    char value[2000];
    memset(value, 'v', sizeof value);
    struct http_header field = {SLICE("x"), slice_of(value, sizeof value)};
    for (int i = 0; i < 5; i++) {
        (void)http2_client_request(&client, "GET", "/", &field, 1, false, (struct slice){0});
    }
    http2_client_pump(&client);
    assert_int_equal(world.request_count, 4); /* the fifth passed the bound */
    assert_in_range(address.request_bytes, 8000, 10000);
    while (world.open_count > 0) {
        http_callee_respond(&world, 204, NULL);
    }
    http2_client_pump(&client);
    expect_alive();
}

static void while_all_are_over_who_holds_little_is_served(void **state)
{
    (void)state;
    whole.unsent_bytes += limits.total_bytes_max; /* of others */
    ask(&other);
    assert_int_equal(other.request_count, 1);
    answer_with(&other, limits.total_bytes_max / 64 + 1);
    ask(&other);
    assert_int_equal(other.request_count, 1);
    ask(&one);
    assert_int_equal(one.request_count, 1);
    http_callee_respond(&one, 204, NULL);
    whole.unsent_bytes -= limits.total_bytes_max;
}

static void an_address_has_only_so_many_requests_under_way(void **state)
{
    (void)state;
    int32_t last = 0;
    for (size_t i = 0; i < limits.address_requests_max + 1; i++) {
        last = http2_client_get(&client, "/");
    }
    http2_client_pump(&client);
    assert_int_equal(world.request_count, limits.address_requests_max);
    assert_int_equal(stream(last)->status, 429);
    assert_true(contains(buf_slice(&stream(last)->body), "\"name\":\"address_requests_max\""));
    http_callee_respond(&world, 204, NULL);
    http2_client_pump(&client);
    (void)http2_client_get(&client, "/");
    http2_client_pump(&client);
    assert_int_equal(world.request_count, limits.address_requests_max + 1);
}

static void more_refusals_than_are_read_end_the_connection(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * limits.address_requests_max; i++) {
        (void)http2_client_get(&client, "/");
    }
    http2_client_send(&client);
    assert_int_equal(address.exchange_count, 2 * limits.address_requests_max);
    (void)http2_client_get(&client, "/");
    http2_client_send(&client);
    expect_death(NGHTTP2_ENHANCE_YOUR_CALM);
}

static void a_stream_waits_while_its_address_is_full(void **state)
{
    (void)state;
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    fill_address();
    uint8_t piece[HTTP_STREAM_SMALL_BYTES + 1] = {0};
    expect_err(http_stream_write(x, SLICE("a sign of life")), ERR_OK);
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OVERLOADED);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->body.len, sizeof "a sign of life" - 1);
    assert_int_equal(world.writable_count, 0);
    assert_false(http_stream_has_room(x, sizeof piece));
    assert_true(http_stream_has_room(x, sizeof piece - 1));

    http_callee_flush(&one); /* there is room again; nothing of the stream's own tells it */
    uint64_t at_ms = http_conn_next_deadline_ms(world.conn);
    assert_in_range(at_ms, world.now_ms + 1, world.now_ms + 1000);
    tick_after(at_ms - world.now_ms);
    http2_client_pump(&client);
    assert_int_equal(world.writable_count, 1);
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OK);
    http_callee_forget(&world, x);
    http_stream_end(x);
    http2_client_pump(&client);
    assert_true(stream(id)->has_ended);
}

static void a_body_counts_until_its_last_byte_has_left(void **state)
{
    (void)state;
    limits.address_bytes_max = 1000 * 1000;
    ask(&one);
    answer_with(&one, 400 * 1000);
    size_t out = http_conn_output(one.conn, one.now_ms).len;
    assert_true(out < 400 * 1000);
    assert_int_equal(address.unsent_bytes, 400 * 1000 + out);
    http_callee_flush(&one);
    assert_int_equal(address.unsent_bytes, 0);
}

/* What many answers show is not copied for each of them. */
static void the_end_of_what_others_hold_is_an_answer(void **state)
{
    (void)state;
    struct bytes *holder = bytes_new(SLICE("xxbody"));
    int32_t id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    ask(&other);
    struct http_exchange *both[] = {http_callee_open(&world, 0), http_callee_open(&other, 0)};
    http_callee_forget(&world, both[0]);
    http_callee_forget(&other, both[1]);
    for (int i = 0; i < 2; i++) {
        http_respond_from(both[i], 200, NULL, 0, holder, 2);
    }
    assert_int_equal(atomic_load(&holder->refs), 3);
    http2_client_pump(&client);
    http_callee_flush(&other);
    expect_str(buf_slice(&stream(id)->body), "body");
    assert_true(contains(buf_slice(&other.sent), "content-length: 4\r\n"));
    assert_true(contains(buf_slice(&other.sent), "\r\n\r\nbody"));
    assert_int_equal(whole.unsent_bytes, 0);

    id = http2_client_get(&client, "/");
    http2_client_pump(&client);
    both[0] = http_callee_open(&world, 0);
    http_callee_forget(&world, both[0]);
    http_respond_from(both[0], 200, NULL, 0, holder, 6);
    http2_client_pump(&client);
    assert_int_equal(stream(id)->body.len, 0);
    assert_true(stream(id)->has_ended);
    assert_int_equal(atomic_load(&holder->refs), 1);
    bytes_unref(holder);
}

static void in_a_full_address_who_does_not_read_is_cut_soon(void **state)
{
    (void)state;
    fill_address();
    assert_true(http_load_is_pressing(&whole, &limits));
    assert_true(http_conn_output(one.conn, one.now_ms).len > 0);
    assert_int_equal(http_conn_next_deadline_ms(one.conn), one.now_ms + 1000);
    http_conn_tick(one.conn, one.now_ms + 1000);
    assert_true(http_conn_wants_close(one.conn));
    assert_int_equal(address.unsent_bytes, 0);
}

/* Asks for output once, and takes it. */
static void take_turn(struct http_callee *callee)
{
    callee->output_count = 0;
    struct slice out = http_conn_output(callee->conn, callee->now_ms);
    buf_append_slice(&callee->sent, out);
    http_conn_sent(callee->conn, out.len, callee->now_ms);
}

static void a_connection_that_rests_begins_no_request_until_its_turn_comes(void **state)
{
    (void)state;
    one.rests = true;
    http_callee_recv(&one, SLICE(GET GET GET));
    assert_int_equal(one.request_count, 1);
    assert_false(http_conn_wants_read(one.conn));
    take_turn(&one);
    assert_int_equal(one.request_count, 2);
    assert_int_equal(one.output_count, 1); /* asks for the next turn */
    take_turn(&one);
    assert_int_equal(one.request_count, 3);
    one.rests = false;
    take_turn(&one);
    assert_true(http_conn_wants_read(one.conn));
    ask(&one);
    assert_int_equal(one.request_count, 4);
    while (one.open_count > 0) {
        http_callee_respond(&one, 204, NULL);
    }
    http_callee_flush(&one);
}

static void requests_of_http_2_wait_for_their_turn_likewise(void **state)
{
    (void)state;
    int32_t put = http2_client_request(&client, "PUT", "/", NULL, 0, true, SLICE("body"));
    (void)http2_client_get(&client, "/");
    (void)http2_client_get(&client, "/");
    int32_t reset = http2_client_request(&client, "PUT", "/", NULL, 0, true, SLICE("body"));
    world.rests = true;
    http2_client_send(&client); /* all HEADERS, then the bodies */
    assert_int_equal(world.request_count, 1);
    assert_false(http_conn_wants_read(world.conn));
    assert_int_equal(nghttp2_submit_rst_stream(client.session, 0, reset, NGHTTP2_CANCEL), 0);
    http2_client_send(&client);
    for (size_t turn = 2; turn <= 3; turn++) {
        take_turn(&world);
        assert_int_equal(world.request_count, turn);
        assert_int_equal(world.output_count, 1);
    }
    take_turn(&world);
    assert_int_equal(world.request_count, 3);
    world.rests = false;
    take_turn(&world);
    assert_true(http_conn_wants_read(world.conn));
    while (world.open_count > 0) {
        http_callee_respond(&world, 204, NULL);
    }
    http2_client_pump(&client);
    assert_int_equal(stream(put)->status, 204);
    expect_alive();
}

/* The library stops within the block, field by field, and has each time had all that there is. */
static void a_request_whose_bytes_come_one_by_one_has_its_turn_too(void **state)
{
    (void)state;
    struct buf block = {0};
    put_field(&block, ":method", "GET");
    put_field(&block, ":scheme", "http");
    put_field(&block, ":authority", "a");
    put_field(&block, ":path", "/");
    struct buf frames = {0};
    for (uint8_t id = 1; id <= 3; id += 2) {
        uint8_t head[9] = {0,
                           0,
                           (uint8_t)block.len,
                           NGHTTP2_HEADERS,
                           NGHTTP2_FLAG_END_STREAM | NGHTTP2_FLAG_END_HEADERS,
                           0,
                           0,
                           0,
                           id};
        buf_append(&frames, head, sizeof head);
        buf_append_slice(&frames, buf_slice(&block));
    }
    world.rests = true;
    for (size_t i = 0; i < frames.len; i++) {
        http_callee_recv(&world, slice_of(frames.data + i, 1));
    }
    assert_int_equal(world.request_count, 1);
    take_turn(&world);
    assert_int_equal(world.request_count, 2);
    buf_done(&block);
    buf_done(&frames);
}

static void what_is_held_is_answered_though_the_peer_has_closed_its_side(void **state)
{
    (void)state;
    one.rests = true;
    http_callee_recv(&one, SLICE(GET GET "GET"));
    http_conn_recv_end(one.conn, one.now_ms);
    take_turn(&one);
    take_turn(&one);
    assert_int_equal(one.request_count, 2);
    http_callee_respond(&one, 204, NULL);
    http_callee_respond(&one, 204, NULL);
    buf_clear(&one.sent);
    http_callee_flush(&one);
    expect_str(buf_slice(&one.sent),
               "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    assert_true(http_conn_wants_close(one.conn));
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_loads, close_loads)

TEST_MAIN(T(what_is_held_is_counted_until_it_is_gone),
          T(an_address_over_its_share_is_refused_and_others_are_served),
          T(a_body_over_the_share_of_its_address_is_refused),
          T(a_body_in_chunks_is_refused_likewise), T(header_sections_are_part_of_the_share),
          T(while_all_are_over_who_holds_little_is_served),
          T(an_address_has_only_so_many_requests_under_way),
          T(more_refusals_than_are_read_end_the_connection),
          T(a_stream_waits_while_its_address_is_full),
          T(a_body_counts_until_its_last_byte_has_left),
          T(the_end_of_what_others_hold_is_an_answer),
          T(in_a_full_address_who_does_not_read_is_cut_soon),
          T(a_connection_that_rests_begins_no_request_until_its_turn_comes),
          T(a_request_whose_bytes_come_one_by_one_has_its_turn_too),
          T(requests_of_http_2_wait_for_their_turn_likewise),
          T(what_is_held_is_answered_though_the_peer_has_closed_its_side))
