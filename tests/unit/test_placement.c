#include "node/placement.h"

#include <string.h>

#include "base/invariant.h"
#include "base/random.h"
#include "tests/lib/test.h"

enum { SHARDS = 64, MEMBERS_MAX = 8, STEPS_MAX = 2000 };

/* A cluster that does at once what placement says, as far as it may. */
struct cluster {
    struct placement_member members[MEMBERS_MAX];
    size_t member_count;
    struct placement_shard shards[SHARDS];
    uint32_t unsettled_most;
};

static void join(struct cluster *c, uint32_t id)
{
    c->members[c->member_count++] = (struct placement_member){.id = id, .is_reachable = true};
}

static struct cluster one_node(void)
{
    struct cluster c = {.member_count = 0};
    join(&c, 1);
    for (int s = 0; s < SHARDS; s++) {
        c.shards[s] = (struct placement_shard){.nodes = {1}, .node_count = 1, .is_settled = true};
    }
    return c;
}

static void apply(struct cluster *c, const struct placement_change *change)
{
    struct placement_shard *s = &c->shards[change->shard];
    assert_true(s->is_settled);
    if (change->action == PLACEMENT_ADD) {
        assert_true(s->node_count < PLACEMENT_REPLICAS_MAX);
        for (uint32_t i = 0; i < s->node_count; i++) {
            assert_int_not_equal(s->nodes[i], change->node);
        }
        s->nodes[s->node_count++] = change->node;
    } else {
        uint32_t at = 0;
        while (s->nodes[at] != change->node) {
            at++;
            assert_true(at < s->node_count);
        }
        s->nodes[at] = s->nodes[--s->node_count];
        assert_true(s->node_count > 0);
    }
    s->is_settled = false;
}

/* Asks until there is nothing to do; replicas settle in any order. */
static uint32_t settle(struct cluster *c)
{
    uint32_t changes = 0;
    for (int step = 0; step < STEPS_MAX; step++) {
        struct placement_change change =
            placement_next(c->members, c->member_count, c->shards, SHARDS, 3);
        uint32_t unsettled = 0;
        if (change.action != PLACEMENT_NONE) {
            apply(c, &change);
            changes++;
        }
        for (int s = 0; s < SHARDS; s++) {
            unsettled += c->shards[s].is_settled ? 0 : 1;
        }
        c->unsettled_most = unsettled > c->unsettled_most ? unsettled : c->unsettled_most;
        if (change.action == PLACEMENT_NONE && unsettled == 0) {
            return changes;
        }
        for (int s = 0; s < SHARDS; s++) {
            c->shards[s].is_settled = c->shards[s].is_settled || random_u64() % 4 == 0;
        }
    }
    fail_msg("placement does not come to an end");
    return 0;
}

static void expect_balance(const struct cluster *c, uint32_t replicas)
{
    uint32_t counts[MEMBERS_MAX] = {0};
    uint32_t least = UINT32_MAX;
    uint32_t most = 0;
    for (int s = 0; s < SHARDS; s++) {
        assert_int_equal(c->shards[s].node_count, replicas);
        for (uint32_t i = 0; i < replicas; i++) {
            for (size_t m = 0; m < c->member_count; m++) {
                counts[m] += c->members[m].id == c->shards[s].nodes[i] ? 1 : 0;
            }
        }
    }
    for (size_t m = 0; m < c->member_count; m++) {
        if (c->members[m].is_removed) {
            assert_int_equal(counts[m], 0);
            continue;
        }
        least = counts[m] < least ? counts[m] : least;
        most = counts[m] > most ? counts[m] : most;
    }
    assert_in_range(most - least, 0, 1);
}

static void one_node_has_nothing_to_do(void **state)
{
    (void)state;
    struct cluster c = one_node();
    assert_int_equal(settle(&c), 0);
}

static void two_nodes_share_single_replicas(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join(&c, 2);
    (void)settle(&c);
    expect_balance(&c, 1);
}

static void three_nodes_hold_everything(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join(&c, 2);
    join(&c, 3);
    (void)settle(&c);
    expect_balance(&c, 3);
    assert_in_range(c.unsettled_most, 1, PLACEMENT_MOVES_MAX);
}

static void a_fourth_node_takes_its_share_and_no_more(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join(&c, 2);
    join(&c, 3);
    (void)settle(&c);
    join(&c, 4);
    uint32_t changes = settle(&c);
    expect_balance(&c, 3);
    assert_in_range(changes, 2 * 48, 2 * 48 + 8); /* each is added once and taken away once */
}

static void what_a_removed_node_held_moves_to_the_others(void **state)
{
    (void)state;
    struct cluster c = one_node();
    for (uint32_t id = 2; id <= 5; id++) {
        join(&c, id);
    }
    (void)settle(&c);
    c.members[1].is_removed = true;
    c.members[1].is_reachable = false;
    (void)settle(&c);
    expect_balance(&c, 3);
}

static void three_nodes_of_which_one_is_removed_have_single_replicas(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join(&c, 2);
    join(&c, 3);
    (void)settle(&c);
    c.members[0].is_removed = true;
    (void)settle(&c);
    expect_balance(&c, 1);
}

static void an_unreachable_node_gets_no_new_replica_and_keeps_its_own(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join(&c, 2);
    join(&c, 3);
    (void)settle(&c);
    c.members[2].is_reachable = false;
    assert_int_equal(settle(&c), 0);
    join(&c, 4);
    c.members[3].is_reachable = false;
    assert_int_equal(settle(&c), 0);
}

static void a_shard_waits_for_nodes_for_all_of_its_replicas(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join(&c, 2);
    (void)settle(&c);
    join(&c, 3);
    c.members[2].is_reachable = false; /* it has joined, and nobody has heard it yet */
    assert_int_equal(settle(&c), 0);
    for (int s = 0; s < SHARDS; s++) {
        assert_int_equal(c.shards[s].node_count, 1);
    }
    c.members[2].is_reachable = true;
    (void)settle(&c);
    expect_balance(&c, 3);
}

/* Leaderships */

static void leaderships_spread_until_they_are_even(void **state)
{
    (void)state;
    struct placement_leads m[3] = {{1, 64, 64, true}, {2, 0, 64, true}, {3, 0, 64, true}};
    int moves = 0;
    uint32_t target;
    while ((target = placement_lead_target(&m[0], m, 3)) != 0) {
        m[0].leads--;
        m[target - 1].leads++;
        assert_true(++moves < 64);
    }
    assert_in_range(m[0].leads, 21, 23);
    assert_in_range(m[1].leads, 21, 22);
    assert_int_equal(placement_lead_target(&m[1], m, 3), 0);
}

static void a_draining_node_gives_all_away_and_gets_none(void **state)
{
    (void)state;
    struct placement_leads m[3] = {{1, 1, 64, false}, {2, 40, 64, true}, {3, 30, 64, true}};
    assert_int_equal(placement_lead_target(&m[0], m, 3), 3);
    m[2].may_lead = false;
    assert_int_equal(placement_lead_target(&m[0], m, 3), 2);
    m[1].may_lead = false;
    assert_int_equal(placement_lead_target(&m[0], m, 3), 0);
    m[1].may_lead = true;
    assert_int_equal(placement_lead_target(&m[1], m, 3), 0);
}

static void join_all(struct cluster *c, uint32_t count)
{
    for (uint32_t id = (uint32_t)c->member_count + 1; id <= count; id++) {
        join(c, id);
    }
    (void)settle(c);
}

static bool is_on(const struct placement_shard *s, uint32_t node)
{
    for (uint32_t i = 0; i < s->node_count; i++) {
        if (s->nodes[i] == node) {
            return true;
        }
    }
    return false;
}

/* As an order does it. */
static void move(struct placement_shard *s, uint32_t from, uint32_t to)
{
    s->nodes[s->node_count++] = to;
    s->leaving = from;
    s->is_pinned = true;
    s->is_settled = false;
}

static uint32_t move_all_to(struct cluster *c, uint32_t to)
{
    uint32_t moved = 0;
    for (int s = 0; s < SHARDS; s++) {
        if (!is_on(&c->shards[s], to) && is_on(&c->shards[s], 1)) {
            move(&c->shards[s], 1, to);
            moved++;
        }
    }
    return moved;
}

static void the_replica_that_was_told_to_goes_and_not_the_fullest_members(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join_all(&c, 4);
    struct placement_shard *s = &c.shards[0];
    uint32_t to = 1;
    while (is_on(s, to)) {
        to++;
    }
    for (uint32_t i = 0; i < 3; i++) {
        struct cluster copy = c;
        uint32_t from = copy.shards[0].nodes[i];
        move(&copy.shards[0], from, to);
        copy.shards[0].is_settled = true;
        struct placement_change change =
            placement_next(copy.members, copy.member_count, copy.shards, SHARDS, 3);
        assert_int_equal(change.action, PLACEMENT_REMOVE);
        assert_int_equal(change.shard, 0);
        assert_int_equal(change.node, from);
    }
}

static void who_is_removed_meanwhile_goes_first(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join_all(&c, 4);
    struct placement_shard *s = &c.shards[0];
    uint32_t to = 1;
    while (is_on(s, to)) {
        to++;
    }
    move(s, s->nodes[0], to);
    s->is_settled = true;
    c.members[to - 1].is_removed = true;
    struct placement_change change = placement_next(c.members, c.member_count, c.shards, SHARDS, 3);
    assert_int_equal(change.action, PLACEMENT_REMOVE);
    assert_int_equal(change.node, to);
}

static void what_was_moved_by_hand_stays_and_the_balance_takes_others(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join_all(&c, 4);
    uint32_t to = 4;
    int moved = -1;
    for (int s = 0; s < SHARDS && moved < 0; s++) {
        moved = !is_on(&c.shards[s], to) && is_on(&c.shards[s], 1) ? s : -1;
    }
    move(&c.shards[moved], 1, to);
    (void)settle(&c);
    assert_true(is_on(&c.shards[moved], to) && !is_on(&c.shards[moved], 1));
    (void)placement_next(c.members, c.member_count, c.shards, SHARDS, 3); /* counts */
    for (size_t i = 0; i < c.member_count; i++) {
        assert_int_equal(c.members[i].replicas, SHARDS * 3 / 4);
    }
}

static void where_all_is_pinned_nothing_is_evened_out_until_it_is_not(void **state)
{
    (void)state;
    struct cluster c = one_node();
    join_all(&c, 4);
    uint32_t moved = move_all_to(&c, 4);
    assert_true(moved > 1);
    for (int s = 0; s < SHARDS; s++) {
        c.shards[s].is_pinned = true;
    }
    (void)settle(&c);
    assert_int_equal(c.members[3].replicas, SHARDS * 3 / 4 + moved);
    for (int s = 0; s < SHARDS; s++) {
        c.shards[s].is_pinned = false;
        c.shards[s].leaving = 0;
    }
    (void)settle(&c);
    assert_int_equal(c.members[3].replicas, SHARDS * 3 / 4);
}

TEST_MAIN(cmocka_unit_test(one_node_has_nothing_to_do),
          cmocka_unit_test(two_nodes_share_single_replicas),
          cmocka_unit_test(three_nodes_hold_everything),
          cmocka_unit_test(a_fourth_node_takes_its_share_and_no_more),
          cmocka_unit_test(what_a_removed_node_held_moves_to_the_others),
          cmocka_unit_test(three_nodes_of_which_one_is_removed_have_single_replicas),
          cmocka_unit_test(an_unreachable_node_gets_no_new_replica_and_keeps_its_own),
          cmocka_unit_test(a_shard_waits_for_nodes_for_all_of_its_replicas),
          cmocka_unit_test(leaderships_spread_until_they_are_even),
          cmocka_unit_test(a_draining_node_gives_all_away_and_gets_none),
          cmocka_unit_test(the_replica_that_was_told_to_goes_and_not_the_fullest_members),
          cmocka_unit_test(who_is_removed_meanwhile_goes_first),
          cmocka_unit_test(what_was_moved_by_hand_stays_and_the_balance_takes_others),
          cmocka_unit_test(where_all_is_pinned_nothing_is_evened_out_until_it_is_not))
