#include "base/mem.h"
#include "storage/group.h"
#include "storage/group_guard.h"
#include "tests/lib/group_cluster.h"
#include "tests/lib/test.h"

static int setup(void **state)
{
    group_guards_off(0);
    *state = cluster_new(3);
    return 0;
}

static int teardown(void **state)
{
    group_guards_off(0);
    cluster_free(*state);
    return 0;
}

enum { NO_MEMBER = -1 };

static int role_of(const struct cluster_node *at, const struct cluster_node *of)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = group_peers(at->group, peers);
    for (size_t i = 0; i < count; i++) {
        if (peers[i].replica == of->replica) {
            return (int)peers[i].role;
        }
    }
    return NO_MEMBER;
}

static uint64_t match_of(const struct cluster_node *leader, const struct cluster_node *of)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = group_peers(leader->group, peers);
    for (size_t i = 0; i < count; i++) {
        if (peers[i].replica == of->replica) {
            return peers[i].match;
        }
    }
    return 0;
}

static void assign(struct group_cluster *c, struct cluster_node *n, enum group_role role)
{
    struct cluster_node *leader = cluster_elect(c);
    expect_err(group_assign(leader->group, n->replica, role, c->now_ms), ERR_OK);
    cluster_run(c, 500);
    assert_int_equal(role_of(leader, n), role);
}

static struct cluster_node *other_than(struct group_cluster *c, const struct cluster_node *n)
{
    return n == c->nodes[0] ? c->nodes[1] : c->nodes[0];
}

static void a_joiner_becomes_a_voter_step_by_step(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    uint64_t first = cluster_propose(leader, "one");
    struct cluster_node *joiner = cluster_join(c);
    assign(c, joiner, GROUP_SPARE);
    assert_int_equal(joiner->applied, 0); /* no log for it yet */
    assign(c, joiner, GROUP_STANDBY);
    cluster_expect(joiner, first, "one");
    assign(c, joiner, GROUP_VOTER);
    assert_int_equal(match_of(leader, joiner), group_last_index(leader->group));
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(role_of(c->nodes[i], joiner), GROUP_VOTER);
    }
    cluster_stop_node(leader, leader->durable); /* three of four are a majority */
    leader = cluster_elect(c);
    uint64_t second = cluster_propose(leader, "two");
    cluster_run(c, 500);
    cluster_expect(joiner, second, "two");
}

static void a_member_counts_until_a_majority_knows_that_it_has_gone(void **state)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *other = other_than(c, leader);
    cluster_cut_off(c, leader, true);
    expect_err(group_remove(leader->group, other->replica, c->now_ms), ERR_OK);
    cluster_run(c, 50);
    assert_true(group_is_changing(leader->group));
    assert_int_equal(role_of(leader, other), NO_MEMBER);
    assert_int_equal(group_agreed_peers(leader->group, peers), 3);
    cluster_cut_off(c, leader, false);
    cluster_run(c, 5000);
    leader = cluster_elect(c);
    assert_false(group_is_changing(leader->group));
}

static void a_replica_does_not_vote_before_it_has_the_log(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *joiner = cluster_join(c);
    expect_err(group_assign(leader->group, joiner->replica, GROUP_VOTER, c->now_ms), ERR_CONFLICT);
    joiner->is_cut_off = true;
    assign(c, joiner, GROUP_STANDBY);
    for (int i = 0; i < 2 * GROUP_PROMOTE_LAG; i++) {
        (void)cluster_propose(leader, "x");
    }
    cluster_settle(c);
    expect_err(group_assign(leader->group, joiner->replica, GROUP_VOTER, c->now_ms),
               ERR_OVERLOADED);
    joiner->is_cut_off = false;
    cluster_run(c, 1000);
    expect_err(group_assign(leader->group, joiner->replica, GROUP_VOTER, c->now_ms), ERR_OK);
}

static void one_change_follows_the_other(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *a = cluster_join(c);
    struct cluster_node *b = cluster_join(c);
    expect_err(group_assign(leader->group, a->replica, GROUP_STANDBY, c->now_ms), ERR_OK);
    expect_err(group_assign(leader->group, b->replica, GROUP_STANDBY, c->now_ms), ERR_OVERLOADED);
    expect_err(group_remove(leader->group, a->replica, c->now_ms), ERR_OVERLOADED);
    cluster_run(c, 500);
    expect_err(group_assign(leader->group, b->replica, GROUP_STANDBY, c->now_ms), ERR_OK);
}

static void what_changes_nothing_or_cannot_be_is_refused(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *other = other_than(c, leader);
    expect_err(group_assign(leader->group, other->replica, GROUP_VOTER, c->now_ms), ERR_CONFLICT);
    expect_err(group_assign(leader->group, leader->replica, GROUP_SPARE, c->now_ms), ERR_CONFLICT);
    expect_err(group_remove(leader->group, leader->replica, c->now_ms), ERR_CONFLICT);
    expect_err(group_remove(leader->group, CLUSTER_REPLICA(9), c->now_ms), ERR_NOT_FOUND);
    expect_err(group_assign(other->group, CLUSTER_REPLICA(9), GROUP_SPARE, c->now_ms),
               ERR_NOT_OWNER);
}

/* Answer of a change that is asked for when a leader is elected and has committed nothing yet. */
static enum err change_of_a_fresh_leader(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    (void)cluster_propose(leader, "one");
    cluster_run(c, 500);
    uint64_t term = group_term(leader->group);
    cluster_cut_off(c, leader, true);
    for (;;) { /* until another has just been elected; nothing becomes durable of its term */
        c->now_ms += 10;
        for (size_t i = 0; i < 3; i++) {
            struct cluster_node *n = c->nodes[i];
            if (n == leader) {
                continue;
            }
            group_tick(n->group, c->now_ms);
            if (n->record_count > n->durable && group_leader(n->group) != n->replica) {
                cluster_flush(n);
            }
            if (group_leader(n->group) == n->replica && group_term(n->group) > term) {
                assert_false(group_is_leading(n->group));
                return group_assign(n->group, CLUSTER_REPLICA(9), GROUP_SPARE, c->now_ms);
            }
        }
        (void)cluster_deliver(c);
    }
}

static void a_fresh_leader_changes_nothing(void **state)
{
    expect_err(change_of_a_fresh_leader(*state), ERR_NOT_OWNER);
}

static void without_its_guard_a_fresh_leader_changes_members(void **state)
{
    group_guards_off(GROUP_GUARD_OWN_TERM);
    expect_err(change_of_a_fresh_leader(*state), ERR_OK);
}

static void a_replica_that_was_removed_disturbs_nobody(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *gone = other_than(c, leader);
    expect_err(group_remove(leader->group, gone->replica, c->now_ms), ERR_OK);
    cluster_run(c, 500);
    assert_int_equal(role_of(leader, gone), NO_MEMBER);
    uint64_t term = group_term(leader->group);
    uint64_t index = cluster_propose(leader, "without it");
    cluster_run(c, 5000); /* it does not know, and stands for election */
    assert_int_equal(group_term(leader->group), term);
    assert_true(group_is_leading(leader->group));
    assert_true(gone->applied < index);
}

static void a_change_that_is_lost_with_its_leader_is_taken_back(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *old = cluster_elect(c);
    struct cluster_node *joiner = cluster_join(c);
    cluster_run(c, 500);
    cluster_cut_off(c, old, true);
    expect_err(group_assign(old->group, joiner->replica, GROUP_STANDBY, c->now_ms), ERR_OK);
    cluster_flush(old);
    assert_int_equal(role_of(old, joiner), GROUP_STANDBY);
    cluster_run(c, 3000);
    struct cluster_node *leader = cluster_leader(c);
    uint64_t index = cluster_propose(leader, "kept");
    cluster_run(c, 500);
    cluster_cut_off(c, old, false);
    cluster_run(c, 1000);
    cluster_expect(old, index, "kept");
    assert_int_equal(role_of(old, joiner), NO_MEMBER);
}

/* A replica catches up with a change in the middle of other entries, then leads and is asked for one. */
static enum err change_after_catching_up(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *behind = other_than(c, leader);
    struct cluster_node *joiner = cluster_join(c);
    cluster_run(c, 500);
    cluster_stop_node(behind, behind->durable);
    (void)cluster_propose(leader, "before");
    expect_err(group_assign(leader->group, joiner->replica, GROUP_STANDBY, c->now_ms), ERR_OK);
    (void)cluster_propose(leader, "after");
    cluster_settle(c);
    cluster_start_node(behind);
    cluster_run(c, 1000);
    assert_int_equal(behind->applied, leader->applied);
    expect_err(group_transfer(leader->group, behind->replica, c->now_ms), ERR_OK);
    cluster_run(c, 1000);
    assert_ptr_equal(cluster_leader(c), behind);
    return group_assign(behind->group, joiner->replica, GROUP_SPARE, c->now_ms);
}

static void a_change_in_the_middle_of_entries_is_known_for_one(void **state)
{
    expect_err(change_after_catching_up(*state), ERR_OK);
}

static void without_its_guard_a_change_in_the_middle_is_pending_for_ever(void **state)
{
    group_guards_off(GROUP_GUARD_FIRST_IN_EVENT);
    expect_err(change_after_catching_up(*state), ERR_OVERLOADED);
}

static void encode_members(struct buf *to, size_t count)
{
    struct group_config config = {0};
    for (size_t i = 0; i < count; i++) {
        group_config_add(&config, CLUSTER_REPLICA(i), i < 3 ? GROUP_VOTER : GROUP_STANDBY);
    }
    buf_clear(to);
    group_config_encode(&config, to);
}

/* Two changes come in one message: the first is committed, the second is not and goes again with its
 * leader. Returns what the replica then takes for the members. */
static size_t members_after_two_changes(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *n = other_than(c, leader);
    cluster_run(c, 500);
    uint64_t last = n->applied;
    uint64_t term = group_term(leader->group);
    struct buf one = {0};
    struct buf two = {0};
    encode_members(&one, 4);
    encode_members(&two, 5);
    struct group_entry entries[2] = {
        {.term = term, .type = GROUP_CONFIGURATION, .data = buf_slice(&one)},
        {.term = term, .type = GROUP_CONFIGURATION, .data = buf_slice(&two)}};
    struct group_message m = {
        .type = GROUP_APPEND, .from = leader->replica, .to = n->replica, .term = term};
    m.append.previous_index = last;
    m.append.previous_term = term;
    m.append.commit = last; /* a new leader knows no more before its own entry is committed */
    m.append.count = 2;
    cluster_drop_all(c);
    expect_err(cluster_say(c, &m, entries), ERR_OK);
    cluster_flush(n);
    assert_int_equal(n->applied, last);
    struct cluster_message *answer = cluster_find(c, n->replica, leader->replica, GROUP_APPENDED);
    assert_non_null(answer);
    assert_int_equal(cluster_peek(answer).appended.last_index, last + 2);

    struct group_entry other = {.term = term + 1, .type = GROUP_COMMAND, .data = SLICE("x")};
    m.from = CLUSTER_REPLICA(2) != n->replica ? CLUSTER_REPLICA(2) : CLUSTER_REPLICA(1);
    m.term = term + 1;
    m.append.previous_index = last + 1;
    m.append.count = 1;
    expect_err(cluster_say(c, &m, &other), ERR_OK);
    struct group_peer peers[GROUP_MEMBERS_MAX];
    buf_done(&one);
    buf_done(&two);
    return group_peers(n->group, peers);
}

static void a_change_that_goes_leaves_the_one_before_it(void **state)
{
    assert_int_equal(members_after_two_changes(*state), 4);
}

static void without_its_guard_two_changes_are_forgotten_for_one(void **state)
{
    group_guards_off(GROUP_GUARD_ONE_PENDING);
    assert_int_equal(members_after_two_changes(*state), 3);
}

/* One was given a vote and another lost it before the first has heard of either; then the leader goes. */
static bool elects_with_the_unaware(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *unaware = other_than(c, leader);
    struct cluster_node *third = c->nodes[0] != leader && c->nodes[0] != unaware   ? c->nodes[0]
                                 : c->nodes[1] != leader && c->nodes[1] != unaware ? c->nodes[1]
                                                                                   : c->nodes[2];
    assign(c, unaware, GROUP_STANDBY);
    cluster_run(c, 500);
    cluster_cut_off(c, unaware, true);
    expect_err(group_assign(leader->group, unaware->replica, GROUP_VOTER, c->now_ms), ERR_OK);
    cluster_run(c, 200); /* two of three have it */
    expect_err(group_assign(leader->group, third->replica, GROUP_STANDBY, c->now_ms), ERR_OK);
    cluster_settle(c);
    assert_int_equal(role_of(unaware, unaware), GROUP_STANDBY);
    assert_int_equal(role_of(third, third), GROUP_STANDBY);
    cluster_stop_node(leader, leader->durable);
    cluster_start_node(leader);
    cluster_cut_off(c, unaware, false);
    cluster_run(c, 10 * 1000);
    return cluster_leader(c) == leader && role_of(unaware, unaware) == GROUP_VOTER;
}

static void who_has_not_heard_of_its_vote_votes(void **state)
{
    assert_true(elects_with_the_unaware(*state));
}

static void without_its_guard_nobody_is_elected(void **state)
{
    group_guards_off(GROUP_GUARD_VOTE_UNAWARE);
    assert_false(elects_with_the_unaware(*state));
}

/* The core would count a member without a log as one that was last written to long ago. */
static void time_does_not_race_for_a_member_without_a_log(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    assign(c, other_than(c, leader), GROUP_STANDBY);
    assign(c, other_than(c, leader), GROUP_SPARE);
    cluster_run(c, 1000);
    for (int i = 0; i < 10; i++) {
        uint64_t now_ms = c->now_ms;
        cluster_tick(c, leader);
        cluster_settle(c);
        assert_true(group_next_ms(leader->group) > c->now_ms);
        assert_true(i == 0 || c->now_ms > now_ms);
    }
    assert_true(group_is_leading(leader->group));
    assert_int_equal(leader->depose_count, 0);
}

/* Growing from one */

static void a_group_of_one_grows_by_snapshot(void **state)
{
    struct group_cluster *c = cluster_new(1);
    struct cluster_node *leader = cluster_elect(c);
    for (int i = 0; i < 50; i++) {
        (void)cluster_propose(leader, "x");
        cluster_settle(c);
    }
    assert_int_equal(group_kept_bytes(leader->group), 0);
    struct cluster_node *joiner = cluster_join(c);
    assign(c, joiner, GROUP_STANDBY);
    assert_true(leader->compactions_wanted > 0); /* its entries are gone, and in no snapshot */
    assert_int_equal(joiner->applied, 0);
    cluster_compact(leader, leader->applied, 0);
    cluster_run(c, 1000);
    assert_int_equal(leader->snapshot_wanted_by, joiner->replica);

    struct buf message = {0};
    bool taken;
    expect_err(group_offer(leader->group, joiner->replica, leader->applied,
                           leader->store[leader->applied].term, &message),
               ERR_OK);
    cluster_copy_store(joiner, leader);
    expect_err(group_accept(joiner->group, leader->replica, buf_slice(&message), c->now_ms, &taken),
               ERR_OK);
    assert_true(taken);
    cluster_flush(joiner);
    joiner->applied = joiner->stored;
    group_installed(joiner->group, c->now_ms);
    cluster_run(c, 1000);
    assign(c, joiner, GROUP_VOTER);
    uint64_t index = cluster_propose(leader, "both");
    cluster_run(c, 500);
    cluster_expect(joiner, index, "both");
    buf_done(&message);
    cluster_free(c);
    (void)state;
}

/* The simulator found it: nobody led any more. */
static void who_is_alone_leads_again_after_a_later_term(void **state)
{
    struct group_cluster *c = cluster_new(2);
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *other = other_than(c, leader);
    expect_err(group_remove(leader->group, other->replica, c->now_ms), ERR_OK);
    cluster_run(c, 500);
    const struct group_message ask = {.type = GROUP_ASK_VOTE,
                                      .from = other->replica,
                                      .to = leader->replica,
                                      .term = group_term(leader->group) + 1,
                                      .ask_vote = {.disrupt = true}};
    expect_err(cluster_say(c, &ask, NULL), ERR_OK);
    assert_false(group_is_leading(leader->group));
    assert_ptr_equal(cluster_elect(c), leader);
    uint64_t index = cluster_propose(leader, "goes on");
    cluster_settle(c);
    cluster_expect(leader, index, "goes on");
    assert_true(group_next_ms(leader->group) == UINT64_MAX);
    cluster_free(c);
    (void)state;
}

struct lone {
    struct group_cluster *c;
    struct cluster_node *leader;
    struct cluster_node *standby;
    size_t records; /* of the leader, all durable */
};

static struct lone lone_voter_and_standby(void)
{
    struct lone l = {.c = cluster_new(2)};
    l.leader = cluster_elect(l.c);
    l.standby = other_than(l.c, l.leader);
    assign(l.c, l.standby, GROUP_STANDBY);
    cluster_run(l.c, 500);
    assert_int_equal(l.standby->applied, l.leader->applied);
    l.records = l.leader->record_count;
    return l;
}

static bool hears(const struct lone *l)
{
    return cluster_find(l->c, l->leader->replica, l->standby->replica, GROUP_APPEND) != NULL;
}

/* The simulator found it: two replicas had different entries of one index and term. */
static void what_a_lone_voter_says_is_on_its_own_disk(void **state)
{
    struct lone l = lone_voter_and_standby();
    uint64_t term = group_term(l.leader->group);
    (void)cluster_propose(l.leader, "lost");
    assert_false(hears(&l));
    cluster_stop_node(l.leader, l.records);
    cluster_start_node(l.leader);
    assert_int_equal(group_term(l.leader->group), term); /* it leads again, without an election */
    cluster_settle(l.c);
    uint64_t index = cluster_propose(l.leader, "kept");
    cluster_run(l.c, 500);
    cluster_expect(l.leader, index, "kept");
    cluster_expect(l.standby, index, "kept");
    cluster_free(l.c);
    (void)state;
}

/* A crash may undo the vote of the other one, and then it is alone again. */
static void a_second_vote_is_on_the_disk_before_it_is_heard_of(void **state)
{
    struct lone l = lone_voter_and_standby();
    expect_err(group_assign(l.leader->group, l.standby->replica, GROUP_VOTER, l.c->now_ms), ERR_OK);
    assert_false(hears(&l));
    cluster_run(l.c, 500);
    (void)cluster_propose(l.leader, "at once, from now on");
    assert_true(hears(&l));
    cluster_free(l.c);
    (void)state;
}

static void without_its_guard_a_lone_voter_takes_back_what_it_said(void **state)
{
    struct lone l = lone_voter_and_standby();
    group_guards_off(GROUP_GUARD_LONE_VOTER);
    uint64_t index = cluster_propose(l.leader, "lost");
    uint64_t term = group_term(l.leader->group);
    assert_true(cluster_deliver(l.c));
    cluster_flush(l.standby);
    cluster_stop_node(l.leader, l.records);
    cluster_start_node(l.leader);
    assert_int_equal(group_last_index(l.standby->group), index);
    /* Its barrier: another entry of the same index and term. */
    assert_int_equal(group_last_index(l.leader->group), index);
    assert_int_equal(group_term(l.leader->group), term);
    cluster_free(l.c);
    (void)state;
}

static void a_group_shrinks_to_one_and_goes_on(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    for (size_t i = 0; i < 3; i++) {
        if (c->nodes[i] != leader) {
            expect_err(group_remove(leader->group, c->nodes[i]->replica, c->now_ms), ERR_OK);
            cluster_run(c, 500);
            cluster_stop_node(c->nodes[i], c->nodes[i]->durable);
        }
    }
    uint64_t index = cluster_propose(leader, "alone");
    cluster_settle(c);
    cluster_expect(leader, index, "alone");
    assert_int_equal(group_next_ms(leader->group), UINT64_MAX);
    cluster_stop_node(leader, leader->durable);
    cluster_start_node(leader);
    leader = cluster_elect(c);
    cluster_expect(leader, index, "alone");
}

/* A snapshot has the members of its index, not those of today. */
static void an_offer_names_the_members_of_its_index(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    uint64_t before = cluster_propose(leader, "before");
    cluster_run(c, 500);
    struct cluster_node *joiner = cluster_join(c);
    assign(c, joiner, GROUP_SPARE);
    uint64_t after = leader->applied;
    for (int i = 0; i < 2; i++) {
        uint64_t index = i == 0 ? before : after;
        struct buf bytes = {0};
        struct group_message m;
        struct group_config config;
        expect_err(
            group_offer(leader->group, joiner->replica, index, leader->store[index].term, &bytes),
            ERR_OK);
        expect_err(group_wire_decode(buf_slice(&bytes), &m), ERR_OK);
        expect_err(group_config_decode(m.install.configuration, &config), ERR_OK);
        assert_int_equal(config.count, i == 0 ? 3 : 4);
        assert_true(m.install.configuration_index <= index);
        buf_done(&bytes);
    }
}

/* Handing over */

static void leadership_goes_where_it_is_sent(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    for (int i = 0; i < 6; i++) {
        struct cluster_node *next = c->nodes[(size_t)i % 3];
        uint64_t index = cluster_propose(leader, "x");
        if (next != leader) {
            expect_err(group_transfer(leader->group, next->replica, c->now_ms), ERR_OK);
            cluster_run(c, 200); /* well before a time-out */
        }
        assert_ptr_equal(cluster_leader(c), next);
        cluster_run(c, 200);
        cluster_expect(next, index, "x");
        leader = next;
    }
}

/* Who shall lead has acknowledged the first of two entries, and writes the second when it may go. */
static bool goes_to_one_that_still_writes(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *next = other_than(c, leader);
    struct cluster_message *m;
    cluster_run(c, 500);
    (void)cluster_propose(leader, "first");
    (void)cluster_propose(leader, "second");
    expect_err(group_transfer(leader->group, next->replica, c->now_ms), ERR_OK);
    while ((m = cluster_find(c, leader->replica, next->replica, GROUP_APPEND)) != NULL) {
        cluster_deliver_one(c, m);
    }
    cluster_make_durable(next, next->record_count - 1);
    while ((m = cluster_find(c, next->replica, leader->replica, GROUP_APPENDED)) != NULL) {
        cluster_deliver_one(c, m);
    }
    m = cluster_find(c, leader->replica, next->replica, GROUP_TIMEOUT_NOW);
    if (m != NULL) {
        cluster_deliver_one(c, m);
    }
    cluster_settle(c);
    cluster_run(c, 200); /* well before a time-out */
    return cluster_leader(c) == next;
}

static void leadership_waits_until_who_shall_have_it_has_the_whole_log(void **state)
{
    assert_true(goes_to_one_that_still_writes(*state));
}

static void without_its_guard_leadership_goes_too_early_and_stays(void **state)
{
    group_guards_off(GROUP_GUARD_WHOLE_LOG);
    assert_false(goes_to_one_that_still_writes(*state));
}

static void leadership_that_was_owed_goes_nowhere_once_it_was_given_up(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *next = other_than(c, leader);
    struct cluster_message *m;
    cluster_run(c, 500);
    (void)cluster_propose(leader, "first");
    (void)cluster_propose(leader, "second");
    expect_err(group_transfer(leader->group, next->replica, c->now_ms), ERR_OK);
    while ((m = cluster_find(c, leader->replica, next->replica, GROUP_APPEND)) != NULL) {
        cluster_deliver_one(c, m);
    }
    cluster_make_durable(next, next->record_count - 1);
    cluster_deliver_one(c, cluster_find(c, next->replica, leader->replica, GROUP_APPENDED));
    cluster_cut_off(c, next, true);
    cluster_run(c, 2 * GROUP_ELECTION_MS);
    assert_false(group_is_transferring(leader->group));
    cluster_cut_off(c, next, false);
    cluster_run(c, 200);
    assert_ptr_equal(cluster_leader(c), leader);
}

static void proposals_wait_while_leadership_is_handed_over(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *next = other_than(c, leader);
    cluster_run(c, 500);
    cluster_cut_off(c, next, true);
    expect_err(group_transfer(leader->group, next->replica, c->now_ms), ERR_OK);
    assert_true(group_is_transferring(leader->group));
    struct buf data = {0};
    uint64_t index;
    buf_append_str(&data, "later");
    expect_err(group_propose(leader->group, &data, c->now_ms, &index), ERR_OVERLOADED);
    expect_err(group_transfer(leader->group, next->replica, c->now_ms), ERR_OVERLOADED);
    expect_err(group_assign(leader->group, CLUSTER_REPLICA(9), GROUP_SPARE, c->now_ms),
               ERR_OVERLOADED);
    cluster_run(c, 2 * GROUP_ELECTION_MS);
    assert_false(group_is_transferring(leader->group));
    expect_err(group_propose(leader->group, &data, c->now_ms, &index), ERR_OK);
    cluster_settle(c);
    cluster_expect(leader, index, "later");
    buf_done(&data);
}

static void leadership_is_handed_to_voters_alone(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *joiner = cluster_join(c);
    assign(c, joiner, GROUP_STANDBY);
    expect_err(group_transfer(leader->group, joiner->replica, c->now_ms), ERR_NOT_FOUND);
    expect_err(group_transfer(leader->group, leader->replica, c->now_ms), ERR_NOT_FOUND);
    expect_err(group_transfer(joiner->group, leader->replica, c->now_ms), ERR_NOT_OWNER);
    expect_err(group_transfer(leader->group, 0, c->now_ms), ERR_OK);
    cluster_run(c, 500);
    assert_ptr_not_equal(cluster_leader(c), leader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_joiner_becomes_a_voter_step_by_step),
          TEST(a_member_counts_until_a_majority_knows_that_it_has_gone),
          TEST(a_replica_does_not_vote_before_it_has_the_log), TEST(one_change_follows_the_other),
          TEST(what_changes_nothing_or_cannot_be_is_refused), TEST(a_fresh_leader_changes_nothing),
          TEST(without_its_guard_a_fresh_leader_changes_members),
          TEST(a_replica_that_was_removed_disturbs_nobody),
          TEST(a_change_that_is_lost_with_its_leader_is_taken_back),
          TEST(a_change_in_the_middle_of_entries_is_known_for_one),
          TEST(without_its_guard_a_change_in_the_middle_is_pending_for_ever),
          TEST(a_change_that_goes_leaves_the_one_before_it),
          TEST(without_its_guard_two_changes_are_forgotten_for_one),
          TEST(who_has_not_heard_of_its_vote_votes), TEST(without_its_guard_nobody_is_elected),
          TEST(time_does_not_race_for_a_member_without_a_log),
          TEST(a_group_of_one_grows_by_snapshot), TEST(who_is_alone_leads_again_after_a_later_term),
          TEST(what_a_lone_voter_says_is_on_its_own_disk),
          TEST(a_second_vote_is_on_the_disk_before_it_is_heard_of),
          TEST(without_its_guard_a_lone_voter_takes_back_what_it_said),
          TEST(a_group_shrinks_to_one_and_goes_on), TEST(an_offer_names_the_members_of_its_index),
          TEST(leadership_goes_where_it_is_sent),
          TEST(leadership_waits_until_who_shall_have_it_has_the_whole_log),
          TEST(without_its_guard_leadership_goes_too_early_and_stays),
          TEST(leadership_that_was_owed_goes_nowhere_once_it_was_given_up),
          TEST(proposals_wait_while_leadership_is_handed_over),
          TEST(leadership_is_handed_to_voters_alone))
