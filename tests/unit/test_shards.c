#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "node/order.h"
#include "rpc/value.h"
#include "storage/batch.h"
#include "tests/lib/test.h"

/* Orders about shards, decided against views of the cluster. Shard 3 is on nodes 1, 2 and 3 of four. */

enum { SHARDS = 8, SHARD = 3, SEQUENCE = 9000 };

struct world {
    struct cluster_view *view;
    struct board board;
    struct order order;
    size_t put_count; /* of the last order, and what it put */
    struct place place;
    uint32_t next_sequence;
};

static void add(struct world *w, const char *name, struct buf *payload)
{
    expect_err(cluster_view_add(w->view, slice_of_str(name), buf_slice(payload)), ERR_OK);
    buf_done(payload);
}

static void add_member(struct world *w, uint32_t id, enum member_state state)
{
    struct cluster_member m = {
        .id = id, .state = state, .joined_ms = 1, .peer = "h:7421", .url = "http://h:1"};
    struct buf payload = {0};
    char name[MEMBER_NAME_BYTES + 1];
    member_record_name(id, name);
    member_encode(&m, &payload);
    add(w, name, &payload);
    board_hear(&w->board, id, "h:7421", false, clock_mono_ms());
}

static void add_place(struct world *w, const struct place *place)
{
    struct buf payload = {0};
    char name[PLACE_NAME_BYTES + 1];
    place_record_name(place->shard, name);
    place_encode(place, &payload);
    add(w, name, &payload);
}

static struct place usual_place(void)
{
    return (struct place){.shard = SHARD,
                          .replica_count = 3,
                          .replicas = {replica_id(1, 4), replica_id(2, 8200), replica_id(3, 8201)}};
}

static void say(struct world *w, bool is_settled)
{
    struct board_shard said = {
        .shard = SHARD, .term = 2, .is_settled = is_settled, .replica_count = 3};
    board_note(&w->board, 1, &said, clock_mono_ms());
}

static int setup(void **state)
{
    struct world *w = MEM_NEW(struct world);
    w->view = cluster_view_new();
    board_init(&w->board, SHARDS);
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    order_done(&w->order);
    board_done(&w->board);
    cluster_view_unref(w->view);
    mem_free(w);
    return 0;
}

static void make_four(struct world *w, const struct place *place)
{
    struct buf sequence = {0};
    for (uint32_t id = 1; id <= 4; id++) {
        add_member(w, id, MEMBER_UP);
    }
    sequence_encode(SEQUENCE, &sequence);
    add(w, SEQUENCE_RECORD, &sequence);
    add_place(w, place);
    say(w, true);
}

static void take_puts(struct world *w, struct records_changes *c)
{
    struct batch_reader r;
    struct batch_op op;
    struct slice name;
    const struct batch_header header = {.version = 1, .log_time_ms = 1};
    expect_err(batch_end(&c->builder, &header), ERR_OK);
    expect_err(batch_open(&r, buf_slice(&c->batch)), ERR_OK);
    while (r.ops_left > 0) {
        expect_err(batch_next(&r, &op), ERR_OK);
        expect_err(row_key_parse_cluster(op.key, &name), ERR_OK);
        w->put_count++;
        if (slice_equal_str(name, SEQUENCE_RECORD)) {
            expect_err(sequence_decode(op.payload, &w->next_sequence), ERR_OK);
        } else {
            expect_err(place_decode(name, op.payload, &w->place), ERR_OK);
        }
    }
}

typedef enum err decider(struct order *o, const struct cluster_view *v, struct records_changes *c);

static enum err decide(struct world *w, decider *d, const char *subject, struct buf *body)
{
    struct records_changes c = {0};
    order_done(&w->order);
    order_init(&w->order, ORDER_SHARD_MOVE);
    w->order.board = &w->board;
    w->order.shard_count = SHARDS;
    w->order.subject = subject != NULL ? bytes_new(slice_of_str(subject)) : NULL;
    w->order.body = body != NULL ? bytes_new(buf_slice(body)) : NULL;
    w->put_count = 0;
    batch_begin(&c.builder, &c.batch);
    enum err err = d(&w->order, w->view, &c);
    if (err == ERR_OK && c.builder.op_count > 0) {
        take_puts(w, &c);
    }
    buf_done(&c.batch);
    return err;
}

static enum err move(struct world *w, const char *shard, uint64_t from, uint64_t to)
{
    struct buf body = {0};
    value_put_map(&body, 2);
    value_put_text(&body, "from");
    value_put_uint(&body, from);
    value_put_text(&body, "to");
    value_put_uint(&body, to);
    enum err err = decide(w, decide_shard_move, shard, &body);
    buf_done(&body);
    return err;
}

static void expect_refused(struct world *w, enum err err, enum err wanted, const char *part)
{
    expect_err(err, wanted);
    if (strstr(w->order.error.detail, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, w->order.error.detail);
    }
}

static void a_replica_comes_and_the_other_is_told_to_go(void **state)
{
    struct world *w = *state;
    const struct place usual = usual_place();
    make_four(w, &usual);
    expect_err(move(w, "3", 2, 4), ERR_OK);
    assert_int_equal(w->order.status, 204);
    assert_int_equal(w->put_count, 2);
    assert_int_equal(w->place.replica_count, 4);
    assert_true(place_replica_on(&w->place, 4) == replica_id(4, SEQUENCE));
    assert_true(place_replica_on(&w->place, 2) == usual.replicas[1]);
    assert_int_equal(w->place.leaving, 2);
    assert_true(w->place.is_pinned);
    assert_int_equal(w->next_sequence, SEQUENCE + 1);
}

static void a_move_that_is_under_way_is_no_second_one(void **state)
{
    struct world *w = *state;
    struct place place = usual_place();
    place.replicas[place.replica_count++] = replica_id(4, 8300);
    place.leaving = 2;
    make_four(w, &place);
    expect_err(move(w, "3", 2, 4), ERR_OK);
    assert_int_equal(w->put_count, 0);
    expect_refused(w, move(w, "3", 1, 4), ERR_CONFLICT, "already");
}

static void what_cannot_be_moved_is_refused_with_the_reason(void **state)
{
    struct world *w = *state;
    const struct place usual = usual_place();
    make_four(w, &usual);
    expect_refused(w, move(w, "8", 2, 4), ERR_NOT_FOUND, "0 to 7");
    expect_refused(w, move(w, "x", 2, 4), ERR_NOT_FOUND, "no such shard");
    expect_refused(w, move(w, "3", 9, 4), ERR_NO_SUCH_MEMBER, "no member 9");
    expect_refused(w, move(w, "3", 2, 9), ERR_NO_SUCH_MEMBER, "no member 9");
    expect_refused(w, move(w, "3", 2, 3), ERR_CONFLICT, "on node 3 already");
    expect_refused(w, move(w, "3", 2, 2), ERR_CONFLICT, "on node 2 already");
    expect_refused(w, move(w, "3", 4, 4), ERR_CONFLICT, "no replica on node 4");
    expect_refused(w, move(w, "3", 0, 4), ERR_BAD_REQUEST, "from is not");
    expect_refused(w, move(w, "3", 2, UINT64_C(1) << 32), ERR_BAD_REQUEST, "to is not");
}

static void who_drains_or_is_down_takes_nothing(void **state)
{
    struct world *w = *state;
    const struct place usual = usual_place();
    make_four(w, &usual);
    add_member(w, 5, MEMBER_DRAINING);
    expect_refused(w, move(w, "3", 2, 5), ERR_CONFLICT, "draining");
    add_member(w, 6, MEMBER_REMOVED);
    expect_refused(w, move(w, "3", 2, 6), ERR_NO_SUCH_MEMBER, "no member 6");
    board_hear(&w->board, 4, "h:7421", true, clock_mono_ms());
    expect_refused(w, move(w, "3", 2, 4), ERR_CONFLICT, "stops");
}

static void a_shard_that_changes_is_left_alone(void **state)
{
    struct world *w = *state;
    const struct place usual = usual_place();
    make_four(w, &usual);
    say(w, false);
    expect_refused(w, move(w, "3", 2, 4), ERR_CONFLICT, "changing");
    assert_int_equal(w->put_count, 0);
}

static void a_balance_takes_the_pins_off_and_nothing_else(void **state)
{
    struct world *w = *state;
    struct place place = usual_place();
    place.is_pinned = true;
    place.leaving = 2;
    make_four(w, &place);
    expect_err(decide(w, decide_rebalance, NULL, NULL), ERR_OK);
    assert_int_equal(w->order.status, 204);
    assert_int_equal(w->put_count, 1);
    assert_false(w->place.is_pinned);
    assert_int_equal(w->place.leaving, 2);
    assert_memory_equal(w->place.replicas, place.replicas, sizeof place.replicas);
}

static void a_node_of_no_cluster_says_so(void **state)
{
    struct world *w = *state;
    expect_refused(w, move(w, "3", 1, 2), ERR_CONFLICT, "--cluster-init");
    expect_refused(w, decide(w, decide_rebalance, NULL, NULL), ERR_CONFLICT, "--cluster-init");
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

TEST_MAIN(TEST(a_replica_comes_and_the_other_is_told_to_go),
          TEST(a_move_that_is_under_way_is_no_second_one),
          TEST(what_cannot_be_moved_is_refused_with_the_reason),
          TEST(who_drains_or_is_down_takes_nothing), TEST(a_shard_that_changes_is_left_alone),
          TEST(a_balance_takes_the_pins_off_and_nothing_else), TEST(a_node_of_no_cluster_says_so))
