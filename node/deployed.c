#include "node/deployed.h"

#include "node/answer.h"
#include "node/order_http.h"
#include "node/worker.h"
#include "rpc/uri.h"
#include "rpc/value.h"

/* The namespace of the path, in `text`; where it is none the exchange is answered. */
static bool take_namespace(struct worker *w, struct http_exchange *x, struct slice segment,
                           struct buf *text)
{
    struct decode_error error = {.err = ERR_OK};
    if (percent_decode(segment, text) != ERR_OK) {
        (void)decode_fail(&error, ERR_BAD_REQUEST, "A percent escape in the path is not valid.");
    } else if (!address_namespace_is_valid(buf_slice(text))) {
        (void)decode_fail(&error, ERR_INVALID_ID, "The namespace is not valid.");
    } else {
        return true;
    }
    w->counts.by_err[error.err]++;
    answer_error(x, &error);
    return false;
}

static void put_class(struct buf *doc, const struct deployed_class *c)
{
    value_put_map(doc, 3);
    value_put_text(doc, "name");
    value_put_str(doc, c->name);
    value_put_text(doc, "kind");
    value_put_text(doc, class_kind_name(c->kind));
    value_put_text(doc, "methods");
    value_put_raw(doc, c->methods);
}

/* Of env its names alone: what they stand for may be nobody else's business. */
static void put_names(struct buf *doc, struct slice map)
{
    struct value_iter it = value_entries(map);
    struct slice name;
    struct slice value;
    value_put_array(doc, value_count(map));
    while (value_next_entry(&it, &name, &value)) {
        value_put_str(doc, name);
    }
}

static void put_deployment(struct buf *doc, const struct deployment *d)
{
    value_put_map(doc, 8);
    value_put_text(doc, "namespace");
    value_put_text(doc, d->ns);
    value_put_text(doc, "version");
    value_put_uint(doc, d->version);
    value_put_text(doc, "created");
    value_put_uint(doc, d->created_ms);
    value_put_text(doc, "main");
    value_put_str(doc, d->main);
    value_put_text(doc, "classes");
    value_put_array(doc, (uint32_t)d->class_count);
    for (size_t i = 0; i < d->class_count; i++) {
        put_class(doc, &d->classes[i]);
    }
    value_put_text(doc, "bindings");
    value_put_raw(doc, d->bindings);
    value_put_text(doc, "env");
    put_names(doc, d->env);
    value_put_text(doc, "egress");
    if (d->egress.len > 0) {
        value_put_raw(doc, d->egress);
    } else {
        value_put_nil(doc);
    }
}

static void refuse_empty(struct worker *w, struct http_exchange *x)
{
    struct decode_error error;
    w->counts.by_err[ERR_NO_SUCH_DEPLOYMENT]++;
    (void)decode_fail(&error, ERR_NO_SUCH_DEPLOYMENT, "Nothing is deployed in this namespace.");
    answer_error(x, &error);
}

static void answer(struct http_exchange *x, struct buf *doc)
{
    answer_document(x, 200, buf_slice(doc), accepted_form(http_exchange_request(x)));
    buf_done(doc);
}

void deployed_show(struct worker *w, struct http_exchange *x, struct slice ns)
{
    struct buf text = {0};
    struct buf doc = {0};
    if (take_namespace(w, x, ns, &text)) {
        const struct deployment *d = cluster_view_deployment(worker_view(w), buf_slice(&text));
        if (d == NULL) {
            refuse_empty(w, x);
        } else {
            put_deployment(&doc, d);
            answer(x, &doc);
        }
    }
    buf_done(&text);
}

static void put_release(struct buf *doc, const struct release *r)
{
    value_put_map(doc, 5);
    value_put_text(doc, "version");
    value_put_uint(doc, r->version);
    value_put_text(doc, "created");
    value_put_uint(doc, r->created_ms);
    value_put_text(doc, "classes");
    value_put_raw(doc, bytes_slice(r->classes));
    value_put_text(doc, "bytes");
    value_put_uint(doc, r->bytes);
    value_put_text(doc, "of");
    if (r->of != 0) {
        value_put_uint(doc, r->of);
    } else {
        value_put_nil(doc);
    }
}

void deployed_list(struct worker *w, struct http_exchange *x, struct slice ns)
{
    struct buf text = {0};
    struct buf doc = {0};
    size_t count;
    if (take_namespace(w, x, ns, &text)) {
        const struct release *r =
            deployments_releases(&worker_view(w)->deployments, buf_slice(&text), &count);
        value_put_map(&doc, 1);
        value_put_text(&doc, "versions");
        value_put_array(&doc, (uint32_t)count);
        for (size_t i = count; i-- > 0;) { /* the newest first */
            put_release(&doc, &r[i]);
        }
        answer(x, &doc);
    }
    buf_done(&text);
}

void deployed_rollback(struct worker *w, struct http_exchange *x, struct slice ns,
                       const struct token *token)
{
    const struct bytes *body = http_exchange_request(x)->body;
    struct buf text = {0};
    if (take_namespace(w, x, ns, &text)) {
        order_open(w, x, ORDER_ROLLBACK, buf_slice(&text), body != NULL && body->len > 0, token);
    }
    buf_done(&text);
}
