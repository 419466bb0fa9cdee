/* Frames of a WebSocket (RFC 6455, 5.2), both ways: what comes is given in pieces, as far as it has come;
 * what goes out is put whole.
 *
 * The library wants 4 KB a connection, and most connections are quiet: it is there from a frame's first
 * byte to its last, and no longer. It finds heads that are not valid; what a valid one may say, and when,
 * is for rpc/websocket.c. For this one alone. */
#ifndef RPC_WEBSOCKET_FRAME_H
#define RPC_WEBSOCKET_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { FRAME_CONTROL_BYTES_MAX = 125 }; /* of the payload; RFC 6455, 5.5 */

enum frame_opcode {
    FRAME_CONTINUATION = 0x0,
    FRAME_TEXT = 0x1,
    FRAME_BINARY = 0x2,
    FRAME_CLOSE = 0x8, /* from here on: control */
    FRAME_PING = 0x9,
    FRAME_PONG = 0xa,
};

struct frame_head {
    uint8_t opcode;
    bool is_last; /* of its message */
    bool is_masked;
    bool is_reserved; /* a bit is set that no extension gives a meaning */
    uint64_t payload_bytes;
};

/* A part of one frame. Its bytes are unmasked, and good until the next call. */
struct frame_piece {
    bool begins;
    bool ends;
    struct frame_head head;
    struct slice bytes;
};

struct wslay_frame_context;

/* Zero-initialised but for is_masking. */
struct websocket_frames {
    bool is_masking;                     /* what is put; a client does */
    struct wslay_frame_context *library; /* NULL: between two frames, both ways */
    size_t read_ahead;                   /* bytes that it has taken and not given */
    struct buf in;
    size_t in_at;
    bool is_inside; /* of a frame ... */
    uint64_t left;  /* ... of whose payload so much is to come */
    struct buf out;
    size_t out_at;
};

void frames_done(struct websocket_frames *f);

void frames_feed(struct websocket_frames *f, struct slice in);
size_t frames_input_bytes(const struct websocket_frames *f); /* fed, and not looked at */
bool frames_have_input(const struct websocket_frames *f);    /* ... or of which nothing was given */

/* ERR_MORE: nothing more has come. ERR_CORRUPT: the head of a frame is not valid, or a control frame is
 * too long or in parts; then only frames_drop_input may follow. */
enum err frames_next(struct websocket_frames *f, struct frame_piece *ret_piece) MUST_CHECK;
void frames_drop_input(struct websocket_frames *f);
void frames_rest(struct websocket_frames *f); /* gives back what nothing is in */

void frames_put(struct websocket_frames *f, enum frame_opcode opcode, struct slice payload);
struct slice frames_output(const struct websocket_frames *f);
void frames_sent(struct websocket_frames *f, size_t n);
void frames_drop_output(struct websocket_frames *f);

#endif
