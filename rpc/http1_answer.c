#include "base/invariant.h"
#include "rpc/http_conn.h"
#include "rpc/websocket_key.h"

static void put_number(struct buf *b, uint64_t n)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    buf_append(b, digits + at, sizeof digits - at);
}

static void put_status_line(struct buf *b, int status)
{
    buf_append_slice(b, SLICE("HTTP/1.1 "));
    put_number(b, (uint64_t)status);
    buf_append_byte(b, ' ');
    buf_append_str(b, problem_title(status));
    buf_append_slice(b, SLICE("\r\n"));
}

static void put_date(struct buf *b, struct slice date)
{
    if (date.len > 0) {
        buf_append_slice(b, SLICE("date: "));
        buf_append_slice(b, date);
        buf_append_slice(b, SLICE("\r\n"));
    }
}

void http1_answer_continue(struct http_exchange *x)
{
    buf_append_slice(&x->h1.head, SLICE("HTTP/1.1 100 Continue\r\n\r\n"));
    http_conn_tell_output(x->conn);
}

/* What frames the body. RFC 9112 6: none of it with 204 and 304. */
static void put_framing(struct http_exchange *x, int status, const size_t *body_bytes)
{
    struct buf *b = &x->h1.head;
    if (status == 204 || status == 304) {
        return;
    }
    if (body_bytes != NULL) {
        buf_append_slice(b, SLICE("content-length: "));
        put_number(b, *body_bytes);
        buf_append_slice(b, SLICE("\r\n"));
    } else if (x->h1.is_old) {
        x->h1.closes = true;
    } else {
        x->h1.is_chunked = !x->is_bodyless;
        buf_append_slice(b, SLICE("transfer-encoding: chunked\r\n"));
    }
}

static void put_fields(struct buf *b, const struct http_header *headers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        buf_append_slice(b, headers[i].name);
        buf_append_slice(b, SLICE(": "));
        buf_append_slice(b, headers[i].value);
        buf_append_slice(b, SLICE("\r\n"));
    }
}

/* What follows the request may have been sent in the belief that there would be a socket: read as further
 * requests it could mean anything, so it is not read. */
static void refuse_socket(struct http_exchange *x)
{
    struct http1 *h = &x->conn->h1;
    if (h->socket == x) {
        h->socket = NULL;
        x->h1.closes = true;
    }
}

void http1_answer_begin(struct http_exchange *x, int status, const struct http_header *headers,
                        size_t count, const size_t *body_bytes)
{
    struct buf *b = &x->h1.head;
    refuse_socket(x);
    put_status_line(b, status);
    put_date(b, http_conn_date(x->conn));
    put_fields(b, headers, count);
    put_framing(x, status, body_bytes);
    bool is_last = x->link.next == &x->conn->exchanges;
    if (x->conn->is_draining && is_last) {
        x->h1.closes = true;
    }
    if (x->h1.closes) {
        x->conn->is_deaf = true; /* a request behind this answer would have none */
        buf_append_slice(b, SLICE("connection: close\r\n"));
    } else if (x->h1.is_old) {
        buf_append_slice(b, SLICE("connection: keep-alive\r\n"));
    }
    buf_append_slice(b, SLICE("\r\n"));
}

void http1_answer_switch(struct http_exchange *x, const struct http_header *headers, size_t count)
{
    struct buf *b = &x->h1.head;
    struct slice key;
    char accept[WEBSOCKET_ACCEPT_BYTES];
    bool has_key = http_request_header(&x->request, "sec-websocket-key", &key);
    INVARIANT(has_key);
    websocket_key_accept(key, accept);
    buf_append_slice(b, SLICE("HTTP/1.1 101 Switching Protocols\r\n"));
    put_date(b, http_conn_date(x->conn));
    put_fields(b, headers, count);
    buf_append_slice(b,
                     SLICE("upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: "));
    buf_append(b, accept, sizeof accept);
    buf_append_slice(b, SLICE("\r\n\r\n"));
    x->h1.closes = true; /* there is no way back to requests */
}

static void put_body(struct http_conn *c, struct http_exchange *x)
{
    struct slice piece;
    while (c->out.len < HTTP_OUT_BYTES && (piece = http_exchange_peek(x)).len > 0) {
        size_t room = HTTP_OUT_BYTES - c->out.len;
        size_t n = piece.len < room ? piece.len : room;
        if (x->h1.is_chunked) {
            buf_printf(&c->out, "%zx\r\n", n);
        }
        buf_append(&c->out, piece.data, n);
        if (x->h1.is_chunked) {
            buf_append_slice(&c->out, SLICE("\r\n"));
        }
        http_exchange_took(x, n);
    }
}

/* True: all of the answer is in `out`. */
static bool put_answer(struct http_conn *c, struct http_exchange *x)
{
    buf_append_slice(&c->out, buf_slice(&x->h1.head));
    buf_clear(&x->h1.head);
    put_body(c, x);
    if (!http_exchange_is_drained(x)) {
        return false;
    }
    if (x->h1.is_chunked && !x->is_broken_off) {
        buf_append_slice(&c->out, SLICE("0\r\n\r\n"));
    }
    return true;
}

void http1_fill(struct http_conn *c)
{
    while (c->out.len < HTTP_OUT_BYTES) {
        struct http_exchange *x = LIST_FIRST(&c->exchanges, struct http_exchange, link);
        if (x == NULL || !put_answer(c, x)) {
            return;
        }
        bool closes = x->h1.closes || x->is_broken_off;
        http_exchange_gone(x);
        if (closes) {
            c->is_deaf = true;
            http_conn_cancel_all(
                c); /* requests read ahead of an answer that ended the connection */
        }
    }
}
