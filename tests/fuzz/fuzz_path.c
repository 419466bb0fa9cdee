/* A request target: its segments put together again are the path, what decodes can be encoded and
 * decodes to the same, and a query never holds more than its limit. */
#include <string.h>

#include "base/buf.h"
#include "rpc/uri.h"
#include "tests/fuzz/fuzz.h"

static void expect_decodes_again(struct slice bytes)
{
    struct buf encoded = {0};
    struct buf decoded = {0};
    percent_encode(bytes, &encoded);
    HOLDS(encoded.len <= 3 * bytes.len);
    HOLDS(percent_decode(buf_slice(&encoded), &decoded) == ERR_OK);
    HOLDS(slice_equal(bytes, buf_slice(&decoded)));
    buf_done(&decoded);
    buf_done(&encoded);
}

static void expect_segments(struct slice path)
{
    struct buf joined = {0};
    struct buf decoded = {0};
    struct slice rest = path;
    for (struct slice segment; path_next(&rest, &segment);) {
        HOLDS(segment.len == 0 || memchr(segment.data, '/', segment.len) == NULL);
        buf_append_byte(&joined, '/');
        buf_append_slice(&joined, segment);
        buf_clear(&decoded);
        if (percent_decode(segment, &decoded) == ERR_OK) {
            HOLDS(decoded.len <= segment.len);
            expect_decodes_again(buf_slice(&decoded));
        } else {
            HOLDS(decoded.len == 0 && memchr(segment.data, '%', segment.len) != NULL);
        }
    }
    HOLDS(slice_equal(path, buf_slice(&joined)));
    buf_done(&decoded);
    buf_done(&joined);
}

/* The same parameters, written in the plainest way, read back the same. */
static void expect_parameters(const struct query *q)
{
    struct buf text = {0};
    struct query again;
    for (unsigned i = 0; i < q->count; i++) {
        percent_encode(q->parameters[i].name, &text);
        buf_append_byte(&text, '=');
        percent_encode(q->parameters[i].value, &text);
        buf_append_byte(&text, '&');
    }
    HOLDS(query_init(&again, buf_slice(&text)) == ERR_OK);
    HOLDS(again.count == q->count && q->count <= QUERY_PARAMETERS_MAX);
    for (unsigned i = 0; i < q->count; i++) {
        HOLDS(slice_equal(again.parameters[i].name, q->parameters[i].name));
        HOLDS(slice_equal(again.parameters[i].value, q->parameters[i].value));
    }
    query_done(&again);
    buf_done(&text);
}

static void expect_query(struct slice text)
{
    struct query q;
    if (query_init(&q, text) != ERR_OK) {
        return;
    }
    expect_parameters(&q);
    uint64_t limit = 0;
    bool flag = false;
    HOLDS(query_uint(&q, "limit", 1, 1000, &limit) == ERR_OK || limit == 0);
    HOLDS(limit <= 1000);
    (void)!query_bool(&q, "reverse", &flag);
    query_done(&q);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct slice target = slice_of(data, len);
    struct slice path;
    struct slice query;
    if (uri_split(target, &path, &query) == ERR_OK) {
        HOLDS(path.len > 0 && path.len + query.len <= len);
        expect_segments(path);
        expect_query(query);
    }
    expect_decodes_again(target);
    return 0;
}
