/* http_echo PORT: the HTTP server side without anything behind it, for measuring and for trying
 * clients against it.
 *
 *     GET /...      200 and 100 bytes          GET /large    200 and 1 MiB
 *     GET /stream   200, a stream of 8 MiB     POST /...     200 and what was sent
 *     GET /never    no answer                  others        204
 *
 * SIGTERM and SIGINT drain it. */
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "node/listener_uv.h"

enum { STREAM_PIECES = 512, PIECE_BYTES = 16 * 1024, GRACE_MS = 5000 };

static struct listener listener;
static struct bytes *small;
static struct bytes *large;
static uv_prepare_t prepare;
static uv_signal_t signals[2];

/* Its `user` is the number of pieces still to come. */
static void stream_on(struct http_exchange *x)
{
    static const uint8_t piece[PIECE_BYTES];
    uintptr_t left = (uintptr_t)http_exchange_user(x);
    while (left > 0) {
        if (http_stream_write(x, slice_of(piece, sizeof piece)) != ERR_OK) {
            http_exchange_set_user(x, (void *)left);
            return;
        }
        left--;
    }
    http_stream_end(x);
}

static void answer_get(struct http_exchange *x, struct slice target)
{
    struct http_header type = {SLICE("content-type"), SLICE("text/plain")};
    if (slice_equal(target, SLICE("/large"))) {
        http_respond(x, 200, &type, 1, large);
    } else if (slice_equal(target, SLICE("/stream"))) {
        http_stream_begin(x, 200, &type, 1);
        http_exchange_set_user(x, (void *)(uintptr_t)STREAM_PIECES);
        stream_on(x);
    } else if (!slice_equal(target, SLICE("/never"))) {
        http_respond(x, 200, &type, 1, small);
    }
}

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    const struct http_request *r = http_exchange_request(x);
    if (slice_equal(r->method, SLICE("GET")) || slice_equal(r->method, SLICE("HEAD"))) {
        answer_get(x, r->target);
    } else if (slice_equal(r->method, SLICE("POST"))) {
        http_respond(x, 200, NULL, 0, r->body);
    } else {
        http_respond(x, 204, NULL, 0, NULL);
    }
}

static void on_cancel(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    stream_on(x);
}

static void on_prepare(uv_prepare_t *handle)
{
    (void)handle;
    listener_serve(&listener);
}

static void on_closed(struct listener *l)
{
    (void)l;
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_close((uv_handle_t *)&signals[0], NULL);
    uv_close((uv_handle_t *)&signals[1], NULL);
}

static void on_drained(struct listener *l)
{
    listener_close(l, on_closed);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    (void)uv_signal_stop(handle);
    if (listener.state == LISTENER_LISTENING) {
        listener_drain(&listener, GRACE_MS, on_drained);
    }
}

static void start(uv_loop_t *loop)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    int rc = uv_prepare_init(loop, &prepare);
    rc = rc != 0 ? rc : uv_prepare_start(&prepare, on_prepare);
    for (int i = 0; i < 2; i++) {
        rc = rc != 0 ? rc : uv_signal_init(loop, &signals[i]);
        rc = rc != 0 ? rc : uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    INVARIANT(rc == 0);
}

int main(int argc, char **argv)
{
    random_init();
    if (argc != 2) {
        (void)fprintf(stderr, "usage: http_echo PORT\n");
        return EX_USAGE;
    }
    small = bytes_new_uninit(100);
    memset(small->data, 's', small->len);
    large = bytes_new_uninit(1024 * 1024);
    memset(large->data, 'l', large->len);

    static const struct http_hooks hooks = {on_request, on_cancel, on_writable, NULL, NULL};
    uv_loop_t *loop = uv_default_loop();
    struct listener_options options = {
        .host = "127.0.0.1", .port = (uint16_t)strtoul(argv[1], NULL, 10), .is_first = true};
    const char *reason;
    if (listener_open(&listener, loop, &options, &hooks, NULL, &reason) != ERR_OK) {
        (void)fprintf(stderr, "http_echo: port %s: %s\n", argv[1], reason);
        return EX_UNAVAILABLE;
    }
    start(loop);
    (void)printf("http://127.0.0.1:%u\n", listener_port(&listener));
    (void)fflush(stdout);
    (void)uv_run(loop, UV_RUN_DEFAULT);
    int rc = uv_loop_close(loop);
    bytes_unref(small);
    bytes_unref(large);
    return rc == 0 ? EX_OK : EX_SOFTWARE;
}
