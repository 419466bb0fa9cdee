#include "rpc/websocket_frame.h"

#include <wslay/wslay.h>

#include "base/invariant.h"
#include "base/random.h"

enum { KEPT_BYTES_MAX = 4096 }; /* what is sent of a buffer and still in it */

static ssize_t give_input(uint8_t *to, size_t len, int flags, void *user)
{
    (void)flags;
    struct websocket_frames *f = user;
    size_t have = frames_input_bytes(f);
    size_t n = have < len ? have : len;
    if (n == 0) {
        return 0; /* the library asks again */
    }
    memcpy(to, f->in.data + f->in_at, n);
    f->in_at += n;
    f->read_ahead += n;
    return (ssize_t)n;
}

static ssize_t take_output(const uint8_t *data, size_t len, int flags, void *user)
{
    (void)flags;
    struct websocket_frames *f = user;
    buf_append(&f->out, data, len);
    return (ssize_t)len;
}

static int make_mask(uint8_t *to, size_t len, void *user)
{
    (void)user;
    random_bytes(to, len);
    return 0;
}

static struct wslay_frame_context *library(struct websocket_frames *f)
{
    static const struct wslay_frame_callbacks callbacks = {
        .send_callback = take_output, .recv_callback = give_input, .genmask_callback = make_mask};
    if (f->library == NULL) {
        int rc = wslay_frame_context_init(&f->library, &callbacks, f);
        INVARIANT(rc == 0);
    }
    return f->library;
}

static void let_go(struct websocket_frames *f)
{
    wslay_frame_context_free(f->library);
    f->library = NULL;
    f->read_ahead = 0;
}

void frames_rest(struct websocket_frames *f)
{
    if (f->library != NULL && f->read_ahead == 0 && !f->is_inside) {
        let_go(f);
    }
    if (f->in_at == f->in.len) {
        buf_done(&f->in);
        f->in_at = 0;
    } else if (f->in_at > f->in.len / 2) {
        buf_consume(&f->in, f->in_at);
        f->in_at = 0;
    }
}

void frames_done(struct websocket_frames *f)
{
    frames_drop_input(f);
    frames_drop_output(f);
}

/* Input */

void frames_feed(struct websocket_frames *f, struct slice in)
{
    buf_append_slice(&f->in, in);
}

size_t frames_input_bytes(const struct websocket_frames *f)
{
    return f->in.len - f->in_at;
}

bool frames_have_input(const struct websocket_frames *f)
{
    return frames_input_bytes(f) > 0 || f->read_ahead > 0;
}

static size_t head_bytes(const struct frame_head *h)
{
    size_t length = h->payload_bytes < 126 ? 0 : h->payload_bytes <= UINT16_MAX ? 2 : 8;
    return 2 + length + (h->is_masked ? 4 : 0);
}

enum err frames_next(struct websocket_frames *f, struct frame_piece *ret_piece)
{
    struct wslay_frame_iocb got = {0};
    ssize_t n = wslay_frame_recv(library(f), &got);
    if (n == WSLAY_ERR_WANT_READ) {
        return ERR_MORE;
    }
    if (n < 0) {
        return ERR_CORRUPT;
    }
    struct frame_piece piece = {.begins = !f->is_inside,
                                .head = {.opcode = got.opcode,
                                         .is_last = got.fin != 0,
                                         .is_masked = got.mask != 0,
                                         .is_reserved = got.rsv != 0,
                                         .payload_bytes = got.payload_length},
                                .bytes = slice_of(got.data, got.data_length)};
    if (piece.begins) {
        f->read_ahead -= head_bytes(&piece.head);
        f->left = got.payload_length;
    }
    INVARIANT(got.data_length <= f->left && got.data_length <= f->read_ahead);
    f->read_ahead -= got.data_length;
    f->left -= got.data_length;
    f->is_inside = f->left > 0;
    piece.ends = !f->is_inside;
    *ret_piece = piece;
    return ERR_OK;
}

void frames_drop_input(struct websocket_frames *f)
{
    let_go(f);
    buf_done(&f->in);
    f->in_at = 0;
    f->is_inside = false;
    f->left = 0;
}

/* Output */

void frames_put(struct websocket_frames *f, enum frame_opcode opcode, struct slice payload)
{
    struct wslay_frame_iocb frame = {.fin = 1,
                                     .opcode = (uint8_t)opcode,
                                     .payload_length = payload.len,
                                     .mask = f->is_masking,
                                     .data = payload.data,
                                     .data_length = payload.len};
    ssize_t n = wslay_frame_send(library(f), &frame);
    INVARIANT(n >= 0 && (size_t)n == payload.len); /* take_output takes all there is */
    frames_rest(f);
}

struct slice frames_output(const struct websocket_frames *f)
{
    return f->out.len == 0 ? (struct slice){0} : slice_skip(buf_slice(&f->out), f->out_at);
}

void frames_sent(struct websocket_frames *f, size_t n)
{
    PRE(n <= f->out.len - f->out_at);
    f->out_at += n;
    if (f->out_at == f->out.len) {
        frames_drop_output(f);
    } else if (f->out_at > KEPT_BYTES_MAX && f->out_at > f->out.len / 2) {
        buf_consume(&f->out, f->out_at);
        buf_shrink(&f->out);
        f->out_at = 0;
    }
}

void frames_drop_output(struct websocket_frames *f)
{
    buf_done(&f->out);
    f->out_at = 0;
}
