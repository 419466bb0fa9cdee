/* What a socket of a server carries: HTTP in the clear, or under TLS. Bytes of the wire in and out; the
 * interface is that of rpc/http.h's connection, and in the clear nothing stands between the two.
 *
 *     HANDSHAKE --done--> SERVING --http wants to close--> CLOSING (close_notify)
 *         |                  |                                |  last bytes out, or LAST_WORDS_MS
 *         |  not TLS as we   |  not TLS any more              v
 *         +-- speak it, ---->+----------------> BROKEN ---> wants to close
 *            or limits.head_ms are over         (an alert)
 *
 * ALPN says which HTTP it is; without it, HTTP/1.1. A request that is whole is answered also where the
 * peer then closes without close_notify: it says itself where it ends.
 *
 * Bytes are sealed WIRE_SEAL_BYTES at a time and only once those before them are sent, so a peer that
 * does not read costs no more than in the clear, but for these; and what HTTP hears of as sent is
 * what has left the sealed bytes' buffer, so that its own watch over slow readers holds.
 *
 * No I/O and no clock in here. */
#ifndef RPC_HTTP_WIRE_H
#define RPC_HTTP_WIRE_H

#include "rpc/http.h"
#include "rpc/tls.h"

enum {
    WIRE_ROOM_BYTES = 64 * 1024, /* plaintext of one read; some records */
    WIRE_SEAL_BYTES = 64 * 1024,
    WIRE_LAST_WORDS_MS = 2000, /* for an alert or close_notify to be taken */
};

struct http_wire_counts {
    uint64_t handshakes;
    uint64_t resumed;  /* of these: with a ticket */
    uint64_t failures; /* handshakes that did not come to their end, and sessions that broke */
    uint64_t timeouts; /* of these: they took too long */
};

/* What the connections of one loop share. Zero-initialised; `room` is memory of WIRE_ROOM_BYTES where
 * there is TLS. */
struct http_wire_shared {
    struct http_wire_counts counts;
    uint8_t *room;
};

struct http_wire;

/* `tls` NULL: in the clear. `limits`, `hooks` and `shared` are borrowed until http_wire_free. NULL when
 * memory is exhausted. */
struct http_wire *http_wire_new(const struct http_limits *limits, const struct http_hooks *hooks,
                                void *ctx, struct tls_context *tls, struct http_wire_shared *shared,
                                uint64_t now_ms);
void http_wire_free(struct http_wire *w); /* NULL is fine */

/* As those of http_conn. */
void http_wire_share(struct http_wire *w, struct http_load *load);
void http_wire_set_date(struct http_wire *w, const struct http_date *date);

void http_wire_recv(struct http_wire *w, struct slice in, uint64_t now_ms);
void http_wire_recv_end(struct http_wire *w, uint64_t now_ms);
struct slice http_wire_output(struct http_wire *w, uint64_t now_ms);
void http_wire_sent(struct http_wire *w, size_t n, uint64_t now_ms);
void http_wire_rest(struct http_wire *w);
bool http_wire_wants_read(const struct http_wire *w);
bool http_wire_wants_close(const struct http_wire *w);
uint64_t http_wire_next_deadline_ms(const struct http_wire *w);
void http_wire_tick(struct http_wire *w, uint64_t now_ms);
void http_wire_drain(struct http_wire *w);
void http_wire_cut(struct http_wire *w);

#endif
