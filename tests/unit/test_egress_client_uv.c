/* The egress client on a loop, with the real program and a server of its own. */
#include "actor/egress_client_uv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/tls_mint.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

enum { REQUEST_BYTES_MAX = 4096 };

static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

struct world {
    uv_loop_t loop;
    struct launch launch;
    struct egress_uv egress;
    struct egress_request request;
    struct buf fields;
    struct buf allow;
    uv_tcp_t listener;
    uv_tcp_t peer;
    uv_timer_t later;
    bool has_peer;
    bool is_silent;
    char bytes[REQUEST_BYTES_MAX];
    uint16_t port;
    uint32_t asked;
    uint32_t records;
    struct buf body;
    uint32_t status;
    bool has_ended;
    char code[32];
    bool maybe_applied;
};

/* The server */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret)
{
    struct world *w = handle->data;
    (void)hint;
    *ret = uv_buf_init(w->bytes, sizeof w->bytes);
}

static void on_peer_closed(uv_handle_t *handle)
{
    struct world *w = handle->data;
    w->has_peer = false;
}

static void on_request(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct world *w = stream->data;
    (void)buf;
    if (n < 0) {
        uv_close((uv_handle_t *)stream, on_peer_closed);
        return;
    }
    w->asked++;
    if (w->is_silent) {
        uv_stop(&w->loop);
        return;
    }
    uv_buf_t bytes = uv_buf_init((char *)(uintptr_t)answer, sizeof answer - 1);
    assert_int_equal(uv_try_write(stream, &bytes, 1), sizeof answer - 1);
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct world *w = listener->data;
    assert_int_equal(status, 0);
    assert_false(w->has_peer);
    assert_int_equal(uv_tcp_init(&w->loop, &w->peer), 0);
    w->has_peer = true;
    w->peer.data = w;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&w->peer), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&w->peer, on_alloc, on_request), 0);
}

static void listen_on_loopback(struct world *w)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int len = sizeof address;
    assert_int_equal(uv_tcp_init(&w->loop, &w->listener), 0);
    w->listener.data = w;
    assert_int_equal(uv_tcp_bind(&w->listener, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&w->listener, 8, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&w->listener, (struct sockaddr *)&address, &len), 0);
    w->port = ntohs(address.sin_port);
}

/* Who asks */

static void end(struct world *w)
{
    w->has_ended = true;
    uv_stop(&w->loop);
}

static void on_head(struct egress_request *r, const struct egress_head *h)
{
    CONTAINER_OF(r, struct world, request)->status = h->status;
}

static void on_chunk(struct egress_request *r, struct slice bytes, bool is_end)
{
    struct world *w = CONTAINER_OF(r, struct world, request);
    buf_append_slice(&w->body, bytes);
    if (is_end) {
        end(w);
    } else if (bytes.len > 0) {
        egress_client_credit(&w->egress.client, r, bytes.len);
    }
}

static void on_fail(struct egress_request *r, const struct egress_fail *f)
{
    struct world *w = CONTAINER_OF(r, struct world, request);
    (void)snprintf(w->code, sizeof w->code, "%.*s", (int)f->code.len, (const char *)f->code.data);
    w->maybe_applied = f->maybe_applied;
    end(w);
}

static const struct egress_request_hooks hooks = {on_head, on_chunk, on_fail};

static void on_record(void *ctx, const struct egress_record *r)
{
    struct world *w = ctx;
    assert_true(r->status == 200 || r->code.len > 0);
    w->records++;
}

static enum err ask(struct world *w)
{
    char url[64];
    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u/", w->port);
    buf_clear(&w->body);
    w->has_ended = false;
    w->code[0] = '\0';
    struct egress_fetch f = {.ns = SLICE("app"),
                             .method = SLICE("GET"),
                             .url = slice_of_str(url),
                             .fields = buf_slice(&w->fields),
                             .allow = buf_slice(&w->allow),
                             .any_port = true,
                             .allow_private = true,
                             .bytes_max = 1000,
                             .ms_max = 60 * 1000};
    return egress_uv_fetch(&w->egress, &w->request, &hooks, &f);
}

static struct world *new_world(void)
{
    const char *folder = getenv("top_builddir");
    struct world *w = MEM_NEW(struct world);
    assert_int_equal(uv_loop_init(&w->loop), 0);
    launch_init_direct(&w->launch, folder != NULL ? folder : ".");
    value_put_array(&w->fields, 0);
    value_put_array(&w->allow, 1);
    value_put_text(&w->allow, "127.0.0.1");
    listen_on_loopback(w);
    assert_int_equal(uv_timer_init(&w->loop, &w->later), 0);
    egress_uv_open(&w->egress, &w->loop, &w->launch, on_record, w);
    return w;
}

static void free_world(struct world *w)
{
    egress_uv_close(&w->egress);
    uv_close((uv_handle_t *)&w->listener, NULL);
    uv_close((uv_handle_t *)&w->later, NULL);
    while (uv_run(&w->loop, UV_RUN_DEFAULT) !=
           0) { /* the server's connection ends with the process */
    }
    assert_int_equal(uv_loop_close(&w->loop), 0);
    while (waitpid(-1, NULL, 0) > 0) { /* each process ends with its channel */
    }
    buf_done(&w->fields);
    buf_done(&w->allow);
    buf_done(&w->body);
    mem_free(w);
}

static void kill_process(void)
{
    char path[64];
    int pid = 0;
    (void)snprintf(path, sizeof path, "/proc/self/task/%d/children", getpid());
    FILE *f = fopen(path, "r");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    (void)fclose(f);
    assert_int_equal(kill(pid, SIGKILL), 0);
}

static void a_response_comes_through_the_process(void **state)
{
    (void)state;
    struct world *w = new_world();
    for (uint32_t i = 1; i <= 3; i++) {
        expect_err(ask(w), ERR_OK);
        (void)uv_run(&w->loop, UV_RUN_DEFAULT);
        assert_true(w->has_ended && w->status == 200);
        expect_slice(buf_slice(&w->body), SLICE("hello"));
        assert_int_equal(w->records, i);
    }
    assert_int_equal(w->egress.client.counters.starts, 1);
    assert_true((w->egress.client.layers & EGRESS_SECCOMP) != 0);
    free_world(w);
}

static void on_later(uv_timer_t *timer)
{
    uv_stop(timer->loop);
}

static void what_is_under_way_fails_when_the_process_dies_and_the_next_has_a_new_one(void **state)
{
    (void)state;
    struct world *w = new_world();
    w->is_silent = true;
    expect_err(ask(w), ERR_OK);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT); /* until it has been asked */
    assert_true(w->asked == 1 && !w->has_ended);
    kill_process();
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    assert_string_equal(w->code, "unavailable");
    assert_true(w->maybe_applied);

    expect_err(ask(w), ERR_UNAVAILABLE);
    w->is_silent = false;
    assert_int_equal(uv_timer_start(&w->later, on_later, EGRESS_RESTART_MS, 0), 0);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    expect_err(ask(w), ERR_OK);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    expect_slice(buf_slice(&w->body), SLICE("hello"));
    free_world(w);
}

static void closing_fails_what_is_under_way(void **state)
{
    (void)state;
    struct world *w = new_world();
    w->is_silent = true;
    expect_err(ask(w), ERR_OK);
    (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    free_world(w); /* the request is its own again, or the client would not let go */
}

static void a_program_that_is_missing_is_like_one_that_dies(void **state)
{
    (void)state;
    struct world *w = new_world();
    launch_init_direct(&w->launch, "/nonexistent");
    expect_err(ask(w), ERR_UNAVAILABLE);
    struct launch none = {.socket = -1, .pid = -1};
    w->launch = none;
    expect_err(ask(w), ERR_UNAVAILABLE);
    free_world(w);
}

/* A sandbox: sockets of this network stand in for those of its own. */

static int socket_on_loopback(int type, uint16_t *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_true(type == SOCK_DGRAM || listen(fd, 8) == 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

/* What the broker answers; the loop brings it the sockets meanwhile. */
static void ask_as_guest(struct world *w, uint16_t port, char *ret, size_t cap)
{
    static const char ask_evil[] = "GET / HTTP/1.1\r\nHost: evil.test\r\nConnection: close\r\n\r\n";
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK), .sin_port = htons(port)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t n = -1;
    size_t len = 0;
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(send(fd, ask_evil, sizeof ask_evil - 1, 0), sizeof ask_evil - 1);
    while (n != 0) {
        (void)uv_run(&w->loop, UV_RUN_NOWAIT);
        n = recv(fd, ret + len, cap - 1 - len, MSG_DONTWAIT);
        len += n > 0 ? (size_t)n : 0;
    }
    ret[len] = '\0';
    (void)close(fd);
}

static void
a_sandbox_gets_through_with_its_sockets_and_again_after_the_process_has_died(void **state)
{
    (void)state;
    struct world *w = new_world();
    int fds[EGRESS_BOX_SOCKETS];
    uint16_t ports[EGRESS_BOX_SOCKETS];
    struct buf cert = {0};
    struct buf key = {0};
    char reply[2048];
    for (int i = 0; i < EGRESS_BOX_SOCKETS; i++) {
        fds[i] = socket_on_loopback(i == EGRESS_BOX_DNS ? SOCK_DGRAM : SOCK_STREAM, &ports[i]);
    }
    tls_ca_make(clock_wall_ms(), &cert, &key);
    const struct egress_ca ca = {.cert = buf_slice(&cert), .key = buf_slice(&key)};
    const struct egress_box_open o = {.ns = SLICE("app"), .sandbox = SLICE("dev")};
    for (uint64_t life = 1; life <= 2; life++) {
        struct egress_box box = {.id = 0};
        expect_err(egress_client_box_open(&w->egress.client, &box, &o, &ca, fds,
                                          uv_now(&w->loop) + (life - 1) * EGRESS_RESTART_MS),
                   ERR_OK);
        ask_as_guest(w, ports[EGRESS_BOX_HTTP], reply, sizeof reply);
        assert_true(strncmp(reply, "HTTP/1.1 403 ", 13) == 0);
        assert_non_null(strstr(reply, "egress_denied"));
        while (w->records < life) {
            (void)uv_run(&w->loop, UV_RUN_ONCE);
        }
        kill_process();
        while (box.id != 0) {
            (void)uv_run(&w->loop, UV_RUN_ONCE);
        }
        while (waitpid(-1, NULL, WNOHANG) == 0) {
        }
    }
    for (int i = 0; i < EGRESS_BOX_SOCKETS; i++) {
        (void)close(fds[i]);
    }
    buf_done(&cert);
    buf_done(&key);
    free_world(w);
}

TEST_MAIN(
    cmocka_unit_test(a_sandbox_gets_through_with_its_sockets_and_again_after_the_process_has_died),
    cmocka_unit_test(a_response_comes_through_the_process),
    cmocka_unit_test(what_is_under_way_fails_when_the_process_dies_and_the_next_has_a_new_one),
    cmocka_unit_test(closing_fails_what_is_under_way),
    cmocka_unit_test(a_program_that_is_missing_is_like_one_that_dies))
