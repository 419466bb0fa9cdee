#include "rpc/websocket.h"

#include "base/address.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/websocket_frame.h"

enum { PART_FIRST_BYTES = 64 * 1024 };

/* Reasons. message: what users know from elsewhere. unsent: a second of a slow line. ping, pong: what
 * sits between drops a connection that is silent for a minute. close: a round trip of a bad line, and
 * what an actor may need to answer a close itself. */
const struct websocket_limits websocket_limits_default = {
    .message_bytes_max = WEBSOCKET_MESSAGE_BYTES_MAX,
    .unsent_bytes_max = 1024 * 1024,
    .ping_ms = 30 * 1000,
    .pong_ms = 30 * 1000,
    .close_ms = 10 * 1000,
};

enum websocket_state { WEBSOCKET_OPEN, WEBSOCKET_CLOSING, WEBSOCKET_ASKED, WEBSOCKET_CLOSED };

struct websocket {
    enum websocket_role role;
    enum websocket_state state;
    const struct websocket_limits *limits;

    struct websocket_frames frames;
    bool has_ended; /* the peer sends no more */

    bool has_message; /* it has begun; in CLOSING it is dropped */
    bool is_text;
    struct bytes *part; /* NULL: nothing of it yet */
    size_t part_cap;
    uint8_t control[FRAME_CONTROL_BYTES_MAX];
    size_t control_len;

    bool has_due; /* an event that came from time or from the end */
    struct websocket_event due;
    uint16_t peer_code; /* ASKED */

    bool owes_pong;
    uint8_t pong[FRAME_CONTROL_BYTES_MAX];
    size_t pong_len;

    uint64_t heard_ms; /* when bytes of the peer were last looked at */
    bool is_pinged;
    uint64_t pinged_ms;
    uint64_t close_due_ms; /* CLOSING, ASKED */
};

/* States */

static void websocket_move(struct websocket *ws, enum websocket_state to)
{
    INVARIANT(to > ws->state && !(ws->state == WEBSOCKET_CLOSING && to == WEBSOCKET_ASKED));
    ws->state = to;
}

bool websocket_is_open(const struct websocket *ws)
{
    return ws->state == WEBSOCKET_OPEN;
}

static bool hears(const struct websocket *ws)
{
    return ws->state == WEBSOCKET_OPEN || ws->state == WEBSOCKET_CLOSING;
}

static void drop_part(struct websocket *ws)
{
    bytes_unref(ws->part);
    ws->part = NULL;
    ws->part_cap = 0;
}

static void drop_output(struct websocket *ws)
{
    frames_drop_output(&ws->frames);
    ws->owes_pong = false;
}

/* Nothing more is heard. */
static void stop_hearing(struct websocket *ws, enum websocket_state to)
{
    websocket_move(ws, to);
    drop_part(ws);
    frames_drop_input(&ws->frames);
}

struct websocket *websocket_new(enum websocket_role role, const struct websocket_limits *limits,
                                uint64_t now_ms)
{
    struct websocket *ws = MEM_NEW(struct websocket);
    ws->role = role;
    ws->limits = limits;
    ws->frames.is_masking = role == WEBSOCKET_CLIENT;
    ws->heard_ms = now_ms;
    return ws;
}

void websocket_free(struct websocket *ws)
{
    if (ws == NULL) {
        return;
    }
    drop_part(ws);
    frames_done(&ws->frames);
    mem_free(ws);
}

/* Output */

/* Answers to pings stand between two messages, at the latest when all before is sent. */
static void put_pong(struct websocket *ws)
{
    if (ws->owes_pong) {
        ws->owes_pong = false;
        frames_put(&ws->frames, FRAME_PONG, slice_of(ws->pong, ws->pong_len));
    }
}

static void put_close(struct websocket *ws, uint16_t code, struct slice reason)
{
    uint8_t payload[2 + WEBSOCKET_REASON_BYTES_MAX];
    PRE(reason.len <= WEBSOCKET_REASON_BYTES_MAX);
    size_t len = 0;
    if (code != 0) {
        put_be16(payload, code);
        memcpy(payload + 2, reason.len > 0 ? reason.data : payload, reason.len);
        len = 2 + reason.len;
    }
    put_pong(ws);
    frames_put(&ws->frames, FRAME_CLOSE, slice_of(payload, len));
}

enum err websocket_send(struct websocket *ws, bool is_text, struct slice data)
{
    if (!websocket_is_open(ws)) {
        return ERR_CLOSED;
    }
    if (websocket_unsent_bytes(ws) >= ws->limits->unsent_bytes_max) {
        return ERR_OVERLOADED;
    }
    put_pong(ws);
    frames_put(&ws->frames, is_text ? FRAME_TEXT : FRAME_BINARY, data);
    return ERR_OK;
}

bool websocket_code_may_be_sent(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

enum err websocket_close(struct websocket *ws, uint16_t code, struct slice reason, uint64_t now_ms)
{
    if (ws->state != WEBSOCKET_OPEN && ws->state != WEBSOCKET_ASKED) {
        return ERR_CLOSED;
    }
    bool is_valid = code == 0 ? reason.len == 0 : websocket_code_may_be_sent(code);
    if (!is_valid || reason.len > WEBSOCKET_REASON_BYTES_MAX || !slice_is_utf8(reason)) {
        return ERR_BAD_REQUEST;
    }
    put_close(ws, code, reason);
    if (ws->state == WEBSOCKET_ASKED) {
        websocket_move(ws, WEBSOCKET_CLOSED);
    } else {
        websocket_move(ws, WEBSOCKET_CLOSING);
        ws->close_due_ms = now_ms + ws->limits->close_ms;
        drop_part(ws);
    }
    return ERR_OK;
}

struct slice websocket_output(struct websocket *ws)
{
    if (websocket_unsent_bytes(ws) == 0 && ws->state != WEBSOCKET_CLOSED) {
        put_pong(ws);
    }
    return frames_output(&ws->frames);
}

void websocket_sent(struct websocket *ws, size_t n)
{
    frames_sent(&ws->frames, n);
}

size_t websocket_unsent_bytes(const struct websocket *ws)
{
    return frames_output(&ws->frames).len;
}

/* Input */

size_t websocket_input_bytes(const struct websocket *ws)
{
    return frames_input_bytes(&ws->frames);
}

size_t websocket_part_bytes(const struct websocket *ws)
{
    return ws->part_cap;
}

static bool fail(struct websocket *ws, uint16_t code, const char *text, struct websocket_event *ret)
{
    bool was_open = ws->state == WEBSOCKET_OPEN;
    struct slice reason = slice_of_str(text);
    if (was_open) {
        put_close(ws, code, reason);
    }
    stop_hearing(ws, WEBSOCKET_CLOSED);
    *ret = (struct websocket_event){.kind = WEBSOCKET_FAILED, .code = code, .reason = reason};
    return true;
}

static bool fail_protocol(struct websocket *ws, const char *text, struct websocket_event *ret)
{
    return fail(ws, WEBSOCKET_PROTOCOL_ERROR, text, ret);
}

/* There is no close frame to come. */
static void lose(struct websocket *ws, const char *text)
{
    stop_hearing(ws, WEBSOCKET_CLOSED);
    drop_output(ws);
    ws->due = (struct websocket_event){
        .kind = WEBSOCKET_CLOSE, .code = WEBSOCKET_ABNORMAL, .reason = slice_of_str(text)};
    ws->has_due = true;
}

void websocket_recv(struct websocket *ws, struct slice in)
{
    if (hears(ws) && !ws->has_ended) {
        frames_feed(&ws->frames, in);
    }
}

void websocket_recv_end(struct websocket *ws)
{
    ws->has_ended = true; /* websocket_next comes to it behind what is in `in` */
}

static bool is_control(uint8_t opcode)
{
    return (opcode & FRAME_CLOSE) != 0;
}

/* What is wrong with a frame that begins; NULL: nothing. */
static const char *check_frame(const struct websocket *ws, const struct frame_head *h)
{
    if (h->is_reserved) {
        return "A reserved bit is set.";
    }
    if (h->is_masked != (ws->role == WEBSOCKET_SERVER)) {
        return ws->role == WEBSOCKET_SERVER ? "A frame is not masked." : "A frame is masked.";
    }
    switch (h->opcode) {
    case FRAME_CONTINUATION:
        return ws->has_message ? NULL : "A fragment continues no message.";
    case FRAME_TEXT:
    case FRAME_BINARY:
        return ws->has_message ? "A message begins inside another." : NULL;
    case FRAME_CLOSE:
    case FRAME_PING:
    case FRAME_PONG:
        return NULL;
    default:
        return "The opcode is unknown.";
    }
}

/* True: an event. */
static bool begin_frame(struct websocket *ws, const struct frame_head *h,
                        struct websocket_event *ret)
{
    const char *wrong = check_frame(ws, h);
    if (wrong != NULL) {
        return fail_protocol(ws, wrong, ret);
    }
    if (is_control(h->opcode)) {
        ws->control_len = 0;
        return false;
    }
    if (h->opcode != FRAME_CONTINUATION) {
        ws->has_message = true;
        ws->is_text = h->opcode == FRAME_TEXT;
    }
    if (h->payload_bytes > ws->limits->message_bytes_max - bytes_slice(ws->part).len) {
        return fail(ws, WEBSOCKET_TOO_BIG, "The message is too large.", ret);
    }
    return false;
}

/* `left`: what is still to come of the frame. Whoever announces much and sends little costs one block; of
 * a message whose end is not known each step is half of what there is. */
static size_t grown_cap(const struct websocket *ws, size_t n, size_t left, bool is_last)
{
    size_t len = bytes_slice(ws->part).len;
    size_t whole = len + n + left;
    if (whole <= PART_FIRST_BYTES) {
        return whole;
    }
    size_t grown = ws->part_cap + ws->part_cap / 2;
    grown = grown > PART_FIRST_BYTES ? grown : PART_FIRST_BYTES;
    grown = grown > len + n ? grown : len + n;
    size_t most = is_last ? whole : ws->limits->message_bytes_max;
    return grown < most ? grown : most;
}

/* False: there is no memory. */
static bool keep_piece(struct websocket *ws, const struct frame_piece *piece)
{
    size_t len = bytes_slice(ws->part).len;
    size_t n = piece->bytes.len;
    if (len + n > ws->part_cap) {
        size_t cap = grown_cap(ws, n, (size_t)ws->frames.left, piece->head.is_last);
        struct bytes *b = mem_try_realloc(ws->part, sizeof *b + cap);
        if (b == NULL) {
            return false;
        }
        if (ws->part == NULL) {
            atomic_init(&b->refs, 1);
            b->len = 0;
        }
        ws->part = b;
        ws->part_cap = cap;
    }
    memcpy(ws->part->data + len, piece->bytes.data, n);
    ws->part->len += n;
    POST(ws->part->len <= ws->limits->message_bytes_max);
    return true;
}

static bool take_piece(struct websocket *ws, const struct frame_piece *piece,
                       struct websocket_event *ret)
{
    size_t n = piece->bytes.len;
    if (n > 0 && is_control(piece->head.opcode)) {
        INVARIANT(ws->control_len + n <= FRAME_CONTROL_BYTES_MAX);
        memcpy(ws->control + ws->control_len, piece->bytes.data, n);
        ws->control_len += n;
    } else if (n > 0 && ws->state == WEBSOCKET_OPEN && !keep_piece(ws, piece)) {
        return fail(ws, WEBSOCKET_INTERNAL_ERROR, "There is no memory for the message.", ret);
    }
    return false;
}

static bool end_message(struct websocket *ws, struct websocket_event *ret)
{
    ws->has_message = false;
    if (ws->state != WEBSOCKET_OPEN) {
        return false;
    }
    if (ws->is_text && !slice_is_utf8(bytes_slice(ws->part))) {
        return fail(ws, WEBSOCKET_INVALID_TEXT, "The text is not UTF-8.", ret);
    }
    if (ws->part != NULL && ws->part_cap > ws->part->len) {
        struct bytes *b = mem_try_realloc(ws->part, sizeof *b + ws->part->len);
        ws->part = b != NULL ? b : ws->part;
    }
    *ret = (struct websocket_event){
        .kind = WEBSOCKET_MESSAGE, .is_text = ws->is_text, .data = ws->part};
    ws->part = NULL;
    ws->part_cap = 0;
    return true;
}

/* The code is theirs to choose among those that may be sent at all. */
static bool end_close(struct websocket *ws, struct websocket_event *ret, uint64_t now_ms)
{
    struct slice payload = slice_of(ws->control, ws->control_len);
    uint16_t code = payload.len >= 2 ? get_be16(payload.data) : WEBSOCKET_NO_CODE;
    struct slice reason = payload.len >= 2 ? slice_skip(payload, 2) : (struct slice){0};
    if (payload.len == 1 || (payload.len >= 2 && !websocket_code_may_be_sent(code))) {
        return fail_protocol(ws, "The code of the close frame is not valid.", ret);
    }
    if (!slice_is_utf8(reason)) {
        return fail(ws, WEBSOCKET_INVALID_TEXT, "The reason is not UTF-8.", ret);
    }
    bool is_owed = ws->state == WEBSOCKET_OPEN;
    ws->peer_code = code == WEBSOCKET_NO_CODE ? 0 : code;
    ws->close_due_ms = now_ms + ws->limits->close_ms;
    stop_hearing(ws, is_owed ? WEBSOCKET_ASKED : WEBSOCKET_CLOSED);
    *ret = (struct websocket_event){.kind = WEBSOCKET_CLOSE,
                                    .code = code,
                                    .is_clean = true,
                                    .is_owed = is_owed,
                                    .reason = reason};
    return true;
}

static bool end_frame(struct websocket *ws, const struct frame_head *h, struct websocket_event *ret,
                      uint64_t now_ms)
{
    switch (h->opcode) {
    case FRAME_CLOSE:
        return end_close(ws, ret, now_ms);
    case FRAME_PING:
        memcpy(ws->pong, ws->control, ws->control_len);
        ws->pong_len = ws->control_len;
        ws->owes_pong = ws->state == WEBSOCKET_OPEN;
        return false;
    case FRAME_PONG:
        return false;
    default:
        return h->is_last && end_message(ws, ret);
    }
}

/* One piece of a frame. `ret_more` false: there is none. */
static bool read_piece(struct websocket *ws, struct websocket_event *ret, uint64_t now_ms,
                       bool *ret_more)
{
    struct frame_piece piece;
    enum err err = frames_next(&ws->frames, &piece);
    *ret_more = err == ERR_OK;
    if (err == ERR_MORE) {
        return false;
    }
    if (err != ERR_OK) {
        return fail_protocol(ws, "The head of a frame is not valid.", ret);
    }
    if ((piece.begins && begin_frame(ws, &piece.head, ret)) || take_piece(ws, &piece, ret)) {
        return true;
    }
    return piece.ends && end_frame(ws, &piece.head, ret, now_ms);
}

static bool read_frames(struct websocket *ws, struct websocket_event *ret, uint64_t now_ms)
{
    bool has_event = false;
    bool has_more = frames_have_input(&ws->frames);
    if (frames_input_bytes(&ws->frames) > 0) { /* half a head that was there before is no news */
        ws->heard_ms = now_ms;
        ws->is_pinged = false;
    }
    while (!has_event && has_more) {
        has_event = read_piece(ws, ret, now_ms, &has_more);
    }
    frames_rest(&ws->frames);
    return has_event;
}

bool websocket_next(struct websocket *ws, struct websocket_event *ret_event, uint64_t now_ms)
{
    if (hears(ws) && read_frames(ws, ret_event, now_ms)) {
        return true;
    }
    if (hears(ws) && ws->has_ended) {
        lose(ws, "The connection ended without a close frame.");
    }
    if (!ws->has_due) {
        return false;
    }
    ws->has_due = false;
    *ret_event = ws->due;
    return true;
}

bool websocket_is_over(const struct websocket *ws)
{
    return ws->state == WEBSOCKET_CLOSED && !ws->has_due && websocket_unsent_bytes(ws) == 0;
}

/* Time */

/* A peer is silent only where we listen: what waits to be looked at is a sign of life. */
static uint64_t life_deadline_ms(const struct websocket *ws)
{
    if (websocket_input_bytes(ws) > 0) {
        return UINT64_MAX;
    }
    return ws->is_pinged ? ws->pinged_ms + ws->limits->pong_ms : ws->heard_ms + ws->limits->ping_ms;
}

uint64_t websocket_next_deadline_ms(const struct websocket *ws)
{
    switch (ws->state) {
    case WEBSOCKET_OPEN:
        return life_deadline_ms(ws);
    case WEBSOCKET_CLOSING:
    case WEBSOCKET_ASKED:
        return ws->close_due_ms;
    case WEBSOCKET_CLOSED:
        return UINT64_MAX;
    }
    UNREACHABLE();
}

static void tick_open(struct websocket *ws, uint64_t now_ms)
{
    if (ws->is_pinged) {
        lose(ws, "The other side is silent.");
        return;
    }
    ws->is_pinged = true;
    ws->pinged_ms = now_ms;
    frames_put(&ws->frames, FRAME_PING, (struct slice){0});
}

void websocket_tick(struct websocket *ws, uint64_t now_ms)
{
    if (now_ms < websocket_next_deadline_ms(ws)) {
        return;
    }
    switch (ws->state) {
    case WEBSOCKET_OPEN:
        tick_open(ws, now_ms);
        return;
    case WEBSOCKET_CLOSING:
        lose(ws, "The other side did not answer the close.");
        return;
    case WEBSOCKET_ASKED:
        put_close(ws, ws->peer_code, (struct slice){0});
        websocket_move(ws, WEBSOCKET_CLOSED);
        return;
    case WEBSOCKET_CLOSED:
        return;
    }
}
