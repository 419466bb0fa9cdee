/* json_to_value of rpc/json.h. yajl calls back with the parts; they are appended as msgpack at once.
 *
 * msgpack wants the number of items before the items, JSON tells it after. A container is opened
 * with the one byte that heads up to 15 items; with more the items are moved up when it closes (so
 * a byte is moved at most once per level, and the levels are limited). Closing a map with a single
 * `$` key turns it into what it stands for, in place: every such form is shorter as msgpack.
 *
 * Depth and double keys are left to value_check, which sees the strings as they are; here the
 * levels are only bounded. */
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sodium/utils.h>
#include <yajl/yajl_parse.h>

#include "base/address.h"
#include "base/invariant.h"
#include "rpc/json.h"
#include "rpc/json_yajl.h"
#include "rpc/value.h"

/* A level of a value is up to three of JSON ($map), and bytes in the innermost one more. */
enum { LEVELS_MAX = 3 * VALUE_DEPTH_CAP + 1 };

struct level {
    uint32_t at; /* of the container's head in the document */
    uint32_t count;
    bool is_map;
};

struct reader {
    struct buf doc;
    struct buf head; /* scratch */
    unsigned levels_max;
    unsigned level_count;
    struct level levels[LEVELS_MAX];
    const char *reason; /* why a callback said no; static */
};

static int refuse(struct reader *r, const char *reason)
{
    r->reason = reason;
    return 0; /* yajl: stop */
}

/* Every item but a key is counted in its array or map. */
static void count_item(struct reader *r)
{
    if (r->level_count > 0) {
        r->levels[r->level_count - 1].count++;
    }
}

static int on_null(void *context)
{
    struct reader *r = context;
    count_item(r);
    value_put_nil(&r->doc);
    return 1;
}

static int on_boolean(void *context, int v)
{
    struct reader *r = context;
    count_item(r);
    value_put_bool(&r->doc, v != 0);
    return 1;
}

static int put_float(struct reader *r, const char *text, size_t len)
{
    char closed[JSON_NUMBER_BYTES_MAX + 1];
    memcpy(closed, text, len);
    closed[len] = '\0';
    char *end;
    double v = strtod(closed, &end);
    INVARIANT(*end == '\0');
    if (!isfinite(v)) {
        return refuse(r, "a number is out of the range of a float");
    }
    value_put_double(&r->doc, v);
    return 1;
}

static int put_integer(struct reader *r, const char *text, size_t len)
{
    bool is_negative = text[0] == '-';
    uint64_t magnitude = 0;
    for (size_t i = is_negative; i < len; i++) {
        INVARIANT(text[i] >= '0' && text[i] <= '9');
        if (__builtin_mul_overflow(magnitude, 10u, &magnitude) ||
            __builtin_add_overflow(magnitude, (uint64_t)(text[i] - '0'), &magnitude)) {
            return refuse(r, "an integer is out of the range from -2^63 to 2^64-1");
        }
    }
    if (!is_negative) {
        value_put_uint(&r->doc, magnitude);
    } else if (magnitude <= (uint64_t)INT64_MAX + 1) {
        value_put_int(&r->doc, (int64_t)(0 - magnitude));
    } else {
        return refuse(r, "an integer is out of the range from -2^63 to 2^64-1");
    }
    return 1;
}

static int on_number(void *context, const char *text, size_t len)
{
    struct reader *r = context;
    count_item(r);
    if (len > JSON_NUMBER_BYTES_MAX) {
        return refuse(r, "a number has too many digits");
    }
    bool is_float = memchr(text, '.', len) != NULL || memchr(text, 'e', len) != NULL ||
                    memchr(text, 'E', len) != NULL;
    return is_float ? put_float(r, text, len) : put_integer(r, text, len);
}

static int on_key(void *context, const unsigned char *text, size_t len)
{
    struct reader *r = context;
    value_put_str(&r->doc, slice_of(text, len));
    return 1;
}

static int on_string(void *context, const unsigned char *text, size_t len)
{
    count_item(context);
    return on_key(context, text, len);
}

static int open_level(struct reader *r, bool is_map)
{
    count_item(r);
    if (r->level_count == r->levels_max) {
        return refuse(r, "the value is nested too deep");
    }
    r->levels[r->level_count++] = (struct level){.at = (uint32_t)r->doc.len, .is_map = is_map};
    buf_append_byte(&r->doc, 0); /* the head, once the count is known */
    return 1;
}

static int on_start_map(void *context)
{
    return open_level(context, true);
}

static int on_start_array(void *context)
{
    return open_level(context, false);
}

/* Puts `head` in place of the `old_bytes` at `at`. */
static void replace_head(struct buf *doc, size_t at, size_t old_bytes, struct slice head)
{
    size_t body = doc->len - at - old_bytes;
    if (head.len > old_bytes) {
        (void)buf_extend(doc, head.len - old_bytes);
    }
    memmove(doc->data + at + head.len, doc->data + at + old_bytes, body);
    memcpy(doc->data + at, head.data, head.len);
    doc->len = at + head.len + body;
}

/* The `$` forms: `at` is where the map begins, `prefix_bytes` its head and key, `content` the value
 * behind them. The content is a whole document, and nothing in it is half done. */
struct form {
    size_t at;
    size_t prefix_bytes;
    struct slice content;
};

static int form_bytes(struct reader *r, const struct form *f)
{
    struct slice text;
    if (!value_get_str(f->content, &text)) {
        return refuse(r, "$bytes is not a string");
    }
    struct buf bytes = {0};
    size_t len = 0;
    uint8_t *to = buf_extend(&bytes, text.len / 4 * 3 + 3);
    int bad = sodium_base642bin(to, bytes.len, (const char *)text.data, text.len, NULL, &len, NULL,
                                sodium_base64_VARIANT_ORIGINAL);
    if (bad == 0) {
        r->doc.len = f->at;
        value_put_bin(&r->doc, slice_of(to, len));
    }
    buf_done(&bytes);
    return bad == 0 ? 1 : refuse(r, "$bytes is not base64");
}

static bool date_ms(struct slice content, int64_t *ret)
{
    double real;
    if (value_get_double(content, &real)) {
        if (!(fabs(real) <= (double)VALUE_DATE_MS_MAX)) {
            return false;
        }
        *ret = (int64_t)real;
        return (double)*ret == real;
    }
    return value_get_int(content, ret) && *ret >= -VALUE_DATE_MS_MAX && *ret <= VALUE_DATE_MS_MAX;
}

static int form_ext(struct reader *r, const struct form *f, enum value_ext ext)
{
    buf_clear(&r->head);
    value_put_ext_head(&r->head, ext, (uint32_t)f->content.len);
    replace_head(&r->doc, f->at, f->prefix_bytes, buf_slice(&r->head));
    return 1;
}

static int form_date(struct reader *r, const struct form *f)
{
    int64_t ms;
    if (value_type(f->content) == VALUE_NIL) {
        return form_ext(r, f, VALUE_EXT_NO_TIME);
    }
    if (!date_ms(f->content, &ms)) {
        return refuse(r, "$date is not a whole number of milliseconds within 8.64e15 of 1970");
    }
    r->doc.len = f->at;
    value_put_date_ms(&r->doc, ms);
    return 1;
}

/* A map of one entry whose key begins with `$`. What the ext types hold is left to value_check. */
static int close_form(struct reader *r, struct slice key, const struct form *f)
{
    static const struct {
        const char *key;
        enum value_ext ext;
    } forms[] = {
        {"$map", VALUE_EXT_PAIRS},     {"$set", VALUE_EXT_SET},
        {"$bigint", VALUE_EXT_BIGINT}, {"$undefined", VALUE_EXT_UNDEFINED},
        {"$error", VALUE_EXT_ERROR},   {"$js", VALUE_EXT_JS},
    };
    if (slice_equal_str(key, "$bytes")) {
        return form_bytes(r, f);
    }
    if (slice_equal_str(key, "$date")) {
        return form_date(r, f);
    }
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; i++) {
        if (slice_equal_str(key, forms[i].key)) {
            return form_ext(r, f, forms[i].ext);
        }
    }
    return 1; /* an ordinary key */
}

static int close_map(struct reader *r, const struct level *l)
{
    if (l->count != 1) {
        return 1;
    }
    struct slice map = slice_skip(buf_slice(&r->doc), l->at);
    struct slice key;
    bool is_str = value_get_str(slice_skip(map, 1), &key);
    INVARIANT(is_str);
    if (key.len == 0 || key.data[0] != '$') {
        return 1;
    }
    size_t prefix_bytes = (size_t)(key.data - map.data) + key.len;
    struct form f = {
        .at = l->at, .prefix_bytes = prefix_bytes, .content = slice_skip(map, prefix_bytes)};
    return close_form(r, key, &f);
}

static int on_end(void *context)
{
    struct reader *r = context;
    INVARIANT(r->level_count > 0);
    struct level l = r->levels[--r->level_count];
    buf_clear(&r->head);
    if (l.is_map) {
        value_put_map(&r->head, l.count);
    } else {
        value_put_array(&r->head, l.count);
    }
    replace_head(&r->doc, l.at, 1, buf_slice(&r->head));
    return l.is_map ? close_map(r, &l) : 1;
}

static void say(struct json_detail *detail, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct json_detail *detail, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(detail->text, sizeof detail->text, format, args);
    va_end(args);
    detail->text[strcspn(detail->text, "\n")] = '\0'; /* yajl's sentences end in one */
}

/* yajl is lenient in some places that are looked after here, before and behind it: overlong forms
 * and surrogates in UTF-8, a '?' for half an escaped pair, \v and \f taken for space, and a string
 * that is begun behind the end of the document. */
static enum err check_utf8(struct slice json, struct json_detail *detail)
{
    if (slice_is_utf8(json)) {
        return ERR_OK;
    }
    struct slice rest = json;
    for (size_t len = 1; len <= 4 && len <= rest.len; len++) {
        if (slice_is_utf8(slice_of(rest.data, len))) {
            rest = slice_skip(rest, len);
            len = 0;
        }
    }
    say(detail, "The JSON is not UTF-8 at byte %zu.", json.len - rest.len);
    return ERR_BAD_REQUEST;
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static enum err check_controls(struct slice json, struct json_detail *detail)
{
    for (size_t i = 0; i < json.len; i++) {
        if (json.data[i] < ' ' && !is_space(json.data[i])) {
            say(detail, "The JSON is malformed at byte %zu: a control character.", i);
            return ERR_BAD_REQUEST;
        }
    }
    return ERR_OK;
}

static enum err check_end(struct slice json, size_t end, struct json_detail *detail)
{
    while (end < json.len && is_space(json.data[end])) {
        end++;
    }
    if (end < json.len) {
        say(detail, "The JSON is malformed at byte %zu: something follows its end.", end);
        return ERR_BAD_REQUEST;
    }
    return ERR_OK;
}

/* The number of \uXXXX at the start, or -1. */
static int escaped_unit(struct slice text)
{
    if (text.len < 6 || text.data[0] != '\\' || text.data[1] != 'u') {
        return -1;
    }
    int unit = 0;
    for (size_t i = 2; i < 6; i++) {
        uint8_t c = text.data[i];
        uint8_t lower = c | 0x20;
        if (c >= '0' && c <= '9') {
            unit = unit * 16 + (c - '0');
        } else if (lower >= 'a' && lower <= 'f') {
            unit = unit * 16 + (lower - 'a' + 10);
        } else {
            return -1;
        }
    }
    return unit;
}

/* Backslashes stand only in strings; elsewhere yajl refuses them. */
static enum err check_surrogates(struct slice json, struct json_detail *detail)
{
    struct slice rest = json;
    const uint8_t *at;
    while (rest.len > 0 && (at = memchr(rest.data, '\\', rest.len)) != NULL) {
        rest = slice_skip(rest, (size_t)(at - rest.data));
        int unit = escaped_unit(rest);
        if (unit < 0xd800 || unit > 0xdfff) {
            rest = slice_skip(rest, rest.len < 2 ? rest.len : 2);
            continue;
        }
        int second = escaped_unit(slice_skip(rest, 6));
        if (unit > 0xdbff || second < 0xdc00 || second > 0xdfff) {
            say(detail, "A string has half a surrogate pair at byte %zu.", json.len - rest.len);
            return ERR_INVALID_VALUE;
        }
        rest = slice_skip(rest, 12);
    }
    return ERR_OK;
}

static enum err explain(const struct reader *r, yajl_handle yajl, size_t offset,
                        struct json_detail *detail)
{
    if (r->reason != NULL) {
        say(detail, "The JSON holds no value: %s, near byte %zu.", r->reason, offset);
        return ERR_INVALID_VALUE;
    }
    unsigned char *text = yajl_get_error(yajl, 0, NULL, 0);
    say(detail, "The JSON is malformed at byte %zu: %s", offset, (const char *)text);
    yajl_free_error(yajl, text);
    return ERR_BAD_REQUEST;
}

static const yajl_callbacks callbacks = {
    .yajl_null = on_null,
    .yajl_boolean = on_boolean,
    .yajl_number = on_number,
    .yajl_string = on_string,
    .yajl_start_map = on_start_map,
    .yajl_map_key = on_key,
    .yajl_end_map = on_end,
    .yajl_start_array = on_start_array,
    .yajl_end_array = on_end,
};

static enum err parse(struct reader *r, struct slice json, struct json_detail *detail)
{
    yajl_alloc_funcs memory = json_yajl_memory();
    yajl_handle yajl = yajl_alloc(&callbacks, &memory, r);
    (void)yajl_config(yajl, yajl_dont_validate_strings, 1);  /* check_utf8 did, and better */
    (void)yajl_config(yajl, yajl_allow_trailing_garbage, 1); /* check_end does, and better */
    yajl_status status = yajl_parse(yajl, json.data, json.len);
    size_t offset = yajl_get_bytes_consumed(yajl);
    if (status == yajl_status_ok) {
        status = yajl_complete_parse(yajl); /* a number may only be known to end now */
    }
    enum err err = status == yajl_status_ok ? check_end(json, offset, detail)
                                            : explain(r, yajl, offset, detail);
    yajl_free(yajl);
    return err;
}

static enum err read_json(struct reader *r, struct slice json, unsigned depth_max,
                          struct json_detail *detail)
{
    enum err err = check_utf8(json, detail);
    if (err == ERR_OK) {
        err = check_controls(json, detail);
    }
    if (err == ERR_OK) {
        err = check_surrogates(json, detail);
    }
    if (err == ERR_OK) {
        err = parse(r, json, detail);
    }
    if (err != ERR_OK) {
        return err;
    }
    const char *reason;
    err = value_check(buf_slice(&r->doc), depth_max, &reason);
    if (err != ERR_OK) {
        say(detail, "The JSON holds no value: %s.", reason);
    }
    return err;
}

enum err json_to_value(struct slice json, unsigned depth_max, struct buf *ret_doc,
                       struct json_detail *ret_detail)
{
    PRE(depth_max <= VALUE_DEPTH_CAP);

    if (json.len > VALUE_BYTES_CAP / 8) { /* the document may be longer: 1.0 has nine bytes */
        say(ret_detail, "The JSON is too long.");
        return ERR_TOO_LARGE;
    }
    struct json_locale locale = json_locale_enter();
    struct reader r = {.levels_max = 3 * depth_max + 1};
    enum err err = read_json(&r, json, depth_max, ret_detail);
    if (err == ERR_OK) {
        buf_append_slice(ret_doc, buf_slice(&r.doc));
    }
    buf_done(&r.head);
    buf_done(&r.doc);
    json_locale_leave(locale);
    return err;
}
