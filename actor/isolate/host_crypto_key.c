/* Asymmetric keys: made, read, written, taken apart and put together. */
#include <string.h>

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>

#include "actor/isolate/host_crypto_own.h"
#include "base/invariant.h"

enum {
    RSA_PARTS = 8,
    RSA_PUBLIC_PARTS = 2,
    POINT_BYTES_MAX = 1 + 2 * 66,
    TYPE_BYTES = 32,
    RSA_BITS_MAX = 16384
};

struct curve {
    const char *name;       /* as the Web Cryptography API has it */
    const char *group_name; /* as libcrypto has it */
    size_t bytes;           /* of a coordinate */
};

static const struct curve curves[] = {
    {"P-256", "prime256v1", 32},
    {"P-384", "secp384r1", 48},
    {"P-521", "secp521r1", 66},
};

static const struct curve *find_curve(const char *name)
{
    for (size_t i = 0; i < sizeof curves / sizeof curves[0]; i++) {
        if (strcmp(name, curves[i].name) == 0 || strcmp(name, curves[i].group_name) == 0) {
            return &curves[i];
        }
    }
    return NULL;
}

/* Of a name that fits; "" else. */
static bool arg_name(struct engine_call *c, size_t at, char ret[TYPE_BYTES])
{
    struct buf name = {0};
    ret[0] = '\0';
    bool is_text = engine_arg_text(c, at, &name);
    if (is_text && name.len < TYPE_BYTES) {
        memcpy(ret, name.data == NULL ? (const uint8_t *)"" : name.data, name.len);
        ret[name.len] = '\0';
    }
    buf_done(&name);
    return is_text;
}

/* Reading and writing */

EVP_PKEY *crypto_read_private(struct slice pkcs8)
{
    const uint8_t *at = pkcs8.data;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &at, (long)pkcs8.len);
    EVP_PKEY *key = info != NULL && at == pkcs8.data + pkcs8.len ? EVP_PKCS82PKEY(info) : NULL;
    PKCS8_PRIV_KEY_INFO_free(info);
    return key;
}

EVP_PKEY *crypto_read_public(struct slice spki)
{
    const uint8_t *at = spki.data;
    EVP_PKEY *key = d2i_PUBKEY(NULL, &at, (long)spki.len);
    if (key != NULL && at != spki.data + spki.len) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    return key;
}

EVP_PKEY *crypto_arg_key(struct engine_call *c, size_t at, bool is_private)
{
    struct slice der;
    if (!crypto_arg_slice(c, at, &der)) {
        return NULL;
    }
    return is_private ? crypto_read_private(der) : crypto_read_public(der);
}

static bool give_der(struct engine_call *c, uint8_t *der, int bytes)
{
    if (bytes > 0) {
        engine_return_bytes(c, slice_of(der, (size_t)bytes));
    }
    OPENSSL_free(der);
    return bytes > 0;
}

/* As pkcs8 or spki; the key is freed. NULL is a failure. */
static bool give_key(struct engine_call *c, EVP_PKEY *key, bool is_private)
{
    uint8_t *der = NULL;
    int bytes = -1;
    if (key != NULL && is_private) {
        PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(key);
        bytes = info == NULL ? -1 : i2d_PKCS8_PRIV_KEY_INFO(info, &der);
        PKCS8_PRIV_KEY_INFO_free(info);
    } else if (key != NULL) {
        bytes = i2d_PUBKEY(key, &der);
    }
    EVP_PKEY_free(key);
    return give_der(c, der, bytes);
}

/* Making */

bool crypto_generate_ec(struct engine_call *c)
{
    char name[TYPE_BYTES];
    if (!arg_name(c, CRYPTO_FIRST, name)) {
        return false;
    }
    const struct curve *curve = find_curve(name);
    return curve != NULL && give_key(c, EVP_EC_gen(curve->group_name), true);
}

bool crypto_generate_ed(struct engine_call *c)
{
    char name[TYPE_BYTES];
    if (!arg_name(c, CRYPTO_FIRST, name)) {
        return false;
    }
    bool is_known = strcmp(name, "Ed25519") == 0 || strcmp(name, "X25519") == 0;
    return is_known && give_key(c, EVP_PKEY_Q_keygen(NULL, NULL, name), true);
}

bool crypto_generate_rsa(struct engine_call *c)
{
    size_t bits;
    struct slice exponent;
    if (!crypto_arg_count(c, CRYPTO_FIRST, RSA_BITS_MAX, &bits) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 1, &exponent)) {
        return false;
    }
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    BIGNUM *e = BN_bin2bn(exponent.data, (int)exponent.len, NULL);
    EVP_PKEY *key = NULL;
    if (context != NULL && e != NULL && EVP_PKEY_keygen_init(context) == 1 &&
        EVP_PKEY_CTX_set_rsa_keygen_bits(context, (int)bits) == 1 &&
        EVP_PKEY_CTX_set1_rsa_keygen_pubexp(context, e) == 1) {
        (void)EVP_PKEY_generate(context, &key);
    }
    BN_free(e);
    EVP_PKEY_CTX_free(context);
    return give_key(c, key, true);
}

bool crypto_public(struct engine_call *c)
{
    return give_key(c, crypto_arg_key(c, CRYPTO_FIRST, true), false);
}

/* Types and parts */

static const struct curve *curve_of(const EVP_PKEY *key)
{
    char group[TYPE_BYTES];
    size_t len = 0;
    return EVP_PKEY_get_group_name(key, group, sizeof group, &len) == 1 ? find_curve(group) : NULL;
}

/* NULL: none of those that are known. */
static const char *type_of(const EVP_PKEY *key)
{
    if (EVP_PKEY_is_a(key, "RSA")) {
        return "RSA";
    }
    if (EVP_PKEY_is_a(key, "ED25519")) {
        return "Ed25519";
    }
    if (EVP_PKEY_is_a(key, "X25519")) {
        return "X25519";
    }
    const struct curve *curve = EVP_PKEY_is_a(key, "EC") ? curve_of(key) : NULL;
    return curve != NULL ? curve->name : NULL;
}

static bool is_sound(EVP_PKEY *key, bool is_private)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, key, NULL);
    bool is = context != NULL && EVP_PKEY_public_check(context) == 1 &&
              (!is_private || EVP_PKEY_pairwise_check(context) == 1);
    EVP_PKEY_CTX_free(context);
    return is;
}

bool crypto_check_key(struct engine_call *c)
{
    bool is_private = crypto_arg_is(c, CRYPTO_FIRST, "pkcs8");
    EVP_PKEY *key = crypto_arg_key(c, CRYPTO_FIRST + 1, is_private);
    const char *type = key != NULL && is_sound(key, is_private) ? type_of(key) : NULL;
    if (type != NULL) {
        engine_return_text(c, slice_of_str(type), false);
    }
    EVP_PKEY_free(key);
    return type != NULL;
}

/* Appends a number, with zeros in front up to `bytes` (0: none). */
static bool append_number(struct buf *b, const EVP_PKEY *key, const char *name, size_t bytes)
{
    BIGNUM *number = NULL;
    if (EVP_PKEY_get_bn_param(key, name, &number) != 1) {
        return false;
    }
    size_t len = bytes != 0 ? bytes : (size_t)BN_num_bytes(number);
    bool fits = BN_bn2binpad(number, buf_extend(b, len), (int)len) >= 0;
    BN_clear_free(number);
    return fits;
}

static bool append_raw(struct buf *b, const EVP_PKEY *key,
                       int (*get)(const EVP_PKEY *, unsigned char *, size_t *))
{
    size_t len = 0;
    return get(key, NULL, &len) == 1 && get(key, buf_extend(b, len), &len) == 1;
}

static const char *const rsa_names[RSA_PARTS] = {
    OSSL_PKEY_PARAM_RSA_N,         OSSL_PKEY_PARAM_RSA_E,
    OSSL_PKEY_PARAM_RSA_D,         OSSL_PKEY_PARAM_RSA_FACTOR1,
    OSSL_PKEY_PARAM_RSA_FACTOR2,   OSSL_PKEY_PARAM_RSA_EXPONENT1,
    OSSL_PKEY_PARAM_RSA_EXPONENT2, OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

/* How many, or 0. */
static size_t take_apart(const EVP_PKEY *key, bool is_private, struct buf parts[RSA_PARTS])
{
    const char *type = type_of(key);
    if (type == NULL) {
        return 0;
    }
    if (strcmp(type, "RSA") == 0) {
        size_t count = is_private ? RSA_PARTS : RSA_PUBLIC_PARTS;
        for (size_t i = 0; i < count; i++) {
            if (!append_number(&parts[i], key, rsa_names[i], 0)) {
                return 0;
            }
        }
        return count;
    }
    const struct curve *curve = find_curve(type);
    if (curve == NULL) {
        bool has_both = append_raw(&parts[0], key, EVP_PKEY_get_raw_public_key) &&
                        (!is_private || append_raw(&parts[1], key, EVP_PKEY_get_raw_private_key));
        return has_both ? 1 + (size_t)is_private : 0;
    }
    bool has_all =
        append_number(&parts[0], key, OSSL_PKEY_PARAM_EC_PUB_X, curve->bytes) &&
        append_number(&parts[1], key, OSSL_PKEY_PARAM_EC_PUB_Y, curve->bytes) &&
        (!is_private || append_number(&parts[2], key, OSSL_PKEY_PARAM_PRIV_KEY, curve->bytes));
    return has_all ? 2 + (size_t)is_private : 0;
}

bool crypto_key_parts(struct engine_call *c)
{
    bool is_private = crypto_arg_is(c, CRYPTO_FIRST, "pkcs8");
    EVP_PKEY *key = crypto_arg_key(c, CRYPTO_FIRST + 1, is_private);
    struct buf parts[RSA_PARTS] = {{0}};
    size_t count = key != NULL ? take_apart(key, is_private, parts) : 0;
    if (count > 0) {
        engine_return_bytes_list(c, parts, count);
    }
    for (size_t i = 0; i < RSA_PARTS; i++) {
        buf_done(&parts[i]);
    }
    EVP_PKEY_free(key);
    return count > 0;
}

/* Putting together */

static EVP_PKEY *from_parameters(const char *type, OSSL_PARAM_BLD *builder, bool is_private)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *parameters = OSSL_PARAM_BLD_to_param(builder);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (parameters != NULL && context != NULL && EVP_PKEY_fromdata_init(context) == 1) {
        (void)EVP_PKEY_fromdata(context, &key, is_private ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                                parameters);
    }
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(parameters);
    return key;
}

/* `numbers` keeps what the builder refers to. */
static bool push_number(OSSL_PARAM_BLD *builder, const char *name, struct slice part,
                        BIGNUM **ret_number)
{
    *ret_number = BN_bin2bn(part.data, (int)part.len, NULL);
    return *ret_number != NULL && OSSL_PARAM_BLD_push_BN(builder, name, *ret_number) == 1;
}

static EVP_PKEY *rsa_of(const struct slice *parts, size_t count)
{
    if (count != RSA_PARTS && count != RSA_PUBLIC_PARTS) {
        return NULL;
    }
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *numbers[RSA_PARTS] = {NULL};
    bool is_built = builder != NULL;
    for (size_t i = 0; i < count && is_built; i++) {
        is_built = push_number(builder, rsa_names[i], parts[i], &numbers[i]);
    }
    EVP_PKEY *key = is_built ? from_parameters("RSA", builder, count == RSA_PARTS) : NULL;
    for (size_t i = 0; i < count; i++) {
        BN_clear_free(numbers[i]);
    }
    OSSL_PARAM_BLD_free(builder);
    return key;
}

/* `d` is empty for a public key. */
static EVP_PKEY *ec_of(const struct curve *curve, struct slice point, struct slice d)
{
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *number = NULL;
    bool is_built = builder != NULL &&
                    OSSL_PARAM_BLD_push_utf8_string(builder, OSSL_PKEY_PARAM_GROUP_NAME,
                                                    curve->group_name, 0) == 1 &&
                    OSSL_PARAM_BLD_push_octet_string(builder, OSSL_PKEY_PARAM_PUB_KEY, point.data,
                                                     point.len) == 1 &&
                    (d.len == 0 || push_number(builder, OSSL_PKEY_PARAM_PRIV_KEY, d, &number));
    EVP_PKEY *key = is_built ? from_parameters("EC", builder, d.len > 0) : NULL;
    BN_clear_free(number);
    OSSL_PARAM_BLD_free(builder);
    return key;
}

static EVP_PKEY *ec_of_parts(const struct curve *curve, const struct slice *parts, size_t count)
{
    if (count < 2 || count > 3) {
        return NULL;
    }
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len != curve->bytes) {
            return NULL;
        }
    }
    uint8_t point[POINT_BYTES_MAX] = {POINT_CONVERSION_UNCOMPRESSED};
    memcpy(point + 1, parts[0].data, curve->bytes);
    memcpy(point + 1 + curve->bytes, parts[1].data, curve->bytes);
    return ec_of(curve, slice_of(point, 1 + 2 * curve->bytes), count == 3 ? parts[2] : SLICE(""));
}

static EVP_PKEY *raw_of(const char *type, const struct slice *parts, size_t count)
{
    if (count == 1) {
        return EVP_PKEY_new_raw_public_key_ex(NULL, type, NULL, parts[0].data, parts[0].len);
    }
    EVP_PKEY *key =
        count == 2 ? EVP_PKEY_new_raw_private_key_ex(NULL, type, NULL, parts[1].data, parts[1].len)
                   : NULL;
    struct buf x = {0};
    if (key != NULL && (!append_raw(&x, key, EVP_PKEY_get_raw_public_key) ||
                        !slice_equal(buf_slice(&x), parts[0]))) {
        EVP_PKEY_free(key);
        key = NULL;
    }
    buf_done(&x);
    return key;
}

bool crypto_key_from_parts(struct engine_call *c)
{
    char type[TYPE_BYTES];
    struct slice parts[RSA_PARTS];
    size_t count = 0;
    if (!arg_name(c, CRYPTO_FIRST, type) ||
        !engine_arg_bytes_list(c, CRYPTO_FIRST + 1, parts, RSA_PARTS, &count)) {
        return false;
    }
    bool is_private = engine_arg_bool(c, CRYPTO_FIRST + 2);
    const struct curve *curve = find_curve(type);
    EVP_PKEY *key = NULL;
    if (strcmp(type, "RSA") == 0 && is_private == (count == RSA_PARTS)) {
        key = rsa_of(parts, count);
    } else if (curve != NULL && is_private == (count == 3)) {
        key = ec_of_parts(curve, parts, count);
    } else if ((strcmp(type, "Ed25519") == 0 || strcmp(type, "X25519") == 0) &&
               is_private == (count == 2)) {
        key = raw_of(type, parts, count);
    }
    if (key != NULL && !is_sound(key, is_private)) {
        EVP_PKEY_free(key);
        return false;
    }
    return give_key(c, key, is_private);
}

bool crypto_ec_raw(struct engine_call *c)
{
    char name[TYPE_BYTES];
    struct slice point;
    if (!arg_name(c, CRYPTO_FIRST, name) || !crypto_arg_slice(c, CRYPTO_FIRST + 1, &point)) {
        return false;
    }
    const struct curve *curve = find_curve(name);
    return curve != NULL && give_key(c, ec_of(curve, point, SLICE("")), false);
}
