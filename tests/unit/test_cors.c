#include "node/cors.h"

#include <stdio.h>

#include "tests/lib/test.h"
#include "tests/unit/http_request.h"

static bool is_known(const char *list, const char *origin)
{
    struct cors c;
    struct test_request r;
    const char *why = "";
    expect_err(cors_parse(&c, list, &why), ERR_OK);
    test_request_begin(&r, "GET", "/healthz");
    if (origin != NULL) {
        test_request_header(&r, "origin", origin);
    }
    bool found = cors_find(&c, &r.http) != NULL;
    cors_done(&c);
    return found;
}

static void an_origin_is_known_where_it_is_in_the_list_to_the_last_byte(void **state)
{
    (void)state;
    static const char list[] = "https://app.example.com, http://localhost:5173,http://[::1]:80";
    assert_true(is_known(list, "https://app.example.com"));
    assert_true(is_known(list, "http://localhost:5173"));
    assert_true(is_known(list, "http://[::1]:80"));
    assert_false(is_known(list, NULL));
    assert_false(is_known(list, ""));
    assert_false(is_known(list, "null"));
    assert_false(is_known(list, "http://app.example.com"));
    assert_false(is_known(list, "https://app.example.com:443"));
    assert_false(is_known(list, "https://app.example.com.evil.example"));
    assert_false(is_known(list, "https://app.example.co"));
    assert_false(is_known(list, "http://localhost"));
}

static void what_no_browser_says_as_an_origin_is_refused(void **state)
{
    (void)state;
    static const char *const lists[] = {
        "",
        ",",
        "*",
        "app.example.com",
        "https://",
        "https://a/",
        "https://A",
        "ftp://a",
        "http://a:",
        "http://a:0",
        "http://a:65536",
        "http://a:b",
        "http://[a",
        "http://[a]b",
        "http://u@a",
        "null",
        "http://a,,http://b c",
    };
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        struct cors c;
        const char *why = "";
        if (cors_parse(&c, lists[i], &why) != ERR_BAD_REQUEST || *why == '\0') {
            fail_msg("\"%s\" is taken", lists[i]);
        }
    }
}

static void a_list_has_a_bound(void **state)
{
    (void)state;
    char list[(CORS_ORIGINS_MAX + 1) * 16] = "";
    size_t len = 0;
    for (int i = 0; i <= CORS_ORIGINS_MAX; i++) {
        struct cors c;
        const char *why = "";
        len += (size_t)snprintf(list + len, sizeof list - len, "%shttp://a%d", i > 0 ? "," : "", i);
        enum err err = cors_parse(&c, list, &why);
        expect_err(err, i < CORS_ORIGINS_MAX ? ERR_OK : ERR_BAD_REQUEST);
        if (err == ERR_OK) {
            cors_done(&c);
        }
    }
}

static void a_preflight_says_which_method_will_come(void **state)
{
    (void)state;
    struct test_request r;
    test_request_begin(&r, "OPTIONS", "/v1/a/b/c");
    assert_false(cors_is_preflight(&r.http));
    test_request_header(&r, "access-control-request-method", "PUT");
    assert_true(cors_is_preflight(&r.http));
    r.http.method = SLICE("GET");
    assert_false(cors_is_preflight(&r.http));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_origin_is_known_where_it_is_in_the_list_to_the_last_byte),
        cmocka_unit_test(what_no_browser_says_as_an_origin_is_refused),
        cmocka_unit_test(a_list_has_a_bound),
        cmocka_unit_test(a_preflight_says_which_method_will_come),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
