/* What nodes say to each other to bring the copy of a store from the leader of its shard to a replica that
 * lacks entries which are gone. Pure.
 *
 *     leader                                               replica
 *       BEGIN stream | bytes | offer (storage/shard.h) -->
 *                                                      <-- WANT stream | next | limit
 *       PART  stream | offset | crc32c | bytes         -->   ... as far as `limit`
 *                                                      <-- WANT, as they are written
 *                                                      <-- END stream | error: it is installed, or of no use
 *
 * A BEGIN that comes again is answered by where the replica is: so a stream goes on where it was after a
 * connection broke. All numbers are big-endian. */
#ifndef NODE_SNAPSHOT_WIRE_H
#define NODE_SNAPSHOT_WIRE_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    SNAPSHOT_PART_BYTES = 256 * 1024,
    SNAPSHOT_WINDOW_BYTES = 4 << 20, /* on their way, or not yet written */
};

struct snapshot_begin {
    uint64_t stream; /* drawn anew for each copy */
    uint64_t bytes;
    struct slice offer;
};

struct snapshot_part {
    uint64_t stream;
    uint64_t offset;
    struct slice bytes;
};

struct snapshot_want {
    uint64_t stream;
    uint64_t next;  /* the first byte that the replica lacks */
    uint64_t limit; /* send no byte from here on */
};

struct snapshot_end {
    uint64_t stream;
    bool is_installed;
};

void snapshot_put_begin(const struct snapshot_begin *m, struct buf *out);
void snapshot_put_part(const struct snapshot_part *m, struct buf *out);
void snapshot_put_want(const struct snapshot_want *m, struct buf *out);
void snapshot_put_end(const struct snapshot_end *m, struct buf *out);

/* Slices borrow from `bytes`. ERR_CORRUPT; of a part also where its sum is wrong. */
enum err snapshot_take_begin(struct slice bytes, struct snapshot_begin *ret) MUST_CHECK;
enum err snapshot_take_part(struct slice bytes, struct snapshot_part *ret) MUST_CHECK;
enum err snapshot_take_want(struct slice bytes, struct snapshot_want *ret) MUST_CHECK;
enum err snapshot_take_end(struct slice bytes, struct snapshot_end *ret) MUST_CHECK;

#endif
