/* CRC32C (Castagnoli, RFC 3720 appendix B.4) through ISA-L. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Of `len` bytes; `crc` is 0 or the result for the bytes before these. */
uint32_t crc32c(uint32_t crc, const void *data, size_t len);

#endif
