#include "node/waiting.h"

#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/conn_uv.h"
#include "node/errand.h"
#include "node/node.h"

struct waiting {
    struct callee callee;
    struct worker *worker;
    enum body_form form;
    struct http_exchange *x; /* NULL: the client went away */
    struct errand errand;
};

/* An answer that is shown on the sideline: a large document becomes text there. */
struct showing {
    struct callee callee;
    struct sidework work;
    struct worker *worker;
    struct http_exchange *x; /* NULL: the client went away */
    struct request *request;
    enum body_form form;
    struct shown shown;
};

static void showing_free(struct showing *s)
{
    bytes_unref(s->shown.body);
    request_free(s->request);
    mem_free(s);
}

static void show_on_thread(struct sidework *work)
{
    struct showing *s = CONTAINER_OF(work, struct showing, work);
    answer_show(s->request, s->form, &s->shown);
}

static void is_shown(struct sidework *work)
{
    struct showing *s = CONTAINER_OF(work, struct showing, work);
    if (s->x != NULL) {
        answer_shown(s->x, s->request, &s->shown);
    }
    showing_free(s);
}

static void on_cancel_shown(struct callee *c)
{
    struct showing *s = CONTAINER_OF(c, struct showing, callee);
    s->x = NULL;
    if (sideline_withdraw(&s->work)) {
        showing_free(s);
    }
}

/* Takes the request. */
static void show_later(struct worker *w, struct http_exchange *x, struct request *r,
                       enum body_form form)
{
    struct showing *s = MEM_NEW(struct showing);
    s->callee.cancel = on_cancel_shown;
    s->work.run_on_thread = show_on_thread;
    s->work.done = is_shown;
    s->worker = w;
    s->x = x;
    s->request = r;
    s->form = form;
    http_exchange_set_user(x, &s->callee);
    http_exchange_hold(x, bytes_slice(r->reply.body).len);
    sideline_submit(&w->sideline, &s->work, conn_uv_sidework(x));
}

/* Takes the request. */
static void answer(struct worker *w, struct http_exchange *x, struct request *r,
                   enum body_form form)
{
    answer_limit(x, r);
    w->counts.by_err[r->reply.err]++;
    if (answer_is_dear(r, form)) {
        show_later(w, x, r, form);
    } else {
        answer_reply(x, r, form);
        request_free(r);
    }
}

static void on_done(struct errand *e)
{
    struct waiting *w = CONTAINER_OF(e, struct waiting, errand);
    struct http_exchange *x = w->x;
    w->x = NULL;
    if (w->worker->node->has_joined) {
        e->request->reply.owner = e->parcel.node;
    }
    if (x != NULL) {
        answer(w->worker, x, e->request, w->form);
    } else {
        w->worker->counts.by_err[e->request->reply.err]++;
        request_free(e->request);
    }
}

static void on_gone(struct errand *e)
{
    mem_free(CONTAINER_OF(e, struct waiting, errand));
}

static void on_cancel(struct callee *c)
{
    struct waiting *w = CONTAINER_OF(c, struct waiting, callee);
    w->x = NULL;
    errand_cancel(&w->errand);
}

static void refuse(struct waiting *w)
{
    http_exchange_set_user(w->x, NULL);
    answer_err(w->x, ERR_OVERLOADED);
    w->worker->counts.by_err[ERR_OVERLOADED]++;
    request_free(w->errand.request);
    mem_free(w);
}

void waiting_begin(struct worker *origin, struct http_exchange *x, struct request *r,
                   uint32_t timeout_ms, enum body_form form)
{
    struct waiting *w = MEM_NEW(struct waiting);
    w->callee.cancel = on_cancel;
    w->worker = origin;
    w->form = form;
    w->x = x;
    w->errand.request = r;
    w->errand.shard = identity_shard(&r->identity, origin->node->data.shard_count);
    w->errand.timeout_ms = timeout_ms;
    w->errand.done = on_done;
    w->errand.gone = on_gone;
    http_exchange_set_user(x, &w->callee);
    if (errand_begin(&w->errand, origin) != ERR_OK) {
        refuse(w);
    }
}
