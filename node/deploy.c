#include "node/deploy.h"

#include <stdio.h>
#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/callee.h"
#include "node/code_check.h"
#include "node/conn_uv.h"
#include "node/deploy_body.h"
#include "node/order_http.h"
#include "node/record.h"
#include "node/worker.h"
#include "rpc/problem.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum { FIELD_BYTES_MAX = 256, HEADERS = 2 };

struct deploy {
    struct callee callee;
    struct worker *worker;
    struct http_exchange *x; /* NULL: the client is gone */
    bool has_token;
    uint8_t token_hash[DIGEST_BYTES];
    char ns[NAMESPACE_BYTES_MAX + 1];

    struct sidework work;
    bool is_beside;              /* the sideline has it */
    struct http_request request; /* what reading the body needs of it */
    struct http_header headers[HEADERS];
    char fields[HEADERS][FIELD_BYTES_MAX];
    struct bytes *doc;
    struct deploy_body body;
    struct buf classes;
    struct code_check check;
    struct bytes *order; /* the body of the order */
    struct decode_error error;
};

static void deploy_free(struct deploy *d)
{
    d->worker->deploy_count--;
    bytes_unref(d->request.body);
    bytes_unref(d->doc);
    bytes_unref(d->check.found);
    bytes_unref(d->check.fault);
    bytes_unref(d->order);
    buf_done(&d->classes);
    mem_free(d);
}

static void on_cancel(struct callee *callee)
{
    struct deploy *d = CONTAINER_OF(callee, struct deploy, callee);
    d->x = NULL;
    if (d->is_beside && sideline_withdraw(&d->work)) {
        deploy_free(d);
    }
}

static void go_beside(struct deploy *d, void (*run)(struct sidework *w),
                      void (*done)(struct sidework *w))
{
    d->is_beside = true;
    d->work.run_on_thread = run;
    d->work.done = done;
    sideline_submit(&d->worker->sideline, &d->work, conn_uv_sidework(d->x));
}

/* Answers that say no */

static bool member_text(struct slice map, const char *name, struct slice *ret)
{
    struct slice member;
    return value_member(map, name, &member) && value_get_str(member, ret);
}

static void read_place(struct slice fault, struct problem_place *ret)
{
    *ret = (struct problem_place){.line = 0};
    (void)member_text(fault, "file", &ret->file);
    (void)record_uint(fault, "line", &ret->line);
    (void)record_uint(fault, "column", &ret->column);
}

/* "SyntaxError: Unexpected token" */
static void put_message(struct slice fault, struct buf *out)
{
    struct slice name = {0};
    struct slice message = {0};
    (void)member_text(fault, "name", &name);
    (void)member_text(fault, "message", &message);
    buf_append_slice(out, name);
    buf_append_str(out, name.len > 0 && message.len > 0 ? ": " : "");
    buf_append_slice(out, message);
}

static void answer_fault(struct http_exchange *x, struct slice fault)
{
    struct buf message = {0};
    struct buf text = {0};
    struct problem_place place;
    read_place(fault, &place);
    put_message(fault, &message);
    problem_write_at(&text, ERR_INVALID_CODE, buf_slice(&message), &place);
    struct bytes *body = bytes_new(buf_slice(&text));
    const struct http_header field = {SLICE("content-type"), SLICE(PROBLEM_CONTENT_TYPE)};
    http_respond(x, err_info(ERR_INVALID_CODE)->status, &field, 1, body);
    bytes_unref(body);
    buf_done(&text);
    buf_done(&message);
}

/* Ends it. */
static void refuse(struct deploy *d)
{
    d->worker->counts.by_err[d->error.err]++;
    http_exchange_set_user(d->x, NULL);
    if (d->error.err == ERR_INVALID_CODE && d->check.fault != NULL) {
        answer_fault(d->x, bytes_slice(d->check.fault));
    } else {
        answer_error(d->x, &d->error);
    }
    deploy_free(d);
}

/* Bundled, then ordered */

static void put_bin(struct buf *out, const char *name, struct slice bytes)
{
    value_put_text(out, name);
    value_put_bin(out, bytes);
}

static void bundle_on_thread(struct sidework *work)
{
    struct deploy *d = CONTAINER_OF(work, struct deploy, work);
    struct buf bundle = {0};
    struct buf body = {0};
    if (deploy_body_bundle(&d->body, bytes_slice(d->check.found), &bundle, &d->error) == ERR_OK) {
        const struct slice whole = buf_slice(&bundle);
        uint8_t hash[DIGEST_BYTES];
        digest_of(&whole, 1, hash, sizeof hash);
        buf_reserve(&body, whole.len + FIELD_BYTES_MAX);
        value_put_map(&body, 2);
        put_bin(&body, "hash", slice_of(hash, sizeof hash));
        put_bin(&body, "bundle", whole);
        d->order = bytes_new(buf_slice(&body));
    }
    buf_done(&body);
    buf_done(&bundle);
}

static void is_bundled(struct sidework *work)
{
    struct deploy *d = CONTAINER_OF(work, struct deploy, work);
    d->is_beside = false;
    if (d->x == NULL) {
        deploy_free(d);
        return;
    }
    if (d->error.err != ERR_OK) {
        refuse(d);
        return;
    }
    struct bytes *order = d->order;
    d->order = NULL;
    http_exchange_set_user(d->x, NULL);
    http_exchange_hold(d->x, order->len);
    order_begin(d->worker, d->x, ORDER_DEPLOY, slice_of_str(d->ns), order,
                d->has_token ? d->token_hash : NULL);
    deploy_free(d);
}

/* Checked */

static void is_checked(struct code_check *c)
{
    struct deploy *d = CONTAINER_OF(c, struct deploy, check);
    if (d->x == NULL) {
        deploy_free(d);
        return;
    }
    d->error = c->error;
    if (c->error.err != ERR_OK) {
        refuse(d);
        return;
    }
    http_exchange_hold(d->x, bytes_slice(c->found).len);
    go_beside(d, bundle_on_thread, is_bundled);
}

/* Read */

static void read_on_thread(struct sidework *work)
{
    struct deploy *d = CONTAINER_OF(work, struct deploy, work);
    if (decode_document(&d->request, SIZE_MAX, VALUE_DEPTH_MAX + 1, &d->doc, &d->error) == ERR_OK &&
        deploy_body_read(bytes_slice(d->doc), &d->body, &d->error) == ERR_OK) {
        deploy_body_classes(&d->body, &d->classes);
    }
}

static void is_read(struct sidework *work)
{
    struct deploy *d = CONTAINER_OF(work, struct deploy, work);
    d->is_beside = false;
    if (d->x == NULL) {
        deploy_free(d);
        return;
    }
    if (d->error.err != ERR_OK) {
        refuse(d);
        return;
    }
    http_exchange_hold(d->x, d->doc->len);
    d->check = (struct code_check){.ns = slice_of_str(d->ns),
                                   .modules = d->body.modules,
                                   .main = d->body.main,
                                   .classes = buf_slice(&d->classes),
                                   .env = d->body.env,
                                   .done = is_checked};
    code_check(d->worker, &d->check);
}

static enum err read_namespace(struct deploy *d, struct slice segment)
{
    struct buf text = {0};
    enum err err = percent_decode(segment, &text);
    if (err != ERR_OK) {
        err = decode_fail(&d->error, err, "A percent escape in the path is not valid.");
    } else if (!address_namespace_is_valid(buf_slice(&text))) {
        err = decode_fail(&d->error, ERR_INVALID_ID, "The namespace is not valid.");
    } else {
        memcpy(d->ns, text.data, text.len);
    }
    buf_done(&text);
    return err;
}

static enum err keep_field(struct deploy *d, const struct http_request *h, const char *name)
{
    struct slice value;
    if (!http_request_header(h, name, &value)) {
        return ERR_OK;
    }
    if (value.len > FIELD_BYTES_MAX) {
        return decode_fail(&d->error, ERR_UNSUPPORTED_MEDIA_TYPE, NULL);
    }
    size_t i = d->request.header_count++;
    memcpy(d->fields[i], value.data, value.len);
    d->headers[i] = (struct http_header){slice_of_str(name), slice_of(d->fields[i], value.len)};
    return ERR_OK;
}

/* What the exchange has goes with it, and it may go while the body is read. */
static enum err keep_request(struct deploy *d, const struct http_request *h)
{
    d->request = (struct http_request){.headers = d->headers, .body = bytes_ref(h->body)};
    enum err err = keep_field(d, h, "content-type");
    return err == ERR_OK ? keep_field(d, h, "content-encoding") : err;
}

static enum err check_room(struct deploy *d)
{
    if (d->worker->deploy_count <= DEPLOYS_MAX) {
        return ERR_OK;
    }
    (void)decode_fail(&d->error, ERR_OVERLOADED, "Too many deploys are under way.");
    d->error.limit = (struct problem_limit){.name = "deploys", .value = DEPLOYS_MAX};
    return ERR_OVERLOADED;
}

void deploy_open(struct worker *w, struct http_exchange *x, struct slice ns,
                 const struct token *token)
{
    const struct http_request *h = http_exchange_request(x);
    struct deploy *d = MEM_NEW(struct deploy);
    d->worker = w;
    d->x = x;
    d->callee.cancel = on_cancel;
    d->has_token = token != NULL;
    if (token != NULL) {
        memcpy(d->token_hash, token->hash, DIGEST_BYTES);
    }
    w->deploy_count++;
    http_exchange_set_user(x, &d->callee);
    if (check_room(d) != ERR_OK || read_namespace(d, ns) != ERR_OK ||
        keep_request(d, h) != ERR_OK) {
        refuse(d);
        return;
    }
    go_beside(d, read_on_thread, is_read);
}
