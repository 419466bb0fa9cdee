#include "storage/keyspace.h"

#include "base/endian.h"
#include "base/invariant.h"

enum level { LEVEL_ACTOR, LEVEL_SHARD };

enum {
    WATCH_REST_BYTES = 12,
    HOUR_BYTES = 4,
    DUE_HEAD_BYTES = 17, /* due_ms, number, kind */
};

/* The longest key of each variable form fits. */
_Static_assert(ROW_KEY_HEAD_BYTES + KV_KEY_BYTES_MAX <= ROW_KEY_BYTES_MAX, "kv");
_Static_assert(ROW_KEY_HEAD_BYTES + NAMESPACE_BYTES_MAX + CLASS_BYTES_MAX + LISTING_ID_BYTES_MAX +
                       3 + IDENTITY_BYTES <=
                   ROW_KEY_BYTES_MAX,
               "listing");
_Static_assert(ROW_KEY_HEAD_BYTES + DUE_HEAD_BYTES + NAME_BYTES_MAX <= ROW_KEY_BYTES_MAX, "due");

static const struct kind_info {
    const char *name;
    enum level level;
} kinds[256] = {
#define X(kind_name, byte, kind_level) [byte] = {.name = #kind_name, .level = LEVEL_##kind_level},
#include "storage/keyspace.def"
#undef X
};

const char *row_kind_name(uint8_t kind)
{
    return kinds[kind].name;
}

/* Encoders */

void row_key_set(struct row_key *k, struct slice encoded)
{
    PRE(encoded.len <= ROW_KEY_BYTES_MAX);
    k->len = (uint16_t)encoded.len;
    if (encoded.len > 0) {
        memmove(k->bytes, encoded.data, encoded.len);
    }
}

void row_key_append(struct row_key *k, struct slice more)
{
    PRE(k->len <= ROW_KEY_BYTES_MAX);
    size_t room = (size_t)ROW_KEY_BYTES_MAX - k->len;
    size_t n = more.len < room ? more.len : room;
    if (n > 0) {
        memcpy(k->bytes + k->len, more.data, n);
        k->len = (uint16_t)(k->len + n);
    }
}

static void append_byte(struct row_key *k, uint8_t byte)
{
    row_key_append(k, slice_of(&byte, 1));
}

static void append_u32(struct row_key *k, uint32_t v)
{
    uint8_t encoded[sizeof v];
    put_be32(encoded, v);
    row_key_append(k, slice_of(encoded, sizeof encoded));
}

void row_key_append_u64(struct row_key *k, uint64_t more)
{
    uint8_t encoded[sizeof more];
    put_be64(encoded, more);
    row_key_append(k, slice_of(encoded, sizeof encoded));
}

static void append_identity(struct row_key *k, const struct identity *identity)
{
    row_key_append(k, slice_of(identity->bytes, IDENTITY_BYTES));
}

void row_key_number(struct row_key *k, uint64_t number)
{
    put_be64(k->bytes, number);
    k->len = ROW_KEY_NUMBER_BYTES;
}

void row_key_kind(struct row_key *k, uint64_t number, enum row_kind kind)
{
    PRE((number == SHARD_NUMBER) == (kinds[kind].level == LEVEL_SHARD));
    row_key_number(k, number);
    k->bytes[k->len++] = (uint8_t)kind;
}

static void named(struct row_key *k, uint64_t number, enum row_kind kind, struct slice name,
                  size_t bytes_max)
{
    PRE(name.len >= 1 && name.len <= bytes_max);
    row_key_kind(k, number, kind);
    row_key_append(k, name);
}

void row_key_meta(struct row_key *k, uint64_t number)
{
    row_key_kind(k, number, ROW_META);
}

void row_key_kv(struct row_key *k, uint64_t number, struct slice key)
{
    named(k, number, ROW_KV, key, KV_KEY_BYTES_MAX);
}

void row_key_timer(struct row_key *k, uint64_t number, struct slice name)
{
    named(k, number, ROW_TIMER, name, NAME_BYTES_MAX);
}

void row_key_step(struct row_key *k, uint64_t number, struct slice name)
{
    named(k, number, ROW_STEP, name, NAME_BYTES_MAX);
}

void row_key_watch(struct row_key *k, uint64_t number, uint64_t version, uint32_t n)
{
    row_key_kind(k, number, ROW_WATCH);
    row_key_append_u64(k, version);
    append_u32(k, n);
}

void row_key_applied(struct row_key *k)
{
    row_key_kind(k, SHARD_NUMBER, ROW_APPLIED);
}

void row_key_directory(struct row_key *k, const struct identity *identity)
{
    row_key_kind(k, SHARD_NUMBER, ROW_DIRECTORY);
    append_identity(k, identity);
}

void row_key_listing(struct row_key *k, const struct address *address,
                     const struct identity *identity)
{
    PRE(address->ns.len >= 1 && address->ns.len <= NAMESPACE_BYTES_MAX);
    PRE(address->class.len >= 1 && address->class.len <= CLASS_BYTES_MAX);
    PRE(address->id.len >= 1);

    size_t id_len = address->id.len < LISTING_ID_BYTES_MAX ? address->id.len : LISTING_ID_BYTES_MAX;
    row_key_kind(k, SHARD_NUMBER, ROW_LISTING);
    row_key_append(k, address->ns);
    append_byte(k, 0);
    row_key_append(k, address->class);
    append_byte(k, 0);
    row_key_append(k, slice_of(address->id.data, id_len));
    append_byte(k, 0);
    append_identity(k, identity);
}

void row_key_listing_prefix(struct row_key *k, struct slice ns, struct slice class,
                            struct slice id_prefix)
{
    PRE(ns.len >= 1 && ns.len <= NAMESPACE_BYTES_MAX && class.len <= CLASS_BYTES_MAX);
    PRE(id_prefix.len <= LISTING_ID_BYTES_MAX && (class.len > 0 || id_prefix.len == 0));

    row_key_kind(k, SHARD_NUMBER, ROW_LISTING);
    row_key_append(k, ns);
    append_byte(k, 0);
    if (class.len > 0) {
        row_key_append(k, class);
        append_byte(k, 0);
        row_key_append(k, id_prefix);
    }
}

void row_key_idempotency(struct row_key *k, const struct identity *identity, struct slice key)
{
    PRE(key.len <= IDEMPOTENCY_KEY_BYTES_MAX);
    row_key_directory(k, identity);
    k->bytes[ROW_KEY_NUMBER_BYTES] = ROW_IDEMPOTENCY;
    row_key_append(k, key);
}

void row_key_hour(struct row_key *k, uint32_t hour)
{
    row_key_kind(k, SHARD_NUMBER, ROW_IDEMPOTENCY_HOUR);
    append_u32(k, hour);
}

void row_key_idempotency_hour(struct row_key *k, uint64_t log_time_ms,
                              const struct identity *identity, struct slice key)
{
    PRE(key.len <= IDEMPOTENCY_KEY_BYTES_MAX);
    PRE(log_time_ms / IDEMPOTENCY_HOUR_MS <= UINT32_MAX);
    row_key_hour(k, (uint32_t)(log_time_ms / IDEMPOTENCY_HOUR_MS));
    append_identity(k, identity);
    row_key_append(k, key);
}

void row_key_due(struct row_key *k, uint64_t due_ms, uint64_t number, enum row_kind kind,
                 struct slice name)
{
    PRE(number != SHARD_NUMBER && kinds[kind].name != NULL && kinds[kind].level == LEVEL_ACTOR);
    PRE(name.len <= NAME_BYTES_MAX);
    row_key_kind(k, SHARD_NUMBER, ROW_DUE);
    row_key_append_u64(k, due_ms);
    row_key_append_u64(k, number);
    append_byte(k, (uint8_t)kind);
    row_key_append(k, name);
}

void row_key_dropped(struct row_key *k, uint64_t number)
{
    PRE(number != SHARD_NUMBER);
    row_key_kind(k, SHARD_NUMBER, ROW_DROPPED);
    row_key_append_u64(k, number);
}

void row_key_cluster(struct row_key *k, struct slice name)
{
    PRE(name.len <= NAME_BYTES_MAX);
    row_key_kind(k, SHARD_NUMBER, ROW_CLUSTER);
    row_key_append(k, name);
}

void row_key_after_prefix(struct row_key *k)
{
    while (k->len > 0 && k->bytes[k->len - 1] == 0xff) {
        k->len--;
    }
    if (k->len > 0) {
        k->bytes[k->len - 1]++;
    }
}

void row_key_after(struct row_key *k)
{
    if (k->len < ROW_KEY_BYTES_MAX) {
        append_byte(k, 0);
    } else { /* no longer key exists, so none lies between this one and those that follow */
        row_key_after_prefix(k);
    }
}

/* Decoders */

uint64_t row_key_number_of(struct slice key)
{
    PRE(key.len >= ROW_KEY_NUMBER_BYTES);
    return get_be64(key.data);
}

enum err row_key_parse(struct slice key, struct row_key_parts *ret_parts)
{
    if (key.len < ROW_KEY_HEAD_BYTES || key.len > ROW_KEY_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    uint64_t number = get_be64(key.data);
    uint8_t kind = key.data[ROW_KEY_NUMBER_BYTES];
    if (kinds[kind].name == NULL ||
        (kinds[kind].level == LEVEL_SHARD) != (number == SHARD_NUMBER)) {
        return ERR_CORRUPT;
    }
    *ret_parts = (struct row_key_parts){
        .number = number, .kind = (enum row_kind)kind, .rest = slice_skip(key, ROW_KEY_HEAD_BYTES)};
    return ERR_OK;
}

/* The rest of a key that must be of this kind. */
static enum err rest_of(struct slice key, enum row_kind kind, struct slice *ret_rest)
{
    struct row_key_parts parts;
    if (row_key_parse(key, &parts) != ERR_OK || parts.kind != kind) {
        return ERR_CORRUPT;
    }
    *ret_rest = parts.rest;
    return ERR_OK;
}

static struct identity identity_at(const uint8_t *at)
{
    struct identity identity;
    memcpy(identity.bytes, at, IDENTITY_BYTES);
    return identity;
}

enum err row_key_parse_directory(struct slice key, struct identity *ret_identity)
{
    struct slice rest;
    if (rest_of(key, ROW_DIRECTORY, &rest) != ERR_OK || rest.len != IDENTITY_BYTES) {
        return ERR_CORRUPT;
    }
    *ret_identity = identity_at(rest.data);
    return ERR_OK;
}

/* Cuts the part before the next zero byte off `rest`. */
static enum err take_part(struct slice *rest, size_t bytes_max, struct slice *ret_part)
{
    const uint8_t *zero = rest->len == 0 ? NULL : memchr(rest->data, 0, rest->len);
    if (zero == NULL || zero == rest->data || (size_t)(zero - rest->data) > bytes_max) {
        return ERR_CORRUPT;
    }
    *ret_part = slice_of(rest->data, (size_t)(zero - rest->data));
    *rest = slice_skip(*rest, ret_part->len + 1);
    return ERR_OK;
}

enum err row_key_parse_listing(struct slice key, struct listing_key *ret_listing)
{
    struct slice rest;
    struct listing_key parsed;
    if (rest_of(key, ROW_LISTING, &rest) != ERR_OK ||
        take_part(&rest, NAMESPACE_BYTES_MAX, &parsed.ns) != ERR_OK ||
        take_part(&rest, CLASS_BYTES_MAX, &parsed.class) != ERR_OK ||
        take_part(&rest, LISTING_ID_BYTES_MAX, &parsed.id) != ERR_OK ||
        rest.len != IDENTITY_BYTES) {
        return ERR_CORRUPT;
    }
    parsed.identity = identity_at(rest.data);
    *ret_listing = parsed;
    return ERR_OK;
}

static enum err parse_identity_and_key(struct slice rest, struct idempotency_key *parsed)
{
    if (rest.len < IDENTITY_BYTES || rest.len > IDENTITY_BYTES + IDEMPOTENCY_KEY_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    parsed->identity = identity_at(rest.data);
    parsed->key = slice_skip(rest, IDENTITY_BYTES);
    return ERR_OK;
}

enum err row_key_parse_idempotency(struct slice key, struct idempotency_key *ret_key)
{
    struct slice rest;
    struct idempotency_key parsed = {0};
    if (rest_of(key, ROW_IDEMPOTENCY, &rest) != ERR_OK ||
        parse_identity_and_key(rest, &parsed) != ERR_OK) {
        return ERR_CORRUPT;
    }
    *ret_key = parsed;
    return ERR_OK;
}

enum err row_key_parse_idempotency_hour(struct slice key, struct idempotency_key *ret_key)
{
    struct slice rest;
    struct idempotency_key parsed = {0};
    if (rest_of(key, ROW_IDEMPOTENCY_HOUR, &rest) != ERR_OK || rest.len < HOUR_BYTES ||
        parse_identity_and_key(slice_skip(rest, HOUR_BYTES), &parsed) != ERR_OK) {
        return ERR_CORRUPT;
    }
    parsed.hour = get_be32(rest.data);
    *ret_key = parsed;
    return ERR_OK;
}

enum err row_key_parse_due(struct slice key, struct due_key *ret_due)
{
    struct slice rest;
    if (rest_of(key, ROW_DUE, &rest) != ERR_OK || rest.len < DUE_HEAD_BYTES ||
        rest.len > DUE_HEAD_BYTES + NAME_BYTES_MAX) {
        return ERR_CORRUPT;
    }
    uint64_t number = get_be64(rest.data + 8);
    uint8_t kind = rest.data[16];
    if (number == SHARD_NUMBER || kinds[kind].name == NULL || kinds[kind].level != LEVEL_ACTOR) {
        return ERR_CORRUPT;
    }
    *ret_due = (struct due_key){.due_ms = get_be64(rest.data),
                                .number = number,
                                .kind = (enum row_kind)kind,
                                .name = slice_skip(rest, DUE_HEAD_BYTES)};
    return ERR_OK;
}

enum err row_key_parse_dropped(struct slice key, uint64_t *ret_number)
{
    struct slice rest;
    if (rest_of(key, ROW_DROPPED, &rest) != ERR_OK || rest.len != 8 ||
        get_be64(rest.data) == SHARD_NUMBER) {
        return ERR_CORRUPT;
    }
    *ret_number = get_be64(rest.data);
    return ERR_OK;
}

enum err row_key_parse_watch(struct slice key, uint64_t *ret_version, uint32_t *ret_n)
{
    struct slice rest;
    if (rest_of(key, ROW_WATCH, &rest) != ERR_OK || rest.len != WATCH_REST_BYTES) {
        return ERR_CORRUPT;
    }
    *ret_version = get_be64(rest.data);
    *ret_n = get_be32(rest.data + 8);
    return ERR_OK;
}

static enum err check_len(size_t len, size_t min, size_t max)
{
    return len >= min && len <= max ? ERR_OK : ERR_CORRUPT;
}

enum err row_key_parse_cluster(struct slice key, struct slice *ret_name)
{
    struct slice rest;
    if (rest_of(key, ROW_CLUSTER, &rest) != ERR_OK ||
        check_len(rest.len, 1, NAME_BYTES_MAX) != ERR_OK) {
        return ERR_CORRUPT;
    }
    *ret_name = rest;
    return ERR_OK;
}

enum err row_key_check(struct slice key)
{
    struct row_key_parts parts;
    union {
        struct identity identity;
        struct listing_key listing;
        struct idempotency_key idempotency;
        struct due_key due;
        uint64_t number;
    } ignored;
    if (row_key_parse(key, &parts) != ERR_OK) {
        return ERR_CORRUPT;
    }
    switch (parts.kind) {
    case ROW_META:
    case ROW_APPLIED:
        return check_len(parts.rest.len, 0, 0);
    case ROW_KV:
        return check_len(parts.rest.len, 1, KV_KEY_BYTES_MAX);
    case ROW_TIMER:
    case ROW_STEP:
    case ROW_WORKFLOW:
        return check_len(parts.rest.len, 1, NAME_BYTES_MAX);
    case ROW_WATCH:
        return check_len(parts.rest.len, WATCH_REST_BYTES, WATCH_REST_BYTES);
    case ROW_OUTBOX:
    case ROW_SANDBOX:
        return ERR_OK;
    case ROW_DIRECTORY:
        return row_key_parse_directory(key, &ignored.identity);
    case ROW_LISTING:
        return row_key_parse_listing(key, &ignored.listing);
    case ROW_IDEMPOTENCY:
        return row_key_parse_idempotency(key, &ignored.idempotency);
    case ROW_IDEMPOTENCY_HOUR:
        return row_key_parse_idempotency_hour(key, &ignored.idempotency);
    case ROW_DUE:
        return row_key_parse_due(key, &ignored.due);
    case ROW_DROPPED:
        return row_key_parse_dropped(key, &ignored.number);
    case ROW_CLUSTER:
        return check_len(parts.rest.len, 1, NAME_BYTES_MAX);
    }
    return ERR_CORRUPT;
}
