#include "tests/lib/tcp_proxy.h"

#include "base/mem.h"
#include "tests/lib/test.h"

enum { ROOM_BYTES = 64 * 1024 };

/* One direction: what its socket reads goes to the other's. */
struct half {
    uv_tcp_t tcp;
    uv_write_t write; /* of what this half has read */
    struct pair *pair;
    struct half *other;
    char room[ROOM_BYTES];
    bool is_closed;
    bool is_writing;
};

struct pair {
    struct tcp_proxy *proxy;
    struct list link;
    uv_connect_t connect;
    struct half client;
    struct half server;
    bool is_open;
    bool is_cut;
};

static void on_half_closed(uv_handle_t *handle)
{
    struct half *h = handle->data;
    struct pair *pair = h->pair;
    h->is_closed = true;
    if (pair->client.is_closed && pair->server.is_closed) {
        list_remove(&pair->link);
        pair->proxy->pair_count--;
        mem_free(pair);
    }
}

static void cut(struct pair *pair)
{
    if (!pair->is_cut) {
        pair->is_cut = true;
        uv_close((uv_handle_t *)&pair->client.tcp, on_half_closed);
        uv_close((uv_handle_t *)&pair->server.tcp, on_half_closed);
    }
}

static void read_on(struct half *h);

static void on_written(uv_write_t *write, int status)
{
    struct half *h = write->data;
    h->is_writing = false;
    if (status < 0) {
        cut(h->pair);
    } else {
        read_on(h);
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    (void)suggested;
    struct half *h = handle->data;
    size_t piece = h->pair->proxy->piece_bytes;
    *ret = uv_buf_init(h->room, (unsigned)(piece != 0 ? piece : ROOM_BYTES));
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct half *h = stream->data;
    if (n == 0) {
        return;
    }
    if (n < 0) {
        cut(h->pair);
        return;
    }
    (void)uv_read_stop(stream); /* until it is written: there is one buffer */
    uv_buf_t out = uv_buf_init(buf->base, (unsigned)n);
    h->write.data = h;
    h->is_writing = true;
    if (uv_write(&h->write, (uv_stream_t *)&h->other->tcp, &out, 1, on_written) != 0) {
        h->is_writing = false;
        cut(h->pair);
    }
}

static void read_on(struct half *h)
{
    struct pair *pair = h->pair;
    if (pair->is_open && !pair->is_cut && !pair->proxy->is_paused && !h->is_writing) {
        (void)uv_read_start((uv_stream_t *)&h->tcp, on_alloc, on_read);
    }
}

static void on_connected(uv_connect_t *connect, int status)
{
    struct pair *pair = connect->data;
    if (status < 0) {
        cut(pair);
        return;
    }
    pair->is_open = true;
    read_on(&pair->client);
    read_on(&pair->server);
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct tcp_proxy *p = stream->data;
    assert_int_equal(status, 0);
    struct pair *pair = MEM_NEW(struct pair);
    pair->proxy = p;
    pair->client.pair = pair->server.pair = pair;
    pair->client.other = &pair->server;
    pair->server.other = &pair->client;
    assert_int_equal(uv_tcp_init(stream->loop, &pair->client.tcp), 0);
    assert_int_equal(uv_tcp_init(stream->loop, &pair->server.tcp), 0);
    pair->client.tcp.data = &pair->client;
    pair->server.tcp.data = &pair->server;
    list_append(&p->pairs, &pair->link);
    p->pair_count++;
    p->accepted_count++;
    assert_int_equal(uv_accept(stream, (uv_stream_t *)&pair->client.tcp), 0);
    struct sockaddr_in address;
    assert_int_equal(uv_ip4_addr("127.0.0.1", p->target, &address), 0);
    pair->connect.data = pair;
    if (p->refuses || uv_tcp_connect(&pair->connect, &pair->server.tcp,
                                     (const struct sockaddr *)&address, on_connected) != 0) {
        cut(pair);
    }
}

void tcp_proxy_open(struct tcp_proxy *p, uv_loop_t *loop, uint16_t target)
{
    struct sockaddr_in address;
    *p = (struct tcp_proxy){.target = target};
    list_init(&p->pairs);
    assert_int_equal(uv_tcp_init(loop, &p->tcp), 0);
    p->tcp.data = p;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &address), 0);
    assert_int_equal(uv_tcp_bind(&p->tcp, (const struct sockaddr *)&address, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&p->tcp, 64, on_connection), 0);
}

uint16_t tcp_proxy_port(const struct tcp_proxy *p)
{
    struct sockaddr_in address;
    int len = sizeof address;
    assert_int_equal(uv_tcp_getsockname(&p->tcp, (struct sockaddr *)&address, &len), 0);
    return ntohs(address.sin_port);
}

void tcp_proxy_pause(struct tcp_proxy *p, bool is_paused)
{
    p->is_paused = is_paused;
    LIST_FOREACH (link, &p->pairs) {
        struct pair *pair = LIST_ENTRY(link, struct pair, link);
        if (is_paused && pair->is_open && !pair->is_cut) {
            (void)uv_read_stop((uv_stream_t *)&pair->client.tcp);
            (void)uv_read_stop((uv_stream_t *)&pair->server.tcp);
        }
        read_on(&pair->client);
        read_on(&pair->server);
    }
}

void tcp_proxy_cut(struct tcp_proxy *p)
{
    LIST_FOREACH (link, &p->pairs) {
        cut(LIST_ENTRY(link, struct pair, link));
    }
}

void tcp_proxy_close(struct tcp_proxy *p)
{
    tcp_proxy_cut(p);
    uv_close((uv_handle_t *)&p->tcp, NULL);
}
