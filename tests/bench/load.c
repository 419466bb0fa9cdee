/* The load generator of the benchmarks: drives Dormouse over HTTP/2 or HTTP/1.1, etcd through its
 * JSON gateway and workerd, each connection with some requests under way at any time, and prints throughput,
 * latency and the processor time of both sides.
 *
 * Requests of the warm-up count as acknowledged but not in throughput and latency. At the end nothing
 * new is sent and every answer is awaited, so `acknowledged` is exact. */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "base/random.h"
#include "tests/bench/connection.h"
#include "tests/bench/histogram.h"
#include "tests/bench/workload.h"

enum {
    CONNECTIONS_MAX = 10000,
    STREAMS_MAX = 1000,
    EVENTS = 256,
    DRAIN_MS = 10000,
    NS_IN_MS = 1000000,
};

struct options {
    const char *url;
    const struct protocol *protocol;
    uint64_t connections;
    uint64_t streams;
    uint64_t duration_ms;
    uint64_t warmup_ms;
    uint64_t pause_ms; /* of each exchange, between its answer and its next request */
    uint64_t requests; /* ends the measured time early, once so many are answered; 0: none */
    uint64_t pid;      /* of the server, 0: unknown */
    bool json;
};

/* One run. Everything else hangs on it. */
static struct run {
    struct options options;
    struct workload workload;
    struct request request;
    struct connection *connections;
    struct exchange *exchanges;
    int epoll;
    uint64_t measure_from_ns; /* 0 until warm */
    uint64_t measure_to_ns;   /* nothing is sent after it */
    uint64_t under_way;
    uint64_t acknowledged; /* 2xx, from the very first request on */
    uint64_t answered;     /* within the measured time */
    uint64_t refused;      /* any other status, or reset */
    int first_refusal;
    struct histogram latency;
} run;

static _Noreturn void fail(const char *what)
{
    (void)fprintf(stderr, "load: %s\n", what);
    exit(EXIT_FAILURE);
}

/* --- exchanges -------------------------------------------------------------------------------- */

static void send_next(struct connection *c, struct exchange *x)
{
    workload_next(&run.workload, &run.request);
    x->sent_ns = clock_mono_ns();
    run.under_way++;
    connection_submit(c, x, &run.request);
}

/* The measured time ends now, if it has not ended yet. */
static void end_at(uint64_t now_ns)
{
    if (run.measure_from_ns != 0 && now_ns < run.measure_to_ns) {
        run.measure_to_ns = now_ns;
    }
}

static bool may_send(uint64_t now_ns)
{
    if (run.workload.operation == OPERATION_FILL && run.workload.fill_left == 0) {
        end_at(now_ns);
        return false;
    }
    return run.measure_from_ns == 0 || now_ns < run.measure_to_ns;
}

static void on_answer(struct exchange *x)
{
    uint64_t now_ns = clock_mono_ns();
    run.under_way--;
    bool is_success = x->status >= 200 && x->status < 300;
    if (is_success) {
        run.acknowledged++;
    } else {
        run.refused++;
        run.first_refusal = run.first_refusal != 0 ? run.first_refusal : x->status;
    }
    if (run.measure_from_ns != 0 && x->sent_ns >= run.measure_from_ns &&
        now_ns <= run.measure_to_ns) {
        run.answered += is_success ? 1 : 0;
        histogram_add(&run.latency, now_ns - x->sent_ns);
    }
    if (run.options.requests != 0 && run.answered >= run.options.requests) {
        end_at(now_ns);
    }
    if (run.options.pause_ms > 0) {
        x->sends_at_ns = now_ns + run.options.pause_ms * NS_IN_MS;
    } else if (may_send(now_ns)) {
        send_next(x->connection, x);
    }
}

static void flush(struct connection *c)
{
    bool blocked = false;
    if (!connection_write(c, &blocked)) {
        fail("the server closed a connection");
    }
    if (blocked != c->wants_write) {
        struct epoll_event e = {.events = EPOLLIN | (blocked ? EPOLLOUT : 0U), .data.ptr = c};
        INVARIANT(epoll_ctl(run.epoll, EPOLL_CTL_MOD, c->fd, &e) == 0);
        c->wants_write = blocked;
    }
}

/* Those whose pause is over. */
static void send_due(void)
{
    uint64_t now_ns = clock_mono_ns();
    const struct options *o = &run.options;
    for (uint64_t i = 0; o->pause_ms > 0 && i < o->connections * o->streams; i++) {
        struct exchange *x = &run.exchanges[i];
        if (x->sends_at_ns != 0 && x->sends_at_ns <= now_ns && may_send(now_ns)) {
            x->sends_at_ns = 0;
            send_next(x->connection, x);
            flush(x->connection);
        }
    }
}

static void open_all(const struct sockaddr_in *to, const char *authority)
{
    const struct options *o = &run.options;
    run.connections = mem_zalloc(o->connections * sizeof(*run.connections));
    run.exchanges = mem_zalloc(o->connections * o->streams * sizeof(*run.exchanges));
    run.epoll = epoll_create1(EPOLL_CLOEXEC);
    INVARIANT(run.epoll >= 0);
    for (uint64_t i = 0; i < o->connections; i++) {
        struct connection *c = &run.connections[i];
        *c = (struct connection){
            .protocol = o->protocol, .authority = authority, .on_answer = on_answer};
        connection_open(c, to);
        struct epoll_event e = {.events = EPOLLIN, .data.ptr = c};
        INVARIANT(epoll_ctl(run.epoll, EPOLL_CTL_ADD, c->fd, &e) == 0);
    }
    for (uint64_t i = 0; i < o->connections * o->streams && may_send(clock_mono_ns()); i++) {
        send_next(&run.connections[i / o->streams], &run.exchanges[i]);
    }
    for (uint64_t i = 0; i < o->connections; i++) {
        flush(&run.connections[i]);
    }
}

static void close_all(void)
{
    for (uint64_t i = 0; i < run.options.connections; i++) {
        connection_close(&run.connections[i]);
    }
    for (uint64_t i = 0; i < run.options.connections * run.options.streams; i++) {
        buf_done(&run.exchanges[i].body);
    }
    mem_free(run.connections);
    mem_free(run.exchanges);
    (void)close(run.epoll);
    request_done(&run.request);
    workload_done(&run.workload);
}

static void wait_for_events(void)
{
    struct epoll_event events[EVENTS];
    int n = epoll_wait(run.epoll, events, EVENTS, 10);
    if (n < 0 && errno != EINTR) {
        fail("epoll_wait failed");
    }
    for (int i = 0; i < n; i++) {
        struct connection *c = events[i].data.ptr;
        if ((events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !connection_read(c)) {
            fail("the server closed a connection or broke the protocol");
        }
        flush(c);
    }
    send_due();
}

/* --- processor time --------------------------------------------------------------------------- */

static double own_cpu_seconds(void)
{
    struct rusage u;
    INVARIANT(getrusage(RUSAGE_SELF, &u) == 0);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* utime and stime of all threads of the server; 0 where it is not known. */
static double server_cpu_seconds(void)
{
    char path[64];
    char line[1024] = {0};
    (void)snprintf(path, sizeof(path), "/proc/%" PRIu64 "/stat", run.options.pid);
    FILE *f = run.options.pid == 0 ? NULL : fopen(path, "re");
    if (f == NULL) {
        return 0;
    }
    size_t n = fread(line, 1, sizeof(line) - 1, f);
    (void)fclose(f);
    line[n] = 0;
    /* Fields are counted from the end of the name, which may hold anything. utime is the 14th. */
    char *at = strrchr(line, ')');
    if (at == NULL) {
        return 0;
    }
    at++;
    for (int i = 0; i < 11 && at != NULL; i++) {
        at = strchr(at + 1, ' ');
    }
    if (at == NULL) {
        return 0;
    }
    uint64_t utime = strtoull(at, &at, 10);
    uint64_t stime = strtoull(at, &at, 10);
    return (double)(utime + stime) / (double)sysconf(_SC_CLK_TCK);
}

/* --- the run ---------------------------------------------------------------------------------- */

static void report(double seconds, double own_cpu, double server_cpu)
{
    double p50 = (double)histogram_percentile_ns(&run.latency, 0.50) / 1e3;
    double p90 = (double)histogram_percentile_ns(&run.latency, 0.90) / 1e3;
    double p99 = (double)histogram_percentile_ns(&run.latency, 0.99) / 1e3;
    double highest = (double)run.latency.highest_ns / 1e3;
    double rate = (double)run.answered / seconds;
    if (run.options.json) {
        (void)printf("{\"rate\":%.1f,\"p50_us\":%.1f,\"p90_us\":%.1f,\"p99_us\":%.1f,"
                     "\"max_us\":%.1f,\"answered\":%" PRIu64 ",\"acknowledged\":%" PRIu64
                     ",\"refused\":%" PRIu64 ",\"first_refusal\":%d,\"seconds\":%.3f,"
                     "\"client_cpu\":%.3f,\"server_cpu\":%.3f}\n",
                     rate, p50, p90, p99, highest, run.answered, run.acknowledged, run.refused,
                     run.first_refusal, seconds, own_cpu / seconds, server_cpu / seconds);
        return;
    }
    (void)printf("%.0f requests/s  p50 %.0f us  p90 %.0f us  p99 %.0f us  max %.0f us\n"
                 "%" PRIu64 " acknowledged, %" PRIu64 " refused%s",
                 rate, p50, p90, p99, highest, run.acknowledged, run.refused,
                 run.refused != 0 ? "" : "\n");
    if (run.refused != 0) {
        (void)printf(" (the first with status %d)\n", run.first_refusal);
    }
    (void)printf("processors: generator %.2f", own_cpu / seconds);
    (void)printf(run.options.pid != 0 ? ", server %.2f\n" : "\n", server_cpu / seconds);
}

static void run_until_drained(void)
{
    uint64_t start_ns = clock_mono_ns();
    while (clock_mono_ns() < start_ns + run.options.warmup_ms * NS_IN_MS) {
        wait_for_events();
    }
    double own_cpu = own_cpu_seconds();
    double server_cpu = server_cpu_seconds();
    uint64_t from_ns = clock_mono_ns();
    run.measure_to_ns = from_ns + run.options.duration_ms * NS_IN_MS;
    run.measure_from_ns = from_ns;
    while (clock_mono_ns() < run.measure_to_ns && (run.under_way > 0 || run.options.pause_ms > 0)) {
        wait_for_events();
    }
    double seconds = (double)(run.measure_to_ns - from_ns) / 1e9;
    own_cpu = own_cpu_seconds() - own_cpu;
    server_cpu = server_cpu_seconds() - server_cpu;

    uint64_t deadline_ns = run.measure_to_ns + (uint64_t)DRAIN_MS * NS_IN_MS;
    while (run.under_way > 0) {
        if (clock_mono_ns() > deadline_ns) {
            fail("some requests were never answered");
        }
        wait_for_events();
    }
    if (run.workload.fill_left > 0) {
        fail("the time was up before every value was written");
    }
    report(seconds, own_cpu, server_cpu);
}

/* --- options ---------------------------------------------------------------------------------- */

static const char usage_text[] =
    "usage: load [options] http://ADDRESS:PORT\n"
    "  --server dormouse|etcd|workerd (dormouse)\n"
    "  --op put|get|txn|fill|call-read|call-put|execute (put)\n"
    "  --protocol h2|h1        (h2; else: h1)  --connections N   (64)\n"
    "  --streams N of each connection (1)      --actors N        (1000)\n"
    "  --keys N of each actor  (1000)          --value-bytes N   (100)\n"
    "  --seconds N             (10)            --warmup N        (2 seconds)\n"
    "  --pause N               milliseconds between an answer and the next request (0)\n"
    "  --requests N            ends early, after so many answers\n"
    "  --pid N                 of the server, for its processor time\n"
    "  --json\n"
    "fill writes every key of every actor once, within --seconds, and begins without a warm-up.\n";

static _Noreturn void usage(void)
{
    (void)fputs(usage_text, stderr);
    exit(64);
}

static uint64_t number(const char *text, uint64_t least, uint64_t most)
{
    char *end = NULL;
    errno = 0;
    uint64_t n = strtoull(text, &end, 10);
    if (errno != 0 || *text < '0' || *text > '9' || *end != 0 || n < least || n > most) {
        (void)fprintf(stderr, "load: %s is not a number from %" PRIu64 " to %" PRIu64 "\n", text,
                      least, most);
        exit(64);
    }
    return n;
}

static int choice(const char *text, const char *const *names)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (strcmp(text, names[i]) == 0) {
            return i;
        }
    }
    usage();
}

static const struct option known_options[] = {
    {"server", required_argument, NULL, 's'},
    {"protocol", required_argument, NULL, 'p'},
    {"op", required_argument, NULL, 'o'},
    {"connections", required_argument, NULL, 'c'},
    {"streams", required_argument, NULL, 'm'},
    {"actors", required_argument, NULL, 'a'},
    {"keys", required_argument, NULL, 'k'},
    {"value-bytes", required_argument, NULL, 'b'},
    {"seconds", required_argument, NULL, 'd'},
    {"warmup", required_argument, NULL, 'w'},
    {"pid", required_argument, NULL, 'i'},
    {"requests", required_argument, NULL, 'r'},
    {"pause", required_argument, NULL, 'u'},
    {"json", no_argument, NULL, 'j'},
    {NULL, 0, NULL, 0},
};

static void set_option(int c)
{
    static const char *const servers[] = {"dormouse", "etcd", "workerd", NULL};
    static const char *const protocols[] = {"h2", "h1", NULL};
    static const char *const operations[] = {"put",       "get",      "txn",     "fill",
                                             "call-read", "call-put", "execute", NULL};
    struct options *o = &run.options;
    struct workload *w = &run.workload;
    switch (c) {
    case 's':
        w->server = (enum server)choice(optarg, servers);
        break;
    case 'p':
        o->protocol = choice(optarg, protocols) == 0 ? &http2_protocol : &http1_protocol;
        break;
    case 'o':
        w->operation = (enum operation)choice(optarg, operations);
        break;
    case 'c':
        o->connections = number(optarg, 1, CONNECTIONS_MAX);
        break;
    case 'm':
        o->streams = number(optarg, 1, STREAMS_MAX);
        break;
    case 'a':
        w->actors = number(optarg, 1, UINT32_MAX);
        break;
    case 'k':
        w->keys = number(optarg, 1, UINT32_MAX);
        break;
    case 'b':
        w->value_bytes = (uint32_t)number(optarg, 1, 1 << 20);
        break;
    case 'd':
        o->duration_ms = number(optarg, 1, 86400) * 1000;
        break;
    case 'w':
        o->warmup_ms = number(optarg, 0, 86400) * 1000;
        break;
    case 'i':
        o->pid = number(optarg, 1, UINT32_MAX);
        break;
    case 'r':
        o->requests = number(optarg, 1, UINT32_MAX);
        break;
    case 'u':
        o->pause_ms = number(optarg, 1, 86400000);
        break;
    case 'j':
        o->json = true;
        break;
    default:
        usage();
    }
}

static void parse_options(int argc, char **argv)
{
    run.options = (struct options){.protocol = &http2_protocol,
                                   .connections = 64,
                                   .streams = 1,
                                   .duration_ms = 10000,
                                   .warmup_ms = 2000};
    run.workload = (struct workload){.actors = 1000, .keys = 1000, .value_bytes = 100};
    for (int c; (c = getopt_long(argc, argv, "", known_options, NULL)) != -1;) {
        set_option(c);
    }
    if (optind + 1 != argc) {
        usage();
    }
    run.options.url = argv[optind];
}

static void finish_options(void)
{
    struct options *o = &run.options;
    bool is_call = run.workload.operation >= OPERATION_CALL_READ;
    if (run.workload.server != SERVER_DORMOUSE) {
        o->protocol = &http1_protocol;
        if (run.workload.operation == OPERATION_TXN ||
            is_call != (run.workload.server == SERVER_WORKERD)) {
            fail("that server has no such --op");
        }
    }
    if (run.workload.operation == OPERATION_FILL) {
        o->warmup_ms = 0;
    }
    if (o->protocol == &http1_protocol && o->streams != 1) {
        fail("HTTP/1.1 carries one request at a time: --streams is 1");
    }
}

/* http://127.0.0.1:7420: literal addresses alone, so that no name has to be resolved. */
static struct sockaddr_in parse_url(const char *url, const char **ret_authority)
{
    static char authority[64];
    char host[64];
    struct slice rest = slice_of_str(url);
    if (!slice_has_prefix(rest, SLICE("http://")) || rest.len - 7 >= sizeof(authority)) {
        usage();
    }
    (void)snprintf(authority, sizeof(authority), "%s", url + 7);
    authority[strcspn(authority, "/")] = 0;
    (void)snprintf(host, sizeof(host), "%s", authority);
    char *colon = strchr(host, ':');
    if (colon == NULL) {
        usage();
    }
    *colon = 0;
    struct sockaddr_in to = {.sin_family = AF_INET};
    to.sin_port = htons((uint16_t)number(colon + 1, 1, UINT16_MAX));
    if (inet_pton(AF_INET, host, &to.sin_addr) != 1) {
        usage();
    }
    *ret_authority = authority;
    return to;
}

int main(int argc, char **argv)
{
    random_init();
    parse_options(argc, argv);
    finish_options();
    const char *authority = NULL;
    struct sockaddr_in to = parse_url(run.options.url, &authority);
    workload_init(&run.workload, random_u64());
    open_all(&to, authority);
    run_until_drained();
    close_all();
    return run.refused == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
