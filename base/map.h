/* A hash map whose nodes live in their owners. Keys stay with the owner: the caller hashes
 * (hash_of, keyed at start so that clients cannot choose collisions) and compares.
 *
 *     for (struct map_node *n = map_find(&m, hash); n != NULL; n = map_next_same(n))
 *         if (owner's key equals) ...
 */
#ifndef BASE_MAP_H
#define BASE_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

struct map_node {
    struct map_node *next; /* in its chain */
    uint64_t hash;
};

struct map {
    struct map_node **chains;
    size_t chain_count; /* a power of two, or 0 while empty */
    size_t count;
};

void map_done(struct map *m);                                   /* nodes stay with their owners */
void map_add(struct map *m, struct map_node *n, uint64_t hash); /* equal hashes may coexist */
void map_remove(struct map *m, struct map_node *n);             /* must be in the map */
struct map_node *map_find(const struct map *m, uint64_t hash);  /* first with this hash, or NULL */
struct map_node *map_next_same(const struct map_node *n);       /* the next with the same hash */

/* Iterates in no order; the body must not change the map. */
struct map_node *map_first(const struct map *m);
struct map_node *map_next(const struct map *m, const struct map_node *n);
#define MAP_FOREACH(it, m) \
    for (struct map_node *it = map_first(m); it != NULL; it = map_next(m, it))

/* XXH3 of the bytes under a seed drawn once per process. Not stable across processes. */
uint64_t hash_of(struct slice key);

#endif
