#include "tests/fuzz/fuzz_http.h"

#include "tests/fuzz/fuzz.h"

/* Small, so that inputs of a few hundred bytes reach them. */
static const struct http_limits limits = {
    .header_bytes_max = 512,
    .header_count_max = 8,
    .target_bytes_max = 32,
    .body_bytes_max = 200,
    .pipelined_max = 3,
    .streams_max = 6,
    .stream_bytes_max = 50,
    .conn_body_bytes_max = 150,
    .conn_unsent_bytes_max = 300,
    .conn_stream_bytes_max = 150,
    .address_bytes_max = 330,
    .address_requests_max = 5,
    .total_bytes_max = 350,
    .head_ms = 1000,
    .stall_ms = 2000,
    .idle_ms = 5000,
};

static void see(struct fuzz_http *world, struct slice s)
{
    buf_append_u32(&world->seen, (uint32_t)s.len);
    buf_append_slice(&world->seen, s);
}

/* Whatever came in, this is what a callee may rely on. */
static void see_request(struct fuzz_http *world, const struct http_request *r)
{
    HOLDS(http_name_is_valid(r->method));
    HOLDS(http_target_is_valid(r->target) || slice_equal(r->target, SLICE("*")));
    HOLDS(r->target.len <= limits.target_bytes_max);
    HOLDS(http_authority_is_valid(r->authority));
    HOLDS(r->header_count <= limits.header_count_max);
    HOLDS(r->body == NULL || (r->body->len > 0 && r->body->len <= limits.body_bytes_max));
    see(world, r->method);
    see(world, r->target);
    see(world, r->authority);
    for (size_t i = 0; i < r->header_count; i++) {
        HOLDS(http_name_is_valid(r->headers[i].name) && http_value_is_valid(r->headers[i].value));
        HOLDS(slice_equal(r->headers[i].value, http_trim(r->headers[i].value)));
        see(world, r->headers[i].name);
        see(world, r->headers[i].value);
    }
    see(world, bytes_slice(r->body));
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    if (http_exchange_user(x) == ctx) {
        return; /* a socket, which says no more */
    }
    HOLDS(http_stream_write(x, SLICE("the last piece")) == ERR_OK);
    http_stream_end(x);
}

static void open_socket(struct fuzz_http *world, struct http_exchange *x)
{
    const struct http_request *r = http_exchange_request(x);
    http_exchange_set_user(x, world);
    http_socket_accept(x, r->headers, r->header_count);
    HOLDS(http_stream_write(x, SLICE("welcome")) == ERR_OK);
}

/* Once some bytes have come, they are the beginning of a large message. */
static void on_data(void *ctx, struct http_exchange *x, struct slice in, bool is_end)
{
    struct fuzz_http *world = ctx;
    buf_append_slice(&world->said, in);
    http_socket_hold(x, world->said.len < 8 ? 0 : HTTP_SOCKET_LITTLE_BYTES + 1, 0, 0);
    http_socket_consume(x, in.len);
    if (is_end) {
        http_stream_end(x);
    }
}

static void stream_on(void *ctx, struct http_exchange *x)
{
    struct fuzz_http *world = ctx;
    world->has_streamed = true;
    http_stream_begin(x, 200, NULL, 0);
    for (int i = 0; i < 20; i++) {
        if (http_stream_write(x, SLICE("one piece ")) != ERR_OK) {
            return; /* on_writable ends it */
        }
    }
    http_stream_end(x); /* to HEAD nothing is ever full */
}

static void on_request(void *ctx, struct http_exchange *x)
{
    struct fuzz_http *world = ctx;
    const struct http_request *r = http_exchange_request(x);
    see_request(world, r);
    uint8_t rule = r->target.data[r->target.len - 1];
    if (r->wants_socket && rule != 'p') {
        open_socket(world, x);
    } else if (rule == 's') {
        stream_on(ctx, x);
    } else if (rule == 'n' && world->unanswered_count < 64) {
        world->unanswered[world->unanswered_count++] = x;
    } else if (rule == 'p') {
        http_respond_problem(x, ERR_UNAVAILABLE, r->target, NULL);
    } else {
        http_respond(x, 200, r->headers, r->header_count, r->body);
    }
    if (rule == 'r') {
        http_conn_rest(world->conn);
    }
}

static void on_cancel(void *ctx, struct http_exchange *x)
{
    struct fuzz_http *world = ctx;
    for (size_t i = 0; i < world->unanswered_count; i++) {
        if (world->unanswered[i] == x) {
            world->unanswered[i] = world->unanswered[--world->unanswered_count];
            return;
        }
    }
}

static void on_output(void *ctx)
{
    struct fuzz_http *world = ctx;
    world->output_is_due = true;
}

static const struct http_hooks hooks = {on_request, on_cancel, on_writable, on_output, on_data};

static void open_with(struct fuzz_http *world, const struct http_limits *l)
{
    *world = (struct fuzz_http){.now_ms = 1};
    world->conn = http_conn_new(l, &hooks, world, world->now_ms);
}

void fuzz_http_open(struct fuzz_http *world)
{
    open_with(world, &limits);
}

void fuzz_http_open_roomy(struct fuzz_http *world)
{
    static struct http_limits roomy;
    roomy = limits;
    roomy.address_bytes_max = roomy.total_bytes_max = 1000 * 1000;
    open_with(world, &roomy);
}

void fuzz_http_recv(struct fuzz_http *world, struct slice in)
{
    http_conn_recv(world->conn, in, world->now_ms);
}

void fuzz_http_flush(struct fuzz_http *world)
{
    struct slice out;
    do {
        world->output_is_due = false;
        out = http_conn_output(world->conn, world->now_ms);
        buf_append_slice(&world->sent, out);
        http_conn_sent(world->conn, out.len, world->now_ms);
    } while (out.len > 0 || world->output_is_due);
}

void fuzz_http_tick(struct fuzz_http *world, uint64_t ms)
{
    world->now_ms += ms;
    http_conn_tick(world->conn, world->now_ms);
    HOLDS(http_conn_next_deadline_ms(world->conn) > world->now_ms);
}

void fuzz_http_close(struct fuzz_http *world)
{
    http_conn_free(world->conn);
    HOLDS(world->unanswered_count == 0);
    buf_done(&world->seen);
    buf_done(&world->said);
    buf_done(&world->sent);
}
