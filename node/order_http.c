#include "node/order_http.h"

#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/gather.h"
#include "node/node.h"
#include "rpc/value.h"

enum { BODY_BYTES_MAX = 64 * 1024 };

struct order_exchange {
    struct callee callee;
    struct http_exchange *x; /* NULL: the client is gone */
    enum body_form form;
    struct gather gather;
    struct gather_part part; /* to worker 0 */
    struct order order;
    struct order_run run;
    struct records_wait wait; /* for this node to show it */
};

static void begin_on_worker_0(struct gather_part *p)
{
    struct order_exchange *e = CONTAINER_OF(p, struct order_exchange, part);
    orders_submit(&p->worker->orders, &e->run, ORDER_TIMEOUT_MS);
}

static void on_shown(struct records_wait *wait)
{
    gather_part_done(&CONTAINER_OF(wait, struct order_exchange, wait)->part, ERR_OK);
}

static void on_decided(struct order_run *r)
{
    struct order_exchange *e = CONTAINER_OF(r, struct order_exchange, run);
    e->wait = (struct records_wait){.version = r->order->version, .done = on_shown};
    records_await(&r->orders->worker->records, &e->wait);
}

static void on_cancel(struct callee *callee)
{
    CONTAINER_OF(callee, struct order_exchange, callee)->x = NULL; /* freed when it is back */
}

static void answer(struct order_exchange *e)
{
    const struct order *o = &e->order;
    http_exchange_set_user(e->x, NULL);
    if (o->error.err != ERR_OK) {
        answer_error(e->x, &o->error);
    } else if (o->document.len > 0) {
        answer_document(e->x, o->status, buf_slice(&o->document), e->form);
    } else {
        http_respond(e->x, o->status, NULL, 0, NULL);
    }
}

static void on_gathered(struct gather *g)
{
    struct order_exchange *e = CONTAINER_OF(g, struct order_exchange, gather);
    order_conclude(&e->order, e->part.err);
    g->origin->counts.by_err[e->order.error.err]++;
    if (e->x != NULL) {
        answer(e);
    }
    order_done(&e->order);
    mem_free(e);
}

static struct order_exchange *prepare(struct http_exchange *x, enum order_name name,
                                      struct slice subject, const uint8_t *token_hash)
{
    struct order_exchange *e = MEM_NEW(struct order_exchange);
    e->x = x;
    e->form = accepted_form(http_exchange_request(x));
    order_init(&e->order, name);
    e->run = (struct order_run){.order = &e->order, .done = on_decided};
    e->order.subject = subject.len > 0 ? bytes_new(subject) : NULL;
    e->order.has_asker = token_hash != NULL;
    if (token_hash != NULL) {
        memcpy(e->order.asker_hash, token_hash, DIGEST_BYTES);
    }
    e->callee.cancel = on_cancel;
    http_exchange_set_user(x, &e->callee);
    return e;
}

/* Where there is an error already, the order has it. */
static void begin(struct worker *w, struct order_exchange *e, enum err err)
{
    gather_init(&e->gather, w, begin_on_worker_0, on_gathered);
    if (err == ERR_OK) {
        gather_ask(&e->gather, &e->part, &w->node->workers[0]);
    }
    gather_asked(&e->gather);
}

void order_begin(struct worker *w, struct http_exchange *x, enum order_name name,
                 struct slice subject, struct bytes *body, const uint8_t *token_hash)
{
    struct order_exchange *e = prepare(x, name, subject, token_hash);
    e->order.body = body;
    begin(w, e, ERR_OK);
}

void order_open(struct worker *w, struct http_exchange *x, enum order_name name,
                struct slice subject, bool has_body, const struct token *token)
{
    struct order_exchange *e = prepare(x, name, subject, token != NULL ? token->hash : NULL);
    enum err err = ERR_OK;
    if (has_body) {
        err = decode_document(http_exchange_request(x), BODY_BYTES_MAX, VALUE_DEPTH_MAX,
                              &e->order.body, &e->order.error);
    }
    begin(w, e, err);
}
