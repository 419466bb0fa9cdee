/* HTTP/1.1 and 1.0, the server's side of one connection. For rpc/http*.c alone.
 *
 *     HEAD --no body--------------------------------> HEAD        any --refused--> DEAF
 *      | content-length                                ^
 *      +------------------> BODY ----------------------+
 *      | chunked                                       |
 *      +--> CHUNK_LINE <--> CHUNK_DATA --> TRAILERS ---+
 *
 * http-parser takes the head and the chunk framing apart. As Debian builds it, it is lenient where
 * two servers could read two different requests from the same bytes (bare LF, folded lines, space
 * before the colon, no or two Hosts, anything after a chunk, HTTP/0.9): http1_strict.c looks at
 * each line before the parser sees it, and what it refuses ends the connection with a 400. */
#ifndef RPC_HTTP1_H
#define RPC_HTTP1_H

#include <http_parser.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

struct http_conn;
struct http_exchange;
struct http_header;

enum {
    HTTP1_LINE_BYTES_MAX = 4096, /* of a chunk's size or a trailer */
};

enum http1_part { HTTP1_HEAD, HTTP1_BODY, HTTP1_CHUNK_LINE, HTTP1_CHUNK_DATA, HTTP1_TRAILERS };

struct http1 {
    struct http_parser parser;
    enum http1_part part;
    struct http_exchange *x; /* whose request is being received; NULL between requests */
    uint64_t head_since_ms;
    size_t line_len;              /* of the head's line that is not complete yet */
    bool line_is_blank;           /* it holds at most a CR */
    uint64_t left;                /* bytes of the body, or of the chunk with its CRLF, to come */
    size_t framing_bytes;         /* chunk sizes and trailers of this body so far */
    struct buf line;              /* the chunk size or trailer being read */
    struct buf held;              /* input that waits for room in the pipeline, or for its turn */
    struct http_exchange *socket; /* whose request asks for one; until that is refused, or gone */
    enum err body_err;            /* why a chunk was not taken */
};

/* The answer as HTTP/1.1 frames it. */
struct http1_answer {
    struct buf head; /* interim answers and the header section */
    bool is_old;     /* the request was HTTP/1.0 */
    bool closes;     /* the connection ends after this answer */
    bool is_chunked; /* else the end of a stream is the end of the connection */
    bool is_ended;   /* the last chunk is written */
};

void http1_init(struct http_conn *c);
void http1_done(struct http_conn *c);
void http1_recv(struct http_conn *c, struct slice in);
bool http1_go_on(struct http_conn *c); /* with held input, where it may; false: nothing done */
bool http1_is_blocked(const struct http_conn *c); /* no further request may begin */
void http1_fill(struct http_conn *c);             /* output of the exchanges, in their order */
uint64_t http1_deadline_ms(const struct http_conn *c);
void http1_tick(struct http_conn *c);
void http1_drain(struct http_conn *c);

/* Answers the request being received; the connection ends after it. `limit_name` may be NULL. */
void http1_refuse(struct http_conn *c, enum err err, const char *detail, const char *limit_name,
                  uint64_t limit);

void http1_answer_begin(struct http_exchange *x, int status, const struct http_header *headers,
                        size_t count, const size_t *body_bytes);
/* 101, and nothing but the socket's bytes from then on. */
void http1_answer_switch(struct http_exchange *x, const struct http_header *headers, size_t count);
void http1_answer_continue(struct http_exchange *x);

/* Strictness: NULL, or what is wrong. */
const char *http1_check_head(struct slice head);
const char *http1_check_line(struct slice line);       /* a field line with its CRLF, or blank */
const char *http1_check_chunk_line(struct slice line); /* with its CRLF */

#endif
