/* What of the SDK needs no server: targets, errors from answers, documents, refusals. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"
#include "sdk-c/exchange.h"
#include "sdk-c/target.h"

#include "tests/lib/test.h"

static void an_address_becomes_encoded_segments(void **state)
{
    (void)state;
    const struct {
        struct dormouse_actor actor;
        const char *want; /* NULL: refused */
    } rows[] = {
        {{"app", "Store", "a"}, "/v1/app/Store/a"},
        {{"app", "Store", "user/42"}, "/v1/app/Store/user%2F42"},
        {{"app", "Store", "a b?c#d%"}, "/v1/app/Store/a%20b%3Fc%23d%25"},
        {{"app", "Store", "\xc3\xa9"}, "/v1/app/Store/%C3%A9"},
        {{"app", "Store", "..."}, "/v1/app/Store/..."},
        {{"app", "Store", ".."}, NULL},
        {{"app", "Store", ""}, NULL},
        {{"app", "Store", "\xff"}, NULL},
        {{"App", "Store", "a"}, NULL},
        {{"app", "1Store", "a"}, NULL},
        {{"app", NULL, "a"}, NULL},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct buf target = {0};
        enum err err = target_actor(&target, &rows[i].actor);
        expect_err(err, rows[i].want == NULL ? ERR_INVALID_ID : ERR_OK);
        if (rows[i].want != NULL) {
            expect_str(buf_slice(&target), rows[i].want);
        }
        buf_done(&target);
    }
}

static void a_query_is_encoded_and_leaves_out_what_is_not_given(void **state)
{
    (void)state;
    struct buf target = {0};
    buf_append_str(&target, "/x");
    target_query(&target, "prefix", NULL);
    target_query(&target, "start", "a/b&c=d");
    target_query(&target, "end", "");
    target_query_u64(&target, "limit", UINT64_MAX);
    expect_str(buf_slice(&target), "/x?start=a%2Fb%26c%3Dd&end=&limit=18446744073709551615");
    buf_done(&target);
}

static struct dormouse_error error_of(int status, const char *body, const char *retry_after,
                                      bool is_reading)
{
    struct client_response r = {.status = status};
    buf_append_str(&r.body, body);
    if (retry_after != NULL) {
        buf_printf(&r.headers, "retry-after: %s", retry_after);
        buf_append_byte(&r.headers, '\0');
    }
    struct dormouse_error e;
    error_from_answer(&e, &r, is_reading);
    client_response_done(&r);
    return e;
}

static void a_problem_says_what_happened(void **state)
{
    (void)state;
    struct dormouse_error e = error_of(
        503,
        "{\"type\":\"about:blank\",\"title\":\"Unavailable\",\"status\":503,\"detail\":\"why\","
        "\"code\":\"unavailable\",\"retryable\":true,\"maybe_applied\":true}",
        "2", false);
    assert_int_equal(e.kind, DORMOUSE_UNAVAILABLE);
    assert_int_equal(e.http_status, 503);
    assert_string_equal(e.code, "unavailable");
    assert_string_equal(e.detail, "why");
    assert_true(e.retryable && e.maybe_applied);
    assert_int_equal(e.retry_after_ms, 2000);
    assert_int_equal(e.failed, -1);

    e = error_of(409, "{\"code\":\"conflict\",\"failed\":2,\"retryable\":false}", NULL, false);
    assert_int_equal(e.kind, DORMOUSE_CONFLICT);
    assert_int_equal(e.failed, 2);
    assert_int_equal(e.retry_after_ms, -1);
}

static void a_reading_call_never_may_have_applied_anything(void **state)
{
    (void)state;
    const char *body = "{\"code\":\"timeout\",\"retryable\":true,\"maybe_applied\":true}";
    assert_false(error_of(504, body, NULL, true).maybe_applied);
    assert_true(error_of(504, body, NULL, false).maybe_applied);
    struct dormouse_error e;
    error_from_transport(&e, ERR_OUTCOME_UNKNOWN, "broke", true);
    assert_false(e.maybe_applied);
    error_from_transport(&e, ERR_OUTCOME_UNKNOWN, "broke", false);
    assert_true(e.maybe_applied);
    error_from_transport(&e, ERR_UNAVAILABLE, "refused", false);
    assert_false(e.maybe_applied);
}

static void a_code_newer_than_the_library_keeps_its_name(void **state)
{
    (void)state;
    struct dormouse_error e = error_of(418, "{\"code\":\"teapot\",\"detail\":\"no\"}", NULL, false);
    assert_int_equal(e.kind, DORMOUSE_OTHER);
    assert_string_equal(e.code, "teapot");
    /* names that are made here cannot come from outside */
    e = error_of(400, "{\"code\":\"unreachable\"}", NULL, false);
    assert_int_equal(e.kind, DORMOUSE_OTHER);
}

static void an_answer_that_is_no_problem_is_judged_by_its_status(void **state)
{
    (void)state;
    struct dormouse_error e = error_of(502, "<html>", NULL, false);
    assert_int_equal(e.kind, DORMOUSE_UNAVAILABLE);
    assert_true(e.retryable && e.maybe_applied);
    e = error_of(404, "", NULL, false);
    assert_int_equal(e.kind, DORMOUSE_NOT_FOUND);
    assert_false(e.retryable || e.maybe_applied);
    e = error_of(503, "[]", "Wed, 21 Oct 2026 07:28:00 GMT", true);
    assert_int_equal(e.retry_after_ms, -1);
    e = error_of(400, "{\"code\":7,\"retryable\":\"yes\"}", NULL, true);
    assert_int_equal(e.kind, DORMOUSE_BAD_REQUEST);
    assert_string_equal(e.code, "bad_request");
}

static void long_texts_of_a_problem_are_cut(void **state)
{
    (void)state;
    struct buf body = {0};
    buf_append_str(&body, "{\"code\":\"");
    memset(buf_extend(&body, 5000), 'c', 5000);
    buf_append_str(&body, "\",\"detail\":\"");
    memset(buf_extend(&body, 5000), 'd', 5000);
    buf_append_str(&body, "\"}");
    buf_append_byte(&body, '\0');
    struct dormouse_error e = error_of(500, (const char *)body.data, NULL, false);
    assert_int_equal(strlen(e.code), sizeof(e.code) - 1);
    assert_int_equal(strlen(e.detail), sizeof(e.detail) - 1);
    buf_done(&body);
}

static void pauses_grow_stay_under_their_limit_and_heed_the_server(void **state)
{
    (void)state;
    struct dormouse_error none;
    error_clear(&none);
    for (unsigned attempt = 0; attempt < 100; attempt++) {
        uint64_t full_ms = attempt < 6 ? (uint64_t)PAUSE_MS_MIN << attempt : PAUSE_MS_MAX;
        full_ms = full_ms < PAUSE_MS_MAX ? full_ms : PAUSE_MS_MAX;
        uint64_t pause_ms = exchange_pause_ms(&none, attempt);
        assert_true(pause_ms >= full_ms / 2 && pause_ms <= full_ms);
    }
    struct dormouse_error wish = none;
    wish.retry_after_ms = 7000;
    assert_int_equal(exchange_pause_ms(&wish, 0), 7000);
}

/* A port of our own that nobody listens on, until the socket is closed. */
static int take_port(char *ret_url, size_t bytes)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t address_bytes = sizeof(address);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &address_bytes), 0);
    snprintf(ret_url, bytes, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    return fd;
}

static void what_is_wrong_on_this_side_sends_nothing(void **state)
{
    (void)state;
    struct dormouse_error e;
    struct dormouse *d = NULL;
    static const char *const urls[] = {
        "",           "ftp://h",  "http://",      "http://h/path", "http://u:p@h",
        "http://h?q", "nonsense", "http://h:port"};
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        const struct dormouse_options options = {.url = urls[i]};
        if (dormouse_new(&options, &d, &e) != DORMOUSE_INVALID_ARGUMENT) {
            fail_msg("\"%s\" was taken for a base URL", urls[i]);
        }
    }
    const struct dormouse_options bad_token = {.token = "a\r\nX: y"};
    assert_int_equal(dormouse_new(&bad_token, &d, &e), DORMOUSE_INVALID_ARGUMENT);

    /* nobody listens there: an attempt to send would be DORMOUSE_UNREACHABLE */
    char url[64];
    int taken = take_port(url, sizeof(url));
    const struct dormouse_options options = {.url = url, .no_retries = true};
    assert_int_equal(dormouse_new(&options, &d, &e), DORMOUSE_OK);
    const struct dormouse_actor bad = {"app", "Store", ".."};
    const struct dormouse_actor good = {"app", "Store", "a"};
    const struct dormouse_call bad_key = {.idempotency_key = "a b"};
    assert_int_equal(dormouse_delete(d, &bad, "k", NULL, NULL, &e), DORMOUSE_INVALID_ID);
    assert_int_equal(dormouse_delete(d, &good, "", NULL, NULL, &e), DORMOUSE_INVALID_ARGUMENT);
    assert_int_equal(dormouse_delete(d, &good, "k", &bad_key, NULL, &e), DORMOUSE_INVALID_ARGUMENT);
    assert_int_equal(dormouse_step_finish(d, &good, "s", "lease", "1,\"x\":2", NULL, &e),
                     DORMOUSE_INVALID_ARGUMENT);
    assert_int_equal(dormouse_step_finish(d, &good, "s", NULL, "1", NULL, &e),
                     DORMOUSE_INVALID_ARGUMENT);
    const struct dormouse_request smuggled = {.method = "GET", .path = "/ HTTP/1.1\r\nX: y"};
    struct dormouse_answer answer;
    assert_int_equal(dormouse_request(d, &smuggled, NULL, &answer, &e), DORMOUSE_INVALID_ARGUMENT);
    const struct dormouse_header header = {"X-Test", "a\r\nY: z"};
    const struct dormouse_request split = {
        .method = "GET", .path = "/", .headers = &header, .header_count = 1};
    assert_int_equal(dormouse_request(d, &split, NULL, &answer, &e), DORMOUSE_INVALID_ARGUMENT);

    assert_int_equal(dormouse_delete(d, &good, "k", NULL, NULL, &e), DORMOUSE_UNREACHABLE);
    assert_true(e.retryable && !e.maybe_applied && e.http_status == 0);
    assert_int_equal(dormouse_delete(d, &good, "k", NULL, NULL, NULL), DORMOUSE_UNREACHABLE);
    dormouse_free(d);
    dormouse_free(NULL);
    close(taken);
}

static void keys_made_are_never_the_same(void **state)
{
    (void)state;
    char a[DORMOUSE_KEY_BYTES];
    char b[DORMOUSE_KEY_BYTES];
    dormouse_make_key(a);
    dormouse_make_key(b);
    assert_int_equal(strlen(a), DORMOUSE_KEY_BYTES - 1);
    assert_string_not_equal(a, b);
}

static void documents_are_walked_and_shown_again(void **state)
{
    (void)state;
    static const char json[] = "{\"a\":[1,-2,18446744073709551615],\"b\":{\"c\":\"x\\u0000y\"},"
                               "\"d\":null,\"e\":true,\"f\":0.5,\"g\":{\"$date\":5}}";
    struct dormouse_doc *doc = NULL;
    assert_int_equal(dormouse_doc_parse(json, sizeof(json) - 1, &doc, NULL), DORMOUSE_OK);
    struct dormouse_node root = dormouse_doc_root(doc);
    size_t bytes = 0;
    char *shown = dormouse_node_json(root, &bytes);
    assert_string_equal(shown, json);
    assert_int_equal(bytes, sizeof(json) - 1);
    dormouse_text_free(shown);

    struct dormouse_node numbers = dormouse_node_member(root, "a");
    assert_int_equal(dormouse_node_count(numbers), 3);
    struct dormouse_walk walk = dormouse_node_walk(numbers);
    assert_true(dormouse_walk_next(&walk));
    assert_int_equal(dormouse_node_int(walk.value, 0), 1);
    assert_true(dormouse_walk_next(&walk));
    assert_int_equal(dormouse_node_int(walk.value, 0), -2);
    assert_true(dormouse_walk_next(&walk));
    assert_int_equal(dormouse_node_int(walk.value, 77), 77); /* does not fit */
    assert_false(dormouse_walk_next(&walk));

    const char *text =
        dormouse_node_text(dormouse_node_member(dormouse_node_member(root, "b"), "c"), &bytes);
    assert_memory_equal(text, "x\0y", 3);
    assert_int_equal(bytes, 3);
    assert_int_equal(dormouse_node_type(dormouse_node_member(root, "d")), DORMOUSE_NULL);
    assert_true(dormouse_node_bool(dormouse_node_member(root, "e"), false));
    assert_int_equal(dormouse_node_type(dormouse_node_member(root, "f")), DORMOUSE_FLOAT);
    assert_int_equal(dormouse_node_type(dormouse_node_member(root, "g")), DORMOUSE_SPECIAL);

    walk = dormouse_node_walk(root);
    assert_true(dormouse_walk_next(&walk) && dormouse_walk_next(&walk));
    assert_memory_equal(walk.key, "b", walk.key_bytes);
    dormouse_doc_free(doc);
}

static void what_is_absent_is_read_as_nothing(void **state)
{
    (void)state;
    struct dormouse_doc *doc = NULL;
    struct dormouse_error e;
    assert_int_equal(dormouse_doc_parse("{", 1, &doc, &e), DORMOUSE_INVALID_ARGUMENT);
    assert_int_equal(dormouse_doc_parse("[]", 2, &doc, &e), DORMOUSE_OK);
    struct dormouse_node none = dormouse_node_member(dormouse_doc_root(doc), "x");
    size_t bytes;
    assert_int_equal(dormouse_node_type(none), DORMOUSE_ABSENT);
    assert_int_equal(dormouse_node_type(dormouse_node_member(none, "y")), DORMOUSE_ABSENT);
    assert_int_equal(dormouse_node_count(none), 0);
    assert_int_equal(dormouse_node_int(none, -5), -5);
    assert_true(dormouse_node_bool(none, true));
    assert_null(dormouse_node_text(none, &bytes));
    struct dormouse_walk walk = dormouse_node_walk(none);
    assert_false(dormouse_walk_next(&walk));
    char *shown = dormouse_node_json(none, NULL);
    assert_string_equal(shown, "null");
    dormouse_text_free(shown);
    dormouse_doc_free(doc);
    dormouse_doc_free(NULL);
}

TEST_MAIN(cmocka_unit_test(an_address_becomes_encoded_segments),
          cmocka_unit_test(a_query_is_encoded_and_leaves_out_what_is_not_given),
          cmocka_unit_test(a_problem_says_what_happened),
          cmocka_unit_test(a_reading_call_never_may_have_applied_anything),
          cmocka_unit_test(a_code_newer_than_the_library_keeps_its_name),
          cmocka_unit_test(an_answer_that_is_no_problem_is_judged_by_its_status),
          cmocka_unit_test(long_texts_of_a_problem_are_cut),
          cmocka_unit_test(pauses_grow_stay_under_their_limit_and_heed_the_server),
          cmocka_unit_test(what_is_wrong_on_this_side_sends_nothing),
          cmocka_unit_test(keys_made_are_never_the_same),
          cmocka_unit_test(documents_are_walked_and_shown_again),
          cmocka_unit_test(what_is_absent_is_read_as_nothing))
