#include "node/rota.h"

#include "tests/lib/test.h"

enum { PARTIES = 3, MEMBERS = 4 };

static struct rota rota;
static struct rota_party parties[PARTIES];
static struct rota_member members[PARTIES][MEMBERS];

static int open_world(void **state)
{
    (void)state;
    rota_init(&rota);
    for (int p = 0; p < PARTIES; p++) {
        rota_party_init(&parties[p]);
        for (int m = 0; m < MEMBERS; m++) {
            rota_member_init(&members[p][m]);
        }
    }
    return 0;
}

static void add(int party, int member)
{
    rota_add(&rota, &parties[party], &members[party][member]);
}

static void expect_next(int party, int member)
{
    assert_ptr_equal(rota_next(&rota), &members[party][member]);
}

static void expect_none(void)
{
    assert_true(rota_is_empty(&rota));
    assert_null(rota_next(&rota));
}

static void members_of_one_party_come_in_their_order(void **state)
{
    (void)state;
    add(0, 2);
    add(0, 0);
    add(0, 1);
    expect_next(0, 2);
    expect_next(0, 0);
    expect_next(0, 1);
    expect_none();
}

static void parties_take_turns_however_many_members_wait(void **state)
{
    (void)state;
    for (int m = 0; m < MEMBERS; m++) {
        add(0, m);
    }
    add(1, 0);
    add(2, 0);
    add(2, 1);
    expect_next(0, 0);
    expect_next(1, 0);
    expect_next(2, 0);
    expect_next(0, 1);
    expect_next(2, 1);
    expect_next(0, 2);
    expect_next(0, 3);
    expect_none();
}

static void one_that_waits_keeps_its_place_when_added_again(void **state)
{
    (void)state;
    add(0, 0);
    add(0, 1);
    add(0, 0);
    expect_next(0, 0);
    expect_next(0, 1);
    expect_none();
}

static void one_that_was_served_waits_behind_the_others(void **state)
{
    (void)state;
    add(0, 0);
    add(0, 1);
    add(1, 0);
    expect_next(0, 0);
    add(0, 0);
    expect_next(1, 0);
    add(1, 0);
    expect_next(0, 1);
    expect_next(1, 0);
    expect_next(0, 0);
    expect_none();
}

static void one_that_leaves_is_not_called(void **state)
{
    (void)state;
    add(0, 0);
    add(1, 0);
    add(1, 1);
    rota_remove(&parties[0], &members[0][0]);
    rota_remove(&parties[1], &members[1][0]);
    rota_remove(&parties[2], &members[2][0]); /* did not wait */
    expect_next(1, 1);
    expect_none();
    add(0, 0);
    expect_next(0, 0);
}

#define T(name) cmocka_unit_test_setup(name, open_world)

TEST_MAIN(T(members_of_one_party_come_in_their_order),
          T(parties_take_turns_however_many_members_wait),
          T(one_that_waits_keeps_its_place_when_added_again),
          T(one_that_was_served_waits_behind_the_others), T(one_that_leaves_is_not_called))
