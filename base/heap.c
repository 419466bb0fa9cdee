#include "base/heap.h"

#include "base/invariant.h"
#include "base/mem.h"

static void place(struct heap *h, struct heap_node *n, size_t i)
{
    h->nodes[i] = n;
    n->at = i + 1;
}

static void sift_up(struct heap *h, struct heap_node *n, size_t i)
{
    while (i > 0 && h->nodes[(i - 1) / 2]->key > n->key) {
        place(h, h->nodes[(i - 1) / 2], i);
        i = (i - 1) / 2;
    }
    place(h, n, i);
}

static void sift_down(struct heap *h, struct heap_node *n, size_t i)
{
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->count) {
            break;
        }
        if (child + 1 < h->count && h->nodes[child + 1]->key < h->nodes[child]->key) {
            child++;
        }
        if (h->nodes[child]->key >= n->key) {
            break;
        }
        place(h, h->nodes[child], i);
        i = child;
    }
    place(h, n, i);
}

static void settle(struct heap *h, struct heap_node *n, size_t i)
{
    if (i > 0 && h->nodes[(i - 1) / 2]->key > n->key) {
        sift_up(h, n, i);
    } else {
        sift_down(h, n, i);
    }
}

void heap_done(struct heap *h)
{
    for (size_t i = 0; i < h->count; i++) {
        h->nodes[i]->at = 0;
    }
    mem_free(h->nodes);
    *h = (struct heap){0};
}

void heap_set(struct heap *h, struct heap_node *n, uint64_t key)
{
    PRE(n->at == 0 || (n->at <= h->count && h->nodes[n->at - 1] == n));

    n->key = key;
    if (n->at != 0) {
        settle(h, n, n->at - 1);
        return;
    }
    if (h->count == h->cap) {
        h->cap = h->cap != 0 ? h->cap * 2 : 16;
        h->nodes = mem_realloc(h->nodes, h->cap * sizeof(struct heap_node *));
    }
    h->count++;
    sift_up(h, n, h->count - 1);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    if (n->at == 0) {
        return;
    }
    PRE(n->at <= h->count && h->nodes[n->at - 1] == n);

    size_t hole = n->at - 1;
    n->at = 0;
    struct heap_node *last = h->nodes[--h->count];
    if (last != n) {
        settle(h, last, hole);
    }
}
