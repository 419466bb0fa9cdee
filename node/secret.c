#include "node/secret.h"

#include <stdio.h>
#include <string.h>

#include "node/record.h"
#include "rpc/value.h"

static const char prefix[] = "secret/";

enum { SEALED_BYTES_MAX = SECRET_VALUE_BYTES_MAX + SEAL_OVERHEAD_BYTES, MEMBERS = 3 };

void secret_done(struct secret *s)
{
    bytes_unref(s->sealed);
    s->sealed = NULL;
}

static bool is_word(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

bool secret_name_is_valid(struct slice name)
{
    bool valid = name.len >= 1 && name.len <= SECRET_NAME_BYTES_MAX;
    for (size_t i = 0; valid && i < name.len; i++) {
        uint8_t c = name.data[i];
        valid = is_word(c) || (i > 0 && (c == '-' || c == '.'));
    }
    return valid;
}

bool secret_value_is_valid(struct slice value)
{
    bool valid = value.len >= 1 && value.len <= SECRET_VALUE_BYTES_MAX && value.data[0] != ' ' &&
                 value.data[value.len - 1] != ' ';
    for (size_t i = 0; valid && i < value.len; i++) {
        valid = value.data[i] >= 0x20 && value.data[i] != 0x7f;
    }
    return valid;
}

void secret_record_name(struct slice ns, struct slice name, char ret_name[SECRET_RECORD_BYTES + 1])
{
    (void)snprintf(ret_name, SECRET_RECORD_BYTES + 1, "%s%.*s/%.*s", prefix, (int)ns.len,
                   (const char *)ns.data, (int)name.len, (const char *)name.data);
}

void secret_key_of(const uint8_t address_key[ADDRESS_KEY_BYTES], uint8_t ret_key[SEAL_KEY_BYTES])
{
    _Static_assert((int)ADDRESS_KEY_BYTES == (int)SEAL_ROOT_BYTES, "one is the root of the other");
    seal_key_derive(address_key, "dormouse/secrets/1", ret_key);
}

void secret_encode(const struct secret *s, struct buf *out)
{
    value_put_map(out, MEMBERS);
    value_put_text(out, "sealed");
    value_put_bin(out, bytes_slice(s->sealed));
    value_put_text(out, "created");
    value_put_uint(out, s->created_ms);
    value_put_text(out, "updated");
    value_put_uint(out, s->updated_ms);
}

static bool split_name(struct slice record, struct secret *s)
{
    struct slice rest = slice_skip(record, sizeof prefix - 1);
    const uint8_t *slash = memchr(rest.data, '/', rest.len);
    size_t ns_len = slash != NULL ? (size_t)(slash - rest.data) : 0;
    struct slice ns = slice_of(rest.data, ns_len);
    struct slice name = slash != NULL ? slice_skip(rest, ns_len + 1) : (struct slice){0};
    if (!address_namespace_is_valid(ns) || !secret_name_is_valid(name)) {
        return false;
    }
    memcpy(s->ns, ns.data, ns.len);
    memcpy(s->name, name.data, name.len);
    return true;
}

enum err secret_decode(struct slice name, struct slice payload, struct secret *ret_secret)
{
    struct secret s = {.sealed = NULL};
    struct slice member;
    struct slice sealed;
    if (!slice_has_prefix(name, SLICE("secret/")) || !split_name(name, &s) ||
        !record_is_map(payload) || !value_member(payload, "sealed", &member) ||
        !value_get_bin(member, &sealed) || sealed.len > SEALED_BYTES_MAX ||
        !record_uint(payload, "created", &s.created_ms) ||
        !record_uint(payload, "updated", &s.updated_ms)) {
        return ERR_CORRUPT;
    }
    s.sealed = bytes_new(sealed);
    *ret_secret = s;
    return ERR_OK;
}

void secret_close(struct secret *s, const uint8_t key[SEAL_KEY_BYTES], struct slice value)
{
    char context[SECRET_RECORD_BYTES + 1];
    struct buf sealed = {0};
    secret_record_name(slice_of_str(s->ns), slice_of_str(s->name), context);
    seal_close(key, slice_of_str(context), value, &sealed);
    bytes_unref(s->sealed);
    s->sealed = bytes_new(buf_slice(&sealed));
    buf_done(&sealed);
}

enum err secret_open(const struct secret *s, const uint8_t key[SEAL_KEY_BYTES], struct buf *out)
{
    char context[SECRET_RECORD_BYTES + 1];
    secret_record_name(slice_of_str(s->ns), slice_of_str(s->name), context);
    return seal_open(key, slice_of_str(context), bytes_slice(s->sealed), out);
}
