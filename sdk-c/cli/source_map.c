#include "sdk-c/cli/source_map.h"

#include <string.h>

/* "mappings" has a group of segments for each line, ended by ';'. A segment, ended by ',', is one, four or
 * five numbers, each the difference to that of the segment before: column in the line (from 0 on again in
 * each line), source, line and column there, name. */
enum { COLUMN, SOURCE, SOURCE_LINE, SOURCE_COLUMN, NAME, FIELDS };

enum { DIGIT_BITS = 5, DIGIT_MORE = 1 << DIGIT_BITS, SHIFT_MAX = 30 };

static int digit_of(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* Base 64, five bits a digit, least first, the sign in the lowest bit. */
static bool read_number(const char **at, long *ret)
{
    unsigned long value = 0;
    int digit;
    int shift = 0;
    do {
        digit = digit_of(**at);
        if (digit < 0 || shift > SHIFT_MAX) {
            return false;
        }
        (*at)++;
        value |= (unsigned long)(digit & (DIGIT_MORE - 1)) << shift;
        shift += DIGIT_BITS;
    } while ((digit & DIGIT_MORE) != 0);
    long size = (long)(value >> 1);
    *ret = (value & 1) != 0 ? -size : size;
    return true;
}

/* Adds the segment to `fields`. */
static bool read_segment(const char **at, long fields[FIELDS], bool *ret_has_source)
{
    int count = 0;
    while (**at != ',' && **at != ';' && **at != '\0') {
        long difference;
        if (count == FIELDS || !read_number(at, &difference)) {
            return false;
        }
        fields[count++] += difference;
    }
    *ret_has_source = count >= 4;
    return count == 1 || count >= 4;
}

static bool find_mapping(const char *mappings, long line, long column, long ret[FIELDS])
{
    long fields[FIELDS] = {0};
    bool is_found = false;
    long at_line = 1;
    for (const char *at = mappings; *at != '\0' && at_line <= line;) {
        bool has_source;
        if (*at == ';') {
            at_line++;
            fields[COLUMN] = 0;
            at++;
        } else if (*at == ',') {
            at++;
        } else if (!read_segment(&at, fields, &has_source)) {
            return false;
        } else if (at_line == line && has_source &&
                   (!is_found || (column > 0 && fields[COLUMN] < column))) {
            memcpy(ret, fields, sizeof(fields));
            is_found = true;
        }
    }
    return is_found;
}

static struct json_object *item_of(struct json_object *map, const char *name, long i)
{
    struct json_object *list;
    return i >= 0 && json_object_object_get_ex(map, name, &list) &&
                   json_object_is_type(list, json_type_array)
               ? json_object_array_get_idx(list, (size_t)i)
               : NULL;
}

static void take_text(struct json_object *content, struct source_place *place)
{
    const char *at =
        json_object_is_type(content, json_type_string) ? json_object_get_string(content) : NULL;
    for (long line = 1; at != NULL && line < place->line; line++) {
        at = strchr(at, '\n');
        at += at != NULL ? 1 : 0;
    }
    place->text = at;
    place->text_bytes = at != NULL ? strcspn(at, "\r\n") : 0;
}

bool source_map_find(struct json_object *map, long line, long column,
                     struct source_place *ret_place)
{
    struct json_object *mappings;
    long fields[FIELDS] = {0};
    if (map == NULL || !json_object_object_get_ex(map, "mappings", &mappings) ||
        !json_object_is_type(mappings, json_type_string) ||
        !find_mapping(json_object_get_string(mappings), line, column, fields)) {
        return false;
    }
    struct json_object *file = item_of(map, "sources", fields[SOURCE]);
    if (!json_object_is_type(file, json_type_string) || fields[SOURCE_LINE] < 0 ||
        fields[SOURCE_COLUMN] < 0) {
        return false;
    }
    *ret_place = (struct source_place){.file = json_object_get_string(file),
                                       .line = fields[SOURCE_LINE] + 1,
                                       .column = fields[SOURCE_COLUMN] + 1};
    take_text(item_of(map, "sourcesContent", fields[SOURCE]), ret_place);
    return true;
}
