#include "node/source_map.h"

#include <string.h>

#include "base/endian.h"
#include "base/invariant.h"
#include "rpc/json.h"
#include "rpc/value.h"

enum {
    DEPTH_MAX = 8,
    MARK_APART_BYTES = 8 * 1024,
    MARK_BYTES = 6 * 4,
    DIGIT_BITS = 5,
    DIGIT_MORE = 1 << DIGIT_BITS,
    SHIFT_MAX = 30,
    NUMBER_DIGITS_MAX = 9,
    REWRITES_MAX = 128, /* of one text: each is looked for in some KiB */
};

/* A reading of `mappings`. All numbers count from 0 and are those of the last segment. */
struct reading {
    struct slice rest;
    uint32_t line; /* of the code, as is the next */
    int64_t column;
    int64_t source;
    int64_t source_line;
    int64_t source_column;
};

enum step { STEP_END, STEP_BARE, STEP_SOURCE, STEP_BAD };

/* Reading: base 64, five bits a digit, least first, the sign in the lowest bit of the number. */

static int digit_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z') {
        return c - 'A';
    }
    if (c >= 'a' && c <= 'z') {
        return c - 'a' + 26;
    }
    if (c >= '0' && c <= '9') {
        return c - '0' + 52;
    }
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool read_number(struct slice *rest, int64_t *value)
{
    uint64_t bits = 0;
    int digit;
    int shift = 0;
    do {
        digit = rest->len > 0 ? digit_of(rest->data[0]) : -1;
        if (digit < 0 || shift > SHIFT_MAX) {
            return false;
        }
        bits |= (uint64_t)(digit & (DIGIT_MORE - 1)) << shift;
        shift += DIGIT_BITS;
        *rest = slice_skip(*rest, 1);
    } while ((digit & DIGIT_MORE) != 0);
    *value += (bits & 1) != 0 ? -(int64_t)(bits >> 1) : (int64_t)(bits >> 1);
    return *value >= 0 && *value <= UINT32_MAX;
}

static bool ends_segment(const struct slice *rest)
{
    return rest->len == 0 || rest->data[0] == ',' || rest->data[0] == ';';
}

/* The next segment. */
static enum step step(struct reading *r)
{
    int64_t name = UINT32_MAX / 2; /* of no interest: any difference will do */
    while (r->rest.len > 0 && (r->rest.data[0] == ',' || r->rest.data[0] == ';')) {
        if (r->rest.data[0] == ';') {
            r->line++;
            r->column = 0;
        }
        r->rest = slice_skip(r->rest, 1);
    }
    if (r->rest.len == 0) {
        return STEP_END;
    }
    if (!read_number(&r->rest, &r->column)) {
        return STEP_BAD;
    }
    if (ends_segment(&r->rest)) {
        return STEP_BARE;
    }
    if (!read_number(&r->rest, &r->source) || !read_number(&r->rest, &r->source_line) ||
        !read_number(&r->rest, &r->source_column) ||
        (!ends_segment(&r->rest) && !read_number(&r->rest, &name)) || !ends_segment(&r->rest)) {
        return STEP_BAD;
    }
    return STEP_SOURCE;
}

/* Reducing */

static void put_mark(const struct reading *r, size_t at, struct buf *marks)
{
    buf_append_u32(marks, (uint32_t)at);
    buf_append_u32(marks, r->line);
    buf_append_u32(marks, (uint32_t)r->column);
    buf_append_u32(marks, (uint32_t)r->source);
    buf_append_u32(marks, (uint32_t)r->source_line);
    buf_append_u32(marks, (uint32_t)r->source_column);
}

static bool make_marks(struct slice mappings, uint32_t source_count, struct buf *marks)
{
    struct reading r = {.rest = mappings};
    size_t last = 0;
    enum step s;
    while ((s = step(&r)) != STEP_END) {
        size_t at = mappings.len - r.rest.len;
        if (s == STEP_BAD || (s == STEP_SOURCE && r.source >= source_count)) {
            return false;
        }
        if (at - last >= MARK_APART_BYTES) {
            put_mark(&r, at, marks);
            last = at;
        }
    }
    return true;
}

static bool are_texts(struct slice array)
{
    struct value_iter it = value_items(array);
    struct slice item;
    while (value_next(&it, &item)) {
        if (value_type(item) != VALUE_STR) {
            return false;
        }
    }
    return value_type(array) == VALUE_ARRAY;
}

static enum err reduce(struct slice map, struct buf *ret_doc, const char **ret_why)
{
    struct slice sources;
    struct slice member;
    struct slice mappings;
    struct buf marks = {0};
    *ret_why = "it has no sources or no mappings";
    if (!value_member(map, "sources", &sources) || !are_texts(sources) ||
        !value_member(map, "mappings", &member) || !value_get_str(member, &mappings)) {
        return ERR_BAD_REQUEST;
    }
    if (!make_marks(mappings, value_count(sources), &marks)) {
        *ret_why = "its mappings are malformed";
        buf_done(&marks);
        return ERR_BAD_REQUEST;
    }
    value_put_map(ret_doc, 3);
    value_put_text(ret_doc, "sources");
    value_put_raw(ret_doc, sources);
    value_put_text(ret_doc, "mappings");
    value_put_str(ret_doc, mappings);
    value_put_text(ret_doc, "marks");
    value_put_bin(ret_doc, buf_slice(&marks));
    buf_done(&marks);
    return ERR_OK;
}

enum err source_map_reduce(struct slice json, struct buf *ret_doc, const char **ret_why)
{
    struct buf map = {0};
    struct json_detail detail;
    enum err err = json_to_value(json, DEPTH_MAX, &map, &detail);
    *ret_why = "it is no JSON";
    err = err == ERR_OK ? reduce(buf_slice(&map), ret_doc, ret_why) : ERR_BAD_REQUEST;
    buf_done(&map);
    return err;
}

/* Finding */

struct map_parts {
    struct slice sources;
    struct slice mappings;
    struct slice marks;
};

/* It is in a bin, so that who looks for another name steps over it at once. */
static bool read_map(struct slice bin, struct map_parts *ret)
{
    struct slice doc;
    struct slice member;
    return value_get_bin(bin, &doc) && value_member(doc, "sources", &ret->sources) &&
           value_member(doc, "mappings", &member) && value_get_str(member, &ret->mappings) &&
           value_member(doc, "marks", &member) && value_get_bin(member, &ret->marks);
}

static const uint8_t *mark_at(const struct map_parts *m, size_t i)
{
    return m->marks.data + i * MARK_BYTES;
}

/* Whether the mark lies before the place. */
static bool is_before(const uint8_t *mark, uint32_t line, uint32_t column)
{
    uint32_t mark_line = get_be32(mark + 4);
    return mark_line < line || (mark_line == line && get_be32(mark + 8) < column);
}

/* A reading from the last mark before the place. */
static struct reading begin_near(const struct map_parts *m, uint32_t line, uint32_t column)
{
    size_t low = 0;
    size_t high = m->marks.len / MARK_BYTES;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (is_before(mark_at(m, middle), line, column)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    if (low == 0) {
        return (struct reading){.rest = m->mappings};
    }
    const uint8_t *mark = mark_at(m, low - 1);
    size_t at = get_be32(mark);
    INVARIANT(at <= m->mappings.len);
    return (struct reading){.rest = slice_skip(m->mappings, at),
                            .line = get_be32(mark + 4),
                            .column = get_be32(mark + 8),
                            .source = get_be32(mark + 12),
                            .source_line = get_be32(mark + 16),
                            .source_column = get_be32(mark + 20)};
}

static bool item_at(struct slice array, int64_t i, struct slice *ret_text)
{
    struct value_iter it = value_items(array);
    struct slice item;
    while (value_next(&it, &item)) {
        if (i-- == 0) {
            return value_get_str(item, ret_text);
        }
    }
    return false;
}

/* `line` and `column` count from 0. A mark is a segment like any other: where it is the only one before the
 * place, it is what is looked for. */
static bool find_segment(const struct map_parts *m, uint32_t line, uint32_t column,
                         struct reading *ret)
{
    struct reading r = begin_near(m, line, column);
    bool is_found = r.rest.len < m->mappings.len && r.line == line;
    *ret = r;
    for (enum step s = step(&r); s != STEP_END && s != STEP_BAD && r.line <= line; s = step(&r)) {
        if (r.line < line || s != STEP_SOURCE) {
            continue;
        }
        if (is_found && r.column > column) {
            break;
        }
        *ret = r;
        is_found = true;
    }
    return is_found;
}

static bool find_in(const struct map_parts *m, uint32_t line, uint32_t column,
                    struct source_place *ret_place)
{
    struct reading r;
    if (line == 0 || !find_segment(m, line - 1, column > 0 ? column - 1 : 0, &r) ||
        !item_at(m->sources, r.source, &ret_place->file)) {
        return false;
    }
    ret_place->line = (uint32_t)r.source_line + 1;
    ret_place->column = (uint32_t)r.source_column + 1;
    return true;
}

bool source_map_find(struct slice maps, struct slice module, uint32_t line, uint32_t column,
                     struct source_place *ret_place)
{
    struct value_iter it = maps.len > 0 ? value_entries(maps) : (struct value_iter){0};
    struct slice name;
    struct slice doc;
    struct map_parts m;
    while (value_next_entry(&it, &name, &doc)) {
        if (slice_equal(name, module)) {
            return read_map(doc, &m) && find_in(&m, line, column, ret_place);
        }
    }
    return false;
}

/* Rewriting */

/* ":LINE:COLUMN" at the start of the text; 0: it is none. */
static size_t read_position(struct slice text, uint32_t *ret_line, uint32_t *ret_column)
{
    uint32_t numbers[2] = {0};
    size_t at = 0;
    for (int i = 0; i < 2; i++) {
        size_t digits = 0;
        if (at >= text.len || text.data[at] != ':') {
            return 0;
        }
        for (at++; at < text.len && text.data[at] >= '0' && text.data[at] <= '9'; at++) {
            if (++digits > NUMBER_DIGITS_MAX) {
                return 0;
            }
            numbers[i] = 10 * numbers[i] + (uint32_t)(text.data[at] - '0');
        }
        if (digits == 0) {
            return 0;
        }
    }
    *ret_line = numbers[0];
    *ret_column = numbers[1];
    return at;
}

/* What a name of a file goes on with: "main.js" is not in "domain.js". */
static bool is_of_name(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
           c == '_' || c == '-' || c == '/' || c == '$';
}

/* A place at the start of the text, as it is in the source; 0: it is none that is known. */
static size_t rewrite_place(struct slice maps, struct slice text, struct buf *ret_text)
{
    struct value_iter it = value_entries(maps);
    struct slice name;
    struct slice doc;
    while (value_next_entry(&it, &name, &doc)) {
        struct map_parts m;
        struct source_place place;
        uint32_t line;
        uint32_t column;
        size_t len = slice_has_prefix(text, name)
                         ? read_position(slice_skip(text, name.len), &line, &column)
                         : 0;
        if (len > 0 && read_map(doc, &m) && find_in(&m, line, column, &place)) {
            buf_append_slice(ret_text, place.file);
            buf_printf(ret_text, ":%u:%u", place.line, place.column);
            return name.len + len;
        }
    }
    return 0;
}

void source_map_rewrite(struct slice maps, struct slice text, struct buf *ret_text)
{
    bool is_in_name = false;
    int left = maps.len > 0 ? REWRITES_MAX : 0;
    size_t at = 0;
    while (at < text.len && left > 0) {
        size_t len = !is_in_name ? rewrite_place(maps, slice_skip(text, at), ret_text) : 0;
        left -= len > 0 ? 1 : 0;
        if (len == 0) {
            len = 1;
            buf_append_byte(ret_text, text.data[at]);
        }
        at += len;
        is_in_name = is_of_name(text.data[at - 1]);
    }
    buf_append_slice(ret_text, slice_skip(text, at));
}
