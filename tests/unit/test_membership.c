#include "node/membership.h"

#include "tests/lib/test.h"

enum { PEERS_MAX = 8 };

struct shard_model {
    struct group_peer peers[PEERS_MAX];
    size_t count;
    uint64_t leader;
    size_t voters_least;
};

static size_t voters(const struct shard_model *s)
{
    size_t count = 0;
    for (size_t i = 0; i < s->count; i++) {
        count += s->peers[i].role == GROUP_VOTER ? 1 : 0;
    }
    return count;
}

static void carry_out(struct shard_model *s, const struct membership_step *step)
{
    size_t at = 0;
    while (at < s->count && s->peers[at].replica != step->replica) {
        at++;
    }
    switch (step->action) {
    case MEMBERSHIP_ADD:
        assert_int_equal(at, s->count);
        assert_true(s->count < PEERS_MAX);
        s->peers[s->count++] = (struct group_peer){.replica = step->replica, .role = GROUP_STANDBY};
        break;
    case MEMBERSHIP_PROMOTE:
        assert_int_equal(s->peers[at].role, GROUP_STANDBY);
        s->peers[at].role = GROUP_VOTER;
        s->peers[at].match = 100;
        break;
    case MEMBERSHIP_REMOVE:
        assert_true(at < s->count);
        assert_true(s->peers[at].replica != s->leader);
        s->peers[at] = s->peers[--s->count];
        break;
    case MEMBERSHIP_HAND_OVER:
        assert_int_equal(s->peers[at].role, GROUP_VOTER);
        s->leader = step->replica;
        break;
    case MEMBERSHIP_NONE:
        fail_msg("nothing to carry out");
    }
    s->voters_least = voters(s) < s->voters_least ? voters(s) : s->voters_least;
}

/* Steps until nothing is left to do; how many. */
static int run(struct shard_model *s, const struct place *place)
{
    struct membership_step step;
    int steps = 0;
    while ((step = membership_next(s->peers, s->count, s->leader, place, PEERS_MAX)).action !=
           MEMBERSHIP_NONE) {
        carry_out(s, &step);
        assert_true(++steps < 50);
    }
    assert_true(membership_is_settled(s->peers, s->count, s->leader, 100, 10, place, PEERS_MAX));
    return steps;
}

static struct shard_model of_replicas(const uint64_t *replicas, size_t count)
{
    struct shard_model s = {.count = count, .leader = replicas[0], .voters_least = count};
    for (size_t i = 0; i < count; i++) {
        s.peers[i] = (struct group_peer){.replica = replicas[i], .role = GROUP_VOTER, .match = 100};
    }
    return s;
}

static void a_single_replica_becomes_three(void **state)
{
    (void)state;
    struct shard_model s = of_replicas((uint64_t[]){1}, 1);
    const struct place place = {.replica_count = 3, .replicas = {1, 2, 3}};
    assert_int_equal(run(&s, &place), 4);
    assert_int_equal(s.voters_least, 1);
}

static void a_replica_is_replaced_without_a_voter_less(void **state)
{
    (void)state;
    struct shard_model s = of_replicas((uint64_t[]){1, 2, 3}, 3);
    const struct place place = {.replica_count = 3, .replicas = {1, 2, 4}};
    assert_int_equal(run(&s, &place), 3);
    assert_int_equal(s.voters_least, 3);
}

static void a_leader_without_a_place_hands_over_before_it_goes(void **state)
{
    (void)state;
    struct shard_model s = of_replicas((uint64_t[]){1, 2, 3}, 3);
    const struct place place = {.replica_count = 3, .replicas = {2, 3, 4}};
    assert_int_equal(run(&s, &place), 4);
    assert_true(s.leader != 1);
}

static void a_whole_shard_moves(void **state)
{
    (void)state;
    struct shard_model s = of_replicas((uint64_t[]){1}, 1);
    const struct place place = {.replica_count = 1, .replicas = {9}};
    assert_int_equal(run(&s, &place), 4);
    assert_true(s.leader == 9);
}

static void what_lags_is_not_settled(void **state)
{
    (void)state;
    struct shard_model s = of_replicas((uint64_t[]){1, 2, 3}, 3);
    const struct place place = {.replica_count = 3, .replicas = {1, 2, 3}};
    s.peers[0].match = 0; /* the leader's own is not asked for */
    assert_true(membership_is_settled(s.peers, 3, 1, 110, 10, &place, PEERS_MAX));
    assert_false(membership_is_settled(s.peers, 3, 1, 111, 10, &place, PEERS_MAX));
    s.peers[2].role = GROUP_STANDBY;
    assert_false(membership_is_settled(s.peers, 3, 1, 100, 10, &place, PEERS_MAX));
}

TEST_MAIN(cmocka_unit_test(a_single_replica_becomes_three),
          cmocka_unit_test(a_replica_is_replaced_without_a_voter_less),
          cmocka_unit_test(a_leader_without_a_place_hands_over_before_it_goes),
          cmocka_unit_test(a_whole_shard_moves), cmocka_unit_test(what_lags_is_not_settled))
