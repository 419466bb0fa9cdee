#include "tests/unit/peers_world.h"

#include <arpa/inet.h>

#include "base/endian.h"
#include "base/log.h"
#include "base/mem.h"
#include "tests/lib/test.h"

enum { PATIENCE_MS = 20000 };

uv_loop_t loop;
static uv_prepare_t prepare;
static uv_timer_t patience;
static int patience_left_ms;
struct peer_limits limits;
struct world worlds[PEERS_MAX];
static size_t world_count;
struct peers_shared shared[PEERS_MAX]; /* by node */
struct tcp_proxy proxy;
bool has_proxy;

struct tls_cert ca;
struct tls_context *contexts[PEERS_MAX + 1]; /* by node, from 1 on */
struct tls_context *stranger;                /* node 2 by another CA */

struct posted posted[MESSAGES_MAX];
size_t posted_count;
bool holds_posts;

/* Hooks */

static bool admits(void *ctx, const struct peer_hello *hello)
{
    (void)hello;
    return !((struct world *)ctx)->refuses;
}

static void on_message(void *ctx, uint32_t from, const struct peer_message *m)
{
    struct world *w = ctx;
    assert_true(w->got_count < MESSAGES_MAX);
    assert_int_equal(m->from >> 32, from);
    assert_int_equal(m->to >> 32, w->options.node);
    uint32_t number = m->payload.len >= 4 ? get_be32(m->payload.data) : 0;
    w->got[w->got_count++] = (struct got){from, m->kind, m->group, number, m->payload.len};
}

static void on_up(void *ctx, const struct peer_hello *hello, enum peer_channel channel)
{
    struct world *w = ctx;
    (void)channel;
    w->hello = *hello;
    w->up_count++;
}

static void on_lost(void *ctx, uint32_t node)
{
    struct world *w = ctx;
    w->lost_count++;
    w->lost_node = node;
}

static uint32_t owner_of(void *ctx, uint32_t group)
{
    const struct world *w = ctx;
    return group % w->shared->workers;
}

static void post(void *ctx, uint32_t worker, struct task *t)
{
    (void)ctx;
    assert_true(posted_count < MESSAGES_MAX);
    posted[posted_count++] = (struct posted){t, worker};
}

static const struct peers_hooks hooks = {admits, on_message, on_up, on_lost, owner_of, post};

/* The loop */

void run_posts(void)
{
    for (size_t i = 0; i < posted_count; i++) {
        posted[i].task->run(NULL, posted[i].task);
    }
    posted_count = 0;
}

static void on_prepare(uv_prepare_t *handle)
{
    (void)handle;
    if (!holds_posts) {
        run_posts();
    }
    for (size_t i = 0; i < world_count; i++) {
        if (worlds[i].peers != NULL) {
            peers_flush(worlds[i].peers);
        }
    }
}

static void on_patience(uv_timer_t *timer)
{
    (void)timer;
    patience_left_ms -= 10;
    if (patience_left_ms <= 0) {
        fail_msg("nothing happened for %d ms", PATIENCE_MS);
    }
}

void be_patient(void)
{
    patience_left_ms = PATIENCE_MS;
    (void)uv_timer_start(&patience, on_patience, 10, 10);
}

void be_done_with_patience(void)
{
    (void)uv_timer_stop(&patience);
}

/* Nodes */

int peers_make_contexts(void **state)
{
    (void)state;
    char uri[64];
    log_set_level(LOG_ERROR + 1);
    ca = peer_ca();
    for (uint32_t node = 1; node <= 3; node++) {
        (void)snprintf(uri, sizeof uri, "dormouse://c/node/%u", node);
        contexts[node] = peer_context(&ca, &ca, uri);
    }
    struct tls_cert other = peer_ca();
    stranger = peer_context(&other, &ca, "dormouse://c/node/2");
    tls_cert_done(&other);
    return 0;
}

int peers_free_contexts(void **state)
{
    (void)state;
    for (size_t i = 0; i <= PEERS_MAX; i++) {
        tls_context_unref(contexts[i]);
    }
    tls_context_unref(stranger);
    tls_cert_done(&ca);
    return 0;
}

int peers_setup(void **state)
{
    (void)state;
    limits = peer_limits_default;
    memset(worlds, 0, sizeof worlds);
    world_count = posted_count = 0;
    holds_posts = has_proxy = false;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(uv_prepare_init(&loop, &prepare), 0);
    assert_int_equal(uv_prepare_start(&prepare, on_prepare), 0);
    assert_int_equal(uv_timer_init(&loop, &patience), 0);
    uv_update_time(&loop);
    return 0;
}

static void on_closed(void *ctx)
{
    struct world *w = ctx;
    w->is_closed = true;
    w->peers = NULL;
}

void stop(struct world *w)
{
    w->is_closed = false;
    peers_close(w->peers, on_closed);
    RUN_UNTIL(w->is_closed);
}

int peers_teardown(void **state)
{
    (void)state;
    for (size_t i = 0; i < world_count; i++) {
        if (worlds[i].peers != NULL) {
            stop(&worlds[i]);
        }
    }
    if (has_proxy) {
        tcp_proxy_close(&proxy);
        RUN_UNTIL(proxy.pair_count == 0);
    }
    run_posts();
    uv_close((uv_handle_t *)&prepare, NULL);
    uv_close((uv_handle_t *)&patience, NULL);
    (void)uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&loop), 0);
    return 0;
}

void start(struct world *w)
{
    char detail[PEERS_DETAIL_BYTES];
    if (peers_open(&w->peers, &loop, &w->options, detail) != ERR_OK) {
        fail_msg("%s", detail);
    }
    w->port = peers_port(w->peers);
    w->options.port = w->port; /* the same after a restart */
}

struct world *new_worker(uint32_t node, uint32_t worker, uint32_t workers)
{
    struct world *w = &worlds[world_count++];
    if (worker == 0) {
        peers_shared_init(&shared[node], workers);
    }
    w->shared = &shared[node];
    w->options = (struct peers_options){.cluster_id = CLUSTER,
                                        .node = node,
                                        .worker = worker,
                                        .host = "127.0.0.1",
                                        .tls = contexts[node],
                                        .limits = &limits,
                                        .shared = &shared[node],
                                        .hooks = &hooks,
                                        .ctx = w};
    return w;
}

struct world *new_node(uint32_t node)
{
    struct world *w = new_worker(node, 0, 1);
    start(w);
    return w;
}

void set_member(struct world *w, uint32_t node, uint16_t port)
{
    char address[64];
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    const struct peers_member member = {.node = node, .address = address};
    peers_set_members(w->peers, &member, 1);
}

bool is_up(const struct world *w, uint32_t node)
{
    return peers_is_up(w->peers, node, PEER_MESSAGES) && peers_is_up(w->peers, node, PEER_BULK);
}

enum err try_send(struct world *w, uint32_t node, enum peer_channel channel, uint32_t group,
                  uint32_t number, size_t bytes)
{
    uint8_t *payload = mem_zalloc(bytes);
    put_be32(payload, number);
    const struct peer_message m = {.kind = 1,
                                   .group = group,
                                   .from = (uint64_t)w->options.node << 32 | 1,
                                   .to = (uint64_t)node << 32 | 1,
                                   .payload = slice_of(payload, bytes)};
    enum err err = peers_send(w->peers, node, channel, &m);
    mem_free(payload);
    return err;
}

void send_to(struct world *w, uint32_t node, uint32_t group, uint32_t number, size_t bytes)
{
    expect_err(try_send(w, node, PEER_MESSAGES, group, number, bytes), ERR_OK);
}

struct peer_stats stats_of(const struct world *w)
{
    struct peer_stats s;
    assert_int_equal(peers_stats(w->peers, &s, 1), 1);
    return s;
}

/* Why the connection for messages to the only member went. */
const char *reason_of(const struct world *w)
{
    const struct peer *peer = LIST_FIRST(&w->peers->peers, struct peer, link);
    return peer->lanes[PEER_MESSAGES].reason;
}

void open_pair(struct world **ret_a, struct world **ret_b)
{
    struct world *a = new_node(1);
    struct world *b = new_node(2);
    set_member(a, 2, b->port);
    set_member(b, 1, a->port);
    RUN_UNTIL(is_up(a, 2) && is_up(b, 1));
    *ret_a = a;
    *ret_b = b;
}

/* a reaches b through the proxy. */
void open_proxied(struct world **ret_a, struct world **ret_b)
{
    struct world *a = new_node(1);
    struct world *b = new_node(2);
    tcp_proxy_open(&proxy, &loop, b->port);
    has_proxy = true;
    set_member(a, 2, tcp_proxy_port(&proxy));
    RUN_UNTIL(is_up(a, 2));
    *ret_a = a;
    *ret_b = b;
}
