/* Bytes as lower-case hex digits. */
#ifndef BASE_HEX_H
#define BASE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/slice.h"

/* Writes 2 * count digits and a NUL. */
void hex_encode(const uint8_t *bytes, size_t count, char *ret_text);

/* False unless `text` is exactly 2 * count lower-case digits. */
bool hex_decode(struct slice text, uint8_t *ret_bytes, size_t count);

bool hex_is_all(struct slice text); /* nothing but lower-case digits; true for nothing at all */

#endif
