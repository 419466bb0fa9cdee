/* The server's side of TLS: whatever comes in, before, inside or behind a handshake, memory stays
 * bounded, a broken session holds nobody's request, and time ends what does not get on.
 *
 * The first byte of an input says how long the pieces are. If the second one is even, the rest is fed
 * as it is; else it is a list of what a client does that speaks TLS and then misbehaves. */
#include <stdio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"
#include "rpc/http_wire.h"
#include "tests/fuzz/fuzz.h"
#include "tests/lib/test.h"
#include "tests/lib/tls_certs.h"
#include "tests/lib/tls_client.h"

enum { PATH_BYTES = 4096, TURNS_MAX = 64 };

struct world {
    struct http_wire *wire;
    uint64_t now_ms;
    size_t piece;
    size_t cancelled;
};

static struct tls_context *context;
static struct http_wire_shared shared;
static struct http_load load;

static void on_request(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    HOLDS(http_exchange_request(x)->is_secure);
    http_respond(x, 200, NULL, 0, http_exchange_request(x)->body);
}

static void on_cancel(void *ctx, struct http_exchange *x)
{
    (void)x;
    ((struct world *)ctx)->cancelled++;
}

static void on_writable(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    (void)x;
}

static void on_output(void *ctx)
{
    (void)ctx;
}

static const struct http_hooks hooks = {on_request, on_cancel, on_writable, on_output, NULL};

static void make_context(void)
{
    char cert[PATH_BYTES];
    char key[PATH_BYTES];
    char detail[TLS_DETAIL_BYTES];
    random_init();
    char *dir = test_make_dir();
    struct tls_cert c = tls_cert_make(NULL, &(struct tls_cert_options){0});
    tls_cert_save(&c, dir, "cert");
    tls_cert_save_key(&c, dir, "key", NULL);
    tls_cert_done(&c);
    (void)snprintf(cert, sizeof cert, "%s/cert", dir);
    (void)snprintf(key, sizeof key, "%s/key", dir);
    const struct tls_files files = {.cert = cert, .key = key};
    enum err err = tls_context_new(TLS_FOR_CLIENTS, &files, clock_wall_ms(), &context, detail);
    HOLDS(err == ERR_OK);
    test_remove_dir(dir);
    shared.room = mem_alloc(WIRE_ROOM_BYTES);
}

static void feed(struct world *w, struct slice in)
{
    while (in.len > 0) {
        size_t n = in.len < w->piece ? in.len : w->piece;
        http_wire_recv(w->wire, slice_of(in.data, n), w->now_ms);
        in = slice_skip(in, n);
    }
}

/* To the client, or to nobody. */
static void flush(struct world *w, struct tls_client *client)
{
    struct slice out;
    while ((out = http_wire_output(w->wire, w->now_ms)).len > 0) {
        HOLDS(out.len <= 2 * TLS_CONTROL_BYTES_MAX + WIRE_SEAL_BYTES);
        size_t n = out.len < w->piece * 64 ? out.len : w->piece * 64;
        if (client != NULL) {
            tls_client_recv(client, slice_of(out.data, n));
        }
        http_wire_sent(w->wire, n, w->now_ms);
    }
}

static void pass_time(struct world *w, uint64_t ms)
{
    w->now_ms += ms;
    if (http_wire_next_deadline_ms(w->wire) <= w->now_ms) {
        http_wire_tick(w->wire, w->now_ms);
        HOLDS(http_wire_next_deadline_ms(w->wire) > w->now_ms);
    }
}

static struct slice take(struct slice *in, size_t n)
{
    struct slice taken = slice_of(in->data, n < in->len ? n : in->len);
    *in = slice_skip(*in, taken.len);
    return taken;
}

static void misbehave(struct world *w, struct tls_client *c, struct slice *in)
{
    static const char request[] = "PUT /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    struct buf bytes = {0};
    uint8_t what = take(in, 1).data[0];
    size_t n = what / 8U;
    switch (what % 8) {
    case 0:
        if (c->is_done && SSL_get_shutdown(c->ssl) == 0) {
            tls_client_send(c, slice_of(request, sizeof request - 1 - n % 4), &bytes);
        }
        break;
    case 1: /* the next bytes with one of them changed */
        tls_client_take(c, &bytes);
        if (bytes.len > 0) {
            bytes.data[n * 97 % bytes.len] ^= (uint8_t)(1 + n);
        }
        break;
    case 2: /* ... cut off */
        tls_client_take(c, &bytes);
        bytes.len -= bytes.len < n ? bytes.len : n;
        break;
    case 3:
        if (c->is_done && SSL_version(c->ssl) == TLS1_3_VERSION) {
            (void)SSL_key_update(c->ssl, n % 2);
            (void)SSL_do_handshake(c->ssl);
        }
        break;
    case 4:
        (void)SSL_shutdown(c->ssl);
        break;
    case 5:
        buf_append_slice(&bytes, take(in, n));
        break;
    case 6:
        pass_time(w, n * 1000);
        break;
    case 7:
        http_wire_recv_end(w->wire, w->now_ms);
        break;
    }
    tls_client_take(c, &bytes);
    feed(w, buf_slice(&bytes));
    buf_done(&bytes);
}

static void open_world(struct world *w, size_t piece)
{
    *w = (struct world){.now_ms = 1000, .piece = piece};
    w->wire = http_wire_new(&http_limits_default, &hooks, w, context, &shared, w->now_ms);
    HOLDS(w->wire != NULL);
    http_wire_share(w->wire, &load);
}

/* Whatever was done, the connection comes to its end in bounded time. */
static void close_world(struct world *w)
{
    uint64_t began_ms = w->now_ms;
    http_wire_drain(w->wire);
    while (!http_wire_wants_close(w->wire)) {
        flush(w, NULL);
        uint64_t at_ms = http_wire_next_deadline_ms(w->wire);
        if (http_wire_wants_close(w->wire)) {
            break;
        }
        HOLDS(at_ms != UINT64_MAX && at_ms < began_ms + 60 * 60 * 1000);
        pass_time(w, at_ms > w->now_ms ? at_ms - w->now_ms : 0);
    }
    http_wire_free(w->wire);
    HOLDS(load.request_bytes == 0 && load.unsent_bytes == 0);
}

static void run_client(size_t piece, uint8_t kind, struct slice in)
{
    static const char *const protocols[] = {NULL, "\x08http/1.1", "\x02h2", "\x02h3"};
    struct world w;
    struct tls_client client;
    open_world(&w, piece);
    tls_client_open(
        &client, &(struct tls_client_options){.protocols = protocols[kind / 2 % 4],
                                              .version_max = (kind & 8) != 0 ? TLS1_2_VERSION : 0});
    for (int turn = 0; turn < TURNS_MAX && in.len > 0; turn++) {
        misbehave(&w, &client, &in);
        flush(&w, &client);
    }
    tls_client_close(&client);
    close_world(&w);
}

static void run_raw(size_t piece, struct slice in)
{
    struct world w;
    open_world(&w, piece);
    feed(&w, in);
    flush(&w, NULL);
    close_world(&w);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3) {
        return 0;
    }
    if (context == NULL) {
        make_context();
    }
    size_t piece = data[0] == 0xff ? SIZE_MAX / 64 : 1U + data[0];
    struct slice in = slice_of(data + 2, len - 2);
    if (data[1] % 2 == 0) {
        run_raw(piece, in);
    } else {
        run_client(piece, data[1], in);
    }
    return 0;
}
