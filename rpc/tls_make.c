#include "rpc/tls_make.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "rpc/tls_own.h"

enum {
    PATH_BYTES_MAX = 4096,
    SERIAL_BYTES = 16,
    BACKDATED_SECONDS = 60 * 60, /* for nodes whose clocks are behind */
    DAY_SECONDS = 24 * 60 * 60,
    HOST_BYTES_MAX = 253,
};

/* A certificate and its key: of the CA, or of a node. */
struct pair {
    X509 *cert;
    EVP_PKEY *key;
};

struct maker {
    const struct tls_make_options *o;
    uint64_t wall_ms;
    char *detail;
    struct pair ca;
    struct peer_name name;
    bool is_new_ca;
};

static void pair_done(struct pair *p)
{
    X509_free(p->cert);
    EVP_PKEY_free(p->key);
    *p = (struct pair){0};
}

static enum err bad(const struct maker *m, const char *format, ...) PRINTF_LIKE(2, 3);

static enum err bad(const struct maker *m, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(m->detail, TLS_DETAIL_BYTES, format, args);
    va_end(args);
    ERR_clear_error();
    return ERR_BAD_REQUEST;
}

/* Files */

static enum err make_path(const struct maker *m, const char *dir, const char *name,
                          char ret_path[PATH_BYTES_MAX])
{
    int n = snprintf(ret_path, PATH_BYTES_MAX, "%s/%s", dir, name);
    return n < PATH_BYTES_MAX ? ERR_OK : bad(m, "%s: the path is too long", dir);
}

static enum err make_dir(const struct maker *m, const char *path)
{
    if (mkdir(path, 0700) != 0 && errno != EEXIST) {
        return bad(m, "%s: %s", path, strerror(errno));
    }
    return ERR_OK;
}

static bool write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);
        if (n < 0) {
            return false;
        }
        text = slice_skip(text, (size_t)n);
    }
    return fsync(fd) == 0;
}

/* Whole or not at all. Where it may not replace what is there, that is ERR_BAD_REQUEST. */
static enum err save(const struct maker *m, const char *path, struct slice text, mode_t mode,
                     bool replaces)
{
    char next[PATH_BYTES_MAX + 8];
    (void)snprintf(next, sizeof next, "%s.new", path);
    (void)unlink(next); /* of a run that was cut off */
    int fd = open(next, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
    if (fd < 0) {
        return bad(m, "%s: %s", next, strerror(errno));
    }
    bool is_good = write_all(fd, text);
    is_good = close(fd) == 0 && is_good;
    if (is_good) {
        is_good = (replaces ? rename(next, path) : link(next, path)) == 0;
    }
    int why = errno;
    (void)unlink(next);
    return is_good ? ERR_OK : bad(m, "%s: %s", path, strerror(why));
}

/* PEM of the certificate, or of the key where `of_key`. */
static void put_pem(const struct pair *p, bool of_key, struct buf *out)
{
    BIO *bio = BIO_new(BIO_s_mem());
    INVARIANT(bio != NULL);
    int ok = of_key ? PEM_write_bio_PKCS8PrivateKey(bio, p->key, NULL, NULL, 0, NULL, NULL)
                    : PEM_write_bio_X509(bio, p->cert);
    INVARIANT(ok == 1);
    char *text;
    long n = BIO_get_mem_data(bio, &text);
    buf_append(out, text, (size_t)n);
    BIO_free(bio); /* which clears it */
}

static enum err save_pem(const struct maker *m, const struct pair *p, bool is_key, const char *dir,
                         const char *name, bool replaces)
{
    char path[PATH_BYTES_MAX];
    struct buf text = {0};
    enum err err = make_path(m, dir, name, path);
    if (err == ERR_OK) {
        put_pem(p, is_key, &text);
        err = save(m, path, buf_slice(&text), is_key ? 0600 : 0644, replaces);
        OPENSSL_cleanse(text.data, text.cap);
    }
    buf_done(&text);
    return err;
}

/* Making */

void tls_cert_extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    INVARIANT(extension != NULL); /* the values are ours */
    int ok = X509_add_ext(cert, extension, -1);
    INVARIANT(ok == 1);
    X509_EXTENSION_free(extension);
}

static void push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    INVARIANT(name != NULL && value != NULL);
    GENERAL_NAME_set0_value(name, type, value);
    int count = sk_GENERAL_NAME_push(names, name);
    INVARIANT(count > 0);
}

static ASN1_STRING *ia5(const char *text)
{
    ASN1_STRING *s = ASN1_IA5STRING_new();
    INVARIANT(s != NULL && ASN1_STRING_set(s, text, -1) == 1);
    return s;
}

static bool is_host_name(const char *host)
{
    size_t len = strlen(host);
    return len > 0 && len <= HOST_BYTES_MAX && host[0] != '.' && host[0] != '-' &&
           strspn(host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._") == len;
}

/* Before anything is made. */
static enum err check_hosts(const struct maker *m)
{
    for (size_t i = 0; i < m->o->host_count; i++) {
        ASN1_OCTET_STRING *address = a2i_IPADDRESS(m->o->hosts[i]);
        bool is_good = address != NULL || is_host_name(m->o->hosts[i]);
        ASN1_OCTET_STRING_free(address);
        if (!is_good) {
            return bad(m, "%s: is neither a host name nor an address", m->o->hosts[i]);
        }
    }
    ERR_clear_error(); /* of names, which are no addresses */
    return ERR_OK;
}

/* Hosts are put in as they are, never parsed by OpenSSL's syntax for names: a comma adds none. */
static void add_names(const struct maker *m, X509 *cert, const struct peer_name *name)
{
    char uri[PEER_NAME_BYTES];
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    INVARIANT(names != NULL);
    peer_name_format(name, uri);
    push_name(names, GEN_URI, ia5(uri));
    for (size_t i = 0; name->node != 0 && i < m->o->host_count; i++) {
        ASN1_OCTET_STRING *address = a2i_IPADDRESS(m->o->hosts[i]);
        push_name(names, address != NULL ? GEN_IPADD : GEN_DNS,
                  address != NULL ? address : ia5(m->o->hosts[i]));
    }
    int ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, names, 0, X509V3_ADD_DEFAULT);
    INVARIANT(ok == 1);
    GENERAL_NAMES_free(names);
    ERR_clear_error();
}

void tls_cert_set_serial(X509 *cert)
{
    uint8_t serial[SERIAL_BYTES];
    random_bytes(serial, sizeof serial);
    serial[0] = (uint8_t)((serial[0] & 0x7f) | 0x40); /* positive, and never short */
    BIGNUM *number = BN_bin2bn(serial, sizeof serial, NULL);
    INVARIANT(number != NULL && BN_to_ASN1_INTEGER(number, X509_get_serialNumber(cert)) != NULL);
    BN_free(number);
}

static void set_times(const struct maker *m, X509 *cert, int days)
{
    time_t now = (time_t)(m->wall_ms / 1000);
    bool set =
        X509_time_adj_ex(X509_getm_notBefore(cert), 0, -(long)BACKDATED_SECONDS, &now) != NULL &&
        X509_time_adj_ex(X509_getm_notAfter(cert), days, 0, &now) != NULL;
    INVARIANT(set);
    const ASN1_TIME *last = m->ca.cert != NULL ? X509_get0_notAfter(m->ca.cert) : NULL;
    if (last != NULL && ASN1_TIME_compare(X509_get0_notAfter(cert), last) > 0) {
        int ok = X509_set1_notAfter(cert, last);
        INVARIANT(ok == 1);
    }
}

static void set_subject(X509 *cert, const struct peer_name *name)
{
    char text[PEER_CLUSTER_BYTES + 64];
    if (name->node == 0) {
        (void)snprintf(text, sizeof text, "Dormouse cluster %s", name->cluster);
    } else {
        (void)snprintf(text, sizeof text, "Dormouse node %u of %s", name->node, name->cluster);
    }
    int ok = X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_ASC,
                                        (const unsigned char *)text, -1, -1, 0);
    INVARIANT(ok == 1);
}

static void add_uses(X509 *cert, X509 *issuer, bool is_ca)
{
    tls_cert_extend(cert, issuer, NID_basic_constraints,
                    is_ca ? "critical,CA:TRUE,pathlen:0" : "critical,CA:FALSE");
    tls_cert_extend(cert, issuer, NID_key_usage,
                    is_ca ? "critical,keyCertSign,cRLSign" : "critical,digitalSignature");
    if (!is_ca) {
        tls_cert_extend(cert, issuer, NID_ext_key_usage, "serverAuth,clientAuth");
    }
    tls_cert_extend(cert, issuer, NID_subject_key_identifier, "hash");
    tls_cert_extend(cert, issuer, NID_authority_key_identifier, "keyid:always");
}

/* Signed by the CA, or by itself where there is none yet. */
static struct pair make_pair(const struct maker *m, const struct peer_name *name, int days)
{
    struct pair p = {.cert = X509_new(), .key = EVP_EC_gen("P-256")};
    INVARIANT(p.cert != NULL && p.key != NULL);
    const struct pair *issuer = m->ca.cert != NULL ? &m->ca : &p;
    int ok = X509_set_version(p.cert, X509_VERSION_3) && X509_set_pubkey(p.cert, p.key);
    INVARIANT(ok);
    tls_cert_set_serial(p.cert);
    set_times(m, p.cert, days);
    set_subject(p.cert, name);
    ok = X509_set_issuer_name(p.cert, X509_get_subject_name(issuer->cert));
    INVARIANT(ok);
    add_uses(p.cert, issuer->cert, issuer == &p);
    add_names(m, p.cert, name);
    ok = X509_sign(p.cert, issuer->key, EVP_sha256());
    INVARIANT(ok > 0);
    return p;
}

/* The CA */

static enum err make_ca(struct maker *m)
{
    m->name = (struct peer_name){.node = 0};
    (void)snprintf(m->name.cluster, sizeof m->name.cluster, "%016llx",
                   (unsigned long long)random_u64());
    struct pair ca = make_pair(m, &m->name, TLS_CA_DAYS);
    /* The key first, and only where there is none: of two runs at once one has to give up. */
    enum err err = save_pem(m, &ca, true, m->o->dir, "ca-key.pem", false);
    if (err == ERR_OK) {
        err = save_pem(m, &ca, false, m->o->dir, TLS_CA_FILE, false);
    }
    m->ca = ca; /* freed with the maker */
    m->is_new_ca = err == ERR_OK;
    return err;
}

static enum err load_ca(struct maker *m, const char *cert, const char *key)
{
    struct tls_files files = {.cert = cert, .key = key};
    char uri[TLS_URI_BYTES];
    enum err err = tls_load_pair(&files, m->wall_ms, &m->ca.cert, &m->ca.key, m->detail);
    if (err != ERR_OK) {
        return err;
    }
    if (X509_check_ca(m->ca.cert) != 1 || tls_uri_of(m->ca.cert, uri) != ERR_OK ||
        peer_name_parse(slice_of_str(uri), &m->name) != ERR_OK || m->name.node != 0) {
        return bad(m, "%s: is not the CA of a cluster", cert);
    }
    return ERR_OK;
}

static enum err find_ca(struct maker *m)
{
    char cert[PATH_BYTES_MAX];
    char key[PATH_BYTES_MAX];
    enum err err = make_path(m, m->o->dir, TLS_CA_FILE, cert);
    if (err != ERR_OK || (err = make_path(m, m->o->dir, "ca-key.pem", key)) != ERR_OK) {
        return err;
    }
    bool has_cert = access(cert, F_OK) == 0;
    bool has_key = access(key, F_OK) == 0;
    if (!has_cert && !has_key) {
        return make_ca(m);
    }
    if (!has_cert || !has_key) {
        return bad(m, "%s: is missing, though %s is there", has_cert ? key : cert,
                   has_cert ? cert : key);
    }
    return load_ca(m, cert, key);
}

/* Nodes */

static enum err save_node(const struct maker *m, const struct pair *node)
{
    char name[32];
    char dir[PATH_BYTES_MAX];
    char path[PATH_BYTES_MAX];
    (void)snprintf(name, sizeof name, "node-%u", m->o->node);
    enum err err = make_path(m, m->o->dir, name, dir);
    if (err != ERR_OK || (err = make_dir(m, dir)) != ERR_OK ||
        (err = make_path(m, dir, TLS_NODE_FILE, path)) != ERR_OK) {
        return err;
    }
    if (!m->o->renew && access(path, F_OK) == 0) {
        return bad(m, "%s: is there already; --renew replaces it", path);
    }
    if ((err = save_pem(m, &m->ca, false, dir, TLS_CA_FILE, true)) != ERR_OK ||
        (err = save_pem(m, node, true, dir, TLS_NODE_KEY_FILE, true)) != ERR_OK) {
        return err;
    }
    return save_pem(m, node, false, dir, TLS_NODE_FILE, true); /* last: now the node has one */
}

static enum err make_node(struct maker *m, struct tls_made *ret_made)
{
    struct peer_name name = m->name;
    name.node = m->o->node;
    int days = m->o->days != 0 ? (int)m->o->days : TLS_NODE_DAYS_DEFAULT;
    struct pair node = make_pair(m, &name, days);
    enum err err = save_node(m, &node);
    if (err == ERR_OK) {
        *ret_made = (struct tls_made){
            .name = name, .is_new_ca = m->is_new_ca, .expires_ms = tls_expiry_ms(node.cert)};
    }
    pair_done(&node);
    return err;
}

enum err tls_make_node(const struct tls_make_options *o, uint64_t wall_ms,
                       struct tls_made *ret_made, char ret_detail[TLS_DETAIL_BYTES])
{
    PRE(o->node > 0 && o->host_count <= TLS_NODE_HOSTS_MAX && o->days <= TLS_CA_DAYS);

    struct maker m = {.o = o, .wall_ms = wall_ms, .detail = ret_detail};
    enum err err = check_hosts(&m);
    if (err == ERR_OK) {
        err = make_dir(&m, o->dir);
    }
    if (err == ERR_OK) {
        err = find_ca(&m);
    }
    if (err == ERR_OK) {
        err = make_node(&m, ret_made);
    }
    pair_done(&m.ca);
    ERR_clear_error();
    return err;
}
