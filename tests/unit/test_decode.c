#include "node/decode.h"

#include <string.h>

#include "actor/ops.h"
#include "actor/registry.h"
#include "base/mem.h"
#include "node/cursor.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "tests/lib/test.h"
#include "tests/unit/http_request.h"

#define ACTOR "/v1/ns/Store/id"

struct fixture {
    struct cluster_view *view;
    struct test_request request;
    struct request *decoded;
    struct decode_error error;
};

static int setup(void **state)
{
    struct fixture *f = MEM_NEW(struct fixture);
    f->view = cluster_view_new();
    *state = f;
    return 0;
}

static void forget(struct fixture *f)
{
    request_free(f->decoded);
    f->decoded = NULL;
    bytes_unref(f->request.http.body);
    f->request.http.body = NULL;
}

static int teardown(void **state)
{
    struct fixture *f = *state;
    forget(f);
    cluster_view_unref(f->view);
    mem_free(f);
    return 0;
}

static void begin(struct fixture *f, const char *method, const char *target)
{
    forget(f);
    test_request_begin(&f->request, method, target);
}

static void set_body(struct fixture *f, struct slice body, const char *type)
{
    f->request.http.body = bytes_new(body);
    if (type != NULL) {
        test_request_header(&f->request, "content-type", type);
    }
}

static enum err decode(struct fixture *f)
{
    struct slice path;
    struct slice query;
    struct route route;
    expect_err(uri_split(f->request.http.target, &path, &query), ERR_OK);
    expect_err(route_find(f->request.http.method, path, &route), ERR_OK);
    request_free(f->decoded);
    f->decoded = NULL;
    return decode_request(&f->request.http, &route, query, f->view, &f->decoded, &f->error);
}

static void expect_decoded(struct fixture *f, enum request_kind kind)
{
    enum err err = decode(f);
    if (err != ERR_OK) {
        fail_msg("%s: %s", err_info(err)->name, f->error.detail);
    }
    assert_int_equal(f->decoded->kind, kind);
}

/* `part` is in the detail, or names the limit. */
static void expect_refused(struct fixture *f, enum err want, const char *part)
{
    enum err err = decode(f);
    expect_err(err, want);
    expect_err(f->error.err, want);
    assert_null(f->decoded);
    bool is_limit = f->error.limit.name != NULL && strcmp(f->error.limit.name, part) == 0;
    if (!is_limit && strstr(f->error.detail, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, f->error.detail);
    }
}

static void expect_json(const struct bytes *doc, const char *json)
{
    struct buf text = {0};
    value_to_json(bytes_slice(doc), &text);
    expect_str(buf_slice(&text), json);
    buf_done(&text);
}

static char *repeat(char c, size_t count)
{
    char *text = mem_zalloc(count + 1);
    memset(text, c, count);
    return text;
}

/* Addresses and names */

static void the_parts_of_a_path_are_decoded_once(void **state)
{
    struct fixture *f = *state;
    begin(f, "GET", "/v1/n-1/Store/a%2Fb%2520c/kv/%C3%A4%2F%20");
    expect_decoded(f, REQUEST_KV_GET);
    expect_str(f->decoded->address.ns, "n-1");
    expect_str(f->decoded->address.class, "Store");
    expect_str(f->decoded->address.id, "a/b%20c");
    expect_str(bytes_slice(f->decoded->name), "\xc3\xa4/ ");
}

/* A namespace with one deployed class. */
static void deploy(struct fixture *f, const char *ns, const char *class)
{
    struct deployed_class c = {slice_of_str(class), CLASS_OBJECT, SLICE("\x90")};
    const struct deployment d = {.main = SLICE("main.js"),
                                 .bindings = SLICE("\x80"),
                                 .env = SLICE("\x80"),
                                 .modules = SLICE("\x90"),
                                 .class_count = 1,
                                 .classes = &c};
    struct deployments *s = &f->view->deployments;
    struct release r = {.version = 1, .classes = bytes_new(SLICE("\x90"))};
    struct buf bundle = {0};
    struct buf record = {0};
    char name[RELEASE_NAME_BYTES + 1];
    memcpy(r.ns, ns, strlen(ns));
    bundle_encode(&d, &bundle);
    r.bytes = (uint32_t)bundle.len;
    release_record_name(&r, name);
    release_encode(&r, &record);
    expect_err(deployments_add(s, slice_of_str(name), buf_slice(&record)), ERR_OK);
    struct bytes *whole = bytes_new(buf_slice(&bundle));
    expect_err(deployments_give(s, deployments_missing(s), whole), ERR_OK);
    bytes_unref(whole);
    buf_done(&record);
    buf_done(&bundle);
    release_done(&r);
}

static void a_class_is_there_where_it_is_deployed(void **state)
{
    struct fixture *f = *state;
    begin(f, "GET", "/v1/ns/Counter/id");
    expect_refused(f, ERR_NO_SUCH_CLASS, "");
    deploy(f, "ns", "Counter");
    begin(f, "GET", "/v1/ns/Counter/id");
    expect_decoded(f, REQUEST_ACTOR_INFO);
    begin(f, "GET", "/v1/ns/Store/id");
    expect_decoded(f, REQUEST_ACTOR_INFO);
    begin(f, "GET", "/v1/other/Counter/id");
    expect_refused(f, ERR_NO_SUCH_CLASS, "");
    begin(f, "GET", "/v1/ns/Count/id");
    expect_refused(f, ERR_NO_SUCH_CLASS, "");
}

static void addresses_outside_the_contract_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *target;
        enum err err;
    } rows[] = {
        {"/v1/NS/Store/id", ERR_INVALID_ID},   {"/v1/-ns/Store/id", ERR_INVALID_ID},
        {"/v1//Store/id", ERR_INVALID_ID},     {"/v1/ns/Store/", ERR_INVALID_ID},
        {"/v1/ns/Store/.", ERR_INVALID_ID},    {"/v1/ns/Store/..", ERR_INVALID_ID},
        {"/v1/ns/Store/%2e", ERR_INVALID_ID},  {"/v1/ns/Store/a%00", ERR_INVALID_ID},
        {"/v1/ns/Store/%ff", ERR_INVALID_ID},  {"/v1/ns/1Store/id", ERR_INVALID_ID},
        {"/v1/ns/Store/%zz", ERR_BAD_REQUEST}, {"/v1/ns/Store/%4", ERR_BAD_REQUEST},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(f, "GET", rows[i].target);
        expect_refused(f, rows[i].err, "");
    }
}

static void ids_and_keys_may_be_as_long_as_the_contract_says(void **state)
{
    struct fixture *f = *state;
    char target[2048];
    char *id = repeat('i', 513);
    char *key = repeat('k', 481);
    (void)snprintf(target, sizeof target, "/v1/ns/Store/%.512s/kv/%.480s", id, key);
    begin(f, "GET", target);
    expect_decoded(f, REQUEST_KV_GET);
    (void)snprintf(target, sizeof target, "/v1/ns/Store/%s/kv/k", id);
    begin(f, "GET", target);
    expect_refused(f, ERR_INVALID_ID, "");
    (void)snprintf(target, sizeof target, ACTOR "/kv/%s", key);
    begin(f, "GET", target);
    expect_refused(f, ERR_TOO_LARGE, "key_bytes");
    (void)snprintf(target, sizeof target, ACTOR "/steps/%.256s", key);
    begin(f, "POST", target);
    expect_refused(f, ERR_TOO_LARGE, "name_bytes");
    begin(f, "GET", ACTOR "/kv/");
    expect_refused(f, ERR_BAD_REQUEST, "empty");
    begin(f, "GET", ACTOR "/kv/%ff");
    expect_refused(f, ERR_BAD_REQUEST, "UTF-8");
    mem_free(id);
    mem_free(key);
}

/* Fields */

static void conditions_are_read_from_their_fields(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *field;
        const char *value;
        enum match match;
        uint32_t count;
        uint64_t versions[3];
    } rows[] = {
        {"if-match", "\"12\"", MATCH_VERSION, 1, {12}},
        {"if-match", "*", MATCH_PRESENT, 0, {0}},
        {"if-match", "\"1\", \"2\",\"3\"", MATCH_VERSION, 3, {1, 2, 3}},
        {"if-match", ", \"1\" ,, \"2\" ,", MATCH_VERSION, 2, {1, 2}}, /* RFC 9110, 5.6.1 */
        {"if-match", "\"abc\"", MATCH_VERSION, 0, {0}}, /* none of ours: matches nothing */
        {"if-match", "\"0\"", MATCH_VERSION, 0, {0}},
        {"if-match", "\"012\"", MATCH_VERSION, 0, {0}},  /* tags are compared as text */
        {"if-match", "\"1, 2\"", MATCH_VERSION, 0, {0}}, /* one tag with a comma in it */
        {"if-match", "W/\"12\"", MATCH_VERSION, 0, {0}}, /* a strong comparison */
        {"if-match", "W/\"12\", \"13\"", MATCH_VERSION, 1, {13}},
        {"if-none-match", "*", MATCH_ABSENT, 0, {0}},
        {"if-none-match", "\"12\"", MATCH_NOT_VERSION, 1, {12}},
        {"if-none-match", "W/\"12\"", MATCH_NOT_VERSION, 1, {12}},
        {"if-none-match", "W/\"12\", \"13\"", MATCH_NOT_VERSION, 2, {12, 13}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(f, "GET", ACTOR "/kv/k");
        test_request_header(&f->request, rows[i].field, rows[i].value);
        expect_decoded(f, REQUEST_KV_GET);
        assert_int_equal(f->decoded->match, rows[i].match);
        assert_int_equal(f->decoded->match_count, rows[i].count);
        for (uint32_t n = 0; n < rows[i].count; n++) {
            assert_true(f->decoded->match_versions[n] == rows[i].versions[n]);
        }
    }
}

static void conditions_on_several_lines_are_one_list(void **state)
{
    struct fixture *f = *state;
    begin(f, "GET", ACTOR "/kv/k");
    test_request_header(&f->request, "if-none-match", "\"1\", \"2\"");
    test_request_header(&f->request, "if-none-match", "\"3\"");
    expect_decoded(f, REQUEST_KV_GET);
    assert_int_equal(f->decoded->match_count, 3);
    assert_true(f->decoded->match_versions[2] == 3);
}

static void malformed_conditions_are_refused(void **state)
{
    struct fixture *f = *state;
    static const char *const malformed[] = {
        "12",       "\"12",        "'12'",
        "",         "\"",          "W/12",
        ",",        "\"1\" \"2\"", "\"1\", *",
        "*, \"1\"", "\"1\"x",      "\"1\", 2",
        "w/\"1\"",  "**",          "\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\""};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        begin(f, "PUT", ACTOR "/kv/k");
        set_body(f, SLICE("1"), NULL);
        test_request_header(&f->request, "if-match", malformed[i]);
        expect_refused(f, ERR_BAD_REQUEST, "If-Match");
    }
    static const char *const pairs[][4] = {
        {"if-match", "\"1\"", "if-none-match", "*"},
        {"if-match", "*", "if-match", "\"1\""},
        {"if-match", "\"1\"", "if-match", "*"},
        {"if-none-match", "*", "if-none-match", "*"},
    };
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0]; i++) {
        begin(f, "PUT", ACTOR "/kv/k");
        set_body(f, SLICE("1"), NULL);
        test_request_header(&f->request, pairs[i][0], pairs[i][1]);
        test_request_header(&f->request, pairs[i][2], pairs[i][3]);
        expect_refused(f, ERR_BAD_REQUEST, "Match");
    }
}

static void the_time_a_request_may_take_is_bounded(void **state)
{
    struct fixture *f = *state;
    uint32_t ms = 0;
    begin(f, "GET", ACTOR);
    expect_err(decode_timeout(&f->request.http, &ms, &f->error), ERR_OK);
    assert_int_equal(ms, 30000);
    test_request_header(&f->request, "dormouse-timeout", "1");
    expect_err(decode_timeout(&f->request.http, &ms, &f->error), ERR_OK);
    assert_int_equal(ms, 1);
    static const char *const malformed[] = {
        "0", "-1", "", "1.5", "600001", "1s", "18446744073709551617"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        begin(f, "GET", ACTOR);
        test_request_header(&f->request, "dormouse-timeout", malformed[i]);
        expect_err(decode_timeout(&f->request.http, &ms, &f->error), ERR_BAD_REQUEST);
    }
}

static void only_reads_may_be_stale(void **state)
{
    static const struct {
        const char *method;
        const char *target;
        bool may_be_stale;
    } table[] = {
        {"GET", ACTOR "/kv/k", true},     {"HEAD", ACTOR "/kv/k", true},
        {"GET", ACTOR "/kv", true},       {"GET", ACTOR, true},
        {"DELETE", ACTOR, false},         {"GET", ACTOR "/timers", false},
        {"DELETE", ACTOR "/kv/k", false},
    };
    static const char *const malformed[] = {"", "strong", "Stale", "stale,stale", "stale "};
    struct fixture *f = *state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        begin(f, table[i].method, table[i].target);
        expect_err(decode(f), ERR_OK);
        assert_false(f->decoded->may_be_stale);
        test_request_header(&f->request, "dormouse-consistency", "stale");
        expect_err(decode(f), ERR_OK);
        assert_int_equal(f->decoded->may_be_stale, table[i].may_be_stale);
        for (size_t k = 0; k < sizeof malformed / sizeof malformed[0]; k++) {
            begin(f, table[i].method, table[i].target);
            test_request_header(&f->request, "dormouse-consistency", malformed[k]);
            expect_refused(f, ERR_BAD_REQUEST, "Dormouse-Consistency");
        }
    }
}

static void put_keyed(struct fixture *f, const char *target, const char *body, const char *type)
{
    begin(f, "PUT", target);
    set_body(f, slice_of_str(body), type);
    test_request_header(&f->request, "idempotency-key", "once");
    expect_decoded(f, REQUEST_KV_PUT);
    expect_str(bytes_slice(f->decoded->idempotency_key), "once");
}

static void an_idempotency_key_goes_with_a_hash_of_all_that_was_asked(void **state)
{
    struct fixture *f = *state;
    uint8_t hash[REQUEST_HASH_BYTES];
    put_keyed(f, ACTOR "/kv/k", "1", "application/json");
    memcpy(hash, f->decoded->hash, sizeof hash);
    put_keyed(f, ACTOR "/kv/k", "1", "application/json");
    assert_memory_equal(f->decoded->hash, hash, sizeof hash);
    put_keyed(f, ACTOR "/kv/k", "2", "application/json");
    assert_memory_not_equal(f->decoded->hash, hash, sizeof hash);
    put_keyed(f, ACTOR "/kv/l", "1", "application/json");
    assert_memory_not_equal(f->decoded->hash, hash, sizeof hash);
    put_keyed(f, ACTOR "/kv/k?a", "1", "application/json");
    assert_memory_not_equal(f->decoded->hash, hash, sizeof hash);
    begin(f, "DELETE", ACTOR "/kv/k");
    test_request_header(&f->request, "idempotency-key", "once");
    expect_decoded(f, REQUEST_KV_DELETE);
    assert_memory_not_equal(f->decoded->hash, hash, sizeof hash);
}

static void an_idempotency_key_is_visible_ascii(void **state)
{
    struct fixture *f = *state;
    char *longest = repeat('x', 256);
    const char *const malformed[] = {"", "a b", "\x7f", "\xc3\xa4", longest};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        begin(f, "DELETE", ACTOR);
        test_request_header(&f->request, "idempotency-key", malformed[i]);
        expect_refused(f, ERR_BAD_REQUEST, "Idempotency-Key");
    }
    begin(f, "DELETE", ACTOR); /* two readers might take different ones */
    test_request_header(&f->request, "idempotency-key", "a");
    test_request_header(&f->request, "idempotency-key", "a");
    expect_refused(f, ERR_BAD_REQUEST, "two Idempotency-Keys");
    longest[255] = '\0';
    begin(f, "DELETE", ACTOR);
    test_request_header(&f->request, "idempotency-key", longest);
    expect_decoded(f, REQUEST_ACTOR_DELETE);
    begin(f, "GET", ACTOR); /* what only reads has no use for it */
    test_request_header(&f->request, "idempotency-key", "a b");
    expect_decoded(f, REQUEST_ACTOR_INFO);
    assert_null(f->decoded->idempotency_key);
    mem_free(longest);
}

/* Bodies */

static void a_value_comes_as_json_msgpack_or_bytes(void **state)
{
    struct fixture *f = *state;
    static const char *const json_types[] = {NULL, "application/json",
                                             "application/JSON; charset=utf-8",
                                             "application/x-www-form-urlencoded"};
    for (size_t i = 0; i < sizeof json_types / sizeof json_types[0]; i++) {
        begin(f, "PUT", ACTOR "/kv/k");
        set_body(f, SLICE("{\"a\":[1,2]}"), json_types[i]);
        expect_decoded(f, REQUEST_KV_PUT);
        expect_json(f->decoded->body, "{\"a\":[1,2]}");
    }
    begin(f, "PUT", ACTOR "/kv/k");
    set_body(f, SLICE("\x92\x01\x02"), "application/msgpack");
    expect_decoded(f, REQUEST_KV_PUT);
    expect_json(f->decoded->body, "[1,2]");
    begin(f, "PUT", ACTOR "/kv/k");
    set_body(f, SLICE("abc"), "application/octet-stream");
    expect_decoded(f, REQUEST_KV_PUT);
    expect_json(f->decoded->body, "{\"$bytes\":\"YWJj\"}");
    begin(f, "PUT", ACTOR "/kv/k");
    test_request_header(&f->request, "content-type", "application/octet-stream");
    expect_decoded(f, REQUEST_KV_PUT); /* no bytes are bytes too */
    expect_json(f->decoded->body, "{\"$bytes\":\"\"}");
}

static void bodies_that_are_no_values_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *type;
        const char *body;
        enum err err;
    } rows[] = {
        {"application/json", "", ERR_BAD_REQUEST},
        {"application/json", "{", ERR_BAD_REQUEST},
        {"application/json", "1 2", ERR_BAD_REQUEST},
        {"application/json", "{\"a\":1,\"a\":2}", ERR_INVALID_VALUE},
        {"application/msgpack", "\xc1", ERR_INVALID_VALUE},
        {"application/msgpack", "\x92\x01", ERR_INVALID_VALUE},
        {"text/plain", "1", ERR_UNSUPPORTED_MEDIA_TYPE},
        {"", "1", ERR_UNSUPPORTED_MEDIA_TYPE},
        {"json", "1", ERR_UNSUPPORTED_MEDIA_TYPE},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        begin(f, "PUT", ACTOR "/kv/k");
        set_body(f, slice_of_str(rows[i].body), rows[i].type);
        expect_refused(f, rows[i].err, "");
    }
    begin(f, "POST", ACTOR "/txn");
    set_body(f, SLICE("abc"), "application/octet-stream");
    expect_refused(f, ERR_UNSUPPORTED_MEDIA_TYPE, "");
}

static void a_value_has_its_limit_in_msgpack(void **state)
{
    struct fixture *f = *state;
    enum { OVER = VALUE_BYTES_MAX + 1, HEAD_BYTES = 5 };
    uint8_t *bytes = mem_zalloc(OVER);
    begin(f, "PUT", ACTOR "/kv/k");
    set_body(f, slice_of(bytes, VALUE_BYTES_MAX - HEAD_BYTES), "application/octet-stream");
    expect_decoded(f, REQUEST_KV_PUT);
    assert_int_equal(f->decoded->body->len, VALUE_BYTES_MAX);
    for (size_t len = VALUE_BYTES_MAX - HEAD_BYTES + 1; len <= OVER; len += HEAD_BYTES) {
        begin(f, "PUT", ACTOR "/kv/k");
        set_body(f, slice_of(bytes, len), "application/octet-stream");
        expect_refused(f, ERR_TOO_LARGE, "value_bytes");
    }
    mem_free(bytes);
    char *text = repeat(' ', OVER);
    text[0] = '1';
    begin(f, "PUT", ACTOR "/kv/k");
    set_body(f, slice_of_str(text), "application/json");
    expect_decoded(f, REQUEST_KV_PUT); /* JSON may be longer than what it stands for */
    mem_free(text);
}

static void nesting_is_bounded(void **state)
{
    struct fixture *f = *state;
    char *open = repeat('[', VALUE_DEPTH_MAX + 1);
    char *shut = repeat(']', VALUE_DEPTH_MAX + 1);
    char body[4 * VALUE_DEPTH_MAX];
    (void)snprintf(body, sizeof body, "%s%s", open + 1, shut + 1);
    begin(f, "PUT", ACTOR "/kv/k");
    set_body(f, slice_of_str(body), NULL);
    expect_decoded(f, REQUEST_KV_PUT);
    (void)snprintf(body, sizeof body, "%s%s", open, shut);
    begin(f, "PUT", ACTOR "/kv/k");
    set_body(f, slice_of_str(body), NULL);
    expect_refused(f, ERR_INVALID_VALUE, "");
    mem_free(open);
    mem_free(shut);
}

/* Queries */

static void the_parameters_of_a_listing_are_read(void **state)
{
    struct fixture *f = *state;
    struct buf target = {0};
    buf_append_str(&target, ACTOR "/kv?prefix=a%2F&start=b&startAfter=c&end=d&limit=1000&"
                                  "reverse=true&values=false&cursor=");
    cursor_encode(SLICE("last"), &target);
    buf_append_byte(&target, 0);
    begin(f, "GET", (char *)target.data);
    expect_decoded(f, REQUEST_KV_LIST);
    const struct list_params *p = &f->decoded->list;
    expect_str(bytes_slice(p->prefix), "a/");
    expect_str(bytes_slice(p->start), "b");
    expect_str(bytes_slice(p->start_after), "c");
    expect_str(bytes_slice(p->end), "d");
    expect_str(bytes_slice(p->cursor), "last");
    assert_int_equal(p->limit, 1000);
    assert_true(p->reverse && !p->values);
    buf_done(&target);
    begin(f, "GET", ACTOR "/kv");
    expect_decoded(f, REQUEST_KV_LIST);
    assert_int_equal(f->decoded->list.limit, LIST_LIMIT_DEFAULT);
    assert_true(f->decoded->list.values && f->decoded->list.prefix == NULL);
}

static void malformed_queries_are_refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const char *query;
        const char *part;
    } rows[] = {
        {"limit=0", "limit"},     {"limit=1001", "limit"},  {"limit=x", "limit"},
        {"limit=", "limit"},      {"limit=1&limit=2", ""},  {"reverse=yes", "reverse"},
        {"values=1", "reverse"},  {"cursor=abc", "cursor"}, {"prefx=a", "prefx"},
        {"prefix=%ff", "prefix"}, {"prefix=%", ""},         {"Limit=1", "Limit"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char target[128];
        (void)snprintf(target, sizeof target, ACTOR "/kv?%s", rows[i].query);
        begin(f, "GET", target);
        expect_refused(f, ERR_BAD_REQUEST, rows[i].part);
    }
    char target[1024];
    char *key = repeat('k', 481);
    (void)snprintf(target, sizeof target, ACTOR "/kv?start=%s", key);
    begin(f, "GET", target);
    expect_refused(f, ERR_TOO_LARGE, "key_bytes");
    mem_free(key);
}

static void a_watch_begins_where_its_client_has_come_to(void **state)
{
    struct fixture *f = *state;
    begin(f, "GET", ACTOR "/watch?prefix=a");
    expect_decoded(f, REQUEST_WATCH);
    assert_false(f->decoded->has_since);
    expect_str(bytes_slice(f->decoded->list.prefix), "a");
    begin(f, "GET", ACTOR "/watch?since=12");
    expect_decoded(f, REQUEST_WATCH);
    assert_true(f->decoded->has_since);
    assert_int_equal(f->decoded->since_version, 12);
    assert_int_equal(f->decoded->since_n, UINT32_MAX); /* all of the version's events */
    begin(f, "GET", ACTOR "/watch?since=1");
    test_request_header(&f->request, "last-event-id", "12.3");
    expect_decoded(f, REQUEST_WATCH);
    assert_int_equal(f->decoded->since_version, 12);
    assert_int_equal(f->decoded->since_n, 3);
    static const char *const malformed[] = {"x",    "",   "12.",           ".3",
                                            "12.x", "-1", "12.4294967296", "1.2.3"};
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++) {
        begin(f, "GET", ACTOR "/watch");
        test_request_header(&f->request, "last-event-id", malformed[i]);
        expect_refused(f, ERR_BAD_REQUEST, "since");
    }
    begin(f, "GET", ACTOR "/watch?sinze=1");
    expect_refused(f, ERR_BAD_REQUEST, "sinze");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(the_parts_of_a_path_are_decoded_once), TEST(a_class_is_there_where_it_is_deployed),
          TEST(addresses_outside_the_contract_are_refused),
          TEST(ids_and_keys_may_be_as_long_as_the_contract_says),
          TEST(conditions_are_read_from_their_fields),
          TEST(conditions_on_several_lines_are_one_list), TEST(malformed_conditions_are_refused),
          TEST(the_time_a_request_may_take_is_bounded), TEST(only_reads_may_be_stale),
          TEST(an_idempotency_key_goes_with_a_hash_of_all_that_was_asked),
          TEST(an_idempotency_key_is_visible_ascii), TEST(a_value_comes_as_json_msgpack_or_bytes),
          TEST(bodies_that_are_no_values_are_refused), TEST(a_value_has_its_limit_in_msgpack),
          TEST(nesting_is_bounded), TEST(the_parameters_of_a_listing_are_read),
          TEST(malformed_queries_are_refused), TEST(a_watch_begins_where_its_client_has_come_to))
