/* AES in its modes. */
#include <stdio.h>
#include <string.h>

#include "actor/isolate/host_crypto_own.h"
#include "base/invariant.h"

enum { BLOCK_BYTES = 16, BITS_OF_BYTE = 8, TAG_BYTES_MAX = 16 };

struct aes {
    EVP_CIPHER *method;
    EVP_CIPHER_CTX *context;
};

static void aes_done(struct aes *a)
{
    EVP_CIPHER_CTX_free(a->context);
    EVP_CIPHER_free(a->method);
}

/* "AES-256-GCM", by the length of the key. False: there is none; aes_done either way. */
static bool aes_init(struct aes *a, const char *mode, struct slice key)
{
    char name[32];
    (void)snprintf(name, sizeof name, "AES-%zu-%s", key.len * BITS_OF_BYTE, mode);
    *a =
        (struct aes){.method = EVP_CIPHER_fetch(NULL, name, NULL), .context = EVP_CIPHER_CTX_new()};
    return a->method != NULL && a->context != NULL;
}

/* All of `in`, and what is left at the end, appended to `out`. */
static bool run(struct aes *a, struct slice in, struct buf *out)
{
    int written = 0;
    int last = 0;
    uint8_t *at = buf_extend(out, in.len + 2 * BLOCK_BYTES);
    bool is_done = EVP_CipherUpdate(a->context, at, &written, in.data, (int)in.len) == 1 &&
                   EVP_CipherFinal_ex(a->context, at + written, &last) == 1;
    out->len -= in.len + 2 * BLOCK_BYTES;
    out->len += is_done ? (size_t)written + (size_t)last : 0;
    return is_done;
}

static bool give(struct engine_call *c, struct buf *out, bool is_done)
{
    if (is_done) {
        engine_return_buf(c, out);
    }
    buf_done(out);
    return is_done;
}

static bool gcm(struct aes *a, bool is_encrypt, struct slice key, struct slice iv,
                struct slice additional, struct slice data, size_t tag_bytes, struct buf *out)
{
    uint8_t tag[TAG_BYTES_MAX];
    int ignored = 0;
    struct slice text = is_encrypt ? data : slice_of(data.data, data.len - tag_bytes);
    bool is_begun =
        EVP_CipherInit_ex2(a->context, a->method, NULL, NULL, is_encrypt, NULL) == 1 &&
        EVP_CIPHER_CTX_ctrl(a->context, EVP_CTRL_AEAD_SET_IVLEN, (int)iv.len, NULL) == 1 &&
        EVP_CipherInit_ex2(a->context, NULL, key.data, iv.data, is_encrypt, NULL) == 1;
    if (is_begun && !is_encrypt) {
        memcpy(tag, data.data + text.len, tag_bytes);
        is_begun = EVP_CIPHER_CTX_ctrl(a->context, EVP_CTRL_AEAD_SET_TAG, (int)tag_bytes, tag) == 1;
    }
    if (!is_begun ||
        EVP_CipherUpdate(a->context, NULL, &ignored, additional.data, (int)additional.len) != 1 ||
        !run(a, text, out)) {
        return false;
    }
    if (is_encrypt) {
        if (EVP_CIPHER_CTX_ctrl(a->context, EVP_CTRL_AEAD_GET_TAG, (int)tag_bytes, tag) != 1) {
            return false;
        }
        buf_append(out, tag, tag_bytes);
    }
    return true;
}

bool crypto_aes_gcm(struct engine_call *c)
{
    bool is_encrypt = engine_arg_bool(c, CRYPTO_FIRST);
    struct slice key;
    struct slice iv;
    struct slice additional;
    struct slice data;
    size_t tag_bits;
    if (!crypto_arg_slice(c, CRYPTO_FIRST + 1, &key) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 2, &iv) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 3, &additional) ||
        !crypto_arg_count(c, CRYPTO_FIRST + 4, TAG_BYTES_MAX * BITS_OF_BYTE, &tag_bits) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 5, &data)) {
        return false;
    }
    size_t tag_bytes = tag_bits / BITS_OF_BYTE;
    if (tag_bytes == 0 || (!is_encrypt && data.len < tag_bytes)) {
        return false;
    }
    struct buf out = {0};
    struct aes a;
    bool is_done =
        aes_init(&a, "GCM", key) && gcm(&a, is_encrypt, key, iv, additional, data, tag_bytes, &out);
    aes_done(&a);
    return give(c, &out, is_done);
}

bool crypto_aes_cbc(struct engine_call *c)
{
    bool is_encrypt = engine_arg_bool(c, CRYPTO_FIRST);
    struct slice key;
    struct slice iv;
    struct slice data;
    if (!crypto_arg_slice(c, CRYPTO_FIRST + 1, &key) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 2, &iv) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 3, &data) || iv.len != BLOCK_BYTES) {
        return false;
    }
    struct buf out = {0};
    struct aes a;
    bool is_done =
        aes_init(&a, "CBC", key) &&
        EVP_CipherInit_ex2(a.context, a.method, key.data, iv.data, is_encrypt, NULL) == 1 &&
        run(&a, data, &out);
    aes_done(&a);
    return give(c, &out, is_done);
}

/* How many blocks it is until the low bits of a counter are all zero again; UINT64_MAX: more than any data
 * has. */
static uint64_t blocks_until_wrap(const uint8_t counter[BLOCK_BYTES], size_t bits)
{
    enum { LOW_BITS = 32 };
    uint64_t low = 0;
    for (size_t i = 0; i < sizeof(uint32_t); i++) {
        low = low << BITS_OF_BYTE | counter[BLOCK_BYTES - sizeof(uint32_t) + i];
    }
    if (bits <= LOW_BITS) {
        uint64_t all = UINT64_C(1) << bits;
        return all - (low & (all - 1));
    }
    for (size_t bit = LOW_BITS; bit < bits; bit++) {
        if ((counter[BLOCK_BYTES - 1 - bit / BITS_OF_BYTE] >> bit % BITS_OF_BYTE & 1) == 0) {
            return UINT64_MAX;
        }
    }
    return (UINT64_C(1) << LOW_BITS) - low;
}

static void clear_low_bits(uint8_t counter[BLOCK_BYTES], size_t bits)
{
    for (size_t bit = 0; bit < bits; bit++) {
        counter[BLOCK_BYTES - 1 - bit / BITS_OF_BYTE] &= (uint8_t) ~(1U << bit % BITS_OF_BYTE);
    }
}

static bool ctr(struct aes *a, struct slice key, const uint8_t counter[BLOCK_BYTES],
                struct slice data, struct buf *out)
{
    return EVP_CipherInit_ex2(a->context, a->method, key.data, counter, 1, NULL) == 1 &&
           run(a, data, out);
}

bool crypto_aes_ctr(struct engine_call *c)
{
    struct slice key;
    struct slice first;
    struct slice data;
    size_t bits;
    if (!crypto_arg_slice(c, CRYPTO_FIRST, &key) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 1, &first) ||
        !crypto_arg_count(c, CRYPTO_FIRST + 2, BLOCK_BYTES * BITS_OF_BYTE, &bits) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 3, &data) || first.len != BLOCK_BYTES || bits == 0) {
        return false;
    }
    uint8_t counter[BLOCK_BYTES];
    memcpy(counter, first.data, sizeof counter);
    uint64_t blocks = blocks_until_wrap(counter, bits);
    size_t head_bytes =
        blocks < data.len / BLOCK_BYTES + 1 ? (size_t)blocks * BLOCK_BYTES : data.len;
    head_bytes = head_bytes < data.len ? head_bytes : data.len;
    struct buf out = {0};
    struct aes a;
    bool is_done =
        aes_init(&a, "CTR", key) && ctr(&a, key, counter, slice_of(data.data, head_bytes), &out);
    if (is_done && head_bytes < data.len) {
        /* The library counts on in the bits above; here they stay. */
        clear_low_bits(counter, bits);
        is_done = ctr(&a, key, counter, slice_skip(data, head_bytes), &out);
    }
    aes_done(&a);
    return give(c, &out, is_done);
}

bool crypto_aes_kw(struct engine_call *c)
{
    bool is_wrap = engine_arg_bool(c, CRYPTO_FIRST);
    struct slice key;
    struct slice data;
    if (!crypto_arg_slice(c, CRYPTO_FIRST + 1, &key) ||
        !crypto_arg_slice(c, CRYPTO_FIRST + 2, &data)) {
        return false;
    }
    struct buf out = {0};
    struct aes a;
    bool is_done = aes_init(&a, "WRAP", key);
    if (is_done) {
        EVP_CIPHER_CTX_set_flags(a.context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
        is_done = EVP_CipherInit_ex2(a.context, a.method, key.data, NULL, is_wrap, NULL) == 1 &&
                  run(&a, data, &out);
    }
    aes_done(&a);
    return give(c, &out, is_done);
}
