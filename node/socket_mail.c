#include "node/socket_mail.h"

#include "base/endian.h"
#include "base/invariant.h"

enum {
    HEAD_BYTES = 16,
    OPEN_BYTES = 16,
    PIECE_BYTES = 20,
    SYNC_BYTES = 24,
    FLAG_FIRST = 1,
    FLAG_SECOND = 2,
};

static uint8_t flags_of(const struct socket_mail *m)
{
    const struct socket_letter_head *h = &m->piece.head;
    switch (m->kind) {
    case SOCKET_MAIL_PIECE:
        return (uint8_t)((h->was_clean ? FLAG_FIRST : 0) | (h->is_owed ? FLAG_SECOND : 0));
    case SOCKET_MAIL_SYNC:
        return (uint8_t)((m->sync.is_question ? FLAG_FIRST : 0) |
                         (m->sync.is_answer ? FLAG_SECOND : 0));
    case SOCKET_MAIL_END:
        return m->is_clean ? FLAG_FIRST : 0;
    case SOCKET_MAIL_OPEN:
    case SOCKET_MAIL_GONE:
    case SOCKET_MAIL_KIND_END:
        return 0;
    }
    UNREACHABLE();
}

static void put_text(struct buf *out, struct slice text)
{
    PRE(text.len <= UINT16_MAX);
    buf_append_u16(out, (uint16_t)text.len);
    buf_append_slice(out, text);
}

void socket_who_encode(const struct socket_who *w, struct buf *out)
{
    buf_append(out, w->identity.bytes, IDENTITY_BYTES);
    put_text(out, w->address.ns);
    put_text(out, w->address.class);
    put_text(out, w->address.id);
    buf_append_slice(out, w->memo);
}

static void put_piece(struct buf *out, const struct socket_piece *p, bool has_bytes)
{
    buf_append_u64(out, p->number);
    buf_append_byte(out, (uint8_t)p->head.kind);
    buf_append_byte(out, 0);
    buf_append_u16(out, p->head.code);
    buf_append_u32(out, (uint32_t)p->whole_bytes);
    buf_append_u32(out, (uint32_t)p->at);
    if (has_bytes) {
        buf_append_slice(out, p->bytes);
    }
}

void socket_mail_encode(const struct socket_mail *m, bool has_bytes, struct buf *out)
{
    buf_append_byte(out, (uint8_t)m->kind);
    buf_append_byte(out, flags_of(m));
    buf_append_u16(out, 0);
    buf_append_u32(out, m->attempt);
    buf_append_u64(out, m->id);
    switch (m->kind) {
    case SOCKET_MAIL_OPEN:
        buf_append_u64(out, m->up);
        buf_append_u64(out, m->down);
        buf_append_slice(out, m->who);
        return;
    case SOCKET_MAIL_PIECE:
        put_piece(out, &m->piece, has_bytes);
        return;
    case SOCKET_MAIL_SYNC:
        buf_append_u64(out, m->sync.received);
        buf_append_u64(out, m->sync.part);
        buf_append_u64(out, m->sync.taken);
        return;
    case SOCKET_MAIL_END:
        buf_append_u64(out, m->up);
        buf_append_u64(out, m->down);
        return;
    case SOCKET_MAIL_GONE:
    case SOCKET_MAIL_KIND_END:
        return;
    }
}

static bool take_text(struct slice *rest, struct slice *ret)
{
    if (rest->len < 2) {
        return false;
    }
    size_t len = get_be16(rest->data);
    *rest = slice_skip(*rest, 2);
    if (rest->len < len) {
        return false;
    }
    *ret = slice_of(rest->data, len);
    *rest = slice_skip(*rest, len);
    return true;
}

enum err socket_who_decode(struct slice bytes, struct socket_who *ret)
{
    struct socket_who w;
    if (bytes.len < IDENTITY_BYTES) {
        return ERR_CORRUPT;
    }
    struct slice rest = slice_skip(bytes, IDENTITY_BYTES);
    memcpy(w.identity.bytes, bytes.data, IDENTITY_BYTES);
    if (!take_text(&rest, &w.address.ns) || !take_text(&rest, &w.address.class) ||
        !take_text(&rest, &w.address.id) || address_check(&w.address) != ERR_OK) {
        return ERR_CORRUPT;
    }
    w.memo = rest;
    *ret = w;
    return ERR_OK;
}

static bool take_piece(struct slice rest, uint8_t flags, struct bytes *data, struct socket_mail *m)
{
    if (rest.len < PIECE_BYTES) {
        return false;
    }
    m->piece = (struct socket_piece){
        .number = get_be64(rest.data),
        .head = {.kind = (enum socket_letter_kind)rest.data[8],
                 .code = get_be16(rest.data + 10),
                 .was_clean = (flags & FLAG_FIRST) != 0,
                 .is_owed = (flags & FLAG_SECOND) != 0},
        .whole_bytes = get_be32(rest.data + 12),
        .at = get_be32(rest.data + 16),
        .bytes = data != NULL ? bytes_slice(data) : slice_skip(rest, PIECE_BYTES),
        .data = data,
    };
    return true;
}

static bool take_numbers(struct slice rest, struct socket_mail *m)
{
    if (rest.len < OPEN_BYTES) {
        return false;
    }
    m->up = get_be64(rest.data);
    m->down = get_be64(rest.data + 8);
    return true;
}

static bool take_rest(struct slice rest, uint8_t flags, struct bytes *data, struct socket_mail *m)
{
    switch (m->kind) {
    case SOCKET_MAIL_OPEN:
        m->who = rest.len >= OPEN_BYTES ? slice_skip(rest, OPEN_BYTES) : rest;
        return take_numbers(rest, m);
    case SOCKET_MAIL_PIECE:
        return take_piece(rest, flags, data, m);
    case SOCKET_MAIL_SYNC:
        if (rest.len < SYNC_BYTES) {
            return false;
        }
        m->sync = (struct socket_sync){.received = get_be64(rest.data),
                                       .part = get_be64(rest.data + 8),
                                       .taken = get_be64(rest.data + 16),
                                       .is_question = (flags & FLAG_FIRST) != 0,
                                       .is_answer = (flags & FLAG_SECOND) != 0};
        return true;
    case SOCKET_MAIL_END:
        m->is_clean = (flags & FLAG_FIRST) != 0;
        return take_numbers(rest, m);
    case SOCKET_MAIL_GONE:
        return true;
    case SOCKET_MAIL_KIND_END:
        return false;
    }
    return false; /* a kind of a newer version */
}

enum err socket_mail_decode(struct slice bytes, struct bytes *data, struct socket_mail *ret)
{
    if (bytes.len < HEAD_BYTES) {
        return ERR_CORRUPT;
    }
    struct socket_mail m = {.kind = (enum socket_mail_kind)bytes.data[0],
                            .attempt = get_be32(bytes.data + 4),
                            .id = get_be64(bytes.data + 8)};
    if (m.id == 0 || !take_rest(slice_skip(bytes, HEAD_BYTES), bytes.data[1], data, &m)) {
        return ERR_CORRUPT;
    }
    *ret = m;
    return ERR_OK;
}
