/* The operations of the built-in class Store: each runs in a turn (actor/turn.h), answers through
 * the request's reply and returns ERR_OK, ERR_COLD, or the error that it put into the reply. */
#ifndef ACTOR_OPS_H
#define ACTOR_OPS_H

#include "actor/request.h"
#include "actor/row_set.h"
#include "actor/turn.h"
#include "base/err.h"

enum {
    VALUE_BYTES_MAX = 2 * 1024 * 1024,   /* of msgpack */
    PAGE_BYTES_MAX = 4 * 1024 * 1024,    /* a page of a listing, the results of a transaction */
    TXN_OPERATIONS_MAX = 128,            /* `if` and `do` together */
    TXN_DEPTH_EXTRA = 4,                 /* levels of a transaction's body around a value */
    WATCH_TIMER_EVENTS_MAX = 1000,       /* kept durably, and all of the last 10 minutes */
    BODY_DEPTH_EXTRA = 1,                /* of a body that is a map of values */
    TIMERS_BYTES_MAX = 16 * 1024 * 1024, /* of all timers of an actor in one listing */
    STEPS_MAX = 10 * 1000,               /* of an actor */
    STEPS_BYTES_MAX = 16 * 1024 * 1024,  /* of all steps of an actor in one listing */
};

#define X(name, operation, does) enum err op_##operation(struct turn *t, struct request *r);
#include "actor/request.def"
#undef X

/* One page of keys: appends an array of {key, version[, value]} documents, at most `limit` of them
 * and no more than PAGE_BYTES_MAX. `ret_next` gets the last key where there is more, else nothing. */
enum err list_page(struct turn *t, const struct list_params *p, struct buf *ret_entries,
                   struct buf *ret_next) MUST_CHECK;

/* What reads answer, whoever has found the rows (actor/glance.h as well). */

/* The key's row; NULL: there is none. */
enum err kv_answer(struct request *r, const struct row *row);

/* All bounds of a listing as one range [low, high); false where it can hold nothing. */
bool list_bounds(const struct list_params *p, struct buf *low, struct buf *high);
struct scan_range list_range(const struct list_params *p, const struct buf *low,
                             const struct buf *high);
/* Fills the page. False where the rows that are known ended before the page did. */
bool list_fill(struct scan_cursor *c, const struct list_params *p, struct buf *ret_entries,
               struct buf *ret_next) MUST_CHECK;
void list_answer(struct request *r, const struct buf *entries, const struct buf *next);

struct actor_facts {
    const struct address *address;
    bool exists;
    bool is_awake;
    const struct shard *shard;
    const struct meta *meta;
    const struct actor_usage *usage; /* NULL: its code does not run */
};
void actor_facts_answer(struct request *r, const struct actor_facts *f);

#endif
