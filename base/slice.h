/* A slice: bytes that somebody else owns. It never frees; the function that hands one out says
 * until when it may be read. */
#ifndef BASE_SLICE_H
#define BASE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const uint8_t *data; /* may be NULL where len is 0 */
    size_t len;          /* bytes */
};

/* Of a string literal or array: SLICE("abc") */
#define SLICE(literal) \
    ((struct slice){.data = (const uint8_t *)(literal), .len = sizeof(literal) - 1})

static inline struct slice slice_of(const void *data, size_t len)
{
    return (struct slice){.data = data, .len = len};
}

static inline struct slice slice_of_str(const char *text)
{
    return slice_of(text, strlen(text));
}

/* Byte order; a proper prefix sorts first. Like memcmp: negative, zero, positive. */
static inline int slice_compare(struct slice a, struct slice b)
{
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len == 0 ? 0 : memcmp(a.data, b.data, len);
    if (order != 0) {
        return order;
    }
    return a.len < b.len ? -1 : a.len > b.len;
}

static inline bool slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool slice_equal_str(struct slice a, const char *text)
{
    return slice_equal(a, slice_of_str(text));
}

static inline bool slice_has_prefix(struct slice a, struct slice prefix)
{
    return a.len >= prefix.len && (prefix.len == 0 || memcmp(a.data, prefix.data, prefix.len) == 0);
}

/* The rest after `n` bytes; n must not be over the length. */
static inline struct slice slice_skip(struct slice a, size_t n)
{
    return slice_of(a.data + n, a.len - n);
}

#endif
