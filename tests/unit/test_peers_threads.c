/* A node of several workers, each a thread with its loop, as in the program: what one worker hears for
 * another goes through the mail rings. To be run under a thread sanitizer too. */
#include <pthread.h>
#include <signal.h>

#include "base/endian.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/peers.h"
#include "tests/lib/peer_certs.h"
#include "tests/lib/test.h"

enum { WORKERS = 3, GROUPS = 12, MESSAGES = 6000, MESSAGE_BYTES = 200, PATIENCE_MS = 60000 };

/* A worker of either node; node 1 has one. */
struct side {
    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t prepare;
    uv_timer_t timer;
    struct peers *peers;
    struct peers_options options;
    uint32_t next[GROUPS]; /* of the messages that come */
    bool is_closed;
};

static struct side sender;
static struct side workers[WORKERS];
static struct mailring *rings[WORKERS][WORKERS];
static struct peers_shared sender_shared;
static struct peers_shared shared;
static _Atomic uint32_t come;
static _Atomic bool stops;

static bool admits(void *ctx, const struct peer_hello *hello)
{
    (void)ctx;
    return hello->node == 1;
}

/* A thread must not fail a test: what is wrong is not counted, and the test runs out of patience. */
static void on_message(void *ctx, uint32_t from, const struct peer_message *m)
{
    struct side *s = ctx;
    uint32_t number = get_be32(m->payload.data);
    bool is_right = from == 1 && m->group % WORKERS == s->options.worker &&
                    m->payload.len == MESSAGE_BYTES && number == s->next[m->group];
    s->next[m->group] = number + GROUPS;
    if (is_right) {
        (void)atomic_fetch_add(&come, 1);
    }
}

static void on_up(void *ctx, const struct peer_hello *hello, enum peer_channel channel)
{
    (void)ctx;
    (void)hello;
    (void)channel;
}

static void on_lost(void *ctx, uint32_t node)
{
    (void)ctx;
    (void)node;
}

static uint32_t owner_of(void *ctx, uint32_t group)
{
    (void)ctx;
    return group % WORKERS;
}

static void post(void *ctx, uint32_t worker, struct task *t)
{
    struct side *s = ctx;
    if (mailring_post(rings[s->options.worker][worker], t)) {
        (void)uv_async_send(&workers[worker].wake);
    }
}

static const struct peers_hooks hooks = {admits, on_message, on_up, on_lost, owner_of, post};

static void take_mail(struct side *s)
{
    for (uint32_t from = 0; from < WORKERS; from++) {
        struct task *t;
        struct mailring *ring = rings[from][s->options.worker];
        while (ring != NULL && (t = mailring_take(ring)) != NULL) {
            t->run(NULL, t);
        }
    }
}

static void on_closed(void *ctx)
{
    struct side *s = ctx;
    s->peers = NULL;
    s->is_closed = true;
    uv_close((uv_handle_t *)&s->wake, NULL);
    uv_close((uv_handle_t *)&s->prepare, NULL);
    uv_close((uv_handle_t *)&s->timer, NULL);
}

static void on_wake(uv_async_t *async)
{
    struct side *s = async->data;
    take_mail(s);
    if (atomic_load(&stops) && s->peers != NULL) {
        struct peers *p = s->peers;
        s->peers = NULL;
        peers_close(p, on_closed);
    }
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct side *s = prepare->data;
    for (uint32_t to = 0; to < WORKERS && s != &sender; to++) {
        struct mailring *ring = rings[s->options.worker][to];
        if (ring != NULL && mailring_has_overflow(ring) && mailring_retry(ring)) {
            (void)uv_async_send(&workers[to].wake);
        }
    }
    if (s->peers != NULL) {
        peers_flush(s->peers);
    }
}

static void on_timer(uv_timer_t *timer)
{
    (void)timer; /* wakes the loop, so that what overflowed is tried again */
}

static void open_side(struct side *s, uint32_t node, uint32_t worker, struct peers_shared *of_node,
                      struct tls_context *tls, uint16_t port)
{
    char detail[PEERS_DETAIL_BYTES];
    assert_int_equal(uv_loop_init(&s->loop), 0);
    assert_int_equal(uv_async_init(&s->loop, &s->wake, on_wake), 0);
    assert_int_equal(uv_prepare_init(&s->loop, &s->prepare), 0);
    assert_int_equal(uv_timer_init(&s->loop, &s->timer), 0);
    s->wake.data = s->prepare.data = s->timer.data = s;
    assert_int_equal(uv_prepare_start(&s->prepare, on_prepare), 0);
    assert_int_equal(uv_timer_start(&s->timer, on_timer, 5, 5), 0);
    for (uint32_t group = 0; group < GROUPS; group++) {
        s->next[group] = group;
    }
    s->options = (struct peers_options){.cluster_id = 1,
                                        .node = node,
                                        .worker = worker,
                                        .host = "127.0.0.1",
                                        .port = port,
                                        .tls = tls,
                                        .shared = of_node,
                                        .hooks = &hooks,
                                        .ctx = s};
    if (peers_open(&s->peers, &s->loop, &s->options, detail) != ERR_OK) {
        fail_msg("%s", detail);
    }
}

static void *run(void *arg)
{
    struct side *s = arg;
    (void)uv_run(&s->loop, UV_RUN_DEFAULT);
    return NULL;
}

static void send_one(uint32_t number)
{
    uint8_t payload[MESSAGE_BYTES] = {0};
    put_be32(payload, number);
    const struct peer_message m = {.group = number % GROUPS,
                                   .from = UINT64_C(1) << 32,
                                   .to = UINT64_C(2) << 32,
                                   .payload = slice_of(payload, sizeof payload)};
    expect_err(peers_send(sender.peers, 2, PEER_MESSAGES, &m), ERR_OK);
}

static void be_patient(int *left_ms)
{
    (void)uv_run(&sender.loop, UV_RUN_ONCE); /* the timer wakes it */
    *left_ms -= 5;
    if (*left_ms <= 0) {
        fail_msg("%u of %d messages came", atomic_load(&come), MESSAGES);
    }
}

static void messages_reach_the_threads_that_own_their_groups_in_order(void **state)
{
    (void)state;
    struct tls_cert ca = peer_ca();
    struct tls_context *one = peer_context(&ca, &ca, "dormouse://c/node/1");
    struct tls_context *two = peer_context(&ca, &ca, "dormouse://c/node/2");
    pthread_t threads[WORKERS];
    char address[32];
    int left_ms = PATIENCE_MS;
    peers_shared_init(&sender_shared, 1);
    peers_shared_init(&shared, WORKERS);
    for (uint32_t i = 0; i < WORKERS * WORKERS; i++) {
        rings[i / WORKERS][i % WORKERS] = i / WORKERS != i % WORKERS ? mailring_new() : NULL;
    }
    open_side(&sender, 1, 0, &sender_shared, one, 0);
    uint16_t port = 0;
    for (uint32_t i = 0; i < WORKERS; i++) {
        open_side(&workers[i], 2, i, &shared, two, port);
        port = peers_port(workers[0].peers);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
    }
    (void)snprintf(address, sizeof address, "127.0.0.1:%u", port);
    const struct peers_member member = {.node = 2, .address = address};
    peers_set_members(sender.peers, &member, 1);
    while (!peers_is_up(sender.peers, 2, PEER_MESSAGES)) {
        be_patient(&left_ms);
    }
    for (uint32_t number = 0; number < MESSAGES; number++) {
        send_one(number);
        if (number % 100 == 0) {
            (void)uv_run(&sender.loop, UV_RUN_NOWAIT);
        }
    }
    while (atomic_load(&come) < MESSAGES) {
        be_patient(&left_ms);
    }
    peers_close(sender.peers, on_closed); /* the others hear of it, and tell each other */
    sender.peers = NULL;
    (void)uv_run(&sender.loop, UV_RUN_DEFAULT);
    atomic_store(&stops, true);
    for (uint32_t i = 0; i < WORKERS; i++) {
        (void)uv_async_send(&workers[i].wake);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (uint32_t i = 0; i < WORKERS; i++) {
        take_mail(&workers[i]); /* to peers that are closed */
        assert_int_equal(atomic_load(&shared.of[i].away_bytes), 0);
        assert_int_equal(uv_loop_close(&workers[i].loop), 0);
    }
    for (uint32_t i = 0; i < WORKERS * WORKERS; i++) {
        mailring_free(rings[i / WORKERS][i % WORKERS]);
    }
    assert_int_equal(uv_loop_close(&sender.loop), 0);
    tls_context_unref(one);
    tls_context_unref(two);
    tls_cert_done(&ca);
}

int main(void)
{
    test_begin();
    (void)signal(SIGPIPE, SIG_IGN);
    log_set_level(LOG_ERROR + 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_reach_the_threads_that_own_their_groups_in_order)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
