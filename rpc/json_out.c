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
#include "rpc/json_yajl.h"
#include "rpc/value.h"
#include "rpc/value_head.h"

static void show(yajl_gen yajl, struct slice *rest);

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

/* Opens {"$name": for the value that follows; closed by yajl_gen_map_close. */
static void open_form(yajl_gen yajl, const char *name)
{
    done(yajl_gen_map_open(yajl));
    show_text(yajl, slice_of_str(name));
}

static void show_bytes(yajl_gen yajl, struct slice bytes)
{
    open_form(yajl, "$bytes");
    struct buf text = {0};
    size_t len = sodium_base64_encoded_len(bytes.len, sodium_base64_VARIANT_ORIGINAL);
    char *to = (char *)buf_extend(&text, len);
    (void)sodium_bin2base64(to, len, bytes.data, bytes.len, sodium_base64_VARIANT_ORIGINAL);
    show_text(yajl, slice_of(text.data, len - 1)); /* without the NUL */
    buf_done(&text);
    done(yajl_gen_map_close(yajl));
}

static void show_date(yajl_gen yajl, struct slice doc)
{
    open_form(yajl, "$date");
    int64_t ms;
    if (value_get_date_ms(doc, &ms)) {
        done(yajl_gen_integer(yajl, ms));
    } else {
        done(yajl_gen_null(yajl));
    }
    done(yajl_gen_map_close(yajl));
}

static void show_form(yajl_gen yajl, const char *name, struct slice payload)
{
    open_form(yajl, name);
    show(yajl, &payload);
    done(yajl_gen_map_close(yajl));
}

static void show_items(yajl_gen yajl, struct slice *rest, uint32_t count)
{
    done(yajl_gen_array_open(yajl));
    for (uint32_t i = 0; i < count; i++) {
        show(yajl, rest);
    }
    done(yajl_gen_array_close(yajl));
}

static void show_entries(yajl_gen yajl, struct slice *rest, uint32_t count)
{
    done(yajl_gen_map_open(yajl));
    for (uint32_t i = 0; i < 2 * count; i++) { /* keys are strings: yajl checks */
        show(yajl, rest);
    }
    done(yajl_gen_map_close(yajl));
}

/* The document at the start of `rest`, which moves behind it. */
static void show(yajl_gen yajl, struct slice *rest)
{
    struct value_head h;
    bool is_checked = value_head_read(*rest, &h);
    PRE(is_checked);
    struct slice doc = *rest;
    struct slice payload = value_head_payload(doc, &h);
    *rest = slice_skip(*rest, (size_t)h.head_bytes + h.payload_bytes);
    switch (h.type) {
    case VALUE_NIL:
        done(yajl_gen_null(yajl));
        return;
    case VALUE_BOOL:
        done(yajl_gen_bool(yajl, h.number != 0));
        return;
    case VALUE_INT:
        show_integer(yajl, &h);
        return;
    case VALUE_FLOAT:
        show_float(yajl, h.real);
        return;
    case VALUE_STR:
        show_text(yajl, payload);
        return;
    case VALUE_BIN:
        show_bytes(yajl, payload);
        return;
    case VALUE_ARRAY:
        show_items(yajl, rest, h.count);
        return;
    case VALUE_MAP:
        show_entries(yajl, rest, h.count);
        return;
    case VALUE_DATE:
        show_date(yajl, doc);
        return;
    case VALUE_PAIRS:
        show_form(yajl, "$map", payload);
        return;
    case VALUE_SET:
        show_form(yajl, "$set", payload);
        return;
    case VALUE_BIGINT:
        show_form(yajl, "$bigint", payload);
        return;
    case VALUE_UNDEFINED:
        show_form(yajl, "$undefined", payload);
        return;
    case VALUE_ERROR:
        show_form(yajl, "$error", payload);
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
    show(yajl, &doc);
    POST(doc.len == 0);
    yajl_gen_free(yajl);
    json_locale_leave(locale);
}
