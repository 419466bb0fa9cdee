#include "node/worker.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/dispatch.h"
#include "node/errand.h"
#include "node/log_stream.h"
#include "node/node.h"
#include "node/watch_stream.h"
#include "node/worker_own.h"

enum {
    REPORT_MS = 250,
    RETRY_MS = 1, /* another worker had no room for a task */
    REQUESTS_MAX = 64 * 1024,
    EXCHANGE_ROUNDS = 4, /* then others of the loop */
};

uint64_t worker_read_clocks(struct worker *w)
{
    uint64_t wall_ms = clock_wall_ms();
    http_date_set(&w->date, wall_ms);
    engine_set_time(w->engine, clock_mono_ms(), wall_ms);
    return wall_ms;
}

/* Any thread. */
static void notify(void *ctx)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    (void)uv_async_send(&worker->wake);
}

static void on_lead(void *ctx, struct shard *s)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    if (shard_id(s) != SHARD_META) {
        scheduler_lead(&worker->scheduler, s); /* its actors wake when they are asked for */
        worker->leads_more = true;
    }
    neighbours_say_status(&worker->neighbours);
}

static void on_depose(void *ctx, struct shard *s)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    snapshots_depose(&worker->snapshots, s);
    if (shard_id(s) != SHARD_META) {
        sandbox_host_depose(&worker->sandboxes.host, s);
        code_host_depose(&worker->code.host, s);
        sockets_depose(&worker->sockets, shard_id(s));
        registry_depose(&worker->registry, s);
        scheduler_depose(&worker->scheduler, s);
    }
}

static void on_meta_applied(void *ctx, struct shard *s)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    (void)s;
    records_changed(&worker->records);
}

static void on_send(void *ctx, struct shard *s, uint64_t to, struct slice message)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    neighbours_send_raft(&worker->neighbours, s, to, message);
}

static void on_wants_snapshot(void *ctx, struct shard *s, uint64_t to, uint64_t index)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    (void)index;
    snapshots_send(&worker->snapshots, s, to);
}

static const struct shard_hooks shard_hooks = {.lead = on_lead,
                                               .depose = on_depose,
                                               .meta_applied = on_meta_applied,
                                               .send = on_send,
                                               .wants_snapshot = on_wants_snapshot};

const struct cluster_view *worker_view(struct worker *w)
{
    if (w->view_number != atomic_load_explicit(&w->node->view_number, memory_order_acquire)) {
        cluster_view_unref(w->view);
        w->view = node_view(w->node, &w->view_number);
    }
    INVARIANT(w->view != NULL); /* no port is open before there is one */
    return w->view;
}

/* Reports */

/* What an operator must hear of, once at each change. */
static void log_changes(struct worker *w, const struct engine_stats *stats)
{
    if (stats->is_full == w->was_full) {
        return;
    }
    w->was_full = stats->is_full;
    LOG(stats->is_full ? LOG_ERROR : LOG_INFO,
        stats->is_full ? "storage_full" : "storage_available", LOG_INT("worker", w->index),
        LOG_INT("disk_free_bytes", (int64_t)stats->disk_free_bytes),
        LOG_INT("store_bytes", (int64_t)stats->store_bytes));
}

void worker_publish_report(struct worker *w)
{
    uint64_t now_ms = clock_mono_ms();
    struct worker_report r = {
        .mono_ms = now_ms,
        .registry = w->registry.stats,
        .counts = w->counts,
        .streams = w->stream_count,
        .sockets = w->sockets.clients.count,
        .sockets_owned = w->sockets.owner.sets.socket_count,
        .sockets_moved = w->sockets.lines.moved,
        .sockets_lost = w->sockets.lines.lost,
        .actors = w->registry.actors.count,
        .actor_bytes = w->registry.memory_bytes,
        .requests = w->registry.request_count,
        .connections = w->is_listening ? listener_conn_count(&w->listener) : 0,
        .connections_refused = w->is_listening ? w->listener.refused_count : 0,
        .tls_expires_ms = w->index == 0 ? w->tls_expires_ms : 0,
        .ready = engine_is_ready(w->engine),
        .forwarded = w->courier.sent,
        .forwarded_again = w->courier.retried,
        .visited = w->forward.taken,
        .snapshots_sent = w->snapshots.sent,
        .snapshots_taken = w->snapshots.taken,
        .snapshots_failed = w->snapshots.failed,
        .snapshot_bytes_out = w->snapshots.bytes_out,
        .snapshot_bytes_in = w->snapshots.bytes_in,
    };
    r.peer_count = neighbours_stats(&w->neighbours, r.peers, BOARD_NODES_MAX);
    if (w->is_listening) {
        r.tls = w->listener.conns.shared.counts;
    }
    if (w->index == 0) { /* they are the node's */
        r.log_streams = log_board_streams(&w->node->logs);
        r.log_lines = atomic_load(&w->node->logs.lines);
        r.log_lines_lost = atomic_load(&w->node->logs.lost);
    }
    engine_stats(w->engine, &r.engine);
    code_tell(&w->code, &r.code);
    r.sandboxes = w->sandboxes.host.box_count;
    r.sandbox_stats = w->sandboxes.host.stats;
    log_changes(w, &r.engine);
    (void)pthread_mutex_lock(&w->node->mutex);
    w->report = r;
    (void)pthread_mutex_unlock(&w->node->mutex);
    w->next_report_ms = now_ms + REPORT_MS;
}

/* The loop */

static void on_timer(uv_timer_t *timer)
{
    OBJ_CAST(worker, timer->data, WORKER_MAGIC);
    worker->timer_ms = UINT64_MAX;
}

static void on_wake(uv_async_t *async)
{
    OBJ_CAST(worker, async->data, WORKER_MAGIC);
    struct worker *w = worker;
    (void)worker_read_clocks(w);
    engine_poll(w->engine);
    sideline_poll(&w->sideline);
    audits_poll(&w->audits);
    if (worker_run_tasks(w)) {
        (void)uv_async_send(&w->wake);
    }
}

static void submit_timer(void *ctx, struct shard *shard, struct request *r, uint32_t timeout_ms)
{
    OBJ_CAST(worker, ctx, WORKER_MAGIC);
    code_host_submit(&worker->code.host, shard, r, timeout_ms);
}

/* Timers of code, and runs, wait until it is known which code there is: what is due when a node starts comes before. */
static void begin_code(struct worker *w)
{
    if (w->scheduler.submit_code == NULL &&
        atomic_load_explicit(&w->node->view_number, memory_order_acquire) != 0) {
        w->scheduler.submit_code = submit_timer;
    }
}

static void after_sleep(uv_check_t *check)
{
    OBJ_CAST(worker, check->data, WORKER_MAGIC);
    struct worker *w = worker;
    uint64_t now_ms = clock_mono_ms();
    uint64_t wall_ms = worker_read_clocks(w);
    registry_tick(&w->registry, now_ms);
    code_tick(&w->code, now_ms);
    sandbox_host_tick(&w->sandboxes.host, now_ms, wall_ms);
    courier_tick(&w->courier, now_ms);
    begin_code(w);
    scheduler_tick(&w->scheduler, now_ms, wall_ms);
    neighbours_hear_pulses(&w->neighbours, now_ms);
    engine_tick(w->engine);
    neighbours_tick(&w->neighbours, now_ms);
    steward_tick(&w->steward, now_ms);
    snapshots_tick(&w->snapshots, now_ms);
    sink_peers_tick(&w->sink_peers);
    watch_relays_tick(&w->relays, now_ms);
    sockets_tick(&w->sockets, now_ms, wall_ms);
    orders_tick(&w->orders, now_ms);
    listings_tick(&w->listings, now_ms);
    audits_tick(&w->audits, now_ms);
    broker_tick(&w->broker, now_ms);
    log_peers_tick(&w->log_peers, now_ms);
    worker_renew_tls(w);
    if (now_ms >= w->next_report_ms) {
        worker_publish_report(w);
        sockets_check_tokens(&w->sockets);
        if (w->stream_count > 0) {
            watch_stream_tick(w, now_ms, wall_ms);
        }
        log_streams_tick(w, now_ms, wall_ms);
    }
}

static uint64_t earlier(uint64_t a_ms, uint64_t b_ms)
{
    return a_ms < b_ms ? a_ms : b_ms;
}

static void arm_timer(struct worker *w, uint64_t now_ms, uint64_t tick_ms)
{
    if (uv_is_closing((uv_handle_t *)&w->timer)) {
        return;
    }
    uint64_t next_ms = registry_next_ms(&w->registry);
    uint64_t timers_ms = scheduler_next_ms(&w->scheduler);
    uint64_t parcels_ms = courier_next_ms(&w->courier);
    uint64_t groups_ms = engine_next_ms(w->engine);
    next_ms = earlier(next_ms, code_next_ms(&w->code));
    next_ms = earlier(next_ms, sandbox_host_next_ms(&w->sandboxes.host));
    next_ms = earlier(next_ms, timers_ms);
    next_ms = earlier(next_ms, groups_ms);
    next_ms = earlier(next_ms, parcels_ms);
    next_ms = earlier(next_ms, neighbours_next_ms(&w->neighbours));
    next_ms = earlier(next_ms, steward_next_ms(&w->steward));
    next_ms = earlier(next_ms, orders_next_ms(&w->orders));
    next_ms = earlier(next_ms, listings_next_ms(&w->listings));
    next_ms = earlier(next_ms, audits_next_ms(&w->audits));
    next_ms = earlier(next_ms, broker_next_ms(&w->broker));
    next_ms = earlier(next_ms, now_ms + tick_ms);
    if (w->timer_ms <= next_ms && w->timer_ms > now_ms) {
        return; /* fires early enough */
    }
    w->timer_ms = next_ms;
    uint64_t delay_ms = next_ms > now_ms ? next_ms - now_ms : 0;
    int rc = uv_timer_start(&w->timer, on_timer, delay_ms, 0);
    INVARIANT(rc == 0);
}

/* True: there is more, which does not wait for anything. */
static bool run_streams(struct worker *w)
{
    uint64_t until_ns = clock_mono_ns() + WORKER_STREAMS_NS;
    bool has_more;
    do {
        has_more = watch_stream_step(w);
    } while (has_more && clock_mono_ns() < until_ns);
    return has_more;
}

/* What sockets and code have for clients leaves before the loop sleeps, for nothing would wake it for that; and what makes
 * room for more lets their other ends go on. True: it has not come to rest. */
static bool exchange(struct worker *w)
{
    for (int round = 0; round < EXCHANGE_ROUNDS; round++) {
        if (!w->is_listening || !listener_write(&w->listener)) {
            return false;
        }
        sockets_flush(&w->sockets);
    }
    return true;
}

static void before_sleep(uv_prepare_t *prepare)
{
    OBJ_CAST(worker, prepare->data, WORKER_MAGIC);
    struct worker *w = worker;
    records_tick(&w->records);
    worker_follow_order(w);
    if (w->leads_more) {
        w->leads_more = false;
        courier_on_leaders(&w->courier);
    }
    bool has_more = run_streams(w);
    log_streams_flush(w);
    if (w->is_listening) {
        listener_serve(&w->listener);
    }
    sockets_flush(&w->sockets);
    code_flush(&w->code, clock_mono_ms());
    sockets_flush(&w->sockets); /* what the code had to say of it */
    has_more = exchange(w) || has_more;
    log_peers_flush(&w->log_peers, clock_mono_ms());
    engine_flush(w->engine); /* after all that could still propose */
    neighbours_flush(&w->neighbours);
    bool waits = worker_retry_posts(w);
    arm_timer(w, clock_mono_ms(), has_more ? 0 : waits ? RETRY_MS : ENGINE_TICK_MS);
}

static void open_handles(struct worker *w)
{
    int rc = uv_async_init(&w->loop, &w->wake, on_wake);
    rc |= uv_prepare_init(&w->loop, &w->before_sleep);
    rc |= uv_check_init(&w->loop, &w->after_sleep);
    rc |= uv_timer_init(&w->loop, &w->timer);
    INVARIANT(rc == 0); /* the loop's own descriptors were made by uv_loop_init */
    w->wake.data = w;
    w->before_sleep.data = w;
    w->after_sleep.data = w;
    w->timer.data = w;
    w->timer_ms = UINT64_MAX;
    rc = uv_prepare_start(&w->before_sleep, before_sleep);
    rc |= uv_check_start(&w->after_sleep, after_sleep);
    INVARIANT(rc == 0);
    code_open(&w->code, w);
    sandboxes_open(&w->sandboxes, w);
    webhooks_open(&w->webhooks, &w->loop, w->node->options->allow_private_targets);
}

/* Of a member: replicas come when they have a place here (node/steward.h); a start makes none. */
static void no_new_replica(void *ctx, uint32_t shard, struct engine_replica *replica)
{
    (void)ctx;
    (void)shard;
    *replica = (struct engine_replica){0};
}

static enum err open_engine(struct worker *w)
{
    const struct node *n = w->node;
    const struct engine_options options = {
        .data_dir = n->data.path,
        .worker = w->index,
        .worker_count = n->worker_count,
        .wal_generation = n->data.wal_generation,
        .shard_count = n->data.shard_count,
        .has_meta = w->index == 0,
        .memory_bytes = n->memory / n->worker_count / 4,
        .quota = &w->node->quota,
        .replica_of = n->has_joined && !n->founds ? no_new_replica : NULL,
        .hooks = &shard_hooks,
        .hooks_ctx = w,
        .notify = notify,
        .notify_ctx = w,
    };
    return engine_open(&options, clock_mono_ms(), clock_wall_ms(), &w->engine, w->detail);
}

static void close_loop(struct worker *w)
{
    (void)uv_run(&w->loop, UV_RUN_DEFAULT); /* lets the closed handles go */
    (void)pthread_mutex_lock(&w->node->mutex);
    w->has_ended = true; /* no order wakes it any more */
    (void)pthread_mutex_unlock(&w->node->mutex);
    int rc = uv_loop_close(&w->loop);
    INVARIANT(rc == 0);
}

static void *run(void *arg)
{
    OBJ_CAST(worker, arg, WORKER_MAGIC);
    struct worker *w = worker;
    mem_keep_small();
    registry_init(&w->registry, w->node->memory / w->node->worker_count / 2, REQUESTS_MAX);
    code_host_attach(&w->code.host);
    w->registry.allow_private_targets = w->node->options->allow_private_targets;
    courier_init(&w->courier, &errand_courier_hooks, w, w->node->id);
    forward_init(&w->forward, w);
    glances_init(&w->glances, w);
    neighbours_init(&w->neighbours, w);
    steward_init(&w->steward, w);
    snapshots_init(&w->snapshots, w);
    watch_relays_init(&w->relays, w);
    sink_peers_init(&w->sink_peers, w);
    sockets_init(&w->sockets, w);
    code_host_attach_sockets(&w->code.host, &w->sockets.owner.sets);
    orders_init(&w->orders, w);
    listings_init(&w->listings, w);
    audits_init(&w->audits, w);
    broker_init(&w->broker, w);
    log_peers_init(&w->log_peers, w);
    scheduler_init(&w->scheduler, &w->registry, &w->webhooks);
    w->scheduler.code_ctx = w;
    records_init(&w->records, w);
    w->err = open_engine(w);
    if (w->err == ERR_OK && sideline_open(&w->sideline, "sideline", notify, w) != ERR_OK) {
        w->err = ERR_NO_MEMORY;
        (void)snprintf(w->detail, sizeof w->detail, "no thread for the sideline");
    }
    if (w->err == ERR_OK && w->node->has_joined) {
        w->err = neighbours_open(&w->neighbours, w->detail);
    }
    if (w->err == ERR_OK && w->index == 0) {
        records_open(&w->records, engine_meta(w->engine));
    }
    if (w->err == ERR_OK) {
        (void)uv_run(&w->loop, UV_RUN_DEFAULT);
    } else {
        worker_close_handles(w);
        node_on_failed(w->node);
        node_on_quiet(w->node);
    }
    sideline_close(&w->sideline);
    registry_done(&w->registry);
    code_done(&w->code);
    sandboxes_done(&w->sandboxes);
    courier_done(&w->courier);
    forward_done(&w->forward);
    sink_peers_done(&w->sink_peers);
    watch_relays_done(&w->relays);
    sockets_done(&w->sockets);
    neighbours_done(&w->neighbours);
    identity_cache_done(&w->identities);
    snapshots_stop(&w->snapshots);
    engine_close(w->engine);
    listings_done(&w->listings);
    audits_done(&w->audits);
    broker_done(&w->broker);
    glances_done(&w->glances);
    snapshots_done(&w->snapshots);
    records_done(&w->records);
    cluster_view_unref(w->view);
    scheduler_done(&w->scheduler);
    close_loop(w);
    mem_keep_no_small();
    return NULL;
}

enum err worker_start(struct worker *w, struct node *node, uint32_t index)
{
    *w = (struct worker){.magic = WORKER_MAGIC, .node = node, .index = index};
    list_init(&w->log_streams);
    list_init(&w->streams);
    list_init(&w->ready_streams);
    list_init(&w->state_waiters);
    list_init(&w->waiting_sinks);
    int rc = uv_loop_init(&w->loop);
    INVARIANT(rc == 0);
    open_handles(w); /* before the thread: orders may come at once */
    if (pthread_create(&w->thread, NULL, run, w) != 0) {
        worker_close_handles(w);
        close_loop(w);
        return ERR_NO_MEMORY;
    }
    char name[sizeof "worker-4294967295"];
    (void)snprintf(name, sizeof name, "worker-%u", index);
    (void)pthread_setname_np(w->thread, name);
    return ERR_OK;
}

/* Under the mutex, so that the loop is still there. */
void worker_give_order(struct worker *w, enum worker_order order)
{
    (void)pthread_mutex_lock(&w->node->mutex);
    if (!w->has_ended) {
        atomic_store(&w->order, order);
        (void)uv_async_send(&w->wake);
    }
    (void)pthread_mutex_unlock(&w->node->mutex);
}

void worker_join(struct worker *w)
{
    (void)pthread_join(w->thread, NULL);
}
