/* A relay of an upgrade: libcurl opens the connection and seals it; the request and its answer's head are
 * written and read here, and behind a 101 bytes go both ways as they are. */
#include <string.h>
#include <sys/epoll.h>

#include "actor/egress/egress.h"
#include "actor/egress/field.h"
#include "actor/egress/guest.h"
#include "actor/egress/relay.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { STATUS_SWITCH = 101 };

/* The request */

static bool is_sent(const struct relay *r, struct slice name)
{
    bool hides =
        r->injection.secret_count > 0 && (slice_equal(name, SLICE("accept-encoding")) ||
                                          slice_equal(name, SLICE("sec-websocket-extensions")));
    return !hides && !field_is_ours(name) && !injection_has(&r->injection, name);
}

static void put_target(struct buf *out, const struct target *t)
{
    const char *rest = strstr(t->url, "://");
    const char *path = rest != NULL ? strpbrk(rest + 3, "/?") : NULL;
    buf_append_str(out, path == NULL || *path != '/' ? "/" : "");
    buf_append_str(out, path != NULL ? path : "");
}

enum err relay_tunnel_ask(struct relay *r, const struct http1_inbound_head *h)
{
    struct buf *out = &r->upload;
    buf_append_str(out, "GET ");
    put_target(out, &r->target);
    buf_append_str(out, " HTTP/1.1\r\nHost: ");
    buf_append_slice(out, h->host);
    buf_append_str(out, "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n");
    for (size_t i = 0; i < h->field_count; i++) {
        struct http_header f = h->fields[i];
        if (is_sent(r, f.name)) {
            buf_append_slice(out, f.name);
            buf_append_str(out, ": ");
            buf_append_slice(out, f.value);
            buf_append_str(out, "\r\n");
        }
    }
    for (const char *at = NULL; (at = injection_next(&r->injection, at)) != NULL;) {
        buf_append_str(out, at);
        buf_append_str(out, "\r\n");
    }
    buf_append_str(out, "\r\n");
    return ERR_OK;
}

/* The connection */

static void act(struct source *s, uint32_t events)
{
    struct relay *r = CONTAINER_OF(s, struct relay, source);
    (void)events;
    guest_wake(r->guest);
}

/* By edges: what is not read because the guest does not take it must not come back at once. So it is changed only
 * where there is a change, since each one looks anew. */
static void watch(struct relay *r, int how, bool wants_room)
{
    if (how == EPOLL_CTL_MOD && wants_room == r->wants_room) {
        return;
    }
    r->wants_room = wants_room;
    struct epoll_event event = {.events = EPOLLIN | EPOLLET | (wants_room ? EPOLLOUT : 0U),
                                .data.ptr = &r->source};
    (void)epoll_ctl(r->guest->box->egress->epoll, how, r->socket, &event);
}

void relay_tunnel_opened(struct relay *r)
{
    r->source.act = act;
    if (curl_easy_getinfo(r->easy, CURLINFO_ACTIVESOCKET, &r->socket) != CURLE_OK ||
        r->socket == CURL_SOCKET_BAD) {
        r->socket = CURL_SOCKET_BAD;
        r->guest->is_broken = true;
    } else {
        r->is_open = true;
        watch(r, EPOLL_CTL_ADD, true);
    }
    guest_wake(r->guest);
}

void relay_tunnel_close(struct relay *r)
{
    if (r->is_open) {
        (void)epoll_ctl(r->guest->box->egress->epoll, EPOLL_CTL_DEL, r->socket, NULL);
        r->is_open = false;
    }
}

static bool send_some(struct relay *r)
{
    size_t n = 0;
    size_t left = r->upload.len - r->upload_at;
    if (left == 0) {
        return false;
    }
    CURLcode rc = curl_easy_send(r->easy, r->upload.data + r->upload_at, left, &n);
    r->upload_at += n;
    r->sent_bytes += n;
    if (rc != CURLE_OK && rc != CURLE_AGAIN) {
        r->is_over = true;
    }
    if (r->upload_at == r->upload.len) {
        explicit_bzero(r->upload.data, r->upload.len); /* secrets were in the head */
        buf_clear(&r->upload);
        r->upload_at = 0;
    }
    return rc == CURLE_OK && n > 0;
}

static bool receive_some(struct relay *r)
{
    uint8_t bytes[RELAY_PIECE_BYTES];
    size_t n = 0;
    if (r->waiting.len >= RELAY_WAITING_BYTES_MAX || r->is_over) {
        return false;
    }
    CURLcode rc = curl_easy_recv(r->easy, bytes, sizeof bytes, &n);
    if (rc == CURLE_OK && n > 0) {
        buf_append(&r->waiting, bytes, n);
        r->received_bytes += n;
        guest_is_alive(r->guest);
        return true;
    }
    r->is_over = rc != CURLE_AGAIN;
    return false;
}

/* The answer's head, a line at a time; false: it is not all there. */
static bool take_head(struct relay *r)
{
    const char *detail;
    const uint8_t *lf;
    while (!r->is_told && r->waiting.len > 0 &&
           (lf = memchr(r->waiting.data, '\n', r->waiting.len)) != NULL) {
        size_t n = (size_t)(lf - r->waiting.data) + 1;
        bool is_blank = n <= 2;
        if (response_line(&r->response, slice_of(r->waiting.data, n), &detail) != ERR_OK) {
            r->is_over = true;
            r->guest->is_broken = true;
            return false;
        }
        buf_consume(&r->waiting, n);
        if (is_blank && (r->response.status == STATUS_SWITCH || r->response.status >= 200)) {
            bool switches = r->response.status == STATUS_SWITCH;
            r->response.is_complete = true;
            relay_put_head(r, switches ? "Connection: Upgrade\r\n" : "Connection: close\r\n");
            if (switches) {
                guest_switch(r->guest);
            }
        }
    }
    return r->is_told;
}

static void tell(struct relay *r, bool is_last)
{
    size_t longest = r->rules->scrub.longest;
    if (r->waiting.len == 0 && !is_last) {
        return;
    }
    uint8_t *bytes = mem_alloc(longest + r->waiting.len + 1);
    size_t held = scrubber_begin(&r->scrubber, bytes);
    if (r->waiting.len > 0) {
        memcpy(bytes + held, r->waiting.data, r->waiting.len);
    }
    (void)relay_tell(r, bytes, held + r->waiting.len, is_last);
    buf_clear(&r->waiting);
    mem_free(bytes);
}

void relay_tunnel_pump(struct relay *r)
{
    bool goes_on = true;
    if (!r->is_open) {
        return;
    }
    while (goes_on && !r->is_over) {
        goes_on = send_some(r);
        goes_on = receive_some(r) || goes_on;
        if (take_head(r) && guest_unsent(r->guest) < GUEST_OUT_BYTES_MAX) {
            tell(r, false);
        }
    }
    watch(r, EPOLL_CTL_MOD, r->upload.len > r->upload_at);
    if (r->is_over) {
        if (r->is_told) {
            tell(r, true);
        }
        relay_finish(r, r->is_told);
    }
}
