#include "tests/bench/histogram.h"

#include "base/invariant.h"

enum { SUB_BITS = 5, SUB_BUCKETS = 1 << SUB_BITS };

/* Values below 32 have a bucket each; above, the five bits after the leading one choose it. */
static unsigned bucket_of(uint64_t v)
{
    if (v < SUB_BUCKETS) {
        return (unsigned)v;
    }
    unsigned top = 63U - (unsigned)__builtin_clzll(v);
    unsigned shift = top - SUB_BITS;
    return ((shift + 1) << SUB_BITS) + (unsigned)((v >> shift) & (SUB_BUCKETS - 1));
}

static uint64_t bucket_middle(unsigned bucket)
{
    if (bucket < SUB_BUCKETS) {
        return bucket;
    }
    unsigned shift = (bucket >> SUB_BITS) - 1;
    uint64_t low = (uint64_t)(SUB_BUCKETS + (bucket & (SUB_BUCKETS - 1))) << shift;
    return low + (((uint64_t)1 << shift) >> 1);
}

void histogram_add(struct histogram *h, uint64_t duration_ns)
{
    unsigned bucket = bucket_of(duration_ns);
    INVARIANT(bucket < HISTOGRAM_BUCKETS);
    h->counts[bucket]++;
    h->total++;
    if (duration_ns > h->highest_ns) {
        h->highest_ns = duration_ns;
    }
}

uint64_t histogram_percentile_ns(const struct histogram *h, double part)
{
    PRE(part >= 0 && part <= 1);
    uint64_t wanted = (uint64_t)(part * (double)h->total);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += h->counts[i];
        if (seen > wanted) {
            return bucket_middle(i);
        }
    }
    return h->highest_ns;
}
