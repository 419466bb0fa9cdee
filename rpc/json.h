/* JSON as a view of values (API section 1): every body in JSON is read into one msgpack document,
 * every answer is built as one and shown.
 *
 * In: RFC 8259, UTF-8 without a byte order mark, nothing behind the document. Integers are exact
 * from -2^63 to 2^64-1; a number with '.', 'e' or 'E' is a float. A map with the single key $bytes,
 * $date, $map, $set, $bigint, $undefined or $error is what rpc/value.h says about it, and refused
 * where its content is not: so no such map can be stored as a plain one.
 *
 * Out: floats are the shortest text that reads back as the same float, always with a '.' or an 'e'
 * so that they stay floats; NaN and infinities, which JSON lacks, show as null. A timestamp shows
 * whole milliseconds. A document of n bytes gives at most 8 n + 24 bytes of JSON.
 *
 * What is read and shown again is the same value, and what is shown and read again likewise, except
 * for those NaN, infinities and parts of milliseconds, and plain maps that look like `$` forms. */
#ifndef RPC_JSON_H
#define RPC_JSON_H

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    JSON_DETAIL_BYTES_MAX = 160,  /* with the closing NUL */
    JSON_NUMBER_BYTES_MAX = 1024, /* no double needs more digits than 767 */
};

/* What is wrong, one line of ASCII for a problem's detail. */
struct json_detail {
    char text[JSON_DETAIL_BYTES_MAX];
};

/* Appends the document in canonical (shortest) msgpack; it has passed value_check. On an error
 * nothing is appended.
 *   ERR_BAD_REQUEST    not JSON, or not UTF-8
 *   ERR_INVALID_VALUE  too deep, a key twice, a number out of range, half a surrogate pair, a bad
 *                      `$` form */
enum err json_to_value(struct slice json, unsigned depth_max, struct buf *ret_doc,
                       struct json_detail *ret_detail) MUST_CHECK;

/* Appends the JSON view of a checked document, without spaces or a newline. */
void value_to_json(struct slice doc, struct buf *out);

#endif
