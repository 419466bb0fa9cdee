#include "rpc/value_head.h"

#include "base/endian.h"
#include "base/invariant.h"

static uint64_t read_be(const uint8_t *at, size_t width)
{
    uint64_t v = 0;
    for (size_t i = 0; i < width; i++) {
        v = v << 8 | at[i];
    }
    return v;
}

static bool ext_type(int8_t ext, enum value_type *ret)
{
    switch (ext) {
    case VALUE_EXT_TIMESTAMP:
    case VALUE_EXT_NO_TIME:
        *ret = VALUE_DATE;
        return true;
    case VALUE_EXT_PAIRS:
        *ret = VALUE_PAIRS;
        return true;
    case VALUE_EXT_SET:
        *ret = VALUE_SET;
        return true;
    case VALUE_EXT_BIGINT:
        *ret = VALUE_BIGINT;
        return true;
    case VALUE_EXT_UNDEFINED:
        *ret = VALUE_UNDEFINED;
        return true;
    case VALUE_EXT_ERROR:
        *ret = VALUE_ERROR;
        return true;
    case VALUE_EXT_JS:
        *ret = VALUE_JS;
        return true;
    default:
        return false;
    }
}

static double real_of(uint64_t bits, size_t width)
{
    if (width == 4) {
        uint32_t half = (uint32_t)bits;
        float f;
        memcpy(&f, &half, sizeof f);
        return (double)f;
    }
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

/* The families of lead bytes whose number follows in `width` bytes. */
enum family {
    FAMILY_BIN,
    FAMILY_EXT,
    FAMILY_FIXEXT,
    FAMILY_FLOAT,
    FAMILY_UINT,
    FAMILY_INT,
    FAMILY_STR,
    FAMILY_ARRAY,
    FAMILY_MAP,
};

struct lead {
    uint8_t family; /* enum family */
    uint8_t width;  /* FAMILY_FIXEXT: of the payload */
};

/* 0xc4 to 0xdf, in the order of the msgpack specification. */
static const struct lead leads[] = {
    {FAMILY_BIN, 1},     {FAMILY_BIN, 2},    {FAMILY_BIN, 4},    {FAMILY_EXT, 1},
    {FAMILY_EXT, 2},     {FAMILY_EXT, 4},    {FAMILY_FLOAT, 4},  {FAMILY_FLOAT, 8},
    {FAMILY_UINT, 1},    {FAMILY_UINT, 2},   {FAMILY_UINT, 4},   {FAMILY_UINT, 8},
    {FAMILY_INT, 1},     {FAMILY_INT, 2},    {FAMILY_INT, 4},    {FAMILY_INT, 8},
    {FAMILY_FIXEXT, 1},  {FAMILY_FIXEXT, 2}, {FAMILY_FIXEXT, 4}, {FAMILY_FIXEXT, 8},
    {FAMILY_FIXEXT, 16}, {FAMILY_STR, 1},    {FAMILY_STR, 2},    {FAMILY_STR, 4},
    {FAMILY_ARRAY, 2},   {FAMILY_ARRAY, 4},  {FAMILY_MAP, 2},    {FAMILY_MAP, 4},
};

static bool read_ext(struct slice s, size_t width, uint32_t payload_bytes, struct value_head *h)
{
    size_t head_bytes = 1 + width + 1;
    if (s.len < head_bytes) {
        return false;
    }
    h->head_bytes = (uint8_t)head_bytes;
    h->payload_bytes = payload_bytes;
    h->ext = (int8_t)s.data[1 + width];
    return ext_type(h->ext, &h->type);
}

static void read_int(uint64_t number, size_t width, struct value_head *h)
{
    unsigned unused_bits = (unsigned)(64 - 8 * width);
    int64_t v = (int64_t)(number << unused_bits) >> unused_bits;
    h->type = VALUE_INT;
    h->number = (uint64_t)v;
    h->is_negative = v < 0;
}

/* Lead bytes 0xc4 to 0xdf. */
static bool read_wide(struct slice s, struct value_head *h)
{
    const struct lead *lead = &leads[s.data[0] - 0xc4];
    size_t width = lead->width;
    if (lead->family == FAMILY_FIXEXT) {
        return read_ext(s, 0, (uint32_t)width, h);
    }
    if (s.len < 1 + width) {
        return false;
    }
    uint64_t number = read_be(s.data + 1, width);
    h->head_bytes = (uint8_t)(1 + width);
    switch ((enum family)lead->family) {
    case FAMILY_EXT:
        return read_ext(s, width, (uint32_t)number, h);
    case FAMILY_FLOAT:
        h->type = VALUE_FLOAT;
        h->real = real_of(number, width);
        return true;
    case FAMILY_UINT:
        h->type = VALUE_INT;
        h->number = number;
        return true;
    case FAMILY_INT:
        read_int(number, width, h);
        return true;
    case FAMILY_BIN:
    case FAMILY_STR:
        h->type = lead->family == FAMILY_BIN ? VALUE_BIN : VALUE_STR;
        h->payload_bytes = (uint32_t)number;
        return true;
    case FAMILY_ARRAY:
    case FAMILY_MAP:
        h->type = lead->family == FAMILY_ARRAY ? VALUE_ARRAY : VALUE_MAP;
        h->count = (uint32_t)number;
        return true;
    case FAMILY_FIXEXT:
        break;
    }
    UNREACHABLE();
}

/* All other lead bytes: the number, length or count is in the byte itself. */
static bool read_narrow(uint8_t lead, struct value_head *h)
{
    h->head_bytes = 1;
    if (lead <= 0x7f) {
        h->type = VALUE_INT;
        h->number = lead;
    } else if (lead <= 0x8f) {
        h->type = VALUE_MAP;
        h->count = lead & 0x0f;
    } else if (lead <= 0x9f) {
        h->type = VALUE_ARRAY;
        h->count = lead & 0x0f;
    } else if (lead <= 0xbf) {
        h->type = VALUE_STR;
        h->payload_bytes = lead & 0x1f;
    } else if (lead >= 0xe0) {
        read_int(lead, 1, h);
    } else if (lead == 0xc0) {
        h->type = VALUE_NIL;
    } else if (lead == 0xc2 || lead == 0xc3) {
        h->type = VALUE_BOOL;
        h->number = lead & 1;
    } else {
        return false; /* 0xc1 is not used */
    }
    return true;
}

bool value_head_read(struct slice s, struct value_head *ret)
{
    struct value_head h = {0};
    if (s.len == 0) {
        return false;
    }
    uint8_t lead = s.data[0];
    bool known = lead >= 0xc4 && lead <= 0xdf ? read_wide(s, &h) : read_narrow(lead, &h);
    if (!known) {
        return false;
    }

    /* Every item takes a byte at least: what cannot fit is refused before anyone counts on it. */
    size_t left = s.len - h.head_bytes;
    size_t items = h.type == VALUE_MAP ? 2 * (size_t)h.count : h.count;
    if (h.payload_bytes > left || items > left) {
        return false;
    }
    *ret = h;
    return true;
}

size_t value_span(struct slice s)
{
    size_t span = 0;
    uint64_t pending = 1;
    while (pending > 0) {
        struct value_head h;
        bool fits = value_head_read(slice_skip(s, span), &h);
        INVARIANT(fits);
        span += (size_t)h.head_bytes + h.payload_bytes;
        pending += h.type == VALUE_MAP ? 2 * (uint64_t)h.count : h.count;
        pending--;
    }
    POST(span > 0 && span <= s.len);
    return span;
}
