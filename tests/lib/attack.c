/* attack NAME --port N [--from ADDRESS] [--addresses N] [--connections N] [--seconds N] [--work N]
 *
 * Attacks 127.0.0.1:N until the time is over, or so much work is done, with no more connections at a time. The last line of its output is
 * what it did, as JSON. `attack --list` prints the names, those against a node with TLS with " tls". */
#include "tests/lib/attack.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/random.h"

enum {
    READ_BYTES = 256 * 1024,
    EVENTS_MAX = 256,
    SWEEP_MS = 20,           /* how often paced attacks and closed connections are looked at */
    OPENS_PER_SWEEP = 1000,  /* a node's backlog holds some thousands */
    CLEAR_FIRST_BYTES = 256, /* of `out` is kept for the next connection */
};

struct options {
    const struct attack *attack;
    uint16_t port;
    struct in_addr from;
    uint32_t addresses;
    uint32_t connections;
    uint64_t seconds;
    uint64_t work;
};

static struct options options = {.addresses = 1, .seconds = UINT64_MAX / 2000, .work = UINT64_MAX};
static struct assailant *assailants;
static int epoll_fd;
static uint64_t now_ms;
static struct {
    uint64_t opened; /* connections that were established */
    uint64_t lost;   /* of these, closed by the node */
    uint64_t failed; /* that could not be opened */
    uint64_t units;
    uint64_t sent_bytes;
    uint64_t heard_bytes;
    uint32_t number; /* of connections, so far */
    uint32_t open;
} did;

/* Connections */

static void watch(struct assailant *a, int operation)
{
    struct epoll_event event = {.data.ptr = a,
                                .events = (a->wants_write ? EPOLLOUT : 0) |
                                          (a->attack->is_deaf ? 0 : EPOLLIN) | EPOLLRDHUP};
    if (a->attack->is_deaf) {
        event.events &= ~(uint32_t)EPOLLRDHUP; /* it would be told again and again */
    }
    (void)epoll_ctl(epoll_fd, operation, a->fd, &event);
}

static void count_units(struct assailant *a)
{
    did.units += a->units;
    a->units = 0;
}

/* With a reset: no port of ours stays taken. */
static void hang_up(struct assailant *a)
{
    struct linger now = {.l_onoff = 1};
    (void)setsockopt(a->fd, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    (void)close(a->fd);
    count_units(a);
    if (a->attack->end != NULL) {
        a->attack->end(a);
    }
    if (!a->is_connecting) {
        did.open--;
    }
    struct buf out = a->out;
    buf_clear(&out);
    *a = (struct assailant){.attack = a->attack, .fd = -1, .out = out};
}

static void has_connected(struct assailant *a)
{
    a->is_connecting = false;
    did.opened++;
    did.open++;
    a->next_ms = now_ms + a->attack->pace_ms;
    if (a->attack->begin != NULL) {
        a->attack->begin(a);
        count_units(a);
    }
}

static bool bind_to(int fd, uint32_t number)
{
    int on = 1;
    struct sockaddr_in own = {.sin_family = AF_INET};
    own.sin_addr.s_addr = htonl(ntohl(options.from.s_addr) + number % options.addresses);
    return setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on) == 0 &&
           bind(fd, (struct sockaddr *)&own, sizeof own) == 0;
}

static void open_one(struct assailant *a)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(options.port)};
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        did.failed++;
        return;
    }
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!bind_to(fd, did.number) ||
        (connect(fd, (struct sockaddr *)&to, sizeof to) != 0 && errno != EINPROGRESS)) {
        (void)close(fd);
        did.failed++;
        return;
    }
    a->fd = fd;
    a->number = did.number++;
    a->is_connecting = a->wants_write = true;
    watch(a, EPOLL_CTL_ADD);
}

/* Bytes */

static void lost(struct assailant *a)
{
    if (a->is_connecting) {
        did.failed++;
    } else {
        did.lost++;
    }
    hang_up(a);
}

/* False: the connection is lost. */
static bool send_out(struct assailant *a)
{
    while (a->out_at < a->out.len) {
        ssize_t n = send(a->fd, a->out.data + a->out_at, a->out.len - a->out_at, MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        a->out_at += (size_t)n;
        did.sent_bytes += (uint64_t)n;
    }
    a->out_at = 0;
    buf_clear(&a->out);
    return true;
}

static void want(struct assailant *a)
{
    bool is_fast = a->attack->go_on != NULL && a->attack->pace_ms == 0;
    bool wants_write = a->out.len > 0 || (is_fast && !a->is_finished);
    if (wants_write != a->wants_write) {
        a->wants_write = wants_write;
        watch(a, EPOLL_CTL_MOD);
    }
}

static void go_on(struct assailant *a)
{
    if (a->out.len == 0 && !a->is_finished && a->attack->go_on != NULL && now_ms >= a->next_ms) {
        a->next_ms = now_ms + a->attack->pace_ms;
        a->attack->go_on(a);
        count_units(a);
    }
}

static void on_writable(struct assailant *a)
{
    if (a->is_connecting) {
        int error = 0;
        socklen_t len = sizeof error;
        (void)getsockopt(a->fd, SOL_SOCKET, SO_ERROR, &error, &len);
        if (error != 0) {
            lost(a);
            return;
        }
        has_connected(a);
    } else {
        go_on(a);
    }
    if (!send_out(a)) {
        lost(a);
    } else if (a->is_finished && a->out.len == 0) {
        hang_up(a);
    } else {
        want(a);
    }
}

static void on_readable(struct assailant *a)
{
    static uint8_t bytes[READ_BYTES];
    ssize_t n = recv(a->fd, bytes, sizeof bytes, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        lost(a);
        return;
    }
    did.heard_bytes += (uint64_t)n;
    a->heard_bytes += (uint64_t)n;
    if (a->attack->hear != NULL) {
        a->attack->hear(a, slice_of(bytes, (size_t)n));
        count_units(a);
        on_writable(a);
    }
}

/* The loop */

static void sweep(bool opens)
{
    uint32_t opened = 0;
    for (uint32_t i = 0; i < options.connections; i++) {
        struct assailant *a = &assailants[i];
        if (a->fd < 0 && opens && opened < OPENS_PER_SWEEP) {
            open_one(a);
            opened++;
        } else if (a->fd >= 0 && !a->is_connecting && a->attack->pace_ms > 0) {
            on_writable(a);
        }
    }
}

static void take_events(int wait_ms)
{
    struct epoll_event events[EVENTS_MAX];
    int n = epoll_wait(epoll_fd, events, EVENTS_MAX, wait_ms);
    for (int i = 0; i < n; i++) {
        struct assailant *a = events[i].data.ptr;
        uint32_t what = events[i].events;
        if (a->fd >= 0 && (what & (EPOLLERR | EPOLLHUP)) != 0) {
            lost(a);
            continue;
        }
        if (a->fd >= 0 && (what & (EPOLLIN | EPOLLRDHUP)) != 0) {
            on_readable(a);
        }
        if (a->fd >= 0 && (what & EPOLLOUT) != 0) {
            on_writable(a);
        }
    }
}

static void run(void)
{
    now_ms = clock_mono_ms();
    uint64_t end_ms = now_ms + options.seconds * 1000;
    uint64_t next_sweep_ms = 0;
    bool was_told = false;
    while (now_ms < end_ms && did.units < options.work) {
        if (now_ms >= next_sweep_ms) {
            bool opens = !options.attack->stays_closed || did.number < options.connections;
            sweep(opens);
            next_sweep_ms = now_ms + SWEEP_MS;
        }
        take_events(SWEEP_MS);
        if (!was_told && did.opened > 0) {
            (void)printf("attacking\n");
            (void)fflush(stdout);
            was_told = true;
        }
        now_ms = clock_mono_ms();
    }
}

static void report(void)
{
    uint32_t open = did.open;
    (void)printf(
        "{\"attack\":\"%s\",\"opened\":%lu,\"closed_by_node\":%lu,\"failed\":%lu,\"open\":%u,"
        "\"units\":%lu,\"sent_bytes\":%lu,\"heard_bytes\":%lu}\n",
        options.attack->name, did.opened, did.lost, did.failed, open, did.units, did.sent_bytes,
        did.heard_bytes);
    (void)fflush(stdout);
}

/* Options */

static const struct attack *const tables[] = {attacks_http1, attacks_http2, attacks_tls};
enum { TABLES = sizeof tables / sizeof tables[0] };

static const struct attack *find(const char *name)
{
    for (size_t t = 0; t < TABLES; t++) {
        for (const struct attack *a = tables[t]; a->name != NULL; a++) {
            if (strcmp(a->name, name) == 0) {
                return a;
            }
        }
    }
    return NULL;
}

static int list(void)
{
    for (size_t t = 0; t < TABLES; t++) {
        for (const struct attack *a = tables[t]; a->name != NULL; a++) {
            (void)printf("%s%s\n", a->name, a->is_tls ? " tls" : "");
        }
    }
    return EX_OK;
}

static bool parse(int argc, char **argv)
{
    static const struct option known[] = {{"list", no_argument, NULL, 'l'},
                                          {"port", required_argument, NULL, 'p'},
                                          {"from", required_argument, NULL, 'f'},
                                          {"addresses", required_argument, NULL, 'a'},
                                          {"seconds", required_argument, NULL, 's'},
                                          {"work", required_argument, NULL, 'w'},
                                          {"connections", required_argument, NULL, 'c'},
                                          {NULL, 0, NULL, 0}};
    options.from.s_addr = htonl(INADDR_LOOPBACK);
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        uint64_t number = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;
        switch (option) {
        case 'l':
            exit(list());
        case 'p':
            options.port = (uint16_t)number;
            break;
        case 'f':
            if (inet_pton(AF_INET, optarg, &options.from) != 1) {
                return false;
            }
            break;
        case 'a':
            options.addresses = (uint32_t)number;
            break;
        case 's':
            options.seconds = number;
            break;
        case 'w':
            options.work = number;
            break;
        case 'c':
            options.connections = (uint32_t)number;
            break;
        default:
            return false;
        }
    }
    options.attack = optind == argc - 1 ? find(argv[optind]) : NULL;
    return options.attack != NULL && options.port != 0 && options.addresses != 0;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int main(int argc, char **argv)
{
    random_init();
    if (!parse(argc, argv)) {
        (void)fprintf(stderr, "usage: attack NAME --port N [--from ADDRESS] [--addresses N]\n"
                              "       [--connections N] [--seconds N] [--work N]\n"
                              "       attack --list\n");
        return EX_USAGE;
    }
    raise_descriptor_limit();
    if (options.connections == 0 || options.connections > options.attack->connections) {
        options.connections = options.attack->connections;
    }
    assailants = mem_zalloc(options.connections * sizeof *assailants);
    for (uint32_t i = 0; i < options.connections; i++) {
        assailants[i] = (struct assailant){.attack = options.attack, .fd = -1};
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0) {
        return EX_OSERR;
    }
    run();
    report();
    return EX_OK;
}
