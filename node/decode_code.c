#include "node/decode_code.h"

#include "rpc/value.h"

enum {
    CALL_BODY_BYTES_MAX = 4 * 1024 * 1024,
    FETCH_BODY_BYTES_MAX = 16 * 1024 * 1024,
    EXECUTE_BODY_BYTES_MAX = 4 * 1024 * 1024,
    EXECUTE_MEMBERS = 4,
    FETCH_SEGMENTS = 5,  /* /v1/{namespace}/{class}/{id}/fetch */
    MODULE_SEGMENTS = 2, /* /w/{namespace} */
};

enum err decode_call(struct request *r, const struct http_request *h, struct decode_error *e)
{
    static const uint8_t nothing = 0x90; /* [] */
    if (h->body == NULL || h->body->len == 0) {
        r->body = bytes_new(slice_of(&nothing, 1));
        return ERR_OK;
    }
    enum err err = decode_document(h, CALL_BODY_BYTES_MAX, VALUE_DEPTH_MAX, &r->body, e);
    if (err == ERR_OK && value_type(bytes_slice(r->body)) != VALUE_ARRAY) {
        err = decode_fail(e, ERR_BAD_REQUEST, "The body is not an array of arguments.");
    }
    return err;
}

/* Fetch */

/* What follows so many segments, with its query. */
static struct slice path_of(struct slice target, int segments)
{
    size_t at = 0;
    for (int left = segments; left > 0 && at < target.len; left--) {
        at++; /* the slash */
        while (at < target.len && target.data[at] != '/' && target.data[at] != '?') {
            at++;
        }
    }
    return slice_skip(target, at);
}

static void put_url(struct buf *out, const struct http_request *h, int segments)
{
    struct slice path = path_of(h->target, segments);
    struct buf url = {0};
    buf_append_str(&url, h->is_secure ? "https://" : "http://");
    buf_append_slice(&url, h->authority.len > 0 ? h->authority : SLICE("localhost"));
    if (path.len == 0 || path.data[0] != '/') {
        buf_append_byte(&url, '/');
    }
    buf_append_slice(&url, path);
    value_put_str(out, buf_slice(&url));
    buf_done(&url);
}

/* The node's own credentials are not for user code; nor is what speaks of this connection. */
static bool is_passed_on(const struct http_header *f)
{
    return !http_name_is_of_connection(f->name) && !slice_equal_str(f->name, "authorization") &&
           slice_is_utf8(f->value);
}

static void put_fields(struct buf *out, const struct http_request *h)
{
    uint32_t count = 0;
    for (size_t i = 0; i < h->header_count; i++) {
        count += is_passed_on(&h->headers[i]) ? 1 : 0;
    }
    value_put_array(out, count);
    for (size_t i = 0; i < h->header_count; i++) {
        if (is_passed_on(&h->headers[i])) {
            value_put_array(out, 2);
            value_put_str(out, h->headers[i].name);
            value_put_str(out, h->headers[i].value);
        }
    }
}

static enum err decode_http(struct request *r, const struct http_request *h, int segments,
                            struct decode_error *e)
{
    struct buf doc = {0};
    if (h->body != NULL && h->body->len > FETCH_BODY_BYTES_MAX) {
        (void)decode_fail(e, ERR_TOO_LARGE, "The limit body_bytes is %d.", FETCH_BODY_BYTES_MAX);
        e->limit = (struct problem_limit){.name = "body_bytes", .value = FETCH_BODY_BYTES_MAX};
        return ERR_TOO_LARGE;
    }
    value_put_array(&doc, 4);
    value_put_str(&doc, h->method);
    put_url(&doc, h, segments);
    put_fields(&doc, h);
    if (h->body == NULL) {
        value_put_nil(&doc);
    } else {
        value_put_bin(&doc, bytes_slice(h->body));
    }
    r->body = bytes_new(buf_slice(&doc));
    buf_done(&doc);
    return ERR_OK;
}

enum err decode_fetch(struct request *r, const struct http_request *h, const struct route *route,
                      struct decode_error *e)
{
    bool is_for_sockets = route->name == ROUTE_WEBSOCKET || route->name == ROUTE_WEBSOCKET_PATH;
    if (is_for_sockets && !h->wants_socket) {
        return decode_fail(e, ERR_BAD_REQUEST, "The request does not ask for a WebSocket.");
    }
    return decode_http(r, h, FETCH_SEGMENTS, e);
}

enum err decode_module_fetch(struct request *r, const struct http_request *h,
                             const struct route *route, struct decode_error *e)
{
    const struct address a = {.ns = route->segments[0], .class = SLICE(""), .id = SLICE("")};
    if (!address_namespace_is_valid(a.ns)) {
        return decode_fail(e, ERR_INVALID_ID, "The namespace is not valid.");
    }
    request_set_address(r, &a);
    return decode_http(r, h, MODULE_SEGMENTS, e);
}

/* Execute */

static enum err check_members(struct slice doc, const char *what, const char *const *names,
                              size_t count, struct decode_error *e)
{
    struct slice key;
    struct slice value;
    if (value_type(doc) != VALUE_MAP) {
        return decode_fail(e, ERR_BAD_REQUEST, "%s is not a map.", what);
    }
    for (struct value_iter it = value_entries(doc); value_next_entry(&it, &key, &value);) {
        size_t i = 0;
        while (i < count && !slice_equal_str(key, names[i])) {
            i++;
        }
        if (i == count) {
            return decode_fail(e, ERR_BAD_REQUEST, "%s has the unknown member \"%.*s\".", what,
                               (int)(key.len < 64 ? key.len : 64), (const char *)key.data);
        }
    }
    return ERR_OK;
}

static enum err check_limits(struct slice limits, struct decode_error *e)
{
    static const char *const names[] = {"cpu_ms", "wall_ms", "memory_mb"};
    struct slice doc;
    uint64_t value;
    enum err err = check_members(limits, "limits", names, 3, e);
    for (int i = 0; err == ERR_OK && i < 3; i++) {
        if (value_member(limits, names[i], &doc) && (!value_get_uint(doc, &value) || value == 0)) {
            err = decode_fail(e, ERR_BAD_REQUEST, "limits.%s is no positive integer.", names[i]);
        }
    }
    return err;
}

static bool is_array_of_texts(struct slice doc)
{
    struct slice item;
    struct slice text;
    if (value_type(doc) == VALUE_NIL) {
        return true;
    }
    for (struct value_iter it = value_items(doc); value_next(&it, &item);) {
        if (!value_get_str(item, &text)) {
            return false;
        }
    }
    return value_type(doc) == VALUE_ARRAY;
}

static enum err check_grants(struct slice grants, struct decode_error *e)
{
    static const char *const names[] = {"storage", "fetch", "actors"};
    struct slice doc;
    struct slice text;
    enum err err = check_members(grants, "grants", names, 3, e);
    if (err != ERR_OK) {
        return err;
    }
    if (value_member(grants, "storage", &doc) && value_type(doc) != VALUE_NIL &&
        (!value_get_str(doc, &text) ||
         (!slice_equal_str(text, "read") && !slice_equal_str(text, "write")))) {
        return decode_fail(e, ERR_BAD_REQUEST,
                           "grants.storage is not \"read\", \"write\" or null.");
    }
    for (int i = 1; i < 3; i++) {
        if (value_member(grants, names[i], &doc) && !is_array_of_texts(doc)) {
            return decode_fail(e, ERR_BAD_REQUEST, "grants.%s is no array of strings.", names[i]);
        }
    }
    return ERR_OK;
}

enum err decode_execute(struct request *r, const struct http_request *h, struct decode_error *e)
{
    static const char *const names[EXECUTE_MEMBERS] = {"code", "input", "limits", "grants"};
    struct slice doc;
    enum err err = decode_document(h, EXECUTE_BODY_BYTES_MAX, VALUE_DEPTH_MAX + 1, &r->body, e);
    if (err != ERR_OK) {
        return err;
    }
    struct slice body = bytes_slice(r->body);
    err = check_members(body, "The body", names, EXECUTE_MEMBERS, e);
    if (err == ERR_OK && (!value_member(body, "code", &doc) || value_type(doc) != VALUE_STR)) {
        err = decode_fail(e, ERR_BAD_REQUEST, "code is no string.");
    }
    if (err == ERR_OK && value_member(body, "limits", &doc)) {
        err = check_limits(doc, e);
    }
    if (err == ERR_OK && value_member(body, "grants", &doc)) {
        err = check_grants(doc, e);
    }
    return err;
}

/* Workflows */

bool class_takes(const struct deployed_class *c, enum request_kind kind)
{
    bool is_workflow = c != NULL && c->kind == CLASS_WORKFLOW;
    return request_is_of_workflow(kind)                          ? is_workflow
           : kind == REQUEST_CALL || kind == REQUEST_CLASS_FETCH ? !is_workflow
                                                                 : true;
}

enum err decode_check_class(const struct request *r, const struct cluster_view *view,
                            struct decode_error *e)
{
    const struct deployed_class *c =
        deployment_class(cluster_view_deployment(view, r->address.ns), r->address.class);
    return class_takes(c, r->kind)
               ? ERR_OK
               : decode_fail(e, ERR_NO_SUCH_METHOD,
                             request_is_of_workflow(r->kind)
                                 ? "The class does not extend WorkflowEntrypoint."
                                 : "A workflow has no methods that can be called.");
}

enum err decode_workflow_verb(struct request *r, struct slice segment, struct decode_error *e)
{
    static const char *const verbs[] = {"pause", "resume", "terminate", "restart"};
    if (slice_equal_str(segment, "events")) {
        r->kind = REQUEST_WORKFLOW_EVENT;
        return ERR_OK;
    }
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++) {
        if (slice_equal_str(segment, verbs[i])) {
            r->name = bytes_new(segment);
            return ERR_OK;
        }
    }
    return decode_fail(e, ERR_NOT_FOUND,
                       "A workflow has events, pause, resume, terminate and restart.");
}
