#include <nghttp2/nghttp2.h>

#include "base/invariant.h"
#include "rpc/http_conn.h"

enum { ANSWER_FIELDS_MAX = 128 + 3 }; /* with :status, date and content-length */

static nghttp2_nv field(struct slice name, struct slice value)
{
    /* nghttp2 copies both and makes the name lower case; it does not write through these. */
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.data,
                        .value = (uint8_t *)(uintptr_t)value.data,
                        .namelen = name.len,
                        .valuelen = value.len};
}

static struct slice decimal(char text[24], uint64_t n)
{
    char *end = text + 24;
    char *at = end;
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    return slice_of(at, (size_t)(end - at));
}

static struct http_exchange *exchange_of(nghttp2_session *session, int32_t id)
{
    return nghttp2_session_get_stream_user_data(session, id);
}

/* nghttp2 asks how much there is to send; the bytes themselves go straight into `out`, below. */
static ssize_t on_source(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                         uint32_t *data_flags, nghttp2_data_source *source, void *user)
{
    (void)buf;
    (void)source;
    (void)user;
    struct http_exchange *x = exchange_of(session, id);
    if (x == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    struct slice piece = http_exchange_peek(x);
    if (piece.len == 0 && x->state != HTTP_ANSWERED) {
        x->h2.is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    if (piece.len == 0 && x->is_broken_off) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE; /* RST_STREAM, INTERNAL_ERROR */
    }
    size_t n = piece.len < len ? piece.len : len;
    *data_flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (x->state == HTTP_ANSWERED && n == piece.len && !x->is_broken_off) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *head,
                        size_t len, nghttp2_data_source *source, void *user)
{
    (void)source;
    struct http_conn *c = user;
    if (c->out.len >= HTTP_OUT_BYTES) {
        return NGHTTP2_ERR_WOULDBLOCK; /* asked again at the next fill */
    }
    struct http_exchange *x = exchange_of(session, frame->hd.stream_id);
    if (x == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    INVARIANT(frame->data.padlen == 0);
    struct slice piece = http_exchange_peek(x);
    INVARIANT(piece.len >= len);
    buf_append(&c->out, head, 9);
    buf_append(&c->out, piece.data, len);
    http_exchange_took(x, len);
    if (len > 0) {
        http2_guard_earn(&c->h2.guard, HTTP2_FRAMES_PER_DATA);
    }
    return 0;
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct http_conn *c = user;
    if (frame->hd.type == NGHTTP2_RST_STREAM &&
        frame->rst_stream.error_code != NGHTTP2_INTERNAL_ERROR &&
        !http2_guard_reset(&c->h2.guard, c->now_ms)) {
        http2_die(c, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    return 0;
}

void http2_set_output_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
}

void http2_answer_begin(struct http_exchange *x, int status, const struct http_header *headers,
                        size_t count, const size_t *body_bytes)
{
    PRE(count + 3 <= ANSWER_FIELDS_MAX);

    nghttp2_nv fields[ANSWER_FIELDS_MAX];
    size_t n = 0;
    char status_text[24];
    fields[n++] = field(SLICE(":status"), decimal(status_text, (uint64_t)status));
    struct slice date = http_conn_date(x->conn);
    if (date.len > 0) {
        fields[n++] = field(SLICE("date"), date);
    }
    for (size_t i = 0; i < count; i++) {
        fields[n++] = field(headers[i].name, headers[i].value);
    }
    char length_text[24];
    if (body_bytes != NULL && status != 204 && status != 304) {
        fields[n++] = field(SLICE("content-length"), decimal(length_text, *body_bytes));
    }
    bool has_body = !x->is_bodyless && (body_bytes == NULL || *body_bytes > 0);
    nghttp2_data_provider body = {.read_callback = on_source};
    int rc =
        nghttp2_submit_response(x->conn->h2.session, x->h2.id, fields, n, has_body ? &body : NULL);
    INVARIANT(rc == 0); /* else memory is exhausted; the stream lives while its exchange does */
}

void http2_resume(struct http_exchange *x)
{
    if (x->h2.is_deferred) {
        x->h2.is_deferred = false;
        (void)nghttp2_session_resume_data(x->conn->h2.session, x->h2.id);
    }
}

/* False: there is no memory. */
static bool take_frames(struct http_conn *c)
{
    ssize_t n = 1;
    while (c->out.len < HTTP_OUT_BYTES && n > 0) {
        const uint8_t *bytes;
        n = nghttp2_session_mem_send(c->h2.session, &bytes);
        if (n > 0) {
            buf_append(&c->out, bytes, (size_t)n);
        }
    }
    return n >= 0;
}

void http2_fill(struct http_conn *c)
{
    http2_open_windows(c);
    bool lives = take_frames(c);
    if (lives && http2_settle(c)) {
        lives = take_frames(c); /* the GOAWAY */
    }
    if (!lives) {
        http_conn_cut(c);
    }
}

bool http2_wants_write(const struct http_conn *c)
{
    return nghttp2_session_want_write(c->h2.session) != 0;
}
