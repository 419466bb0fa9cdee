#include "node/fetch_ask.h"

#include "base/mem.h"
#include "node/answer.h"
#include "node/answer_fetch.h"
#include "node/callee.h"
#include "node/client_body.h"
#include "node/client_socket.h"
#include "node/errand.h"
#include "node/node.h"
#include "node/worker.h"

struct fetch_ask {
    struct callee callee;
    struct errand errand; /* of an actor's; a module runs here */
    struct worker *worker;
    struct http_exchange *x;      /* NULL: the client went away, and its line with it */
    struct client_socket *socket; /* one of the two, for a line to the client */
    struct client_body *body;
    enum body_form form;
};

static void drop_line(struct fetch_ask *a)
{
    if (a->socket != NULL) {
        client_socket_drop(a->socket);
    } else {
        client_body_drop(a->body);
    }
}

/* Takes the request. */
static void answer(struct fetch_ask *a, struct request *r)
{
    struct http_exchange *x = a->x;
    if (x != NULL) {
        a->x = NULL;
        http_exchange_set_user(x, NULL);
        if (a->socket != NULL && answer_fetched_has(r, FETCHED_SOCKET)) {
            answer_with_socket(a->socket, r);
        } else if (a->body != NULL && answer_fetched_has(r, FETCHED_STREAM)) {
            answer_with_body(a->body, r);
        } else {
            drop_line(a);
            answer_limit(x, r);
            answer_reply(x, r, a->form);
        }
    }
    a->worker->counts.by_err[r->reply.err]++;
    request_free(r);
}

static void on_done(struct errand *e)
{
    struct fetch_ask *a = CONTAINER_OF(e, struct fetch_ask, errand);
    if (a->worker->node->has_joined) {
        e->request->reply.owner = e->parcel.node;
    }
    answer(a, e->request);
}

static void on_gone(struct errand *e)
{
    mem_free(CONTAINER_OF(e, struct fetch_ask, errand));
}

static void on_module_answer(struct request *r)
{
    struct fetch_ask *a = r->user;
    answer(a, r);
    mem_free(a);
}

static void on_cancel(struct callee *c)
{
    struct fetch_ask *a = CONTAINER_OF(c, struct fetch_ask, callee);
    drop_line(a);
    a->x = NULL;
    if (a->errand.request->kind == REQUEST_MODULE_FETCH) {
        code_host_cancel(&a->worker->code.host, a->errand.request);
    } else {
        errand_cancel(&a->errand);
    }
}

static void refuse(struct worker *w, struct http_exchange *x, struct request *r)
{
    answer_err(x, ERR_OVERLOADED);
    w->counts.by_err[ERR_OVERLOADED]++;
    request_free(r);
}

static void begin_of_actor(struct fetch_ask *a, struct request *r, uint32_t timeout_ms)
{
    struct worker *w = a->worker;
    a->errand.shard = identity_shard(&r->identity, w->node->data.shard_count);
    a->errand.timeout_ms = timeout_ms;
    a->errand.done = on_done;
    a->errand.gone = on_gone;
    if (errand_begin(&a->errand, w) != ERR_OK) {
        http_exchange_set_user(a->x, NULL);
        drop_line(a);
        refuse(w, a->x, r);
        mem_free(a);
    }
}

static void begin_of_module(struct fetch_ask *a, struct request *r, uint32_t timeout_ms)
{
    r->identity = code_host_module(r->address.ns);
    r->user = a;
    r->answer = on_module_answer;
    code_host_submit_module(&a->worker->code.host, r, timeout_ms);
}

/* False: there are too many. */
static bool open_line(struct fetch_ask *a, struct request *r)
{
    struct sockets *s = &a->worker->sockets;
    uint64_t id = 0;
    r->is_for_body = !http_exchange_request(a->x)->wants_socket;
    if (r->is_for_body) {
        a->body = client_body_new(&s->bodies, a->x);
        id = a->body != NULL ? client_body_id(a->body) : 0;
    } else {
        a->socket = client_socket_new(&s->clients, a->x);
        id = a->socket != NULL ? client_socket_id(a->socket) : 0;
        if (a->socket != NULL && r->has_token) {
            client_socket_set_token(a->socket, r->token_hash);
        }
    }
    r->socket = (struct socket_ref){.id = id, .node = a->worker->node->id};
    return id != 0;
}

void fetch_ask_begin(struct worker *w, struct http_exchange *x, struct request *r,
                     uint32_t timeout_ms)
{
    fetch_ask_begin_in(w, x, r, timeout_ms, FORM_UNSAID);
}

void fetch_ask_begin_in(struct worker *w, struct http_exchange *x, struct request *r,
                        uint32_t timeout_ms, enum body_form form)
{
    struct fetch_ask *a = MEM_NEW(struct fetch_ask);
    a->form = form;
    a->callee.cancel = on_cancel;
    a->worker = w;
    a->x = x;
    a->errand.request = r;
    if (!open_line(a, r)) {
        mem_free(a);
        refuse(w, x, r);
        return;
    }
    http_exchange_set_user(x, &a->callee);
    if (r->kind == REQUEST_MODULE_FETCH) {
        begin_of_module(a, r, timeout_ms);
    } else {
        begin_of_actor(a, r, timeout_ms);
    }
}
