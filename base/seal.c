#include "base/seal.h"

#include <string.h>

#include <sodium.h>

#include "base/invariant.h"
#include "base/random.h"

enum { FORMAT = 1, NONCE_BYTES = crypto_aead_xchacha20poly1305_ietf_NPUBBYTES };

_Static_assert(SEAL_OVERHEAD_BYTES == 1 + NONCE_BYTES + crypto_aead_xchacha20poly1305_ietf_ABYTES,
               "what the header says");
_Static_assert((int)SEAL_KEY_BYTES == (int)crypto_aead_xchacha20poly1305_ietf_KEYBYTES &&
                   (int)SEAL_ROOT_BYTES == (int)crypto_generichash_KEYBYTES,
               "keys are as long as the library has them");

void seal_key_derive(const uint8_t root[SEAL_ROOT_BYTES], const char *purpose,
                     uint8_t ret_key[SEAL_KEY_BYTES])
{
    int rc = crypto_generichash(ret_key, SEAL_KEY_BYTES, (const unsigned char *)purpose,
                                (unsigned long long)strlen(purpose), root, (size_t)SEAL_ROOT_BYTES);
    INVARIANT(rc == 0);
}

void seal_close(const uint8_t key[SEAL_KEY_BYTES], struct slice context, struct slice plain,
                struct buf *out)
{
    uint8_t nonce[NONCE_BYTES];
    unsigned long long len;
    random_bytes(nonce, sizeof nonce);
    buf_append_byte(out, FORMAT);
    buf_append(out, nonce, sizeof nonce);
    size_t at = out->len;
    size_t room = plain.len + crypto_aead_xchacha20poly1305_ietf_ABYTES;
    uint8_t *to = buf_extend(out, room);
    int rc = crypto_aead_xchacha20poly1305_ietf_encrypt(
        to, &len, plain.data, plain.len, context.data, context.len, NULL, nonce, key);
    INVARIANT(rc == 0 && len == room);
    POST(out->len == at + room);
}

enum err seal_open(const uint8_t key[SEAL_KEY_BYTES], struct slice context, struct slice sealed,
                   struct buf *out)
{
    if (sealed.len < SEAL_OVERHEAD_BYTES || sealed.data[0] != FORMAT) {
        return ERR_CORRUPT;
    }
    struct slice nonce = slice_of(sealed.data + 1, NONCE_BYTES);
    struct slice text = slice_skip(sealed, 1 + NONCE_BYTES);
    size_t before = out->len;
    uint8_t *to = buf_extend(out, sealed.len - SEAL_OVERHEAD_BYTES + 1); /* never empty */
    unsigned long long len = 0;
    int rc = crypto_aead_xchacha20poly1305_ietf_decrypt(to, &len, NULL, text.data, text.len,
                                                        context.data, context.len, nonce.data, key);
    out->len = before + (rc == 0 ? (size_t)len : 0);
    return rc == 0 ? ERR_OK : ERR_CORRUPT;
}

void seal_wipe(struct buf *plain)
{
    if (plain->data != NULL) {
        sodium_memzero(plain->data, plain->cap);
    }
    buf_done(plain);
}
