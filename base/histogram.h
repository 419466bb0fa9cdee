/* A histogram of durations: one bucket for each power of two of microseconds. Plain counters: one
 * thread adds, others read copies. */
#ifndef BASE_HISTOGRAM_H
#define BASE_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 24 }; /* the n-th: up to 2^n us; the last also what is longer (8 s) */

struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum_ns;
};

static inline void histogram_add(struct histogram *h, uint64_t ns)
{
    uint64_t us = ns / 1000;
    int n = us <= 1 ? 0 : 64 - __builtin_clzll(us - 1); /* the least n with us <= 2^n */
    h->buckets[n < HISTOGRAM_BUCKETS ? n : HISTOGRAM_BUCKETS - 1]++;
    h->count++;
    h->sum_ns += ns;
}

#endif
