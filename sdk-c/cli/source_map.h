/* Source maps, version 3: where a place of the bundle is in the source. */
#ifndef SDK_C_CLI_SOURCE_MAP_H
#define SDK_C_CLI_SOURCE_MAP_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

/* Lines and columns count from 1. Borrowed from the map. */
struct source_place {
    const char *file;
    long line;
    long column;
    const char *text; /* the line itself, not closed by NUL; NULL: the map has no sources in it */
    size_t text_bytes;
};

/* The place of the last mapping up to the column; column 0: of the first one of the line. False: the map
 * says nothing about it, or is malformed. `map` may be NULL. */
bool source_map_find(struct json_object *map, long line, long column,
                     struct source_place *ret_place);

#endif
