#include "actor/reply.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"

enum {
    DETAIL_BYTES_MAX = 512,
    STORED_FORMAT = 1,
    STORED_HEAD_BYTES = 1 + 2 + 2 + 8 + 1 + 8 + 4, /* up to the detail, then the body */
};

/* Errors are stored by their place here, not by our enum's order: on-disk format. */
static const enum err kept_errors[] = {ERR_OK, ERR_CONFLICT, ERR_LEASE_LOST, ERR_VERSION_MISMATCH};
enum { KEPT_ERRORS = sizeof kept_errors / sizeof kept_errors[0] };

void reply_init(struct reply *r)
{
    *r = (struct reply){.err = ERR_OK, .status = 200, .failed = -1};
}

void reply_clear(struct reply *r)
{
    bytes_unref(r->body);
    mem_free(r->detail);
    reply_init(r);
}

enum err reply_fail(struct reply *r, enum err err, const char *format, ...)
{
    PRE(err != ERR_OK);

    reply_clear(r);
    r->err = err;
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        r->detail = mem_alloc(DETAIL_BYTES_MAX);
        (void)vsnprintf(r->detail, DETAIL_BYTES_MAX, format, args);
        va_end(args);
    }
    return err;
}

enum err reply_limited(struct reply *r, enum err err, const char *name, uint64_t value)
{
    (void)reply_fail(r, err, "%s The limit %s is %llu.", err_info(err)->text, name,
                     (unsigned long long)value);
    r->limit_name = name;
    r->limit_value = value;
    return err;
}

enum err reply_too_large(struct reply *r, const char *limit_name, uint64_t limit_value)
{
    return reply_limited(r, ERR_TOO_LARGE, limit_name, limit_value);
}

void reply_body(struct reply *r, int status, struct buf *document)
{
    r->status = status;
    bytes_unref(r->body);
    r->body = bytes_new(buf_slice(document));
    buf_done(document);
}

bool reply_is_definite(const struct reply *r)
{
    for (int i = 0; i < KEPT_ERRORS; i++) {
        if (r->err == kept_errors[i]) {
            return true;
        }
    }
    return false;
}

static uint8_t stored_error(enum err err)
{
    uint8_t at = 0;
    while (kept_errors[at] != err) {
        at++;
        INVARIANT(at < KEPT_ERRORS);
    }
    return at;
}

void reply_encode(const struct reply *r, struct buf *out)
{
    PRE(reply_is_definite(r));

    size_t detail_len = r->detail != NULL ? strlen(r->detail) : 0;
    buf_append_byte(out, STORED_FORMAT);
    buf_append_byte(out, stored_error(r->err));
    buf_append_byte(out, r->is_value ? 1 : 0);
    buf_append_u16(out, (uint16_t)r->status);
    buf_append_u64(out, r->etag);
    buf_append_byte(out, (uint8_t)r->existed);
    buf_append_u64(out, (uint64_t)r->failed);
    buf_append_u32(out, (uint32_t)detail_len);
    buf_append(out, r->detail, detail_len);
    buf_append_slice(out, bytes_slice(r->body));
}

enum err reply_decode(struct slice stored, struct reply *ret_reply)
{
    const uint8_t *at = stored.data;
    if (stored.len < STORED_HEAD_BYTES || at[0] != STORED_FORMAT || at[1] >= KEPT_ERRORS ||
        at[13] > EXISTED_YES) {
        return ERR_CORRUPT;
    }
    uint32_t detail_len = get_be32(at + 22);
    uint16_t status = get_be16(at + 3);
    int64_t failed = (int64_t)get_be64(at + 14);
    if (detail_len > stored.len - STORED_HEAD_BYTES || detail_len >= DETAIL_BYTES_MAX ||
        at[2] > 1 || status < 200 || status > 599 || failed < -1) {
        return ERR_CORRUPT;
    }
    struct slice rest = slice_skip(stored, STORED_HEAD_BYTES);
    reply_init(ret_reply);
    ret_reply->err = kept_errors[at[1]];
    ret_reply->is_value = at[2] != 0;
    ret_reply->status = status;
    ret_reply->etag = get_be64(at + 5);
    ret_reply->existed = (enum reply_existed)at[13];
    ret_reply->failed = failed;
    if (detail_len > 0) {
        ret_reply->detail = mem_strndup((const char *)rest.data, detail_len);
    }
    if (rest.len > detail_len) {
        ret_reply->body = bytes_new(slice_skip(rest, detail_len));
    }
    return ERR_OK;
}
