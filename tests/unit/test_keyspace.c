#include "storage/keyspace.h"

#include "tests/lib/storage.h"
#include "tests/lib/test.h"

static int order(const struct row_key *a, const struct row_key *b)
{
    return slice_compare(row_key_slice(a), row_key_slice(b));
}

static struct row_key listing(const char *ns, const char *class, const char *id, uint8_t first)
{
    struct identity identity = {.bytes = {first}};
    struct address address = {slice_of_str(ns), slice_of_str(class), slice_of_str(id)};
    struct row_key k;
    row_key_listing(&k, &address, &identity);
    return k;
}

static void rows_of_an_actor_lie_together_with_meta_first(void **state)
{
    (void)state;
    struct row_key meta;
    struct row_key next;
    struct row_key watch;
    row_key_meta(&meta, 255);
    row_key_watch(&watch, 255, 1, 0);
    row_key_meta(&next, 256);
    struct row_key kv = test_kv(255, "a");
    assert_true(order(&meta, &kv) < 0);
    assert_true(order(&kv, &watch) < 0);
    assert_true(order(&watch, &next) < 0);
}

static void listings_sort_by_namespace_class_id_and_identity(void **state)
{
    (void)state;
    const struct row_key sorted[] = {
        listing("a", "C", "x", 0xff),   listing("a", "C", "xa", 0), listing("a", "C", "xa", 1),
        listing("a", "C", "xaa", 0),    listing("a", "C", "y", 0),  listing("a", "Ca", "a", 0),
        listing("a-b", "C", "a", 0xff), listing("ab", "A", "a", 0),
    };
    for (size_t i = 1; i < sizeof sorted / sizeof *sorted; i++) {
        assert_true(order(&sorted[i - 1], &sorted[i]) < 0);
    }
}

static void a_record_of_the_cluster_has_a_name_of_1_to_255_bytes(void **state)
{
    (void)state;
    char name[NAME_BYTES_MAX + 1];
    struct row_key k;
    struct slice parsed;
    memset(name, 'n', NAME_BYTES_MAX);
    row_key_cluster(&k, slice_of(name, NAME_BYTES_MAX));
    expect_err(row_key_parse_cluster(row_key_slice(&k), &parsed), ERR_OK);
    assert_int_equal(parsed.len, NAME_BYTES_MAX);
    expect_err(row_key_check(row_key_slice(&k)), ERR_OK);
    row_key_append(&k, SLICE("n"));
    expect_err(row_key_check(row_key_slice(&k)), ERR_CORRUPT);
    expect_err(row_key_parse_cluster(row_key_slice(&k), &parsed), ERR_CORRUPT);
    row_key_cluster(&k, SLICE("")); /* the prefix of all, no key */
    expect_err(row_key_check(row_key_slice(&k)), ERR_CORRUPT);
}

static void a_listing_keeps_the_first_256_bytes_of_an_id(void **state)
{
    (void)state;
    char id[ID_BYTES_MAX + 1];
    memset(id, 'i', ID_BYTES_MAX);
    id[ID_BYTES_MAX] = '\0';
    struct row_key k = listing("ns", "Class", id, 7);
    struct listing_key parsed;
    expect_err(row_key_parse_listing(row_key_slice(&k), &parsed), ERR_OK);
    expect_str(parsed.ns, "ns");
    expect_str(parsed.class, "Class");
    assert_int_equal(parsed.id.len, LISTING_ID_BYTES_MAX);
    assert_int_equal(parsed.identity.bytes[0], 7);
}

static void keys_of_every_kind_come_back_as_they_went_in(void **state)
{
    (void)state;
    struct identity identity = test_identity(1);
    struct row_key k;

    struct idempotency_key idempotency;
    row_key_idempotency(&k, &identity, SLICE("retry-1"));
    expect_err(row_key_parse_idempotency(row_key_slice(&k), &idempotency), ERR_OK);
    expect_str(idempotency.key, "retry-1");
    assert_memory_equal(idempotency.identity.bytes, identity.bytes, IDENTITY_BYTES);

    row_key_idempotency_hour(&k, UINT64_C(1760000000000), &identity, SLICE("retry-1"));
    expect_err(row_key_parse_idempotency_hour(row_key_slice(&k), &idempotency), ERR_OK);
    assert_int_equal(idempotency.hour, 1760000000000 / IDEMPOTENCY_HOUR_MS);
    expect_str(idempotency.key, "retry-1");

    row_key_idempotency(&k, &identity, SLICE("")); /* the count */
    expect_err(row_key_parse_idempotency(row_key_slice(&k), &idempotency), ERR_OK);
    assert_int_equal(idempotency.key.len, 0);
    row_key_idempotency_hour(&k, UINT64_C(1760000000000), &identity, SLICE(""));
    expect_err(row_key_parse_idempotency_hour(row_key_slice(&k), &idempotency), ERR_OK);
    assert_int_equal(idempotency.key.len, 0);

    struct due_key due;
    row_key_due(&k, 77, 5, ROW_TIMER, SLICE("alarm"));
    expect_err(row_key_parse_due(row_key_slice(&k), &due), ERR_OK);
    assert_int_equal(due.due_ms, 77);
    assert_int_equal(due.number, 5);
    assert_int_equal(due.kind, ROW_TIMER);
    expect_str(due.name, "alarm");

    uint64_t number;
    row_key_dropped(&k, 9);
    expect_err(row_key_parse_dropped(row_key_slice(&k), &number), ERR_OK);
    assert_int_equal(number, 9);

    uint32_t n;
    row_key_watch(&k, 3, 1234567, 8);
    expect_err(row_key_parse_watch(row_key_slice(&k), &number, &n), ERR_OK);
    assert_int_equal(number, 1234567);
    assert_int_equal(n, 8);

    struct identity parsed;
    row_key_directory(&k, &identity);
    expect_err(row_key_parse_directory(row_key_slice(&k), &parsed), ERR_OK);
    assert_memory_equal(parsed.bytes, identity.bytes, IDENTITY_BYTES);
}

static void the_longest_keys_fit(void **state)
{
    (void)state;
    uint8_t long_name[KV_KEY_BYTES_MAX];
    memset(long_name, 0xff, sizeof long_name);
    struct row_key k;
    row_key_kv(&k, 1, slice_of(long_name, KV_KEY_BYTES_MAX));
    assert_int_equal(k.len, ROW_KEY_HEAD_BYTES + KV_KEY_BYTES_MAX);
    expect_err(row_key_check(row_key_slice(&k)), ERR_OK);
    row_key_due(&k, 1, 1, ROW_STEP, slice_of(long_name, NAME_BYTES_MAX));
    expect_err(row_key_check(row_key_slice(&k)), ERR_OK);
    expect_invariants_to_fail();
    expect_assert_failure(row_key_timer(&k, 1, slice_of(long_name, NAME_BYTES_MAX + 1)));
    expect_assert_failure(row_key_kv(&k, 0, SLICE("actor rows need a number")));
}

static void malformed_keys_are_corrupt(void **state)
{
    (void)state;
#define HEAD(kind)  "\0\0\0\0\0\0\0\0" kind
#define ACTOR(kind) "\0\0\0\0\0\0\0\1" kind
#define ID32        "0123456789abcdef0123456789abcdef"
#define ID31        "0123456789abcdef0123456789abcde"
    const struct slice malformed[] = {
        SLICE(""),
        SLICE("\0\0\0\0\0\0\0\1"), /* no kind */
        SLICE(ACTOR("\x11")),      /* no such kind */
        SLICE(HEAD("\x10")),       /* META without an actor */
        SLICE(ACTOR("\x80")),      /* APPLIED of an actor */
        SLICE(HEAD("\x80"
                   "x")), /* APPLIED takes no rest */
        SLICE(ACTOR("\x10"
                    "x")),    /* nor does META */
        SLICE(ACTOR("\x20")), /* an empty user key */
        SLICE(ACTOR("\x50"
                    "12345678901")), /* WATCH one byte short */
        SLICE(HEAD("\x90"
                   "short")), /* DIRECTORY */
        SLICE(HEAD("\x90" ID32 "x")),
        SLICE(HEAD("\xa0"
                   "ns\0Class\0id" ID32)), /* LISTING: id not closed */
        SLICE(HEAD("\xa0"
                   "\0Class\0id\0" ID32)), /* empty namespace */
        SLICE(HEAD("\xa0"
                   "ns\0Class\0id\0" ID32 "x")),
        SLICE(HEAD("\xb0" ID31)), /* IDEMPOTENCY of half an identity */
        SLICE(HEAD("\xc0"
                   "abc")), /* HOUR cut off */
        SLICE(HEAD("\xc0"
                   "hour" ID31)),
        SLICE(HEAD("\xd0"
                   "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\0\x30")), /* DUE of number 0 */
        SLICE(HEAD("\xd0"
                   "\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1\x90")), /* of a shard row */
        SLICE(HEAD("\xe0"
                   "\0\0\0\0\0\0\0\0")), /* DROPPED number 0 */
        SLICE(HEAD("\xe0"
                   "\0\0\0\1")),
    };
    for (size_t i = 0; i < sizeof malformed / sizeof *malformed; i++) {
        if (row_key_check(malformed[i]) != ERR_CORRUPT) {
            fail_msg("key %zu passed", i);
        }
    }
    uint8_t too_long[ROW_KEY_BYTES_MAX + 1] = {0, 0, 0, 0, 0, 0, 0, 1, ROW_OUTBOX};
    expect_err(row_key_check(slice_of(too_long, sizeof too_long)), ERR_CORRUPT);
    expect_err(row_key_check(slice_of(too_long, ROW_KEY_BYTES_MAX)), ERR_OK);
}

static void the_end_of_a_prefix_lies_above_all_it_covers(void **state)
{
    (void)state;
    struct row_key end = test_kv(1, "a\xff\xff");
    row_key_after_prefix(&end);
    struct row_key want = test_kv(1, "b");
    expect_slice(row_key_slice(&end), row_key_slice(&want));

    struct row_key none = {.len = 2, .bytes = {0xff, 0xff}};
    row_key_after_prefix(&none);
    assert_int_equal(none.len, 0);
}

static void a_prefix_that_does_not_fit_is_cut(void **state)
{
    (void)state;
    struct row_key k;
    uint8_t bytes[600] = {0};
    row_key_kind(&k, 1, ROW_KV);
    row_key_append(&k, slice_of(bytes, sizeof bytes));
    assert_int_equal(k.len, ROW_KEY_BYTES_MAX);
}

static void kinds_have_names(void **state)
{
    (void)state;
    assert_string_equal(row_kind_name(ROW_IDEMPOTENCY_HOUR), "IDEMPOTENCY_HOUR");
    assert_null(row_kind_name(0));
}

TEST_MAIN(cmocka_unit_test(rows_of_an_actor_lie_together_with_meta_first),
          cmocka_unit_test(listings_sort_by_namespace_class_id_and_identity),
          cmocka_unit_test(a_record_of_the_cluster_has_a_name_of_1_to_255_bytes),
          cmocka_unit_test(a_listing_keeps_the_first_256_bytes_of_an_id),
          cmocka_unit_test(keys_of_every_kind_come_back_as_they_went_in),
          cmocka_unit_test(the_longest_keys_fit), cmocka_unit_test(malformed_keys_are_corrupt),
          cmocka_unit_test(the_end_of_a_prefix_lies_above_all_it_covers),
          cmocka_unit_test(a_prefix_that_does_not_fit_is_cut), cmocka_unit_test(kinds_have_names))
