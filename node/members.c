/* The deciders of orders about members. */
#include <stdio.h>
#include <string.h>

#include "actor/members.h"
#include "node/order.h"
#include "node/token.h"
#include "rpc/uri.h"
#include "rpc/value.h"

enum {
    JOIN_TTL_MS_DEFAULT = 60 * 60 * 1000,
    JOIN_TTL_MS_MIN = 1000,
    JOIN_TTL_MS_MAX = 7 * 24 * 60 * 60 * 1000,
    JOIN_TOKENS_MAX = 100,
    MEMBERS_MAX = 1000,
};

/* From a reply of the member readers to the order. */
static enum err refuse_reply(struct order *o, struct reply *reply)
{
    enum err err = reply->err;
    (void)order_refuse(o, err, "%s", reply->detail != NULL ? reply->detail : "");
    reply_clear(reply);
    return err;
}

static enum err refuse_single(struct order *o)
{
    return order_refuse(o, ERR_CONFLICT,
                        "This node is in no cluster: start it with --cluster-init.");
}

static void put_member(struct records_changes *c, const struct cluster_member *m)
{
    char name[MEMBER_NAME_BYTES + 1];
    struct buf record = {0};
    member_record_name(m->id, name);
    member_encode(m, &record);
    records_put(c, name, buf_slice(&record));
    buf_done(&record);
}

/* Tokens to join with */

/* How many are left. */
static size_t delete_expired(const struct cluster_view *v, uint64_t wall_ms,
                             struct records_changes *c)
{
    size_t left = 0;
    for (size_t i = 0; i < v->join_count; i++) {
        char name[JOIN_NAME_BYTES + 1];
        if (v->joins[i].expires_ms > wall_ms) {
            left++;
            continue;
        }
        join_record_name(v->joins[i].hash, name);
        records_delete(c, name);
    }
    return left;
}

enum err decide_join_token(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    struct member ttl = {"ttl_ms", {0}};
    struct reply reply;
    uint64_t ttl_ms = JOIN_TTL_MS_DEFAULT;
    reply_init(&reply);
    if ((o->body != NULL && members_read(bytes_slice(o->body), &ttl, 1, &reply) != ERR_OK) ||
        member_ms(&ttl, JOIN_TTL_MS_MIN, JOIN_TTL_MS_MAX, &ttl_ms, &reply) != ERR_OK) {
        return refuse_reply(o, &reply);
    }
    if (v->member_count == 0) {
        return refuse_single(o);
    }
    if (delete_expired(v, o->wall_ms, c) >= JOIN_TOKENS_MAX) {
        (void)order_refuse(o, ERR_RATE_LIMITED, "There are %d tokens to join with.",
                           JOIN_TOKENS_MAX);
        o->error.limit = (struct problem_limit){.name = "join_tokens", .value = JOIN_TOKENS_MAX};
        return o->error.err;
    }
    char text[TOKEN_TEXT_BYTES];
    char name[JOIN_NAME_BYTES + 1];
    uint8_t hash[DIGEST_BYTES];
    struct buf record = {0};
    token_draw(text, hash);
    join_record_name(hash, name);
    join_encode(o->wall_ms + ttl_ms, &record);
    records_put(c, name, buf_slice(&record));
    buf_done(&record);
    value_put_map(&o->document, 2);
    value_put_text(&o->document, "token");
    value_put_str(&o->document, slice_of(text, sizeof text));
    value_put_text(&o->document, "expires");
    value_put_uint(&o->document, o->wall_ms + ttl_ms);
    explicit_bzero(text, sizeof text);
    o->status = 201;
    return ERR_OK;
}

/* Adding one */

enum { ADD_ID, ADD_PEER, ADD_URL, ADD_BIRTH, ADD_TOKEN, ADD_MEMBERS };

static bool copy_text(struct slice text, char *ret, size_t bytes)
{
    if (text.len == 0 || text.len >= bytes || memchr(text.data, 0, text.len) != NULL) {
        return false;
    }
    memcpy(ret, text.data, text.len);
    ret[text.len] = '\0';
    return true;
}

/* What a node says of itself; `*ret_token` is empty where it has none. */
static enum err read_said(struct order *o, struct cluster_member *m, struct slice *ret_token)
{
    struct member members[ADD_MEMBERS] = {
        {"id", {0}}, {"peer", {0}}, {"url", {0}}, {"birth", {0}}, {"token", {0}}};
    struct slice peer;
    struct slice url;
    struct reply reply;
    uint64_t id = 0;
    reply_init(&reply);
    if (members_read(bytes_slice(o->body), members, ADD_MEMBERS, &reply) != ERR_OK ||
        member_str(&members[ADD_PEER], &peer, &reply) != ERR_OK ||
        member_str(&members[ADD_URL], &url, &reply) != ERR_OK ||
        (member_is_given(&members[ADD_TOKEN]) &&
         member_str(&members[ADD_TOKEN], ret_token, &reply) != ERR_OK)) {
        return refuse_reply(o, &reply);
    }
    if (!member_is_given(&members[ADD_ID]) || !value_get_uint(members[ADD_ID].doc, &id) ||
        id == 0 || id > UINT32_MAX) {
        return order_refuse(o, ERR_BAD_REQUEST, "id is not a whole number from 1 to %u.",
                            UINT32_MAX);
    }
    if (!member_is_given(&members[ADD_BIRTH]) ||
        !value_get_uint(members[ADD_BIRTH].doc, &m->birth) || m->birth == 0) {
        return order_refuse(o, ERR_BAD_REQUEST, "birth is not a number from 1 on.");
    }
    if (!member_address_is_valid(peer) || !copy_text(peer, m->peer, sizeof m->peer)) {
        return order_refuse(o, ERR_BAD_REQUEST, "peer is not HOST:PORT.");
    }
    if (!copy_text(url, m->url, sizeof m->url)) {
        return order_refuse(o, ERR_BAD_REQUEST, "url is missing or too long.");
    }
    m->id = (uint32_t)id;
    return ERR_OK;
}

/* A node that asks again, because it did not hear the answer, is a member already. */
enum err decide_member_add(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    struct cluster_member m = {.state = MEMBER_UP, .joined_ms = o->wall_ms};
    struct slice token = {0};
    uint8_t hash[DIGEST_BYTES];
    char join[JOIN_NAME_BYTES + 1];
    enum err err = read_said(o, &m, &token);
    if (err != ERR_OK) {
        return err;
    }
    const struct cluster_member *there = cluster_view_member(v, m.id);
    if (there != NULL && there->state == MEMBER_REMOVED) {
        return order_refuse(o, ERR_CONFLICT, "Node %u was removed: its id is never used again.",
                            m.id);
    }
    token_hash(token, hash);
    if (there != NULL && there->birth != m.birth) {
        return order_refuse(o, ERR_CONFLICT,
                            "Node %u is a member already, at %s, with data of its own. A node that "
                            "has lost its data joins under a new id, and the old one is removed.",
                            m.id, there->peer);
    }
    if (there == NULL && !cluster_view_may_join(v, hash, o->wall_ms)) {
        return order_refuse(o, ERR_FORBIDDEN, "The token to join with is unknown or has expired.");
    }
    if (v->member_count >= MEMBERS_MAX) {
        return order_refuse(o, ERR_RATE_LIMITED, "There are %d members.", MEMBERS_MAX);
    }
    if (there == NULL) {
        put_member(c, &m);
        join_record_name(hash, join);
        records_delete(c, join);
    }
    o->status = 201;
    return ERR_OK;
}

/* What a member says of itself: the first of all, who begins the cluster, or one that has moved. */
enum err decide_member_say(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    struct cluster_member said = {.state = MEMBER_UP, .joined_ms = o->wall_ms};
    struct slice token = {0};
    enum err err = read_said(o, &said, &token);
    if (err != ERR_OK) {
        return err;
    }
    const struct cluster_member *there = cluster_view_member(v, said.id);
    if (there == NULL && v->member_count > 0) {
        return order_refuse(o, ERR_CONFLICT, "Node %u is no member.", said.id);
    }
    if (there != NULL && (there->birth != said.birth || there->state == MEMBER_REMOVED)) {
        return order_refuse(o, ERR_CONFLICT, "Node %u was removed, or has lost its data.", said.id);
    }
    struct cluster_member m = there != NULL ? *there : said;
    memcpy(m.peer, said.peer, sizeof m.peer);
    memcpy(m.url, said.url, sizeof m.url);
    put_member(c, &m);
    o->status = 204;
    return ERR_OK;
}

/* Changing one */

/* The member that the order is about; NULL, and it is refused, where there is none. */
static const struct cluster_member *find_subject(struct order *o, const struct cluster_view *v)
{
    uint64_t id;
    if (v->member_count == 0) {
        (void)refuse_single(o);
        return NULL;
    }
    const struct cluster_member *there =
        o->subject != NULL && parse_uint(bytes_slice(o->subject), &id) && id <= UINT32_MAX
            ? cluster_view_member(v, (uint32_t)id)
            : NULL;
    if (there == NULL) {
        (void)order_refuse(o, ERR_NO_SUCH_MEMBER, NULL);
    }
    return there;
}

/* Whether there is another member in one of the states of which `states` has the bits. */
static bool is_alone(const struct cluster_view *v, uint32_t id, uint32_t states)
{
    for (size_t i = 0; i < v->member_count; i++) {
        if (v->members[i].id != id && (1U << v->members[i].state & states) != 0) {
            return false;
        }
    }
    return true;
}

static enum err change_state(struct order *o, const struct cluster_member *there,
                             struct records_changes *c, enum member_state to)
{
    if (there->state == MEMBER_REMOVED && to != MEMBER_REMOVED) {
        return order_refuse(o, ERR_CONFLICT,
                            "Node %u was removed: a node of another id may take its place.",
                            there->id);
    }
    if (there->state != to) {
        struct cluster_member m = *there;
        member_move(&m, to);
        put_member(c, &m);
    }
    o->status = 204;
    return ERR_OK;
}

enum err decide_member_drain(struct order *o, const struct cluster_view *v,
                             struct records_changes *c)
{
    const struct cluster_member *there = find_subject(o, v);
    if (there == NULL) {
        return o->error.err;
    }
    if (there->state == MEMBER_UP && is_alone(v, there->id, 1U << MEMBER_UP)) {
        return order_refuse(o, ERR_CONFLICT, "No other member could lead the shards of node %u.",
                            there->id);
    }
    return change_state(o, there, c, MEMBER_DRAINING);
}

enum err decide_member_undrain(struct order *o, const struct cluster_view *v,
                               struct records_changes *c)
{
    const struct cluster_member *there = find_subject(o, v);
    return there != NULL ? change_state(o, there, c, MEMBER_UP) : o->error.err;
}

enum err decide_member_remove(struct order *o, const struct cluster_view *v,
                              struct records_changes *c)
{
    const struct cluster_member *there = find_subject(o, v);
    if (there == NULL) {
        return o->error.err;
    }
    if (is_alone(v, there->id, 1U << MEMBER_UP | 1U << MEMBER_DRAINING)) {
        return order_refuse(o, ERR_CONFLICT, "Node %u is the last member.", there->id);
    }
    return change_state(o, there, c, MEMBER_REMOVED);
}
