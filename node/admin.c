#include "node/admin.h"

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/audit.h"
#include "node/cluster.h"
#include "node/deploy.h"
#include "node/deployed.h"
#include "node/listing.h"
#include "node/log_stream.h"
#include "node/metrics.h"
#include "node/node.h"
#include "node/order_http.h"
#include "node/secrets.h"
#include "node/status_show.h"
#include "node/tokens.h"
#include "rpc/value.h"

static void answer_health(struct http_exchange *x)
{
    struct buf doc = {0};
    value_put_map(&doc, 1);
    value_put_text(&doc, "status");
    value_put_text(&doc, "ok");
    answer_document(x, 200, buf_slice(&doc), accepted_form(http_exchange_request(x)));
    buf_done(&doc);
}

/* The reports of all workers, as of a moment ago. */
static uint32_t workers_not_ready(struct node *n)
{
    uint32_t count = 0;
    (void)pthread_mutex_lock(&n->mutex);
    for (uint32_t i = 0; i < n->worker_count; i++) {
        count += n->workers[i].report.ready ? 0 : 1;
    }
    (void)pthread_mutex_unlock(&n->mutex);
    return count;
}

static void answer_ready(struct node *n, struct http_exchange *x)
{
    uint32_t not_ready = workers_not_ready(n);
    if (not_ready > 0) {
        struct decode_error error;
        (void)decode_fail(&error, ERR_UNAVAILABLE, "%u of %u workers have shards without a leader.",
                          not_ready, n->worker_count);
        answer_error(x, &error);
        return;
    }
    answer_health(x);
}

/* Copies, so that nobody formats text under the mutex; free with mem_free. */
static struct worker_report *copy_reports(struct node *n)
{
    struct worker_report *reports = mem_alloc(n->worker_count * sizeof *reports);
    (void)pthread_mutex_lock(&n->mutex);
    for (uint32_t i = 0; i < n->worker_count; i++) {
        reports[i] = n->workers[i].report;
    }
    (void)pthread_mutex_unlock(&n->mutex);
    return reports;
}

static void answer_metrics(struct worker *w, struct http_exchange *x)
{
    struct node *n = w->node;
    static const struct http_header type = {
        {(const uint8_t *)"content-type", 12},
        {(const uint8_t *)"text/plain; version=0.0.4; charset=utf-8", 40}};
    worker_publish_report(w);
    struct worker_report *reports = copy_reports(n);
    struct buf text = {0};
    metrics_write(n, reports, n->worker_count, &text);
    struct bytes *body = bytes_new(buf_slice(&text));
    http_respond(x, 200, &type, 1, body);
    bytes_unref(body);
    buf_done(&text);
    mem_free(reports);
}

static void answer_status(struct worker *w, struct http_exchange *x)
{
    struct node *n = w->node;
    worker_publish_report(w);
    struct worker_report *reports = copy_reports(n);
    struct buf doc = {0};
    status_show(n, reports, n->worker_count, &doc);
    answer_document(x, 200, buf_slice(&doc), accepted_form(http_exchange_request(x)));
    buf_done(&doc);
    mem_free(reports);
}

static bool has_body(struct http_exchange *x)
{
    const struct bytes *body = http_exchange_request(x)->body;
    return body != NULL && body->len > 0;
}

/* Changes of the cluster, which worker 0 decides or sends on to who does. False: the route is none. */
static bool give_order(struct worker *w, struct http_exchange *x, const struct route *route,
                       const struct token *token)
{
    static const struct slice nothing = {0};
    struct slice subject = route->segment_count > 0 ? route->segments[0] : nothing;
    switch ((int)route->name) {
    case ROUTE_TOKENS:
        order_open(w, x, ORDER_TOKEN_CREATE, nothing, true, token);
        return true;
    case ROUTE_TOKEN:
        order_open(w, x, ORDER_TOKEN_REVOKE, subject, false, token);
        return true;
    case ROUTE_JOIN_TOKENS:
        order_open(w, x, ORDER_JOIN_TOKEN, nothing, has_body(x), token);
        return true;
    case ROUTE_MEMBERS:
        order_open(w, x, ORDER_MEMBER_ADD, nothing, true, token);
        return true;
    case ROUTE_MEMBER:
        order_open(w, x, ORDER_MEMBER_REMOVE, subject, false, token);
        return true;
    case ROUTE_MEMBER_DRAIN:
        order_open(w, x, ORDER_MEMBER_DRAIN, subject, false, token);
        return true;
    case ROUTE_MEMBER_UNDRAIN:
        order_open(w, x, ORDER_MEMBER_UNDRAIN, subject, false, token);
        return true;
    case ROUTE_SHARD_MOVE:
        order_open(w, x, ORDER_SHARD_MOVE, subject, true, token);
        return true;
    case ROUTE_REBALANCE:
        order_open(w, x, ORDER_REBALANCE, nothing, false, token);
        return true;
    default:
        return false;
    }
}

static void deploy_or_show(struct worker *w, struct http_exchange *x, struct slice ns,
                           const struct token *token)
{
    if (slice_equal_str(http_exchange_request(x)->method, "PUT")) {
        deploy_open(w, x, ns, token);
    } else {
        deployed_show(w, x, ns);
    }
}

void admin_answer(struct worker *w, struct http_exchange *x, const struct route *route,
                  struct slice query, const struct token *token)
{
    switch ((int)route->name) {
    case ROUTE_HEALTHZ:
        answer_health(x);
        return;
    case ROUTE_READYZ:
        answer_ready(w->node, x);
        return;
    case ROUTE_METRICS:
        answer_metrics(w, x);
        return;
    case ROUTE_STATUS:
        answer_status(w, x);
        return;
    case ROUTE_CLUSTER:
        cluster_open(w, x);
        return;
    case ROUTE_ACTORS:
        listing_open(w, x, route->segments[0], query);
        return;
    case ROUTE_LOGS:
        log_stream_open(w, x, route->segments[0], query, token);
        return;
    case ROUTE_DEPLOY:
        deploy_or_show(w, x, route->segments[0], token);
        return;
    case ROUTE_VERSIONS:
        deployed_list(w, x, route->segments[0]);
        return;
    case ROUTE_ROLLBACK:
        deployed_rollback(w, x, route->segments[0], token);
        return;
    case ROUTE_AUDIT:
        audit_open(w, x, query, token);
        return;
    case ROUTE_SECRETS:
        secrets_list(w, x, route->segments[0]);
        return;
    case ROUTE_SECRET:
        secrets_change(w, x, route->segments[0], route->segments[1], token);
        return;
    case ROUTE_TOKENS:
        if (!slice_equal_str(http_exchange_request(x)->method, "POST")) {
            tokens_list(w, x, token);
            return;
        }
        break;
    default:
        break;
    }
    bool is_order = give_order(w, x, route, token);
    INVARIANT(is_order); /* the other routes are not LOCAL */
}
