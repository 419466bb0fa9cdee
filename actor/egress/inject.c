#include "actor/egress/inject.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "actor/egress_rules.h"
#include "rpc/value.h"

static void wipe(struct buf *b)
{
    if (b->data != NULL) {
        explicit_bzero(b->data, b->cap);
    }
    buf_done(b);
}

void injection_done(struct injection *i)
{
    wipe(&i->lines);
    buf_done(&i->secrets);
    i->line_count = 0;
    i->secret_count = 0;
}

const char *injection_next(const struct injection *i, const char *at)
{
    const char *begin = (const char *)i->lines.data;
    const char *next = at == NULL ? begin : at + strlen(at) + 1;
    return i->lines.len == 0 || next >= begin + i->lines.len ? NULL : next;
}

bool injection_has(const struct injection *i, struct slice name)
{
    for (const char *at = NULL; (at = injection_next(i, at)) != NULL;) {
        if (strlen(at) > name.len && at[name.len] == ':' &&
            strncasecmp(at, (const char *)name.data, name.len) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_known(const struct injection *i, struct slice name)
{
    struct slice rest = buf_slice(&i->secrets);
    struct slice found;
    struct value_iter it = {.rest = rest, .left = i->secret_count};
    struct slice item;
    while (value_next(&it, &item)) {
        if (value_get_str(item, &found) && slice_equal(found, name)) {
            return true;
        }
    }
    return false;
}

static bool find_secret(struct slice secrets, struct slice name, struct slice *ret)
{
    struct slice key;
    struct slice value;
    if (secrets.len == 0) {
        return false;
    }
    for (struct value_iter it = value_entries(secrets); value_next_entry(&it, &key, &value);) {
        if (slice_equal(key, name)) {
            return value_get_bin(value, ret);
        }
    }
    return false;
}

/* Room first: what is left behind by a buffer that grows would not be wiped. */
static enum err fill(struct injection *i, struct slice rest, struct slice secrets,
                     char detail[INJECT_DETAIL_BYTES])
{
    struct slice text;
    struct slice name;
    struct slice value;
    while (egress_template_next(&rest, &text, &name)) {
        buf_append_slice(&i->lines, text);
        if (name.len == 0) {
            continue;
        }
        if (!find_secret(secrets, name, &value)) {
            (void)snprintf(detail, INJECT_DETAIL_BYTES, "The secret %.*s is not set.",
                           (int)name.len, (const char *)name.data);
            return ERR_UNAVAILABLE;
        }
        buf_append_slice(&i->lines, value);
        if (!is_known(i, name)) {
            value_put_str(&i->secrets, name);
            i->secret_count++;
        }
    }
    buf_append_byte(&i->lines, '\0');
    i->line_count++;
    return ERR_OK;
}

static enum err add_fields(struct injection *i, struct slice fields, struct slice secrets,
                           char detail[INJECT_DETAIL_BYTES])
{
    struct slice name;
    struct slice value;
    struct slice text;
    enum err err = ERR_OK;
    for (struct value_iter it = value_entries(fields);
         err == ERR_OK && value_next_entry(&it, &name, &value);) {
        if (injection_has(i, name) || !value_get_str(value, &text)) {
            continue; /* of several hosts that match, the first one's */
        }
        buf_append_slice(&i->lines, name);
        buf_append_str(&i->lines, ": ");
        err = fill(i, text, secrets, detail);
    }
    return err;
}

enum err injection_make(struct slice inject, struct slice secrets, struct slice host, uint16_t port,
                        struct injection *ret, char ret_detail[INJECT_DETAIL_BYTES])
{
    struct slice pattern;
    struct slice fields;
    enum { LINES_BYTES = 16 * 1024 };
    *ret = (struct injection){.line_count = 0};
    if (inject.len == 0) {
        return ERR_OK;
    }
    enum err err = ERR_OK;
    for (struct value_iter it = value_entries(inject);
         err == ERR_OK && value_next_entry(&it, &pattern, &fields);) {
        if (egress_inject_matches(pattern, host, port)) {
            buf_reserve(&ret->lines, LINES_BYTES + secrets.len);
            err = add_fields(ret, fields, secrets, ret_detail);
        }
    }
    if (err != ERR_OK) {
        injection_done(ret);
    }
    return err;
}

void injection_put_names(const struct injection *i, struct buf *out)
{
    if (i->secret_count > 0) {
        value_put_array(out, i->secret_count);
        value_put_raw(out, buf_slice(&i->secrets));
    }
}
