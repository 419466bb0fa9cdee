#include "actor/egress/field.h"

#include <string.h>
#include <strings.h>

#include "rpc/value.h"

bool field_is_token(struct slice text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool is_digit = c >= '0' && c <= '9';
        if (!is_letter && !is_digit && (c == '\0' || strchr(others, c) == NULL)) {
            return false;
        }
    }
    return text.len > 0;
}

bool field_is_named(struct slice name, const char *lower_case)
{
    return name.len == strlen(lower_case) &&
           strncasecmp((const char *)name.data, lower_case, name.len) == 0;
}

static bool is_one_of(struct slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (field_is_named(name, names[i])) {
            return true;
        }
    }
    return false;
}

bool field_is_ours(struct slice name)
{
    static const char *const names[] = {"connection",     "content-length",   "expect", "host",
                                        "http2-settings", "keep-alive",       "te",     "trailer",
                                        "upgrade",        "transfer-encoding"};
    static const char proxy[] = "proxy-";
    return is_one_of(name, names, sizeof names / sizeof names[0]) ||
           (name.len >= sizeof proxy - 1 &&
            strncasecmp((const char *)name.data, proxy, sizeof proxy - 1) == 0);
}

bool field_is_credential(struct slice name)
{
    static const char *const names[] = {"authorization", "cookie", "cookie2"};
    return is_one_of(name, names, sizeof names / sizeof names[0]);
}

bool field_is_of_body(struct slice name)
{
    static const char *const names[] = {"content-encoding", "content-language", "content-location",
                                        "content-type"};
    return is_one_of(name, names, sizeof names / sizeof names[0]);
}

static bool is_space(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct slice trim(struct slice text)
{
    while (text.len > 0 && is_space(text.data[0])) {
        text = slice_skip(text, 1);
    }
    while (text.len > 0 && is_space(text.data[text.len - 1])) {
        text.len--;
    }
    return text;
}

/* Of a UTF-8 text, which value_check has seen: false where it has a character over 255. */
static bool put_bytes(struct buf *out, struct slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c >= 0x80) {
            if (c > 0xc3 || i + 1 == text.len) {
                return false;
            }
            i++;
            c = (uint8_t)(c << 6 | (text.data[i] & 0x3f));
        }
        if ((c < 0x20 && c != '\t') || c == 0x7f) {
            return false;
        }
        buf_append_byte(out, c);
    }
    return true;
}

enum err field_put_line(struct buf *out, struct slice name, struct slice value,
                        const char **ret_detail)
{
    if (!field_is_token(name)) {
        *ret_detail = "The name of a header is malformed.";
        return ERR_BAD_REQUEST;
    }
    value = trim(value);
    buf_append_slice(out, name);
    /* libcurl's form of a field without a value; after a colon it would leave the field out. */
    buf_append_str(out, value.len == 0 ? ";" : ": ");
    if (!put_bytes(out, value)) {
        *ret_detail = "The value of a header is malformed.";
        return ERR_BAD_REQUEST;
    }
    buf_append_byte(out, '\0');
    return ERR_OK;
}

static bool is_value(struct slice value)
{
    for (size_t i = 0; i < value.len; i++) {
        if (value.data[i] == '\0' || value.data[i] == '\r' || value.data[i] == '\n') {
            return false;
        }
    }
    return true;
}

bool field_split(struct slice line, struct slice *ret_name, struct slice *ret_value)
{
    const uint8_t *colon = line.len > 0 ? memchr(line.data, ':', line.len) : NULL;
    if (colon == NULL) {
        return false;
    }
    size_t at = (size_t)(colon - line.data);
    *ret_name = slice_of(line.data, at);
    *ret_value = trim(slice_skip(line, at + 1));
    return field_is_token(*ret_name) && is_value(*ret_value);
}

void field_append_text(struct buf *out, struct slice bytes)
{
    for (size_t i = 0; i < bytes.len; i++) {
        uint8_t c = bytes.data[i];
        if (c >= 0x80) {
            buf_append_byte(out, (uint8_t)(0xc0 | c >> 6));
            c = (uint8_t)(0x80 | (c & 0x3f));
        }
        buf_append_byte(out, c);
    }
}

void field_put_text(struct buf *out, struct slice bytes)
{
    uint32_t len = 0;
    for (size_t i = 0; i < bytes.len; i++) {
        len += bytes.data[i] < 0x80 ? 1 : 2;
    }
    value_put_str_head(out, len);
    field_append_text(out, bytes);
}
