#include "node/node.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "node/exposure.h"
#include "node/notify.h"
#include "node/worker_count.h"
#include "rpc/webhook_uv.h"
#include "storage/redeal.h"
#include "storage/wal_dirs.h"

#define MEMORY_BYTES_DEFAULT (UINT64_C(1) << 30)

enum { LOOK_FOR_SIGNALS_MS = 200 /* while it starts */ };

static void count(struct node *n, uint32_t *counter)
{
    (void)pthread_mutex_lock(&n->mutex);
    ++*counter;
    (void)pthread_cond_broadcast(&n->changed);
    (void)pthread_mutex_unlock(&n->mutex);
}

void node_on_ready(struct node *n)
{
    count(n, &n->ready_count);
}

void node_on_serving(struct node *n)
{
    count(n, &n->serving_count);
}

void node_on_quiet(struct node *n)
{
    count(n, &n->quiet_count);
}

void node_on_failed(struct node *n)
{
    (void)pthread_mutex_lock(&n->mutex);
    n->failed = true;
    (void)pthread_cond_broadcast(&n->changed);
    (void)pthread_mutex_unlock(&n->mutex);
}

void node_publish_view(struct node *n, struct cluster_view *v)
{
    (void)pthread_mutex_lock(&n->mutex);
    struct cluster_view *old = n->view;
    n->view = v;
    (void)atomic_fetch_add(&n->view_number, 1);
    (void)pthread_cond_broadcast(&n->changed);
    (void)pthread_mutex_unlock(&n->mutex);
    cluster_view_unref(old);
}

struct cluster_view *node_view(struct node *n, uint64_t *ret_number)
{
    (void)pthread_mutex_lock(&n->mutex);
    struct cluster_view *v = n->view != NULL ? cluster_view_ref(n->view) : NULL;
    *ret_number = atomic_load(&n->view_number);
    (void)pthread_mutex_unlock(&n->mutex);
    return v;
}

struct worker *node_worker_of(struct node *n, uint32_t shard)
{
    return &n->workers[engine_worker_of_shard(shard, n->worker_count)];
}

/* Each store costs three descriptors, each connection one. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Signals are taken by the main thread alone, in await_end. */
static void block_signals(sigset_t *ret_set)
{
    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(ret_set);
    (void)sigaddset(ret_set, SIGTERM);
    (void)sigaddset(ret_set, SIGINT);
    (void)sigaddset(ret_set, SIGCHLD); /* the launcher is the only child */
    int rc = pthread_sigmask(SIG_BLOCK, ret_set, NULL);
    INVARIANT(rc == 0);
}

/* A node with certificates reads them again; one without is ended by a hang-up like any other program. */
static void take_hangups(sigset_t *signals)
{
    (void)sigaddset(signals, SIGHUP);
    int rc = pthread_sigmask(SIG_BLOCK, signals, NULL);
    INVARIANT(rc == 0);
}

/* While nobody waits for signals: whether one has come that ends the node. */
bool node_is_stopped(void)
{
    sigset_t pending;
    return sigpending(&pending) == 0 &&
           (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

/* The process manager: whenever the main thread waits, it wakes to tell it what there is to tell. */

/* The worker that has not reported for the longest time. */
static uint32_t slowest_worker(struct node *n, uint64_t *ret_reported_ms)
{
    uint32_t slowest = 0;
    (void)pthread_mutex_lock(&n->mutex);
    for (uint32_t i = 1; i < n->worker_count; i++) {
        if (n->workers[i].report.mono_ms < n->workers[slowest].report.mono_ms) {
            slowest = i;
        }
    }
    *ret_reported_ms = n->workers[slowest].report.mono_ms;
    (void)pthread_mutex_unlock(&n->mutex);
    return slowest;
}

static void tell_manager(struct node *n)
{
    uint64_t reported_ms;
    uint32_t slowest = slowest_worker(n, &reported_ms);
    uint64_t now_ms = clock_mono_ms();
    switch (watchdog_look(&n->watchdog, now_ms, reported_ms)) {
    case WORD_NONE:
        break;
    case WORD_MORE_TIME:
        notify_more_time(WATCHDOG_MORE_TIME_MS);
        break;
    case WORD_ALIVE:
        notify_alive();
        break;
    case WORD_STALLED:
        LOG(LOG_ERROR, "worker_stalled", LOG_INT("worker", slowest),
            LOG_INT("silent_ms", (int64_t)(now_ms - reported_ms)));
        break;
    }
}

static struct timespec timespec_of(uint64_t ms)
{
    return (struct timespec){.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
}

/* Under the mutex, which is free meanwhile: until something may have changed. */
static void await_change(struct node *n)
{
    uint64_t look_ms = clock_mono_ms() + LOOK_FOR_SIGNALS_MS;
    struct timespec until =
        timespec_of(n->watchdog.next_ms < look_ms ? n->watchdog.next_ms : look_ms);
    if (pthread_cond_timedwait(&n->changed, &n->mutex, &until) == ETIMEDOUT) {
        (void)pthread_mutex_unlock(&n->mutex);
        tell_manager(n);
        (void)pthread_mutex_lock(&n->mutex);
    }
}

/* True once so many workers have come that far, false where one cannot, or the node is to end. */
static bool await(struct node *n, const uint32_t *counter, uint32_t target)
{
    (void)pthread_mutex_lock(&n->mutex);
    while (*counter < target && !n->failed && !node_is_stopped()) {
        await_change(n);
    }
    bool reached = !n->failed && *counter >= target;
    (void)pthread_mutex_unlock(&n->mutex);
    return reached;
}

/* The first node of a cluster writes its own record once it serves: before that nobody could join. */
static bool await_membership(struct node *n)
{
    bool begins = n->has_joined && n->cluster.file.seed[0] == '\0';
    (void)pthread_mutex_lock(&n->mutex);
    while (begins && n->view->member_count == 0 && !n->failed && !node_is_stopped()) {
        await_change(n);
    }
    bool is_member = !n->failed && (!begins || n->view->member_count > 0);
    (void)pthread_mutex_unlock(&n->mutex);
    return is_member;
}

static void await_quiet(struct node *n, uint32_t target)
{
    (void)pthread_mutex_lock(&n->mutex);
    while (n->quiet_count < target) {
        await_change(n);
    }
    (void)pthread_mutex_unlock(&n->mutex);
}

void node_describe(const struct node *n, struct cluster_member *ret_self)
{
    bool is_v6 = strchr(n->options->host, ':') != NULL;
    *ret_self = (struct cluster_member){.id = n->id, .birth = n->birth};
    (void)snprintf(ret_self->peer, sizeof ret_self->peer, "%s", n->peer_address);
    (void)snprintf(ret_self->url, sizeof ret_self->url, "%s://%s%s%s:%u",
                   n->tls != NULL ? "https" : "http", is_v6 ? "[" : "", n->options->host,
                   is_v6 ? "]" : "", n->port);
}

/* It has had the time that the workers took. */
static void hear_launcher(struct node *n)
{
    enum { HELLO_MS = 1000 };
    if (launch_await_hello(n->launch, HELLO_MS) == ERR_OK) {
        LOG(LOG_INFO, "launcher", LOG_INT("pid", n->launch->pid),
            LOG_INT("layers", n->launch->layers));
    }
}

static void announce(struct node *n)
{
    struct cluster_member self;
    node_describe(n, &self);
    (void)printf("{\"event\":\"ready\",\"url\":\"%s\",\"pid\":%ld}\n", self.url, (long)getpid());
    (void)fflush(stdout);
    notify_ready(self.url);
    watchdog_serve(&n->watchdog, clock_mono_ms());
}

static void order_all(struct node *n, uint32_t started, enum worker_order order)
{
    for (uint32_t i = 0; i < started; i++) {
        worker_give_order(&n->workers[i], order);
    }
}

/* Worker 0 is ready: it has read what the cluster's records say of tokens. */
static bool may_listen(struct node *n)
{
    uint64_t number;
    char detail[OPTIONS_DETAIL_BYTES];
    struct cluster_view *v = node_view(n, &number);
    INVARIANT(v != NULL);
    n->err = exposure_check(n->options->host, n->tls != NULL, v->has_admin, detail, sizeof detail);
    cluster_view_unref(v);
    if (n->err != ERR_OK) {
        (void)fprintf(stderr, "dormoused: %s\n", detail);
    }
    return n->err == ERR_OK;
}

/* A first node makes its replicas before it says that it has: they are durable by now. */
static bool remember_cluster(struct node *n)
{
    char detail[DATA_DETAIL_BYTES];
    n->err = n->founds ? cluster_file_write(n->data.path, &n->cluster.file, detail) : ERR_OK;
    if (n->err != ERR_OK) {
        (void)fprintf(stderr, "dormoused: %s\n", detail);
    }
    return n->err == ERR_OK;
}

/* All of them read their logs at once. The first chooses the port where it was 0; the others take the
 * same. */
static bool start_workers(struct node *n, uint32_t *ret_started)
{
    sandboxes_clean(n->data.path);
    for (*ret_started = 0; *ret_started < n->worker_count; ++*ret_started) {
        if (worker_start(&n->workers[*ret_started], n, *ret_started) != ERR_OK) {
            (void)fprintf(stderr, "dormoused: no thread could be started\n");
            return false;
        }
    }
    if (!await(n, &n->ready_count, n->worker_count)) {
        return false;
    }
    if (!may_listen(n) || !remember_cluster(n)) {
        return false;
    }
    worker_give_order(&n->workers[0], ORDER_LISTEN);
    if (!await(n, &n->serving_count, 1)) {
        return false;
    }
    for (uint32_t i = 1; i < n->worker_count; i++) {
        worker_give_order(&n->workers[i], ORDER_LISTEN);
    }
    return await(n, &n->serving_count, n->worker_count);
}

/* Until all are quiet any of them may have something to ask of another. */
static void stop_workers(struct node *n, uint32_t started)
{
    order_all(n, started, ORDER_DRAIN);
    await_quiet(n, started);
    order_all(n, started, ORDER_END);
    for (uint32_t i = 0; i < started; i++) {
        worker_join(&n->workers[i]);
        if (n->workers[i].err != ERR_OK) {
            (void)fprintf(stderr, "dormoused: %s\n", n->workers[i].detail);
        }
    }
}

/* Negative where none came until then. */
static int await_signal(const sigset_t *signals, uint64_t until_ms)
{
    if (until_ms == UINT64_MAX) {
        return sigwaitinfo(signals, NULL);
    }
    uint64_t now_ms = clock_mono_ms();
    struct timespec left = timespec_of(until_ms > now_ms ? until_ms - now_ms : 0);
    return sigtimedwait(signals, NULL, &left);
}

static bool has_certificates(const struct node *n)
{
    return n->tls != NULL || n->peer_tls != NULL;
}

static void poll_certificates(struct node *n, bool must, uint64_t now_ms)
{
    if (n->tls != NULL) {
        tls_source_poll(n->tls, must, now_ms, clock_wall_ms());
    }
    if (n->peer_tls != NULL) {
        tls_source_poll(n->peer_tls, must, now_ms, clock_wall_ms());
    }
}

/* The signal that ends the node. Meanwhile this thread, which has nothing else to do, looks after the
 * certificate and talks with the process manager. */
static int await_end(struct node *n, const sigset_t *signals)
{
    uint64_t poll_ms = has_certificates(n) ? clock_mono_ms() + TLS_SOURCE_POLL_MS : UINT64_MAX;
    int number;
    do {
        uint64_t tell_ms = n->watchdog.next_ms;
        number = await_signal(signals, poll_ms < tell_ms ? poll_ms : tell_ms);
        uint64_t now_ms = clock_mono_ms();
        if (has_certificates(n) && (number == SIGHUP || now_ms >= poll_ms)) {
            poll_certificates(n, number == SIGHUP, now_ms);
            poll_ms = now_ms + TLS_SOURCE_POLL_MS;
        }
        tell_manager(n);
        n->launcher_ended = launch_has_ended(n->launch);
    } while (number != SIGTERM && number != SIGINT && !n->launcher_ended);
    return number;
}

/* Of a start that failed: a disk that did has a code of its own, and what no other start would mend. */
static int exit_code_of(enum err err)
{
    return err == ERR_IO ? EX_IOERR : err == ERR_BAD_REQUEST ? EXIT_USAGE : 1;
}

static int status_of(const struct node *n, uint32_t started)
{
    int status = exit_code_of(n->err);
    for (uint32_t i = 0; i < started; i++) {
        int code = exit_code_of(n->workers[i].err);
        status = code > status ? code : status;
    }
    return status;
}

static int serve(struct node *n, const sigset_t *signals)
{
    uint32_t started;
    bool serves = start_workers(n, &started) && await_membership(n);
    if (serves) {
        hear_launcher(n);
        announce(n);
        int signal_number = await_end(n, signals);
        /* Nothing can be started any more: a supervisor's new start mends that, and it hands over first. */
        if (n->launcher_ended) {
            LOG(LOG_ERROR, "launcher_ended", LOG_INT("signal", signal_number));
        }
        LOG(LOG_INFO, "stopping", LOG_INT("signal", signal_number));
        notify_stopping();
    }
    watchdog_stop(&n->watchdog);
    stop_workers(n, started);
    if (n->launcher_ended) {
        return EX_SOFTWARE;
    }
    return serves || node_is_stopped() ? 0 : status_of(n, started);
}

/* From the first moment, before there are workers: the data directory may take its time, too. */
static void start_telling(struct node *n)
{
    uint64_t now_ms = clock_mono_ms();
    watchdog_init(&n->watchdog, notify_is_heard(), notify_watchdog_ms(), now_ms);
    notify_starting();
    if (watchdog_look(&n->watchdog, now_ms, 0) == WORD_MORE_TIME) {
        notify_more_time(WATCHDOG_MORE_TIME_MS);
    }
}

/* Waits for it end at times of the monotonic clock. */
static void init_changed(struct node *n)
{
    pthread_condattr_t attributes;
    int rc = pthread_condattr_init(&attributes);
    INVARIANT(rc == 0);
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    INVARIANT(rc == 0);
    rc = pthread_cond_init(&n->changed, &attributes);
    INVARIANT(rc == 0);
    (void)pthread_condattr_destroy(&attributes);
}

static struct mailring **new_rings(uint32_t workers)
{
    struct mailring **rings = mem_zalloc(workers * workers * sizeof(struct mailring *));
    for (uint32_t i = 0; i < workers * workers; i++) {
        rings[i] = i / workers != i % workers ? mailring_new() : NULL;
    }
    return rings;
}

static void free_rings(struct node *n)
{
    for (uint32_t i = 0; i < n->worker_count * n->worker_count; i++) {
        mailring_free(n->rings[i]);
    }
    mem_free(n->rings);
}

static bool has_open_admin_file(const struct data_dir *d)
{
    char *path = data_dir_path(d, OPEN_ADMIN_FILE);
    bool found = access(path, F_OK) == 0;
    if (found) {
        LOG(LOG_WARN, "admin_is_open", LOG_STR("file", path));
    }
    mem_free(path);
    return found;
}

/* Logs for another number of workers than the data has. */
static enum err change_workers(struct node *n, char detail[DATA_DETAIL_BYTES])
{
    struct redeal_report report;
    uint32_t before = n->data.wal_count;
    uint64_t began_ms = clock_mono_ms();
    struct engine_log_size size = engine_log_size(n->quota.bytes_max, n->worker_count);
    notify_more_time(WATCHDOG_START_MS_MAX); /* nothing is told meanwhile */
    enum err err = redeal(&n->data, n->worker_count, size.segment_bytes, &report, detail);
    if (err == ERR_OK) {
        LOG(LOG_INFO, "workers_changed", LOG_INT("from", before), LOG_INT("to", n->worker_count),
            LOG_INT("shards", report.groups), LOG_INT("entries", (int64_t)report.entries),
            LOG_INT("bytes", (int64_t)report.entry_bytes),
            LOG_INT("ms", (int64_t)(clock_mono_ms() - began_ms)));
    }
    return err;
}

/* Opens the data, with logs for the workers that there will be. 0, or the exit status. */
static int open_data(struct node *n)
{
    const struct options *o = n->options;
    char detail[DATA_DETAIL_BYTES];
    _Static_assert((int)OPTIONS_DETAIL_BYTES == (int)DATA_DETAIL_BYTES, "both fit into detail");
    uint32_t asked =
        o->workers != 0 ? o->workers : worker_count_default(worker_count_processors(), o->max_disk);
    enum err err = n->cluster.role == CLUSTER_JOIN
                       ? cluster_start_join(n, asked, detail)
                       : data_dir_open(&n->data, o->data, o->shards, asked, detail);
    if (err != ERR_OK) {
        (void)fprintf(stderr, "dormoused: %s\n", detail);
        return exit_code_of(err);
    }
    n->worker_count = o->workers != 0 ? o->workers : n->data.wal_count;
    int status = options_check_disk(o, n->worker_count, detail) == ERR_OK ? 0 : EXIT_USAGE;
    if (status == 0) {
        wal_dirs_clean(&n->data);
        snapshots_clean(&n->data);
        n->opens_admin = has_open_admin_file(&n->data);
    }
    if (status == 0 && n->worker_count != n->data.wal_count) {
        err = change_workers(n, detail);
        status = err == ERR_OK ? 0 : exit_code_of(err);
    }
    if (status != 0) {
        (void)fprintf(stderr, "dormoused: %s\n", detail);
        data_dir_close(&n->data);
    }
    return status;
}

/* The node with what it has in memory of its own, on data that is open. */
static int run_workers(struct node *n, const sigset_t *signals)
{
    board_init(&n->board, n->data.shard_count);
    log_board_init(&n->logs, worker_wake, n);
    audit_log_init(&n->audit, n->options->data, n->id);
    n->life = random_u64() | 1;
    peers_shared_init(&n->peers_shared, n->worker_count);
    n->workers = mem_zalloc(n->worker_count * sizeof *n->workers);
    n->rings = new_rings(n->worker_count);
    (void)pthread_mutex_init(&n->mutex, NULL);
    init_changed(n);
    int status = serve(n, signals);
    cluster_view_unref(n->view);
    (void)pthread_cond_destroy(&n->changed);
    (void)pthread_mutex_destroy(&n->mutex);
    free_rings(n);
    mem_free(n->workers);
    log_board_done(&n->logs);
    audit_log_done(&n->audit);
    board_done(&n->board);
    return status;
}

static int run_on_data(struct node *n, const sigset_t *signals)
{
    int status = open_data(n);
    if (status == 0) {
        status = run_workers(n, signals);
        data_dir_close(&n->data);
    }
    return status;
}

/* Which node of which cluster this is. 0, or the exit status. */
static int open_cluster(struct node *n)
{
    char detail[CLUSTER_START_DETAIL_BYTES];
    enum err err = cluster_start_open(n, detail);
    if (err == ERR_OK) {
        return 0;
    }
    (void)fprintf(stderr, "dormoused: %s\n", detail);
    return exit_code_of(err);
}

/* Before the data is touched: a certificate that cannot be used is a mistake in the flags. */
static bool open_tls(struct node *n, struct tls_source *source)
{
    const struct options *o = n->options;
    char detail[TLS_DETAIL_BYTES];
    if (o->tls_cert == NULL) {
        return true;
    }
    const struct tls_files files = {.cert = o->tls_cert, .key = o->tls_key};
    if (tls_source_open(source, TLS_FOR_CLIENTS, &files, clock_mono_ms(), clock_wall_ms(),
                        detail) != ERR_OK) {
        (void)fprintf(stderr, "dormoused: %s\n", detail);
        return false;
    }
    n->tls = source;
    return true;
}

int node_run(const struct options *options, struct launch *launch)
{
    sigset_t signals;
    struct tls_source source;
    struct node n = {.options = options,
                     .launch = launch,
                     .memory = options->memory != 0 ? options->memory : MEMORY_BYTES_DEFAULT,
                     .quota = {.bytes_max = options->max_disk},
                     .started_ms = clock_wall_ms()};
    enum err err = webhooks_global_init();
    INVARIANT(err == ERR_OK);
    block_signals(&signals);
    raise_descriptor_limit();
    start_telling(&n);
    int status = open_cluster(&n);
    if (status == 0 && !open_tls(&n, &source)) {
        status = EXIT_USAGE;
    }
    if (has_certificates(&n)) {
        take_hangups(&signals);
    }
    if (status == 0) {
        status = run_on_data(&n, &signals);
    }
    if (n.tls != NULL) {
        tls_source_close(n.tls);
    }
    cluster_start_close(&n);
    return status;
}
