#include "actor/egress/dns.h"

#include <string.h>

#include "tests/lib/test.h"

/* A query of one question. */
static size_t query(uint8_t *out, const char *name, uint16_t type)
{
    static const uint8_t head[] = {0xab, 0xcd, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0};
    size_t at = sizeof head;
    memcpy(out, head, sizeof head);
    while (*name != '\0') {
        size_t label = strcspn(name, ".");
        out[at++] = (uint8_t)label;
        memcpy(out + at, name, label);
        at += label;
        name += label + (name[label] == '.' ? 1 : 0);
    }
    out[at++] = 0;
    const uint8_t end[] = {(uint8_t)(type >> 8), (uint8_t)type, 0, 1};
    memcpy(out + at, end, sizeof end);
    return at + sizeof end;
}

static void every_name_has_the_transparent_address(void **state)
{
    static const uint8_t address[] = {198, 18, 0, 1};
    uint8_t bytes[512];
    uint8_t answer[DNS_ANSWER_BYTES_MAX];
    (void)state;
    size_t len = query(bytes, "api.example.test", 1);
    size_t n = dns_answer(slice_of(bytes, len), answer);
    assert_int_equal(n, len + 16);
    assert_memory_equal(answer, bytes, 2);
    assert_int_equal(answer[2] & 0x81, 0x81);
    assert_int_equal(answer[3] & 0x0f, 0);
    assert_int_equal(answer[7], 1);
    assert_memory_equal(answer + 12, bytes + 12, len - 12);
    assert_memory_equal(answer + n - 4, address, 4);
}

static void other_types_have_no_data(void **state)
{
    static const uint16_t types[] = {28, 65, 16, 15, 255};
    uint8_t bytes[512];
    uint8_t answer[DNS_ANSWER_BYTES_MAX];
    (void)state;
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        size_t len = query(bytes, "example.test", types[i]);
        assert_int_equal(dns_answer(slice_of(bytes, len), answer), len);
        assert_int_equal(answer[3] & 0x0f, 0);
        assert_int_equal(answer[7], 0);
    }
}

static void what_is_no_query_is_an_error_or_nothing(void **state)
{
    uint8_t bytes[600];
    uint8_t answer[DNS_ANSWER_BYTES_MAX];
    (void)state;
    size_t len = query(bytes, "example.test", 1);
    for (size_t i = 0; i < len; i++) { /* cut anywhere */
        size_t n = dns_answer(slice_of(bytes, i), answer);
        assert_true(i < 12 ? n == 0 : n == 12 && (answer[3] & 0x0f) == 1);
    }
    bytes[2] |= 0x80; /* an answer */
    assert_int_equal(dns_answer(slice_of(bytes, len), answer), 0);
    bytes[2] = 0x28; /* an update */
    assert_int_equal(dns_answer(slice_of(bytes, len), answer), 12);
    assert_int_equal(answer[3] & 0x0f, 4);
    bytes[2] = 1;
    bytes[5] = 2; /* questions */
    assert_int_equal(dns_answer(slice_of(bytes, len), answer), 12);
    bytes[5] = 1;
    bytes[12] = 0xc0; /* a pointer */
    assert_int_equal(dns_answer(slice_of(bytes, len), answer), 12);
}

static void the_longest_name_fits(void **state)
{
    char name[300] = "";
    uint8_t bytes[600];
    uint8_t answer[DNS_ANSWER_BYTES_MAX];
    (void)state;
    for (size_t i = 0; i < 253; i++) {
        name[i] = i % 64 == 63 ? '.' : 'a';
    }
    size_t len = query(bytes, name, 1);
    assert_int_equal(dns_answer(slice_of(bytes, len), answer), len + 16);
    memcpy(name + 252, "aa.aa", 6);
    len = query(bytes, name, 1);
    assert_int_equal(dns_answer(slice_of(bytes, len), answer), 12);
}

TEST_MAIN(cmocka_unit_test(every_name_has_the_transparent_address),
          cmocka_unit_test(other_types_have_no_data),
          cmocka_unit_test(what_is_no_query_is_an_error_or_nothing),
          cmocka_unit_test(the_longest_name_fits))
