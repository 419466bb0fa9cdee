/* What nodes say to each other of watch streams whose client is at one node and whose actor is at another.
 * Pure. All begin with the id that the client's node gave; numbers are big-endian.
 *
 *     OPEN     id | timeout ms u32 | since: has u8, version u64, n u32 | token: has u8, hash (32) |
 *              request (actor/request_wire.h): a KV_LIST with the address and the prefix
 *     TEXT     id | whole events        at most WATCH_TEXT_BYTES_MAX that are not TAKEN; one may pass that
 *     TAKEN    id | bytes of all texts so far u64
 *     END      id | reply               its error says why there is no stream, or none any more
 *     CANCEL   id */
#ifndef NODE_WATCH_WIRE_H
#define NODE_WATCH_WIRE_H

#include "actor/request.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { WATCH_TEXT_BYTES_MAX = 256 * 1024 };

struct watch_open {
    uint64_t id;
    uint32_t timeout_ms;
    struct request *request; /* of kind WATCH; whoever decodes it owns it */
};

void watch_put_open(uint64_t id, uint32_t timeout_ms, const struct request *r, struct buf *out);
enum err watch_take_open(struct slice bytes, struct watch_open *ret_open) MUST_CHECK;

/* The id, and what follows it. */
enum err watch_take_id(struct slice bytes, uint64_t *ret_id, struct slice *ret_rest) MUST_CHECK;

/* Where a stream is after this text; false: where it was before. The version and number of its last event
 * with an id, or what the first comment of a stream says (watch_put_hello). */
bool watch_text_position(struct slice text, uint64_t *ret_version, uint32_t *ret_n);
/* The first text of a stream: a comment, so that the client sees that it is connected. */
void watch_put_hello(uint64_t version, struct buf *out);

#endif
