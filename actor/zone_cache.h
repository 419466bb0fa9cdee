/* The time zones that a worker used last: making one reads a file. */
#ifndef ACTOR_ZONE_CACHE_H
#define ACTOR_ZONE_CACHE_H

#include "actor/zone.h"
#include "base/err.h"
#include "base/slice.h"

enum { ZONE_CACHE_SLOTS = 16 };

/* Zero-initialised is empty. */
struct zone_cache {
    struct zone_slot {
        struct zone *zone; /* NULL: free */
        size_t name_len;
        char name[ZONE_NAME_BYTES_MAX];
    } slots[ZONE_CACHE_SLOTS];
    unsigned next; /* the slot that is given up next */
};

/* ERR_BAD_REQUEST: there is no such zone. Borrowed until the next call. */
enum err zone_cache_get(struct zone_cache *c, struct slice name,
                        const struct zone **ret_zone) MUST_CHECK;
void zone_cache_done(struct zone_cache *c);

#endif
