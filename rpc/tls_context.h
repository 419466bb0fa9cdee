/* A TLS context: a certificate with its key, and the rules of the sessions under it.
 *
 *     TLS_FOR_CLIENTS  the server's side alone: TLS 1.2 and 1.3, ALPN h2 and http/1.1, no certificate
 *                      is asked for
 *     TLS_FOR_PEERS    both sides between nodes: TLS 1.3, each shows a certificate that the cluster's
 *                      CA has signed, ALPN of our own, nothing is resumed
 *     TLS_FOR_GUESTS   the server's side, with certificates made as they are asked for (rpc/tls_mint.h, which
 *                      makes these contexts)
 *
 * A context does not change once it is made, and any thread may use it; it is counted. A new
 * certificate is a new context: sessions that began under the old one go on and keep it.
 *
 * Session tickets are sealed with a key that is the context's: they are good on every worker and need
 * no table, and a new context makes them worthless, which costs a full handshake. A context should
 * not live for ever, then: whoever has the ticket key can read recorded TLS 1.2 sessions. */
#ifndef RPC_TLS_CONTEXT_H
#define RPC_TLS_CONTEXT_H

#include <stdint.h>

#include "base/err.h"

struct tls_context;

enum tls_use { TLS_FOR_CLIENTS, TLS_FOR_PEERS, TLS_FOR_GUESTS };

enum {
    TLS_DETAIL_BYTES = 512,
    TLS_FILE_BYTES_MAX = 256 * 1024, /* of a file in PEM; chains have a few KB */
};

/* Paths of PEM files. */
struct tls_files {
    const char *cert; /* of this node, with what stands between it and its CA */
    const char *key;  /* without a passphrase */
    const char *ca;   /* peers: who may have signed; clients: NULL */
};

/* ERR_BAD_REQUEST: the files are not what they must be: missing, not PEM, not a pair, expired, not
 * for this use, not signed by the CA. `ret_detail` has one sentence with the file's name. */
enum err tls_context_new(enum tls_use use, const struct tls_files *files, uint64_t wall_ms,
                         struct tls_context **ret_context,
                         char ret_detail[TLS_DETAIL_BYTES]) MUST_CHECK;
struct tls_context *tls_context_ref(struct tls_context *c); /* NULL stays NULL */
void tls_context_unref(struct tls_context *c);              /* NULL is fine */

uint64_t tls_context_expires_ms(const struct tls_context *c); /* of its certificate; wall */

/* The name in the own certificate, of peers; see tls_peer_uri. Lives as long as the context. */
const char *tls_context_uri(const struct tls_context *c);

#endif
