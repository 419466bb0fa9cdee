#include "tests/lib/http2_client.h"

#include "tests/lib/test.h"

struct http2_client_stream *http2_client_stream(struct http2_client *client, int32_t id)
{
    assert_true(id > 0 && (id - 1) / 2 < HTTP2_CLIENT_STREAMS_MAX);
    return &client->streams[(id - 1) / 2];
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *user)
{
    (void)session;
    (void)flags;
    struct http2_client_stream *s = http2_client_stream(user, frame->hd.stream_id);
    if (slice_equal(slice_of(name, name_len), SLICE(":status"))) {
        s->status = (value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0');
    }
    buf_append(&s->head, name, name_len);
    buf_append_str(&s->head, ": ");
    buf_append(&s->head, value, value_len);
    buf_append_str(&s->head, "\n");
    return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t len, void *user)
{
    (void)flags;
    struct http2_client *client = user;
    buf_append(&http2_client_stream(client, id)->body, data, len);
    if (!client->keeps_windows_shut) {
        assert_int_equal(nghttp2_session_consume(session, id, len), 0);
    }
    return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    (void)session;
    struct http2_client *client = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        client->got_goaway = true;
        client->goaway_code = frame->goaway.error_code;
        client->goaway_last_id = frame->goaway.last_stream_id;
    }
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0) {
        client->ping_acks++;
    }
    if ((frame->hd.type == NGHTTP2_DATA || frame->hd.type == NGHTTP2_HEADERS) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0) {
        http2_client_stream(client, frame->hd.stream_id)->has_ended = true;
    }
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    (void)session;
    struct http2_client_stream *s = http2_client_stream(user, id);
    s->is_closed = true;
    s->error_code = code;
    return 0;
}

static ssize_t on_source(nghttp2_session *session, int32_t id, uint8_t *buf, size_t len,
                         uint32_t *data_flags, nghttp2_data_source *source, void *user)
{
    (void)session;
    (void)source;
    struct http2_client_stream *s = http2_client_stream(user, id);
    if (s->sending.len == 0 && s->holds) {
        s->is_deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t n = s->sending.len < len ? s->sending.len : len;
    if (n > 0) {
        memcpy(buf, s->sending.data, n);
        s->sending = slice_skip(s->sending, n);
    }
    if (s->sending.len == 0 && !s->holds) {
        *data_flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

void http2_client_init(struct http2_client *client, struct http_callee *server)
{
    *client = (struct http2_client){.server = server};
    nghttp2_session_callbacks *callbacks;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_option *option;
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_option_set_no_http_messaging(option, 1); /* tests send what is not allowed */
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_max_send_header_block_length(option, 1024 * 1024);
    assert_int_equal(nghttp2_session_client_new2(&client->session, callbacks, client, option), 0);
    nghttp2_option_del(option);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(nghttp2_submit_settings(client->session, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

void http2_client_done(struct http2_client *client)
{
    nghttp2_session_del(client->session);
    for (size_t i = 0; i < HTTP2_CLIENT_STREAMS_MAX; i++) {
        buf_done(&client->streams[i].head);
        buf_done(&client->streams[i].body);
    }
}

static nghttp2_nv field(struct slice name, struct slice value)
{
    return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.data,
                        .value = (uint8_t *)(uintptr_t)value.data,
                        .namelen = name.len,
                        .valuelen = value.len};
}

static int32_t request(struct http2_client *client, const char *method, const char *protocol,
                       const char *path, const struct http_header *more, size_t count,
                       bool has_body, struct slice body)
{
    nghttp2_nv fields[5 + 1024];
    size_t n = 0;
    assert_true(count <= 1024);
    fields[n++] = field(SLICE(":method"), slice_of_str(method));
    if (protocol != NULL) {
        fields[n++] = field(SLICE(":protocol"), slice_of_str(protocol));
    }
    fields[n++] = field(SLICE(":scheme"), SLICE("http"));
    fields[n++] = field(SLICE(":authority"), SLICE("a"));
    fields[n++] = field(SLICE(":path"), slice_of_str(path));
    for (size_t i = 0; i < count; i++) {
        fields[n++] = field(more[i].name, more[i].value);
    }
    nghttp2_data_provider source = {.read_callback = on_source};
    int32_t id =
        nghttp2_submit_request(client->session, NULL, fields, n, has_body ? &source : NULL, NULL);
    assert_true(id > 0);
    http2_client_stream(client, id)->sending = body;
    return id;
}

int32_t http2_client_request(struct http2_client *client, const char *method, const char *path,
                             const struct http_header *more, size_t count, bool has_body,
                             struct slice body)
{
    return request(client, method, NULL, path, more, count, has_body, body);
}

int32_t http2_client_connect(struct http2_client *client, const char *protocol, const char *path,
                             const struct http_header *more, size_t count, bool ends)
{
    int32_t id = request(client, "CONNECT", protocol, path, more, count, !ends, (struct slice){0});
    http2_client_stream(client, id)->holds = !ends;
    return id;
}

int32_t http2_client_get(struct http2_client *client, const char *path)
{
    return http2_client_request(client, "GET", path, NULL, 0, false, (struct slice){0});
}

void http2_client_send_more(struct http2_client *client, int32_t id, struct slice body, bool ends)
{
    struct http2_client_stream *s = http2_client_stream(client, id);
    s->sending = body;
    s->holds = !ends;
    if (s->is_deferred) {
        s->is_deferred = false;
        (void)nghttp2_session_resume_data(client->session, id);
    }
}

void http2_client_send(struct http2_client *client)
{
    const uint8_t *bytes;
    ssize_t n;
    while ((n = nghttp2_session_mem_send(client->session, &bytes)) > 0) {
        http_callee_recv(client->server, slice_of(bytes, (size_t)n));
    }
    assert_int_equal(n, 0);
}

void http2_client_receive(struct http2_client *client)
{
    http_callee_flush(client->server);
    struct buf sent = buf_take(&client->server->sent);
    if (sent.len > 0) {
        assert_true(nghttp2_session_mem_recv(client->session, sent.data, sent.len) >= 0);
    }
    buf_done(&sent);
}

void http2_client_pump(struct http2_client *client)
{
    bool is_quiet = false;
    while (!is_quiet) {
        http2_client_send(client);
        http_callee_flush(client->server);
        is_quiet = client->server->sent.len == 0;
        http2_client_receive(client);
    }
}

void http2_client_raw(struct http2_client *client, uint8_t type, uint8_t flags, int32_t stream,
                      struct slice payload)
{
    struct buf frame = {0};
    buf_append_byte(&frame, (uint8_t)(payload.len >> 16));
    buf_append_u16(&frame, (uint16_t)payload.len);
    buf_append_byte(&frame, type);
    buf_append_byte(&frame, flags);
    buf_append_u32(&frame, (uint32_t)stream);
    buf_append_slice(&frame, payload);
    http_callee_recv(client->server, buf_slice(&frame));
    buf_done(&frame);
}
