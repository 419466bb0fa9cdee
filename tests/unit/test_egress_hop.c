#include "actor/egress/hop.h"

#include <string.h>

#include "actor/egress/target.h"
#include "tests/lib/test.h"

/* Redirects */

static void a_redirect_keeps_or_changes_method_and_body_as_fetch_says(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        uint32_t status;
        const char *then;
        bool sends_body;
    } rows[] = {
        {"GET", 301, "GET", true},       {"GET", 302, "GET", true},
        {"GET", 303, "GET", true},       {"GET", 307, "GET", true},
        {"HEAD", 303, "HEAD", true},     {"HEAD", 301, "HEAD", true},
        {"POST", 301, "GET", false},     {"POST", 302, "GET", false},
        {"POST", 303, "GET", false},     {"POST", 307, "POST", true},
        {"POST", 308, "POST", true},     {"PUT", 301, "PUT", true},
        {"PUT", 302, "PUT", true},       {"PUT", 303, "GET", false},
        {"DELETE", 302, "DELETE", true}, {"DELETE", 303, "GET", false},
        {"PATCH", 308, "PATCH", true},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hop h;
        const char *detail;
        expect_err(hop_init(&h, slice_of_str(rows[i].method), &detail), ERR_OK);
        expect_err(hop_redirect(&h, rows[i].status, true), ERR_OK);
        assert_string_equal(h.method, rows[i].then);
        assert_int_equal(h.sends_body, rows[i].sends_body);
        assert_true(h.sends_credentials);
    }
}

static void credentials_do_not_go_to_another_origin_and_do_not_come_back(void **state)
{
    (void)state;
    struct hop h;
    const char *detail;
    expect_err(hop_init(&h, SLICE("GET"), &detail), ERR_OK);
    expect_err(hop_redirect(&h, 302, true), ERR_OK);
    assert_true(h.sends_credentials);
    expect_err(hop_redirect(&h, 302, false), ERR_OK);
    assert_false(h.sends_credentials);
    expect_err(hop_redirect(&h, 302, true), ERR_OK);
    assert_false(h.sends_credentials);
}

static void a_21st_redirect_is_one_too_many(void **state)
{
    (void)state;
    struct hop h;
    const char *detail;
    expect_err(hop_init(&h, SLICE("GET"), &detail), ERR_OK);
    for (int i = 0; i < 20; i++) {
        expect_err(hop_redirect(&h, 302, true), ERR_OK);
    }
    expect_err(hop_redirect(&h, 302, true), ERR_UNAVAILABLE);
}

static void five_statuses_are_redirects(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (uint32_t status = 100; status < 1000; status++) {
        count += hop_is_redirect(status) ? 1 : 0;
    }
    assert_int_equal(count, 5);
    assert_false(hop_is_redirect(304) || hop_is_redirect(300) || hop_is_redirect(305));
}

static void a_method_is_a_token_and_opens_no_tunnel(void **state)
{
    (void)state;
    static const char *const good[] = {"GET", "PURGE", "patch", "M-SEARCH", "x"};
    static const char *const bad[] = {
        "",        "GET ",  "GE T",  "GET\r\n",    "CONNECT",
        "connect", "TRACE", "Track", "G\xc3\x89T", "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};
    struct hop h;
    const char *detail;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        expect_err(hop_init(&h, slice_of_str(good[i]), &detail), ERR_OK);
        assert_string_equal(h.method, good[i]);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        detail = NULL;
        expect_err(hop_init(&h, slice_of_str(bad[i]), &detail), ERR_BAD_REQUEST);
        assert_non_null(detail);
    }
}

static void what_had_no_answer_is_asked_again_only_where_that_changes_nothing(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        bool is_idempotent;
    } rows[] = {{"GET", true},     {"HEAD", true},  {"PUT", true},    {"DELETE", true},
                {"OPTIONS", true}, {"POST", false}, {"PATCH", false}, {"PURGE", false}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct hop h;
        const char *detail;
        expect_err(hop_init(&h, slice_of_str(rows[i].method), &detail), ERR_OK);
        assert_int_equal(hop_is_idempotent(&h), rows[i].is_idempotent);
    }
}

/* Targets */

static void a_target_is_read_in_its_parts(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        const char *host;
        uint16_t port;
        const char *path;
        const char *told;
    } rows[] = {
        {"http://example.com", "example.com", 80, "/", "http://example.com/"},
        {"https://Example.COM/a?b=c#d", "example.com", 443, "/a", "https://Example.COM/a?b=c"},
        {"https://example.com:8443/", "example.com", 8443, "/", "https://example.com:8443/"},
        {"http://127.1/", "127.0.0.1", 80, "/", NULL},
        {"http://2130706433/", "127.0.0.1", 80, "/", NULL},
        {"http://0x7f000001/", "127.0.0.1", 80, "/", NULL},
        {"http://[::1]:81/", "[::1]", 81, "/", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct target t;
        const char *detail = NULL;
        expect_err(target_parse(slice_of_str(rows[i].url), &t, &detail), ERR_OK);
        assert_string_equal(t.host, rows[i].host);
        assert_string_equal(t.path, rows[i].path);
        assert_int_equal(t.port, rows[i].port);
        if (rows[i].told != NULL) {
            assert_string_equal(t.url, rows[i].told);
        }
        target_done(&t);
    }
}

static void a_url_that_is_none_or_says_more_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "example.com",
                                      "/a",
                                      "//example.com/",
                                      "http://",
                                      "http:///path",
                                      "https:///example.com/",
                                      "ftp://example.com/",
                                      "file:///etc/passwd",
                                      "gopher://example.com/",
                                      "dict://example.com/",
                                      "http://user@example.com/",
                                      "http://user:word@example.com/",
                                      "http://:word@example.com/",
                                      "http://exa mple.com/",
                                      "http://example.com/a b",
                                      "http://example.com/\n",
                                      "http://example.com:0/",
                                      "http://example.com:65536/",
                                      "http://example.com:x/",
                                      "http://[fe80::1%25eth0]/",
                                      "http://[::1/",
                                      "http://allowed.example\\@evil.example/",
                                      "http://\xc3\xa9.example/",
                                      "http://example.com/\xc3\xa9"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct target t;
        const char *detail = NULL;
        if (target_parse(slice_of_str(bad[i]), &t, &detail) != ERR_BAD_REQUEST) {
            fail_msg("%s should be refused", bad[i]);
        }
        assert_non_null(detail);
    }
}

static void a_location_is_read_from_where_it_was_given(void **state)
{
    (void)state;
    static const struct {
        const char *location;
        const char *url; /* NULL: it is refused */
        bool is_same_origin;
    } rows[] = {
        {"/x", "https://a.example:8443/x", true},
        {"x", "https://a.example:8443/dir/x", true},
        {"../x?y", "https://a.example:8443/x?y", true},
        {"?q", "https://a.example:8443/dir/page?q", true},
        {"#f", "https://a.example:8443/dir/page", true},
        {"https://A.example:8443/z", "https://A.example:8443/z", true},
        {"https://a.example/", "https://a.example/", false},
        {"http://a.example:8443/", "http://a.example:8443/", false},
        {"//b.example/x", "https://b.example/x", false},
        {"http://127.0.0.1/", "http://127.0.0.1/", false},
        {"/caf\xc3\xa9", "https://a.example:8443/caf%c3%a9", true},
        {"", NULL, false},
        {"//caf\xc3\xa9.example/", NULL, false},
        {"http://\xff/", NULL, false},
        {"file:///etc/passwd", NULL, false},
        {"http://u:p@a.example/", NULL, false},
        {"http:///x", NULL, false},
        {"/a\x01"
         "b",
         NULL, false},
        {"\\\\evil.example/", NULL, false},
    };
    struct target from;
    const char *detail;
    expect_err(target_parse(SLICE("https://a.example:8443/dir/page"), &from, &detail), ERR_OK);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct target t;
        enum err err = target_redirect(&from, slice_of_str(rows[i].location), &t, &detail);
        expect_err(err, rows[i].url != NULL ? ERR_OK : ERR_BAD_REQUEST);
        if (err == ERR_OK) {
            if (strcasecmp(t.url, rows[i].url) != 0) {
                fail_msg("%s leads to %s", rows[i].location, t.url);
            }
            assert_int_equal(target_is_same_origin(&from, &t), rows[i].is_same_origin);
            target_done(&t);
        }
    }
    target_done(&from);
}

static void a_private_address_is_seen_in_each_of_its_forms(void **state)
{
    (void)state;
    static const struct {
        const char *url;
        bool is_private;
    } rows[] = {
        {"http://127.0.0.1/", true},         {"http://127.1/", true},
        {"http://0177.0.0.1/", true},        {"http://2130706433/", true},
        {"http://10.1.2.3/", true},          {"http://169.254.169.254/", true},
        {"http://168.63.129.16/", true},     {"http://192.0.0.192/", true},
        {"http://198.18.0.1/", true},        {"http://[::1]/", true},
        {"http://[::ffff:10.0.0.1]/", true}, {"http://[fd00:ec2::254]/", true},
        {"http://8.8.8.8/", false},          {"http://[2606:4700::1111]/", false},
        {"http://localhost/", false}, /* a name: its addresses are looked at when they are connected to */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct target t;
        const char *detail;
        expect_err(target_parse(slice_of_str(rows[i].url), &t, &detail), ERR_OK);
        if (target_is_private(&t) != rows[i].is_private) {
            fail_msg("%s", rows[i].url);
        }
        target_done(&t);
    }
}

TEST_MAIN(cmocka_unit_test(a_redirect_keeps_or_changes_method_and_body_as_fetch_says),
          cmocka_unit_test(credentials_do_not_go_to_another_origin_and_do_not_come_back),
          cmocka_unit_test(a_21st_redirect_is_one_too_many),
          cmocka_unit_test(five_statuses_are_redirects),
          cmocka_unit_test(a_method_is_a_token_and_opens_no_tunnel),
          cmocka_unit_test(what_had_no_answer_is_asked_again_only_where_that_changes_nothing),
          cmocka_unit_test(a_target_is_read_in_its_parts),
          cmocka_unit_test(a_url_that_is_none_or_says_more_is_refused),
          cmocka_unit_test(a_location_is_read_from_where_it_was_given),
          cmocka_unit_test(a_private_address_is_seen_in_each_of_its_forms))
