#include "node/watch_wire.h"

#include <inttypes.h>
#include <string.h>

#include "actor/request_wire.h"
#include "base/endian.h"
#include "rpc/uri.h"

enum { ID_BYTES = 8, OPEN_HEAD_BYTES = 8 + 4 + 13 + 1 + DIGEST_BYTES };

void watch_put_open(uint64_t id, uint32_t timeout_ms, const struct request *r, struct buf *out)
{
    struct request *list = request_new(REQUEST_KV_LIST);
    request_set_address(list, &r->address);
    list->identity = r->identity;
    list->list.prefix = bytes_ref(r->list.prefix);
    list->list.limit = 1;
    buf_append_u64(out, id);
    buf_append_u32(out, timeout_ms);
    buf_append_byte(out, r->has_since);
    buf_append_u64(out, r->since_version);
    buf_append_u32(out, r->since_n);
    buf_append_byte(out, r->has_token);
    buf_append(out, r->token_hash, DIGEST_BYTES);
    request_encode(list, out);
    request_free(list);
}

enum err watch_take_open(struct slice bytes, struct watch_open *ret_open)
{
    struct request *list;
    if (bytes.len < OPEN_HEAD_BYTES || bytes.data[12] > 1 || bytes.data[25] > 1) {
        return ERR_CORRUPT;
    }
    enum err err = request_decode(slice_skip(bytes, OPEN_HEAD_BYTES), &list);
    if (err != ERR_OK) {
        return err;
    }
    if (list->kind != REQUEST_KV_LIST) {
        request_free(list);
        return ERR_CORRUPT;
    }
    struct request *r = request_new(REQUEST_WATCH);
    request_set_address(r, &list->address);
    r->identity = list->identity;
    r->list.prefix = bytes_ref(list->list.prefix);
    request_free(list);
    r->has_since = bytes.data[12] == 1;
    r->since_version = get_be64(bytes.data + 13);
    r->since_n = get_be32(bytes.data + 21);
    r->has_token = bytes.data[25] == 1;
    memcpy(r->token_hash, bytes.data + 26, DIGEST_BYTES);
    *ret_open = (struct watch_open){
        .id = get_be64(bytes.data), .timeout_ms = get_be32(bytes.data + ID_BYTES), .request = r};
    return ERR_OK;
}

enum err watch_take_id(struct slice bytes, uint64_t *ret_id, struct slice *ret_rest)
{
    if (bytes.len < ID_BYTES) {
        return ERR_CORRUPT;
    }
    *ret_id = get_be64(bytes.data);
    *ret_rest = slice_skip(bytes, ID_BYTES);
    return ERR_OK;
}

/* Positions */

void watch_put_hello(uint64_t version, struct buf *out)
{
    buf_printf(out, ": at %" PRIu64 "\n\n", version);
}

/* The line that begins at `at`. */
static struct slice line_at(struct slice text, size_t at)
{
    const uint8_t *end = memchr(text.data + at, '\n', text.len - at);
    return slice_of(text.data + at, end != NULL ? (size_t)(end - (text.data + at)) : text.len - at);
}

static bool parse_id(struct slice line, uint64_t *ret_version, uint32_t *ret_n)
{
    struct slice id = slice_skip(line, 4);
    const uint8_t *dot = memchr(id.data, '.', id.len);
    uint64_t n;
    if (dot == NULL) {
        return false;
    }
    size_t len = (size_t)(dot - id.data);
    if (!parse_uint(slice_of(id.data, len), ret_version) ||
        !parse_uint(slice_skip(id, len + 1), &n) || n > UINT32_MAX) {
        return false;
    }
    *ret_n = (uint32_t)n;
    return true;
}

/* No line but that of an id begins so: a value's text stands behind "data:", and has no line's end. */
static bool take_line(struct slice line, uint64_t *ret_version, uint32_t *ret_n)
{
    if (slice_has_prefix(line, SLICE("id: "))) {
        return parse_id(line, ret_version, ret_n);
    }
    if (slice_has_prefix(line, SLICE(": at ")) && parse_uint(slice_skip(line, 5), ret_version)) {
        *ret_n = UINT32_MAX;
        return true;
    }
    return false;
}

bool watch_text_position(struct slice text, uint64_t *ret_version, uint32_t *ret_n)
{
    for (size_t at = text.len; at > 0; at--) {
        bool begins_line = at == 1 || text.data[at - 2] == '\n';
        if (begins_line && take_line(line_at(text, at - 1), ret_version, ret_n)) {
            return true;
        }
    }
    return false;
}
