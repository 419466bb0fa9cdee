#include "node/answer.h"

#include <stdio.h>

#include "base/invariant.h"
#include "node/answer_fetch.h"
#include "node/cursor.h"
#include "node/mailring.h"
#include "rpc/json.h"
#include "rpc/problem.h"
#include "rpc/value.h"

enum {
    HEADERS_MAX = 8,
    ETAG_BYTES = 32,
    OWNER_BYTES = 11,
    STALENESS_BYTES = 21,
    DOCUMENT_BYTES_AT_ONCE = 16 * 1024, /* as JSON: some 2 ms */
    LARGE_BYTES = 64 * 1024,            /* looked at again once they are there */
};

struct fields {
    struct http_header list[HEADERS_MAX];
    size_t count;
    char etag[ETAG_BYTES];
    char owner[OWNER_BYTES];
    char staleness[STALENESS_BYTES];
};

static void add(struct fields *f, struct slice name, struct slice value)
{
    INVARIANT(f->count < HEADERS_MAX);
    f->list[f->count++] = (struct http_header){.name = name, .value = value};
}

/* What the rows say, not that they could not be read. */
static bool is_of_rows(enum err err)
{
    return err == ERR_OK || err == ERR_NO_SUCH_KEY || err == ERR_VERSION_MISMATCH;
}

static void add_reply_fields(struct fields *f, const struct request *r)
{
    const struct reply *reply = &r->reply;
    if (reply->etag != 0) {
        int n = snprintf(f->etag, sizeof f->etag, "\"%llu\"", (unsigned long long)reply->etag);
        add(f, SLICE("etag"), slice_of(f->etag, (size_t)n));
    }
    if (reply->existed != EXISTED_UNSAID) {
        add(f, SLICE("dormouse-existed"),
            reply->existed == EXISTED_YES ? SLICE("true") : SLICE("false"));
    }
    if (reply->replayed) {
        add(f, SLICE("idempotency-replayed"), SLICE("true"));
    }
    if (reply->owner != 0) {
        int n = snprintf(f->owner, sizeof f->owner, "%u", reply->owner);
        add(f, SLICE("dormouse-owner"), slice_of(f->owner, (size_t)n));
    }
    if (r->may_be_stale && is_of_rows(reply->err)) {
        int n = snprintf(f->staleness, sizeof f->staleness, "%llu",
                         (unsigned long long)reply->staleness_ms);
        add(f, SLICE("dormouse-staleness-ms"), slice_of(f->staleness, (size_t)n));
    }
}

/* The document in the form asked for; the result is the caller's. */
static struct bytes *show(struct slice document, enum body_form form, struct slice *ret_type)
{
    if (form == FORM_MSGPACK) {
        *ret_type = SLICE("application/msgpack");
        return bytes_new(document);
    }
    struct buf json = {0};
    value_to_json(document, &json);
    *ret_type = SLICE("application/json");
    struct bytes *body = bytes_new(buf_slice(&json));
    buf_done(&json);
    return body;
}

/* A stored value: bytes at its top level show as themselves unless a form was asked for. They are what
 * `ret_at` bytes of the result come before: a large value is not copied for each who reads it. */
static struct bytes *show_value(struct bytes *value, enum body_form form, struct slice *ret_type,
                                size_t *ret_at)
{
    struct slice raw;
    if (form == FORM_UNSAID && value_get_bin(bytes_slice(value), &raw)) {
        *ret_type = SLICE("application/octet-stream");
        *ret_at = value->len - raw.len;
        return bytes_ref(value);
    }
    if (form == FORM_MSGPACK) {
        *ret_type = SLICE("application/msgpack");
        return bytes_ref(value);
    }
    return show(bytes_slice(value), form, ret_type);
}

/* The page of a listing: actors give the last key, clients get a cursor. */
static struct bytes *show_page(struct slice document, enum body_form form, struct slice *ret_type)
{
    struct slice next;
    struct slice last_key;
    if (!value_member(document, "next", &next) || !value_get_bin(next, &last_key)) {
        return show(document, form, ret_type);
    }
    struct buf page = {0};
    struct buf cursor = {0};
    buf_append(&page, document.data, (size_t)(next.data - document.data)); /* next comes last */
    cursor_encode(last_key, &cursor);
    value_put_str(&page, buf_slice(&cursor));
    struct bytes *body = show(buf_slice(&page), form, ret_type);
    buf_done(&cursor);
    buf_done(&page);
    return body;
}

/* The body of these says what user code threw. */
static bool is_of_code(enum err err)
{
    return err == ERR_ACTOR_EXCEPTION || err == ERR_ACTOR_CUT_OFF || err == ERR_INVALID_CODE;
}

/* With the fields of the reply, and Retry-After where the contract asks for it. */
static void answer_problem(struct http_exchange *x, struct fields *f, const struct reply *reply)
{
    struct slice detail = reply->detail != NULL ? slice_of_str(reply->detail) : SLICE("");
    const struct problem_limit limit = {.name = reply->limit_name, .value = reply->limit_value};
    int status = err_info(reply->err)->status;
    struct buf text = {0};
    if (is_of_code(reply->err)) {
        problem_write_exception(&text, reply->err, detail, bytes_slice(reply->body));
    } else if (reply->failed >= 0) {
        problem_write_failed(&text, reply->err, detail, (uint64_t)reply->failed);
    } else {
        problem_write(&text, reply->err, detail, limit.name != NULL ? &limit : NULL);
    }
    struct bytes *body = bytes_new(buf_slice(&text));
    buf_done(&text);
    add(f, SLICE("content-type"), SLICE(PROBLEM_CONTENT_TYPE));
    if (status == 429 || status == 503) {
        add(f, SLICE("retry-after"), SLICE("1"));
    }
    http_respond(x, status, f->list, f->count, body);
    bytes_unref(body);
}

/* What answered it says all of the HTTP answer. */
static bool is_fetch(const struct request *r)
{
    return r->kind == REQUEST_CLASS_FETCH || r->kind == REQUEST_MODULE_FETCH ||
           (r->kind == REQUEST_SANDBOX && r->reply.body != NULL &&
            value_type(bytes_slice(r->reply.body)) == VALUE_ARRAY); /* else a document */
}

bool answer_is_dear(const struct request *r, enum body_form form)
{
    const struct reply *reply = &r->reply;
    struct slice doc = bytes_slice(reply->body);
    struct slice raw;
    bool is_as_it_is = form == FORM_MSGPACK || is_fetch(r) ||
                       (form == FORM_UNSAID && reply->is_value && value_get_bin(doc, &raw));
    return reply->err == ERR_OK && doc.len > DOCUMENT_BYTES_AT_ONCE && !is_as_it_is;
}

void answer_show(const struct request *r, enum body_form form, struct shown *ret_shown)
{
    const struct reply *reply = &r->reply;
    *ret_shown = (struct shown){.body = NULL};
    if (reply->err != ERR_OK || reply->body == NULL || is_fetch(r)) {
        return;
    }
    if (reply->is_value) {
        ret_shown->body = show_value(reply->body, form, &ret_shown->type, &ret_shown->at);
    } else if (r->kind == REQUEST_KV_LIST) {
        ret_shown->body = show_page(bytes_slice(reply->body), form, &ret_shown->type);
    } else {
        ret_shown->body = show(bytes_slice(reply->body), form, &ret_shown->type);
    }
}

void answer_shown(struct http_exchange *x, const struct request *r, const struct shown *shown)
{
    struct fields f = {.count = 0};
    add_reply_fields(&f, r);
    if (is_fetch(r) && r->reply.err == ERR_OK) {
        answer_fetched(x, r, f.list, f.count);
        return;
    }
    if (r->reply.err != ERR_OK) {
        answer_problem(x, &f, &r->reply);
        return;
    }
    if (shown->body != NULL) {
        add(&f, SLICE("content-type"), shown->type);
    }
    http_respond_from(x, r->reply.status, f.list, f.count, shown->body, shown->at);
}

void answer_with_socket(struct client_socket *c, const struct request *r)
{
    struct fields f = {.count = 0};
    add_reply_fields(&f, r);
    answer_fetched_socket(c, r, f.list, f.count);
}

void answer_with_body(struct client_body *c, const struct request *r)
{
    struct fields f = {.count = 0};
    add_reply_fields(&f, r);
    answer_fetched_body(c, r, f.list, f.count);
}

/* Requests were let in while there was room; thousands of large answers come back after it is gone. */
void answer_limit(const struct http_exchange *x, struct request *r)
{
    size_t bytes = bytes_slice(r->reply.body).len;
    if (r->reply.err != ERR_OK || bytes < LARGE_BYTES) {
        return;
    }
    struct problem_limit full = http_exchange_full_limit(x, bytes);
    if (full.name != NULL && r->has_wrote) {
        (void)reply_fail(&r->reply, ERR_OUTCOME_UNKNOWN,
                         "It was done, but its answer is large, and others of this address wait.");
    } else if (full.name != NULL) {
        (void)reply_limited(&r->reply, ERR_OVERLOADED, full.name, full.value);
    }
}

void answer_reply(struct http_exchange *x, const struct request *r, enum body_form form)
{
    struct shown shown;
    answer_show(r, form, &shown);
    answer_shown(x, r, &shown);
    bytes_unref(shown.body);
}

void answer_error(struct http_exchange *x, const struct decode_error *e)
{
    http_respond_problem(x, e->err, slice_of_str(e->detail),
                         e->limit.name != NULL ? &e->limit : NULL);
}

void answer_err(struct http_exchange *x, enum err err)
{
    const struct problem_limit limit = {.name = "worker_tasks", .value = MAILRING_TASKS_MAX};
    http_respond_problem(x, err, SLICE(""), err == ERR_OVERLOADED ? &limit : NULL);
}

/* A problem with one more field. */
static void answer_with_field(struct http_exchange *x, enum err err, const char *detail,
                              struct slice name, const char *value)
{
    struct buf text = {0};
    problem_write(&text, err, slice_of_str(detail), NULL);
    struct bytes *body = bytes_new(buf_slice(&text));
    buf_done(&text);
    const struct http_header fields[] = {{SLICE("content-type"), SLICE(PROBLEM_CONTENT_TYPE)},
                                         {name, slice_of_str(value)}};
    http_respond(x, err_info(err)->status, fields, sizeof fields / sizeof fields[0], body);
    bytes_unref(body);
}

void answer_unauthenticated(struct http_exchange *x, const char *detail)
{
    answer_with_field(x, ERR_UNAUTHENTICATED, detail, SLICE("www-authenticate"),
                      "Bearer realm=\"dormouse\"");
}

void answer_not_allowed(struct http_exchange *x, const char *methods)
{
    answer_with_field(x, ERR_METHOD_NOT_ALLOWED, "", SLICE("allow"), methods);
}

void answer_document(struct http_exchange *x, int status, struct slice document,
                     enum body_form form)
{
    struct slice type;
    struct bytes *body = show(document, form, &type);
    const struct http_header fields[] = {{SLICE("content-type"), type}};
    http_respond(x, status, fields, 1, body);
    bytes_unref(body);
}
