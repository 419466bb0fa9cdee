/* A secret: what is put on requests of user code after they have left it (API section 5). Pure.
 *
 * As a record of the cluster its name is "secret/<namespace>/<name>", and the payload is a msgpack map
 * {"sealed","created","updated"}. The value is sealed (base/seal.h) under a key that every node of the
 * cluster derives from the cluster's key (DORMOUSE in its data), bound to the record's name: a file of a
 * shard, a log, a snapshot or a message alone shows none. No route gives a value back. */
#ifndef NODE_SECRET_H
#define NODE_SECRET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/err.h"
#include "base/seal.h"
#include "base/slice.h"

enum {
    SECRET_NAME_BYTES_MAX = 64,
    SECRET_VALUE_BYTES_MAX = 8 * 1024, /* it has to fit a header field */
    SECRETS_NS_MAX = 128,
    SECRETS_MAX = 2048, /* of a cluster: every view of it has them all */
    SECRET_RECORD_BYTES = 7 + NAMESPACE_BYTES_MAX + 1 + SECRET_NAME_BYTES_MAX,
};

struct secret {
    char ns[NAMESPACE_BYTES_MAX + 1];
    char name[SECRET_NAME_BYTES_MAX + 1];
    struct bytes *sealed; /* owned */
    uint64_t created_ms;  /* wall */
    uint64_t updated_ms;
};

void secret_done(struct secret *s);

/* A letter, a digit or '_', then also '-' and '.'. */
bool secret_name_is_valid(struct slice name);
/* What a header field may hold: no control characters, no space at either end, not empty. */
bool secret_value_is_valid(struct slice value);

void secret_record_name(struct slice ns, struct slice name, char ret_name[SECRET_RECORD_BYTES + 1]);

/* Of the cluster's key (struct data_dir). */
void secret_key_of(const uint8_t address_key[ADDRESS_KEY_BYTES], uint8_t ret_key[SEAL_KEY_BYTES]);

void secret_encode(const struct secret *s, struct buf *out);
enum err secret_decode(struct slice name, struct slice payload,
                       struct secret *ret_secret) MUST_CHECK;

/* Seals the value into `s`, whose names are set. */
void secret_close(struct secret *s, const uint8_t key[SEAL_KEY_BYTES], struct slice value);
/* Appends the value. ERR_CORRUPT: it is another cluster's. */
enum err secret_open(const struct secret *s, const uint8_t key[SEAL_KEY_BYTES],
                     struct buf *out) MUST_CHECK;

#endif
