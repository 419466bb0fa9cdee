#include "storage/group.h"

#include "base/mem.h"
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

/* The two that are not `n`, by their order. */
static void others(struct group_cluster *c, const struct cluster_node *n,
                   struct cluster_node *ret[2])
{
    size_t at = 0;
    for (size_t i = 0; i < 3; i++) {
        if (c->nodes[i] != n) {
            ret[at++] = c->nodes[i];
        }
    }
}

static struct group_message said(const struct cluster_node *from, const struct cluster_node *to,
                                 enum group_message_type type, uint64_t term)
{
    return (struct group_message){
        .type = type, .from = from->replica, .to = to->replica, .term = term};
}

static size_t count_messages(struct group_cluster *c)
{
    size_t count = 0;
    LIST_FOREACH (link, &c->messages) {
        count++;
    }
    return count;
}

/* Elections and writes */

static void three_replicas_elect_one_and_apply_the_same(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    uint64_t first = cluster_propose(leader, "one");
    uint64_t second = cluster_propose(leader, "two");
    cluster_run(c, 500);
    for (size_t i = 0; i < 3; i++) {
        cluster_expect(c->nodes[i], first, "one");
        cluster_expect(c->nodes[i], second, "two");
        assert_int_equal(group_leader(c->nodes[i]->group), leader->replica);
    }
    assert_int_equal(cluster_leader(c)->lead_count, 1);
}

static void a_write_counts_once_a_majority_has_it_on_disk(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    cluster_run(c, 500);
    uint64_t index = cluster_propose(leader, "one");
    cluster_flush(leader);
    assert_true(leader->applied < index);
    while (cluster_deliver(c)) { /* the peers have heard of it, and not yet stored it */
    }
    assert_true(leader->applied < index);
    cluster_flush(peers[0]);
    while (cluster_deliver(c)) {
    }
    assert_int_equal(leader->applied, index);
}

static void a_replica_applies_what_its_own_disk_has(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    cluster_run(c, 500);
    uint64_t index = cluster_propose(leader, "one");
    cluster_flush(leader);
    for (int rounds = 0; rounds < 30; rounds++) { /* peers[1] has a slow disk */
        while (cluster_deliver(c)) {
        }
        cluster_flush(peers[0]);
        c->now_ms += 10;
        group_tick(leader->group, c->now_ms);
    }
    assert_int_equal(leader->applied, index);
    assert_int_equal(peers[0]->applied, index);
    assert_true(peers[1]->applied < index);
    cluster_flush(peers[1]);
    assert_int_equal(peers[1]->applied, index);
}

static void a_leader_without_a_majority_steps_down_and_says_so(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    cluster_cut_off(c, leader, true);
    uint64_t index = cluster_propose(leader, "lost");
    cluster_run(c, 3000);
    assert_int_equal(leader->depose_count, 1);
    assert_false(group_is_leading(leader->group));
    struct cluster_node *next = cluster_leader(c);
    assert_true(next != NULL && next != leader);
    uint64_t other = cluster_propose(next, "kept");
    cluster_run(c, 500);
    cluster_cut_off(c, leader, false);
    cluster_run(c, 3000);
    cluster_expect(leader, other, "kept");
    assert_true(other >= index);
    struct buf data = {0};
    uint64_t ignored;
    buf_append_str(&data, "late");
    if (!group_is_leading(leader->group)) {
        expect_err(group_propose(leader->group, &data, c->now_ms, &ignored), ERR_NOT_OWNER);
    }
    buf_done(&data);
}

static void a_replica_that_was_down_catches_up(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    cluster_stop_node(peers[0], peers[0]->durable);
    uint64_t last = 0;
    for (int i = 0; i < 200; i++) {
        last = cluster_propose(leader, "x");
    }
    cluster_settle(c);
    cluster_start_node(peers[0]);
    cluster_run(c, 2000);
    assert_int_equal(peers[0]->applied, last);
}

static void a_restart_of_all_loses_nothing_acknowledged(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    uint64_t index = cluster_propose(leader, "kept");
    cluster_settle(c);
    assert_int_equal(leader->applied, index);
    for (size_t i = 0; i < 3; i++) {
        cluster_stop_node(c->nodes[i], c->nodes[i]->durable);
    }
    cluster_drop_all(c);
    for (size_t i = 0; i < 3; i++) {
        cluster_start_node(c->nodes[i]);
    }
    leader = cluster_elect(c);
    cluster_run(c, 500);
    for (size_t i = 0; i < 3; i++) {
        cluster_expect(c->nodes[i], index, "kept");
    }
}

/* Time */

static void time_means_nothing_before_it_is_due(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *n = c->nodes[0];
    cluster_settle(c);
    uint64_t due_ms = group_next_ms(n->group);
    assert_in_range(due_ms, c->now_ms + GROUP_ELECTION_MS, c->now_ms + 2 * GROUP_ELECTION_MS);
    group_tick(n->group, due_ms - 1);
    assert_int_equal(count_messages(c), 0);
    group_tick(n->group, due_ms);
    assert_int_equal(count_messages(c), 2);
}

static void a_leader_writes_to_its_peers_every_heartbeat(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    cluster_run(c, 500);
    uint64_t sent_ms = group_next_ms(leader->group);
    cluster_tick(c, leader);
    assert_int_equal(count_messages(c), 2);
    assert_int_equal(group_next_ms(leader->group), sent_ms + GROUP_HEARTBEAT_MS);
}

/* Of writes with pauses between them, while one replica is away: those that wait for a heartbeat. */
static size_t count_late_writes(struct group_cluster *c)
{
    enum { WRITES = 40, PAUSE_MS = 7 };
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    size_t late = 0;
    others(c, leader, peers);
    cluster_run(c, 500);
    cluster_cut_off(c, peers[0], true);
    for (uint64_t i = 1; i <= WRITES; i++) {
        uint64_t index = cluster_propose(leader, "one");
        cluster_settle(c);
        late += leader->applied < index ? 1 : 0;
        cluster_run(c, i * PAUSE_MS);
        cluster_expect(leader, index, "one");
    }
    return late;
}

static void a_write_after_a_pause_waits_for_no_heartbeat_while_a_replica_is_away(void **state)
{
    assert_int_equal(count_late_writes(*state), 0);
}

static void without_its_guard_a_write_after_a_pause_waits_for_a_heartbeat(void **state)
{
    group_guards_off(GROUP_GUARD_SILENCE);
    assert_in_range(count_late_writes(*state), 10, 40);
}

static void a_replica_without_peers_or_without_a_group_has_no_time(void **state)
{
    struct group_cluster *c = *state;
    struct group_cluster *alone = cluster_new(1);
    cluster_settle(alone);
    assert_int_equal(group_next_ms(alone->nodes[0]->group), UINT64_MAX);
    cluster_free(alone);
    assert_int_equal(group_next_ms(cluster_join(c)->group), UINT64_MAX);
}

/* Promises */

/* Whether the vote left before it was on disk. */
static bool votes_before_it_is_durable(struct group_cluster *c)
{
    struct cluster_node *voter = c->nodes[0];
    struct cluster_node *candidate = c->nodes[1];
    cluster_settle(c);
    struct group_message ask = said(candidate, voter, GROUP_ASK_VOTE, 2);
    ask.ask_vote.last_index = 1;
    ask.ask_vote.last_term = 1;
    expect_err(cluster_say(c, &ask, NULL), ERR_OK);
    assert_true(voter->durable < voter->record_count);
    bool was_early = cluster_find(c, voter->replica, candidate->replica, GROUP_VOTE) != NULL;
    cluster_flush(voter);
    struct cluster_message *m = cluster_find(c, voter->replica, candidate->replica, GROUP_VOTE);
    assert_non_null(m);
    assert_true(cluster_peek(m).vote.granted);
    return was_early;
}

static void a_vote_leaves_once_it_is_durable(void **state)
{
    assert_false(votes_before_it_is_durable(*state));
}

static void without_its_guard_a_vote_leaves_early(void **state)
{
    group_guards_off(GROUP_GUARD_HOLD);
    assert_true(votes_before_it_is_durable(*state));
}

/* What follows a held message waits behind it, also where it promises nothing new. */
static void held_messages_keep_their_order(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *voter = c->nodes[0];
    struct cluster_node *candidate = c->nodes[1];
    cluster_settle(c);
    for (uint64_t term = 2; term < 5; term++) {
        struct group_message ask = said(candidate, voter, GROUP_ASK_VOTE, term);
        ask.ask_vote.last_index = 1;
        ask.ask_vote.last_term = 1;
        expect_err(cluster_say(c, &ask, NULL), ERR_OK);
    }
    assert_int_equal(count_messages(c), 0);
    cluster_make_durable(voter, voter->record_count - 1);
    uint64_t term = 2;
    LIST_FOREACH (link, &c->messages) {
        assert_int_equal(cluster_peek(LIST_ENTRY(link, struct cluster_message, link)).term, term++);
    }
    assert_int_equal(term, 4);
    cluster_flush(voter);
    assert_int_equal(count_messages(c), 3);
}

static void messages_that_wait_are_bounded(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *voter = c->nodes[0];
    struct cluster_node *candidate = c->nodes[1];
    cluster_settle(c);
    for (uint64_t term = 2; term < 2 + 2 * GROUP_HELD_MAX; term++) {
        struct group_message ask = said(candidate, voter, GROUP_ASK_VOTE, term);
        ask.ask_vote.last_index = 1;
        ask.ask_vote.last_term = 1;
        expect_err(cluster_say(c, &ask, NULL), ERR_OK);
    }
    cluster_flush(voter);
    assert_int_equal(count_messages(c), GROUP_HELD_MAX);
}

/* A leader's entry that was never durable is replaced by another's: the record of the first one, when
 * it becomes durable, says nothing about the second. */
static void what_is_durable_of_replaced_entries_does_not_count(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *old = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, old, peers);
    cluster_run(c, 500);
    cluster_cut_off(c, old, true);
    uint64_t index = cluster_propose(old, "replaced");
    uint64_t sequence = old->record_count;
    uint64_t new_term = group_term(old->group) + 1;
    struct group_message m = said(peers[0], old, GROUP_APPEND, new_term);
    struct group_entry entry = {.term = new_term, .type = GROUP_COMMAND, .data = SLICE("kept")};
    m.append.previous_index = index - 1;
    m.append.previous_term = group_term(old->group);
    m.append.count = 1;
    expect_err(cluster_say(c, &m, &entry), ERR_OK);
    assert_int_equal(old->depose_count, 1);
    cluster_drop_all(c);
    cluster_cut_off(c, old, false);
    cluster_make_durable(old, sequence);
    assert_null(cluster_find(c, old->replica, peers[0]->replica, GROUP_APPENDED));
    cluster_flush(old);
    struct cluster_message *answer =
        cluster_find(c, old->replica, peers[0]->replica, GROUP_APPENDED);
    assert_non_null(answer);
    assert_int_equal(cluster_peek(answer).appended.last_index, index);
}

static void a_commit_index_that_moves_back_takes_nothing_back(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    uint64_t first = cluster_propose(leader, "one");
    uint64_t second = cluster_propose(leader, "two");
    cluster_run(c, 500);
    struct cluster_node *n = peers[0];
    assert_int_equal(n->applied, second);
    struct group_message m = said(leader, n, GROUP_APPEND, group_term(leader->group));
    m.append.previous_index = first;
    m.append.previous_term = n->store[first].term;
    m.append.commit = second + 1; /* the core takes the lower of this and of what came with it */
    expect_err(cluster_say(c, &m, NULL), ERR_OK);
    assert_int_equal(n->applied, second);
    uint64_t third = cluster_propose(leader, "three");
    cluster_run(c, 500);
    assert_int_equal(n->applied, third);
}

/* What the core takes amiss */

/* An answer to a leader of an older term, which is refused. */
static struct group_message answer_to_an_old_leader(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    cluster_run(c, 500);
    cluster_drop_all(c);
    struct group_message m = said(peers[1], peers[0], GROUP_APPEND, group_term(leader->group) - 1);
    m.append.previous_index = 1;
    m.append.previous_term = 1;
    expect_err(cluster_say(c, &m, NULL), ERR_OK);
    struct cluster_message *answer =
        cluster_find(c, peers[0]->replica, peers[1]->replica, GROUP_APPENDED);
    assert_non_null(answer);
    return cluster_peek(answer);
}

static void an_old_leader_hears_of_the_term_and_of_nothing_else(void **state)
{
    struct group_message answer = answer_to_an_old_leader(*state);
    assert_int_equal(answer.term, group_term(cluster_leader(*state)->group));
    assert_int_equal(answer.appended.rejected, 0);
    assert_int_equal(answer.appended.last_index, 0);
}

static void without_its_guard_the_answer_to_an_old_leader_says_more(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    cluster_run(c, 500);
    cluster_drop_all(c);
    group_guards_off(GROUP_GUARD_OLD_TERM);
    struct group_message m = said(peers[1], peers[0], GROUP_APPEND, group_term(leader->group) - 1);
    m.append.previous_index = 1;
    m.append.previous_term = 1;
    expect_err(cluster_say(c, &m, NULL), ERR_OK);
    /* What the core left there; it need not even decode. */
    LIST_FOREACH (link, &c->messages) {
        const struct cluster_message *answer = LIST_ENTRY(link, struct cluster_message, link);
        assert_int_equal(answer->bytes.data[1], GROUP_APPENDED);
        assert_int_equal(answer->bytes.data[GROUP_WIRE_HEAD_BYTES + 7], 1); /* rejected */
    }
    assert_int_equal(count_messages(c), 1);
}

/* Index before the entries that the leader sends next to the peer, after a late rejection. */
static uint64_t previous_after_a_late_rejection(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    uint64_t last = 0;
    for (int i = 0; i < 10; i++) {
        last = cluster_propose(leader, "x");
    }
    cluster_run(c, 500);
    struct cluster_node *n = peers[0];
    cluster_cut_off(c, n, true); /* the core goes back to asking */
    cluster_run(c, 300);
    cluster_cut_off(c, n, false);
    struct group_message m = said(n, leader, GROUP_APPENDED, group_term(leader->group));
    m.appended.rejected = last;
    m.appended.last_index = 2; /* of the time when it had no more */
    expect_err(cluster_say(c, &m, NULL), ERR_OK);
    cluster_drop_all(c);
    cluster_tick(c, leader);
    struct cluster_message *next = cluster_find(c, leader->replica, n->replica, GROUP_APPEND);
    assert_non_null(next);
    uint64_t previous = cluster_peek(next).append.previous_index;
    assert_true(previous <= last);
    return last - previous;
}

static void a_late_rejection_takes_nothing_back(void **state)
{
    assert_int_equal(previous_after_a_late_rejection(*state), 0);
}

static void without_its_guard_a_late_rejection_takes_back_what_was_acknowledged(void **state)
{
    group_guards_off(GROUP_GUARD_STALE_REJECTION);
    assert_true(previous_after_a_late_rejection(*state) > 0);
}

static bool answers_a_second_candidate(struct group_cluster *c)
{
    struct cluster_node *voter = c->nodes[0];
    cluster_settle(c);
    for (size_t i = 1; i < 3; i++) {
        struct group_message ask = said(c->nodes[i], voter, GROUP_ASK_VOTE, 2);
        ask.ask_vote.last_index = 1;
        ask.ask_vote.last_term = 1;
        expect_err(cluster_say(c, &ask, NULL), ERR_OK);
    }
    cluster_flush(voter);
    assert_non_null(cluster_find(c, voter->replica, c->nodes[1]->replica, GROUP_VOTE));
    return cluster_find(c, voter->replica, c->nodes[2]->replica, GROUP_VOTE) != NULL;
}

static void a_second_candidate_of_a_term_is_not_heard(void **state)
{
    assert_false(answers_a_second_candidate(*state));
}

static void without_its_guard_a_second_candidate_is_answered(void **state)
{
    group_guards_off(GROUP_GUARD_SECOND_VOTE);
    assert_true(answers_a_second_candidate(*state));
}

/* An answer to a pre-vote that comes when there is a leader. */
static bool late_pre_vote_deposes(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    cluster_run(c, 500);
    uint64_t term = group_term(leader->group);
    struct group_message m = said(peers[1], leader, GROUP_VOTE, term + 1);
    m.vote.granted = true;
    m.vote.pre_vote = true;
    expect_err(cluster_say(c, &m, NULL), ERR_OK);
    m.from = leader->replica;
    m.to = peers[0]->replica;
    expect_err(cluster_say(c, &m, NULL), ERR_OK);
    cluster_run(c, 3000);
    return group_term(cluster_elect(c)->group) != term;
}

static void a_late_answer_to_a_pre_vote_changes_nothing(void **state)
{
    assert_false(late_pre_vote_deposes(*state));
}

static void without_its_guard_a_late_answer_to_a_pre_vote_ends_a_term(void **state)
{
    group_guards_off(GROUP_GUARD_LATE_PRE_VOTE);
    assert_true(late_pre_vote_deposes(*state));
}

/* One has the longest log and an old term, the other a term far ahead, the third is down. */
static bool comes_out_of_a_tie(struct group_cluster *c)
{
    struct cluster_node *longest = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, longest, peers);
    cluster_run(c, 500);
    cluster_cut_off(c, longest, true);
    (void)cluster_propose(longest, "not sent");
    cluster_flush(longest);
    struct group_message ask =
        said(peers[1], peers[0], GROUP_ASK_VOTE, group_term(longest->group) + 5);
    ask.ask_vote.last_index = 1;
    ask.ask_vote.last_term = 1;
    ask.ask_vote.disrupt = true;
    expect_err(cluster_say(c, &ask, NULL), ERR_OK);
    cluster_flush(peers[0]);
    cluster_stop_node(peers[1], peers[1]->durable);
    cluster_run(c, 2000);
    assert_false(group_is_leading(longest->group));
    cluster_cut_off(c, longest, false);
    cluster_run(c, 10 * 1000);
    return cluster_leader(c) != NULL;
}

static void the_longest_log_with_an_old_term_is_elected(void **state)
{
    assert_true(comes_out_of_a_tie(*state));
}

static void without_its_guard_the_longest_log_is_refused_for_ever(void **state)
{
    group_guards_off(GROUP_GUARD_PRE_VOTE_TERM);
    assert_false(comes_out_of_a_tie(*state));
}

/* All is committed everywhere when the leadership changes. */
static bool next_leader_comes_to_lead(struct group_cluster *c)
{
    struct cluster_node *leader = cluster_elect(c);
    (void)cluster_propose(leader, "one");
    cluster_run(c, 500);
    cluster_cut_off(c, leader, true);
    cluster_run(c, 5000);
    struct cluster_node *next = cluster_leader(c);
    return next != NULL && next != leader;
}

static void a_leader_of_a_quiet_group_proves_its_term(void **state)
{
    assert_true(next_leader_comes_to_lead(*state));
}

static void without_its_guard_a_leader_of_a_quiet_group_never_leads(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    (void)cluster_propose(leader, "one");
    cluster_run(c, 500);
    group_guards_off(GROUP_GUARD_BARRIER);
    assert_false(next_leader_comes_to_lead(c));
}

/* Malice and mistakes */

static void a_second_leader_of_a_term_is_refused(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    struct group_message m = said(peers[0], leader, GROUP_APPEND, group_term(leader->group));
    m.append.previous_index = 1;
    m.append.previous_term = 1;
    expect_err(cluster_say(c, &m, NULL), ERR_CORRUPT);
    assert_true(group_is_leading(leader->group));
}

static void entries_that_contradict_what_is_committed_are_refused(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    uint64_t index = cluster_propose(leader, "kept");
    cluster_run(c, 500);
    uint64_t term = group_term(leader->group);
    struct group_message m = said(leader, peers[0], GROUP_APPEND, term + 1);
    struct group_entry entry = {.term = term + 1, .type = GROUP_COMMAND, .data = SLICE("other")};
    m.append.previous_index = index - 1;
    m.append.previous_term = term;
    m.append.count = 1;
    expect_err(cluster_say(c, &m, &entry), ERR_CORRUPT);
    cluster_expect(peers[0], index, "kept");
    cluster_run(c, 3000);
    assert_non_null(cluster_elect(c));
}

/* A leader that was replaced and does not know: its entry is in the place of a committed one. */
static void an_old_leader_is_refused_for_its_term(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    uint64_t old_term = group_term(leader->group);
    uint64_t before = cluster_propose(leader, "shared");
    cluster_run(c, 500);
    expect_err(group_transfer(leader->group, peers[0]->replica, c->now_ms), ERR_OK);
    cluster_run(c, 500);
    uint64_t index = cluster_propose(peers[0], "kept");
    cluster_run(c, 500);
    cluster_expect(peers[1], index, "kept");
    struct group_message m = said(leader, peers[1], GROUP_APPEND, old_term);
    struct group_entry entry = {.term = old_term, .type = GROUP_COMMAND, .data = SLICE("other")};
    m.append.previous_index = before;
    m.append.previous_term = old_term;
    m.append.count = 1;
    expect_err(cluster_say(c, &m, &entry), ERR_OK);
    cluster_expect(peers[1], index, "kept");
    struct cluster_message *answer =
        cluster_find(c, peers[1]->replica, leader->replica, GROUP_APPENDED);
    assert_non_null(answer);
    assert_true(cluster_peek(answer).term > old_term);
}

static void messages_for_others_or_in_the_name_of_others_do_nothing(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *n = c->nodes[0];
    struct buf bytes = {0};
    struct group_message m = said(c->nodes[1], c->nodes[2], GROUP_ASK_VOTE, 9);
    m.ask_vote.last_index = 1;
    m.ask_vote.last_term = 1;
    group_wire_encode(&m, &bytes);
    expect_err(group_receive(n->group, c->nodes[1]->replica, buf_slice(&bytes), c->now_ms), ERR_OK);
    assert_int_equal(group_term(n->group), 1);
    expect_err(group_receive(n->group, c->nodes[2]->replica, buf_slice(&bytes), c->now_ms),
               ERR_CORRUPT);
    bytes.data[0]++;
    expect_err(group_receive(n->group, c->nodes[1]->replica, buf_slice(&bytes), c->now_ms),
               ERR_FORMAT);
    buf_done(&bytes);
}

/* Room */

static void entries_without_room_leave_a_heartbeat(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    peers[0]->refuses_entries = true;
    uint64_t term = group_term(leader->group);
    uint64_t index = cluster_propose(leader, "one");
    cluster_run(c, 3000);
    assert_int_equal(leader->applied, index);
    assert_true(peers[0]->applied < index);
    assert_int_equal(group_term(peers[0]->group), term);
    assert_int_equal(group_leader(peers[0]->group), leader->replica);
    peers[0]->refuses_entries = false;
    cluster_run(c, 500);
    assert_int_equal(peers[0]->applied, index);
    assert_int_equal(leader->depose_count, 0);
}

static void what_is_sent_ahead_is_bounded_in_entries(void **state)
{
    struct group_cluster *c = *state;
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    cluster_run(c, 500);
    uint64_t first = 0;
    for (int i = 0; i < 3 * GROUP_INFLIGHT_ENTRIES; i++) {
        uint64_t index = cluster_propose(leader, "x");
        first = first != 0 ? first : index;
    }
    LIST_FOREACH (link, &c->messages) {
        struct group_message m = cluster_peek(LIST_ENTRY(link, struct cluster_message, link));
        assert_true(m.append.previous_index + m.append.count < first + GROUP_INFLIGHT_ENTRIES);
    }
    cluster_run(c, 1000);
    assert_int_equal(peers[0]->applied, first + 3 * GROUP_INFLIGHT_ENTRIES - 1);
}

static void large_entries_are_spread_over_messages(void **state)
{
    struct group_cluster *c = *state;
    enum { ENTRY_BYTES = 3 << 20, COUNT = 7 };
    struct cluster_node *leader = cluster_elect(c);
    struct cluster_node *peers[2];
    others(c, leader, peers);
    cluster_stop_node(peers[0], peers[0]->durable);
    uint64_t last = 0;
    for (int i = 0; i < COUNT; i++) {
        struct buf data = {0};
        memset(buf_extend(&data, ENTRY_BYTES), i, ENTRY_BYTES);
        expect_err(group_propose(leader->group, &data, c->now_ms, &last), ERR_OK);
        cluster_settle(c);
    }
    cluster_start_node(peers[0]);
    for (int rounds = 0; rounds < 400 && peers[0]->applied < last; rounds++) {
        LIST_FOREACH (link, &c->messages) {
            assert_true(LIST_ENTRY(link, struct cluster_message, link)->bytes.len <=
                        GROUP_MESSAGE_BYTES + 1024);
        }
        if (!cluster_deliver(c)) {
            c->now_ms += 10;
            group_tick(leader->group, c->now_ms);
            cluster_flush(leader);
            cluster_flush(peers[0]);
            cluster_flush(peers[1]);
        }
    }
    assert_int_equal(peers[0]->applied, last);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(three_replicas_elect_one_and_apply_the_same),
          TEST(a_write_counts_once_a_majority_has_it_on_disk),
          TEST(a_replica_applies_what_its_own_disk_has),
          TEST(a_leader_without_a_majority_steps_down_and_says_so),
          TEST(a_replica_that_was_down_catches_up),
          TEST(a_restart_of_all_loses_nothing_acknowledged),
          TEST(time_means_nothing_before_it_is_due),
          TEST(a_leader_writes_to_its_peers_every_heartbeat),
          TEST(a_write_after_a_pause_waits_for_no_heartbeat_while_a_replica_is_away),
          TEST(without_its_guard_a_write_after_a_pause_waits_for_a_heartbeat),
          TEST(a_replica_without_peers_or_without_a_group_has_no_time),
          TEST(a_vote_leaves_once_it_is_durable), TEST(without_its_guard_a_vote_leaves_early),
          TEST(held_messages_keep_their_order), TEST(messages_that_wait_are_bounded),
          TEST(what_is_durable_of_replaced_entries_does_not_count),
          TEST(a_commit_index_that_moves_back_takes_nothing_back),
          TEST(an_old_leader_hears_of_the_term_and_of_nothing_else),
          TEST(without_its_guard_the_answer_to_an_old_leader_says_more),
          TEST(a_late_rejection_takes_nothing_back),
          TEST(without_its_guard_a_late_rejection_takes_back_what_was_acknowledged),
          TEST(a_second_candidate_of_a_term_is_not_heard),
          TEST(without_its_guard_a_second_candidate_is_answered),
          TEST(a_late_answer_to_a_pre_vote_changes_nothing),
          TEST(without_its_guard_a_late_answer_to_a_pre_vote_ends_a_term),
          TEST(the_longest_log_with_an_old_term_is_elected),
          TEST(without_its_guard_the_longest_log_is_refused_for_ever),
          TEST(a_leader_of_a_quiet_group_proves_its_term),
          TEST(without_its_guard_a_leader_of_a_quiet_group_never_leads),
          TEST(a_second_leader_of_a_term_is_refused),
          TEST(entries_that_contradict_what_is_committed_are_refused),
          TEST(an_old_leader_is_refused_for_its_term),
          TEST(messages_for_others_or_in_the_name_of_others_do_nothing),
          TEST(entries_without_room_leave_a_heartbeat),
          TEST(what_is_sent_ahead_is_bounded_in_entries),
          TEST(large_entries_are_spread_over_messages))
