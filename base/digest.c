#include "base/digest.h"

#include <errno.h>
#include <unistd.h>

#include <sodium/crypto_hash_sha256.h>

#include "base/endian.h"
#include "base/invariant.h"

void digest_of(const struct slice *parts, size_t count, uint8_t *ret_digest, size_t bytes)
{
    PRE(bytes <= DIGEST_BYTES);

    crypto_hash_sha256_state state;
    uint8_t digest[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256_init(&state);
    for (size_t i = 0; i < count; i++) {
        uint8_t length[8];
        put_be64(length, parts[i].len);
        (void)crypto_hash_sha256_update(&state, length, sizeof length);
        if (parts[i].len > 0) {
            (void)crypto_hash_sha256_update(&state, parts[i].data, parts[i].len);
        }
    }
    (void)crypto_hash_sha256_final(&state, digest);
    memcpy(ret_digest, digest, bytes);
}

enum err digest_of_file(int fd, uint8_t ret_digest[DIGEST_BYTES])
{
    enum { PIECE_BYTES = 128 * 1024 };
    static _Thread_local uint8_t piece[PIECE_BYTES];
    crypto_hash_sha256_state state;
    off_t at = 0;
    (void)crypto_hash_sha256_init(&state);
    for (;;) {
        ssize_t n = pread(fd, piece, sizeof piece, at);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return ERR_IO;
        }
        if (n == 0) {
            break;
        }
        (void)crypto_hash_sha256_update(&state, piece, (unsigned long long)n);
        at += n;
    }
    (void)crypto_hash_sha256_final(&state, ret_digest);
    return ERR_OK;
}
