#include "node/secret.h"

#include <string.h>

#include "rpc/value.h"
#include "tests/lib/test.h"

static const uint8_t root[SEAL_ROOT_BYTES] = {1, 2, 3};

static struct secret secret_of(const char *ns, const char *name)
{
    struct secret s = {.created_ms = 1, .updated_ms = 2};
    memcpy(s.ns, ns, strlen(ns));
    memcpy(s.name, name, strlen(name));
    return s;
}

static void what_is_sealed_opens_with_the_same_key_and_context_alone(void **state)
{
    uint8_t key[SEAL_KEY_BYTES];
    uint8_t other[SEAL_KEY_BYTES];
    struct buf sealed = {0};
    struct buf plain = {0};
    (void)state;
    seal_key_derive(root, "one", key);
    seal_key_derive(root, "two", other);
    seal_close(key, SLICE("here"), SLICE("hello"), &sealed);
    assert_int_equal(sealed.len, 5 + SEAL_OVERHEAD_BYTES);
    assert_int_equal(seal_open(other, SLICE("here"), buf_slice(&sealed), &plain), ERR_CORRUPT);
    assert_int_equal(seal_open(key, SLICE("there"), buf_slice(&sealed), &plain), ERR_CORRUPT);
    assert_int_equal(plain.len, 0);
    assert_int_equal(seal_open(key, SLICE("here"), buf_slice(&sealed), &plain), ERR_OK);
    assert_true(slice_equal(buf_slice(&plain), SLICE("hello")));
    buf_done(&sealed);
    seal_wipe(&plain);
}

static void a_changed_or_cut_seal_does_not_open(void **state)
{
    uint8_t key[SEAL_KEY_BYTES];
    struct buf sealed = {0};
    struct buf plain = {0};
    (void)state;
    seal_key_derive(root, "one", key);
    seal_close(key, SLICE(""), SLICE("hello"), &sealed);
    for (size_t i = 0; i < sealed.len; i++) {
        sealed.data[i] ^= 1;
        assert_int_equal(seal_open(key, SLICE(""), buf_slice(&sealed), &plain), ERR_CORRUPT);
        sealed.data[i] ^= 1;
        assert_int_equal(seal_open(key, SLICE(""), slice_of(sealed.data, i), &plain), ERR_CORRUPT);
    }
    buf_done(&sealed);
    buf_done(&plain);
}

static void a_record_comes_back_and_opens_under_its_own_name(void **state)
{
    uint8_t key[SEAL_KEY_BYTES];
    char name[SECRET_RECORD_BYTES + 1];
    struct secret s = secret_of("app", "TOKEN");
    struct secret back;
    struct secret moved;
    struct buf record = {0};
    struct buf value = {0};
    (void)state;
    secret_key_of(root, key);
    secret_close(&s, key, SLICE("sk-1"));
    secret_record_name(SLICE("app"), SLICE("TOKEN"), name);
    assert_string_equal(name, "secret/app/TOKEN");
    secret_encode(&s, &record);
    assert_int_equal(secret_decode(slice_of_str(name), buf_slice(&record), &back), ERR_OK);
    assert_string_equal(back.ns, "app");
    assert_string_equal(back.name, "TOKEN");
    assert_int_equal(back.created_ms, 1);
    assert_int_equal(back.updated_ms, 2);
    assert_int_equal(secret_open(&back, key, &value), ERR_OK);
    assert_true(slice_equal(buf_slice(&value), SLICE("sk-1")));
    assert_int_equal(secret_decode(SLICE("secret/evil/TOKEN"), buf_slice(&record), &moved), ERR_OK);
    assert_int_equal(secret_open(&moved, key, &value), ERR_CORRUPT);
    secret_done(&s);
    secret_done(&back);
    secret_done(&moved);
    buf_done(&record);
    buf_done(&value);
}

static void a_record_that_is_none_is_corrupt(void **state)
{
    struct secret s;
    struct buf record = {0};
    (void)state;
    value_put_map(&record, 0);
    static const char *const names[] = {"secret/app/A", "secret/app",   "secret/app/",
                                        "secret//A",    "secret/APP/A", "token/app/A"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        assert_int_equal(secret_decode(slice_of_str(names[i]), buf_slice(&record), &s),
                         ERR_CORRUPT);
    }
    buf_done(&record);
}

static void names_and_values_are_what_they_must_be(void **state)
{
    (void)state;
    assert_true(secret_name_is_valid(SLICE("GITHUB_TOKEN")));
    assert_true(secret_name_is_valid(SLICE("a.b-c")));
    assert_false(secret_name_is_valid(SLICE("")));
    assert_false(secret_name_is_valid(SLICE(".a")));
    assert_false(secret_name_is_valid(SLICE("a/b")));
    assert_true(secret_value_is_valid(SLICE("Bearer caf\xc3\xa9")));
    assert_false(secret_value_is_valid(SLICE("")));
    assert_false(secret_value_is_valid(SLICE("a\r\nb")));
    assert_false(secret_value_is_valid(SLICE("a ")));
}

TEST_MAIN(cmocka_unit_test(what_is_sealed_opens_with_the_same_key_and_context_alone),
          cmocka_unit_test(a_changed_or_cut_seal_does_not_open),
          cmocka_unit_test(a_record_comes_back_and_opens_under_its_own_name),
          cmocka_unit_test(a_record_that_is_none_is_corrupt),
          cmocka_unit_test(names_and_values_are_what_they_must_be))
