#include "base/hex.h"

static int digit_of(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

void hex_encode(const uint8_t *bytes, size_t count, char *ret_text)
{
    static const char digits[] = "0123456789abcdef";
    for (size_t i = 0; i < count; i++) {
        *ret_text++ = digits[bytes[i] >> 4];
        *ret_text++ = digits[bytes[i] & 15];
    }
    *ret_text = '\0';
}

bool hex_is_all(struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (digit_of(text.data[i]) < 0) {
            return false;
        }
    }
    return true;
}

bool hex_decode(struct slice text, uint8_t *ret_bytes, size_t count)
{
    if (text.len != 2 * count || !hex_is_all(text)) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        ret_bytes[i] = (uint8_t)(digit_of(text.data[2 * i]) << 4 | digit_of(text.data[2 * i + 1]));
    }
    return true;
}
