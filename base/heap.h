/* A binary min-heap of 64-bit keys whose nodes live in their owners: next deadline first.
 * Equal keys come out in no promised order. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_node {
    uint64_t key; /* read it freely; change it through heap_set */
    size_t at;    /* 0: in no heap, else position + 1 */
};

struct heap {
    struct heap_node **nodes;
    size_t count;
    size_t cap;
};

void heap_done(struct heap *h);                                   /* nodes stay with their owners */
void heap_set(struct heap *h, struct heap_node *n, uint64_t key); /* inserts, or moves */
void heap_remove(struct heap *h, struct heap_node *n);            /* not in the heap: no effect */

static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->count == 0 ? NULL : h->nodes[0];
}

static inline bool heap_has(const struct heap_node *n)
{
    return n->at != 0;
}

#endif
