#include "base/address.h"

#include <string.h>

#include <sodium/crypto_auth_hmacsha256.h>
#include <sodium/crypto_hash_sha256.h>
#include <sodium/randombytes.h>
#include <sodium/utils.h>

#include "base/endian.h"
#include "base/invariant.h"

enum { TAG_BYTES = IDENTITY_BYTES - IDENTITY_HASH_BYTES };

static bool is_lower(uint8_t c)
{
    return c >= 'a' && c <= 'z';
}

static bool is_upper(uint8_t c)
{
    return c >= 'A' && c <= 'Z';
}

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

bool address_namespace_is_valid(struct slice ns)
{
    if (ns.len == 0 || ns.len > NAMESPACE_BYTES_MAX || ns.data[0] == '-') {
        return false;
    }
    for (size_t i = 0; i < ns.len; i++) {
        uint8_t c = ns.data[i];
        if (!is_lower(c) && !is_digit(c) && c != '-') {
            return false;
        }
    }
    return true;
}

bool address_class_is_valid(struct slice class)
{
    if (class.len == 0 || class.len > CLASS_BYTES_MAX) {
        return false;
    }
    for (size_t i = 0; i < class.len; i++) {
        uint8_t c = class.data[i];
        bool letter = is_lower(c) || is_upper(c);
        if (!letter && (i == 0 || (!is_digit(c) && c != '_'))) {
            return false;
        }
    }
    return true;
}

static bool id_is_valid(struct slice id)
{
    if (id.len == 0 || id.len > ID_BYTES_MAX || memchr(id.data, '\0', id.len) != NULL) {
        return false;
    }
    if (slice_equal_str(id, ".") || slice_equal_str(id, "..")) {
        return false;
    }
    return slice_is_utf8(id);
}

enum err address_check(const struct address *a)
{
    bool valid =
        address_namespace_is_valid(a->ns) && address_class_is_valid(a->class) && id_is_valid(a->id);
    return valid ? ERR_OK : ERR_INVALID_ID;
}

static void tag_of(const uint8_t hash[IDENTITY_HASH_BYTES], const struct address *a,
                   const uint8_t key[ADDRESS_KEY_BYTES], uint8_t ret_tag[TAG_BYTES])
{
    crypto_auth_hmacsha256_state state;
    uint8_t mac[crypto_auth_hmacsha256_BYTES];
    (void)crypto_auth_hmacsha256_init(&state, key, ADDRESS_KEY_BYTES);
    (void)crypto_auth_hmacsha256_update(&state, hash, IDENTITY_HASH_BYTES);
    (void)crypto_auth_hmacsha256_update(&state, a->ns.data, a->ns.len);
    (void)crypto_auth_hmacsha256_update(&state, (const uint8_t *)"", 1);
    (void)crypto_auth_hmacsha256_update(&state, a->class.data, a->class.len);
    (void)crypto_auth_hmacsha256_final(&state, mac);
    memcpy(ret_tag, mac, TAG_BYTES);
}

static int hex_value(uint8_t c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* True where the id spells an identity that this cluster has made for this namespace and class. */
static bool parse_hex_identity(const struct address *a, const uint8_t key[ADDRESS_KEY_BYTES],
                               struct identity *ret_identity)
{
    if (a->id.len != 2 * IDENTITY_BYTES) {
        return false;
    }
    struct identity parsed;
    for (size_t i = 0; i < IDENTITY_BYTES; i++) {
        int high = hex_value(a->id.data[2 * i]);
        int low = hex_value(a->id.data[2 * i + 1]);
        if (high < 0 || low < 0) {
            return false;
        }
        parsed.bytes[i] = (uint8_t)(high * 16 + low);
    }
    uint8_t tag[TAG_BYTES];
    tag_of(parsed.bytes, a, key, tag);
    if (sodium_memcmp(tag, parsed.bytes + IDENTITY_HASH_BYTES, TAG_BYTES) != 0) {
        return false;
    }
    *ret_identity = parsed;
    return true;
}

struct identity address_identity(const struct address *a, const uint8_t key[ADDRESS_KEY_BYTES])
{
    struct identity identity;
    if (parse_hex_identity(a, key, &identity)) {
        return identity;
    }
    static const char domain[] = "dormouse/1"; /* its own zero byte included below */
    crypto_hash_sha256_state state;
    uint8_t hash[crypto_hash_sha256_BYTES];
    (void)crypto_hash_sha256_init(&state);
    (void)crypto_hash_sha256_update(&state, (const uint8_t *)domain, sizeof domain);
    const struct slice parts[] = {a->ns, a->class, a->id};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        (void)crypto_hash_sha256_update(&state, parts[i].data, parts[i].len);
        (void)crypto_hash_sha256_update(&state, (const uint8_t *)"", 1);
    }
    (void)crypto_hash_sha256_final(&state, hash);
    memcpy(identity.bytes, hash, IDENTITY_HASH_BYTES);
    tag_of(identity.bytes, a, key, identity.bytes + IDENTITY_HASH_BYTES);
    return identity;
}

struct identity address_new_identity(const struct address *a, const uint8_t key[ADDRESS_KEY_BYTES])
{
    struct identity identity;
    randombytes_buf(identity.bytes, IDENTITY_HASH_BYTES);
    tag_of(identity.bytes, a, key, identity.bytes + IDENTITY_HASH_BYTES);
    return identity;
}

uint32_t identity_shard(const struct identity *identity, uint32_t shard_count)
{
    PRE(shard_count > 0);
    return (uint32_t)(get_be64(identity->bytes) % shard_count);
}

/* Bytes that follow a lead byte, or -1 where it cannot lead. */
static int utf8_tail_len(uint8_t lead)
{
    if (lead < 0x80) {
        return 0;
    }
    if (lead >= 0xc2 && lead <= 0xdf) {
        return 1;
    }
    if (lead >= 0xe0 && lead <= 0xef) {
        return 2;
    }
    return lead >= 0xf0 && lead <= 0xf4 ? 3 : -1;
}

/* The second byte is where overlong forms, surrogates and code points over U+10FFFF show. */
static bool utf8_second_fits(uint8_t lead, uint8_t second)
{
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    return second >= low && second <= high;
}

bool slice_is_utf8(struct slice s)
{
    size_t i = 0;
    while (i < s.len) {
        uint8_t lead = s.data[i++];
        int tail = utf8_tail_len(lead);
        if (tail < 0 || s.len - i < (size_t)tail) {
            return false;
        }
        if (tail > 0 && !utf8_second_fits(lead, s.data[i])) {
            return false;
        }
        for (int k = 1; k < tail; k++) {
            if ((s.data[i + (size_t)k] & 0xc0) != 0x80) {
                return false;
            }
        }
        i += (size_t)tail;
    }
    return true;
}
