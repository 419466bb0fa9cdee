#include "tests/lib/http_callee.h"

#include "tests/lib/test.h"

void http_callee_forget(struct http_callee *callee, struct http_exchange *x)
{
    for (size_t i = 0; i < callee->open_count; i++) {
        if (callee->open[i] == x) {
            memmove(&callee->open[i], &callee->open[i + 1],
                    (callee->open_count - i - 1) * sizeof callee->open[0]);
            callee->open_count--;
            return;
        }
    }
    fail_msg("an exchange was taken back that was never given");
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct http_callee *callee = ctx;
    assert_true(callee->open_count < HTTP_CALLEE_EXCHANGES_MAX);
    callee->open[callee->open_count++] = x;
    callee->request_count++;
    if (callee->answers_at_once) {
        http_callee_respond(callee, 200, "ok");
    }
    if (callee->rests) {
        http_conn_rest(callee->conn);
    }
}

static void on_cancel(void *ctx, struct http_exchange *x)
{
    struct http_callee *callee = ctx;
    http_callee_forget(callee, x);
    callee->cancel_count++;
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    struct http_callee *callee = ctx;
    (void)x;
    callee->writable_count++;
}

static void on_output(void *ctx)
{
    struct http_callee *callee = ctx;
    callee->output_count++;
}

static void on_data(void *ctx, struct http_exchange *x, struct slice in, bool is_end)
{
    struct http_callee *callee = ctx;
    buf_append_slice(&callee->data, in);
    callee->ended_count += is_end;
    if (!callee->keeps_data) {
        http_socket_consume(x, in.len);
    }
    if (!callee->keeps_data && is_end) {
        http_callee_forget(callee, x);
        http_stream_end(x);
    }
}

static const struct http_hooks hooks = {on_request, on_cancel, on_writable, on_output, on_data};

void http_callee_init(struct http_callee *callee, const struct http_limits *limits)
{
    *callee = (struct http_callee){.now_ms = 1000};
    callee->conn = http_conn_new(limits, &hooks, callee, callee->now_ms);
}

void http_callee_done(struct http_callee *callee)
{
    http_conn_free(callee->conn);
    assert_int_equal(callee->open_count, 0);
    buf_done(&callee->sent);
    buf_done(&callee->data);
}

void http_callee_recv(struct http_callee *callee, struct slice in)
{
    http_conn_recv(callee->conn, in, callee->now_ms);
}

void http_callee_flush(struct http_callee *callee)
{
    struct slice out;
    while ((out = http_conn_output(callee->conn, callee->now_ms)).len > 0) {
        buf_append_slice(&callee->sent, out);
        http_conn_sent(callee->conn, out.len, callee->now_ms);
    }
}

struct http_exchange *http_callee_open(struct http_callee *callee, size_t i)
{
    if (i >= callee->open_count) {
        fail_msg("exchange %zu of %zu", i, callee->open_count);
    }
    return callee->open[i];
}

void http_callee_respond(struct http_callee *callee, int status, const char *body)
{
    struct http_exchange *x = http_callee_open(callee, callee->open_count - 1);
    x = callee->answers_at_once ? x : http_callee_open(callee, 0);
    http_callee_forget(callee, x);
    struct bytes *b = body == NULL ? NULL : bytes_new(slice_of_str(body));
    http_respond(x, status, NULL, 0, b);
    bytes_unref(b);
}
