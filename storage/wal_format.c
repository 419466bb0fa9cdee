#include "storage/wal_format.h"

#include "base/crc32c.h"
#include "base/endian.h"
#include "base/invariant.h"

enum {
    FRAME_MAGIC = 0x444d574c, /* "DMWL" */
    FRAME_CRC_AT = 52,
    NUMBER_BYTES = 8,
};

void wal_frame_encode(uint8_t *at, const struct wal_frame *f)
{
    put_be32(at, FRAME_MAGIC);
    put_be16(at + 4, WAL_FORMAT);
    put_be16(at + 6, 0);
    put_be64(at + 8, f->wal);
    put_be64(at + 16, f->epoch);
    put_be64(at + 24, f->segment);
    put_be64(at + 32, f->sequence);
    put_be32(at + 40, f->length);
    put_be32(at + 44, f->crc);
    put_be32(at + 48, 0);
    put_be32(at + FRAME_CRC_AT, crc32c(0, at, FRAME_CRC_AT));
}

enum err wal_frame_decode(struct slice bytes, struct wal_frame *ret_frame)
{
    const uint8_t *at = bytes.data;
    if (bytes.len < WAL_FRAME_HEADER_BYTES) {
        return ERR_MORE;
    }
    if (get_be32(at) != FRAME_MAGIC || get_be32(at + FRAME_CRC_AT) != crc32c(0, at, FRAME_CRC_AT)) {
        return ERR_CORRUPT;
    }
    if (get_be16(at + 4) != WAL_FORMAT) {
        return ERR_FORMAT;
    }
    *ret_frame = (struct wal_frame){
        .wal = get_be64(at + 8),
        .epoch = get_be64(at + 16),
        .segment = get_be64(at + 24),
        .sequence = get_be64(at + 32),
        .length = get_be32(at + 40),
        .crc = get_be32(at + 44),
    };
    return ERR_OK;
}

bool wal_frame_is_whole(const struct wal_frame *f, struct slice bytes)
{
    return bytes.len >= WAL_FRAME_HEADER_BYTES && bytes.len - WAL_FRAME_HEADER_BYTES >= f->length &&
           crc32c(0, bytes.data + WAL_FRAME_HEADER_BYTES, f->length) == f->crc;
}

/* The layout of each kind has one home: which numbers follow the header, in order. */
struct layout {
    int count;
    uint64_t *numbers[WAL_RECORD_NUMBERS_MAX];
    bool has_data;
};

static struct layout layout_of(struct wal_record *r)
{
    switch (r->kind) {
    case WAL_TABLE:
        return (struct layout){2, {&r->index, &r->term}, false};
    case WAL_CREATE:
    case WAL_REMOVE:
        return (struct layout){0, {NULL}, false};
    case WAL_TERM:
        return (struct layout){2, {&r->term, &r->vote}, false};
    case WAL_ENTRY:
    case WAL_COPY:
        return (struct layout){2, {&r->index, &r->term}, true};
    case WAL_TRUNCATE:
    case WAL_FLOOR:
        return (struct layout){1, {&r->index}, false};
    case WAL_SNAPSHOT:
    case WAL_INSTALL:
        return (struct layout){3, {&r->index, &r->term, &r->configuration_index}, true};
    case WAL_KIND_COUNT:
        break;
    }
    UNREACHABLE();
}

static size_t numbers_of(const struct wal_record *r)
{
    struct wal_record copy = *r;
    return (size_t)layout_of(&copy).count;
}

size_t wal_record_bytes(const struct wal_record *r)
{
    return WAL_RECORD_HEADER_BYTES + numbers_of(r) * NUMBER_BYTES + r->data.len;
}

uint8_t *wal_record_encode(uint8_t *at, const struct wal_record *r)
{
    struct wal_record copy = *r;
    struct layout layout = layout_of(&copy);
    size_t body = wal_record_bytes(r) - WAL_RECORD_HEADER_BYTES;
    PRE(body <= UINT32_MAX);
    PRE(layout.has_data || r->data.len == 0);

    put_be32(at, (uint32_t)body);
    at[4] = (uint8_t)r->kind;
    at[5] = r->type;
    put_be16(at + 6, 0);
    put_be32(at + 8, r->group);
    put_be64(at + 12, r->replica);
    at += WAL_RECORD_HEADER_BYTES;
    for (int i = 0; i < layout.count; i++, at += NUMBER_BYTES) {
        put_be64(at, *layout.numbers[i]);
    }
    return at;
}

enum err wal_record_decode(struct slice *rest, struct wal_record *ret_record)
{
    const uint8_t *at = rest->data;
    if (rest->len < WAL_RECORD_HEADER_BYTES) {
        return ERR_CORRUPT;
    }
    size_t body = get_be32(at);
    if (body > rest->len - WAL_RECORD_HEADER_BYTES || at[4] == 0 || at[4] >= WAL_KIND_COUNT ||
        get_be16(at + 6) != 0) {
        return ERR_CORRUPT;
    }
    struct wal_record r = {.kind = (enum wal_kind)at[4],
                           .type = at[5],
                           .group = get_be32(at + 8),
                           .replica = get_be64(at + 12)};
    struct layout layout = layout_of(&r);
    size_t numbers = (size_t)layout.count * NUMBER_BYTES;
    if (body < numbers || (!layout.has_data && body != numbers)) {
        return ERR_CORRUPT;
    }
    at += WAL_RECORD_HEADER_BYTES;
    for (int i = 0; i < layout.count; i++, at += NUMBER_BYTES) {
        *layout.numbers[i] = get_be64(at);
    }
    r.data = slice_of(at, body - numbers);
    *rest = slice_skip(*rest, WAL_RECORD_HEADER_BYTES + body);
    *ret_record = r;
    return ERR_OK;
}
