#include <yajl/yajl_tree.h>

#include "rpc/problem.h"

#include "rpc/value.h"
#include "tests/lib/test.h"

static struct buf problem(enum err err, struct slice detail, const struct problem_limit *limit)
{
    struct buf out = {0};
    problem_write(&out, err, detail, limit);
    return out;
}

static void a_problem_has_the_members_of_the_contract(void **state)
{
    (void)state;
    struct buf out = problem(ERR_NO_SUCH_KEY, SLICE("no key k"), NULL);
    expect_str(buf_slice(&out),
               "{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
               "\"detail\":\"no key k\",\"code\":\"no_such_key\",\"retryable\":false,"
               "\"maybe_applied\":false}");
    buf_done(&out);
}

static void a_problem_without_detail_says_the_text_of_its_error(void **state)
{
    (void)state;
    struct buf out = problem(ERR_TIMEOUT_IN_DOUBT, (struct slice){0}, NULL);
    expect_str(buf_slice(&out),
               "{\"type\":\"about:blank\",\"title\":\"Gateway Timeout\",\"status\":504,"
               "\"detail\":\"The deadline passed while the write was under way.\","
               "\"code\":\"timeout\",\"retryable\":true,\"maybe_applied\":true}");
    buf_done(&out);
}

static void a_problem_names_the_limit_that_was_met(void **state)
{
    (void)state;
    struct problem_limit limit = {"value_bytes", 2097152};
    struct buf out = problem(ERR_TOO_LARGE, SLICE("d"), &limit);
    buf_append_byte(&out, 0);
    char error[64];
    yajl_val json = yajl_tree_parse((const char *)out.data, error, sizeof error);
    assert_non_null(json);
    const char *name_path[] = {"limit", "name", NULL};
    const char *value_path[] = {"limit", "value", NULL};
    assert_string_equal(YAJL_GET_STRING(yajl_tree_get(json, name_path, yajl_t_string)),
                        "value_bytes");
    assert_int_equal(YAJL_GET_INTEGER(yajl_tree_get(json, value_path, yajl_t_number)), 2097152);
    yajl_tree_free(json);
    buf_done(&out);
}

static void what_a_client_wrote_is_escaped_in_the_detail(void **state)
{
    (void)state;
    struct buf out = problem(ERR_BAD_REQUEST, SLICE("a\"b\\c\n\x01 \xc3\xa9"), NULL);
    const char *want = "\"detail\":\"a\\\"b\\\\c\\n\\u0001 \xc3\xa9\"";
    assert_non_null(memmem(out.data, out.len, want, strlen(want)));
    buf_done(&out);
}

static void a_detail_that_is_not_utf8_is_replaced(void **state)
{
    (void)state;
    struct buf out = problem(ERR_BAD_REQUEST, SLICE("\xff\xfe"), NULL);
    const char *want = "\"detail\":\"The request is malformed.\"";
    assert_non_null(memmem(out.data, out.len, want, strlen(want)));
    buf_done(&out);
}

static void every_error_of_a_client_has_a_title(void **state)
{
    (void)state;
    for (int err = ERR_OK; err < ERR_COUNT; err++) {
        assert_string_not_equal(problem_title(err_info(err)->status), "");
    }
}

/* What stands in the way passes by itself: time, a queue, a full disk, an owner that is being chosen. */
static void only_what_passes_by_itself_is_retryable(void **state)
{
    (void)state;
    static const int statuses[] = {408, 429, 502, 503, 504, 507};
    for (int err = ERR_OK; err < ERR_COUNT; err++) {
        const struct err_info *info = err_info(err);
        bool passes = err == ERR_NO_MEMORY || err == ERR_BUSY || err == ERR_ACTOR_CUT_OFF;
        for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++) {
            passes = passes || info->status == statuses[i];
        }
        if (info->retryable != passes) {
            fail_msg("%s: retryable is %d", info->name, info->retryable);
        }
    }
}

static void only_a_write_that_was_under_way_may_have_been_applied(void **state)
{
    (void)state;
    for (int err = ERR_OK; err < ERR_COUNT; err++) {
        bool was_under_way = err == ERR_OUTCOME_UNKNOWN || err == ERR_TIMEOUT_IN_DOUBT ||
                             err == ERR_IO || err == ERR_ACTOR_CUT_OFF;
        if (err_info(err)->maybe_applied != was_under_way) {
            fail_msg("%s: maybe_applied is %d", err_info(err)->name, err_info(err)->maybe_applied);
        }
    }
}

static void what_code_threw_has_its_own_members(void **state)
{
    (void)state;
    struct buf thrown = {0};
    struct buf text = {0};
    value_put_map(&thrown, 5);
    value_put_text(&thrown, "name");
    value_put_text(&thrown, "TypeError");
    value_put_text(&thrown, "message");
    value_put_text(&thrown, "no");
    value_put_text(&thrown, "line");
    value_put_uint(&thrown, 3);
    value_put_text(&thrown, "column");
    value_put_text(&thrown, "four");
    value_put_text(&thrown, "other");
    value_put_uint(&thrown, 5);
    problem_write_exception(&text, ERR_ACTOR_EXCEPTION, SLICE(""), buf_slice(&thrown));
    expect_str(buf_slice(&text),
               "{\"type\":\"about:blank\",\"title\":\"Internal Server Error\",\"status\":500,"
               "\"detail\":\"no\",\"code\":\"actor_exception\",\"retryable\":false,"
               "\"maybe_applied\":false,\"name\":\"TypeError\",\"message\":\"no\",\"line\":3}");
    buf_done(&thrown);
    buf_done(&text);
}

TEST_MAIN(cmocka_unit_test(what_code_threw_has_its_own_members),
          cmocka_unit_test(only_what_passes_by_itself_is_retryable),
          cmocka_unit_test(only_a_write_that_was_under_way_may_have_been_applied),
          cmocka_unit_test(a_problem_has_the_members_of_the_contract),
          cmocka_unit_test(a_problem_without_detail_says_the_text_of_its_error),
          cmocka_unit_test(a_problem_names_the_limit_that_was_met),
          cmocka_unit_test(what_a_client_wrote_is_escaped_in_the_detail),
          cmocka_unit_test(a_detail_that_is_not_utf8_is_replaced),
          cmocka_unit_test(every_error_of_a_client_has_a_title))
