/* HTTP/2, the server's side of one connection, over a session of nghttp2. For rpc/http*.c alone.
 *
 * nghttp2 keeps the protocol (framing, HPACK, flow control, what makes a request malformed); here
 * streams become exchanges and the limits of rpc/http.h are applied. nghttp2 of Debian 12 limits
 * the resets that a client sends and the number of CONTINUATIONs; all else a hostile peer can do
 * is watched here and in rpc/http2_guard.h.
 *
 * Invariants
 *   - the user data of a stream is its exchange, or NULL once the exchange is gone.
 *   - a connection that dies says why by GOAWAY, and is deaf from then on.
 *   - a stream's window is opened again only while the bodies of the connection are within their
 *     bound; over it one request alone goes on, so that the others' turn comes. */
#ifndef RPC_HTTP2_H
#define RPC_HTTP2_H

#include <nghttp2/nghttp2.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "rpc/http2_guard.h"

struct http_conn;
struct http_exchange;
struct http_header;

/* Prior knowledge: a client that speaks HTTP/2 in the clear says so with its first 24 bytes. */
#define HTTP2_PREFACE SLICE("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

enum {
    HTTP2_STREAM_WINDOW_BYTES = 128 * 1024, /* times streams_max is what a peer can send ahead */
    HTTP2_CONN_WINDOW_BYTES = 4 * 1024 * 1024,
    HTTP2_DISCARD_BYTES_MAX = 64 * 1024 * 1024, /* of a request that was answered early */
    HTTP2_LINGER_MS = 5000,                     /* likewise: how long */
    HTTP2_CHECK_MS = 1000,                      /* how often streams are looked at for stalls */
    HTTP2_NOTICE_MS = 100, /* between the notice of a drain and the GOAWAY that refuses streams */
};

struct http2 {
    nghttp2_session *session;
    struct http2_guard guard;
    size_t block_bytes;      /* of the header block being decoded */
    size_t block_count;      /* its fields */
    bool block_is_open;      /* its last frame has not come */
    uint64_t block_since_ms; /* for the first block: since the preface */
    uint64_t checked_ms;
    uint64_t drain_ms; /* when the last GOAWAY of a drain is due; 0: no drain, or it is said */
    struct buf held;   /* input that waits for its turn */
    bool is_paused;    /* the library goes on with that, or with nothing, when it is called again */
    size_t whole_count; /* requests that do */
    bool is_starving;   /* some stream's window is held shut */
    bool is_dying;      /* with this code: */
    uint32_t death_code;
};

/* A stream, as far as its exchange must know. */
struct http2_stream {
    int32_t id;        /* 0: not HTTP/2 */
    bool has_head;     /* its header section is in; until then its block's deadline holds */
    bool is_open;      /* the request may still send */
    bool is_whole;     /* all of the request has come; it waits for its turn */
    bool is_deferred;  /* nghttp2 waits for nghttp2_session_resume_data */
    bool is_too_large; /* its header section is */
    bool has_protocol; /* of RFC 8441: it is CONNECT to something of ours ... */
    bool is_socket;    /* ... which is a WebSocket, asked for or open */
    size_t discarded;  /* bytes that came after an early answer */
    size_t unconsumed; /* bytes for which the window is held shut */
};

void http2_init(struct http_conn *c);
void http2_done(struct http_conn *c);
void http2_recv(struct http_conn *c, struct slice in);
bool http2_go_on(struct http_conn *c); /* with held input, where it may; false: nothing done */
void http2_fill(struct http_conn *c);
bool http2_wants_write(const struct http_conn *c);
uint64_t http2_deadline_ms(const struct http_conn *c);
void http2_tick(struct http_conn *c);
void http2_drain(struct http_conn *c);

/* The exchange is gone though its stream may live. */
void http2_forget(struct http_exchange *x);

void http2_answer_begin(struct http_exchange *x, int status, const struct http_header *headers,
                        size_t count, const size_t *body_bytes);
void http2_resume(struct http_exchange *x); /* there is more to send */

/* Ends the connection with a GOAWAY. The library may be running: it is done by http2_settle, which
 * also finds out whether the library has ended the session. True: this was the end. */
void http2_die(struct http_conn *c, uint32_t code);
bool http2_settle(struct http_conn *c);

/* The codec's own answer to a request that the callee will not see. `limit_name` may be NULL. */
void http2_refuse(struct http_exchange *x, enum err err, const char *detail, const char *limit_name,
                  uint64_t limit);
void http2_open_windows(struct http_conn *c);
bool http2_let_arrive(struct http_conn *c); /* requests that waited; false: there was none */

void http2_set_input_callbacks(nghttp2_session_callbacks *callbacks);
void http2_set_input_options(nghttp2_option *option);
void http2_set_output_callbacks(nghttp2_session_callbacks *callbacks);

#endif
