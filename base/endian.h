/* Numbers in memory, big-endian: encoded keys sort as the numbers do. Unaligned is fine. */
#ifndef BASE_ENDIAN_H
#define BASE_ENDIAN_H

#include <endian.h>
#include <stdint.h>
#include <string.h>

static inline void put_be16(uint8_t *at, uint16_t v)
{
    v = htobe16(v);
    memcpy(at, &v, sizeof v);
}

static inline void put_be32(uint8_t *at, uint32_t v)
{
    v = htobe32(v);
    memcpy(at, &v, sizeof v);
}

static inline void put_be64(uint8_t *at, uint64_t v)
{
    v = htobe64(v);
    memcpy(at, &v, sizeof v);
}

static inline uint16_t get_be16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, sizeof v);
    return be16toh(v);
}

static inline uint32_t get_be32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return be32toh(v);
}

static inline uint64_t get_be64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, sizeof v);
    return be64toh(v);
}

#endif
