#include "node/source_map.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rpc/value.h"
#include "tests/lib/test.h"

#define MAP(mappings)                                                                         \
    "{\"version\":3,\"sources\":[\"src/a.ts\",\"src/b.ts\"],\"sourcesContent\":[\"x\",null]," \
    "\"names\":[\"n\"],\"mappings\":\"" mappings "\"}"

/* Columns 0 and 4 of line 1, column 0 of line 2, none in line 3, column 2 and one without a source in 4. */
#define SMALL MAP("AAAA,IAAI;ACEE;;EAAA,E")

/* The maps of a deployment that has one, of main.js. */
static struct buf maps_of(const char *json)
{
    struct buf doc = {0};
    struct buf maps = {0};
    const char *why = "";
    enum err err = source_map_reduce(slice_of_str(json), &doc, &why);
    if (err != ERR_OK) {
        fail_msg("%s", why);
    }
    value_put_map(&maps, 1);
    value_put_text(&maps, "main.js");
    value_put_bin(&maps, buf_slice(&doc));
    buf_done(&doc);
    return maps;
}

static void a_place_is_that_of_the_last_mapping_before_it(void **state)
{
    (void)state;
    static const struct {
        uint32_t line;
        uint32_t column;
        const char *file; /* NULL: nothing is known */
        uint32_t source_line;
        uint32_t source_column;
    } rows[] = {
        {1, 1, "src/a.ts", 1, 1},  {1, 4, "src/a.ts", 1, 1}, {1, 5, "src/a.ts", 1, 5},
        {1, 99, "src/a.ts", 1, 5}, {1, 0, "src/a.ts", 1, 1}, {2, 1, "src/b.ts", 3, 7},
        {2, 50, "src/b.ts", 3, 7}, {3, 1, NULL, 0, 0},       {4, 1, "src/b.ts", 3, 7},
        {4, 9, "src/b.ts", 3, 7},  {5, 1, NULL, 0, 0},       {0, 0, NULL, 0, 0},
    };
    struct buf maps = maps_of(SMALL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct source_place p;
        bool is_found =
            source_map_find(buf_slice(&maps), SLICE("main.js"), rows[i].line, rows[i].column, &p);
        assert_int_equal(is_found, rows[i].file != NULL);
        if (is_found) {
            expect_str(p.file, rows[i].file);
            assert_int_equal(p.line, rows[i].source_line);
            assert_int_equal(p.column, rows[i].source_column);
        }
    }
    struct source_place p;
    assert_false(source_map_find(buf_slice(&maps), SLICE("other.js"), 1, 1, &p));
    assert_false(source_map_find(SLICE(""), SLICE("main.js"), 1, 1, &p));
    buf_done(&maps);
}

static void what_is_no_map_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "{",
        "[]",
        "{}",
        "{\"sources\":[],\"mappings\":7}",
        "{\"sources\":[7],\"mappings\":\"\"}",
        "{\"sources\":{},\"mappings\":\"\"}",
        MAP("A*AA"),
        MAP("AA"),
        MAP("AAA"),
        MAP("AAAAAA"),
        MAP("ADAA"),         /* a source below the first */
        MAP("AEAA"),         /* one behind the last */
        MAP("AAAD"),         /* a column below 0 */
        MAP("AADA"),         /* a line below 0 */
        MAP("g"),            /* ends within a number */
        MAP("gggggggggggB"), /* a number that is too long */
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct buf doc = {0};
        const char *why = NULL;
        expect_err(source_map_reduce(slice_of_str(bad[i]), &doc, &why), ERR_BAD_REQUEST);
        assert_non_null(why);
        assert_int_equal(doc.len, 0);
        buf_done(&doc);
    }
}

/* What is not looked for is not kept. */
static void a_reduced_map_has_no_sources_in_it(void **state)
{
    (void)state;
    struct buf doc = {0};
    const char *why;
    struct slice member;
    expect_err(source_map_reduce(SLICE(SMALL), &doc, &why), ERR_OK);
    assert_int_equal(value_count(buf_slice(&doc)), 3);
    assert_false(value_member(buf_slice(&doc), "sourcesContent", &member));
    buf_done(&doc);
}

static void a_text_names_places_in_the_source(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *rewritten;
    } rows[] = {
        {"", ""},
        {"no place at all", "no place at all"},
        {"add@main.js:1:5", "add@src/a.ts:1:5"},
        {"main.js:2:1", "src/b.ts:3:7"},
        {"Error: x\n    at add (main.js:1:5)\n    at main.js:2:9\n",
         "Error: x\n    at add (src/a.ts:1:5)\n    at src/b.ts:3:7\n"},
        {"main.js:3:1", "main.js:3:1"},     /* nothing is known of it */
        {"domain.js:1:1", "domain.js:1:1"}, /* another file */
        {"lib/main.js:1:1", "lib/main.js:1:1"},
        {"main.jsx:1:1", "main.jsx:1:1"},
        {"main.js:1", "main.js:1"},
        {"main.js:1:", "main.js:1:"},
        {"main.js::1", "main.js::1"},
        {"main.js:a:1", "main.js:a:1"},
        {"main.js:1:1234567890", "main.js:1:1234567890"},
        {"main.js:1:5:7", "src/a.ts:1:5:7"},
        {"main.js", "main.js"},
    };
    struct buf maps = maps_of(SMALL);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct buf text = {0};
        source_map_rewrite(buf_slice(&maps), slice_of_str(rows[i].text), &text);
        expect_str(buf_slice(&text), rows[i].rewritten);
        buf_clear(&text);
        source_map_rewrite(SLICE(""), slice_of_str(rows[i].text), &text);
        expect_str(buf_slice(&text), rows[i].text);
        buf_done(&text);
    }
    buf_done(&maps);
}

/* Against a table that is looked through from its beginning. */

enum { SEGMENTS = 20000 };

struct segment {
    uint32_t line;
    uint32_t column;
    uint32_t source_line;
    uint32_t source_column;
};

static void put_number(struct buf *out, int64_t value)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t bits = value < 0 ? ((uint64_t)-value << 1 | 1) : (uint64_t)value << 1;
    do {
        uint64_t digit = bits & 31;
        bits >>= 5;
        buf_append_byte(out, (uint8_t)digits[digit | (bits != 0 ? 32 : 0)]);
    } while (bits != 0);
}

static uint32_t draw(uint32_t *seed, uint32_t below)
{
    *seed = *seed * 1664525 + 1013904223;
    return (*seed >> 8) % below;
}

/* Lines of one segment and of thousands. */
static void make_segments(struct segment *segments, struct buf *json, uint32_t seed)
{
    struct segment s = {0};
    struct segment last = {0};
    buf_append_str(json, "{\"sources\":[\"s\"],\"mappings\":\"");
    uint32_t longest = seed % 2 == 0 ? 4 : 6000;
    for (uint32_t i = 0, left = 0; i < SEGMENTS; i++, left--) {
        bool is_first = left == 0;
        if (is_first) {
            left = 1 + draw(&seed, longest);
        }
        for (uint32_t n = is_first && i > 0 ? 1 + draw(&seed, 3) : 0; n > 0; n--) {
            buf_append_byte(json, ';');
            s.line++;
        }
        buf_append_str(json, is_first ? "" : ",");
        last.column = is_first ? 0 : s.column;
        s.column = is_first ? draw(&seed, 4) : s.column + 1 + draw(&seed, 9);
        s.source_line = draw(&seed, 5000);
        s.source_column = draw(&seed, 200);
        put_number(json, (int64_t)s.column - last.column);
        put_number(json, 0);
        put_number(json, (int64_t)s.source_line - last.source_line);
        put_number(json, (int64_t)s.source_column - last.source_column);
        segments[i] = last = s;
    }
    buf_append(json, "\"}", 3);
}

static const struct segment *look_through(const struct segment *segments, uint32_t line,
                                          uint32_t column)
{
    const struct segment *found = NULL;
    for (size_t i = 0; i < SEGMENTS; i++) {
        if (segments[i].line == line && (found == NULL || segments[i].column <= column)) {
            found = &segments[i];
        }
    }
    return found;
}

static void marks_change_nothing_of_what_is_found(void **state)
{
    (void)state;
    static struct segment segments[SEGMENTS];
    for (uint32_t seed = 1; seed <= 2; seed++) {
        struct buf json = {0};
        make_segments(segments, &json, seed);
        struct buf maps = maps_of((const char *)json.data);
        uint32_t lines = segments[SEGMENTS - 1].line + 2;
        uint32_t random = seed;
        for (int i = 0; i < 3000; i++) {
            const struct segment *near = &segments[draw(&random, SEGMENTS)];
            uint32_t line = i % 3 == 0 ? draw(&random, lines) : near->line;
            uint32_t column = near->column + draw(&random, 3);
            const struct segment *want = look_through(segments, line, column);
            struct source_place p;
            bool is_found =
                source_map_find(buf_slice(&maps), SLICE("main.js"), line + 1, column + 1, &p);
            assert_int_equal(is_found, want != NULL);
            if (is_found) {
                assert_int_equal(p.line, want->source_line + 1);
                assert_int_equal(p.column, want->source_column + 1);
            }
        }
        buf_done(&maps);
        buf_done(&json);
    }
}

TEST_MAIN(cmocka_unit_test(a_place_is_that_of_the_last_mapping_before_it),
          cmocka_unit_test(what_is_no_map_is_refused),
          cmocka_unit_test(a_reduced_map_has_no_sources_in_it),
          cmocka_unit_test(a_text_names_places_in_the_source),
          cmocka_unit_test(marks_change_nothing_of_what_is_found))
