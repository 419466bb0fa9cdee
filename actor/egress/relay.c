#include "actor/egress/relay.h"

#include <stdio.h>
#include <string.h>

#include "actor/egress/egress.h"
#include "actor/egress/field.h"
#include "actor/egress/guest.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { HOST_BYTES = 300, DETAIL_BYTES = 512 };

/* Records */

static struct slice host_of(const struct target *t, char text[HOST_BYTES])
{
    (void)snprintf(text, HOST_BYTES, "%s:%u", t->host, t->port);
    return slice_of_str(text);
}

static struct egress_record record_of(const struct box *b)
{
    return (struct egress_record){
        .ns = b->who.ns, .class = b->who.class, .actor = b->who.actor, .sandbox = b->who.sandbox};
}

static void put_record(const struct box *b, const struct egress_record *r)
{
    if (!b->is_closed) {
        egress_put_record(&b->egress->out, b->id, r);
    }
}

void relay_record_denied(struct guest *g, struct slice method, const struct target *target,
                         const char *code)
{
    char host[HOST_BYTES] = "";
    struct buf text = {0};
    struct egress_record r = record_of(g->box);
    field_append_text(&text, method);
    r.method = buf_slice(&text);
    r.host = target != NULL ? host_of(target, host) : slice_of_str(g->hello.host);
    r.path = slice_of_str(target != NULL ? target->path : "");
    r.code = slice_of_str(code);
    put_record(g->box, &r);
    buf_done(&text);
}

void relay_record_refused(struct guest *g, const char *code)
{
    struct egress_record r = record_of(g->box);
    if (g->relay == NULL) {
        r.host = slice_of_str(g->hello.host);
        r.code = slice_of_str(code);
        put_record(g->box, &r);
    }
}

static void record(struct relay *r, const char *code)
{
    char host[HOST_BYTES];
    struct buf names = {0};
    struct egress_record rec = record_of(r->guest->box);
    long head = 0;
    if (r->easy != NULL && !r->is_tunnel) {
        (void)curl_easy_getinfo(r->easy, CURLINFO_REQUEST_SIZE, &head);
    }
    injection_put_names(&r->injection, &names);
    rec.method = slice_of_str(r->method);
    rec.host = host_of(&r->target, host);
    rec.path = slice_of_str(r->target.path);
    rec.status = r->response.is_complete ? r->response.status : 0;
    rec.sent_bytes = (uint64_t)head + r->sent_bytes;
    rec.received_bytes = r->received_bytes;
    rec.ms = r->guest->box->egress->now_ms - r->begun_ms;
    rec.code = slice_of_str(code);
    rec.secrets = buf_slice(&names);
    put_record(r->guest->box, &rec);
    buf_done(&names);
}

/* Life */

static void free_relay(struct relay *r)
{
    relay_tunnel_close(r);
    if (r->easy != NULL) {
        (void)curl_multi_remove_handle(r->pool->multi, r->easy);
        curl_easy_cleanup(r->easy);
    }
    curl_slist_free_all(r->fields);
    if (r->pool != NULL) {
        pool_leave(r->pool);
    }
    target_done(&r->target);
    injection_done(&r->injection);
    response_done(&r->response);
    buf_done(&r->upload);
    buf_done(&r->waiting);
    buf_done(&r->head);
    inflater_free(r->inflater);
    scrubber_done(&r->scrubber);
    box_rules_unref(r->rules);
    r->magic = 0;
    mem_free(r);
}

void relay_cancel(struct relay *r)
{
    record(r, r->is_tunnel && r->is_told ? "" : "cancelled");
    free_relay(r);
}

/* The guest goes on without it. */
void relay_finish(struct relay *r, bool is_whole)
{
    struct guest *g = r->guest;
    bool keeps_open =
        r->keeps_open && is_whole && (r->is_chunked || !r->has_body || !r->is_old) && !r->is_tunnel;
    record(r, is_whole ? "" : "unavailable");
    free_relay(r);
    guest_answered(g, keeps_open, is_whole);
}

/* Before its head was told there is an answer of our own. */
static void fail(struct relay *r, enum err err, const char *detail)
{
    struct guest *g = r->guest;
    if (r->is_told) {
        relay_finish(r, false);
        return;
    }
    r->response.is_complete = false;
    record(r, err_info(err)->code);
    free_relay(r);
    g->relay = NULL;
    guest_refuse(g, err, detail);
    if (g->state == GUEST_BUSY) {
        guest_answered(g, g->keeps_open, true);
    }
}

enum err relay_begin(struct guest *g, const struct http1_inbound_head *h, struct target *target,
                     struct injection *injection, const char **ret_detail)
{
    struct box *b = g->box;
    if (h->method.len >= sizeof((struct relay *)0)->method) {
        *ret_detail = "The method is too long.";
        return ERR_BAD_REQUEST;
    }
    struct relay *r = MEM_NEW(struct relay);
    r->magic = RELAY_MAGIC;
    r->guest = g;
    r->rules = box_rules_ref(b->rules);
    r->scrubber.set = &r->rules->scrub;
    r->target = *target;
    r->injection = *injection;
    r->is_old = h->is_old;
    r->keeps_open = h->keeps_alive;
    r->begun_ms = b->egress->now_ms;
    r->socket = CURL_SOCKET_BAD;
    memcpy(r->method, h->method.data, h->method.len);
    response_init(&r->response);
    r->pool = pool_of(b->egress, slice_of_str(b->pool));
    *ret_detail = "No memory is left.";
    enum err err = r->pool != NULL ? ERR_OK : ERR_OVERLOADED;
    if (err == ERR_OK) {
        pool_enter(r->pool);
        err = relay_start(r, h, ret_detail);
    }
    if (err != ERR_OK) {
        r->target = (struct target){0}; /* still the caller's */
        r->injection = (struct injection){0};
        free_relay(r);
        return err;
    }
    g->relay = r;
    return ERR_OK;
}

/* The request's body */

bool relay_wants_body(const struct relay *r)
{
    return r->upload.len - r->upload_at < RELAY_UPLOAD_BYTES_MAX;
}

void relay_give_body(struct relay *r, struct slice piece)
{
    if (r->upload_at > 0) {
        buf_consume(&r->upload, r->upload_at);
        r->upload_at = 0;
    }
    buf_append_slice(&r->upload, piece);
    relay_resume(r);
}

void relay_body_ended(struct relay *r)
{
    r->upload_is_over = true;
    relay_resume(r);
}

/* The answer */

static bool may_have_body(const struct relay *r)
{
    return strcmp(r->method, "HEAD") != 0 && r->response.status != 204 && r->response.status != 304;
}

static bool is_of_connection(const struct relay *r, struct slice name)
{
    static const char *const names[] = {
        "connection", "keep-alive", "proxy-authenticate", "proxy-connection", "te",
        "trailer",    "upgrade",    "transfer-encoding",  "alt-svc"};
    bool is_framing = r->is_tunnel && (field_is_named(name, "upgrade") ||
                                       field_is_named(name, "transfer-encoding"));
    for (size_t i = 0; !is_framing && i < sizeof names / sizeof names[0]; i++) {
        if (field_is_named(name, names[i])) {
            return true;
        }
    }
    return r->inflater != NULL &&
           (field_is_named(name, "content-length") || field_is_named(name, "content-encoding"));
}

void relay_put_head(struct relay *r, const char *more)
{
    struct buf head = {0};
    struct slice line;
    struct slice name;
    struct slice value;
    buf_printf(&head, "HTTP/1.1 %u %.*s\r\n", r->response.status, (int)r->response.text.len,
               r->response.text.len > 0 ? (const char *)r->response.text.data : "");
    for (struct slice rest = buf_slice(&r->response.lines); response_next(&rest, &line);) {
        if (field_split(line, &name, &value) && !is_of_connection(r, name)) {
            buf_append_slice(&head, name);
            buf_append_str(&head, ": ");
            buf_append_slice(&head, value);
            buf_append_str(&head, "\r\n");
        }
    }
    scrub(&r->rules->scrub, head.data, head.len);
    buf_append_str(&head, more);
    buf_append_str(&head, "\r\n");
    guest_put(r->guest, buf_slice(&head));
    buf_done(&head);
    r->is_told = true;
}

/* In one of libcurl's callbacks. What is encoded cannot be looked through: from a host that was sent a secret it
 * is decoded, or refused. */
void relay_on_head(struct relay *r)
{
    struct slice text;
    r->has_body = may_have_body(r);
    if (r->has_body && r->injection.secret_count > 0 &&
        response_field(&r->response, "content-encoding", &text) &&
        !field_is_named(text, "identity")) {
        r->inflater = inflater_new(text);
        if (r->inflater == NULL) {
            r->err = ERR_UNAVAILABLE;
            r->detail = "The host was sent a secret, and answers in an encoding that cannot be "
                        "looked through.";
            return;
        }
    }
    bool has_length = r->inflater == NULL && response_field(&r->response, "content-length", &text);
    r->is_chunked = r->has_body && !has_length && !r->is_old;
    bool closes = !r->keeps_open || (r->has_body && !has_length && r->is_old);
    r->keeps_open = !closes;
    relay_put_head(r, r->is_chunked
                          ? (closes ? "Transfer-Encoding: chunked\r\nConnection: close\r\n"
                                    : "Transfer-Encoding: chunked\r\n")
                      : closes    ? "Connection: close\r\n"
                      : r->is_old ? "Connection: keep-alive\r\n"
                                  : "");
}

/* `bytes` begins with what scrubber_begin put there. */
bool relay_tell(struct relay *r, uint8_t *bytes, size_t len, bool is_last)
{
    char size[24];
    size_t n = scrub_set_is_empty(&r->rules->scrub)
                   ? len
                   : scrubber_end(&r->scrubber, bytes, len, is_last);
    if (n > 0 && r->is_chunked) {
        (void)snprintf(size, sizeof size, "%zx\r\n", n);
        guest_put(r->guest, slice_of_str(size));
    }
    if (n > 0) {
        guest_put(r->guest, slice_of(bytes, n));
    }
    if (n > 0 && r->is_chunked) {
        guest_put(r->guest, SLICE("\r\n"));
    }
    if (is_last && r->is_chunked) {
        guest_put(r->guest, SLICE("0\r\n\r\n"));
    }
    return n > 0;
}

static struct slice waiting_of(const struct relay *r)
{
    return slice_skip(buf_slice(&r->waiting), r->waiting_at);
}

static enum err take(struct relay *r, uint8_t *out, size_t room, size_t *ret_len)
{
    struct slice in = waiting_of(r);
    enum err err = ERR_OK;
    *ret_len = 0;
    if (r->inflater != NULL) {
        err = inflater_take(r->inflater, &in, out, room, ret_len);
    } else if (in.len > 0) {
        *ret_len = in.len < room ? in.len : room;
        memcpy(out, in.data, *ret_len);
        in = slice_skip(in, *ret_len);
    }
    r->waiting_at = r->waiting.len - in.len;
    if (in.len == 0) {
        buf_clear(&r->waiting);
        r->waiting_at = 0;
    }
    return err;
}

static bool is_at_end(const struct relay *r, bool is_short)
{
    return r->is_over && waiting_of(r).len == 0 &&
           (r->inflater == NULL || is_short || inflater_is_whole(r->inflater));
}

/* One piece; false: there is no more for now. */
static bool pump_piece(struct relay *r, bool *ret_is_end, bool *ret_is_good)
{
    size_t longest = r->rules->scrub.longest;
    uint8_t *bytes = mem_alloc(longest + RELAY_PIECE_BYTES);
    size_t held = scrubber_begin(&r->scrubber, bytes);
    size_t len;
    enum err err = take(r, bytes + held, RELAY_PIECE_BYTES, &len);
    bool is_short = len < RELAY_PIECE_BYTES;
    *ret_is_end = is_at_end(r, is_short);
    *ret_is_good =
        err == ERR_OK && (!*ret_is_end || r->inflater == NULL || inflater_is_whole(r->inflater));
    if (*ret_is_good) {
        (void)relay_tell(r, bytes, held + len, *ret_is_end);
    }
    mem_free(bytes);
    return *ret_is_good && !*ret_is_end && !is_short;
}

void relay_pump(struct relay *r)
{
    bool is_end = false;
    bool is_good = true;
    if (r->is_tunnel) {
        relay_tunnel_pump(r);
        return;
    }
    if (!r->is_told || r->err != ERR_OK) {
        return;
    }
    while (guest_unsent(r->guest) < GUEST_OUT_BYTES_MAX && pump_piece(r, &is_end, &is_good)) {
    }
    if (!is_good) {
        relay_finish(r, false);
    } else if (is_end) {
        relay_finish(r, true);
    } else if (waiting_of(r).len < RELAY_WAITING_BYTES_MAX / 2 &&
               guest_unsent(r->guest) < GUEST_OUT_BYTES_MAX) {
        relay_resume(r);
    }
}

/* libcurl is done */

static bool is_of_tls(CURLcode code)
{
    return code == CURLE_PEER_FAILED_VERIFICATION || code == CURLE_SSL_CONNECT_ERROR ||
           code == CURLE_SSL_CERTPROBLEM || code == CURLE_SSL_CIPHER ||
           code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CACERT_BADFILE;
}

static void fail_with_code(struct relay *r, CURLcode code)
{
    char detail[DETAIL_BYTES];
    if (r->refused && r->opened == 0) {
        (void)snprintf(detail, sizeof detail,
                       "%s:%u is a private address, which needs --allow-private-targets.",
                       r->target.host, r->target.port);
        fail(r, ERR_EGRESS_DENIED, detail);
        return;
    }
    (void)snprintf(detail, sizeof detail, "%s:%u: %s%s.", r->target.host, r->target.port,
                   curl_easy_strerror(code), is_of_tls(code) ? " (its TLS is not trusted)" : "");
    fail(r, code == CURLE_OPERATION_TIMEDOUT ? ERR_TIMEOUT : ERR_UNAVAILABLE, detail);
}

void relay_on_end(struct pool_user *user, CURLcode code)
{
    struct relay *r = CONTAINER_OF(user, struct relay, user);
    PRE(r->magic == RELAY_MAGIC);
    if (r->err != ERR_OK) {
        fail(r, r->err, r->detail);
    } else if (code != CURLE_OK) {
        fail_with_code(r, code);
    } else if (r->is_tunnel) {
        relay_tunnel_opened(r);
    } else if (!r->is_told) {
        fail(r, ERR_UNAVAILABLE, "The response has no head.");
    } else {
        r->is_over = true;
        guest_wake(r->guest);
    }
}
