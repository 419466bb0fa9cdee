#include "actor/channel.h"

#include <endian.h>
#include <string.h>

#include "base/invariant.h"

enum { PARTIAL_KEPT_BYTES = 64 * 1024 };

static void put_length(uint8_t *at, uint32_t length)
{
    length = htole32(length);
    memcpy(at, &length, sizeof length);
}

static uint32_t get_length(const uint8_t *at)
{
    uint32_t length;
    memcpy(&length, at, sizeof length);
    return le32toh(length);
}

size_t channel_begin(struct buf *out)
{
    (void)buf_extend(out, CHANNEL_HEAD_BYTES);
    return out->len;
}

void channel_end(struct buf *out, size_t at)
{
    PRE(at >= CHANNEL_HEAD_BYTES && out->len > at && out->len - at <= CHANNEL_FRAME_BYTES_MAX);

    put_length(out->data + at - CHANNEL_HEAD_BYTES, (uint32_t)(out->len - at));
}

void channel_inbox_init(struct channel_inbox *in)
{
    *in = (struct channel_inbox){0};
}

void channel_inbox_done(struct channel_inbox *in)
{
    buf_done(&in->partial);
}

/* The whole of the frame that `bytes` begins with; 0 where not even its head is there. */
static enum err frame_bytes(struct slice bytes, size_t *ret)
{
    if (bytes.len < CHANNEL_HEAD_BYTES) {
        *ret = 0;
        return ERR_OK;
    }
    uint32_t length = get_length(bytes.data);
    if (length == 0 || length > CHANNEL_FRAME_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    *ret = CHANNEL_HEAD_BYTES + length;
    return ERR_OK;
}

static void take(struct buf *partial, struct slice *bytes, size_t wanted)
{
    size_t missing = wanted - partial->len;
    size_t n = bytes->len < missing ? bytes->len : missing;
    buf_append(partial, bytes->data, n);
    *bytes = slice_skip(*bytes, n);
}

static void empty(struct buf *partial)
{
    if (partial->cap > PARTIAL_KEPT_BYTES) {
        buf_done(partial);
    } else {
        buf_clear(partial);
    }
}

/* Goes on with the frame that has begun; `*bytes` is what comes after it. */
static enum err finish_partial(struct channel_inbox *in, struct slice *bytes, channel_frame_cb cb,
                               void *ctx)
{
    size_t whole = 0;
    if (in->partial.len < CHANNEL_HEAD_BYTES) {
        take(&in->partial, bytes, CHANNEL_HEAD_BYTES);
    }
    enum err err = frame_bytes(buf_slice(&in->partial), &whole);
    if (err != ERR_OK || whole == 0) {
        return err;
    }
    take(&in->partial, bytes, whole);
    if (in->partial.len < whole) {
        return ERR_OK;
    }
    err = cb(ctx, slice_skip(buf_slice(&in->partial), CHANNEL_HEAD_BYTES));
    empty(&in->partial);
    return err;
}

enum err channel_inbox_feed(struct channel_inbox *in, struct slice bytes, channel_frame_cb cb,
                            void *ctx)
{
    enum err err = in->partial.len > 0 ? finish_partial(in, &bytes, cb, ctx) : ERR_OK;
    while (err == ERR_OK && bytes.len > 0) {
        size_t whole = 0;
        err = frame_bytes(bytes, &whole);
        if (err == ERR_OK && (whole == 0 || bytes.len < whole)) {
            buf_append_slice(&in->partial, bytes);
            return ERR_OK;
        }
        if (err == ERR_OK) {
            struct slice frame =
                slice_of(bytes.data + CHANNEL_HEAD_BYTES, whole - CHANNEL_HEAD_BYTES);
            bytes = slice_skip(bytes, whole);
            err = cb(ctx, frame);
        }
    }
    return err;
}
