/* The address of an actor (API section 2) and the identity that follows from it (DESIGN section 3).
 *
 * An identity is 32 bytes: the first 24 of SHA-256 over "dormouse/1", namespace, class and name,
 * each closed by a zero byte, then 8 of an HMAC of those 24 with namespace and class under a key of
 * the cluster. 64 lower-case hex digits in a path whose tag verifies are that identity; anything
 * else is a name. */
#ifndef BASE_ADDRESS_H
#define BASE_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

enum {
    NAMESPACE_BYTES_MAX = 63,
    CLASS_BYTES_MAX = 63,
    ID_BYTES_MAX = 512,
    IDENTITY_BYTES = 32,
    IDENTITY_HASH_BYTES = 24,
    ADDRESS_KEY_BYTES = 32,
};

struct identity {
    uint8_t bytes[IDENTITY_BYTES];
};

/* Borrowed slices, percent-decoded. */
struct address {
    struct slice ns;
    struct slice class;
    struct slice id;
};

/* ERR_INVALID_ID where a part breaks its rule: namespace [a-z0-9][a-z0-9-]{0,62}, class
 * [A-Za-z][A-Za-z0-9_]{0,62}, id 1 to 512 bytes of UTF-8 without NUL, neither "." nor "..". */
enum err address_check(const struct address *a) MUST_CHECK;
bool address_namespace_is_valid(struct slice ns);
bool address_class_is_valid(struct slice class);

/* The address must have passed address_check. */
struct identity address_identity(const struct address *a, const uint8_t key[ADDRESS_KEY_BYTES]);

/* Of an actor that has no name: 24 random bytes in place of a hash. Of the address namespace and class count. */
struct identity address_new_identity(const struct address *a, const uint8_t key[ADDRESS_KEY_BYTES]);

/* First 8 bytes of the identity, big-endian, modulo the number of shards. */
uint32_t identity_shard(const struct identity *identity, uint32_t shard_count);

bool slice_is_utf8(struct slice s); /* RFC 3629: no surrogates, no overlong forms */

#endif
