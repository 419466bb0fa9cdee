/* Certificates for tests, as the tests want them: also expired, of another CA, or for no purpose. Made
 * by OpenSSL here, not by the code under test. */
#ifndef TESTS_LIB_TLS_CERTS_H
#define TESTS_LIB_TLS_CERTS_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/x509.h>

/* A certificate and its key. */
struct tls_cert {
    X509 *cert;
    EVP_PKEY *key;
};

struct tls_cert_options {
    const char *names;      /* of X509v3 subjectAltName: "DNS:localhost,IP:127.0.0.1"; NULL: none */
    const char *purposes;   /* of extendedKeyUsage: "serverAuth"; NULL: any */
    int64_t begins_seconds; /* relative to now */
    int64_t ends_seconds;   /* relative to now; 0: in a day */
    bool is_ca;
    bool is_weak; /* an RSA key of 1024 bits */
};

/* `issuer` NULL: signed by itself. */
struct tls_cert tls_cert_make(const struct tls_cert *issuer, const struct tls_cert_options *o);
void tls_cert_done(struct tls_cert *c);

/* Into files in PEM; `path` is DIR/NAME. */
void tls_cert_save(const struct tls_cert *c, const char *dir, const char *name);
void tls_cert_append(const struct tls_cert *c, const char *dir, const char *name);
void tls_cert_save_key(const struct tls_cert *c, const char *dir, const char *name,
                       const char *passphrase);
void tls_save_text(const char *dir, const char *name, const char *text);

#endif
