#include "node/audit.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/audit_own.h"
#include "node/callee.h"
#include "node/cursor.h"
#include "node/decode.h"
#include "node/node.h"
#include "node/worker.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum { CURSOR_BYTES = 20, RECORD_MEMBERS = 15 };

struct audit_exchange {
    struct callee callee;
    struct http_exchange *x; /* NULL: the client is gone */
    enum body_form form;
    struct bytes *ns;
    struct gather gather;
    struct gather_part part; /* to worker 0 */
    struct audit_run run;
};

/* Records */

static void put_text(struct buf *out, const char *name, struct slice text)
{
    value_put_text(out, name);
    value_put_str(out, slice_is_utf8(text) ? text : SLICE("?"));
}

static void put_uint(struct buf *out, const char *name, uint64_t n)
{
    value_put_text(out, name);
    value_put_uint(out, n);
}

/* "host:port"; an address of version 6 is in brackets. */
static void split_host(struct slice text, struct slice *ret_host, uint64_t *ret_port)
{
    size_t at = text.len;
    *ret_host = text;
    *ret_port = 0;
    while (at > 0 && text.data[at - 1] >= '0' && text.data[at - 1] <= '9') {
        at--;
    }
    if (at > 0 && text.data[at - 1] == ':' && parse_uint(slice_skip(text, at), ret_port)) {
        *ret_host = slice_of(text.data, at - 1);
    }
}

void audit_record(struct worker *w, const struct egress_record *r)
{
    struct buf doc = {0};
    struct slice host;
    uint64_t port;
    split_host(r->host, &host, &port);
    value_put_map(&doc, RECORD_MEMBERS);
    put_text(&doc, "namespace", r->ns);
    put_text(&doc, "class", r->class);
    put_text(&doc, "actor", r->actor);
    put_text(&doc, "sandbox", r->sandbox);
    put_text(&doc, "method", r->method);
    put_text(&doc, "host", host);
    put_uint(&doc, "port", port);
    put_text(&doc, "path", r->path);
    put_uint(&doc, "status", r->status);
    put_uint(&doc, "bytes", r->sent_bytes + r->received_bytes);
    put_uint(&doc, "sent", r->sent_bytes);
    put_uint(&doc, "received", r->received_bytes);
    put_uint(&doc, "ms", r->ms);
    value_put_text(&doc, "secrets");
    if (r->secrets.len > 0) {
        value_put_raw(&doc, r->secrets);
    } else {
        value_put_array(&doc, 0);
    }
    put_text(&doc, "code", r->code);
    (void)audit_log_add(&w->node->audit, buf_slice(&doc)); /* what is lost is counted */
    buf_done(&doc);
}

/* The answer */

static void put_record(struct buf *out, const struct audit_item *item)
{
    struct slice name;
    struct slice value;
    value_put_map(out, 2 + value_count(item->document));
    put_uint(out, "time", item->place.time_ms);
    put_uint(out, "node", item->place.node);
    for (struct value_iter it = value_entries(item->document);
         value_next_entry(&it, &name, &value);) {
        value_put_str(out, name);
        value_put_raw(out, value);
    }
}

static void put_cursor(struct buf *out, const struct audit_place *p)
{
    struct buf key = {0};
    struct buf text = {0};
    buf_append_u64(&key, p->time_ms);
    buf_append_u32(&key, p->node);
    buf_append_u64(&key, p->number);
    cursor_encode(buf_slice(&key), &text);
    value_put_str(out, buf_slice(&text));
    buf_done(&text);
    buf_done(&key);
}

static void answer(struct audit_exchange *e)
{
    const struct audit_run *r = &e->run;
    struct buf doc = {0};
    value_put_map(&doc, 3);
    value_put_text(&doc, "records");
    value_put_array(&doc, (uint32_t)r->item_count);
    for (size_t i = 0; i < r->item_count; i++) {
        put_record(&doc, &r->items[i]);
    }
    value_put_text(&doc, "next");
    if (r->has_more && r->item_count > 0) {
        put_cursor(&doc, &r->items[r->item_count - 1].place);
    } else {
        value_put_nil(&doc);
    }
    value_put_text(&doc, "missing");
    value_put_array(&doc, r->missing_count);
    for (uint32_t i = 0; i < r->missing_count; i++) {
        value_put_uint(&doc, r->missing[i]);
    }
    answer_document(e->x, 200, buf_slice(&doc), e->form);
    buf_done(&doc);
}

static void free_exchange(struct audit_exchange *e)
{
    audit_run_done(&e->run);
    bytes_unref(e->ns);
    mem_free(e);
}

static void on_gathered(struct gather *g)
{
    struct audit_exchange *e = CONTAINER_OF(g, struct audit_exchange, gather);
    if (e->part.err != ERR_OK) {
        g->origin->counts.by_err[e->part.err]++;
    }
    if (e->x != NULL) {
        http_exchange_set_user(e->x, NULL);
        if (e->part.err == ERR_OK) {
            answer(e);
        } else {
            answer_err(e->x, e->part.err);
        }
    }
    free_exchange(e);
}

static void on_run(struct audit_run *r, enum err err)
{
    gather_part_done(&CONTAINER_OF(r, struct audit_exchange, run)->part, err);
}

static void begin_on_worker_0(struct gather_part *p)
{
    struct audit_exchange *e = CONTAINER_OF(p, struct audit_exchange, part);
    audits_begin(&p->worker->audits, &e->run);
}

static void on_cancel(struct callee *callee)
{
    CONTAINER_OF(callee, struct audit_exchange, callee)->x = NULL; /* freed when it is back */
}

/* The request */

static enum err decode_cursor(const struct query *q, struct audit_query *ret,
                              struct decode_error *e)
{
    struct slice text;
    struct bytes *key = NULL;
    if (!query_find(q, "cursor", &text)) {
        return ERR_OK;
    }
    if (cursor_decode(text, &key) != ERR_OK || key->len != CURSOR_BYTES) {
        bytes_unref(key);
        return decode_fail(e, ERR_BAD_REQUEST, "The cursor is not one that this listing gave.");
    }
    ret->has_after = true;
    ret->after = (struct audit_place){.time_ms = get_be64(key->data),
                                      .node = get_be32(key->data + 8),
                                      .number = get_be64(key->data + 12)};
    bytes_unref(key);
    return ERR_OK;
}

static enum err decode_namespace(struct audit_exchange *e, const struct query *q,
                                 const struct token *token, struct decode_error *error)
{
    struct slice ns = {0};
    bool is_given = query_find(q, "namespace", &ns);
    if (is_given && !address_namespace_is_valid(ns)) {
        return decode_fail(error, ERR_INVALID_ID, "The namespace is not valid.");
    }
    if (token != NULL && !token_covers_namespace(token, SLICE("*"))) {
        if (is_given && !token_covers_namespace(token, ns)) {
            return decode_fail(error, ERR_FORBIDDEN, "The token is of another namespace.");
        }
        ns = slice_of_str(token->ns);
    }
    e->ns = ns.len > 0 ? bytes_new(ns) : NULL;
    e->run.query.ns = bytes_slice(e->ns);
    return ERR_OK;
}

static enum err decode(struct audit_exchange *e, struct slice text, const struct token *token,
                       struct decode_error *error)
{
    static const char *const names[] = {"since", "namespace", "limit", "cursor"};
    struct query q = {0};
    uint64_t limit = AUDIT_LIMIT_DEFAULT;
    if (query_init(&q, text) != ERR_OK) {
        return decode_fail(error, ERR_BAD_REQUEST, "The query is malformed.");
    }
    enum err err = decode_parameters(&q, names, sizeof names / sizeof names[0], error);
    if (err == ERR_OK && query_uint(&q, "limit", 1, AUDIT_LIMIT_MAX, &limit) != ERR_OK) {
        err = decode_fail(error, ERR_BAD_REQUEST, "limit is not within 1 to %d.", AUDIT_LIMIT_MAX);
    }
    if (err == ERR_OK && query_uint(&q, "since", 0, INT64_MAX, &e->run.query.since_ms) != ERR_OK) {
        err = decode_fail(error, ERR_BAD_REQUEST, "since is not a time in milliseconds.");
    }
    e->run.query.limit = (uint32_t)limit;
    if (err == ERR_OK) {
        err = decode_cursor(&q, &e->run.query, error);
    }
    if (err == ERR_OK) {
        err = decode_namespace(e, &q, token, error);
    }
    query_done(&q);
    return err;
}

void audit_open(struct worker *w, struct http_exchange *x, struct slice query,
                const struct token *token)
{
    struct decode_error error;
    struct audit_exchange *e = MEM_NEW(struct audit_exchange);
    enum err err = decode(e, query, token, &error);
    if (err != ERR_OK) {
        w->counts.by_err[err]++;
        free_exchange(e);
        answer_error(x, &error);
        return;
    }
    e->callee.cancel = on_cancel;
    e->x = x;
    e->form = accepted_form(http_exchange_request(x));
    e->run.done = on_run;
    http_exchange_set_user(x, &e->callee);
    gather_init(&e->gather, w, begin_on_worker_0, on_gathered);
    gather_ask(&e->gather, &e->part, &w->node->workers[0]);
    gather_asked(&e->gather);
}
