/* Mails: what the two ends of a socket say to each other (node/socket_line.h at the node of its client,
 * node/socket_owner.h at the owner of its actor), within a node or between two. Pure.
 *
 *     head     kind u8 | flags u8 | zero u16 | attempt u32 | id u64
 *     OPEN     head | taken u64 | received u64 | who      up: to an owner that does not know it yet
 *     PIECE    head | number u64 | letter u8 | zero u8 | code u16 | whole u32 | at u32 | bytes
 *     SYNC     head | received u64 | part u64 | taken u64
 *     GONE     head                                       there is no such socket here (any more)
 *     END      head | taken u64 | sent u64                down: the owner lets go of it
 *
 * A MEMO letter, whose bytes are a `who` too, is what the client's end keeps for the next owner:
 *     who      identity (32) | namespace, class, id of the actor: each length u16, text | memo
 *
 * Numbers are big-endian. An attempt is the life of a socket at one owner: what belongs to another is
 * dropped. Flags: 1 question, 2 answer (SYNC); 1 clean, 2 owed (PIECE); 1 clean (END). */
#ifndef NODE_SOCKET_MAIL_H
#define NODE_SOCKET_MAIL_H

#include "base/address.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "node/socket_link.h"

enum socket_mail_kind {
    SOCKET_MAIL_OPEN = 1, /* numbers travel */
    SOCKET_MAIL_PIECE = 2,
    SOCKET_MAIL_SYNC = 3,
    SOCKET_MAIL_GONE = 4,
    SOCKET_MAIL_END = 5,
    SOCKET_MAIL_KIND_END,
};

/* Whose socket it is. Borrowed. */
struct socket_who {
    struct identity identity;
    struct address address;
    struct slice memo; /* actor/socket_set.h */
};

struct socket_mail {
    enum socket_mail_kind kind;
    uint64_t id;
    uint32_t attempt;
    uint32_t shard; /* of the actor; not on the wire: the message's group says it */

    struct slice who; /* OPEN */

    /* OPEN: letters up to the owner that one before has taken, and down that the client's end has received.
     * END: likewise taken, and all that were sent down */
    uint64_t up;
    uint64_t down;
    bool is_clean; /* END: nothing is in doubt */

    struct socket_piece piece;
    struct socket_sync sync;
};

/* How an end sends. False: not now; nothing was taken, and the end tries again with the next flush. */
struct socket_net {
    bool (*send)(void *ctx, uint32_t node, bool is_up, const struct socket_mail *m);
    /* The node that leads the shard, as far as is known; 0: nobody does. */
    uint32_t (*leader_of)(void *ctx, uint32_t shard);
    /* How much of a letter goes at once to that node: SIZE_MAX where it need not be cut. */
    size_t (*piece_bytes)(void *ctx, uint32_t node);
};

void socket_who_encode(const struct socket_who *w, struct buf *out);
enum err socket_who_decode(struct slice bytes, struct socket_who *ret) MUST_CHECK;

/* Without the bytes of a piece where `has_bytes` is false: they go another way. */
void socket_mail_encode(const struct socket_mail *m, bool has_bytes, struct buf *out);
/* Slices borrow from `bytes`. `data`: the whole bytes of a piece that was encoded without them, or NULL. */
enum err socket_mail_decode(struct slice bytes, struct bytes *data,
                            struct socket_mail *ret) MUST_CHECK;

#endif
