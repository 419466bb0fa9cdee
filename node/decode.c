#include "node/decode.h"

#include <stdarg.h>
#include <stdio.h>

#include "actor/glance.h"
#include "actor/ops.h"
#include "actor/registry.h"
#include "base/digest.h"
#include "node/conditions.h"
#include "node/cursor.h"
#include "node/decode_code.h"
#include "node/decode_sandbox.h"
#include "rpc/json.h"
#include "rpc/value.h"

enum {
    IDEMPOTENCY_KEY_TEXT_MAX = 255,
    TXN_BODY_BYTES_MAX = 4 * 1024 * 1024,
    TIMER_BODY_BYTES_MAX = 512 * 1024, /* JSON may take six bytes for one of the payload */
};

enum err decode_fail(struct decode_error *e, enum err err, const char *format, ...)
{
    *e = (struct decode_error){.err = err};
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(e->detail, sizeof e->detail, format, args);
        va_end(args);
    }
    return err;
}

enum err decode_too_large(struct decode_error *e, const char *name, uint64_t value)
{
    (void)decode_fail(e, ERR_TOO_LARGE, "The limit %s is %llu.", name, (unsigned long long)value);
    e->limit = (struct problem_limit){.name = name, .value = value};
    return ERR_TOO_LARGE;
}

enum err decode_timeout(const struct http_request *h, uint32_t *ret_ms, struct decode_error *e)
{
    struct slice text;
    uint64_t ms = REQUEST_TIMEOUT_MS;
    if (http_request_header(h, "dormouse-timeout", &text) &&
        (!parse_uint(text, &ms) || ms < 1 || ms > REQUEST_TIMEOUT_MS_MAX)) {
        return decode_fail(e, ERR_BAD_REQUEST, "Dormouse-Timeout is not within 1 to %d ms.",
                           REQUEST_TIMEOUT_MS_MAX);
    }
    *ret_ms = (uint32_t)ms;
    return ERR_OK;
}

/* Parts of the path */

static enum err decode_part(struct slice segment, struct buf *out, struct slice *ret_text)
{
    size_t start = out->len;
    enum err err = percent_decode(segment, out);
    *ret_text = slice_of(out->data + start, out->len - start);
    return err;
}

static bool class_is_there(const struct cluster_view *view, const struct address *a)
{
    return slice_equal_str(a->class, BUILT_IN_CLASS) ||
           deployment_class(cluster_view_deployment(view, a->ns), a->class) != NULL;
}

static enum err decode_address(struct request *r, const struct route *route,
                               const struct cluster_view *view, struct decode_error *e)
{
    struct buf text = {0};
    struct address a;
    buf_reserve(&text,
                route->segments[0].len + route->segments[1].len + route->segments[2].len + 1);
    enum err err = decode_part(route->segments[0], &text, &a.ns);
    if (err == ERR_OK) {
        err = decode_part(route->segments[1], &text, &a.class);
    }
    if (err == ERR_OK) {
        err = decode_part(route->segments[2], &text, &a.id);
    }
    if (err != ERR_OK) {
        err = decode_fail(e, err, "A percent escape in the path is not valid.");
    } else if (address_check(&a) != ERR_OK) {
        err =
            decode_fail(e, ERR_INVALID_ID, "The namespace, class or id of the actor is not valid.");
    } else if (!class_is_there(view, &a)) {
        err = decode_fail(e, ERR_NO_SUCH_CLASS,
                          "There is the class Store, and what is deployed in the namespace.");
    } else {
        request_set_address(r, &a);
    }
    buf_done(&text);
    return err;
}

/* A key, or the name of a timer or step: UTF-8 of 1 to `bytes_max` bytes. */
static enum err decode_name(struct request *r, struct slice segment, const char *limit_name,
                            size_t bytes_max, struct decode_error *e)
{
    struct buf text = {0};
    enum err err = percent_decode(segment, &text);
    if (err != ERR_OK) {
        err = decode_fail(e, err, "A percent escape in the path is not valid.");
    } else if (text.len == 0) {
        err = decode_fail(e, ERR_BAD_REQUEST, "The key or name is empty.");
    } else if (text.len > bytes_max) {
        err = decode_too_large(e, limit_name, bytes_max);
    } else if (!slice_is_utf8(buf_slice(&text))) {
        err = decode_fail(e, ERR_BAD_REQUEST, "The key or name is not UTF-8.");
    } else {
        r->name = bytes_new(buf_slice(&text));
    }
    buf_done(&text);
    return err;
}

/* Fields */

static size_t count_fields(const struct http_request *h, const char *name)
{
    size_t count = 0;
    for (size_t i = 0; i < h->header_count; i++) {
        count += slice_equal_str(h->headers[i].name, name) ? 1 : 0;
    }
    return count;
}

static enum err decode_idempotency(struct request *r, const struct http_request *h,
                                   struct decode_error *e)
{
    struct slice key;
    if (!request_writes(r) || !http_request_header(h, "idempotency-key", &key)) {
        return ERR_OK;
    }
    if (count_fields(h, "idempotency-key") > 1) {
        return decode_fail(e, ERR_BAD_REQUEST, "There are two Idempotency-Keys.");
    }
    bool valid = key.len >= 1 && key.len <= IDEMPOTENCY_KEY_TEXT_MAX;
    for (size_t i = 0; valid && i < key.len; i++) {
        valid = key.data[i] > 0x20 && key.data[i] < 0x7f;
    }
    if (!valid) {
        return decode_fail(e, ERR_BAD_REQUEST,
                           "Idempotency-Key is not 1 to 255 visible ASCII characters.");
    }
    struct slice content_type = {0};
    (void)http_request_header(h, "content-type", &content_type);
    const struct slice parts[] = {h->method, h->target, content_type, bytes_slice(h->body)};
    digest_of(parts, sizeof parts / sizeof parts[0], r->hash, sizeof r->hash);
    r->idempotency_key = bytes_new(key);
    return ERR_OK;
}

/* Bodies */

enum media { MEDIA_JSON, MEDIA_MSGPACK, MEDIA_BYTES, MEDIA_OTHER };

/* A body in a coding that nobody undoes is not what its Content-Type says (RFC 9110, 8.4). */
static bool is_encoded(const struct http_request *h)
{
    struct slice coding;
    return http_request_header(h, "content-encoding", &coding) && coding.len > 0 &&
           !http_equal_any_case(coding, "identity");
}

/* What curl sends by itself, application/x-www-form-urlencoded, is taken for the JSON it is. */
static enum media media_of(const struct http_request *h)
{
    struct slice type;
    if (is_encoded(h)) {
        return MEDIA_OTHER;
    }
    if (!http_request_header(h, "content-type", &type)) {
        return MEDIA_JSON;
    }
    const uint8_t *end = memchr(type.data, ';', type.len);
    struct slice essence =
        http_trim(end != NULL ? slice_of(type.data, (size_t)(end - type.data)) : type);
    static const struct {
        const char *type;
        enum media media;
    } known[] = {
        {"application/json", MEDIA_JSON},
        {"application/x-www-form-urlencoded", MEDIA_JSON},
        {"application/msgpack", MEDIA_MSGPACK},
        {"application/octet-stream", MEDIA_BYTES},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (http_equal_any_case(essence, known[i].type)) {
            return known[i].media;
        }
    }
    return MEDIA_OTHER;
}

static enum err decode_msgpack(struct bytes *body, unsigned depth_max, struct bytes **ret_doc,
                               struct decode_error *e)
{
    const char *reason = NULL;
    enum err err = value_check(bytes_slice(body), depth_max, &reason);
    if (err != ERR_OK) {
        return decode_fail(e, err, "The body: %s.", reason);
    }
    *ret_doc = bytes_ref(body);
    return ERR_OK;
}

static enum err decode_json(struct bytes *body, unsigned depth_max, struct bytes **ret_doc,
                            struct decode_error *e)
{
    struct buf doc = {0};
    struct json_detail detail;
    enum err err = json_to_value(bytes_slice(body), depth_max, &doc, &detail);
    if (err != ERR_OK) {
        (void)decode_fail(e, err, "%s", detail.text);
    } else {
        *ret_doc = bytes_new(buf_slice(&doc));
    }
    buf_done(&doc);
    return err;
}

enum err decode_document(const struct http_request *h, size_t bytes_max, unsigned depth_max,
                         struct bytes **ret_doc, struct decode_error *e)
{
    static const struct slice nothing = {.data = (const uint8_t *)"", .len = 0};
    if (h->body != NULL && h->body->len > bytes_max) {
        return decode_too_large(e, "body_bytes", bytes_max);
    }
    enum media media = media_of(h);
    if (media == MEDIA_OTHER || media == MEDIA_BYTES) {
        return decode_fail(e, ERR_UNSUPPORTED_MEDIA_TYPE,
                           "Bodies are application/json or application/msgpack, and are not "
                           "encoded.");
    }
    struct bytes *body = h->body != NULL ? bytes_ref(h->body) : bytes_new(nothing);
    enum err err = media == MEDIA_MSGPACK ? decode_msgpack(body, depth_max, ret_doc, e)
                                          : decode_json(body, depth_max, ret_doc, e);
    bytes_unref(body);
    return err;
}

static enum err decode_body(struct request *r, const struct http_request *h, size_t bytes_max,
                            unsigned depth_max, struct decode_error *e)
{
    return decode_document(h, bytes_max, depth_max, &r->body, e);
}

static enum err decode_value(struct request *r, const struct http_request *h,
                             struct decode_error *e)
{
    enum err err = ERR_OK;
    if (media_of(h) == MEDIA_BYTES) {
        struct slice raw = bytes_slice(h->body);
        struct buf doc = {0};
        if (raw.len > VALUE_BYTES_MAX) {
            return decode_too_large(e, "value_bytes", VALUE_BYTES_MAX);
        }
        value_put_bin(&doc, raw);
        r->body = bytes_new(buf_slice(&doc));
        buf_done(&doc);
    } else {
        /* JSON may be longer than the value it stands for. */
        err = decode_body(r, h, SIZE_MAX, VALUE_DEPTH_MAX, e);
    }
    if (err == ERR_OK && r->body->len > VALUE_BYTES_MAX) {
        err = decode_too_large(e, "value_bytes", VALUE_BYTES_MAX);
    }
    return err;
}

/* A map of members, some of which may be values. JSON may be longer than what it stands for: each
 * operation checks the values themselves. */
static enum err decode_members(struct request *r, const struct http_request *h, size_t bytes_max,
                               struct decode_error *e)
{
    return decode_body(r, h, bytes_max, VALUE_DEPTH_MAX + BODY_DEPTH_EXTRA, e);
}

/* Query of a listing */

enum err decode_parameters(const struct query *q, const char *const *known, size_t count,
                           struct decode_error *e)
{
    for (unsigned i = 0; i < q->count; i++) {
        size_t k = 0;
        while (k < count && !slice_equal_str(q->parameters[i].name, known[k])) {
            k++;
        }
        if (k == count) {
            return decode_fail(
                e, ERR_BAD_REQUEST, "Unknown query parameter \"%.*s\".",
                (int)(q->parameters[i].name.len < 64 ? q->parameters[i].name.len : 64),
                (const char *)q->parameters[i].name.data);
        }
    }
    return ERR_OK;
}

/* A bound of keys, which is as long as a key may be. */
static enum err decode_bound(const char *name, struct slice text, struct bytes **ret_bound,
                             struct decode_error *e)
{
    if (text.len > KV_KEY_BYTES_MAX) {
        return decode_too_large(e, "key_bytes", KV_KEY_BYTES_MAX);
    }
    if (!slice_is_utf8(text)) {
        return decode_fail(e, ERR_BAD_REQUEST, "%s is not UTF-8.", name);
    }
    *ret_bound = bytes_new(text);
    return ERR_OK;
}

static enum err decode_list(struct request *r, struct slice query_text, struct decode_error *e)
{
    static const char *const names[] = {"prefix", "start",   "startAfter", "end",
                                        "limit",  "reverse", "values",     "cursor"};
    struct query q = {0};
    enum err err = query_init(&q, query_text);
    if (err != ERR_OK) {
        return decode_fail(e, err, "The query is malformed.");
    }
    struct list_params *p = &r->list;
    struct bytes **texts[] = {&p->prefix, &p->start, &p->start_after, &p->end};
    struct slice text;
    err = decode_parameters(&q, names, sizeof names / sizeof names[0], e);
    for (size_t i = 0; err == ERR_OK && i < sizeof texts / sizeof texts[0]; i++) {
        if (!query_find(&q, names[i], &text)) {
            continue;
        }
        err = decode_bound(names[i], text, texts[i], e);
    }
    uint64_t limit = LIST_LIMIT_DEFAULT;
    if (err == ERR_OK && query_uint(&q, "limit", 1, LIST_LIMIT_MAX, &limit) != ERR_OK) {
        err = decode_fail(e, ERR_BAD_REQUEST, "limit is not within 1 to %d.", LIST_LIMIT_MAX);
    }
    if (err == ERR_OK && (query_bool(&q, "reverse", &p->reverse) != ERR_OK ||
                          query_bool(&q, "values", &p->values) != ERR_OK)) {
        err = decode_fail(e, ERR_BAD_REQUEST, "reverse and values are true or false.");
    }
    if (err == ERR_OK && query_find(&q, "cursor", &text) &&
        cursor_decode(text, &p->cursor) != ERR_OK) {
        err = decode_fail(e, ERR_BAD_REQUEST, "The cursor is not one that a listing gave.");
    }
    p->limit = (uint32_t)limit;
    query_done(&q);
    return err;
}

/* "12" or "12.3": an event's id, or a version: then all of its events are known. */
static bool parse_position(struct slice text, uint64_t *ret_version, uint32_t *ret_n)
{
    const uint8_t *dot = memchr(text.data, '.', text.len);
    uint64_t n = UINT32_MAX;
    size_t len = dot != NULL ? (size_t)(dot - text.data) : text.len;
    if (!parse_uint(slice_of(text.data, len), ret_version)) {
        return false;
    }
    if (dot != NULL && (!parse_uint(slice_skip(text, len + 1), &n) || n > UINT32_MAX)) {
        return false;
    }
    *ret_n = (uint32_t)n;
    return true;
}

/* Last-Event-ID wins: a client that reconnects repeats the address it began with. */
static enum err decode_watch(struct request *r, const struct http_request *h,
                             struct slice query_text, struct decode_error *e)
{
    static const char *const names[] = {"prefix", "since"};
    struct query q = {0};
    if (query_init(&q, query_text) != ERR_OK) {
        return decode_fail(e, ERR_BAD_REQUEST, "The query is malformed.");
    }
    struct slice text;
    enum err err = decode_parameters(&q, names, sizeof names / sizeof names[0], e);
    if (err == ERR_OK && query_find(&q, "prefix", &text)) {
        err = decode_bound("prefix", text, &r->list.prefix, e);
    }
    r->has_since = http_request_header(h, "last-event-id", &text) || query_find(&q, "since", &text);
    if (err == ERR_OK && r->has_since && !parse_position(text, &r->since_version, &r->since_n)) {
        err = decode_fail(e, ERR_BAD_REQUEST, "since is neither a version nor an event id.");
    }
    query_done(&q);
    return err;
}

/* Requests */

static enum request_kind kind_of(enum route_name route, struct slice method)
{
    if (route_is_of_sandbox(route)) {
        return REQUEST_SANDBOX;
    }
    bool is_put = slice_equal_str(method, "PUT");
    bool is_delete = slice_equal_str(method, "DELETE");
    switch ((int)route) {
    case ROUTE_ACTOR:
        return is_delete ? REQUEST_ACTOR_DELETE : REQUEST_ACTOR_INFO;
    case ROUTE_KEYS:
        return REQUEST_KV_LIST;
    case ROUTE_KEY:
        return is_put ? REQUEST_KV_PUT : is_delete ? REQUEST_KV_DELETE : REQUEST_KV_GET;
    case ROUTE_TXN:
        return REQUEST_TXN;
    case ROUTE_HIBERNATE:
        return REQUEST_HIBERNATE;
    case ROUTE_WATCH:
        return REQUEST_WATCH;
    case ROUTE_TIMERS:
        return REQUEST_TIMER_LIST;
    case ROUTE_TIMER:
        return is_put ? REQUEST_TIMER_PUT : is_delete ? REQUEST_TIMER_DELETE : REQUEST_TIMER_GET;
    case ROUTE_STEPS:
        return REQUEST_STEP_LIST;
    case ROUTE_STEP:
        return is_put ? REQUEST_STEP_END : REQUEST_STEP_BEGIN;
    case ROUTE_CALL:
        return REQUEST_CALL;
    case ROUTE_FETCH:
    case ROUTE_FETCH_ROOT:
    case ROUTE_WEBSOCKET:
    case ROUTE_WEBSOCKET_PATH:
        return REQUEST_CLASS_FETCH;
    case ROUTE_EXECUTE:
        return REQUEST_EXECUTE;
    case ROUTE_MODULE_FETCH:
        return REQUEST_MODULE_FETCH;
    case ROUTE_WORKFLOW:
        return slice_equal_str(method, "POST") ? REQUEST_WORKFLOW_START : REQUEST_WORKFLOW_GET;
    case ROUTE_WORKFLOW_VERB:
        return REQUEST_WORKFLOW_CONTROL;
    default:
        return REQUEST_KIND_COUNT;
    }
}

/* Of requests that cannot be stale it says nothing. */
static enum err decode_consistency(struct request *r, const struct http_request *h,
                                   struct decode_error *e)
{
    struct slice text;
    bool is_said = http_request_header(h, "dormouse-consistency", &text);
    if (is_said && !slice_equal_str(text, "stale")) {
        return decode_fail(e, ERR_BAD_REQUEST, "Dormouse-Consistency can be \"stale\" alone.");
    }
    r->may_be_stale = is_said && glance_is_for(r);
    return ERR_OK;
}

static enum err decode_rest(struct request *r, const struct http_request *h,
                            const struct route *route, struct slice query_text,
                            const struct cluster_view *view, struct decode_error *e)
{
    if (r->kind == REQUEST_MODULE_FETCH) {
        return decode_module_fetch(r, h, route, e);
    }
    enum err err = decode_address(r, route, view, e);
    if (err == ERR_OK) {
        err = decode_idempotency(r, h, e);
    }
    if (err == ERR_OK && route->name == ROUTE_KEY) {
        err = decode_name(r, route->segments[3], "key_bytes", KV_KEY_BYTES_MAX, e);
        if (err == ERR_OK) {
            err = conditions_decode(r, h, e);
        }
    }
    if (err == ERR_OK &&
        (route->name == ROUTE_TIMER || route->name == ROUTE_STEP || route->name == ROUTE_CALL)) {
        err = decode_name(r, route->segments[3], "name_bytes", NAME_BYTES_MAX, e);
    }
    if (err != ERR_OK) {
        return err;
    }
    if (r->kind == REQUEST_WORKFLOW_CONTROL) {
        err = decode_workflow_verb(r, route->segments[3], e);
    }
    if (err == ERR_OK) {
        err = decode_check_class(r, view, e);
    }
    if (err != ERR_OK) {
        return err;
    }
    switch ((int)r->kind) {
    case REQUEST_SANDBOX:
        return decode_sandbox(r, h, route, query_text, e);
    case REQUEST_KV_PUT:
        return decode_value(r, h, e);
    case REQUEST_KV_LIST:
        return decode_list(r, query_text, e);
    case REQUEST_WATCH:
        return decode_watch(r, h, query_text, e);
    case REQUEST_TXN:
        return decode_body(r, h, TXN_BODY_BYTES_MAX, VALUE_DEPTH_MAX + TXN_DEPTH_EXTRA, e);
    case REQUEST_TIMER_PUT:
        return decode_members(r, h, TIMER_BODY_BYTES_MAX, e);
    case REQUEST_WORKFLOW_START:
    case REQUEST_WORKFLOW_CONTROL:
    case REQUEST_STEP_BEGIN: /* all of its members may be left out */
        return h->body == NULL || h->body->len == 0 ? ERR_OK : decode_members(r, h, SIZE_MAX, e);
    case REQUEST_WORKFLOW_EVENT:
    case REQUEST_STEP_END:
        return decode_members(r, h, SIZE_MAX, e);
    case REQUEST_CALL:
        return decode_call(r, h, e);
    case REQUEST_CLASS_FETCH:
        return decode_fetch(r, h, route, e);
    case REQUEST_EXECUTE:
        return decode_execute(r, h, e);
    default:
        return ERR_OK;
    }
}

enum err decode_request(const struct http_request *h, const struct route *route,
                        struct slice query_text, const struct cluster_view *view,
                        struct request **ret_request, struct decode_error *ret_error)
{
    enum request_kind kind = kind_of(route->name, h->method);
    if (kind == REQUEST_KIND_COUNT) {
        return decode_fail(ret_error, ERR_NOT_IMPLEMENTED, NULL);
    }
    struct request *r = request_new(kind);
    enum err err = decode_consistency(r, h, ret_error);
    if (err == ERR_OK) {
        err = decode_rest(r, h, route, query_text, view, ret_error);
    }
    if (err != ERR_OK) {
        request_free(r);
        return err;
    }
    *ret_request = r;
    return ERR_OK;
}
