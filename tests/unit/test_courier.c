#include "node/courier.h"

#include "actor/request_wire.h"
#include "base/mem.h"
#include "tests/lib/test.h"

enum { OWN = 1, OTHER = 2, THIRD = 3, SHARD = 5, TIMEOUT_MS = 1000 };

struct fixture {
    struct courier courier;
    struct parcel parcel;
    uint32_t leader;
    bool is_connected;
    uint32_t runs;
    uint32_t sends;
    uint32_t cancels;
    uint32_t sent_cancels;
    uint64_t sent_id;
    uint32_t sent_to;
    uint32_t timeout_ms; /* of the last attempt */
    uint32_t done;
};

static uint32_t leader_of(void *ctx, uint32_t shard)
{
    const struct fixture *f = ctx;
    assert_int_equal(shard, SHARD);
    return f->leader;
}

static void run(void *ctx, struct parcel *p, uint32_t timeout_ms)
{
    struct fixture *f = ctx;
    (void)p;
    f->runs++;
    f->timeout_ms = timeout_ms;
}

static void cancel(void *ctx, struct parcel *p)
{
    struct fixture *f = ctx;
    (void)p;
    f->cancels++;
}

static bool send_it(void *ctx, const struct parcel *p, uint32_t node, uint64_t id,
                    uint32_t timeout_ms)
{
    struct fixture *f = ctx;
    assert_non_null(p->request);
    if (!f->is_connected) {
        return false;
    }
    f->sends++;
    f->sent_to = node;
    f->sent_id = id;
    f->timeout_ms = timeout_ms;
    return true;
}

static void send_cancel(void *ctx, const struct parcel *p)
{
    struct fixture *f = ctx;
    assert_int_equal(p->node, f->sent_to);
    assert_int_equal(p->id, f->sent_id);
    f->sent_cancels++;
}

static const struct courier_hooks hooks = {.leader_of = leader_of,
                                           .run = run,
                                           .cancel = cancel,
                                           .send = send_it,
                                           .send_cancel = send_cancel};

static void on_done(struct parcel *p)
{
    struct fixture *f = CONTAINER_OF(p, struct fixture, parcel);
    assert_int_equal(p->request->stage, REQUEST_DONE);
    f->done++;
}

static void on_second_done(struct parcel *p)
{
    assert_int_equal(p->request->stage, REQUEST_DONE);
}

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    courier_init(&f->courier, &hooks, f, OWN);
    f->leader = OWN;
    f->is_connected = true;
    courier_tick(&f->courier, 10000);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    assert_int_equal(f->done, 1);
    assert_true(courier_next_ms(&f->courier) == UINT64_MAX);
    courier_done(&f->courier);
    request_free(f->parcel.request);
    mem_free(f);
    return 0;
}

static void submit(struct fixture *f, enum request_kind kind, bool has_key)
{
    struct request *r = request_new(kind);
    r->idempotency_key = has_key ? bytes_new(SLICE("key")) : NULL;
    f->parcel = (struct parcel){.request = r, .shard = SHARD, .done = on_done};
    courier_submit(&f->courier, &f->parcel, TIMEOUT_MS);
}

static void answer_here(struct fixture *f, enum err err)
{
    struct request *r = f->parcel.request;
    if (err != ERR_OK) {
        (void)reply_fail(&r->reply, err, NULL);
    }
    r->stage = REQUEST_DONE;
    courier_answered(&f->courier, &f->parcel);
}

static void answer_away(struct fixture *f, uint32_t node, uint64_t id, enum err err)
{
    struct reply reply;
    struct buf wire = {0};
    reply_init(&reply);
    if (err != ERR_OK) {
        (void)reply_fail(&reply, err, NULL);
    } else {
        reply.status = 204;
        reply.etag = 7;
    }
    reply_to_wire(&reply, &wire);
    courier_on_reply(&f->courier, node, id, buf_slice(&wire));
    buf_done(&wire);
    reply_clear(&reply);
}

static enum err outcome(const struct fixture *f)
{
    assert_int_equal(f->done, 1);
    return f->parcel.request->reply.err;
}

static void an_actor_of_this_node_is_asked_here(void **state)
{
    struct fixture *f = *state;
    submit(f, REQUEST_KV_PUT, false);
    assert_int_equal(f->runs, 1);
    assert_int_equal(f->timeout_ms, TIMEOUT_MS);
    assert_int_equal(f->done, 0);
    answer_here(f, ERR_OK);
    expect_err(outcome(f), ERR_OK);
    assert_int_equal(f->parcel.node, OWN);
}

static void an_actor_of_another_node_is_asked_there(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_PUT, false);
    assert_int_equal(f->sent_to, OTHER);
    answer_away(f, OTHER, f->sent_id, ERR_OK);
    expect_err(outcome(f), ERR_OK);
    assert_int_equal(f->parcel.request->reply.etag, 7);
    assert_int_equal(f->parcel.node, OTHER);
}

static void a_reply_of_another_node_or_attempt_is_nobodys(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_PUT, false);
    answer_away(f, THIRD, f->sent_id, ERR_OK);
    answer_away(f, OTHER, f->sent_id + 1, ERR_OK);
    assert_int_equal(f->done, 0);
    answer_away(f, OTHER, f->sent_id, ERR_CONFLICT);
    expect_err(outcome(f), ERR_CONFLICT);
}

static void without_an_owner_it_waits_for_one(void **state)
{
    struct fixture *f = *state;
    f->leader = COURIER_NODE_UNKNOWN;
    submit(f, REQUEST_KV_PUT, false);
    courier_tick(&f->courier, 10000 + COURIER_RETRY_MS);
    assert_int_equal(f->runs + f->sends, 0);
    f->leader = OTHER;
    courier_on_leaders(&f->courier);
    assert_int_equal(f->sends, 1);
    assert_int_equal(f->timeout_ms, TIMEOUT_MS - COURIER_RETRY_MS); /* what it has left */
    answer_away(f, OTHER, f->sent_id, ERR_OK);
    expect_err(outcome(f), ERR_OK);
}

static void without_an_owner_until_its_deadline_it_is_unavailable(void **state)
{
    struct fixture *f = *state;
    f->leader = COURIER_NODE_UNKNOWN;
    submit(f, REQUEST_KV_PUT, false);
    for (uint64_t now_ms = 10000; now_ms < 10000 + TIMEOUT_MS; now_ms += COURIER_RETRY_MS) {
        courier_tick(&f->courier, now_ms);
        assert_int_equal(f->done, 0);
    }
    courier_tick(&f->courier, 10000 + TIMEOUT_MS);
    expect_err(outcome(f), ERR_UNAVAILABLE);
}

static void without_a_connection_it_waits_for_one(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    f->is_connected = false;
    submit(f, REQUEST_KV_GET, false);
    f->is_connected = true;
    courier_tick(&f->courier, 10000 + COURIER_RETRY_MS);
    assert_int_equal(f->sends, 1);
    answer_away(f, OTHER, f->sent_id, ERR_OK);
    expect_err(outcome(f), ERR_OK);
}

static void requests_that_cannot_go_to_a_new_leader_wait_again(void **state)
{
    struct fixture *f = *state;
    struct parcel second = {
        .request = request_new(REQUEST_KV_GET), .shard = SHARD, .done = on_second_done};
    f->leader = COURIER_NODE_UNKNOWN;
    submit(f, REQUEST_KV_GET, false);
    courier_submit(&f->courier, &second, TIMEOUT_MS);
    f->leader = OTHER;
    f->is_connected = false;
    courier_on_leaders(&f->courier);
    assert_int_equal(f->courier.parked_count, 2);
    courier_cancel(&f->courier, &second);
    courier_cancel(&f->courier, &f->parcel);
    expect_err(outcome(f), ERR_CLOSED);
    request_free(second.request);
}

static void whoever_is_no_owner_any_more_is_asked_no_longer(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_PUT, false);
    f->leader = OWN;
    answer_away(f, OTHER, f->sent_id, ERR_NOT_OWNER);
    courier_tick(&f->courier, 10000 + COURIER_RETRY_MS);
    assert_int_equal(f->runs, 1);
    f->leader = THIRD;
    answer_here(f, ERR_UNAVAILABLE); /* deposed before it ran */
    courier_tick(&f->courier, 10000 + 2 * COURIER_RETRY_MS);
    assert_int_equal(f->sent_to, THIRD);
    answer_away(f, THIRD, f->sent_id, ERR_OK);
    expect_err(outcome(f), ERR_OK);
}

static void a_write_whose_owner_was_lost_is_in_doubt(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_PUT, false);
    courier_on_lost(&f->courier, THIRD);
    assert_int_equal(f->done, 0);
    courier_on_lost(&f->courier, OTHER);
    expect_err(outcome(f), ERR_OUTCOME_UNKNOWN);
}

static void a_read_whose_owner_was_lost_is_asked_again(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_GET, false);
    courier_on_lost(&f->courier, OTHER);
    assert_int_equal(f->done, 0);
    f->leader = OWN;
    courier_on_leaders(&f->courier);
    answer_here(f, ERR_OK);
    expect_err(outcome(f), ERR_OK);
}

static void a_write_with_a_key_whose_outcome_is_unknown_is_asked_again(void **state)
{
    struct fixture *f = *state;
    submit(f, REQUEST_TXN, true);
    answer_here(f, ERR_OUTCOME_UNKNOWN);
    assert_int_equal(f->done, 0);
    courier_tick(&f->courier, 10000 + COURIER_RETRY_MS);
    assert_int_equal(f->runs, 2);
    answer_here(f, ERR_OK);
    expect_err(outcome(f), ERR_OK);
}

/* The simulator found it: operation 33 of seed 326 was refused, and had been applied. */
static void a_doubt_outlives_later_attempts_that_did_nothing(void **state)
{
    struct fixture *f = *state;
    submit(f, REQUEST_TXN, true);
    answer_here(f, ERR_OUTCOME_UNKNOWN);
    f->leader = COURIER_NODE_UNKNOWN;
    courier_tick(&f->courier, 10000 + TIMEOUT_MS);
    expect_err(outcome(f), ERR_OUTCOME_UNKNOWN);
    request_free(f->parcel.request);

    static const enum err later[] = {ERR_OVERLOADED, ERR_TIMEOUT, ERR_VERSION_MISMATCH};
    static const enum err told[] = {ERR_OUTCOME_UNKNOWN, ERR_TIMEOUT_IN_DOUBT,
                                    ERR_VERSION_MISMATCH};
    for (size_t i = 0; i < sizeof later / sizeof later[0]; i++) {
        f->done = 0;
        f->leader = OWN;
        submit(f, REQUEST_TXN, true);
        answer_here(f, ERR_OUTCOME_UNKNOWN);
        courier_on_leaders(&f->courier);
        answer_here(f, later[i]);
        expect_err(outcome(f), told[i]);
        if (i + 1 < sizeof later / sizeof later[0]) {
            request_free(f->parcel.request);
        }
    }
}

static void a_read_that_is_repeated_is_not_in_doubt(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_GET, false);
    courier_on_lost(&f->courier, OTHER);
    f->leader = COURIER_NODE_UNKNOWN;
    courier_tick(&f->courier, 10000 + TIMEOUT_MS);
    expect_err(outcome(f), ERR_UNAVAILABLE);
}

static void a_write_whose_outcome_is_unknown_is_not_repeated(void **state)
{
    struct fixture *f = *state;
    submit(f, REQUEST_TXN, false);
    answer_here(f, ERR_OUTCOME_UNKNOWN);
    expect_err(outcome(f), ERR_OUTCOME_UNKNOWN);
}

static void an_owner_that_does_not_answer_in_time_leaves_a_write_in_doubt(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_PUT, false);
    courier_tick(&f->courier, 10000 + TIMEOUT_MS);
    assert_int_equal(f->done, 0); /* its own answer may be on the way */
    courier_tick(&f->courier, 10000 + TIMEOUT_MS + COURIER_GRACE_MS);
    expect_err(outcome(f), ERR_TIMEOUT_IN_DOUBT);
    assert_int_equal(f->sent_cancels, 1);
}

static void a_read_that_is_not_answered_in_time_is_not_in_doubt(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_LIST, false);
    courier_tick(&f->courier, 10000 + TIMEOUT_MS + COURIER_GRACE_MS);
    expect_err(outcome(f), ERR_TIMEOUT);
}

static void a_reply_that_does_not_decode_is_an_unknown_outcome(void **state)
{
    struct fixture *f = *state;
    f->leader = OTHER;
    submit(f, REQUEST_KV_PUT, false);
    courier_on_reply(&f->courier, OTHER, f->sent_id, SLICE("\x01nonsense"));
    expect_err(outcome(f), ERR_OUTCOME_UNKNOWN);
}

static void a_stop_lets_nothing_wait(void **state)
{
    struct fixture *f = *state;
    f->leader = COURIER_NODE_UNKNOWN;
    submit(f, REQUEST_KV_PUT, false);
    courier_stop(&f->courier);
    expect_err(outcome(f), ERR_UNAVAILABLE);
    request_free(f->parcel.request);
    f->done = 0;
    submit(f, REQUEST_KV_PUT, false);
    expect_err(outcome(f), ERR_UNAVAILABLE);
}

static void a_cancel_reaches_it_wherever_it_is(void **state)
{
    struct fixture *f = *state;
    submit(f, REQUEST_KV_PUT, false);
    courier_cancel(&f->courier, &f->parcel);
    assert_int_equal(f->cancels, 1);
    answer_here(f, ERR_CLOSED);
    expect_err(outcome(f), ERR_CLOSED);
    request_free(f->parcel.request);

    f->done = 0;
    f->leader = OTHER;
    submit(f, REQUEST_KV_PUT, false);
    courier_cancel(&f->courier, &f->parcel);
    assert_int_equal(f->sent_cancels, 1);
    expect_err(outcome(f), ERR_CLOSED);
    answer_away(f, OTHER, f->sent_id, ERR_OK); /* too late */
    request_free(f->parcel.request);

    f->done = 0;
    f->leader = COURIER_NODE_UNKNOWN;
    submit(f, REQUEST_KV_PUT, false);
    courier_cancel(&f->courier, &f->parcel);
    expect_err(outcome(f), ERR_CLOSED);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(an_actor_of_this_node_is_asked_here), TEST(an_actor_of_another_node_is_asked_there),
          TEST(a_reply_of_another_node_or_attempt_is_nobodys),
          TEST(without_an_owner_it_waits_for_one),
          TEST(without_an_owner_until_its_deadline_it_is_unavailable),
          TEST(without_a_connection_it_waits_for_one),
          TEST(requests_that_cannot_go_to_a_new_leader_wait_again),
          TEST(whoever_is_no_owner_any_more_is_asked_no_longer),
          TEST(a_write_whose_owner_was_lost_is_in_doubt),
          TEST(a_read_whose_owner_was_lost_is_asked_again),
          TEST(a_write_with_a_key_whose_outcome_is_unknown_is_asked_again),
          TEST(a_doubt_outlives_later_attempts_that_did_nothing),
          TEST(a_read_that_is_repeated_is_not_in_doubt),
          TEST(a_write_whose_outcome_is_unknown_is_not_repeated),
          TEST(an_owner_that_does_not_answer_in_time_leaves_a_write_in_doubt),
          TEST(a_read_that_is_not_answered_in_time_is_not_in_doubt),
          TEST(a_reply_that_does_not_decode_is_an_unknown_outcome), TEST(a_stop_lets_nothing_wait),
          TEST(a_cancel_reaches_it_wherever_it_is))
