/* bench: durable writes and reads in closed loops: each client sends the next request when it has
 * the answer of the one before. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sdk-c/cli/cli.h"
#include "sdk-c/cli/latency.h"
#include "sdk-c/cli/output.h"
#include "sdk-c/cli/progress.h"

enum {
    KEY_CLIENTS = 1,
    KEY_TIME,
    KEY_SIZE,
    KEY_ACTORS,
    KEY_KEYS,
    KEY_READS,
    KEY_NO_IDEMPOTENCY,
    KEY_KEEP,
};

enum { CLIENTS_MAX = 512, SIZE_MAX_BYTES = 2 << 20 };

struct bench {
    const char *ns; /* set before the clients start, as all up to `d_options` */
    uint64_t clients;
    uint64_t time_ms;
    uint64_t size;
    uint64_t actors;
    uint64_t keys;
    uint64_t reads; /* per cent */
    bool no_idempotency_key;
    bool keep;
    char *value; /* a JSON string of `size` bytes */
    struct dormouse_options d_options;

    atomic_bool is_over;
    atomic_ullong done;
    atomic_ullong failed;
    pthread_mutex_t mutex;
    struct dormouse_error first_error; /* under the mutex */
};

struct client {
    struct bench *bench;
    pthread_t thread;
    uint64_t random; /* the client's own, as all below */
    struct latency puts;
    struct latency gets;
};

static const char *const number_names[] = {[KEY_CLIENTS] = "--clients",
                                           [KEY_SIZE] = "--size",
                                           [KEY_ACTORS] = "--actors",
                                           [KEY_KEYS] = "--keys",
                                           [KEY_READS] = "--reads"};

static void take_number(uint64_t *ret, int key, uint64_t min, uint64_t max, const char *arg,
                        struct argp_state *state)
{
    if (!number_parse(arg, ret) || *ret < min || *ret > max) {
        argp_error(state, "%s takes a number from %llu to %llu: %s", number_names[key],
                   (unsigned long long)min, (unsigned long long)max, arg);
    }
}

static error_t parse(void *data, int key, char *arg, struct argp_state *state)
{
    struct bench *b = data;
    switch (key) {
    case KEY_CLIENTS:
        take_number(&b->clients, key, 1, CLIENTS_MAX, arg, state);
        return 0;
    case KEY_TIME:
        if (!duration_parse(arg, &b->time_ms) || b->time_ms == 0) {
            argp_error(state, "--time takes a time like 10s or 1m: %s", arg);
        }
        return 0;
    case KEY_SIZE:
        take_number(&b->size, key, 2, SIZE_MAX_BYTES, arg, state);
        return 0;
    case KEY_ACTORS:
        take_number(&b->actors, key, 1, 1000000, arg, state);
        return 0;
    case KEY_KEYS:
        take_number(&b->keys, key, 1, 1000000, arg, state);
        return 0;
    case KEY_READS:
        take_number(&b->reads, key, 0, 100, arg, state);
        return 0;
    case KEY_NO_IDEMPOTENCY:
        b->no_idempotency_key = true;
        return 0;
    case KEY_KEEP:
        b->keep = true;
        return 0;
    default:
        return ARGP_ERR_UNKNOWN;
    }
}

static uint64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* xorshift64: which actor and key; need not be good. */
static uint64_t next_random(struct client *c)
{
    c->random ^= c->random << 13;
    c->random ^= c->random >> 7;
    c->random ^= c->random << 17;
    return c->random;
}

static void note_failure(struct bench *b, const struct dormouse_error *error)
{
    atomic_fetch_add(&b->failed, 1);
    pthread_mutex_lock(&b->mutex);
    if (b->first_error.kind == DORMOUSE_OK) {
        b->first_error = *error;
    }
    pthread_mutex_unlock(&b->mutex);
    if (!error->retryable || error->http_status == 0) {
        atomic_store(&b->is_over, true); /* it would fail again */
    }
}

static void ask_once(struct client *c, struct dormouse *d)
{
    struct bench *b = c->bench;
    char id[32];
    char key[32];
    snprintf(id, sizeof(id), "bench-%llu", (unsigned long long)(next_random(c) % b->actors));
    snprintf(key, sizeof(key), "key-%llu", (unsigned long long)(next_random(c) % b->keys));
    const struct dormouse_actor actor = {b->ns, "Store", id};
    const struct dormouse_call call = {.no_idempotency_key = b->no_idempotency_key};
    struct dormouse_error error;
    struct dormouse_value value = {0};
    bool is_read = next_random(c) % 100 < b->reads;
    uint64_t began_us = now_us();
    enum dormouse_code kind =
        is_read
            ? dormouse_get(d, &actor, key, DORMOUSE_JSON, &call, &value, &error)
            : dormouse_put(d, &actor, key, DORMOUSE_JSON, b->value, b->size, &call, NULL, &error);
    uint64_t took_us = now_us() - began_us;
    dormouse_value_done(&value);
    if (kind != DORMOUSE_OK && kind != DORMOUSE_NO_SUCH_KEY) {
        note_failure(b, &error);
        return;
    }
    latency_note(is_read ? &c->gets : &c->puts, took_us);
    atomic_fetch_add(&b->done, 1);
}

static void *run_client(void *data)
{
    struct client *c = data;
    struct dormouse *d;
    struct dormouse_error error;
    if (dormouse_new(&c->bench->d_options, &d, &error) != DORMOUSE_OK) {
        note_failure(c->bench, &error);
        return NULL;
    }
    while (!atomic_load(&c->bench->is_over)) {
        ask_once(c, d);
    }
    dormouse_free(d);
    return NULL;
}

/* Once a second until the time is up or a client gives up. */
static void wait_and_show(struct bench *b)
{
    uint64_t began_us = now_us();
    uint64_t end_us = began_us + b->time_ms * 1000;
    uint64_t last_us = began_us;
    unsigned long long last_done = 0;
    while (now_us() < end_us && !atomic_load(&b->is_over)) {
        struct timespec pause = {.tv_nsec = 20000000};
        nanosleep(&pause, NULL);
        uint64_t now = now_us();
        if (now - last_us >= 1000000) {
            unsigned long long done = atomic_load(&b->done);
            progress_note("%.0f/s, %llu done, %llu failed ",
                          (double)(done - last_done) * 1e6 / (double)(now - last_us), done,
                          atomic_load(&b->failed));
            last_us = now;
            last_done = done;
        }
    }
    atomic_store(&b->is_over, true);
}

/* ---- results ---- */

struct result {
    double seconds;
    struct latency puts;
    struct latency gets;
    unsigned long long failed;
};

static void add_row(struct table *t, const char *name, const struct latency *l, double seconds)
{
    table_text(t, name, strlen(name));
    table_printf(t, "%llu", (unsigned long long)l->count);
    table_printf(t, "%.0f", (double)l->count / seconds);
    table_printf(t, "%.3f", latency_mean_ms(l));
    table_printf(t, "%.3f", latency_quantile_ms(l, 0.5));
    table_printf(t, "%.3f", latency_quantile_ms(l, 0.95));
    table_printf(t, "%.3f", latency_quantile_ms(l, 0.99));
    table_printf(t, "%.3f", (double)l->max_us / 1000);
}

static void print_latency_json(const char *name, const struct latency *l, double seconds)
{
    printf(",\"%s\":{\"count\":%llu,\"per_second\":%.1f,\"mean_ms\":%.3f,\"p50_ms\":%.3f,"
           "\"p95_ms\":%.3f,\"p99_ms\":%.3f,\"max_ms\":%.3f}",
           name, (unsigned long long)l->count, (double)l->count / seconds, latency_mean_ms(l),
           latency_quantile_ms(l, 0.5), latency_quantile_ms(l, 0.95), latency_quantile_ms(l, 0.99),
           (double)l->max_us / 1000);
}

static void print_result(const struct cli *cli, const struct bench *b, const struct result *r)
{
    if (cli->json) {
        printf("{\"clients\":%llu,\"seconds\":%.3f,\"value_bytes\":%llu,\"failed\":%llu",
               (unsigned long long)b->clients, r->seconds, (unsigned long long)b->size, r->failed);
        print_latency_json("put", &r->puts, r->seconds);
        print_latency_json("get", &r->gets, r->seconds);
        printf("}\n");
        return;
    }
    printf("%llu clients, %.1f s, values of %llu bytes, %llu failed\n",
           (unsigned long long)b->clients, r->seconds, (unsigned long long)b->size, r->failed);
    static struct table table = {
        .headings = {"KIND", "COUNT", "PER S", "MEAN MS", "P50", "P95", "P99", "MAX"}};
    if (r->puts.count > 0) {
        add_row(&table, "put", &r->puts, r->seconds);
    }
    if (r->gets.count > 0) {
        add_row(&table, "get", &r->gets, r->seconds);
    }
    table_end(&table);
}

static void remove_actors(struct cli *cli, const struct bench *b)
{
    progress_begin("removing the actors of the benchmark");
    for (uint64_t i = 0; i < b->actors; i++) {
        char id[32];
        snprintf(id, sizeof(id), "bench-%llu", (unsigned long long)i);
        const struct dormouse_actor actor = {b->ns, "Store", id};
        if (dormouse_actor_delete(cli->d, &actor, NULL, NULL) != DORMOUSE_OK) {
            return; /* what is left is named like what a next run would use */
        }
    }
}

static int run(struct cli *cli, struct bench *b, struct client *clients)
{
    uint64_t began_us = now_us();
    uint64_t started = 0;
    for (; started < b->clients; started++) {
        struct client *c = &clients[started];
        c->bench = b;
        c->random = 0x9e3779b97f4a7c15u * (started + 1);
        if (pthread_create(&c->thread, NULL, run_client, c) != 0) {
            atomic_store(&b->is_over, true);
            break;
        }
    }
    progress_begin("%llu clients:", (unsigned long long)started);
    wait_and_show(b);
    static struct result r;
    for (uint64_t i = 0; i < started; i++) {
        pthread_join(clients[i].thread, NULL);
        latency_add(&r.puts, &clients[i].puts);
        latency_add(&r.gets, &clients[i].gets);
    }
    r.seconds = (double)(now_us() - began_us) / 1e6;
    r.failed = atomic_load(&b->failed);
    if (!b->keep && r.puts.count > 0) {
        remove_actors(cli, b);
    }
    progress_end();
    print_result(cli, b, &r);
    return b->first_error.kind == DORMOUSE_OK ? EXIT_OK : cli_fail(cli, &b->first_error);
}

int command_bench(struct cli *cli, int argc, char **argv)
{
    static const struct argp_option options[] = {
        {"clients", KEY_CLIENTS, "N", 0, "so many at the same time (8)", 0},
        {"time", KEY_TIME, "TIME", 0, "for so long (10s)", 0},
        {"size", KEY_SIZE, "BYTES", 0, "of each value (100)", 0},
        {"actors", KEY_ACTORS, "N", 0, "spread over so many actors (64)", 0},
        {"keys", KEY_KEYS, "N", 0, "of each actor (100)", 0},
        {"reads", KEY_READS, "PERCENT", 0, "so many of the requests read (50)", 0},
        {"no-idempotency-key", KEY_NO_IDEMPOTENCY, NULL, 0, "writes without one", 0},
        {"keep", KEY_KEEP, NULL, 0, "leave the actors there", 0},
        {0}};
    static struct bench b = {.clients = 8,
                             .time_ms = 10000,
                             .size = 100,
                             .actors = 64,
                             .keys = 100,
                             .reads = 50,
                             .mutex = PTHREAD_MUTEX_INITIALIZER};
    const struct syntax syntax = {
        .usage = "[NAMESPACE]",
        .help = "Measures durable writes and reads, each client in a closed loop, on Store actors "
                "\"bench-N\" of the namespace (\"bench\"), which are deleted afterwards.",
        .positionals_max = 1,
        .options = options,
        .option = parse,
        .data = &b};
    cli_parse(cli, argc, argv, &syntax);
    int code = cli_connect(cli);
    if (code != EXIT_OK) {
        return code;
    }
    b.ns = cli->positionals[0] == NULL ? "bench" : cli->positionals[0];
    b.d_options = cli_options(cli);
    b.value = calloc(1, b.size + 1);
    struct client *clients = calloc(b.clients, sizeof(*clients));
    code = EXIT_ANSWER;
    if (b.value != NULL && clients != NULL) {
        memset(b.value, 'x', b.size);
        b.value[0] = '"';
        b.value[b.size - 1] = '"';
        code = run(cli, &b, clients);
    }
    free(b.value);
    free(clients);
    return code;
}
