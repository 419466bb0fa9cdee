#include "tests/lib/tls_certs.h"

#include <string.h>

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "base/random.h"
#include "tests/lib/test.h"

enum { PATH_BYTES = 4096, DAY_SECONDS = 24 * 60 * 60 };

static void add_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
    X509V3_CTX ctx;
    X509V3_set_ctx_nodb(&ctx);
    X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(cert, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void add_extensions(X509 *cert, X509 *issuer, const struct tls_cert_options *o)
{
    add_extension(cert, issuer, NID_basic_constraints, o->is_ca ? "critical,CA:TRUE" : "CA:FALSE");
    add_extension(cert, issuer, NID_subject_key_identifier, "hash");
    if (o->names != NULL) {
        add_extension(cert, issuer, NID_subject_alt_name, o->names);
    }
    if (o->purposes != NULL) {
        add_extension(cert, issuer, NID_ext_key_usage, o->purposes);
    }
}

struct tls_cert tls_cert_make(const struct tls_cert *issuer, const struct tls_cert_options *o)
{
    struct tls_cert c = {.cert = X509_new(),
                         .key = o->is_weak ? EVP_RSA_gen(1024) : EVP_EC_gen("P-256")};
    assert_non_null(c.cert);
    assert_non_null(c.key);
    char name[32];
    (void)snprintf(name, sizeof name, "test %016llx", (unsigned long long)random_u64());
    long ends = o->ends_seconds != 0 ? (long)o->ends_seconds : DAY_SECONDS;
    (void)X509_set_version(c.cert, X509_VERSION_3);
    (void)ASN1_INTEGER_set_uint64(X509_get_serialNumber(c.cert), random_u64() >> 1);
    (void)X509_gmtime_adj(X509_getm_notBefore(c.cert), (long)o->begins_seconds);
    (void)X509_gmtime_adj(X509_getm_notAfter(c.cert), ends);
    X509_NAME *subject = X509_get_subject_name(c.cert);
    (void)X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1,
                                     -1, 0);
    assert_int_equal(X509_set_pubkey(c.cert, c.key), 1);
    X509 *signer = issuer != NULL ? issuer->cert : c.cert;
    (void)X509_set_issuer_name(c.cert, X509_get_subject_name(signer));
    add_extensions(c.cert, signer, o);
    assert_true(X509_sign(c.cert, issuer != NULL ? issuer->key : c.key, EVP_sha256()) > 0);
    return c;
}

void tls_cert_done(struct tls_cert *c)
{
    X509_free(c->cert);
    EVP_PKEY_free(c->key);
    *c = (struct tls_cert){0};
}

static FILE *open_file(const char *dir, const char *name, const char *mode)
{
    char path[PATH_BYTES];
    (void)snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, mode);
    assert_non_null(f);
    return f;
}

static void write_cert(const struct tls_cert *c, FILE *f)
{
    assert_int_equal(PEM_write_X509(f, c->cert), 1);
    assert_int_equal(fclose(f), 0);
}

void tls_cert_save(const struct tls_cert *c, const char *dir, const char *name)
{
    write_cert(c, open_file(dir, name, "we"));
}

void tls_cert_append(const struct tls_cert *c, const char *dir, const char *name)
{
    write_cert(c, open_file(dir, name, "ae"));
}

void tls_cert_save_key(const struct tls_cert *c, const char *dir, const char *name,
                       const char *passphrase)
{
    FILE *f = open_file(dir, name, "we");
    const unsigned char *secret = (const unsigned char *)passphrase;
    int len = passphrase != NULL ? (int)strlen(passphrase) : 0;
    const EVP_CIPHER *cipher = passphrase != NULL ? EVP_aes_128_cbc() : NULL;
    assert_int_equal(PEM_write_PrivateKey(f, c->key, cipher, secret, len, NULL, NULL), 1);
    assert_int_equal(fclose(f), 0);
}

void tls_save_text(const char *dir, const char *name, const char *text)
{
    FILE *f = open_file(dir, name, "we");
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}
