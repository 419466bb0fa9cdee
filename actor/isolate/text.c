#include "actor/isolate/text.h"

#include <string.h>

#include <unicode/ustring.h>

#include "base/invariant.h"

enum { REPLACEMENT = 0xfffd, NO_REPLACEMENT = -1 };

bool text_is_ascii(struct slice s)
{
    const uint64_t high_bits = 0x8080808080808080U;
    size_t i = 0;
    for (; i + sizeof(uint64_t) <= s.len; i += sizeof(uint64_t)) {
        uint64_t word;
        memcpy(&word, s.data + i, sizeof word);
        if ((word & high_bits) != 0) {
            return false;
        }
    }
    for (; i < s.len; i++) {
        if (s.data[i] > 0x7f) {
            return false;
        }
    }
    return true;
}

void text_append_utf8(struct buf *b, const uint16_t *units, size_t count)
{
    PRE(count <= INT32_MAX);
    /* Counted first: most text is short or ASCII, and three bytes a unit would be wasted on it. */
    int32_t bytes = 0;
    UErrorCode code = U_ZERO_ERROR;
    (void)u_strToUTF8WithSub(NULL, 0, &bytes, (const UChar *)units, (int32_t)count, REPLACEMENT,
                             NULL, &code);
    INVARIANT(code == U_BUFFER_OVERFLOW_ERROR || U_SUCCESS(code));
    if (bytes == 0) {
        return;
    }
    code = U_ZERO_ERROR;
    char *at = (char *)buf_extend(b, (size_t)bytes);
    (void)u_strToUTF8WithSub(at, bytes, NULL, (const UChar *)units, (int32_t)count, REPLACEMENT,
                             NULL, &code);
    POST(U_SUCCESS(code));
}

bool text_to_utf16(struct slice utf8, bool is_fatal, struct buf *ret, size_t *ret_count)
{
    PRE(utf8.len <= INT32_MAX / (int32_t)sizeof(UChar));
    UErrorCode code = U_ZERO_ERROR;
    int32_t count = 0;
    /* No text has more units than bytes. */
    UChar *units = (UChar *)(void *)buf_extend(ret, utf8.len * sizeof(UChar) + sizeof(UChar));
    (void)u_strFromUTF8WithSub(units, (int32_t)utf8.len + 1, &count, (const char *)utf8.data,
                               (int32_t)utf8.len, is_fatal ? NO_REPLACEMENT : REPLACEMENT, NULL,
                               &code);
    if (U_FAILURE(code)) {
        return false;
    }
    *ret_count = (size_t)count;
    return true;
}
