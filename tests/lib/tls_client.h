/* A TLS client for tests: OpenSSL's own, with memory on both sides, that does what it is told. */
#ifndef TESTS_LIB_TLS_CLIENT_H
#define TESTS_LIB_TLS_CLIENT_H

#include <openssl/ssl.h>

#include "base/buf.h"

struct tls_client {
    SSL_CTX *context;
    SSL *ssl;
    struct buf got; /* plaintext, appended */
    bool is_done;   /* the handshake is */
    bool is_ended;  /* the server's close_notify came */
    bool is_failed;
    unsigned long error; /* is_failed: OpenSSL's code */
};

struct tls_client_options {
    const char *protocols; /* of ALPN, in its form: "\x02h2"; NULL: none */
    int version_max;       /* TLS1_2_VERSION; 0: the newest */
    int version_min;       /* 0: TLS 1.2 */
    const char *ciphers;   /* of TLS 1.2 */
    SSL_SESSION *session;  /* to be resumed; or NULL */
};

void tls_client_open(struct tls_client *c, const struct tls_client_options *o);
void tls_client_close(struct tls_client *c);

/* What it has for the server: appended to `ret_wire`. */
void tls_client_send(struct tls_client *c, struct slice plain, struct buf *ret_wire);
void tls_client_take(struct tls_client *c, struct buf *ret_wire);
/* What the server sends; the handshake goes on, plaintext is appended to `got`. */
void tls_client_recv(struct tls_client *c, struct slice wire);

#endif
