#include "node/orders.h"

#include "base/clock.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/node.h"
#include "node/record.h"
#include "node/worker.h"
#include "rpc/value.h"

enum { ID_BYTES = 8 };

void orders_init(struct orders *o, struct worker *w)
{
    *o = (struct orders){.worker = w};
    list_init(&o->runs);
}

/* A run's way */

static void finish(struct order_run *r)
{
    r->way = ORDER_DONE;
    list_remove(&r->link);
    r->orders->run_count--;
    r->done(r);
}

static void finish_with(struct order_run *r, enum err err)
{
    order_conclude(r->order, err);
    finish(r);
}

static void wait(struct order_run *r, uint64_t now_ms)
{
    if (r->orders->is_stopping || r->stays_here || now_ms >= r->deadline_ms) {
        finish_with(r, r->stays_here ? ERR_NOT_OWNER : ERR_UNAVAILABLE);
        return;
    }
    r->way = ORDER_WAITS;
    r->retry_ms = now_ms + ORDER_RETRY_MS;
}

/* What says that nothing was done, and that somebody else may do it. */
static bool is_wrong_node(enum err err)
{
    return err == ERR_UNAVAILABLE || err == ERR_NOT_OWNER;
}

static void conclude(struct order_run *r, enum err err)
{
    bool is_of_decider = r->order->error.err != ERR_OK && r->way == ORDER_HERE;
    if (!is_of_decider && is_wrong_node(err)) {
        r->order->error = (struct decode_error){.err = ERR_OK};
        wait(r, clock_mono_ms());
    } else if (err == ERR_OUTCOME_UNKNOWN && order_may_repeat(r->order->name)) {
        r->order->error = (struct decode_error){.err = ERR_OK};
        wait(r, clock_mono_ms());
    } else {
        finish_with(r, err);
    }
}

static void on_decided(struct records_request *request, enum err err)
{
    struct order *order = CONTAINER_OF(request, struct order, request);
    order->version = request->version;
    conclude(order->run, err);
}

static uint32_t leader_of_meta(const struct worker *w)
{
    struct board_line line;
    const struct shard *s = engine_meta(w->engine);
    uint32_t node = s != NULL ? shard_owner_node(s) : 0;
    if (node == 0 && board_find(&w->node->board, SHARD_META, clock_mono_ms(), &line)) {
        node = line.leader;
    }
    return node;
}

static bool send_away(struct order_run *r, uint32_t node)
{
    struct buf payload = {0};
    r->id = ++r->orders->last_id;
    buf_append_u64(&payload, r->id);
    order_encode(r->order, &payload);
    bool is_sent = neighbours_send(&r->orders->worker->neighbours, node, PEER_KIND_ORDER,
                                   SHARD_META, buf_slice(&payload));
    buf_done(&payload);
    return is_sent;
}

static void decide_here(struct order_run *r)
{
    r->way = ORDER_HERE;
    r->order->run = r;
    r->order->board = &r->orders->worker->node->board;
    r->order->shard_count = r->orders->worker->node->data.shard_count;
    secret_key_of(r->orders->worker->node->data.address_key, r->order->secret_key);
    order_prepare(r->order);
    r->order->request.done = on_decided;
    records_submit(&r->orders->worker->records, &r->order->request);
}

static void go(struct order_run *r, uint64_t now_ms)
{
    struct worker *w = r->orders->worker;
    uint32_t node = leader_of_meta(w);
    if (node == w->node->id && engine_meta(w->engine) != NULL) {
        decide_here(r);
    } else if (node == 0 || r->stays_here || !send_away(r, node)) {
        wait(r, now_ms);
    } else {
        r->way = ORDER_AWAY;
        r->node = node;
    }
}

void orders_submit(struct orders *o, struct order_run *r, uint32_t timeout_ms)
{
    uint64_t now_ms = clock_mono_ms();
    r->way = ORDER_NEW;
    r->orders = o;
    r->deadline_ms = now_ms + timeout_ms;
    list_init(&r->link);
    list_append(&o->runs, &r->link);
    o->run_count++;
    if (o->run_count > ORDERS_MAX) {
        finish_with(r, ERR_OVERLOADED);
        return;
    }
    go(r, now_ms);
}

/* One that is HERE ends by itself: a batch that was proposed is awaited. */
void orders_tick(struct orders *o, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (link, &o->runs) {
        struct order_run *r = LIST_ENTRY(link, struct order_run, link);
        if (r->way == ORDER_AWAY && now_ms >= r->deadline_ms) {
            finish_with(r, ERR_TIMEOUT_IN_DOUBT);
        } else if (r->way == ORDER_WAITS && now_ms >= r->retry_ms) {
            go(r, now_ms);
        }
    }
}

uint64_t orders_next_ms(const struct orders *o)
{
    uint64_t next_ms = UINT64_MAX;
    LIST_FOREACH (link, &o->runs) {
        const struct order_run *r = LIST_ENTRY(link, struct order_run, link);
        uint64_t due_ms = r->way == ORDER_WAITS  ? r->retry_ms
                          : r->way == ORDER_AWAY ? r->deadline_ms
                                                 : UINT64_MAX;
        next_ms = due_ms < next_ms ? due_ms : next_ms;
    }
    return next_ms;
}

void orders_stop(struct orders *o)
{
    o->is_stopping = true;
    LIST_FOREACH_SAFE (link, &o->runs) {
        struct order_run *r = LIST_ENTRY(link, struct order_run, link);
        if (r->way == ORDER_AWAY || r->way == ORDER_WAITS) {
            finish_with(r, r->way == ORDER_AWAY ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE);
        }
    }
}

void orders_on_lost(struct orders *o, uint32_t node)
{
    LIST_FOREACH_SAFE (link, &o->runs) {
        struct order_run *r = LIST_ENTRY(link, struct order_run, link);
        if (r->way == ORDER_AWAY && r->node == node) {
            conclude(r, ERR_OUTCOME_UNKNOWN);
        }
    }
}

enum err orders_take_outcome(struct orders *o, uint32_t from, struct slice payload)
{
    if (payload.len < ID_BYTES) {
        return ERR_CORRUPT;
    }
    uint64_t id = get_be64(payload.data);
    LIST_FOREACH (link, &o->runs) {
        struct order_run *r = LIST_ENTRY(link, struct order_run, link);
        if (r->way == ORDER_AWAY && r->id == id && r->node == from) {
            enum err err = outcome_decode(slice_skip(payload, ID_BYTES), r->order);
            conclude(r, err != ERR_OK ? ERR_OUTCOME_UNKNOWN : r->order->error.err);
            return err;
        }
    }
    return ERR_OK; /* its deadline has passed */
}

/* Orders of other nodes */

struct visiting_order {
    struct order_run run;
    struct order order;
    uint32_t from;
    uint64_t id;
    bool is_of_member;
};

/* What a new member needs to make its data. The address key is the cluster's secret: it goes to nodes that
 * had a token to join with, over a connection that only nodes of this CA can have. */
static void tell_cluster(const struct node *n, struct buf *document)
{
    buf_clear(document);
    value_put_map(document, 3);
    value_put_text(document, "cluster");
    value_put_uint(document, n->data.cluster_id);
    value_put_text(document, "shards");
    value_put_uint(document, n->data.shard_count);
    value_put_text(document, "key");
    value_put_bin(document, slice_of(n->data.address_key, ADDRESS_KEY_BYTES));
}

static void on_visitor_done(struct order_run *r)
{
    struct visiting_order *v = CONTAINER_OF(r, struct visiting_order, run);
    struct worker *w = r->orders->worker;
    struct buf payload = {0};
    if (v->order.name == ORDER_MEMBER_ADD && v->order.error.err == ERR_OK) {
        tell_cluster(w->node, &v->order.document);
    }
    buf_append_u64(&payload, v->id);
    outcome_encode(&v->order, &payload);
    (void)neighbours_send(&w->neighbours, v->from, PEER_KIND_OUTCOME, SHARD_META,
                          buf_slice(&payload)); /* who does not hear it asks again */
    explicit_bzero(payload.data, payload.len);
    buf_done(&payload);
    order_done(&v->order);
    mem_free(v);
}

static bool is_about(const struct order *o, uint32_t node)
{
    uint64_t id;
    return o->body != NULL && record_uint(bytes_slice(o->body), "id", &id) && id == node;
}

/* Also of one that was let in and has not heard so. */
static bool wants_in(const struct order *o, uint32_t node)
{
    return o->name == ORDER_MEMBER_ADD && is_about(o, node);
}

/* A member passes on what others ask, but speaks for itself alone; who is none yet may ask to become one. */
static bool may_order(const struct order *o, uint32_t from, bool is_member)
{
    return is_member ? o->name != ORDER_MEMBER_SAY || is_about(o, from) : wants_in(o, from);
}

static void invite(struct worker *w, const struct order *o, uint32_t from)
{
    char peer[MEMBER_ADDRESS_BYTES];
    if (record_text(bytes_slice(o->body), "peer", peer, sizeof peer - 1) &&
        member_address_is_valid(slice_of_str(peer))) {
        neighbours_invite(&w->neighbours, from, peer);
    }
}

enum err orders_take_order(struct orders *o, uint32_t from, bool is_member, struct slice payload)
{
    if (payload.len < ID_BYTES) {
        return ERR_CORRUPT;
    }
    struct visiting_order *v = MEM_NEW(struct visiting_order);
    enum err err = order_decode(slice_skip(payload, ID_BYTES), &v->order);
    if (err == ERR_OK && !may_order(&v->order, from, is_member)) {
        order_done(&v->order);
        err = ERR_CORRUPT;
    }
    if (err != ERR_OK) {
        mem_free(v);
        return err;
    }
    if (wants_in(&v->order, from)) {
        invite(o->worker, &v->order, from);
    }
    v->from = from;
    v->id = get_be64(payload.data);
    v->run = (struct order_run){
        .order = &v->order, .done = on_visitor_done, .stays_here = !wants_in(&v->order, from)};
    orders_submit(o, &v->run, ORDER_TIMEOUT_MS / 2);
    return ERR_OK;
}
