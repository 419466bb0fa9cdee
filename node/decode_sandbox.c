#include "node/decode_sandbox.h"

#include "actor/sandbox_ask.h"
#include "actor/sandbox_spec.h"
#include "node/accept.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum {
    SANDBOX_BODY_BYTES_MAX = 16 * 1024 * 1024,
    FILES_SEGMENTS = 7, /* /v1/{namespace}/{class}/{id}/sandboxes/{name}/files */
    TIMEOUT_SLACK_MS = 5000,
};

static enum sandbox_verb verb_of(enum route_name route)
{
    switch ((int)route) {
    case ROUTE_SANDBOX:
        return SANDBOX_VERB_ITSELF;
    case ROUTE_SANDBOX_EXEC:
        return SANDBOX_VERB_EXEC;
    case ROUTE_SANDBOX_PROCESSES:
        return SANDBOX_VERB_PROCESSES;
    case ROUTE_SANDBOX_PROCESS:
        return SANDBOX_VERB_PROCESS;
    case ROUTE_SANDBOX_LOGS:
        return SANDBOX_VERB_LOGS;
    case ROUTE_SANDBOX_WAIT:
        return SANDBOX_VERB_WAIT;
    case ROUTE_SANDBOX_FILES:
    case ROUTE_SANDBOX_FILE:
        return SANDBOX_VERB_FILE;
    case ROUTE_SANDBOX_SLEEP:
        return SANDBOX_VERB_SLEEP;
    case ROUTE_SANDBOX_WAKE:
        return SANDBOX_VERB_WAKE;
    case ROUTE_SANDBOX_SNAPSHOTS:
        return SANDBOX_VERB_SNAPSHOTS;
    case ROUTE_SANDBOX_SNAPSHOT:
        return SANDBOX_VERB_SNAPSHOT;
    case ROUTE_SANDBOX_RESTORE:
        return SANDBOX_VERB_RESTORE;
    case ROUTE_SANDBOX_FORK:
        return SANDBOX_VERB_FORK;
    case ROUTE_SANDBOX_TERMINAL:
        return SANDBOX_VERB_TERMINAL;
    case ROUTE_SANDBOX_CHANGES:
        return SANDBOX_VERB_CHANGES;
    case ROUTE_SANDBOX_CONTEXTS:
        return SANDBOX_VERB_CONTEXTS;
    case ROUTE_SANDBOX_CONTEXT:
        return SANDBOX_VERB_CONTEXT;
    case ROUTE_SANDBOX_CONTEXT_RUN:
        return SANDBOX_VERB_CONTEXT_RUN;
    default:
        return SANDBOX_VERB_END;
    }
}

bool route_is_of_sandbox(enum route_name route)
{
    return verb_of(route) != SANDBOX_VERB_END;
}

/* What the path has behind `files`: absolute, from the sandbox's root. */
static enum err decode_path(struct slice target, struct buf *out, struct decode_error *e)
{
    struct slice path;
    struct slice query;
    struct slice segment;
    if (uri_split(target, &path, &query) != ERR_OK) {
        return decode_fail(e, ERR_BAD_REQUEST, "The request target is malformed.");
    }
    for (int i = 0; i < FILES_SEGMENTS; i++) {
        (void)path_next(&path, &segment);
    }
    while (path_next(&path, &segment)) {
        buf_append_byte(out, '/');
        if (percent_decode(segment, out) != ERR_OK) {
            return decode_fail(e, ERR_BAD_REQUEST, "The path has a bad escape.");
        }
    }
    return ERR_OK;
}

/* Without empty and "." parts; one that climbs is refused, whatever it would lead to. */
static enum err clean_path(struct slice raw, struct buf *out, struct decode_error *e)
{
    size_t at = 0;
    if (memchr(raw.data, '\0', raw.len) != NULL) {
        return decode_fail(e, ERR_BAD_REQUEST, "The path has a NUL.");
    }
    while (at < raw.len) {
        const uint8_t *slash = memchr(raw.data + at, '/', raw.len - at);
        size_t end = slash != NULL ? (size_t)(slash - raw.data) : raw.len;
        struct slice part = slice_of(raw.data + at, end - at);
        at = end + 1;
        if (part.len == 0 || slice_equal_str(part, ".")) {
            continue;
        }
        if (slice_equal_str(part, "..")) {
            return decode_fail(e, ERR_BAD_REQUEST, "The path has \"..\".");
        }
        if (part.len > 255) {
            return decode_fail(e, ERR_BAD_REQUEST, "A name of the path has over 255 bytes.");
        }
        buf_append_byte(out, '/');
        buf_append_slice(out, part);
    }
    if (out->len == 0) {
        buf_append_byte(out, '/');
    }
    return out->len <= SANDBOX_FILE_PATH_MAX
               ? ERR_OK
               : decode_fail(e, ERR_BAD_REQUEST, "The path has over %d bytes.",
                             SANDBOX_FILE_PATH_MAX);
}

static enum err decode_argument(const struct http_request *h, const struct route *route,
                                struct buf *out, struct decode_error *e)
{
    if (verb_of(route->name) == SANDBOX_VERB_FILE) {
        struct buf raw = {0};
        enum err err = decode_path(h->target, &raw, e);
        if (err == ERR_OK) {
            err =
                raw.len > 0 ? clean_path(buf_slice(&raw), out, e) : clean_path(SLICE("/"), out, e);
        }
        buf_done(&raw);
        return err;
    }
    if (route->segment_count > 4 && percent_decode(route->segments[4], out) != ERR_OK) {
        return decode_fail(e, ERR_BAD_REQUEST, "The path has a bad escape.");
    }
    return ERR_OK;
}

/* A file's bytes as they are; else a document, or nothing. */
static enum err decode_sandbox_body(const struct http_request *h, const struct route *route,
                                    struct buf *out, struct decode_error *e)
{
    struct bytes *body = NULL;
    struct slice raw = bytes_slice(h->body);
    if (verb_of(route->name) == SANDBOX_VERB_FILE) {
        if (slice_equal_str(h->method, "PUT")) {
            value_put_bin(out, raw);
        }
        return ERR_OK;
    }
    if (raw.len == 0) {
        return ERR_OK;
    }
    enum err err = decode_document(h, SANDBOX_BODY_BYTES_MAX, VALUE_DEPTH_MAX, &body, e);
    if (err == ERR_OK) {
        buf_append_slice(out, bytes_slice(body));
        bytes_unref(body);
    }
    return err;
}

static bool wants_stream(const struct http_request *h)
{
    struct slice text;
    return http_request_header(h, "accept", &text) && text.len >= sizeof "text/event-stream" - 1 &&
           memmem(text.data, text.len, "text/event-stream", sizeof "text/event-stream" - 1) != NULL;
}

enum err decode_sandbox(struct request *r, const struct http_request *h, const struct route *route,
                        struct slice query, struct decode_error *e)
{
    struct buf name = {0};
    struct buf argument = {0};
    struct buf body = {0};
    struct buf doc = {0};
    struct sandbox_what what = {.verb = verb_of(route->name),
                                .method = h->method,
                                .query = query,
                                .wants_stream = wants_stream(h)};
    enum err err = percent_decode(route->segments[3], &name);
    if (err != ERR_OK || !sandbox_name_is_valid(buf_slice(&name))) {
        err = decode_fail(e, ERR_BAD_REQUEST,
                          "A sandbox's name is 1 to %d of the letters a-z, A-Z, 0-9, '.', '_' and "
                          "'-', and does not begin with '.'.",
                          SANDBOX_NAME_MAX);
    }
    err = err == ERR_OK ? decode_argument(h, route, &argument, e) : err;
    err = err == ERR_OK ? decode_sandbox_body(h, route, &body, e) : err;
    if (err == ERR_OK) {
        what.name = buf_slice(&name);
        what.argument = buf_slice(&argument);
        what.body = buf_slice(&body);
        sandbox_what_encode(&what, &doc);
        r->body = bytes_new(buf_slice(&doc));
    }
    buf_done(&name);
    buf_done(&argument);
    buf_done(&body);
    buf_done(&doc);
    return err;
}

uint32_t decode_sandbox_timeout_ms(const struct request *r, uint32_t timeout_ms)
{
    struct sandbox_what what;
    struct slice doc;
    uint64_t own_ms;
    if (sandbox_what_decode(bytes_slice(r->body), &what) != ERR_OK ||
        (what.verb != SANDBOX_VERB_EXEC && what.verb != SANDBOX_VERB_WAIT &&
         what.verb != SANDBOX_VERB_CONTEXT_RUN) ||
        what.body.len == 0 || value_type(what.body) != VALUE_MAP ||
        !value_member(what.body, "timeout_ms", &doc) || !value_get_uint(doc, &own_ms) ||
        own_ms + TIMEOUT_SLACK_MS <= timeout_ms) {
        return timeout_ms;
    }
    return own_ms > 24 * 3600 * 1000 ? timeout_ms : (uint32_t)own_ms + TIMEOUT_SLACK_MS;
}
