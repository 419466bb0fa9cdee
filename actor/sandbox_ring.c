#include "actor/sandbox_ring.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"

enum { RING_BYTES_MIN = 1 << 14, PIECE_BYTES = 64 * 1024 };

static void ring_grow(struct ring *r, size_t more)
{
    size_t kept = (size_t)(r->end - r->start);
    size_t capacity = r->capacity == 0 ? RING_BYTES_MIN : r->capacity;
    while (capacity < kept + more && capacity < RING_BYTES_MAX) {
        capacity *= 2;
    }
    if (capacity == r->capacity) {
        return;
    }
    uint8_t *data = mem_alloc(capacity);
    for (uint64_t at = r->start; at < r->end; at++) {
        data[at % capacity] = r->data[at % r->capacity];
    }
    mem_free(r->data);
    r->data = data;
    r->capacity = capacity;
}

void ring_put(struct ring *r, struct slice bytes)
{
    ring_grow(r, bytes.len);
    PRE(bytes.len <= r->capacity);
    size_t at = (size_t)(r->end % r->capacity);
    size_t first = r->capacity - at < bytes.len ? r->capacity - at : bytes.len;
    memcpy(r->data + at, bytes.data, first);
    memcpy(r->data, bytes.data + first, bytes.len - first);
    r->end += bytes.len;
    if (r->end - r->start > r->capacity) {
        r->start = r->end - r->capacity;
    }
}

struct slice ring_at(const struct ring *r, uint64_t cursor)
{
    if (cursor == r->end) { /* an empty one has no capacity */
        return SLICE("");
    }
    size_t at = (size_t)(cursor % r->capacity);
    size_t n = r->capacity - at;
    n = r->end - cursor < n ? (size_t)(r->end - cursor) : n;
    return slice_of(r->data + at, n < PIECE_BYTES ? n : PIECE_BYTES);
}
