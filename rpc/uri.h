/* The target of a request: path and query, taken apart before anything is decoded, so that an
 * escaped '/' stays inside its segment.
 *
 *     /v1/ns/Store/a%2Fb/kv?prefix=x%20y&limit=10
 *     \_________ path __________/ \____ query ___/        segments: "v1" "ns" "Store" "a%2Fb" "kv"
 *
 * All here is bounded by the target, which the HTTP layer has limited. Slices are borrowed from the
 * target. Malformed input is ERR_BAD_REQUEST. */
#ifndef RPC_URI_H
#define RPC_URI_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"

enum { QUERY_PARAMETERS_MAX = 32 }; /* the longest list of the contract has 9 */

/* Origin form alone: begins with '/', visible ASCII or bytes over 127, no '#'. `ret_query` is what
 * stands after the first '?', empty where there is none. */
enum err uri_split(struct slice target, struct slice *ret_path, struct slice *ret_query) MUST_CHECK;

/* The next raw segment: for (rest = path; path_next(&rest, &segment);). "/a//b/" gives "a", "",
 * "b", ""; "/" gives one empty segment. `rest` begins with '/' or is empty. */
bool path_next(struct slice *rest, struct slice *ret_segment);

/* Appends the bytes that a segment stands for; ERR_BAD_REQUEST for a '%' without two hex digits,
 * then nothing is appended. Any byte may come out, NUL too: the caller checks what it is for. */
enum err percent_decode(struct slice segment, struct buf *out) MUST_CHECK;

/* Appends all but letters, digits and -._~ as %XX. */
void percent_encode(struct slice bytes, struct buf *out);

/* The parameters of a query, decoded ('+' is a space), in their order.
 * Zero-initialised is empty; holds memory of its own until query_done. */
struct query {
    struct buf bytes; /* all names and values; the slices point in here */
    unsigned count;
    struct query_parameter {
        struct slice name;
        struct slice value; /* empty also where there is no '=' */
    } parameters[QUERY_PARAMETERS_MAX];
};

/* ERR_BAD_REQUEST for a bad escape, more than QUERY_PARAMETERS_MAX, and a name that comes twice: no
 * endpoint has lists, and two readers might see different ones. On an error nothing is to release. */
enum err query_init(struct query *q, struct slice query) MUST_CHECK;
void query_done(struct query *q);

bool query_find(const struct query *q, const char *name, struct slice *ret_value);

/* ERR_OK with `*ret` untouched where the parameter is not there; ERR_BAD_REQUEST where it is no
 * decimal number (digits alone) from min to max, or neither "true" nor "false". */
enum err query_uint(const struct query *q, const char *name, uint64_t min, uint64_t max,
                    uint64_t *ret) MUST_CHECK;
enum err query_bool(const struct query *q, const char *name, bool *ret) MUST_CHECK;

/* 1 to 20 digits that fit 64 bits, nothing else; also for headers. */
bool parse_uint(struct slice text, uint64_t *ret) MUST_CHECK;

#endif
