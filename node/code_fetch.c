#include "node/code_fetch.h"

#include <string.h>

#include "actor/egress_client_uv.h"
#include "actor/egress_policy.h"
#include "actor/egress_rules.h"
#include "base/mem.h"
#include "base/seal.h"
#include "node/audit.h"
#include "node/code.h"
#include "node/node.h"
#include "node/secret_values.h"
#include "node/worker.h"
#include "rpc/value.h"

struct fetching {
    struct egress_request request;
    struct code *code;
    struct code_incoming *incoming;
    bool has_body; /* its answer may have one */
};

enum { ANSWER_ITEMS = 6 }; /* status, text, fields, url, redirected, stream */

static void answer_error(struct code_incoming *in, struct slice code, struct slice message,
                         bool retryable, bool maybe_applied)
{
    struct buf payload = {0};
    value_put_map(&payload, 4);
    value_put_text(&payload, "code");
    value_put_str(&payload, code);
    value_put_text(&payload, "message");
    value_put_str(&payload, slice_is_utf8(message) ? message : code);
    value_put_text(&payload, "retryable");
    value_put_bool(&payload, retryable);
    value_put_text(&payload, "maybe_applied");
    value_put_bool(&payload, maybe_applied);
    code_incoming_fail(in, buf_slice(&payload));
    buf_done(&payload);
}

static void answer_err(struct code_incoming *in, enum err err, const char *detail)
{
    const struct err_info *info = err_info(err);
    answer_error(in, slice_of_str(info->code), slice_of_str(detail != NULL ? detail : info->text),
                 info->retryable, info->maybe_applied);
}

/* What the process says */

/* As fetch has it; whatever else a response may be, its body is not known to be empty before its end. */
static bool may_have_body(uint32_t status)
{
    return status != 204 && status != 205 && status != 304;
}

static void on_head(struct egress_request *r, const struct egress_head *h)
{
    struct fetching *f = CONTAINER_OF(r, struct fetching, request);
    struct buf payload = {0};
    f->has_body = f->has_body && may_have_body(h->status);
    value_put_array(&payload, ANSWER_ITEMS);
    value_put_uint(&payload, h->status);
    value_put_str(&payload, slice_is_utf8(h->text) ? h->text : SLICE(""));
    value_put_raw(&payload, h->fields);
    value_put_str(&payload, h->url);
    value_put_bool(&payload, h->redirected);
    if (f->has_body) {
        value_put_uint(&payload, code_incoming_stream(f->incoming));
    } else {
        value_put_nil(&payload);
    }
    code_incoming_head(f->incoming, buf_slice(&payload));
    buf_done(&payload);
}

/* What follows a head that has no body is nobody's. */
static void on_chunk(struct egress_request *r, struct slice bytes, bool is_end)
{
    struct fetching *f = CONTAINER_OF(r, struct fetching, request);
    struct code_incoming *in = f->incoming;
    if (!f->has_body && !is_end) {
        egress_client_cancel(&f->code->egress.client, r);
    }
    bool is_over = is_end || !f->has_body;
    struct slice body = f->has_body ? bytes : SLICE("");
    if (is_over) {
        mem_free(f);
    }
    code_incoming_chunk(in, body, is_over);
}

static void on_fail(struct egress_request *r, const struct egress_fail *failure)
{
    struct fetching *f = CONTAINER_OF(r, struct fetching, request);
    struct code_incoming *in = f->incoming;
    mem_free(f);
    answer_error(in, failure->code, failure->message, failure->retryable, failure->maybe_applied);
}

static const struct egress_request_hooks hooks = {
    .head = on_head, .chunk = on_chunk, .fail = on_fail};

/* What is asked */

static enum egress_redirect redirect_of(struct slice text)
{
    return slice_equal_str(text, "manual")  ? EGRESS_MANUAL
           : slice_equal_str(text, "error") ? EGRESS_REFUSE
                                            : EGRESS_FOLLOW;
}

static bool take_args(struct slice args, struct egress_fetch *ret)
{
    struct value_iter it = value_items(args);
    struct slice doc;
    struct slice redirect;
    if (!value_next(&it, &doc) || !value_get_str(doc, &ret->method) || !value_next(&it, &doc) ||
        !value_get_str(doc, &ret->url) || !value_next(&it, &ret->fields) ||
        value_type(ret->fields) != VALUE_ARRAY || !value_next(&it, &doc)) {
        return false;
    }
    ret->has_body = value_type(doc) == VALUE_BIN;
    if (ret->has_body && !value_get_bin(doc, &ret->body)) {
        return false;
    }
    if (!value_next(&it, &doc) || !value_get_str(doc, &redirect)) {
        return false;
    }
    ret->redirect = redirect_of(redirect);
    return true;
}

/* What who asks may; false: nothing. `secrets` is filled with what the fetch borrows from then on. */
static bool take_rules(const struct code *c, const struct code_session *s, struct buf *secrets,
                       struct egress_fetch *ret)
{
    const char *detail;
    const struct address *a = code_session_address(s);
    const struct cluster_view *v = worker_view(c->worker);
    if (code_session_is_run(s)) {
        ret->any_port = true;
        ret->allow = code_session_fetch_grant(s);
        return ret->allow.len > 0 && egress_list_check(ret->allow, &detail) == ERR_OK;
    }
    const struct deployment *d = cluster_view_deployment(v, a->ns);
    if (d == NULL || egress_rules_check(d->egress, &detail) != ERR_OK) {
        return false;
    }
    ret->allow = egress_rules_allow(d->egress);
    ret->inject = egress_rules_inject(d->egress);
    ret->rate = egress_rules_rate(d->egress);
    secret_values_put(c->worker->node, v, a->ns, d->egress, secrets);
    ret->secrets = buf_slice(secrets);
    return ret->allow.len > 0;
}

/* As it was asked for; nobody has looked at it. */
static struct slice host_of(struct slice url)
{
    const uint8_t *begin = url.len > 0 ? memmem(url.data, url.len, "://", 3) : NULL;
    struct slice rest = begin != NULL ? slice_skip(url, (size_t)(begin - url.data) + 3) : url;
    size_t len = 0;
    while (len < rest.len && len < 256 && strchr("/?#@", rest.data[len]) == NULL) {
        len++;
    }
    return slice_of(rest.data, len);
}

void code_fetch_begin(struct code *c, struct code_incoming *in, struct slice args)
{
    const struct code_session *s = in->session;
    const struct address *a = code_session_address(s);
    struct egress_fetch ask = {.ns = a->ns,
                               .class = a->class,
                               .actor = a->id,
                               .allow_private = c->worker->node->options->allow_private_targets,
                               .bytes_max = CODE_FETCH_BYTES_MAX,
                               .ms_max = CODE_FETCH_MS_MAX};
    struct buf secrets = {0};
    if (!take_args(args, &ask)) {
        answer_err(in, ERR_BAD_REQUEST, "The request is malformed.");
        return;
    }
    if (!take_rules(c, s, &secrets, &ask)) {
        seal_wipe(&secrets);
        c->fetches_denied++;
        audit_record(c->worker, &(struct egress_record){.ns = a->ns,
                                                        .class = a->class,
                                                        .actor = a->id,
                                                        .method = ask.method,
                                                        .host = host_of(ask.url),
                                                        .code = SLICE("egress_denied")});
        answer_err(in, ERR_EGRESS_DENIED, "No host may be asked from here.");
        return;
    }
    struct fetching *f = MEM_NEW(struct fetching);
    f->code = c;
    f->incoming = in;
    f->has_body = !slice_equal_str(ask.method, "HEAD");
    in->user = f;
    enum err err = egress_uv_fetch(&c->egress, &f->request, &hooks, &ask);
    seal_wipe(&secrets);
    if (err != ERR_OK) {
        mem_free(f);
        answer_err(in, err, NULL);
    }
}

/* What its code says of it */

void code_fetch_credit(struct code_incoming *in, uint64_t bytes)
{
    struct fetching *f = in->user;
    egress_client_credit(&f->code->egress.client, &f->request, bytes);
}

void code_fetch_cancel(struct code_incoming *in)
{
    struct fetching *f = in->user;
    egress_client_cancel(&f->code->egress.client, &f->request);
    mem_free(f);
}
