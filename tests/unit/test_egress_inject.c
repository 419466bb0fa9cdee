#include "actor/egress/inject.h"

#include <string.h>

#include "actor/egress/rate.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static struct buf document(const char *json)
{
    struct buf doc = {0};
    struct json_detail detail;
    expect_err(json_to_value(slice_of_str(json), VALUE_DEPTH_MAX, &doc, &detail), ERR_OK);
    return doc;
}

static void fields_are_those_of_the_host_with_their_secrets(void **state)
{
    struct buf inject =
        document("{\"a.test\":{\"Authorization\":\"Bearer {{secret:T}}\",\"X\":\"y\"},"
                 "\"*.test\":{\"x\":\"z\",\"W\":\"{{secret:T}}{{secret:U}}\"}}");
    struct buf secrets = document("{\"T\":{\"$bytes\":\"MTIz\"},\"U\":{\"$bytes\":\"NDU2\"}}");
    struct injection i;
    struct buf names = {0};
    char detail[INJECT_DETAIL_BYTES];
    (void)state;
    expect_err(
        injection_make(buf_slice(&inject), buf_slice(&secrets), SLICE("a.test"), 443, &i, detail),
        ERR_OK);
    const char *at = injection_next(&i, NULL);
    assert_string_equal(at, "Authorization: Bearer 123");
    at = injection_next(&i, at);
    assert_string_equal(at, "X: y"); /* the first one's */
    at = injection_next(&i, at);
    assert_string_equal(at, "W: 123456");
    assert_null(injection_next(&i, at));
    assert_true(injection_has(&i, SLICE("authorization")));
    assert_true(injection_has(&i, SLICE("x")));
    assert_false(injection_has(&i, SLICE("auth")));
    assert_int_equal(i.secret_count, 2);
    injection_put_names(&i, &names);
    assert_int_equal(value_count(buf_slice(&names)), 2);
    injection_done(&i);
    expect_err(
        injection_make(buf_slice(&inject), buf_slice(&secrets), SLICE("other"), 443, &i, detail),
        ERR_OK);
    assert_null(injection_next(&i, NULL));
    buf_done(&names);
    buf_done(&inject);
    buf_done(&secrets);
}

static void a_secret_that_is_not_set_is_an_error_that_names_it(void **state)
{
    struct buf inject = document("{\"a.test\":{\"A\":\"{{secret:GONE}}\"}}");
    struct injection i;
    char detail[INJECT_DETAIL_BYTES];
    (void)state;
    expect_err(
        injection_make(buf_slice(&inject), (struct slice){0}, SLICE("a.test"), 80, &i, detail),
        ERR_UNAVAILABLE);
    assert_string_equal(detail, "The secret GONE is not set.");
    assert_null(injection_next(&i, NULL));
    buf_done(&inject);
}

static void a_rate_lets_so_many_through_and_more_with_time(void **state)
{
    struct rate r = {0};
    (void)state;
    for (int i = 0; i < 60; i++) {
        assert_true(rate_take(&r, 60, 1000));
    }
    assert_false(rate_take(&r, 60, 1000));
    assert_false(rate_take(&r, 60, 1999));
    assert_true(rate_take(&r, 60, 2000));
    assert_false(rate_take(&r, 60, 2000));
    for (int i = 0; i < 60; i++) {
        assert_true(rate_take(&r, 60, 1000000));
    }
    assert_false(rate_take(&r, 60, 1000000));
}

TEST_MAIN(cmocka_unit_test(fields_are_those_of_the_host_with_their_secrets),
          cmocka_unit_test(a_secret_that_is_not_set_is_an_error_that_names_it),
          cmocka_unit_test(a_rate_lets_so_many_through_and_more_with_time))
