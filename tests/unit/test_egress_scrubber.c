#include "actor/egress/scrubber.h"

#include <stdlib.h>
#include <string.h>

#include "rpc/value.h"
#include "tests/lib/test.h"

enum { TEXT_BYTES = 400 };

static struct buf secrets_of(const char *const *values, uint32_t count)
{
    struct buf doc = {0};
    char name[8];
    value_put_map(&doc, count);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(name, sizeof name, "S%u", i);
        value_put_text(&doc, name);
        value_put_bin(&doc, slice_of_str(values[i]));
    }
    return doc;
}

/* What comes out of pieces of the lengths that `next` gives. */
static struct buf pass(const struct scrub_set *set, struct slice text, size_t (*next)(void *ctx),
                       void *ctx)
{
    struct scrubber s = {.set = set};
    struct buf out = {0};
    uint8_t room[TEXT_BYTES * 2];
    bool is_last = false;
    while (!is_last) {
        size_t held = scrubber_begin(&s, room);
        size_t n = next(ctx);
        n = n < text.len ? n : text.len;
        memcpy(room + held, text.data, n);
        text = slice_skip(text, n);
        is_last = text.len == 0;
        size_t told = scrubber_end(&s, room, held + n, is_last);
        buf_append(&out, room, told);
    }
    assert_int_equal(s.held.len, 0);
    scrubber_done(&s);
    return out;
}

static size_t whole(void *ctx)
{
    (void)ctx;
    return SIZE_MAX;
}

static size_t drawn(void *ctx)
{
    unsigned *seed = ctx;
    return (size_t)rand_r(seed) % 9;
}

static void expect_scrubbed(const char *const *values, uint32_t count, const char *text,
                            const char *want)
{
    struct buf doc = secrets_of(values, count);
    struct scrub_set set;
    scrub_set_init(&set, buf_slice(&doc));
    struct buf out = pass(&set, slice_of_str(text), whole, NULL);
    expect_str(buf_slice(&out), want);
    buf_done(&out);
    scrub_set_done(&set);
    buf_done(&doc);
}

static void a_secret_becomes_stars_and_nothing_else_does(void **state)
{
    static const char *const one[] = {"secret"};
    static const char *const some[] = {"abcd", "cdef", "abcdefgh", "xy"};
    (void)state;
    expect_scrubbed(one, 1, "a secret, secrets, secre", "a ******, ******s, secre");
    expect_scrubbed(one, 1, "secretsecret", "************");
    expect_scrubbed(some, 4, "abcdef", "******");
    expect_scrubbed(some, 4, "abcdefg", "******g");
    expect_scrubbed(some, 4, "abcdefgh!", "********!");
    expect_scrubbed(some, 4, "xy abc cde", "xy abc cde");
    expect_scrubbed(NULL, 0, "anything", "anything");
}

static void however_a_body_is_cut_the_same_comes_out(void **state)
{
    static const char *const values[] = {"aabb", "abab", "bbbbab", "aaaaaaab"};
    struct buf doc = secrets_of(values, 4);
    struct scrub_set set;
    (void)state;
    scrub_set_init(&set, buf_slice(&doc));
    for (unsigned seed = 1; seed <= 3000; seed++) {
        unsigned draw = seed;
        uint8_t text[TEXT_BYTES];
        size_t len = (size_t)rand_r(&draw) % TEXT_BYTES;
        for (size_t i = 0; i < len; i++) {
            text[i] = (uint8_t) "aab "[rand_r(&draw) % (seed % 2 == 0 ? 3 : 4)];
        }
        struct buf want = pass(&set, slice_of(text, len), whole, NULL);
        struct buf got = pass(&set, slice_of(text, len), drawn, &draw);
        expect_slice(buf_slice(&got), buf_slice(&want));
        for (size_t i = 0; i < 4; i++) {
            assert_true(want.len == 0 ||
                        memmem(want.data, want.len, values[i], strlen(values[i])) == NULL);
        }
        buf_done(&want);
        buf_done(&got);
    }
    scrub_set_done(&set);
    buf_done(&doc);
}

TEST_MAIN(cmocka_unit_test(a_secret_becomes_stars_and_nothing_else_does),
          cmocka_unit_test(however_a_body_is_cut_the_same_comes_out))
