#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/http_conn.h"

enum {
    KEPT_BYTES_MAX = 4096, /* larger buffers are not kept for the next exchange */
    BODY_FIRST_BYTES = 64 * 1024,
    HEAD_FIRST_BYTES = 512,
    HEADERS_FIRST = 16,
    ANSWER_HEADERS_MAX = 128,
    HTTP_STATUS_SWITCH = 101,
};

/* State and pool */

static bool may_move(enum http_exchange_state from, enum http_exchange_state to)
{
    switch (from) {
    case HTTP_SPARE:
        return to == HTTP_RECEIVING;
    case HTTP_RECEIVING:
        return to == HTTP_WAITING || to == HTTP_SPARE;
    case HTTP_WAITING:
        return to == HTTP_STREAMING || to == HTTP_SOCKET || to == HTTP_ANSWERED;
    case HTTP_STREAMING:
    case HTTP_SOCKET:
        return to == HTTP_ANSWERED;
    case HTTP_ANSWERED:
        return to == HTTP_SPARE;
    }
    return false;
}

void http_exchange_move(struct http_exchange *x, enum http_exchange_state to)
{
    INVARIANT(may_move(x->state, to));
    x->state = to;
}

static bool is_written(const struct http_exchange *x)
{
    return x->state == HTTP_STREAMING || x->state == HTTP_SOCKET;
}

static bool callee_has(const struct http_exchange *x)
{
    return x->state == HTTP_WAITING || is_written(x);
}

struct http_exchange *http_exchange_new(struct http_conn *c)
{
    struct http_exchange *x = LIST_FIRST(&c->spare, struct http_exchange, link);
    if (x != NULL) {
        list_remove(&x->link);
        c->spare_count--;
    } else {
        x = MEM_NEW(struct http_exchange);
        x->conn = c;
    }
    http_exchange_move(x, HTTP_RECEIVING);
    x->request.is_secure = c->is_secure;
    list_append(&c->exchanges, &x->link);
    c->exchange_count++;
    for (struct http_load *l = c->load; l != NULL; l = l->whole) {
        l->exchange_count++;
    }
    return x;
}

void http_exchange_free(struct http_exchange *x)
{
    PRE(x->state == HTTP_SPARE);
    list_remove(&x->link);
    buf_done(&x->head);
    buf_done(&x->stream);
    buf_done(&x->h1.head);
    mem_free(x->headers);
    mem_free(x);
}

static size_t stream_unsent(const struct http_exchange *x)
{
    return x->stream.len - x->stream_at;
}

static struct buf keep(struct buf *b)
{
    if (b->cap > KEPT_BYTES_MAX) {
        buf_done(b);
    }
    buf_clear(b);
    return *b;
}

static void release_request(struct http_exchange *x)
{
    http_conn_count_request(x, 0);
    bytes_unref(x->body);
    x->body = NULL;
    (void)keep(&x->head);
    x->request = (struct http_request){0};
}

static void release_answer(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    size_t bytes = stream_unsent(x) + bytes_slice(x->answer).len + x->unsent_held;
    http_conn_count_unsent(c, -(ptrdiff_t)bytes);
    bytes_unref(x->answer);
    x->answer = NULL;
}

void http_exchange_gone(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    release_request(x);
    release_answer(x);
    http_exchange_move(x, HTTP_SPARE);
    list_remove(&x->link);
    INVARIANT(c->exchange_count > 0);
    c->exchange_count--;
    for (struct http_load *l = c->load; l != NULL; l = l->whole) {
        l->exchange_count--;
    }
    c->h2.whole_count -= x->h2.is_whole;
    c->h1.socket = c->h1.socket == x ? NULL : c->h1.socket;
    c->idle_since_ms = c->now_ms;

    *x = (struct http_exchange){.conn = c,
                                .head = keep(&x->head),
                                .stream = keep(&x->stream),
                                .h1.head = keep(&x->h1.head),
                                .headers = x->headers,
                                .header_cap = x->header_cap};
    list_prepend(&c->spare, &x->link);
    c->spare_count++;
    if (c->spare_count > HTTP_SPARE_EXCHANGES) {
        c->spare_count--;
        http_exchange_free(x);
    }
}

void http_exchange_cancel(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    if (callee_has(x)) {
        http_exchange_move(x, HTTP_ANSWERED); /* the callee can no longer answer it */
        c->hooks->on_cancel(c->ctx, x);
    }
    http_exchange_gone(x);
}

/* The request */

static void move_slice(struct slice *s, uintptr_t from, size_t len, const uint8_t *to)
{
    uintptr_t at = (uintptr_t)s->data;
    if (at >= from && at < from + len) {
        s->data = to + (at - from);
    }
}

struct slice http_exchange_keep(struct http_exchange *x, struct slice bytes)
{
    uintptr_t from = (uintptr_t)x->head.data;
    size_t len = x->head.len;
    if (x->head.cap == 0) {
        buf_reserve(&x->head, HEAD_FIRST_BYTES);
    }
    buf_append_slice(&x->head, bytes);
    http_conn_count_request(x, x->request_bytes + bytes.len);
    if (len > 0 && (uintptr_t)x->head.data != from) {
        struct http_request *r = &x->request;
        move_slice(&r->method, from, len, x->head.data);
        move_slice(&r->target, from, len, x->head.data);
        move_slice(&r->authority, from, len, x->head.data);
        for (size_t i = 0; i < r->header_count; i++) {
            move_slice(&x->headers[i].name, from, len, x->head.data);
            move_slice(&x->headers[i].value, from, len, x->head.data);
        }
    }
    return slice_of(x->head.data + len, bytes.len);
}

void http_exchange_add_header(struct http_exchange *x, struct slice name, struct slice value)
{
    size_t i = x->request.header_count;
    PRE(i < x->conn->limits->header_count_max);
    if (i == x->header_cap) {
        x->header_cap = i != 0 ? i * 2 : HEADERS_FIRST;
        x->headers = mem_realloc(x->headers, x->header_cap * sizeof *x->headers);
    }
    x->headers[i] = (struct http_header){.name = name, .value = value};
    x->request.header_count++;
    x->request.headers = x->headers;
}

/* `announced` is what is known to come, these bytes included. A client that only announces costs one
 * block of 64 KB; memory for the rest comes with the bytes. Of a body whose end nobody has announced
 * each step is half of what there is, so that copying stays in proportion to its bytes, however
 * small the pieces are. */
static size_t grown_cap(const struct http_exchange *x, size_t extra, uint64_t announced)
{
    size_t len = bytes_slice(x->body).len;
    size_t least = len + extra;
    size_t grown = least < BODY_FIRST_BYTES ? x->body_cap * 2 : x->body_cap + x->body_cap / 2;
    size_t most = x->conn->limits->body_bytes_max;
    grown = grown < most ? grown : most;
    if (announced <= BODY_FIRST_BYTES || least >= BODY_FIRST_BYTES) {
        least = len + (size_t)announced; /* it is short, or the client has shown good will */
    }
    return grown > least ? grown : least;
}

static enum err grow_body(struct http_exchange *x, size_t extra, uint64_t announced)
{
    if (bytes_slice(x->body).len + extra <= x->body_cap) {
        return ERR_OK;
    }
    size_t cap = grown_cap(x, extra, announced);
    struct bytes *b = mem_try_realloc(x->body, sizeof *b + cap);
    if (b == NULL) {
        return ERR_NO_MEMORY;
    }
    if (x->body == NULL) {
        atomic_init(&b->refs, 1);
        b->len = 0;
    }
    x->body = b;
    x->body_cap = cap;
    return ERR_OK;
}

enum err http_exchange_add_body(struct http_exchange *x, struct slice piece, uint64_t announced)
{
    PRE(x->state == HTTP_RECEIVING);
    PRE(announced >= piece.len);

    /* Exact, so that how a body is cut into pieces changes nothing. */
    if (!http_load_has_room(x->conn->load, x->conn->limits, piece.len)) {
        return ERR_OVERLOADED;
    }
    enum err err = grow_body(x, piece.len, announced);
    if (err != ERR_OK) {
        return err;
    }
    memcpy(x->body->data + x->body->len, piece.data, piece.len);
    x->body->len += piece.len;
    http_conn_count_request(x, x->request_bytes + piece.len);
    http_progress_made(&x->received, piece.len, x->conn->now_ms);
    POST(x->body->len <= x->conn->limits->body_bytes_max);
    return ERR_OK;
}

/* The callee may keep a body for long: it keeps no more than what came. */
static void trim_body(struct http_exchange *x)
{
    if (x->body_cap > bytes_slice(x->body).len) {
        struct bytes *b = mem_try_realloc(x->body, sizeof *b + x->body->len);
        x->body = b != NULL ? b : x->body;
        x->body_cap = x->body->len;
    }
}

void http_exchange_arrived(struct http_exchange *x)
{
    trim_body(x);
    http_exchange_move(x, HTTP_WAITING);
    x->request.body = x->body;
    x->conn->hooks->on_request(x->conn->ctx, x);
}

const struct http_request *http_exchange_request(const struct http_exchange *x)
{
    PRE(callee_has(x) || x->state == HTTP_ANSWERED); /* ANSWERED: inside on_cancel */
    return &x->request;
}

void *http_exchange_user(const struct http_exchange *x)
{
    return x->user;
}

void http_exchange_set_user(struct http_exchange *x, void *user)
{
    x->user = user;
}

void *http_exchange_owner(const struct http_exchange *x)
{
    return x->conn->ctx;
}

void http_exchange_hold(struct http_exchange *x, size_t bytes)
{
    PRE(x->state == HTTP_WAITING);
    http_conn_count_request(x, x->request_bytes + bytes);
}

struct problem_limit http_exchange_full_limit(const struct http_exchange *x, size_t bytes)
{
    const struct http_limits *l = x->conn->limits;
    bool has_room = http_load_has_room(x->conn->load, l, bytes);
    return has_room ? (struct problem_limit){0}
                    : (struct problem_limit){HTTP_FULL_LIMIT, l->address_bytes_max};
}

void http_exchange_set_target(struct http_exchange *x, struct slice target)
{
    x->request.target = http_exchange_keep(x, target);
}

void http_exchange_set_fields(struct http_exchange *x, const struct http_header *fields,
                              size_t count)
{
    x->more_fields = fields;
    x->more_count = count;
}

bool http_request_header(const struct http_request *r, const char *name, struct slice *ret_value)
{
    struct slice want = slice_of_str(name);
    for (size_t i = 0; i < r->header_count; i++) {
        if (slice_equal(r->headers[i].name, want)) {
            *ret_value = r->headers[i].value;
            return true;
        }
    }
    return false;
}

/* The answer */

/* Parts of a WebSocket's handshake that are not for user code to say. */
static bool is_of_handshake(struct slice name)
{
    return http_equal_any_case(name, "sec-websocket-accept") ||
           http_equal_any_case(name, "sec-websocket-extensions");
}

/* Copies the fields that may be sent; user code gives them, so a bad one is left out. */
static size_t filter_headers(struct http_header *to, const struct http_header *headers,
                             size_t count)
{
    size_t kept = 0;
    for (size_t i = 0; i < count && kept < ANSWER_HEADERS_MAX; i++) {
        if (http_name_is_valid(headers[i].name) && http_value_is_valid(headers[i].value) &&
            !http_name_is_of_connection(headers[i].name) && !is_of_handshake(headers[i].name) &&
            !http_equal_any_case(headers[i].name, "date")) {
            to[kept++] = headers[i];
        }
    }
    return kept;
}

static size_t add_more_fields(const struct http_exchange *x, struct http_header *to, size_t count)
{
    for (size_t i = 0; i < count && x->more_count > 0; i++) {
        if (slice_equal(to[i].name, x->more_fields[0].name)) {
            return count;
        }
    }
    for (size_t i = 0; i < x->more_count && count < ANSWER_HEADERS_MAX; i++) {
        to[count++] = x->more_fields[i];
    }
    return count;
}

static void begin(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t count, const size_t *body_bytes)
{
    PRE(x->state == HTTP_WAITING);
    PRE((status >= 200 && status <= 599) || status == HTTP_STATUS_SWITCH);

    struct http_header sent[ANSWER_HEADERS_MAX];
    size_t sent_count = add_more_fields(x, sent, filter_headers(sent, headers, count));
    x->is_bodyless = x->is_bodyless || status == 204 || status == 304;
    if (x->h2.id != 0 && status == HTTP_STATUS_SWITCH) {
        http2_answer_begin(x, 200, sent, sent_count, NULL);
    } else if (x->h2.id != 0) {
        http2_answer_begin(x, status, sent, sent_count, body_bytes);
    } else if (status == HTTP_STATUS_SWITCH) {
        http1_answer_switch(x, sent, sent_count);
    } else {
        http1_answer_begin(x, status, sent, sent_count, body_bytes);
    }
    release_request(x);
    http_conn_tell_output(x->conn);
}

void http_respond_from(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t count, struct bytes *holder, size_t at)
{
    PRE(at <= bytes_slice(holder).len);

    size_t body_bytes = bytes_slice(holder).len - at;
    struct bytes *held = bytes_ref(holder); /* it may be the request's, which begin() lets go */
    begin(x, status, headers, count, &body_bytes);
    if (x->is_bodyless || body_bytes == 0) {
        bytes_unref(held);
    } else {
        x->answer = held;
        x->answer_at = at;
        http_progress_start(&x->taken, x->conn->now_ms);
        http_conn_count_unsent(x->conn, (ptrdiff_t)held->len);
    }
    http_exchange_move(x, HTTP_ANSWERED);
}

void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t count, struct bytes *body)
{
    http_respond_from(x, status, headers, count, body, 0);
}

void http_respond_problem(struct http_exchange *x, enum err err, struct slice detail,
                          const struct problem_limit *limit)
{
    const struct err_info *info = err_info(err);
    struct buf text = {0};
    problem_write(&text, err, detail, limit);
    struct bytes *body = bytes_new(buf_slice(&text));
    buf_done(&text);
    struct http_header headers[] = {{SLICE("content-type"), SLICE(PROBLEM_CONTENT_TYPE)},
                                    {SLICE("retry-after"), SLICE("1")}};
    bool asks_later = info->status == 429 || info->status == 503;
    bool is_bad_socket = x->request.wants_socket && err == ERR_BAD_REQUEST;
    if (is_bad_socket) {
        headers[1] = (struct http_header){SLICE("sec-websocket-version"), SLICE("13")};
    }
    http_respond(x, info->status, headers, asks_later || is_bad_socket ? 2 : 1, body);
    bytes_unref(body);
}

void http_stream_begin(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t count)
{
    begin(x, status, headers, count, NULL);
    http_exchange_move(x, HTTP_STREAMING);
}

void http_socket_accept(struct http_exchange *x, const struct http_header *headers, size_t count)
{
    PRE(x->request.wants_socket);
    begin(x, HTTP_STATUS_SWITCH, headers, count, NULL);
    http_exchange_move(x, HTTP_SOCKET);
    http_progress_start(&x->received, x->conn->now_ms);
}

static void tell_more(struct http_exchange *x)
{
    http2_resume(x);
    http_conn_tell_output(x->conn);
}

bool http_stream_has_room(struct http_exchange *x, size_t bytes)
{
    PRE(is_written(x));

    struct http_conn *c = x->conn;
    const struct http_limits *l = c->limits;
    size_t unsent = stream_unsent(x);
    /* A stream with nothing unsent may write: only its own progress calls on_writable ... */
    if (unsent >= l->stream_bytes_max ||
        (unsent > 0 && c->unsent_bytes >= l->conn_stream_bytes_max)) {
        x->wants_writable = true;
        return false;
    }
    bool is_small = unsent == 0 && bytes <= HTTP_STREAM_SMALL_BYTES;
    if (!is_small && !x->is_bodyless && http_load_is_full(c->load, l)) {
        x->wants_writable = x->waits_for_load = true; /* ... or that of time */
        c->retry_ms = c->now_ms + HTTP_RETRY_MS;
        http_conn_tell_output(c);
        return false;
    }
    return true;
}

enum err http_stream_write(struct http_exchange *x, struct slice piece)
{
    size_t unsent = stream_unsent(x);
    if (!http_stream_has_room(x, piece.len)) {
        return ERR_OVERLOADED;
    }
    if (x->is_bodyless || piece.len == 0) {
        return ERR_OK;
    }
    if (x->stream_at > x->stream.len / 2) {
        buf_consume(&x->stream, x->stream_at);
        x->stream_at = 0;
    }
    if (unsent == 0) {
        http_progress_start(&x->taken, x->conn->now_ms);
    }
    buf_append_slice(&x->stream, piece);
    http_conn_count_unsent(x->conn, (ptrdiff_t)piece.len);
    tell_more(x);
    return ERR_OK;
}

void http_stream_end(struct http_exchange *x)
{
    PRE(is_written(x));
    http_exchange_move(x, HTTP_ANSWERED);
    if (stream_unsent(x) == 0) {
        http_progress_start(&x->taken, x->conn->now_ms); /* the end itself is yet to be taken */
    }
    tell_more(x);
}

void http_stream_abort(struct http_exchange *x)
{
    PRE(is_written(x));
    x->is_broken_off = true;
    http_stream_end(x);
}

struct slice http_exchange_peek(const struct http_exchange *x)
{
    struct slice body = bytes_slice(x->answer);
    if (x->answer_at < body.len) {
        return slice_skip(body, x->answer_at);
    }
    if (stream_unsent(x) == 0) {
        return (struct slice){0};
    }
    return slice_of(x->stream.data + x->stream_at, stream_unsent(x));
}

static void may_write_again(struct http_exchange *x)
{
    if (x->wants_writable && stream_unsent(x) <= x->conn->limits->stream_bytes_max / 2) {
        x->wants_writable = false;
        x->writable_due = is_written(x);
    }
}

/* The body is in memory until the last of it has gone, and counts for that long. */
static void took_answer(struct http_exchange *x, size_t n)
{
    size_t len = x->answer->len;
    x->answer_at += n;
    POST(x->answer_at <= len);
    if (x->answer_at == len) {
        bytes_unref(x->answer);
        x->answer = NULL;
        x->answer_at = 0;
        http_conn_count_unsent(x->conn, -(ptrdiff_t)len);
    }
}

/* A stream may be quiet for hours after a large piece: it keeps no more than twice what is unsent. */
static void took_stream(struct http_exchange *x, size_t n)
{
    x->stream_at += n;
    POST(x->stream_at <= x->stream.len);
    if (x->stream_at == x->stream.len) {
        (void)keep(&x->stream);
        x->stream_at = 0;
    } else if (x->stream_at > KEPT_BYTES_MAX && x->stream_at > x->stream.len / 2) {
        buf_consume(&x->stream, x->stream_at);
        buf_shrink(&x->stream);
        x->stream_at = 0;
    }
    http_conn_count_unsent(x->conn, -(ptrdiff_t)n);
}

void http_exchange_took(struct http_exchange *x, size_t n)
{
    if (x->answer != NULL) {
        took_answer(x, n);
    } else {
        took_stream(x, n);
    }
    http_progress_made(&x->taken, n, x->conn->now_ms);
    if (!x->waits_for_load) {
        may_write_again(x);
    }
}

void http_exchange_retry(struct http_exchange *x)
{
    if (x->waits_for_load) {
        x->waits_for_load = false;
        may_write_again(x);
    }
}

bool http_exchange_is_drained(const struct http_exchange *x)
{
    return x->state == HTTP_ANSWERED && http_exchange_peek(x).len == 0;
}
