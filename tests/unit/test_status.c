#include "node/status.h"

#include <string.h>

#include "base/mem.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

enum { SHARDS = 4, NOW_MS = 10000 };

struct fixture {
    struct board board;
    struct buf bytes;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    board_init(&f->board, SHARDS);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    board_done(&f->board);
    buf_done(&f->bytes);
    mem_free(f);
    return 0;
}

static enum err take(struct fixture *f)
{
    return status_take(buf_slice(&f->bytes), 2, &f->board, NOW_MS);
}

static void a_status_goes_to_the_board_as_it_was_said(void **state)
{
    struct fixture *f = *state;
    struct board_line line;
    struct board_shard said = {
        .shard = 3, .term = UINT64_MAX, .is_settled = true, .replica_count = 2};
    struct board_shard meta = {.shard = SHARD_META, .term = 1};
    said.replicas[0] = (struct board_replica){replica_id(UINT32_MAX, 7), GROUP_VOTER, 0};
    said.replicas[1] = (struct board_replica){replica_id(3, 8), GROUP_SPARE, UINT64_MAX};
    status_begin("h:1", false, 2, &f->bytes);
    status_put_lead(&said, &f->bytes);
    status_put_lead(&meta, &f->bytes);
    expect_err(take(f), ERR_OK);
    assert_true(board_find(&f->board, 3, NOW_MS, &line));
    assert_int_equal(line.leader, 2);
    assert_memory_equal(&line.said, &said, sizeof said);
    assert_true(board_find(&f->board, SHARD_META, NOW_MS, &line));
    assert_false(line.said.is_settled);
    assert_true(board_is_staying(&f->board, 2, NOW_MS));
}

static void a_node_that_stops_says_so(void **state)
{
    struct fixture *f = *state;
    status_begin("h:1", true, 0, &f->bytes);
    expect_err(take(f), ERR_OK);
    assert_true(board_is_alive(&f->board, 2, NOW_MS));
    assert_false(board_is_staying(&f->board, 2, NOW_MS));
}

static void what_is_missing_or_unknown_is_of_another_version(void **state)
{
    struct fixture *f = *state;
    value_put_map(&f->bytes, 3);
    value_put_text(&f->bytes, "news");
    value_put_array(&f->bytes, 0);
    value_put_text(&f->bytes, "peer");
    value_put_text(&f->bytes, "h:1");
    value_put_text(&f->bytes, "leads");
    value_put_array(&f->bytes, 0);
    expect_err(take(f), ERR_OK);
    assert_true(board_is_staying(&f->board, 2, NOW_MS));
}

/* A whole status, of which each byte is made another: it is taken or refused, and nothing is read beyond. */
static void a_status_with_any_byte_changed_or_cut_off_does_no_harm(void **state)
{
    struct fixture *f = *state;
    struct board_shard said = {.shard = 1, .term = 3, .replica_count = 1};
    status_begin("h:1", false, 1, &f->bytes);
    status_put_lead(&said, &f->bytes);
    size_t len = f->bytes.len;
    for (size_t at = 0; at < len; at++) {
        struct buf cut = {0};
        buf_append(&cut, f->bytes.data, at);
        expect_err(status_take(buf_slice(&cut), 2, &f->board, NOW_MS), ERR_CORRUPT);
        buf_done(&cut);
        for (unsigned change = 1; change < 256; change++) {
            f->bytes.data[at] ^= (uint8_t)change;
            enum err err = take(f);
            assert_true(err == ERR_OK || err == ERR_CORRUPT);
            f->bytes.data[at] ^= (uint8_t)change;
        }
    }
}

static void more_replicas_than_a_shard_can_have_are_refused(void **state)
{
    struct fixture *f = *state;
    struct board_line line;
    status_begin("h:1", false, 1, &f->bytes);
    value_put_map(&f->bytes, 4);
    value_put_text(&f->bytes, "shard");
    value_put_uint(&f->bytes, 0);
    value_put_text(&f->bytes, "term");
    value_put_uint(&f->bytes, 1);
    value_put_text(&f->bytes, "settled");
    value_put_bool(&f->bytes, true);
    value_put_text(&f->bytes, "replicas");
    value_put_array(&f->bytes, PLACEMENT_REPLICAS_MAX + 1);
    for (int i = 0; i <= PLACEMENT_REPLICAS_MAX; i++) {
        value_put_array(&f->bytes, 3);
        value_put_uint(&f->bytes, (uint64_t)i + 1);
        value_put_uint(&f->bytes, GROUP_VOTER);
        value_put_uint(&f->bytes, 0);
    }
    expect_err(take(f), ERR_CORRUPT);
    assert_false(board_find(&f->board, 0, NOW_MS, &line));
}

#define STATUS_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

TEST_MAIN(STATUS_TEST(a_status_goes_to_the_board_as_it_was_said),
          STATUS_TEST(a_node_that_stops_says_so),
          STATUS_TEST(what_is_missing_or_unknown_is_of_another_version),
          STATUS_TEST(a_status_with_any_byte_changed_or_cut_off_does_no_harm),
          STATUS_TEST(more_replicas_than_a_shard_can_have_are_refused))
