#include "node/token.h"

#include <string.h>

#include "base/base64.h"
#include "base/hex.h"
#include "base/invariant.h"
#include "base/random.h"
#include "node/record.h"
#include "rpc/value.h"

static const char text_prefix[] = "dm_";
static const char name_prefix[] = "token/";

enum { SECRET_BYTES = 32, IDENTITY_HEX_BYTES = 2 * IDENTITY_BYTES, MEMBERS = 6 };

/* Texts and hashes */

void token_hash(struct slice text, uint8_t ret_hash[DIGEST_BYTES])
{
    digest_of(&text, 1, ret_hash, DIGEST_BYTES);
}

void token_draw(char ret_text[TOKEN_TEXT_BYTES], uint8_t ret_hash[DIGEST_BYTES])
{
    uint8_t secret[SECRET_BYTES];
    struct buf text = {0};
    random_bytes(secret, sizeof secret);
    buf_append_str(&text, text_prefix);
    base64url_encode(slice_of(secret, sizeof secret), &text);
    POST(text.len == TOKEN_TEXT_BYTES);
    memcpy(ret_text, text.data, TOKEN_TEXT_BYTES);
    token_hash(buf_slice(&text), ret_hash);
    buf_done(&text);
}

void token_id(const struct token *t, char ret_id[TOKEN_ID_CHARS + 1])
{
    hex_encode(t->hash, TOKEN_ID_CHARS / 2, ret_id);
}

void token_record_name(const struct token *t, char ret_name[TOKEN_NAME_BYTES + 1])
{
    memcpy(ret_name, name_prefix, sizeof name_prefix - 1);
    hex_encode(t->hash, DIGEST_BYTES, ret_name + sizeof name_prefix - 1);
}

/* Scopes */

static const char *const scope_names[] = {"call", "inspect", "deploy", "sandbox", "admin"};

enum { SCOPES = sizeof scope_names / sizeof scope_names[0] };

uint32_t scope_of_name(struct slice name)
{
    for (uint32_t i = 0; i < SCOPES; i++) {
        if (slice_equal_str(name, scope_names[i])) {
            return UINT32_C(1) << i;
        }
    }
    return 0;
}

const char *scope_name(uint32_t scope)
{
    for (uint32_t i = 0; i < SCOPES; i++) {
        if (scope == UINT32_C(1) << i) {
            return scope_names[i];
        }
    }
    return NULL;
}

/* What it opens */

bool token_covers_namespace(const struct token *t, struct slice ns)
{
    return strcmp(t->ns, "*") == 0 || slice_equal_str(ns, t->ns);
}

/* An id of 64 hex digits may be the identity of an actor of any name. */
static bool covers_actor(const struct token *t, const struct token_need *need)
{
    struct slice prefix = slice_of(t->id_prefix, t->id_prefix_len);
    if (t->class[0] == '\0') {
        return true;
    }
    if (!slice_equal_str(need->class, t->class) || need->id.len == 0) {
        return false;
    }
    bool may_be_identity = need->id.len == IDENTITY_HEX_BYTES && hex_is_all(need->id);
    return prefix.len == 0 || (slice_has_prefix(need->id, prefix) && !may_be_identity);
}

bool token_allows(const struct token *t, const struct token_need *need)
{
    PRE(need->scopes != 0);
    return (t->scopes & need->scopes) != 0 &&
           (need->ns.len == 0 || token_covers_namespace(t, need->ns)) && covers_actor(t, need);
}

bool token_is_expired(const struct token *t, uint64_t wall_ms)
{
    return t->expires_ms != 0 && t->expires_ms <= wall_ms;
}

enum err token_set_actor(struct token *t, struct slice text)
{
    const uint8_t *slash = memchr(text.data, '/', text.len);
    size_t class_len = slash != NULL ? (size_t)(slash - text.data) : text.len;
    struct slice class = slice_of(text.data, class_len);
    struct slice prefix = slash != NULL ? slice_skip(text, class_len + 1) : SLICE("");
    if (!address_class_is_valid(class) || prefix.len > ID_BYTES_MAX || !slice_is_utf8(prefix)) {
        return ERR_BAD_REQUEST;
    }
    memcpy(t->class, class.data, class.len);
    t->class[class.len] = '\0';
    if (prefix.len > 0) {
        memcpy(t->id_prefix, prefix.data, prefix.len);
    }
    t->id_prefix_len = (uint16_t)prefix.len;
    return ERR_OK;
}

/* Records */

void token_encode(const struct token *t, struct buf *out)
{
    value_put_map(out, MEMBERS);
    value_put_text(out, "namespace");
    value_put_text(out, t->ns);
    value_put_text(out, "class");
    value_put_text(out, t->class);
    value_put_text(out, "prefix");
    value_put_bin(out, slice_of(t->id_prefix, t->id_prefix_len));
    value_put_text(out, "scopes");
    value_put_uint(out, t->scopes);
    value_put_text(out, "created");
    value_put_uint(out, t->created_ms);
    value_put_text(out, "expires");
    value_put_uint(out, t->expires_ms);
}

static bool read_prefix(struct slice map, struct token *t)
{
    struct slice member;
    struct slice prefix;
    if (!value_member(map, "prefix", &member) || !value_get_bin(member, &prefix) ||
        prefix.len > ID_BYTES_MAX) {
        return false;
    }
    memcpy(t->id_prefix, prefix.data, prefix.len);
    t->id_prefix_len = (uint16_t)prefix.len;
    return true;
}

enum err token_decode(struct slice name, struct slice payload, struct token *ret_token)
{
    struct token t = {0};
    uint64_t scopes;
    if (!slice_has_prefix(name, SLICE("token/")) ||
        !hex_decode(slice_skip(name, sizeof name_prefix - 1), t.hash, DIGEST_BYTES) ||
        !record_is_map(payload) || !record_text(payload, "namespace", t.ns, NAMESPACE_BYTES_MAX) ||
        !record_text(payload, "class", t.class, CLASS_BYTES_MAX) || !read_prefix(payload, &t) ||
        !record_uint(payload, "scopes", &scopes) ||
        !record_uint(payload, "created", &t.created_ms) ||
        !record_uint(payload, "expires", &t.expires_ms)) {
        return ERR_CORRUPT;
    }
    t.scopes = (uint32_t)scopes;
    *ret_token = t;
    return ERR_OK;
}
