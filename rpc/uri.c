#include "rpc/uri.h"

#include "base/invariant.h"

enum err uri_split(struct slice target, struct slice *ret_path, struct slice *ret_query)
{
    if (target.len == 0 || target.data[0] != '/') {
        return ERR_BAD_REQUEST;
    }
    size_t path_len = target.len;
    for (size_t i = 0; i < target.len; i++) {
        uint8_t c = target.data[i];
        if (c <= ' ' || c == 0x7f || c == '#') {
            return ERR_BAD_REQUEST;
        }
        if (c == '?' && path_len == target.len) {
            path_len = i;
        }
    }
    *ret_path = slice_of(target.data, path_len);
    *ret_query = slice_skip(target, path_len < target.len ? path_len + 1 : path_len);
    return ERR_OK;
}

bool path_next(struct slice *rest, struct slice *ret_segment)
{
    if (rest->len == 0) {
        return false;
    }
    PRE(rest->data[0] == '/');

    struct slice after = slice_skip(*rest, 1);
    const uint8_t *end = after.len == 0 ? NULL : memchr(after.data, '/', after.len);
    size_t len = end == NULL ? after.len : (size_t)(end - after.data);
    *ret_segment = slice_of(after.data, len);
    *rest = slice_skip(after, len);
    return true;
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    uint8_t lower = c | 0x20;
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1;
}

static enum err decode(struct slice text, bool plus_is_space, struct buf *out)
{
    size_t before = out->len;
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c == '+' && plus_is_space) {
            c = ' ';
        } else if (c == '%') {
            int high = i + 2 < text.len ? hex_digit(text.data[i + 1]) : -1;
            int low = i + 2 < text.len ? hex_digit(text.data[i + 2]) : -1;
            if (high < 0 || low < 0) {
                out->len = before;
                return ERR_BAD_REQUEST;
            }
            c = (uint8_t)(high << 4 | low);
            i += 2;
        }
        buf_append_byte(out, c);
    }
    return ERR_OK;
}

enum err percent_decode(struct slice segment, struct buf *out)
{
    return decode(segment, false, out);
}

static bool is_unreserved(uint8_t c)
{
    uint8_t lower = c | 0x20;
    return (lower >= 'a' && lower <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' ||
           c == '_' || c == '~';
}

void percent_encode(struct slice bytes, struct buf *out)
{
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        if (is_unreserved(c)) {
            buf_append_byte(out, c);
        } else {
            buf_append_byte(out, '%');
            buf_append_byte(out, (uint8_t)digits[c >> 4]);
            buf_append_byte(out, (uint8_t)digits[c & 15]);
        }
    }
}

/* The text up to the first `by`, which `rest` moves behind; all of it where there is none. */
static struct slice take_until(struct slice *rest, uint8_t by)
{
    const uint8_t *end = rest->len == 0 ? NULL : memchr(rest->data, by, rest->len);
    struct slice part = slice_of(rest->data, end == NULL ? rest->len : (size_t)(end - rest->data));
    *rest = slice_skip(*rest, end == NULL ? part.len : part.len + 1);
    return part;
}

static enum err decode_part(struct query *q, struct slice part, struct slice *ret)
{
    size_t before = q->bytes.len;
    enum err err = decode(part, true, &q->bytes);
    *ret = slice_skip(buf_slice(&q->bytes), before);
    return err;
}

static enum err add_parameter(struct query *q, struct slice part)
{
    if (q->count == QUERY_PARAMETERS_MAX) {
        return ERR_BAD_REQUEST;
    }
    struct query_parameter *p = &q->parameters[q->count];
    struct slice value = part;
    enum err err = decode_part(q, take_until(&value, '='), &p->name);
    if (err == ERR_OK) {
        err = decode_part(q, value, &p->value);
    }
    for (unsigned i = 0; err == ERR_OK && i < q->count; i++) {
        if (slice_equal(q->parameters[i].name, p->name)) {
            err = ERR_BAD_REQUEST;
        }
    }
    q->count += err == ERR_OK;
    return err;
}

enum err query_init(struct query *q, struct slice query)
{
    *q = (struct query){0};
    if (query.len == 0) {
        return ERR_OK;
    }
    buf_reserve(&q->bytes, query.len); /* decoding never makes longer: the slices stay valid */
    uint8_t *fixed = q->bytes.data;
    while (query.len > 0) {
        struct slice part = take_until(&query, '&');
        enum err err = part.len == 0 ? ERR_OK : add_parameter(q, part);
        if (err != ERR_OK) {
            query_done(q);
            return err;
        }
    }
    POST(q->bytes.data == fixed);
    return ERR_OK;
}

void query_done(struct query *q)
{
    buf_done(&q->bytes);
    q->count = 0;
}

bool query_find(const struct query *q, const char *name, struct slice *ret_value)
{
    for (unsigned i = 0; i < q->count; i++) {
        if (slice_equal_str(q->parameters[i].name, name)) {
            *ret_value = q->parameters[i].value;
            return true;
        }
    }
    return false;
}

bool parse_uint(struct slice text, uint64_t *ret)
{
    uint64_t v = 0;
    if (text.len == 0 || text.len > 20) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < '0' || c > '9' || __builtin_mul_overflow(v, (uint64_t)10, &v) ||
            __builtin_add_overflow(v, (uint64_t)(c - '0'), &v)) {
            return false;
        }
    }
    *ret = v;
    return true;
}

enum err query_uint(const struct query *q, const char *name, uint64_t min, uint64_t max,
                    uint64_t *ret)
{
    PRE(min <= max);

    struct slice text;
    uint64_t v;
    if (!query_find(q, name, &text)) {
        return ERR_OK;
    }
    if (!parse_uint(text, &v) || v < min || v > max) {
        return ERR_BAD_REQUEST;
    }
    *ret = v;
    return ERR_OK;
}

enum err query_bool(const struct query *q, const char *name, bool *ret)
{
    struct slice text;
    if (!query_find(q, name, &text)) {
        return ERR_OK;
    }
    bool is_true = slice_equal_str(text, "true");
    if (!is_true && !slice_equal_str(text, "false")) {
        return ERR_BAD_REQUEST;
    }
    *ret = is_true;
    return ERR_OK;
}
