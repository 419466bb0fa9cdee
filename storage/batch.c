#include "storage/batch.h"

#include "base/endian.h"
#include "base/invariant.h"

enum { PUT_HEAD_BYTES = 7, PUT_VERSION_HEAD_BYTES = 15, DELETE_HEAD_BYTES = 3, DROP_BYTES = 9 };
enum { ENTRY_LENGTH_BYTES = 4 };

/* Building */

static size_t put_head_bytes(uint64_t version)
{
    return version == BATCH_OWN_VERSION ? PUT_HEAD_BYTES : PUT_VERSION_HEAD_BYTES;
}

void batch_begin(struct batch_builder *b, struct buf *out)
{
    *b = (struct batch_builder){.out = out, .start = out->len};
    memset(buf_extend(out, BATCH_HEADER_BYTES), 0, BATCH_HEADER_BYTES);
}

void batch_put(struct batch_builder *b, struct slice key, uint64_t version, struct slice payload)
{
    PRE(key.len >= ROW_KEY_HEAD_BYTES && key.len <= ROW_KEY_BYTES_MAX);
    PRE(payload.len <= UINT32_MAX);

    size_t head_bytes = put_head_bytes(version);
    uint8_t *at = buf_extend(b->out, head_bytes + key.len + payload.len);
    at[0] = version == BATCH_OWN_VERSION ? BATCH_PUT : BATCH_PUT_VERSION;
    put_be16(at + 1, (uint16_t)key.len);
    put_be32(at + 3, (uint32_t)payload.len);
    if (version != BATCH_OWN_VERSION) {
        put_be64(at + 7, version);
    }
    memcpy(at + head_bytes, key.data, key.len);
    if (payload.len > 0) {
        memcpy(at + head_bytes + key.len, payload.data, payload.len);
    }
    b->op_count++;
}

void batch_delete(struct batch_builder *b, struct slice key)
{
    PRE(key.len >= ROW_KEY_HEAD_BYTES && key.len <= ROW_KEY_BYTES_MAX);
    buf_append_byte(b->out, BATCH_DELETE);
    buf_append_u16(b->out, (uint16_t)key.len);
    buf_append_slice(b->out, key);
    b->op_count++;
}

void batch_drop(struct batch_builder *b, uint64_t number)
{
    PRE(number != SHARD_NUMBER);
    buf_append_byte(b->out, BATCH_DROP);
    buf_append_u64(b->out, number);
    b->op_count++;
}

size_t batch_bytes(const struct batch_builder *b)
{
    return b->out->len - b->start;
}

size_t batch_put_bytes(struct slice key, uint64_t version, size_t payload_bytes)
{
    return put_head_bytes(version) + key.len + payload_bytes;
}

enum err batch_end(struct batch_builder *b, const struct batch_header *header)
{
    PRE(header->version >= 1);
    PRE(b->out->len >= b->start + BATCH_HEADER_BYTES);

    if (batch_bytes(b) > BATCH_BYTES_MAX || b->op_count > BATCH_OPS_MAX) {
        b->out->len = b->start;
        return ERR_TOO_LARGE;
    }
    uint8_t *at = b->out->data + b->start;
    at[0] = BATCH_FORMAT;
    put_be64(at + 1, header->version);
    put_be64(at + 9, header->log_time_ms);
    put_be64(at + 17, header->born);
    put_be32(at + 25, b->op_count);
    return ERR_OK;
}

/* Reading */

enum err batch_open(struct batch_reader *r, struct slice batch)
{
    if (batch.len < BATCH_HEADER_BYTES || batch.len > BATCH_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    const uint8_t *at = batch.data;
    if (at[0] != BATCH_FORMAT) {
        return ERR_FORMAT;
    }
    *r = (struct batch_reader){.header = {.version = get_be64(at + 1),
                                          .log_time_ms = get_be64(at + 9),
                                          .born = get_be64(at + 17),
                                          .op_count = get_be32(at + 25)},
                               .rest = slice_skip(batch, BATCH_HEADER_BYTES)};
    r->ops_left = r->header.op_count;
    if (r->header.version == 0 || r->ops_left > BATCH_OPS_MAX ||
        (r->ops_left == 0 && r->rest.len > 0)) {
        return ERR_CORRUPT;
    }
    return ERR_OK;
}

/* The key after an op's head, then `payload_len` bytes; consumes both. */
static enum err take_key(struct batch_reader *r, size_t head_bytes, size_t key_len,
                         size_t payload_len, struct batch_op *op)
{
    if (key_len < ROW_KEY_HEAD_BYTES || key_len > ROW_KEY_BYTES_MAX ||
        r->rest.len - head_bytes < key_len || r->rest.len - head_bytes - key_len < payload_len) {
        return ERR_CORRUPT;
    }
    op->key = slice_of(r->rest.data + head_bytes, key_len);
    op->payload = slice_of(r->rest.data + head_bytes + key_len, payload_len);
    op->number = row_key_number_of(op->key);
    r->rest = slice_skip(r->rest, head_bytes + key_len + payload_len);
    return ERR_OK;
}

static enum err take_put(struct batch_reader *r, size_t head_bytes, struct batch_op *op)
{
    if (r->rest.len < head_bytes) {
        return ERR_CORRUPT;
    }
    const uint8_t *at = r->rest.data;
    *op = (struct batch_op){.type = BATCH_PUT, .version = r->header.version};
    if (head_bytes == PUT_VERSION_HEAD_BYTES) {
        op->version = get_be64(at + 7);
    }
    if (op->version == 0) {
        return ERR_CORRUPT;
    }
    return take_key(r, head_bytes, get_be16(at + 1), get_be32(at + 3), op);
}

static enum err take_delete(struct batch_reader *r, struct batch_op *op)
{
    if (r->rest.len < DELETE_HEAD_BYTES) {
        return ERR_CORRUPT;
    }
    *op = (struct batch_op){.type = BATCH_DELETE};
    return take_key(r, DELETE_HEAD_BYTES, get_be16(r->rest.data + 1), 0, op);
}

static enum err take_drop(struct batch_reader *r, struct batch_op *op)
{
    if (r->rest.len < DROP_BYTES || get_be64(r->rest.data + 1) == SHARD_NUMBER) {
        return ERR_CORRUPT;
    }
    *op = (struct batch_op){.type = BATCH_DROP, .number = get_be64(r->rest.data + 1)};
    r->rest = slice_skip(r->rest, DROP_BYTES);
    return ERR_OK;
}

static enum err take_op(struct batch_reader *r, struct batch_op *op)
{
    if (r->rest.len == 0) {
        return ERR_CORRUPT;
    }
    switch (r->rest.data[0]) {
    case BATCH_PUT:
        return take_put(r, PUT_HEAD_BYTES, op);
    case BATCH_PUT_VERSION:
        return take_put(r, PUT_VERSION_HEAD_BYTES, op);
    case BATCH_DELETE:
        return take_delete(r, op);
    case BATCH_DROP:
        return take_drop(r, op);
    default: /* a byte from outside, not an enum of ours */
        return ERR_CORRUPT;
    }
}

enum err batch_next(struct batch_reader *r, struct batch_op *ret_op)
{
    PRE(r->ops_left > 0);

    enum err err = take_op(r, ret_op);
    if (err != ERR_OK) {
        return err;
    }
    r->ops_left--;
    return r->ops_left == 0 && r->rest.len > 0 ? ERR_CORRUPT : ERR_OK;
}

enum err batch_check(struct slice batch)
{
    struct batch_reader r;
    struct batch_op op;
    enum err err = batch_open(&r, batch);
    while (err == ERR_OK && r.ops_left > 0) {
        err = batch_next(&r, &op);
    }
    return err;
}

/* Entries */

void entry_append(struct buf *entry, struct slice batch)
{
    PRE(batch.len >= BATCH_HEADER_BYTES && batch.len <= BATCH_BYTES_MAX);
    buf_append_u32(entry, (uint32_t)batch.len);
    buf_append_slice(entry, batch);
}

bool entry_has_room(size_t entry_bytes, uint32_t batch_count, size_t batch_bytes)
{
    return batch_count == 0 ||
           (batch_count < ENTRY_COLLECT_BATCHES_MAX &&
            entry_bytes + ENTRY_LENGTH_BYTES + batch_bytes <= ENTRY_COLLECT_BYTES_MAX);
}

enum err entry_next(struct slice *rest, struct slice *ret_batch)
{
    if (rest->len < ENTRY_LENGTH_BYTES) {
        return ERR_CORRUPT;
    }
    size_t batch_len = get_be32(rest->data);
    if (batch_len > rest->len - ENTRY_LENGTH_BYTES) {
        return ERR_CORRUPT;
    }
    *ret_batch = slice_of(rest->data + ENTRY_LENGTH_BYTES, batch_len);
    *rest = slice_skip(*rest, ENTRY_LENGTH_BYTES + batch_len);
    return ERR_OK;
}

enum err entry_check(struct slice entry)
{
    enum err err = ERR_OK;
    while (err == ERR_OK && entry.len > 0) {
        struct slice batch;
        err = entry_next(&entry, &batch);
        if (err == ERR_OK) {
            err = batch_check(batch);
        }
    }
    return err;
}
