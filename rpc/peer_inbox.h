/* A peer inbox: bytes from a peer become frames, and pieces become messages again. Bounded; pure.
 *
 * What a peer can make us hold is one unfinished frame, and messages whose first piece has come: together
 * no more than their announced lengths, and these no more than the bound of the sender's queue. Room for a
 * message is made when it is announced; the peer is one of the cluster's nodes by then. */
#ifndef RPC_PEER_INBOX_H
#define RPC_PEER_INBOX_H

#include "base/map.h"
#include "rpc/peer_frame.h"

/* A frame other than FIRST and MORE; a message is whole. Slices are borrowed for the call. An error ends
 * the feed, and is its error. */
typedef enum err (*peer_frame_cb)(void *ctx, const struct peer_frame *frame);

struct peer_inbox {
    size_t bytes_max;
    struct buf partial;    /* a frame that is not all there */
    struct map assemblies; /* by kind and group: at most one of each */
    size_t assembly_bytes; /* that were announced */
};

void peer_inbox_init(struct peer_inbox *in, size_t bytes_max);
void peer_inbox_done(struct peer_inbox *in);

/* ERR_CORRUPT: what came is not what a peer sends; ERR_NO_MEMORY; an error of the callback. The inbox is
 * good for nothing more then. */
enum err peer_inbox_feed(struct peer_inbox *in, struct slice bytes, peer_frame_cb cb,
                         void *ctx) MUST_CHECK;

#endif
