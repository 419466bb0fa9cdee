#include "node/preview.h"

#include <stdio.h>
#include <string.h>

#include "actor/sandbox_ask.h"
#include "actor/sandbox_spec.h"
#include "base/digest.h"
#include "base/mem.h"
#include "node/accept.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/decode.h"
#include "node/errand.h"
#include "node/fetch_ask.h"
#include "node/node.h"
#include "node/worker.h"
#include "rpc/http_field.h"
#include "rpc/uri.h"
#include "rpc/value.h"

#define PREVIEW_KEY "to"

enum {
    TOKEN_BYTES = 20,
    TOKEN_CHARS = 32,
    LABEL_CHARS_MAX = 5 + 1 + TOKEN_CHARS,
    NAMESPACE_CHARS = 9 + TOKEN_CHARS,
    PREVIEW_TIMEOUT_MS = 30 * 1000,
    RECORD_ITEMS = 4,
};

enum preview_step { STEP_LOOK, STEP_RECORD, STEP_FIND };

struct preview_ask {
    struct callee callee;
    struct errand errand;
    struct worker *worker;
    struct http_exchange *x; /* NULL: the client went away */
    enum preview_step step;
    bool is_delete;
    uint16_t port;
    char label[LABEL_CHARS_MAX + 1];
    struct buf record; /* [namespace, class, id, sandbox] */
};

/* Names */

/* Five bits a character. */
static void show(const uint8_t bytes[TOKEN_BYTES], char ret[TOKEN_CHARS + 1])
{
    static const char digits[] = "abcdefghijklmnopqrstuvwxyz234567";
    for (size_t i = 0; i < TOKEN_CHARS; i++) {
        size_t at = i * 5 / 8;
        unsigned two = (unsigned)bytes[at] << 8 | (at + 1 < TOKEN_BYTES ? bytes[at + 1] : 0U);
        ret[i] = digits[two >> (11 - i * 5 % 8) & 31];
    }
    ret[TOKEN_CHARS] = '\0';
}

/* That of the records: no client can know it. */
static void namespace_of(const struct worker *w, char ret[NAMESPACE_CHARS + 1])
{
    uint8_t bytes[TOKEN_BYTES];
    const struct slice parts[] = {SLICE("dormouse/previews/1"),
                                  slice_of(w->node->data.address_key, ADDRESS_KEY_BYTES)};
    digest_of(parts, 2, bytes, sizeof bytes);
    memcpy(ret, "previews-", NAMESPACE_CHARS - TOKEN_CHARS);
    show(bytes, ret + NAMESPACE_CHARS - TOKEN_CHARS);
}

static void token_of(const struct worker *w, const struct identity *identity, struct slice sandbox,
                     uint16_t port, char ret[TOKEN_CHARS + 1])
{
    uint8_t bytes[TOKEN_BYTES];
    uint8_t port_bytes[] = {(uint8_t)(port >> 8), (uint8_t)port};
    const struct slice parts[] = {SLICE("dormouse/preview/1"),
                                  slice_of(w->node->data.address_key, ADDRESS_KEY_BYTES),
                                  slice_of(identity->bytes, IDENTITY_BYTES),
                                  slice_of(port_bytes, sizeof port_bytes), sandbox};
    digest_of(parts, sizeof parts / sizeof parts[0], bytes, sizeof bytes);
    show(bytes, ret);
}

/* What stands before ".<domain>", without its port. False: it is of another domain. */
static bool label_of(const struct worker *w, struct slice authority, struct slice *ret)
{
    const char *domain = w->node->options->preview_domain;
    size_t n = strlen(domain);
    const uint8_t *colon = memchr(authority.data, ':', authority.len);
    size_t len = colon != NULL ? (size_t)(colon - authority.data) : authority.len;
    if (len <= n + 1 || authority.data[len - n - 1] != '.' ||
        !http_equal_any_case(slice_of(authority.data + len - n, n), domain)) {
        return false;
    }
    *ret = slice_of(authority.data, len - n - 1);
    return true;
}

bool preview_is(const struct worker *w, const struct http_request *h)
{
    struct slice label;
    return h->authority.len > 0 && label_of(w, h->authority, &label);
}

static bool read_label(struct preview_ask *a, struct slice label)
{
    const uint8_t *dash = label.len <= LABEL_CHARS_MAX ? memchr(label.data, '-', label.len) : NULL;
    uint64_t port;
    if (dash == NULL || !parse_uint(slice_of(label.data, (size_t)(dash - label.data)), &port) ||
        port < 1 || port > UINT16_MAX || label.data + label.len - dash - 1 != TOKEN_CHARS) {
        return false;
    }
    a->port = (uint16_t)port;
    memcpy(a->label, label.data, label.len);
    http_name_to_lower((uint8_t *)a->label, label.len);
    return true;
}

/* Asks */

static void ask_free(struct preview_ask *a)
{
    buf_done(&a->record);
    mem_free(a);
}

static void fail(struct preview_ask *a, enum err err, const char *detail)
{
    struct http_exchange *x = a->x;
    struct decode_error error;
    a->x = NULL;
    if (x != NULL) {
        http_exchange_set_user(x, NULL);
        a->worker->counts.by_err[err]++;
        (void)decode_fail(&error, err, "%s", detail);
        answer_error(x, &error);
    }
}

static void on_done(struct errand *e);

static void on_gone(struct errand *e)
{
    struct preview_ask *a = CONTAINER_OF(e, struct preview_ask, errand);
    ask_free(a);
}

static void on_cancel(struct callee *c)
{
    struct preview_ask *a = CONTAINER_OF(c, struct preview_ask, callee);
    a->x = NULL;
    errand_cancel(&a->errand);
}

/* Takes the request. */
static void begin(struct preview_ask *a, struct request *r, enum preview_step step)
{
    struct worker *w = a->worker;
    r->identity = identity_cache_get(&w->identities, &r->address, w->node->data.address_key);
    a->step = step;
    a->errand = (struct errand){.request = r,
                                .shard = identity_shard(&r->identity, w->node->data.shard_count),
                                .timeout_ms = PREVIEW_TIMEOUT_MS,
                                .done = on_done,
                                .gone = on_gone};
    a->callee.cancel = on_cancel;
    http_exchange_set_user(a->x, &a->callee);
    if (errand_begin(&a->errand, w) != ERR_OK) {
        request_free(r);
        fail(a, ERR_OVERLOADED, "");
        ask_free(a);
    }
}

static struct request *record_request(const struct preview_ask *a, enum request_kind kind)
{
    struct request *r = request_new(kind);
    char ns[NAMESPACE_CHARS + 1];
    namespace_of(a->worker, ns);
    const struct address address = {
        .ns = slice_of_str(ns), .class = SLICE(BUILT_IN_CLASS), .id = slice_of_str(a->label)};
    request_set_address(r, &address);
    r->name = bytes_new(SLICE(PREVIEW_KEY));
    return r;
}

/* Another ask in its place: an errand's memory is its own until `gone`. */
static struct preview_ask *next_of(struct preview_ask *a)
{
    struct preview_ask *next = MEM_NEW(struct preview_ask);
    next->worker = a->worker;
    next->x = a->x;
    next->is_delete = a->is_delete;
    next->port = a->port;
    memcpy(next->label, a->label, sizeof next->label);
    next->record = a->record;
    a->record = (struct buf){0};
    a->x = NULL;
    return next;
}

static void answer_url(struct preview_ask *a)
{
    const struct http_request *h = http_exchange_request(a->x);
    const uint8_t *colon =
        h->authority.len > 0 ? memrchr(h->authority.data, ':', h->authority.len) : NULL;
    struct slice port =
        colon != NULL ? slice_of(colon, (size_t)(h->authority.data + h->authority.len - colon))
                      : SLICE("");
    struct buf body = {0};
    const struct http_header fields[] = {
        {.name = SLICE("content-type"), .value = SLICE("application/json")}};
    if (memchr(port.data, ']', port.len) != NULL) {
        port = SLICE(""); /* of an address without a port */
    }
    buf_printf(&body, "{\"url\":\"%s://%s.%s%.*s/\"}", h->is_secure ? "https" : "http", a->label,
               a->worker->node->options->preview_domain, (int)port.len, (const char *)port.data);
    struct bytes *bytes = bytes_new(buf_slice(&body));
    struct http_exchange *x = a->x;
    a->x = NULL;
    http_exchange_set_user(x, NULL);
    http_respond(x, a->is_delete ? 204 : 200, fields, a->is_delete ? 0 : 1,
                 a->is_delete ? NULL : bytes);
    bytes_unref(bytes);
    buf_done(&body);
}

/* The request to the port */

static void put_field(struct buf *out, struct slice name, struct slice value)
{
    buf_append_slice(out, name);
    buf_append_str(out, ": ");
    buf_append_slice(out, value);
    buf_append_str(out, "\r\n");
}

static bool passes(const struct http_header *f)
{
    static const char *const own[] = {"host", "content-length", "expect", "x-forwarded-host",
                                      "x-forwarded-proto"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (slice_equal_str(f->name, own[i])) {
            return false;
        }
    }
    return http_name_is_valid(f->name) && http_value_is_valid(f->value) &&
           !http_name_is_of_connection(f->name) &&
           !slice_has_prefix(f->name, SLICE("sec-websocket-"));
}

static void put_request(const struct preview_ask *a, const struct http_request *h, struct buf *out)
{
    struct slice protocol;
    buf_append_slice(out, h->wants_socket ? SLICE("GET") : h->method);
    buf_append_str(out, " ");
    buf_append_slice(out, h->target);
    buf_printf(out, " HTTP/1.1\r\nhost: localhost:%u\r\n", a->port);
    for (size_t i = 0; i < h->header_count; i++) {
        if (passes(&h->headers[i])) {
            put_field(out, h->headers[i].name, h->headers[i].value);
        }
    }
    put_field(out, SLICE("x-forwarded-host"), h->authority);
    put_field(out, SLICE("x-forwarded-proto"), h->is_secure ? SLICE("https") : SLICE("http"));
    if (h->wants_socket) {
        buf_append_str(out,
                       "connection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-version: 13\r\n"
                       "sec-websocket-key: ZG9ybW91c2UtcHJldmlldw==\r\n");
        if (http_request_header(h, "sec-websocket-protocol", &protocol)) {
            put_field(out, SLICE("sec-websocket-protocol"), protocol);
        }
    } else {
        buf_append_str(out, "connection: close\r\n");
    }
    if (h->body != NULL) {
        buf_printf(out, "content-length: %zu\r\n", bytes_slice(h->body).len);
    }
    buf_append_str(out, "\r\n");
    buf_append_slice(out, bytes_slice(h->body));
}

static bool next_text(struct value_iter *it, struct slice *ret)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_str(doc, ret);
}

/* The exchange is another's from here on. */
static void pass_on(struct preview_ask *a, struct slice record)
{
    struct worker *w = a->worker;
    struct http_exchange *x = a->x;
    const struct http_request *h = http_exchange_request(x);
    struct address address;
    struct sandbox_what what = {.verb = SANDBOX_VERB_PREVIEW, .method = h->method};
    struct value_iter it = value_items(record);
    struct buf http = {0};
    struct buf body = {0};
    struct buf doc = {0};
    if (value_count(record) != RECORD_ITEMS || !next_text(&it, &address.ns) ||
        !next_text(&it, &address.class) || !next_text(&it, &address.id) ||
        !next_text(&it, &what.name)) {
        fail(a, ERR_NOT_FOUND, "There is no such preview.");
        return;
    }
    put_request(a, h, &http);
    value_put_map(&body, 2);
    value_put_text(&body, "port");
    value_put_uint(&body, a->port);
    value_put_text(&body, "request");
    value_put_bin(&body, buf_slice(&http));
    what.body = buf_slice(&body);
    sandbox_what_encode(&what, &doc);
    struct request *r = request_new(REQUEST_SANDBOX);
    request_set_address(r, &address);
    r->identity = identity_cache_get(&w->identities, &r->address, w->node->data.address_key);
    r->body = bytes_new(buf_slice(&doc));
    a->x = NULL;
    http_exchange_set_user(x, NULL);
    fetch_ask_begin(w, x, r, PREVIEW_TIMEOUT_MS);
    buf_done(&http);
    buf_done(&body);
    buf_done(&doc);
}

static void on_done(struct errand *e)
{
    struct preview_ask *a = CONTAINER_OF(e, struct preview_ask, errand);
    struct request *r = e->request;
    enum err err = r->reply.err;
    if (a->x == NULL) {
        request_free(r);
        return;
    }
    if (err != ERR_OK) {
        bool is_unknown = a->step == STEP_FIND && err == ERR_NO_SUCH_KEY;
        fail(a, is_unknown ? ERR_NOT_FOUND : err, is_unknown ? "There is no such preview." : "");
    } else if (a->step == STEP_FIND) {
        pass_on(a, bytes_slice(r->reply.body));
    } else if (a->step == STEP_RECORD) {
        answer_url(a);
    } else {
        struct preview_ask *next = next_of(a);
        struct request *record =
            record_request(next, next->is_delete ? REQUEST_KV_DELETE : REQUEST_KV_PUT);
        record->body = next->is_delete ? NULL : bytes_new(buf_slice(&next->record));
        begin(next, record, STEP_RECORD);
    }
    request_free(r);
}

void preview_answer(struct worker *w, struct http_exchange *x)
{
    struct preview_ask *a = MEM_NEW(struct preview_ask);
    struct slice label;
    a->worker = w;
    a->x = x;
    if (!label_of(w, http_exchange_request(x)->authority, &label) || !read_label(a, label)) {
        fail(a, ERR_NOT_FOUND, "There is no such preview.");
        ask_free(a);
        return;
    }
    begin(a, record_request(a, REQUEST_KV_GET), STEP_FIND);
}

/* The parts of the path, decoded into `text`. */
static bool read_route(const struct route *route, struct buf *text, struct address *address,
                       struct slice *sandbox, uint16_t *port)
{
    struct slice parts[ROUTE_SEGMENTS_MAX];
    uint64_t number;
    size_t bytes = 1;
    for (size_t i = 0; i < route->segment_count; i++) {
        bytes += route->segments[i].len;
    }
    buf_reserve(text, bytes); /* the slices point in here */
    for (size_t i = 0; i < route->segment_count; i++) {
        size_t at = text->len;
        if (percent_decode(route->segments[i], text) != ERR_OK) {
            return false;
        }
        parts[i] = slice_of(text->data + at, text->len - at);
    }
    *address = (struct address){.ns = parts[0], .class = parts[1], .id = parts[2]};
    *sandbox = parts[3];
    if (address_check(address) != ERR_OK || !sandbox_name_is_valid(parts[3]) ||
        !parse_uint(parts[4], &number) || number < 1 || number > UINT16_MAX) {
        return false;
    }
    *port = (uint16_t)number;
    return true;
}

void preview_port(struct worker *w, struct http_exchange *x, const struct route *route)
{
    const struct http_request *h = http_exchange_request(x);
    struct preview_ask *a = MEM_NEW(struct preview_ask);
    struct sandbox_what what = {.verb = SANDBOX_VERB_ITSELF, .method = SLICE("GET")};
    struct address address;
    struct buf text = {0};
    struct buf doc = {0};
    a->worker = w;
    a->x = x;
    a->is_delete = slice_equal_str(h->method, "DELETE");
    if (!read_route(route, &text, &address, &what.name, &a->port)) {
        fail(a, ERR_BAD_REQUEST, "That is no sandbox, or the port is not 1 to 65535.");
        ask_free(a);
        buf_done(&text);
        return;
    }
    struct identity identity =
        identity_cache_get(&w->identities, &address, w->node->data.address_key);
    char token[TOKEN_CHARS + 1];
    token_of(w, &identity, what.name, a->port, token);
    (void)snprintf(a->label, sizeof a->label, "%u-%s", a->port, token);
    value_put_array(&a->record, RECORD_ITEMS);
    value_put_str(&a->record, address.ns);
    value_put_str(&a->record, address.class);
    value_put_str(&a->record, address.id);
    value_put_str(&a->record, what.name);
    struct request *r = request_new(REQUEST_SANDBOX);
    request_set_address(r, &address);
    sandbox_what_encode(&what, &doc);
    r->body = bytes_new(buf_slice(&doc));
    buf_done(&doc);
    buf_done(&text);
    begin(a, r, STEP_LOOK);
}
