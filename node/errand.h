/* An errand: a request on its way from the worker that was asked to the worker of its actor's shard, and
 * back with the reply.
 *
 *     origin: where the request came in               owner: the worker of the shard
 *       errand_begin     -- the request travels -->     courier (of clients), or run here (of nodes)
 *       `done`           <-- and comes back --------    its answer
 *       errand_cancel    -- the cancel travels ---->    courier_cancel, unless it is answered
 *                        <-- and comes back --------
 *       `gone`: all that was sent is back
 *
 * The two cross freely. A request of another node runs on this one or is refused as ERR_NOT_OWNER; one of
 * a client goes to whichever node owns its actor (node/courier.h), unless it may be stale and there is a
 * replica here (node/glances.h). */
#ifndef NODE_ERRAND_H
#define NODE_ERRAND_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/request.h"
#include "node/courier.h"
#include "node/mailring.h"

struct worker;

struct errand {
    /* set by whoever begins it */
    struct request *request; /* the errand's until `done` */
    uint32_t shard;
    uint32_t timeout_ms;
    bool is_of_node;                /* another node sent it */
    void (*done)(struct errand *e); /* origin, once: the reply is complete */
    void (*gone)(
        struct errand *e); /* origin, once, after `done`: the memory is the caller's again */

    /* the errand's own */
    uint32_t magic;
    struct worker *origin;
    struct worker *owner;
    bool is_done;        /* origin */
    bool cancel_is_away; /* origin */
    bool is_answered;    /* owner */
    bool is_glanced;     /* owner: its rows are read from a replica as it is */
    struct parcel parcel;
    struct task travel; /* of the request */
    struct task cancel;
};

/* ERR_OVERLOADED: the owner's worker has no room; nothing has begun. Else `done` may come from inside. */
enum err errand_begin(struct errand *e, struct worker *origin) MUST_CHECK;

/* Nobody wants the reply any more. Not after `done`, and once. `done` comes all the same. */
void errand_cancel(struct errand *e);

/* The courier's hooks, for a worker. */
extern const struct courier_hooks errand_courier_hooks;

#endif
