#include "actor/egress/guest.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor/egress/box.h"
#include "actor/egress/egress.h"
#include "actor/egress/relay.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { TLS_HANDSHAKE_RECORD = 0x16, SEAL_BYTES = 16 * 1024, READ_BYTES = 32 * 1024 };

void guest_wake(struct guest *g)
{
    list_remove(&g->awake);
    list_append(&g->box->egress->awake, &g->awake);
}

static void guest_move(struct guest *g, enum guest_state to)
{
    INVARIANT(g->state != GUEST_LAST || to == GUEST_LAST);
    g->state = to;
}

/* Time */

static uint64_t patience_ms(const struct guest *g)
{
    switch (g->state) {
    case GUEST_IDLE:
        return http1_inbound_is_between(&g->reader) && g->layer != GUEST_UNKNOWN &&
                       (g->tls == NULL || tls_state(g->tls) == TLS_OPEN)
                   ? GUEST_IDLE_MS
                   : GUEST_HEAD_MS;
    case GUEST_BUSY:
        return GUEST_BUSY_MS;
    case GUEST_TUNNEL:
        return GUEST_TUNNEL_MS;
    case GUEST_LAST:
        return GUEST_LAST_MS;
    }
    UNREACHABLE();
}

void guest_is_alive(struct guest *g)
{
    struct egress *e = g->box->egress;
    heap_set(&e->guest_deadlines, &g->deadline, e->now_ms + patience_ms(g));
}

void guest_expire(struct guest *g)
{
    g->is_late = true;
    heap_remove(&g->box->egress->guest_deadlines, &g->deadline);
    guest_wake(g);
}

/* Out */

void guest_put(struct guest *g, struct slice bytes)
{
    buf_append_slice(&g->out, bytes);
    guest_wake(g);
}

size_t guest_unsent(const struct guest *g)
{
    return g->out.len - g->out_at + (g->tls != NULL ? tls_output_bytes(g->tls) : 0);
}

/* How many bytes went; 0: the socket is full, or broken. */
static size_t send_some(struct guest *g, struct slice bytes)
{
    ssize_t n = send(g->fd, bytes.data, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0) {
        g->is_broken = g->is_broken || (errno != EAGAIN && errno != EINTR);
        return 0;
    }
    return (size_t)n;
}

static void forget_sent(struct guest *g)
{
    if (g->out_at == g->out.len) {
        g->out_at = 0;
        if (g->out.cap > SEAL_BYTES) {
            buf_done(&g->out);
        }
        buf_clear(&g->out);
    }
}

static bool can_seal(const struct guest *g)
{
    return tls_state(g->tls) == TLS_OPEN || tls_state(g->tls) == TLS_ENDED;
}

static void flush_tls(struct guest *g)
{
    for (;;) {
        struct slice sealed = tls_output(g->tls);
        size_t left = g->out.len - g->out_at;
        if (sealed.len > 0) {
            size_t n = send_some(g, sealed);
            tls_sent(g->tls, n);
            if (n < sealed.len) {
                return;
            }
        } else if (left > 0 && can_seal(g)) {
            size_t n = left < SEAL_BYTES ? left : SEAL_BYTES;
            if (tls_write(g->tls, slice_of(g->out.data + g->out_at, n)) != ERR_OK) {
                g->is_broken = true;
                return;
            }
            g->out_at += n;
        } else {
            return;
        }
    }
}

static void flush(struct guest *g)
{
    if (g->tls != NULL) {
        flush_tls(g);
    } else {
        while (g->out_at < g->out.len && !g->is_broken) {
            size_t n = send_some(g, slice_skip(buf_slice(&g->out), g->out_at));
            if (n == 0) {
                break;
            }
            g->out_at += n;
        }
    }
    forget_sent(g);
}

/* In */

/* Bytes of the wire become bytes of the request. */
static void take_bytes(struct guest *g, struct slice bytes)
{
    uint8_t room[READ_BYTES];
    size_t n;
    enum err err;
    if (g->state == GUEST_LAST) {
        return;
    }
    if (g->tls == NULL) {
        buf_append_slice(&g->in, bytes);
        return;
    }
    g->hello.wall_ms = clock_wall_ms();
    tls_feed(g->tls, bytes);
    while ((err = tls_read(g->tls, room, sizeof room, &n)) == ERR_OK) {
        buf_append(&g->in, room, n);
    }
    if (err == ERR_CLOSED) {
        g->is_ended = true;
    } else if (err != ERR_MORE) {
        relay_record_refused(g, "tls");
        guest_move(g, GUEST_LAST); /* the alert goes out */
    }
}

static void act(struct source *s, uint32_t events)
{
    struct guest *g = CONTAINER_OF(s, struct guest, source);
    uint8_t bytes[READ_BYTES];
    if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0) {
        ssize_t n = recv(g->fd, bytes, sizeof bytes, MSG_DONTWAIT);
        if (n > 0) {
            take_bytes(g, slice_of(bytes, (size_t)n));
            guest_is_alive(g);
        } else if (n == 0) {
            g->is_ended = true;
        } else if (errno != EAGAIN && errno != EINTR) {
            g->is_broken = true;
        }
    }
    guest_wake(g);
}

static void watch(struct guest *g)
{
    bool wants_in = !g->is_ended && (g->state == GUEST_LAST || g->in.len < GUEST_IN_BYTES_MAX);
    uint32_t events = (wants_in ? EPOLLIN : 0U) | (guest_unsent(g) > 0 ? EPOLLOUT : 0U);
    if (events != g->watched) {
        struct epoll_event event = {.events = events, .data.ptr = &g->source};
        (void)epoll_ctl(g->box->egress->epoll, EPOLL_CTL_MOD, g->fd, &event);
        g->watched = events;
    }
}

/* Requests */

static bool may_mint(struct tls_guest *hello)
{
    struct guest *g = CONTAINER_OF(hello, struct guest, hello);
    return rate_take(&g->box->mints, BOX_MINTS_A_MINUTE, g->box->egress->now_ms);
}

static void begin_tls(struct guest *g)
{
    struct buf raw = buf_take(&g->in);
    g->layer = GUEST_TLS;
    g->hello = (struct tls_guest){.may_mint = may_mint};
    if (g->is_connected) { /* of an address without its brackets */
        size_t len = strlen(g->host);
        bool is_v6 = g->host[0] == '[';
        (void)snprintf(g->hello.host, sizeof g->hello.host, "%.*s", (int)(is_v6 ? len - 2 : len),
                       g->host + (is_v6 ? 1 : 0));
    }
    g->tls = tls_mint_session(g->box->egress->mint, &g->hello);
    if (g->tls == NULL) {
        g->is_broken = true;
    } else {
        take_bytes(g, buf_slice(&raw));
    }
    buf_done(&raw);
}

/* Whether what follows is known. */
static bool find_layer(struct guest *g)
{
    if (g->layer == GUEST_UNKNOWN && g->way == EGRESS_BOX_HTTPS && !g->is_connected) {
        begin_tls(g);
    } else if (g->layer == GUEST_UNKNOWN && g->in.len > 0) {
        if (g->is_connected && g->in.data[0] == TLS_HANDSHAKE_RECORD) {
            begin_tls(g);
        } else {
            g->layer = GUEST_PLAIN;
        }
    }
    return g->layer != GUEST_UNKNOWN;
}

static bool wants_request(const struct guest *g)
{
    switch (g->state) {
    case GUEST_IDLE:
        return true;
    case GUEST_BUSY:
        return !g->request_is_over && (g->relay == NULL || relay_wants_body(g->relay));
    case GUEST_TUNNEL:
    case GUEST_LAST:
        return false;
    }
    UNREACHABLE();
}

static void end_request(struct guest *g)
{
    g->request_is_over = true;
    if (g->relay != NULL) {
        relay_body_ended(g->relay);
    } else if (g->state == GUEST_BUSY) {
        guest_move(g, g->keeps_open ? GUEST_IDLE : GUEST_LAST);
    }
}

/* One event of the reader; false: it wants more bytes. */
static bool read_request(struct guest *g)
{
    struct slice in = buf_slice(&g->in);
    struct slice piece;
    enum http1_inbound_event event = http1_inbound_next(&g->reader, &in, &piece);
    switch (event) {
    case HTTP1_WANTS_MORE:
        break;
    case HTTP1_HAS_HEAD:
        guest_move(g, GUEST_BUSY);
        g->request_is_over = false;
        g->keeps_open = false;
        guest_on_head(g, &g->reader.head);
        break;
    case HTTP1_HAS_BODY:
        if (g->relay != NULL) {
            relay_give_body(g->relay, piece);
        }
        break;
    case HTTP1_HAS_END:
        end_request(g);
        break;
    case HTTP1_IS_BAD:
        relay_record_refused(g, "bad_request");
        if (g->relay != NULL) { /* of a body that is malformed nothing more is sent */
            relay_cancel(g->relay);
            g->relay = NULL;
            g->is_broken = true;
            break;
        }
        guest_refuse(g, g->reader.err, g->reader.detail);
        guest_move(g, GUEST_LAST);
        break;
    }
    buf_consume(&g->in, g->in.len - in.len);
    return event != HTTP1_WANTS_MORE;
}

static void read_requests(struct guest *g)
{
    while (!g->is_broken && wants_request(g) && (g->state == GUEST_BUSY || find_layer(g)) &&
           read_request(g)) {
    }
    if (g->state == GUEST_TUNNEL && g->in.len > 0 && relay_wants_body(g->relay)) {
        relay_give_body(g->relay, buf_slice(&g->in));
        buf_clear(&g->in);
    }
}

void guest_refuse(struct guest *g, enum err err, const char *detail)
{
    struct buf body = {0};
    struct buf head = {0};
    const struct err_info *info = err_info(err);
    bool stays = err != ERR_BAD_REQUEST && g->reader.part != HTTP1_IN_BAD &&
                 !g->reader.head.has_body && g->reader.head.keeps_alive;
    bool is_head = slice_equal(g->reader.head.method, SLICE("HEAD"));
    problem_write(&body, err, slice_of_str(detail != NULL ? detail : ""), NULL);
    buf_printf(&head,
               "HTTP/1.1 %d %s\r\nContent-Type: " PROBLEM_CONTENT_TYPE
               "\r\nContent-Length: %zu\r\n%sConnection: %s\r\n\r\n",
               info->status, problem_title(info->status), body.len,
               info->retryable ? "Retry-After: 1\r\n" : "", stays ? "keep-alive" : "close");
    guest_put(g, buf_slice(&head));
    if (!is_head) {
        guest_put(g, buf_slice(&body));
    }
    buf_done(&head);
    buf_done(&body);
    g->keeps_open = stays;
    if (!stays) {
        guest_move(g, GUEST_LAST);
    }
}

void guest_switch(struct guest *g)
{
    guest_move(g, GUEST_TUNNEL);
    guest_is_alive(g);
    guest_wake(g);
}

void guest_answered(struct guest *g, bool keeps_open, bool is_whole)
{
    g->relay = NULL;
    g->is_broken = g->is_broken || !is_whole;
    if (keeps_open && g->request_is_over && g->state == GUEST_BUSY) {
        guest_move(g, GUEST_IDLE);
    } else {
        guest_move(g, GUEST_LAST);
    }
    guest_is_alive(g);
    guest_wake(g);
}

/* Life */

void guest_open(struct box *b, int fd, enum egress_box_socket way)
{
    struct egress *e = b->egress;
    struct guest *g = MEM_NEW(struct guest);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &g->source};
    g->magic = GUEST_MAGIC;
    g->source.act = act;
    g->box = b;
    g->fd = fd;
    g->way = way;
    g->watched = event.events;
    list_init(&g->awake);
    list_init(&g->link);
    http1_inbound_init(&g->reader);
    list_append(&b->guests, &g->link);
    b->guest_count++;
    e->guest_count++;
    g->is_broken = epoll_ctl(e->epoll, EPOLL_CTL_ADD, fd, &event) != 0;
    guest_is_alive(g);
    guest_wake(g);
}

static void free_guest(struct guest *g)
{
    struct box *b = g->box;
    if (g->relay != NULL) {
        relay_cancel(g->relay);
    }
    list_remove(&g->awake);
    list_remove(&g->link);
    heap_remove(&b->egress->guest_deadlines, &g->deadline);
    b->guest_count--;
    b->egress->guest_count--;
    tls_free(g->tls);
    http1_inbound_done(&g->reader);
    buf_done(&g->in);
    buf_done(&g->out);
    (void)epoll_ctl(b->egress->epoll, EPOLL_CTL_DEL, g->fd, NULL);
    (void)close(g->fd);
    g->magic = 0;
    mem_free(g);
}

/* What was written last is to arrive: a socket that is closed with bytes unread would take it back. */
static void say_goodbye(struct guest *g)
{
    if (g->is_shut || g->state != GUEST_LAST) {
        return;
    }
    if (g->tls != NULL && g->out.len == 0) {
        tls_close(g->tls);
        flush(g);
    }
    if (guest_unsent(g) == 0) {
        g->is_shut = true;
        (void)shutdown(g->fd, SHUT_WR);
        guest_is_alive(g);
    }
}

static bool is_over(const struct guest *g)
{
    bool has_nothing_to_say = g->state == GUEST_LAST && g->is_shut;
    return g->is_broken || g->is_late || g->box->is_closed || (g->is_ended && has_nothing_to_say);
}

/* The guest has closed its side. A request that is whole is answered still; anything else is over. */
static void look_at_end(struct guest *g)
{
    if (!g->is_ended || g->in.len > 0) {
        return;
    }
    if (g->state == GUEST_TUNNEL || (g->state == GUEST_BUSY && !g->request_is_over)) {
        g->is_broken = true;
    } else if (g->state == GUEST_IDLE) {
        guest_move(g, GUEST_LAST);
    }
}

static void run(struct guest *g)
{
    size_t before = guest_unsent(g);
    if (!is_over(g)) {
        read_requests(g);
        if (g->relay != NULL) {
            relay_pump(g->relay);
        }
        flush(g);
        look_at_end(g);
        say_goodbye(g);
    }
    if (is_over(g)) {
        free_guest(g);
        return;
    }
    if (g->relay != NULL && before >= GUEST_OUT_BYTES_MAX && guest_unsent(g) < before) {
        guest_is_alive(g);
        guest_wake(g);
    }
    watch(g);
}

void guests_run(struct egress *e)
{
    struct guest *g;
    while ((g = LIST_FIRST(&e->awake, struct guest, awake)) != NULL) {
        list_remove(&g->awake);
        run(g);
    }
}

void guests_close(struct box *b)
{
    LIST_FOREACH (link, &b->guests) {
        guest_wake(LIST_ENTRY(link, struct guest, link));
    }
}
