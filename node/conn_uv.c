#include "node/conn_uv.h"

#include <errno.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"

/* Reads: 4 KB are some 60 requests of HTTP/2, at least; 64 KB at a time carry a large body. A read
 * that takes 1 ms was no body: the next one is shorter. */
enum {
    CONN_MAGIC = 0x636f6e6e,
    READ_BYTES_MIN = 4 * 1024,
    READ_BYTES_FIRST = 16 * 1024,
    READ_BYTES_MAX = 64 * 1024,
    READ_COSTLY_NS = 1000 * 1000,
    READ_CHEAP_NS = 250 * 1000,
    SLICE_NS = 1000 * 1000,       /* of one connection: then no further request of it begins */
    SERVE_READS_NS = 1000 * 1000, /* of one conn_set_serve; then others of the loop */
    SERVE_WRITES_NS = 1000 * 1000,
    LINGER_MS = 2000,
    SWEEP_MS = 1000,
};

static uint64_t now_ms(const struct conn_set *set)
{
    return uv_now(set->loop);
}

static void conn_move(struct conn_uv *c, enum conn_state to)
{
    INVARIANT(to > c->state);
    c->state = to;
}

/* Deadlines. A connection's place in the heap may be earlier than what is due, never later: most
 * requests move deadlines to and fro without touching the heap. */

static void on_timer(uv_timer_t *timer);

static void arm_timer(struct conn_set *set)
{
    struct heap_node *first = heap_first(&set->deadlines);
    if (first == NULL || first->key >= set->timer_ms) {
        return;
    }
    uint64_t now = now_ms(set);
    uint64_t wait_ms = first->key > now ? first->key - now : 0;
    set->timer_ms = first->key;
    int rc = uv_timer_start(&set->timer, on_timer, wait_ms, 0);
    INVARIANT(rc == 0);
}

static void due_at(struct conn_uv *c, uint64_t at_ms)
{
    if (at_ms != UINT64_MAX && (!heap_has(&c->deadline) || at_ms < c->deadline.key)) {
        heap_set(&c->set->deadlines, &c->deadline, at_ms);
        arm_timer(c->set);
    }
}

static void mark_dirty(struct conn_uv *c)
{
    rota_add(&c->set->writers, &c->host->writers, &c->writer);
}

/* Ends */

static void on_close(uv_handle_t *handle)
{
    OBJ_CAST(conn_uv, handle->data, CONN_MAGIC);
    struct conn_set *set = conn_uv->set;
    PRE(conn_uv->state == CONN_CLOSING && conn_uv->write_bytes == 0);

    list_remove(&conn_uv->link);
    set->count--;
    http_wire_free(conn_uv->wire);
    set->on_closed(set, conn_uv);
    conn_uv->magic = 0;
    mem_free(conn_uv);
}

/* The callee hears of it now; the memory goes when libuv has let go of it. */
static void close_now(struct conn_uv *c)
{
    if (c->state == CONN_CLOSING) {
        return;
    }
    conn_move(c, CONN_CLOSING);
    if (c->wire != NULL) {
        http_wire_cut(c->wire);
        rota_remove(&c->host->readers, &c->reader);
        rota_remove(&c->host->writers, &c->writer);
    }
    heap_remove(&c->set->deadlines, &c->deadline);
    uv_close((uv_handle_t *)&c->tcp, on_close);
}

static void on_shutdown(uv_shutdown_t *shutdown, int status)
{
    OBJ_CAST(conn_uv, shutdown->data, CONN_MAGIC);
    if (status < 0) {
        close_now(conn_uv);
    }
}

static void start_reading(struct conn_uv *c);

static void linger(struct conn_uv *c)
{
    c->shutdown.data = c;
    if (c->is_at_end) {
        close_now(c);
        return;
    }
    if (c->write_bytes > 0 || uv_shutdown(&c->shutdown, (uv_stream_t *)&c->tcp, on_shutdown) != 0) {
        close_now(c); /* the peer did not take what we had: there is nothing to wait for */
        return;
    }
    conn_move(c, CONN_LINGERING);
    heap_remove(&c->set->deadlines, &c->deadline);
    due_at(c, now_ms(c->set) + LINGER_MS);
    start_reading(c);
}

/* Input. libuv says when there is some, again and again until it is read: being given no buffer it
 * reads nothing by itself. */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buf)
{
    (void)handle;
    (void)suggested;
    *ret_buf = uv_buf_init(NULL, 0);
}

static void on_readable(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    (void)buf;
    OBJ_CAST(conn_uv, stream->data, CONN_MAGIC);
    if (n == UV_ENOBUFS && conn_uv->state != CONN_CLOSING) {
        rota_add(&conn_uv->set->readers, &conn_uv->host->readers, &conn_uv->reader);
    }
}

static void start_reading(struct conn_uv *c)
{
    if (!c->is_reading && !c->is_at_end) {
        c->is_reading = true;
        if (uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_readable) != 0) {
            close_now(c);
        }
    }
}

static void stop_reading(struct conn_uv *c)
{
    if (c->is_reading) {
        c->is_reading = false;
        (void)uv_read_stop((uv_stream_t *)&c->tcp);
        rota_remove(&c->host->readers, &c->reader);
    }
}

static void adjust_reading(struct conn_uv *c)
{
    if (c->state == CONN_LINGERING || http_wire_wants_read(c->wire)) {
        start_reading(c);
    } else {
        stop_reading(c);
    }
}

static void has_read(struct conn_uv *c, struct slice in)
{
    if (c->state == CONN_OPEN) {
        http_wire_recv(c->wire, in, now_ms(c->set));
        adjust_reading(c);
        due_at(c, http_wire_next_deadline_ms(c->wire));
    }
}

static void has_read_end(struct conn_uv *c)
{
    stop_reading(c);
    if (c->state != CONN_OPEN) {
        close_now(c);
        return;
    }
    c->is_at_end = true;
    http_wire_recv_end(c->wire, now_ms(c->set));
    mark_dirty(c);
}

static void read_once(struct conn_uv *c)
{
    ssize_t n = recv(c->fd, c->set->read_buffer, c->read_max, MSG_DONTWAIT);
    if (n > 0) {
        has_read(c, slice_of(c->set->read_buffer, (size_t)n));
    } else if (n == 0) {
        has_read_end(c);
    } else if (errno != EAGAIN && errno != EINTR) {
        close_now(c);
    }
}

/* What the last read cost says how much the next one may take. */
static void adjust_read_max(struct conn_uv *c, uint64_t took_ns)
{
    if (took_ns > READ_COSTLY_NS && c->read_max > READ_BYTES_MIN) {
        c->read_max /= 2;
    } else if (took_ns < READ_CHEAP_NS && c->read_max < READ_BYTES_MAX) {
        c->read_max *= 2;
    }
}

static void serve_readers(struct conn_set *set)
{
    uint64_t began_ns = clock_mono_ns();
    uint64_t now_ns = began_ns;
    struct rota_member *m;
    while (now_ns - began_ns < SERVE_READS_NS && (m = rota_next(&set->readers)) != NULL) {
        struct conn_uv *c = CONTAINER_OF(m, struct conn_uv, reader);
        uint64_t before_ns = now_ns;
        set->slice_began_ns = now_ns;
        read_once(c);
        now_ns = clock_mono_ns();
        adjust_read_max(c, now_ns - before_ns);
    }
}

/* Output */

static void on_write(uv_write_t *write, int status)
{
    OBJ_CAST(conn_uv, write->data, CONN_MAGIC);
    struct conn_uv *c = conn_uv;
    size_t n = c->write_bytes;
    c->write_bytes = 0;
    if (c->state == CONN_CLOSING) {
        return;
    }
    if (status < 0) {
        close_now(c);
        return;
    }
    http_wire_sent(c->wire, n, now_ms(c->set));
    mark_dirty(c);
}

static void write_later(struct conn_uv *c, struct slice out)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)out.data, (unsigned)out.len);
    c->write.data = c;
    c->write_bytes = out.len;
    if (uv_write(&c->write, (uv_stream_t *)&c->tcp, &buf, 1, on_write) != 0) {
        c->write_bytes = 0;
        close_now(c);
    }
}

/* Bytes taken now; negative: the connection is lost. */
static ssize_t write_now(struct conn_uv *c, struct slice out)
{
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)out.data, (unsigned)out.len);
    int n = uv_try_write((uv_stream_t *)&c->tcp, &buf, 1);
    return n == UV_EAGAIN ? 0 : n;
}

/* One buffer full. True: there may be more, when its turn comes again. */
static bool send_some(struct conn_uv *c)
{
    if (c->write_bytes > 0) {
        return false;
    }
    struct slice out = http_wire_output(c->wire, now_ms(c->set));
    if (out.len == 0) {
        return false;
    }
    ssize_t n = write_now(c, out);
    if (n < 0) {
        close_now(c);
        return false;
    }
    http_wire_sent(c->wire, (size_t)n, now_ms(c->set));
    if ((size_t)n < out.len) {
        write_later(c, slice_skip(out, (size_t)n));
        return false;
    }
    return true;
}

static void flush(struct conn_uv *c)
{
    if (send_some(c)) {
        mark_dirty(c);
        return;
    }
    if (c->state != CONN_OPEN) {
        return;
    }
    if (http_wire_wants_close(c->wire)) {
        linger(c);
        return;
    }
    adjust_reading(c);
    due_at(c, http_wire_next_deadline_ms(c->wire));
}

/* Hooks of the wire: the callee's, and the dirty list. */

static void on_request(void *ctx, struct http_exchange *x)
{
    OBJ_CAST(conn_uv, ctx, CONN_MAGIC);
    struct conn_set *set = conn_uv->set;
    set->hooks->on_request(set->ctx, x);
    if (clock_mono_ns() - set->slice_began_ns > SLICE_NS) {
        http_wire_rest(conn_uv->wire);
    }
}

static void on_cancel(void *ctx, struct http_exchange *x)
{
    struct conn_set *set = ((struct conn_uv *)ctx)->set;
    set->hooks->on_cancel(set->ctx, x);
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    struct conn_set *set = ((struct conn_uv *)ctx)->set;
    set->hooks->on_writable(set->ctx, x);
}

static void on_output(void *ctx)
{
    OBJ_CAST(conn_uv, ctx, CONN_MAGIC);
    if (conn_uv->state == CONN_OPEN) {
        mark_dirty(conn_uv);
    }
}

static void on_data(void *ctx, struct http_exchange *x, struct slice in, bool is_end)
{
    struct conn_set *set = ((struct conn_uv *)ctx)->set;
    set->hooks->on_data(set->ctx, x, in, is_end);
}

static const struct http_hooks conn_hooks = {.on_request = on_request,
                                             .on_cancel = on_cancel,
                                             .on_writable = on_writable,
                                             .on_output = on_output,
                                             .on_data = on_data};

/* Connection */

void conn_uv_start(struct conn_set *set, const struct accepted *new, struct client_host *host)
{
    struct conn_uv *c = MEM_NEW(struct conn_uv);
    c->magic = CONN_MAGIC;
    c->set = set;
    c->host = host;
    c->fd = new->fd;
    c->read_max = READ_BYTES_FIRST;
    rota_member_init(&c->reader);
    rota_member_init(&c->writer);
    list_append(&set->conns, &c->link);
    set->count++;
    int rc = uv_tcp_init(set->loop, &c->tcp);
    rc = rc != 0 ? rc : uv_tcp_open(&c->tcp, new->fd);
    INVARIANT(rc == 0); /* it is a socket that does not block, and nobody else's */
    c->tcp.data = c;
    c->wire = http_wire_new(set->limits, &conn_hooks, c, set->tls, &set->shared, now_ms(set));
    if (c->wire == NULL) {
        close_now(c); /* no memory for a session */
        return;
    }
    http_wire_share(c->wire, &host->load);
    http_wire_set_date(c->wire, set->date);
    start_reading(c);
    if (new->has_bytes) { /* the loop has not heard of them, and need not */
        rota_add(&set->readers, &host->readers, &c->reader);
    }
    due_at(c, http_wire_next_deadline_ms(c->wire));
}

struct rota_party *conn_uv_sidework(const struct http_exchange *x)
{
    OBJ_CAST(conn_uv, http_exchange_owner(x), CONN_MAGIC);
    return &conn_uv->host->sidework;
}

/* Set */

static void tick(struct conn_uv *c)
{
    heap_remove(&c->set->deadlines, &c->deadline);
    if (c->state == CONN_LINGERING) {
        close_now(c);
        return;
    }
    http_wire_tick(c->wire, now_ms(c->set));
    uint64_t at_ms = http_wire_next_deadline_ms(c->wire);
    INVARIANT(at_ms > now_ms(c->set)); /* else this would go on for ever */
    due_at(c, at_ms);
}

static void on_timer(uv_timer_t *timer)
{
    struct conn_set *set = timer->data;
    set->timer_ms = UINT64_MAX;
    struct heap_node *first;
    while ((first = heap_first(&set->deadlines)) != NULL && first->key <= now_ms(set)) {
        tick(CONTAINER_OF(first, struct conn_uv, deadline));
    }
    arm_timer(set);
}

void conn_set_open(struct conn_set *set, uv_loop_t *loop, const struct http_limits *limits,
                   const struct http_hooks *hooks, void *ctx, const struct http_load *load,
                   conn_closed_cb on_closed)
{
    *set = (struct conn_set){.loop = loop,
                             .limits = limits,
                             .hooks = hooks,
                             .ctx = ctx,
                             .load = load,
                             .on_closed = on_closed,
                             .timer_ms = UINT64_MAX,
                             .read_buffer = mem_alloc(READ_BYTES_MAX)};
    list_init(&set->conns);
    rota_init(&set->readers);
    rota_init(&set->writers);
    int rc = uv_timer_init(loop, &set->timer);
    INVARIANT(rc == 0);
    set->timer.data = set;
}

void conn_set_use_tls(struct conn_set *set, struct tls_context *tls)
{
    tls_context_unref(set->tls);
    set->tls = tls_context_ref(tls);
    if (set->shared.room == NULL) {
        set->shared.room = mem_alloc(WIRE_ROOM_BYTES);
    }
}

/* While too much is in memory deadlines are nearer than they were when the heap was told. */
static void sweep(struct conn_set *set)
{
    if (!http_load_is_pressing(set->load, set->limits) || now_ms(set) < set->swept_ms + SWEEP_MS) {
        return;
    }
    set->swept_ms = now_ms(set);
    LIST_FOREACH (link, &set->conns) {
        struct conn_uv *c = LIST_ENTRY(link, struct conn_uv, link);
        if (c->state == CONN_OPEN) {
            tick(c);
        }
    }
}

static void serve_writers(struct conn_set *set)
{
    set->slice_began_ns = clock_mono_ns();
    uint64_t until_ns = set->slice_began_ns + SERVE_WRITES_NS;
    struct rota_member *m;
    while (set->slice_began_ns < until_ns && (m = rota_next(&set->writers)) != NULL) {
        flush(CONTAINER_OF(m, struct conn_uv, writer));
        set->slice_began_ns = clock_mono_ns();
    }
    if (!rota_is_empty(&set->writers)) { /* the loop comes again without sleeping */
        set->timer_ms = now_ms(set);
        int rc = uv_timer_start(&set->timer, on_timer, 0, 0);
        INVARIANT(rc == 0);
    }
}

void conn_set_serve(struct conn_set *set)
{
    sweep(set);
    serve_readers(set);
    serve_writers(set);
}

bool conn_set_write(struct conn_set *set)
{
    bool has_some = !rota_is_empty(&set->writers);
    if (has_some) {
        serve_writers(set);
    }
    return has_some;
}

void conn_set_drain(struct conn_set *set)
{
    LIST_FOREACH (link, &set->conns) {
        struct conn_uv *c = LIST_ENTRY(link, struct conn_uv, link);
        if (c->state == CONN_OPEN) {
            http_wire_drain(c->wire);
        }
    }
}

void conn_set_cut(struct conn_set *set)
{
    LIST_FOREACH (link, &set->conns) {
        close_now(LIST_ENTRY(link, struct conn_uv, link));
    }
}

void conn_set_close(struct conn_set *set, uv_close_cb cb)
{
    PRE(set->count == 0);
    heap_done(&set->deadlines);
    mem_free(set->read_buffer);
    set->read_buffer = NULL;
    mem_free(set->shared.room);
    set->shared.room = NULL;
    tls_context_unref(set->tls);
    set->tls = NULL;
    uv_close((uv_handle_t *)&set->timer, cb);
}
