/* A WebSocket after its handshake (RFC 6455): bytes of the wire in, messages out, and back.
 *
 *              websocket_close                the peer's close frame, close_ms, or its end
 *     OPEN ------------------------> CLOSING ------------------------------------------------> CLOSED
 *      |   the peer's close frame              websocket_close, or the same after close_ms       ^
 *      +---------------------------> ASKED ------------------------------------------------------+
 *      |   what breaks the rules (our close frame says why), silence, or the peer's end          |
 *      +-----------------------------------------------------------------------------------------+
 *
 * What has come is looked at in websocket_next alone, one message at a time: whoever has no room for
 * another message does not ask, and takes no more bytes from the peer until websocket_input_bytes has
 * fallen. In CLOSED nothing more is heard; what is unsent still goes out, then the connection ends
 * (websocket_is_over).
 *
 * Invariants
 *   - a message is at most limits.message_bytes_max, and takes memory only as its bytes come.
 *   - what is unsent is at most limits.unsent_bytes_max, one message and some control frames.
 *   - of pings that wait for their answer only the last is answered.
 *   - between two frames, with nothing to send, the struct is all there is.
 *
 * No I/O and no clock in here. Extensions are not spoken. */
#ifndef RPC_WEBSOCKET_H
#define RPC_WEBSOCKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/slice.h"

enum websocket_role { WEBSOCKET_SERVER, WEBSOCKET_CLIENT };

enum {
    WEBSOCKET_REASON_BYTES_MAX = 123,
    WEBSOCKET_MESSAGE_BYTES_MAX = 32 * 1024 * 1024, /* what Cloudflare's objects take */

    /* Codes of RFC 6455, 7.4, and of its registry, that we give ourselves. */
    WEBSOCKET_NORMAL = 1000,
    WEBSOCKET_GOING_AWAY = 1001,
    WEBSOCKET_PROTOCOL_ERROR = 1002,
    WEBSOCKET_NO_CODE = 1005,  /* never sent: the close frame was empty */
    WEBSOCKET_ABNORMAL = 1006, /* never sent: there was no close frame */
    WEBSOCKET_INVALID_TEXT = 1007,
    WEBSOCKET_POLICY = 1008,
    WEBSOCKET_TOO_BIG = 1009,
    WEBSOCKET_INTERNAL_ERROR = 1011,
    WEBSOCKET_RESTART = 1012,
    WEBSOCKET_TRY_AGAIN = 1013,
};

struct websocket_limits {
    size_t message_bytes_max; /* received */
    size_t unsent_bytes_max;
    uint64_t ping_ms;  /* of silence, then we ask whether the peer is there ... */
    uint64_t pong_ms;  /* ... and wait so long for a sign of life */
    uint64_t close_ms; /* for the other side's part of a close */
};

/* Reasons are with the numbers. */
extern const struct websocket_limits websocket_limits_default;

enum websocket_event_kind {
    WEBSOCKET_MESSAGE,
    WEBSOCKET_CLOSE,  /* it is over, or (is_owed) will be once websocket_close answers it */
    WEBSOCKET_FAILED, /* the peer broke the rules, and has been told so */
};

struct websocket_event {
    enum websocket_event_kind kind;
    bool is_text;
    struct bytes *data;  /* MESSAGE: a reference of the taker's; NULL where it is empty */
    uint16_t code;       /* CLOSE: the peer's, or NO_CODE, ABNORMAL; FAILED: ours */
    bool is_clean;       /* CLOSE: both sides have said so */
    bool is_owed;        /* CLOSE: our close frame is */
    struct slice reason; /* CLOSE, FAILED: UTF-8, good until the next call */
};

struct websocket;

/* `limits` is borrowed until websocket_free. */
struct websocket *websocket_new(enum websocket_role role, const struct websocket_limits *limits,
                                uint64_t now_ms);
void websocket_free(struct websocket *ws); /* NULL is fine */

/* From the peer. Once CLOSED it is dropped. */
void websocket_recv(struct websocket *ws, struct slice in);
void websocket_recv_end(struct websocket *ws); /* it sends no more */

/* The next that has happened; false: nothing. */
bool websocket_next(struct websocket *ws, struct websocket_event *ret_event, uint64_t now_ms);

size_t websocket_input_bytes(const struct websocket *ws); /* received, and not looked at yet */
size_t websocket_part_bytes(const struct websocket *ws); /* memory of a message that is not whole */
size_t websocket_unsent_bytes(const struct websocket *ws);

/* To the peer, as one frame; `data` is text where `is_text`. ERR_OVERLOADED: too much is unsent, nothing
 * was taken; ERR_CLOSED: not after a close, of either side. */
enum err websocket_send(struct websocket *ws, bool is_text, struct slice data) MUST_CHECK;

/* Our close frame. `code` 0: none is given. ERR_BAD_REQUEST: a code that must not be sent, or a reason that
 * is too long, not UTF-8, or without a code; ERR_CLOSED: it was sent before. */
enum err websocket_close(struct websocket *ws, uint16_t code, struct slice reason,
                         uint64_t now_ms) MUST_CHECK;
bool websocket_code_may_be_sent(uint16_t code);

/* What to send next, empty when there is nothing; it stays as it is until the next call for `ws`. */
struct slice websocket_output(struct websocket *ws);
void websocket_sent(struct websocket *ws, size_t n);

bool websocket_is_open(const struct websocket *ws); /* messages may be sent */
bool websocket_is_over(
    const struct websocket *ws); /* CLOSED, all events taken, nothing is unsent */

uint64_t websocket_next_deadline_ms(const struct websocket *ws); /* UINT64_MAX: none */
void websocket_tick(struct websocket *ws, uint64_t now_ms);      /* then websocket_next */

#endif
