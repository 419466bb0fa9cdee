/* Source maps, version 3: from places in deployed code to places in its source. Pure.
 *
 *     deploy:    JSON text --source_map_reduce--> {"sources": [str], "mappings": str, "marks": bin}
 *     a throw:   "add@main.js:16:27" --source_map_rewrite--> "add@src/index.ts:20:9"
 *
 * `mappings` stays as it is: a line of segments for each line of code, each the difference to the one before.
 * Marks are states of its reading, one for some KiB, so that no place is far from one. What else a map has,
 * such as the sources themselves, is left out. */
#ifndef NODE_SOURCE_MAP_H
#define NODE_SOURCE_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

/* Appends the document. ERR_BAD_REQUEST: it is no such map; `*ret_why` is one clause. */
enum err source_map_reduce(struct slice json, struct buf *ret_doc, const char **ret_why) MUST_CHECK;

/* Lines and columns count from 1. */
struct source_place {
    struct slice file; /* borrowed from the map */
    uint32_t line;
    uint32_t column;
};

/* The last mapping of the line up to the column, or the first; column 0: the first. `maps` are those of a
 * deployment, a map of names of modules to bins that hold such documents; empty: none. False: nothing is known
 * of that place. */
bool source_map_find(struct slice maps, struct slice module, uint32_t line, uint32_t column,
                     struct source_place *ret_place);

/* Appends the text with each "MODULE:LINE:COLUMN" that is known as it is in the source; of a text that is
 * full of them the rest stays as it is. */
void source_map_rewrite(struct slice maps, struct slice text, struct buf *ret_text);

#endif
