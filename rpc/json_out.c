/* value_to_json of rpc/json.h: the document is walked once, yajl writes into the buf. */
#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium/utils.h>
#include <yajl/yajl_gen.h>

#include "base/invariant.h"
#include "rpc/json.h"
#include "rpc/json_ref.h"
#include "rpc/json_yajl.h"
#include "rpc/value.h"
#include "rpc/value_head.h"

struct view {
    yajl_gen yajl;
    struct json_refs refs;
    unsigned nesting; /* maps and arrays that are open */
};

static void show(struct view *v, struct slice *rest);

static void done(yajl_gen_status status)
{
    INVARIANT(status == yajl_gen_status_ok);
}

static void print(void *context, const char *text, size_t len)
{
    buf_append(context, text, len);
}

static void show_text(yajl_gen yajl, struct slice utf8)
{
    done(yajl_gen_string(yajl, utf8.data, utf8.len));
}

static void show_integer(yajl_gen yajl, const struct value_head *h)
{
    char text[32];
    int len = h->is_negative ? snprintf(text, sizeof text, "%lld", (long long)h->number)
                             : snprintf(text, sizeof text, "%llu", (unsigned long long)h->number);
    done(yajl_gen_number(yajl, text, (size_t)len));
}

static void show_float(yajl_gen yajl, double v)
{
    if (!isfinite(v)) {
        done(yajl_gen_null(yajl));
        return;
    }
    /* 15 digits are always kept by a double, fewer by a subnormal one; 17 always suffice to read
     * the same one back. %g drops zeros at the end. */
    char text[40];
    int len = 0;
    for (int digits = fabs(v) < DBL_MIN ? 1 : 15; digits <= 17; digits++) {
        len = snprintf(text, sizeof text - 2, "%.*g", digits, v);
        if (strtod(text, NULL) == v) {
            break;
        }
    }
    if (strpbrk(text, ".e") == NULL) {
        memcpy(text + len, ".0", 2);
        len += 2;
    }
    done(yajl_gen_number(yajl, text, (size_t)len));
}

static void open_map(struct view *v)
{
    done(yajl_gen_map_open(v->yajl));
    v->nesting++;
}

static void close_map(struct view *v)
{
    v->nesting--;
    done(yajl_gen_map_close(v->yajl));
}

/* Opens {"$name": for the value that follows; closed by close_map. */
static void open_form(struct view *v, const char *name)
{
    open_map(v);
    show_text(v->yajl, slice_of_str(name));
}

static void show_bytes(struct view *v, struct slice bytes)
{
    open_form(v, "$bytes");
    struct buf text = {0};
    size_t len = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    char *to = (char *)buf_extend(&text, len);
    (void)sodium_bin2base64(to, len, bytes.data, bytes.len, sodium_base64_VARIANT_ORIGINAL);
    show_text(v->yajl, slice_of(text.data, len - 1)); /* without the NUL */
    buf_done(&text);
    close_map(v);
}

static void show_date(struct view *v, struct slice doc)
{
    open_form(v, "$date");
    int64_t ms;
    if (value_get_date_ms(doc, &ms)) {
        done(yajl_gen_integer(v->yajl, ms));
    } else {
        done(yajl_gen_null(v->yajl));
    }
    close_map(v);
}

static void show_form(struct view *v, const char *name, struct slice payload)
{
    open_form(v, name);
    show(v, &payload);
    close_map(v);
}

static void show_items(struct view *v, struct slice *rest, uint32_t count)
{
    done(yajl_gen_array_open(v->yajl));
    v->nesting++;
    for (uint32_t i = 0; i < count; i++) {
        show(v, rest);
    }
    v->nesting--;
    done(yajl_gen_array_close(v->yajl));
}

static void show_entries(struct view *v, struct slice *rest, uint32_t count)
{
    open_map(v);
    for (uint32_t i = 0; i < 2 * count; i++) { /* keys are strings: yajl checks */
        show(v, rest);
    }
    close_map(v);
}

static void show_js(struct view *v, struct slice doc, struct slice payload)
{
    struct slice object;
    if (json_refs_find(&v->refs, doc, v->nesting, &object)) {
        show(v, &object);
    } else {
        show_form(v, "$js", payload);
    }
}

/* The document at the start of `rest`, which moves behind it. */
static void show(struct view *v, struct slice *rest)
{
    struct value_head h;
    bool is_checked = value_head_read(*rest, &h);
    PRE(is_checked);
    struct slice doc = *rest;
    struct slice payload = value_head_payload(doc, &h);
    *rest = slice_skip(*rest, (size_t)h.head_bytes + h.payload_bytes);
    switch (h.type) {
    case VALUE_NIL:
        done(yajl_gen_null(v->yajl));
        return;
    case VALUE_BOOL:
        done(yajl_gen_bool(v->yajl, h.number != 0));
        return;
    case VALUE_INT:
        show_integer(v->yajl, &h);
        return;
    case VALUE_FLOAT:
        show_float(v->yajl, h.real);
        return;
    case VALUE_STR:
        show_text(v->yajl, payload);
        return;
    case VALUE_BIN:
        show_bytes(v, payload);
        return;
    case VALUE_ARRAY:
        show_items(v, rest, h.count);
        return;
    case VALUE_MAP:
        show_entries(v, rest, h.count);
        return;
    case VALUE_DATE:
        show_date(v, doc);
        return;
    case VALUE_PAIRS:
        show_form(v, "$map", payload);
        return;
    case VALUE_SET:
        show_form(v, "$set", payload);
        return;
    case VALUE_BIGINT:
        show_form(v, "$bigint", payload);
        return;
    case VALUE_UNDEFINED:
        show_form(v, "$undefined", payload);
        return;
    case VALUE_ERROR:
        show_form(v, "$error", payload);
        return;
    case VALUE_JS:
        show_js(v, doc, payload);
        return;
    }
    UNREACHABLE();
}

void value_to_json(struct slice doc, struct buf *out)
{
    struct json_locale locale = json_locale_enter();
    yajl_alloc_funcs memory = json_yajl_memory();
    yajl_gen yajl = yajl_gen_alloc(&memory);
    INVARIANT(yajl != NULL);
    int is_set = yajl_gen_config(yajl, yajl_gen_print_callback, print, out);
    INVARIANT(is_set);
    struct view v = {.yajl = yajl};
    json_refs_init(&v.refs, doc);
    show(&v, &doc);
    POST(doc.len == 0 && v.nesting == 0);
    json_refs_done(&v.refs);
    yajl_gen_free(yajl);
    json_locale_leave(locale);
}
