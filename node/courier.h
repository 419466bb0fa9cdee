/* A courier: brings requests to the node that owns their actor, and waits while there is none. One a
 * worker, for the shards of that worker. Pure: bytes and clock come from outside.
 *
 *               the shard leads here
 *     NEW --+-------------------------> HERE --answered--+--------------------------> DONE
 *           |  another node leads it                     |                             ^
 *           +-------------------------> AWAY --reply-----+                             |
 *           |                            |               | nothing was done, or once   |
 *           |  nobody does, or           | lost          | more is no harm             |
 *           |  there is no connection    v               v                             |
 *           +-------------------------> PARKED <---------+                             |
 *                 ^                       |  a new leader, or some time --> as NEW     |
 *                 +-----------------------+-- deadline --------------------------------+
 *
 * A request is repeated only where that cannot act twice: it did nothing, it only reads, or it carries an
 * Idempotency-Key. Otherwise a lost connection and a lost leadership are answered as what they are, with
 * `maybe_applied`; and so is whatever ends a write of which an earlier attempt may have done it, unless
 * that is an outcome. A request that came from another node never goes on to a third: it is run, or refused
 * as ERR_NOT_OWNER, and its courier knows better by then. */
#ifndef NODE_COURIER_H
#define NODE_COURIER_H

#include <stdbool.h>
#include <stdint.h>

#include "actor/request.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/map.h"

enum {
    COURIER_PARKED_MAX = 16 * 1024,
    COURIER_RETRY_MS = 50,  /* between two looks for an owner */
    COURIER_GRACE_MS = 250, /* after the deadline that the owner was given */
    COURIER_NODE_UNKNOWN = 0,
};

enum parcel_state { PARCEL_NEW, PARCEL_HERE, PARCEL_AWAY, PARCEL_PARKED, PARCEL_DONE };

struct parcel {
    enum parcel_state state;
    struct request *request; /* the courier's from submit to `done` */
    uint32_t shard;
    void (*done)(struct parcel *p); /* the reply is complete, the request is the caller's again */

    uint64_t deadline_ms; /* the client's */
    struct heap_node due; /* deadline, or the next attempt */
    struct map_node by_id;
    struct list link; /* PARKED: courier.parked; AWAY: courier.away */
    uint64_t id;      /* AWAY */
    uint32_t node;    /* AWAY: where; DONE: who answered; 0: nobody */
    bool is_in_doubt; /* an attempt may have done it */
};

struct courier_hooks {
    /* The node that leads the shard, as far as is known; COURIER_NODE_UNKNOWN. */
    uint32_t (*leader_of)(void *ctx, uint32_t shard);
    /* Runs it; courier_answered when it is answered, perhaps from inside. */
    void (*run)(void *ctx, struct parcel *p, uint32_t timeout_ms);
    /* Takes it out, if that still can be; it may be answered from inside. */
    void (*cancel)(void *ctx, struct parcel *p);
    /* False: there is no connection, or no room in it. */
    bool (*send)(void *ctx, const struct parcel *p, uint32_t node, uint64_t id,
                 uint32_t timeout_ms);
    void (*send_cancel)(void *ctx, const struct parcel *p); /* of its `node` and `id` */
};

struct courier {
    bool is_stopping;
    const struct courier_hooks *hooks;
    void *ctx;
    uint32_t own_node;
    uint64_t now_ms;
    uint64_t last_id;
    struct heap due;
    struct map by_id; /* AWAY */
    struct list away;
    struct list parked;
    size_t parked_count;
    uint64_t sent; /* counters for metrics */
    uint64_t retried;
};

void courier_init(struct courier *c, const struct courier_hooks *hooks, void *ctx,
                  uint32_t own_node);
void courier_stop(struct courier *c); /* nothing waits any longer: what does is unavailable */
void courier_done(struct courier *c); /* nothing may be under way */

/* `p->request`, `p->shard` and `p->done` are set, the rest is zero. May be done from inside. */
void courier_submit(struct courier *c, struct parcel *p, uint32_t timeout_ms);

/* The client went away: it ends, as soon as it can, with ERR_CLOSED or its answer. */
void courier_cancel(struct courier *c, struct parcel *p);

/* What comes back. */
void courier_answered(struct courier *c, struct parcel *p);
void courier_on_reply(struct courier *c, uint32_t node, uint64_t id, struct slice reply);
void courier_on_lost(struct courier *c, uint32_t node); /* the connection */
void courier_on_leaders(struct courier *c);             /* who leads what has changed */

void courier_tick(struct courier *c, uint64_t now_ms);
uint64_t courier_next_ms(const struct courier *c); /* UINT64_MAX: nothing waits */

#endif
