#include "node/socket_ask.h"

#include "base/mem.h"
#include "node/answer.h"
#include "node/answer_fetch.h"
#include "node/callee.h"
#include "node/client_socket.h"
#include "node/errand.h"
#include "node/node.h"
#include "node/worker.h"

struct socket_ask {
    struct callee callee;
    struct errand errand; /* of an actor's; a module runs here */
    struct worker *worker;
    struct http_exchange *x; /* NULL: the client went away, and the socket with it */
    struct client_socket *socket;
};

/* Takes the request. */
static void answer(struct socket_ask *a, struct request *r)
{
    a->worker->counts.by_err[r->reply.err]++;
    if (a->x != NULL) {
        http_exchange_set_user(a->x, NULL);
        if (answer_fetched_has_socket(r)) {
            answer_with_socket(a->socket, r);
        } else {
            client_socket_drop(a->socket);
            answer_reply(a->x, r, FORM_UNSAID);
        }
        a->x = NULL;
    }
    request_free(r);
}

static void on_done(struct errand *e)
{
    struct socket_ask *a = CONTAINER_OF(e, struct socket_ask, errand);
    if (a->worker->node->has_joined) {
        e->request->reply.owner = e->parcel.node;
    }
    answer(a, e->request);
}

static void on_gone(struct errand *e)
{
    mem_free(CONTAINER_OF(e, struct socket_ask, errand));
}

static void on_module_answer(struct request *r)
{
    struct socket_ask *a = r->user;
    answer(a, r);
    mem_free(a);
}

static void on_cancel(struct callee *c)
{
    struct socket_ask *a = CONTAINER_OF(c, struct socket_ask, callee);
    client_socket_drop(a->socket);
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

static void begin_of_actor(struct socket_ask *a, struct request *r, uint32_t timeout_ms)
{
    struct worker *w = a->worker;
    a->errand.shard = identity_shard(&r->identity, w->node->data.shard_count);
    a->errand.timeout_ms = timeout_ms;
    a->errand.done = on_done;
    a->errand.gone = on_gone;
    if (errand_begin(&a->errand, w) != ERR_OK) {
        http_exchange_set_user(a->x, NULL);
        client_socket_drop(a->socket);
        refuse(w, a->x, r);
        mem_free(a);
    }
}

static void begin_of_module(struct socket_ask *a, struct request *r, uint32_t timeout_ms)
{
    r->identity = code_host_module(r->address.ns);
    r->user = a;
    r->answer = on_module_answer;
    code_host_submit_module(&a->worker->code.host, r, timeout_ms);
}

void socket_ask_begin(struct worker *w, struct http_exchange *x, struct request *r,
                      uint32_t timeout_ms)
{
    struct client_socket *socket = client_socket_new(&w->sockets.clients, x);
    if (socket == NULL) {
        refuse(w, x, r);
        return;
    }
    struct socket_ask *a = MEM_NEW(struct socket_ask);
    a->callee.cancel = on_cancel;
    a->worker = w;
    a->x = x;
    a->socket = socket;
    a->errand.request = r;
    r->socket = (struct socket_ref){.id = client_socket_id(socket), .node = w->node->id};
    if (r->has_token) {
        client_socket_set_token(socket, r->token_hash);
    }
    http_exchange_set_user(x, &a->callee);
    if (r->kind == REQUEST_MODULE_FETCH) {
        begin_of_module(a, r, timeout_ms);
    } else {
        begin_of_actor(a, r, timeout_ms);
    }
}
