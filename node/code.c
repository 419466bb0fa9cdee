#include "node/code.h"

#include <string.h>

#include "base/hex.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "node/audit.h"
#include "node/code_checks.h"
#include "node/code_fetch.h"
#include "node/code_log.h"
#include "node/decode_code.h"
#include "node/errand.h"
#include "node/node.h"
#include "node/worker.h"
#include "rpc/value.h"

/* A session's isolate. */
struct link {
    struct isolate_user user;
    struct code_session *session;
};

/* A call of one actor by another. */
struct call {
    struct errand errand;
    struct code *code;
    struct code_call *call;
};

static const struct deployment *deployment_of(struct code *c, struct slice ns)
{
    return cluster_view_deployment(worker_view(c->worker), ns);
}

static bool map_has(struct slice map, struct slice name)
{
    struct slice key;
    struct slice value;
    for (struct value_iter it = value_entries(map); value_next_entry(&it, &key, &value);) {
        if (slice_equal(key, name)) {
            return true;
        }
    }
    return false;
}

static const struct deployment *deployment_with(struct code *c, struct slice ns, struct slice class)
{
    const struct deployment *d = deployment_of(c, ns);
    bool has = class.len > 0 ? deployment_class(d, class) != NULL : d != NULL && d->has_default;
    return has ? d : NULL;
}

static uint64_t version_of(void *ctx, struct slice ns, struct slice class)
{
    const struct deployment *d = deployment_with(ctx, ns, class);
    return d != NULL ? d->version : 0;
}

/* Every class is bound under its own name, unless that is given to another. */
static void put_bindings(struct buf *out, const struct deployment *d)
{
    struct slice key;
    struct slice value;
    uint32_t count = value_count(d->bindings);
    for (size_t i = 0; i < d->class_count; i++) {
        count += map_has(d->bindings, d->classes[i].name) ? 0 : 1;
    }
    value_put_map(out, count);
    for (struct value_iter it = value_entries(d->bindings); value_next_entry(&it, &key, &value);) {
        value_put_str(out, key);
        value_put_raw(out, value);
    }
    for (size_t i = 0; i < d->class_count; i++) {
        if (!map_has(d->bindings, d->classes[i].name)) {
            value_put_str(out, d->classes[i].name);
            value_put_str(out, d->classes[i].name);
        }
    }
}

static void put_workflows(struct buf *out, const struct deployment *d)
{
    uint32_t count = 0;
    for (size_t i = 0; i < d->class_count; i++) {
        count += d->classes[i].kind == CLASS_WORKFLOW ? 1 : 0;
    }
    value_put_array(out, count);
    for (size_t i = 0; i < d->class_count; i++) {
        if (d->classes[i].kind == CLASS_WORKFLOW) {
            value_put_str(out, d->classes[i].name);
        }
    }
}

static bool find(void *ctx, struct slice ns, struct slice class, struct code_class *ret)
{
    struct code *c = ctx;
    const struct deployment *d = deployment_with(c, ns, class);
    if (d == NULL) {
        return false;
    }
    buf_clear(&c->bindings);
    put_bindings(&c->bindings, d);
    buf_clear(&c->workflows);
    put_workflows(&c->workflows, d);
    *ret = (struct code_class){.version = d->version,
                               .modules = d->modules,
                               .main = d->main,
                               .env = d->env,
                               .bindings = buf_slice(&c->bindings),
                               .workflows = buf_slice(&c->workflows)};
    return true;
}

/* Isolates */

static void on_frame(struct isolate_user *u, struct slice frame)
{
    code_host_on_frame(CONTAINER_OF(u, struct link, user)->session, frame);
}

static void on_ended(struct isolate_user *u, enum isolate_end end,
                     const struct isolate_usage *usage)
{
    struct link *l = CONTAINER_OF(u, struct link, user);
    struct code_session *s = l->session;
    mem_free(l);
    const struct code_end how = {.out_of_memory = end == ISOLATE_END_MEMORY,
                                 .usage = {usage->cpu_us, usage->peak_bytes}};
    code_host_on_end(s, &how);
}

static struct isolate *take(void *ctx, struct code_session *s, const struct code_limits *limits,
                            const char **ret_why)
{
    struct code *c = ctx;
    const struct isolate_limits bounds = {.memory_bytes = limits->memory_bytes};
    struct link *l = MEM_NEW(struct link);
    l->user = (struct isolate_user){.frame = on_frame, .ended = on_ended};
    l->session = s;
    struct isolate *i = isolates_take(&c->isolates, &bounds, &l->user);
    if (i == NULL) {
        *ret_why = c->isolates.text;
        mem_free(l);
    }
    return i;
}

static void kill_isolate(struct isolate *i)
{
    struct isolate_user *u = isolate_user(i);
    isolate_kill(i);
    if (u != NULL) {
        mem_free(CONTAINER_OF(u, struct link, user));
    }
}

static void usage_of(struct isolate *i, bool wants_peak, struct code_usage *ret)
{
    struct isolate_usage usage;
    isolate_usage(i, wants_peak, &usage);
    *ret = (struct code_usage){.cpu_us = usage.cpu_us, .peak_bytes = usage.peak_bytes};
}

/* Other actors */

static bool identify(void *ctx, struct slice ns, struct slice class, struct slice name,
                     struct slice hex, char ret_hex[2 * IDENTITY_BYTES + 1])
{
    struct code *c = ctx;
    const uint8_t *key = c->worker->node->data.address_key;
    struct address a = {.ns = ns, .class = class, .id = hex.len > 0 ? hex : name};
    struct identity identity;
    if (a.id.len == 0) {
        if (!address_class_is_valid(class)) {
            return false;
        }
        identity = address_new_identity(&a, key);
    } else if (address_check(&a) != ERR_OK) {
        return false;
    } else {
        identity = address_identity(&a, key);
    }
    hex_encode(identity.bytes, IDENTITY_BYTES, ret_hex);
    return hex.len == 0 || slice_equal_str(hex, ret_hex);
}

static void put_error(struct buf *out, const struct reply *reply)
{
    const struct err_info *info = err_info(reply->err);
    bool has_exception = reply->err == ERR_ACTOR_EXCEPTION || reply->err == ERR_ACTOR_CUT_OFF;
    if (has_exception && reply->body != NULL) {
        buf_append_slice(out, bytes_slice(reply->body));
        return;
    }
    value_put_map(out, 4);
    value_put_text(out, "code");
    value_put_text(out, info->code);
    value_put_text(out, "message");
    value_put_text(out, reply->detail != NULL ? reply->detail : info->text);
    value_put_text(out, "retryable");
    value_put_bool(out, info->retryable);
    value_put_text(out, "maybe_applied");
    value_put_bool(out, info->maybe_applied);
}

/* A call's result is bytes that hold it; a fetch's answer is as it came. */
static void put_result(struct buf *out, const struct request *r)
{
    struct slice doc = bytes_slice(r->reply.body);
    struct slice result;
    if (request_is_of_workflow(r->kind)) {
        value_put_bin(out, doc);
    } else if (r->kind == REQUEST_CALL) {
        bool has_result = value_member(doc, "result", &result);
        INVARIANT(has_result);
        value_put_bin(out, result);
    } else {
        value_put_raw(out, doc);
    }
}

static void on_called(struct errand *e)
{
    struct call *v = CONTAINER_OF(e, struct call, errand);
    struct buf payload = {0};
    bool is_ok = e->request->reply.err == ERR_OK;
    if (is_ok) {
        put_result(&payload, e->request);
    } else {
        put_error(&payload, &e->request->reply);
    }
    code_host_called(v->call, is_ok, buf_slice(&payload));
    buf_done(&payload);
    request_free(e->request);
}

static void on_gone(struct errand *e)
{
    struct call *v = CONTAINER_OF(e, struct call, errand);
    v->code->call_count--;
    mem_free(v);
}

static void refuse_call(struct call *v, enum err err)
{
    struct buf payload = {0};
    struct reply reply;
    reply_init(&reply);
    (void)reply_fail(&reply, err, NULL);
    put_error(&payload, &reply);
    reply_clear(&reply);
    request_free(v->errand.request);
    code_host_called(v->call, false, buf_slice(&payload));
    buf_done(&payload);
    v->code->call_count--;
    mem_free(v);
}

static void call_actor(void *ctx, struct code_call *call, struct request *r)
{
    struct code *c = ctx;
    struct node *n = c->worker->node;
    struct call *v = MEM_NEW(struct call);
    v->code = c;
    v->call = call;
    r->identity = address_identity(&r->address, n->data.address_key);
    v->errand.request = r;
    v->errand.shard = identity_shard(&r->identity, n->data.shard_count);
    v->errand.timeout_ms = REQUEST_TIMEOUT_MS;
    v->errand.done = on_called;
    v->errand.gone = on_gone;
    c->call_count++;
    const struct deployed_class *class =
        deployment_class(deployment_of(c, r->address.ns), r->address.class);
    if (class == NULL) {
        refuse_call(v, ERR_NO_SUCH_CLASS);
    } else if (!class_takes(class, r->kind)) {
        refuse_call(v, ERR_NO_SUCH_METHOD);
    } else if (errand_begin(&v->errand, c->worker) != ERR_OK) {
        refuse_call(v, ERR_OVERLOADED);
    }
}

static void fetch(void *ctx, struct code_incoming *in, struct slice args)
{
    code_fetch_begin(ctx, in, args);
}

static struct shard *shard_of(void *ctx, uint32_t number)
{
    struct code *c = ctx;
    struct shard *shard = engine_shard(c->worker->engine, number);
    return shard != NULL && shard_is_leading(shard) ? shard : NULL;
}

static const struct code_hooks hooks = {.version = version_of,
                                        .find = find,
                                        .take = take,
                                        .send = isolate_send,
                                        .pause = isolate_pause,
                                        .kill = kill_isolate,
                                        .usage = usage_of,
                                        .memory = isolate_memory_bytes,
                                        .identify = identify,
                                        .call = call_actor,
                                        .fetch = fetch,
                                        .fetch_credit = code_fetch_credit,
                                        .fetch_cancel = code_fetch_cancel,
                                        .log = code_log_line,
                                        .thrown = code_log_thrown,
                                        .shard = shard_of};

/* Life */

static void on_egress_record(void *ctx, const struct egress_record *r)
{
    audit_record(ctx, r);
}

void code_open(struct code *c, struct worker *w)
{
    static const uint64_t sizes[] = {CODE_CLASS_MEMORY_BYTES, CODE_RUN_MEMORY_BYTES};
    *c = (struct code){.worker = w};
    list_init(&c->checks);
    code_host_init(&c->host, &w->registry, &hooks, c);
    isolates_open(&c->isolates, &w->loop, w->node->launch, sizes, sizeof sizes / sizeof sizes[0]);
    egress_uv_open(&c->egress, &w->loop, w->node->launch, on_egress_record, w);
}

void code_tell(struct code *c, struct code_report *ret)
{
    isolates_look_at_memory(&c->isolates);
    *ret = (struct code_report){.stats = c->host.stats,
                                .sessions = c->host.session_count,
                                .isolates = c->isolates.count,
                                .isolates_warm = isolates_warm_count(&c->isolates),
                                .isolate_memory_bytes = c->isolates.memory_bytes,
                                .isolate_layers = c->isolates.layers,
                                .isolate_stats = c->isolates.stats,
                                .egress_layers = c->egress.client.layers,
                                .egress = c->egress.client.counters};
    ret->egress.requests += c->fetches_denied;
    ret->egress.denied += c->fetches_denied;
    memcpy(ret->no_code, c->isolates.text, sizeof ret->no_code);
}

void code_close(struct code *c)
{
    code_host_stop(&c->host);
    code_checks_stop(&c->checks);
    egress_uv_close(&c->egress);
    isolates_close(&c->isolates);
}

void code_done(struct code *c)
{
    code_host_done(&c->host);
    buf_done(&c->bindings);
    buf_done(&c->workflows);
}

void code_tick(struct code *c, uint64_t now_ms)
{
    code_host_tick(&c->host, now_ms);
    code_checks_tick(&c->checks, now_ms);
}

uint64_t code_next_ms(const struct code *c)
{
    uint64_t host_ms = code_host_next_ms(&c->host);
    uint64_t isolates_ms = isolates_next_ms(&c->isolates);
    return host_ms < isolates_ms ? host_ms : isolates_ms;
}

void code_flush(struct code *c, uint64_t now_ms)
{
    code_host_deliver_sockets(&c->host);
    isolates_flush(&c->isolates, now_ms);
}
