#include "actor/egress_rules.h"

#include <string.h>

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

static void expect_rules(const char *json, enum err want, const char *says)
{
    struct buf doc = document(json);
    const char *detail = "";
    enum err err = egress_rules_check(buf_slice(&doc), &detail);
    if (err != want || strstr(detail, says) == NULL) {
        print_error("%s: %s\n", json, detail);
    }
    expect_err(err, want);
    assert_non_null(strstr(detail, says));
    buf_done(&doc);
}

static void rules_may_lack_each_of_their_members(void **state)
{
    const char *detail;
    (void)state;
    expect_err(egress_rules_check((struct slice){0}, &detail), ERR_OK);
    expect_rules("null", ERR_OK, "");
    expect_rules("{}", ERR_OK, "");
    expect_rules("{\"allow\":[\"a.test\",\"*.b.test:8443\"],\"requests_per_minute\":600}", ERR_OK,
                 "");
    expect_rules("{\"inject\":{\"a.test\":{\"Authorization\":\"Bearer {{secret:A}}\"}}}", ERR_OK,
                 "");
    expect_rules("{\"inject\":{\"*.a.test:8080\":{\"X-A\":\"plain\"}}}", ERR_OK, "");
}

static void what_is_no_rule_is_named(void **state)
{
    static const char *const rows[][2] = {
        {"[]", "egress is not"},
        {"{\"deny\":[]}", "egress has a member"},
        {"{\"allow\":\"a\"}", "list of hosts"},
        {"{\"allow\":[\"http://a\"]}", "pattern"},
        {"{\"requests_per_minute\":0}", "requests_per_minute"},
        {"{\"requests_per_minute\":1.5}", "requests_per_minute"},
        {"{\"requests_per_minute\":1000001}", "requests_per_minute"},
        {"{\"inject\":[]}", "inject is not"},
        {"{\"inject\":{\"*\":{\"A\":\"b\"}}}", "inject has a host"},
        {"{\"inject\":{\"*:80\":{\"A\":\"b\"}}}", "inject has a host"},
        {"{\"inject\":{\"a b\":{}}}", "inject has a host"},
        {"{\"inject\":{\"a\":[]}}", "inject has a host"},
        {"{\"inject\":{\"a\":{\"b c\":\"d\"}}}", "inject has a name"},
        {"{\"inject\":{\"a\":{\"Host\":\"d\"}}}", "inject has a name"},
        {"{\"inject\":{\"a\":{\"content-length\":\"1\"}}}", "inject has a name"},
        {"{\"inject\":{\"a\":{\"Transfer-Encoding\":\"chunked\"}}}", "inject has a name"},
        {"{\"inject\":{\"a\":{\"Proxy-Authorization\":\"x\"}}}", "inject has a name"},
        {"{\"inject\":{\"a\":{\"B\":1}}}", "inject has a value"},
        {"{\"inject\":{\"a\":{\"B\":\"\"}}}", "inject has a value"},
        {"{\"inject\":{\"a\":{\"B\":\"x\\r\\ny\"}}}", "inject has a value"},
        {"{\"inject\":{\"a\":{\"B\":\"{{secret:}}\"}}}", "inject has a value"},
        {"{\"inject\":{\"a\":{\"B\":\"{{secret:A\"}}}", "inject has a value"},
        {"{\"inject\":{\"a\":{\"B\":\"{{A}}\"}}}", "inject has a value"},
        {"{\"inject\":{\"a\":{\"B\":\"{{secret:A B}}\"}}}", "inject has a value"},
        {"{\"inject\":{\"a\":{\"B\":\"{{secret:A}}}}\"}}}", "inject has a value"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        expect_rules(rows[i][0], ERR_BAD_REQUEST, rows[i][1]);
    }
}

static void put_name(void *ctx, struct slice name)
{
    struct buf *seen = ctx;
    buf_append_slice(seen, name);
    buf_append_byte(seen, ' ');
}

static void secrets_are_told_once_each(void **state)
{
    struct buf doc = document("{\"inject\":{\"a\":{\"A\":\"{{secret:X}}:{{secret:Y}}\"},"
                              "\"b\":{\"A\":\"{{secret:Y}}\",\"B\":\"none\"}}}");
    struct buf seen = {0};
    (void)state;
    egress_rules_secrets(buf_slice(&doc), put_name, &seen);
    expect_str(buf_slice(&seen), "X Y ");
    buf_done(&seen);
    buf_done(&doc);
}

static void a_template_comes_in_its_parts(void **state)
{
    struct slice rest = SLICE("Bearer {{secret:A}}-{{secret:B}}!");
    struct slice text;
    struct slice secret;
    (void)state;
    assert_true(egress_template_next(&rest, &text, &secret));
    expect_str(text, "Bearer ");
    expect_str(secret, "A");
    assert_true(egress_template_next(&rest, &text, &secret));
    expect_str(text, "-");
    expect_str(secret, "B");
    assert_true(egress_template_next(&rest, &text, &secret));
    expect_str(text, "!");
    assert_int_equal(secret.len, 0);
    assert_false(egress_template_next(&rest, &text, &secret));
}

static void an_inject_host_covers_every_port_unless_it_names_one(void **state)
{
    (void)state;
    assert_true(egress_inject_matches(SLICE("a.test"), SLICE("a.test"), 8080));
    assert_true(egress_inject_matches(SLICE("*.test"), SLICE("a.test"), 1));
    assert_true(egress_inject_matches(SLICE("a.test:80"), SLICE("a.test"), 80));
    assert_false(egress_inject_matches(SLICE("a.test:80"), SLICE("a.test"), 443));
    assert_false(egress_inject_matches(SLICE("a.test"), SLICE("b.a.test"), 443));
}

TEST_MAIN(cmocka_unit_test(rules_may_lack_each_of_their_members),
          cmocka_unit_test(what_is_no_rule_is_named), cmocka_unit_test(secrets_are_told_once_each),
          cmocka_unit_test(a_template_comes_in_its_parts),
          cmocka_unit_test(an_inject_host_covers_every_port_unless_it_names_one))
