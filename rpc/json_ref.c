#include "rpc/json_ref.h"

#include "base/invariant.h"
#include "rpc/value.h"
#include "rpc/value_head.h"

struct object {
    uint32_t at;
    uint32_t nesting; /* levels of JSON that its view has without references */
};

static unsigned index_one(struct json_refs *refs, struct slice *rest);

void json_refs_init(struct json_refs *refs, struct slice doc)
{
    *refs = (struct json_refs){.doc = doc, .bytes_left = JSON_REF_BYTES_MAX};
}

void json_refs_done(struct json_refs *refs)
{
    buf_done(&refs->objects);
}

static void begin(struct json_refs *refs, struct slice at)
{
    struct object o = {.at = (uint32_t)(at.data - refs->doc.data)};
    buf_append(&refs->objects, &o, sizeof o);
}

static unsigned index_items(struct json_refs *refs, struct slice *rest, uint32_t count)
{
    unsigned deepest = 0;
    for (uint32_t i = 0; i < count; i++) {
        unsigned nesting = index_one(refs, rest);
        deepest = nesting > deepest ? nesting : deepest;
    }
    return deepest;
}

/* What holds others inside of an ext: its own head, and those of pairs, begin nothing. */
static unsigned index_payload(struct json_refs *refs, const struct value_head *h,
                              struct slice payload)
{
    struct value_head inner;
    bool is_checked = value_head_read(payload, &inner);
    PRE(is_checked);
    uint32_t count = inner.type == VALUE_MAP ? 2 * inner.count : inner.count;
    payload = slice_skip(payload, inner.head_bytes);
    if (h->type != VALUE_PAIRS) {
        return 2 + index_items(refs, &payload, count);
    }
    unsigned deepest = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct value_head pair;
        is_checked = value_head_read(payload, &pair);
        PRE(is_checked);
        payload = slice_skip(payload, pair.head_bytes);
        unsigned nesting = index_items(refs, &payload, 2);
        deepest = nesting > deepest ? nesting : deepest;
    }
    return 3 + deepest;
}

/* References, holes and strings are no objects; a view that brings its buffer is two. */
static unsigned index_js(struct json_refs *refs, struct slice doc, struct slice payload)
{
    struct slice part = {0};
    struct slice kind;
    struct value_iter it = value_items(payload);
    bool is_checked = value_next(&it, &part) && value_get_str(part, &kind);
    PRE(is_checked);
    bool is_view = slice_equal_str(kind, "view");
    bool is_object = is_view || slice_equal_str(kind, "buffer") ||
                     slice_equal_str(kind, "regexp") || slice_equal_str(kind, "box");
    if (is_object) {
        begin(refs, doc);
    }
    while (value_next(&it, &part)) {
        if (is_view && value_type(part) == VALUE_BIN) {
            begin(refs, part);
        }
    }
    return 3;
}

static unsigned index_object(struct json_refs *refs, const struct value_head *h, struct slice doc,
                             struct slice *rest)
{
    size_t number = refs->objects.len;
    unsigned nesting = 1;
    begin(refs, doc);
    if (h->type == VALUE_ARRAY) {
        nesting += index_items(refs, rest, h->count);
    } else if (h->type == VALUE_MAP) {
        nesting += index_items(refs, rest, 2 * h->count);
    } else if (h->type != VALUE_BIN && h->type != VALUE_DATE) {
        nesting = index_payload(refs, h, value_head_payload(doc, h));
    }
    struct object o;
    memcpy(&o, refs->objects.data + number, sizeof o);
    o.nesting = nesting;
    memcpy(refs->objects.data + number, &o, sizeof o);
    return nesting;
}

/* The document at the start of `rest`, which moves behind it: how many levels of JSON it has. */
static unsigned index_one(struct json_refs *refs, struct slice *rest)
{
    struct value_head h;
    bool is_checked = value_head_read(*rest, &h);
    PRE(is_checked);
    struct slice doc = *rest;
    *rest = slice_skip(*rest, (size_t)h.head_bytes + h.payload_bytes);
    switch (h.type) {
    case VALUE_NIL:
    case VALUE_BOOL:
    case VALUE_INT:
    case VALUE_FLOAT:
    case VALUE_STR:
        return 0;
    case VALUE_BIGINT:
    case VALUE_UNDEFINED:
        return 1;
    case VALUE_JS:
        return index_js(refs, doc, value_head_payload(doc, &h));
    case VALUE_BIN:
    case VALUE_DATE:
    case VALUE_ARRAY:
    case VALUE_MAP:
    case VALUE_PAIRS:
    case VALUE_SET:
    case VALUE_ERROR:
        return index_object(refs, &h, doc, rest);
    }
    UNREACHABLE();
}

static struct object object_at(const struct json_refs *refs, size_t number)
{
    struct object o;
    memcpy(&o, refs->objects.data + number * sizeof o, sizeof o);
    return o;
}

/* How many objects are begun before the place. */
static size_t count_before(const struct json_refs *refs, size_t at)
{
    size_t low = 0;
    size_t high = refs->objects.len / sizeof(struct object);
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (object_at(refs, middle).at < at) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

static bool read_reference(struct slice js, uint64_t *ret_ago)
{
    struct slice payload;
    struct slice part;
    struct slice kind;
    if (!value_get_payload(js, &payload)) {
        return false;
    }
    struct value_iter it = value_items(payload);
    return value_next(&it, &part) && value_get_str(part, &kind) && slice_equal_str(kind, "ref") &&
           value_next(&it, &part) && value_get_uint(part, ret_ago);
}

bool json_refs_find(struct json_refs *refs, struct slice js, unsigned nesting,
                    struct slice *ret_object)
{
    uint64_t ago;
    if (!read_reference(js, &ago)) {
        return false;
    }
    if (refs->objects.len == 0) {
        struct slice rest = refs->doc;
        (void)index_one(refs, &rest);
    }
    size_t at = (size_t)(js.data - refs->doc.data);
    size_t before = count_before(refs, at);
    if (ago == 0 || ago > before) {
        return false;
    }
    struct object o = object_at(refs, before - (size_t)ago);
    struct slice object = slice_skip(refs->doc, o.at);
    size_t bytes = value_span(object);
    if (o.at + bytes > at || bytes > refs->bytes_left ||
        nesting + o.nesting > JSON_REF_NESTING_MAX) {
        return false;
    }
    refs->bytes_left -= bytes;
    *ret_object = object;
    return true;
}
