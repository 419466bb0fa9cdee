/* A buf: a growing array of bytes that it owns.
 *
 * Zero-initialised is empty and valid. Appends grow it by doubling and never fail (base/mem.h);
 * whoever appends what a client sent checks the client's limit first. */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"

struct buf {
    uint8_t *data;
    size_t len;
    size_t cap;
};

void buf_done(struct buf *b);                  /* frees; the buf is empty again */
void buf_clear(struct buf *b);                 /* keeps the memory */
void buf_reserve(struct buf *b, size_t extra); /* room for `extra` more bytes */
uint8_t *buf_extend(struct buf *b, size_t n);  /* n undefined bytes at the end; valid until the next
                                                  call that grows it */
void buf_append(struct buf *b, const void *data, size_t n);
void buf_append_slice(struct buf *b, struct slice s);
void buf_append_str(struct buf *b, const char *text);
void buf_append_byte(struct buf *b, uint8_t byte);
void buf_printf(struct buf *b, const char *format, ...) PRINTF_LIKE(2, 3);
void buf_consume(struct buf *b, size_t n); /* drops the first n bytes */
void buf_shrink(struct buf *b);            /* gives back the memory that nothing is in */

/* Big-endian, so that encoded numbers sort as bytes. */
void buf_append_u16(struct buf *b, uint16_t v);
void buf_append_u32(struct buf *b, uint32_t v);
void buf_append_u64(struct buf *b, uint64_t v);

static inline struct slice buf_slice(const struct buf *b)
{
    return slice_of(b->data, b->len);
}

/* Moves the bytes out; `from` is empty afterwards. */
struct buf buf_take(struct buf *from);

#endif
