#include "actor/members.h"

#include "rpc/value.h"

enum { SHOWN_NAME_BYTES = 64 };

enum err members_read(struct slice map, struct member *members, size_t count, struct reply *reply)
{
    if (value_type(map) != VALUE_MAP) {
        return reply_fail(reply, ERR_BAD_REQUEST, "The body is not an object.");
    }
    struct value_iter it = value_entries(map);
    struct slice name;
    struct slice doc;
    while (value_next_entry(&it, &name, &doc)) {
        size_t i = 0;
        while (i < count && !slice_equal_str(name, members[i].name)) {
            i++;
        }
        if (i == count) {
            return reply_fail(reply, ERR_BAD_REQUEST, "Unknown member \"%.*s\".",
                              (int)(name.len < SHOWN_NAME_BYTES ? name.len : SHOWN_NAME_BYTES),
                              (const char *)name.data);
        }
        members[i].doc = doc;
    }
    return ERR_OK;
}

enum err member_ms(const struct member *m, uint64_t min, uint64_t max, uint64_t *ret,
                   struct reply *reply)
{
    uint64_t ms;
    if (!member_is_given(m)) {
        return ERR_OK;
    }
    if (!value_get_uint(m->doc, &ms) || ms < min || ms > max) {
        return reply_fail(reply, ERR_BAD_REQUEST,
                          "%s is not a whole number of milliseconds from %llu to %llu.", m->name,
                          (unsigned long long)min, (unsigned long long)max);
    }
    *ret = ms;
    return ERR_OK;
}

enum err member_str(const struct member *m, struct slice *ret, struct reply *reply)
{
    *ret = (struct slice){0};
    if (member_is_given(m) && !value_get_str(m->doc, ret)) {
        return reply_fail(reply, ERR_BAD_REQUEST, "%s is not a string.", m->name);
    }
    return ERR_OK;
}
