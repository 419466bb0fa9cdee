#include "base/mem.h"
#include "storage/group.h"
#include "tests/lib/group_cluster.h"
#include "tests/lib/test.h"

enum { REST_MS = 1500, LONG_MS = 60 * 1000 };

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
    for (size_t i = 0; i < 3; i++) {
        f->cluster->nodes[i]->watches_others = true;
    }
    f->leader = cluster_elect(f->cluster);
    for (size_t i = 0; i < 3; i++) {
        if (f->cluster->nodes[i] != f->leader) {
            f->peers[at++] = f->cluster->nodes[i];
        }
    }
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

static bool all_rest(const struct fixture *f)
{
    return group_is_resting(f->leader->group) && group_is_resting(f->peers[0]->group) &&
           group_is_resting(f->peers[1]->group);
}

static void come_to_rest(struct fixture *f)
{
    cluster_run(f->cluster, REST_MS);
    assert_true(all_rest(f));
}

static void a_group_without_news_rests_and_time_means_nothing_to_it(void **state)
{
    struct fixture *f = *state;
    come_to_rest(f);
    uint64_t term = group_term(f->leader->group);
    assert_true(group_next_ms(f->leader->group) == UINT64_MAX);
    assert_true(group_next_ms(f->peers[0]->group) == UINT64_MAX);
    cluster_run(f->cluster, LONG_MS);
    assert_true(list_is_empty(&f->cluster->messages));
    assert_true(group_is_leading(f->leader->group));
    assert_int_equal(group_term(f->leader->group), term);
    assert_int_equal(group_leader(f->peers[1]->group), f->leader->replica);
}

static void a_proposal_rouses_it_and_is_committed_at_once(void **state)
{
    struct fixture *f = *state;
    come_to_rest(f);
    cluster_run(f->cluster, LONG_MS);
    uint64_t index = cluster_propose(f->leader, "one");
    cluster_settle(f->cluster);
    cluster_expect(f->leader, index, "one");
    cluster_run(f->cluster, 2 * GROUP_HEARTBEAT_MS);
    assert_true(group_is_leading(f->leader->group));
    cluster_expect(f->peers[0], index, "one");
    cluster_expect(f->peers[1], index, "one");
    come_to_rest(f);
}

static void a_group_that_is_written_to_does_not_rest(void **state)
{
    struct fixture *f = *state;
    for (int i = 0; i < 30; i++) {
        (void)cluster_propose(f->leader, "again");
        cluster_run(f->cluster, GROUP_HEARTBEAT_MS);
        assert_false(group_is_resting(f->leader->group));
    }
}

static void it_does_not_rest_while_a_member_lacks_something(void **state)
{
    struct fixture *f = *state;
    cluster_cut_off(f->cluster, f->peers[1], true);
    (void)cluster_propose(f->leader, "one");
    cluster_run(f->cluster, LONG_MS);
    assert_false(group_is_resting(f->leader->group));
    assert_false(group_is_resting(f->peers[0]->group));
}

static void it_does_not_rest_where_silence_would_not_be_noticed(void **state)
{
    struct fixture *f = *state;
    f->peers[1]->watches_others = false;
    cluster_run(f->cluster, REST_MS);
    assert_false(group_is_resting(f->leader->group));
    assert_false(group_is_resting(f->peers[1]->group));
    f->leader->watches_others = false;
    cluster_run(f->cluster, 2 * GROUP_HEARTBEAT_MS);
    assert_false(group_is_resting(f->peers[0]->group));
}

static void a_follower_that_is_roused_asks_for_votes_in_its_time(void **state)
{
    struct fixture *f = *state;
    come_to_rest(f);
    cluster_run(f->cluster, LONG_MS);
    cluster_cut_off(f->cluster, f->leader, true);
    uint64_t heard_ms = f->cluster->now_ms - 300;
    for (size_t i = 0; i < 2; i++) {
        group_rouse(f->peers[i]->group, heard_ms);
        uint64_t due_ms = group_next_ms(f->peers[i]->group);
        assert_true(due_ms >= heard_ms + GROUP_ELECTION_MS);
        assert_true(due_ms <= heard_ms + 2 * GROUP_ELECTION_MS);
    }
    cluster_run(f->cluster, 3000);
    assert_true(group_is_leading(f->peers[0]->group) || group_is_leading(f->peers[1]->group));
}

static void a_follower_roused_by_mistake_rouses_the_leader_and_deposes_nobody(void **state)
{
    struct fixture *f = *state;
    come_to_rest(f);
    cluster_run(f->cluster, LONG_MS);
    uint64_t term = group_term(f->leader->group);
    group_rouse(f->peers[0]->group, f->cluster->now_ms);
    cluster_run(f->cluster, LONG_MS);
    assert_true(group_is_leading(f->leader->group));
    assert_int_equal(group_term(f->leader->group), term);
    assert_true(all_rest(f));
}

static void a_leader_that_is_roused_keeps_its_leadership_and_sends_heartbeats(void **state)
{
    struct fixture *f = *state;
    come_to_rest(f);
    cluster_run(f->cluster, LONG_MS);
    group_rouse(f->leader->group, f->cluster->now_ms);
    assert_true(group_next_ms(f->leader->group) <= f->cluster->now_ms);
    group_tick(f->leader->group, f->cluster->now_ms);
    assert_non_null(
        cluster_find(f->cluster, f->leader->replica, f->peers[0]->replica, GROUP_APPEND));
    assert_non_null(
        cluster_find(f->cluster, f->leader->replica, f->peers[1]->replica, GROUP_APPEND));
    cluster_settle(f->cluster);
    assert_true(group_is_leading(f->leader->group));
    assert_false(group_is_resting(f->peers[0]->group));
}

static void a_member_that_begins_anew_is_heard_by_the_leader(void **state)
{
    struct fixture *f = *state;
    come_to_rest(f);
    uint64_t term = group_term(f->leader->group);
    cluster_flush(f->peers[0]);
    cluster_stop_node(f->peers[0], f->peers[0]->record_count);
    cluster_start_node(f->peers[0]);
    cluster_run(f->cluster, 3000);
    assert_int_equal(group_leader(f->peers[0]->group), f->leader->replica);
    assert_int_equal(group_term(f->leader->group), term);
}

static void a_read_is_proven_from_rest(void **state)
{
    struct fixture *f = *state;
    uint64_t read;
    come_to_rest(f);
    cluster_run(f->cluster, LONG_MS);
    expect_err(group_read(f->leader->group, &read), ERR_OK);
    group_probe(f->leader->group, f->cluster->now_ms);
    assert_false(group_is_resting(f->leader->group));
    cluster_settle(f->cluster);
    assert_int_equal(f->leader->proven, read);
}

static void leadership_is_handed_over_from_rest(void **state)
{
    struct fixture *f = *state;
    come_to_rest(f);
    cluster_run(f->cluster, LONG_MS);
    expect_err(group_transfer(f->leader->group, f->peers[1]->replica, f->cluster->now_ms), ERR_OK);
    cluster_run(f->cluster, 500);
    assert_true(group_is_leading(f->peers[1]->group));
}

static void members_change_from_rest(void **state)
{
    struct fixture *f = *state;
    come_to_rest(f);
    cluster_run(f->cluster, LONG_MS);
    struct cluster_node *joiner = cluster_join(f->cluster);
    joiner->watches_others = true;
    expect_err(group_assign(f->leader->group, joiner->replica, GROUP_STANDBY, f->cluster->now_ms),
               ERR_OK);
    cluster_run(f->cluster, REST_MS);
    assert_int_equal(group_applied(joiner->group), group_applied(f->leader->group));
    come_to_rest(f);
    assert_true(group_is_resting(joiner->group));
}

static void an_answer_of_an_earlier_round_does_not_count(void **state)
{
    struct fixture *f = *state;
    const struct group_message late = {.type = GROUP_RESTING,
                                       .from = f->peers[1]->replica,
                                       .to = f->leader->replica,
                                       .term = group_term(f->leader->group),
                                       .rest = {group_last_index(f->leader->group), 1}};
    f->peers[1]->watches_others = false; /* it does not answer by itself */
    cluster_run(f->cluster, 2 * REST_MS);
    expect_err(cluster_say(f->cluster, &late, NULL), ERR_OK);
    cluster_run(f->cluster, REST_MS);
    assert_false(group_is_resting(f->leader->group));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_group_without_news_rests_and_time_means_nothing_to_it),
          TEST(a_proposal_rouses_it_and_is_committed_at_once),
          TEST(a_group_that_is_written_to_does_not_rest),
          TEST(it_does_not_rest_while_a_member_lacks_something),
          TEST(it_does_not_rest_where_silence_would_not_be_noticed),
          TEST(a_follower_that_is_roused_asks_for_votes_in_its_time),
          TEST(a_follower_roused_by_mistake_rouses_the_leader_and_deposes_nobody),
          TEST(a_leader_that_is_roused_keeps_its_leadership_and_sends_heartbeats),
          TEST(a_member_that_begins_anew_is_heard_by_the_leader), TEST(a_read_is_proven_from_rest),
          TEST(leadership_is_handed_over_from_rest), TEST(members_change_from_rest),
          TEST(an_answer_of_an_earlier_round_does_not_count))
