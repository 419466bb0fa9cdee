/* A release: one version of what is deployed in a namespace, as a record of the cluster. Pure.
 *
 *     deployment/<namespace>/<version, 16 hex digits>     {"created","hash","bytes","classes","of"}
 *     ~code/<hash in hex>/<piece, 4 hex digits>           a piece of that bundle (node/deployment.h)
 *
 * The highest version of a namespace is the one in force. A rollback makes a new release of an old bundle.
 * Names from '~' on are those of large records: a node reads them when it needs one, and not with every
 * change of the others. A bundle is there as long as a release names it, and only then. */
#ifndef NODE_RELEASE_H
#define NODE_RELEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/bytes.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    RELEASES_MAX = 20, /* of a namespace; older ones go */
    PIECE_BYTES = 1 << 20,
    RELEASE_NAME_BYTES = 11 + NAMESPACE_BYTES_MAX + 1 + 16,
    PIECE_NAME_BYTES = 6 + 2 * DIGEST_BYTES + 1 + 4,
};

/* The least name of large records. */
#define LARGE_RECORDS "~"

struct release {
    char ns[NAMESPACE_BYTES_MAX + 1];
    uint64_t version;
    uint64_t created_ms; /* wall */
    uint8_t hash[DIGEST_BYTES];
    uint32_t bytes;        /* of the bundle */
    uint64_t of;           /* the version that it brought back; 0: none */
    struct bytes *classes; /* an array of their names; owned */
};

void release_done(struct release *r);
bool release_has_bundle_of(const struct release *r, const struct release *other);
uint32_t release_piece_count(const struct release *r);

void release_record_name(const struct release *r, char ret_name[RELEASE_NAME_BYTES + 1]);
void release_encode(const struct release *r, struct buf *out);
enum err release_decode(struct slice name, struct slice payload,
                        struct release *ret_release) MUST_CHECK;

/* Of piece `i`, or without its number: the prefix of all of them. */
void piece_record_name(const uint8_t hash[DIGEST_BYTES], uint32_t i,
                       char ret_name[PIECE_NAME_BYTES + 1]);
void piece_record_prefix(const uint8_t hash[DIGEST_BYTES], char ret_name[PIECE_NAME_BYTES + 1]);
/* Its number; false: the name is none of a piece. */
bool piece_record_number(struct slice name, uint32_t *ret_i);

#endif
