#include "node/release.h"

#include <stdio.h>
#include <string.h>

#include "base/endian.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "node/deployment.h"
#include "node/record.h"
#include "rpc/value.h"

static const char name_prefix[] = "deployment/";
static const char piece_prefix[] = "~code/";

enum { MEMBERS = 5, VERSION_BYTES = 8, PIECE_NUMBER_BYTES = 2 };

void release_done(struct release *r)
{
    bytes_unref(r->classes);
    r->classes = NULL;
}

bool release_has_bundle_of(const struct release *r, const struct release *other)
{
    return memcmp(r->hash, other->hash, DIGEST_BYTES) == 0;
}

uint32_t release_piece_count(const struct release *r)
{
    return (r->bytes + PIECE_BYTES - 1) / PIECE_BYTES;
}

void release_record_name(const struct release *r, char ret_name[RELEASE_NAME_BYTES + 1])
{
    (void)snprintf(ret_name, RELEASE_NAME_BYTES + 1, "%s%s/%016llx", name_prefix, r->ns,
                   (unsigned long long)r->version);
}

void release_encode(const struct release *r, struct buf *out)
{
    value_put_map(out, MEMBERS);
    value_put_text(out, "created");
    value_put_uint(out, r->created_ms);
    value_put_text(out, "hash");
    value_put_bin(out, slice_of(r->hash, DIGEST_BYTES));
    value_put_text(out, "bytes");
    value_put_uint(out, r->bytes);
    value_put_text(out, "of");
    value_put_uint(out, r->of);
    value_put_text(out, "classes");
    value_put_raw(out, bytes_slice(r->classes));
}

static bool read_name(struct slice name, struct release *r)
{
    uint8_t version[VERSION_BYTES];
    if (!slice_has_prefix(name, slice_of_str(name_prefix))) {
        return false;
    }
    struct slice rest = slice_skip(name, sizeof name_prefix - 1);
    const uint8_t *slash = memchr(rest.data, '/', rest.len);
    if (slash == NULL) {
        return false;
    }
    struct slice ns = slice_of(rest.data, (size_t)(slash - rest.data));
    if (!address_namespace_is_valid(ns) ||
        !hex_decode(slice_skip(rest, ns.len + 1), version, sizeof version)) {
        return false;
    }
    memcpy(r->ns, ns.data, ns.len);
    r->version = get_be64(version);
    return r->version > 0;
}

static bool read_hash(struct slice map, struct release *r)
{
    struct slice member;
    struct slice hash;
    if (!value_member(map, "hash", &member) || !value_get_bin(member, &hash) ||
        hash.len != DIGEST_BYTES) {
        return false;
    }
    memcpy(r->hash, hash.data, DIGEST_BYTES);
    return true;
}

enum err release_decode(struct slice name, struct slice payload, struct release *ret_release)
{
    struct release r = {.version = 0};
    struct slice classes;
    uint64_t bytes;
    if (!read_name(name, &r) || !record_is_map(payload) ||
        !record_uint(payload, "created", &r.created_ms) || !read_hash(payload, &r) ||
        !record_uint(payload, "bytes", &bytes) || bytes == 0 || bytes > BUNDLE_BYTES_MAX ||
        !record_uint(payload, "of", &r.of) || !value_member(payload, "classes", &classes) ||
        value_type(classes) != VALUE_ARRAY) {
        return ERR_CORRUPT;
    }
    r.bytes = (uint32_t)bytes;
    r.classes = bytes_new(classes);
    *ret_release = r;
    return ERR_OK;
}

/* Pieces */

void piece_record_prefix(const uint8_t hash[DIGEST_BYTES], char ret_name[PIECE_NAME_BYTES + 1])
{
    char hex[2 * DIGEST_BYTES + 1];
    hex_encode(hash, DIGEST_BYTES, hex);
    (void)snprintf(ret_name, PIECE_NAME_BYTES + 1, "%s%s/", piece_prefix, hex);
}

void piece_record_name(const uint8_t hash[DIGEST_BYTES], uint32_t i,
                       char ret_name[PIECE_NAME_BYTES + 1])
{
    PRE(i <= UINT16_MAX);
    piece_record_prefix(hash, ret_name);
    size_t len = strlen(ret_name);
    (void)snprintf(ret_name + len, PIECE_NAME_BYTES + 1 - len, "%04x", i);
}

bool piece_record_number(struct slice name, uint32_t *ret_i)
{
    uint8_t number[PIECE_NUMBER_BYTES];
    if (name.len != PIECE_NAME_BYTES || !slice_has_prefix(name, slice_of_str(piece_prefix)) ||
        !hex_decode(slice_skip(name, name.len - 2 * sizeof number), number, sizeof number)) {
        return false;
    }
    *ret_i = (uint32_t)number[0] << 8 | number[1];
    return true;
}
