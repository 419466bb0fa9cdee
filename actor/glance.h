/* A glance: one read of an actor from the rows that a replica of its shard has, whether it leads or not.
 * No actor is made or woken, nothing is proven: the answer is as old as the replica is, and lacks what
 * an actor that is awake elsewhere has not yet written.
 *
 *     its directory and meta rows --> the key's row, or a page of rows --> the reply
 *
 * The rows are read one after the other, not at one moment, and none is older than the replica was when the
 * glance began. For KV_GET, KV_LIST and ACTOR_INFO alone. */
#ifndef ACTOR_GLANCE_H
#define ACTOR_GLANCE_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/meta.h"
#include "actor/request.h"
#include "base/buf.h"
#include "storage/shard.h"

struct glance {
    /* set by whoever begins it */
    struct request *request; /* NEW; DONE in `done` */
    struct shard *shard;
    void (*done)(struct glance *g); /* the reply is complete; once, perhaps from inside */

    struct shard_read read; /* the rest is the glance's own */
    uint64_t number;        /* 0: it holds nothing */
    struct meta meta;
    struct buf low; /* of a page */
    struct buf high;
};

bool glance_is_for(const struct request *r);
void glance_begin(struct glance *g);

#endif
