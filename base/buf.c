#include "base/buf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { BUF_FIRST_BYTES = 64 };

void buf_done(struct buf *b)
{
    mem_free(b->data);
    *b = (struct buf){0};
}

void buf_clear(struct buf *b)
{
    b->len = 0;
}

void buf_reserve(struct buf *b, size_t extra)
{
    PRE(extra <= SIZE_MAX / 2 - b->len);

    size_t need = b->len + extra;
    if (need <= b->cap) {
        return;
    }
    size_t cap = b->cap != 0 ? b->cap : BUF_FIRST_BYTES;
    while (cap < need) {
        cap *= 2;
    }
    b->data = mem_realloc(b->data, cap);
    b->cap = cap;
}

uint8_t *buf_extend(struct buf *b, size_t n)
{
    buf_reserve(b, n);
    uint8_t *at = b->data + b->len;
    b->len += n;
    return at;
}

void buf_append(struct buf *b, const void *data, size_t n)
{
    if (n > 0) {
        memcpy(buf_extend(b, n), data, n);
    }
}

void buf_append_slice(struct buf *b, struct slice s)
{
    buf_append(b, s.data, s.len);
}

void buf_append_str(struct buf *b, const char *text)
{
    buf_append(b, text, strlen(text));
}

void buf_append_byte(struct buf *b, uint8_t byte)
{
    *buf_extend(b, 1) = byte;
}

void buf_printf(struct buf *b, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    va_list again;
    va_copy(again, args);
    int n = vsnprintf(NULL, 0, format, args);
    va_end(args);
    INVARIANT(n >= 0);

    buf_reserve(b, (size_t)n + 1); /* vsnprintf writes a NUL that does not count */
    (void)vsnprintf((char *)b->data + b->len, (size_t)n + 1, format, again);
    va_end(again);
    b->len += (size_t)n;
}

void buf_consume(struct buf *b, size_t n)
{
    PRE(n <= b->len);
    b->len -= n;
    if (b->len > 0 && n > 0) {
        memmove(b->data, b->data + n, b->len);
    }
}

void buf_shrink(struct buf *b)
{
    if (b->len == 0) {
        buf_done(b);
    } else if (b->len < b->cap) {
        b->data = mem_realloc(b->data, b->len);
        b->cap = b->len;
    }
}

void buf_append_u16(struct buf *b, uint16_t v)
{
    put_be16(buf_extend(b, sizeof v), v);
}

void buf_append_u32(struct buf *b, uint32_t v)
{
    put_be32(buf_extend(b, sizeof v), v);
}

void buf_append_u64(struct buf *b, uint64_t v)
{
    put_be64(buf_extend(b, sizeof v), v);
}

struct buf buf_take(struct buf *from)
{
    struct buf taken = *from;
    *from = (struct buf){0};
    return taken;
}
