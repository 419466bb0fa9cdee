#include "base/mem.h"
#include "rpc/http.h"

#include "tests/lib/http_callee.h"
#include "tests/lib/test.h"

/* The world of a test: one connection with small limits. */
static struct http_callee world;
static struct http_limits limits;

static int open_world(void **state)
{
    (void)state;
    limits = http_limits_default;
    limits.header_bytes_max = 1024;
    limits.header_count_max = 20;
    limits.target_bytes_max = 64;
    limits.body_bytes_max = 100 * 1000;
    limits.pipelined_max = 4;
    limits.stream_bytes_max = 1000;
    http_callee_init(&world, &limits);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    http_callee_done(&world);
    return 0;
}

static void recv_str(const char *text)
{
    http_callee_recv(&world, slice_of_str(text));
}

static struct slice take_sent(void)
{
    static struct buf last;
    http_callee_flush(&world);
    buf_done(&last);
    last = buf_take(&world.sent);
    return buf_slice(&last);
}

static bool contains(struct slice text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

/* The request in `text` is answered with `status` by the codec, and that ends the connection. */
static void expect_refused(struct slice text, const char *status)
{
    http_callee_recv(&world, text);
    struct slice sent = take_sent();
    if (!slice_has_prefix(sent, slice_of_str(status)) || world.request_count != 0) {
        fail_msg("\"%.*s\" was answered with \"%.*s\"", (int)text.len, (const char *)text.data,
                 (int)sent.len, (const char *)sent.data);
    }
    assert_true(contains(sent, "content-type: application/problem+json\r\n"));
    assert_true(contains(sent, "connection: close\r\n"));
    assert_true(http_conn_wants_close(world.conn));
}

static void expect_bad(const char *text)
{
    expect_refused(slice_of_str(text), "HTTP/1.1 400 Bad Request\r\n");
}

/* Requests */

static void a_request_is_seen_with_its_parts(void **state)
{
    (void)state;
    recv_str(
        "GET /v1/a/B/c?x=%20 HTTP/1.1\r\nHost: example:1\r\nX-Thing:  one two \r\nEmpty:\r\n\r\n");
    const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
    expect_str(r->method, "GET");
    expect_str(r->target, "/v1/a/B/c?x=%20");
    expect_str(r->authority, "example:1");
    assert_int_equal(r->header_count, 3);
    expect_str(r->headers[1].name, "x-thing");
    expect_str(r->headers[1].value, "one two");
    expect_str(r->headers[2].name, "empty");
    expect_str(r->headers[2].value, "");
    assert_null(r->body);
    struct slice value;
    assert_true(http_request_header(r, "host", &value));
    expect_str(value, "example:1");
    assert_false(http_request_header(r, "absent", &value));
    http_callee_respond(&world, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_false(http_conn_wants_close(world.conn));
}

static void any_token_is_a_method(void **state)
{
    (void)state;
    recv_str("get-it~! /k HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi");
    const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
    expect_str(r->method, "get-it~!");
    expect_str(bytes_slice(r->body), "hi");
}

static void a_request_may_come_byte_by_byte(void **state)
{
    (void)state;
    const char *text = "PUT /k HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello";
    for (const char *at = text; *at != '\0'; at++) {
        assert_int_equal(world.request_count, 0);
        http_callee_recv(&world, slice_of(at, 1));
    }
    const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
    expect_str(r->method, "PUT");
    expect_str(r->target, "/k");
    expect_str(bytes_slice(r->body), "hello");
    http_callee_respond(&world, 200, "done");
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\ndone");
}

static void a_body_outlives_its_exchange_where_the_callee_keeps_it(void **state)
{
    (void)state;
    recv_str("PUT /k HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    struct bytes *body = bytes_ref(http_exchange_request(http_callee_open(&world, 0))->body);
    http_callee_respond(&world, 204, NULL);
    (void)take_sent();
    expect_str(bytes_slice(body), "hello");
    bytes_unref(body);
}

static void a_large_body_arrives_whole_in_pieces(void **state)
{
    (void)state;
    recv_str("PUT /k HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    uint8_t piece[1000];
    for (size_t i = 0; i < 100; i++) {
        memset(piece, (int)i, sizeof piece);
        http_callee_recv(&world, slice_of(piece, sizeof piece));
    }
    struct slice body = bytes_slice(http_exchange_request(http_callee_open(&world, 0))->body);
    assert_int_equal(body.len, 100000);
    for (size_t i = 0; i < body.len; i++) {
        assert_int_equal(body.data[i], i / 1000);
    }
    http_callee_respond(&world, 204, NULL);
}

static void a_chunked_body_is_joined_and_its_trailers_dropped(void **state)
{
    (void)state;
    const char *text = "PUT /k HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
                       "5\r\nhello\r\n6;name=value\r\n world\r\n0\r\nTrailer: x\r\n\r\n";
    for (int round = 0; round < 2; round++) {
        if (round == 0) {
            recv_str(text);
        } else {
            for (const char *at = text; *at != '\0'; at++) {
                http_callee_recv(&world, slice_of(at, 1));
            }
        }
        const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
        expect_str(bytes_slice(r->body), "hello world");
        assert_int_equal(r->header_count, 2);
        http_callee_respond(&world, 204, NULL);
        expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\n");
    }
}

static void an_absolute_target_names_path_and_host(void **state)
{
    (void)state;
    recv_str("GET http://other:7/p?q HTTP/1.1\r\nHost: a\r\n\r\n");
    const struct http_request *r = http_exchange_request(http_callee_open(&world, 0));
    expect_str(r->target, "/p?q");
    expect_str(r->authority, "other:7");
    http_callee_respond(&world, 204, NULL);
    (void)take_sent();
    recv_str("GET http://other HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_str(http_exchange_request(http_callee_open(&world, 0))->target, "/");
    http_callee_respond(&world, 204, NULL);
}

static void the_server_itself_may_be_asked_for_options(void **state)
{
    (void)state;
    recv_str("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    expect_str(http_exchange_request(http_callee_open(&world, 0))->target, "*");
    http_callee_respond(&world, 204, NULL);
}

static void an_empty_line_ahead_of_a_request_is_ignored(void **state)
{
    (void)state;
    recv_str("\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_int_equal(world.request_count, 1);
    http_callee_respond(&world, 204, NULL);
}

static void an_offer_to_upgrade_is_ignored(void **state)
{
    (void)state;
    recv_str("PUT / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
             "HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 2\r\n\r\nhi");
    expect_str(bytes_slice(http_exchange_request(http_callee_open(&world, 0))->body), "hi");
    http_callee_respond(&world, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\n");
}

static void a_client_that_expects_it_is_told_to_continue(void **state)
{
    (void)state;
    recv_str("PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    expect_str(take_sent(), "HTTP/1.1 100 Continue\r\n\r\n");
    recv_str("hi");
    http_callee_respond(&world, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\n");
}

/* Refusals: one for each thing that the parser takes or that could be read in two ways. */

#define GET "GET / HTTP/1.1\r\nHost: a\r\n"
#define PUT "PUT / HTTP/1.1\r\nHost: a\r\n"

#define REFUSES(name, text)        \
    static void name(void **state) \
    {                              \
        (void)state;               \
        expect_bad(text);          \
    }

REFUSES(a_bare_lf_after_the_request_line, "GET / HTTP/1.1\nHost: a\r\n\r\n")
REFUSES(a_bare_lf_after_a_field, GET "A: b\nC: d\r\n\r\n")
REFUSES(a_bare_lf_at_the_end_of_the_head, GET "\n")
REFUSES(a_bare_cr_in_a_value, GET "A: b\rc\r\n\r\n")
REFUSES(a_folded_field, GET "A: b\r\n c\r\n\r\n")
REFUSES(a_field_folded_with_a_tab, GET "A: b\r\n\tc\r\n\r\n")
REFUSES(a_folded_line_after_the_request_line, "GET / HTTP/1.1\r\n Host: a\r\n\r\n")
REFUSES(a_space_before_the_colon, GET "A : b\r\n\r\n")
REFUSES(a_space_inside_a_name, GET "A b: c\r\n\r\n")
REFUSES(a_line_without_a_colon, GET "A\r\n\r\n")
REFUSES(an_empty_name, GET ": b\r\n\r\n")
REFUSES(a_control_character_in_a_value, GET "A: b\x01\r\n\r\n")
REFUSES(no_host, "GET / HTTP/1.1\r\n\r\n")
REFUSES(two_hosts, GET "Host: a\r\n\r\n")
REFUSES(a_host_that_is_none, "GET / HTTP/1.1\r\nHost: a/b\r\n\r\n")
REFUSES(a_host_with_a_user, "GET / HTTP/1.1\r\nHost: u@a\r\n\r\n")
REFUSES(two_lengths, PUT "Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi")
REFUSES(a_list_of_lengths, PUT "Content-Length: 2, 2\r\n\r\nhi")
REFUSES(a_signed_length, PUT "Content-Length: +2\r\n\r\nhi")
REFUSES(an_empty_length, PUT "Content-Length:\r\n\r\n")
REFUSES(a_length_over_64_bits, PUT "Content-Length: 18446744073709551618\r\n\r\nhi")
REFUSES(a_length_with_an_encoding,
        PUT "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
REFUSES(an_encoding_with_a_length,
        PUT "Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n")
REFUSES(an_encoding_that_is_not_chunked, PUT "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n")
REFUSES(an_encoding_after_chunked, PUT "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n")
REFUSES(an_unknown_encoding, PUT "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n")
REFUSES(two_encodings,
        PUT "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
REFUSES(an_encoding_in_http_1_0,
        "PUT / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")
REFUSES(a_chunk_size_with_a_bare_lf, PUT "Transfer-Encoding: chunked\r\n\r\n2\nhi\r\n0\r\n\r\n")
REFUSES(a_chunk_extension_with_a_bare_lf,
        PUT "Transfer-Encoding: chunked\r\n\r\n2;a\nhi\r\n0\r\n\r\n")
REFUSES(a_chunk_extension_with_a_control_character,
        PUT "Transfer-Encoding: chunked\r\n\r\n2;a\x01\r\nhi\r\n0\r\n\r\n")
REFUSES(a_chunk_size_with_a_space, PUT "Transfer-Encoding: chunked\r\n\r\n2 \r\nhi\r\n0\r\n\r\n")
REFUSES(a_chunk_size_in_c_notation, PUT "Transfer-Encoding: chunked\r\n\r\n0x2\r\nhi\r\n0\r\n\r\n")
REFUSES(a_chunk_size_over_64_bits,
        PUT "Transfer-Encoding: chunked\r\n\r\n10000000000000002\r\nhi\r\n0\r\n\r\n")
REFUSES(a_chunk_longer_than_its_size, PUT "Transfer-Encoding: chunked\r\n\r\n2\r\nhiXX0\r\n\r\n")
REFUSES(a_chunk_closed_by_a_bare_lf, PUT "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\n0\r\n\r\n")
REFUSES(a_folded_trailer, PUT "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\r\n c\r\n\r\n")
REFUSES(a_trailer_with_a_bare_lf, PUT "Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n")
REFUSES(two_spaces_in_the_request_line, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(a_space_in_the_target, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(a_space_after_the_version, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n")
REFUSES(a_tab_in_the_request_line, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(http_0_9, "GET /\r\n\r\n")
REFUSES(http_1_2, "GET / HTTP/1.2\r\nHost: a\r\n\r\n")
REFUSES(http_2_0_in_the_syntax_of_1_1, "GET / HTTP/2.0\r\nHost: a\r\n\r\n")
REFUSES(the_version_of_icecast, "SOURCE / ICE/1.0\r\nHost: a\r\n\r\n")
REFUSES(a_method_that_is_no_token, "G,T / HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(no_method, " / HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(connect, "CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n")
REFUSES(a_fragment_in_the_target, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(a_byte_over_127_in_the_target, "GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(an_asterisk_for_get, "GET * HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(another_scheme, "GET ftp://a/ HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(a_user_in_the_target, "GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n")
REFUSES(the_hello_of_tls, "\x16\x03\x01\x02\n\r\n\r\n")
REFUSES(the_first_byte_of_tls, "\x16")

static void a_nul_in_a_value(void **state)
{
    (void)state;
    expect_refused(SLICE(GET "A: b\0c\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\n");
}

static void a_nul_in_a_name(void **state)
{
    (void)state;
    expect_refused(SLICE(GET "A\0: b\r\n\r\n"), "HTTP/1.1 400 Bad Request\r\n");
}

static void nothing_after_a_refused_request_is_read(void **state)
{
    (void)state;
    recv_str(GET "A : b\r\n\r\n" GET "\r\n");
    recv_str(GET "\r\n");
    assert_int_equal(world.request_count, 0);
    struct slice sent = take_sent();
    assert_false(contains(slice_skip(sent, 1), "HTTP/1.1"));
}

static void a_refusal_waits_for_the_answers_ahead_of_it(void **state)
{
    (void)state;
    recv_str(GET "\r\n" GET "A : b\r\n\r\n");
    assert_int_equal(take_sent().len, 0);
    assert_false(http_conn_wants_close(world.conn));
    http_callee_respond(&world, 200, "ok");
    struct slice sent = take_sent();
    assert_true(slice_has_prefix(sent, SLICE("HTTP/1.1 200 OK\r\n")));
    assert_true(contains(sent, "HTTP/1.1 400 Bad Request\r\n"));
    assert_true(http_conn_wants_close(world.conn));
}

/* Limits */

static void a_header_section_over_the_limit_is_431(void **state)
{
    (void)state;
    char value[1100];
    memset(value, 'v', sizeof value);
    recv_str(GET "A: ");
    http_callee_recv(&world, slice_of(value, 900));
    assert_int_equal(take_sent().len, 0);
    http_callee_recv(&world, slice_of(value, 200));
    struct slice sent = take_sent();
    assert_true(slice_has_prefix(sent, SLICE("HTTP/1.1 431 ")));
    assert_true(contains(sent, "\"limit\":{\"name\":\"header_bytes_max\",\"value\":1024}"));
    assert_true(http_conn_wants_close(world.conn));
}

static void too_many_fields_are_431(void **state)
{
    (void)state;
    struct buf text = {0};
    buf_append_str(&text, GET);
    for (int i = 0; i < 20; i++) {
        buf_append_str(&text, "A: b\r\n");
    }
    buf_append_str(&text, "\r\n");
    expect_refused(buf_slice(&text), "HTTP/1.1 431 ");
    buf_done(&text);
}

static void as_many_fields_as_the_limit_are_taken(void **state)
{
    (void)state;
    recv_str(GET);
    for (int i = 0; i < 19; i++) {
        recv_str("A: b\r\n");
    }
    recv_str("\r\n");
    assert_int_equal(http_exchange_request(http_callee_open(&world, 0))->header_count, 20);
    http_callee_respond(&world, 204, NULL);
}

static void a_long_target_is_413(void **state)
{
    (void)state;
    recv_str("GET /");
    for (int i = 0; i < 64; i++) {
        recv_str("a");
    }
    expect_refused(SLICE(" HTTP/1.1\r\nHost: a\r\n\r\n"), "HTTP/1.1 413 Content Too Large\r\n");
}

static void a_body_over_the_limit_is_413_before_it_comes(void **state)
{
    (void)state;
    expect_refused(SLICE(PUT "Expect: 100-continue\r\nContent-Length: 100001\r\n\r\n"),
                   "HTTP/1.1 413 Content Too Large\r\n");
}

static void a_chunked_body_over_the_limit_is_413_at_the_chunk_that_passes_it(void **state)
{
    (void)state;
    recv_str(PUT "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n");
    assert_int_equal(take_sent().len, 0);
    recv_str("1869f\r\n"); /* 99 999 */
    struct slice sent = take_sent();
    assert_true(slice_has_prefix(sent, SLICE("HTTP/1.1 413 ")));
    assert_true(contains(sent, "\"limit\":{\"name\":\"body_bytes_max\",\"value\":100000}"));
    assert_true(http_conn_wants_close(world.conn));
}

static void chunks_that_are_mostly_framing_are_refused(void **state)
{
    (void)state;
    recv_str(PUT "Transfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 200; i++) {
        recv_str("1;extension=extension\r\nx\r\n");
    }
    assert_true(slice_has_prefix(take_sent(), SLICE("HTTP/1.1 400 ")));
}

static void trailers_are_bounded(void **state)
{
    (void)state;
    recv_str(PUT "Transfer-Encoding: chunked\r\n\r\n0\r\n");
    for (int i = 0; i < 200; i++) {
        recv_str("A: bbbbbb\r\n");
    }
    assert_true(slice_has_prefix(take_sent(), SLICE("HTTP/1.1 400 ")));
}

static void exhausted_memory_is_an_answer(void **state)
{
    (void)state;
    recv_str(PUT "Content-Length: 70000\r\n\r\n");
    mem_fail_after(0);
    recv_str("x");
    mem_fail_after(-1);
    struct slice sent = take_sent();
    assert_true(slice_has_prefix(sent, SLICE("HTTP/1.1 500 ")));
    assert_true(http_conn_wants_close(world.conn));
}

/* Answers */

static void pipelined_requests_are_answered_in_their_order(void **state)
{
    (void)state;
    recv_str("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_exchange *first = http_callee_open(&world, 0);
    struct http_exchange *second = http_callee_open(&world, 1);
    http_callee_forget(&world, second);
    struct bytes *two = bytes_new(SLICE("two"));
    http_respond(second, 200, NULL, 0, two);
    bytes_unref(two);
    assert_int_equal(take_sent().len, 0);
    http_callee_forget(&world, first);
    struct bytes *one = bytes_new(SLICE("one"));
    http_respond(first, 200, NULL, 0, one);
    bytes_unref(one);
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\none"
                            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\ntwo");
}

static void a_full_pipeline_stops_reading_until_an_answer_has_left(void **state)
{
    (void)state;
    for (int i = 0; i < 6; i++) {
        recv_str(GET "\r\n");
    }
    assert_int_equal(world.request_count, 4);
    assert_false(http_conn_wants_read(world.conn));
    http_callee_respond(&world, 204, NULL);
    (void)take_sent();
    assert_int_equal(world.request_count, 5);
    assert_false(http_conn_wants_read(world.conn));
    http_callee_respond(&world, 204, NULL);
    (void)take_sent();
    assert_int_equal(world.request_count, 6);
    http_callee_respond(&world, 204, NULL);
    (void)take_sent();
    assert_true(http_conn_wants_read(world.conn));
    while (world.open_count > 0) {
        http_callee_respond(&world, 204, NULL);
    }
}

static void answers_given_at_once_let_any_number_of_pipelined_requests_through(void **state)
{
    (void)state;
    world.answers_at_once = true;
    struct buf text = {0};
    for (int i = 0; i < 1000; i++) {
        buf_append_str(&text, GET "\r\n");
    }
    http_callee_recv(&world, buf_slice(&text));
    buf_done(&text);
    struct slice sent = take_sent();
    assert_int_equal(world.request_count, 1000);
    assert_int_equal(sent.len, 1000 * strlen("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"));
}

static void unsent_answers_of_many_bytes_stop_reading(void **state)
{
    (void)state;
    limits.conn_unsent_bytes_max = 10;
    recv_str(GET "\r\n" GET "\r\n");
    http_callee_respond(&world, 200, "more than ten bytes");
    recv_str(GET "\r\n");
    assert_int_equal(world.request_count, 2);
    (void)take_sent();
    assert_int_equal(world.request_count, 3);
    http_callee_respond(&world, 204, NULL);
    http_callee_respond(&world, 204, NULL);
}

static void head_gets_the_length_without_the_body(void **state)
{
    (void)state;
    recv_str("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    http_callee_respond(&world, 200, "body");
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n");
}

static void not_modified_has_neither_body_nor_length(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    http_callee_respond(&world, 304, "body");
    expect_str(take_sent(), "HTTP/1.1 304 Not Modified\r\n\r\n");
}

static void fields_that_would_break_the_framing_are_left_out(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_callee_forget(&world, x);
    struct http_header headers[] = {
        {SLICE("etag"), SLICE("\"1\"")},           {SLICE("Content-Length"), SLICE("99")},
        {SLICE("x"), SLICE("a\r\nset-cookie: b")}, {SLICE("bad name"), SLICE("v")},
        {SLICE("Transfer-Encoding"), SLICE("x")},  {SLICE("connection"), SLICE("close")}};
    http_respond(x, 200, headers, sizeof headers / sizeof headers[0], NULL);
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\netag: \"1\"\r\ncontent-length: 0\r\n\r\n");
}

static void a_problem_is_answered_with_its_headers(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_callee_forget(&world, x);
    http_respond_problem(x, ERR_UNAVAILABLE, SLICE("no quorum"), NULL);
    struct slice sent = take_sent();
    assert_true(slice_has_prefix(sent, SLICE("HTTP/1.1 503 Service Unavailable\r\n")));
    assert_true(contains(sent, "retry-after: 1\r\n"));
    assert_true(contains(sent, "\"detail\":\"no quorum\""));
    assert_false(http_conn_wants_close(world.conn));
}

static void a_body_larger_than_the_output_buffer_goes_out_in_parts(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_callee_forget(&world, x);
    struct bytes *body = bytes_new_uninit(1000 * 1000);
    memset(body->data, 'b', body->len);
    http_respond(x, 200, NULL, 0, body);
    bytes_unref(body);
    struct slice part = http_conn_output(world.conn, world.now_ms);
    assert_true(part.len <= 256 * 1024);
    struct slice again = http_conn_output(world.conn, world.now_ms);
    assert_ptr_equal(part.data, again.data);
    assert_int_equal(part.len, again.len);
    size_t head_len = strlen("HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n");
    assert_int_equal(take_sent().len, head_len + 1000 * 1000);
}

static void a_stream_is_chunked(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
    expect_err(http_stream_write(x, SLICE("hello ")), ERR_OK);
    expect_err(http_stream_write(x, SLICE("world")), ERR_OK);
    expect_str(take_sent(), "b\r\nhello world\r\n");
    assert_int_equal(take_sent().len, 0);
    http_callee_forget(&world, x);
    http_stream_end(x);
    expect_str(take_sent(), "0\r\n\r\n");
    assert_false(http_conn_wants_close(world.conn));
}

static void a_stream_answer_to_head_has_no_body(void **state)
{
    (void)state;
    recv_str("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    expect_err(http_stream_write(x, SLICE("hello")), ERR_OK);
    http_callee_forget(&world, x);
    http_stream_end(x);
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n");
}

static void a_full_stream_refuses_and_says_when_it_is_writable(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    uint8_t piece[600] = {0};
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OK);
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OK);
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OVERLOADED);
    assert_int_equal(world.writable_count, 0);
    (void)take_sent();
    assert_int_equal(world.writable_count, 1);
    expect_err(http_stream_write(x, slice_of(piece, sizeof piece)), ERR_OK);
    (void)take_sent();
    assert_int_equal(world.writable_count, 1);
    http_callee_forget(&world, x);
    http_stream_end(x);
}

static void an_aborted_stream_is_broken_off(void **state)
{
    (void)state;
    recv_str(GET "\r\n" GET "\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    expect_err(http_stream_write(x, SLICE("hello")), ERR_OK);
    http_callee_forget(&world, x);
    http_stream_abort(x);
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n");
    assert_true(http_conn_wants_close(world.conn));
    assert_int_equal(world.cancel_count, 1); /* the request behind it */
}

static void http_1_0_is_closed_after_the_answer(void **state)
{
    (void)state;
    recv_str("GET / HTTP/1.0\r\n\r\n");
    http_callee_respond(&world, 200, "ok");
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok");
    assert_true(http_conn_wants_close(world.conn));
}

static void http_1_0_is_kept_where_it_asks(void **state)
{
    (void)state;
    recv_str("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    http_callee_respond(&world, 200, "ok");
    expect_str(take_sent(),
               "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok");
    assert_false(http_conn_wants_close(world.conn));
}

static void a_stream_to_http_1_0_ends_with_the_connection(void **state)
{
    (void)state;
    recv_str("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_stream_begin(x, 200, NULL, 0);
    expect_err(http_stream_write(x, SLICE("hello")), ERR_OK);
    http_callee_forget(&world, x);
    http_stream_end(x);
    expect_str(take_sent(), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nhello");
    assert_true(http_conn_wants_close(world.conn));
}

static void an_answer_that_ends_the_connection_lets_no_further_request_in(void **state)
{
    (void)state;
    recv_str("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
    http_stream_begin(http_callee_open(&world, 0), 200, NULL, 0);
    recv_str(GET "\r\n");
    assert_int_equal(world.request_count, 1);
    struct http_exchange *x = http_callee_open(&world, 0);
    http_callee_forget(&world, x);
    http_stream_end(x);
    (void)take_sent();
    assert_true(http_conn_wants_close(world.conn));
}

static void connection_close_is_the_last_request(void **state)
{
    (void)state;
    recv_str(GET "Connection: close\r\n\r\n" GET "\r\n");
    assert_int_equal(world.request_count, 1);
    http_callee_respond(&world, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    assert_true(http_conn_wants_close(world.conn));
}

static void output_is_told_once_until_it_is_fetched(void **state)
{
    (void)state;
    recv_str(GET "\r\n" GET "\r\n");
    assert_int_equal(world.output_count, 0);
    http_callee_respond(&world, 204, NULL);
    http_callee_respond(&world, 204, NULL);
    assert_int_equal(world.output_count, 1);
    (void)take_sent();
    recv_str(GET "\r\n");
    http_callee_respond(&world, 204, NULL);
    assert_int_equal(world.output_count, 2);
}

static void an_exchange_is_used_again_without_what_it_held(void **state)
{
    (void)state;
    recv_str(PUT "A: b\r\nContent-Length: 2\r\n\r\nhi");
    http_exchange_set_user(http_callee_open(&world, 0), &world);
    http_callee_respond(&world, 200, "one");
    (void)take_sent();
    recv_str(GET "\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    assert_null(http_exchange_user(x));
    assert_null(http_exchange_request(x)->body);
    assert_int_equal(http_exchange_request(x)->header_count, 1);
    http_callee_respond(&world, 204, NULL);
}

/* Ends */

static void a_peer_that_goes_away_cancels_what_is_open(void **state)
{
    (void)state;
    recv_str(GET "\r\n" GET "\r\n" PUT "Content-Length: 2\r\n\r\nh");
    http_stream_begin(http_callee_open(&world, 0), 200, NULL, 0);
    http_conn_cut(world.conn);
    assert_int_equal(world.cancel_count, 2);
    assert_true(http_conn_wants_close(world.conn));
    assert_int_equal(take_sent().len, 0);
}

static void end_of_input(void)
{
    http_conn_recv_end(world.conn, world.now_ms);
}

static void what_was_asked_for_is_answered_though_the_peer_has_closed_its_side(void **state)
{
    (void)state;
    recv_str(GET "\r\n" GET "\r\n");
    end_of_input();
    assert_int_equal(world.cancel_count, 0);
    assert_false(http_conn_wants_close(world.conn));
    http_callee_respond(&world, 204, NULL);
    http_callee_respond(&world, 204, NULL);
    assert_false(http_conn_wants_close(world.conn));
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n");
    assert_true(http_conn_wants_close(world.conn));
}

static void a_request_cut_off_by_the_end_is_dropped_behind_those_that_came_whole(void **state)
{
    (void)state;
    recv_str(GET "\r\n" PUT "Content-Length: 2\r\n\r\nh");
    end_of_input();
    assert_int_equal(world.request_count, 1);
    http_callee_respond(&world, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_true(http_conn_wants_close(world.conn));
}

static void an_idle_peer_that_closes_its_side_is_closed(void **state)
{
    (void)state;
    recv_str("GE");
    end_of_input();
    assert_true(http_conn_wants_close(world.conn));
}

static void a_stream_ends_when_the_peer_closes_its_side(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    http_stream_begin(http_callee_open(&world, 0), 200, NULL, 0);
    end_of_input();
    assert_int_equal(world.cancel_count, 1);
    assert_true(http_conn_wants_close(world.conn));
}

static void a_peer_that_has_closed_its_side_waits_only_so_long(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    end_of_input();
    uint64_t at_ms = http_conn_next_deadline_ms(world.conn);
    assert_int_equal(at_ms, world.now_ms + limits.half_closed_ms);
    http_conn_tick(world.conn, at_ms - 1);
    assert_int_equal(world.cancel_count, 0);
    http_conn_tick(world.conn, at_ms);
    assert_int_equal(world.cancel_count, 1);
    assert_true(http_conn_wants_close(world.conn));
}

static void answering_a_cancelled_exchange_is_a_bug(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    struct http_exchange *x = http_callee_open(&world, 0);
    http_conn_cut(world.conn);
    expect_invariants_to_fail();
    expect_assert_failure(http_respond(x, 204, NULL, 0, NULL));
}

static void a_drained_connection_closes_when_it_is_idle(void **state)
{
    (void)state;
    http_conn_drain(world.conn);
    assert_true(http_conn_wants_close(world.conn));
}

static void a_drained_connection_finishes_the_requests_that_began(void **state)
{
    (void)state;
    recv_str(GET "\r\n" PUT "Content-Length: 2\r\n\r\nh");
    http_conn_drain(world.conn);
    http_callee_respond(&world, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\n");
    assert_false(http_conn_wants_close(world.conn));
    recv_str("i" GET "\r\n");
    assert_int_equal(world.request_count, 2);
    http_callee_respond(&world, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    assert_true(http_conn_wants_close(world.conn));
}

/* Time */

static void expect_deadline_in(uint64_t ms)
{
    assert_int_equal(http_conn_next_deadline_ms(world.conn), world.now_ms + ms);
}

static void tick_after(uint64_t ms)
{
    world.now_ms += ms;
    http_conn_tick(world.conn, world.now_ms);
}

static void an_idle_connection_is_closed_in_the_end(void **state)
{
    (void)state;
    expect_deadline_in(limits.idle_ms);
    tick_after(limits.idle_ms - 1);
    assert_false(http_conn_wants_close(world.conn));
    tick_after(1);
    assert_true(http_conn_wants_close(world.conn));
    assert_int_equal(take_sent().len, 0);
}

static void an_idle_connection_keeps_no_buffers(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    http_callee_respond(&world, 204, NULL);
    (void)take_sent();
    expect_deadline_in(1000);
    tick_after(1000);
    expect_deadline_in(limits.idle_ms - 1000);
    recv_str(GET "\r\n");
    http_callee_respond(&world, 204, NULL);
    expect_str(take_sent(), "HTTP/1.1 204 No Content\r\n\r\n");
}

static void under_load_a_body_has_a_second_for_each_16_kb(void **state)
{
    (void)state;
    static struct http_load load; /* outlives the connection */
    http_conn_share(world.conn, &load);
    recv_str(PUT "Content-Length: 50000\r\n\r\nx");
    assert_int_equal(load.exchange_count, 1);
    load.unsent_bytes = limits.total_bytes_max; /* of other connections */
    expect_deadline_in(1000);
    tick_after(1000);
    assert_true(slice_has_prefix(take_sent(), SLICE("HTTP/1.1 408 ")));
    assert_int_equal(load.request_bytes, 0);
}

static void a_slow_head_is_408(void **state)
{
    (void)state;
    recv_str("GET / HT");
    expect_deadline_in(limits.head_ms);
    world.now_ms += limits.head_ms - 1;
    recv_str("TP/1.1\r\n");
    expect_deadline_in(1);
    tick_after(1);
    struct slice sent = take_sent();
    assert_true(slice_has_prefix(sent, SLICE("HTTP/1.1 408 Request Timeout\r\n")));
    assert_true(contains(sent, "\"code\":\"timeout\""));
    assert_true(http_conn_wants_close(world.conn));
}

static void a_slow_body_is_408_though_it_trickles(void **state)
{
    (void)state;
    recv_str(PUT "Content-Length: 50000\r\n\r\n");
    world.now_ms += limits.stall_ms - 1;
    recv_str("x");
    expect_deadline_in(1);
    tick_after(1);
    assert_true(slice_has_prefix(take_sent(), SLICE("HTTP/1.1 408 ")));
    assert_true(http_conn_wants_close(world.conn));
}

static void a_body_that_makes_progress_has_all_the_time_it_needs(void **state)
{
    (void)state;
    recv_str(PUT "Content-Length: 80000\r\n\r\n");
    uint8_t piece[20 * 1000] = {0};
    for (int i = 0; i < 4; i++) {
        tick_after(limits.stall_ms - 1);
        http_callee_recv(&world, slice_of(piece, sizeof piece));
    }
    assert_int_equal(world.request_count, 1);
    http_callee_respond(&world, 204, NULL);
}

static void a_callee_has_all_the_time_it_needs(void **state)
{
    (void)state;
    recv_str(GET "\r\n");
    assert_int_equal(http_conn_next_deadline_ms(world.conn), UINT64_MAX);
    http_callee_respond(&world, 204, NULL);
}

static void a_peer_that_does_not_read_is_cut(void **state)
{
    (void)state;
    recv_str(GET "\r\n" GET "\r\n");
    http_callee_respond(&world, 200, "ok");
    struct slice out = http_conn_output(world.conn, world.now_ms);
    assert_true(out.len > 0);
    expect_deadline_in(limits.stall_ms);
    world.now_ms += limits.stall_ms - 1;
    http_conn_sent(world.conn, 1, world.now_ms);
    tick_after(1);
    assert_true(http_conn_wants_close(world.conn));
    assert_int_equal(world.cancel_count, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(
    T(a_request_is_seen_with_its_parts), T(any_token_is_a_method),
    T(a_request_may_come_byte_by_byte), T(a_body_outlives_its_exchange_where_the_callee_keeps_it),
    T(a_large_body_arrives_whole_in_pieces), T(a_chunked_body_is_joined_and_its_trailers_dropped),
    T(an_absolute_target_names_path_and_host), T(the_server_itself_may_be_asked_for_options),
    T(an_empty_line_ahead_of_a_request_is_ignored), T(an_offer_to_upgrade_is_ignored),
    T(a_client_that_expects_it_is_told_to_continue), T(a_bare_lf_after_the_request_line),
    T(a_bare_lf_after_a_field), T(a_bare_lf_at_the_end_of_the_head), T(a_bare_cr_in_a_value),
    T(a_folded_field), T(a_field_folded_with_a_tab), T(a_folded_line_after_the_request_line),
    T(a_space_before_the_colon), T(a_space_inside_a_name), T(a_line_without_a_colon),
    T(an_empty_name), T(a_control_character_in_a_value), T(no_host), T(two_hosts),
    T(a_host_that_is_none), T(a_host_with_a_user), T(two_lengths), T(a_list_of_lengths),
    T(a_signed_length), T(an_empty_length), T(a_length_over_64_bits), T(a_length_with_an_encoding),
    T(an_encoding_with_a_length), T(an_encoding_that_is_not_chunked), T(an_encoding_after_chunked),
    T(an_unknown_encoding), T(two_encodings), T(an_encoding_in_http_1_0),
    T(a_chunk_size_with_a_bare_lf), T(a_chunk_extension_with_a_bare_lf),
    T(a_chunk_extension_with_a_control_character), T(a_chunk_size_with_a_space),
    T(a_chunk_size_in_c_notation), T(a_chunk_size_over_64_bits), T(a_chunk_longer_than_its_size),
    T(a_chunk_closed_by_a_bare_lf), T(a_folded_trailer), T(a_trailer_with_a_bare_lf),
    T(two_spaces_in_the_request_line), T(a_space_in_the_target), T(a_space_after_the_version),
    T(a_tab_in_the_request_line), T(http_0_9), T(http_1_2), T(http_2_0_in_the_syntax_of_1_1),
    T(the_version_of_icecast), T(a_method_that_is_no_token), T(no_method), T(connect),
    T(a_fragment_in_the_target), T(a_byte_over_127_in_the_target), T(an_asterisk_for_get),
    T(another_scheme), T(a_user_in_the_target), T(the_hello_of_tls), T(the_first_byte_of_tls),
    T(a_nul_in_a_value), T(a_nul_in_a_name), T(nothing_after_a_refused_request_is_read),
    T(a_refusal_waits_for_the_answers_ahead_of_it), T(a_header_section_over_the_limit_is_431),
    T(too_many_fields_are_431), T(as_many_fields_as_the_limit_are_taken), T(a_long_target_is_413),
    T(a_body_over_the_limit_is_413_before_it_comes),
    T(a_chunked_body_over_the_limit_is_413_at_the_chunk_that_passes_it),
    T(chunks_that_are_mostly_framing_are_refused), T(trailers_are_bounded),
    T(exhausted_memory_is_an_answer), T(pipelined_requests_are_answered_in_their_order),
    T(a_full_pipeline_stops_reading_until_an_answer_has_left),
    T(answers_given_at_once_let_any_number_of_pipelined_requests_through),
    T(unsent_answers_of_many_bytes_stop_reading), T(head_gets_the_length_without_the_body),
    T(not_modified_has_neither_body_nor_length),
    T(fields_that_would_break_the_framing_are_left_out), T(a_problem_is_answered_with_its_headers),
    T(a_body_larger_than_the_output_buffer_goes_out_in_parts), T(a_stream_is_chunked),
    T(a_stream_answer_to_head_has_no_body), T(a_full_stream_refuses_and_says_when_it_is_writable),
    T(an_aborted_stream_is_broken_off), T(http_1_0_is_closed_after_the_answer),
    T(http_1_0_is_kept_where_it_asks), T(a_stream_to_http_1_0_ends_with_the_connection),
    T(an_answer_that_ends_the_connection_lets_no_further_request_in),
    T(connection_close_is_the_last_request), T(output_is_told_once_until_it_is_fetched),
    T(an_exchange_is_used_again_without_what_it_held),
    T(a_peer_that_goes_away_cancels_what_is_open),
    T(what_was_asked_for_is_answered_though_the_peer_has_closed_its_side),
    T(a_request_cut_off_by_the_end_is_dropped_behind_those_that_came_whole),
    T(an_idle_peer_that_closes_its_side_is_closed), T(a_stream_ends_when_the_peer_closes_its_side),
    T(a_peer_that_has_closed_its_side_waits_only_so_long),
    T(answering_a_cancelled_exchange_is_a_bug), T(a_drained_connection_closes_when_it_is_idle),
    T(a_drained_connection_finishes_the_requests_that_began),
    T(an_idle_connection_is_closed_in_the_end), T(an_idle_connection_keeps_no_buffers),
    T(under_load_a_body_has_a_second_for_each_16_kb), T(a_slow_head_is_408),
    T(a_slow_body_is_408_though_it_trickles),
    T(a_body_that_makes_progress_has_all_the_time_it_needs), T(a_callee_has_all_the_time_it_needs),
    T(a_peer_that_does_not_read_is_cut))
