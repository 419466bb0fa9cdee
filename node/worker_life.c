/* A worker's life: what it makes of the orders that the node gives, once an iteration of its loop. */
#include <stdio.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "node/dispatch.h"
#include "node/log_stream.h"
#include "node/node.h"
#include "node/watch_stream.h"
#include "node/worker.h"
#include "node/worker_own.h"

/* A state change has one door. */
static void worker_move(struct worker *w, enum worker_state to)
{
    static const bool allowed[WORKER_STATE_COUNT][WORKER_STATE_COUNT] = {
        [WORKER_STARTING] = {[WORKER_READY] = true, [WORKER_DRAINING] = true},
        [WORKER_READY] = {[WORKER_SERVING] = true, [WORKER_DRAINING] = true},
        [WORKER_SERVING] = {[WORKER_LEAVING] = true},
        [WORKER_LEAVING] = {[WORKER_DRAINING] = true},
        [WORKER_DRAINING] = {[WORKER_QUIET] = true},
        [WORKER_QUIET] = {[WORKER_ENDING] = true},
    };
    INVARIANT(allowed[w->state][to]);
    w->state = to;
}

static const struct http_hooks http_hooks = {
    .on_request = dispatch_request,
    .on_cancel = dispatch_cancel,
    .on_writable = dispatch_writable,
    .on_data = dispatch_data,
};

static void log_start(const struct worker *w)
{
    struct engine_stats stats;
    engine_stats(w->engine, &stats);
    LOG(LOG_INFO, "serving", LOG_INT("worker", w->index), LOG_STR("data", w->node->data.path),
        LOG_INT("port", w->node->port), LOG_INT("actors", (int64_t)stats.actors));
    if (!stats.is_direct) {
        LOG(LOG_WARN, "wal_buffered", LOG_STR("data", w->node->data.path),
            LOG_STR("why", "the file system has no O_DIRECT: each write is followed by fdatasync"));
    }
}

/* The node's TLS context as it is now, a reference of the caller's own; NULL: in the clear. */
static struct tls_context *take_tls(struct worker *w)
{
    if (w->node->tls == NULL) {
        return NULL;
    }
    struct tls_context *tls = tls_source_take(w->node->tls, &w->tls_generation);
    w->tls_expires_ms = tls_context_expires_ms(tls);
    return tls;
}

/* A new certificate is for the connections to come. */
void worker_renew_tls(struct worker *w)
{
    if (w->is_listening && w->node->tls != NULL &&
        atomic_load(&w->node->tls->generation) != w->tls_generation) {
        struct tls_context *tls = take_tls(w);
        listener_use_tls(&w->listener, tls);
        tls_context_unref(tls);
    }
}

static enum err start_listening(struct worker *w)
{
    const struct options *o = w->node->options;
    const char *reason = "";
    struct tls_context *tls = take_tls(w);
    const struct listener_options options = {
        .host = o->host,
        .port = w->index == 0 ? o->port : w->node->port,
        .is_first = w->index == 0,
        .date = &w->date,
        .tls = tls,
    };
    (void)worker_read_clocks(w); /* the first request comes before the next tick */
    enum err err = listener_open(&w->listener, &w->loop, &options, &http_hooks, w, &reason);
    tls_context_unref(tls);
    if (err != ERR_OK) {
        (void)snprintf(w->detail, sizeof w->detail, "%s:%u: %s", o->host, o->port, reason);
        return err;
    }
    w->is_listening = true;
    w->listener.user = w;
    if (w->index == 0) {
        w->node->port = listener_port(&w->listener);
    }
    return ERR_OK;
}

static void serve(struct worker *w)
{
    w->err = start_listening(w);
    if (w->err != ERR_OK) {
        node_on_failed(w->node);
        return;
    }
    worker_move(w, WORKER_SERVING);
    log_start(w);
    worker_publish_report(w);
    node_on_serving(w->node);
}

static void on_listener_closed(struct listener *l)
{
    OBJ_CAST(worker, l->user, WORKER_MAGIC);
    worker->is_listening = false;
}

static void on_drained(struct listener *l)
{
    listener_close(l, on_listener_closed);
}

/* Other nodes take what this one leads, while it serves on: no request meets a shard without a leader for
 * longer than such a move takes. */
static void leave(struct worker *w)
{
    worker_move(w, WORKER_LEAVING);
    w->drain_ms = clock_mono_ms() + STEWARD_LEAVE_MS;
    steward_leave(&w->steward);
}

static void drain(struct worker *w)
{
    worker_move(w, WORKER_DRAINING);
    w->drain_ms = clock_mono_ms() + DRAIN_MS;
    courier_stop(&w->courier);
    listings_stop(&w->listings, clock_mono_ms());
    audits_stop(&w->audits);
    broker_stop(&w->broker);
    log_streams_end_all(w);
    log_peers_stop(&w->log_peers);
    watch_stream_end_all(w);
    watch_relays_end_all(&w->relays);
    sockets_end_all(&w->sockets);
    if (w->is_listening) {
        listener_drain(&w->listener, DRAIN_MS, on_drained);
    }
}

static bool has_answered_all(const struct worker *w)
{
    return !w->is_listening && w->away_count == 0 && w->code.call_count == 0 &&
           ((w->forward.visitor_count == 0 && listings_are_idle(&w->listings) &&
             audits_are_idle(&w->audits) && broker_is_idle(&w->broker) &&
             sockets_are_quiet(&w->sockets)) ||
            clock_mono_ms() >= w->drain_ms);
}

static void rest(struct worker *w)
{
    worker_move(w, WORKER_QUIET);
    scheduler_stop(&w->scheduler);
    node_on_quiet(w->node);
}

/* The last to go are the connections to other nodes: answers to these may still be on their way. */
static void go_on_draining(struct worker *w)
{
    if (!has_answered_all(w)) {
        return;
    }
    orders_stop(&w->orders);
    neighbours_close(&w->neighbours);
    if (neighbours_is_closed(&w->neighbours) && steward_is_idle(&w->steward)) {
        rest(w);
    }
}

void worker_close_handles(struct worker *w)
{
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_close((uv_handle_t *)&w->before_sleep, NULL);
    uv_close((uv_handle_t *)&w->after_sleep, NULL);
    uv_close((uv_handle_t *)&w->timer, NULL);
    sandboxes_close(&w->sandboxes);
    code_close(&w->code);
    webhooks_close(&w->webhooks);
}

/* What the records say of access must be known. Those of a node that has just joined are empty until it
 * has a copy of them: whoever is a member knows of members. */
static bool knows_records(const struct node *n)
{
    return n->view != NULL && (n->view->member_count > 0 || !n->has_joined || n->founds);
}

/* A member of a cluster serves before its shards have leaders, which may be on nodes that are yet to
 * come. */
static bool is_ready(const struct worker *w)
{
    const struct node *n = w->node;
    bool has_shards = engine_is_ready(w->engine) || (n->has_joined && !n->founds);
    return has_shards && (w->index > 0 || knows_records(n));
}

/* What the state and the order make of each other; once an iteration. */
void worker_follow_order(struct worker *w)
{
    int order = atomic_load(&w->order);
    switch (w->state) {
    case WORKER_STARTING:
        if (order >= ORDER_DRAIN) {
            drain(w);
        } else if (is_ready(w)) {
            worker_move(w, WORKER_READY);
            worker_publish_report(w);
            node_on_ready(w->node);
        }
        return;
    case WORKER_READY:
        if (order >= ORDER_DRAIN) {
            drain(w);
        } else if (order == ORDER_LISTEN && w->err == ERR_OK) {
            serve(w);
        }
        return;
    case WORKER_SERVING:
        if (order >= ORDER_DRAIN) {
            leave(w);
        }
        return;
    case WORKER_LEAVING:
        if (steward_has_left(&w->steward) || clock_mono_ms() >= w->drain_ms) {
            drain(w);
        }
        return;
    case WORKER_DRAINING:
        go_on_draining(w);
        return;
    case WORKER_QUIET:
        if (order == ORDER_END) {
            worker_move(w, WORKER_ENDING);
            worker_close_handles(w);
        }
        return;
    case WORKER_ENDING:
    case WORKER_STATE_COUNT:
        return;
    }
}
