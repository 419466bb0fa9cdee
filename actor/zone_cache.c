#include "actor/zone_cache.h"

#include <string.h>

enum err zone_cache_get(struct zone_cache *c, struct slice name, const struct zone **ret_zone)
{
    for (int i = 0; i < ZONE_CACHE_SLOTS; i++) {
        const struct zone_slot *s = &c->slots[i];
        if (s->zone != NULL && slice_equal(slice_of(s->name, s->name_len), name)) {
            *ret_zone = s->zone;
            return ERR_OK;
        }
    }
    if (name.len > ZONE_NAME_BYTES_MAX) {
        return ERR_BAD_REQUEST;
    }
    struct zone *zone;
    enum err err = zone_new(name, &zone);
    if (err != ERR_OK) {
        return err;
    }
    struct zone_slot *s = &c->slots[c->next];
    c->next = (c->next + 1) % ZONE_CACHE_SLOTS;
    zone_free(s->zone);
    s->zone = zone;
    s->name_len = name.len;
    memcpy(s->name, name.data, name.len);
    *ret_zone = zone;
    return ERR_OK;
}

void zone_cache_done(struct zone_cache *c)
{
    for (int i = 0; i < ZONE_CACHE_SLOTS; i++) {
        zone_free(c->slots[i].zone);
    }
    *c = (struct zone_cache){.next = 0};
}
