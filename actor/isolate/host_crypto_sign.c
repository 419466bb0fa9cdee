/* What is done with asymmetric keys. */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/rsa.h>

#include "actor/isolate/host_crypto_own.h"
#include "base/invariant.h"

enum { BITS_OF_BYTE = 8, SALT_BYTES_MAX = 4096 };

enum scheme { SCHEME_NONE, SCHEME_ECDSA, SCHEME_ED25519, SCHEME_PKCS1, SCHEME_PSS };

static enum scheme arg_scheme(struct engine_call *c)
{
    static const struct {
        const char *name;
        enum scheme scheme;
    } schemes[] = {
        {"ECDSA", SCHEME_ECDSA},
        {"Ed25519", SCHEME_ED25519},
        {"RSASSA-PKCS1-v1_5", SCHEME_PKCS1},
        {"RSA-PSS", SCHEME_PSS},
    };
    struct buf name = {0};
    enum scheme scheme = SCHEME_NONE;
    bool is_text = engine_arg_text(c, CRYPTO_FIRST, &name);
    for (size_t i = 0; is_text && i < sizeof schemes / sizeof schemes[0]; i++) {
        scheme = slice_equal_str(buf_slice(&name), schemes[i].name) ? schemes[i].scheme : scheme;
    }
    buf_done(&name);
    return scheme;
}

/* The key is of the scheme, which libcrypto would take from the key. */
static bool fits(const EVP_PKEY *key, enum scheme scheme)
{
    switch (scheme) {
    case SCHEME_ECDSA:
        return EVP_PKEY_is_a(key, "EC");
    case SCHEME_ED25519:
        return EVP_PKEY_is_a(key, "ED25519");
    case SCHEME_PKCS1:
    case SCHEME_PSS:
        return EVP_PKEY_is_a(key, "RSA");
    case SCHEME_NONE:
        return false;
    }
    UNREACHABLE();
}

static bool set_padding(EVP_PKEY_CTX *context, enum scheme scheme, size_t salt_bytes)
{
    switch (scheme) {
    case SCHEME_PKCS1:
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    case SCHEME_PSS:
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(context, (int)salt_bytes) == 1;
    case SCHEME_ECDSA:
    case SCHEME_ED25519:
        return true;
    case SCHEME_NONE:
        return false;
    }
    UNREACHABLE();
}

static size_t coordinate_bytes(const EVP_PKEY *key)
{
    return ((size_t)EVP_PKEY_get_bits(key) + BITS_OF_BYTE - 1) / BITS_OF_BYTE;
}

/* ECDSA: libcrypto's DER of two numbers, and the two numbers side by side that the API has. */

static bool der_to_pair(struct buf *signature, size_t bytes)
{
    const uint8_t *at = signature->data;
    ECDSA_SIG *pair = d2i_ECDSA_SIG(NULL, &at, (long)signature->len);
    struct buf out = {0};
    uint8_t *to = buf_extend(&out, 2 * bytes);
    bool is_done = pair != NULL && BN_bn2binpad(ECDSA_SIG_get0_r(pair), to, (int)bytes) >= 0 &&
                   BN_bn2binpad(ECDSA_SIG_get0_s(pair), to + bytes, (int)bytes) >= 0;
    ECDSA_SIG_free(pair);
    buf_done(signature);
    *signature = buf_take(&out);
    return is_done;
}

static bool pair_to_der(struct slice pair, size_t bytes, struct buf *ret)
{
    if (pair.len != 2 * bytes) {
        return false;
    }
    ECDSA_SIG *numbers = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(pair.data, (int)bytes, NULL);
    BIGNUM *s = BN_bin2bn(pair.data + bytes, (int)bytes, NULL);
    uint8_t *der = NULL;
    int der_bytes = -1;
    if (numbers != NULL && r != NULL && s != NULL && ECDSA_SIG_set0(numbers, r, s) == 1) {
        r = s = NULL; /* they are of the signature now */
        der_bytes = i2d_ECDSA_SIG(numbers, &der);
    }
    if (der_bytes > 0) {
        buf_append(ret, der, (size_t)der_bytes);
    }
    OPENSSL_free(der);
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(numbers);
    return der_bytes > 0;
}

static bool sign_with(EVP_PKEY *key, enum scheme scheme, const EVP_MD *hash, struct slice data,
                      size_t salt_bytes, struct buf *ret)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *of_key = NULL;
    size_t len = 0;
    bool is_done = context != NULL && EVP_DigestSignInit(context, &of_key, hash, NULL, key) == 1 &&
                   set_padding(of_key, scheme, salt_bytes) &&
                   EVP_DigestSign(context, NULL, &len, data.data, data.len) == 1 &&
                   EVP_DigestSign(context, buf_extend(ret, len), &len, data.data, data.len) == 1;
    ret->len = is_done ? len : 0;
    EVP_MD_CTX_free(context);
    return is_done && (scheme != SCHEME_ECDSA || der_to_pair(ret, coordinate_bytes(key)));
}

bool crypto_sign(struct engine_call *c)
{
    enum scheme scheme = arg_scheme(c);
    const EVP_MD *hash;
    struct slice data;
    size_t salt_bytes;
    if (!crypto_arg_hash(c, CRYPTO_FIRST + 1, &hash) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 3, &data) ||
        !crypto_arg_count(c, CRYPTO_FIRST + 4, SALT_BYTES_MAX, &salt_bytes)) {
        return false;
    }
    EVP_PKEY *key = crypto_arg_key(c, CRYPTO_FIRST + 2, true);
    struct buf signature = {0};
    bool is_done = key != NULL && fits(key, scheme) &&
                   sign_with(key, scheme, hash, data, salt_bytes, &signature);
    if (is_done) {
        engine_return_buf(c, &signature);
    }
    buf_done(&signature);
    EVP_PKEY_free(key);
    return is_done;
}

static bool verify_with(EVP_PKEY *key, enum scheme scheme, const EVP_MD *hash,
                        struct slice signature, struct slice data, size_t salt_bytes)
{
    struct buf der = {0};
    if (scheme == SCHEME_ECDSA) {
        if (!pair_to_der(signature, coordinate_bytes(key), &der)) {
            return false;
        }
        signature = buf_slice(&der);
    }
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY_CTX *of_key = NULL;
    bool is_good =
        context != NULL && EVP_DigestVerifyInit(context, &of_key, hash, NULL, key) == 1 &&
        set_padding(of_key, scheme, salt_bytes) &&
        EVP_DigestVerify(context, signature.data, signature.len, data.data, data.len) == 1;
    EVP_MD_CTX_free(context);
    buf_done(&der);
    return is_good;
}

bool crypto_verify(struct engine_call *c)
{
    enum scheme scheme = arg_scheme(c);
    const EVP_MD *hash;
    struct slice signature;
    struct slice data;
    size_t salt_bytes;
    if (!crypto_arg_hash(c, CRYPTO_FIRST + 1, &hash) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 3, &signature) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 4, &data) ||
        !crypto_arg_count(c, CRYPTO_FIRST + 5, SALT_BYTES_MAX, &salt_bytes)) {
        return false;
    }
    EVP_PKEY *key = crypto_arg_key(c, CRYPTO_FIRST + 2, false);
    bool has_key = key != NULL && fits(key, scheme);
    if (has_key) {
        engine_return_bool(c, verify_with(key, scheme, hash, signature, data, salt_bytes));
    }
    EVP_PKEY_free(key);
    return has_key;
}

static bool set_oaep(EVP_PKEY_CTX *context, const EVP_MD *hash, struct slice label)
{
    if (EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) != 1 ||
        EVP_PKEY_CTX_set_rsa_oaep_md(context, hash) != 1 ||
        EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash) != 1) {
        return false;
    }
    if (label.len == 0) {
        return true;
    }
    void *copy = OPENSSL_memdup(label.data, label.len); /* it is the context's */
    if (copy != NULL && EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, (int)label.len) == 1) {
        return true;
    }
    OPENSSL_free(copy);
    return false;
}

static bool oaep_with(EVP_PKEY *key, bool is_encrypt, const EVP_MD *hash, struct slice label,
                      struct slice data, struct buf *ret)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    int (*run)(EVP_PKEY_CTX *, unsigned char *, size_t *, const unsigned char *, size_t) =
        is_encrypt ? EVP_PKEY_encrypt : EVP_PKEY_decrypt;
    size_t len = 0;
    bool is_done =
        context != NULL &&
        (is_encrypt ? EVP_PKEY_encrypt_init(context) : EVP_PKEY_decrypt_init(context)) == 1 &&
        set_oaep(context, hash, label) && run(context, NULL, &len, data.data, data.len) == 1 &&
        run(context, buf_extend(ret, len), &len, data.data, data.len) == 1;
    ret->len = is_done ? len : 0;
    EVP_PKEY_CTX_free(context);
    return is_done;
}

bool crypto_rsa_oaep(struct engine_call *c)
{
    bool is_encrypt = engine_arg_bool(c, CRYPTO_FIRST);
    const EVP_MD *hash;
    struct slice label;
    struct slice data;
    if (!crypto_arg_hash(c, CRYPTO_FIRST + 1, &hash) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 3, &label) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 4, &data) || hash == NULL) {
        return false;
    }
    EVP_PKEY *key = crypto_arg_key(c, CRYPTO_FIRST + 2, !is_encrypt);
    struct buf out = {0};
    bool is_done = key != NULL && EVP_PKEY_is_a(key, "RSA") &&
                   oaep_with(key, is_encrypt, hash, label, data, &out);
    if (is_done) {
        engine_return_buf(c, &out);
    }
    buf_done(&out);
    EVP_PKEY_free(key);
    return is_done;
}

static bool derive_with(EVP_PKEY *ours, EVP_PKEY *theirs, struct buf *ret)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, ours, NULL);
    size_t len = 0;
    bool is_done = context != NULL && EVP_PKEY_derive_init(context) == 1 &&
                   EVP_PKEY_derive_set_peer(context, theirs) == 1 &&
                   EVP_PKEY_derive(context, NULL, &len) == 1 &&
                   EVP_PKEY_derive(context, buf_extend(ret, len), &len) == 1;
    ret->len = is_done ? len : 0;
    EVP_PKEY_CTX_free(context);
    return is_done;
}

bool crypto_derive(struct engine_call *c)
{
    EVP_PKEY *ours = crypto_arg_key(c, CRYPTO_FIRST, true);
    EVP_PKEY *theirs = ours != NULL ? crypto_arg_key(c, CRYPTO_FIRST + 1, false) : NULL;
    struct buf secret = {0};
    bool is_done = theirs != NULL && derive_with(ours, theirs, &secret);
    if (is_done) {
        engine_return_buf(c, &secret);
    }
    buf_done(&secret);
    EVP_PKEY_free(theirs);
    EVP_PKEY_free(ours);
    return is_done;
}
