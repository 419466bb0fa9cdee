#include "actor/glance.h"

#include <stdio.h>

#include "actor/actor.h"
#include "base/mem.h"
#include "tests/lib/engine_fixture.h"

static int setup(void **state)
{
    struct engine_fixture *f = mem_alloc(sizeof *f);
    engine_fixture_init(f);
    engine_fixture_start(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    engine_fixture_done(*state);
    mem_free(*state);
    return 0;
}

struct glanced {
    struct glance glance;
    bool is_done;
};

static void on_done(struct glance *g)
{
    struct glanced *glanced = CONTAINER_OF(g, struct glanced, glance);
    assert_false(glanced->is_done);
    assert_int_equal(g->request->stage, REQUEST_DONE);
    glanced->is_done = true;
}

/* Takes the request; request_free of what is in it afterwards. */
static void begin(struct engine_fixture *f, struct glanced *g, struct request *r)
{
    *g = (struct glanced){
        .glance.request = r, .glance.shard = engine_fixture_shard_of(f, r), .glance.done = on_done};
    glance_begin(&g->glance);
}

static void glance(struct engine_fixture *f, struct glanced *g, struct request *r)
{
    begin(f, g, r);
    engine_fixture_settle(f);
    assert_true(g->is_done);
}

/* What the actor would say. */
static void expect_the_same(struct engine_fixture *f, struct request *of_actor,
                            struct request *of_glance)
{
    struct glanced g;
    struct asked a = {0};
    glance(f, &g, of_glance);
    ask(f, &a, of_actor);
    engine_fixture_settle(f);
    assert_true(a.is_answered);
    const struct reply *reply = &g.glance.request->reply;
    expect_err(reply->err, a.reply.err);
    assert_int_equal(reply->status, a.reply.status);
    assert_int_equal(reply->etag, a.reply.etag);
    assert_int_equal(reply->is_value, a.reply.is_value);
    expect_slice(bytes_slice(reply->body), bytes_slice(a.reply.body));
    asked_done(&a);
    request_free(g.glance.request);
}

enum { KEYS = 100 }; /* more than an actor is woken with */

static void fill(struct engine_fixture *f)
{
    for (int i = 0; i < KEYS; i++) {
        char key[16];
        (void)snprintf(key, sizeof key, "k%02d", i);
        put_text(f, "a", key, key);
    }
}

static struct request *match_request(enum match match, uint64_t version)
{
    struct request *r = get_request("a", "k07");
    r->match = match;
    r->match_versions[0] = version;
    r->match_count = 1;
    return r;
}

static struct request *list_request(const char *id, uint32_t limit, bool reverse,
                                    const char *prefix, const char *cursor)
{
    struct request *r = request_of(REQUEST_KV_LIST, id);
    r->list.limit = limit;
    r->list.reverse = reverse;
    r->list.values = !reverse;
    r->list.prefix = prefix != NULL ? bytes_new(slice_of_str(prefix)) : NULL;
    r->list.cursor = cursor != NULL ? bytes_new(slice_of_str(cursor)) : NULL;
    return r;
}

static void expect_all_the_same(struct engine_fixture *f)
{
    static const struct {
        uint32_t limit;
        bool reverse;
        const char *prefix;
        const char *cursor;
    } lists[] = {
        {1000, false, NULL, NULL}, {1000, true, NULL, NULL}, {7, false, NULL, NULL},
        {7, true, NULL, "k50"},    {10, false, "k1", NULL},  {9, false, "k1", NULL},
        {9, false, "k1", "k18"},   {5, false, "x", NULL},    {100, false, NULL, NULL},
    };
    expect_the_same(f, get_request("a", "k07"), get_request("a", "k07"));
    expect_the_same(f, get_request("a", "none"), get_request("a", "none"));
    expect_the_same(f, get_request("nobody", "k"), get_request("nobody", "k"));
    for (uint64_t version = 7; version < 10; version++) { /* one of these is that of k07 */
        expect_the_same(f, match_request(MATCH_VERSION, version),
                        match_request(MATCH_VERSION, version));
        expect_the_same(f, match_request(MATCH_NOT_VERSION, version),
                        match_request(MATCH_NOT_VERSION, version));
    }
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        expect_the_same(
            f,
            list_request("a", lists[i].limit, lists[i].reverse, lists[i].prefix, lists[i].cursor),
            list_request("a", lists[i].limit, lists[i].reverse, lists[i].prefix, lists[i].cursor));
    }
    expect_the_same(f, list_request("nobody", 7, false, NULL, NULL),
                    list_request("nobody", 7, false, NULL, NULL));
}

static void a_glance_says_what_the_actor_would(void **state)
{
    struct engine_fixture *f = *state;
    fill(f);
    expect_all_the_same(f);
    make_cold(f);
    expect_all_the_same(f);
    assert_int_equal(answer_of(f, request_of(REQUEST_ACTOR_DELETE, "a")), ERR_OK);
    expect_the_same(f, get_request("a", "k07"), get_request("a", "k07"));
    expect_the_same(f, list_request("a", 7, false, NULL, NULL),
                    list_request("a", 7, false, NULL, NULL));
}

static void a_glance_wakes_nobody(void **state)
{
    struct engine_fixture *f = *state;
    struct glanced g;
    fill(f);
    make_cold(f);
    expect_the_same(f, request_of(REQUEST_ACTOR_INFO, "a"), request_of(REQUEST_ACTOR_INFO, "a"));
    expect_the_same(f, request_of(REQUEST_ACTOR_INFO, "nobody"),
                    request_of(REQUEST_ACTOR_INFO, "nobody"));
    glance(f, &g, get_request("a", "k07"));
    request_free(g.glance.request);
    assert_int_equal(f->registry.actors.count, 0);
}

static void what_is_not_yet_applied_is_not_seen(void **state)
{
    struct engine_fixture *f = *state;
    struct glanced g;
    struct asked a = {0};
    put_text(f, "a", "k", "old");
    ask(f, &a, put_request("a", "k", "new"));
    begin(f, &g, get_request("a", "k"));
    assert_true(g.is_done);
    struct bytes *old = text_value("old");
    expect_slice(bytes_slice(g.glance.request->reply.body), bytes_slice(old));
    bytes_unref(old);
    request_free(g.glance.request);
    engine_fixture_settle(f);
    asked_done(&a);
}

static void a_glance_at_an_engine_that_closes_is_unavailable(void **state)
{
    struct engine_fixture *f = *state;
    struct glanced g;
    fill(f);
    make_cold(f);
    begin(f, &g, get_request("a", "k07"));
    assert_false(g.is_done);
    engine_fixture_stop(f);
    assert_true(g.is_done);
    expect_err(g.glance.request->reply.err, ERR_UNAVAILABLE);
    request_free(g.glance.request);
    engine_fixture_start(f);
}

static void a_glance_that_cannot_read_now_is_overloaded(void **state)
{
    struct engine_fixture *f = *state;
    struct glanced one;
    fill(f);
    make_cold(f);
    struct glanced *others = mem_zalloc(ENGINE_READS_MAX * sizeof *others);
    for (int i = 0; i < ENGINE_READS_MAX; i++) {
        begin(f, &others[i], get_request("a", "k07"));
    }
    begin(f, &one, get_request("a", "k07"));
    assert_true(one.is_done);
    expect_err(one.glance.request->reply.err, ERR_OVERLOADED);
    assert_string_equal(one.glance.request->reply.limit_name, "cold_reads");
    request_free(one.glance.request);
    engine_fixture_settle(f);
    for (int i = 0; i < ENGINE_READS_MAX; i++) {
        assert_true(others[i].is_done);
        request_free(others[i].glance.request);
    }
    mem_free(others);
}

TEST_MAIN(cmocka_unit_test_setup_teardown(a_glance_says_what_the_actor_would, setup, teardown),
          cmocka_unit_test_setup_teardown(a_glance_wakes_nobody, setup, teardown),
          cmocka_unit_test_setup_teardown(what_is_not_yet_applied_is_not_seen, setup, teardown),
          cmocka_unit_test_setup_teardown(a_glance_at_an_engine_that_closes_is_unavailable, setup,
                                          teardown),
          cmocka_unit_test_setup_teardown(a_glance_that_cannot_read_now_is_overloaded, setup,
                                          teardown))
