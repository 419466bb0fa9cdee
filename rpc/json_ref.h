/* References of a document, {"$js":["ref",n]}: the object that was begun n objects before, 1 being the last
 * one. The JSON view shows it again, as clients have it where nothing is shared; a reference from inside of
 * its object, and one beyond the bounds below, shows as it is. No I/O. */
#ifndef RPC_JSON_REF_H
#define RPC_JSON_REF_H

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/slice.h"

enum {
    JSON_REF_BYTES_MAX = 16 << 20, /* of documents that are shown again, for one view */
    JSON_REF_NESTING_MAX = 120     /* levels of JSON; yajl's own limit is 127 */
};

struct json_refs {
    struct slice doc;   /* the whole of it, checked */
    struct buf objects; /* where each begins, in order; made for the first reference */
    size_t bytes_left;
};

/* `doc` must outlive it. */
void json_refs_init(struct json_refs *refs, struct slice doc);
void json_refs_done(struct json_refs *refs);

/* `js`: a VALUE_JS inside of the document, below `nesting` levels of JSON. True where it is a reference whose
 * object is to be shown in its place. */
bool json_refs_find(struct json_refs *refs, struct slice js, unsigned nesting,
                    struct slice *ret_object);

#endif
