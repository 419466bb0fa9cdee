#include "rpc/http_conn.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/http_date.h"

enum {
    KEPT_OUT_BYTES = 16 * 1024, /* idle connections are many; a larger buffer is given back */
    LITTLE_PART = 64, /* of total_bytes_max: what an address may hold though all are over */
};

/* Reasons. header: what proxies in front of us let through, and twice what browsers send. target:
 * a key of 480 bytes and an id of 512, each byte percent-encoded, with room for a cursor. body: a
 * txn of 4 MiB and JSON's overhead. pipelined: nobody needs it, some load generators do it.
 * conn_*: one client's share of a node with 4096 connections; conn_stream: what a fast line needs to
 * stay busy. total: a worker's share of a small machine. address_*: half of it, and of the streams that
 * a worker watches, so that one address never keeps the others out. head, stall, idle: a phone in a
 * tunnel is slower than a second and faster than ten; 16 KB in 30 s is a modem. */
const struct http_limits http_limits_default = {
    .header_bytes_max = 64 * 1024,
    .header_count_max = 128,
    .target_bytes_max = 16 * 1024,
    .body_bytes_max = 13 * 1024 * 1024, /* a value of 2 MiB in JSON where each byte is an escape */
    .pipelined_max = 32,
    .streams_max = 256,
    .stream_bytes_max = 256 * 1024,
    .conn_body_bytes_max = 16 * 1024 * 1024,
    .conn_unsent_bytes_max = 16 * 1024 * 1024,
    .conn_stream_bytes_max = 1024 * 1024,
    .address_bytes_max = 128 * 1024 * 1024,
    .address_requests_max = 8 * 1024,
    .total_bytes_max = 256 * 1024 * 1024,
    .head_ms = 10 * 1000,
    .stall_ms = 30 * 1000,
    .idle_ms = 10 * 60 * 1000,
    .half_closed_ms = 10 * 1000,
};

void http_progress_start(struct http_progress *p, uint64_t now_ms)
{
    *p = (struct http_progress){.mark_ms = now_ms};
}

void http_progress_made(struct http_progress *p, size_t bytes, uint64_t now_ms)
{
    p->bytes += bytes;
    if (p->bytes >= HTTP_PROGRESS_BYTES) {
        http_progress_start(p, now_ms);
    }
}

static size_t load_bytes(const struct http_load *load)
{
    return load->request_bytes + load->unsent_bytes;
}

static size_t all_bytes(const struct http_load *load)
{
    return load_bytes(load->whole != NULL ? load->whole : load);
}

bool http_load_has_room(const struct http_load *load, const struct http_limits *limits,
                        size_t bytes)
{
    size_t own_bytes = load_bytes(load) + bytes;
    return own_bytes <= limits->address_bytes_max &&
           (all_bytes(load) + bytes <= limits->total_bytes_max ||
            own_bytes <= limits->total_bytes_max / LITTLE_PART);
}

bool http_load_is_full(const struct http_load *load, const struct http_limits *limits)
{
    return !http_load_has_room(load, limits, 0);
}

bool http_load_is_pressing(const struct http_load *whole, const struct http_limits *limits)
{
    return load_bytes(whole) > limits->address_bytes_max ||
           load_bytes(whole) > limits->total_bytes_max;
}

uint64_t http_conn_stall_ms(const struct http_conn *c)
{
    uint64_t stall_ms = c->limits->stall_ms;
    bool is_pressed =
        http_load_is_full(c->load, c->limits) || all_bytes(c->load) > c->limits->total_bytes_max;
    return is_pressed && stall_ms > HTTP_PRESSED_STALL_MS ? HTTP_PRESSED_STALL_MS : stall_ms;
}

struct problem_limit http_conn_full_limit(const struct http_conn *c)
{
    const struct http_limits *l = c->limits;
    struct problem_limit full = {0};
    if (http_load_is_full(c->load, l)) {
        full = (struct problem_limit){HTTP_FULL_LIMIT, l->address_bytes_max};
    } else if (c->load->exchange_count > l->address_requests_max) {
        full = (struct problem_limit){"address_requests_max", l->address_requests_max};
    }
    return full;
}

bool http_conn_has_too_many(const struct http_conn *c)
{
    return c->load->exchange_count >= 2 * c->limits->address_requests_max;
}

static void count(size_t *n, ptrdiff_t change)
{
    INVARIANT(change >= 0 || *n >= (size_t)-change);
    *n += (size_t)change;
}

void http_conn_count_request(struct http_exchange *x, size_t bytes)
{
    ptrdiff_t change = (ptrdiff_t)bytes - (ptrdiff_t)x->request_bytes;
    x->request_bytes = bytes;
    count(&x->conn->request_bytes, change);
    for (struct http_load *l = x->conn->load; l != NULL; l = l->whole) {
        count(&l->request_bytes, change);
    }
}

static void count_unsent_load(struct http_conn *c, ptrdiff_t change)
{
    for (struct http_load *l = c->load; l != NULL; l = l->whole) {
        count(&l->unsent_bytes, change);
    }
}

void http_conn_count_unsent(struct http_conn *c, ptrdiff_t bytes)
{
    count(&c->unsent_bytes, bytes);
    count_unsent_load(c, bytes);
}

static void count_out(struct http_conn *c, size_t bytes)
{
    count_unsent_load(c, (ptrdiff_t)bytes - (ptrdiff_t)c->out_counted);
    c->out_counted = bytes;
}

void http_conn_share(struct http_conn *c, struct http_load *load)
{
    PRE(c->exchange_count == 0);
    c->load = load;
}

void http_conn_set_date(struct http_conn *c, const struct http_date *date)
{
    c->date = date;
}

struct slice http_conn_date(const struct http_conn *c)
{
    return c->date != NULL ? http_date_text(c->date) : SLICE("");
}

struct http_conn *http_conn_new(const struct http_limits *limits, const struct http_hooks *hooks,
                                void *ctx, uint64_t now_ms)
{
    struct http_conn *c = MEM_NEW(struct http_conn);
    c->limits = limits;
    c->hooks = hooks;
    c->ctx = ctx;
    c->now_ms = now_ms;
    c->idle_since_ms = now_ms;
    c->load = &c->own_load;
    list_init(&c->exchanges);
    list_init(&c->spare);
    http1_init(c);
    return c;
}

void http_conn_cancel_all(struct http_conn *c)
{
    struct http_exchange *x;
    while ((x = LIST_FIRST(&c->exchanges, struct http_exchange, link)) != NULL) {
        http2_forget(x);
        http_exchange_cancel(x);
    }
    c->h1.x = NULL;
    POST(c->exchange_count == 0 && c->request_bytes == 0 && c->unsent_bytes == 0);
}

static void free_spares(struct http_conn *c)
{
    struct http_exchange *x;
    while ((x = LIST_FIRST(&c->spare, struct http_exchange, link)) != NULL) {
        http_exchange_free(x);
    }
    c->spare_count = 0;
}

void http_conn_free(struct http_conn *c)
{
    if (c == NULL) {
        return;
    }
    http_conn_cancel_all(c);
    count_out(c, 0);
    free_spares(c);
    http1_done(c);
    http2_done(c);
    buf_done(&c->out);
    mem_free(c);
}

/* A difference from the preface makes it HTTP/1; what was sniffed until then equals the preface, so
 * nothing need be kept. Returns how much of `in` was taken. */
static size_t sniff(struct http_conn *c, struct slice in)
{
    struct slice preface = HTTP2_PREFACE;
    if (c->sniffed_bytes == 0) {
        c->sniff_since_ms = c->now_ms;
    }
    size_t n = 0;
    while (c->sniffed_bytes + n < preface.len && n < in.len &&
           in.data[n] == preface.data[c->sniffed_bytes + n]) {
        n++;
    }
    bool is_whole = c->sniffed_bytes + n == preface.len;
    if (is_whole || n < in.len) {
        c->protocol = is_whole ? HTTP_TWO : HTTP_ONE;
        if (is_whole) {
            http2_init(c);
            http2_recv(c, preface);
            return n;
        }
        http1_recv(c, slice_of(preface.data, c->sniffed_bytes));
        return 0;
    }
    c->sniffed_bytes += n;
    return n;
}

void http_conn_agree(struct http_conn *c, bool is_http2, uint64_t now_ms)
{
    PRE(c->protocol == HTTP_SNIFFING && c->sniffed_bytes == 0);
    c->now_ms = now_ms;
    c->is_secure = true;
    c->protocol = is_http2 ? HTTP_TWO : HTTP_ONE;
    if (is_http2) {
        http2_init(c); /* the preface must come all the same: nghttp2 checks it */
    }
}

void http_conn_recv(struct http_conn *c, struct slice in, uint64_t now_ms)
{
    c->now_ms = now_ms;
    if (c->protocol == HTTP_SNIFFING && !c->is_deaf && in.len > 0) {
        in = slice_skip(in, sniff(c, in));
    }
    if (!c->is_deaf && c->protocol == HTTP_ONE) {
        http1_recv(c, in);
    } else if (!c->is_deaf && c->protocol == HTTP_TWO) {
        http2_recv(c, in);
    }
    if (c->is_deaf) {
        http_conn_tell_output(c); /* the caller may find that we want to close */
    }
}

static bool awaits_socket(const struct http_conn *c)
{
    return c->h1.socket != NULL && c->h1.socket->state == HTTP_WAITING;
}

static bool has_stream(const struct http_conn *c)
{
    LIST_FOREACH (link, &c->exchanges) {
        if (LIST_ENTRY(link, struct http_exchange, link)->state == HTTP_STREAMING) {
            return true;
        }
    }
    return false;
}

/* Nothing comes after what is held. */
static void take_end(struct http_conn *c)
{
    if (!c->end_is_due || c->h1.held.len > 0) {
        return;
    }
    c->end_is_due = false;
    if (c->h1.x != NULL) {
        http_exchange_cancel(c->h1.x); /* the callee has not seen it */
        c->h1.x = NULL;
    }
    if (c->h1.socket != NULL) {
        http_socket_deliver(c->h1.socket, (struct slice){0}, true);
    }
    c->is_deaf = true;
    http_conn_tell_output(c);
}

void http_conn_recv_end(struct http_conn *c, uint64_t now_ms)
{
    c->now_ms = now_ms;
    if (c->protocol == HTTP_TWO || has_stream(c) || awaits_socket(c)) {
        http_conn_cut(c);
        return;
    }
    c->is_half_closed = true;
    c->half_closed_ms = now_ms;
    c->end_is_due = true;
    take_end(c);
}

void http_conn_rest(struct http_conn *c)
{
    c->is_resting = true;
    http_conn_tell_output(c);
}

void http_conn_tell_output(struct http_conn *c)
{
    if (!c->output_told) {
        c->output_told = true;
        c->hooks->on_output(c->ctx);
    }
}

static bool has_unsent(const struct http_conn *c)
{
    return c->out_at < c->out.len;
}

/* True: a callee was told, and may have written more. */
static bool tell_writable(struct http_conn *c)
{
    bool told = false;
    LIST_FOREACH (link, &c->exchanges) {
        struct http_exchange *x = LIST_ENTRY(link, struct http_exchange, link);
        if (x->writable_due) {
            x->writable_due = false;
            if (x->state == HTTP_STREAMING || x->state == HTTP_SOCKET) {
                c->hooks->on_writable(c->ctx, x);
                told = true;
            }
        }
    }
    return told;
}

static void fill(struct http_conn *c)
{
    PRE(!has_unsent(c));
    c->out_at = 0;
    buf_clear(&c->out);
    c->is_resting = false;
    bool again = true;
    while (again && c->out.len < HTTP_OUT_BYTES && !c->is_cut) {
        if (c->protocol == HTTP_TWO) {
            http2_fill(c);
            again = tell_writable(c);
            again = http2_go_on(c) || again;
        } else {
            http1_fill(c);
            again = tell_writable(c);
            again = http1_go_on(c) || again;
            take_end(c);
        }
    }
    if (c->out.len == 0 && c->out.cap > KEPT_OUT_BYTES) {
        buf_done(&c->out);
    }
}

struct slice http_conn_output(struct http_conn *c, uint64_t now_ms)
{
    c->now_ms = now_ms;
    if (!c->is_cut && !has_unsent(c)) {
        fill(c);
        count_out(c, c->out.len);
        http_progress_start(&c->sent, now_ms);
    }
    c->output_told = false;
    if (c->is_resting && !c->is_cut && !has_unsent(c)) {
        http_conn_tell_output(c);
    }
    if (c->is_cut || !has_unsent(c)) {
        return (struct slice){0};
    }
    return slice_of(c->out.data + c->out_at, c->out.len - c->out_at);
}

void http_conn_sent(struct http_conn *c, size_t n, uint64_t now_ms)
{
    c->now_ms = now_ms;
    c->out_at += n;
    POST(c->out_at <= c->out.len);
    http_progress_made(&c->sent, n, now_ms);
    if (c->out_at == c->out.len) {
        count_out(c, 0);
    }
}

bool http_conn_wants_read(const struct http_conn *c)
{
    if (c->is_deaf || c->protocol == HTTP_SNIFFING) {
        return true;
    }
    if (c->protocol == HTTP_TWO) {
        return c->h2.held.len == 0 && c->h2.whole_count == 0;
    }
    if (c->h1.socket != NULL) {
        return c->h1.held.len == 0 && http_socket_wants_data(c->h1.socket);
    }
    return c->h1.held.len == 0 && (c->h1.x != NULL || !http1_is_blocked(c));
}

bool http_conn_wants_close(const struct http_conn *c)
{
    return c->is_cut || (c->is_deaf && c->exchange_count == 0 && !has_unsent(c) &&
                         (c->protocol != HTTP_TWO || !http2_wants_write(c)));
}

static bool is_idle(const struct http_conn *c)
{
    return c->exchange_count == 0 && !has_unsent(c);
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t sniff_deadline_ms(const struct http_conn *c)
{
    bool has_begun = c->sniffed_bytes > 0 && !c->is_deaf;
    return has_begun ? c->sniff_since_ms + c->limits->head_ms : UINT64_MAX;
}

static uint64_t codec_deadline_ms(const struct http_conn *c)
{
    switch (c->protocol) {
    case HTTP_SNIFFING:
        return sniff_deadline_ms(c);
    case HTTP_ONE:
        return http1_deadline_ms(c);
    case HTTP_TWO:
        return http2_deadline_ms(c);
    }
    UNREACHABLE();
}

static void go_deaf(struct http_conn *c)
{
    c->is_deaf = true;
    http_conn_tell_output(c);
}

static void codec_tick(struct http_conn *c)
{
    switch (c->protocol) {
    case HTTP_SNIFFING:
        if (c->now_ms >= sniff_deadline_ms(c)) {
            go_deaf(c);
        }
        return;
    case HTTP_ONE:
        http1_tick(c);
        return;
    case HTTP_TWO:
        http2_tick(c);
        return;
    }
}

/* Connections are many and mostly idle: what the last requests left behind is given back. */
static void trim(struct http_conn *c)
{
    free_spares(c);
    buf_done(&c->out);
    c->out_at = 0;
}

static bool has_fat(const struct http_conn *c)
{
    return c->spare_count > 0 || c->out.cap > 0;
}

static void end_idle(struct http_conn *c)
{
    if (c->protocol == HTTP_TWO) {
        http2_die(c, NGHTTP2_NO_ERROR);
        (void)http2_settle(c);
    } else {
        go_deaf(c);
    }
}

static uint64_t half_closed_deadline_ms(const struct http_conn *c)
{
    return c->is_half_closed ? c->half_closed_ms + c->limits->half_closed_ms : UINT64_MAX;
}

uint64_t http_conn_next_deadline_ms(const struct http_conn *c)
{
    if (http_conn_wants_close(c)) {
        return UINT64_MAX;
    }
    uint64_t at = min_u64(codec_deadline_ms(c), half_closed_deadline_ms(c));
    if (has_unsent(c)) {
        at = min_u64(at, c->sent.mark_ms + http_conn_stall_ms(c));
    }
    if (c->retry_ms != 0) {
        at = min_u64(at, c->retry_ms);
    }
    if (is_idle(c) && !c->is_deaf) {
        at = min_u64(at, c->idle_since_ms + (has_fat(c) ? HTTP_TRIM_MS : c->limits->idle_ms));
    }
    return at;
}

/* Streams that found their load full ask again. */
static void retry_streams(struct http_conn *c)
{
    c->retry_ms = 0;
    LIST_FOREACH (link, &c->exchanges) {
        http_exchange_retry(LIST_ENTRY(link, struct http_exchange, link));
    }
    http_conn_tell_output(c);
}

void http_conn_tick(struct http_conn *c, uint64_t now_ms)
{
    c->now_ms = now_ms;
    if (http_conn_wants_close(c)) {
        return;
    }
    bool is_stalled = has_unsent(c) && now_ms >= c->sent.mark_ms + http_conn_stall_ms(c);
    if (is_stalled || now_ms >= half_closed_deadline_ms(c)) {
        http_conn_cut(c);
        return;
    }
    codec_tick(c);
    if (c->retry_ms != 0 && now_ms >= c->retry_ms) {
        retry_streams(c);
    }
    if (is_idle(c) && now_ms >= c->idle_since_ms + HTTP_TRIM_MS) {
        trim(c);
    }
    if (!c->is_deaf && is_idle(c) && now_ms >= c->idle_since_ms + c->limits->idle_ms) {
        end_idle(c);
    }
}

void http_conn_drain(struct http_conn *c)
{
    if (c->is_draining || c->is_deaf) {
        return;
    }
    c->is_draining = true;
    if (c->protocol == HTTP_TWO) {
        http2_drain(c);
    } else {
        http1_drain(c);
    }
    http_conn_tell_output(c);
}

void http_conn_cut(struct http_conn *c)
{
    c->is_deaf = true;
    c->is_cut = true;
    http_conn_cancel_all(c);
    count_out(c, 0);
    http_conn_tell_output(c);
}
