#include "rpc/tls_mint.h"

#include <arpa/inet.h>
#include <string.h>
#include <time.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/invariant.h"
#include "base/list.h"
#include "base/map.h"
#include "base/mem.h"
#include "rpc/tls_own.h"

enum { BACKDATED_SECONDS = 24 * 60 * 60, DAY_MS = 24 * 60 * 60 * 1000 };

struct leaf {
    struct map_node node;
    struct list link; /* the last used first */
    char *host;
    X509 *cert;
    uint64_t renew_ms; /* wall */
};

struct tls_mint {
    struct tls_context *context;
    X509 *ca;
    EVP_PKEY *ca_key;
    EVP_PKEY *leaf_key;
    struct map leaves;
    struct list order;
    uint64_t made;
};

/* Making */

static void set_times(X509 *cert, uint64_t wall_ms, int days, const X509 *ca)
{
    time_t now = (time_t)(wall_ms / 1000);
    bool set =
        X509_time_adj_ex(X509_getm_notBefore(cert), 0, -(long)BACKDATED_SECONDS, &now) != NULL &&
        X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, &now) != NULL;
    INVARIANT(set);
    const ASN1_TIME *last = ca != NULL ? X509_get0_notAfter(ca) : NULL;
    if (last != NULL && ASN1_TIME_compare(X509_get0_notAfter(cert), last) > 0) {
        int ok = X509_set1_notAfter(cert, last);
        INVARIANT(ok == 1);
    }
}

static X509 *new_cert(EVP_PKEY *key, const char *subject)
{
    X509 *cert = X509_new();
    INVARIANT(cert != NULL && key != NULL);
    int ok = X509_set_version(cert, X509_VERSION_3) && X509_set_pubkey(cert, key) &&
             X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                        (const unsigned char *)subject, -1, -1, 0);
    INVARIANT(ok);
    tls_cert_set_serial(cert);
    return cert;
}

static void put_pem(struct buf *out, X509 *cert, EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    INVARIANT(bio != NULL);
    int ok = cert != NULL ? PEM_write_bio_X509(bio, cert)
                          : PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
    INVARIANT(ok == 1);
    char *text;
    long n = BIO_get_mem_data(bio, &text);
    buf_append(out, text, (size_t)n);
    BIO_free(bio);
}

void tls_ca_make(uint64_t wall_ms, struct buf *ret_cert, struct buf *ret_key)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *cert = new_cert(key, "Dormouse egress");
    set_times(cert, wall_ms, TLS_MINT_CA_DAYS, NULL);
    int ok = X509_set_issuer_name(cert, X509_get_subject_name(cert));
    INVARIANT(ok);
    tls_cert_extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0");
    tls_cert_extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
    tls_cert_extend(cert, cert, NID_subject_key_identifier, "hash");
    tls_cert_extend(cert, cert, NID_authority_key_identifier, "keyid:always");
    ok = X509_sign(cert, key, EVP_sha256());
    INVARIANT(ok > 0);
    put_pem(ret_cert, cert, NULL);
    put_pem(ret_key, NULL, key);
    X509_free(cert);
    EVP_PKEY_free(key);
}

static void name_host(X509 *cert, const char *host)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_OCTET_STRING *address = a2i_IPADDRESS(host);
    ASN1_STRING *text = address;
    if (address == NULL) {
        text = ASN1_IA5STRING_new();
        INVARIANT(text != NULL && ASN1_STRING_set(text, host, -1) == 1);
    }
    INVARIANT(names != NULL && name != NULL);
    GENERAL_NAME_set0_value(name, address != NULL ? GEN_IPADD : GEN_DNS, text);
    int ok = sk_GENERAL_NAME_push(names, name) > 0 &&
             X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT) == 1;
    INVARIANT(ok);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

static X509 *make_leaf(const struct tls_mint *m, const char *host, uint64_t wall_ms)
{
    X509 *cert = new_cert(m->leaf_key, "Dormouse egress leaf");
    set_times(cert, wall_ms, TLS_MINT_DAYS, m->ca);
    int ok = X509_set_issuer_name(cert, X509_get_subject_name(m->ca));
    INVARIANT(ok);
    tls_cert_extend(cert, m->ca, NID_basic_constraints, "critical,CA:FALSE");
    tls_cert_extend(cert, m->ca, NID_key_usage, "critical,digitalSignature");
    tls_cert_extend(cert, m->ca, NID_ext_key_usage, "serverAuth");
    tls_cert_extend(cert, m->ca, NID_subject_key_identifier, "hash");
    tls_cert_extend(cert, m->ca, NID_authority_key_identifier, "keyid:always");
    name_host(cert, host);
    ok = X509_sign(cert, m->ca_key, EVP_sha256());
    INVARIANT(ok > 0);
    return cert;
}

/* Leaves */

static void drop_leaf(struct tls_mint *m, struct leaf *l)
{
    map_remove(&m->leaves, &l->node);
    list_remove(&l->link);
    X509_free(l->cert);
    mem_free(l->host);
    mem_free(l);
}

static struct leaf *find_leaf(struct tls_mint *m, const char *host)
{
    uint64_t hash = hash_of(slice_of_str(host));
    for (struct map_node *n = map_find(&m->leaves, hash); n != NULL; n = map_next_same(n)) {
        struct leaf *l = CONTAINER_OF(n, struct leaf, node);
        if (strcmp(l->host, host) == 0) {
            return l;
        }
    }
    return NULL;
}

static struct leaf *leaf_of(struct tls_mint *m, struct tls_guest *g)
{
    struct leaf *l = find_leaf(m, g->host);
    if (l != NULL && g->wall_ms >= l->renew_ms) {
        drop_leaf(m, l);
        l = NULL;
    }
    if (l != NULL) {
        list_remove(&l->link);
        list_prepend(&m->order, &l->link);
        return l;
    }
    if (!g->may_mint(g)) {
        return NULL;
    }
    if (m->leaves.count >= TLS_MINT_LEAVES_MAX) {
        drop_leaf(m, LIST_ENTRY(m->order.prev, struct leaf, link));
    }
    l = MEM_NEW(struct leaf);
    l->host = mem_strdup(g->host);
    l->cert = make_leaf(m, g->host, g->wall_ms);
    l->renew_ms = g->wall_ms + (uint64_t)(TLS_MINT_DAYS - 1) * DAY_MS;
    map_add(&m->leaves, &l->node, hash_of(slice_of_str(l->host)));
    list_prepend(&m->order, &l->link);
    m->made++;
    return l;
}

/* A guest says hello */

static bool take_name(const char *name, char ret[TLS_MINT_HOST_BYTES_MAX + 1])
{
    size_t len = strlen(name);
    if (len > 1 && name[len - 1] == '.') {
        len--;
    }
    if (len == 0 || len > TLS_MINT_HOST_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        c = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
        bool good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_' ||
                    (c == '.' && i > 0 && name[i - 1] != '.');
        if (!good) {
            return false;
        }
        ret[i] = c;
    }
    ret[len] = '\0';
    return true;
}

/* Also called where no name came. */
static int on_name(SSL *ssl, int *alert, void *user)
{
    struct tls_guest *g = SSL_get_app_data(ssl);
    const char *name = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    char asked[TLS_MINT_HOST_BYTES_MAX + 1];
    (void)user;
    *alert = SSL_AD_UNRECOGNIZED_NAME;
    if (name == NULL && g->host[0] == '\0') {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (name != NULL &&
        (!take_name(name, asked) || (g->host[0] != '\0' && strcmp(asked, g->host) != 0))) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    if (name != NULL) {
        memcpy(g->host, asked, sizeof asked);
    }
    struct leaf *l = leaf_of(g->mint, g);
    if (l == NULL || SSL_use_cert_and_key(ssl, l->cert, g->mint->leaf_key, NULL, 1) != 1) {
        *alert = SSL_AD_INTERNAL_ERROR;
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    return SSL_TLSEXT_ERR_OK;
}

static int choose_protocol(SSL *ssl, const unsigned char **ret, unsigned char *ret_len,
                           const unsigned char *offered, unsigned offered_len, void *user)
{
    static const unsigned char own[] = "\x08http/1.1";
    unsigned char *chosen;
    (void)ssl;
    (void)user;
    if (SSL_select_next_proto(&chosen, ret_len, own, sizeof own - 1, offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED) {
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    }
    *ret = chosen;
    return SSL_TLSEXT_ERR_OK;
}

static struct tls_context *make_context(void)
{
    struct tls_context *c = MEM_NEW(struct tls_context);
    atomic_init(&c->refs, 1);
    c->use = TLS_FOR_GUESTS;
    c->ssl = SSL_CTX_new(TLS_server_method());
    INVARIANT(c->ssl != NULL);
    c->wire = tls_wire_new();
    long ok = SSL_CTX_set_min_proto_version(c->ssl, TLS1_2_VERSION);
    INVARIANT(ok == 1);
    SSL_CTX_set_options(c->ssl, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION | SSL_OP_NO_TICKET |
                                    SSL_OP_CIPHER_SERVER_PREFERENCE);
    (void)SSL_CTX_set_mode(c->ssl, SSL_MODE_RELEASE_BUFFERS);
    (void)SSL_CTX_set_session_cache_mode(c->ssl, SSL_SESS_CACHE_OFF);
    ok = SSL_CTX_set_num_tickets(c->ssl, 0);
    INVARIANT(ok == 1);
    (void)SSL_CTX_set_tlsext_servername_callback(c->ssl, on_name);
    SSL_CTX_set_alpn_select_cb(c->ssl, choose_protocol, NULL);
    return c;
}

/* Life */

static BIO *bio_of(struct slice pem)
{
    BIO *bio = BIO_new_mem_buf(pem.len > 0 ? (const void *)pem.data : "", (int)pem.len);
    INVARIANT(bio != NULL);
    return bio;
}

/* No key has a passphrase, and nobody is asked for one. */
static int no_passphrase(char *room, int cap, int is_writing, void *user)
{
    (void)room;
    (void)cap;
    (void)is_writing;
    (void)user;
    return -1;
}

enum err tls_mint_new(struct slice cert, struct slice key, struct tls_mint **ret)
{
    BIO *cert_bio = bio_of(cert);
    BIO *key_bio = bio_of(key);
    X509 *ca = PEM_read_bio_X509(cert_bio, NULL, NULL, NULL);
    EVP_PKEY *ca_key = PEM_read_bio_PrivateKey(key_bio, NULL, no_passphrase, NULL);
    BIO_free(cert_bio);
    BIO_free(key_bio);
    if (ca == NULL || ca_key == NULL || X509_check_private_key(ca, ca_key) != 1 ||
        X509_check_ca(ca) != 1) {
        X509_free(ca);
        EVP_PKEY_free(ca_key);
        ERR_clear_error();
        return ERR_BAD_REQUEST;
    }
    struct tls_mint *m = MEM_NEW(struct tls_mint);
    m->ca = ca;
    m->ca_key = ca_key;
    m->leaf_key = EVP_EC_gen("P-256");
    INVARIANT(m->leaf_key != NULL);
    m->context = make_context();
    list_init(&m->order);
    *ret = m;
    return ERR_OK;
}

void tls_mint_free(struct tls_mint *m)
{
    struct leaf *l;
    if (m == NULL) {
        return;
    }
    while ((l = LIST_FIRST(&m->order, struct leaf, link)) != NULL) {
        drop_leaf(m, l);
    }
    map_done(&m->leaves);
    tls_context_unref(m->context);
    X509_free(m->ca);
    EVP_PKEY_free(m->ca_key);
    EVP_PKEY_free(m->leaf_key);
    mem_free(m);
}

uint64_t tls_mint_made(const struct tls_mint *m)
{
    return m->made;
}

struct tls *tls_mint_session(struct tls_mint *m, struct tls_guest *guest)
{
    struct tls *t = tls_new(m->context, TLS_SERVER);
    guest->mint = m;
    if (t != NULL) {
        SSL_set_app_data(tls_ssl(t), guest);
    }
    return t;
}
