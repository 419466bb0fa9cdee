#include "node/deployment.h"

#include <string.h>

#include "node/cluster_view.h"
#include "rpc/value.h"
#include "tests/lib/test.h"

static const uint8_t no_methods[] = {0x90};
static const uint8_t two_methods[] = {0x92, 0xa3, 'a', 'd', 'd', 0xa3, 'g', 'e', 't'};
static const uint8_t no_bindings[] = {0x80};

static struct bytes *example_bundle(const char *code)
{
    struct deployed_class classes[] = {
        {SLICE("Room"), CLASS_WORKFLOW, slice_of(no_methods, sizeof no_methods)},
        {SLICE("Counter"), CLASS_OBJECT, slice_of(two_methods, sizeof two_methods)},
    };
    const struct deployment d = {.main = SLICE("main.js"),
                                 .has_default = true,
                                 .bindings = slice_of(no_bindings, sizeof no_bindings),
                                 .env = SLICE("\x80"),
                                 .egress = SLICE(""),
                                 .modules = slice_of_str(code),
                                 .source_maps = SLICE(""),
                                 .class_count = 2,
                                 .classes = classes};
    struct buf out = {0};
    bundle_encode(&d, &out);
    struct bytes *bundle = bytes_new(buf_slice(&out));
    buf_done(&out);
    return bundle;
}

static void a_bundle_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct bytes *bundle = example_bundle("code");
    struct deployment *d;
    expect_err(deployment_new(SLICE("app"), 7, 1000, bundle, &d), ERR_OK);
    bytes_unref(bundle);
    assert_string_equal(d->ns, "app");
    assert_int_equal(d->version, 7);
    assert_int_equal(d->created_ms, 1000);
    assert_true(d->has_default);
    expect_str(d->main, "main.js");
    expect_str(d->modules, "code");
    expect_slice(d->env, SLICE("\x80"));
    assert_int_equal(d->egress.len, 0);
    assert_int_equal(d->class_count, 2);
    const struct deployed_class *c = deployment_class(d, SLICE("Counter"));
    assert_non_null(c);
    assert_int_equal(c->kind, CLASS_OBJECT);
    assert_int_equal(value_count(c->methods), 2);
    assert_int_equal(deployment_class(d, SLICE("Room"))->kind, CLASS_WORKFLOW);
    deployment_unref(d);
}

static void a_class_that_was_not_deployed_is_not_found(void **state)
{
    (void)state;
    struct bytes *bundle = example_bundle("code");
    struct deployment *d;
    expect_err(deployment_new(SLICE("app"), 1, 1, bundle, &d), ERR_OK);
    assert_null(deployment_class(d, SLICE("Count")));
    assert_null(deployment_class(d, SLICE("Store")));
    assert_null(deployment_class(NULL, SLICE("Counter")));
    deployment_unref(d);
    bytes_unref(bundle);
}

static void a_bundle_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    struct bytes *whole = example_bundle("code");
    for (size_t len = 0; len < whole->len; len++) {
        struct bytes *cut = bytes_new(slice_of(whole->data, len));
        struct deployment *d;
        expect_err(deployment_new(SLICE("app"), 1, 1, cut, &d), ERR_CORRUPT);
        bytes_unref(cut);
    }
    bytes_unref(whole);
}

static void every_kind_of_class_has_a_name(void **state)
{
    (void)state;
    for (int i = 0; i < CLASS_KIND_COUNT; i++) {
        enum class_kind kind;
        assert_true(class_kind_of_name(slice_of_str(class_kind_name((enum class_kind)i)), &kind));
        assert_int_equal(kind, i);
    }
    enum class_kind kind;
    assert_false(class_kind_of_name(SLICE("thing"), &kind));
}

/* Releases */

static struct release example_release(const char *ns, uint64_t version, uint8_t hash,
                                      uint32_t bytes)
{
    struct release r = {.version = version, .created_ms = 100 + version, .bytes = bytes};
    memcpy(r.ns, ns, strlen(ns));
    memset(r.hash, hash, sizeof r.hash);
    return r;
}

static void add_release(struct deployments *s, const char *ns, uint64_t version, uint8_t hash,
                        uint32_t bytes)
{
    static const uint8_t classes[] = {0x91, 0xa1, 'C'};
    struct release r = example_release(ns, version, hash, bytes);
    struct buf payload = {0};
    char name[RELEASE_NAME_BYTES + 1];
    r.classes = bytes_new(slice_of(classes, sizeof classes));
    release_record_name(&r, name);
    release_encode(&r, &payload);
    expect_err(deployments_add(s, slice_of_str(name), buf_slice(&payload)), ERR_OK);
    buf_done(&payload);
    release_done(&r);
}

static void a_release_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct deployments s = {0};
    size_t count;
    add_release(&s, "app-1", 0x123456789abcd, 0xa5, 77);
    const struct release *r = deployments_releases(&s, SLICE("app-1"), &count);
    assert_int_equal(count, 1);
    assert_string_equal(r->ns, "app-1");
    assert_int_equal(r->version, 0x123456789abcd);
    assert_int_equal(r->created_ms, 100 + r->version);
    assert_int_equal(r->bytes, 77);
    assert_int_equal(r->hash[31], 0xa5);
    assert_int_equal(value_count(bytes_slice(r->classes)), 1);
    deployments_done(&s);
}

static void a_release_of_a_malformed_name_or_payload_is_corrupt(void **state)
{
    (void)state;
    static const char *const names[] = {
        "deployment/app/",
        "deployment/app/0000000000000000",
        "deployment/app",
        "deployment/App/0000000000000001",
        "deployment//0000000000000001",
        "deployment/app/00000000000000001",
    };
    struct release r = example_release("app", 1, 1, 1);
    struct release back;
    struct buf payload = {0};
    char name[RELEASE_NAME_BYTES + 1];
    r.classes = bytes_new(SLICE("\x90"));
    release_encode(&r, &payload);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        expect_err(release_decode(slice_of_str(names[i]), buf_slice(&payload), &back), ERR_CORRUPT);
    }
    release_record_name(&r, name);
    for (size_t len = 0; len < payload.len; len++) {
        expect_err(release_decode(slice_of_str(name), slice_of(payload.data, len), &back),
                   ERR_CORRUPT);
    }
    buf_done(&payload);
    release_done(&r);
}

static void pieces_sort_after_all_other_records_and_by_their_number(void **state)
{
    (void)state;
    char first[PIECE_NAME_BYTES + 1];
    char later[PIECE_NAME_BYTES + 1];
    uint32_t i;
    uint8_t hash[DIGEST_BYTES] = {0xff};
    piece_record_name(hash, 9, first);
    piece_record_name(hash, 0x10, later);
    assert_true(strcmp(first, later) < 0);
    assert_true(strcmp("token/ff", LARGE_RECORDS) < 0);
    assert_true(strcmp(LARGE_RECORDS, first) < 0);
    assert_int_equal(strlen(first), PIECE_NAME_BYTES);
    assert_true(piece_record_number(slice_of_str(later), &i));
    assert_int_equal(i, 0x10);
    assert_false(piece_record_number(SLICE("token/ff"), &i));
}

static void a_bundle_has_as_many_pieces_as_it_needs(void **state)
{
    (void)state;
    static const struct {
        uint32_t bytes;
        uint32_t pieces;
    } cases[] = {{1, 1}, {PIECE_BYTES, 1}, {PIECE_BYTES + 1, 2}, {BUNDLE_BYTES_MAX, 22}};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct release r = example_release("app", 1, 1, cases[i].bytes);
        assert_int_equal(release_piece_count(&r), cases[i].pieces);
    }
}

/* Views */

static void the_highest_version_of_each_namespace_is_in_force(void **state)
{
    (void)state;
    struct deployments s = {0};
    struct bytes *bundle = example_bundle("code");
    const struct release *r;
    size_t count;
    add_release(&s, "app", 1, 1, 10);
    add_release(&s, "app", 2, 2, 20);
    add_release(&s, "other", 9, 3, 30);
    assert_int_equal(deployments_bytes(&s), 50);
    while ((r = deployments_missing(&s)) != NULL) {
        expect_err(deployments_give(&s, r, bundle), ERR_OK);
    }
    assert_int_equal(deployments_find(&s, SLICE("app"))->version, 2);
    assert_int_equal(deployments_find(&s, SLICE("other"))->version, 9);
    assert_null(deployments_find(&s, SLICE("ap")));
    r = deployments_releases(&s, SLICE("app"), &count);
    assert_int_equal(count, 2);
    assert_int_equal(r[0].version, 1);
    assert_null(deployments_releases(&s, SLICE("none"), &count));
    assert_int_equal(count, 0);
    deployments_done(&s);
    bytes_unref(bundle);
}

static void a_view_takes_over_what_the_former_one_has_and_wants_the_rest(void **state)
{
    (void)state;
    struct deployments old = {0};
    struct deployments new = {0};
    struct bytes *bundle = example_bundle("code");
    const struct release *r;
    add_release(&old, "app", 1, 1, 10);
    add_release(&old, "back", 1, 5, 10);
    add_release(&old, "gone", 1, 3, 10);
    while ((r = deployments_missing(&old)) != NULL) {
        expect_err(deployments_give(&old, r, bundle), ERR_OK);
    }
    add_release(&new, "app", 1, 1, 10);
    add_release(&new, "back", 1, 5, 10);
    add_release(&new, "back", 2, 5, 10); /* the same bundle under another version */
    add_release(&new, "fresh", 1, 4, 10);
    deployments_share(&new, &old);
    assert_ptr_equal(deployments_find(&new, SLICE("app")), deployments_find(&old, SLICE("app")));
    assert_int_equal(deployments_find(&new, SLICE("back"))->version, 2);
    assert_ptr_equal(deployments_find(&new, SLICE("back"))->bundle, bundle);
    r = deployments_missing(&new);
    assert_string_equal(r->ns, "fresh");
    expect_err(deployments_give(&new, r, bundle), ERR_OK);
    assert_null(deployments_missing(&new));
    deployments_done(&old);
    assert_int_equal(deployments_find(&new, SLICE("app"))->version, 1);
    deployments_done(&new);
    bytes_unref(bundle);
}

static void a_bundle_that_cannot_be_had_leaves_the_namespace_without_code(void **state)
{
    (void)state;
    struct deployments s = {0};
    struct bytes *bad = bytes_new(SLICE("\x80"));
    add_release(&s, "app", 1, 1, 10);
    expect_err(deployments_give(&s, deployments_missing(&s), NULL), ERR_OK);
    add_release(&s, "bad", 1, 1, 10);
    expect_err(deployments_give(&s, deployments_missing(&s), bad), ERR_CORRUPT);
    assert_null(deployments_missing(&s));
    assert_null(deployments_find(&s, SLICE("app")));
    assert_null(deployments_find(&s, SLICE("bad")));
    deployments_done(&s);
    bytes_unref(bad);
}

static void a_cluster_view_finds_the_deployment_of_a_namespace(void **state)
{
    (void)state;
    struct cluster_view *v = cluster_view_new();
    struct bytes *bundle = example_bundle("code");
    struct release r = example_release("app", 3, 1, 10);
    struct buf payload = {0};
    char name[RELEASE_NAME_BYTES + 1];
    r.classes = bytes_new(SLICE("\x90"));
    release_record_name(&r, name);
    release_encode(&r, &payload);
    assert_null(cluster_view_deployment(v, SLICE("app")));
    expect_err(cluster_view_add(v, slice_of_str(name), buf_slice(&payload)), ERR_OK);
    expect_err(deployments_give(&v->deployments, deployments_missing(&v->deployments), bundle),
               ERR_OK);
    struct deployment *d = deployment_ref(cluster_view_deployment(v, SLICE("app")));
    cluster_view_unref(v);
    assert_int_equal(d->version, 3); /* it outlives the view */
    deployment_unref(d);
    buf_done(&payload);
    release_done(&r);
    bytes_unref(bundle);
}

TEST_MAIN(cmocka_unit_test(a_bundle_reads_back_as_it_was_written),
          cmocka_unit_test(a_class_that_was_not_deployed_is_not_found),
          cmocka_unit_test(a_bundle_cut_anywhere_is_corrupt),
          cmocka_unit_test(every_kind_of_class_has_a_name),
          cmocka_unit_test(a_release_reads_back_as_it_was_written),
          cmocka_unit_test(a_release_of_a_malformed_name_or_payload_is_corrupt),
          cmocka_unit_test(pieces_sort_after_all_other_records_and_by_their_number),
          cmocka_unit_test(a_bundle_has_as_many_pieces_as_it_needs),
          cmocka_unit_test(the_highest_version_of_each_namespace_is_in_force),
          cmocka_unit_test(a_view_takes_over_what_the_former_one_has_and_wants_the_rest),
          cmocka_unit_test(a_bundle_that_cannot_be_had_leaves_the_namespace_without_code),
          cmocka_unit_test(a_cluster_view_finds_the_deployment_of_a_namespace))
