/* A histogram of durations: 32 buckets to each power of two, so that a percentile is off by at most
 * 3 %, from 1 ns to centuries, in fixed memory. */
#ifndef TESTS_BENCH_HISTOGRAM_H
#define TESTS_BENCH_HISTOGRAM_H

#include <stdint.h>

enum { HISTOGRAM_BUCKETS = 60 * 32 };

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t highest_ns;
};

void histogram_add(struct histogram *h, uint64_t duration_ns);
/* The duration that the share `part` (0 to 1) of the samples does not exceed; 0 without samples. */
uint64_t histogram_percentile_ns(const struct histogram *h, double part);

#endif
