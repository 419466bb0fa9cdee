/* The channel of an isolate: its end of the stream to the worker, as whole frames.
 *
 * Blocking, for one thread: an isolate has nothing else to do. Frames to the worker are collected and
 * leave together, so that a turn which answers many events costs one system call and wakes the worker once;
 * whoever waits flushes first. A frame over FRAME_LARGE_BYTES is read into memory of its own, which the
 * reader then owns, so that a large body is never held twice.
 *
 * Invariants
 *   - once closed it stays closed; what is sent to it goes nowhere.
 *   - 0 < length of a frame <= FRAME_BYTES_MAX, both ways. */
#ifndef ACTOR_ISOLATE_CHANNEL_H
#define ACTOR_ISOLATE_CHANNEL_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    CHANNEL_LARGE_BYTES = 64 * 1024,
    CHANNEL_FLUSH_BYTES = 64 * 1024, /* so much that is collected leaves at once */
};

struct channel {
    int fd;        /* the owner's; the channel never closes it */
    struct buf in; /* read and not yet taken, from in_at on */
    size_t in_at;
    struct buf large;   /* a large frame, its first bytes */
    size_t large_bytes; /* 0: there is none; else its length */
    struct buf out;
    bool is_closed;
};

void channel_init(struct channel *c, int fd); /* -1: not known yet; it has its memory even so */
void channel_done(struct channel *c);

/* The next whole frame of those that were read.
 *   ERR_OK: it is in *ret_frame until the next call; where it is large *ret_large owns the same bytes, and
 *           is empty otherwise.
 *   ERR_MORE: none is whole.
 *   ERR_BAD_REQUEST: its head is wrong; nothing after it can be read. */
enum err channel_next(struct channel *c, struct slice *ret_frame, struct buf *ret_large) MUST_CHECK;

/* Waits for bytes and reads some. ERR_CLOSED: the worker has closed it, or it broke. */
enum err channel_read(struct channel *c) MUST_CHECK;

void channel_send(struct channel *c, struct slice frame); /* collects; may flush */
void channel_flush(struct channel *c);                    /* waits until all has left */

#endif
