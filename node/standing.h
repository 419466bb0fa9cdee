/* Standing: what another node is to the cluster, as this worker knows it, and so what is taken of it.
 *
 *     STRANGER   the newest view does not name it
 *     MEMBER
 *     LEAVING    removed, and still needed: a record gives it a place, or a group of this worker counts it
 *                among its members. What it holds may be all there is of a shard; until others hold it too
 *                it is spoken to, but gives no orders.
 *     REMOVED    removed, and nothing is left of it: it is refused
 */
#ifndef NODE_STANDING_H
#define NODE_STANDING_H

#include <stdint.h>

struct worker;

enum standing { STANDING_STRANGER, STANDING_MEMBER, STANDING_LEAVING, STANDING_REMOVED };

enum standing standing_of(const struct worker *w, uint32_t node);

#endif
