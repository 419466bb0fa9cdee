#include "base/base64.h"

#include <sodium/utils.h>

enum { VARIANT = sodium_base64_VARIANT_URLSAFE_NO_PADDING };

void base64url_encode(struct slice bytes, struct buf *out)
{
    size_t len = sodium_base64_encoded_len(bytes.len, VARIANT); /* with the closing NUL */
    char *at = (char *)buf_extend(out, len);
    (void)sodium_bin2base64(at, len, bytes.data, bytes.len, VARIANT);
    out->len--;
}

static enum err decode(struct slice text, int variant, struct buf *out)
{
    size_t start = out->len;
    size_t max = text.len / 4 * 3 + 3;
    size_t len = 0;
    uint8_t *at = buf_extend(out, max);
    int rc =
        sodium_base642bin(at, max, (const char *)text.data, text.len, NULL, &len, NULL, variant);
    out->len = start + (rc == 0 ? len : 0);
    return rc == 0 ? ERR_OK : ERR_BAD_REQUEST;
}

enum err base64url_decode(struct slice text, struct buf *out)
{
    return decode(text, VARIANT, out);
}

enum err base64_decode(struct slice text, struct buf *out)
{
    return decode(text, sodium_base64_VARIANT_ORIGINAL, out);
}
