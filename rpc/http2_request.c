/* What an HTTP/2 client sends: header blocks and bodies become requests. */
#include <nghttp2/nghttp2.h>

#include "base/invariant.h"
#include "rpc/http_conn.h"

enum { FIELD_OVERHEAD_BYTES = 32 }; /* RFC 9113 6.5.2 counts a field so */

static struct http_exchange *exchange_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* Header blocks */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    c->h2.block_bytes = 0;
    c->h2.block_count = 0;
    c->h2.block_is_open = true;
    c->h2.block_since_ms = c->now_ms;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        if (http_conn_has_too_many(c)) {
            http2_die(c, NGHTTP2_ENHANCE_YOUR_CALM);
            return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
        }
        struct http_exchange *x = http_exchange_new(c);
        x->h2.id = frame->hd.stream_id;
        x->h2.is_open = true;
        int rc = nghttp2_session_set_stream_user_data(session, x->h2.id, x);
        INVARIANT(rc == 0);
        http2_guard_earn(&c->h2.guard, HTTP2_FRAMES_PER_REQUEST);
    }
    return 0;
}

static void keep_field(struct http_exchange *x, struct slice name, struct slice value)
{
    if (name.len == 0 || name.data[0] != ':') {
        struct slice kept_name = http_exchange_keep(x, name);
        /* The value may move what was kept before it: both are kept first, then named. */
        http_exchange_add_header(x, kept_name, (struct slice){0});
        struct slice kept_value = http_exchange_keep(x, value);
        x->headers[x->request.header_count - 1].value = http_trim(kept_value);
    } else if (slice_equal(name, SLICE(":method"))) {
        x->request.method = http_exchange_keep(x, value);
    } else if (slice_equal(name, SLICE(":path"))) {
        x->request.target = http_exchange_keep(x, value);
    } else if (slice_equal(name, SLICE(":authority"))) {
        x->request.authority = http_exchange_keep(x, value);
    } else if (slice_equal(name, SLICE(":protocol"))) {
        x->h2.has_protocol = true;
        x->h2.is_socket = slice_equal(value, SLICE("websocket"));
    }
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)flags;
    struct http_conn *c = user;
    struct http2 *h = &c->h2;
    h->block_bytes += name_len + value_len + FIELD_OVERHEAD_BYTES;
    h->block_count++;
    /* The rest of a block must be decoded even if nobody wants it, or HPACK's table goes astray;
     * one byte of it can name 4 KB. Twice the limit is where that ends with the connection. */
    if (h->block_bytes > 2 * c->limits->header_bytes_max ||
        h->block_count > 2 * c->limits->header_count_max) {
        http2_die(c, NGHTTP2_ENHANCE_YOUR_CALM);
        return NGHTTP2_ERR_PAUSE;
    }
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
    if (x == NULL || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers are read and dropped */
    }
    if (h->block_bytes > c->limits->header_bytes_max ||
        x->request.header_count == c->limits->header_count_max) {
        x->h2.is_too_large = true;
        return 0;
    }
    keep_field(x, slice_of(name, name_len), slice_of(value, value_len));
    h->is_paused = c->is_resting; /* the rest of the input is held */
    return c->is_resting ? NGHTTP2_ERR_PAUSE : 0;
}

static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
                             const uint8_t *name, size_t name_len, const uint8_t *value,
                             size_t value_len, uint8_t flags, void *user)
{
    (void)session;
    (void)frame;
    (void)name;
    (void)name_len;
    (void)value;
    (void)value_len;
    (void)flags;
    (void)user;
    return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* malformed: the stream is reset */
}

void http2_refuse(struct http_exchange *x, enum err err, const char *detail, const char *limit_name,
                  uint64_t limit)
{
    struct problem_limit l = {.name = limit_name, .value = limit};
    http_exchange_move(x, HTTP_WAITING);
    http_respond_problem(x, err, slice_of_str(detail), limit_name != NULL ? &l : NULL);
}

static void refuse_body_bytes(struct http_exchange *x)
{
    http2_refuse(x, ERR_TOO_LARGE, "The body is too large.", "body_bytes_max",
                 x->conn->limits->body_bytes_max);
}

/* False: its load takes it. */
static bool refuse_if_full(struct http_exchange *x)
{
    struct problem_limit full = http_conn_full_limit(x->conn);
    if (full.name != NULL) {
        http2_refuse(x, ERR_OVERLOADED, HTTP_FULL_DETAIL, full.name, full.value);
    }
    return full.name != NULL;
}

/* What is wrong with the request, or NULL. nghttp2 has seen to pseudo-fields, fields of HTTP/1.1
 * connections, and that the length given is a number. */
static const char *check_request(struct http_exchange *x)
{
    struct http_request *r = &x->request;
    if (slice_equal(r->method, SLICE("CONNECT")) && !x->h2.has_protocol) {
        return "This is not a proxy.";
    }
    bool is_of_server =
        slice_equal(r->target, SLICE("*")) && slice_equal(r->method, SLICE("OPTIONS"));
    if (!is_of_server && !http_target_is_valid(r->target)) {
        return "The target is not a path.";
    }
    struct slice host;
    if (http_request_header(r, "host", &host)) {
        if (r->authority.len > 0 && !slice_equal(host, r->authority)) {
            return "Host and :authority differ.";
        }
        r->authority = host;
    }
    return http_authority_is_valid(r->authority) ? NULL : "The :authority is not a host.";
}

static uint64_t announced_bytes(const struct http_request *r)
{
    struct slice text;
    uint64_t n = 0;
    if (http_request_header(r, "content-length", &text)) {
        for (size_t i = 0; i < text.len && n <= UINT64_MAX / 100; i++) {
            n = n * 10 + (text.data[i] - '0');
        }
    }
    return n;
}

/* What is wrong with a request for a socket, or NULL. For the callee it is the GET that it is on HTTP/1.1. */
static const char *check_socket(struct http_exchange *x, bool has_ended)
{
    if (!x->h2.is_socket) {
        return NULL;
    }
    x->request.wants_socket = true;
    x->request.method = SLICE("GET");
    return has_ended ? "A WebSocket is asked for on a stream that has ended."
                     : http_socket_check(x, announced_bytes(&x->request) > 0);
}

/* False: it was answered here. */
static bool accept_head(struct http_conn *c, struct http_exchange *x, bool has_ended)
{
    const struct http_limits *l = c->limits;
    const char *wrong;
    x->is_bodyless = slice_equal(x->request.method, SLICE("HEAD"));
    if (x->h2.is_too_large) {
        http2_refuse(x, ERR_HEADERS_TOO_LARGE, "The header section is too large.",
                     "header_bytes_max", l->header_bytes_max);
    } else if (x->request.target.len > l->target_bytes_max) {
        http2_refuse(x, ERR_TOO_LARGE, "The path with its query is too long.", "target_bytes_max",
                     l->target_bytes_max);
    } else if ((wrong = check_request(x)) != NULL || (wrong = check_socket(x, has_ended)) != NULL) {
        http2_refuse(x, ERR_BAD_REQUEST, wrong, NULL, 0);
    } else if (x->h2.has_protocol && !x->h2.is_socket) {
        http2_refuse(x, ERR_NOT_IMPLEMENTED, "The protocol is not spoken here.", NULL, 0);
    } else if (announced_bytes(&x->request) > l->body_bytes_max) {
        refuse_body_bytes(x);
    } else if (c->unsent_bytes > l->conn_unsent_bytes_max) {
        http2_refuse(x, ERR_OVERLOADED, "Answers on this connection wait to be read.",
                     "conn_unsent_bytes_max", l->conn_unsent_bytes_max);
    } else {
        return !refuse_if_full(x);
    }
    return false;
}

static void answer_continue(struct http_conn *c, struct http_exchange *x)
{
    struct slice expect;
    if (http_request_header(&x->request, "expect", &expect) &&
        http_equal_any_case(expect, "100-continue")) {
        nghttp2_nv field = {.name = (uint8_t *)(uintptr_t) ":status",
                            .value = (uint8_t *)(uintptr_t) "100",
                            .namelen = sizeof ":status" - 1,
                            .valuelen = sizeof "100" - 1};
        (void)nghttp2_submit_headers(c->h2.session, NGHTTP2_FLAG_NONE, x->h2.id, NULL, &field, 1,
                                     NULL);
        http_conn_tell_output(c);
    }
}

/* Bodies */

/* Over the bound one request goes on all the same: the oldest that holds a body. Where that one is
 * whole already, its answer will make room. */
static bool may_open_window(const struct http_conn *c, const struct http_exchange *x)
{
    if (c->request_bytes <= c->limits->conn_body_bytes_max) {
        return true;
    }
    LIST_FOREACH (link, &c->exchanges) {
        const struct http_exchange *oldest = LIST_ENTRY(link, struct http_exchange, link);
        if (oldest->body != NULL) {
            return oldest == x;
        }
    }
    return true;
}

static void open_window(struct http_conn *c, struct http_exchange *x)
{
    if (x->h2.unconsumed > 0 && may_open_window(c, x)) {
        (void)nghttp2_session_consume_stream(c->h2.session, x->h2.id, x->h2.unconsumed);
        x->h2.unconsumed = 0;
    }
    c->h2.is_starving = c->h2.is_starving || x->h2.unconsumed > 0;
}

void http2_open_windows(struct http_conn *c)
{
    if (!c->h2.is_starving) {
        return;
    }
    c->h2.is_starving = false;
    LIST_FOREACH (link, &c->exchanges) {
        struct http_exchange *x = LIST_ENTRY(link, struct http_exchange, link);
        if (x->state == HTTP_RECEIVING && x->h2.unconsumed > 0) {
            http_progress_start(&x->received, c->now_ms); /* until now it was we who held it up */
            open_window(c, x);
        }
    }
}

/* What comes after an early answer. RFC 9113 8.1 would have us reset the stream, but clients of
 * today (curl 7.88, httpcore 0.16) then lose the answer with it: so it is read on for a while. */
static void discard(nghttp2_session *session, struct http_exchange *x, size_t len)
{
    if (x == NULL) {
        return;
    }
    (void)nghttp2_session_consume_stream(session, x->h2.id, len + x->h2.unconsumed);
    x->h2.unconsumed = 0;
    x->h2.discarded += len;
    if (x->h2.discarded > HTTP2_DISCARD_BYTES_MAX) {
        x->h2.discarded = 0;
        (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, x->h2.id, NGHTTP2_NO_ERROR);
    }
}

static void refuse_body(struct http_exchange *x, enum err err)
{
    if (err == ERR_OVERLOADED) {
        http2_refuse(x, err, HTTP_FULL_DETAIL, HTTP_FULL_LIMIT, x->conn->limits->address_bytes_max);
    } else {
        http2_refuse(x, err, "There is no memory for the body.", NULL, 0);
    }
}

static void reset_socket(nghttp2_session *session, struct http_exchange *x, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, x->h2.id, code);
    http_conn_tell_output(x->conn);
}

/* RFC 6455, 4.1: a client says nothing before it has our consent. */
static void take_socket_data(nghttp2_session *session, struct http_exchange *x, struct slice in)
{
    if (x->state != HTTP_SOCKET) {
        reset_socket(session, x, NGHTTP2_PROTOCOL_ERROR);
        return;
    }
    http2_guard_earn(&x->conn->h2.guard, HTTP2_FRAMES_PER_DATA);
    http_socket_deliver(x, in, false);
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user)
{
    (void)flags;
    struct http_conn *c = user;
    (void)nghttp2_session_consume_connection(session, len);
    struct http_exchange *x = exchange_of(session, id);
    if (x != NULL && x->h2.is_socket && x->state != HTTP_ANSWERED) {
        take_socket_data(session, x, slice_of(data, len));
        return 0;
    }
    if (x == NULL || x->state != HTTP_RECEIVING) {
        discard(session, x, len);
        return 0;
    }
    if (bytes_slice(x->body).len + len > c->limits->body_bytes_max) {
        refuse_body_bytes(x);
        return 0;
    }
    uint64_t announced = announced_bytes(&x->request);
    uint64_t left = announced > bytes_slice(x->body).len ? announced - bytes_slice(x->body).len : 0;
    enum err err = http_exchange_add_body(x, slice_of(data, len), left > len ? left : len);
    if (err != ERR_OK) {
        refuse_body(x, err);
        return 0;
    }
    http2_guard_earn(&c->h2.guard, HTTP2_FRAMES_PER_DATA);
    x->h2.unconsumed += len;
    open_window(c, x);
    return 0;
}

/* Frames */

static void request_is_whole(struct http_exchange *x)
{
    struct http_conn *c = x->conn;
    if (x->state != HTTP_RECEIVING || c->h2.is_dying) {
        return;
    }
    if (c->is_resting) {
        x->h2.is_whole = true;
        c->h2.whole_count++;
    } else {
        http_exchange_arrived(x);
    }
}

/* The client sends no more. One that does not wait for its socket to open has gone away. */
static void stream_has_ended(struct http_exchange *x)
{
    x->h2.is_open = false;
    if (!x->h2.is_socket) {
        request_is_whole(x);
    } else if (x->state == HTTP_SOCKET) {
        http_socket_deliver(x, (struct slice){0}, true);
    } else if (x->state != HTTP_ANSWERED) {
        reset_socket(x->conn->h2.session, x, NGHTTP2_CANCEL);
    }
}

bool http2_let_arrive(struct http_conn *c)
{
    bool any = false;
    LIST_FOREACH (link, &c->exchanges) {
        if (c->h2.whole_count == 0 || c->is_resting) {
            break;
        }
        struct http_exchange *x = LIST_ENTRY(link, struct http_exchange, link);
        if (x->h2.is_whole) {
            x->h2.is_whole = false;
            c->h2.whole_count--;
            any = true;
            http_exchange_arrived(x);
        }
    }
    return any;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct http_conn *c = user;
    c->h2.block_is_open = false; /* no frame can come inside of a block */
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) {
        return 0;
    }
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
    bool ends = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (x != NULL && !x->h2.has_head) {
        x->h2.has_head = true;
        http_progress_start(&x->received, c->now_ms);
        bool is_accepted = accept_head(c, x, ends);
        if (is_accepted && x->h2.is_socket) {
            request_is_whole(x);
        } else if (is_accepted && !ends) {
            answer_continue(c, x);
        }
    }
    if (x != NULL && ends) {
        stream_has_ended(x);
    }
    return 0;
}

/* Every frame's header comes by here before its payload. */
static int on_begin_frame(nghttp2_session *session, const nghttp2_frame_hd *hd, void *user)
{
    (void)session;
    struct http_conn *c = user;
    bool is_useful = hd->type == NGHTTP2_HEADERS || hd->type == NGHTTP2_CONTINUATION ||
                     (hd->type == NGHTTP2_DATA &&
                      (hd->length > 0 || (hd->flags & NGHTTP2_FLAG_END_STREAM) != 0));
    bool is_cancel = hd->type == NGHTTP2_RST_STREAM;
    if ((!is_useful && !http2_guard_frame(&c->h2.guard, c->now_ms)) ||
        (is_cancel && !http2_guard_cancel(&c->h2.guard, c->now_ms))) {
        http2_die(c, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)code;
    (void)user;
    struct http_exchange *x = exchange_of(session, id);
    if (x != NULL) {
        http_exchange_cancel(x); /* an answered one is merely gone */
    }
    return 0;
}

/* Frames of a type that nobody defined must be ignored; for on_begin_frame to count them, nghttp2
 * has to believe that we want them. */
static int on_unknown(nghttp2_session *session, void **payload, const nghttp2_frame_hd *hd,
                      void *user)
{
    (void)session;
    (void)payload;
    (void)hd;
    (void)user;
    return NGHTTP2_ERR_CANCEL;
}

void http2_set_input_options(nghttp2_option *option)
{
    for (int type = NGHTTP2_CONTINUATION + 1; type <= UINT8_MAX; type++) {
        nghttp2_option_set_user_recv_extension_type(option, (uint8_t)type);
    }
}

void http2_set_input_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks, on_begin_frame);
    nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, on_unknown);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
