#include "rpc/webhook_uv.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "rpc/webhook_url.h"
#include "tests/lib/test.h"

/* URLs and addresses */

static bool is_allowed(const char *url, bool allow_private)
{
    const char *detail = NULL;
    enum err err = webhook_url_check(slice_of_str(url), allow_private, &detail);
    assert_true(err == ERR_OK || (err == ERR_BAD_REQUEST && detail != NULL));
    return err == ERR_OK;
}

static void a_webhook_is_an_http_or_https_url_with_a_host(void **state)
{
    (void)state;
    static const char *const good[] = {"http://example.com",  "https://example.com:8443/a?b=c#d",
                                       "HTTP://example.com/", "https://user:word@example.com/",
                                       "http://8.8.8.8/",     "http://[2606:4700::1111]:80/"};
    static const char *const bad[] = {"",
                                      "example.com",
                                      "//example.com/",
                                      "/path",
                                      "http://",
                                      "http:///path",
                                      "ftp://example.com/",
                                      "file:///etc/passwd",
                                      "gopher://example.com/",
                                      "http://exa mple.com/",
                                      "http://example.com/\n",
                                      "http://example.com:99999/",
                                      "http://ex\xc3\xa4mple.com/"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(is_allowed(good[i], false));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_false(is_allowed(bad[i], true));
    }
}

static void a_literal_private_address_needs_to_be_allowed(void **state)
{
    (void)state;
    static const char *const hosts[] = {"127.0.0.1",
                                        "127.255.255.254",
                                        "127.1",
                                        "2130706433",
                                        "0x7f000001",
                                        "0177.1",
                                        "0.0.0.0",
                                        "10.0.0.1",
                                        "172.16.0.1",
                                        "172.31.255.255",
                                        "192.168.0.1",
                                        "169.254.169.254",
                                        "168.63.129.16",
                                        "192.0.0.192",
                                        "198.18.0.1",
                                        "198.19.255.255",
                                        "100.64.0.1",
                                        "224.0.0.1",
                                        "255.255.255.255",
                                        "[::1]",
                                        "[::]",
                                        "[fe80::1]",
                                        "[fc00::1]",
                                        "[fdff::1]",
                                        "[ff02::1]",
                                        "[::ffff:10.0.0.1]",
                                        "[::127.0.0.1]",
                                        "[64:ff9b::a00:1]",
                                        "[64:ff9b:1::1]",
                                        "[2002:c0a8:1::]",
                                        "[0:0:0:0:0:0:0:1]"};
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        char url[128];
        (void)snprintf(url, sizeof url, "http://%s:8080/hook", hosts[i]);
        assert_false(is_allowed(url, false));
        assert_true(is_allowed(url, true));
    }
}

static void public_addresses_are_no_private_ones(void **state)
{
    (void)state;
    static const char *const v4[] = {
        "1.1.1.1",       "9.255.255.255",   "11.0.0.0",       "172.15.0.1",
        "172.32.0.0",    "192.167.255.255", "100.63.0.1",     "100.128.0.0",
        "169.253.0.1",   "126.0.0.1",       "128.0.0.0",      "223.255.255.255",
        "168.63.129.15", "192.0.1.1",       "198.17.255.255", "198.20.0.0"};
    static const char *const v6[] = {"2606:4700::1111",  "2a00::1",        "::ffff:8.8.8.8",
                                     "64:ff9b::808:808", "2002:808:808::", "fb00::1"};
    for (size_t i = 0; i < sizeof v4 / sizeof v4[0]; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        assert_int_equal(inet_pton(AF_INET, v4[i], &address.sin_addr), 1);
        assert_false(address_is_private((const struct sockaddr *)&address));
    }
    for (size_t i = 0; i < sizeof v6 / sizeof v6[0]; i++) {
        struct sockaddr_in6 address = {.sin6_family = AF_INET6};
        assert_int_equal(inet_pton(AF_INET6, v6[i], &address.sin6_addr), 1);
        assert_false(address_is_private((const struct sockaddr *)&address));
    }
    assert_true(address_is_private(&(struct sockaddr){.sa_family = AF_UNIX}));
}

/* Posts, against a socket that answers as it is told */

enum { REQUEST_BYTES_MAX = 4096 };

struct receiver {
    uv_tcp_t listener;
    uv_tcp_t peer;
    bool has_peer;
    const char *answer; /* NULL: none ever */
    char request[REQUEST_BYTES_MAX];
    size_t request_len;
    uint16_t port;
};

struct fixture {
    uv_loop_t loop;
    struct webhooks webhooks;
    struct receiver receiver;
    struct webhook_post post;
    char error[WEBHOOK_ERROR_BYTES];
    int done_count;
    bool delivered;
};

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret)
{
    struct receiver *r = handle->data;
    (void)hint;
    *ret = uv_buf_init(r->request + r->request_len,
                       (unsigned)(REQUEST_BYTES_MAX - 1 - r->request_len));
}

static void on_bytes(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct receiver *r = stream->data;
    (void)buf;
    r->request_len += n > 0 ? (size_t)n : 0;
    if (r->answer == NULL) {
        uv_stop(stream->loop);
    }
    const char *body = strstr(r->request, "\r\n\r\n");
    if (n > 0 && body != NULL && body[4] != '\0' && r->answer != NULL) {
        uv_buf_t out = uv_buf_init((char *)(uintptr_t)r->answer, (unsigned)strlen(r->answer));
        assert_int_equal(uv_try_write(stream, &out, 1), (int)strlen(r->answer));
        r->answer = NULL;
    }
}

static void on_connection(uv_stream_t *listener, int status)
{
    struct receiver *r = listener->data;
    assert_int_equal(status, 0);
    assert_false(r->has_peer);
    assert_int_equal(uv_tcp_init(listener->loop, &r->peer), 0);
    r->peer.data = r;
    r->has_peer = true;
    assert_int_equal(uv_accept(listener, (uv_stream_t *)&r->peer), 0);
    assert_int_equal(uv_read_start((uv_stream_t *)&r->peer, on_alloc, on_bytes), 0);
}

static void on_done(struct webhook_post *p, const char *error)
{
    struct fixture *f = CONTAINER_OF(p, struct fixture, post);
    f->done_count++;
    f->delivered = error == NULL;
    uv_stop(&f->loop);
    (void)snprintf(f->error, sizeof f->error, "%s", error != NULL ? error : "");
}

static struct fixture *set_up(const char *answer, bool allow_private)
{
    struct fixture *f = MEM_NEW(struct fixture);
    struct sockaddr_in address;
    int len = sizeof address;
    assert_int_equal(uv_loop_init(&f->loop), 0);
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_init(&f->loop, &f->receiver.listener), 0);
    f->receiver.listener.data = &f->receiver;
    f->receiver.answer = answer;
    assert_int_equal(uv_tcp_bind(&f->receiver.listener, (struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&f->receiver.listener, 8, on_connection), 0);
    assert_int_equal(uv_tcp_getsockname(&f->receiver.listener, (struct sockaddr *)&address, &len),
                     0);
    f->receiver.port = ntohs(address.sin_port);
    webhooks_open(&f->webhooks, &f->loop, allow_private);
    f->post.done = on_done;
    return f;
}

static void tear_down(struct fixture *f)
{
    if (!f->webhooks.is_closing) {
        webhooks_close(&f->webhooks);
    }
    uv_close((uv_handle_t *)&f->receiver.listener, NULL);
    if (f->receiver.has_peer) {
        uv_close((uv_handle_t *)&f->receiver.peer, NULL);
    }
    while (uv_run(&f->loop, UV_RUN_DEFAULT) != 0) { /* a stop from on_done is still to be taken */
    }
    assert_int_equal(uv_loop_close(&f->loop), 0);
    mem_free(f);
}

static void post(struct fixture *f, const char *host)
{
    char url[128];
    struct bytes *body = bytes_new(SLICE("{\"timer\":\"t\"}"));
    (void)snprintf(url, sizeof url, "http://%s:%u/hook?x=1", host, f->receiver.port);
    webhooks_post(&f->webhooks, &f->post, slice_of_str(url), body);
    bytes_unref(body);
    assert_int_equal(f->done_count, 0);
}

static void run(struct fixture *f)
{
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_int_equal(f->done_count, 1);
    assert_int_equal(f->webhooks.active_count + f->webhooks.waiting_count, 0);
    assert_int_equal(f->webhooks.bytes, 0);
}

static void a_2xx_is_a_delivery_and_nothing_else_is(void **state)
{
    (void)state;
    static const struct {
        const char *answer;
        bool delivered;
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
        {"HTTP/1.1 204 No Content\r\n\r\n", true},
        {"HTTP/1.1 202 Accepted\r\nContent-Length: 4\r\n\r\nbody", true},
        {"HTTP/1.1 301 Moved\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", false},
        {"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", false},
        {"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", false},
        {"nonsense\r\n\r\n", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fixture *f = set_up(rows[i].answer, true);
        post(f, "127.0.0.1");
        run(f);
        assert_int_equal(f->delivered, rows[i].delivered);
        assert_int_equal(f->error[0] == '\0', rows[i].delivered);
        tear_down(f);
    }
}

static void the_document_is_posted_as_json(void **state)
{
    (void)state;
    struct fixture *f = set_up("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true);
    post(f, "127.0.0.1");
    run(f);
    const char *request = f->receiver.request;
    assert_ptr_equal(strstr(request, "POST /hook?x=1 HTTP/1.1\r\n"), request);
    assert_non_null(strstr(request, "\r\nContent-Type: application/json\r\n"));
    assert_non_null(strstr(request, "\r\nContent-Length: 13\r\n"));
    assert_non_null(strstr(request, "\r\n\r\n{\"timer\":\"t\"}"));
    assert_null(strstr(request, "Expect:"));
    tear_down(f);
}

static void the_address_that_a_name_has_is_checked(void **state)
{
    (void)state;
    struct fixture *f = set_up("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false);
    post(f, "localhost");
    run(f);
    assert_false(f->delivered);
    assert_non_null(strstr(f->error, "private"));
    assert_false(f->receiver.has_peer);
    tear_down(f);
}

static void closing_ends_what_is_under_way(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL, true);
    post(f, "127.0.0.1");
    (void)uv_run(&f->loop, UV_RUN_DEFAULT);
    assert_true(f->receiver.request_len > 0);
    webhooks_close(&f->webhooks);
    assert_int_equal(f->done_count, 1);
    assert_false(f->delivered);
    tear_down(f);
}

static void on_end(struct webhook_post *p, const char *error)
{
    (void)p;
    assert_non_null(error);
}

static void one_host_does_not_take_all_the_room(void **state)
{
    (void)state;
    struct fixture *f = set_up(NULL, true);
    struct webhook_post *posts = mem_zalloc(WEBHOOKS_HOST_MAX * sizeof *posts);
    struct bytes *body = bytes_new(SLICE("{}"));
    struct slice url = SLICE("http://127.0.0.1:1/one");
    for (int i = 0; i < WEBHOOKS_HOST_MAX; i++) {
        assert_true(webhooks_have_room(&f->webhooks, url));
        posts[i].done = on_end;
        webhooks_post(&f->webhooks, &posts[i], url, body);
    }
    assert_false(webhooks_have_room(&f->webhooks, SLICE("http://127.0.0.1:2/another/path")));
    assert_true(webhooks_have_room(&f->webhooks, SLICE("http://127.0.0.2:1/one")));
    bytes_unref(body);
    tear_down(f);
    mem_free(posts);
}

int main(void)
{
    test_begin();
    if (webhooks_global_init() != ERR_OK) {
        return 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_webhook_is_an_http_or_https_url_with_a_host),
        cmocka_unit_test(a_literal_private_address_needs_to_be_allowed),
        cmocka_unit_test(public_addresses_are_no_private_ones),
        cmocka_unit_test(a_2xx_is_a_delivery_and_nothing_else_is),
        cmocka_unit_test(the_document_is_posted_as_json),
        cmocka_unit_test(the_address_that_a_name_has_is_checked),
        cmocka_unit_test(closing_ends_what_is_under_way),
        cmocka_unit_test(one_host_does_not_take_all_the_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
