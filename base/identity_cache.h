/* Identities of addresses that were asked for lately: hashing one costs about 2 us, a fifth of a whole
 * GET. Direct-mapped: an address has one place, the newer takes it. Of one thread. */
#ifndef BASE_IDENTITY_CACHE_H
#define BASE_IDENTITY_CACHE_H

#include "base/address.h"

enum {
    IDENTITY_CACHE_PLACES = 4096,
    IDENTITY_CACHE_TEXT_BYTES = 88, /* longer addresses are hashed each time */
};

struct identity_cache {
    struct identity_place *places; /* made at the first use */
};

void identity_cache_done(struct identity_cache *c); /* zero-initialised is empty */

/* As address_identity, of an address that passed address_check; `key` is always the same. */
struct identity identity_cache_get(struct identity_cache *c, const struct address *a,
                                   const uint8_t key[ADDRESS_KEY_BYTES]);

#endif
