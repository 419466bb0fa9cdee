#include "base/identity_cache.h"

#include "base/map.h"
#include "base/mem.h"

struct identity_place {
    struct identity identity;
    uint8_t len;                             /* of the text; 0: the place is free */
    uint8_t text[IDENTITY_CACHE_TEXT_BYTES]; /* the three parts, each closed by a zero byte */
};

void identity_cache_done(struct identity_cache *c)
{
    mem_free(c->places);
    c->places = NULL;
}

static size_t join(const struct address *a, uint8_t ret_text[IDENTITY_CACHE_TEXT_BYTES])
{
    const struct slice parts[] = {a->ns, a->class, a->id};
    size_t len = 0;
    for (int i = 0; i < 3; i++) {
        memcpy(ret_text + len, parts[i].data, parts[i].len);
        len += parts[i].len;
        ret_text[len++] = 0;
    }
    return len;
}

struct identity identity_cache_get(struct identity_cache *c, const struct address *a,
                                   const uint8_t key[ADDRESS_KEY_BYTES])
{
    uint8_t text[IDENTITY_CACHE_TEXT_BYTES];
    if (a->ns.len + a->class.len + a->id.len + 3 > sizeof text) {
        return address_identity(a, key);
    }
    if (c->places == NULL) {
        c->places = mem_zalloc(IDENTITY_CACHE_PLACES * sizeof *c->places);
    }
    size_t len = join(a, text);
    uint64_t hash = hash_of(slice_of(text, len));
    struct identity_place *place = &c->places[hash % IDENTITY_CACHE_PLACES];
    if (place->len != len || memcmp(place->text, text, len) != 0) {
        place->identity = address_identity(a, key);
        place->len = (uint8_t)len;
        memcpy(place->text, text, len);
    }
    return place->identity;
}
