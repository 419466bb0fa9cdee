#include "node/agent_path.h"

#include "tests/lib/test.h"

static void names_in_kebab_case_are_as_clients_make_them(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"MyCounter", "my-counter"},
        {"COUNTER", "counter"},
        {"MY_COUNTER", "my-counter"},
        {"my_counter", "my-counter"},
        {"Counter", "counter"},
        {"counter", "counter"},
        {"HTTPAgent", "h-t-t-p-agent"},
        {"Agent2", "agent2"},
        {"My_Class", "my--class"},
        {"Trailing_", "trailing"},
        {"A", "a"},
        {"AB1", "ab1"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        if (!agent_path_is_kebab_of(slice_of_str(pairs[i][1]), slice_of_str(pairs[i][0]))) {
            fail_msg("%s is not %s", pairs[i][1], pairs[i][0]);
        }
    }
    assert_false(agent_path_is_kebab_of(SLICE("MyCounter"), SLICE("MyCounter")));
    assert_false(agent_path_is_kebab_of(SLICE("mycounter"), SLICE("MyCounter")));
    assert_false(agent_path_is_kebab_of(SLICE(""), SLICE("MyCounter")));
}

static void only_what_begins_so_is_an_agents_address(void **state)
{
    (void)state;
    assert_true(agent_path_is_one(SLICE("/agents/a/b")));
    assert_true(agent_path_is_one(SLICE("/agents/")));
    assert_false(agent_path_is_one(SLICE("/agents")));
    assert_false(agent_path_is_one(SLICE("/v1/agents/a/b")));
    assert_false(agent_path_is_one(SLICE("")));
}

static void a_class_that_nobody_has_deployed_is_not_found(void **state)
{
    (void)state;
    struct cluster_view *v = cluster_view_new();
    struct buf out = {0};
    const char *detail = "";
    expect_err(agent_path_resolve(v, SLICE("/agents/a/b"), SLICE(""), false, &out, &detail),
               ERR_NO_SUCH_CLASS);
    expect_err(agent_path_resolve(v, SLICE("/agents/a"), SLICE(""), false, &out, &detail),
               ERR_NOT_FOUND);
    expect_err(agent_path_resolve(v, SLICE("/agents/a/"), SLICE(""), false, &out, &detail),
               ERR_NOT_FOUND);
    expect_err(agent_path_resolve(v, SLICE("/agents/a/b"), SLICE("ns=%"), false, &out, &detail),
               ERR_BAD_REQUEST);
    assert_int_equal(out.len, 0);
    buf_done(&out);
    cluster_view_unref(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_in_kebab_case_are_as_clients_make_them),
        cmocka_unit_test(only_what_begins_so_is_an_agents_address),
        cmocka_unit_test(a_class_that_nobody_has_deployed_is_not_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
