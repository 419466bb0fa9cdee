/* Frames: what nodes say to each other on a connection of theirs, inside TLS. Pure.
 *
 *     head      body bytes u32 | type u8 | zero (3)
 *     HELLO     magic "DMPR" | newest version u16 | oldest version u16 | cluster id u64 | node u32 |
 *               worker u16 | workers u16 | channel u8 | zero (7) | term u64
 *     WELCOME   the same, of the other side; its newest version is the one that is spoken from here on
 *     REFUSE    reason u8 | text
 *     PING      stamp u64                       PONG  the same stamp
 *     MESSAGE   kind u8 | zero (3) | group u32 | from u64 | to u64 | payload
 *     FIRST     the same, but that `zero (3)` is followed by the payload's whole length u32; a piece of it
 *     MORE      kind u8 | zero (3) | group u32 | the next piece of that kind and group
 *
 * All numbers are big-endian. HELLO and WELCOME must be understood by every version: later ones append to
 * them, and what is appended is skipped by those who do not know it. All other frames are of the version
 * that was agreed on, to the byte.
 *
 * A payload over PEER_WHOLE_BYTES_MAX goes in pieces, so that what others wait for is never behind all of
 * it. Messages of one kind and group arrive in the order in which they were sent; of others they may
 * overtake. */
#ifndef RPC_PEER_FRAME_H
#define RPC_PEER_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    PEER_VERSION = 1,
    PEER_VERSION_OLDEST = 1, /* the one before it is spoken too, for an upgrade node by node */

    PEER_HEAD_BYTES = 8,
    PEER_HELLO_BYTES = 40,
    PEER_HELLO_BYTES_MAX = 512, /* of later versions */
    PEER_TEXT_BYTES_MAX = 256,
    PEER_MESSAGE_HEAD_BYTES = 24,
    PEER_FIRST_HEAD_BYTES = 28,
    PEER_MORE_HEAD_BYTES = 8,

    PEER_WHOLE_BYTES_MAX = 256 * 1024,
    PEER_PIECE_BYTES = 64 * 1024,
    PEER_MESSAGE_BYTES_MAX = 25 << 20, /* a batch has 24 MiB */
    PEER_BODY_BYTES_MAX = PEER_FIRST_HEAD_BYTES + PEER_WHOLE_BYTES_MAX,

    PEER_WORKERS_MAX = 64,
};

enum peer_frame_type {
    PEER_HELLO = 1,
    PEER_WELCOME,
    PEER_REFUSE,
    PEER_PING,
    PEER_PONG,
    PEER_MESSAGE,
    PEER_FIRST,
    PEER_MORE,
};

/* A connection is for one of the two: what is large must not be before what is urgent. */
enum peer_channel { PEER_MESSAGES, PEER_BULK, PEER_CHANNEL_COUNT };

enum peer_refusal {
    PEER_NO_VERSION = 1, /* that both speak */
    PEER_OTHER_CLUSTER,
    PEER_OTHER_NODE, /* than the certificate says, or than was dialled */
    PEER_NOT_ADMITTED,
    PEER_REFUSAL_END,
};

struct peer_hello {
    uint16_t version; /* newest that is spoken; of WELCOME: the one that will be */
    uint16_t version_oldest;
    uint64_t cluster_id; /* 0: of a node that has no data yet */
    uint32_t node;
    uint16_t worker;  /* whose connection this is ... */
    uint16_t workers; /* ... of how many */
    enum peer_channel channel;
    uint64_t term; /* of the meta group, as far as is known */
};

struct peer_message {
    uint8_t kind; /* the callers' to give; each kind and group has an order of its own */
    uint32_t group;
    uint64_t from; /* replicas; their upper halves are nodes */
    uint64_t to;
    struct slice payload;
};

struct peer_frame {
    enum peer_frame_type type;
    struct peer_hello hello; /* HELLO, WELCOME */
    enum peer_refusal refusal;
    struct slice text;           /* REFUSE */
    uint64_t stamp;              /* PING, PONG */
    struct peer_message message; /* MESSAGE; FIRST and MORE with a piece as payload */
    size_t whole_bytes;          /* FIRST: of the payload */
};

/* Appends. */
void peer_put_hello(struct buf *out, enum peer_frame_type type, const struct peer_hello *h);
void peer_put_refuse(struct buf *out, enum peer_refusal refusal, const char *text);
void peer_put_stamp(struct buf *out, enum peer_frame_type type, uint64_t stamp);
void peer_put_message(struct buf *out, const struct peer_message *m);
void peer_put_first(struct buf *out, const struct peer_message *m, size_t piece_bytes);
void peer_put_more(struct buf *out, const struct peer_message *m, size_t at, size_t piece_bytes);

/* The length of the frame that `bytes` begin with. ERR_MORE: its head is not all there; ERR_CORRUPT: it
 * is no frame, or too long for its type. */
enum err peer_frame_bytes(struct slice bytes, size_t *ret_bytes) MUST_CHECK;

/* One whole frame; slices borrow from it. ERR_CORRUPT. */
enum err peer_frame_decode(struct slice bytes, struct peer_frame *ret_frame) MUST_CHECK;

/* The newest version that both sides speak; 0: there is none. */
uint16_t peer_version_of_both(uint16_t newest, uint16_t oldest, uint16_t other_newest,
                              uint16_t other_oldest);

#endif
