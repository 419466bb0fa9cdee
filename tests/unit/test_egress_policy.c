#include "actor/egress_policy.h"

#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static bool is_pattern(const char *pattern)
{
    const char *detail = NULL;
    enum err err = egress_pattern_check(slice_of_str(pattern), &detail);
    assert_true(err == ERR_OK || (err == ERR_BAD_REQUEST && detail != NULL));
    return err == ERR_OK;
}

static void a_pattern_is_a_host_a_host_with_its_port_or_all_below_a_name(void **state)
{
    (void)state;
    static const char *const good[] = {"example.com",   "EXAMPLE.com",     "api.example.com:8443",
                                       "localhost",     "a_b.example",     "x--y.z",
                                       "*.example.com", "*.example.com:1", "*",
                                       "*:65535",       "1.2.3.4",         "1.2.3.4:80",
                                       "[::1]",         "[::1]:443",       "[2001:DB8::1]:80",
                                       "1a.example",    "example.c0m",     "xn--bcher-kva.example"};
    static const char *const bad[] = {
        "",
        ".",
        "example.com.",
        ".example.com",
        "a..b",
        "exa mple.com",
        "example.com:",
        "example.com:0",
        "example.com:080",
        "example.com:65536",
        "example.com:http",
        "example.com/",
        "http://example.com",
        "user@example.com",
        "*.",
        "*.*.example.com",
        "a.*.com",
        "*example.com",
        "**",
        "*.1.2.3.4",
        "*.[::1]",
        "1.2.3",
        "1.2.3.4.5",
        "127.1",
        "0x7f.1",
        "2130706433",
        "01.2.3.4",
        "::1",
        "[::1",
        "::1]",
        "[1.2.3.4]",
        "[]",
        "[::1]x",
        "[::1]:",
        "[fe80::1%eth0]",
        "b\xc3\xbc"
        "cher.example",
        "a\nb",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa.com"};
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        if (!is_pattern(good[i])) {
            fail_msg("%s should be a pattern", good[i]);
        }
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (is_pattern(bad[i])) {
            fail_msg("%s should be no pattern", bad[i]);
        }
    }
}

struct row {
    const char *pattern;
    const char *host;
    uint16_t port;
    bool any_port;
    bool matches;
};

static void expect_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *r = &rows[i];
        if (egress_pattern_matches(slice_of_str(r->pattern), slice_of_str(r->host), r->port,
                                   r->any_port) != r->matches) {
            fail_msg("%s %s %s:%u", r->pattern, r->matches ? "should match" : "should not match",
                     r->host, r->port);
        }
    }
}

static void without_a_port_a_pattern_means_80_and_443_or_any_where_it_says_so(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"example.com", "example.com", 80, false, true},
        {"example.com", "example.com", 443, false, true},
        {"example.com", "example.com", 8080, false, false},
        {"example.com", "example.com", 22, false, false},
        {"example.com", "example.com", 22, true, true},
        {"example.com:8080", "example.com", 8080, false, true},
        {"example.com:8080", "example.com", 8080, true, true},
        {"example.com:8080", "example.com", 443, false, false},
        {"example.com:8080", "example.com", 443, true, false},
        {"*:8080", "example.com", 8080, false, true},
        {"*:8080", "example.com", 443, false, false},
        {"*", "example.com", 443, false, true},
        {"*", "example.com", 25, false, false},
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
}

static void a_name_matches_itself_and_a_star_all_below_it(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"example.com", "example.com", 443, false, true},
        {"Example.COM", "example.com", 443, false, true},
        {"example.com", "example.com.", 443, false, true},
        {"example.com", "example.com..", 443, false, false},
        {"example.com", "api.example.com", 443, false, false},
        {"example.com", "example.com.evil.example", 443, false, false},
        {"example.com", "notexample.com", 443, false, false},
        {"example.com", "example.co", 443, false, false},
        {"example.com", "", 443, false, false},
        {"*.example.com", "api.example.com", 443, false, true},
        {"*.example.com", "a.b.example.com", 443, false, true},
        {"*.example.com", "api.example.com.", 443, false, true},
        {"*.example.com", "example.com", 443, false, false},
        {"*.example.com", ".example.com", 443, false, false},
        {"*.example.com", "notexample.com", 443, false, false},
        {"*.example.com", "api.example.com.evil.example", 443, false, false},
        {"*.example.com", "evil.example/.example.com", 443, false, false},
        {"*.example.com", "evil.example\n.example.com", 443, false, false},
        {"*.com", "1.2.3.4", 443, false, false},
        {"no pattern", "no pattern", 443, true, false},
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
}

static void an_address_matches_in_each_of_its_forms(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"8.8.8.8", "8.8.8.8", 443, false, true},
        {"8.8.8.8", "8.8.8.9", 443, false, false},
        {"8.8.8.8", "8.8.8.8.example.com", 443, false, false},
        {"[2001:db8::1]", "[2001:db8::1]", 443, false, true},
        {"[2001:db8::1]", "[2001:0DB8:0:0::1]", 443, false, true},
        {"[2001:db8::1]", "[2001:db8::2]", 443, false, false},
        {"[2001:db8::1]:8080", "[2001:db8::1]", 8080, false, true},
        {"[2001:db8::1]", "2001:db8::1", 443, false, false},
        {"*", "8.8.8.8", 443, false, true},
        {"*", "[2001:db8::1]", 443, false, true},
        {"*", "[2001:db8::1", 443, false, false},
    };
    expect_rows(rows, sizeof rows / sizeof rows[0]);
}

/* Lists, as JSON */

static struct buf document(const char *json)
{
    struct buf doc = {0};
    struct json_detail detail;
    expect_err(json_to_value(slice_of_str(json), VALUE_DEPTH_MAX, &doc, &detail), ERR_OK);
    return doc;
}

static enum err check_list(const char *json)
{
    const char *detail = NULL;
    struct buf doc = document(json);
    enum err err = egress_list_check(buf_slice(&doc), &detail);
    assert_true(err == ERR_OK || detail != NULL);
    buf_done(&doc);
    return err;
}

static void a_list_is_an_array_of_patterns(void **state)
{
    (void)state;
    expect_err(check_list("[]"), ERR_OK);
    expect_err(check_list("[\"example.com\",\"*.example.org:8080\"]"), ERR_OK);
    expect_err(check_list("[\"example.com\",\"\"]"), ERR_BAD_REQUEST);
    expect_err(check_list("[1]"), ERR_BAD_REQUEST);
    expect_err(check_list("[null]"), ERR_BAD_REQUEST);
    expect_err(check_list("{}"), ERR_BAD_REQUEST);
    expect_err(check_list("\"example.com\""), ERR_BAD_REQUEST);
    expect_err(check_list("null"), ERR_BAD_REQUEST);
}

static void a_list_has_at_most_256_patterns(void **state)
{
    (void)state;
    for (uint32_t count = EGRESS_PATTERNS_MAX; count <= EGRESS_PATTERNS_MAX + 1; count++) {
        struct buf doc = {0};
        const char *detail;
        value_put_array(&doc, count);
        for (uint32_t i = 0; i < count; i++) {
            value_put_text(&doc, "example.com");
        }
        expect_err(egress_list_check(buf_slice(&doc), &detail),
                   count == EGRESS_PATTERNS_MAX ? ERR_OK : ERR_BAD_REQUEST);
        buf_done(&doc);
    }
}

static bool list_allows(const char *json, const char *host)
{
    struct buf doc = document(json);
    bool allows = egress_list_allows(buf_slice(&doc), slice_of_str(host), 443, false);
    buf_done(&doc);
    return allows;
}

static void nothing_is_allowed_but_what_a_pattern_says(void **state)
{
    (void)state;
    assert_false(list_allows("[]", "example.com"));
    assert_false(list_allows("{\"example.com\":\"example.com\"}", "example.com"));
    assert_false(list_allows("\"example.com\"", "example.com"));
    assert_false(list_allows("[1,null,[\"example.com\"]]", "example.com"));
    assert_true(list_allows("[\"example.org\",\"example.com\"]", "example.com"));
    assert_false(egress_list_allows((struct slice){0}, SLICE("example.com"), 443, true));
}

TEST_MAIN(cmocka_unit_test(a_pattern_is_a_host_a_host_with_its_port_or_all_below_a_name),
          cmocka_unit_test(without_a_port_a_pattern_means_80_and_443_or_any_where_it_says_so),
          cmocka_unit_test(a_name_matches_itself_and_a_star_all_below_it),
          cmocka_unit_test(an_address_matches_in_each_of_its_forms),
          cmocka_unit_test(a_list_is_an_array_of_patterns),
          cmocka_unit_test(a_list_has_at_most_256_patterns),
          cmocka_unit_test(nothing_is_allowed_but_what_a_pattern_says))
