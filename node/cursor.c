#include "node/cursor.h"

#include "base/base64.h"
#include "base/crc32c.h"
#include "base/endian.h"

enum { CURSOR_FORMAT = 1, CURSOR_HEAD_BYTES = 1, CURSOR_SUM_BYTES = 4 };

void cursor_encode(struct slice last_key, struct buf *out)
{
    struct buf plain = {0};
    buf_append_byte(&plain, CURSOR_FORMAT);
    buf_append_slice(&plain, last_key);
    buf_append_u32(&plain, crc32c(0, plain.data, plain.len)); /* against cut and typed ones */
    base64url_encode(buf_slice(&plain), out);
    buf_done(&plain);
}

enum err cursor_decode(struct slice text, struct bytes **ret_last_key)
{
    struct buf plain = {0};
    enum err err = base64url_decode(text, &plain);
    if (err != ERR_OK) {
        goto free_plain;
    }
    if (plain.len <= CURSOR_HEAD_BYTES + CURSOR_SUM_BYTES || plain.data[0] != CURSOR_FORMAT ||
        get_be32(plain.data + plain.len - CURSOR_SUM_BYTES) !=
            crc32c(0, plain.data, plain.len - CURSOR_SUM_BYTES)) {
        err = ERR_BAD_REQUEST;
        goto free_plain;
    }
    *ret_last_key = bytes_new(
        slice_of(plain.data + CURSOR_HEAD_BYTES, plain.len - CURSOR_HEAD_BYTES - CURSOR_SUM_BYTES));
free_plain:
    buf_done(&plain);
    return err;
}
