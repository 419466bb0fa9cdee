/* What comes from an egress process that was taken over, from a hostile server through libcurl, and from user
 * code: frames come out of a channel the same however the bytes are cut, and what is read of one is within its
 * bounds; lines of a response make fields that are a document; a body that says it is compressed gives what it
 * gives whatever the pieces; a location leads to http or nowhere.
 *
 * The first byte of an input says which, the second one how long the pieces are. */
#include <string.h>

#include "actor/channel.h"
#include "actor/egress/inflater.h"
#include "actor/egress/response.h"
#include "actor/egress/target.h"
#include "actor/egress_frame.h"
#include "base/buf.h"
#include "base/mem.h"
#include "rpc/value.h"
#include "tests/fuzz/fuzz.h"

enum { OUT_BYTES_MAX = 1 << 20 };

/* Frames */

static enum err see(void *ctx, struct slice frame)
{
    struct buf *seen = ctx;
    struct egress_frame f;
    buf_append_u32(seen, (uint32_t)frame.len);
    buf_append_slice(seen, frame);
    if (egress_frame_decode(frame, &f) != ERR_OK) {
        return ERR_CORRUPT;
    }
    if (f.kind == EGRESS_FETCH) {
        struct buf again = {0}; /* what was read can be written */
        HOLDS(f.fetch.body.len <= EGRESS_REQUEST_BODY_BYTES_MAX && f.fetch.ms_max <= EGRESS_MS_MAX);
        HOLDS(value_count(f.fetch.fields) <= EGRESS_FIELDS_MAX);
        egress_put_fetch(&again, f.id, &f.fetch);
        buf_done(&again);
    } else if (f.kind == EGRESS_CHUNK) {
        HOLDS(f.chunk.bytes.len <= EGRESS_CHUNK_BYTES_MAX);
    } else if (f.kind == EGRESS_HEAD) {
        HOLDS(f.head.status >= 200 && f.head.status <= 999);
    }
    return ERR_OK;
}

static enum err feed(struct slice in, size_t piece, struct buf *seen)
{
    struct channel_inbox inbox;
    enum err err = ERR_OK;
    channel_inbox_init(&inbox);
    while (err == ERR_OK && in.len > 0) {
        size_t n = in.len < piece ? in.len : piece;
        err = channel_inbox_feed(&inbox, slice_of(in.data, n), see, seen);
        in = slice_skip(in, n);
    }
    channel_inbox_done(&inbox);
    return err;
}

static void run_frames(struct slice in, size_t piece)
{
    struct buf whole = {0};
    struct buf pieces = {0};
    enum err err = feed(in, SIZE_MAX, &whole);
    HOLDS(err == ERR_OK || err == ERR_CORRUPT);
    HOLDS(feed(in, piece, &pieces) == err);
    HOLDS(slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    buf_done(&whole);
    buf_done(&pieces);
}

/* Heads of responses */

static void run_head(struct slice in)
{
    struct response r;
    struct buf doc = {0};
    const char *detail = NULL;
    enum err err = ERR_OK;
    response_init(&r);
    while (in.len > 0 && err == ERR_OK) {
        const uint8_t *end = memchr(in.data, '\n', in.len);
        size_t n = end != NULL ? (size_t)(end - in.data) + 1 : in.len;
        err = response_line(&r, slice_of(in.data, n), &detail);
        HOLDS(err == ERR_OK || detail != NULL);
        in = slice_skip(in, n);
    }
    HOLDS(r.line_count <= EGRESS_FIELDS_MAX && r.lines.len <= EGRESS_FIELD_BYTES_MAX);
    response_put_fields(&r, in.len % 2 == 0, &doc);
    HOLDS(value_check(buf_slice(&doc), 3, &detail) == ERR_OK);
    HOLDS(value_count(buf_slice(&doc)) <= r.line_count);
    buf_done(&doc);
    response_done(&r);
}

/* Bodies */

static enum err inflate_all(const char *encoding, struct slice in, size_t piece, struct buf *out)
{
    uint8_t room[4096];
    enum err err = ERR_OK;
    struct inflater *i = inflater_new(slice_of_str(encoding));
    while (in.len > 0 && err == ERR_OK && out->len < OUT_BYTES_MAX) {
        struct slice part = slice_of(in.data, in.len < piece ? in.len : piece);
        size_t n = sizeof room;
        in = slice_skip(in, part.len);
        while (err == ERR_OK && n == sizeof room && out->len < OUT_BYTES_MAX) {
            n = 0;
            err = inflater_take(i, &part, room, sizeof room, &n);
            HOLDS(n <= sizeof room);
            buf_append(out, room, n);
        }
    }
    inflater_free(i);
    return err;
}

static void run_body(const char *encoding, struct slice in, size_t piece)
{
    struct buf whole = {0};
    struct buf pieces = {0};
    enum err err = inflate_all(encoding, in, SIZE_MAX, &whole);
    enum err cut = inflate_all(encoding, in, piece, &pieces);
    if (err == ERR_OK && whole.len < OUT_BYTES_MAX) {
        HOLDS(cut == ERR_OK && slice_equal(buf_slice(&whole), buf_slice(&pieces)));
    }
    buf_done(&whole);
    buf_done(&pieces);
}

/* Locations */

static void run_location(struct slice in)
{
    struct target from;
    struct target to;
    const char *detail = NULL;
    HOLDS(target_parse(SLICE("https://example.com:8443/a/b?c"), &from, &detail) == ERR_OK);
    if (target_redirect(&from, in, &to, &detail) == ERR_OK) {
        HOLDS(strcmp(to.scheme, "http") == 0 || strcmp(to.scheme, "https") == 0);
        HOLDS(to.host[0] != '\0' && to.port > 0);
        struct target again;
        HOLDS(target_parse(slice_of_str(to.url), &again, &detail) == ERR_OK);
        HOLDS(target_is_same_origin(&to, &again));
        target_done(&again);
        target_done(&to);
    } else {
        HOLDS(detail != NULL);
    }
    target_done(&from);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3) {
        return 0;
    }
    size_t piece = 1U + data[1];
    struct slice in = slice_of(data + 2, len - 2);
    switch (data[0] % 5) {
    case 0:
        run_frames(in, piece);
        break;
    case 1:
        run_head(in);
        break;
    case 2:
        run_body("gzip", in, piece);
        break;
    case 3:
        run_body("deflate", in, piece);
        break;
    default:
        run_location(in);
        break;
    }
    return 0;
}
