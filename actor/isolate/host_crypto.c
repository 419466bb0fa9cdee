#include "actor/isolate/host_crypto.h"

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "actor/isolate/host_crypto_own.h"
#include "base/invariant.h"

enum { DERIVED_BYTES_MAX = 16 << 20, ROUNDS_MAX = INT32_MAX };

struct digest {
    const char *name;         /* as the Web Cryptography API has it */
    const char *library_name; /* as libcrypto has it */
    EVP_MD *method;           /* fetched once, in the zygote */
};

static struct digest digests[] = {
    {"SHA-1", "SHA1", NULL},     {"SHA-256", "SHA256", NULL}, {"SHA-384", "SHA384", NULL},
    {"SHA-512", "SHA512", NULL}, {"MD5", "MD5", NULL},
};
enum { DIGESTS = sizeof digests / sizeof digests[0] };

void host_crypto_init(void)
{
    /* No file of the system changes what isolates compute. */
    int is_up = OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
    INVARIANT(is_up == 1);
    for (size_t i = 0; i < DIGESTS; i++) {
        digests[i].method = EVP_MD_fetch(NULL, digests[i].library_name, NULL);
    }
}

static const EVP_MD *find_digest(struct slice name)
{
    for (size_t i = 0; i < DIGESTS; i++) {
        if (slice_equal_str(name, digests[i].name)) {
            return digests[i].method;
        }
    }
    return NULL;
}

/* Arguments */

bool crypto_arg_slice(struct engine_call *c, size_t at, struct slice *ret)
{
    uint8_t *data;
    size_t len;
    if (!engine_arg_bytes(c, at, &data, &len)) {
        return false;
    }
    if (len > INT32_MAX) { /* which libcrypto counts with */
        engine_throw(c, "RangeError", "these are too many bytes");
        return false;
    }
    *ret = slice_of(data == NULL ? (uint8_t *)(uintptr_t) "" : data, len);
    return true;
}

bool crypto_arg_hash(struct engine_call *c, size_t at, const EVP_MD **ret)
{
    *ret = NULL;
    if (engine_arg_is_null(c, at)) {
        return true;
    }
    struct buf name = {0};
    if (!engine_arg_text(c, at, &name)) {
        return false;
    }
    *ret = find_digest(buf_slice(&name));
    buf_done(&name);
    if (*ret == NULL) {
        engine_throw(c, "Error", "there is no such hash");
    }
    return *ret != NULL;
}

bool crypto_arg_count(struct engine_call *c, size_t at, size_t max, size_t *ret)
{
    double number = 0;
    if (!engine_arg_number(c, at, &number)) {
        return false;
    }
    if (!(number >= 0 && number <= (double)max)) {
        engine_throw(c, "RangeError", "a number is out of its range");
        return false;
    }
    *ret = (size_t)number;
    return true;
}

bool crypto_arg_is(struct engine_call *c, size_t at, const char *text)
{
    struct buf given = {0};
    bool is = engine_arg_text(c, at, &given) && slice_equal_str(buf_slice(&given), text);
    buf_done(&given);
    return is;
}

/* Operations */

/* digest(name, bytes): the digest. */
static void host_digest(struct engine_call *c, void *context)
{
    (void)context;
    const EVP_MD *method;
    struct slice data;
    if (!crypto_arg_hash(c, 0, &method) || !crypto_arg_slice(c, 1, &data)) {
        return;
    }
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned out_len = 0;
    if (method == NULL || EVP_Digest(data.data, data.len, out, &out_len, method, NULL) != 1) {
        engine_throw(c, "Error", "there is no such hash");
        return;
    }
    engine_return_bytes(c, slice_of(out, out_len));
}

static bool hmac(struct engine_call *c)
{
    const EVP_MD *hash;
    struct slice key;
    struct slice data;
    if (!crypto_arg_hash(c, CRYPTO_FIRST, &hash) || !crypto_arg_slice(c, CRYPTO_FIRST + 1, &key) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 2, &data)) {
        return false;
    }
    uint8_t out[EVP_MAX_MD_SIZE];
    unsigned out_len = 0;
    if (hash == NULL ||
        HMAC(hash, key.data, (int)key.len, data.data, data.len, out, &out_len) == NULL) {
        return false;
    }
    engine_return_bytes(c, slice_of(out, out_len));
    return true;
}

static bool pbkdf2(struct engine_call *c)
{
    const EVP_MD *hash;
    struct slice password;
    struct slice salt;
    size_t rounds;
    size_t bytes;
    if (!crypto_arg_hash(c, CRYPTO_FIRST, &hash) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 1, &password) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 2, &salt) ||
        !crypto_arg_count(c, CRYPTO_FIRST + 3, ROUNDS_MAX, &rounds) ||
        !crypto_arg_count(c, CRYPTO_FIRST + 4, DERIVED_BYTES_MAX, &bytes) || hash == NULL) {
        return false;
    }
    struct buf out = {0};
    uint8_t *at = buf_extend(&out, bytes);
    bool is_done =
        bytes == 0 || PKCS5_PBKDF2_HMAC((const char *)password.data, (int)password.len, salt.data,
                                        (int)salt.len, (int)rounds, hash, (int)bytes, at) == 1;
    if (is_done) {
        engine_return_buf(c, &out);
    }
    buf_done(&out);
    return is_done;
}

static bool hkdf_into(const EVP_MD *hash, struct slice key, struct slice salt, struct slice info,
                      struct buf *out, size_t bytes)
{
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = kdf != NULL ? EVP_KDF_CTX_new(kdf) : NULL;
    OSSL_PARAM parameters[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                         (char *)(uintptr_t)EVP_MD_get0_name(hash), 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)key.data, key.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)salt.data,
                                          salt.len),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)info.data,
                                          info.len),
        OSSL_PARAM_construct_end(),
    };
    uint8_t *at = buf_extend(out, bytes);
    bool is_done =
        context != NULL && (bytes == 0 || EVP_KDF_derive(context, at, bytes, parameters) == 1);
    EVP_KDF_CTX_free(context);
    EVP_KDF_free(kdf);
    return is_done;
}

static bool hkdf(struct engine_call *c)
{
    const EVP_MD *hash;
    struct slice key;
    struct slice salt;
    struct slice info;
    size_t bytes;
    if (!crypto_arg_hash(c, CRYPTO_FIRST, &hash) || !crypto_arg_slice(c, CRYPTO_FIRST + 1, &key) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 2, &salt) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 3, &info) ||
        !crypto_arg_count(c, CRYPTO_FIRST + 4, DERIVED_BYTES_MAX, &bytes) || hash == NULL) {
        return false;
    }
    struct buf out = {0};
    bool is_done = hkdf_into(hash, key, salt, info, &out, bytes);
    if (is_done) {
        engine_return_buf(c, &out);
    }
    buf_done(&out);
    return is_done;
}

static const struct {
    const char *name;
    crypto_fn *fn;
} operations[] = {
    {"hmac", hmac},
    {"pbkdf2", pbkdf2},
    {"hkdf", hkdf},
    {"aes-gcm", crypto_aes_gcm},
    {"aes-cbc", crypto_aes_cbc},
    {"aes-ctr", crypto_aes_ctr},
    {"aes-kw", crypto_aes_kw},
    {"generate-ec", crypto_generate_ec},
    {"generate-ed", crypto_generate_ed},
    {"generate-rsa", crypto_generate_rsa},
    {"public", crypto_public},
    {"check-key", crypto_check_key},
    {"key-parts", crypto_key_parts},
    {"key-from-parts", crypto_key_from_parts},
    {"ec-raw", crypto_ec_raw},
    {"sign", crypto_sign},
    {"verify", crypto_verify},
    {"rsa-oaep", crypto_rsa_oaep},
    {"derive", crypto_derive},
};

static crypto_fn *find_operation(struct slice name)
{
    for (size_t i = 0; i < sizeof operations / sizeof operations[0]; i++) {
        if (slice_equal_str(name, operations[i].name)) {
            return operations[i].fn;
        }
    }
    return NULL;
}

static void host_crypto(struct engine_call *c, void *context)
{
    (void)context;
    struct buf name = {0};
    if (!engine_arg_text(c, 0, &name)) {
        return;
    }
    crypto_fn *fn = find_operation(buf_slice(&name));
    buf_done(&name);
    if (fn == NULL) {
        engine_throw(c, "Error", "there is no such operation");
    } else if (!fn(c) && !engine_has_thrown(c)) {
        const char *reason = ERR_reason_error_string(ERR_peek_last_error());
        engine_throw(c, "Error", reason != NULL ? reason : "it cannot be done with these values");
    }
    ERR_clear_error();
}

void host_crypto_add(struct engine *e)
{
    static const struct engine_host functions[] = {
        {"digest", host_digest},
        {"crypto", host_crypto},
    };
    engine_host_add(e, functions, sizeof functions / sizeof functions[0], NULL);
}
