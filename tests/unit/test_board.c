#include "node/board.h"

#include <string.h>

#include "base/mem.h"
#include "tests/lib/test.h"

enum { SHARDS = 4, NOW_MS = 10000, FRESH_MS = BOARD_FRESH_MS };

static int setup(void **state)
{
    struct board *b = MEM_NEW(struct board);
    board_init(b, SHARDS);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    board_done(*state);
    mem_free(*state);
    return 0;
}

static struct board_shard led(uint32_t shard, uint64_t term)
{
    return (struct board_shard){.shard = shard, .term = term};
}

static uint32_t leader_of(struct board *b, uint32_t shard, uint64_t now_ms)
{
    struct board_line line;
    return board_find(b, shard, now_ms, &line) ? line.leader : 0;
}

/* Shards */

static void nobody_leads_what_nobody_has_spoken_of(void **state)
{
    assert_int_equal(leader_of(*state, 0, NOW_MS), 0);
    assert_int_equal(leader_of(*state, SHARD_META, NOW_MS), 0);
}

static void a_line_has_all_that_was_said(void **state)
{
    struct board_line line;
    struct board_shard said = led(3, 7);
    said.is_settled = true;
    said.replica_count = 1;
    said.replicas[0] = (struct board_replica){replica_id(2, 9), GROUP_VOTER, 5};
    board_note(*state, 2, &said, NOW_MS);
    assert_true(board_find(*state, 3, NOW_MS, &line));
    assert_int_equal(line.leader, 2);
    assert_int_equal(line.heard_ms, NOW_MS);
    assert_memory_equal(&line.said, &said, sizeof said);
}

static void the_meta_group_has_a_line_of_its_own(void **state)
{
    struct board_shard said = led(SHARD_META, 1);
    board_note(*state, 2, &said, NOW_MS);
    assert_int_equal(leader_of(*state, SHARD_META, NOW_MS), 2);
    assert_int_equal(leader_of(*state, SHARDS - 1, NOW_MS), 0);
}

static void a_later_term_counts_and_an_earlier_one_does_not(void **state)
{
    struct board_shard said = led(0, 5);
    board_note(*state, 1, &said, NOW_MS);
    said.term = 4;
    board_note(*state, 2, &said, NOW_MS + 1);
    assert_int_equal(leader_of(*state, 0, NOW_MS), 1);
    said.term = 6;
    board_note(*state, 3, &said, NOW_MS + 2);
    assert_int_equal(leader_of(*state, 0, NOW_MS), 3);
}

static void what_was_said_grows_old_and_can_be_said_again(void **state)
{
    struct board_shard said = led(0, 5);
    board_note(*state, 1, &said, NOW_MS);
    assert_int_equal(leader_of(*state, 0, NOW_MS + FRESH_MS - 1), 1);
    assert_int_equal(leader_of(*state, 0, NOW_MS + FRESH_MS), 0);
    board_note(*state, 1, &said, NOW_MS + FRESH_MS);
    assert_int_equal(leader_of(*state, 0, NOW_MS + FRESH_MS), 1);
}

static void a_shard_that_there_is_not_is_dropped(void **state)
{
    struct board_shard said = led(SHARDS, 1);
    board_note(*state, 1, &said, NOW_MS);
    assert_int_equal(leader_of(*state, SHARDS, NOW_MS), 0);
    assert_int_equal(leader_of(*state, SHARD_META, NOW_MS), 0);
}

static void leaderships_are_counted_of_those_asked_about_and_while_they_are_fresh(void **state)
{
    struct placement_leads leads[] = {{.id = 1, .leads = 9}, {.id = 2}, {.id = 3}};
    const struct board_shard said[] = {led(0, 1), led(1, 1), led(2, 1)};
    board_note(*state, 1, &said[0], NOW_MS);
    board_note(*state, 2, &said[1], NOW_MS + 1);
    board_note(*state, 4, &said[2], NOW_MS + 1);
    board_count_leads(*state, NOW_MS, leads, 3);
    assert_int_equal(leads[0].leads, 1);
    assert_int_equal(leads[1].leads, 1);
    assert_int_equal(leads[2].leads, 0);
    board_count_leads(*state, NOW_MS + FRESH_MS, leads, 3);
    assert_int_equal(leads[0].leads, 0);
    assert_int_equal(leads[1].leads, 1);
}

static void who_leads_the_meta_group_has_no_share_in_the_work_by_that(void **state)
{
    struct placement_leads leads[] = {{.id = 1}};
    const struct board_shard said = led(SHARD_META, 1);
    board_note(*state, 1, &said, NOW_MS);
    board_count_leads(*state, NOW_MS, leads, 1);
    assert_int_equal(leads[0].leads, 0);
}

/* Nodes */

static void a_node_that_was_heard_lives_for_a_while(void **state)
{
    assert_false(board_is_alive(*state, 2, NOW_MS));
    board_hear(*state, 2, "b:1", false, NOW_MS);
    assert_true(board_is_alive(*state, 2, NOW_MS + FRESH_MS - 1));
    assert_false(board_is_alive(*state, 2, NOW_MS + FRESH_MS));
    assert_false(board_is_alive(*state, 3, NOW_MS));
}

static void a_node_that_stops_lives_and_does_not_stay(void **state)
{
    board_hear(*state, 2, "b:1", false, NOW_MS);
    assert_true(board_is_staying(*state, 2, NOW_MS));
    assert_false(board_is_staying(*state, 2, NOW_MS + FRESH_MS));
    board_hear(*state, 2, "b:1", true, NOW_MS);
    assert_true(board_is_alive(*state, 2, NOW_MS));
    assert_false(board_is_staying(*state, 2, NOW_MS));
    board_hear(*state, 2, "b:1", false, NOW_MS); /* it has started again */
    assert_true(board_is_staying(*state, 2, NOW_MS));
}

static void the_number_rises_with_what_changes_whom_to_dial_alone(void **state)
{
    uint64_t number = board_nodes_number(*state);
    board_hear(*state, 2, "b:1", false, NOW_MS);
    assert_int_equal(board_nodes_number(*state), ++number);
    board_hear(*state, 2, "b:1", false, NOW_MS + 1);
    assert_int_equal(board_nodes_number(*state), number);
    board_hear(*state, 2, "b:2", false, NOW_MS + 1);
    assert_int_equal(board_nodes_number(*state), ++number); /* it has moved */
    board_hear(*state, 2, "b:2", false, NOW_MS + 2 * FRESH_MS);
    assert_int_equal(board_nodes_number(*state), ++number); /* it is back */
}

static void a_node_is_where_it_last_said(void **state)
{
    struct board_node nodes[BOARD_NODES_MAX];
    board_hear(*state, 2, "old:1", false, NOW_MS);
    board_hear(*state, 2, "new:1", false, NOW_MS);
    assert_int_equal(board_nodes(*state, nodes, BOARD_NODES_MAX), 1);
    assert_int_equal(nodes[0].node, 2);
    assert_string_equal(nodes[0].peer, "new:1");
}

static void more_nodes_than_there_is_room_for_are_not_noted(void **state)
{
    struct board_node nodes[BOARD_NODES_MAX];
    for (uint32_t i = 1; i <= BOARD_NODES_MAX; i++) {
        board_hear(*state, i, "b:1", false, NOW_MS);
    }
    board_hear(*state, BOARD_NODES_MAX + 1, "b:1", false, NOW_MS);
    assert_false(board_is_alive(*state, BOARD_NODES_MAX + 1, NOW_MS));
    assert_true(board_is_alive(*state, BOARD_NODES_MAX, NOW_MS));
    assert_int_equal(board_nodes(*state, nodes, BOARD_NODES_MAX), BOARD_NODES_MAX);
    assert_int_equal(board_nodes(*state, nodes, 3), 3);
}

/* Pulses */

static void a_node_beats_since_its_slowest_worker(void **state)
{
    uint64_t life = 0;
    uint64_t heard_ms = 0;
    board_hear(*state, 2, "b:1", false, NOW_MS);
    assert_false(board_pulse(*state, 2, &life, &heard_ms));
    board_hear_pulse(*state, 2, 7, 0, 2, NOW_MS);
    assert_false(board_pulse(*state, 2, &life, &heard_ms)); /* of the other nothing is known */
    board_hear_pulse(*state, 2, 7, 1, 2, NOW_MS + 50);
    assert_true(board_pulse(*state, 2, &life, &heard_ms));
    assert_int_equal(life, 7);
    assert_int_equal(heard_ms, NOW_MS);
    board_hear_pulse(*state, 2, 7, 0, 2, NOW_MS + 100);
    assert_true(board_pulse(*state, 2, &life, &heard_ms));
    assert_int_equal(heard_ms, NOW_MS + 50);
}

static void another_life_begins_without_pulses(void **state)
{
    uint64_t life = 0;
    uint64_t heard_ms = 0;
    board_hear(*state, 2, "b:1", false, NOW_MS);
    board_hear_pulse(*state, 2, 7, 0, 2, NOW_MS);
    board_hear_pulse(*state, 2, 7, 1, 2, NOW_MS);
    board_hear_pulse(*state, 2, 8, 0, 2, NOW_MS + 50);
    assert_false(board_pulse(*state, 2, &life, &heard_ms));
    board_hear_pulse(*state, 2, 8, 1, 2, NOW_MS + 60);
    assert_true(board_pulse(*state, 2, &life, &heard_ms));
    assert_int_equal(life, 8);
}

static void the_pulse_of_a_node_that_is_not_known_is_dropped(void **state)
{
    uint64_t life;
    uint64_t heard_ms;
    board_hear_pulse(*state, 9, 7, 0, 1, NOW_MS);
    assert_false(board_pulse(*state, 9, &life, &heard_ms));
}

#define BOARD_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

TEST_MAIN(BOARD_TEST(nobody_leads_what_nobody_has_spoken_of),
          BOARD_TEST(a_line_has_all_that_was_said),
          BOARD_TEST(the_meta_group_has_a_line_of_its_own),
          BOARD_TEST(a_later_term_counts_and_an_earlier_one_does_not),
          BOARD_TEST(what_was_said_grows_old_and_can_be_said_again),
          BOARD_TEST(a_shard_that_there_is_not_is_dropped),
          BOARD_TEST(leaderships_are_counted_of_those_asked_about_and_while_they_are_fresh),
          BOARD_TEST(who_leads_the_meta_group_has_no_share_in_the_work_by_that),
          BOARD_TEST(a_node_that_was_heard_lives_for_a_while),
          BOARD_TEST(a_node_that_stops_lives_and_does_not_stay),
          BOARD_TEST(a_node_is_where_it_last_said),
          BOARD_TEST(the_number_rises_with_what_changes_whom_to_dial_alone),
          BOARD_TEST(more_nodes_than_there_is_room_for_are_not_noted),
          BOARD_TEST(a_node_beats_since_its_slowest_worker),
          BOARD_TEST(another_life_begins_without_pulses),
          BOARD_TEST(the_pulse_of_a_node_that_is_not_known_is_dropped))
