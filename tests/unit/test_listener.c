#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <openssl/x509v3.h>

#include "base/clock.h"
#include "base/mem.h"
#include "node/listener_uv.h"

#include "tests/lib/test.h"
#include "tests/lib/tls_certs.h"
#include "tests/lib/tls_client.h"

enum { PATIENCE_MS = 10000, CLIENTS_MAX = 64 };

static uv_loop_t loop;
static uv_prepare_t prepare;
static uv_timer_t patience; /* wakes the loop, for what clients see wakes nobody; and a test that
                               hangs fails */
static int patience_left_ms;
static struct listener listener;
static struct http_limits limits;
static struct listener_options options;
static struct http_exchange *held[CLIENTS_MAX]; /* requests that are not answered yet */
static struct buf targets;                      /* of all requests so far */
static size_t held_count;
static size_t cancel_count;
static bool holds;
static bool is_drained;
static bool is_closed;

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    if (holds) {
        held[held_count++] = x;
        return;
    }
    const struct http_request *r = http_exchange_request(x);
    buf_append_slice(&targets, r->target);
    http_respond(x, 200, NULL, 0, r->body);
}

static void on_cancel(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
    cancel_count++;
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
}

static const struct http_hooks hooks = {on_request, on_cancel, on_writable, NULL, NULL};

static void on_prepare(uv_prepare_t *handle)
{
    (void)handle;
    listener_serve(&listener);
}

static void on_patience(uv_timer_t *timer)
{
    (void)timer;
    if (--patience_left_ms == 0) {
        fail_msg("nothing happened for %d ms", PATIENCE_MS);
    }
}

static void be_patient(void)
{
    patience_left_ms = PATIENCE_MS;
    (void)uv_timer_start(&patience, on_patience, 1, 1);
}

#define RUN_UNTIL(condition)                  \
    do {                                      \
        be_patient();                         \
        while (!(condition)) {                \
            (void)uv_run(&loop, UV_RUN_ONCE); \
        }                                     \
        (void)uv_timer_stop(&patience);       \
    } while (0)

static void on_drained(struct listener *l)
{
    (void)l;
    is_drained = true;
}

static void on_closed(struct listener *l)
{
    (void)l;
    is_closed = true;
}

static void listen_now(void)
{
    const char *reason = "";
    expect_err(listener_open(&listener, &loop, &options, &hooks, NULL, &reason), ERR_OK);
    options.port = listener_port(&listener);
}

static int open_world(void **state)
{
    (void)state;
    limits = http_limits_default;
    options = (struct listener_options){.host = "127.0.0.1", .limits = &limits};
    held_count = cancel_count = 0;
    holds = is_drained = is_closed = false;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_prepare_init(&loop, &prepare), 0);
    assert_int_equal(uv_prepare_start(&prepare, on_prepare), 0);
    assert_int_equal(uv_timer_init(&loop, &patience), 0);
    uv_update_time(&loop);
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    if (!is_closed) {
        listener_close(&listener, on_closed);
        RUN_UNTIL(is_closed);
    }
    buf_done(&targets);
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_close((uv_handle_t *)&patience, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

/* A client's socket; from another address of this machine where `from` says so. It does not block,
 * so that the loop can run between its calls. */
static int dial_from(const char *from)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    struct sockaddr_in a = {.sin_family = AF_INET};
    assert_int_equal(inet_pton(AF_INET, from, &a.sin_addr), 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", options.port, &a), 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static int dial(void)
{
    return dial_from("127.0.0.1");
}

static void send_str(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

/* Reads into `got`; true once the peer has closed. */
static bool has_ended(int fd, struct buf *got)
{
    uint8_t piece[4096];
    ssize_t n;
    while ((n = recv(fd, piece, sizeof piece, 0)) > 0) {
        buf_append(got, piece, (size_t)n);
    }
    return n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK);
}

static bool has_got(int fd, struct buf *got, size_t len)
{
    (void)has_ended(fd, got);
    return got->len >= len;
}

static const char request[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
static const char answer[] = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

static bool is_served(int fd)
{
    struct buf got = {0};
    send_str(fd, request);
    bool ended = false;
    RUN_UNTIL((ended = has_ended(fd, &got)) || got.len >= sizeof answer - 1);
    bool served = slice_equal_str(buf_slice(&got), answer);
    buf_done(&got);
    return served && !ended;
}

static void a_request_over_a_socket_is_answered(void **state)
{
    (void)state;
    listen_now();
    int fd = dial();
    assert_true(is_served(fd));
    assert_true(is_served(fd));
    assert_int_equal(listener_conn_count(&listener), 1);
    (void)close(fd);
    RUN_UNTIL(listener_conn_count(&listener) == 0);
}

static void an_answer_larger_than_the_socket_buffers_arrives_whole(void **state)
{
    (void)state;
    listen_now();
    int fd = dial();
    enum { BODY_BYTES = 4 * 1024 * 1024 };
    uint8_t *body = mem_alloc(BODY_BYTES);
    for (size_t i = 0; i < BODY_BYTES; i++) {
        body[i] = (uint8_t)(i * 31 / 7);
    }
    struct buf text = {0};
    buf_printf(&text, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n", BODY_BYTES);
    buf_append(&text, body, BODY_BYTES);
    be_patient();
    for (size_t at = 0; at < text.len;) {
        ssize_t n = send(fd, text.data + at, text.len - at, MSG_NOSIGNAL);
        at += n > 0 ? (size_t)n : 0;
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    struct buf got = {0};
    RUN_UNTIL(has_got(fd, &got, BODY_BYTES + 1));
    size_t head_len = got.len - BODY_BYTES;
    expect_slice(slice_of(got.data, head_len),
                 SLICE("HTTP/1.1 200 OK\r\ncontent-length: 4194304\r\n\r\n"));
    assert_memory_equal(got.data + head_len, body, BODY_BYTES);
    mem_free(body);
    buf_done(&text);
    buf_done(&got);
    (void)close(fd);
}

static void a_refused_client_gets_its_answer_though_it_goes_on_sending(void **state)
{
    (void)state;
    listen_now();
    int fd = dial();
    send_str(fd, "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n");
    struct buf got = {0};
    uint8_t piece[4096] = {0};
    for (int i = 0; i < 100; i++) {
        (void)send(fd, piece, sizeof piece, MSG_NOSIGNAL);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    RUN_UNTIL(has_ended(fd, &got));
    assert_true(slice_has_prefix(buf_slice(&got), SLICE("HTTP/1.1 413 ")));
    buf_done(&got);
    (void)close(fd);
    RUN_UNTIL(listener_conn_count(&listener) == 0);
}

static void a_client_that_goes_away_cancels_its_request(void **state)
{
    (void)state;
    limits.half_closed_ms = 20;
    listen_now();
    holds = true;
    int fd = dial();
    send_str(fd, request);
    RUN_UNTIL(held_count == 1);
    (void)close(fd);
    RUN_UNTIL(cancel_count == 1);
    RUN_UNTIL(listener_conn_count(&listener) == 0);
}

static void a_client_may_close_its_side_right_after_asking(void **state)
{
    (void)state;
    listen_now();
    int fd = dial();
    send_str(fd, request);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    struct buf got = {0};
    RUN_UNTIL(has_ended(fd, &got));
    expect_str(buf_slice(&got), answer);
    buf_done(&got);
    (void)close(fd);
}

static void a_client_that_has_closed_its_side_may_wait_for_its_answer(void **state)
{
    (void)state;
    listen_now();
    holds = true;
    int fd = dial();
    send_str(fd, request);
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    RUN_UNTIL(held_count == 1);
    for (int i = 0; i < 10; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT); /* it hears of the end */
    }
    http_respond(held[0], 200, NULL, 0, NULL);
    struct buf got = {0};
    RUN_UNTIL(has_ended(fd, &got));
    expect_str(buf_slice(&got), answer);
    assert_int_equal(cancel_count, 0);
    buf_done(&got);
    (void)close(fd);
    RUN_UNTIL(listener_conn_count(&listener) == 0);
}

static void an_address_over_its_cap_is_turned_away_and_others_are_served(void **state)
{
    (void)state;
    options.conns_per_address_max = 3;
    listen_now();
    int fds[4];
    for (int i = 0; i < 3; i++) {
        fds[i] = dial();
        assert_true(is_served(fds[i]));
    }
    fds[3] = dial();
    struct buf got = {0};
    RUN_UNTIL(has_ended(fds[3], &got));
    assert_int_equal(got.len, 0);
    int other = dial_from("127.0.0.2");
    assert_true(is_served(other));
    assert_int_equal(listener.refused_count, 1);

    (void)close(fds[0]);
    RUN_UNTIL(listener_conn_count(&listener) == 3);
    int again = dial();
    assert_true(is_served(again));
    (void)close(again);
    (void)close(other);
    for (int i = 1; i < 4; i++) {
        (void)close(fds[i]);
    }
}

static void connections_are_capped_in_total(void **state)
{
    (void)state;
    options.conns_max = 2;
    listen_now();
    int first = dial();
    int second = dial_from("127.0.0.2");
    assert_true(is_served(first));
    assert_true(is_served(second));
    int third = dial_from("127.0.0.3");
    struct buf got = {0};
    RUN_UNTIL(has_ended(third, &got));
    assert_true(is_served(first));
    (void)close(first);
    (void)close(second);
    (void)close(third);
}

/* Requests of all clients are there before the loop looks: nine of one address, one of another. */
static void addresses_take_turns(void **state)
{
    (void)state;
    listen_now();
    enum { COUNT = 10, OTHER = 9 };
    int fds[COUNT];
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial_from(i == OTHER ? "127.0.0.1" : "127.0.0.2");
        assert_true(is_served(fds[i]));
    }
    buf_clear(&targets);
    for (int i = 0; i < COUNT; i++) {
        send_str(fds[i], i == OTHER ? "GET /other HTTP/1.1\r\nHost: a\r\n\r\n" : request);
    }
    RUN_UNTIL(targets.len == COUNT - 1 + sizeof "/other" - 1);
    expect_slice(slice_of(targets.data, sizeof "//other" - 1), SLICE("//other"));
    for (int i = 0; i < COUNT; i++) {
        (void)close(fds[i]);
    }
}

/* Shells commonly give 1 024, and allow more. */
static void expect_descriptors(rlim_t count)
{
    struct rlimit limit;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_true(limit.rlim_cur >= count);
}

static void more_connections_than_one_turn_takes_are_all_accepted(void **state)
{
    (void)state;
    listen_now();
    enum { COUNT = 3 * LISTENER_ACCEPTS_MAX };
    static int fds[COUNT];
    expect_descriptors(2 * COUNT + 100);
    for (int i = 0; i < COUNT; i++) {
        fds[i] = dial();
    }
    RUN_UNTIL(listener_conn_count(&listener) > 0);
    assert_true(listener_conn_count(&listener) <= LISTENER_ACCEPTS_MAX + 1);
    RUN_UNTIL(listener_conn_count(&listener) == COUNT);
    assert_true(is_served(fds[COUNT - 1]));
    for (int i = 0; i < COUNT; i++) {
        (void)close(fds[i]);
    }
}

static void for_who_has_hung_up_before_nothing_is_made(void **state)
{
    (void)state;
    listen_now();
    struct linger at_once = {.l_onoff = 1};
    int reset = dial();
    assert_int_equal(setsockopt(reset, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    (void)close(reset);
    (void)close(dial()); /* likewise, with an end that is no reset */
    for (int i = 0; i < 10; i++) {
        (void)uv_run(&loop, UV_RUN_NOWAIT);
        assert_int_equal(listener_conn_count(&listener), 0);
    }
    assert_int_equal(listener.refused_count, 0);
    int fd = dial();
    assert_true(is_served(fd));
    (void)close(fd);
}

static void running_out_of_descriptors_is_survived(void **state)
{
    (void)state;
    listen_now();
    int before = dial();
    assert_true(is_served(before));
    int waiting = dial();
    struct rlimit old;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    struct rlimit low = {.rlim_cur = (rlim_t)dup(before), .rlim_max = old.rlim_max};
    (void)close((int)low.rlim_cur);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    struct buf got = {0};
    RUN_UNTIL(has_ended(waiting, &got));
    assert_true(is_served(before));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    int after = dial();
    assert_true(is_served(after));
    (void)close(before);
    (void)close(waiting);
    (void)close(after);
}

static void an_idle_connection_is_closed_by_the_timer(void **state)
{
    (void)state;
    limits.idle_ms = 20;
    listen_now();
    int fd = dial();
    struct buf got = {0};
    RUN_UNTIL(has_ended(fd, &got));
    assert_int_equal(got.len, 0);
    (void)close(fd);
    RUN_UNTIL(listener_conn_count(&listener) == 0);
}

static void a_port_in_use_is_busy(void **state)
{
    (void)state;
    listen_now();
    struct listener second;
    const char *reason = NULL;
    options.is_first = true;
    expect_err(listener_open(&second, &loop, &options, &hooks, NULL, &reason), ERR_BUSY);
    assert_string_equal(reason, "address already in use");
}

static void a_worker_may_share_the_port_of_another(void **state)
{
    (void)state;
    options.is_first = true;
    listen_now();
    struct listener second;
    const char *reason = NULL;
    options.is_first = false;
    expect_err(listener_open(&second, &loop, &options, &hooks, NULL, &reason), ERR_OK);
    assert_int_equal(listener_port(&second), listener_port(&listener));
    is_closed = false;
    listener_close(&second, on_closed);
    RUN_UNTIL(is_closed);
    is_closed = false;
}

static void a_name_is_not_a_host_to_listen_on(void **state)
{
    (void)state;
    const char *reason = NULL;
    options.host = "localhost";
    expect_err(listener_open(&listener, &loop, &options, &hooks, NULL, &reason), ERR_BAD_REQUEST);
    is_closed = true; /* nothing is open */
}

static void draining_closes_idle_connections_and_finishes_requests(void **state)
{
    (void)state;
    listen_now();
    int idle = dial();
    assert_true(is_served(idle));
    holds = true;
    int busy = dial();
    send_str(busy, request);
    RUN_UNTIL(held_count == 1);
    listener_drain(&listener, PATIENCE_MS, on_drained);
    struct buf got = {0};
    RUN_UNTIL(has_ended(idle, &got));
    (void)close(idle);
    RUN_UNTIL(listener_conn_count(&listener) == 1);
    assert_false(is_drained);
    http_respond(held[0], 204, NULL, 0, NULL);
    RUN_UNTIL(has_ended(busy, &got));
    expect_str(buf_slice(&got), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    (void)close(busy);
    RUN_UNTIL(is_drained);
    assert_int_equal(cancel_count, 0);
    buf_done(&got);
}

static void draining_cuts_what_does_not_end_in_time(void **state)
{
    (void)state;
    listen_now();
    holds = true;
    int fd = dial();
    send_str(fd, request);
    RUN_UNTIL(held_count == 1);
    listener_drain(&listener, 20, on_drained);
    RUN_UNTIL(is_drained);
    assert_int_equal(cancel_count, 1);
    (void)close(fd);
}

static void draining_without_connections_ends_at_once(void **state)
{
    (void)state;
    listen_now();
    listener_drain(&listener, PATIENCE_MS * 2, on_drained);
    assert_false(is_drained);
    RUN_UNTIL(is_drained);
}

static void closing_cuts_everything(void **state)
{
    (void)state;
    listen_now();
    holds = true;
    int fd = dial();
    send_str(fd, request);
    RUN_UNTIL(held_count == 1);
    listener_close(&listener, on_closed);
    assert_int_equal(cancel_count, 1);
    RUN_UNTIL(is_closed);
    (void)close(fd);
}

/* TLS: rpc/http_wire has the tests of what it does with bytes; here they go over sockets. */

static struct tls_context *make_context(const char *name)
{
    char cert[4096];
    char key[4096];
    char detail[TLS_DETAIL_BYTES];
    struct tls_context *context = NULL;
    char *dir = test_make_dir();
    struct tls_cert c = tls_cert_make(NULL, &(struct tls_cert_options){.names = name});
    tls_cert_save(&c, dir, "cert");
    tls_cert_save_key(&c, dir, "key", NULL);
    tls_cert_done(&c);
    (void)snprintf(cert, sizeof cert, "%s/cert", dir);
    (void)snprintf(key, sizeof key, "%s/key", dir);
    const struct tls_files files = {.cert = cert, .key = key};
    expect_err(tls_context_new(TLS_FOR_CLIENTS, &files, clock_wall_ms(), &context, detail), ERR_OK);
    test_remove_dir(dir);
    return context;
}

static void listen_with_tls(const char *name)
{
    struct tls_context *context = make_context(name);
    options.tls = context;
    listen_now();
    tls_context_unref(context); /* the listener has its own reference */
}

struct secure_client {
    int fd;
    struct tls_client tls;
    bool has_ended;
};

/* Moves what there is; true once `len` bytes of plaintext have come. */
static bool has_moved(struct secure_client *c, size_t len)
{
    struct buf wire = {0};
    tls_client_take(&c->tls, &wire);
    if (wire.len > 0) {
        (void)send(c->fd, wire.data, wire.len, MSG_NOSIGNAL);
    }
    buf_clear(&wire);
    c->has_ended = has_ended(c->fd, &wire);
    tls_client_recv(&c->tls, buf_slice(&wire));
    buf_done(&wire);
    return c->tls.is_done && c->tls.got.len >= len;
}

static void dial_secure(struct secure_client *c)
{
    *c = (struct secure_client){.fd = dial()};
    tls_client_open(&c->tls, &(struct tls_client_options){0});
    RUN_UNTIL(has_moved(c, 0));
}

static void hang_up(struct secure_client *c)
{
    (void)close(c->fd);
    tls_client_close(&c->tls);
}

static void expect_secure_answer(struct secure_client *c)
{
    struct buf wire = {0};
    buf_clear(&c->tls.got);
    tls_client_send(&c->tls, slice_of_str(request), &wire);
    assert_int_equal(send(c->fd, wire.data, wire.len, MSG_NOSIGNAL), wire.len);
    buf_done(&wire);
    RUN_UNTIL(has_moved(c, sizeof answer - 1));
    expect_str(buf_slice(&c->tls.got), answer);
}

static bool shows_name(const struct secure_client *c, const char *name)
{
    return X509_check_host(SSL_get0_peer_certificate(c->tls.ssl), name, 0, 0, NULL) == 1;
}

static void a_request_under_tls_is_answered(void **state)
{
    (void)state;
    struct secure_client c;
    listen_with_tls("DNS:one.example");
    dial_secure(&c);
    expect_secure_answer(&c);
    expect_secure_answer(&c);
    assert_int_equal(listener.conns.shared.counts.handshakes, 1);
    hang_up(&c);
    RUN_UNTIL(listener_conn_count(&listener) == 0);
}

static void a_client_that_speaks_in_the_clear_is_closed(void **state)
{
    (void)state;
    struct buf got = {0};
    listen_with_tls("DNS:one.example");
    int fd = dial();
    send_str(fd, request);
    RUN_UNTIL(has_ended(fd, &got));
    assert_false(slice_has_prefix(buf_slice(&got), SLICE("HTTP/")));
    (void)close(fd);
    RUN_UNTIL(listener_conn_count(&listener) == 0);
    assert_int_equal(listener.conns.shared.counts.failures, 1);
    buf_done(&got);
}

static void a_client_that_never_shakes_hands_is_closed_by_the_timer(void **state)
{
    (void)state;
    struct buf got = {0};
    limits.head_ms = 20;
    listen_with_tls("DNS:one.example");
    int silent = dial();
    int slow = dial();
    send_str(slow, "\x16\x03\x01");
    RUN_UNTIL(has_ended(silent, &got));
    RUN_UNTIL(has_ended(slow, &got));
    (void)close(silent);
    (void)close(slow);
    RUN_UNTIL(listener_conn_count(&listener) == 0);
    assert_int_equal(listener.conns.shared.counts.timeouts, 2);
    buf_done(&got);
}

static void a_new_certificate_is_for_new_connections_alone(void **state)
{
    (void)state;
    struct secure_client before;
    struct secure_client after;
    listen_with_tls("DNS:one.example");
    dial_secure(&before);
    assert_true(shows_name(&before, "one.example"));
    struct tls_context *next = make_context("DNS:two.example");
    listener_use_tls(&listener, next);
    tls_context_unref(next);
    dial_secure(&after);
    assert_true(shows_name(&after, "two.example"));
    expect_secure_answer(&before);
    expect_secure_answer(&after);
    hang_up(&before);
    hang_up(&after);
}

static void draining_says_close_notify(void **state)
{
    (void)state;
    struct secure_client c;
    listen_with_tls("DNS:one.example");
    dial_secure(&c);
    expect_secure_answer(&c);
    listener_drain(&listener, PATIENCE_MS, on_drained);
    RUN_UNTIL(has_moved(&c, 0) && c.has_ended);
    assert_true(c.tls.is_ended);
    hang_up(&c);
    RUN_UNTIL(is_drained);
}

#define T(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

TEST_MAIN(T(a_request_over_a_socket_is_answered),
          T(an_answer_larger_than_the_socket_buffers_arrives_whole),
          T(a_refused_client_gets_its_answer_though_it_goes_on_sending),
          T(a_client_that_goes_away_cancels_its_request),
          T(a_client_may_close_its_side_right_after_asking),
          T(a_client_that_has_closed_its_side_may_wait_for_its_answer),
          T(an_address_over_its_cap_is_turned_away_and_others_are_served),
          T(connections_are_capped_in_total), T(addresses_take_turns),
          T(more_connections_than_one_turn_takes_are_all_accepted),
          T(for_who_has_hung_up_before_nothing_is_made), T(running_out_of_descriptors_is_survived),
          T(an_idle_connection_is_closed_by_the_timer), T(a_port_in_use_is_busy),
          T(a_worker_may_share_the_port_of_another), T(a_name_is_not_a_host_to_listen_on),
          T(draining_closes_idle_connections_and_finishes_requests),
          T(draining_cuts_what_does_not_end_in_time), T(draining_without_connections_ends_at_once),
          T(closing_cuts_everything), T(a_request_under_tls_is_answered),
          T(a_client_that_speaks_in_the_clear_is_closed),
          T(a_client_that_never_shakes_hands_is_closed_by_the_timer),
          T(a_new_certificate_is_for_new_connections_alone), T(draining_says_close_notify))
