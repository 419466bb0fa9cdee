#include "rpc/http_date.h"

#include "tests/lib/test.h"
#include "tests/unit/http2_world.h"

#define WALL_MS UINT64_C(784111777000) /* of the example in RFC 9110 */
#define TEXT    "Sun, 06 Nov 1994 08:49:37 GMT"
#define HOST    "Host: a\r\n\r\n"

static struct http_date date;

static void a_date_is_written_as_http_wants_it(void **state)
{
    (void)state;
    static const struct {
        uint64_t wall_ms;
        const char *text;
    } rows[] = {
        {WALL_MS, TEXT},
        {WALL_MS + 999, TEXT},
        {WALL_MS + 1000, "Sun, 06 Nov 1994 08:49:38 GMT"},
        {UINT64_C(1000), "Thu, 01 Jan 1970 00:00:01 GMT"},
        {UINT64_C(951782399999), "Mon, 28 Feb 2000 23:59:59 GMT"},
        {UINT64_C(951782400000), "Tue, 29 Feb 2000 00:00:00 GMT"},
        {UINT64_C(1767225599000), "Wed, 31 Dec 2025 23:59:59 GMT"},
        {UINT64_C(4107542399000), "Sun, 28 Feb 2100 23:59:59 GMT"},
        {UINT64_C(4107542400000), "Mon, 01 Mar 2100 00:00:00 GMT"},
        {UINT64_C(253402300799000), "Fri, 31 Dec 9999 23:59:59 GMT"},
    };
    struct http_date d = {0};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        http_date_set(&d, rows[i].wall_ms);
        expect_str(http_date_text(&d), rows[i].text);
    }
}

static void a_clock_that_tells_no_date_has_no_text(void **state)
{
    (void)state;
    static const uint64_t walls_ms[] = {0, 999, UINT64_C(253402300800000), UINT64_MAX};
    for (size_t i = 0; i < sizeof walls_ms / sizeof walls_ms[0]; i++) {
        struct http_date d = {0};
        assert_int_equal(http_date_text(&d).len, 0);
        http_date_set(&d, WALL_MS);
        http_date_set(&d, walls_ms[i]);
        assert_int_equal(http_date_text(&d).len, 0);
        http_date_set(&d, WALL_MS);
        expect_str(http_date_text(&d), TEXT);
    }
}

/* Answers */

static int open_one(void **state)
{
    (void)state;
    limits = http_limits_default;
    date = (struct http_date){0};
    http_date_set(&date, WALL_MS);
    http_callee_init(&world, &limits);
    http_conn_set_date(world.conn, &date);
    return 0;
}

static int close_one(void **state)
{
    (void)state;
    http_callee_done(&world);
    return 0;
}

static struct slice answer_to(const char *request)
{
    buf_done(&world.sent);
    http_callee_recv(&world, slice_of_str(request));
    while (world.open_count > 0) {
        http_callee_respond(&world, 200, "ok");
    }
    http_callee_flush(&world);
    return buf_slice(&world.sent);
}

static void an_answer_of_http_1_has_the_date_of_its_second(void **state)
{
    (void)state;
    expect_str(answer_to("GET / HTTP/1.1\r\n" HOST),
               "HTTP/1.1 200 OK\r\ndate: " TEXT "\r\ncontent-length: 2\r\n\r\nok");
    http_date_set(&date, WALL_MS + 1000);
    expect_str(
        answer_to("HEAD / HTTP/1.1\r\n" HOST),
        "HTTP/1.1 200 OK\r\ndate: Sun, 06 Nov 1994 08:49:38 GMT\r\ncontent-length: 2\r\n\r\n");
}

static void an_error_that_the_codec_answers_has_a_date(void **state)
{
    (void)state;
    assert_true(contains(answer_to("GET / HTTP/1.1\r\n\r\n"), "date: " TEXT "\r\n"));
}

static void an_interim_answer_has_no_date(void **state)
{
    (void)state;
    expect_str(answer_to("PUT / HTTP/1.1\r\nContent-Length: 2\r\nExpect: 100-continue\r\n" HOST),
               "HTTP/1.1 100 Continue\r\n\r\n");
}

static void a_stream_has_a_date(void **state)
{
    (void)state;
    http_callee_recv(&world, SLICE("GET / HTTP/1.1\r\n" HOST));
    struct http_exchange *x = http_callee_open(&world, 0);
    http_callee_forget(&world, x);
    http_stream_begin(x, 200, NULL, 0);
    http_stream_end(x);
    http_callee_flush(&world);
    expect_str(buf_slice(&world.sent),
               "HTTP/1.1 200 OK\r\ndate: " TEXT "\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n");
}

static void the_codec_s_date_is_the_only_one(void **state)
{
    (void)state;
    const struct http_header theirs[] = {{SLICE("Date"), SLICE("yesterday")}};
    http_callee_recv(&world, SLICE("GET / HTTP/1.1\r\n" HOST));
    struct http_exchange *x = http_callee_open(&world, 0);
    http_callee_forget(&world, x);
    http_respond(x, 204, theirs, 1, NULL);
    http_callee_flush(&world);
    expect_str(buf_slice(&world.sent), "HTTP/1.1 204 No Content\r\ndate: " TEXT "\r\n\r\n");
}

static void an_answer_of_http_2_has_a_date(void **state)
{
    (void)state;
    date = (struct http_date){0};
    http_date_set(&date, WALL_MS);
    http_conn_set_date(world.conn, &date);
    int32_t first = http2_client_get(&client, "/");
    http2_client_pump(&client);
    http_callee_respond(&world, 200, "ok");
    http2_client_pump(&client);
    assert_true(contains(buf_slice(&stream(first)->head), "date: " TEXT));
    http_date_set(&date, WALL_MS + 1000);
    int32_t second = http2_client_get(&client, "/");
    http2_client_pump(&client);
    http_callee_respond(&world, 404, "no");
    http2_client_pump(&client);
    assert_true(contains(buf_slice(&stream(second)->head), "date: Sun, 06 Nov 1994 08:49:38 GMT"));
}

#define ONE(name) cmocka_unit_test_setup_teardown(name, open_one, close_one)
#define TWO(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(cmocka_unit_test(a_date_is_written_as_http_wants_it),
          cmocka_unit_test(a_clock_that_tells_no_date_has_no_text),
          ONE(an_answer_of_http_1_has_the_date_of_its_second),
          ONE(an_error_that_the_codec_answers_has_a_date), ONE(an_interim_answer_has_no_date),
          ONE(a_stream_has_a_date), ONE(the_codec_s_date_is_the_only_one),
          TWO(an_answer_of_http_2_has_a_date))
