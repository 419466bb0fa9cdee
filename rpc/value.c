#include "rpc/value.h"

#include <math.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "rpc/value_head.h"

static struct value_head head_of(struct slice doc)
{
    struct value_head h;
    bool is_checked = value_head_read(doc, &h);
    PRE(is_checked);
    return h;
}

enum value_type value_type(struct slice doc)
{
    return head_of(doc).type;
}

bool value_get_bool(struct slice doc, bool *ret)
{
    struct value_head h = head_of(doc);
    if (h.type != VALUE_BOOL) {
        return false;
    }
    *ret = h.number != 0;
    return true;
}

bool value_get_int(struct slice doc, int64_t *ret)
{
    struct value_head h = head_of(doc);
    if (h.type != VALUE_INT || (!h.is_negative && h.number > INT64_MAX)) {
        return false;
    }
    *ret = (int64_t)h.number;
    return true;
}

bool value_get_uint(struct slice doc, uint64_t *ret)
{
    struct value_head h = head_of(doc);
    if (h.type != VALUE_INT || h.is_negative) {
        return false;
    }
    *ret = h.number;
    return true;
}

bool value_get_double(struct slice doc, double *ret)
{
    struct value_head h = head_of(doc);
    if (h.type != VALUE_FLOAT) {
        return false;
    }
    *ret = h.real;
    return true;
}

static bool get_payload(struct slice doc, enum value_type from, enum value_type to,
                        struct slice *ret)
{
    struct value_head h = head_of(doc);
    if (h.type < from || h.type > to) {
        return false;
    }
    *ret = value_head_payload(doc, &h);
    return true;
}

bool value_get_str(struct slice doc, struct slice *ret)
{
    return get_payload(doc, VALUE_STR, VALUE_STR, ret);
}

bool value_get_bin(struct slice doc, struct slice *ret)
{
    return get_payload(doc, VALUE_BIN, VALUE_BIN, ret);
}

bool value_get_payload(struct slice doc, struct slice *ret)
{
    return get_payload(doc, VALUE_PAIRS, VALUE_JS, ret);
}

bool value_get_date_ms(struct slice doc, int64_t *ret_ms)
{
    struct value_head h = head_of(doc);
    if (h.ext != VALUE_EXT_TIMESTAMP) {
        return false;
    }
    const uint8_t *at = doc.data + h.head_bytes;
    int64_t seconds;
    uint64_t nanoseconds = 0;
    if (h.payload_bytes == 4) {
        seconds = get_be32(at);
    } else if (h.payload_bytes == 8) {
        nanoseconds = get_be64(at) >> 34;
        seconds = (int64_t)(get_be64(at) & ((UINT64_C(1) << 34) - 1));
    } else {
        PRE(h.payload_bytes == 12);
        nanoseconds = get_be32(at);
        seconds = (int64_t)get_be64(at + 4);
    }
    *ret_ms = seconds * 1000 + (int64_t)(nanoseconds / 1000000);
    return true;
}

static struct value_iter iterate(struct slice doc, enum value_type type)
{
    struct value_head h = head_of(doc);
    if (h.type != type) {
        return (struct value_iter){0};
    }
    return (struct value_iter){.rest = slice_skip(doc, h.head_bytes), .left = h.count};
}

struct value_iter value_items(struct slice doc)
{
    return iterate(doc, VALUE_ARRAY);
}

struct value_iter value_entries(struct slice doc)
{
    return iterate(doc, VALUE_MAP);
}

static struct slice take_item(struct value_iter *it)
{
    size_t span = value_span(it->rest);
    struct slice item = slice_of(it->rest.data, span);
    it->rest = slice_skip(it->rest, span);
    return item;
}

bool value_next(struct value_iter *it, struct slice *ret_item)
{
    if (it->left == 0) {
        return false;
    }
    it->left--;
    *ret_item = take_item(it);
    return true;
}

bool value_next_entry(struct value_iter *it, struct slice *ret_key, struct slice *ret_value)
{
    if (it->left == 0) {
        return false;
    }
    it->left--;
    bool is_str = value_get_str(take_item(it), ret_key);
    PRE(is_str);
    *ret_value = take_item(it);
    return true;
}

uint32_t value_count(struct slice doc)
{
    return head_of(doc).count;
}

bool value_member(struct slice map, const char *name, struct slice *ret)
{
    struct value_iter it = value_entries(map);
    struct slice wanted = slice_of_str(name);
    struct slice key;
    for (struct slice value; value_next_entry(&it, &key, &value);) {
        if (slice_equal(key, wanted)) {
            *ret = value;
            return true;
        }
    }
    return false;
}

static enum err add_real(double a, double b, struct buf *ret_sum)
{
    double sum = a + b;
    if (!isfinite(sum)) {
        return ERR_INVALID_VALUE;
    }
    value_put_double(ret_sum, sum);
    return ERR_OK;
}

/* As a float; false for what `add` does not take. */
static bool operand(struct slice doc, double *ret)
{
    int64_t integer;
    if (value_get_double(doc, ret)) {
        return true;
    }
    if (!value_get_int(doc, &integer)) {
        return false;
    }
    *ret = (double)integer;
    return true;
}

enum err value_add(struct slice a, struct slice b, struct buf *ret_sum)
{
    int64_t left;
    int64_t right;
    int64_t sum;
    if (value_get_int(a, &left) && value_get_int(b, &right)) {
        if (__builtin_add_overflow(left, right, &sum)) {
            return ERR_INVALID_VALUE;
        }
        value_put_int(ret_sum, sum);
        return ERR_OK;
    }
    double left_real;
    double right_real;
    if (!operand(a, &left_real) || !operand(b, &right_real)) {
        return ERR_INVALID_VALUE;
    }
    return add_real(left_real, right_real, ret_sum);
}
