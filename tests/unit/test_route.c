#include "node/route.h"

#include "tests/lib/test.h"

static const char *name_of(enum route_name name)
{
    static const char *const names[] = {
#define X(name, pattern, methods, place, scopes) #name,
#include "node/route.def"
#undef X
    };
    return names[name];
}

static const struct {
    const char *method;
    const char *path;
    enum err err;
    enum route_name name;
    enum route_place place;
    size_t segments;
} rows[] = {
    {"GET", "/healthz", ERR_OK, ROUTE_HEALTHZ, ROUTE_IS_LOCAL, 0},
    {"HEAD", "/readyz", ERR_OK, ROUTE_READYZ, ROUTE_IS_LOCAL, 0},
    {"GET", "/v1/ns/Store/id", ERR_OK, ROUTE_ACTOR, ROUTE_IS_ACTOR, 3},
    {"DELETE", "/v1/ns/Store/id", ERR_OK, ROUTE_ACTOR, ROUTE_IS_ACTOR, 3},
    {"GET", "/v1/ns/Store/id/kv", ERR_OK, ROUTE_KEYS, ROUTE_IS_ACTOR, 3},
    {"PUT", "/v1/ns/Store/id/kv/key", ERR_OK, ROUTE_KEY, ROUTE_IS_ACTOR, 4},
    {"GET", "/v1/ns/Store/a%2Fb/kv/c%2Fd", ERR_OK, ROUTE_KEY, ROUTE_IS_ACTOR, 4},
    {"GET", "/v1/ns/Store/id/kv/", ERR_OK, ROUTE_KEY, ROUTE_IS_ACTOR, 4}, /* an empty key */
    {"POST", "/v1/ns/Store/id/txn", ERR_OK, ROUTE_TXN, ROUTE_IS_ACTOR, 3},
    {"POST", "/v1/ns/Store/id/hibernate", ERR_OK, ROUTE_HIBERNATE, ROUTE_IS_ACTOR, 3},
    {"GET", "/v1/ns/Store/id/watch", ERR_OK, ROUTE_WATCH, ROUTE_IS_ACTOR, 3},
    {"POST", "/v1/ns/Store/id/steps/s", ERR_OK, ROUTE_STEP, ROUTE_IS_ACTOR, 4},
    {"PUT", "/v1/ns", ERR_OK, ROUTE_DEPLOY, ROUTE_IS_LOCAL, 1},
    {"GET", "/v1/ns", ERR_OK, ROUTE_DEPLOY, ROUTE_IS_LOCAL, 1},
    {"GET", "/v1/ns/versions", ERR_OK, ROUTE_VERSIONS, ROUTE_IS_LOCAL, 1},
    {"POST", "/v1/ns/rollback", ERR_OK, ROUTE_ROLLBACK, ROUTE_IS_LOCAL, 1},
    {"GET", "/v1/ns/rollback", ERR_METHOD_NOT_ALLOWED, ROUTE_ROLLBACK, ROUTE_IS_LOCAL, 1},
    {"GET", "/admin/v1/namespaces/ns/actors", ERR_OK, ROUTE_ACTORS, ROUTE_IS_LOCAL, 1},
    {"PATCH", "/w/ns/any/where", ERR_OK, ROUTE_MODULE_FETCH, ROUTE_IS_ACTOR, 1},
    {"GET", "/w/ns", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LATER, 0},
    {"GET", "/console/", ERR_OK, ROUTE_CONSOLE, ROUTE_IS_LATER, 0},
    {"POST", "/v1/ns/Counter/id/fetch/a/b/c", ERR_OK, ROUTE_FETCH, ROUTE_IS_ACTOR, 3},
    {"GET", "/v1/ns/Counter/id/fetch", ERR_OK, ROUTE_FETCH_ROOT, ROUTE_IS_ACTOR, 3},
    {"POST", "/v1/ns/Counter/id/call/add", ERR_OK, ROUTE_CALL, ROUTE_IS_ACTOR, 4},
    {"POST", "/v1/ns/Store/id/execute", ERR_OK, ROUTE_EXECUTE, ROUTE_IS_ACTOR, 3},

    {"POST", "/v1/ns/Store/id/kv", ERR_METHOD_NOT_ALLOWED, ROUTE_KEYS, ROUTE_IS_ACTOR, 3},
    {"get", "/healthz", ERR_METHOD_NOT_ALLOWED, ROUTE_HEALTHZ, ROUTE_IS_LOCAL, 0},
    {"GE", "/healthz", ERR_METHOD_NOT_ALLOWED, ROUTE_HEALTHZ, ROUTE_IS_LOCAL, 0},
    {"", "/healthz", ERR_METHOD_NOT_ALLOWED, ROUTE_HEALTHZ, ROUTE_IS_LOCAL, 0},
    {"GET, HEAD", "/healthz", ERR_METHOD_NOT_ALLOWED, ROUTE_HEALTHZ, ROUTE_IS_LOCAL, 0},
    {"HEAD", "/v1/ns/Store/id/watch", ERR_METHOD_NOT_ALLOWED, ROUTE_WATCH, ROUTE_IS_ACTOR, 3},

    {"GET", "/", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
    {"GET", "/healthz/", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
    {"GET", "/Healthz", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
    {"GET", "//healthz", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
    {"GET", "/v2/ns/Store/id", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
    {"GET", "/v1/ns/Store", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
    {"GET", "/v1/ns/Store/id/nothing", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
    {"GET", "/v1/ns/Store/id/kv/a/b", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
    {"GET", "/v1/ns/Store/id/kv/a/", ERR_NOT_FOUND, ROUTE_COUNT, ROUTE_IS_LOCAL, 0},
};

static void a_path_and_its_method_name_one_route(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct route r;
        enum err err = route_find(slice_of_str(rows[i].method), slice_of_str(rows[i].path), &r);
        if (err != rows[i].err) {
            fail_msg("%s %s: %s", rows[i].method, rows[i].path, err_info(err)->name);
        }
        if (err == ERR_NOT_FOUND) {
            continue;
        }
        if (r.name != rows[i].name) {
            fail_msg("%s %s is %s", rows[i].method, rows[i].path, name_of(r.name));
        }
        assert_int_equal(r.place, rows[i].place);
        assert_int_equal(r.segment_count, rows[i].segments);
    }
}

static void segments_are_the_raw_text_of_the_path(void **state)
{
    (void)state;
    struct route r;
    expect_err(route_find(SLICE("GET"), SLICE("/v1/n-s/Store/a%2Fb/kv/%20"), &r), ERR_OK);
    expect_str(r.segments[0], "n-s");
    expect_str(r.segments[1], "Store");
    expect_str(r.segments[2], "a%2Fb");
    expect_str(r.segments[3], "%20");
    expect_str(slice_of_str(r.methods), "GET, HEAD, PUT, DELETE");
}

TEST_MAIN(cmocka_unit_test(a_path_and_its_method_name_one_route),
          cmocka_unit_test(segments_are_the_raw_text_of_the_path))
