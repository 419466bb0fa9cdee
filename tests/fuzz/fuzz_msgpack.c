/* msgpack from a client: what passes the check can be walked, compared and shown, and what it shows
 * reads back to the same. */
#include <math.h>
#include <string.h>

#include "base/buf.h"
#include "rpc/json.h"
#include "rpc/json_ref.h"
#include "rpc/value.h"
#include "tests/fuzz/fuzz.h"

/* What the JSON view cannot tell from something else. */
struct seen {
    bool has_nan; /* equals nothing */
    bool has_infinity;
    bool has_lookalike; /* a plain map that shows as a `$` form */
    bool has_js;
};

static void walk(struct slice doc, struct seen *s);

static void walk_float(struct slice doc, struct seen *s)
{
    double v = 0;
    HOLDS(value_get_double(doc, &v));
    s->has_nan = s->has_nan || isnan(v);
    s->has_infinity = s->has_infinity || isinf(v);
}

static void walk_array(struct slice doc, struct seen *s)
{
    uint32_t count = 0;
    struct value_iter it = value_items(doc);
    for (struct slice item; value_next(&it, &item); count++) {
        walk(item, s);
    }
    HOLDS(count == value_count(doc) && it.rest.len == 0);
}

static bool is_form(struct slice key)
{
    static const char *const forms[] = {"$bytes",  "$date",      "$map",   "$set",
                                        "$bigint", "$undefined", "$error", "$js"};
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (slice_equal_str(key, forms[i])) {
            return true;
        }
    }
    return false;
}

static void walk_map(struct slice doc, struct seen *s)
{
    uint32_t count = 0;
    struct value_iter it = value_entries(doc);
    struct slice key = {0};
    for (struct slice value; value_next_entry(&it, &key, &value); count++) {
        walk(value, s);
    }
    HOLDS(count == value_count(doc) && it.rest.len == 0);
    if (count == 1 && is_form(key)) {
        s->has_lookalike = true;
    }
}

static void walk_date(struct slice doc)
{
    int64_t ms;
    if (!value_get_date_ms(doc, &ms)) {
        return;
    }
    HOLDS(ms >= -VALUE_DATE_MS_MAX && ms <= VALUE_DATE_MS_MAX);
    struct buf again = {0};
    int64_t ms_again;
    value_put_date_ms(&again, ms);
    HOLDS(value_get_date_ms(buf_slice(&again), &ms_again) && ms == ms_again);
    HOLDS(again.len <= 15);
    buf_done(&again);
}

static void walk(struct slice doc, struct seen *s)
{
    struct slice payload;
    switch (value_type(doc)) {
    case VALUE_FLOAT:
        walk_float(doc, s);
        return;
    case VALUE_ARRAY:
        walk_array(doc, s);
        return;
    case VALUE_MAP:
        walk_map(doc, s);
        return;
    case VALUE_DATE:
        walk_date(doc);
        return;
    case VALUE_PAIRS:
    case VALUE_SET:
    case VALUE_BIGINT:
    case VALUE_UNDEFINED:
    case VALUE_ERROR:
    case VALUE_JS:
        s->has_js = s->has_js || value_type(doc) == VALUE_JS;
        HOLDS(value_get_payload(doc, &payload));
        walk(payload, s);
        return;
    case VALUE_STR:
        HOLDS(value_get_str(doc, &payload) && payload.len < doc.len);
        return;
    case VALUE_BIN:
        HOLDS(value_get_bin(doc, &payload) && payload.len < doc.len);
        return;
    case VALUE_NIL:
    case VALUE_BOOL:
    case VALUE_INT:
        return;
    }
    UNREACHABLE();
}

static void expect_view(struct slice doc, const struct seen *s)
{
    struct buf shown = {0};
    struct buf again = {0};
    struct buf shown_again = {0};
    struct json_detail detail;
    value_to_json(doc, &shown);
    if (s->has_js) { /* a reference shows what it refers to: in bounds, and never the same again */
        HOLDS(shown.len <= 8 * (doc.len + JSON_REF_BYTES_MAX) + 24);
        buf_done(&shown);
        return;
    }
    HOLDS(shown.len <= 8 * doc.len + 24);
    enum err err = json_to_value(buf_slice(&shown), VALUE_DEPTH_MAX, &again, &detail);
    HOLDS(err == ERR_OK || s->has_lookalike);
    if (err == ERR_OK) {
        value_to_json(buf_slice(&again), &shown_again);
        /* A lookalike becomes what it looks like, which may show in another way: {"$date":1.0}. */
        HOLDS(s->has_lookalike || slice_equal(buf_slice(&shown), buf_slice(&shown_again)));
    }
    if (!s->has_lookalike && !s->has_nan && !s->has_infinity) {
        HOLDS(value_equal(doc, buf_slice(&again)) && value_equal(buf_slice(&again), doc));
    }
    buf_done(&shown_again);
    buf_done(&again);
    buf_done(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice doc = slice_of(data, len);
    const char *reason = NULL;
    enum err err = value_check(doc, VALUE_DEPTH_MAX, &reason);
    HOLDS(err == (reason == NULL ? ERR_OK : ERR_INVALID_VALUE));
    if (err != ERR_OK) {
        return 0;
    }
    struct seen s = {0};
    walk(doc, &s);
    HOLDS(value_equal(doc, doc) == !s.has_nan);
    expect_view(doc, &s);
    struct buf sum = {0};
    HOLDS(value_add(doc, doc, &sum) == ERR_OK || sum.len == 0);
    buf_done(&sum);
    return 0;
}
