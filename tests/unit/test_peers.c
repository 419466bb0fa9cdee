/* Nodes that talk over sockets of this machine, and what happens when these break. */
#include <signal.h>

#include "tests/lib/test.h"
#include "tests/unit/peers_world.h"

/* Talking */

static void two_nodes_talk_both_ways(void **state)
{
    (void)state;
    struct world *a;
    struct world *b;
    open_pair(&a, &b);
    send_to(a, 2, 7, 100, 50);
    send_to(b, 1, 8, 200, 60);
    expect_err(try_send(a, 2, PEER_BULK, 9, 300, 70), ERR_OK);
    RUN_UNTIL(b->got_count == 2 && a->got_count == 1);
    assert_int_equal(a->got[0].from, 2);
    assert_int_equal(a->got[0].number, 200);
    assert_int_equal(a->up_count, 2);
    assert_int_equal(a->lost_count + b->lost_count, 0);
}

static void three_nodes_each_hear_the_others(void **state)
{
    (void)state;
    struct world *nodes[4];
    char addresses[4][64];
    for (uint32_t i = 1; i <= 3; i++) {
        nodes[i] = new_node(i);
        (void)snprintf(addresses[i], sizeof addresses[i], "localhost:%u", nodes[i]->port);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        struct peers_member members[2];
        for (uint32_t k = 1, n = 0; k <= 3; k++) {
            if (k != i) {
                members[n++] = (struct peers_member){k, addresses[k]};
            }
        }
        peers_set_members(nodes[i]->peers, members, 2);
    }
    for (uint32_t i = 1; i <= 3; i++) {
        for (uint32_t k = 1; k <= 3; k++) {
            RUN_UNTIL(i == k || is_up(nodes[i], k));
        }
    }
    for (uint32_t i = 1; i <= 3; i++) {
        for (uint32_t k = 1; k <= 3; k++) {
            if (i != k) {
                send_to(nodes[i], k, 1, 10 * i + k, 100);
            }
        }
    }
    for (uint32_t i = 1; i <= 3; i++) {
        RUN_UNTIL(nodes[i]->got_count == 2);
        for (size_t n = 0; n < 2; n++) {
            assert_int_equal(nodes[i]->got[n].number, 10 * nodes[i]->got[n].from + i);
        }
    }
}

static void many_messages_come_whole_and_in_order(void **state)
{
    (void)state;
    struct world *a;
    struct world *b;
    open_pair(&a, &b);
    for (uint32_t i = 0; i < 2000; i++) {
        send_to(a, 2, i % GROUPS, i, 4 + i * 7 % 3000);
    }
    RUN_UNTIL(b->got_count == 2000);
    uint32_t next[GROUPS];
    for (uint32_t g = 0; g < GROUPS; g++) {
        next[g] = g;
    }
    for (size_t i = 0; i < 2000; i++) {
        assert_int_equal(b->got[i].number, next[b->got[i].group]);
        assert_int_equal(b->got[i].bytes, 4 + b->got[i].number * 7 % 3000);
        next[b->got[i].group] += GROUPS;
    }
}

static void a_heartbeat_does_not_wait_for_megabytes_of_another_group(void **state)
{
    (void)state;
    struct world *a;
    struct world *b;
    open_pair(&a, &b);
    send_to(a, 2, 1, 0, 20 * MIB);
    RUN_UNTIL(stats_of(b).from.bytes_in > MIB);
    send_to(a, 2, 2, 1, 100);
    RUN_UNTIL(b->got_count == 2);
    assert_int_equal(b->got[0].number, 1);
    assert_int_equal(b->got[1].bytes, 20 * MIB);
}

static void bytes_in_any_pieces_are_the_same_messages(void **state)
{
    (void)state;
    static const size_t pieces[] = {7, 100, 5000};
    struct world *a;
    struct world *b;
    open_proxied(&a, &b);
    size_t sent = 0;
    for (size_t i = 0; i < 3; i++) {
        proxy.piece_bytes = pieces[i];
        for (uint32_t n = 0; n < 20; n++) {
            send_to(a, 2, 1, (uint32_t)sent++, 4 + n * 100);
        }
        RUN_UNTIL(b->got_count == sent);
    }
    proxy.piece_bytes = 10 * 1000;
    send_to(a, 2, 1, (uint32_t)sent++, MIB);
    RUN_UNTIL(b->got_count == sent);
    for (size_t i = 0; i < sent; i++) {
        assert_int_equal(b->got[i].number, i);
    }
    assert_int_equal(stats_of(a).to.dropped, 0);
}

/* Breaks */

static void a_node_that_starts_later_is_dialled_until_it_is_there(void **state)
{
    (void)state;
    struct world *b = new_node(2);
    stop(b); /* its port is known, and nobody listens */
    struct world *a = new_node(1);
    set_member(a, 2, b->port);
    RUN_UNTIL(strstr(reason_of(a), "cannot connect: connection refused") != NULL);
    expect_err(try_send(a, 2, PEER_MESSAGES, 1, 1, 100), ERR_UNAVAILABLE);
    start(b);
    RUN_UNTIL(is_up(a, 2));
    send_to(a, 2, 1, 2, 100);
    RUN_UNTIL(b->got_count == 1);
    assert_int_equal(b->got[0].number, 2); /* what was sent before is not kept */
    assert_int_equal(stats_of(a).to.dropped, 1);
    assert_int_equal(a->lost_count, 0); /* it was never there */
}

static void a_node_that_restarts_is_found_again(void **state)
{
    (void)state;
    struct world *a;
    struct world *b;
    open_pair(&a, &b);
    for (int i = 0; i < 3; i++) {
        size_t lost = a->lost_count;
        stop(b);
        RUN_UNTIL(!is_up(a, 2) && a->lost_count > lost);
        assert_int_equal(a->lost_node, 2);
        start(b);
        set_member(b, 1, a->port);
        RUN_UNTIL(is_up(a, 2) && is_up(b, 1));
        b->got_count = 0;
        send_to(a, 2, 1, 1, 100);
        send_to(b, 1, 1, 1, 100);
        RUN_UNTIL(b->got_count == 1);
    }
}

static void a_broken_connection_is_told_to_both_sides_and_made_again(void **state)
{
    (void)state;
    struct world *a;
    struct world *b;
    open_proxied(&a, &b);
    send_to(a, 2, 1, 1, 4 * MIB);
    RUN_UNTIL(stats_of(a).to.bytes_out > 100 * 1000);
    tcp_proxy_cut(&proxy);                               /* in the middle of it */
    RUN_UNTIL(a->lost_count == 2 && b->lost_count == 2); /* messages and bulk */
    RUN_UNTIL(is_up(a, 2));
    send_to(a, 2, 1, 2, 100);
    RUN_UNTIL(b->got_count == 1);
    assert_int_equal(b->got[0].number, 2);
    assert_int_equal(stats_of(a).to.dropped, 1);
}

static void pauses_between_attempts_grow_and_are_bounded(void **state)
{
    (void)state;
    struct world *a = new_node(1);
    struct world *b = new_node(2);
    tcp_proxy_open(&proxy, &loop, b->port);
    has_proxy = true;
    proxy.refuses = true;
    set_member(a, 2, tcp_proxy_port(&proxy));
    const struct lane_out *lane = &LIST_FIRST(&a->peers->peers, struct peer, link)->lanes[0];
    uint64_t last_ms = 0;
    for (uint64_t want_ms = PEERS_BACKOFF_MS_MIN; want_ms < 800; want_ms *= 2) {
        RUN_UNTIL(lane->conn == NULL && lane->pause_ms > last_ms);
        assert_int_equal(lane->pause_ms, want_ms);
        assert_in_range(lane->redial_us, peer_now_us(), peer_now_us() + want_ms * 1000);
        last_ms = want_ms;
    }
    proxy.refuses = false;
    RUN_UNTIL(is_up(a, 2));
}

static void a_peer_that_falls_silent_is_left_and_dialled_again(void **state)
{
    (void)state;
    limits.ping_ms = 20;
    limits.dead_ms = 200;
    limits.greeting_ms = 500;
    struct world *a;
    struct world *b;
    open_proxied(&a, &b);
    tcp_proxy_pause(&proxy, true);
    RUN_UNTIL(!is_up(a, 2));
    RUN_UNTIL(a->lost_count == 2 && b->lost_count == 2);
    assert_non_null(strstr(reason_of(a), "nothing was heard for 200 ms"));
    tcp_proxy_pause(&proxy, false);
    RUN_UNTIL(is_up(a, 2));
    send_to(a, 2, 1, 1, 100);
    RUN_UNTIL(b->got_count == 1);
}

static void an_idle_connection_stays(void **state)
{
    (void)state;
    limits.ping_ms = 10;
    limits.dead_ms = 300;
    struct world *a;
    struct world *b;
    open_pair(&a, &b);
    uint64_t until_us = peer_now_us() + 1000 * 1000;
    RUN_UNTIL(peer_now_us() > until_us);
    assert_true(is_up(a, 2) && is_up(b, 1));
    assert_int_equal(a->lost_count + b->lost_count, 0);
    assert_in_range(stats_of(a).to.rtt_us, 1, 1000 * 1000);
}

static void a_peer_that_does_not_read_costs_no_more_than_the_queue(void **state)
{
    (void)state;
    struct world *a;
    struct world *b;
    open_proxied(&a, &b);
    tcp_proxy_pause(&proxy, true);
    size_t taken = 0;
    enum err err;
    for (;;) {
        err = try_send(a, 2, PEER_MESSAGES, 1, (uint32_t)taken, MIB);
        if (err != ERR_OK) {
            break;
        }
        taken++;
        (void)uv_run(&loop, UV_RUN_NOWAIT);
    }
    expect_err(err, ERR_OVERLOADED);
    assert_in_range(taken, 30, 60); /* the queue, and what the system's buffers take */
    expect_err(try_send(a, 2, PEER_BULK, 2, 1, 100), ERR_OK); /* another connection */
    tcp_proxy_pause(&proxy, false);
    RUN_UNTIL(b->got_count == taken + 1);
    size_t in_order = 0;
    for (size_t i = 0; i < b->got_count; i++) {
        if (b->got[i].group == 1) {
            assert_int_equal(b->got[i].number, in_order++);
        }
    }
    assert_int_equal(stats_of(a).to.dropped, 1);
}

#define T(name) cmocka_unit_test_setup_teardown(name, peers_setup, peers_teardown)

int main(void)
{
    test_begin();
    (void)signal(SIGPIPE, SIG_IGN); /* as the node does */
    const struct CMUnitTest tests[] = {
        T(two_nodes_talk_both_ways),
        T(three_nodes_each_hear_the_others),
        T(many_messages_come_whole_and_in_order),
        T(a_heartbeat_does_not_wait_for_megabytes_of_another_group),
        T(bytes_in_any_pieces_are_the_same_messages),
        T(a_node_that_starts_later_is_dialled_until_it_is_there),
        T(a_node_that_restarts_is_found_again),
        T(a_broken_connection_is_told_to_both_sides_and_made_again),
        T(pauses_between_attempts_grow_and_are_bounded),
        T(a_peer_that_falls_silent_is_left_and_dialled_again),
        T(an_idle_connection_stays),
        T(a_peer_that_does_not_read_costs_no_more_than_the_queue),
    };
    return cmocka_run_group_tests(tests, peers_make_contexts, peers_free_contexts);
}
