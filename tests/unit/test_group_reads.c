#include "base/mem.h"
#include "storage/group.h"
#include "tests/lib/group_cluster.h"
#include "tests/lib/test.h"

struct fixture {
    struct group_cluster *cluster;
    struct cluster_node *leader;
    struct cluster_node *peers[2];
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    size_t at = 0;
    f->cluster = cluster_new(3);
    f->leader = cluster_elect(f->cluster);
    for (size_t i = 0; i < 3; i++) {
        if (f->cluster->nodes[i] != f->leader) {
            f->peers[at++] = f->cluster->nodes[i];
        }
    }
    cluster_run(f->cluster, 500);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    cluster_free(f->cluster);
    mem_free(f);
    return 0;
}

static uint64_t begin_read(struct fixture *f)
{
    uint64_t read;
    expect_err(group_read(f->leader->group, &read), ERR_OK);
    return read;
}

static void probe(struct fixture *f)
{
    group_probe(f->leader->group, f->cluster->now_ms);
}

static void a_read_is_proven_once_a_majority_follows_still(void **state)
{
    struct fixture *f = *state;
    uint64_t read = begin_read(f);
    assert_true(group_proven(f->leader->group) < read);
    probe(f);
    struct cluster_message *m =
        cluster_find(f->cluster, f->leader->replica, f->peers[0]->replica, GROUP_PROBE);
    assert_non_null(m);
    cluster_deliver_one(f->cluster, m);
    assert_true(group_proven(f->leader->group) < read);
    cluster_deliver_one(f->cluster, cluster_find(f->cluster, f->peers[0]->replica,
                                                 f->leader->replica, GROUP_PROVEN));
    assert_int_equal(group_proven(f->leader->group), read);
    assert_int_equal(f->leader->proven, read);
}

static void reads_before_a_probe_share_it_and_later_ones_wait_for_the_next(void **state)
{
    struct fixture *f = *state;
    uint64_t first = begin_read(f);
    assert_int_equal(begin_read(f), first);
    probe(f);
    uint64_t later = begin_read(f);
    assert_true(later > first);
    probe(f); /* one is on its way */
    cluster_settle(f->cluster);
    assert_int_equal(f->leader->proven, first);
    probe(f);
    cluster_settle(f->cluster);
    assert_int_equal(f->leader->proven, later);
}

static void one_voter_needs_nobody(void **state)
{
    (void)state;
    struct group_cluster *c = cluster_new(1);
    struct cluster_node *leader = cluster_elect(c);
    uint64_t read;
    (void)cluster_propose(leader, "x");
    cluster_settle(c);
    expect_err(group_read(leader->group, &read), ERR_OK);
    assert_true(group_proven(leader->group) >= read);
    cluster_free(c);
}

/* The old leader's clock stands still: it does not know. */
static void a_leader_that_was_replaced_proves_nothing(void **state)
{
    struct fixture *f = *state;
    struct group_cluster *c = f->cluster;
    cluster_cut_off(c, f->leader, true);
    while (cluster_leader(c) == f->leader) {
        c->now_ms += 10;
        group_tick(f->peers[0]->group, c->now_ms);
        group_tick(f->peers[1]->group, c->now_ms);
        cluster_settle(c);
    }
    assert_true(group_is_leading(f->leader->group));
    cluster_cut_off(c, f->leader, false);
    uint64_t read = begin_read(f);
    probe(f);
    cluster_settle(c);
    assert_int_equal(f->leader->proven, 0);
    cluster_run(c, 1000);
    assert_true(f->leader->proven < read);
    assert_int_equal(f->leader->depose_count, 1);
}

static void a_peer_of_a_later_term_does_not_answer(void **state)
{
    struct fixture *f = *state;
    struct group_message ask = {.type = GROUP_ASK_VOTE,
                                .from = f->peers[1]->replica,
                                .to = f->peers[0]->replica,
                                .term = group_term(f->leader->group) + 1};
    ask.ask_vote.last_index = f->leader->applied;
    ask.ask_vote.last_term = group_term(f->leader->group);
    ask.ask_vote.disrupt = true;
    expect_err(cluster_say(f->cluster, &ask, NULL), ERR_OK);
    cluster_flush(f->peers[0]);
    cluster_drop_all(f->cluster);
    (void)begin_read(f);
    probe(f);
    cluster_drop(cluster_find(f->cluster, f->leader->replica, f->peers[1]->replica, GROUP_PROBE));
    while (cluster_deliver(f->cluster)) {
    }
    assert_int_equal(f->leader->proven, 0);
}

static void a_probe_that_is_lost_goes_again(void **state)
{
    struct fixture *f = *state;
    uint64_t read = begin_read(f);
    probe(f);
    cluster_drop_all(f->cluster);
    cluster_run(f->cluster, 3 * GROUP_HEARTBEAT_MS);
    assert_int_equal(f->leader->proven, read);
}

static void an_answer_to_an_earlier_probe_proves_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t first = begin_read(f);
    probe(f);
    cluster_settle(f->cluster);
    uint64_t second = begin_read(f);
    probe(f);
    cluster_drop_all(f->cluster);
    struct group_message late = {.type = GROUP_PROVEN,
                                 .from = f->peers[0]->replica,
                                 .to = f->leader->replica,
                                 .term = group_term(f->leader->group),
                                 .probe = first};
    expect_err(cluster_say(f->cluster, &late, NULL), ERR_OK);
    late.probe = second;
    late.term--;
    expect_err(cluster_say(f->cluster, &late, NULL), ERR_OK);
    assert_int_equal(f->leader->proven, first);
}

static void who_has_no_vote_proves_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t read = begin_read(f);
    probe(f);
    cluster_drop_all(f->cluster);
    struct group_message m = {.type = GROUP_PROVEN,
                              .from = CLUSTER_REPLICA(9),
                              .to = f->leader->replica,
                              .term = group_term(f->leader->group),
                              .probe = read};
    expect_err(cluster_say(f->cluster, &m, NULL), ERR_OK);
    assert_int_equal(f->leader->proven, 0);
}

static void a_read_waits_for_what_was_committed_before_it(void **state)
{
    struct fixture *f = *state;
    uint64_t index = cluster_propose(f->leader, "x");
    while (cluster_deliver(f->cluster)) {
    }
    cluster_flush(f->peers[0]);
    cluster_flush(f->peers[1]);
    while (cluster_deliver(f->cluster)) { /* it is committed; the leader's own disk is slow */
    }
    assert_true(f->leader->applied < index);
    uint64_t read = begin_read(f);
    probe(f);
    while (cluster_deliver(f->cluster)) {
    }
    assert_true(f->leader->proven < read);
    cluster_flush(f->leader);
    assert_int_equal(f->leader->applied, index);
    assert_int_equal(f->leader->proven, read);
}

static void who_does_not_lead_reads_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t read;
    expect_err(group_read(f->peers[0]->group, &read), ERR_NOT_OWNER);
}

static void numbers_are_not_used_again_by_the_next_leadership(void **state)
{
    struct fixture *f = *state;
    uint64_t read = begin_read(f);
    expect_err(group_transfer(f->leader->group, f->peers[0]->replica, f->cluster->now_ms), ERR_OK);
    cluster_run(f->cluster, 500);
    assert_int_equal(f->leader->depose_count, 1);
    assert_int_equal(f->leader->proven, 0);
    expect_err(group_transfer(f->peers[0]->group, f->leader->replica, f->cluster->now_ms), ERR_OK);
    cluster_run(f->cluster, 500);
    uint64_t next = begin_read(f);
    assert_true(next > read);
    probe(f);
    cluster_settle(f->cluster);
    assert_int_equal(f->leader->proven, next);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_read_is_proven_once_a_majority_follows_still),
          TEST(reads_before_a_probe_share_it_and_later_ones_wait_for_the_next),
          cmocka_unit_test(one_voter_needs_nobody), TEST(a_leader_that_was_replaced_proves_nothing),
          TEST(a_peer_of_a_later_term_does_not_answer), TEST(a_probe_that_is_lost_goes_again),
          TEST(an_answer_to_an_earlier_probe_proves_nothing), TEST(who_has_no_vote_proves_nothing),
          TEST(a_read_waits_for_what_was_committed_before_it),
          TEST(who_does_not_lead_reads_nothing),
          TEST(numbers_are_not_used_again_by_the_next_leadership))
