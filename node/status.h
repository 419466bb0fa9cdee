/* Status: what a worker tells every other node, every STATUS_MS and when it begins to lead a shard: that
 * the node lives or is about to stop, where it can be dialled, and how the shards are that the worker
 * leads. Pure.
 *
 *     {"peer":"HOST:PORT","leaving":bool,
 *      "leads":[{"shard":n,"term":n,"settled":bool,"replicas":[[id,role,lag]]}]}
 *
 * msgpack, of which members that a reader does not know are ignored; the meta group's shard is nil. */
#ifndef NODE_STATUS_H
#define NODE_STATUS_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "node/board.h"

enum { STATUS_MS = 500 };

/* The head; `lead_count` times status_put_lead must follow. */
void status_begin(const char *peer, bool is_leaving, uint32_t lead_count, struct buf *out);
void status_put_lead(const struct board_shard *s, struct buf *out);

/* All of it goes to the board. ERR_CORRUPT: nothing of it does that comes after what is wrong. */
enum err status_take(struct slice bytes, uint32_t node, struct board *b,
                     uint64_t now_ms) MUST_CHECK;

#endif
