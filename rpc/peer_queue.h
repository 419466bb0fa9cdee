/* A peer queue: messages on their way to one peer. Bounded; pure.
 *
 *     push --small--> [frame|frame|frame]  whole frames, first come first served ----+
 *       |                                                                             +--> peer_queue_fill
 *       +--large, or behind a large one --> lane of its kind and group, cut in pieces -+
 *
 * Frames of at most PEER_WHOLE_BYTES_MAX wait in one buffer. A larger message opens a lane, and what comes
 * after it with its kind and group goes there too, until the lane is empty: so their order holds. A lane
 * may begin once the frames that were there before it are gone. Taking turns: some whole frames, then one
 * piece of one lane, the next lane, and so on; a message waits for one piece of each lane at most. */
#ifndef RPC_PEER_QUEUE_H
#define RPC_PEER_QUEUE_H

#include "base/list.h"
#include "base/map.h"
#include "rpc/peer_frame.h"

enum { PEER_QUEUE_BYTES_MAX = 32 << 20 };

struct peer_queue {
    size_t bytes_max;
    struct buf whole;
    size_t whole_at;
    uint64_t pushed_bytes; /* of `whole`, ever */
    uint64_t taken_bytes;  /* likewise */
    struct map lanes;      /* by kind and group */
    struct list turns;     /* of the lanes */
    size_t lane_bytes;
    size_t message_count; /* that are not all taken */
    bool lane_is_due;     /* whole frames have had their turn */
};

void peer_queue_init(struct peer_queue *q, size_t bytes_max);
void peer_queue_done(struct peer_queue *q); /* drops what is left; empty again, to be used on */

/* Copies. ERR_OVERLOADED: it would be over its bound; ERR_NO_MEMORY. Then nothing is changed. */
enum err peer_queue_push(struct peer_queue *q, const struct peer_message *m) MUST_CHECK;

/* Appends whole frames, at least `bytes` if there are as many, and at most one frame more. */
void peer_queue_fill(struct peer_queue *q, size_t bytes, struct buf *out);

size_t peer_queue_bytes(const struct peer_queue *q);

#endif
