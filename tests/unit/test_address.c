#include "base/address.h"
#include "base/identity_cache.h"

#include "tests/lib/test.h"

static const uint8_t key_a[ADDRESS_KEY_BYTES] = {1};
static const uint8_t key_b[ADDRESS_KEY_BYTES] = {2};

static struct address address_of(const char *ns, const char *class, const char *id)
{
    return (struct address){slice_of_str(ns), slice_of_str(class), slice_of_str(id)};
}

static void well_formed_addresses_pass(void **state)
{
    (void)state;
    const char *const namespaces[] = {"a", "0", "my-app", "a-"};
    const char *const classes[] = {"A", "Store", "a_1"};
    const char *const ids[] = {"x", "user/1", "\xc3\xa4", "...", "\xf0\x9f\x90\xad"};
    for (size_t i = 0; i < 3; i++) {
        struct address a = address_of(namespaces[i], classes[i], ids[i]);
        expect_err(address_check(&a), ERR_OK);
    }
    struct address a = address_of(namespaces[3], "S", ids[4]);
    expect_err(address_check(&a), ERR_OK);
}

static void malformed_addresses_are_refused(void **state)
{
    (void)state;
    const struct address bad[] = {
        address_of("", "A", "x"),         address_of("-a", "A", "x"),
        address_of("A", "A", "x"),        address_of("a_b", "A", "x"),
        address_of("a", "", "x"),         address_of("a", "1A", "x"),
        address_of("a", "_A", "x"),       address_of("a", "A-b", "x"),
        address_of("a", "A", ""),         address_of("a", "A", "."),
        address_of("a", "A", ".."),       address_of("a", "A", "\xff"),
        address_of("a", "A", "\xc0\x80"), {SLICE("a"), SLICE("A"), SLICE("x\0y")},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        expect_err(address_check(&bad[i]), ERR_INVALID_ID);
    }
}

static void an_id_of_512_bytes_passes_and_of_513_does_not(void **state)
{
    (void)state;
    uint8_t id[ID_BYTES_MAX + 1];
    memset(id, 'x', sizeof id);
    struct address a = {SLICE("a"), SLICE("A"), slice_of(id, ID_BYTES_MAX)};
    expect_err(address_check(&a), ERR_OK);
    a.id.len++;
    expect_err(address_check(&a), ERR_INVALID_ID);
}

static void hex_of(const struct identity *identity, char ret_hex[2 * IDENTITY_BYTES + 1])
{
    for (size_t i = 0; i < IDENTITY_BYTES; i++) {
        (void)snprintf(ret_hex + 2 * i, 3, "%02x", identity->bytes[i]);
    }
}

static void the_hex_string_of_an_identity_addresses_the_same_actor(void **state)
{
    (void)state;
    struct address by_name = address_of("a", "A", "x");
    struct identity named = address_identity(&by_name, key_a);
    char hex[2 * IDENTITY_BYTES + 1];
    hex_of(&named, hex);
    struct address by_hex = address_of("a", "A", hex);
    struct identity same = address_identity(&by_hex, key_a);
    assert_memory_equal(&named, &same, sizeof named);
}

static void hex_of_another_class_or_cluster_is_a_name(void **state)
{
    (void)state;
    struct address by_name = address_of("a", "A", "x");
    struct identity named = address_identity(&by_name, key_a);
    char hex[2 * IDENTITY_BYTES + 1];
    hex_of(&named, hex);

    struct address other_class = address_of("a", "B", hex);
    struct identity other = address_identity(&other_class, key_a);
    assert_memory_not_equal(&named, &other, sizeof named);

    struct address by_hex = address_of("a", "A", hex);
    other = address_identity(&by_hex, key_b);
    assert_memory_not_equal(&named, &other, sizeof named);
}

static void parts_do_not_run_into_each_other(void **state)
{
    (void)state;
    struct address one = address_of("ab", "C", "d");
    struct address two = address_of("a", "bC", "d");
    struct identity i1 = address_identity(&one, key_a);
    struct identity i2 = address_identity(&two, key_a);
    assert_memory_not_equal(&i1, &i2, sizeof i1);
}

static void the_cache_gives_the_identity_of_each_address(void **state)
{
    (void)state;
    struct identity_cache cache = {0};
    char long_id[200];
    memset(long_id, 'x', sizeof long_id - 1);
    long_id[sizeof long_id - 1] = '\0';
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 20000; i++) { /* more than there are places */
            char id[32];
            (void)snprintf(id, sizeof id, "actor-%d", i);
            struct address a = address_of("ns", "Store", i % 1000 == 0 ? long_id : id);
            struct identity got = identity_cache_get(&cache, &a, key_a);
            struct identity want = address_identity(&a, key_a);
            assert_memory_equal(&got, &want, sizeof got);
        }
    }
    identity_cache_done(&cache);
}

static void the_cache_tells_addresses_with_the_same_letters_apart(void **state)
{
    (void)state;
    struct identity_cache cache = {0};
    struct address one = address_of("ab", "C", "d");
    struct address two = address_of("a", "bC", "d");
    struct identity i1 = identity_cache_get(&cache, &one, key_a);
    struct identity i2 = identity_cache_get(&cache, &two, key_a);
    assert_memory_not_equal(&i1, &i2, sizeof i1);
    identity_cache_done(&cache);
}

TEST_MAIN(cmocka_unit_test(the_cache_gives_the_identity_of_each_address),
          cmocka_unit_test(the_cache_tells_addresses_with_the_same_letters_apart),
          cmocka_unit_test(well_formed_addresses_pass),
          cmocka_unit_test(malformed_addresses_are_refused),
          cmocka_unit_test(an_id_of_512_bytes_passes_and_of_513_does_not),
          cmocka_unit_test(the_hex_string_of_an_identity_addresses_the_same_actor),
          cmocka_unit_test(hex_of_another_class_or_cluster_is_a_name),
          cmocka_unit_test(parts_do_not_run_into_each_other))
