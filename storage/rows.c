#include "storage/rows.h"

#include "base/endian.h"
#include "base/invariant.h"

enum { APPLIED_BYTES = 4 + 6 * 8, DIRECTORY_HEAD_BYTES = 10 };

void applied_encode(struct buf *to, const struct applied *applied)
{
    buf_append_u32(to, ROWS_FORMAT);
    buf_append_u64(to, applied->index);
    buf_append_u64(to, applied->term);
    buf_append_u64(to, applied->version);
    buf_append_u64(to, applied->number);
    buf_append_u64(to, applied->log_time_ms);
    buf_append_u64(to, applied->actors);
}

enum err applied_decode(struct slice payload, struct applied *ret_applied)
{
    if (payload.len < 4) {
        return ERR_CORRUPT;
    }
    if (get_be32(payload.data) != ROWS_FORMAT) {
        return ERR_FORMAT;
    }
    if (payload.len != APPLIED_BYTES) {
        return ERR_CORRUPT;
    }
    const uint8_t *at = payload.data + 4;
    *ret_applied = (struct applied){.index = get_be64(at),
                                    .term = get_be64(at + 8),
                                    .version = get_be64(at + 16),
                                    .number = get_be64(at + 24),
                                    .log_time_ms = get_be64(at + 32),
                                    .actors = get_be64(at + 40)};
    return ERR_OK;
}

void directory_row_encode(struct buf *to, uint64_t number, const struct address *address)
{
    PRE(number > 0);
    PRE(address->ns.len <= NAMESPACE_BYTES_MAX && address->class.len <= CLASS_BYTES_MAX);
    PRE(address->id.len <= ID_BYTES_MAX);
    buf_append_u64(to, number);
    buf_append_byte(to, (uint8_t)address->ns.len);
    buf_append_byte(to, (uint8_t)address->class.len);
    buf_append_slice(to, address->ns);
    buf_append_slice(to, address->class);
    buf_append_slice(to, address->id);
}

enum err directory_row_decode(struct slice payload, struct directory_row *ret_row)
{
    if (payload.len < DIRECTORY_HEAD_BYTES) {
        return ERR_CORRUPT;
    }
    uint64_t number = get_be64(payload.data);
    size_t ns_len = payload.data[8];
    size_t class_len = payload.data[9];
    struct slice names = slice_skip(payload, DIRECTORY_HEAD_BYTES);
    if (number == 0 || ns_len + class_len > names.len ||
        names.len - ns_len - class_len > ID_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    *ret_row = (struct directory_row){.number = number,
                                      .ns = slice_of(names.data, ns_len),
                                      .class = slice_of(names.data + ns_len, class_len),
                                      .id = slice_skip(names, ns_len + class_len)};
    return ERR_OK;
}

void number_row_encode(struct buf *to, uint64_t number)
{
    buf_append_u64(to, number);
}

enum err number_row_decode(struct slice payload, uint64_t *ret_number)
{
    if (payload.len != 8) {
        return ERR_CORRUPT;
    }
    *ret_number = get_be64(payload.data);
    return ERR_OK;
}

enum err idempotency_row_time(struct slice payload, uint64_t *ret_log_time_ms)
{
    if (payload.len < 8) {
        return ERR_CORRUPT;
    }
    *ret_log_time_ms = get_be64(payload.data);
    return ERR_OK;
}

enum err due_row_decode(struct slice payload, struct identity *ret_identity)
{
    if (payload.len != IDENTITY_BYTES) {
        return ERR_CORRUPT;
    }
    memcpy(ret_identity->bytes, payload.data, IDENTITY_BYTES);
    return ERR_OK;
}
