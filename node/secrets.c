#include "node/secrets.h"

#include <string.h>

#include "actor/members.h"
#include "node/answer.h"
#include "node/node.h"
#include "node/order.h"
#include "node/order_http.h"
#include "node/secret.h"
#include "node/worker.h"
#include "rpc/uri.h"
#include "rpc/value.h"

/* Asking */

static void refuse(struct worker *w, struct http_exchange *x, enum err err, const char *detail)
{
    struct decode_error error;
    w->counts.by_err[err]++;
    (void)decode_fail(&error, err, "%s", detail);
    answer_error(x, &error);
}

/* "ns/name", or the namespace alone, in `text`; where it is none the exchange is answered. */
static bool take_path(struct worker *w, struct http_exchange *x, struct slice ns,
                      const struct slice *name, struct buf *text)
{
    if (percent_decode(ns, text) != ERR_OK) {
        refuse(w, x, ERR_BAD_REQUEST, "A percent escape in the path is not valid.");
        return false;
    }
    if (!address_namespace_is_valid(buf_slice(text))) {
        refuse(w, x, ERR_INVALID_ID, "The namespace is not valid.");
        return false;
    }
    if (name == NULL) {
        return true;
    }
    buf_append_byte(text, '/');
    size_t at = text->len;
    if (percent_decode(*name, text) != ERR_OK ||
        !secret_name_is_valid(slice_skip(buf_slice(text), at))) {
        refuse(w, x, ERR_INVALID_ID,
               "The name of a secret is 1 to 64 letters, digits, '_', '-' and '.'.");
        return false;
    }
    return true;
}

void secrets_list(struct worker *w, struct http_exchange *x, struct slice ns)
{
    struct buf text = {0};
    struct buf doc = {0};
    if (take_path(w, x, ns, NULL, &text)) {
        size_t count;
        const struct secret *s = cluster_view_secrets(worker_view(w), buf_slice(&text), &count);
        value_put_map(&doc, 1);
        value_put_text(&doc, "secrets");
        value_put_array(&doc, (uint32_t)count);
        for (size_t i = 0; i < count; i++) {
            value_put_map(&doc, 3);
            value_put_text(&doc, "name");
            value_put_text(&doc, s[i].name);
            value_put_text(&doc, "created");
            value_put_uint(&doc, s[i].created_ms);
            value_put_text(&doc, "updated");
            value_put_uint(&doc, s[i].updated_ms);
        }
        answer_document(x, 200, buf_slice(&doc), accepted_form(http_exchange_request(x)));
        buf_done(&doc);
    }
    buf_done(&text);
}

void secrets_change(struct worker *w, struct http_exchange *x, struct slice ns, struct slice name,
                    const struct token *token)
{
    bool sets = slice_equal_str(http_exchange_request(x)->method, "PUT");
    struct buf text = {0};
    if (take_path(w, x, ns, &name, &text)) {
        order_open(w, x, sets ? ORDER_SECRET_SET : ORDER_SECRET_REMOVE, buf_slice(&text), sets,
                   token);
    }
    buf_done(&text);
}

/* Deciding */

/* Another node may be of another version: what it sends is looked at again. */
static enum err read_subject(struct order *o, struct secret *s)
{
    struct slice text = bytes_slice(o->subject);
    const uint8_t *slash = text.len > 0 ? memchr(text.data, '/', text.len) : NULL;
    size_t len = slash != NULL ? (size_t)(slash - text.data) : 0;
    struct slice ns = slice_of(text.data, len);
    struct slice name = slash != NULL ? slice_skip(text, len + 1) : (struct slice){0};
    if (!address_namespace_is_valid(ns) || !secret_name_is_valid(name)) {
        return order_refuse(o, ERR_INVALID_ID, "The name of the secret is not valid.");
    }
    if (o->asker != NULL && !token_covers_namespace(o->asker, ns)) {
        return order_refuse(o, ERR_FORBIDDEN, "The token is of another namespace.");
    }
    memcpy(s->ns, ns.data, ns.len);
    memcpy(s->name, name.data, name.len);
    return ERR_OK;
}

static enum err read_value(struct order *o, struct slice *ret)
{
    struct member m[] = {{"value", {0}}};
    struct reply reply;
    reply_init(&reply);
    if (members_read(bytes_slice(o->body), m, 1, &reply) != ERR_OK ||
        member_str(&m[0], ret, &reply) != ERR_OK) {
        enum err err = order_refuse(o, reply.err, "%s", reply.detail);
        reply_clear(&reply);
        return err;
    }
    if (ret->len > SECRET_VALUE_BYTES_MAX) {
        (void)order_refuse(o, ERR_TOO_LARGE, "A secret has at most %d bytes.",
                           SECRET_VALUE_BYTES_MAX);
        o->error.limit =
            (struct problem_limit){.name = "secret_bytes", .value = SECRET_VALUE_BYTES_MAX};
        return o->error.err;
    }
    return secret_value_is_valid(*ret)
               ? ERR_OK
               : order_refuse(o, ERR_BAD_REQUEST,
                              "value is a string of at least one character, without control "
                              "characters and without space at its ends.");
}

static enum err check_room(struct order *o, const struct cluster_view *v, const struct secret *s)
{
    size_t count;
    (void)cluster_view_secrets(v, slice_of_str(s->ns), &count);
    if (count < SECRETS_NS_MAX && v->secret_count < SECRETS_MAX) {
        return ERR_OK;
    }
    bool is_ns = count >= SECRETS_NS_MAX;
    uint64_t max = is_ns ? SECRETS_NS_MAX : SECRETS_MAX;
    (void)order_refuse(o, ERR_RATE_LIMITED, "There are %llu secrets: remove some.",
                       (unsigned long long)max);
    o->error.limit =
        (struct problem_limit){.name = is_ns ? "secrets_of_namespace" : "secrets", .value = max};
    return o->error.err;
}

enum err decide_secret_set(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    struct secret s = {.sealed = NULL};
    struct slice value = {0};
    enum err err = read_subject(o, &s);
    if (err == ERR_OK) {
        err = o->body != NULL ? read_value(o, &value)
                              : order_refuse(o, ERR_BAD_REQUEST, "value is needed.");
    }
    const struct secret *former =
        err == ERR_OK ? cluster_view_secret(v, slice_of_str(s.ns), slice_of_str(s.name)) : NULL;
    if (err == ERR_OK && former == NULL) {
        err = check_room(o, v, &s);
    }
    if (err != ERR_OK) {
        return err;
    }
    char name[SECRET_RECORD_BYTES + 1];
    struct buf record = {0};
    s.created_ms = former != NULL ? former->created_ms : o->wall_ms;
    s.updated_ms = o->wall_ms;
    secret_close(&s, o->secret_key, value);
    secret_record_name(slice_of_str(s.ns), slice_of_str(s.name), name);
    secret_encode(&s, &record);
    records_put(c, name, buf_slice(&record));
    buf_done(&record);
    secret_done(&s);
    o->status = 204;
    return ERR_OK;
}

enum err decide_secret_remove(struct order *o, const struct cluster_view *v,
                              struct records_changes *c)
{
    struct secret s = {.sealed = NULL};
    enum err err = read_subject(o, &s);
    if (err != ERR_OK) {
        return err;
    }
    if (cluster_view_secret(v, slice_of_str(s.ns), slice_of_str(s.name)) == NULL) {
        return order_refuse(o, ERR_NO_SUCH_SECRET, NULL);
    }
    char name[SECRET_RECORD_BYTES + 1];
    secret_record_name(slice_of_str(s.ns), slice_of_str(s.name), name);
    records_delete(c, name);
    o->status = 204;
    return ERR_OK;
}
