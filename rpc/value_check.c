/* The bounded pass over a document from outside. It recurses once per level of depth, and the depth
 * is limited before it goes down. */
#include "base/address.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "rpc/key_index.h"
#include "rpc/value.h"
#include "rpc/value_head.h"

enum { FEW_KEYS = 12 }; /* so few are compared each with each */

struct check {
    const uint8_t *doc;
    unsigned depth_max;
    struct buf keys;    /* struct key_place of the maps that are open, the innermost last */
    const char *reason; /* static */
};

static bool refuse(struct check *c, const char *reason)
{
    c->reason = reason;
    return false;
}

static bool check_one(struct check *c, struct slice *rest, unsigned depth);

static bool has_twin(const struct check *c, const struct key_place *keys, size_t count)
{
    if (count > FEW_KEYS) {
        struct key_index ix;
        bool unique = key_index_init(&ix, c->doc, keys, count);
        key_index_done(&ix);
        return !unique;
    }
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++) {
            if (keys[i].len == keys[j].len &&
                memcmp(c->doc + keys[i].at, c->doc + keys[j].at, keys[i].len) == 0) {
                return true;
            }
        }
    }
    return false;
}

static bool check_key(struct check *c, struct slice *rest)
{
    struct value_head h;
    if (!value_head_read(*rest, &h)) {
        return refuse(c, "the msgpack is malformed or cut short");
    }
    if (h.type != VALUE_STR) {
        return refuse(c, "a map has a key that is not a string");
    }
    struct slice key = value_head_payload(*rest, &h);
    if (!slice_is_utf8(key)) {
        return refuse(c, "a string is not UTF-8");
    }
    struct key_place place = {.at = (uint32_t)(key.data - c->doc), .len = h.payload_bytes};
    buf_append(&c->keys, &place, sizeof place);
    *rest = slice_skip(*rest, h.head_bytes + key.len);
    return true;
}

static bool check_entries(struct check *c, struct slice *rest, uint32_t count, unsigned depth)
{
    size_t keys_before = c->keys.len;
    for (uint32_t i = 0; i < count; i++) {
        if (!check_key(c, rest) || !check_one(c, rest, depth)) {
            return false;
        }
    }
    if (count > 1) {
        const void *own = c->keys.data + keys_before;
        if (has_twin(c, own, count)) {
            return refuse(c, "a map has the same key twice");
        }
    }
    c->keys.len = keys_before;
    return true;
}

static bool check_items(struct check *c, struct slice *rest, uint32_t count, unsigned depth)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!check_one(c, rest, depth)) {
            return false;
        }
    }
    return true;
}

static bool check_timestamp(struct check *c, struct slice payload)
{
    int64_t seconds;
    uint64_t nanoseconds = 0;
    if (payload.len == 4) {
        seconds = get_be32(payload.data);
    } else if (payload.len == 8) {
        uint64_t both = get_be64(payload.data);
        nanoseconds = both >> 34;
        seconds = (int64_t)(both & ((UINT64_C(1) << 34) - 1));
    } else if (payload.len == 12) {
        nanoseconds = get_be32(payload.data);
        seconds = (int64_t)get_be64(payload.data + 4);
    } else {
        return refuse(c, "a timestamp is malformed");
    }

    int64_t seconds_max = VALUE_DATE_MS_MAX / 1000;
    bool is_in_range = seconds >= -seconds_max && seconds <= seconds_max &&
                       nanoseconds < 1000000000 && (seconds < seconds_max || nanoseconds == 0);
    return is_in_range || refuse(c, "a timestamp is out of range");
}

static bool is_decimal(struct slice text)
{
    bool is_negative = text.len > 0 && text.data[0] == '-';
    struct slice digits = slice_skip(text, is_negative);
    if (digits.len == 0 || (digits.data[0] == '0' && text.len > 1)) {
        return false;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9') {
            return false;
        }
    }
    return true;
}

static bool check_bigint(struct check *c, struct slice payload)
{
    struct value_head h;
    bool is_str = value_head_read(payload, &h) && h.type == VALUE_STR &&
                  payload.len == h.head_bytes + (size_t)h.payload_bytes;
    if (!is_str || !is_decimal(value_head_payload(payload, &h))) {
        return refuse(c, "a $bigint is not a decimal number");
    }
    return true;
}

/* [key, value], both any value */
static bool check_pair(struct check *c, struct slice *rest, unsigned depth)
{
    struct value_head h;
    if (!value_head_read(*rest, &h) || h.type != VALUE_ARRAY || h.count != 2) {
        return refuse(c, "a $map is not an array of [key, value]");
    }
    *rest = slice_skip(*rest, h.head_bytes);
    return check_items(c, rest, 2, depth);
}

static bool check_list(struct check *c, struct slice *payload, bool is_pairs, unsigned depth)
{
    struct value_head h;
    if (!value_head_read(*payload, &h) || h.type != VALUE_ARRAY) {
        return refuse(c, is_pairs ? "a $map is not an array of [key, value]"
                                  : "a $set is not an array");
    }
    *payload = slice_skip(*payload, h.head_bytes);
    if (!is_pairs) {
        return check_items(c, payload, h.count, depth);
    }
    for (uint32_t i = 0; i < h.count; i++) {
        if (!check_pair(c, payload, depth)) {
            return false;
        }
    }
    return true;
}

static bool check_error(struct check *c, struct slice *payload, unsigned depth)
{
    struct value_head h;
    if (!value_head_read(*payload, &h) || h.type != VALUE_MAP) {
        return refuse(c, "an $error is not a map");
    }
    struct slice map = *payload;
    *payload = slice_skip(*payload, h.head_bytes);
    if (!check_entries(c, payload, h.count, depth)) {
        return false;
    }

    static const char *const texts[] = {"name", "message", "stack"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct slice member;
        if (value_member(map, texts[i], &member) && value_type(member) != VALUE_STR) {
            return refuse(c, "name, message and stack of an $error are strings");
        }
    }
    return true;
}

static bool is_container(enum value_type type)
{
    return type == VALUE_ARRAY || type == VALUE_MAP || type == VALUE_PAIRS || type == VALUE_SET ||
           type == VALUE_ERROR;
}

/* [kind, ...]: flat, so that it needs no depth. */
static bool check_js(struct check *c, struct slice *payload, unsigned depth)
{
    struct value_head h;
    if (!value_head_read(*payload, &h) || h.type != VALUE_ARRAY || h.count == 0) {
        return refuse(c, "a $js is not an array that begins with its kind");
    }
    *payload = slice_skip(*payload, h.head_bytes);
    for (uint32_t i = 0; i < h.count; i++) {
        struct value_head item;
        bool is_there = value_head_read(*payload, &item);
        if (is_there && (is_container(item.type) || item.type == VALUE_JS)) {
            return refuse(c, "a $js holds what is no scalar");
        }
        if (is_there && i == 0 && item.type != VALUE_STR) {
            return refuse(c, "a $js is not an array that begins with its kind");
        }
        if (!check_one(c, payload, depth)) {
            return false;
        }
    }
    return true;
}

/* All types of ext payloads, one level below which `depth` counts. */
static bool check_payload(struct check *c, const struct value_head *h, struct slice payload,
                          unsigned depth)
{
    bool is_good = true;
    if (h->ext == VALUE_EXT_TIMESTAMP) {
        return check_timestamp(c, payload);
    }
    if (h->ext == VALUE_EXT_NO_TIME || h->ext == VALUE_EXT_UNDEFINED) {
        uint8_t want = h->ext == VALUE_EXT_NO_TIME ? 0xc0 : 0xc3;
        is_good = payload.len == 1 && payload.data[0] == want;
        return is_good || refuse(c, "an ext value is malformed");
    }
    if (h->ext == VALUE_EXT_BIGINT) {
        return check_bigint(c, payload);
    }
    if (h->ext == VALUE_EXT_ERROR) {
        is_good = check_error(c, &payload, depth);
    } else if (h->ext == VALUE_EXT_JS) {
        is_good = check_js(c, &payload, depth);
    } else {
        is_good = check_list(c, &payload, h->ext == VALUE_EXT_PAIRS, depth);
    }
    if (is_good && payload.len > 0) {
        return refuse(c, "an ext value has bytes behind its end");
    }
    return is_good;
}

/* One document at the start of `rest`, which moves behind it. `depth`: of the containers around. */
static bool check_one(struct check *c, struct slice *rest, unsigned depth)
{
    struct value_head h;
    if (!value_head_read(*rest, &h)) {
        return refuse(c, "the msgpack is malformed, cut short or of an unknown type");
    }
    if (is_container(h.type) && depth >= c->depth_max) {
        return refuse(c, "the value is nested too deep");
    }
    struct slice payload = value_head_payload(*rest, &h);
    *rest = slice_skip(*rest, (size_t)h.head_bytes + h.payload_bytes);
    if (h.type == VALUE_ARRAY) {
        return check_items(c, rest, h.count, depth + 1);
    }
    if (h.type == VALUE_MAP) {
        return check_entries(c, rest, h.count, depth + 1);
    }
    if (h.type == VALUE_STR) {
        return slice_is_utf8(payload) || refuse(c, "a string is not UTF-8");
    }
    return h.type < VALUE_DATE || check_payload(c, &h, payload, depth + 1);
}

enum err value_check(struct slice doc, unsigned depth_max, const char **ret_reason)
{
    PRE(depth_max <= VALUE_DEPTH_CAP);

    if (doc.len > VALUE_BYTES_CAP) {
        *ret_reason = "the value is too long";
        return ERR_INVALID_VALUE;
    }
    struct check c = {.doc = doc.data, .depth_max = depth_max};
    struct slice rest = doc;
    bool is_good = check_one(&c, &rest, 0);
    if (is_good && rest.len > 0) {
        is_good = refuse(&c, "there are bytes behind the end of the value");
    }
    buf_done(&c.keys);
    if (!is_good) {
        INVARIANT(c.reason != NULL);
        *ret_reason = c.reason;
        return ERR_INVALID_VALUE;
    }
    return ERR_OK;
}
