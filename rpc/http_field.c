#include "rpc/http_field.h"

enum {
    NAME_CHAR = 1,      /* tchar of RFC 9110 */
    TARGET_CHAR = 2,    /* visible ASCII but '#' */
    AUTHORITY_CHAR = 4, /* reg-name, port, IP literal */
    VALUE_CHAR = 8,     /* HT, SP, visible ASCII, obs-text */
};

#define ALNUM (NAME_CHAR | TARGET_CHAR | AUTHORITY_CHAR | VALUE_CHAR)
#define OTHER (TARGET_CHAR | VALUE_CHAR) /* visible, of no name and no authority */
#define HOST  (TARGET_CHAR | VALUE_CHAR | AUTHORITY_CHAR)
#define TOKEN (TARGET_CHAR | VALUE_CHAR | NAME_CHAR)

static const uint8_t classes[256] = {
    ['\t'] = VALUE_CHAR,
    [' '] = VALUE_CHAR,
    ['!'] = ALNUM,
    ['"'] = OTHER,
    ['#'] = TOKEN & ~TARGET_CHAR,
    ['$'] = ALNUM,
    ['%'] = ALNUM,
    ['&'] = ALNUM,
    ['\''] = ALNUM,
    ['('] = HOST,
    [')'] = HOST,
    ['*'] = ALNUM,
    ['+'] = ALNUM,
    [','] = OTHER,
    ['-'] = ALNUM,
    ['.'] = ALNUM,
    ['/'] = OTHER,
    ['0' ... '9'] = ALNUM,
    [':'] = HOST,
    [';'] = HOST,
    ['<'] = OTHER,
    ['='] = HOST,
    ['>'] = OTHER,
    ['?'] = OTHER,
    ['@'] = OTHER,
    ['A' ... 'Z'] = ALNUM,
    ['['] = HOST,
    ['\\'] = OTHER,
    [']'] = HOST,
    ['^'] = TOKEN,
    ['_'] = ALNUM,
    ['`'] = TOKEN,
    ['a' ... 'z'] = ALNUM,
    ['{'] = OTHER,
    ['|'] = TOKEN,
    ['}'] = OTHER,
    ['~'] = ALNUM,
    [0x80 ... 0xff] = VALUE_CHAR,
};

static bool all_are(struct slice s, uint8_t class)
{
    uint8_t common = class;
    for (size_t i = 0; i < s.len; i++) {
        common &= classes[s.data[i]];
    }
    return common == class;
}

bool http_name_is_valid(struct slice name)
{
    return name.len > 0 && all_are(name, NAME_CHAR);
}

bool http_value_is_valid(struct slice value)
{
    return all_are(value, VALUE_CHAR);
}

bool http_target_is_valid(struct slice target)
{
    return target.len > 0 && target.data[0] == '/' && all_are(target, TARGET_CHAR);
}

bool http_authority_is_valid(struct slice authority)
{
    return all_are(authority, AUTHORITY_CHAR);
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool http_equal_any_case(struct slice got, const char *want)
{
    if (got.len != strlen(want)) {
        return false;
    }
    for (size_t i = 0; i < got.len; i++) {
        if (lower(got.data[i]) != (uint8_t)want[i]) {
            return false;
        }
    }
    return true;
}

bool http_value_lists(struct slice value, const char *want)
{
    while (value.len > 0) {
        const uint8_t *comma = memchr(value.data, ',', value.len);
        size_t len = comma == NULL ? value.len : (size_t)(comma - value.data);
        if (http_equal_any_case(http_trim(slice_of(value.data, len)), want)) {
            return true;
        }
        value = slice_skip(value, comma == NULL ? len : len + 1);
    }
    return false;
}

bool http_name_is_of_connection(struct slice name)
{
    static const char *const names[] = {"connection", "content-length",   "keep-alive",
                                        "te",         "proxy-connection", "transfer-encoding",
                                        "trailer",    "upgrade"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (http_equal_any_case(name, names[i])) {
            return true;
        }
    }
    return false;
}

void http_name_to_lower(uint8_t *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        name[i] = lower(name[i]);
    }
}

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

struct slice http_trim(struct slice value)
{
    while (value.len > 0 && is_blank(value.data[0])) {
        value = slice_skip(value, 1);
    }
    while (value.len > 0 && is_blank(value.data[value.len - 1])) {
        value.len--;
    }
    return value;
}
