#include "node/access.h"

#include <stdio.h>

#include "node/accept.h"
#include "tests/lib/test.h"
#include "tests/unit/http_request.h"

static bool is_secure;

static enum err check(const char *authority, const char *origin)
{
    struct test_request r;
    const struct cluster_view without_tokens = {.needs_tokens = false};
    test_request_begin(&r, "GET", "/healthz");
    r.http.is_secure = is_secure;
    r.http.authority = slice_of_str(authority);
    if (origin != NULL) {
        test_request_header(&r, "origin", origin);
    }
    return access_check_origin(&without_tokens, &r.http, false);
}

static void local_hosts_are_answered(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "localhost",         "localhost:7420", "LocalHost",   "a.localhost", "a.b.localhost:1",
        "127.0.0.1",         "127.0.0.1:7420", "127.255.1.2", "[::1]",       "[::1]:7420",
        "console.localhost", "127.0.0.1:0",    "[::1]:65535",
    };
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        if (check(hosts[i], NULL) != ERR_OK) {
            fail_msg("%s is refused", hosts[i]);
        }
    }
}

/* A page whose name resolves to this machine must not be able to use it (DNS rebinding). */
static void other_hosts_are_refused(void **state)
{
    (void)state;
    static const char *const hosts[] = {
        "",
        "example.com",
        "localhost.example.com",
        "notlocalhost",
        ".localhost",
        "128.0.0.1",
        "127.0.0.1.example.com",
        "127.1",
        "0127.0.0.1",
        "127.0.0.1:port",
        "127.0.0.1:65536",
        "localhost:",
        "localhost:1:2",
        "[::1",
        "[::2]",
        "::1",
        "[::1]x",
        "[::1]x:1",
        "0.0.0.0",
        "192.168.0.1:7420",
        "localhost@example.com",
    };
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        if (check(hosts[i], NULL) == ERR_OK) {
            fail_msg("\"%s\" is answered", hosts[i]);
        }
    }
}

static void a_page_of_our_own_may_ask_and_a_foreign_one_may_not(void **state)
{
    (void)state;
    expect_err(check("localhost:7420", "http://localhost:7420"), ERR_OK);
    expect_err(check("[::1]:7420", "http://[::1]:7420"), ERR_OK);
    static const char *const foreign[] = {
        "null",
        "",
        "http://example.com",
        "http://localhost",
        "http://localhost:7421",
        "https://localhost:7420",
        "http://localhost:7420.example.com",
        "http://localhost:7420/",
    };
    for (size_t i = 0; i < sizeof foreign / sizeof foreign[0]; i++) {
        expect_err(check("localhost:7420", foreign[i]), ERR_FORBIDDEN);
    }
}

/* With tokens */

static const char secret[] = "dm_abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq";

static struct cluster_view *view_with(uint32_t scopes, const char *ns, const char *actor)
{
    struct cluster_view *v = cluster_view_new();
    struct token t = {.scopes = scopes, .created_ms = 1000, .expires_ms = 5000};
    struct buf record = {0};
    char name[TOKEN_NAME_BYTES + 1];
    (void)snprintf(t.ns, sizeof t.ns, "%s", ns);
    token_hash(slice_of_str(secret), t.hash);
    if (actor != NULL) {
        expect_err(token_set_actor(&t, slice_of_str(actor)), ERR_OK);
    }
    token_record_name(&t, name);
    token_encode(&t, &record);
    expect_err(cluster_view_add(v, slice_of_str(name), buf_slice(&record)), ERR_OK);
    buf_done(&record);
    v->needs_tokens = true;
    v->has_admin = true;
    return v;
}

static enum err ask(const struct cluster_view *v, const char *method, const char *path,
                    const char *authorization, uint64_t wall_ms)
{
    struct test_request r;
    struct route route;
    const struct token *token;
    const char *detail = NULL;
    test_request_begin(&r, method, path);
    r.http.authority = SLICE("example.com");
    if (authorization != NULL) {
        test_request_header(&r, "authorization", authorization);
    }
    expect_err(route_find(slice_of_str(method), slice_of_str(path), &route), ERR_OK);
    enum err err = access_check_origin(v, &r.http, false);
    if (err == ERR_OK) {
        err = access_check_token(v, &r.http, &route, wall_ms, &token, &detail);
    }
    if (err != ERR_OK) {
        assert_non_null(detail);
    }
    return err;
}

static void a_token_is_read_by_the_grammar_of_bearer(void **state)
{
    (void)state;
    struct cluster_view *v = view_with(SCOPE_CALL, "ns", NULL);
    char text[128];
    static const struct {
        const char *format;
        enum err err;
    } rows[] = {
        {"Bearer %s", ERR_OK},
        {"bearer   %s", ERR_OK},
        {"BEARER %s", ERR_OK},
        {"Bearer%s", ERR_UNAUTHENTICATED},
        {"Basic %s", ERR_UNAUTHENTICATED},
        {"%s", ERR_UNAUTHENTICATED},
        {"Bearer %sx", ERR_UNAUTHENTICATED},
        {"Bearer %s ", ERR_UNAUTHENTICATED},
        {"Bearer", ERR_UNAUTHENTICATED},
        {"Bearer ", ERR_UNAUTHENTICATED},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
#pragma GCC diagnostic ignored "-Wformat-extra-args"
        (void)snprintf(text, sizeof text, rows[i].format, secret);
#pragma GCC diagnostic pop
        if (ask(v, "GET", "/v1/ns/Store/a/kv/k", text, 1000) != rows[i].err) {
            fail_msg("\"%s\"", text);
        }
    }
    expect_err(ask(v, "GET", "/v1/ns/Store/a/kv/k", NULL, 1000), ERR_UNAUTHENTICATED);
    cluster_view_unref(v);
}

static void a_token_opens_its_scopes_in_its_namespace_until_it_expires(void **state)
{
    (void)state;
    static const char bearer[] = "Bearer dm_abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq";
    static const struct {
        uint32_t scopes;
        const char *ns;
        const char *method;
        const char *path;
        enum err err;
    } rows[] = {
        {SCOPE_CALL, "ns", "PUT", "/v1/ns/Store/a/kv/k", ERR_OK},
        {SCOPE_CALL, "ns", "PUT", "/v1/%6es/Store/a/kv/k", ERR_OK},
        {SCOPE_CALL, "ns", "PUT", "/v1/ns2/Store/a/kv/k", ERR_FORBIDDEN},
        {SCOPE_CALL, "ns", "PUT", "/v1/n/Store/a/kv/k", ERR_FORBIDDEN},
        {SCOPE_CALL, "*", "PUT", "/v1/ns2/Store/a/kv/k", ERR_OK},
        {SCOPE_CALL, "ns", "PUT", "/v1/*/Store/a/kv/k", ERR_FORBIDDEN},
        {SCOPE_INSPECT, "ns", "PUT", "/v1/ns/Store/a/kv/k", ERR_FORBIDDEN},
        {SCOPE_DEPLOY, "ns", "PUT", "/v1/ns", ERR_OK},
        {SCOPE_DEPLOY, "ns", "PUT", "/v1/other", ERR_FORBIDDEN},
        {SCOPE_DEPLOY, "ns", "GET", "/v1/ns", ERR_OK},
        {SCOPE_DEPLOY, "ns", "GET", "/v1/ns/versions", ERR_OK},
        {SCOPE_DEPLOY, "ns", "POST", "/v1/ns/rollback", ERR_OK},
        {SCOPE_CALL, "ns", "GET", "/v1/ns", ERR_FORBIDDEN},
        {SCOPE_INSPECT, "ns", "GET", "/v1/ns/versions", ERR_FORBIDDEN},
        {SCOPE_CALL | SCOPE_INSPECT | SCOPE_ADMIN, "ns", "POST", "/v1/ns/rollback", ERR_FORBIDDEN},
        {SCOPE_CALL, "ns", "PUT", "/v1/ns", ERR_FORBIDDEN},
        {SCOPE_SANDBOX, "ns", "GET", "/v1/ns/Store/a/sandboxes/s", ERR_OK},
        {SCOPE_CALL, "ns", "GET", "/v1/ns/Store/a/sandboxes/s", ERR_FORBIDDEN},
        {SCOPE_ADMIN, "ns", "GET", "/admin/v1/cluster", ERR_OK},
        {SCOPE_ADMIN, "ns", "GET", "/admin/v1/namespaces/ns/actors", ERR_OK},
        {SCOPE_ADMIN, "ns", "GET", "/admin/v1/namespaces/other/actors", ERR_FORBIDDEN},
        {SCOPE_CALL, "*", "GET", "/admin/v1/cluster", ERR_FORBIDDEN},
        {SCOPE_CALL, "*", "GET", "/metrics", ERR_FORBIDDEN},
        {SCOPE_INSPECT, "ns", "GET", "/metrics", ERR_OK},
        {SCOPE_CALL, "ns", "GET", "/w/ns/x", ERR_OK},
        {SCOPE_CALL, "ns", "GET", "/w/other/x", ERR_FORBIDDEN},
        {SCOPE_ADMIN, "ns", "GET", "/v1/ns/Store/a/kv/k", ERR_FORBIDDEN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cluster_view *v = view_with(rows[i].scopes, rows[i].ns, NULL);
        if (ask(v, rows[i].method, rows[i].path, bearer, 4999) != rows[i].err) {
            fail_msg("row %zu: %s %s", i, rows[i].method, rows[i].path);
        }
        expect_err(ask(v, rows[i].method, rows[i].path, bearer, 5000), ERR_UNAUTHENTICATED);
        cluster_view_unref(v);
    }
}

/* Whoever may call a class reads and writes through its code, and not past it. */
static void the_storage_of_a_class_with_code_needs_the_scope_inspect(void **state)
{
    (void)state;
    static const char bearer[] = "Bearer dm_abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq";
    static const struct {
        const char *method;
        const char *rest;
    } storage[] = {
        {"GET", ""},        {"DELETE", ""},       {"GET", "/kv"},       {"GET", "/kv/k"},
        {"PUT", "/kv/k"},   {"POST", "/txn"},     {"GET", "/watch"},    {"POST", "/hibernate"},
        {"GET", "/timers"}, {"GET", "/timers/t"}, {"PUT", "/timers/t"}, {"DELETE", "/kv/k"},
    };
    static const struct {
        const char *method;
        const char *rest;
    } calls[] = {
        {"POST", "/call/add"}, {"GET", "/fetch/x"}, {"GET", "/ws"},
        {"POST", "/execute"},  {"GET", "/steps"},   {"POST", "/steps/s"},
    };
    struct cluster_view *call = view_with(SCOPE_CALL, "ns", NULL);
    struct cluster_view *inspect = view_with(SCOPE_INSPECT, "ns", NULL);
    char path[64];
    for (size_t i = 0; i < sizeof storage / sizeof storage[0]; i++) {
        (void)snprintf(path, sizeof path, "/v1/ns/Counter/a%s", storage[i].rest);
        expect_err(ask(call, storage[i].method, path, bearer, 1000), ERR_FORBIDDEN);
        expect_err(ask(inspect, storage[i].method, path, bearer, 1000), ERR_OK);
        (void)snprintf(path, sizeof path, "/v1/ns/%%43ounter/a%s", storage[i].rest);
        expect_err(ask(call, storage[i].method, path, bearer, 1000), ERR_FORBIDDEN);
        (void)snprintf(path, sizeof path, "/v1/ns/%%53tore/a%s", storage[i].rest);
        expect_err(ask(call, storage[i].method, path, bearer, 1000), ERR_OK);
        expect_err(ask(inspect, storage[i].method, path, bearer, 1000), ERR_FORBIDDEN);
    }
    for (size_t i = 0; i < sizeof calls / sizeof calls[0]; i++) {
        (void)snprintf(path, sizeof path, "/v1/ns/Counter/a%s", calls[i].rest);
        expect_err(ask(call, calls[i].method, path, bearer, 1000), ERR_OK);
        expect_err(ask(inspect, calls[i].method, path, bearer, 1000), ERR_FORBIDDEN);
    }
    cluster_view_unref(inspect);
    cluster_view_unref(call);
}

static void a_token_for_some_actors_opens_no_other(void **state)
{
    (void)state;
    static const char bearer[] = "Bearer dm_abcdefghijklmnopqrstuvwxyzabcdefghijklmnopq";
#define HEX64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
    static const struct {
        const char *actor;
        const char *path;
        enum err err;
    } rows[] = {
        {"Store/user-", "/v1/ns/Store/user-1/kv/k", ERR_OK},
        {"Store/user-", "/v1/ns/Store/user-/kv/k", ERR_OK},
        {"Store/user-", "/v1/ns/Store/%75ser-1/kv/k", ERR_OK},
        {"Store/user-", "/v1/ns/Store/user/kv/k", ERR_FORBIDDEN},
        {"Store/user-", "/v1/ns/Store/admin/kv/user-1", ERR_FORBIDDEN},
        {"Store/user-", "/v1/ns/Other/user-1/kv/k", ERR_FORBIDDEN},
        {"Store/user-", "/v1/ns/Store/%zz/kv/k", ERR_FORBIDDEN},
        {"Store/user-", "/w/ns/user-1", ERR_FORBIDDEN},
        {"Store/", "/v1/ns/Store/anyone/kv/k", ERR_OK},
        {"Store", "/v1/ns/Store/anyone/kv/k", ERR_OK},
        /* It may be the identity of an actor of any name. */
        {"Store/a", "/v1/ns/Store/" HEX64 "/kv/k", ERR_FORBIDDEN},
        {"Store", "/v1/ns/Store/" HEX64 "/kv/k", ERR_OK},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct cluster_view *v = view_with(SCOPE_CALL, "ns", rows[i].actor);
        if (ask(v, "GET", rows[i].path, bearer, 1000) != rows[i].err) {
            fail_msg("%s: %s", rows[i].actor, rows[i].path);
        }
        cluster_view_unref(v);
    }
}

static void health_needs_no_token_and_no_host(void **state)
{
    (void)state;
    struct cluster_view *v = view_with(SCOPE_CALL, "ns", NULL);
    expect_err(ask(v, "GET", "/healthz", NULL, 1000), ERR_OK);
    expect_err(ask(v, "GET", "/readyz", NULL, 1000), ERR_OK);
    expect_err(ask(v, "GET", "/console/", NULL, 1000), ERR_UNAUTHENTICATED);
    cluster_view_unref(v);
}

/* Else nobody could make the first token that may make others. */
static void admin_is_open_to_this_machine_until_there_was_an_admin(void **state)
{
    (void)state;
    struct cluster_view *v = view_with(SCOPE_CALL, "ns", NULL);
    struct test_request r;
    struct route route;
    const struct token *token;
    const char *detail;
    v->has_admin = false;
    test_request_begin(&r, "POST", "/admin/v1/tokens");
    expect_err(route_find(SLICE("POST"), SLICE("/admin/v1/tokens"), &route), ERR_OK);
    expect_err(access_check_token(v, &r.http, &route, 1000, &token, &detail), ERR_OK);
    test_request_header(&r, "origin", "http://example.com");
    expect_err(access_check_token(v, &r.http, &route, 1000, &token, &detail), ERR_UNAUTHENTICATED);
    expect_err(ask(v, "GET", "/admin/v1/cluster", NULL, 1000), ERR_UNAUTHENTICATED);
    v->has_admin = true;
    test_request_begin(&r, "POST", "/admin/v1/tokens");
    expect_err(access_check_token(v, &r.http, &route, 1000, &token, &detail), ERR_UNAUTHENTICATED);
    cluster_view_unref(v);
}

static void under_tls_a_page_of_our_own_came_by_https(void **state)
{
    (void)state;
    is_secure = true;
    expect_err(check("localhost:7420", "https://localhost:7420"), ERR_OK);
    expect_err(check("localhost:7420", "http://localhost:7420"), ERR_FORBIDDEN);
    is_secure = false;
}

static void the_form_of_an_answer_is_the_best_that_is_accepted(void **state)
{
    (void)state;
    static const struct {
        const char *accept;
        enum body_form form;
    } rows[] = {
        {"", FORM_UNSAID},
        {"*/*", FORM_UNSAID},
        {"application/*", FORM_UNSAID},
        {"text/html", FORM_UNSAID},
        {"application/json", FORM_JSON},
        {"Application/JSON", FORM_JSON},
        {"application/msgpack", FORM_MSGPACK},
        {"application/json, application/msgpack", FORM_JSON},
        {"application/json;q=0.5,application/msgpack;q=0.6", FORM_MSGPACK},
        {"application/json;q=0.9 , application/msgpack ; q=0.8", FORM_JSON},
        {"application/json;charset=utf-8;q=0.1, application/msgpack;q=0.2", FORM_MSGPACK},
        {"application/json;q=0", FORM_UNSAID},
        {"application/json;Q=0.001", FORM_JSON},
        {"text/html, application/msgpack;q=1.000, */*;q=0.1", FORM_MSGPACK},
        {"application/json;q=nan, application/msgpack;q=0.1", FORM_MSGPACK},
        {"application/json;q=inf, application/msgpack;q=0.1", FORM_MSGPACK},
        {"application/json;q=1e9, application/msgpack;q=0.1", FORM_MSGPACK},
        {"application/json;q=-1, application/msgpack;q=0.1", FORM_MSGPACK},
        {"application/json;q=2", FORM_UNSAID},
        {"application/json;q=", FORM_UNSAID},
        {"application/json;q=0.1234", FORM_UNSAID},
        {"application/json;q=05", FORM_UNSAID},
        {",,;,application/json,;q=1,", FORM_JSON},
    };
    struct test_request none;
    test_request_begin(&none, "GET", "/");
    assert_int_equal(accepted_form(&none.http), FORM_UNSAID);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct test_request r;
        test_request_begin(&r, "GET", "/");
        test_request_header(&r, "accept", rows[i].accept);
        if (accepted_form(&r.http) != rows[i].form) {
            fail_msg("%s: %d", rows[i].accept, accepted_form(&r.http));
        }
    }
}

static void accept_may_come_in_several_fields(void **state)
{
    (void)state;
    struct test_request r;
    test_request_begin(&r, "GET", "/");
    test_request_header(&r, "accept", "text/html");
    test_request_header(&r, "host", "application/json");
    test_request_header(&r, "accept", "application/msgpack");
    assert_int_equal(accepted_form(&r.http), FORM_MSGPACK);
}

TEST_MAIN(cmocka_unit_test(local_hosts_are_answered), cmocka_unit_test(other_hosts_are_refused),
          cmocka_unit_test(a_page_of_our_own_may_ask_and_a_foreign_one_may_not),
          cmocka_unit_test(a_token_is_read_by_the_grammar_of_bearer),
          cmocka_unit_test(a_token_opens_its_scopes_in_its_namespace_until_it_expires),
          cmocka_unit_test(the_storage_of_a_class_with_code_needs_the_scope_inspect),
          cmocka_unit_test(a_token_for_some_actors_opens_no_other),
          cmocka_unit_test(health_needs_no_token_and_no_host),
          cmocka_unit_test(admin_is_open_to_this_machine_until_there_was_an_admin),
          cmocka_unit_test(under_tls_a_page_of_our_own_came_by_https),
          cmocka_unit_test(the_form_of_an_answer_is_the_best_that_is_accepted),
          cmocka_unit_test(accept_may_come_in_several_fields))
