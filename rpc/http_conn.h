/* The inside of a connection and its exchanges, for rpc/http*.c alone; others include rpc/http.h.
 *
 * Exchanges stand in `exchanges` in the order in which their requests began. They come from
 * and go back to a small pool of the connection, with their memory.
 *
 * Invariants
 *   - callee_has(x) exactly in WAITING, STREAMING and SOCKET: only then hooks may name x.
 *   - bytes enter `out` only in http_conn_output and only when all of it was sent: the slice
 *     handed out does not move.
 *   - request_bytes and unsent_bytes are the sums over the exchanges, and part of the load's; so is
 *     what was in `out` when it was filled. */
#ifndef RPC_HTTP_CONN_H
#define RPC_HTTP_CONN_H

#include "base/buf.h"
#include "base/list.h"
#include "rpc/http.h"
#include "rpc/http1.h"
#include "rpc/http2.h"

enum {
    HTTP_OUT_BYTES = 256 * 1024,     /* `out` is filled up to about this */
    HTTP_PROGRESS_BYTES = 16 * 1024, /* a stall is less than this in limits.stall_ms */
    HTTP_SPARE_EXCHANGES = 32,
    HTTP_PRESSED_STALL_MS = 1000, /* limits.stall_ms, while there is too much in memory */
    HTTP_TRIM_MS = 1000,          /* an idle connection gives back its buffers */
    HTTP_RETRY_MS = 100,          /* how often a stream that waits for its load is looked at */
};

/* What a request is told whose load is full. */
#define HTTP_FULL_DETAIL "Requests and answers of this address wait."
#define HTTP_FULL_LIMIT  "address_bytes_max"

enum http_protocol {
    HTTP_SNIFFING, /* the first bytes may still be the preface of HTTP/2 */
    HTTP_ONE,
    HTTP_TWO,
};

enum http_exchange_state {
    HTTP_SPARE,     /* in the pool */
    HTTP_RECEIVING, /* head or body still come in */
    HTTP_WAITING,   /* the callee owes an answer */
    HTTP_STREAMING, /* the callee writes one */
    HTTP_SOCKET,    /* bytes go both ways */
    HTTP_ANSWERED,  /* complete here; bytes may still be on their way */
};

/* Who is slow: time since the last HTTP_PROGRESS_BYTES moved. */
struct http_progress {
    uint64_t mark_ms;
    size_t bytes;
};

struct http_exchange {
    struct list link;
    struct http_conn *conn;
    enum http_exchange_state state;

    struct http_request request;
    void *user;
    struct buf head;      /* what the request's slices point into */
    size_t request_bytes; /* of head and body, as counted */
    struct http_header *headers;
    size_t header_cap;
    struct bytes *body; /* while it is received: capacity body_cap, length in `len` */
    size_t body_cap;
    struct http_progress received;

    const struct http_header *more_fields; /* of the answer; http_exchange_set_fields */
    size_t more_count;
    bool is_bodyless;    /* HEAD, 204, 304: no body in the answer, whatever is given */
    bool wants_writable; /* a write was refused ... */
    bool waits_for_load; /* ... because the load was full */
    bool writable_due;   /* on_writable is to be called after the output is filled */
    bool is_broken_off;  /* http_stream_abort */
    struct bytes *answer;
    size_t answer_at;
    struct buf stream;
    size_t stream_at;
    struct http_progress taken; /* by the peer */
    size_t ahead; /* SOCKET: bytes that came and are not consumed; what the callee holds: */
    size_t part;
    size_t unsent_held;

    struct http1_answer h1;
    struct http2_stream h2;
};

struct http_conn {
    const struct http_limits *limits;
    const struct http_hooks *hooks;
    void *ctx;
    uint64_t now_ms; /* the last that we were told */
    enum http_protocol protocol;
    bool is_secure;       /* under TLS */
    size_t sniffed_bytes; /* of the preface, so far */
    uint64_t sniff_since_ms;

    struct list exchanges;
    size_t exchange_count;
    struct list spare;
    size_t spare_count;
    size_t request_bytes;
    size_t unsent_bytes;
    const struct http_date *date; /* NULL: there is no clock */
    struct http_load own_load;
    struct http_load *load; /* own_load, or that of the address */
    uint64_t retry_ms;      /* streams wait for the load; 0: none does */

    struct buf out;
    size_t out_at;
    size_t out_counted; /* of it, in the load */
    struct http_progress sent;
    bool output_told; /* on_output was called and http_conn_output not yet */

    bool is_resting; /* no request begins before the next fill */
    bool end_is_due; /* the peer sends no more than what is held */
    bool is_draining;
    bool is_deaf; /* input is dropped: the next that happens is the end */
    bool is_cut;  /* the peer is gone, or treated so: nothing is sent either */
    uint64_t idle_since_ms;
    bool is_half_closed;     /* the peer sends no more ... */
    uint64_t half_closed_ms; /* ... since then */

    struct http1 h1;
    struct http2 h2;
};

/* Pool and lifetime */
struct http_exchange *http_exchange_new(struct http_conn *c);
void http_exchange_move(struct http_exchange *x, enum http_exchange_state to);
void http_exchange_gone(struct http_exchange *x);   /* back to the pool */
void http_exchange_free(struct http_exchange *x);   /* out of the pool */
void http_exchange_cancel(struct http_exchange *x); /* tells the callee where it has it; gone */

/* Receiving */

/* Copies into the head, which may move: the request's slices move with it. */
struct slice http_exchange_keep(struct http_exchange *x, struct slice bytes);
void http_exchange_add_header(struct http_exchange *x, struct slice name, struct slice value);
enum err http_exchange_add_body(struct http_exchange *x, struct slice piece,
                                uint64_t announced) MUST_CHECK;
void http_exchange_arrived(struct http_exchange *x); /* whole: on_request */

/* The answer's bytes, from the body or the stream; empty: none now. */
struct slice http_exchange_peek(const struct http_exchange *x);
void http_exchange_took(struct http_exchange *x, size_t n);
void http_exchange_retry(struct http_exchange *x);            /* the load may have room again */
bool http_exchange_is_drained(const struct http_exchange *x); /* and there will be no more */

/* Sockets (rpc/http_socket.c) */

/* On HTTP/1.1, once the head is in: what comes behind a request that asks for one is the socket's. What is
 * wrong with it, or NULL. */
const char *http1_socket_ask(struct http_conn *c, struct http_exchange *x);
bool http1_socket_is_open(const struct http_conn *c); /* or was: what comes is not a request */
/* What is wrong with a request that asks for one; NULL: nothing. */
const char *http_socket_check(const struct http_exchange *x, bool has_body);
void http_socket_deliver(struct http_exchange *x, struct slice in, bool is_end);
bool http_socket_wants_data(const struct http_exchange *x);
uint64_t http_socket_deadline_ms(const struct http_exchange *x); /* when it is cut; UINT64_MAX */

void http_conn_tell_output(struct http_conn *c);

/* The text for the Date field; empty: there is none to send. */
struct slice http_conn_date(const struct http_conn *c);

/* The books. An exchange's request has so many bytes now; bytes of answers come in, or go where they
 * are negative. */
void http_conn_count_request(struct http_exchange *x, size_t bytes);
void http_conn_count_unsent(struct http_conn *c, ptrdiff_t bytes);
uint64_t http_conn_stall_ms(const struct http_conn *c);
/* The limit for which a request that has come is refused; without a name: it is taken. */
struct problem_limit http_conn_full_limit(const struct http_conn *c);
bool http_conn_has_too_many(const struct http_conn *c); /* even for answers of 429 */
void http_conn_cancel_all(struct http_conn *c);

void http_progress_start(struct http_progress *p, uint64_t now_ms);
void http_progress_made(struct http_progress *p, size_t bytes, uint64_t now_ms);

#endif
