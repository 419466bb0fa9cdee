#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "node/order.h"
#include "rpc/value.h"
#include "storage/batch.h"
#include "tests/lib/test.h"

/* Orders about members, decided against views of the cluster and carried out on them. */

enum { MEMBERS_MAX = 8, NOW_MS = 1000000 };

struct world {
    struct cluster_view *view;
    struct order order;
    size_t put_count; /* of the last order */
    size_t delete_count;
};

typedef enum err decider(struct order *o, const struct cluster_view *v, struct records_changes *c);

static int setup(void **state)
{
    struct world *w = MEM_NEW(struct world);
    w->view = cluster_view_new();
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;
    order_done(&w->order);
    cluster_view_unref(w->view);
    mem_free(w);
    return 0;
}

static void add_member(struct world *w, uint32_t id, enum member_state state)
{
    struct cluster_member m = {.id = id, .state = state, .joined_ms = 1};
    struct buf payload = {0};
    char name[MEMBER_NAME_BYTES + 1];
    (void)snprintf(m.peer, sizeof m.peer, "h%u:7421", id);
    (void)snprintf(m.url, sizeof m.url, "http://h%u:7420", id);
    member_record_name(id, name);
    member_encode(&m, &payload);
    expect_err(cluster_view_add(w->view, slice_of_str(name), buf_slice(&payload)), ERR_OK);
    buf_done(&payload);
}

static struct cluster_member *member(struct world *w, uint32_t id)
{
    for (size_t i = 0; i < w->view->member_count; i++) {
        if (w->view->members[i].id == id) {
            return &w->view->members[i];
        }
    }
    fail_msg("no member %u", id);
    return NULL;
}

static void take_put(struct world *w, struct slice name, struct slice payload)
{
    struct cluster_member m;
    w->put_count++;
    bool is_member = slice_has_prefix(name, SLICE("member/"));
    if (is_member) {
        expect_err(member_decode(name, payload, &m), ERR_OK);
    }
    if (is_member && cluster_view_member(w->view, m.id) != NULL) {
        *member(w, m.id) = m;
    } else {
        expect_err(cluster_view_add(w->view, name, payload), ERR_OK);
    }
}

static void take_delete(struct world *w, struct slice name)
{
    uint8_t hash[DIGEST_BYTES];
    struct buf sound = {0};
    uint64_t expires_ms;
    w->delete_count++;
    join_encode(1, &sound);
    expect_err(join_decode(name, buf_slice(&sound), hash, &expires_ms), ERR_OK);
    buf_done(&sound);
    for (size_t i = 0; i < w->view->join_count; i++) {
        if (memcmp(w->view->joins[i].hash, hash, DIGEST_BYTES) == 0) {
            w->view->joins[i] = w->view->joins[--w->view->join_count];
        }
    }
}

static void carry_out(struct world *w, struct records_changes *c)
{
    struct batch_reader r;
    struct batch_op op;
    struct slice name;
    const struct batch_header header = {.version = 1, .log_time_ms = 1};
    expect_err(batch_end(&c->builder, &header), ERR_OK);
    expect_err(batch_open(&r, buf_slice(&c->batch)), ERR_OK);
    while (r.ops_left > 0) {
        expect_err(batch_next(&r, &op), ERR_OK);
        expect_err(row_key_parse_cluster(op.key, &name), ERR_OK);
        if (op.type == BATCH_PUT) {
            take_put(w, name, op.payload);
        } else {
            take_delete(w, name);
        }
    }
}

/* `subject` and `body` may be NULL; bodies are {"ttl_ms":n}. The order stays in the world. */
static enum err decide(struct world *w, decider *d, const char *subject, const uint64_t *ttl_ms)
{
    struct records_changes c = {0};
    struct buf body = {0};
    order_done(&w->order);
    order_init(&w->order, ORDER_JOIN_TOKEN);
    w->order.wall_ms = NOW_MS;
    w->order.subject = subject != NULL ? bytes_new(slice_of_str(subject)) : NULL;
    if (ttl_ms != NULL) {
        value_put_map(&body, 1);
        value_put_text(&body, "ttl_ms");
        value_put_uint(&body, *ttl_ms);
        w->order.body = bytes_new(buf_slice(&body));
        buf_done(&body);
    }
    w->put_count = w->delete_count = 0;
    batch_begin(&c.builder, &c.batch);
    enum err err = d(&w->order, w->view, &c);
    assert_int_equal(err, w->order.error.err);
    if (err == ERR_OK) { /* else nothing of it is written */
        carry_out(w, &c);
    }
    buf_done(&c.batch);
    return err;
}

/* What a node says of itself: `token` may be NULL. */
static enum err say(struct world *w, decider *d, uint32_t id, uint64_t birth, const char *token)
{
    struct cluster_member m = {.id = id, .birth = birth};
    struct records_changes c = {0};
    struct buf body = {0};
    (void)snprintf(m.peer, sizeof m.peer, "n%u:7421", id);
    (void)snprintf(m.url, sizeof m.url, "http://n%u:7420", id);
    order_done(&w->order);
    order_init(&w->order, ORDER_MEMBER_ADD);
    w->order.wall_ms = NOW_MS;
    member_say_encode(&m, slice_of_str(token != NULL ? token : ""), &body);
    w->order.body = bytes_new(buf_slice(&body));
    buf_done(&body);
    w->put_count = w->delete_count = 0;
    batch_begin(&c.builder, &c.batch);
    enum err err = d(&w->order, w->view, &c);
    if (err == ERR_OK) {
        carry_out(w, &c);
    }
    buf_done(&c.batch);
    return err;
}

static void add_join_token(struct world *w, const char *token, uint64_t expires_ms)
{
    uint8_t hash[DIGEST_BYTES];
    char name[JOIN_NAME_BYTES + 1];
    struct buf payload = {0};
    token_hash(slice_of_str(token), hash);
    join_record_name(hash, name);
    join_encode(expires_ms, &payload);
    expect_err(cluster_view_add(w->view, slice_of_str(name), buf_slice(&payload)), ERR_OK);
    buf_done(&payload);
}

static void expect_says(const struct world *w, const char *part)
{
    if (strstr(w->order.error.detail, part) == NULL) {
        fail_msg("\"%s\" is not in \"%s\"", part, w->order.error.detail);
    }
}

static decider *const changes[] = {decide_member_drain, decide_member_undrain,
                                   decide_member_remove};

static void a_node_of_no_cluster_says_so(void **state)
{
    struct world *w = *state;
    for (size_t i = 0; i < 3; i++) {
        expect_err(decide(w, changes[i], "1", NULL), ERR_CONFLICT);
        expect_says(w, "--cluster-init");
    }
    expect_err(decide(w, decide_join_token, NULL, NULL), ERR_CONFLICT);
    expect_says(w, "--cluster-init");
}

static void an_unknown_member_is_told(void **state)
{
    struct world *w = *state;
    static const char *const subjects[] = {"3", "0", "x", "4294967297", "-1", "01x", NULL};
    add_member(w, 1, MEMBER_UP);
    add_member(w, 2, MEMBER_UP);
    for (size_t i = 0; i < sizeof subjects / sizeof subjects[0]; i++) {
        for (size_t d = 0; d < 3; d++) {
            expect_err(decide(w, changes[d], subjects[i], NULL), ERR_NO_SUCH_MEMBER);
        }
    }
}

static void a_member_is_drained_and_comes_back(void **state)
{
    struct world *w = *state;
    add_member(w, 1, MEMBER_UP);
    add_member(w, 2, MEMBER_UP);
    for (int again = 0; again < 2; again++) {
        expect_err(decide(w, decide_member_drain, "2", NULL), ERR_OK);
        assert_int_equal(w->order.status, 204);
        assert_int_equal(member(w, 2)->state, MEMBER_DRAINING);
        assert_int_equal(w->put_count, again == 0 ? 1 : 0);
        assert_string_equal(member(w, 2)->peer, "h2:7421");
    }
    for (int again = 0; again < 2; again++) {
        expect_err(decide(w, decide_member_undrain, "2", NULL), ERR_OK);
        assert_int_equal(member(w, 2)->state, MEMBER_UP);
    }
}

static void the_last_member_that_could_lead_is_not_drained(void **state)
{
    struct world *w = *state;
    add_member(w, 1, MEMBER_UP);
    expect_err(decide(w, decide_member_drain, "1", NULL), ERR_CONFLICT);
    expect_says(w, "node 1");
    add_member(w, 2, MEMBER_DRAINING);
    add_member(w, 3, MEMBER_REMOVED);
    expect_err(decide(w, decide_member_drain, "1", NULL), ERR_CONFLICT);
    expect_err(decide(w, decide_member_drain, "2", NULL), ERR_OK); /* it is */
    expect_err(decide(w, decide_member_undrain, "2", NULL), ERR_OK);
    expect_err(decide(w, decide_member_drain, "1", NULL), ERR_OK);
}

static void a_removed_member_never_comes_back(void **state)
{
    struct world *w = *state;
    add_member(w, 1, MEMBER_UP);
    add_member(w, 2, MEMBER_DRAINING);
    add_member(w, 3, MEMBER_UP);
    expect_err(decide(w, decide_member_remove, "2", NULL), ERR_OK);
    expect_err(decide(w, decide_member_remove, "3", NULL),
               ERR_OK); /* it need not drain: it may be dead */
    assert_int_equal(member(w, 3)->state, MEMBER_REMOVED);
    expect_err(decide(w, decide_member_remove, "3", NULL), ERR_OK);
    assert_int_equal(w->put_count, 0);
    expect_err(decide(w, decide_member_undrain, "3", NULL), ERR_CONFLICT);
    expect_says(w, "was removed");
    expect_err(decide(w, decide_member_drain, "3", NULL), ERR_CONFLICT);
}

static void the_last_member_is_not_removed(void **state)
{
    struct world *w = *state;
    add_member(w, 1, MEMBER_REMOVED);
    add_member(w, 2, MEMBER_UP);
    expect_err(decide(w, decide_member_remove, "2", NULL), ERR_CONFLICT);
    expect_says(w, "last member");
    expect_err(decide(w, decide_member_remove, "1", NULL), ERR_OK); /* it was */
    add_member(w, 3, MEMBER_DRAINING);
    expect_err(decide(w, decide_member_remove, "2", NULL), ERR_OK);
}

static uint64_t expires_of(const struct world *w, uint8_t ret_hash[DIGEST_BYTES])
{
    struct slice doc = buf_slice(&w->order.document);
    struct slice found;
    struct slice token;
    uint64_t expires_ms;
    assert_true(value_member(doc, "token", &found) && value_get_str(found, &token));
    assert_true(value_member(doc, "expires", &found) && value_get_uint(found, &expires_ms));
    token_hash(token, ret_hash);
    return expires_ms;
}

static void a_token_to_join_with_is_shown_once_and_kept_as_its_hash(void **state)
{
    struct world *w = *state;
    uint8_t hash[DIGEST_BYTES];
    const uint64_t ttl_ms = 60000;
    add_member(w, 1, MEMBER_UP);
    expect_err(decide(w, decide_join_token, NULL, NULL), ERR_OK);
    assert_int_equal(w->order.status, 201);
    assert_int_equal(expires_of(w, hash), NOW_MS + 60 * 60 * 1000); /* an hour where nobody says */
    assert_true(cluster_view_may_join(w->view, hash, NOW_MS));
    expect_err(decide(w, decide_join_token, NULL, &ttl_ms), ERR_OK);
    assert_int_equal(expires_of(w, hash), NOW_MS + ttl_ms);
    assert_true(cluster_view_may_join(w->view, hash, NOW_MS + ttl_ms - 1));
    assert_false(cluster_view_may_join(w->view, hash, NOW_MS + ttl_ms));
    assert_int_equal(w->view->join_count, 2);
}

static void tokens_to_join_with_last_a_second_to_a_week(void **state)
{
    struct world *w = *state;
    static const uint64_t week_ms = UINT64_C(7) * 24 * 60 * 60 * 1000;
    const uint64_t good[] = {1000, week_ms};
    const uint64_t bad[] = {0, 999, week_ms + 1};
    add_member(w, 1, MEMBER_UP);
    for (size_t i = 0; i < 2; i++) {
        expect_err(decide(w, decide_join_token, NULL, &good[i]), ERR_OK);
    }
    for (size_t i = 0; i < 3; i++) {
        expect_err(decide(w, decide_join_token, NULL, &bad[i]), ERR_BAD_REQUEST);
        expect_says(w, "ttl_ms");
    }
}

static void expired_tokens_make_room_for_others(void **state)
{
    struct world *w = *state;
    const uint64_t ttl_ms = 60000;
    add_member(w, 1, MEMBER_UP);
    for (int i = 0; i < 100; i++) {
        expect_err(decide(w, decide_join_token, NULL, &ttl_ms), ERR_OK);
    }
    expect_err(decide(w, decide_join_token, NULL, &ttl_ms), ERR_RATE_LIMITED);
    expect_says(w, "100");
    for (size_t i = 0; i < w->view->join_count; i += 2) {
        w->view->joins[i].expires_ms = NOW_MS;
    }
    expect_err(decide(w, decide_join_token, NULL, &ttl_ms), ERR_OK);
    assert_int_equal(w->delete_count, 50);
    assert_int_equal(w->view->join_count, 51);
}

static void a_token_lets_one_node_in(void **state)
{
    struct world *w = *state;
    add_member(w, 1, MEMBER_UP);
    add_join_token(w, "one", NOW_MS + 1);
    add_join_token(w, "late", NOW_MS);
    static const char *const bad[] = {"late", "none", NULL};
    for (size_t i = 0; i < 3; i++) {
        expect_err(say(w, decide_member_add, 2, 22, bad[i]), ERR_FORBIDDEN);
    }
    expect_err(say(w, decide_member_add, 2, 22, "one"), ERR_OK);
    assert_int_equal(w->order.status, 201);
    assert_int_equal(member(w, 2)->state, MEMBER_UP);
    assert_int_equal(w->delete_count, 1);
    expect_err(say(w, decide_member_add, 3, 33, "one"), ERR_FORBIDDEN); /* it is used up */
    expect_err(say(w, decide_member_add, 2, 22, "one"), ERR_OK); /* it did not hear the answer */
    assert_int_equal(w->put_count, 0);
}

static void an_id_belongs_to_the_data_that_it_came_with(void **state)
{
    struct world *w = *state;
    add_member(w, 1, MEMBER_UP);
    add_join_token(w, "one", NOW_MS + 1);
    add_join_token(w, "two", NOW_MS + 1);
    expect_err(say(w, decide_member_add, 2, 22, "one"), ERR_OK);
    expect_err(say(w, decide_member_add, 2, 23, "two"), ERR_CONFLICT);
    expect_says(w, "a new id");
    expect_err(say(w, decide_member_say, 2, 23, NULL), ERR_CONFLICT);
    expect_err(decide(w, decide_member_remove, "2", NULL), ERR_OK);
    expect_err(say(w, decide_member_add, 2, 22, "two"), ERR_CONFLICT);
    expect_says(w, "never used again");
    expect_err(say(w, decide_member_say, 2, 22, NULL), ERR_CONFLICT);
    assert_int_equal(w->view->join_count, 1); /* the other token is still good */
}

static void the_first_node_is_a_member_by_saying_so_and_no_other(void **state)
{
    struct world *w = *state;
    expect_err(say(w, decide_member_say, 1, 11, NULL), ERR_OK);
    assert_int_equal(w->view->member_count, 1);
    expect_err(say(w, decide_member_say, 2, 22, NULL), ERR_CONFLICT);
}

static void a_member_that_says_where_it_is_stays_what_it_was(void **state)
{
    struct world *w = *state;
    add_member(w, 1, MEMBER_UP);
    add_member(w, 2, MEMBER_DRAINING);
    member(w, 2)->birth = 22;
    expect_err(say(w, decide_member_say, 2, 22, NULL), ERR_OK);
    assert_string_equal(member(w, 2)->peer, "n2:7421");
    assert_int_equal(member(w, 2)->state, MEMBER_DRAINING);
    assert_int_equal(member(w, 2)->joined_ms, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(a_node_of_no_cluster_says_so), TEST(an_unknown_member_is_told),
          TEST(a_member_is_drained_and_comes_back),
          TEST(the_last_member_that_could_lead_is_not_drained),
          TEST(a_removed_member_never_comes_back), TEST(the_last_member_is_not_removed),
          TEST(a_token_to_join_with_is_shown_once_and_kept_as_its_hash),
          TEST(tokens_to_join_with_last_a_second_to_a_week),
          TEST(expired_tokens_make_room_for_others), TEST(a_token_lets_one_node_in),
          TEST(an_id_belongs_to_the_data_that_it_came_with),
          TEST(the_first_node_is_a_member_by_saying_so_and_no_other),
          TEST(a_member_that_says_where_it_is_stays_what_it_was))
