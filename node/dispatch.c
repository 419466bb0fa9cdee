#include "node/dispatch.h"

#include "actor/request.h"
#include "base/invariant.h"
#include "node/access.h"
#include "node/admin.h"
#include "node/agent_path.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/cors.h"
#include "node/decode.h"
#include "node/decode_sandbox.h"
#include "node/fetch_ask.h"
#include "node/intake.h"
#include "node/node.h"
#include "node/preview.h"
#include "node/route.h"
#include "node/sink_direct.h"
#include "node/sink_remote.h"
#include "node/waiting.h"
#include "node/watch_relay.h"
#include "rpc/uri.h"

void dispatch_cancel(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    struct callee *callee = http_exchange_user(x);
    if (callee != NULL) {
        callee->cancel(callee);
    }
}

void dispatch_writable(void *ctx, struct http_exchange *x)
{
    (void)ctx;
    struct callee *callee = http_exchange_user(x);
    if (callee != NULL && callee->writable != NULL) {
        callee->writable(callee);
    }
}

void dispatch_data(void *ctx, struct http_exchange *x, struct slice in, bool is_end)
{
    (void)ctx;
    struct callee *callee = http_exchange_user(x);
    PRE(callee != NULL && callee->data != NULL); /* whoever accepted the socket */
    callee->data(callee, in, is_end);
}

static void watch(struct worker *w, struct http_exchange *x, struct request *r, uint32_t timeout_ms)
{
    uint32_t shard = identity_shard(&r->identity, w->node->data.shard_count);
    struct worker *owner = node_worker_of(w->node, shard);
    if (owner == w) {
        watch_begin(w, sink_direct_new(x), r, timeout_ms);
    } else {
        sink_remote_open(w, owner, x, r, timeout_ms);
    }
}

static void refuse(struct worker *w, struct http_exchange *x, enum err err, const char *detail)
{
    struct decode_error error;
    w->counts.by_err[err]++;
    (void)decode_fail(&error, err, "%s", detail);
    answer_error(x, &error);
}

static void on_decoded(const struct intake *in, enum err err, struct request *r,
                       uint32_t timeout_ms, const struct decode_error *error)
{
    struct worker *w = in->worker;
    if (err != ERR_OK) {
        w->counts.by_err[err]++;
        answer_error(in->x, error);
        return;
    }
    if (in->has_token) {
        r->has_token = true;
        memcpy(r->token_hash, in->token_hash, sizeof r->token_hash);
    }
    if (r->kind == REQUEST_MODULE_FETCH) {
        fetch_ask_begin(w, in->x, r, timeout_ms);
        return;
    }
    r->identity = identity_cache_get(&w->identities, &r->address, w->node->data.address_key);
    if (r->kind == REQUEST_WATCH) {
        watch(w, in->x, r, timeout_ms);
        return;
    }
    if (r->kind == REQUEST_SANDBOX) {
        fetch_ask_begin_in(w, in->x, r, decode_sandbox_timeout_ms(r, timeout_ms), in->form);
        return;
    }
    if (r->kind == REQUEST_CLASS_FETCH) {
        fetch_ask_begin(w, in->x, r, timeout_ms);
        return;
    }
    waiting_begin(w, in->x, r, timeout_ms, in->form);
}

static void to_actor(struct worker *w, struct http_exchange *x, const struct route *route,
                     struct slice query, const struct token *token)
{
    struct intake in = {.worker = w,
                        .x = x,
                        .route = *route,
                        .query = query,
                        .has_token = token != NULL,
                        .form = accepted_form(http_exchange_request(x))};
    if (token != NULL) {
        memcpy(in.token_hash, token->hash, sizeof in.token_hash);
    }
    intake_begin(&in, on_decoded);
}

static void refuse_access(struct worker *w, struct http_exchange *x, enum err err,
                          const char *detail)
{
    w->counts.by_err[err]++;
    if (err == ERR_UNAUTHENTICATED) {
        answer_unauthenticated(x, detail);
        return;
    }
    struct decode_error error;
    (void)decode_fail(&error, err, "%s", detail);
    answer_error(x, &error);
}

/* Who may not call anything here does not learn which classes there are. */
static void refuse_agent(struct worker *w, struct http_exchange *x, enum err err,
                         const char *detail)
{
    static const struct route any = {.scopes = SCOPE_CALL};
    const struct token *token;
    const char *why = "";
    enum err access = access_check_token(worker_view(w), http_exchange_request(x), &any,
                                         worker_read_clocks(w), &token, &why);
    if (access == ERR_UNAUTHENTICATED) {
        refuse_access(w, x, access, why);
    } else {
        refuse(w, x, err, detail);
    }
}

/* False: it has been answered. */
static bool resolve_agent(struct worker *w, struct http_exchange *x, struct slice *path,
                          struct slice *query)
{
    const struct http_request *h = http_exchange_request(x);
    struct buf target = {0};
    const char *detail = "";
    enum err err =
        agent_path_resolve(worker_view(w), *path, *query, h->wants_socket, &target, &detail);
    if (err == ERR_OK) {
        http_exchange_set_target(x, buf_slice(&target));
        err = uri_split(h->target, path, query);
    }
    buf_done(&target);
    if (err != ERR_OK) {
        refuse_agent(w, x, err, detail);
    }
    return err == ERR_OK;
}

void dispatch_request(void *ctx, struct http_exchange *x)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    const struct http_request *h = http_exchange_request(x);
    struct slice path;
    struct slice query;
    struct route route;
    const struct cluster_view *view = worker_view(worker);
    uint64_t wall_ms = worker_read_clocks(worker); /* what counts from now does so from here */
    if (preview_is(worker, h)) {
        preview_answer(worker, x);
        return;
    }
    const struct cors_origin *origin = cors_find(&worker->node->options->cors, h);
    if (origin != NULL) {
        http_exchange_set_fields(x, origin->fields, CORS_FIELDS);
    }
    if (access_check_origin(view, h, origin != NULL) != ERR_OK) {
        refuse(worker, x, ERR_FORBIDDEN, "A foreign Host or Origin.");
        return;
    }
    if (uri_split(h->target, &path, &query) != ERR_OK) {
        refuse(worker, x, ERR_BAD_REQUEST, "The request target is malformed.");
        return;
    }
    if (agent_path_is_one(path) && !resolve_agent(worker, x, &path, &query)) {
        return;
    }
    enum err err = route_find(h->method, path, &route);
    if (origin != NULL && cors_is_preflight(h) && err != ERR_NOT_FOUND) {
        cors_answer_preflight(x, route.methods); /* without a token: browsers ask so */
        return;
    }
    if (err == ERR_METHOD_NOT_ALLOWED) {
        worker->counts.by_err[err]++;
        answer_not_allowed(x, route.methods);
        return;
    }
    if (err != ERR_OK) {
        refuse(worker, x, err, "");
        return;
    }
    const struct token *token;
    const char *detail = "";
    err = access_check_token(view, h, &route, wall_ms, &token, &detail);
    if (err != ERR_OK) {
        refuse_access(worker, x, err, detail);
        return;
    }
    worker->counts.by_route[route.name]++;
    switch (route.place) {
    case ROUTE_IS_LATER:
        refuse(worker, x, ERR_NOT_IMPLEMENTED, "");
        return;
    case ROUTE_IS_LOCAL:
        if (route.name == ROUTE_SANDBOX_PORT) {
            preview_port(worker, x, &route);
            return;
        }
        admin_answer(worker, x, &route, query, token);
        return;
    case ROUTE_IS_ACTOR:
        to_actor(worker, x, &route, query, token);
        return;
    }
    UNREACHABLE();
}
