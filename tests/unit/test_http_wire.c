#include "rpc/http_wire.h"

#include <openssl/err.h>

#include "base/clock.h"
#include "base/mem.h"
#include "tests/lib/test.h"
#include "tests/lib/tls_certs.h"
#include "tests/lib/tls_client.h"

enum { PATH_BYTES = 4096, BEGIN_MS = 1000, OPEN_MAX = 16 };

static struct tls_context *context;

/* One connection, its callee and its client. */
static struct http_limits limits;
static struct http_wire_shared shared;
static struct http_load load;
static struct http_wire *wire;
static struct tls_client client;
static uint64_t now_ms;
static struct http_exchange *open[OPEN_MAX];
static size_t open_count;
static size_t cancel_count;
static size_t output_count;
static bool was_secure;

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    assert_true(open_count < OPEN_MAX);
    was_secure = http_exchange_request(x)->is_secure;
    open[open_count++] = x;
}

static void on_cancel(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    assert_ptr_equal(open[open_count - 1], x);
    open_count--;
    cancel_count++;
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
}

static void on_output(void *ctx)
{
    (void)ctx;
    output_count++;
}

static const struct http_hooks hooks = {on_request, on_cancel, on_writable, on_output, NULL};

static int make_certificate(void **state)
{
    (void)state;
    char detail[TLS_DETAIL_BYTES];
    char cert[PATH_BYTES];
    char key[PATH_BYTES];
    char *dir = test_make_dir();
    struct tls_cert c = tls_cert_make(NULL, &(struct tls_cert_options){.names = "DNS:localhost"});
    tls_cert_save(&c, dir, "cert");
    tls_cert_save_key(&c, dir, "key", NULL);
    tls_cert_done(&c);
    (void)snprintf(cert, sizeof cert, "%s/cert", dir);
    (void)snprintf(key, sizeof key, "%s/key", dir);
    const struct tls_files files = {.cert = cert, .key = key};
    expect_err(tls_context_new(TLS_FOR_CLIENTS, &files, clock_wall_ms(), &context, detail), ERR_OK);
    test_remove_dir(dir);
    shared.room = mem_alloc(WIRE_ROOM_BYTES);
    return 0;
}

static int free_certificate(void **state)
{
    (void)state;
    tls_context_unref(context);
    mem_free(shared.room);
    return 0;
}

static void open_wire(const char *protocols)
{
    wire = http_wire_new(&limits, &hooks, NULL, context, &shared, now_ms);
    assert_non_null(wire);
    http_wire_share(wire, &load);
    tls_client_open(&client, &(struct tls_client_options){.protocols = protocols});
}

static int open_world(void **state)
{
    (void)state;
    limits = http_limits_default;
    shared.counts = (struct http_wire_counts){0};
    now_ms = BEGIN_MS;
    open_count = cancel_count = output_count = 0;
    was_secure = false;
    client = (struct tls_client){0};
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    http_wire_free(wire);
    wire = NULL;
    tls_client_close(&client);
    assert_int_equal(open_count, 0);
    assert_true(load.request_bytes == 0 && load.unsent_bytes == 0);
    return 0;
}

/* Carrying bytes */

static void recv_wire(struct slice in)
{
    size_t before = output_count;
    http_wire_recv(wire, in, now_ms);
    if (output_count == before) {
        assert_int_equal(http_wire_output(wire, now_ms).len, 0); /* else nobody would send it */
    }
}

/* What the server has to say goes to the client, at most `max` bytes of the wire. */
static size_t flush(size_t max)
{
    size_t total = 0;
    struct slice out;
    while (total < max && (out = http_wire_output(wire, now_ms)).len > 0) {
        size_t n = out.len < max - total ? out.len : max - total;
        tls_client_recv(&client, slice_of(out.data, n));
        http_wire_sent(wire, n, now_ms);
        total += n;
    }
    return total;
}

static void carry(void)
{
    struct buf bytes = {0};
    do {
        buf_clear(&bytes);
        tls_client_take(&client, &bytes);
        recv_wire(buf_slice(&bytes));
    } while (flush(SIZE_MAX) > 0 || bytes.len > 0);
    buf_done(&bytes);
}

static void ask(const char *text)
{
    struct buf bytes = {0};
    tls_client_send(&client, slice_of_str(text), &bytes);
    recv_wire(buf_slice(&bytes));
    buf_done(&bytes);
}

static void answer(struct slice body)
{
    assert_true(open_count > 0);
    struct bytes *b = bytes_new(body);
    http_respond(open[--open_count], 200, NULL, 0, b);
    bytes_unref(b);
}

static void tick_at(uint64_t at_ms)
{
    now_ms = at_ms;
    http_wire_tick(wire, now_ms);
    assert_true(http_wire_next_deadline_ms(wire) > now_ms);
}

static bool contains(struct slice text, const char *part)
{
    return memmem(text.data, text.len, part, strlen(part)) != NULL;
}

static const char get[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

static void expect_served(void)
{
    ask(get);
    assert_int_equal(open_count, 1);
    assert_true(was_secure);
    answer(SLICE("yes"));
    buf_clear(&client.got);
    (void)flush(SIZE_MAX);
    expect_str(buf_slice(&client.got), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes");
}

/* Which HTTP */

static void a_client_without_alpn_is_served_http1(void **state)
{
    (void)state;
    open_wire(NULL);
    carry();
    expect_served();
    expect_served();
    assert_int_equal(shared.counts.handshakes, 1);
    assert_int_equal(shared.counts.failures, 0);
}

static void http1_is_agreed_on_by_alpn(void **state)
{
    (void)state;
    open_wire("\x08http/1.1");
    carry();
    expect_served();
}

/* GET https://a/, by hand. */
static const char h2_request[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                 "\0\0\0\x04\0\0\0\0\0"
                                 "\0\0\x06\x01\x05\0\0\0\x01\x82\x87\x84\x41\x01"
                                 "a";

static void http2_is_agreed_on_by_alpn(void **state)
{
    (void)state;
    open_wire("\x02h2\x08http/1.1");
    carry();
    struct buf bytes = {0};
    tls_client_send(&client, SLICE(h2_request), &bytes);
    recv_wire(buf_slice(&bytes));
    assert_int_equal(open_count, 1);
    assert_true(was_secure);
    answer(SLICE("yes"));
    (void)flush(SIZE_MAX);
    assert_int_equal(client.got.data[3], 4); /* SETTINGS first */
    assert_true(contains(buf_slice(&client.got), "yes"));
    buf_done(&bytes);
}

static void who_agreed_on_http2_must_speak_it(void **state)
{
    (void)state;
    open_wire("\x02h2");
    carry();
    ask(get);
    assert_int_equal(open_count, 0);
    assert_true(http_wire_wants_close(wire));
}

static void who_agreed_on_http1_must_not_speak_http2(void **state)
{
    (void)state;
    open_wire("\x08http/1.1");
    carry();
    ask("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    (void)flush(SIZE_MAX);
    assert_true(slice_has_prefix(buf_slice(&client.got), SLICE("HTTP/1.1 ")));
    assert_true(client.is_ended);
    assert_true(http_wire_wants_close(wire));
}

/* In the clear */

static void without_a_context_bytes_go_through_as_they_are(void **state)
{
    (void)state;
    tls_client_open(&client, &(struct tls_client_options){0}); /* for close_world */
    wire = http_wire_new(&limits, &hooks, NULL, NULL, &shared, now_ms);
    http_wire_recv(wire, SLICE(get), now_ms);
    assert_false(was_secure);
    answer(SLICE("yes"));
    struct slice out = http_wire_output(wire, now_ms);
    expect_str(out, "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nyes");
    http_wire_sent(wire, out.len, now_ms);
    http_wire_recv_end(wire, now_ms);
    assert_true(http_wire_wants_close(wire));
    assert_int_equal(shared.counts.handshakes, 0);
}

static void clear_bytes_where_tls_is_spoken_end_the_connection(void **state)
{
    (void)state;
    open_wire(NULL);
    recv_wire(SLICE(get));
    assert_int_equal(open_count, 0);
    assert_int_equal(shared.counts.failures, 1);
    (void)http_wire_output(wire, now_ms);
    http_wire_recv(wire, SLICE(get), now_ms); /* is dropped */
    size_t alert = http_wire_output(wire, now_ms).len;
    assert_in_range(alert, 0, 16);
    http_wire_sent(wire, alert, now_ms);
    assert_true(http_wire_wants_close(wire));
}

/* Time */

static void a_handshake_has_its_time_and_no_more(void **state)
{
    (void)state;
    struct buf hello = {0};
    open_wire(NULL);
    tls_client_take(&client, &hello);
    assert_int_equal(http_wire_next_deadline_ms(wire), BEGIN_MS + limits.head_ms);
    for (size_t i = 0; i + 1 < hello.len && i < 90; i++) { /* a byte now and then is no progress */
        tick_at(BEGIN_MS + i * limits.head_ms / 100);
        recv_wire(slice_of(hello.data + i, 1));
    }
    assert_false(http_wire_wants_close(wire));
    output_count = 0;
    tick_at(BEGIN_MS + limits.head_ms);
    assert_true(output_count > 0); /* the owner is told to look */
    assert_true(http_wire_wants_close(wire));
    assert_int_equal(shared.counts.timeouts, 1);
    assert_int_equal(shared.counts.failures, 1);
    buf_done(&hello);
}

static void a_served_connection_has_the_deadlines_of_http(void **state)
{
    (void)state;
    open_wire(NULL);
    carry();
    tick_at(BEGIN_MS + limits.head_ms); /* the handshake's is over */
    assert_false(http_wire_wants_close(wire));
    ask("GET / HT");
    tick_at(now_ms + limits.head_ms);
    (void)flush(SIZE_MAX);
    assert_true(slice_has_prefix(buf_slice(&client.got), SLICE("HTTP/1.1 408 ")));
    assert_true(client.is_ended); /* with close_notify */
    assert_true(http_wire_wants_close(wire));
}

static void last_words_that_nobody_reads_are_not_waited_for(void **state)
{
    (void)state;
    open_wire(NULL);
    carry();
    ask("nonsense\r\n\r\n");
    assert_true(http_wire_output(wire, now_ms).len > 0);
    uint64_t began_ms = now_ms;
    while (!http_wire_wants_close(wire)) {
        uint64_t at_ms = http_wire_next_deadline_ms(wire);
        assert_true(at_ms != UINT64_MAX && at_ms <= began_ms + 2 * limits.stall_ms);
        tick_at(at_ms);
    }
}

static void an_alert_that_nobody_reads_is_not_waited_for(void **state)
{
    (void)state;
    struct buf bytes = {0};
    open_wire(NULL);
    carry();
    tls_client_send(&client, SLICE(get), &bytes);
    bytes.data[bytes.len - 1] ^= 1;
    recv_wire(buf_slice(&bytes));
    assert_true(http_wire_output(wire, now_ms).len > 0);
    assert_false(http_wire_wants_close(wire));
    output_count = 0;
    tick_at(now_ms + WIRE_LAST_WORDS_MS);
    assert_true(output_count > 0 && http_wire_wants_close(wire));
    buf_done(&bytes);
}

/* Slow readers */

enum { BIG_BYTES = 1024 * 1024 };

static void ask_for_much(void)
{
    uint8_t *body = mem_zalloc(BIG_BYTES);
    open_wire(NULL);
    carry();
    ask(get);
    answer(slice_of(body, BIG_BYTES));
    mem_free(body);
}

static void a_large_answer_arrives_whole_however_the_socket_takes_it(void **state)
{
    (void)state;
    ask_for_much();
    for (size_t n = 1; flush(n) > 0; n = n * 3 % 100003 + 1) {
    }
    assert_true(client.got.len > BIG_BYTES);
    ask(get);
    answer(SLICE("yes"));
    (void)flush(SIZE_MAX);
    assert_true(contains(slice_skip(buf_slice(&client.got), BIG_BYTES), "yes"));
}

static void a_client_that_reads_slowly_but_steadily_is_served(void **state)
{
    (void)state;
    ask_for_much();
    for (int i = 0; i < 20; i++) {
        assert_true(flush(20 * 1000) > 0);
        tick_at(now_ms + limits.stall_ms * 9 / 10);
        assert_false(http_wire_wants_close(wire));
    }
}

static void a_client_that_stops_reading_is_cut(void **state)
{
    (void)state;
    ask_for_much();
    assert_true(flush(20 * 1000) > 0);
    while (!http_wire_wants_close(wire)) {
        uint64_t at_ms = http_wire_next_deadline_ms(wire);
        assert_true(at_ms <= BEGIN_MS + 2 * limits.stall_ms);
        tick_at(at_ms);
    }
}

/* Ends */

static void a_request_before_close_notify_is_answered(void **state)
{
    (void)state;
    struct buf bytes = {0};
    open_wire(NULL);
    carry();
    tls_client_send(&client, SLICE(get), &bytes);
    (void)SSL_shutdown(client.ssl);
    tls_client_take(&client, &bytes);
    recv_wire(buf_slice(&bytes));
    assert_int_equal(open_count, 1);
    answer(SLICE("yes"));
    (void)flush(SIZE_MAX);
    assert_true(contains(buf_slice(&client.got), "yes"));
    assert_true(http_wire_wants_close(wire));
    buf_done(&bytes);
}

static void a_request_before_the_end_of_the_stream_is_answered(void **state)
{
    (void)state;
    open_wire(NULL);
    carry();
    ask(get);
    http_wire_recv_end(wire, now_ms);
    assert_int_equal(open_count, 1);
    answer(SLICE("yes"));
    (void)flush(SIZE_MAX);
    assert_true(contains(buf_slice(&client.got), "yes"));
    assert_true(client.is_ended);
    assert_true(http_wire_wants_close(wire));
}

static void a_request_cut_off_by_the_end_is_not_seen(void **state)
{
    (void)state;
    open_wire(NULL);
    carry();
    ask("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf");
    http_wire_recv_end(wire, now_ms);
    (void)flush(SIZE_MAX);
    assert_int_equal(open_count, 0);
    assert_true(http_wire_wants_close(wire));
}

static void a_peer_that_goes_away_in_the_handshake_leaves_nothing(void **state)
{
    (void)state;
    open_wire(NULL);
    http_wire_recv_end(wire, now_ms);
    assert_true(http_wire_wants_close(wire));
    assert_int_equal(shared.counts.failures, 1);
}

static void a_session_that_breaks_cancels_its_requests(void **state)
{
    (void)state;
    open_wire(NULL);
    carry();
    ask(get);
    assert_int_equal(open_count, 1);
    recv_wire(SLICE("what is this"));
    assert_int_equal(cancel_count, 1);
    assert_int_equal(shared.counts.failures, 1);
    (void)flush(SIZE_MAX);
    assert_true(http_wire_wants_close(wire));
}

static void draining_ends_handshakes_and_idle_connections(void **state)
{
    (void)state;
    open_wire(NULL);
    http_wire_drain(wire);
    assert_true(http_wire_wants_close(wire));
    http_wire_free(wire);
    tls_client_close(&client);
    open_wire(NULL);
    carry();
    http_wire_drain(wire);
    (void)flush(SIZE_MAX);
    assert_true(client.is_ended);
    assert_true(http_wire_wants_close(wire));
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    test_begin();
    const struct CMUnitTest tests[] = {
        T(a_client_without_alpn_is_served_http1),
        T(http1_is_agreed_on_by_alpn),
        T(http2_is_agreed_on_by_alpn),
        T(who_agreed_on_http2_must_speak_it),
        T(who_agreed_on_http1_must_not_speak_http2),
        T(without_a_context_bytes_go_through_as_they_are),
        T(clear_bytes_where_tls_is_spoken_end_the_connection),
        T(a_handshake_has_its_time_and_no_more),
        T(a_served_connection_has_the_deadlines_of_http),
        T(last_words_that_nobody_reads_are_not_waited_for),
        T(an_alert_that_nobody_reads_is_not_waited_for),
        T(a_large_answer_arrives_whole_however_the_socket_takes_it),
        T(a_client_that_reads_slowly_but_steadily_is_served),
        T(a_client_that_stops_reading_is_cut),
        T(a_request_before_close_notify_is_answered),
        T(a_request_before_the_end_of_the_stream_is_answered),
        T(a_request_cut_off_by_the_end_is_not_seen),
        T(a_peer_that_goes_away_in_the_handshake_leaves_nothing),
        T(a_session_that_breaks_cancels_its_requests),
        T(draining_ends_handshakes_and_idle_connections),
    };
    return cmocka_run_group_tests(tests, make_certificate, free_certificate);
}
