#include "node/order.h"

#include <string.h>

#include "rpc/value.h"
#include "tests/lib/test.h"

static void an_order_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct order o;
    struct order back;
    struct buf bytes = {0};
    order_init(&o, ORDER_DEPLOY);
    o.subject = bytes_new(SLICE("app"));
    o.body = bytes_new(SLICE("\x80"));
    o.has_asker = true;
    memset(o.asker_hash, 7, sizeof o.asker_hash);
    order_encode(&o, &bytes);
    expect_err(order_decode(buf_slice(&bytes), &back), ERR_OK);
    assert_int_equal(back.name, ORDER_DEPLOY);
    expect_str(bytes_slice(back.subject), "app");
    expect_slice(bytes_slice(back.body), SLICE("\x80"));
    assert_true(back.has_asker);
    assert_memory_equal(back.asker_hash, o.asker_hash, sizeof o.asker_hash);
    order_done(&back);
    order_done(&o);
    buf_done(&bytes);
}

/* Another node's outcome, as this one's order has it. */
static void take(const struct order *from, struct order *to)
{
    struct buf bytes = {0};
    order_init(to, from->name);
    outcome_encode(from, &bytes);
    expect_err(outcome_decode(buf_slice(&bytes), to), ERR_OK);
    buf_done(&bytes);
}

static void an_outcome_carries_its_document_and_the_version_that_shows_it(void **state)
{
    (void)state;
    struct order o;
    struct order back;
    order_init(&o, ORDER_ROLLBACK);
    o.status = 200;
    o.version = UINT64_C(1) << 40;
    value_put_nil(&o.document);
    take(&o, &back);
    expect_err(back.error.err, ERR_OK);
    assert_int_equal(back.status, 200);
    assert_int_equal(back.version, o.version);
    expect_slice(buf_slice(&back.document), SLICE("\xc0"));
    assert_null(back.error.limit.name);
    order_done(&back);
    order_done(&o);
}

static void an_outcome_that_refuses_names_the_limit(void **state)
{
    (void)state;
    struct order o;
    struct order back;
    order_init(&o, ORDER_DEPLOY);
    (void)order_refuse(&o, ERR_STORAGE_FULL, "Too %s.", "much");
    o.error.limit = (struct problem_limit){.name = "deployed_bytes", .value = 256};
    take(&o, &back);
    expect_err(back.error.err, ERR_STORAGE_FULL);
    assert_string_equal(back.error.detail, "Too much.");
    assert_string_equal(back.error.limit.name, "deployed_bytes");
    assert_int_equal(back.error.limit.value, 256);
    order_done(&back);
    order_done(&o);
}

/* A node of a former version says neither. */
static void an_outcome_without_version_and_limit_is_read(void **state)
{
    (void)state;
    static const char old[] = "\x84\xa3"
                              "err\xa2OK\xa6"
                              "detail\xa0\xa6status\xcc\xc9\xa8"
                              "document\xc4\x00";
    struct order o;
    order_init(&o, ORDER_JOIN_TOKEN);
    o.version = 7;
    expect_err(outcome_decode(slice_of(old, sizeof old - 1), &o), ERR_OK);
    assert_int_equal(o.status, 201);
    assert_int_equal(o.version, 0);
    assert_null(o.error.limit.name);
    order_done(&o);
}

static void what_makes_a_secret_or_a_version_is_not_ordered_twice(void **state)
{
    (void)state;
    assert_false(order_may_repeat(ORDER_TOKEN_CREATE));
    assert_false(order_may_repeat(ORDER_JOIN_TOKEN));
    assert_false(order_may_repeat(ORDER_DEPLOY));
    assert_false(order_may_repeat(ORDER_ROLLBACK));
    assert_true(order_may_repeat(ORDER_MEMBER_SAY));
}

TEST_MAIN(cmocka_unit_test(an_order_reads_back_as_it_was_written),
          cmocka_unit_test(an_outcome_carries_its_document_and_the_version_that_shows_it),
          cmocka_unit_test(an_outcome_that_refuses_names_the_limit),
          cmocka_unit_test(an_outcome_without_version_and_limit_is_read),
          cmocka_unit_test(what_makes_a_secret_or_a_version_is_not_ordered_twice))
