/* A request to a port of the sandbox (node/preview.h): made anew as HTTP/1.1 on a connection of its own, and its answer
 * passed on as it comes, or a WebSocket both ways, message by message. */
#include <errno.h>
#include <stdio.h>

#include "actor/sandbox_own.h"
#include "actor/sandbox_tcp.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/http1_reply.h"
#include "rpc/http_field.h"
#include "rpc/value.h"
#include "rpc/websocket.h"

enum {
    UNREAD_BYTES_MAX = 512 * 1024, /* of a WebSocket, on their way to its client */
    UNSENT_BYTES_MAX = 256 * 1024, /* to the program, before its client waits */
};

struct preview {
    struct sandbox_ask *ask;
    struct machine_connect connect;
    bool is_connecting;
    struct tcp *tcp;
    struct http1_reply *reply;
    struct sandbox_stream stream;
    bool is_open; /* the stream */
    bool wants_socket;
    struct websocket *ws; /* agreed */
    uint64_t socket;
    size_t unread_bytes;
    size_t owed; /* messages of the client that are not told to be taken */
    bool is_over;
    bool is_at_work; /* within http1_reply_recv */
};

static void preview_free(void *own)
{
    struct preview *p = own;
    PRE(p->tcp == NULL);
    http1_reply_free(p->reply);
    websocket_free(p->ws);
    mem_free(p);
}

/* Nothing more comes of it; the ask may be gone then. */
static void finish(struct preview *p)
{
    struct sandbox_ask *a = p->ask;
    if (p->is_over) {
        return;
    }
    p->is_over = true;
    if (p->is_connecting) {
        p->is_connecting = false;
        machine_connect_forget(&p->connect);
    }
    tcp_free(p->tcp);
    p->tcp = NULL;
    if (!p->is_at_work) {
        ask_end(a);
    }
}

/* WebSockets */

static struct actor_socket *socket_of(const struct preview *p)
{
    struct socket_set *set = socket_sets_find(p->ask->host->sockets, &p->stream.identity);
    struct actor_socket *s = set != NULL && p->socket != 0 ? socket_set_find(set, p->socket) : NULL;
    return s != NULL && s->body_ctx == p ? s : NULL;
}

static void close_socket(struct preview *p, uint16_t code, struct slice reason)
{
    struct actor_socket *s = socket_of(p);
    p->socket = 0;
    if (s != NULL) {
        s->body_hooks = NULL;
        s->body_ctx = NULL;
        code = websocket_code_may_be_sent(code) ? code : 0;
        enum err err = socket_close(s, code, code != 0 ? reason : SLICE(""));
        if (err != ERR_OK) {
            err = socket_close(s, WEBSOCKET_PROTOCOL_ERROR, SLICE(""));
            INVARIANT(err == ERR_OK);
        }
    }
}

static void take_owed(struct preview *p)
{
    struct actor_socket *s = socket_of(p);
    for (; p->owed > 0; p->owed--) {
        if (s != NULL) {
            socket_message_taken(s);
        }
    }
}

/* All that can be done now; it may be over then. */
static void work(struct preview *p)
{
    struct websocket_event e;
    uint64_t now_ms = p->ask->host->now_ms;
    while (!p->is_over && p->unread_bytes < UNREAD_BYTES_MAX && websocket_next(p->ws, &e, now_ms)) {
        struct actor_socket *s = socket_of(p);
        if (e.kind == WEBSOCKET_MESSAGE) {
            p->unread_bytes += bytes_slice(e.data).len;
            if (s != NULL) {
                socket_send(s, e.is_text, e.data);
            }
            bytes_unref(e.data);
            continue;
        }
        if (e.is_owed) {
            enum err err = websocket_close(p->ws, e.code, SLICE(""), now_ms);
            (void)err; /* ours to answer, whatever it was */
        }
        close_socket(p, e.kind == WEBSOCKET_CLOSE ? e.code : WEBSOCKET_PROTOCOL_ERROR, e.reason);
    }
    struct slice out = websocket_output(p->ws);
    if (out.len > 0 && p->tcp != NULL) {
        size_t n = out.len;
        tcp_write(p->tcp, out);
        websocket_sent(p->ws, n);
    }
    if (p->tcp != NULL) {
        tcp_read(p->tcp, p->unread_bytes < UNREAD_BYTES_MAX);
        if (tcp_unsent_bytes(p->tcp) < UNSENT_BYTES_MAX) {
            take_owed(p);
        }
    }
    if (p->socket == 0 && (p->tcp == NULL || tcp_unsent_bytes(p->tcp) == 0)) {
        finish(p);
    }
}

static void on_message(void *ctx, struct actor_socket *s, bool is_text, struct bytes *data)
{
    struct preview *p = ctx;
    (void)s;
    p->owed++;
    p->ask->box->used_ms = p->ask->host->now_ms;
    enum err err = websocket_send(p->ws, is_text, bytes_slice(data));
    (void)err; /* it has been closed from inside */
    work(p);
}

static void on_drained(void *ctx, const struct actor_socket *s, size_t bytes)
{
    struct preview *p = ctx;
    (void)s;
    p->unread_bytes -= bytes < p->unread_bytes ? bytes : p->unread_bytes;
    work(p);
}

static void on_socket_gone(void *ctx, const struct actor_socket *s)
{
    struct preview *p = ctx;
    p->socket = 0;
    enum err err = websocket_close(p->ws, s->close_code != 0 ? s->close_code : WEBSOCKET_GOING_AWAY,
                                   SLICE(""), p->ask->host->now_ms);
    (void)err; /* it has been closed from inside */
    work(p);
}

static const struct socket_body_hooks socket_hooks = {
    .message = on_message, .drained = on_drained, .gone = on_socket_gone};

/* The answer */

static bool is_for_parents(struct slice cookie)
{
    for (size_t i = 0; i < cookie.len; i++) {
        size_t at = i + 1;
        if (cookie.data[i] != ';') {
            continue;
        }
        while (at < cookie.len && (cookie.data[at] == ' ' || cookie.data[at] == '\t')) {
            at++;
        }
        if (cookie.len - at >= 6 && http_equal_any_case(slice_of(cookie.data + at, 6), "domain")) {
            return true;
        }
    }
    return false;
}

static bool passes(const struct http_header *f, bool is_socket)
{
    if (is_socket) {
        return slice_equal_str(f->name, "sec-websocket-protocol");
    }
    return http_name_is_valid(f->name) && http_value_is_valid(f->value) &&
           slice_is_utf8(f->value) && !http_name_is_of_connection(f->name) &&
           !(slice_equal_str(f->name, "set-cookie") && is_for_parents(f->value));
}

static void put_head(struct buf *doc, int status, const struct http_header *fields, size_t count,
                     bool is_socket)
{
    uint32_t passing = 0;
    for (size_t i = 0; i < count; i++) {
        passing += passes(&fields[i], is_socket) ? 1 : 0;
    }
    value_put_array(doc, 5);
    value_put_uint(doc, (uint64_t)status);
    value_put_array(doc, passing);
    for (size_t i = 0; i < count; i++) {
        if (passes(&fields[i], is_socket)) {
            value_put_array(doc, 2);
            value_put_str(doc, fields[i].name);
            value_put_str(doc, fields[i].value);
        }
    }
    value_put_nil(doc);
    value_put_bool(doc, !is_socket);
    value_put_bool(doc, is_socket);
}

static void agree(struct preview *p, const struct http_header *fields, size_t count)
{
    struct sandbox_ask *a = p->ask;
    struct request *r = a->request;
    struct buf doc = {0};
    if (socket_offer_direct(a->host->sockets, &r->identity, &r->address, shard_id(a->shard),
                            r->socket, &socket_hooks, p) != ERR_OK) {
        ask_fail(a, ERR_OVERLOADED, "There is no line to the client.");
        finish(p);
        return;
    }
    p->socket = r->socket.id;
    p->stream.identity = r->identity;
    p->ws = websocket_new(WEBSOCKET_CLIENT, &websocket_limits_default, a->host->now_ms);
    put_head(&doc, 101, fields, count, true);
    ask_document(a, 200, &doc);
}

static void on_head(void *ctx, int status, const struct http_header *fields, size_t count)
{
    struct preview *p = ctx;
    struct buf doc = {0};
    if (p->ask->request == NULL || p->is_over) {
        return;
    }
    if (p->wants_socket != (status == 101)) {
        ask_fail(p->ask, ERR_PREVIEW_FAILED, "The program in the sandbox answered %d to that.",
                 status);
        finish(p);
    } else if (p->wants_socket) {
        agree(p, fields, count);
    } else {
        put_head(&doc, status, fields, count, false);
        p->is_open = stream_open_with(&p->stream, p->ask, &doc);
        if (!p->is_open) {
            finish(p);
        }
    }
}

static void on_body(void *ctx, struct slice bytes)
{
    struct preview *p = ctx;
    if (p->is_open) {
        stream_bytes(&p->stream, bytes);
    }
}

static void close_stream(struct preview *p, bool is_whole)
{
    if (p->is_open) {
        p->is_open = false;
        stream_close(&p->stream, is_whole);
    }
}

static void on_end(void *ctx)
{
    struct preview *p = ctx;
    close_stream(p, true);
    finish(p);
}

static const struct http1_reply_hooks reply_hooks = {
    .head = on_head, .body = on_body, .end = on_end};

static void fail(struct preview *p, const char *why)
{
    close_stream(p, false);
    ask_fail(p->ask, ERR_PREVIEW_FAILED, "%s", why);
    finish(p);
}

/* The connection */

static void on_input(void *ctx, struct slice bytes)
{
    struct preview *p = ctx;
    size_t used = 0;
    if (p->ws == NULL) {
        p->is_at_work = true;
        enum err err = http1_reply_recv(p->reply, bytes, &used);
        p->is_at_work = false;
        if (p->is_over) {
            ask_end(p->ask);
            return;
        }
        if (err != ERR_OK) {
            fail(p, "What the program in the sandbox answered is no HTTP.");
            return;
        }
    }
    if (p->ws != NULL) {
        websocket_recv(p->ws, slice_skip(bytes, used));
        work(p);
    }
}

static void on_tcp_ended(void *ctx)
{
    struct preview *p = ctx;
    if (p->ws != NULL) {
        p->is_at_work = true;
        websocket_recv_end(p->ws);
        work(p);
        close_socket(p, WEBSOCKET_INTERNAL_ERROR, SLICE("The program has closed the connection."));
        finish(p);
        p->is_at_work = false;
        ask_end(p->ask);
        return;
    }
    p->is_at_work = true;
    enum err err = http1_reply_recv_end(p->reply);
    p->is_at_work = false;
    if (p->is_over) {
        ask_end(p->ask);
    } else if (err != ERR_OK) {
        fail(p, "The program in the sandbox has closed the connection.");
    }
}

static void on_tcp_writable(void *ctx)
{
    struct preview *p = ctx;
    if (p->ws != NULL) {
        work(p);
    }
}

static const struct tcp_hooks tcp_hooks = {
    .input = on_input, .ended = on_tcp_ended, .writable = on_tcp_writable};

static void on_room(struct sandbox_stream *s, bool has_room)
{
    struct preview *p = CONTAINER_OF(s, struct preview, stream);
    if (p->tcp != NULL) {
        tcp_read(p->tcp, has_room);
    }
}

static void on_stream_gone(struct sandbox_stream *s)
{
    struct preview *p = CONTAINER_OF(s, struct preview, stream);
    p->is_open = false;
    finish(p);
}

/* {"port","request"}: the head as it is sent, and the body. */
static void on_connected(struct machine_connect *c, int error, int fd)
{
    struct preview *p = CONTAINER_OF(c, struct preview, connect);
    struct slice doc;
    struct slice bytes = {0};
    p->is_connecting = false;
    if (error == 0 && p->ask->box != NULL && p->ask->box->machine != NULL) {
        p->tcp = tcp_new(p->ask->box->machine, fd, &tcp_hooks, p);
    }
    if (p->tcp == NULL) {
        fail(p, "Nothing in the sandbox listens on that port.");
        return;
    }
    bool has = value_member(p->ask->what.body, "request", &doc) && value_get_bin(doc, &bytes);
    INVARIANT(has); /* preview_begin has looked */
    tcp_write(p->tcp, bytes);
}

static void stop(struct sandbox_ask *a)
{
    struct preview *p = a->own;
    close_stream(p, false);
    close_socket(p, WEBSOCKET_GOING_AWAY, SLICE(""));
    finish(p);
}

static void run(struct sandbox_ask *a)
{
    struct preview *p = a->own;
    struct slice doc;
    uint64_t port = 0;
    bool has = value_member(a->what.body, "port", &doc) && value_get_uint(doc, &port);
    INVARIANT(has);
    p->connect.done = on_connected;
    ask_begin(a);
    if (machine_connect(a->box->machine, &p->connect, (uint16_t)port) != ERR_OK) {
        fail(p, "The launcher takes no more connections.");
        return;
    }
    p->is_connecting = true;
}

void preview_begin(struct sandbox_ask *a)
{
    struct preview *p = MEM_NEW(struct preview);
    struct slice doc;
    struct slice bytes;
    uint64_t port;
    p->ask = a;
    a->own = p;
    a->free_own = preview_free;
    bool is_good = value_member(a->what.body, "port", &doc) && value_get_uint(doc, &port) &&
                   port >= 1 && port <= UINT16_MAX && value_member(a->what.body, "request", &doc) &&
                   value_get_bin(doc, &bytes);
    if (!is_good || a->request->socket.id == 0) {
        ask_fail(a, ERR_BAD_REQUEST, "That is no request to a port.");
        return;
    }
    p->wants_socket = !a->request->is_for_body;
    p->reply = http1_reply_new(slice_equal_str(a->what.method, "HEAD"), &reply_hooks, p);
    p->stream.on_room = on_room;
    p->stream.on_gone = on_stream_gone;
    a->run = run;
    a->stop = stop;
    box_use(a->box, a);
}
