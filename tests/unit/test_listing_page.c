#include "node/listing_page.h"

#include <stdio.h>
#include <string.h>

#include "actor/request.h"
#include "base/mem.h"
#include "tests/lib/storage.h"
#include "tests/lib/test.h"

enum { SHARDS = 12, LIMIT = 100 };

/* Keys are of one letter behind a listing's prefix; an actor's id is that letter. */

static struct row_key prefix_key(void)
{
    struct row_key k;
    row_key_listing_prefix(&k, SLICE("app"), SLICE("Store"), SLICE(""));
    return k;
}

static struct row_key key_of(char letter)
{
    struct row_key k = prefix_key();
    row_key_append(&k, slice_of(&letter, 1));
    return k;
}

static void add_letter(char *text, char letter)
{
    size_t len = strlen(text);
    text[len] = letter;
    text[len + 1] = '\0';
}

static struct listing_query query(void)
{
    return (struct listing_query){.limit = LIMIT, .prefix = prefix_key()};
}

/* Of the letters, as far as `end`; 0: to the end. */
static struct listing_page page_of(const char *letters, char end)
{
    struct listing_page p = {0};
    for (const char *c = letters; *c != '\0'; c++) {
        struct row_key k = key_of(*c);
        listing_page_put(&p, &(struct listed){.key = row_key_slice(&k),
                                              .class = SLICE("Store"),
                                              .id = slice_of(c, 1),
                                              .is_awake = *c == 'a',
                                              .version = (uint64_t)*c,
                                              .bytes = UINT64_MAX});
    }
    if (end != 0) {
        struct row_key k = key_of(end);
        listing_page_end_at(&p, row_key_slice(&k));
    }
    return p;
}

static void expect_page(const struct listing_page *p, const char *letters, char end)
{
    char got[64] = "";
    struct listed l;
    for (struct value_iter it = listing_page_items(p); listing_page_next(&it, &l);) {
        struct row_key k = key_of((char)l.id.data[0]);
        assert_int_equal(l.id.len, 1);
        expect_slice(l.key, row_key_slice(&k));
        expect_str(l.class, "Store");
        assert_int_equal(l.is_awake, l.id.data[0] == 'a');
        assert_int_equal(l.version, l.id.data[0]);
        assert_true(l.bytes == UINT64_MAX);
        add_letter(got, (char)l.id.data[0]);
    }
    assert_string_equal(got, letters);
    struct row_key k = key_of(end);
    expect_slice(buf_slice(&p->end), end != 0 ? row_key_slice(&k) : SLICE(""));
}

/* Merging */

static void a_merged_page_has_the_least_of_both_and_goes_as_far_as_the_nearer_one(void **state)
{
    static const struct {
        const char *a;
        char a_end;
        const char *b;
        char b_end;
        uint32_t limit;
        const char *both;
        char end;
    } table[] = {
        {"", 0, "", 0, 9, "", 0},
        {"ac", 0, "bd", 0, 9, "abcd", 0},
        {"abc", 0, "", 0, 9, "abc", 0},
        {"", 0, "abc", 0, 3, "abc", 0},    /* all, to the last: there is no next page */
        {"ac", 0, "bd", 0, 3, "abc", 'c'}, /* the limit ends it */
        {"ac", 'c', "bd", 0, 9, "abc",
         'c'}, /* "d" may not be the next: one side is not known there */
        {"ac", 'c', "bd", 'b', 9, "ab", 'b'},
        {"ac", 'c', "bd", 'b', 1, "a", 'a'},
        {"ac", 'c', "", 'e', 9, "ac", 'c'}, /* those up to "e" were deleted meanwhile */
        {"", 'b', "cd", 0, 9, "", 'b'}, /* nobody up to there: the next page goes on behind it */
        {"", 'z', "ab", 0, 1, "a", 'a'},
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        for (int turned = 0; turned < 2; turned++) {
            struct listing_page a = page_of(table[i].a, table[i].a_end);
            struct listing_page b = page_of(table[i].b, table[i].b_end);
            struct listing_page *into = turned ? &b : &a;
            listing_page_merge(into, turned ? &a : &b, table[i].limit);
            expect_page(into, table[i].both, table[i].end);
            listing_page_done(&a);
            listing_page_done(&b);
        }
    }
}

/* Letters are dealt to shards, pages of each are as short as may be, and a walk meets each letter once. */
static void a_walk_over_merged_pages_meets_everybody_once(void **state)
{
    enum { SIDES = 3, ROUNDS = 500 };
    uint64_t seed = 7;
    static const char all[] = "abcdefghijklmnopqrstuvwxyz";
    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        char sides[SIDES][sizeof all] = {{0}};
        char met[sizeof all] = "";
        uint32_t limit = 1 + (uint32_t)test_below(&seed, 9);
        for (const char *c = all; *c != '\0'; c++) {
            add_letter(sides[test_below(&seed, SIDES)], *c);
        }
        char after = 0;
        do {
            struct listing_page page = {0};
            for (int i = 0; i < SIDES; i++) {
                const char *rest = sides[i];
                while (*rest != '\0' && *rest <= after) {
                    rest++;
                }
                char part[sizeof all] = "";
                size_t len = 1 + (size_t)test_below(&seed, 5);
                bool is_cut = strlen(rest) > len;
                (void)snprintf(part, sizeof part, "%.*s", (int)len, rest);
                struct listing_page side = page_of(part, is_cut ? part[len - 1] : 0);
                listing_page_merge(&page, &side, limit);
                listing_page_done(&side);
            }
            struct listed l;
            for (struct value_iter it = listing_page_items(&page); listing_page_next(&it, &l);) {
                add_letter(met, (char)l.id.data[0]);
            }
            assert_true(page.count <= limit);
            after = page.end.len > 0 ? (char)page.end.data[page.end.len - 1] : 0;
            listing_page_done(&page);
        } while (after != 0);
        assert_string_equal(met, all);
    }
}

/* Between nodes */

static void a_question_is_taken_as_it_was_put(void **state)
{
    struct buf bytes = {0};
    struct listing_query q = query();
    struct listing_query got;
    (void)state;
    q.after = key_of('k');
    listing_query_add_shard(&q, 0);
    listing_query_add_shard(&q, SHARDS - 1);
    listing_ask_encode(&q, SHARDS, &bytes);
    expect_err(listing_ask_decode(buf_slice(&bytes), SHARDS, &got), ERR_OK);
    assert_int_equal(got.limit, LIMIT);
    expect_slice(row_key_slice(&got.prefix), row_key_slice(&q.prefix));
    expect_slice(row_key_slice(&got.after), row_key_slice(&q.after));
    assert_memory_equal(got.shards, q.shards, sizeof q.shards);
    for (uint32_t shard = 0; shard < SHARDS; shard++) {
        assert_int_equal(listing_query_has_shard(&got, shard), shard % (SHARDS - 1) == 0);
    }
    buf_done(&bytes);
}

static void expect_refused(const struct listing_query *q, uint32_t shard_count)
{
    struct buf bytes = {0};
    struct listing_query got;
    listing_ask_encode(q, shard_count, &bytes);
    expect_err(listing_ask_decode(buf_slice(&bytes), SHARDS, &got), ERR_CORRUPT);
    buf_done(&bytes);
}

static void a_question_about_what_there_is_not_is_refused(void **state)
{
    struct listing_query q = query();
    (void)state;
    listing_query_add_shard(&q, SHARDS);
    expect_refused(&q, SHARDS); /* a bit too far */
    q = query();
    expect_refused(&q, SHARDS + 8); /* of a larger cluster */
    q.limit = 0;
    expect_refused(&q, SHARDS);
    q.limit = LIST_LIMIT_MAX + 1;
    expect_refused(&q, SHARDS);
    q = query();
    row_key_meta(&q.prefix, 1); /* rows of an actor are nobody's to list */
    expect_refused(&q, SHARDS);
    q = query();
    row_key_listing_prefix(&q.after, SLICE("other"), SLICE("Store"), SLICE("a"));
    expect_refused(&q, SHARDS);
}

static void an_answer_is_taken_as_it_was_put(void **state)
{
    static const struct {
        const char *letters;
        char end;
    } table[] = {{"", 0}, {"abc", 0}, {"abc", 'c'}, {"abc", 'd'}, {"", 'q'}};
    struct listing_query q = query();
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct buf bytes = {0};
        struct listing_page page = page_of(table[i].letters, table[i].end);
        struct listing_page got = {0};
        enum err said = ERR_IO;
        listing_answer_encode(ERR_OK, &page, &bytes);
        expect_err(listing_answer_decode(buf_slice(&bytes), &q, &said, &got), ERR_OK);
        expect_err(said, ERR_OK);
        expect_page(&got, table[i].letters, table[i].end);
        listing_page_done(&got);
        listing_page_done(&page);
        buf_done(&bytes);
    }
}

static void an_error_is_taken_by_its_name(void **state)
{
    struct listing_query q = query();
    struct buf bytes = {0};
    struct listing_page got = {0};
    enum err said = ERR_OK;
    (void)state;
    listing_answer_encode(ERR_NOT_OWNER, NULL, &bytes);
    expect_err(listing_answer_decode(buf_slice(&bytes), &q, &said, &got), ERR_OK);
    expect_err(said, ERR_NOT_OWNER);
    assert_int_equal(got.count, 0);
    buf_clear(&bytes);
    value_put_map(&bytes, 1);
    value_put_text(&bytes, "err");
    value_put_text(&bytes, "OF_LATER");
    expect_err(listing_answer_decode(buf_slice(&bytes), &q, &said, &got), ERR_FORMAT);
    buf_done(&bytes);
}

/* Each would lead the merge astray, or the client in a circle. */
static void an_answer_to_another_question_is_refused(void **state)
{
    static const struct {
        const char *letters;
        char end;
    } table[] = {
        {"ba", 0}, {"aa", 0}, {"ab", 'a'}, {"abcdefghi", 0}, /* order, twice, end, limit */
        {"A", 0},  {"", 'A'}, {"", '@'},                     /* what the page before had */
    };
    (void)state;
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct listing_query q = query();
        struct buf bytes = {0};
        struct listing_page page = page_of(table[i].letters, table[i].end);
        struct listing_page got = {0};
        enum err said;
        q.limit = 8;
        q.after = key_of('A');
        listing_answer_encode(ERR_OK, &page, &bytes);
        expect_err(listing_answer_decode(buf_slice(&bytes), &q, &said, &got), ERR_CORRUPT);
        assert_int_equal(got.count + got.actors.len + got.end.len, 0);
        row_key_listing_prefix(&q.prefix, SLICE("other"), SLICE("Store"), SLICE(""));
        q.after.len = 0;
        expect_err(listing_answer_decode(buf_slice(&bytes), &q, &said, &got), ERR_CORRUPT);
        listing_page_done(&page);
        buf_done(&bytes);
    }
}

/* Members and parts that a reader does not know are of a later version. */
static void what_is_added_is_ignored(void **state)
{
    struct listing_query q = query();
    struct buf bytes = {0};
    struct listing_page got = {0};
    struct row_key a = key_of('a');
    enum err said;
    (void)state;
    value_put_map(&bytes, 4);
    value_put_text(&bytes, "news");
    value_put_uint(&bytes, 1);
    value_put_text(&bytes, "err");
    value_put_text(&bytes, "OK");
    value_put_text(&bytes, "end");
    value_put_bin(&bytes, SLICE(""));
    value_put_text(&bytes, "actors");
    value_put_array(&bytes, 1);
    value_put_array(&bytes, 7);
    value_put_bin(&bytes, row_key_slice(&a));
    value_put_text(&bytes, "Store");
    value_put_text(&bytes, "a");
    value_put_bool(&bytes, true);
    value_put_uint(&bytes, 'a');
    value_put_uint(&bytes, UINT64_MAX);
    value_put_text(&bytes, "more of it");
    expect_err(listing_answer_decode(buf_slice(&bytes), &q, &said, &got), ERR_OK);
    expect_page(&got, "a", 0);
    listing_page_done(&got);
    buf_done(&bytes);
}

/* In a block of its own, so that a tool sees each byte that is read beyond. */
static void take_both(struct slice bytes, bool is_cut)
{
    struct listing_query q = query();
    struct listing_query got_query;
    struct listing_page got = {0};
    enum err said;
    uint8_t *alone = mem_alloc(bytes.len + 1);
    memcpy(alone, bytes.data, bytes.len);
    enum err ask = listing_ask_decode(slice_of(alone, bytes.len), SHARDS, &got_query);
    enum err answer = listing_answer_decode(slice_of(alone, bytes.len), &q, &said, &got);
    assert_true(ask == ERR_CORRUPT || (ask == ERR_OK && !is_cut));
    assert_true(answer == ERR_CORRUPT || (answer != ERR_IO && !is_cut));
    if (answer == ERR_OK) {
        struct listed l;
        struct value_iter it = listing_page_items(&got);
        while (listing_page_next(&it, &l)) {
            assert_true(l.key.len <= ROW_KEY_BYTES_MAX);
        }
    }
    listing_page_done(&got);
    mem_free(alone);
}

static void bytes_that_are_changed_or_cut_off_do_no_harm(void **state)
{
    struct listing_query q = query();
    struct listing_page page = page_of("abc", 'c');
    struct buf messages[2] = {{0}};
    (void)state;
    q.after = key_of('A');
    listing_ask_encode(&q, SHARDS, &messages[0]);
    listing_answer_encode(ERR_OK, &page, &messages[1]);
    for (int m = 0; m < 2; m++) {
        struct buf *b = &messages[m];
        for (size_t at = 0; at < b->len; at++) {
            take_both(slice_of(b->data, at), true);
            for (unsigned change = 1; change < 256; change++) {
                b->data[at] ^= (uint8_t)change;
                take_both(buf_slice(b), false);
                b->data[at] ^= (uint8_t)change;
            }
        }
        buf_done(b);
    }
    listing_page_done(&page);
}

static void noise_is_no_message(void **state)
{
    uint64_t seed = 3;
    uint8_t noise[64];
    (void)state;
    for (int round = 0; round < 20000; round++) {
        size_t len = (size_t)test_below(&seed, sizeof noise);
        for (size_t i = 0; i < len; i++) {
            noise[i] = (uint8_t)test_below(&seed, 256);
        }
        take_both(slice_of(noise, len), false);
    }
}

TEST_MAIN(cmocka_unit_test(a_merged_page_has_the_least_of_both_and_goes_as_far_as_the_nearer_one),
          cmocka_unit_test(a_walk_over_merged_pages_meets_everybody_once),
          cmocka_unit_test(a_question_is_taken_as_it_was_put),
          cmocka_unit_test(a_question_about_what_there_is_not_is_refused),
          cmocka_unit_test(an_answer_is_taken_as_it_was_put),
          cmocka_unit_test(an_error_is_taken_by_its_name),
          cmocka_unit_test(an_answer_to_another_question_is_refused),
          cmocka_unit_test(what_is_added_is_ignored),
          cmocka_unit_test(bytes_that_are_changed_or_cut_off_do_no_harm),
          cmocka_unit_test(noise_is_no_message))
