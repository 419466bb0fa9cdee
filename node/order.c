#include "node/order.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "node/record.h"
#include "rpc/value.h"

void order_init(struct order *o, enum order_name name)
{
    *o = (struct order){.name = name};
}

bool order_may_repeat(enum order_name name)
{
    bool draws_secret = name == ORDER_TOKEN_CREATE || name == ORDER_JOIN_TOKEN;
    bool makes_version = name == ORDER_DEPLOY || name == ORDER_ROLLBACK;
    return !draws_secret && !makes_version;
}

void order_done(struct order *o)
{
    bytes_unref(o->subject);
    if (o->name == ORDER_SECRET_SET && o->body != NULL) {
        explicit_bzero(o->body->data, o->body->len);
    }
    explicit_bzero(o->secret_key, sizeof o->secret_key);
    bytes_unref(o->body);
    if (o->document.len > 0) {
        explicit_bzero(o->document.data, o->document.len);
    }
    buf_done(&o->document);
}

enum err order_refuse(struct order *o, enum err err, const char *format, ...)
{
    PRE(err != ERR_OK);
    o->error = (struct decode_error){.err = err};
    if (format != NULL) {
        va_list args;
        va_start(args, format);
        (void)vsnprintf(o->error.detail, sizeof o->error.detail, format, args);
        va_end(args);
    }
    return err;
}

/* Deciding */

typedef enum err decider_fn(struct order *o, const struct cluster_view *v,
                            struct records_changes *c);

static decider_fn *const deciders[ORDER_COUNT] = {
#define X(name, decide) [ORDER_##name] = decide,
#include "node/order.def"
#undef X
};

/* A token of one namespace may say who enters that, and what is deployed there; all else is of the whole
 * cluster. */
static bool is_of_namespace(enum order_name name)
{
    return name == ORDER_TOKEN_CREATE || name == ORDER_TOKEN_REVOKE || name == ORDER_DEPLOY ||
           name == ORDER_ROLLBACK || name == ORDER_SECRET_SET || name == ORDER_SECRET_REMOVE;
}

static enum err decide(struct records_request *r, const struct cluster_view *v,
                       struct records_changes *c)
{
    struct order *o = CONTAINER_OF(r, struct order, request);
    o->wall_ms = clock_wall_ms();
    if (o->has_asker) {
        o->asker = cluster_view_token(v, o->asker_hash, o->wall_ms);
        if (o->asker == NULL) {
            return order_refuse(o, ERR_UNAUTHENTICATED, NULL); /* revoked meanwhile */
        }
        if (!is_of_namespace(o->name) && !token_covers_namespace(o->asker, SLICE("*"))) {
            return order_refuse(o, ERR_FORBIDDEN, "This needs a token of all namespaces.");
        }
    }
    return deciders[o->name](o, v, c);
}

void order_prepare(struct order *o)
{
    o->request.decide = decide;
}

void order_conclude(struct order *o, enum err err)
{
    if (o->error.err == ERR_OK && err != ERR_OK) {
        (void)order_refuse(o, err, NULL);
    }
}

/* Bytes: msgpack maps, of which members that a reader does not know are ignored. */

static const char *const order_names[ORDER_COUNT] = {
#define X(name, decide) [ORDER_##name] = #name,
#include "node/order.def"
#undef X
};

static void put_bin(struct buf *out, const char *name, struct slice bytes)
{
    value_put_text(out, name);
    value_put_bin(out, bytes);
}

void order_encode(const struct order *o, struct buf *out)
{
    uint32_t members = 1U + (o->subject != NULL) + (o->body != NULL) + o->has_asker;
    value_put_map(out, members);
    value_put_text(out, "order");
    value_put_text(out, order_names[o->name]);
    if (o->subject != NULL) {
        put_bin(out, "subject", bytes_slice(o->subject));
    }
    if (o->body != NULL) {
        put_bin(out, "body", bytes_slice(o->body));
    }
    if (o->has_asker) {
        put_bin(out, "asker", slice_of(o->asker_hash, DIGEST_BYTES));
    }
}

static bool member_bin(struct slice map, const char *name, struct slice *ret)
{
    struct slice member;
    *ret = (struct slice){0};
    return !value_member(map, name, &member) || value_get_bin(member, ret);
}

static bool find_name(struct slice map, enum order_name *ret)
{
    struct slice member;
    struct slice text;
    if (!value_member(map, "order", &member) || !value_get_str(member, &text)) {
        return false;
    }
    for (int i = 0; i < ORDER_COUNT; i++) {
        if (slice_equal_str(text, order_names[i])) {
            *ret = (enum order_name)i;
            return true;
        }
    }
    return false;
}

enum err order_decode(struct slice bytes, struct order *ret_order)
{
    enum order_name name;
    struct slice subject;
    struct slice body;
    struct slice asker;
    const char *reason;
    if (!record_is_map(bytes)) {
        return ERR_CORRUPT;
    }
    if (!find_name(bytes, &name)) {
        return ERR_FORMAT;
    }
    if (!member_bin(bytes, "subject", &subject) || !member_bin(bytes, "body", &body) ||
        !member_bin(bytes, "asker", &asker) || (asker.len != 0 && asker.len != DIGEST_BYTES) ||
        (body.data != NULL && value_check(body, VALUE_DEPTH_MAX, &reason) != ERR_OK)) {
        return ERR_CORRUPT;
    }
    order_init(ret_order, name);
    ret_order->subject = subject.data != NULL ? bytes_new(subject) : NULL;
    ret_order->body = body.data != NULL ? bytes_new(body) : NULL;
    ret_order->has_asker = asker.len != 0;
    if (ret_order->has_asker) {
        memcpy(ret_order->asker_hash, asker.data, DIGEST_BYTES);
    }
    return ERR_OK;
}

static const char *const err_names[ERR_COUNT] = {
#define X(name, status, code, retryable, maybe_applied, text) [ERR_##name] = #name,
#include "base/err.def"
#undef X
};

void outcome_encode(const struct order *o, struct buf *out)
{
    value_put_map(out, o->error.limit.name != NULL ? 7 : 5);
    if (o->error.limit.name != NULL) {
        value_put_text(out, "limit");
        value_put_text(out, o->error.limit.name);
        value_put_text(out, "limit_value");
        value_put_uint(out, o->error.limit.value);
    }
    value_put_text(out, "err");
    value_put_text(out, err_names[o->error.err]);
    value_put_text(out, "detail");
    value_put_text(out, o->error.detail);
    value_put_text(out, "status");
    value_put_uint(out, (uint64_t)o->status);
    put_bin(out, "document", buf_slice(&o->document));
    value_put_text(out, "version");
    value_put_uint(out, o->version);
}

static bool find_err(struct slice map, enum err *ret)
{
    char text[64];
    if (!record_text(map, "err", text, sizeof text - 1)) {
        return false;
    }
    for (int i = 0; i < ERR_COUNT; i++) {
        if (strcmp(text, err_names[i]) == 0) {
            *ret = (enum err)i;
            return true;
        }
    }
    return false;
}

enum err outcome_decode(struct slice bytes, struct order *o)
{
    struct decode_error error = {.err = ERR_OK};
    struct slice document;
    uint64_t status;
    const char *reason;
    if (!record_is_map(bytes) || !find_err(bytes, &error.err) ||
        !record_text(bytes, "detail", error.detail, sizeof error.detail - 1) ||
        !record_uint(bytes, "status", &status) || status > 599 ||
        !member_bin(bytes, "document", &document) ||
        (document.len > 0 && value_check(document, VALUE_DEPTH_MAX, &reason) != ERR_OK)) {
        return ERR_CORRUPT;
    }
    if (!record_uint(bytes, "version", &o->version)) {
        o->version = 0; /* an older node */
    }
    if (record_text(bytes, "limit", o->limit, sizeof o->limit - 1) &&
        record_uint(bytes, "limit_value", &error.limit.value)) {
        error.limit.name = o->limit;
    }
    o->error = error;
    o->status = (int)status;
    buf_clear(&o->document);
    buf_append_slice(&o->document, document);
    return ERR_OK;
}
