/* A client of HTTP/2 for tests: nghttp2's client session in memory, connected to a http_callee.
 *
 * Well-behaved requests go through the session; frames that a session would not send are written
 * by hand with http2_client_raw, past it. */
#ifndef TESTS_LIB_HTTP2_CLIENT_H
#define TESTS_LIB_HTTP2_CLIENT_H

#include <nghttp2/nghttp2.h>

#include "tests/lib/http_callee.h"

enum { HTTP2_CLIENT_STREAMS_MAX = 1024 };

struct http2_client_stream {
    int status; /* 0: none yet */
    struct buf head;
    struct buf body;
    bool has_ended; /* END_STREAM came */
    bool is_closed;
    uint32_t error_code;
    struct slice sending; /* request body still to send */
    bool holds;           /* the body does not end with what there is in `sending` */
    bool is_deferred;
};

struct http2_client {
    nghttp2_session *session;
    struct http_callee *server;
    struct http2_client_stream streams[HTTP2_CLIENT_STREAMS_MAX]; /* by (id - 1) / 2 */
    bool got_goaway;
    uint32_t goaway_code;
    int32_t goaway_last_id;
    size_t ping_acks;
    bool keeps_windows_shut; /* what has come does not open them again */
};

void http2_client_init(struct http2_client *client, struct http_callee *server);
void http2_client_done(struct http2_client *client);

/* A request; `more` may be NULL, else `count` further fields. With `has_body` the body is sent as
 * `sending` of the stream says. Returns the stream's id. */
int32_t http2_client_request(struct http2_client *client, const char *method, const char *path,
                             const struct http_header *more, size_t count, bool has_body,
                             struct slice body);
int32_t http2_client_get(struct http2_client *client, const char *path);
/* RFC 8441: CONNECT to a protocol. Unless the stream ends with it, what is sent on is what
 * http2_client_send_more gives. */
int32_t http2_client_connect(struct http2_client *client, const char *protocol, const char *path,
                             const struct http_header *more, size_t count, bool ends);
struct http2_client_stream *http2_client_stream(struct http2_client *client, int32_t id);
void http2_client_send_more(struct http2_client *client, int32_t id, struct slice body, bool ends);

/* Carries bytes both ways until both sides are quiet. */
void http2_client_pump(struct http2_client *client);
/* One way only. */
void http2_client_send(struct http2_client *client);
void http2_client_receive(struct http2_client *client);

/* A frame of any kind, written past the session. */
void http2_client_raw(struct http2_client *client, uint8_t type, uint8_t flags, int32_t stream,
                      struct slice payload);

#endif
