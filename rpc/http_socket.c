/* Exchanges that become sockets: who asks for one, and what then comes in. */
#include "base/invariant.h"
#include "rpc/http_conn.h"
#include "rpc/websocket_key.h"

/* The value of the field of this name where there is exactly one. */
static bool only_header(const struct http_request *r, const char *name, struct slice *ret_value)
{
    size_t count = 0;
    for (size_t i = 0; i < r->header_count; i++) {
        if (slice_equal_str(r->headers[i].name, name)) {
            *ret_value = r->headers[i].value;
            count++;
        }
    }
    return count == 1;
}

static bool lists(const struct http_request *r, const char *name, const char *token)
{
    for (size_t i = 0; i < r->header_count; i++) {
        if (slice_equal_str(r->headers[i].name, name) &&
            http_value_lists(r->headers[i].value, token)) {
            return true;
        }
    }
    return false;
}

const char *http_socket_check(const struct http_exchange *x, bool has_body)
{
    const struct http_request *r = &x->request;
    struct slice value;
    if (!slice_equal(r->method, SLICE("GET"))) {
        return "A WebSocket is asked for with GET.";
    }
    if (has_body) {
        return "A WebSocket is asked for without a body.";
    }
    if (!only_header(r, "sec-websocket-version", &value) || !slice_equal(value, SLICE("13"))) {
        return "The version of the WebSocket is not 13.";
    }
    if (x->h2.id == 0 &&
        (!only_header(r, "sec-websocket-key", &value) || !websocket_key_is_valid(value))) {
        return "The key of the WebSocket is not 16 bytes in base64.";
    }
    return NULL;
}

static bool asks(const struct http_exchange *x)
{
    const struct http_request *r = &x->request;
    return !x->h1.is_old && lists(r, "connection", "upgrade") && lists(r, "upgrade", "websocket");
}

const char *http1_socket_ask(struct http_conn *c, struct http_exchange *x)
{
    if (x->h1.closes || c->is_draining || !asks(x)) {
        return NULL;
    }
    x->request.wants_socket = true;
    const char *wrong = http_socket_check(x, c->h1.part != HTTP1_BODY || c->h1.left > 0);
    if (wrong == NULL) {
        c->h1.socket = x;
    }
    return wrong;
}

bool http1_socket_is_open(const struct http_conn *c)
{
    return c->h1.socket != NULL && c->h1.socket->state != HTTP_WAITING;
}

/* Data */

static bool is_held_up(const struct http_exchange *x)
{
    return x->ahead >= HTTP_SOCKET_AHEAD_BYTES;
}

bool http_socket_wants_data(const struct http_exchange *x)
{
    return x->state != HTTP_SOCKET || !is_held_up(x);
}

void http_socket_deliver(struct http_exchange *x, struct slice in, bool is_end)
{
    if (x->state == HTTP_SOCKET) {
        struct http_conn *c = x->conn;
        x->ahead += in.len;
        http_progress_made(&x->received, in.len, c->now_ms);
        c->hooks->on_data(c->ctx, x, in, is_end);
    }
}

void http_socket_consume(struct http_exchange *x, size_t bytes)
{
    PRE(x->state == HTTP_SOCKET && bytes <= x->ahead);
    bool was_held_up = is_held_up(x);
    x->ahead -= bytes;
    if (bytes > 0 && x->h2.id != 0) {
        (void)nghttp2_session_consume_stream(x->conn->h2.session, x->h2.id, bytes);
    }
    if (was_held_up && !is_held_up(x)) {
        http_progress_start(&x->received, x->conn->now_ms); /* until now it was we */
    }
    if (bytes > 0) {
        http_conn_tell_output(x->conn); /* a window opens, or reading goes on */
    }
}

void http_socket_hold(struct http_exchange *x, size_t part, size_t waiting, size_t unsent)
{
    PRE(x->state == HTTP_SOCKET);
    if (x->part <= HTTP_SOCKET_LITTLE_BYTES && part > HTTP_SOCKET_LITTLE_BYTES) {
        http_progress_start(&x->received, x->conn->now_ms);
    }
    x->part = part;
    http_conn_count_request(x, part + waiting);
    http_conn_count_unsent(x->conn, (ptrdiff_t)unsent - (ptrdiff_t)x->unsent_held);
    x->unsent_held = unsent;
}

bool http_socket_has_room(const struct http_exchange *x)
{
    return !http_load_is_full(x->conn->load, x->conn->limits);
}

uint64_t http_socket_deadline_ms(const struct http_exchange *x)
{
    bool is_due = x->state == HTTP_SOCKET && x->part > HTTP_SOCKET_LITTLE_BYTES && !is_held_up(x);
    return is_due ? x->received.mark_ms + http_conn_stall_ms(x->conn) : UINT64_MAX;
}
