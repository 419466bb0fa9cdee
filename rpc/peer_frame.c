#include "rpc/peer_frame.h"

#include "base/endian.h"
#include "base/invariant.h"

#define MAGIC SLICE("DMPR")

/* Writing */

/* A frame whose body follows; returns where its length stands. */
static size_t begin(struct buf *out, enum peer_frame_type type)
{
    size_t at = out->len;
    buf_append_u32(out, 0);
    buf_append_u32(out, (uint32_t)type << 24);
    return at;
}

static void end(struct buf *out, size_t at)
{
    size_t body = out->len - at - PEER_HEAD_BYTES;
    POST(body <= PEER_BODY_BYTES_MAX);
    put_be32(out->data + at, (uint32_t)body);
}

void peer_put_hello(struct buf *out, enum peer_frame_type type, const struct peer_hello *h)
{
    PRE(type == PEER_HELLO || type == PEER_WELCOME);
    size_t at = begin(out, type);
    buf_append_slice(out, MAGIC);
    buf_append_u16(out, h->version);
    buf_append_u16(out, h->version_oldest);
    buf_append_u64(out, h->cluster_id);
    buf_append_u32(out, h->node);
    buf_append_u16(out, h->worker);
    buf_append_u16(out, h->workers);
    buf_append_u64(out, (uint64_t)h->channel << 56);
    buf_append_u64(out, h->term);
    end(out, at);
    POST(out->len - at == PEER_HEAD_BYTES + PEER_HELLO_BYTES);
}

void peer_put_refuse(struct buf *out, enum peer_refusal refusal, const char *text)
{
    size_t at = begin(out, PEER_REFUSE);
    size_t len = strlen(text);
    buf_append_byte(out, (uint8_t)refusal);
    buf_append(out, text, len < PEER_TEXT_BYTES_MAX ? len : PEER_TEXT_BYTES_MAX);
    end(out, at);
}

void peer_put_stamp(struct buf *out, enum peer_frame_type type, uint64_t stamp)
{
    PRE(type == PEER_PING || type == PEER_PONG);
    size_t at = begin(out, type);
    buf_append_u64(out, stamp);
    end(out, at);
}

static void put_lane(struct buf *out, const struct peer_message *m)
{
    buf_append_u32(out, (uint32_t)m->kind << 24);
    buf_append_u32(out, m->group);
}

static void put_replicas(struct buf *out, const struct peer_message *m)
{
    buf_append_u64(out, m->from);
    buf_append_u64(out, m->to);
}

void peer_put_message(struct buf *out, const struct peer_message *m)
{
    PRE(m->payload.len <= PEER_WHOLE_BYTES_MAX);
    size_t at = begin(out, PEER_MESSAGE);
    put_lane(out, m);
    put_replicas(out, m);
    buf_append_slice(out, m->payload);
    end(out, at);
}

void peer_put_first(struct buf *out, const struct peer_message *m, size_t piece_bytes)
{
    PRE(m->payload.len > PEER_WHOLE_BYTES_MAX && m->payload.len <= PEER_MESSAGE_BYTES_MAX);
    size_t at = begin(out, PEER_FIRST);
    put_lane(out, m);
    put_replicas(out, m);
    buf_append_u32(out, (uint32_t)m->payload.len);
    buf_append(out, m->payload.data, piece_bytes);
    end(out, at);
}

void peer_put_more(struct buf *out, const struct peer_message *m, size_t from, size_t piece_bytes)
{
    PRE(piece_bytes > 0 && from + piece_bytes <= m->payload.len);
    size_t at = begin(out, PEER_MORE);
    put_lane(out, m);
    buf_append(out, m->payload.data + from, piece_bytes);
    end(out, at);
}

/* Reading */

/* What a body of this type may have. False: there is no such type. */
static bool body_bounds(uint8_t type, size_t *ret_min, size_t *ret_max)
{
    static const struct {
        size_t min;
        size_t max;
    } bounds[] = {
        [PEER_HELLO] = {PEER_HELLO_BYTES, PEER_HELLO_BYTES_MAX},
        [PEER_WELCOME] = {PEER_HELLO_BYTES, PEER_HELLO_BYTES_MAX},
        [PEER_REFUSE] = {1, 1 + PEER_TEXT_BYTES_MAX},
        [PEER_PING] = {8, 8},
        [PEER_PONG] = {8, 8},
        [PEER_MESSAGE] = {PEER_MESSAGE_HEAD_BYTES, PEER_MESSAGE_HEAD_BYTES + PEER_WHOLE_BYTES_MAX},
        [PEER_FIRST] = {PEER_FIRST_HEAD_BYTES + 1, PEER_FIRST_HEAD_BYTES + PEER_PIECE_BYTES},
        [PEER_MORE] = {PEER_MORE_HEAD_BYTES + 1, PEER_MORE_HEAD_BYTES + PEER_PIECE_BYTES},
    };
    if (type < PEER_HELLO || type > PEER_MORE) {
        return false;
    }
    *ret_min = bounds[type].min;
    *ret_max = bounds[type].max;
    return true;
}

enum err peer_frame_bytes(struct slice bytes, size_t *ret_bytes)
{
    if (bytes.len < PEER_HEAD_BYTES) {
        return ERR_MORE;
    }
    size_t body = get_be32(bytes.data);
    uint32_t rest = get_be32(bytes.data + 4);
    size_t min;
    size_t max;
    if ((rest & 0xffffff) != 0 || !body_bounds((uint8_t)(rest >> 24), &min, &max) || body < min ||
        body > max) {
        return ERR_CORRUPT;
    }
    *ret_bytes = PEER_HEAD_BYTES + body;
    return ERR_OK;
}

static enum err decode_hello(struct slice body, struct peer_hello *ret)
{
    const uint8_t *at = body.data;
    uint8_t channel = at[24];
    *ret = (struct peer_hello){.version = get_be16(at + 4),
                               .version_oldest = get_be16(at + 6),
                               .cluster_id = get_be64(at + 8),
                               .node = get_be32(at + 16),
                               .worker = get_be16(at + 20),
                               .workers = get_be16(at + 22),
                               .channel = channel == PEER_BULK ? PEER_BULK : PEER_MESSAGES,
                               .term = get_be64(at + 32)};
    bool is_sane = slice_has_prefix(body, MAGIC) && ret->version_oldest > 0 &&
                   ret->version >= ret->version_oldest && ret->node > 0 && ret->workers > 0 &&
                   ret->workers <= PEER_WORKERS_MAX && ret->worker < ret->workers &&
                   channel < PEER_CHANNEL_COUNT;
    return is_sane ? ERR_OK : ERR_CORRUPT;
}

static enum err decode_refuse(struct slice body, struct peer_frame *ret)
{
    uint8_t refusal = body.data[0];
    if (refusal == 0 || refusal >= PEER_REFUSAL_END) {
        return ERR_CORRUPT;
    }
    ret->refusal = (enum peer_refusal)refusal;
    ret->text = slice_skip(body, 1);
    return ERR_OK;
}

static enum err decode_lane(struct slice body, struct peer_message *ret)
{
    uint32_t first = get_be32(body.data);
    ret->kind = (uint8_t)(first >> 24);
    ret->group = get_be32(body.data + 4);
    return (first & 0xffffff) == 0 ? ERR_OK : ERR_CORRUPT;
}

static enum err decode_message(struct slice body, struct peer_frame *ret)
{
    struct peer_message *m = &ret->message;
    size_t head = PEER_MESSAGE_HEAD_BYTES;
    m->from = get_be64(body.data + 8);
    m->to = get_be64(body.data + 16);
    if (ret->type == PEER_FIRST) {
        ret->whole_bytes = get_be32(body.data + head);
        head = PEER_FIRST_HEAD_BYTES;
        if (ret->whole_bytes <= PEER_WHOLE_BYTES_MAX || ret->whole_bytes > PEER_MESSAGE_BYTES_MAX) {
            return ERR_CORRUPT;
        }
    }
    m->payload = slice_skip(body, head);
    return decode_lane(body, m);
}

enum err peer_frame_decode(struct slice bytes, struct peer_frame *ret_frame)
{
    size_t n = 0;
    enum err err = peer_frame_bytes(bytes, &n);
    if (err != ERR_OK) {
        return err;
    }
    PRE(n == bytes.len);
    struct peer_frame f = {.type = (enum peer_frame_type)bytes.data[4]};
    struct slice body = slice_skip(bytes, PEER_HEAD_BYTES);
    switch (f.type) {
    case PEER_HELLO:
    case PEER_WELCOME:
        err = decode_hello(body, &f.hello);
        break;
    case PEER_REFUSE:
        err = decode_refuse(body, &f);
        break;
    case PEER_PING:
    case PEER_PONG:
        f.stamp = get_be64(body.data);
        break;
    case PEER_MESSAGE:
    case PEER_FIRST:
        err = decode_message(body, &f);
        break;
    case PEER_MORE:
        f.message.payload = slice_skip(body, PEER_MORE_HEAD_BYTES);
        err = decode_lane(body, &f.message);
        break;
    }
    if (err == ERR_OK) {
        *ret_frame = f;
    }
    return err;
}

uint16_t peer_version_of_both(uint16_t newest, uint16_t oldest, uint16_t other_newest,
                              uint16_t other_oldest)
{
    uint16_t version = newest < other_newest ? newest : other_newest;
    return version >= oldest && version >= other_oldest ? version : 0;
}
