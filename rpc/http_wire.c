#include "rpc/http_wire.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/http_conn.h"

enum wire_state { WIRE_HANDSHAKE, WIRE_SERVING, WIRE_CLOSING, WIRE_BROKEN };

struct http_wire {
    struct http_conn *http;
    struct http_wire_shared *shared;
    struct tls *tls; /* NULL: in the clear, and SERVING */
    enum wire_state state;
    uint64_t deadline_ms; /* of the handshake, or of the last bytes */
    bool is_over;         /* ... which has passed */

    /* What is sealed and not yet sent: as long as wire_left > 0 nothing else is sealed. */
    size_t plain_bytes; /* of HTTP's output */
    size_t plain_told;  /* of these HTTP has heard that they are sent */
    size_t wire_bytes;  /* of the wire until all of it is sent */
    size_t wire_left;
};

static void wire_move(struct http_wire *w, enum wire_state to)
{
    INVARIANT(to > w->state);
    w->state = to;
}

static void tell_output(struct http_wire *w)
{
    w->http->hooks->on_output(w->http->ctx);
}

struct http_wire *http_wire_new(const struct http_limits *limits, const struct http_hooks *hooks,
                                void *ctx, struct tls_context *tls, struct http_wire_shared *shared,
                                uint64_t now_ms)
{
    struct tls *session = tls != NULL ? tls_new(tls, TLS_SERVER) : NULL;
    if (tls != NULL && session == NULL) {
        return NULL;
    }
    struct http_wire *w = MEM_NEW(struct http_wire);
    *w = (struct http_wire){.http = http_conn_new(limits, hooks, ctx, now_ms),
                            .shared = shared,
                            .tls = session,
                            .state = session != NULL ? WIRE_HANDSHAKE : WIRE_SERVING,
                            .deadline_ms = now_ms + limits->head_ms};
    return w;
}

void http_wire_share(struct http_wire *w, struct http_load *load)
{
    http_conn_share(w->http, load);
}

void http_wire_set_date(struct http_wire *w, const struct http_date *date)
{
    http_conn_set_date(w->http, date);
}

void http_wire_free(struct http_wire *w)
{
    if (w == NULL) {
        return;
    }
    http_conn_free(w->http);
    tls_free(w->tls);
    mem_free(w);
}

/* Input */

static void break_off(struct http_wire *w, uint64_t now_ms)
{
    w->shared->counts.failures++;
    wire_move(w, WIRE_BROKEN);
    w->deadline_ms = now_ms + WIRE_LAST_WORDS_MS;
    http_conn_cut(w->http);
    tell_output(w); /* HTTP may have said so before, and says it once */
}

static void begin_serving(struct http_wire *w, uint64_t now_ms)
{
    w->shared->counts.handshakes++;
    w->shared->counts.resumed += tls_is_resumed(w->tls);
    wire_move(w, WIRE_SERVING);
    http_conn_agree(w->http, tls_protocol(w->tls) == TLS_HTTP2, now_ms);
}

/* One step of what was fed; false: there is no more of it. */
static bool unseal(struct http_wire *w, uint64_t now_ms)
{
    size_t n = 0;
    enum err err = tls_read(w->tls, w->shared->room, WIRE_ROOM_BYTES, &n);
    if (w->state == WIRE_HANDSHAKE && tls_state(w->tls) == TLS_OPEN) {
        begin_serving(w, now_ms);
    }
    if (err == ERR_OK) {
        http_conn_recv(w->http, slice_of(w->shared->room, n), now_ms);
        return true;
    }
    if (err == ERR_CLOSED && w->state == WIRE_SERVING) {
        http_conn_recv_end(w->http, now_ms);
    } else if (err != ERR_MORE) {
        break_off(w, now_ms);
    }
    return false;
}

void http_wire_recv(struct http_wire *w, struct slice in, uint64_t now_ms)
{
    if (w->tls == NULL) {
        http_conn_recv(w->http, in, now_ms);
        return;
    }
    if (w->state > WIRE_SERVING || tls_state(w->tls) == TLS_ENDED) {
        return;
    }
    tls_feed(w->tls, in);
    while (unseal(w, now_ms)) {
    }
    if (tls_output_bytes(w->tls) > 0) {
        tell_output(w);
    }
}

void http_wire_recv_end(struct http_wire *w, uint64_t now_ms)
{
    switch (w->state) {
    case WIRE_HANDSHAKE:
        break_off(w, now_ms);
        return;
    case WIRE_SERVING:
        if (w->tls == NULL || tls_state(w->tls) != TLS_ENDED) {
            http_conn_recv_end(w->http, now_ms);
        }
        return;
    case WIRE_CLOSING:
    case WIRE_BROKEN:
        return;
    }
}

/* Output */

static void close_session(struct http_wire *w, uint64_t now_ms)
{
    wire_move(w, WIRE_CLOSING);
    w->deadline_ms = now_ms + WIRE_LAST_WORDS_MS;
    tls_close(w->tls);
}

static void seal(struct http_wire *w, uint64_t now_ms)
{
    struct slice plain = http_conn_output(w->http, now_ms);
    if (plain.len == 0) {
        if (http_conn_wants_close(w->http) && !w->http->is_cut) {
            close_session(w, now_ms);
        }
        return;
    }
    size_t n = plain.len < WIRE_SEAL_BYTES ? plain.len : WIRE_SEAL_BYTES;
    if (tls_write(w->tls, slice_of(plain.data, n)) != ERR_OK) {
        break_off(w, now_ms);
        return;
    }
    w->plain_bytes = n;
    w->plain_told = 0;
    w->wire_bytes = tls_output_bytes(w->tls);
    w->wire_left = w->wire_bytes;
}

struct slice http_wire_output(struct http_wire *w, uint64_t now_ms)
{
    if (w->tls == NULL) {
        return http_conn_output(w->http, now_ms);
    }
    if (w->state == WIRE_SERVING && w->wire_left == 0) {
        seal(w, now_ms);
    }
    return tls_output(w->tls);
}

void http_wire_sent(struct http_wire *w, size_t n, uint64_t now_ms)
{
    if (w->tls == NULL) {
        http_conn_sent(w->http, n, now_ms);
        return;
    }
    tls_sent(w->tls, n);
    if (w->wire_left == 0) {
        return; /* what TLS has to say for itself */
    }
    w->wire_left -= n < w->wire_left ? n : w->wire_left;
    size_t told = w->plain_bytes - w->plain_bytes * w->wire_left / w->wire_bytes;
    http_conn_sent(w->http, told - w->plain_told, now_ms);
    w->plain_told = told;
    POST(w->wire_left > 0 || w->plain_told == w->plain_bytes);
}

/* States and time */

void http_wire_rest(struct http_wire *w)
{
    http_conn_rest(w->http);
}

bool http_wire_wants_read(const struct http_wire *w)
{
    return w->state != WIRE_SERVING || http_conn_wants_read(w->http);
}

bool http_wire_wants_close(const struct http_wire *w)
{
    if (w->tls == NULL) {
        return http_conn_wants_close(w->http);
    }
    switch (w->state) {
    case WIRE_HANDSHAKE:
        return http_conn_wants_close(w->http);
    case WIRE_SERVING:
        return w->http->is_cut;
    case WIRE_CLOSING:
    case WIRE_BROKEN:
        return w->is_over || tls_output_bytes(w->tls) == 0;
    }
    UNREACHABLE();
}

uint64_t http_wire_next_deadline_ms(const struct http_wire *w)
{
    if (w->state == WIRE_SERVING) {
        return http_conn_next_deadline_ms(w->http);
    }
    return http_wire_wants_close(w) ? UINT64_MAX : w->deadline_ms;
}

void http_wire_tick(struct http_wire *w, uint64_t now_ms)
{
    switch (w->state) {
    case WIRE_HANDSHAKE:
        if (now_ms >= w->deadline_ms) {
            w->shared->counts.timeouts++;
            break_off(w, now_ms);
        }
        return;
    case WIRE_SERVING:
        http_conn_tick(w->http, now_ms);
        return;
    case WIRE_CLOSING:
    case WIRE_BROKEN:
        if (now_ms >= w->deadline_ms && !w->is_over) {
            w->is_over = true;
            tell_output(w);
        }
        return;
    }
}

void http_wire_drain(struct http_wire *w)
{
    http_conn_drain(w->http);
}

void http_wire_cut(struct http_wire *w)
{
    http_conn_cut(w->http);
}
