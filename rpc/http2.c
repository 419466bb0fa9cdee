#include "rpc/http2.h"

#include "base/invariant.h"
#include "rpc/http_conn.h"

static void set_up_session(struct http_conn *c)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    int rc = nghttp2_session_callbacks_new(&callbacks);
    rc = rc != 0 ? rc : nghttp2_option_new(&option);
    INVARIANT(rc == 0);
    http2_set_input_callbacks(callbacks);
    http2_set_output_callbacks(callbacks);
    http2_set_input_options(option);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, 1000, 33); /* see rpc/http2_guard.h */
    rc = nghttp2_session_server_new2(&c->h2.session, callbacks, c, option);
    INVARIANT(rc == 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
}

void http2_init(struct http_conn *c)
{
    set_up_session(c);
    http2_guard_init(&c->h2.guard, c->now_ms);
    c->h2.block_is_open = true; /* a client that says it speaks HTTP/2 must say more */
    c->h2.block_since_ms = c->now_ms;
    c->h2.checked_ms = c->now_ms;
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, (uint32_t)c->limits->streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, HTTP2_STREAM_WINDOW_BYTES},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, (uint32_t)c->limits->header_bytes_max},
        {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1},
        {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1}};
    int rc = nghttp2_submit_settings(c->h2.session, NGHTTP2_FLAG_NONE, settings,
                                     sizeof settings / sizeof settings[0]);
    INVARIANT(rc == 0);
    rc = nghttp2_session_set_local_window_size(c->h2.session, NGHTTP2_FLAG_NONE, 0,
                                               HTTP2_CONN_WINDOW_BYTES);
    INVARIANT(rc == 0);
    http_conn_tell_output(c);
}

void http2_done(struct http_conn *c)
{
    buf_done(&c->h2.held);
    nghttp2_session_del(c->h2.session);
}

void http2_forget(struct http_exchange *x)
{
    if (x->h2.id != 0) {
        (void)nghttp2_session_set_stream_user_data(x->conn->h2.session, x->h2.id, NULL);
    }
}

void http2_die(struct http_conn *c, uint32_t code)
{
    if (!c->h2.is_dying) {
        c->h2.is_dying = true;
        c->h2.death_code = code;
    }
}

bool http2_settle(struct http_conn *c)
{
    nghttp2_session *session = c->h2.session;
    if (c->is_deaf) {
        return false;
    }
    if (c->h2.is_dying) {
        (void)nghttp2_session_terminate_session(session, c->h2.death_code);
    }
    bool has_ended = nghttp2_session_want_read(session) == 0;
    if (!c->h2.is_dying && !has_ended) {
        return false;
    }
    c->is_deaf = true;
    http_conn_cancel_all(c);
    http_conn_tell_output(c);
    return true;
}

/* How much of `in` was taken; less than all where the connection rests (on_header). */
static size_t take(struct http_conn *c, struct slice in)
{
    ssize_t n = nghttp2_session_mem_recv(c->h2.session, in.data, in.len);
    if (n < 0) {
        http_conn_cut(c); /* a flood of what needs acknowledging, a broken preface, no memory */
        return in.len;
    }
    (void)http2_settle(c);
    if (http2_wants_write(c) || c->h2.is_starving) {
        http_conn_tell_output(c);
    }
    return c->is_deaf ? in.len : (size_t)n;
}

void http2_recv(struct http_conn *c, struct slice in)
{
    struct buf *held = &c->h2.held;
    size_t n = held->len > 0 ? 0 : take(c, in);
    buf_append_slice(held, slice_skip(in, n));
}

bool http2_go_on(struct http_conn *c)
{
    struct buf *held = &c->h2.held;
    bool goes_on = http2_let_arrive(c);
    bool was_paused = c->h2.is_paused;
    if ((held->len == 0 && !was_paused) || c->is_resting || c->is_deaf) {
        return goes_on;
    }
    c->h2.is_paused = false;
    size_t n = take(c, buf_slice(held));
    buf_consume(held, n);
    if (held->len == 0) {
        buf_done(held);
    }
    return goes_on || was_paused || n > 0;
}

void http2_drain(struct http_conn *c)
{
    /* First a notice: requests that are on their way are still taken. */
    (void)nghttp2_submit_shutdown_notice(c->h2.session);
    c->h2.drain_ms = c->now_ms + HTTP2_NOTICE_MS;
}

/* Time */

uint64_t http2_deadline_ms(const struct http_conn *c)
{
    const struct http2 *h = &c->h2;
    if (c->is_deaf) {
        return UINT64_MAX;
    }
    uint64_t at = UINT64_MAX;
    if (h->drain_ms != 0) {
        at = h->drain_ms;
    }
    if (h->block_is_open && h->block_since_ms + c->limits->head_ms < at) {
        at = h->block_since_ms + c->limits->head_ms;
    }
    if (c->exchange_count > 0 && h->checked_ms + HTTP2_CHECK_MS < at) {
        at = h->checked_ms + HTTP2_CHECK_MS;
    }
    return at;
}

/* The peer keeps its window so small that the answer does not get on. A slow line is another
 * thing: there the windows are open and the socket is what is full. */
static bool is_held_up(const struct http_conn *c, const struct http_exchange *x)
{
    size_t unsent = http_exchange_peek(x).len;
    int32_t stream = nghttp2_session_get_stream_remote_window_size(c->h2.session, x->h2.id);
    int32_t conn = nghttp2_session_get_remote_window_size(c->h2.session);
    int32_t window = stream < conn ? stream : conn;
    return unsent > 0 && window < HTTP_PROGRESS_BYTES && (window < 0 || (size_t)window < unsent);
}

static void reset(struct http_conn *c, struct http_exchange *x, uint32_t code)
{
    (void)nghttp2_submit_rst_stream(c->h2.session, NGHTTP2_FLAG_NONE, x->h2.id, code);
    http_conn_tell_output(c);
}

static void check_stream(struct http_conn *c, struct http_exchange *x)
{
    uint64_t stall_ms = http_conn_stall_ms(c);
    if (x->state == HTTP_RECEIVING) {
        if (x->h2.has_head && !x->h2.is_whole && x->h2.unconsumed == 0 &&
            c->now_ms >= x->received.mark_ms + stall_ms) {
            http2_refuse(x, ERR_SLOW_REQUEST, "The request came in too slowly.", "stall_ms",
                         stall_ms);
        }
    } else if (c->now_ms >= http_socket_deadline_ms(x)) {
        reset(c, x, NGHTTP2_CANCEL);
    } else if (is_held_up(c, x) && c->now_ms >= x->taken.mark_ms + stall_ms) {
        reset(c, x, NGHTTP2_CANCEL);
    } else if (x->h2.is_open && http_exchange_is_drained(x) &&
               c->now_ms >= x->taken.mark_ms + HTTP2_LINGER_MS) {
        reset(c, x, NGHTTP2_NO_ERROR);
    }
}

void http2_tick(struct http_conn *c)
{
    struct http2 *h = &c->h2;
    if (h->drain_ms != 0 && c->now_ms >= h->drain_ms) {
        h->drain_ms = 0;
        (void)nghttp2_submit_goaway(h->session, NGHTTP2_FLAG_NONE,
                                    nghttp2_session_get_last_proc_stream_id(h->session),
                                    NGHTTP2_NO_ERROR, NULL, 0);
        http_conn_tell_output(c);
    }
    if (h->block_is_open && c->now_ms >= h->block_since_ms + c->limits->head_ms) {
        http2_die(c, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    if (c->now_ms >= h->checked_ms + HTTP2_CHECK_MS) {
        h->checked_ms = c->now_ms;
        LIST_FOREACH (link, &c->exchanges) {
            check_stream(c, LIST_ENTRY(link, struct http_exchange, link));
        }
    }
    (void)http2_settle(c);
}
