#include "node/peer_uv.h"

#include <stdio.h>
#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"

enum {
    CONN_MAGIC = 0x70656572,
    READ_BYTES = 64 * 1024,
    WRITES_PER_FLUSH = 4, /* then others get their turn */
    HOST_BYTES = 256,
    US_PER_MS = 1000,
};

uint64_t peer_now_us(void)
{
    return uv_hrtime() / 1000;
}

static void conn_move(struct peer_conn *c, enum peer_conn_state to)
{
    INVARIANT(to > c->state);
    c->state = to;
}

/* Deadlines. A connection's place in the heap may be earlier than what is due, never later. */

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct peer_set *set)
{
    struct heap_node *first = heap_first(&set->deadlines);
    if (first == NULL || first->key >= set->timer_us) {
        return;
    }
    uint64_t now_us = peer_now_us();
    uint64_t wait_us = first->key > now_us ? first->key - now_us : 0;
    set->timer_us = first->key;
    int rc = uv_timer_start(&set->timer, on_timer, (wait_us + US_PER_MS - 1) / US_PER_MS, 0);
    INVARIANT(rc == 0);
}

static void due_at(struct peer_conn *c, uint64_t at_us)
{
    if (at_us != UINT64_MAX && (!heap_has(&c->deadline) || at_us < c->deadline.key)) {
        heap_set(&c->set->deadlines, &c->deadline, at_us);
        arm_timer(c->set);
    }
}

static void mark_dirty(struct peer_conn *c)
{
    if (c->state != CONN_GONE && list_is_empty(&c->dirty_link)) {
        list_append(&c->set->dirty, &c->dirty_link);
    }
}

/* Ends */

static void free_if_done(struct peer_conn *c)
{
    if (!c->is_tcp_closed || c->is_resolving) {
        return;
    }
    PRE(c->write_bytes == 0);
    struct peer_set *set = c->set;
    list_remove(&c->all_link);
    peer_link_free(c->link);
    c->magic = 0;
    mem_free(c);
    if (--set->count == 0) {
        set->hooks->on_empty(set);
    }
}

static void on_close(uv_handle_t *handle)
{
    OBJ_CAST(peer_conn, handle->data, CONN_MAGIC);
    peer_conn->is_tcp_closed = true;
    free_if_done(peer_conn);
}

/* The owner hears of it now. */
static void close_now(struct peer_conn *c)
{
    if (c->state == CONN_GONE) {
        return;
    }
    conn_move(c, CONN_GONE);
    list_remove(&c->dirty_link);
    heap_remove(&c->set->deadlines, &c->deadline);
    if (c->is_resolving) {
        (void)uv_cancel((uv_req_t *)&c->resolve); /* or its callback comes later */
    }
    if (c->link != NULL) {
        peer_link_recv_end(c->link, peer_now_us()); /* what waited in it is dropped, and counted */
    }
    c->set->hooks->on_closed(c);
    uv_close((uv_handle_t *)&c->tcp, on_close);
}

static void fail(struct peer_conn *c, const char *what, int rc)
{
    if (c->reason[0] == '\0') {
        (void)snprintf(c->reason, sizeof c->reason, "%s: %s", what, uv_strerror(rc));
    }
    close_now(c);
}

const char *peer_conn_reason(const struct peer_conn *c)
{
    return c->reason[0] == '\0' && c->link != NULL ? peer_link_reason(c->link) : c->reason;
}

void peer_conn_drop(struct peer_conn *c, const char *reason)
{
    if (c->state != CONN_GONE && c->reason[0] == '\0') {
        (void)snprintf(c->reason, sizeof c->reason, "%s", reason);
    }
    close_now(c);
}

void peer_conn_end(struct peer_conn *c, const char *reason)
{
    if (c->state == CONN_LINKED) {
        peer_link_end(c->link, reason, peer_now_us());
        due_at(c, peer_link_next_us(c->link));
    } else {
        peer_conn_drop(c, reason);
    }
}

/* Input */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)suggested;
    OBJ_CAST(peer_conn, handle->data, CONN_MAGIC);
    *ret_buf = uv_buf_init(peer_conn->set->read_buffer, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    OBJ_CAST(peer_conn, stream->data, CONN_MAGIC);
    struct peer_conn *c = peer_conn;
    if (n == 0 || c->state != CONN_LINKED) {
        return; /* EAGAIN */
    }
    if (n > 0) {
        peer_link_recv(c->link, slice_of(buf->base, (size_t)n), peer_now_us());
        due_at(c, peer_link_next_us(c->link));
        return;
    }
    if (n == UV_EOF) {
        (void)uv_read_stop(stream);
        peer_link_recv_end(c->link, peer_now_us());
        mark_dirty(c);
        return;
    }
    fail(c, "the connection broke", (int)n);
}

/* Output */

static void on_write(uv_write_t *write, int status)
{
    OBJ_CAST(peer_conn, write->data, CONN_MAGIC);
    struct peer_conn *c = peer_conn;
    size_t n = c->write_bytes;
    c->write_bytes = 0;
    if (c->state == CONN_GONE) {
        return;
    }
    if (status < 0) {
        fail(c, "the connection broke", status);
        return;
    }
    peer_link_sent(c->link, n, peer_now_us());
    mark_dirty(c);
}

static void write_later(struct peer_conn *c, struct slice out)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)out.data, (unsigned)out.len);
    c->write.data = c;
    c->write_bytes = out.len;
    int rc = uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_write);
    if (rc != 0) {
        c->write_bytes = 0;
        fail(c, "the connection broke", rc);
    }
}

static void flush(struct peer_conn *c)
{
    for (int i = 0; c->state == CONN_LINKED && c->write_bytes == 0; i++) {
        struct slice out = peer_link_output(c->link, peer_now_us());
        if (out.len == 0) {
            break;
        }
        uv_buf_t buf = uv_buf_init((char *)(uintptr_t)out.data, (unsigned)out.len);
        int n = i < WRITES_PER_FLUSH ? uv_try_write((uv_stream_t *)&c->tcp, &buf, 1) : UV_EAGAIN;
        if (n < 0 && n != UV_EAGAIN) {
            fail(c, "the connection broke", n);
            return;
        }
        size_t sent = n > 0 ? (size_t)n : 0;
        peer_link_sent(c->link, sent, peer_now_us());
        if (sent < out.len) {
            write_later(c, slice_skip(out, sent));
        }
    }
    if (c->state == CONN_LINKED && peer_link_wants_close(c->link)) {
        close_now(c);
    }
    if (c->state == CONN_LINKED) {
        due_at(c, peer_link_next_us(c->link));
    }
}

/* The link's hooks */

static bool admits(void *ctx, const struct peer_hello *hello)
{
    struct peer_conn *c = ctx;
    return c->set->hooks->admits(c, hello);
}

static void on_up(void *ctx, const struct peer_hello *hello)
{
    struct peer_conn *c = ctx;
    c->set->hooks->on_up(c, hello);
}

static void on_message(void *ctx, const struct peer_message *m)
{
    struct peer_conn *c = ctx;
    c->set->hooks->on_message(c, m);
}

static void on_output(void *ctx)
{
    mark_dirty(ctx);
}

static const struct peer_link_hooks link_hooks = {admits, on_up, on_message, on_output};

/* Opening */

static struct peer_conn *new_conn(struct peer_set *set, enum peer_side side, void *owner)
{
    struct peer_conn *c = MEM_NEW(struct peer_conn);
    c->magic = CONN_MAGIC;
    c->set = set;
    c->owner = owner;
    c->options = (struct peer_link_options){.side = side,
                                            .own = set->own,
                                            .limits = set->limits,
                                            .hooks = &link_hooks,
                                            .ctx = c,
                                            .room = set->room};
    int rc = uv_tcp_init(set->loop, &c->tcp);
    INVARIANT(rc == 0);
    c->tcp.data = c;
    list_init(&c->dirty_link);
    list_append(&set->conns, &c->all_link);
    set->count++;
    return c;
}

/* There is a socket; the rest is the link's. */
static void be_linked(struct peer_conn *c)
{
    uint64_t now_us = peer_now_us();
    c->link = peer_link_new(&c->options, c->set->tls, now_us);
    if (c->link == NULL) {
        fail(c, "no TLS session", UV_ENOMEM);
        return;
    }
    conn_move(c, CONN_LINKED);
    (void)uv_tcp_nodelay(&c->tcp, 1);
    int rc = uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read);
    if (rc != 0) {
        fail(c, "the connection broke", rc);
        return;
    }
    mark_dirty(c);
    due_at(c, peer_link_next_us(c->link));
}

static void on_connect(uv_connect_t *connect, int status)
{
    OBJ_CAST(peer_conn, connect->data, CONN_MAGIC);
    if (peer_conn->state == CONN_GONE) {
        return;
    }
    if (status < 0) {
        fail(peer_conn, "cannot connect", status);
        return;
    }
    be_linked(peer_conn);
}

static void connect_to(struct peer_conn *c, const struct sockaddr *address)
{
    conn_move(c, CONN_CONNECTING);
    c->connect.data = c;
    int rc = uv_tcp_connect(&c->connect, &c->tcp, address, on_connect);
    if (rc != 0) {
        fail(c, "cannot connect", rc);
    }
}

/* The attempt-th of the addresses, over and over. */
static const struct addrinfo *choose(const struct addrinfo *all, uint32_t attempt)
{
    uint32_t count = 0;
    for (const struct addrinfo *a = all; a != NULL; a = a->ai_next) {
        count++;
    }
    uint32_t left = attempt % count;
    while (left-- > 0) {
        all = all->ai_next;
    }
    return all;
}

static void on_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *all)
{
    OBJ_CAST(peer_conn, resolve->data, CONN_MAGIC);
    struct peer_conn *c = peer_conn;
    c->is_resolving = false;
    if (c->state == CONN_GONE) {
        free_if_done(c);
    } else if (status < 0 || all == NULL) {
        fail(c, "no address", status < 0 ? status : UV_EAI_NODATA);
    } else {
        connect_to(c, choose(all, c->attempt)->ai_addr);
    }
    uv_freeaddrinfo(all);
}

/* "HOST:PORT", "[V6]:PORT"; false: neither. */
static bool split_address(const char *address, char ret_host[HOST_BYTES], char ret_port[8])
{
    const char *colon = strrchr(address, ':');
    size_t len = colon != NULL ? (size_t)(colon - address) : 0;
    if (len > 2 && address[0] == '[' && address[len - 1] == ']') {
        address++;
        len -= 2;
    }
    if (len == 0 || len >= HOST_BYTES || strlen(colon + 1) >= 8) {
        return false;
    }
    memcpy(ret_host, address, len);
    ret_host[len] = '\0';
    (void)snprintf(ret_port, 8, "%s", colon + 1);
    return true;
}

static void resolve(struct peer_conn *c, const char *address)
{
    char host[HOST_BYTES];
    char port[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICSERV};
    int rc = UV_EINVAL;
    c->resolve.data = c;
    if (split_address(address, host, port)) {
        rc = uv_getaddrinfo(c->set->loop, &c->resolve, on_resolved, host, port, &hints);
    }
    c->is_resolving = rc == 0;
    if (rc != 0) { /* told by the timer, not from inside the caller's call */
        (void)snprintf(c->reason, sizeof c->reason, "%.200s: %s", address, uv_strerror(rc));
        c->connect_us = 0;
    }
}

struct peer_conn *peer_conn_dial(struct peer_set *set, const char *address, uint32_t node,
                                 enum peer_channel channel, uint32_t attempt, void *owner)
{
    struct peer_conn *c = new_conn(set, PEER_DIALLED, owner);
    c->options.own.channel = channel;
    c->options.wanted_node = node;
    c->attempt = attempt;
    c->connect_us = peer_now_us() + set->limits->greeting_ms * US_PER_MS;
    resolve(c, address);
    due_at(c, c->connect_us);
    return c;
}

struct peer_conn *peer_conn_accept(struct peer_set *set, uv_stream_t *server, void *owner)
{
    struct peer_conn *c = new_conn(set, PEER_ACCEPTED, owner);
    int rc = uv_accept(server, (uv_stream_t *)&c->tcp);
    if (rc != 0) {
        fail(c, "gone before it was accepted", rc);
        return NULL;
    }
    be_linked(c);
    return c->state == CONN_GONE ? NULL : c;
}

bool peer_conn_is_up(const struct peer_conn *c)
{
    return c->state == CONN_LINKED && peer_link_state(c->link) == LINK_UP;
}

enum err peer_conn_send(struct peer_conn *c, const struct peer_message *m)
{
    return c->state == CONN_LINKED ? peer_link_send(c->link, m) : ERR_UNAVAILABLE;
}

struct peer_counts peer_conn_counts(const struct peer_conn *c)
{
    return c->link != NULL ? peer_link_counts(c->link) : (struct peer_counts){0};
}

/* Set */

static void tick(struct peer_conn *c, uint64_t now_us)
{
    heap_remove(&c->set->deadlines, &c->deadline);
    if (c->state != CONN_LINKED) {
        fail(c, "cannot connect", UV_ETIMEDOUT);
        return;
    }
    peer_link_tick(c->link, now_us);
    uint64_t at_us = peer_link_next_us(c->link);
    INVARIANT(at_us > now_us); /* else this would go on for ever */
    due_at(c, at_us);
}

static void on_timer(uv_timer_t *timer)
{
    struct peer_set *set = timer->data;
    uint64_t now_us = peer_now_us();
    set->timer_us = UINT64_MAX;
    struct heap_node *first;
    while ((first = heap_first(&set->deadlines)) != NULL && first->key <= now_us) {
        tick(CONTAINER_OF(first, struct peer_conn, deadline), now_us);
    }
    arm_timer(set);
}

void peer_set_open(struct peer_set *set, uv_loop_t *loop, const struct peer_limits *limits,
                   const struct peer_conn_hooks *hooks, const struct peer_hello *own,
                   struct tls_context *tls)
{
    *set = (struct peer_set){.loop = loop,
                             .limits = limits,
                             .hooks = hooks,
                             .own = *own,
                             .tls = tls_context_ref(tls),
                             .timer_us = UINT64_MAX,
                             .room = mem_alloc(PEER_ROOM_BYTES),
                             .read_buffer = mem_alloc(READ_BYTES)};
    list_init(&set->conns);
    list_init(&set->dirty);
    int rc = uv_timer_init(loop, &set->timer);
    INVARIANT(rc == 0);
    set->timer.data = set;
}

void peer_set_use_tls(struct peer_set *set, struct tls_context *tls)
{
    struct tls_context *old = set->tls;
    set->tls = tls_context_ref(tls);
    tls_context_unref(old);
}

void peer_set_flush(struct peer_set *set)
{
    struct peer_conn *c;
    while ((c = LIST_FIRST(&set->dirty, struct peer_conn, dirty_link)) != NULL) {
        list_remove(&c->dirty_link);
        flush(c);
    }
}

void peer_set_close(struct peer_set *set, uv_close_cb cb)
{
    PRE(set->count == 0);
    heap_done(&set->deadlines);
    mem_free(set->room);
    mem_free(set->read_buffer);
    tls_context_unref(set->tls);
    set->tls = NULL;
    uv_close((uv_handle_t *)&set->timer, cb);
}
