/* What the tests of storage/ share: a seeded generator, batches in one call. */
#ifndef TESTS_LIB_STORAGE_H
#define TESTS_LIB_STORAGE_H

#include "base/buf.h"
#include "base/invariant.h"
#include "storage/batch.h"
#include "storage/keyspace.h"

/* splitmix64: the same numbers for a seed everywhere. */
static inline uint64_t test_next(uint64_t *seed)
{
    uint64_t z = (*seed += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

static inline uint64_t test_below(uint64_t *seed, uint64_t limit)
{
    return test_next(seed) % limit;
}

/* Ends a batch and wraps it as an entry of its own. */
static inline void test_end_entry(struct batch_builder *b, uint64_t version, struct buf *entry)
{
    struct batch_header header = {.version = version, .log_time_ms = 1000 + version};
    enum err err = batch_end(b, &header);
    INVARIANT(err == ERR_OK);
    entry_append(entry, buf_slice(b->out));
    buf_clear(b->out);
}

static inline struct row_key test_kv(uint64_t number, const char *key)
{
    struct row_key k;
    row_key_kv(&k, number, slice_of_str(key));
    return k;
}

static inline struct identity test_identity(uint64_t n)
{
    struct identity identity;
    for (int i = 0; i < IDENTITY_BYTES; i++) {
        identity.bytes[i] = (uint8_t)(test_next(&n) & 0xff);
    }
    return identity;
}

#endif
