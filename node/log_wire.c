#include "node/log_wire.h"

#include <string.h>

#include "rpc/value.h"

enum { DEPTH_MAX = 8, FILTER_ITEMS = 3 };

static void put_filter(struct buf *out, const struct log_filter *f)
{
    value_put_array(out, FILTER_ITEMS);
    value_put_text(out, f->ns);
    if (f->class[0] != '\0') {
        value_put_text(out, f->class);
    } else {
        value_put_nil(out);
    }
    if (f->has_identity) {
        value_put_bin(out, slice_of(f->identity.bytes, sizeof f->identity.bytes));
    } else {
        value_put_nil(out);
    }
}

static bool get_name(struct slice doc, bool (*is_valid)(struct slice name), char *ret_name)
{
    struct slice name;
    if (!value_get_str(doc, &name) || !is_valid(name)) {
        return false;
    }
    memcpy(ret_name, name.data, name.len); /* its validity bounds it */
    ret_name[name.len] = '\0';
    return true;
}

static bool get_filter(struct slice doc, struct log_filter *ret)
{
    struct slice item;
    struct slice identity;
    struct value_iter it = value_items(doc);
    *ret = (struct log_filter){.has_identity = false};
    if (!value_next(&it, &item) || !get_name(item, address_namespace_is_valid, ret->ns) ||
        !value_next(&it, &item) ||
        (value_type(item) != VALUE_NIL && !get_name(item, address_class_is_valid, ret->class)) ||
        !value_next(&it, &item)) {
        return false;
    }
    if (value_type(item) == VALUE_NIL) {
        return true;
    }
    ret->has_identity = value_get_bin(item, &identity) && identity.len == IDENTITY_BYTES;
    if (ret->has_identity) {
        memcpy(ret->identity.bytes, identity.data, IDENTITY_BYTES);
    }
    return ret->has_identity;
}

void log_want_encode(const struct log_filter *filters, size_t count, struct buf *out)
{
    value_put_array(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        put_filter(out, &filters[i]);
    }
}

enum err log_want_decode(struct slice bytes, struct log_filter ret_filters[LOG_STREAMS_MAX],
                         size_t *ret_count)
{
    const char *reason;
    struct slice item;
    size_t count = 0;
    if (value_check(bytes, DEPTH_MAX, &reason) != ERR_OK || value_type(bytes) != VALUE_ARRAY ||
        value_count(bytes) > LOG_STREAMS_MAX) {
        return ERR_CORRUPT;
    }
    for (struct value_iter it = value_items(bytes); value_next(&it, &item);) {
        if (!get_filter(item, &ret_filters[count++])) {
            return ERR_CORRUPT;
        }
    }
    *ret_count = count;
    return ERR_OK;
}

void log_lines_encode(const struct log_lines *l, struct buf *out)
{
    value_put_array(out, 3);
    put_filter(out, &l->filter);
    value_put_uint(out, l->lines);
    value_put_bin(out, l->text);
}

enum err log_lines_decode(struct slice bytes, struct log_lines *ret_lines)
{
    const char *reason;
    struct slice item;
    if (value_check(bytes, DEPTH_MAX, &reason) != ERR_OK || value_type(bytes) != VALUE_ARRAY) {
        return ERR_CORRUPT;
    }
    struct value_iter it = value_items(bytes);
    bool is_whole = value_next(&it, &item) && get_filter(item, &ret_lines->filter) &&
                    value_next(&it, &item) && value_get_uint(item, &ret_lines->lines) &&
                    value_next(&it, &item) && value_get_bin(item, &ret_lines->text);
    return is_whole ? ERR_OK : ERR_CORRUPT;
}
