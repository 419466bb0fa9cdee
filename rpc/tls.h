/* A TLS session without a socket: bytes from the wire in, plaintext out, and the other way.
 *
 *     HANDSHAKE --done--> OPEN --the peer's close_notify--> ENDED   (writing may go on)
 *         |                |                                  |
 *         +---- error -----+------------- error --------------+--> FAILED
 *
 *     wire  --tls_feed-->  tls_read  --> plaintext         until ERR_MORE, after each feed
 *     wire  <--tls_output, tls_sent--    <-- tls_write
 *
 * What is handed out for the wire stays where it is until all of it was sent, so that a write under
 * way need not be copied; what arises meanwhile waits behind it. Both are bounded: the first by what
 * the caller writes at a time, the second by TLS_CONTROL_BYTES_MAX, for a peer can ask for key updates
 * and read none.
 *
 * A failed session may have an alert to send. No I/O and no clock in here: whoever has the socket
 * ends a handshake that takes too long. */
#ifndef RPC_TLS_H
#define RPC_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "rpc/tls_context.h"

enum {
    TLS_CONTROL_BYTES_MAX = 64 * 1024,
    TLS_REASON_BYTES = 128,
    TLS_URI_BYTES = 128,
};

enum tls_role { TLS_SERVER, TLS_CLIENT };
enum tls_state { TLS_HANDSHAKE, TLS_OPEN, TLS_ENDED, TLS_FAILED };
enum tls_protocol { TLS_NO_PROTOCOL, TLS_HTTP1, TLS_HTTP2, TLS_PEER };

struct tls;

/* NULL when memory is exhausted. Takes a reference of its own. A client's first bytes are ready at
 * once. */
struct tls *tls_new(struct tls_context *context, enum tls_role role);
void tls_free(struct tls *t); /* NULL is fine */

enum tls_state tls_state(const struct tls *t);

/* Bytes from the wire, borrowed until tls_read has said anything but ERR_OK. What was fed before must
 * be used up. */
void tls_feed(struct tls *t, struct slice in);

/* Plaintext into `room`.
 *     ERR_OK               `ret_len` bytes of it, at least one; call again
 *     ERR_MORE             all that was fed is used up
 *     ERR_CLOSED           the peer has said that it sends no more; what was fed behind it is dropped
 *     ERR_UNAUTHENTICATED  the peer's certificate is missing or does not verify
 *     ERR_BAD_REQUEST      anything else that is not TLS as we speak it; see tls_reason
 * The handshake is made in here. After an error it is the same error again. */
enum err tls_read(struct tls *t, uint8_t *room, size_t cap, size_t *ret_len) MUST_CHECK;

/* Seals all of `plain` for the wire; OPEN or ENDED only. ERR_BAD_REQUEST: the session has failed. */
enum err tls_write(struct tls *t, struct slice plain) MUST_CHECK;

/* Says that we send no more, once; in HANDSHAKE and FAILED it does nothing. */
void tls_close(struct tls *t);

/* What to send next, empty where there is nothing; it does not move until tls_sent has taken all. */
struct slice tls_output(struct tls *t);
void tls_sent(struct tls *t, size_t n);
size_t tls_output_bytes(const struct tls *t); /* all that waits to be sent */

/* Once OPEN. */
enum tls_protocol tls_protocol(const struct tls *t); /* agreed on by ALPN */
bool tls_is_resumed(const struct tls *t);

/* The one URI of our scheme ("dormouse://...") among the names of the peer's verified certificate.
 * ERR_UNAUTHENTICATED: there is none, or more than one. */
enum err tls_peer_uri(const struct tls *t, char ret_uri[TLS_URI_BYTES]) MUST_CHECK;

/* Why it failed, for people; "" where it did not. */
const char *tls_reason(const struct tls *t);

#endif
