#include "tests/lib/tls_client.h"

#include <openssl/err.h>

#include "tests/lib/test.h"

void tls_client_open(struct tls_client *c, const struct tls_client_options *o)
{
    *c = (struct tls_client){.context = SSL_CTX_new(TLS_client_method())};
    assert_non_null(c->context);
    SSL_CTX_set_security_level(c->context, 0);
    (void)SSL_CTX_set_session_cache_mode(c->context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_min_proto_version(c->context, o->version_min);
    (void)SSL_CTX_set_max_proto_version(c->context, o->version_max);
    if (o->ciphers != NULL) {
        assert_int_equal(SSL_CTX_set_cipher_list(c->context, o->ciphers), 1);
    }
    if (o->protocols != NULL) {
        const unsigned char *protocols = (const unsigned char *)o->protocols;
        unsigned len = (unsigned)strlen(o->protocols);
        assert_int_equal(SSL_CTX_set_alpn_protos(c->context, protocols, len), 0);
    }
    c->ssl = SSL_new(c->context);
    assert_non_null(c->ssl);
    SSL_set_bio(c->ssl, BIO_new(BIO_s_mem()), BIO_new(BIO_s_mem()));
    SSL_set_connect_state(c->ssl);
    if (o->session != NULL) {
        assert_int_equal(SSL_set_session(c->ssl, o->session), 1);
    }
    tls_client_recv(c, (struct slice){0});
}

void tls_client_close(struct tls_client *c)
{
    SSL_free(c->ssl);
    SSL_CTX_free(c->context);
    buf_done(&c->got);
    ERR_clear_error();
}

void tls_client_take(struct tls_client *c, struct buf *ret_wire)
{
    uint8_t piece[4096];
    int n;
    while ((n = BIO_read(SSL_get_wbio(c->ssl), piece, sizeof piece)) > 0) {
        buf_append(ret_wire, piece, (size_t)n);
    }
}

void tls_client_send(struct tls_client *c, struct slice plain, struct buf *ret_wire)
{
    size_t n;
    assert_int_equal(SSL_write_ex(c->ssl, plain.data, plain.len, &n), 1);
    assert_int_equal(n, plain.len);
    tls_client_take(c, ret_wire);
}

static void note_end(struct tls_client *c, int rc)
{
    int why = SSL_get_error(c->ssl, rc);
    c->is_ended = c->is_ended || why == SSL_ERROR_ZERO_RETURN;
    if (why == SSL_ERROR_SSL && !c->is_failed) {
        c->is_failed = true;
        c->error = ERR_peek_error();
    }
    ERR_clear_error();
}

void tls_client_recv(struct tls_client *c, struct slice wire)
{
    if (wire.len > 0) {
        assert_int_equal(BIO_write(SSL_get_rbio(c->ssl), wire.data, (int)wire.len), (int)wire.len);
    }
    ERR_clear_error();
    if (!c->is_done) {
        int rc = SSL_do_handshake(c->ssl);
        c->is_done = rc == 1;
        if (rc != 1) {
            note_end(c, rc);
            return;
        }
    }
    uint8_t piece[4096];
    int n;
    while ((n = SSL_read(c->ssl, piece, sizeof piece)) > 0) {
        buf_append(&c->got, piece, (size_t)n);
    }
    note_end(c, n);
}
