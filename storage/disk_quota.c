#include "storage/disk_quota.h"

/* Relaxed: the number says nothing about other memory. Unsigned differences add up whatever their
 * sign. */
void disk_quota_say(struct disk_quota *q, uint64_t *said, uint64_t bytes)
{
    (void)atomic_fetch_add_explicit(&q->said_bytes, bytes - *said, memory_order_relaxed);
    *said = bytes;
}

static bool fits(const struct disk_quota *q, uint64_t said_bytes, uint64_t bytes)
{
    return q->bytes_max == 0 || (said_bytes <= q->bytes_max && bytes <= q->bytes_max - said_bytes);
}

bool disk_quota_take(struct disk_quota *q, uint64_t *said, uint64_t bytes)
{
    uint64_t all = atomic_load_explicit(&q->said_bytes, memory_order_relaxed);
    do {
        if (!fits(q, all, bytes)) {
            return false;
        }
    } while (!atomic_compare_exchange_weak_explicit(&q->said_bytes, &all, all + bytes,
                                                    memory_order_relaxed, memory_order_relaxed));
    *said += bytes;
    return true;
}

bool disk_quota_has_room(const struct disk_quota *q, uint64_t bytes)
{
    return fits(q, atomic_load_explicit(&q->said_bytes, memory_order_relaxed), bytes);
}
