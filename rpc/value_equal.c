/* value_equal of rpc/value.h. Both documents are walked side by side; where the entries of two maps
 * stand in another order the rest of one map is indexed, so the work stays linear per level. */
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/key_index.h"
#include "rpc/value.h"
#include "rpc/value_head.h"

static bool equal_one(struct slice *a, struct slice *b);

static bool equal_int_real(const struct value_head *integer, double real)
{
    /* 2^63 and 2^64 are floats exactly: below them the conversion is defined, and comparing as
     * integers loses no digit. */
    if (integer->is_negative) {
        return real >= -0x1p63 && real < 0 && (double)(int64_t)real == real &&
               (int64_t)real == (int64_t)integer->number;
    }
    return real >= 0 && real < 0x1p64 && (double)(uint64_t)real == real &&
           (uint64_t)real == integer->number;
}

static bool equal_numbers(const struct value_head *a, const struct value_head *b)
{
    if (a->type == VALUE_INT && b->type == VALUE_INT) {
        return a->number == b->number && a->is_negative == b->is_negative;
    }
    if (a->type == VALUE_FLOAT && b->type == VALUE_FLOAT) {
        return a->real == b->real;
    }
    return a->type == VALUE_INT ? equal_int_real(a, b->real) : equal_int_real(b, a->real);
}

static bool equal_items(struct slice *a, struct slice *b, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!equal_one(a, b)) {
            return false;
        }
    }
    return true;
}

static struct slice take_key(struct slice *rest)
{
    struct value_head h;
    bool is_str = value_head_read(*rest, &h) && h.type == VALUE_STR;
    PRE(is_str);
    struct slice key = value_head_payload(*rest, &h);
    *rest = slice_skip(*rest, h.head_bytes + key.len);
    return key;
}

/* Entries of `b` by key. */
struct entries {
    const uint8_t *base;
    struct key_place *keys;
    uint32_t *values; /* where each begins */
    struct key_index index;
};

static void entries_init(struct entries *e, struct slice *b, uint32_t count)
{
    e->base = b->data;
    e->keys = mem_alloc(count * sizeof *e->keys);
    e->values = mem_alloc(count * sizeof *e->values);
    for (uint32_t i = 0; i < count; i++) {
        struct slice key = take_key(b);
        e->keys[i] =
            (struct key_place){.at = (uint32_t)(key.data - e->base), .len = (uint32_t)key.len};
        e->values[i] = (uint32_t)(b->data - e->base);
        *b = slice_skip(*b, value_span(*b));
    }
    bool are_unique = key_index_init(&e->index, e->base, e->keys, count);
    PRE(are_unique);
}

static void entries_done(struct entries *e)
{
    key_index_done(&e->index);
    mem_free(e->keys);
    mem_free(e->values);
}

static bool equal_unordered(struct slice *a, struct slice *b, uint32_t count)
{
    struct entries e;
    const uint8_t *end = b->data + b->len;
    entries_init(&e, b, count);
    bool are_equal = true;
    for (uint32_t i = 0; i < count && are_equal; i++) {
        int64_t at = key_index_find(&e.index, take_key(a));
        if (at < 0) {
            are_equal = false;
            break;
        }
        const uint8_t *value = e.base + e.values[at];
        struct slice other = slice_of(value, (size_t)(end - value));
        are_equal = equal_one(a, &other);
    }
    entries_done(&e);
    return are_equal;
}

static bool equal_entries(struct slice *a, struct slice *b, uint32_t count)
{
    for (uint32_t left = count; left > 0; left--) {
        struct slice a_before = *a;
        struct slice b_before = *b;
        if (!slice_equal(take_key(a), take_key(b))) {
            *a = a_before;
            *b = b_before;
            return equal_unordered(a, b, left);
        }
        if (!equal_one(a, b)) {
            return false;
        }
    }
    return true;
}

static bool equal_dates(struct slice a, struct slice b)
{
    /* The encodings of a timestamp differ only in their width: a time has one shortest form, but a
     * client may have sent another. Sub-millisecond parts are kept, and not told apart in JSON. */
    int64_t a_ms;
    int64_t b_ms;
    bool a_is_time = value_get_date_ms(a, &a_ms);
    bool b_is_time = value_get_date_ms(b, &b_ms);
    return a_is_time == b_is_time && (!a_is_time || a_ms == b_ms);
}

static bool equal_payloads(const struct value_head *h, struct slice a, struct slice b)
{
    switch (h->type) {
    case VALUE_STR:
    case VALUE_BIN:
        return slice_equal(a, b);
    case VALUE_PAIRS:
    case VALUE_SET:
    case VALUE_BIGINT:
    case VALUE_ERROR:
    case VALUE_JS:
        return equal_one(&a, &b);
    case VALUE_NIL:
    case VALUE_UNDEFINED:
        return true;
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_ARRAY:
    case VALUE_MAP:
    case VALUE_DATE:
        break;
    }
    UNREACHABLE();
}

static bool is_number(enum value_type type)
{
    return type == VALUE_INT || type == VALUE_FLOAT;
}

/* One document of each; both move behind it where it is equal. */
static bool equal_one(struct slice *a, struct slice *b)
{
    struct value_head ha;
    struct value_head hb;
    bool are_checked = value_head_read(*a, &ha) && value_head_read(*b, &hb);
    PRE(are_checked);
    struct slice a_whole = *a;
    struct slice b_whole = *b;
    *a = slice_skip(*a, (size_t)ha.head_bytes + ha.payload_bytes);
    *b = slice_skip(*b, (size_t)hb.head_bytes + hb.payload_bytes);
    if (is_number(ha.type) && is_number(hb.type)) {
        return equal_numbers(&ha, &hb);
    }
    if (ha.type != hb.type || ha.count != hb.count) {
        return false;
    }
    if (ha.type == VALUE_ARRAY) {
        return equal_items(a, b, ha.count);
    }
    if (ha.type == VALUE_MAP) {
        return equal_entries(a, b, ha.count);
    }
    if (ha.type == VALUE_BOOL) {
        return ha.number == hb.number;
    }
    if (ha.type == VALUE_DATE) {
        return equal_dates(a_whole, b_whole);
    }
    return equal_payloads(&ha, value_head_payload(a_whole, &ha), value_head_payload(b_whole, &hb));
}

bool value_equal(struct slice a, struct slice b)
{
    return equal_one(&a, &b);
}
