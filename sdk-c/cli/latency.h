/* A histogram of latencies: buckets of about 3 % width from 1 us to hours, fixed memory. */
#ifndef SDK_C_CLI_LATENCY_H
#define SDK_C_CLI_LATENCY_H

#include <stdint.h>

enum { LATENCY_SUB_BITS = 5, LATENCY_BUCKETS = 36 << LATENCY_SUB_BITS };

/* Zero-initialise. One thread writes; add them up when all have ended. */
struct latency {
    uint64_t counts[LATENCY_BUCKETS];
    uint64_t count;
    uint64_t sum_us;
    uint64_t max_us;
};

void latency_note(struct latency *l, uint64_t us);
void latency_add(struct latency *to, const struct latency *from);
/* The upper end of the bucket below which `share` (0 to 1) of all lie; 0 without any. */
double latency_quantile_ms(const struct latency *l, double share);
double latency_mean_ms(const struct latency *l);

#endif
