/* The server side of HTTP: one interface over HTTP/1.1 and HTTP/2, bytes in, requests and bytes
 * out. In the clear the client's first bytes tell which of the two it speaks; under TLS
 * (rpc/http_wire.h) that is agreed on.
 *
 * A connection (struct http_conn) is fed what its socket read and asked what to write; an exchange
 * is one request and its answer. Nothing in here does I/O or reads a clock.
 *
 *     RECEIVING --on_request--> WAITING --http_respond-------------------------> ANSWERED --> gone
 *                                  |                                                ^
 *                                  +-http_stream_begin--> STREAMING -http_stream_end-+
 *                                  +-http_socket_accept--> SOCKET ---http_stream_end-+
 *
 * Who may touch an exchange
 *   - on_request hands it to the callee, headers and whole body in. The callee answers at once or
 *     later, on the same thread. From the call of http_respond or http_stream_end on it is no
 *     longer the callee's.
 *   - on_cancel takes it back: the client reset it or went away. The exchange, and every slice of
 *     its request, is gone when on_cancel returns. Answering inside on_cancel is a mistake.
 *   - Request slices and headers live until one of the two, or until an answer begins.
 *
 * Hooks are called from http_conn_recv, _output, _tick and _cut; none of them may call these, or
 * http_conn_free, for the same connection. Answering any exchange inside a hook is fine, and
 * http_conn_rest.
 *
 * Malformed, oversized and slow requests are answered here, as problem+json, and are never seen
 * by the callee. */
#ifndef RPC_HTTP_H
#define RPC_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/slice.h"
#include "rpc/http_field.h"
#include "rpc/problem.h"

struct http_conn;
struct http_date;
struct http_exchange;

struct http_limits {
    size_t header_bytes_max;      /* of one header section, names and values */
    size_t header_count_max;      /* fields of one header section */
    size_t target_bytes_max;      /* path and query */
    size_t body_bytes_max;        /* of one request */
    size_t pipelined_max;         /* HTTP/1.1: requests read ahead of the answers */
    size_t streams_max;           /* HTTP/2: requests at a time */
    size_t stream_bytes_max;      /* unsent bytes of one streamed answer */
    size_t conn_body_bytes_max;   /* requests of one connection, received and not answered */
    size_t conn_unsent_bytes_max; /* answers of one connection that the peer has not taken */
    size_t conn_stream_bytes_max; /* the same, where streamed answers stop being written */
    size_t address_bytes_max;     /* requests and answers of all connections of an address */
    size_t address_requests_max;  /* ... and how many */
    size_t total_bytes_max;       /* of all addresses */
    uint64_t head_ms;             /* from the first byte of a header section to its last */
    uint64_t stall_ms;            /* for each 16 KB of a body, or of an answer the peer must read */
    uint64_t idle_ms;             /* a connection without exchanges */
    uint64_t half_closed_ms;      /* for answers to a peer that has closed its side */
};

/* Sized for bodies of a few MiB and thousands of connections; reasons are with the numbers. */
extern const struct http_limits http_limits_default;

/* What connections hold together: those of one remote address, and all of a worker (`whole`).
 *
 * An address over its share is full: further requests and bodies of it are 429, and its streams wait.
 * While all addresses together are over limits.total_bytes_max, that is so for each that holds more
 * than little. Where it is full, or all are over, who does not read or send has a second, not
 * limits.stall_ms, for each 16 KB, and so makes room for those who do. Deadlines given before that may
 * be too late: tick all connections while http_load_is_pressing. */
struct http_load {
    size_t request_bytes; /* header sections and bodies, until the answer begins */
    size_t unsent_bytes;  /* of answers */
    size_t exchange_count;
    struct http_load *whole; /* counts this too; NULL: this is all there is */
};
bool http_load_is_full(const struct http_load *load, const struct http_limits *limits);
bool http_load_has_room(const struct http_load *load, const struct http_limits *limits,
                        size_t bytes);
bool http_load_is_pressing(const struct http_load *whole, const struct http_limits *limits);

/* Borrowed until the exchange ends. */
struct http_request {
    struct slice method;
    struct slice target;    /* raw, not percent-decoded: "/path?query", or "*" for OPTIONS */
    struct slice authority; /* of the target, else the Host field; may be empty */
    const struct http_header *headers; /* names in lower case, values trimmed */
    size_t header_count;
    struct bytes *body; /* NULL when there is none; take a reference to keep it */
    bool is_secure;     /* it came under TLS */
    bool wants_socket;  /* it asks for a WebSocket: a GET, also where the version says CONNECT */
};

struct http_hooks {
    void (*on_request)(void *ctx, struct http_exchange *x);
    void (*on_cancel)(void *ctx, struct http_exchange *x);
    /* After http_stream_write said ERR_OVERLOADED: there may be room again. */
    void (*on_writable)(void *ctx, struct http_exchange *x);
    /* There may be something to send: once, until http_conn_output is called. */
    void (*on_output)(void *ctx);
    /* A socket: bytes of the client, good until it returns; with is_end the last. NULL: none is ever
     * accepted. */
    void (*on_data)(void *ctx, struct http_exchange *x, struct slice in, bool is_end);
};

/* Connection. `limits` and `hooks` are borrowed until http_conn_free. */
struct http_conn *http_conn_new(const struct http_limits *limits, const struct http_hooks *hooks,
                                void *ctx, uint64_t now_ms);
/* At once after http_conn_new: `load` counts this connection too, until it is freed. */
void http_conn_share(struct http_conn *c, struct http_load *load);
/* Likewise: answers carry this date, as it is when they begin. Without one they carry none. */
void http_conn_set_date(struct http_conn *c, const struct http_date *date);
void http_conn_free(struct http_conn *c); /* cancels what is open; NULL is fine */

/* Before the first bytes, under TLS: which of the two it is was agreed on. */
void http_conn_agree(struct http_conn *c, bool is_http2, uint64_t now_ms);

/* Takes all of `in`. After the connection wants to close it drops it. */
void http_conn_recv(struct http_conn *c, struct slice in, uint64_t now_ms);

/* The peer sends no more. It may have closed its side right after asking, or be gone: that looks the
 * same from here. What HTTP/1 asked for whole is answered if that takes less than half_closed_ms; then
 * the connection wants to close. A request cut off, a streamed answer and HTTP/2 end now. */
void http_conn_recv_end(struct http_conn *c, uint64_t now_ms);

/* What to send next, empty when there is nothing. The slice stays where it is and unchanged until
 * http_conn_sent has taken all of it. */
struct slice http_conn_output(struct http_conn *c, uint64_t now_ms);
void http_conn_sent(struct http_conn *c, size_t n, uint64_t now_ms);

/* False while more input would pass a bound: stop reading, ask again after the next flush. */
bool http_conn_wants_read(const struct http_conn *c);

/* From a hook too: no further request begins until http_conn_output is called again. For a caller who
 * divides his time among connections; on_output asks for that call. */
void http_conn_rest(struct http_conn *c);

/* When to call http_conn_tick; UINT64_MAX for never. It can come earlier than what is due, and
 * changes with every other call. */
uint64_t http_conn_next_deadline_ms(const struct http_conn *c);
void http_conn_tick(struct http_conn *c, uint64_t now_ms);

void http_conn_drain(
    struct http_conn *c);                /* no new exchanges; wants to close after the open ones */
void http_conn_cut(struct http_conn *c); /* the peer is gone: cancels what is open */
bool http_conn_wants_close(const struct http_conn *c); /* and has nothing left to send */

/* Exchange */
const struct http_request *http_exchange_request(const struct http_exchange *x);
void *http_exchange_user(const struct http_exchange *x); /* NULL at first */
void http_exchange_set_user(struct http_exchange *x, void *user);

/* Another target in place of the request's: copied. */
void http_exchange_set_target(struct http_exchange *x, struct slice target);

/* Fields that the answer has whoever gives it, but where it has one of the first one's name already.
 * Borrowed until the answer begins. */
void http_exchange_set_fields(struct http_exchange *x, const struct http_header *fields,
                              size_t count);

void *http_exchange_owner(const struct http_exchange *x); /* the `ctx` of its connection */

/* The callee holds so many bytes more for the exchange, until its answer begins: they count with those
 * of the request. */
void http_exchange_hold(struct http_exchange *x, size_t bytes);
/* The limit that an answer of so many bytes would pass, of its connection's load; without a name: none. */
struct problem_limit http_exchange_full_limit(const struct http_exchange *x, size_t bytes);

/* The value of the first field of this name (lower case); false where there is none. */
bool http_request_header(const struct http_request *r, const char *name, struct slice *ret_value);

/* The whole answer. Takes a reference of its own on `body` (may be NULL). Fields that are not
 * valid or belong to the codec (content-length, connection, date ...) are left out. HEAD gets the
 * length of the body without the body. status: 200 to 599. */
void http_respond(struct http_exchange *x, int status, const struct http_header *headers,
                  size_t count, struct bytes *body);

/* Likewise with the part of `holder` from `at` on as the body: what lies there is not copied, however
 * many answers show it. */
void http_respond_from(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t count, struct bytes *holder, size_t at);

/* The answer of an error: its status, problem+json, Retry-After where API section 1 asks for it. */
void http_respond_problem(struct http_exchange *x, enum err err, struct slice detail,
                          const struct problem_limit *limit);

/* An answer in pieces. http_stream_write copies; ERR_OVERLOADED: the buffer or the connection's load is
 * full, nothing was taken, on_writable will say when to go on. One write may pass the bound by its own
 * length. Where nothing waits to be sent HTTP_STREAM_SMALL_BYTES are always taken.
 * http_stream_has_room says the same before the piece is made. */
enum { HTTP_STREAM_SMALL_BYTES = 4096 };
bool http_stream_has_room(struct http_exchange *x, size_t bytes);
void http_stream_begin(struct http_exchange *x, int status, const struct http_header *headers,
                       size_t count);
enum err http_stream_write(struct http_exchange *x, struct slice piece) MUST_CHECK;
void http_stream_end(struct http_exchange *x);

/* The answer cannot be finished: the client sees it broken off, not ended. */
void http_stream_abort(struct http_exchange *x);

/* A socket: an answer that is the consent to go on as a WebSocket, by RFC 6455 on HTTP/1.1 and by RFC 8441
 * on HTTP/2, where the request wants_socket; any other answer refuses it. From then on bytes go both ways
 * until the callee ends it: out as those of a stream, in by on_data. What they mean is not known here
 * (rpc/websocket.h). After is_end nothing comes any more, and the callee ends it before long.
 *
 * What has come is consumed by the callee when he likes: while more than HTTP_SOCKET_AHEAD_BYTES wait for
 * that, the client is held back. What he keeps of it, and what he is yet to write, he tells, and it
 * counts with what the connection, its address and all hold: `part` of a message that is still to come
 * whole (over HTTP_SOCKET_LITTLE_BYTES it must get on as a body must), `waiting` to be worked on, `unsent`.
 * Where http_socket_has_room says false no more should be kept. */
enum { HTTP_SOCKET_AHEAD_BYTES = 128 * 1024, HTTP_SOCKET_LITTLE_BYTES = 64 * 1024 };
void http_socket_accept(struct http_exchange *x, const struct http_header *headers, size_t count);
void http_socket_consume(struct http_exchange *x, size_t bytes);
void http_socket_hold(struct http_exchange *x, size_t part, size_t waiting, size_t unsent);
bool http_socket_has_room(const struct http_exchange *x);

#endif
