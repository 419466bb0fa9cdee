#include "rpc/tls.h"

#include <stdio.h>

#include <openssl/err.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/tls_guard.h"
#include "rpc/tls_own.h"

enum { KEPT_OUT_BYTES = 16 * 1024 }; /* idle connections are many; a larger buffer is given back */

struct tls {
    SSL *ssl;
    struct tls_context *context;
    enum tls_state state;
    enum err err;    /* FAILED: why */
    bool is_writing; /* what OpenSSL puts out now is asked for by tls_write or tls_close */
    bool is_flooded; /* more than TLS_CONTROL_BYTES_MAX that nobody asked for */
    bool is_closed;  /* close_notify is out */
    struct slice in; /* of tls_feed, what is not used up */
    struct buf out;  /* for the wire; does not move before out_at is at its end */
    size_t out_at;
    struct buf behind; /* what comes after it */
    struct tls_guard guard;
    char reason[TLS_REASON_BYTES];
};

/* The session as OpenSSL's file: it reads what was fed and writes behind the output. */

static int wire_read(BIO *bio, char *room, size_t cap, size_t *ret_len)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    size_t n = t->in.len < cap ? t->in.len : cap;
    if (n == 0) {
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(room, t->in.data, n);
    t->in = slice_skip(t->in, n);
    *ret_len = n;
    return 1;
}

static int wire_write(BIO *bio, const char *data, size_t len, size_t *ret_len)
{
    struct tls *t = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (!t->is_writing && t->behind.len + len > TLS_CONTROL_BYTES_MAX) {
        t->is_flooded = true;
        return 0;
    }
    buf_append(&t->behind, data, len);
    *ret_len = len;
    return 1;
}

static long wire_control(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH ? 1 : 0;
}

BIO_METHOD *tls_wire_new(void)
{
    BIO_METHOD *method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "tls session");
    INVARIANT(method != NULL);
    int ok = BIO_meth_set_read_ex(method, wire_read) && BIO_meth_set_write_ex(method, wire_write) &&
             BIO_meth_set_ctrl(method, wire_control);
    INVARIANT(ok);
    return method;
}

static BIO *open_wire(struct tls *t)
{
    BIO *bio = BIO_new(t->context->wire);
    if (bio != NULL) {
        BIO_set_data(bio, t);
        BIO_set_init(bio, 1);
    }
    return bio;
}

/* State */

static void tls_move(struct tls *t, enum tls_state to)
{
    INVARIANT(to > t->state);
    t->state = to;
}

static enum err fail(struct tls *t, enum err err, const char *reason)
{
    t->err = err;
    t->in = (struct slice){0};
    (void)snprintf(t->reason, sizeof t->reason, "%s", reason);
    tls_move(t, TLS_FAILED);
    return err;
}

/* After a call to OpenSSL went wrong. */
static enum err fail_by_openssl(struct tls *t)
{
    long verified = SSL_get_verify_result(t->ssl);
    int code = ERR_GET_REASON(ERR_peek_error());
    const char *reason = tls_openssl_reason();
    if (t->is_flooded) {
        return fail(t, ERR_BAD_REQUEST, "the peer asks for more than it reads");
    }
    if (verified != X509_V_OK) {
        return fail(t, ERR_UNAUTHENTICATED, X509_verify_cert_error_string(verified));
    }
    return fail(
        t, code == SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE ? ERR_UNAUTHENTICATED : ERR_BAD_REQUEST,
        reason);
}

/* ERR_MORE where OpenSSL wants bytes, else the session has failed. */
static enum err more_or_fail(struct tls *t, int rc)
{
    if (SSL_get_error(t->ssl, rc) == SSL_ERROR_WANT_READ) {
        INVARIANT(t->in.len == 0);
        return ERR_MORE;
    }
    return fail_by_openssl(t);
}

static enum err shake_hands(struct tls *t)
{
    ERR_clear_error();
    int rc = SSL_do_handshake(t->ssl);
    if (rc != 1) {
        return more_or_fail(t, rc);
    }
    tls_move(t, TLS_OPEN);
    return ERR_OK;
}

/* Lifetime */

struct tls *tls_new(struct tls_context *context, enum tls_role role)
{
    PRE(role == TLS_SERVER || context->use == TLS_FOR_PEERS);

    struct tls *t = MEM_NEW(struct tls);
    t->context = tls_context_ref(context);
    t->ssl = SSL_new(context->ssl);
    BIO *wire = open_wire(t);
    if (t->ssl == NULL || wire == NULL) {
        BIO_free(wire);
        tls_free(t);
        return NULL;
    }
    SSL_set_bio(t->ssl, wire, wire); /* takes the reference */
    if (role == TLS_SERVER) {
        SSL_set_accept_state(t->ssl);
        return t;
    }
    SSL_set_connect_state(t->ssl);
    enum err err = shake_hands(t);
    POST(err == ERR_MORE || t->state == TLS_FAILED);
    return t;
}

void tls_free(struct tls *t)
{
    if (t == NULL) {
        return;
    }
    SSL_free(t->ssl);
    tls_context_unref(t->context);
    buf_done(&t->out);
    buf_done(&t->behind);
    mem_free(t);
    ERR_clear_error();
}

SSL *tls_ssl(struct tls *t)
{
    return t->ssl;
}

enum tls_state tls_state(const struct tls *t)
{
    return t->state;
}

/* Input */

void tls_feed(struct tls *t, struct slice in)
{
    PRE(t->in.len == 0);
    if (t->state == TLS_FAILED || t->state == TLS_ENDED) {
        return;
    }
    if (SSL_is_server(t->ssl) && !tls_guard_pass(&t->guard, in)) {
        (void)fail(t, ERR_BAD_REQUEST, "a handshake message is too large");
        return;
    }
    t->in = in;
}

static enum err read_some(struct tls *t, uint8_t *room, size_t cap, size_t *ret_len)
{
    size_t n = 0;
    ERR_clear_error();
    int rc = SSL_read_ex(t->ssl, room, cap, &n);
    if (rc == 1) {
        POST(n > 0);
        *ret_len = n;
        return ERR_OK;
    }
    if (SSL_get_error(t->ssl, rc) == SSL_ERROR_ZERO_RETURN) {
        tls_move(t, TLS_ENDED);
        t->in = (struct slice){0};
        return ERR_CLOSED;
    }
    return more_or_fail(t, rc);
}

enum err tls_read(struct tls *t, uint8_t *room, size_t cap, size_t *ret_len)
{
    PRE(cap > 0);
    enum err err = ERR_OK;
    switch (t->state) {
    case TLS_HANDSHAKE:
        err = shake_hands(t);
        return err == ERR_OK ? read_some(t, room, cap, ret_len) : err;
    case TLS_OPEN:
        return read_some(t, room, cap, ret_len);
    case TLS_ENDED:
        return ERR_CLOSED;
    case TLS_FAILED:
        return t->err;
    }
    UNREACHABLE();
}

/* Output */

enum err tls_write(struct tls *t, struct slice plain)
{
    PRE(t->state == TLS_OPEN || t->state == TLS_ENDED);
    PRE(plain.len > 0 && !t->is_closed);

    size_t n = 0;
    ERR_clear_error();
    t->is_writing = true;
    int rc = SSL_write_ex(t->ssl, plain.data, plain.len, &n);
    t->is_writing = false;
    if (rc != 1) {
        return fail_by_openssl(t);
    }
    POST(n == plain.len);
    return ERR_OK;
}

void tls_close(struct tls *t)
{
    if (t->is_closed || t->state == TLS_HANDSHAKE || t->state == TLS_FAILED) {
        return;
    }
    t->is_closed = true;
    ERR_clear_error();
    t->is_writing = true;
    (void)SSL_shutdown(t->ssl); /* it needs no answer */
    t->is_writing = false;
    ERR_clear_error();
}

size_t tls_output_bytes(const struct tls *t)
{
    return t->out.len - t->out_at + t->behind.len;
}

struct slice tls_output(struct tls *t)
{
    if (t->out_at == t->out.len) {
        struct buf sent = t->out;
        t->out = t->behind;
        t->behind = sent;
        t->out_at = 0;
        buf_clear(&t->behind);
        if (t->behind.cap > KEPT_OUT_BYTES) {
            buf_done(&t->behind);
        }
    }
    size_t left = t->out.len - t->out_at;
    return left == 0 ? (struct slice){0} : slice_of(t->out.data + t->out_at, left);
}

void tls_sent(struct tls *t, size_t n)
{
    t->out_at += n;
    POST(t->out_at <= t->out.len);
}

/* Who it is */

enum tls_protocol tls_protocol(const struct tls *t)
{
    const unsigned char *name;
    unsigned len;
    SSL_get0_alpn_selected(t->ssl, &name, &len);
    struct slice chosen = slice_of(name, len);
    if (slice_equal_str(chosen, "h2")) {
        return TLS_HTTP2;
    }
    if (slice_equal_str(chosen, "http/1.1")) {
        return TLS_HTTP1;
    }
    return slice_equal_str(chosen, "dormouse-peer") ? TLS_PEER : TLS_NO_PROTOCOL;
}

bool tls_is_resumed(const struct tls *t)
{
    return SSL_session_reused(t->ssl) == 1;
}

enum err tls_peer_uri(const struct tls *t, char ret_uri[TLS_URI_BYTES])
{
    PRE(t->context->use == TLS_FOR_PEERS);
    X509 *cert = SSL_get0_peer_certificate(t->ssl);
    return cert == NULL ? ERR_UNAUTHENTICATED : tls_uri_of(cert, ret_uri);
}

const char *tls_reason(const struct tls *t)
{
    return t->reason;
}
