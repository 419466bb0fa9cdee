#include "sdk-c/cli/latency.h"

#include <stddef.h>

enum { SUB_COUNT = 1 << LATENCY_SUB_BITS };

/* Below SUB_COUNT each number has its own bucket; above, the leading bit and the five behind it
 * choose one. */
static size_t bucket_of(uint64_t us)
{
    if (us < SUB_COUNT) {
        return us;
    }
    unsigned shift = 63 - (unsigned)__builtin_clzll(us) - LATENCY_SUB_BITS;
    size_t bucket = ((size_t)(shift + 1) << LATENCY_SUB_BITS) + (us >> shift) - SUB_COUNT;
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

static uint64_t upper_end(size_t bucket)
{
    if (bucket < SUB_COUNT) {
        return bucket;
    }
    unsigned shift = (unsigned)(bucket >> LATENCY_SUB_BITS) - 1;
    uint64_t leading = (bucket & (SUB_COUNT - 1)) + SUB_COUNT;
    return ((leading + 1) << shift) - 1;
}

void latency_note(struct latency *l, uint64_t us)
{
    l->counts[bucket_of(us)]++;
    l->count++;
    l->sum_us += us;
    l->max_us = us > l->max_us ? us : l->max_us;
}

void latency_add(struct latency *to, const struct latency *from)
{
    for (size_t i = 0; i < LATENCY_BUCKETS; i++) {
        to->counts[i] += from->counts[i];
    }
    to->count += from->count;
    to->sum_us += from->sum_us;
    to->max_us = from->max_us > to->max_us ? from->max_us : to->max_us;
}

double latency_quantile_ms(const struct latency *l, double share)
{
    uint64_t wanted = (uint64_t)((double)l->count * share + 0.5);
    uint64_t seen = 0;
    for (size_t i = 0; i < LATENCY_BUCKETS && l->count > 0; i++) {
        seen += l->counts[i];
        if (seen >= wanted && seen > 0) {
            uint64_t us = upper_end(i) < l->max_us ? upper_end(i) : l->max_us;
            return (double)us / 1000;
        }
    }
    return 0;
}

double latency_mean_ms(const struct latency *l)
{
    return l->count == 0 ? 0 : (double)l->sum_us / (double)l->count / 1000;
}
