#include "base/crc32c.h"

#include <isa-l/crc.h>

uint32_t crc32c(uint32_t crc, const void *data, size_t len)
{
    const size_t slice_max = 1U << 30;        /* the library counts in int */
    uint8_t *at = (uint8_t *)(uintptr_t)data; /* the library reads only, but does not say const */
    uint32_t state = ~crc;
    while (len > 0) {
        size_t n = len < slice_max ? len : slice_max;
        state = crc32_iscsi(at, (int)n, state);
        at += n;
        len -= n;
    }
    return ~state;
}
