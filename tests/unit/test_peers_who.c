/* Which nodes are let in, members that come and go, and the workers of a node. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "tests/lib/test.h"
#include "tests/unit/peers_world.h"

/* Who may come */

static void expect_never_up(struct world *a, const char *reason)
{
    RUN_UNTIL(strstr(reason_of(a), reason) != NULL);
    assert_false(peers_is_up(a->peers, 2, PEER_MESSAGES));
    assert_int_equal(a->up_count, 0);
}

static void a_certificate_of_another_ca_does_not_come_in(void **state)
{
    (void)state;
    struct world *b = new_worker(2, 0, 1);
    b->options.tls = stranger;
    start(b);
    struct world *a = new_node(1);
    set_member(a, 2, b->port);
    expect_never_up(a, "TLS: ");
    set_member(b, 1, a->port);
    RUN_UNTIL(strstr(reason_of(b), "TLS: ") != NULL);
    assert_int_equal(b->up_count, 0);
}

static void data_of_another_cluster_does_not_come_in(void **state)
{
    (void)state;
    struct world *b = new_worker(2, 0, 1);
    b->options.cluster_id = CLUSTER + 1;
    start(b);
    struct world *a = new_node(1);
    set_member(a, 2, b->port);
    expect_never_up(a, "its data is of cluster 00000000000000c1, not 00000000000000c2");
}

static void another_node_at_the_address_is_not_taken_for_the_one_that_was_meant(void **state)
{
    (void)state;
    struct world *a = new_node(1);
    struct world *c = new_node(3);
    set_member(a, 2, c->port);
    expect_never_up(a, "the certificate is that of node 3, not 2");
}

static void a_node_that_is_no_member_is_refused(void **state)
{
    (void)state;
    struct world *a = new_node(1);
    struct world *b = new_node(2);
    b->refuses = true;
    set_member(a, 2, b->port);
    expect_never_up(a, "refused by the peer: node 1 is not a member of the cluster");
    b->refuses = false;
    RUN_UNTIL(is_up(a, 2)); /* once it is one */
}

static void a_node_does_not_start_under_the_certificate_of_another(void **state)
{
    (void)state;
    char detail[PEERS_DETAIL_BYTES];
    struct world *a = new_worker(1, 0, 1);
    a->options.tls = contexts[2];
    expect_err(peers_open(&a->peers, &loop, &a->options, detail), ERR_BAD_REQUEST);
    assert_string_equal(detail,
                        "the certificate is that of dormouse://c/node/2, and this is node 1");
    a->options.tls = contexts[1];
    start(a);
    expect_err(peers_use_tls(a->peers, contexts[2], detail), ERR_BAD_REQUEST);
}

static void a_busy_port_is_told(void **state)
{
    (void)state;
    char detail[PEERS_DETAIL_BYTES];
    struct world *a = new_node(1);
    struct world *b = new_worker(2, 0, 1);
    b->options.port = a->port;
    b->options.is_first = true;
    expect_err(peers_open(&b->peers, &loop, &b->options, detail), ERR_BUSY);
    assert_non_null(strstr(detail, "address already in use"));
}

static void a_renewed_certificate_is_for_connections_to_come(void **state)
{
    (void)state;
    char detail[PEERS_DETAIL_BYTES];
    struct world *a;
    struct world *b;
    open_pair(&a, &b);
    struct tls_context *renewed = peer_context(&ca, &ca, "dormouse://c/node/1");
    expect_err(peers_use_tls(a->peers, renewed, detail), ERR_OK);
    tls_context_unref(renewed);
    send_to(a, 2, 1, 1, 100);
    RUN_UNTIL(b->got_count == 1);
    assert_int_equal(a->lost_count, 0);
    stop(b);
    start(b);
    RUN_UNTIL(is_up(a, 2)); /* under the new one */
}

static int dial_raw(uint16_t port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    assert_true(fd >= 0 && inet_pton(AF_INET, "127.0.0.1", &address.sin_addr) == 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static size_t count_open(const int *fds, size_t count)
{
    size_t open_count = 0;
    for (size_t i = 0; i < count; i++) {
        char byte;
        open_count += recv(fds[i], &byte, 1, MSG_PEEK) < 0 && errno == EAGAIN;
    }
    return open_count;
}

static void those_who_do_not_say_who_they_are_are_few_and_do_not_stay(void **state)
{
    (void)state;
    enum { RAW = PEERS_STRANGERS_MAX + 20 };
    static int fds[RAW];
    limits.greeting_ms = 1000;
    struct world *a = new_node(1);
    for (size_t i = 0; i < RAW; i++) {
        fds[i] = dial_raw(a->port);
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    RUN_UNTIL(count_open(fds, RAW) == PEERS_STRANGERS_MAX);
    assert_int_equal(a->peers->stranger_count, PEERS_STRANGERS_MAX);
    RUN_UNTIL(a->peers->stranger_count == 0); /* their time is up */
    struct world *b = new_node(2);
    set_member(b, 1, a->port);
    RUN_UNTIL(is_up(b, 1));
    for (size_t i = 0; i < RAW; i++) {
        (void)close(fds[i]);
    }
}

/* Members */

static void who_is_no_longer_a_member_is_left(void **state)
{
    (void)state;
    struct world *a;
    struct world *b;
    open_pair(&a, &b);
    peers_set_members(a->peers, NULL, 0);
    assert_int_equal(a->lost_count, 1);
    expect_err(try_send(a, 2, PEER_MESSAGES, 1, 1, 100), ERR_UNAVAILABLE);
    a->refuses = true;
    RUN_UNTIL(strstr(reason_of(b), "not a member") != NULL || !is_up(b, 1));
    RUN_UNTIL(a->peers->set.count == 0 || a->peers->stranger_count > 0);
}

static void a_member_with_another_address_is_dialled_there(void **state)
{
    (void)state;
    struct world *a = new_node(1);
    struct world *b = new_node(2);
    struct world *c = new_node(3);
    set_member(a, 2, c->port);
    expect_never_up(a, "the certificate is that of node 3");
    set_member(a, 2, b->port);
    RUN_UNTIL(is_up(a, 2));
    set_member(a, 2, b->port); /* once more: nothing happens */
    assert_true(is_up(a, 2));
    assert_int_equal(a->lost_count, 0);
}

static void an_address_that_is_none_is_told(void **state)
{
    (void)state;
    struct world *a = new_node(1);
    struct peers_member member = {.node = 2, .address = "nonsense"};
    peers_set_members(a->peers, &member, 1);
    RUN_UNTIL(strstr(reason_of(a), "nonsense: ") != NULL);
    member.address = "a..b:1";
    peers_set_members(a->peers, &member, 1);
    RUN_UNTIL(strstr(reason_of(a), "no address: ") != NULL);
}

static void a_node_stops_while_it_dials_and_resolves(void **state)
{
    (void)state;
    struct world *a = new_node(1);
    const struct peers_member member = {.node = 2, .address = "a..b:1"};
    peers_set_members(a->peers, &member, 1);
    RUN_UNTIL(a->peers->set.count > 0);
    stop(a);
}

/* A node that has no data yet learns from the first one that lets it in what cluster it is. */
static void a_newcomer_without_data_is_let_in_and_learns_its_cluster(void **state)
{
    (void)state;
    struct world *b = new_node(2);
    struct world *a = new_worker(1, 0, 1);
    a->options.cluster_id = 0;
    start(a);
    b->refuses = true;
    set_member(a, 2, b->port);
    expect_never_up(a, "not a member");
    b->refuses = false; /* its owner has made up its mind */
    RUN_UNTIL(is_up(a, 2));
    assert_int_equal(a->hello.cluster_id, CLUSTER);
    send_to(a, 2, 1, 1, 100);
    RUN_UNTIL(b->got_count == 1);
    peers_set_cluster(a->peers, a->hello.cluster_id);
    set_member(b, 1, a->port);
    RUN_UNTIL(is_up(b, 1));
    assert_int_equal(b->hello.cluster_id, CLUSTER);
}

/* Workers */

static void messages_go_to_the_worker_that_owns_their_group(void **state)
{
    (void)state;
    struct world *a = new_node(1);
    struct world *b0 = new_worker(2, 0, 2);
    start(b0);
    struct world *b1 = new_worker(2, 1, 2);
    b1->options.port = b0->port;
    start(b1);
    set_member(a, 2, b0->port);
    RUN_UNTIL(is_up(a, 2));
    for (uint32_t i = 0; i < 1000; i++) {
        send_to(a, 2, i % GROUPS, i, 100);
    }
    RUN_UNTIL(b0->got_count + b1->got_count == 1000);
    assert_int_equal(b0->got_count, 500);
    uint32_t next[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++) {
        next[g] = g;
    }
    for (size_t i = 0; i < 500; i++) {
        assert_int_equal(b0->got[i].group % 2, 0);
        assert_int_equal(b1->got[i].group % 2, 1);
        assert_int_equal(b0->got[i].number, next[b0->got[i].group]);
        assert_int_equal(b1->got[i].number, next[b1->got[i].group]);
        next[b0->got[i].group] += GROUPS;
        next[b1->got[i].group] += GROUPS;
    }
    assert_int_equal(atomic_load(&shared[2].of[0].away_bytes), 0);
    assert_int_equal(atomic_load(&shared[2].of[1].away_bytes), 0);
}

/* The worker at which a's connection for messages ended up, and the other one. */
static bool open_workers(struct world **ret_a, struct world **ret_here, struct world **ret_there)
{
    struct world *a = new_node(1);
    struct world *b0 = new_worker(2, 0, 2);
    start(b0);
    struct world *b1 = new_worker(2, 1, 2);
    b1->options.port = b0->port;
    start(b1);
    tcp_proxy_open(&proxy, &loop, b0->port);
    has_proxy = true;
    set_member(a, 2, tcp_proxy_port(&proxy));
    RUN_UNTIL(is_up(a, 2));
    send_to(a, 2, 0, 1, 100);
    send_to(a, 2, 1, 2, 100);
    RUN_UNTIL(b0->got_count == 1 && b1->got_count == 1);
    bool is_at_0 = false;
    LIST_FOREACH (link, &b0->peers->set.conns) {
        const struct incoming *in =
            ((struct peer_conn *)LIST_ENTRY(link, struct peer_conn, all_link))->owner;
        is_at_0 = is_at_0 || in->sender.channel == PEER_MESSAGES;
    }
    *ret_a = a;
    *ret_here = is_at_0 ? b0 : b1;
    *ret_there = is_at_0 ? b1 : b0;
    return is_at_0;
}

static void every_worker_hears_of_a_broken_connection(void **state)
{
    (void)state;
    struct world *a;
    struct world *here;
    struct world *there;
    (void)open_workers(&a, &here, &there);
    tcp_proxy_cut(&proxy);
    RUN_UNTIL(here->lost_count == 2 && there->lost_count == 2);
    assert_int_equal(there->lost_node, 1);
}

/* A message that waits between workers while its connection breaks and another is made. */
static void what_came_before_a_break_is_not_delivered_after_it(void **state)
{
    (void)state;
    struct world *a;
    struct world *here;
    struct world *there;
    uint32_t group = open_workers(&a, &here, &there) ? 1 : 0; /* owned by the other worker */
    holds_posts = true;
    send_to(a, 2, group, 77, 100);
    RUN_UNTIL(posted_count == 1);
    struct posted late = posted[0];
    posted_count = 0;
    holds_posts = false;
    tcp_proxy_cut(&proxy);
    RUN_UNTIL(!is_up(a, 2));
    RUN_UNTIL(is_up(a, 2));
    there->got_count = 0;
    send_to(a, 2, group, 78, 100);
    RUN_UNTIL(there->got_count == 1);
    late.task->run(NULL, late.task);
    assert_int_equal(there->got_count, 1);
    assert_int_equal(there->got[0].number, 78);
    run_posts();
    struct peer_stats s;
    struct peers_member member = {.node = 1, .address = "127.0.0.1:1"};
    peers_set_members(there->peers, &member, 1);
    assert_int_equal(peers_stats(there->peers, &s, 1), 1);
    assert_int_equal(s.undelivered, 1);
}

static void what_waits_for_another_worker_is_bounded(void **state)
{
    (void)state;
    struct world *a;
    struct world *here;
    struct world *there;
    uint32_t group = open_workers(&a, &here, &there) ? 1 : 0;
    holds_posts = true;
    size_t before = stats_of(a).to.bytes_out;
    for (uint32_t i = 0; i < 40; i++) {
        RUN_UNTIL(try_send(a, 2, PEER_MESSAGES, group, i, MIB) == ERR_OK);
    }
    RUN_UNTIL(stats_of(a).to.bytes_out > before + 40 * MIB);
    size_t own_group_before = here->got_count;
    send_to(a, 2, 1 - group, 99, 100); /* behind them, for the worker here */
    RUN_UNTIL(here->got_count == own_group_before + 1);
    assert_in_range(posted_count, 28, 32);
    assert_true(atomic_load(&shared[2].of[here->options.worker].away_bytes) <=
                PEERS_AWAY_BYTES_MAX);
    there->got_count = 0;
    holds_posts = false;
    RUN_UNTIL(there->got_count >= 28);
    assert_int_equal(atomic_load(&shared[2].of[here->options.worker].away_bytes), 0);
}

/* Metrics */

static void stats_are_written_with_a_line_for_each_peer(void **state)
{
    (void)state;
    struct world *a;
    struct world *b;
    open_pair(&a, &b);
    send_to(a, 2, 1, 1, 1000);
    RUN_UNTIL(b->got_count == 1);
    struct peer_stats s = stats_of(a);
    assert_int_equal(s.up, 2);
    assert_int_equal(s.up_from, 2);
    assert_int_equal(s.to.messages_out, 1);
    assert_int_equal(stats_of(b).from.messages_in, 1);
    assert_int_equal(stats_of(b).from.bytes_in, s.to.bytes_out);
    struct peer_stats sum = s;
    peer_stats_add(&sum, &s); /* as of a second worker */
    assert_int_equal(sum.up, 4);
    assert_int_equal(sum.to.bytes_out, 2 * s.to.bytes_out);
    assert_int_equal(sum.to.rtt_us, s.to.rtt_us);
    struct buf text = {0};
    peer_stats_write(&s, 1, &text);
    buf_append_byte(&text, '\0');
    assert_non_null(strstr((const char *)text.data, "\ndormouse_peer_connected{peer=\"2\"} 2\n"));
    assert_non_null(
        strstr((const char *)text.data, "\n# TYPE dormouse_peer_dropped_messages_total counter\n"));
    buf_done(&text);
}

#define T(name) cmocka_unit_test_setup_teardown(name, peers_setup, peers_teardown)

int main(void)
{
    test_begin();
    (void)signal(SIGPIPE, SIG_IGN); /* as the node does */
    const struct CMUnitTest tests[] = {
        T(a_certificate_of_another_ca_does_not_come_in),
        T(data_of_another_cluster_does_not_come_in),
        T(another_node_at_the_address_is_not_taken_for_the_one_that_was_meant),
        T(a_node_that_is_no_member_is_refused),
        T(a_node_does_not_start_under_the_certificate_of_another),
        T(a_busy_port_is_told),
        T(a_renewed_certificate_is_for_connections_to_come),
        T(those_who_do_not_say_who_they_are_are_few_and_do_not_stay),
        T(who_is_no_longer_a_member_is_left),
        T(a_member_with_another_address_is_dialled_there),
        T(an_address_that_is_none_is_told),
        T(a_node_stops_while_it_dials_and_resolves),
        T(a_newcomer_without_data_is_let_in_and_learns_its_cluster),
        T(messages_go_to_the_worker_that_owns_their_group),
        T(every_worker_hears_of_a_broken_connection),
        T(what_came_before_a_break_is_not_delivered_after_it),
        T(what_waits_for_another_worker_is_bounded),
        T(stats_are_written_with_a_line_for_each_peer),
    };
    return cmocka_run_group_tests(tests, peers_make_contexts, peers_free_contexts);
}
