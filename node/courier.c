#include "node/courier.h"

#include "actor/request_wire.h"
#include "base/invariant.h"

void courier_init(struct courier *c, const struct courier_hooks *hooks, void *ctx,
                  uint32_t own_node)
{
    *c = (struct courier){.hooks = hooks, .ctx = ctx, .own_node = own_node};
    list_init(&c->away);
    list_init(&c->parked);
}

void courier_done(struct courier *c)
{
    PRE(list_is_empty(&c->away) && list_is_empty(&c->parked));
    map_done(&c->by_id);
    heap_done(&c->due);
}

/* A state change has one door. */
static void parcel_move(struct courier *c, struct parcel *p, enum parcel_state to)
{
    static const bool allowed[PARCEL_DONE + 1][PARCEL_DONE + 1] = {
        [PARCEL_NEW] = {[PARCEL_HERE] = true,
                        [PARCEL_AWAY] = true,
                        [PARCEL_PARKED] = true,
                        [PARCEL_DONE] = true},
        [PARCEL_HERE] = {[PARCEL_PARKED] = true, [PARCEL_DONE] = true},
        [PARCEL_AWAY] = {[PARCEL_PARKED] = true, [PARCEL_DONE] = true},
        [PARCEL_PARKED] = {[PARCEL_HERE] = true,
                           [PARCEL_AWAY] = true,
                           [PARCEL_PARKED] = true,
                           [PARCEL_DONE] = true},
    };
    INVARIANT(allowed[p->state][to]);
    heap_remove(&c->due, &p->due);
    list_remove(&p->link);
    if (p->state == PARCEL_AWAY) {
        map_remove(&c->by_id, &p->by_id);
    }
    c->parked_count -= p->state == PARCEL_PARKED ? 1 : 0;
    p->state = to;
}

/* "Nothing was done", said of the last attempt, is not so of the request. */
static void tell_doubt(struct parcel *p)
{
    struct reply *reply = &p->request->reply;
    const struct err_info *info = err_info(reply->err);
    if (p->is_in_doubt && info->retryable && !info->maybe_applied) {
        (void)reply_fail(
            reply, reply->err == ERR_TIMEOUT ? ERR_TIMEOUT_IN_DOUBT : ERR_OUTCOME_UNKNOWN, NULL);
    }
}

static void finish(struct courier *c, struct parcel *p)
{
    tell_doubt(p);
    parcel_move(c, p, PARCEL_DONE);
    p->done(p);
}

static void finish_with(struct courier *c, struct parcel *p, enum err err)
{
    p->request->stage = REQUEST_DONE;
    (void)reply_fail(&p->request->reply, err, NULL);
    finish(c, p);
}

static uint32_t left_ms(const struct courier *c, const struct parcel *p)
{
    return p->deadline_ms > c->now_ms ? (uint32_t)(p->deadline_ms - c->now_ms) : 0;
}

static void park(struct courier *c, struct parcel *p)
{
    struct request *r = p->request;
    uint64_t next_ms = c->now_ms + COURIER_RETRY_MS;
    if (left_ms(c, p) == 0 || c->is_stopping) {
        finish_with(c, p, ERR_UNAVAILABLE);
        return;
    }
    if (p->state != PARCEL_PARKED && c->parked_count >= COURIER_PARKED_MAX) {
        r->stage = REQUEST_DONE;
        (void)reply_fail(&r->reply, ERR_OVERLOADED, NULL);
        r->reply.limit_name = "requests_without_owner";
        r->reply.limit_value = COURIER_PARKED_MAX;
        finish(c, p);
        return;
    }
    reply_clear(&r->reply);
    r->stage = REQUEST_NEW;
    parcel_move(c, p, PARCEL_PARKED);
    c->parked_count++;
    list_append(&c->parked, &p->link);
    heap_set(&c->due, &p->due, next_ms < p->deadline_ms ? next_ms : p->deadline_ms);
}

/* The id is new with every attempt: what comes late for an old one is nobody's. */
static void send_away(struct courier *c, struct parcel *p, uint32_t node)
{
    uint64_t id = ++c->last_id;
    if (!c->hooks->send(c->ctx, p, node, id, left_ms(c, p))) {
        park(c, p);
        return;
    }
    parcel_move(c, p, PARCEL_AWAY);
    p->id = id;
    p->node = node;
    map_add(&c->by_id, &p->by_id, id);
    list_append(&c->away, &p->link);
    heap_set(&c->due, &p->due, p->deadline_ms + COURIER_GRACE_MS);
    c->sent++;
}

static void route(struct courier *c, struct parcel *p)
{
    uint32_t node = c->hooks->leader_of(c->ctx, p->shard);
    if (left_ms(c, p) == 0) {
        finish_with(c, p, ERR_UNAVAILABLE);
    } else if (node == c->own_node) {
        parcel_move(c, p, PARCEL_HERE);
        p->node = node;
        c->hooks->run(c->ctx, p, left_ms(c, p));
    } else if (node == COURIER_NODE_UNKNOWN) {
        park(c, p);
    } else {
        send_away(c, p, node);
    }
}

void courier_submit(struct courier *c, struct parcel *p, uint32_t timeout_ms)
{
    PRE(p->state == PARCEL_NEW && p->request->stage == REQUEST_NEW);

    list_init(&p->link);
    p->deadline_ms = c->now_ms + timeout_ms;
    route(c, p);
}

/* Whether another attempt cannot make the request act twice. */
static bool may_repeat(const struct request *r)
{
    switch ((int)r->reply.err) {
    case ERR_UNAVAILABLE:
    case ERR_NOT_OWNER:
        return true;
    case ERR_OUTCOME_UNKNOWN:
        return !request_writes(r) || r->idempotency_key != NULL;
    default:
        return false;
    }
}

static void conclude(struct courier *c, struct parcel *p)
{
    if (may_repeat(p->request) && left_ms(c, p) > 0) {
        c->retried++;
        p->is_in_doubt = p->is_in_doubt || (p->request->reply.err == ERR_OUTCOME_UNKNOWN &&
                                            request_writes(p->request));
        park(c, p);
        return;
    }
    if (p->request->reply.err == ERR_NOT_OWNER) {
        (void)reply_fail(&p->request->reply, ERR_UNAVAILABLE, NULL);
    }
    finish(c, p);
}

void courier_answered(struct courier *c, struct parcel *p)
{
    INVARIANT(p->state == PARCEL_HERE && p->request->stage == REQUEST_DONE);
    conclude(c, p);
}

static struct parcel *find(const struct courier *c, uint32_t node, uint64_t id)
{
    struct map_node *n = map_find(&c->by_id, id);
    struct parcel *p = n != NULL ? CONTAINER_OF(n, struct parcel, by_id) : NULL;
    return p != NULL && p->node == node ? p : NULL;
}

/* A reply that does not decode is one whose effect nobody knows. */
void courier_on_reply(struct courier *c, uint32_t node, uint64_t id, struct slice reply)
{
    struct parcel *p = find(c, node, id);
    if (p == NULL) {
        return; /* it was cancelled, or was too late */
    }
    struct request *r = p->request;
    r->stage = REQUEST_DONE;
    if (reply_from_wire(reply, &r->reply) != ERR_OK) {
        (void)reply_fail(&r->reply, ERR_OUTCOME_UNKNOWN, NULL);
    }
    conclude(c, p);
}

void courier_on_lost(struct courier *c, uint32_t node)
{
    LIST_FOREACH_SAFE (link, &c->away) {
        struct parcel *p = LIST_ENTRY(link, struct parcel, link);
        if (p->node == node) {
            p->request->stage = REQUEST_DONE;
            (void)reply_fail(&p->request->reply, ERR_OUTCOME_UNKNOWN, NULL);
            conclude(c, p);
        }
    }
}

/* Those that still cannot go are parked again, behind the others. */
void courier_on_leaders(struct courier *c)
{
    struct list parked;
    list_init(&parked);
    list_move_all(&parked, &c->parked);
    struct parcel *p;
    while ((p = LIST_FIRST(&parked, struct parcel, link)) != NULL) {
        route(c, p);
    }
}

void courier_stop(struct courier *c)
{
    c->is_stopping = true;
    LIST_FOREACH_SAFE (link, &c->parked) {
        finish_with(c, LIST_ENTRY(link, struct parcel, link), ERR_UNAVAILABLE);
    }
}

void courier_cancel(struct courier *c, struct parcel *p)
{
    switch (p->state) {
    case PARCEL_HERE:
        c->hooks->cancel(c->ctx, p);
        return;
    case PARCEL_AWAY:
        c->hooks->send_cancel(c->ctx, p);
        finish_with(c, p, ERR_CLOSED);
        return;
    case PARCEL_PARKED:
        finish_with(c, p, ERR_CLOSED);
        return;
    case PARCEL_NEW:
    case PARCEL_DONE:
        return;
    }
}

/* The owner was to answer by the deadline: from here on nobody knows what it did. */
static void give_up(struct courier *c, struct parcel *p)
{
    c->hooks->send_cancel(c->ctx, p);
    finish_with(c, p, request_writes(p->request) ? ERR_TIMEOUT_IN_DOUBT : ERR_TIMEOUT);
}

void courier_tick(struct courier *c, uint64_t now_ms)
{
    struct heap_node *n;
    c->now_ms = now_ms;
    while ((n = heap_first(&c->due)) != NULL && n->key <= now_ms) {
        struct parcel *p = CONTAINER_OF(n, struct parcel, due);
        if (p->state == PARCEL_AWAY) {
            give_up(c, p);
        } else {
            route(c, p);
        }
    }
}

uint64_t courier_next_ms(const struct courier *c)
{
    const struct heap_node *n = heap_first(&c->due);
    return n != NULL ? n->key : UINT64_MAX;
}
