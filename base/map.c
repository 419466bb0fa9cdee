#include "base/map.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"

enum { MAP_FIRST_CHAINS = 16 };

static size_t chain_of(const struct map *m, uint64_t hash)
{
    return (size_t)hash & (m->chain_count - 1);
}

static void grow(struct map *m)
{
    struct map wider = {.chain_count = m->chain_count != 0 ? m->chain_count * 2 : MAP_FIRST_CHAINS};
    wider.chains = mem_zalloc(wider.chain_count * sizeof(struct map_node *));
    for (size_t i = 0; i < m->chain_count; i++) {
        for (struct map_node *n = m->chains[i], *next; n != NULL; n = next) {
            next = n->next;
            size_t to = chain_of(&wider, n->hash);
            n->next = wider.chains[to];
            wider.chains[to] = n;
        }
    }
    mem_free(m->chains);
    m->chains = wider.chains;
    m->chain_count = wider.chain_count;
}

void map_done(struct map *m)
{
    mem_free(m->chains);
    *m = (struct map){0};
}

void map_add(struct map *m, struct map_node *n, uint64_t hash)
{
    if (m->count >= m->chain_count) {
        grow(m);
    }
    size_t chain = chain_of(m, hash);
    n->hash = hash;
    n->next = m->chains[chain];
    m->chains[chain] = n;
    m->count++;
}

void map_remove(struct map *m, struct map_node *n)
{
    PRE(m->count > 0);

    struct map_node **link = &m->chains[chain_of(m, n->hash)];
    while (*link != n) {
        INVARIANT(*link != NULL);
        link = &(*link)->next;
    }
    *link = n->next;
    n->next = NULL;
    m->count--;
}

static struct map_node *same(struct map_node *n, uint64_t hash)
{
    while (n != NULL && n->hash != hash) {
        n = n->next;
    }
    return n;
}

struct map_node *map_find(const struct map *m, uint64_t hash)
{
    return m->chain_count == 0 ? NULL : same(m->chains[chain_of(m, hash)], hash);
}

struct map_node *map_next_same(const struct map_node *n)
{
    return same(n->next, n->hash);
}

static struct map_node *first_from(const struct map *m, size_t chain)
{
    for (; chain < m->chain_count; chain++) {
        if (m->chains[chain] != NULL) {
            return m->chains[chain];
        }
    }
    return NULL;
}

struct map_node *map_first(const struct map *m)
{
    return first_from(m, 0);
}

struct map_node *map_next(const struct map *m, const struct map_node *n)
{
    return n->next != NULL ? n->next : first_from(m, chain_of(m, n->hash) + 1);
}

uint64_t hash_of(struct slice key)
{
    static _Thread_local uint64_t seed;
    static _Thread_local int seeded;
    if (!seeded) {
        seed = random_process_seed();
        seeded = 1;
    }
    return XXH3_64bits_withSeed(key.data, key.len, seed);
}
