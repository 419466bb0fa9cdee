#include "actor/egress/inflater.h"

#include <zlib.h>

#include "actor/egress/field.h"
#include "base/invariant.h"
#include "base/mem.h"

enum {
    WINDOW_BITS = 15,
    EITHER_HEAD = 32, /* zlib: finds out whether it is gzip's or its own */
    GZIP_FIRST_BYTE = 0x1f,
    ZLIB_METHOD = 8, /* low half of the first byte of zlib's format */
};

struct inflater {
    z_stream stream;
    bool is_gzip;
    bool has_begun;
    bool has_ended;
    bool is_over; /* what comes now is no body */
};

static void *take_memory(void *ctx, unsigned count, unsigned size)
{
    (void)ctx;
    return mem_try_alloc((size_t)count * size);
}

static void give_memory(void *ctx, void *pointer)
{
    (void)ctx;
    mem_free(pointer);
}

struct inflater *inflater_new(struct slice encoding)
{
    bool is_gzip = field_is_named(encoding, "gzip") || field_is_named(encoding, "x-gzip");
    if (!is_gzip && !field_is_named(encoding, "deflate")) {
        return NULL;
    }
    struct inflater *i = MEM_NEW(struct inflater);
    i->is_gzip = is_gzip;
    i->stream = (z_stream){.zalloc = take_memory, .zfree = give_memory};
    if (inflateInit2(&i->stream, WINDOW_BITS + EITHER_HEAD) != Z_OK) {
        mem_free(i);
        return NULL;
    }
    return i;
}

void inflater_free(struct inflater *i)
{
    if (i != NULL) {
        (void)inflateEnd(&i->stream);
        mem_free(i);
    }
}

/* "deflate" is zlib's format to the standard, and without its head to some servers. */
static bool begin(struct inflater *i, uint8_t first)
{
    i->has_begun = true;
    return i->is_gzip || (first & 0x0f) == ZLIB_METHOD ||
           inflateReset2(&i->stream, -WINDOW_BITS) == Z_OK;
}

/* Of gzip several may follow each other. */
static bool goes_on(struct inflater *i, struct slice in)
{
    i->is_over = i->is_over || !i->is_gzip || in.data[0] != GZIP_FIRST_BYTE ||
                 inflateReset(&i->stream) != Z_OK;
    i->has_ended = i->is_over;
    return !i->is_over;
}

static enum err run(struct inflater *i, struct slice *in, uint8_t *out, size_t room,
                    size_t *ret_len)
{
    z_stream *z = &i->stream;
    z->next_in = (Bytef *)(uintptr_t)in->data; /* zlib takes no const, and changes nothing */
    z->avail_in = (uInt)in->len;
    z->next_out = out;
    z->avail_out = (uInt)room;
    int rc = inflate(z, Z_NO_FLUSH);
    *in = slice_skip(*in, in->len - z->avail_in);
    *ret_len = room - z->avail_out;
    i->has_ended = rc == Z_STREAM_END;
    return rc == Z_OK || rc == Z_STREAM_END || rc == Z_BUF_ERROR ? ERR_OK : ERR_CORRUPT;
}

enum err inflater_take(struct inflater *i, struct slice *in, uint8_t *out, size_t room,
                       size_t *ret_len)
{
    PRE(room > 0 && room <= INT32_MAX && in->len <= INT32_MAX);

    size_t len = 0;
    if (!i->has_begun && in->len > 0 && !begin(i, in->data[0])) {
        return ERR_CORRUPT;
    }
    while (i->has_begun && len < room) {
        if (i->has_ended && in->len > 0 && !goes_on(i, *in)) {
            *in = slice_skip(*in, in->len);
        }
        if (i->has_ended) {
            break;
        }
        size_t n = 0;
        size_t before = in->len;
        enum err err = run(i, in, out + len, room - len, &n);
        if (err != ERR_OK) {
            return err;
        }
        len += n;
        if (n == 0 && in->len == before) {
            break; /* it needs more */
        }
    }
    *ret_len = len;
    return ERR_OK;
}

bool inflater_is_whole(const struct inflater *i)
{
    return i->has_ended || !i->has_begun;
}
