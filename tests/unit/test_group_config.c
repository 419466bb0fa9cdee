#include "storage/group_config.h"

#include <raft.h>

#include "base/mem.h"
#include "tests/lib/test.h"

#define REPLICA(node) (UINT64_C(1) + ((uint64_t)(node) << 32))

static struct group_config three(void)
{
    struct group_config c = {0};
    group_config_add(&c, REPLICA(1), GROUP_VOTER);
    group_config_add(&c, REPLICA(2), GROUP_STANDBY);
    group_config_add(&c, REPLICA(3), GROUP_SPARE);
    return c;
}

static void the_library_reads_what_we_write_and_we_what_it_writes(void **state)
{
    (void)state;
    struct group_config c = three();
    struct buf ours = {0};
    group_config_encode(&c, &ours);

    struct raft_buffer given = {.base = ours.data, .len = ours.len};
    struct raft_configuration theirs;
    struct raft_buffer again;
    assert_int_equal(raft_configuration_decode(&given, &theirs), 0);
    assert_int_equal(theirs.n, 3);
    assert_int_equal(theirs.servers[1].id, REPLICA(2));
    assert_int_equal(theirs.servers[0].role, RAFT_VOTER);
    assert_int_equal(theirs.servers[1].role, RAFT_STANDBY);
    assert_int_equal(theirs.servers[2].role, RAFT_SPARE);
    assert_int_equal(raft_configuration_encode(&theirs, &again), 0);
    expect_slice(slice_of(again.base, again.len), buf_slice(&ours));

    struct group_config back;
    expect_err(group_config_decode(slice_of(again.base, again.len), &back), ERR_OK);
    assert_int_equal(back.count, 3);
    assert_int_equal(back.members[2].replica, REPLICA(3));
    assert_int_equal(back.members[2].role, GROUP_SPARE);
    raft_free(again.base);
    raft_configuration_close(&theirs);
    buf_done(&ours);
}

/* The library's own decoder reads behind the end of such bytes. */
static void bytes_that_end_early_are_refused(void **state)
{
    (void)state;
    struct group_config c = three();
    struct group_config back;
    struct buf bytes = {0};
    group_config_encode(&c, &bytes);
    for (size_t len = 0; len < bytes.len; len++) {
        uint8_t *exact = mem_alloc(len + 1); /* sanitizers see a step over the end */
        memcpy(exact, bytes.data, len);
        expect_err(group_config_decode(slice_of(exact, len), &back), ERR_CORRUPT);
        mem_free(exact);
    }
    buf_done(&bytes);
}

static void a_changed_byte_is_refused_or_changes_one_role(void **state)
{
    (void)state;
    struct group_config c = three();
    struct buf bytes = {0};
    group_config_encode(&c, &bytes);
    size_t accepted = 0;
    for (size_t at = 0; at < bytes.len; at++) {
        for (int flip = 1; flip < 256; flip++) {
            struct group_config back;
            bytes.data[at] ^= (uint8_t)flip;
            if (group_config_decode(buf_slice(&bytes), &back) == ERR_OK) {
                accepted++;
                for (size_t i = 0; i < 3; i++) {
                    assert_int_equal(back.members[i].replica, c.members[i].replica);
                }
            }
            bytes.data[at] ^= (uint8_t)flip;
        }
    }
    assert_int_equal(accepted, 3 * 2); /* three members, two other roles */
    buf_done(&bytes);
}

static void another_format_is_told_apart_from_damage(void **state)
{
    (void)state;
    struct group_config c = three();
    struct group_config back;
    struct buf bytes = {0};
    group_config_encode(&c, &bytes);
    bytes.data[0] = 2;
    expect_err(group_config_decode(buf_slice(&bytes), &back), ERR_FORMAT);
    buf_done(&bytes);
}

static void a_replica_that_stands_there_twice_is_refused(void **state)
{
    (void)state;
    struct group_config c = three();
    struct group_config back;
    struct buf bytes = {0};
    c.members[1].replica = c.members[0].replica;
    group_config_encode(&c, &bytes);
    expect_err(group_config_decode(buf_slice(&bytes), &back), ERR_CORRUPT);
    buf_done(&bytes);
}

static void members_keep_their_order_when_one_goes(void **state)
{
    (void)state;
    struct group_config c = three();
    assert_int_equal(group_config_voters(&c), 1);
    group_config_find(&c, REPLICA(3))->role = GROUP_VOTER;
    assert_int_equal(group_config_voters(&c), 2);
    group_config_remove(&c, REPLICA(2));
    assert_int_equal(c.count, 2);
    assert_int_equal(c.members[0].replica, REPLICA(1));
    assert_int_equal(c.members[1].replica, REPLICA(3));
    assert_null(group_config_find(&c, REPLICA(2)));
}

TEST_MAIN(cmocka_unit_test(the_library_reads_what_we_write_and_we_what_it_writes),
          cmocka_unit_test(bytes_that_end_early_are_refused),
          cmocka_unit_test(a_changed_byte_is_refused_or_changes_one_role),
          cmocka_unit_test(another_format_is_told_apart_from_damage),
          cmocka_unit_test(a_replica_that_stands_there_twice_is_refused),
          cmocka_unit_test(members_keep_their_order_when_one_goes))
