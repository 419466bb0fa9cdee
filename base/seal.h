/* A seal: bytes that are kept by many and read by those who have the key alone.
 *
 *     sealed   format u8 (1) | nonce 24 | XChaCha20-Poly1305 of the bytes, 16 longer
 *
 * The nonce is random, so the same bytes never look the same twice. What is sealed is bound to a context:
 * under another one it does not open, so a sealed value cannot be moved to another name. The key of a purpose
 * is derived from a cluster's one key; purposes learn nothing of each other. Pure but for the randomness. */
#ifndef BASE_SEAL_H
#define BASE_SEAL_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    SEAL_KEY_BYTES = 32,
    SEAL_ROOT_BYTES = 32,
    SEAL_OVERHEAD_BYTES = 1 + 24 + 16,
};

void seal_key_derive(const uint8_t root[SEAL_ROOT_BYTES], const char *purpose,
                     uint8_t ret_key[SEAL_KEY_BYTES]);

/* Appends the sealed bytes. */
void seal_close(const uint8_t key[SEAL_KEY_BYTES], struct slice context, struct slice plain,
                struct buf *out);

/* Appends what they hold. ERR_CORRUPT: not sealed so, or with another key or context; nothing is appended. */
enum err seal_open(const uint8_t key[SEAL_KEY_BYTES], struct slice context, struct slice sealed,
                   struct buf *out) MUST_CHECK;

/* Wipes what a buf holds before it is freed. */
void seal_wipe(struct buf *plain);

#endif
