/* A value: one msgpack document, what an actor's keys hold and what bodies are read into.
 *
 * Plain values are nil, booleans, integers (-2^63 to 2^64-1), floats, UTF-8 strings, bytes (bin),
 * arrays and maps with string keys, no key twice. Classes store more; it is kept in ext types:
 *
 *    ext | type            | payload                                        | JSON view
 *    ----+-----------------+------------------------------------------------+----------------------
 *     -1 | VALUE_DATE      | msgpack's own timestamp, 4, 8 or 12 bytes,     | {"$date":ms}
 *        |                 | within 8.64e15 ms of 1970 (a JavaScript Date)  |
 *      1 | VALUE_DATE      | nil: a Date that is no time                    | {"$date":null}
 *      2 | VALUE_PAIRS     | array of [key, value] arrays, any keys         | {"$map":[[k,v],...]}
 *      3 | VALUE_SET       | array                                          | {"$set":[...]}
 *      4 | VALUE_BIGINT    | str: decimal, no leading zeros, "-" or none    | {"$bigint":"..."}
 *      5 | VALUE_UNDEFINED | true                                           | {"$undefined":true}
 *      6 | VALUE_ERROR     | map; name, message and stack are strings where | {"$error":{...}}
 *        |                 | present, other members any value               |
 *      7 | VALUE_JS        | array of scalars, the first a str: what only   | {"$js":["regexp","a","g"]}
 *        |                 | JavaScript tells apart, see the prelude        |
 *
 * Except for the first line, the payload is the msgpack of what stands after the colon in JSON.
 * bin shows as {"$bytes":"<base64>"}. A plain map with such a single `$` key cannot come from JSON;
 * from msgpack it may: it is kept, and its JSON view shows it as it is.
 *
 * Depth: an array, a map, VALUE_PAIRS, VALUE_SET and VALUE_ERROR each count one (the arrays inside
 * a VALUE_PAIRS payload count nothing); scalars, bytes and the other types count nothing.
 * Scalars of a VALUE_JS: all but those that count, and VALUE_JS itself.
 *
 * Who brings bytes from outside calls value_check first. All readers below expect a checked document
 * and stop the node on any other. They allocate nothing; slices that they hand out are borrowed from
 * the document. No I/O in here. */
#ifndef RPC_VALUE_H
#define RPC_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum {
    VALUE_DEPTH_MAX = 32,     /* of a stored value (API section 3) */
    VALUE_DEPTH_CAP = 40,     /* of any document: a value inside the body of a transaction. Three
                                 levels of JSON each stay below yajl's own limit of 127 */
    VALUE_BYTES_CAP = 1 << 30 /* of any document; positions in it fit 32 bits */
};

enum value_type {
    VALUE_NIL,
    VALUE_BOOL,
    VALUE_INT,
    VALUE_FLOAT,
    VALUE_STR,
    VALUE_BIN,
    VALUE_ARRAY,
    VALUE_MAP,
    VALUE_DATE,
    VALUE_PAIRS,
    VALUE_SET,
    VALUE_BIGINT,
    VALUE_UNDEFINED,
    VALUE_ERROR,
    VALUE_JS,
};

enum value_ext {
    VALUE_EXT_TIMESTAMP = -1,
    VALUE_EXT_NO_TIME = 1,
    VALUE_EXT_PAIRS = 2,
    VALUE_EXT_SET = 3,
    VALUE_EXT_BIGINT = 4,
    VALUE_EXT_UNDEFINED = 5,
    VALUE_EXT_ERROR = 6,
    VALUE_EXT_JS = 7,
};

#define VALUE_DATE_MS_MAX INT64_C(8640000000000000)

/* Check: one pass over exactly one document. ERR_INVALID_VALUE, and why in `*ret_reason` (static
 * text, one clause for a problem's detail). Memory: up to 32 bytes for each map key read. */
enum err value_check(struct slice doc, unsigned depth_max, const char **ret_reason) MUST_CHECK;

/* Read. The get functions are false, and `*ret` untouched, where the type is another or the number
 * does not fit. */
enum value_type value_type(struct slice doc);
bool value_get_bool(struct slice doc, bool *ret) MUST_CHECK;
bool value_get_int(struct slice doc, int64_t *ret) MUST_CHECK;
bool value_get_uint(struct slice doc, uint64_t *ret) MUST_CHECK;
bool value_get_double(struct slice doc, double *ret) MUST_CHECK; /* VALUE_FLOAT alone */
bool value_get_str(struct slice doc, struct slice *ret) MUST_CHECK;
bool value_get_bin(struct slice doc, struct slice *ret) MUST_CHECK;
bool value_get_date_ms(struct slice doc, int64_t *ret_ms) MUST_CHECK; /* rounded down */

/* What the payload of VALUE_PAIRS and of the types behind it holds. */
bool value_get_payload(struct slice doc, struct slice *ret) MUST_CHECK;

/* Arrays and maps, in their order:
 *     for (it = value_items(doc); value_next(&it, &item);)
 *     for (it = value_entries(doc); value_next_entry(&it, &key, &value);)   key: bytes of the string
 * Of another type: no items. */
struct value_iter {
    struct slice rest; /* starts with the next item */
    uint32_t left;     /* items, or entries */
};
struct value_iter value_items(struct slice doc);
struct value_iter value_entries(struct slice doc);
bool value_next(struct value_iter *it, struct slice *ret_item);
bool value_next_entry(struct value_iter *it, struct slice *ret_key, struct slice *ret_value);
uint32_t value_count(struct slice doc); /* of items or entries; 0 for another type */

/* The member of a map; false where there is none, or `map` is not one. Linear. */
bool value_member(struct slice map, const char *name, struct slice *ret) MUST_CHECK;

/* The same value: numbers by what they are worth whatever their encoding, so 1 equals 1.0 (a client
 * that writes JSON does not see the difference) and NaN equals nothing; arrays, sets and pairs in
 * order, maps in any order. Linear in the length of both. */
bool value_equal(struct slice a, struct slice b);

/* Appends the sum. Two integers make an integer of 64 bits with sign, a float operand makes a float;
 * ERR_INVALID_VALUE for another type, an operand or a sum beyond, and a sum that is not finite. */
enum err value_add(struct slice a, struct slice b, struct buf *ret_sum) MUST_CHECK;

/* Write: each appends one document, or the head of one, in its shortest form. After the head of an
 * array `count` documents follow, of a map `count` times a string and a document; the payload of an
 * ext follows its head. */
void value_put_nil(struct buf *b);
void value_put_bool(struct buf *b, bool v);
void value_put_int(struct buf *b, int64_t v);
void value_put_uint(struct buf *b, uint64_t v);
void value_put_double(struct buf *b, double v);
void value_put_str(struct buf *b, struct slice utf8);
void value_put_text(struct buf *b, const char *utf8);
void value_put_bin(struct buf *b, struct slice bytes);
void value_put_array(struct buf *b, uint32_t count);
void value_put_map(struct buf *b, uint32_t count);
void value_put_str_head(struct buf *b, uint32_t bytes);
void value_put_bin_head(struct buf *b, uint32_t bytes);
void value_put_ext_head(struct buf *b, enum value_ext ext, uint32_t payload_bytes);
void value_put_date_ms(struct buf *b, int64_t ms); /* within VALUE_DATE_MS_MAX */
void value_put_raw(struct buf *b, struct slice doc);

#endif
