/* A channel: a stream socket between two processes of a node, cut into frames. A frame is its length (32
 * bits, little-endian), and so many bytes.
 *
 *     channel_begin, append, channel_end --> socket --> channel_inbox_feed --> one call a frame
 *
 * What the other side can make us hold is one frame that is not all there; its bytes are held as they come,
 * so an announced length costs nothing. Pure. */
#ifndef ACTOR_CHANNEL_H
#define ACTOR_CHANNEL_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    CHANNEL_HEAD_BYTES = 4,
    CHANNEL_FRAME_BYTES_MAX = 24 << 20, /* without its head: a batch of storage fits */
};

/* Room for the head; returns what channel_end, after the frame has been appended, wants to know. */
size_t channel_begin(struct buf *out);
void channel_end(struct buf *out, size_t at);

/* The frame is borrowed for the call. An error ends the feed, and is its error. */
typedef enum err (*channel_frame_cb)(void *ctx, struct slice frame);

struct channel_inbox {
    struct buf partial; /* a frame that is not all there, with its head */
};

void channel_inbox_init(struct channel_inbox *in);
void channel_inbox_done(struct channel_inbox *in);

/* ERR_CORRUPT: an empty frame, or one over the bound; an error of the callback. The inbox is good for
 * nothing more then. The callback may not touch the inbox. */
enum err channel_inbox_feed(struct channel_inbox *in, struct slice bytes, channel_frame_cb cb,
                            void *ctx) MUST_CHECK;

#endif
