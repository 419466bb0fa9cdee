#include "actor/egress_frame.h"

#include "actor/channel.h"
#include "actor/egress_policy.h"
#include "actor/egress_rules.h"
#include "base/invariant.h"
#include "rpc/value.h"

static const char *const redirects[] = {
    [EGRESS_FOLLOW] = "follow", [EGRESS_MANUAL] = "manual", [EGRESS_REFUSE] = "error"};

bool egress_redirect_parse(struct slice text, enum egress_redirect *ret)
{
    for (size_t i = 0; i < sizeof redirects / sizeof redirects[0]; i++) {
        if (slice_equal_str(text, redirects[i])) {
            *ret = (enum egress_redirect)i;
            return true;
        }
    }
    return false;
}

struct egress_fail egress_fail_of(enum err err, const char *message)
{
    const struct err_info *info = err_info(err);
    return (struct egress_fail){.code = slice_of_str(info->code),
                                .message = slice_of_str(message != NULL ? message : info->text),
                                .retryable = info->retryable,
                                .maybe_applied = info->maybe_applied};
}

/* Write */

static size_t begin(struct buf *out, enum egress_kind kind, uint64_t id, uint32_t items)
{
    size_t at = channel_begin(out);
    value_put_array(out, 2 + items);
    value_put_uint(out, kind);
    value_put_uint(out, id);
    return at;
}

static void put_text(struct buf *out, const char *name, struct slice text)
{
    value_put_text(out, name);
    value_put_str(out, text);
}

static void put_uint(struct buf *out, const char *name, uint64_t n)
{
    value_put_text(out, name);
    value_put_uint(out, n);
}

static void put_bool(struct buf *out, const char *name, bool b)
{
    value_put_text(out, name);
    value_put_bool(out, b);
}

/* An empty document is nil. */
static void put_raw(struct buf *out, const char *name, struct slice doc)
{
    value_put_text(out, name);
    if (doc.len > 0) {
        value_put_raw(out, doc);
    } else {
        value_put_nil(out);
    }
}

void egress_put_fetch(struct buf *out, uint64_t id, const struct egress_fetch *f)
{
    size_t at = begin(out, EGRESS_FETCH, id, 1);
    value_put_map(out, f->inject.len > 0 ? 16 : 14);
    put_text(out, "ns", f->ns);
    put_text(out, "class", f->class);
    put_text(out, "actor", f->actor);
    put_text(out, "method", f->method);
    put_text(out, "url", f->url);
    value_put_text(out, "headers");
    value_put_raw(out, f->fields);
    value_put_text(out, "body");
    if (f->has_body) {
        value_put_bin(out, f->body);
    } else {
        value_put_nil(out);
    }
    put_text(out, "redirect", slice_of_str(redirects[f->redirect]));
    value_put_text(out, "allow");
    value_put_raw(out, f->allow);
    put_bool(out, "any_port", f->any_port);
    put_bool(out, "allow_private", f->allow_private);
    put_uint(out, "bytes", f->bytes_max);
    put_uint(out, "ms", f->ms_max);
    put_uint(out, "rate", f->rate);
    if (f->inject.len > 0) {
        put_raw(out, "inject", f->inject);
        put_raw(out, "secrets", f->secrets);
    }
    channel_end(out, at);
}

void egress_put_head(struct buf *out, uint64_t id, const struct egress_head *h)
{
    size_t at = begin(out, EGRESS_HEAD, id, 5);
    value_put_uint(out, h->status);
    value_put_str(out, h->text);
    value_put_raw(out, h->fields);
    value_put_str(out, h->url);
    value_put_bool(out, h->redirected);
    channel_end(out, at);
}

void egress_put_chunk(struct buf *out, uint64_t id, struct slice bytes, bool is_end)
{
    PRE(bytes.len <= EGRESS_CHUNK_BYTES_MAX);

    size_t at = begin(out, EGRESS_CHUNK, id, 2);
    value_put_bin(out, bytes);
    value_put_bool(out, is_end);
    channel_end(out, at);
}

void egress_put_credit(struct buf *out, uint64_t id, uint64_t bytes)
{
    size_t at = begin(out, EGRESS_CREDIT, id, 1);
    value_put_uint(out, bytes);
    channel_end(out, at);
}

void egress_put_fail(struct buf *out, uint64_t id, const struct egress_fail *f)
{
    size_t at = begin(out, EGRESS_FAIL, id, 1);
    value_put_map(out, 4);
    put_text(out, "code", f->code);
    put_text(out, "message", f->message);
    put_bool(out, "retryable", f->retryable);
    put_bool(out, "maybe_applied", f->maybe_applied);
    channel_end(out, at);
}

void egress_put_cancel(struct buf *out, uint64_t id)
{
    channel_end(out, begin(out, EGRESS_CANCEL, id, 0));
}

void egress_put_record(struct buf *out, uint64_t id, const struct egress_record *r)
{
    size_t at = begin(out, EGRESS_RECORD, id, 1);
    value_put_map(out, 13);
    put_text(out, "ns", r->ns);
    put_text(out, "class", r->class);
    put_text(out, "actor", r->actor);
    put_text(out, "method", r->method);
    put_text(out, "host", r->host);
    put_text(out, "path", r->path);
    put_uint(out, "status", r->status);
    put_uint(out, "sent", r->sent_bytes);
    put_uint(out, "received", r->received_bytes);
    put_uint(out, "ms", r->ms);
    put_text(out, "code", r->code);
    put_text(out, "sandbox", r->sandbox);
    put_raw(out, "secrets", r->secrets);
    channel_end(out, at);
}

static void put_rules(struct buf *out, const struct egress_box_rules *r)
{
    put_raw(out, "rules", r->rules);
    put_raw(out, "secrets", r->secrets);
    put_bool(out, "allow_private", r->allow_private);
}

void egress_put_box_open(struct buf *out, uint64_t id, const struct egress_box_open *b)
{
    size_t at = begin(out, EGRESS_BOX_OPEN, id, 1);
    value_put_map(out, 7);
    put_text(out, "ns", b->ns);
    put_text(out, "class", b->class);
    put_text(out, "actor", b->actor);
    put_text(out, "sandbox", b->sandbox);
    put_rules(out, &b->rules);
    channel_end(out, at);
}

void egress_put_box_rules(struct buf *out, uint64_t id, const struct egress_box_rules *r)
{
    size_t at = begin(out, EGRESS_BOX_RULES, id, 1);
    value_put_map(out, 3);
    put_rules(out, r);
    channel_end(out, at);
}

void egress_put_box_close(struct buf *out, uint64_t id)
{
    channel_end(out, begin(out, EGRESS_BOX_CLOSE, id, 0));
}

void egress_put_ca(struct buf *out, const struct egress_ca *ca)
{
    size_t at = begin(out, EGRESS_CA, 0, 2);
    value_put_str(out, ca->cert);
    value_put_str(out, ca->key);
    channel_end(out, at);
}

void egress_put_hello(struct buf *out, uint32_t layers)
{
    size_t at = begin(out, EGRESS_HELLO, 0, 1);
    value_put_uint(out, layers);
    channel_end(out, at);
}

/* Read */

static bool get_text(struct slice map, const char *name, struct slice *ret)
{
    struct slice doc;
    return value_member(map, name, &doc) && value_get_str(doc, ret);
}

static bool get_uint(struct slice map, const char *name, uint64_t *ret)
{
    struct slice doc;
    return value_member(map, name, &doc) && value_get_uint(doc, ret);
}

static bool get_bool(struct slice map, const char *name, bool *ret)
{
    struct slice doc;
    return value_member(map, name, &doc) && value_get_bool(doc, ret);
}

/* An array of arrays of two strings. */
static bool is_fields(struct slice doc)
{
    struct slice item;
    struct slice name;
    struct slice value;
    struct slice text;
    size_t bytes = 0;
    if (value_type(doc) != VALUE_ARRAY || value_count(doc) > EGRESS_FIELDS_MAX) {
        return false;
    }
    for (struct value_iter it = value_items(doc); value_next(&it, &item);) {
        struct value_iter pair = value_items(item);
        if (value_count(item) != 2 || !value_next(&pair, &name) || !value_next(&pair, &value) ||
            !value_get_str(name, &text) || !value_get_str(value, &text)) {
            return false;
        }
        bytes += name.len + value.len;
    }
    /* Twice: one byte of a field may be two of a string. Each has a head as well. */
    return bytes <= 2 * EGRESS_FIELD_BYTES_MAX + 10 * EGRESS_FIELDS_MAX;
}

static bool get_body(struct slice map, struct egress_fetch *f)
{
    struct slice doc;
    if (!value_member(map, "body", &doc)) {
        return false;
    }
    f->has_body = value_type(doc) != VALUE_NIL;
    f->body = (struct slice){0};
    return !f->has_body ||
           (value_get_bin(doc, &f->body) && f->body.len <= EGRESS_REQUEST_BODY_BYTES_MAX);
}

/* A document, empty where it is nil or absent. */
static void get_raw(struct slice map, const char *name, struct slice *ret)
{
    if (!value_member(map, name, ret) || value_type(*ret) == VALUE_NIL) {
        *ret = (struct slice){0};
    }
}

/* {name: bin} */
static bool is_secrets(struct slice doc)
{
    struct slice name;
    struct slice value;
    struct slice bytes;
    if (doc.len == 0) {
        return true;
    }
    if (value_type(doc) != VALUE_MAP || doc.len > EGRESS_SECRETS_BYTES_MAX ||
        value_count(doc) > EGRESS_RULES_SECRETS_MAX) {
        return false;
    }
    for (struct value_iter it = value_entries(doc); value_next_entry(&it, &name, &value);) {
        if (!value_get_bin(value, &bytes)) {
            return false;
        }
    }
    return true;
}

static bool get_rules(struct slice map, struct egress_box_rules *r)
{
    const char *detail;
    if (value_type(map) != VALUE_MAP) {
        return false;
    }
    get_raw(map, "rules", &r->rules);
    get_raw(map, "secrets", &r->secrets);
    return egress_rules_check(r->rules, &detail) == ERR_OK && is_secrets(r->secrets) &&
           get_bool(map, "allow_private", &r->allow_private);
}

static bool get_open(struct slice map, struct egress_box_open *b)
{
    return value_type(map) == VALUE_MAP && get_text(map, "ns", &b->ns) &&
           get_text(map, "class", &b->class) && get_text(map, "actor", &b->actor) &&
           get_text(map, "sandbox", &b->sandbox) && get_rules(map, &b->rules);
}

static bool get_ca(struct value_iter *it, struct egress_ca *ca)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_str(doc, &ca->cert) &&
           ca->cert.len <= EGRESS_PEM_BYTES_MAX && value_next(it, &doc) &&
           value_get_str(doc, &ca->key) && ca->key.len <= EGRESS_PEM_BYTES_MAX;
}

/* What is injected has passed as part of rules; here it must be what can be read. */
static bool get_inject(struct slice map, struct egress_fetch *f)
{
    struct buf rules = {0};
    const char *detail;
    uint64_t rate = 0;
    (void)get_uint(map, "rate", &rate);
    f->rate = rate <= EGRESS_RATE_MAX ? (uint32_t)rate : EGRESS_RATE_MAX;
    get_raw(map, "inject", &f->inject);
    get_raw(map, "secrets", &f->secrets);
    if (f->inject.len == 0) {
        return f->secrets.len == 0;
    }
    value_put_map(&rules, 1);
    value_put_text(&rules, "inject");
    value_put_raw(&rules, f->inject);
    bool good = egress_rules_check(buf_slice(&rules), &detail) == ERR_OK;
    buf_done(&rules);
    return good && is_secrets(f->secrets);
}

static bool get_fetch(struct slice map, struct egress_fetch *f)
{
    struct slice redirect;
    const char *detail;
    *f = (struct egress_fetch){0};
    return value_type(map) == VALUE_MAP && get_text(map, "ns", &f->ns) &&
           get_text(map, "class", &f->class) && get_text(map, "actor", &f->actor) &&
           get_text(map, "method", &f->method) && get_text(map, "url", &f->url) &&
           value_member(map, "headers", &f->fields) && is_fields(f->fields) && get_body(map, f) &&
           get_text(map, "redirect", &redirect) && egress_redirect_parse(redirect, &f->redirect) &&
           value_member(map, "allow", &f->allow) &&
           egress_list_check(f->allow, &detail) == ERR_OK &&
           get_bool(map, "any_port", &f->any_port) &&
           get_bool(map, "allow_private", &f->allow_private) &&
           get_uint(map, "bytes", &f->bytes_max) && f->bytes_max <= EGRESS_BYTES_MAX &&
           get_uint(map, "ms", &f->ms_max) && f->ms_max <= EGRESS_MS_MAX && get_inject(map, f);
}

static bool get_head(struct value_iter *it, struct egress_head *h)
{
    struct slice doc;
    uint64_t status;
    if (!value_next(it, &doc) || !value_get_uint(doc, &status) || status < 200 || status > 999 ||
        !value_next(it, &doc) || !value_get_str(doc, &h->text) || !value_next(it, &h->fields) ||
        !is_fields(h->fields) || !value_next(it, &doc) || !value_get_str(doc, &h->url) ||
        h->url.len > EGRESS_URL_BYTES_MAX || !value_next(it, &doc) ||
        !value_get_bool(doc, &h->redirected)) {
        return false;
    }
    h->status = (uint32_t)status;
    return true;
}

static bool get_chunk(struct value_iter *it, struct egress_chunk *c)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_bin(doc, &c->bytes) &&
           c->bytes.len <= EGRESS_CHUNK_BYTES_MAX && value_next(it, &doc) &&
           value_get_bool(doc, &c->is_end);
}

static bool get_credit(struct value_iter *it, uint64_t *ret)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_uint(doc, ret) && *ret > 0 && *ret <= EGRESS_BYTES_MAX;
}

static bool get_fail(struct slice map, struct egress_fail *f)
{
    return value_type(map) == VALUE_MAP && get_text(map, "code", &f->code) &&
           get_text(map, "message", &f->message) && get_bool(map, "retryable", &f->retryable) &&
           get_bool(map, "maybe_applied", &f->maybe_applied);
}

static bool is_names(struct slice doc)
{
    struct slice item;
    struct slice text;
    if (doc.len == 0) {
        return true;
    }
    if (value_type(doc) != VALUE_ARRAY || value_count(doc) > EGRESS_RULES_SECRETS_MAX) {
        return false;
    }
    for (struct value_iter it = value_items(doc); value_next(&it, &item);) {
        if (!value_get_str(item, &text)) {
            return false;
        }
    }
    return true;
}

static bool get_record(struct slice map, struct egress_record *r)
{
    uint64_t status;
    *r = (struct egress_record){0};
    if (value_type(map) != VALUE_MAP || !get_text(map, "ns", &r->ns) ||
        !get_text(map, "class", &r->class) || !get_text(map, "actor", &r->actor) ||
        !get_text(map, "method", &r->method) || !get_text(map, "host", &r->host) ||
        !get_text(map, "path", &r->path) || !get_uint(map, "status", &status) || status > 999 ||
        !get_uint(map, "sent", &r->sent_bytes) || !get_uint(map, "received", &r->received_bytes) ||
        !get_uint(map, "ms", &r->ms) || !get_text(map, "code", &r->code)) {
        return false;
    }
    r->status = (uint32_t)status;
    (void)get_text(map, "sandbox", &r->sandbox);
    get_raw(map, "secrets", &r->secrets);
    return is_names(r->secrets);
}

static bool get_layers(struct value_iter *it, uint32_t *ret)
{
    struct slice doc;
    uint64_t layers;
    if (!value_next(it, &doc) || !value_get_uint(doc, &layers) || layers > UINT32_MAX) {
        return false;
    }
    *ret = (uint32_t)layers;
    return true;
}

static bool get_rest(struct value_iter *it, struct egress_frame *f)
{
    struct slice map;
    switch (f->kind) {
    case EGRESS_FETCH:
        return value_next(it, &map) && get_fetch(map, &f->fetch);
    case EGRESS_HEAD:
        return get_head(it, &f->head);
    case EGRESS_CHUNK:
        return get_chunk(it, &f->chunk);
    case EGRESS_CREDIT:
        return get_credit(it, &f->credit);
    case EGRESS_FAIL:
        return value_next(it, &map) && get_fail(map, &f->fail);
    case EGRESS_CANCEL:
        return true;
    case EGRESS_RECORD:
        return value_next(it, &map) && get_record(map, &f->record);
    case EGRESS_HELLO:
        return get_layers(it, &f->layers);
    case EGRESS_BOX_OPEN:
        return value_next(it, &map) && get_open(map, &f->open);
    case EGRESS_BOX_RULES:
        return value_next(it, &map) && get_rules(map, &f->rules);
    case EGRESS_BOX_CLOSE:
        return true;
    case EGRESS_CA:
        return get_ca(it, &f->ca);
    }
    return false;
}

enum { FRAME_DEPTH = 6 };

enum err egress_frame_decode(struct slice frame, struct egress_frame *ret)
{
    const char *reason;
    struct slice doc;
    uint64_t kind;
    if (value_check(frame, FRAME_DEPTH, &reason) != ERR_OK || value_type(frame) != VALUE_ARRAY) {
        return ERR_CORRUPT;
    }
    struct value_iter it = value_items(frame);
    if (!value_next(&it, &doc) || !value_get_uint(doc, &kind) || kind < EGRESS_FETCH ||
        kind > EGRESS_CA || !value_next(&it, &doc) || !value_get_uint(doc, &ret->id)) {
        return ERR_CORRUPT;
    }
    ret->kind = (enum egress_kind)kind;
    return get_rest(&it, ret) && it.left == 0 ? ERR_OK : ERR_CORRUPT;
}
