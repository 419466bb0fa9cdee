#include "node/record.h"

#include <string.h>

#include "rpc/value.h"

bool record_is_map(struct slice payload)
{
    const char *reason;
    return value_check(payload, VALUE_DEPTH_MAX, &reason) == ERR_OK &&
           value_type(payload) == VALUE_MAP;
}

/* `ret_text` holds bytes_max bytes and a NUL. */
bool record_text(struct slice map, const char *name, char *ret_text, size_t bytes_max)
{
    struct slice member;
    struct slice text;
    if (!value_member(map, name, &member) || !value_get_str(member, &text) ||
        text.len > bytes_max || memchr(text.data, 0, text.len) != NULL) {
        return false;
    }
    memcpy(ret_text, text.data, text.len);
    ret_text[text.len] = '\0';
    return true;
}

bool record_uint(struct slice map, const char *name, uint64_t *ret)
{
    struct slice member;
    return value_member(map, name, &member) && value_get_uint(member, ret);
}
