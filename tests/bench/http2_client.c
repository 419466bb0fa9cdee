/* HTTP/2 with prior knowledge for the load generator, by nghttp2. */
#include <stdlib.h>
#include <string.h>

#include <nghttp2/nghttp2.h>

#include "base/invariant.h"
#include "tests/bench/connection.h"

enum { WINDOW_BYTES = 16 * 1024 * 1024, STATUS_DIGITS = 3 };

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user_data)
{
    (void)flags;
    (void)user_data;
    if (!slice_equal_str(slice_of(name, name_len), ":status") || value_len != STATUS_DIGITS) {
        return 0;
    }
    struct exchange *x = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (x != NULL) {
        x->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream_id, uint32_t error_code,
                           void *user_data)
{
    struct connection *c = user_data;
    struct exchange *x = nghttp2_session_get_stream_user_data(session, stream_id);
    if (x == NULL) {
        return 0;
    }
    if (error_code != NGHTTP2_NO_ERROR) {
        x->status = 0;
    }
    c->on_answer(x);
    return 0;
}

static ssize_t read_body(nghttp2_session *session, int32_t stream_id, uint8_t *to, size_t room,
                         uint32_t *flags, nghttp2_data_source *source, void *user_data)
{
    (void)session;
    (void)stream_id;
    (void)user_data;
    struct exchange *x = source->ptr;
    size_t left = x->body.len - x->body_at;
    size_t n = left < room ? left : room;
    memcpy(to, x->body.data + x->body_at, n);
    x->body_at += n;
    if (x->body_at == x->body.len) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

static void http2_open(struct connection *c)
{
    nghttp2_session_callbacks *callbacks = NULL;
    INVARIANT(nghttp2_session_callbacks_new(&callbacks) == 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session *session = NULL;
    INVARIANT(nghttp2_session_client_new(&session, callbacks, c) == 0);
    nghttp2_session_callbacks_del(callbacks);
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_BYTES},
    };
    INVARIANT(nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, settings, 2) == 0);
    INVARIANT(nghttp2_session_set_local_window_size(session, NGHTTP2_FLAG_NONE, 0, WINDOW_BYTES) ==
              0);
    c->session = session;
}

static void http2_close(struct connection *c)
{
    nghttp2_session_del(c->session);
}

static nghttp2_nv field(const char *name, const char *value, size_t value_len)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name,
                        .value = (uint8_t *)(uintptr_t)value,
                        .namelen = strlen(name),
                        .valuelen = value_len,
                        .flags = NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

static void http2_submit(struct connection *c, struct exchange *x, const struct request *r)
{
    buf_clear(&x->body);
    buf_append_slice(&x->body, buf_slice(&r->body));
    nghttp2_nv fields[5];
    size_t n = 0;
    fields[n++] = field(":method", r->method, strlen(r->method));
    fields[n++] = field(":scheme", "http", 4);
    fields[n++] = field(":authority", c->authority, strlen(c->authority));
    fields[n++] = field(":path", (const char *)r->path.data, r->path.len);
    if (x->body.len > 0) {
        fields[n++] = field("content-type", "application/json", 16);
    }
    nghttp2_data_provider provider = {.source = {.ptr = x}, .read_callback = read_body};
    int32_t stream =
        nghttp2_submit_request(c->session, NULL, fields, n, x->body.len > 0 ? &provider : NULL, x);
    INVARIANT(stream > 0);
}

static bool http2_received(struct connection *c, struct slice bytes)
{
    return nghttp2_session_mem_recv(c->session, bytes.data, bytes.len) == (ssize_t)bytes.len &&
           (nghttp2_session_want_read(c->session) != 0 ||
            nghttp2_session_want_write(c->session) != 0);
}

static void http2_collect(struct connection *c)
{
    const uint8_t *bytes = NULL;
    for (ssize_t n; (n = nghttp2_session_mem_send(c->session, &bytes)) > 0;) {
        buf_append(&c->out, bytes, (size_t)n);
    }
}

const struct protocol http2_protocol = {
    .open = http2_open,
    .close = http2_close,
    .submit = http2_submit,
    .received = http2_received,
    .collect = http2_collect,
};
