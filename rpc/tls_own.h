/* The inside of TLS contexts, for rpc/tls*.c alone. */
#ifndef RPC_TLS_OWN_H
#define RPC_TLS_OWN_H

#include <stdatomic.h>

#include <openssl/ssl.h>

#include "rpc/tls.h"

struct tls_context {
    _Atomic uint32_t refs;
    SSL_CTX *ssl;
    BIO_METHOD *wire; /* how sessions give OpenSSL bytes; outlives them */
    enum tls_use use;
    uint64_t expires_ms;
    char uri[TLS_URI_BYTES]; /* "" where the certificate has none */
};

BIO_METHOD *tls_wire_new(void);

/* As tls_peer_uri, of any certificate. */
enum err tls_uri_of(const X509 *cert, char ret_uri[TLS_URI_BYTES]) MUST_CHECK;

/* A certificate and its key that belong together and are in their time; the caller's to free. Errors as
 * those of tls_context_new. */
enum err tls_load_pair(const struct tls_files *files, uint64_t wall_ms, X509 **ret_cert,
                       EVP_PKEY **ret_key, char ret_detail[TLS_DETAIL_BYTES]) MUST_CHECK;
uint64_t tls_expiry_ms(const X509 *cert); /* wall */

/* Certificates that are being made: an extension of our own text, and a random serial number. */
void tls_cert_extend(X509 *cert, X509 *issuer, int nid, const char *value);
void tls_cert_set_serial(X509 *cert);

SSL *tls_ssl(struct tls *t);

/* What OpenSSL complains of first, for people; empties its queue. Never NULL. */
const char *tls_openssl_reason(void);

#endif
