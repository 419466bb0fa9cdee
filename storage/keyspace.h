/* The byte layout of row keys; this is its one home.
 *
 *     actor number (u64) | kind (1 byte) | rest            at most 511 bytes, numbers big-endian
 *
 * Numbers from 1 are actors, given at their first write and never used again; number 0 holds the
 * rows of the shard itself. storage/keyspace.def lists the kinds and what the rest of each holds;
 * the payloads of shard rows are in storage/rows.h. Keys sort as bytes, so all rows of an actor lie
 * together, META first, and all rows of a kind within it.
 *
 * A listing sorts by (namespace, class, id, identity). No part of an address holds a zero byte, so
 * one closes each, the id too: "a" must come before "ab" whatever the identity of "a" starts with.
 *
 * Encoders start a key and rely on the lengths that the API has checked (PRE). Decoders take
 * whatever a disk or a peer gave us and answer ERR_CORRUPT. */
#ifndef STORAGE_KEYSPACE_H
#define STORAGE_KEYSPACE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    ROW_KEY_BYTES_MAX = 511, /* what LMDB takes */
    ROW_KEY_NUMBER_BYTES = 8,
    ROW_KEY_HEAD_BYTES = 9, /* number and kind */
    KV_KEY_BYTES_MAX = 480,
    NAME_BYTES_MAX = 255, /* of a timer, a step or a record of the cluster */
    IDEMPOTENCY_KEY_BYTES_MAX = 255,
    LISTING_ID_BYTES_MAX = 256, /* longer ids are cut in the listing; their identity follows */
    IDEMPOTENCY_HOUR_MS = 3600 * 1000,
};

#define SHARD_NUMBER UINT64_C(0)

enum row_kind {
#define X(name, byte, level) ROW_##name = (byte),
#include "storage/keyspace.def"
#undef X
};

struct row_key {
    uint16_t len;
    uint8_t bytes[ROW_KEY_BYTES_MAX];
};

static inline struct slice row_key_slice(const struct row_key *k)
{
    return slice_of(k->bytes, k->len);
}

/* Copies an encoded key of at most ROW_KEY_BYTES_MAX bytes. */
void row_key_set(struct row_key *k, struct slice encoded);

/* "META": NULL where no kind has this byte. */
const char *row_kind_name(uint8_t kind);

/* Encoders. Each starts the key anew. */
void row_key_number(struct row_key *k, uint64_t number);                   /* prefix of an actor */
void row_key_kind(struct row_key *k, uint64_t number, enum row_kind kind); /* prefix of a kind */
void row_key_meta(struct row_key *k, uint64_t number);
void row_key_kv(struct row_key *k, uint64_t number, struct slice key);
void row_key_timer(struct row_key *k, uint64_t number, struct slice name);
void row_key_step(struct row_key *k, uint64_t number, struct slice name);
void row_key_watch(struct row_key *k, uint64_t number, uint64_t version, uint32_t n);
void row_key_applied(struct row_key *k);
void row_key_directory(struct row_key *k, const struct identity *identity);
void row_key_listing(struct row_key *k, const struct address *address,
                     const struct identity *identity);
/* Where the listing of a namespace, of one class in it, of its ids with a prefix begins; the class may
 * be empty, and then the prefix is. */
void row_key_listing_prefix(struct row_key *k, struct slice ns, struct slice class,
                            struct slice id_prefix);
void row_key_idempotency(struct row_key *k, const struct identity *identity, struct slice key);
void row_key_idempotency_hour(struct row_key *k, uint64_t log_time_ms,
                              const struct identity *identity, struct slice key);
void row_key_hour(struct row_key *k, uint32_t hour); /* prefix of an hour's IDEMPOTENCY_HOUR rows */
void row_key_due(struct row_key *k, uint64_t due_ms, uint64_t number, enum row_kind kind,
                 struct slice name);
void row_key_dropped(struct row_key *k, uint64_t number);
/* A record of the cluster; an empty name: the prefix of all of them. */
void row_key_cluster(struct row_key *k, struct slice name);

/* Adds to the end: to look for part of a kind, such as the keys with a prefix. A rest that does not
 * fit is cut, which only widens a range. */
void row_key_append(struct row_key *k, struct slice more);
void row_key_append_u64(struct row_key *k, uint64_t more);

/* Turns a prefix into the least key above all keys that begin with it; an empty prefix, or one
 * without such a key, becomes the empty key. As the end of a range the empty key means no end. */
void row_key_after_prefix(struct row_key *k);

/* Turns a key into the least one above it: where a walk goes on. */
void row_key_after(struct row_key *k);

/* Decoders. Results borrow from `key`. */
struct row_key_parts {
    uint64_t number;
    enum row_kind kind;
    struct slice rest;
};

struct listing_key {
    struct slice ns;
    struct slice class;
    struct slice id; /* its first 256 bytes */
    struct identity identity;
};

struct idempotency_key {
    uint32_t hour; /* of an IDEMPOTENCY_HOUR row, else 0 */
    struct identity identity;
    struct slice key;
};

struct due_key {
    uint64_t due_ms;
    uint64_t number;
    enum row_kind kind;
    struct slice name;
};

uint64_t row_key_number_of(struct slice key); /* which must hold at least the number */
enum err row_key_parse(struct slice key, struct row_key_parts *ret_parts) MUST_CHECK;
enum err row_key_parse_directory(struct slice key, struct identity *ret_identity) MUST_CHECK;
enum err row_key_parse_listing(struct slice key, struct listing_key *ret_listing) MUST_CHECK;
enum err row_key_parse_idempotency(struct slice key, struct idempotency_key *ret_key) MUST_CHECK;
enum err row_key_parse_idempotency_hour(struct slice key,
                                        struct idempotency_key *ret_key) MUST_CHECK;
enum err row_key_parse_due(struct slice key, struct due_key *ret_due) MUST_CHECK;
enum err row_key_parse_dropped(struct slice key, uint64_t *ret_number) MUST_CHECK;
enum err row_key_parse_watch(struct slice key, uint64_t *ret_version, uint32_t *ret_n) MUST_CHECK;
enum err row_key_parse_cluster(struct slice key, struct slice *ret_name) MUST_CHECK;

/* The whole form of a key of any kind. */
enum err row_key_check(struct slice key) MUST_CHECK;

#endif
