/* A digest: SHA-256 over parts, each after its length, so that no two lists of parts look alike. */
#ifndef BASE_DIGEST_H
#define BASE_DIGEST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum { DIGEST_BYTES = 32 };

/* Writes the first `bytes` (at most DIGEST_BYTES) of the digest. */
void digest_of(const struct slice *parts, size_t count, uint8_t *ret_digest, size_t bytes);

/* The plain SHA-256 of all that a file holds. ERR_IO: it cannot be read. Blocks. */
enum err digest_of_file(int fd, uint8_t ret_digest[DIGEST_BYTES]) MUST_CHECK;

#endif
