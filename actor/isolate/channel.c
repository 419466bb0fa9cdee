#include "actor/isolate/channel.h"

#include <endian.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actor/isolate_frame.h"
#include "base/invariant.h"
#include "base/mem.h"

enum { READ_BYTES = 64 * 1024 };

void channel_init(struct channel *c, int fd)
{
    *c = (struct channel){.fd = fd};
    buf_reserve(&c->in, READ_BYTES);
}

void channel_done(struct channel *c)
{
    buf_done(&c->in);
    buf_done(&c->large);
    buf_done(&c->out);
}

static struct slice unread(const struct channel *c)
{
    return slice_skip(buf_slice(&c->in), c->in_at);
}

/* What was taken is dropped once nothing is left behind it, or before more is read. */
static void drop_taken(struct channel *c)
{
    buf_consume(&c->in, c->in_at);
    c->in_at = 0;
}

static enum err read_head(struct channel *c, size_t *ret_bytes)
{
    struct slice have = unread(c);
    if (have.len < FRAME_HEAD_BYTES) {
        return ERR_MORE;
    }
    uint32_t bytes;
    memcpy(&bytes, have.data, sizeof bytes);
    bytes = le32toh(bytes);
    if (bytes == 0 || bytes > FRAME_BYTES_MAX) {
        return ERR_BAD_REQUEST;
    }
    *ret_bytes = bytes;
    return ERR_OK;
}

/* Moves the first bytes of a large frame into its own memory; channel_read goes on there. */
static void begin_large(struct channel *c, size_t bytes)
{
    c->in_at += FRAME_HEAD_BYTES;
    struct slice have = unread(c);
    size_t n = have.len < bytes ? have.len : bytes;
    c->large = (struct buf){.data = mem_alloc(bytes), .cap = bytes}; /* not a byte more */
    buf_append(&c->large, have.data, n);
    c->in_at += n;
    c->large_bytes = bytes;
    drop_taken(c);
}

static enum err next_large(struct channel *c, struct slice *ret_frame, struct buf *ret_large)
{
    if (c->large.len < c->large_bytes) {
        return ERR_MORE;
    }
    INVARIANT(c->large.len == c->large_bytes);
    c->large_bytes = 0;
    *ret_large = buf_take(&c->large);
    *ret_frame = buf_slice(ret_large);
    return ERR_OK;
}

enum err channel_next(struct channel *c, struct slice *ret_frame, struct buf *ret_large)
{
    PRE(ret_large->data == NULL);
    if (c->large_bytes > 0) {
        return next_large(c, ret_frame, ret_large);
    }
    size_t bytes = 0;
    enum err err = read_head(c, &bytes);
    if (err != ERR_OK) {
        return err;
    }
    if (bytes > CHANNEL_LARGE_BYTES) {
        begin_large(c, bytes);
        return next_large(c, ret_frame, ret_large);
    }
    struct slice have = slice_skip(unread(c), FRAME_HEAD_BYTES);
    if (have.len < bytes) {
        return ERR_MORE;
    }
    *ret_frame = slice_of(have.data, bytes);
    c->in_at += FRAME_HEAD_BYTES + bytes;
    return ERR_OK;
}

enum err channel_read(struct channel *c)
{
    if (c->is_closed) {
        return ERR_CLOSED;
    }
    drop_taken(c);
    bool is_large = c->large_bytes > 0;
    INVARIANT(!is_large || c->in.len == 0);
    struct buf *into = is_large ? &c->large : &c->in;
    size_t room = is_large ? c->large_bytes - c->large.len : READ_BYTES;
    INVARIANT(room > 0);
    buf_reserve(into, room); /* a large one has it */
    ssize_t n;
    do {
        n = read(c->fd, into->data + into->len, room);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        c->is_closed = true;
        return ERR_CLOSED;
    }
    into->len += (size_t)n;
    return ERR_OK;
}

static void send_all(struct channel *c, struct slice bytes)
{
    while (bytes.len > 0 && !c->is_closed) {
        ssize_t n = send(c->fd, bytes.data, bytes.len, MSG_NOSIGNAL);
        if (n > 0) {
            bytes = slice_skip(bytes, (size_t)n);
        } else if (n < 0 && errno != EINTR) {
            c->is_closed = true;
        }
    }
}

void channel_send(struct channel *c, struct slice frame)
{
    PRE(frame.len > 0 && frame.len <= FRAME_BYTES_MAX);
    uint32_t head = htole32((uint32_t)frame.len);
    buf_append(&c->out, &head, sizeof head);
    if (c->out.len + frame.len < CHANNEL_FLUSH_BYTES) {
        buf_append_slice(&c->out, frame);
        return;
    }
    channel_flush(c);
    send_all(c, frame); /* not copied: it may be large, and memory is bounded */
}

void channel_flush(struct channel *c)
{
    send_all(c, buf_slice(&c->out));
    buf_clear(&c->out);
}
