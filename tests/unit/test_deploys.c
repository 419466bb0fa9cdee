#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "node/deployment.h"
#include "node/order.h"
#include "node/release.h"
#include "rpc/value.h"
#include "storage/batch.h"
#include "tests/lib/test.h"

/* Orders about what is deployed, decided against views of the cluster and carried out on its records. */

enum { RECORDS_MAX = 512, NAME_ROOM = 256 };

struct row {
    char name[NAME_ROOM];
    struct bytes *payload;
};

struct world {
    struct row rows[RECORDS_MAX]; /* in the order of their names */
    size_t row_count;
    struct cluster_view *view;
    struct order order;
    struct token asker;
    bool has_asker;
};

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
    for (size_t i = 0; i < w->row_count; i++) {
        bytes_unref(w->rows[i].payload);
    }
    mem_free(w);
    return 0;
}

/* Records */

static struct row *find_row(struct world *w, const char *name)
{
    for (size_t i = 0; i < w->row_count; i++) {
        if (strcmp(w->rows[i].name, name) == 0) {
            return &w->rows[i];
        }
    }
    return NULL;
}

static int by_row_name(const void *left, const void *right)
{
    const struct row *l = left;
    const struct row *r = right;
    return strcmp(l->name, r->name);
}

static void put_row(struct world *w, const char *name, struct slice payload)
{
    struct row *row = find_row(w, name);
    if (row == NULL) {
        assert_true(w->row_count < RECORDS_MAX);
        row = &w->rows[w->row_count++];
        (void)snprintf(row->name, sizeof row->name, "%s", name);
    } else {
        bytes_unref(row->payload);
    }
    row->payload = bytes_new(payload);
    qsort(w->rows, w->row_count, sizeof w->rows[0], by_row_name);
}

static void delete_row(struct world *w, const char *name)
{
    struct row *row = find_row(w, name);
    assert_non_null(row); /* nothing is deleted that is not there */
    bytes_unref(row->payload);
    *row = w->rows[--w->row_count];
    qsort(w->rows, w->row_count, sizeof w->rows[0], by_row_name);
}

static size_t count_rows(const struct world *w, const char *prefix)
{
    size_t count = 0;
    for (size_t i = 0; i < w->row_count; i++) {
        count += strncmp(w->rows[i].name, prefix, strlen(prefix)) == 0 ? 1 : 0;
    }
    return count;
}

static struct bytes *join_pieces(struct world *w, const struct release *r)
{
    struct buf whole = {0};
    char name[PIECE_NAME_BYTES + 1];
    for (uint32_t i = 0; i < release_piece_count(r); i++) {
        piece_record_name(r->hash, i, name);
        const struct row *row = find_row(w, name);
        assert_non_null(row); /* a release has its bundle */
        assert_true(row->payload->len <= PIECE_BYTES);
        buf_append_slice(&whole, bytes_slice(row->payload));
    }
    struct bytes *bundle = bytes_new(buf_slice(&whole));
    assert_int_equal(bundle->len, r->bytes);
    buf_done(&whole);
    return bundle;
}

/* What every release names is there, and nothing else. */
static void check_pieces(struct world *w)
{
    size_t named = 0;
    const struct deployments *s = &w->view->deployments;
    for (size_t i = 0; i < s->release_count; i++) {
        bool is_first = true;
        for (size_t j = 0; j < i; j++) {
            is_first = is_first && !release_has_bundle_of(&s->releases[i], &s->releases[j]);
        }
        bytes_unref(join_pieces(w, &s->releases[i]));
        named += is_first ? release_piece_count(&s->releases[i]) : 0;
    }
    assert_int_equal(count_rows(w, "~code/"), named);
}

static void load(struct world *w)
{
    const struct release *r;
    cluster_view_unref(w->view);
    w->view = cluster_view_new();
    for (size_t i = 0; i < w->row_count; i++) {
        if (strcmp(w->rows[i].name, LARGE_RECORDS) < 0) {
            expect_err(cluster_view_add(w->view, slice_of_str(w->rows[i].name),
                                        bytes_slice(w->rows[i].payload)),
                       ERR_OK);
        }
    }
    while ((r = deployments_missing(&w->view->deployments)) != NULL) {
        struct bytes *bundle = join_pieces(w, r);
        expect_err(deployments_give(&w->view->deployments, r, bundle), ERR_OK);
        bytes_unref(bundle);
    }
    check_pieces(w);
}

static void carry_out(struct world *w, struct records_changes *c)
{
    struct batch_reader r;
    struct batch_op op;
    struct slice name;
    char text[NAME_ROOM];
    const struct batch_header header = {.version = 1, .log_time_ms = 1};
    expect_err(batch_end(&c->builder, &header), ERR_OK);
    expect_err(batch_open(&r, buf_slice(&c->batch)), ERR_OK);
    while (r.ops_left > 0) {
        expect_err(batch_next(&r, &op), ERR_OK);
        expect_err(row_key_parse_cluster(op.key, &name), ERR_OK);
        (void)snprintf(text, sizeof text, "%.*s", (int)name.len, (const char *)name.data);
        if (op.type == BATCH_PUT) {
            put_row(w, text, op.payload);
        } else {
            delete_row(w, text);
        }
    }
}

/* Orders */

typedef enum err decider(struct order *o, const struct cluster_view *v, struct records_changes *c);

static uint64_t now_ms = 1000;

static enum err decide(struct world *w, decider *d, const char *ns, struct buf *body)
{
    struct records_changes c = {0};
    order_done(&w->order);
    order_init(&w->order, ORDER_DEPLOY);
    w->order.wall_ms = now_ms++;
    w->order.subject = bytes_new(slice_of_str(ns));
    w->order.asker = w->has_asker ? &w->asker : NULL;
    w->order.body = body->len > 0 ? bytes_new(buf_slice(body)) : NULL;
    buf_done(body);
    batch_begin(&c.builder, &c.batch);
    enum err err = d(&w->order, w->view, &c);
    assert_int_equal(err, w->order.error.err);
    if (err == ERR_OK) { /* else nothing of it is written */
        carry_out(w, &c);
        load(w);
    }
    buf_done(&c.batch);
    return err;
}

/* A bundle that differs from others by its seed. */
static struct bytes *make_bundle(const char *class, size_t bytes, uint32_t seed)
{
    struct deployed_class c = {slice_of_str(class), CLASS_OBJECT, SLICE("\x90")};
    struct buf code = {0};
    struct buf out = {0};
    buf_append_u32(&code, seed);
    memset(buf_extend(&code, bytes), 'x', bytes);
    const struct deployment d = {.main = SLICE("main.js"),
                                 .bindings = SLICE("\x80"),
                                 .env = SLICE("\x80"),
                                 .modules = buf_slice(&code),
                                 .class_count = 1,
                                 .classes = &c};
    bundle_encode(&d, &out);
    struct bytes *bundle = bytes_new(buf_slice(&out));
    buf_done(&out);
    buf_done(&code);
    return bundle;
}

static struct buf order_of(struct slice bundle, struct slice hash)
{
    struct buf body = {0};
    value_put_map(&body, 2);
    value_put_text(&body, "hash");
    value_put_bin(&body, hash);
    value_put_text(&body, "bundle");
    value_put_bin(&body, bundle);
    return body;
}

static enum err deploy_sized(struct world *w, const char *ns, size_t bytes, uint32_t seed)
{
    struct bytes *bundle = make_bundle("Counter", bytes, seed);
    const struct slice whole = bytes_slice(bundle);
    uint8_t hash[DIGEST_BYTES];
    digest_of(&whole, 1, hash, sizeof hash);
    struct buf body = order_of(whole, slice_of(hash, sizeof hash));
    bytes_unref(bundle);
    return decide(w, decide_deploy, ns, &body);
}

static enum err deploy(struct world *w, const char *ns, uint32_t seed)
{
    return deploy_sized(w, ns, 10, seed);
}

/* `version` 0: none is said. */
static enum err roll_back(struct world *w, const char *ns, uint64_t version)
{
    struct buf body = {0};
    if (version != 0) {
        value_put_map(&body, 1);
        value_put_text(&body, "version");
        value_put_uint(&body, version);
    }
    return decide(w, decide_rollback, ns, &body);
}

static uint64_t said(const struct world *w, const char *member)
{
    struct slice doc;
    uint64_t number = 0;
    if (value_member(buf_slice(&w->order.document), member, &doc)) {
        assert_true(value_get_uint(doc, &number));
    }
    return number;
}

static uint32_t seed_in_force(const struct world *w, const char *ns)
{
    const struct deployment *d = cluster_view_deployment(w->view, slice_of_str(ns));
    assert_non_null(d);
    return (uint32_t)d->modules.data[0] << 24 | (uint32_t)d->modules.data[1] << 16 |
           (uint32_t)d->modules.data[2] << 8 | d->modules.data[3];
}

/* Tests */

static void each_deploy_is_the_next_version_of_its_namespace(void **state)
{
    struct world *w = *state;
    expect_err(deploy(w, "app", 1), ERR_OK);
    assert_int_equal(w->order.status, 200);
    assert_int_equal(said(w, "version"), 1);
    expect_err(deploy(w, "other", 2), ERR_OK);
    assert_int_equal(said(w, "version"), 1);
    expect_err(deploy(w, "app", 3), ERR_OK);
    assert_int_equal(said(w, "version"), 2);
    assert_int_equal(cluster_view_deployment(w->view, SLICE("app"))->version, 2);
    assert_int_equal(seed_in_force(w, "app"), 3);
    assert_int_equal(seed_in_force(w, "other"), 2);
}

static void an_answer_names_the_classes(void **state)
{
    struct world *w = *state;
    struct slice classes;
    struct slice name;
    expect_err(deploy(w, "app", 1), ERR_OK);
    assert_true(value_member(buf_slice(&w->order.document), "classes", &classes));
    struct value_iter it = value_items(classes);
    assert_true(value_next(&it, &name));
    assert_true(value_get_str(name, &name));
    expect_str(name, "Counter");
}

static void the_same_code_again_is_another_version_of_one_bundle(void **state)
{
    struct world *w = *state;
    expect_err(deploy(w, "app", 1), ERR_OK);
    expect_err(deploy(w, "app", 1), ERR_OK);
    expect_err(deploy(w, "staging", 1), ERR_OK);
    assert_int_equal(count_rows(w, "deployment/"), 3);
    assert_int_equal(count_rows(w, "~code/"), 1);
}

static void a_large_bundle_lies_in_pieces(void **state)
{
    struct world *w = *state;
    expect_err(deploy_sized(w, "app", 3 * PIECE_BYTES, 1), ERR_OK);
    assert_int_equal(count_rows(w, "~code/"), 4);
    assert_int_equal(seed_in_force(w, "app"), 1);
}

static void the_last_releases_are_kept_and_older_ones_go_with_their_code(void **state)
{
    struct world *w = *state;
    size_t count;
    for (uint32_t i = 1; i <= RELEASES_MAX + 5; i++) {
        expect_err(deploy(w, "app", i), ERR_OK);
    }
    const struct release *r = deployments_releases(&w->view->deployments, SLICE("app"), &count);
    assert_int_equal(count, RELEASES_MAX);
    assert_int_equal(r[0].version, 6);
    assert_int_equal(count_rows(w, "~code/"), RELEASES_MAX); /* load() has checked which */
}

static void code_that_another_namespace_names_stays(void **state)
{
    struct world *w = *state;
    expect_err(deploy(w, "app", 1), ERR_OK);
    expect_err(deploy(w, "other", 1), ERR_OK);
    for (uint32_t i = 2; i <= RELEASES_MAX + 1; i++) {
        expect_err(deploy(w, "app", i), ERR_OK);
    }
    assert_int_equal(seed_in_force(w, "other"), 1);
}

static void a_rollback_is_a_new_version_of_the_one_before(void **state)
{
    struct world *w = *state;
    expect_err(deploy(w, "app", 1), ERR_OK);
    expect_err(deploy(w, "app", 2), ERR_OK);
    expect_err(roll_back(w, "app", 0), ERR_OK);
    assert_int_equal(said(w, "version"), 3);
    assert_int_equal(said(w, "of"), 1);
    assert_int_equal(seed_in_force(w, "app"), 1);
    assert_int_equal(cluster_view_deployment(w->view, SLICE("app"))->version, 3);
}

static void a_rollback_may_name_any_version_that_is_kept(void **state)
{
    struct world *w = *state;
    for (uint32_t i = 1; i <= RELEASES_MAX + 1; i++) {
        expect_err(deploy(w, "app", i), ERR_OK);
    }
    expect_err(roll_back(w, "app", 1), ERR_NO_SUCH_DEPLOYMENT);
    expect_err(roll_back(w, "app", 99), ERR_NO_SUCH_DEPLOYMENT);
    expect_err(roll_back(w, "app", 2), ERR_OK); /* its own record goes, its code stays */
    assert_int_equal(seed_in_force(w, "app"), 2);
    expect_err(roll_back(w, "app", RELEASES_MAX + 1), ERR_OK);
    assert_int_equal(seed_in_force(w, "app"), RELEASES_MAX + 1);
}

static void there_must_be_something_to_roll_back_to(void **state)
{
    struct world *w = *state;
    expect_err(roll_back(w, "app", 0), ERR_NO_SUCH_DEPLOYMENT);
    expect_err(deploy(w, "app", 1), ERR_OK);
    expect_err(roll_back(w, "app", 0), ERR_NO_SUCH_DEPLOYMENT);
    expect_err(roll_back(w, "app", 1), ERR_OK);
}

static void a_malformed_rollback_is_refused(void **state)
{
    struct world *w = *state;
    expect_err(deploy(w, "app", 1), ERR_OK);
    static const char *const bodies[] = {"\x90", "\x81\xa7version\x00", "\x81\xa7version\xa1x",
                                         "\x81\xa7vversio\x01"};
    static const size_t lengths[] = {1, 10, 11, 10};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
        struct buf body = {0};
        buf_append(&body, bodies[i], lengths[i]);
        expect_err(decide(w, decide_rollback, "app", &body), ERR_BAD_REQUEST);
    }
}

static void a_namespace_that_is_none_is_refused(void **state)
{
    struct world *w = *state;
    expect_err(deploy(w, "App", 1), ERR_INVALID_ID);
    expect_err(roll_back(w, "a/b", 1), ERR_INVALID_ID);
}

/* The token was good where it was looked at; what counts is what it is here and now. */
static void a_token_needs_the_scope_and_the_namespace_where_it_is_decided(void **state)
{
    struct world *w = *state;
    w->has_asker = true;
    w->asker = (struct token){.scopes = SCOPE_DEPLOY, .ns = "app"};
    expect_err(deploy(w, "app", 1), ERR_OK);
    expect_err(deploy(w, "other", 1), ERR_FORBIDDEN);
    w->asker.scopes = SCOPE_ADMIN | SCOPE_CALL;
    expect_err(deploy(w, "app", 1), ERR_FORBIDDEN);
    expect_err(roll_back(w, "app", 1), ERR_FORBIDDEN);
}

static void what_no_node_could_read_is_not_written(void **state)
{
    struct world *w = *state;
    uint8_t hash[DIGEST_BYTES] = {1};
    struct buf nothing = {0};
    struct buf bad = order_of(SLICE("\x80"), slice_of(hash, sizeof hash));
    struct buf unnamed = order_of(SLICE("\x80"), SLICE("short"));
    struct buf empty = order_of(SLICE(""), slice_of(hash, sizeof hash));
    expect_err(decide(w, decide_deploy, "app", &bad), ERR_CORRUPT);
    expect_err(decide(w, decide_deploy, "app", &unnamed), ERR_CORRUPT);
    expect_err(decide(w, decide_deploy, "app", &empty), ERR_CORRUPT);
    expect_err(decide(w, decide_deploy, "app", &nothing), ERR_CORRUPT);
}

/* Every node has them all in memory. */
static void what_is_in_force_has_a_limit_and_a_smaller_version_makes_room(void **state)
{
    struct world *w = *state;
    enum { LARGE = 20 << 20, FIT = 12 };
    char ns[16];
    for (uint32_t i = 0; i < FIT; i++) {
        (void)snprintf(ns, sizeof ns, "app%u", i);
        expect_err(deploy_sized(w, ns, LARGE, 1),
                   ERR_OK); /* one bundle: the records have it once */
    }
    expect_err(deploy_sized(w, "more", LARGE, 1), ERR_STORAGE_FULL);
    assert_string_equal(w->order.error.limit.name, "deployed_bytes");
    expect_err(deploy_sized(w, "app0", LARGE, 1), ERR_OK); /* in place of its own */
    expect_err(deploy(w, "app0", 1), ERR_OK);
    expect_err(deploy_sized(w, "more", LARGE, 1), ERR_OK);
    expect_err(roll_back(w, "app0", 1), ERR_STORAGE_FULL);
}

/* Each view lists all of their releases. */
static void namespaces_with_code_are_limited_in_number(void **state)
{
    struct world *w = *state;
    enum { MAX = 1000 };
    struct release r = {.version = 1, .bytes = 1, .classes = bytes_new(SLICE("\x90"))};
    struct buf record = {0};
    char name[RELEASE_NAME_BYTES + 1];
    release_encode(&r, &record);
    for (int i = 0; i < MAX; i++) {
        (void)snprintf(r.ns, sizeof r.ns, "a%d", i);
        release_record_name(&r, name);
        expect_err(deployments_add(&w->view->deployments, slice_of_str(name), buf_slice(&record)),
                   ERR_OK);
    }
    expect_err(deploy(w, "more", 1), ERR_STORAGE_FULL);
    assert_string_equal(w->order.error.limit.name, "deployed_namespaces");
    assert_int_equal(w->order.error.limit.value, MAX);
    buf_done(&record);
    release_done(&r);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

TEST_MAIN(TEST(each_deploy_is_the_next_version_of_its_namespace), TEST(an_answer_names_the_classes),
          TEST(the_same_code_again_is_another_version_of_one_bundle),
          TEST(a_large_bundle_lies_in_pieces),
          TEST(the_last_releases_are_kept_and_older_ones_go_with_their_code),
          TEST(code_that_another_namespace_names_stays),
          TEST(a_rollback_is_a_new_version_of_the_one_before),
          TEST(a_rollback_may_name_any_version_that_is_kept),
          TEST(there_must_be_something_to_roll_back_to), TEST(a_malformed_rollback_is_refused),
          TEST(a_namespace_that_is_none_is_refused),
          TEST(a_token_needs_the_scope_and_the_namespace_where_it_is_decided),
          TEST(what_no_node_could_read_is_not_written),
          TEST(namespaces_with_code_are_limited_in_number),
          TEST(what_is_in_force_has_a_limit_and_a_smaller_version_makes_room))
