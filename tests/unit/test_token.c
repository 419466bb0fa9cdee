#include "node/token.h"

#include <string.h>

#include "rpc/value.h"
#include "tests/lib/test.h"

static struct token example(void)
{
    struct token t = {.scopes = SCOPE_CALL | SCOPE_ADMIN, .created_ms = 17, .expires_ms = 42};
    memset(t.hash, 0xa5, sizeof t.hash);
    memcpy(t.ns, "app", 4);
    expect_err(token_set_actor(&t, SLICE("Store/user-")), ERR_OK);
    return t;
}

static void a_drawn_token_is_long_random_and_known_by_its_hash(void **state)
{
    (void)state;
    char first[TOKEN_TEXT_BYTES];
    char second[TOKEN_TEXT_BYTES];
    uint8_t hash[DIGEST_BYTES];
    uint8_t again[DIGEST_BYTES];
    token_draw(first, hash);
    token_draw(second, again);
    assert_memory_equal(first, "dm_", 3);
    assert_memory_not_equal(first, second, sizeof first);
    token_hash(slice_of(first, sizeof first), again);
    assert_memory_equal(hash, again, sizeof hash);
}

static void a_record_reads_back_as_it_was_written(void **state)
{
    (void)state;
    struct token t = example();
    struct token back;
    struct buf payload = {0};
    char name[TOKEN_NAME_BYTES + 1];
    token_record_name(&t, name);
    token_encode(&t, &payload);
    expect_err(token_decode(slice_of_str(name), buf_slice(&payload), &back), ERR_OK);
    assert_memory_equal(back.hash, t.hash, sizeof t.hash);
    assert_string_equal(back.ns, "app");
    assert_string_equal(back.class, "Store");
    assert_int_equal(back.id_prefix_len, 5);
    assert_int_equal(back.scopes, t.scopes);
    assert_int_equal(back.created_ms, 17);
    assert_int_equal(back.expires_ms, 42);
    buf_done(&payload);
}

static void a_record_cut_anywhere_is_corrupt(void **state)
{
    (void)state;
    struct token t = example();
    struct token back;
    struct buf payload = {0};
    char name[TOKEN_NAME_BYTES + 1];
    token_record_name(&t, name);
    token_encode(&t, &payload);
    for (size_t len = 0; len < payload.len; len++) {
        expect_err(token_decode(slice_of_str(name), slice_of(payload.data, len), &back),
                   ERR_CORRUPT);
    }
    name[8] = 'x';
    expect_err(token_decode(slice_of_str(name), buf_slice(&payload), &back), ERR_CORRUPT);
    expect_err(token_decode(SLICE("token/"), buf_slice(&payload), &back), ERR_CORRUPT);
    buf_done(&payload);
}

static void an_actor_is_a_class_and_a_prefix(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum err err;
        const char *class;
        size_t prefix;
    } rows[] = {
        {"Store", ERR_OK, "Store", 0},
        {"Store/", ERR_OK, "Store", 0},
        {"Store/a/b", ERR_OK, "Store", 3},
        {"", ERR_BAD_REQUEST, NULL, 0},
        {"/a", ERR_BAD_REQUEST, NULL, 0},
        {"1x/a", ERR_BAD_REQUEST, NULL, 0},
        {"Store/\xff", ERR_BAD_REQUEST, NULL, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct token t = {0};
        if (token_set_actor(&t, slice_of_str(rows[i].text)) != rows[i].err) {
            fail_msg("\"%s\"", rows[i].text);
        }
        if (rows[i].err == ERR_OK) {
            assert_string_equal(t.class, rows[i].class);
            assert_int_equal(t.id_prefix_len, rows[i].prefix);
        }
    }
}

static void scopes_have_names(void **state)
{
    (void)state;
    uint32_t count = 0;
    for (uint32_t scope = 1; scope_name(scope) != NULL; scope <<= 1) {
        assert_int_equal(scope_of_name(slice_of_str(scope_name(scope))), scope);
        count++;
    }
    assert_int_equal(count, 5);
    assert_int_equal(scope_of_name(SLICE("root")), 0);
    assert_int_equal(scope_of_name(SLICE("")), 0);
}

TEST_MAIN(cmocka_unit_test(a_drawn_token_is_long_random_and_known_by_its_hash),
          cmocka_unit_test(a_record_reads_back_as_it_was_written),
          cmocka_unit_test(a_record_cut_anywhere_is_corrupt),
          cmocka_unit_test(an_actor_is_a_class_and_a_prefix), cmocka_unit_test(scopes_have_names))
