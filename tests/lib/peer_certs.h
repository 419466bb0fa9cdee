/* TLS contexts of nodes for tests: of one cluster, and of wrong ones. */
#ifndef TESTS_LIB_PEER_CERTS_H
#define TESTS_LIB_PEER_CERTS_H

#include "rpc/tls_context.h"
#include "tests/lib/tls_certs.h"

/* A context whose certificate `ca` has signed and whose URI is this one; the CA it trusts is `trusts`.
 * Release with tls_context_unref. */
struct tls_context *peer_context(const struct tls_cert *ca, const struct tls_cert *trusts,
                                 const char *uri);
struct tls_cert peer_ca(void);

#endif
