#include "node/module_fetch.h"

#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/worker.h"

struct module_fetch {
    struct callee callee;
    struct worker *worker;
    struct http_exchange *x; /* NULL: the client went away */
    struct request *request;
};

static void on_answer(struct request *r)
{
    struct module_fetch *m = r->user;
    m->worker->counts.by_err[r->reply.err]++;
    if (m->x != NULL) {
        answer_reply(m->x, r, FORM_UNSAID);
    }
    request_free(r);
    mem_free(m);
}

static void on_cancel(struct callee *c)
{
    struct module_fetch *m = CONTAINER_OF(c, struct module_fetch, callee);
    m->x = NULL;
    code_host_cancel(&m->worker->code.host, m->request);
}

void module_fetch_begin(struct worker *w, struct http_exchange *x, struct request *r,
                        uint32_t timeout_ms)
{
    struct module_fetch *m = MEM_NEW(struct module_fetch);
    m->callee.cancel = on_cancel;
    m->worker = w;
    m->x = x;
    m->request = r;
    r->identity = code_host_module(r->address.ns);
    r->user = m;
    r->answer = on_answer;
    http_exchange_set_user(x, &m->callee);
    code_host_submit_module(&w->code.host, r, timeout_ms);
}
