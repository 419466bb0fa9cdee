/* JSON from a client: what is read is JSON by the grammar of RFC 8259, and shows as JSON that reads
 * back as the same bytes; what is refused leaves nothing behind but a sentence. */
#include <string.h>

#include "base/address.h"
#include "base/buf.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/fuzz/fuzz.h"

/* The grammar, written down a second time and as plainly as it goes: each function moves `s` behind
 * what it names. */
enum { GRAMMAR_BYTES_MAX = 8192 }; /* it recurses */

static bool skip_value(struct slice *s);

static bool skip_one(struct slice *s, const char *of)
{
    if (s->len == 0 || s->data[0] == '\0' || strchr(of, s->data[0]) == NULL) {
        return false;
    }
    *s = slice_skip(*s, 1);
    return true;
}

static void skip_space(struct slice *s)
{
    while (skip_one(s, " \t\n\r")) {
    }
}

static bool skip_digits(struct slice *s)
{
    bool is_any = false;
    while (skip_one(s, "0123456789")) {
        is_any = true;
    }
    return is_any;
}

static bool skip_number(struct slice *s)
{
    (void)skip_one(s, "-");
    if (!skip_one(s, "0") && !skip_digits(s)) {
        return false;
    }
    if (skip_one(s, ".") && !skip_digits(s)) {
        return false;
    }
    if (!skip_one(s, "eE")) {
        return true;
    }
    (void)skip_one(s, "+-");
    return skip_digits(s);
}

static bool skip_escape(struct slice *s)
{
    static const char hex[] = "0123456789abcdefABCDEF";
    if (skip_one(s, "u")) {
        return skip_one(s, hex) && skip_one(s, hex) && skip_one(s, hex) && skip_one(s, hex);
    }
    return skip_one(s, "\"\\/bfnrt");
}

static bool skip_string(struct slice *s)
{
    bool is_good = skip_one(s, "\"");
    while (is_good && s->len > 0 && s->data[0] != '"') {
        uint8_t c = s->data[0];
        *s = slice_skip(*s, 1);
        is_good = c >= ' ' && (c != '\\' || skip_escape(s));
    }
    return is_good && skip_one(s, "\"");
}

static bool skip_member(struct slice *s)
{
    skip_space(s);
    if (!skip_string(s)) {
        return false;
    }
    skip_space(s);
    return skip_one(s, ":") && skip_value(s);
}

static bool skip_container(struct slice *s, const char *close, bool (*skip_item)(struct slice *))
{
    skip_space(s);
    if (skip_one(s, close)) {
        return true;
    }
    do {
        if (!skip_item(s)) {
            return false;
        }
    } while (skip_one(s, ","));
    return skip_one(s, close);
}

static bool skip_word(struct slice *s, struct slice word)
{
    if (!slice_has_prefix(*s, word)) {
        return false;
    }
    *s = slice_skip(*s, word.len);
    return true;
}

static bool skip_value(struct slice *s)
{
    bool is_good;
    skip_space(s);
    if (s->len > 0 && s->data[0] == '"') {
        is_good = skip_string(s);
    } else if (skip_one(s, "[")) {
        is_good = skip_container(s, "]", skip_value);
    } else if (skip_one(s, "{")) {
        is_good = skip_container(s, "}", skip_member);
    } else {
        is_good = skip_word(s, SLICE("true")) || skip_word(s, SLICE("false")) ||
                  skip_word(s, SLICE("null")) || skip_number(s);
    }
    skip_space(s);
    return is_good;
}

static bool is_json(struct slice text)
{
    return slice_is_utf8(text) && skip_value(&text) && text.len == 0;
}

static void expect_round_trip(struct slice doc, unsigned depth_max)
{
    struct buf shown = {0};
    struct buf again = {0};
    struct json_detail detail;
    const char *reason;
    HOLDS(value_check(doc, depth_max, &reason) == ERR_OK);
    value_to_json(doc, &shown);
    if (memmem(doc.data, doc.len, "\xa3ref", 4) != NULL) {
        buf_done(&shown); /* what may be a reference shows what it refers to */
        return;
    }
    HOLDS(shown.len <= 8 * doc.len + 24);
    HOLDS(json_to_value(buf_slice(&shown), depth_max, &again, &detail) == ERR_OK);
    HOLDS(slice_equal(doc, buf_slice(&again)));
    HOLDS(value_equal(doc, buf_slice(&again)));
    buf_done(&again);
    buf_done(&shown);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf doc = {0};
    struct json_detail detail = {{0}};
    unsigned depth_max = len % 2 == 0 ? VALUE_DEPTH_MAX : 3;
    enum err err = json_to_value(slice_of(data, len), depth_max, &doc, &detail);
    if (len <= GRAMMAR_BYTES_MAX && err != ERR_INVALID_VALUE) {
        HOLDS((err == ERR_OK) == is_json(slice_of(data, len)));
    }
    if (err == ERR_OK) {
        expect_round_trip(buf_slice(&doc), depth_max);
    } else {
        HOLDS(err == ERR_BAD_REQUEST || err == ERR_INVALID_VALUE);
        HOLDS(doc.len == 0);
        HOLDS(detail.text[0] != '\0' && strchr(detail.text, '\n') == NULL);
    }
    buf_done(&doc);
    return 0;
}
