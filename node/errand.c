#include "node/errand.h"

#include "actor/registry.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "node/node.h"

enum { ERRAND_MAGIC = 0x65727201 };

/* At the origin */

static void finish(struct errand *e)
{
    e->is_done = true;
    bool is_gone = !e->cancel_is_away;
    e->done(e);
    if (is_gone) {
        e->magic = 0;
        e->gone(e);
    }
}

static void request_is_back(struct worker *origin, struct task *t)
{
    origin->away_count--;
    finish(CONTAINER_OF(t, struct errand, travel));
}

static void cancel_is_back(struct worker *origin, struct task *t)
{
    struct errand *e = CONTAINER_OF(t, struct errand, cancel);
    origin->away_count--;
    e->cancel_is_away = false;
    if (e->is_done) {
        e->magic = 0;
        e->gone(e);
    }
}

/* At the owner */

static void send_back(struct errand *e)
{
    if (e->owner == e->origin) {
        finish(e);
        return;
    }
    e->is_answered = true;
    e->travel.run = request_is_back;
    worker_post(e->owner, e->origin, &e->travel);
}

static void on_delivered(struct parcel *p)
{
    send_back(CONTAINER_OF(p, struct errand, parcel));
}

static void on_glanced(void *ctx)
{
    OBJ_CAST(errand, ctx, ERRAND_MAGIC);
    send_back(errand);
}

/* False: it goes the way of all others. */
static bool glance(struct errand *e)
{
    e->is_glanced = true; /* it may be done from inside */
    e->parcel.node = e->owner->node->id;
    if (glances_begin(&e->owner->glances, e->shard, e->request, on_glanced, e)) {
        return true;
    }
    e->is_glanced = false;
    e->parcel.node = 0;
    return false;
}

static void on_glanced_late(void *ctx)
{
    OBJ_CAST(errand, ctx, ERRAND_MAGIC);
    errand->is_glanced = false;
    courier_answered(&errand->owner->courier, &errand->parcel);
}

/* The shard has led here when the request came, and leads no more: what may be stale need not wait for
 * another leader. False: it waits, or goes there. */
static bool glance_late(struct errand *e)
{
    struct request *r = e->request;
    bool is_lost = r->reply.err == ERR_NOT_OWNER || r->reply.err == ERR_UNAVAILABLE ||
                   r->reply.err == ERR_OUTCOME_UNKNOWN;
    if (!r->may_be_stale || !is_lost || e->owner->courier.is_stopping) {
        return false;
    }
    struct reply lost = r->reply;
    reply_init(&r->reply);
    r->stage = REQUEST_NEW;
    e->is_glanced = true;
    if (glances_begin(&e->owner->glances, e->shard, r, on_glanced_late, e)) {
        reply_clear(&lost);
        return true;
    }
    e->is_glanced = false;
    r->stage = REQUEST_DONE;
    r->reply = lost;
    return false;
}

static void on_answer(struct request *r)
{
    OBJ_CAST(errand, r->user, ERRAND_MAGIC);
    struct errand *e = errand;
    if (e->is_of_node) {
        send_back(e);
    } else if (!glance_late(e)) {
        courier_answered(&e->owner->courier, &e->parcel);
    }
}

static void run_here(struct errand *e, uint32_t timeout_ms)
{
    worker_submit(e->owner, engine_shard(e->owner->engine, e->shard), e->request, timeout_ms);
}

static void run_or_refuse(struct errand *e)
{
    const struct shard *s = engine_shard(e->owner->engine, e->shard);
    if (s != NULL && shard_is_leading(s)) {
        run_here(e, e->timeout_ms);
        return;
    }
    (void)reply_fail(&e->request->reply, ERR_NOT_OWNER, NULL);
    e->request->stage = REQUEST_DONE;
    send_back(e);
}

static void arrive(struct errand *e)
{
    if (e->is_of_node) {
        run_or_refuse(e);
    } else if (!e->request->may_be_stale || !glance(e)) {
        courier_submit(&e->owner->courier, &e->parcel, e->timeout_ms);
    }
}

static void arrive_at_owner(struct worker *owner, struct task *t)
{
    (void)owner;
    arrive(CONTAINER_OF(t, struct errand, travel));
}

/* A glance ends by itself, soon. */
static void cancel_here(struct errand *e)
{
    if (e->is_glanced) {
        return;
    }
    if (e->is_of_node) {
        worker_cancel(e->owner, e->request);
    } else {
        courier_cancel(&e->owner->courier, &e->parcel);
    }
}

static void cancel_at_owner(struct worker *owner, struct task *t)
{
    struct errand *e = CONTAINER_OF(t, struct errand, cancel);
    if (!e->is_answered) {
        cancel_here(e);
    }
    e->cancel.run = cancel_is_back;
    worker_post(owner, e->origin, &e->cancel);
}

/* Beginning and cancelling */

enum err errand_begin(struct errand *e, struct worker *origin)
{
    e->magic = ERRAND_MAGIC;
    e->origin = origin;
    e->owner = node_worker_of(origin->node, e->shard);
    e->is_done = false;
    e->cancel_is_away = false;
    e->is_answered = false;
    e->is_glanced = false;
    e->parcel = (struct parcel){.request = e->request, .shard = e->shard, .done = on_delivered};
    e->travel = (struct task){.run = arrive_at_owner};
    e->cancel = (struct task){.run = cancel_at_owner};
    e->request->user = e;
    e->request->answer = on_answer;
    if (e->owner == origin) {
        arrive(e);
        return ERR_OK;
    }
    enum err err = worker_try_post(origin, e->owner, &e->travel);
    origin->away_count += err == ERR_OK ? 1 : 0;
    return err;
}

void errand_cancel(struct errand *e)
{
    PRE(e->magic == ERRAND_MAGIC && !e->is_done && !e->cancel_is_away);
    if (e->owner == e->origin) {
        cancel_here(e);
        return;
    }
    e->cancel_is_away = true;
    e->origin->away_count++;
    worker_post(e->origin, e->owner, &e->cancel);
}

/* The courier of a worker */

static uint32_t leader_of(void *ctx, uint32_t shard)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    const struct node *n = worker->node;
    const struct shard *s = engine_shard(worker->engine, shard);
    if (s != NULL && shard_is_leading(s)) {
        return n->id;
    }
    uint32_t follows = s != NULL ? shard_owner_node(s) : 0;
    if (!n->has_joined || (follows != 0 && follows != n->id)) {
        return follows != n->id ? follows : COURIER_NODE_UNKNOWN;
    }
    struct board_line line;
    bool is_said = board_find(&worker->node->board, shard, clock_mono_ms(), &line);
    return is_said && line.leader != n->id ? line.leader : COURIER_NODE_UNKNOWN;
}

static void run_parcel(void *ctx, struct parcel *p, uint32_t timeout_ms)
{
    (void)ctx;
    run_here(CONTAINER_OF(p, struct errand, parcel), timeout_ms);
}

static void cancel_parcel(void *ctx, struct parcel *p)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    worker_cancel(worker, p->request);
}

static bool send_parcel(void *ctx, const struct parcel *p, uint32_t node, uint64_t id,
                        uint32_t timeout_ms)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    return forward_request(&worker->forward, node, p->shard, id, p->request, timeout_ms);
}

static void send_cancel(void *ctx, const struct parcel *p)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    forward_cancel(&worker->forward, p->node, p->shard, p->id);
}

const struct courier_hooks errand_courier_hooks = {.leader_of = leader_of,
                                                   .run = run_parcel,
                                                   .cancel = cancel_parcel,
                                                   .send = send_parcel,
                                                   .send_cancel = send_cancel};
