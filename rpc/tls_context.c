#include "rpc/tls_context.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/tls_own.h"

enum {
    PEER_CHAIN_BYTES_MAX = 16 * 1024, /* certificates that a peer shows, before it is known */
    TICKET_SECONDS = 2 * 60 * 60,
};

/* What the files hold, while a context is made of it. */
struct material {
    X509 *cert;
    STACK_OF(X509) * chain; /* what stands between it and its CA; may be empty */
    EVP_PKEY *key;
};

static enum err bad(char detail[TLS_DETAIL_BYTES], const char *format, ...) PRINTF_LIKE(2, 3);

static enum err bad(char detail[TLS_DETAIL_BYTES], const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail, TLS_DETAIL_BYTES, format, args);
    va_end(args);
    ERR_clear_error();
    return ERR_BAD_REQUEST;
}

const char *tls_openssl_reason(void)
{
    unsigned long code = ERR_peek_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return reason != NULL ? reason : "unknown error";
}

/* Files */

static enum err read_file(const char *path, struct buf *ret_text, char detail[TLS_DETAIL_BYTES])
{
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        return bad(detail, "%s: %s", path, strerror(errno));
    }
    uint8_t *room = buf_extend(ret_text, TLS_FILE_BYTES_MAX + 1);
    errno = 0;
    size_t n = fread(room, 1, TLS_FILE_BYTES_MAX + 1, f);
    enum err err = ERR_OK;
    if (ferror(f)) {
        err = bad(detail, "%s: %s", path, strerror(errno));
    } else if (n > TLS_FILE_BYTES_MAX) {
        err = bad(detail, "%s: is too large for a file in PEM", path);
    }
    (void)fclose(f);
    ret_text->len = err == ERR_OK ? n : 0;
    return err;
}

static BIO *text_bio(const struct buf *text)
{
    BIO *bio = BIO_new_mem_buf(text->data, (int)text->len);
    INVARIANT(bio != NULL);
    return bio;
}

static enum err read_certs(const char *path, struct material *m, char detail[TLS_DETAIL_BYTES])
{
    struct buf text = {0};
    enum err err = read_file(path, &text, detail);
    if (err == ERR_OK) {
        BIO *bio = text_bio(&text);
        m->cert = PEM_read_bio_X509(bio, NULL, NULL, NULL);
        m->chain = sk_X509_new_null();
        INVARIANT(m->chain != NULL);
        X509 *next;
        while (m->cert != NULL && (next = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
            int count = sk_X509_push(m->chain, next);
            INVARIANT(count > 0);
        }
        BIO_free(bio);
        if (m->cert == NULL) {
            err = bad(detail, "%s: has no certificate in PEM", path);
        } else if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
            err = bad(detail, "%s: has a damaged certificate", path);
        }
    }
    ERR_clear_error();
    buf_done(&text);
    return err;
}

/* OpenSSL would ask on the terminal. */
static int no_passphrase(char *room, int cap, int is_writing, void *user)
{
    (void)room;
    (void)cap;
    (void)is_writing;
    *(bool *)user = true;
    return -1;
}

static enum err read_key(const char *path, struct material *m, char detail[TLS_DETAIL_BYTES])
{
    struct buf text = {0};
    bool is_locked = false;
    enum err err = read_file(path, &text, detail);
    if (err == ERR_OK) {
        BIO *bio = text_bio(&text);
        m->key = PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, &is_locked);
        BIO_free(bio);
        if (is_locked) {
            err = bad(detail, "%s: the key has a passphrase; one without is needed", path);
        } else if (m->key == NULL) {
            err = bad(detail, "%s: has no private key in PEM", path);
        }
        OPENSSL_cleanse(text.data, text.cap);
    }
    ERR_clear_error();
    buf_done(&text);
    return err;
}

static void material_done(struct material *m)
{
    X509_free(m->cert);
    sk_X509_pop_free(m->chain, X509_free);
    EVP_PKEY_free(m->key);
}

/* Checks */

static void format_time(const ASN1_TIME *at, char ret_text[64])
{
    BIO *bio = BIO_new(BIO_s_mem());
    INVARIANT(bio != NULL);
    int n = ASN1_TIME_print(bio, at) == 1 ? BIO_read(bio, ret_text, 63) : 0;
    ret_text[n > 0 ? n : 0] = '\0';
    BIO_free(bio);
}

static enum err check_times(const char *path, const X509 *cert, uint64_t wall_ms,
                            char detail[TLS_DETAIL_BYTES])
{
    time_t now = (time_t)(wall_ms / 1000);
    char text[64];
    if (X509_cmp_time(X509_get0_notAfter(cert), &now) < 0) {
        format_time(X509_get0_notAfter(cert), text);
        return bad(detail, "%s: the certificate has expired on %s", path, text);
    }
    if (X509_cmp_time(X509_get0_notBefore(cert), &now) > 0) {
        format_time(X509_get0_notBefore(cert), text);
        return bad(detail, "%s: the certificate is not valid before %s", path, text);
    }
    return ERR_OK;
}

static enum err check_purpose(enum tls_use use, const char *path, X509 *cert,
                              char detail[TLS_DETAIL_BYTES])
{
    if (X509_check_purpose(cert, X509_PURPOSE_SSL_SERVER, 0) != 1) {
        return bad(detail, "%s: the certificate is not one for servers", path);
    }
    if (use == TLS_FOR_PEERS && X509_check_purpose(cert, X509_PURPOSE_SSL_CLIENT, 0) != 1) {
        return bad(detail, "%s: the certificate is not one for clients, which nodes are too", path);
    }
    return ERR_OK;
}

/* What both files hold, and that it is a pair of today. Whatever comes back is to be released. */
static enum err read_material(const struct tls_files *files, uint64_t wall_ms, struct material *ret,
                              char detail[TLS_DETAIL_BYTES])
{
    enum err err = read_certs(files->cert, ret, detail);
    if (err == ERR_OK) {
        err = read_key(files->key, ret, detail);
    }
    if (err == ERR_OK && X509_check_private_key(ret->cert, ret->key) != 1) {
        err = bad(detail, "%s: is not the key of the certificate in %s", files->key, files->cert);
    }
    return err != ERR_OK ? err : check_times(files->cert, ret->cert, wall_ms, detail);
}

enum err tls_load_pair(const struct tls_files *files, uint64_t wall_ms, X509 **ret_cert,
                       EVP_PKEY **ret_key, char ret_detail[TLS_DETAIL_BYTES])
{
    struct material m = {0};
    ERR_clear_error();
    enum err err = read_material(files, wall_ms, &m, ret_detail);
    if (err == ERR_OK) {
        *ret_cert = m.cert;
        *ret_key = m.key;
        m.cert = NULL;
        m.key = NULL;
    }
    material_done(&m);
    return err;
}

/* The own certificate as the other nodes will look at it. */
static enum err check_signed(const struct tls_context *c, const struct tls_files *files,
                             const struct material *m, uint64_t wall_ms,
                             char detail[TLS_DETAIL_BYTES])
{
    X509_STORE_CTX *verify = X509_STORE_CTX_new();
    INVARIANT(verify != NULL);
    enum err err = ERR_OK;
    if (X509_STORE_CTX_init(verify, SSL_CTX_get_cert_store(c->ssl), m->cert, m->chain) != 1) {
        err = bad(detail, "%s: cannot be checked against %s", files->cert, files->ca);
    } else {
        X509_STORE_CTX_set_time(verify, 0, (time_t)(wall_ms / 1000));
        if (X509_verify_cert(verify) != 1) {
            int why = X509_STORE_CTX_get_error(verify);
            err = bad(detail, "%s: the certificate is not one of the CA in %s: %s", files->cert,
                      files->ca, X509_verify_cert_error_string(why));
        }
    }
    X509_STORE_CTX_free(verify);
    ERR_clear_error();
    return err;
}

/* Names */

static bool is_own_uri(const GENERAL_NAME *name, struct slice *ret_uri)
{
    static const char scheme[] = "dormouse://";
    int type;
    const ASN1_IA5STRING *text = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_URI) {
        return false;
    }
    *ret_uri = slice_of(ASN1_STRING_get0_data(text), (size_t)ASN1_STRING_length(text));
    return slice_has_prefix(*ret_uri, SLICE(scheme));
}

enum err tls_uri_of(const X509 *cert, char ret_uri[TLS_URI_BYTES])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
    size_t found = 0;
    struct slice uri;
    struct slice own = {0};
    for (int i = 0; names != NULL && i < sk_GENERAL_NAME_num(names); i++) {
        if (is_own_uri(sk_GENERAL_NAME_value(names, i), &uri)) {
            own = uri;
            found++;
        }
    }
    bool is_plain =
        found == 1 && own.len < TLS_URI_BYTES && memchr(own.data, '\0', own.len) == NULL;
    if (is_plain) {
        memcpy(ret_uri, own.data, own.len);
        ret_uri[own.len] = '\0';
    }
    GENERAL_NAMES_free(names);
    ERR_clear_error();
    return is_plain ? ERR_OK : ERR_UNAUTHENTICATED;
}

/* Rules */

/* h2 first, then HTTP/1.1. A client that offers others alone is told so, as RFC 7301 asks: it would
 * not understand what we say. */
static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                           const unsigned char *offered, unsigned offered_len, void *user)
{
    const struct slice *own = user;
    (void)ssl;
    unsigned char *chosen;
    int found = SSL_select_next_proto(&chosen, ret_len, own->data, (unsigned)own->len, offered,
                                      offered_len);
    if (found != OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

/* Cipher suites of TLS 1.2 with forward secrecy and authenticated encryption, which HTTP/2 needs too
 * (RFC 9113 9.2.2). Groups and the suites of TLS 1.3 are the library's: it knows newer ones. */
static void set_common_rules(SSL_CTX *ssl)
{
    SSL_CTX_set_options(ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                                 SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    int ok = SSL_CTX_set_cipher_list(ssl, "ECDHE+AESGCM:ECDHE+CHACHA20");
    INVARIANT(ok == 1);
    /* Buffers of 16 KB each way are given back while a connection is idle. */
    (void)SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
}

static void set_client_rules(SSL_CTX *ssl)
{
    static const struct slice own = {(const uint8_t *)"\x02h2\x08http/1.1", 12};
    long ok = SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
    INVARIANT(ok == 1);
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, (void *)(uintptr_t)&own);
    (void)SSL_CTX_set_timeout(ssl, TICKET_SECONDS);
}

/* A resumed session would show no certificate: one that was withdrawn would go on working. */
static enum err set_peer_rules(SSL_CTX *ssl, const char *ca, char detail[TLS_DETAIL_BYTES])
{
    static const struct slice own = {(const uint8_t *)"\x0d"
                                                      "dormouse-peer",
                                     14};
    long ok = SSL_CTX_set_min_proto_version(ssl, TLS1_3_VERSION);
    INVARIANT(ok == 1);
    SSL_CTX_set_alpn_select_cb(ssl, choose_protocol, (void *)(uintptr_t)&own);
    int failed = SSL_CTX_set_alpn_protos(ssl, own.data, (unsigned)own.len);
    INVARIANT(failed == 0);
    SSL_CTX_set_options(ssl, SSL_OP_NO_TICKET);
    ok = SSL_CTX_set_num_tickets(ssl, 0);
    INVARIANT(ok == 1);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    SSL_CTX_set_max_cert_list(ssl, PEER_CHAIN_BYTES_MAX);
    struct buf text = {0};
    enum err err = read_file(ca, &text, detail); /* for the system's words */
    if (err == ERR_OK && SSL_CTX_load_verify_file(ssl, ca) != 1) {
        err = bad(detail, "%s: has no certificate in PEM", ca);
    }
    buf_done(&text);
    return err;
}

uint64_t tls_expiry_ms(const X509 *cert)
{
    struct tm tm;
    if (ASN1_TIME_to_tm(X509_get0_notAfter(cert), &tm) != 1) {
        return 0;
    }
    time_t at = timegm(&tm);
    return at > 0 ? (uint64_t)at * 1000 : 0;
}

static enum err fill(struct tls_context *c, const struct tls_files *files, const struct material *m,
                     uint64_t wall_ms, char detail[TLS_DETAIL_BYTES])
{
    set_common_rules(c->ssl);
    if (SSL_CTX_use_cert_and_key(c->ssl, m->cert, m->key, m->chain, 1) != 1) {
        return bad(detail, "%s: cannot be used: %s", files->cert, tls_openssl_reason());
    }
    c->expires_ms = tls_expiry_ms(m->cert);
    if (tls_uri_of(m->cert, c->uri) != ERR_OK) {
        c->uri[0] = '\0';
    }
    if (c->use == TLS_FOR_CLIENTS) {
        set_client_rules(c->ssl);
        return ERR_OK;
    }
    enum err err = set_peer_rules(c->ssl, files->ca, detail);
    if (err == ERR_OK) {
        err = check_signed(c, files, m, wall_ms, detail);
    }
    if (err == ERR_OK && c->uri[0] == '\0') {
        err = bad(detail, "%s: the certificate does not name a node of a cluster", files->cert);
    }
    return err;
}

enum err tls_context_new(enum tls_use use, const struct tls_files *files, uint64_t wall_ms,
                         struct tls_context **ret_context, char ret_detail[TLS_DETAIL_BYTES])
{
    PRE(files->cert != NULL && files->key != NULL);
    PRE((files->ca != NULL) == (use == TLS_FOR_PEERS));

    struct material m = {0};
    ERR_clear_error();
    enum err err = read_material(files, wall_ms, &m, ret_detail);
    if (err == ERR_OK) {
        err = check_purpose(use, files->cert, m.cert, ret_detail);
    }
    if (err == ERR_OK) {
        struct tls_context *c = MEM_NEW(struct tls_context);
        atomic_init(&c->refs, 1);
        c->use = use;
        c->ssl = SSL_CTX_new(TLS_method());
        INVARIANT(c->ssl != NULL);
        c->wire = tls_wire_new();
        err = fill(c, files, &m, wall_ms, ret_detail);
        if (err == ERR_OK) {
            *ret_context = c;
        } else {
            tls_context_unref(c);
        }
    }
    material_done(&m);
    return err;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    if (c != NULL) {
        uint32_t before = atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
        PRE(before > 0 && before < UINT32_MAX);
    }
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (c != NULL && atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) == 1) {
        SSL_CTX_free(c->ssl);
        BIO_meth_free(c->wire);
        mem_free(c);
    }
}

uint64_t tls_context_expires_ms(const struct tls_context *c)
{
    return c->expires_ms;
}

const char *tls_context_uri(const struct tls_context *c)
{
    return c->uri;
}
