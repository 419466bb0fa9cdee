/* Inbound: the requests of one HTTP/1.1 connection, of which bodies are handed on in pieces. For a proxy: what
 * is read here is written anew to somebody else, so nothing may pass that two readers could understand in two
 * ways.
 *
 *     HEAD --HTTP1_HAS_HEAD--> BODY or CHUNKS --HTTP1_HAS_BODY ...--> --HTTP1_HAS_END--> HEAD
 *       |                                                                                  ^
 *       +--------------------------------- no body: HTTP1_HAS_END -------------------------+
 *     any --HTTP1_IS_BAD--> BAD, for good
 *
 * Strict as rpc/http1.h is (http1_strict.c looks at each line before http-parser does), and stricter: chunks
 * have no extensions, and there is nothing behind the last one. The caller pulls: who does not call reads no
 * further, and the next request is not looked at before the last one was read to its end. Pure. */
#ifndef RPC_HTTP1_INBOUND_H
#define RPC_HTTP1_INBOUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "rpc/http_field.h"

enum {
    HTTP1_INBOUND_HEAD_BYTES_MAX = 64 * 1024,
    HTTP1_INBOUND_FIELDS_MAX = 128,
    HTTP1_INBOUND_TARGET_BYTES_MAX = 8 * 1024,
};

enum http1_inbound_event {
    HTTP1_WANTS_MORE,
    HTTP1_HAS_HEAD,
    HTTP1_HAS_BODY, /* `piece`, of the bytes that were given */
    HTTP1_HAS_END,
    HTTP1_IS_BAD, /* `err` and `detail` say why */
};

/* A request's head, borrowed until the next one begins. */
struct http1_inbound_head {
    struct slice method;
    struct slice target;
    struct slice host;                /* of the one Host field; empty: HTTP/1.0 has none */
    const struct http_header *fields; /* names in lower case, values trimmed */
    size_t field_count;
    bool is_old;      /* HTTP/1.0 */
    bool keeps_alive; /* the client would ask again on this connection */
    bool has_body;
    bool is_chunked; /* else length has its bytes */
    uint64_t length;
    bool wants_continue;
    bool wants_upgrade; /* Connection has `upgrade`, and there is an Upgrade field */
};

enum http1_inbound_part {
    HTTP1_IN_HEAD,
    HTTP1_IN_BODY,
    HTTP1_IN_SIZE,
    HTTP1_IN_CHUNK,
    HTTP1_IN_CHUNK_END,
    HTTP1_IN_LAST,
    HTTP1_IN_END,
    HTTP1_IN_BAD
};

struct http1_inbound {
    enum http1_inbound_part part;
    struct buf text; /* of the head */
    struct buf line; /* a chunk's size, as far as it is there */
    size_t line_len; /* of the head's last line */
    uint64_t left;   /* of the body or the chunk */
    struct http_header *fields;
    struct http1_inbound_head head;
    enum err err;
    const char *detail;
};

void http1_inbound_init(struct http1_inbound *r); /* zero-initialised is fine too */
void http1_inbound_done(struct http1_inbound *r);

/* Takes from `*in` what belongs to the next event. */
enum http1_inbound_event http1_inbound_next(struct http1_inbound *r, struct slice *in,
                                            struct slice *ret_piece) MUST_CHECK;

/* No request has begun. */
bool http1_inbound_is_between(const struct http1_inbound *r);

bool http1_inbound_field(const struct http1_inbound_head *h, const char *name, struct slice *ret);

#endif
