/* A relay's request as libcurl wants it, and what libcurl says of it. Callbacks end nothing. */
#include <string.h>
#include <sys/socket.h>

#include "actor/egress/egress.h"
#include "actor/egress/field.h"
#include "actor/egress/guest.h"
#include "actor/egress/relay.h"
#include "base/invariant.h"
#include "rpc/webhook_url.h"

enum { CONNECT_MS = 10 * 1000 };

/* Callbacks */

static void note(struct relay *r, enum err err, const char *detail)
{
    if (r->err == ERR_OK) {
        r->err = err;
        r->detail = detail;
    }
}

static size_t on_header(char *data, size_t size, size_t count, void *user)
{
    OBJ_CAST(relay, user, RELAY_MAGIC);
    size_t len = size * count;
    const char *detail = NULL;
    bool was_complete = relay->response.is_complete;
    guest_is_alive(relay->guest);
    enum err err = response_line(&relay->response, slice_of(data, len), &detail);
    if (err != ERR_OK) {
        note(relay, ERR_UNAVAILABLE, detail);
    } else if (!was_complete && relay->response.is_complete) {
        relay_on_head(relay);
    }
    return relay->err == ERR_OK ? len : 0;
}

static size_t on_body(char *data, size_t size, size_t count, void *user)
{
    OBJ_CAST(relay, user, RELAY_MAGIC);
    size_t len = size * count;
    if (relay->waiting.len - relay->waiting_at >= RELAY_WAITING_BYTES_MAX) {
        relay->is_paused = true;
        return CURL_WRITEFUNC_PAUSE;
    }
    relay->received_bytes += len;
    buf_append(&relay->waiting, data, len);
    guest_is_alive(relay->guest);
    guest_wake(relay->guest);
    return len;
}

static size_t on_upload(char *room, size_t size, size_t count, void *user)
{
    OBJ_CAST(relay, user, RELAY_MAGIC);
    size_t cap = size * count;
    size_t left = relay->upload.len - relay->upload_at;
    if (left == 0 && !relay->upload_is_over) {
        relay->upload_waits = true;
        guest_wake(relay->guest);
        return CURL_READFUNC_PAUSE;
    }
    size_t n = left < cap ? left : cap;
    if (n > 0) {
        memcpy(room, relay->upload.data + relay->upload_at, n);
        relay->upload_at += n;
        relay->sent_bytes += n;
        guest_is_alive(relay->guest);
        guest_wake(relay->guest); /* it may read on */
    }
    return n;
}

static curl_socket_t on_open_socket(void *user, curlsocktype purpose, struct curl_sockaddr *address)
{
    OBJ_CAST(relay, user, RELAY_MAGIC);
    (void)purpose;
    if (!relay->rules->rules.allow_private && address_is_private(&address->addr)) {
        relay->refused = true;
        return CURL_SOCKET_BAD;
    }
    relay->opened++;
    return socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

/* A connection that was kept was opened under rules that may have allowed more. */
static int on_request(void *user, char *peer, char *self, int peer_port, int self_port)
{
    OBJ_CAST(relay, user, RELAY_MAGIC);
    (void)self;
    (void)peer_port;
    (void)self_port;
    if (!relay->rules->rules.allow_private && address_text_is_private(peer)) {
        relay->refused = true;
        return CURL_PREREQFUNC_ABORT;
    }
    return CURL_PREREQFUNC_OK;
}

/* Fields */

static enum err append_line(struct curl_slist **list, const char *line)
{
    struct curl_slist *longer = curl_slist_append(*list, line);
    *list = longer != NULL ? longer : *list;
    return longer != NULL ? ERR_OK : ERR_NO_MEMORY;
}

/* Of what Connection names nothing goes further either. */
static bool is_of_connection(const struct http1_inbound_head *h, struct slice name)
{
    char text[64];
    if (field_is_ours(name)) {
        return true;
    }
    if (name.len >= sizeof text) {
        return false;
    }
    memcpy(text, name.data, name.len);
    text[name.len] = '\0';
    for (size_t i = 0; i < h->field_count; i++) {
        if (slice_equal(h->fields[i].name, SLICE("connection")) &&
            http_value_lists(h->fields[i].value, text)) {
            return true;
        }
    }
    return false;
}

static bool is_sent(const struct relay *r, const struct http1_inbound_head *h, struct slice name)
{
    bool hides = r->injection.secret_count > 0 && slice_equal(name, SLICE("accept-encoding"));
    return !hides && !is_of_connection(h, name) && !injection_has(&r->injection, name);
}

static enum err make_fields(struct relay *r, const struct http1_inbound_head *h)
{
    static const char *const not_added[] = {"accept", "user-agent", "content-type"};
    struct buf line = {0};
    struct slice value;
    enum err err = append_line(&r->fields, "Expect:");
    for (size_t i = 0; err == ERR_OK && i < h->field_count; i++) {
        struct http_header f = h->fields[i];
        if (is_sent(r, h, f.name)) {
            buf_clear(&line);
            buf_append_slice(&line, f.name);
            buf_append_str(&line, f.value.len == 0 ? ";" : ": ");
            buf_append_slice(&line, f.value);
            buf_append_byte(&line, '\0');
            err = append_line(&r->fields, (const char *)line.data);
        }
    }
    for (size_t i = 0; err == ERR_OK && i < sizeof not_added / sizeof not_added[0]; i++) {
        if (!http1_inbound_field(h, not_added[i], &value) &&
            !injection_has(&r->injection, slice_of_str(not_added[i]))) {
            buf_clear(&line);
            buf_printf(&line, "%s:%c", not_added[i], 0);
            err = append_line(&r->fields, (const char *)line.data);
        }
    }
    for (const char *at = NULL;
         err == ERR_OK && (at = injection_next(&r->injection, at)) != NULL;) {
        err = append_line(&r->fields, at);
    }
    if (err == ERR_OK && h->is_chunked) {
        err = append_line(&r->fields, "Transfer-Encoding: chunked");
    }
    buf_done(&line);
    return err;
}

/* The request */

#define SET(option, value)                                    \
    if (rc == CURLE_OK) {                                     \
        rc = curl_easy_setopt(easy, CURLOPT_##option, value); \
    }

static CURLcode set_request(struct relay *r, CURL *easy, const struct http1_inbound_head *h)
{
    CURLcode rc = CURLE_OK;
    struct slice length;
    bool says_length = http1_inbound_field(h, "content-length", &length);
    if (r->is_tunnel) {
        SET(CONNECT_ONLY, 1L)
        return rc;
    }
    SET(HTTPHEADER, r->fields)
    if (h->has_body || says_length) {
        SET(UPLOAD, 1L)
        SET(READFUNCTION, on_upload)
        SET(READDATA, r)
        SET(INFILESIZE_LARGE, h->is_chunked ? (curl_off_t)-1 : (curl_off_t)h->length)
    } else {
        SET(HTTPGET, 1L)
    }
    if (h->has_body) {
        SET(FRESH_CONNECT, 1L) /* a body that has begun to leave cannot be sent again */
    }
    if (strcmp(r->method, "HEAD") == 0) {
        SET(NOBODY, 1L)
    } else {
        SET(CUSTOMREQUEST, r->method)
    }
    return rc;
}

static CURLcode set_rules(struct relay *r, CURL *easy)
{
    CURLcode rc = CURLE_OK;
    const struct egress_options *o = r->guest->box->egress->options;
    struct curl_blob ca = {
        .data = (void *)(uintptr_t)o->ca.data, .len = o->ca.len, .flags = CURL_BLOB_NOCOPY};
    SET(CURLU, r->target.parts)
    SET(PRIVATE, &r->user)
    SET(HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1)
    SET(PROTOCOLS_STR, "http,https")
    SET(FOLLOWLOCATION, 0L)
    SET(PROXY, "")
    SET(NETRC, (long)CURL_NETRC_IGNORED)
    SET(NOSIGNAL, 1L)
    SET(QUICK_EXIT, 1L)
    SET(PATH_AS_IS, 1L)
    SET(HTTP_TRANSFER_DECODING, 1L)
    SET(IGNORE_CONTENT_LENGTH, 0L)
    SET(CONNECTTIMEOUT_MS, (long)CONNECT_MS)
    SET(SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2)
    SET(OPENSOCKETFUNCTION, on_open_socket)
    SET(OPENSOCKETDATA, r)
    SET(PREREQFUNCTION, on_request)
    SET(PREREQDATA, r)
    SET(HEADERFUNCTION, on_header)
    SET(HEADERDATA, r)
    SET(WRITEFUNCTION, on_body)
    SET(WRITEDATA, r)
    if (o->ca.len > 0) {
        SET(CAINFO_BLOB, &ca)
    }
    return rc;
}
#undef SET

static bool is_websocket(const struct relay *r, const struct http1_inbound_head *h)
{
    struct slice protocol;
    return h->wants_upgrade && !h->has_body && strcmp(r->method, "GET") == 0 &&
           http1_inbound_field(h, "upgrade", &protocol) &&
           http_equal_any_case(protocol, "websocket");
}

enum err relay_start(struct relay *r, const struct http1_inbound_head *h, const char **ret_detail)
{
    r->user.on_end = relay_on_end;
    r->is_tunnel = is_websocket(r, h);
    enum err err = r->is_tunnel ? relay_tunnel_ask(r, h) : make_fields(r, h);
    if (err != ERR_OK) {
        *ret_detail = "No memory is left.";
        return err;
    }
    r->easy = curl_easy_init();
    if (r->easy == NULL || set_rules(r, r->easy) != CURLE_OK ||
        set_request(r, r->easy, h) != CURLE_OK) {
        return ERR_NO_MEMORY;
    }
    CURLMcode rc = curl_multi_add_handle(r->pool->multi, r->easy);
    if (rc != CURLM_OK) {
        curl_easy_cleanup(r->easy);
        r->easy = NULL;
        return ERR_NO_MEMORY;
    }
    return ERR_OK;
}

/* Whatever can go on, goes on. */
void relay_resume(struct relay *r)
{
    if (r->easy == NULL || r->is_tunnel) {
        return;
    }
    bool may_send = r->upload_waits && (r->upload_is_over || r->upload.len > r->upload_at);
    bool may_receive = r->is_paused && r->waiting.len - r->waiting_at < RELAY_WAITING_BYTES_MAX;
    if (!may_send && !may_receive) {
        return;
    }
    r->upload_waits = r->upload_waits && !may_send;
    r->is_paused = r->is_paused && !may_receive;
    (void)curl_easy_pause(r->easy, (r->upload_waits ? CURLPAUSE_SEND : CURLPAUSE_RECV_CONT) |
                                       (r->is_paused ? CURLPAUSE_RECV : CURLPAUSE_SEND_CONT));
}
