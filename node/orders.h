/* Orders on their way: each goes to the node that leads the meta group, wherever it was given, and its
 * outcome comes back. Of worker 0.
 *
 *     client, steward: orders_submit --+-- this node leads: records_submit ---------+--> `done`
 *                                      +-- another: ORDER id -->  its orders        |
 *                                      |            <-- OUTCOME id, its records ----+
 *                                      +-- nobody, or who was asked does not: again, until the deadline
 *
 *     ORDER     id u64 | order (node/order.h)          OUTCOME   id u64 | outcome
 *
 * An order that might act twice is not repeated once it may have been decided: its outcome is unknown. A
 * node that is no member yet may give one order, to become one; whoever it asked takes that further, and
 * answers with what the node needs for its data. */
#ifndef NODE_ORDERS_H
#define NODE_ORDERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "node/order.h"

struct worker;

enum {
    ORDERS_MAX = 256, /* under way, of this node and of others */
    ORDER_TIMEOUT_MS = 10 * 1000,
    ORDER_RETRY_MS = 50,
};

enum order_way { ORDER_NEW, ORDER_HERE, ORDER_AWAY, ORDER_WAITS, ORDER_DONE };

struct order_run {
    struct order *order; /* the run's until `done`, which finds its outcome complete */
    void (*done)(struct order_run *r); /* once; perhaps from inside orders_submit */
    bool stays_here;                   /* decided on this node or not at all */

    enum order_way way; /* the rest is the orders' own */
    struct orders *orders;
    struct list link;
    uint64_t deadline_ms;
    uint64_t retry_ms; /* WAITS */
    uint64_t id;       /* AWAY */
    uint32_t node;     /* AWAY */
};

struct orders {
    struct worker *worker;
    struct list runs;
    size_t run_count;
    uint64_t last_id;
    bool is_stopping;
};

void orders_init(struct orders *o, struct worker *w);
void orders_stop(struct orders *o); /* what waits or is away ends as unavailable or unknown */

void orders_submit(struct orders *o, struct order_run *r, uint32_t timeout_ms);
void orders_tick(struct orders *o, uint64_t now_ms);
uint64_t orders_next_ms(const struct orders *o); /* UINT64_MAX: nothing waits */

/* From other nodes. ERR_CORRUPT: it cannot be read, or is not what the node may order. */
enum err orders_take_order(struct orders *o, uint32_t from, bool is_member,
                           struct slice payload) MUST_CHECK;
enum err orders_take_outcome(struct orders *o, uint32_t from, struct slice payload) MUST_CHECK;
void orders_on_lost(struct orders *o, uint32_t node); /* a connection to or from it */

#endif
