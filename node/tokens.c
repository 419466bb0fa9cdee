#include "node/tokens.h"

#include <stdlib.h>
#include <string.h>

#include "actor/members.h"
#include "base/mem.h"
#include "node/answer.h"
#include "node/node.h"
#include "node/order.h"
#include "rpc/value.h"

enum { TOKENS_MAX = 10 * 1000 };

static bool may_see(const struct token *asker, const struct token *t)
{
    return asker == NULL || token_covers_namespace(asker, slice_of_str(t->ns));
}

/* Showing */

static void put_scopes(struct buf *doc, uint32_t scopes)
{
    value_put_text(doc, "scopes");
    value_put_array(doc, (uint32_t)__builtin_popcount(scopes));
    for (uint32_t scope = 1; scope_name(scope) != NULL; scope <<= 1) {
        if ((scopes & scope) != 0) {
            value_put_text(doc, scope_name(scope));
        }
    }
}

static void put_actor(struct buf *doc, const struct token *t)
{
    value_put_text(doc, "actor");
    if (t->class[0] == '\0') {
        value_put_nil(doc);
        return;
    }
    struct buf text = {0};
    buf_append_str(&text, t->class);
    buf_append_byte(&text, '/');
    buf_append_slice(&text, slice_of(t->id_prefix, t->id_prefix_len));
    value_put_str(doc, buf_slice(&text));
    buf_done(&text);
}

/* `text` is NULL but for a new one. */
static void put_token(struct buf *doc, const struct token *t, const char *text)
{
    char id[TOKEN_ID_CHARS + 1];
    token_id(t, id);
    value_put_map(doc, text != NULL ? 7 : 6);
    value_put_text(doc, "id");
    value_put_text(doc, id);
    if (text != NULL) {
        value_put_text(doc, "token");
        value_put_str(doc, slice_of(text, TOKEN_TEXT_BYTES));
    }
    value_put_text(doc, "namespace");
    value_put_text(doc, t->ns);
    put_scopes(doc, t->scopes);
    put_actor(doc, t);
    value_put_text(doc, "created");
    value_put_uint(doc, t->created_ms);
    value_put_text(doc, "expires");
    if (t->expires_ms != 0) {
        value_put_uint(doc, t->expires_ms);
    } else {
        value_put_nil(doc);
    }
}

static int by_age(const void *left, const void *right)
{
    const struct token *const *l = left;
    const struct token *const *r = right;
    if ((*l)->created_ms != (*r)->created_ms) {
        return (*l)->created_ms < (*r)->created_ms ? -1 : 1;
    }
    return memcmp((*l)->hash, (*r)->hash, DIGEST_BYTES);
}

void tokens_list(struct worker *w, struct http_exchange *x, const struct token *asker)
{
    const struct cluster_view *v = worker_view(w);
    const struct token **shown = mem_alloc((v->tokens.count + 1) * sizeof(const struct token *));
    uint32_t count = 0;
    MAP_FOREACH (n, &v->tokens) {
        const struct token *t = CONTAINER_OF(n, struct token, by_hash);
        if (may_see(asker, t)) {
            shown[count++] = t;
        }
    }
    qsort(shown, count, sizeof(const struct token *), by_age);
    struct buf doc = {0};
    value_put_map(&doc, 1);
    value_put_text(&doc, "tokens");
    value_put_array(&doc, count);
    for (uint32_t i = 0; i < count; i++) {
        put_token(&doc, shown[i], NULL);
    }
    answer_document(x, 200, buf_slice(&doc), accepted_form(http_exchange_request(x)));
    buf_done(&doc);
    mem_free(shown);
}

/* Making one */

static enum err read_scopes(struct order *o, struct token *t, const struct member *m)
{
    struct value_iter it = member_is_given(m) ? value_items(m->doc) : (struct value_iter){0};
    struct slice item;
    struct slice name;
    while (value_next(&it, &item)) {
        uint32_t scope = value_get_str(item, &name) ? scope_of_name(name) : 0;
        if (scope == 0) {
            return order_refuse(o, ERR_BAD_REQUEST,
                                "scopes are of call, inspect, deploy, sandbox and admin.");
        }
        t->scopes |= scope;
    }
    return t->scopes != 0 ? ERR_OK
                          : order_refuse(o, ERR_BAD_REQUEST, "scopes is an array of some.");
}

static enum err read_namespace(struct order *o, struct token *t, struct slice ns)
{
    if (!slice_equal_str(ns, "*") && !address_namespace_is_valid(ns)) {
        return order_refuse(o, ERR_INVALID_ID, "namespace is neither a valid one nor *.");
    }
    memcpy(t->ns, ns.data, ns.len);
    return may_see(o->asker, t)
               ? ERR_OK
               : order_refuse(o, ERR_FORBIDDEN, "The token is of another namespace.");
}

enum { MEMBER_NAMESPACE, MEMBER_SCOPES, MEMBER_ACTOR, MEMBER_TTL, MEMBERS };

static enum err read_members(struct order *o, struct token *t)
{
    struct member m[MEMBERS] = {
        {"namespace", {0}}, {"scopes", {0}}, {"actor", {0}}, {"ttl_ms", {0}}};
    struct reply reply;
    struct slice ns;
    struct slice actor = {0};
    uint64_t ttl_ms = 0;
    reply_init(&reply);
    enum err err = members_read(bytes_slice(o->body), m, MEMBERS, &reply);
    if (err == ERR_OK) {
        err = member_str(&m[MEMBER_NAMESPACE], &ns, &reply);
    }
    if (err == ERR_OK) {
        err = member_str(&m[MEMBER_ACTOR], &actor, &reply);
    }
    if (err == ERR_OK) {
        err = member_ms(&m[MEMBER_TTL], TOKEN_TTL_MS_MIN, TOKEN_TTL_MS_MAX, &ttl_ms, &reply);
    }
    if (err != ERR_OK) {
        (void)order_refuse(o, err, "%s", reply.detail);
        reply_clear(&reply);
        return err;
    }
    err = read_namespace(o, t, ns);
    if (err == ERR_OK) {
        err = read_scopes(o, t, &m[MEMBER_SCOPES]);
    }
    if (err == ERR_OK && actor.len > 0 && token_set_actor(t, actor) != ERR_OK) {
        err = order_refuse(o, ERR_BAD_REQUEST, "actor is not CLASS/ID-PREFIX.");
    }
    t->created_ms = o->wall_ms;
    t->expires_ms = ttl_ms != 0 ? o->wall_ms + ttl_ms : 0;
    return err;
}

static void put_records(const struct cluster_view *v, const struct token *t,
                        struct records_changes *c)
{
    char name[TOKEN_NAME_BYTES + 1];
    struct buf record = {0};
    struct buf access = {0};
    token_record_name(t, name);
    token_encode(t, &record);
    records_put(c, name, buf_slice(&record));
    value_put_map(&access, 1);
    value_put_text(&access, "admin");
    value_put_bool(&access, v->has_admin || (t->scopes & SCOPE_ADMIN) != 0);
    records_put(c, ACCESS_RECORD, buf_slice(&access));
    buf_done(&access);
    buf_done(&record);
}

enum err decide_token_create(struct order *o, const struct cluster_view *v,
                             struct records_changes *c)
{
    char text[TOKEN_TEXT_BYTES];
    struct token t = {0};
    if (v->tokens.count >= TOKENS_MAX) {
        (void)order_refuse(o, ERR_RATE_LIMITED, "There are %d tokens: revoke some.", TOKENS_MAX);
        o->error.limit = (struct problem_limit){.name = "tokens", .value = TOKENS_MAX};
        return o->error.err;
    }
    enum err err = read_members(o, &t);
    if (err != ERR_OK) {
        return err;
    }
    token_draw(text, t.hash);
    put_records(v, &t, c);
    put_token(&o->document, &t, text);
    explicit_bzero(text, sizeof text);
    o->status = 201;
    return ERR_OK;
}

/* Revoking one */

static bool is_lasting_admin(const struct token *t)
{
    return (t->scopes & SCOPE_ADMIN) != 0 && t->expires_ms == 0;
}

static bool is_last_admin(const struct cluster_view *v, const struct token *t)
{
    uint32_t count = 0;
    MAP_FOREACH (n, &v->tokens) {
        count += is_lasting_admin(CONTAINER_OF(n, struct token, by_hash)) ? 1 : 0;
    }
    return is_lasting_admin(t) && count == 1;
}

enum err decide_token_revoke(struct order *o, const struct cluster_view *v,
                             struct records_changes *c)
{
    MAP_FOREACH (n, &v->tokens) {
        const struct token *t = CONTAINER_OF(n, struct token, by_hash);
        char id[TOKEN_ID_CHARS + 1];
        char name[TOKEN_NAME_BYTES + 1];
        token_id(t, id);
        if (!slice_equal_str(bytes_slice(o->subject), id) || !may_see(o->asker, t)) {
            continue;
        }
        if (is_last_admin(v, t)) {
            return order_refuse(o, ERR_CONFLICT,
                                "It is the last token that may make others: make one first.");
        }
        token_record_name(t, name);
        records_delete(c, name);
        o->status = 204;
        return ERR_OK;
    }
    return order_refuse(o, ERR_NO_SUCH_TOKEN, NULL);
}
