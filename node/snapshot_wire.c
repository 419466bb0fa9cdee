#include "node/snapshot_wire.h"

#include "base/crc32c.h"
#include "base/endian.h"

enum { BEGIN_HEAD_BYTES = 16, PART_HEAD_BYTES = 20, WANT_BYTES = 24, END_BYTES = 9 };

void snapshot_put_begin(const struct snapshot_begin *m, struct buf *out)
{
    buf_append_u64(out, m->stream);
    buf_append_u64(out, m->bytes);
    buf_append_slice(out, m->offer);
}

enum err snapshot_take_begin(struct slice bytes, struct snapshot_begin *ret)
{
    if (bytes.len <= BEGIN_HEAD_BYTES) {
        return ERR_CORRUPT;
    }
    *ret = (struct snapshot_begin){.stream = get_be64(bytes.data),
                                   .bytes = get_be64(bytes.data + 8),
                                   .offer = slice_skip(bytes, BEGIN_HEAD_BYTES)};
    return ret->stream != 0 && ret->bytes != 0 ? ERR_OK : ERR_CORRUPT;
}

void snapshot_put_part(const struct snapshot_part *m, struct buf *out)
{
    buf_append_u64(out, m->stream);
    buf_append_u64(out, m->offset);
    buf_append_u32(out, crc32c(0, m->bytes.data, m->bytes.len));
    buf_append_slice(out, m->bytes);
}

enum err snapshot_take_part(struct slice bytes, struct snapshot_part *ret)
{
    if (bytes.len <= PART_HEAD_BYTES || bytes.len > PART_HEAD_BYTES + SNAPSHOT_PART_BYTES) {
        return ERR_CORRUPT;
    }
    *ret = (struct snapshot_part){.stream = get_be64(bytes.data),
                                  .offset = get_be64(bytes.data + 8),
                                  .bytes = slice_skip(bytes, PART_HEAD_BYTES)};
    uint32_t sum = get_be32(bytes.data + 16);
    return sum == crc32c(0, ret->bytes.data, ret->bytes.len) ? ERR_OK : ERR_CORRUPT;
}

void snapshot_put_want(const struct snapshot_want *m, struct buf *out)
{
    buf_append_u64(out, m->stream);
    buf_append_u64(out, m->next);
    buf_append_u64(out, m->limit);
}

enum err snapshot_take_want(struct slice bytes, struct snapshot_want *ret)
{
    if (bytes.len != WANT_BYTES) {
        return ERR_CORRUPT;
    }
    *ret = (struct snapshot_want){.stream = get_be64(bytes.data),
                                  .next = get_be64(bytes.data + 8),
                                  .limit = get_be64(bytes.data + 16)};
    return ret->next <= ret->limit ? ERR_OK : ERR_CORRUPT;
}

void snapshot_put_end(const struct snapshot_end *m, struct buf *out)
{
    buf_append_u64(out, m->stream);
    buf_append_byte(out, m->is_installed ? 1 : 0);
}

enum err snapshot_take_end(struct slice bytes, struct snapshot_end *ret)
{
    if (bytes.len != END_BYTES || bytes.data[8] > 1) {
        return ERR_CORRUPT;
    }
    *ret =
        (struct snapshot_end){.stream = get_be64(bytes.data), .is_installed = bytes.data[8] == 1};
    return ERR_OK;
}
