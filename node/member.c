#include "node/member.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/hex.h"
#include "base/invariant.h"
#include "node/record.h"
#include "rpc/uri.h"
#include "rpc/value.h"
#include "storage/engine.h"

static const char *const state_names[MEMBER_STATE_COUNT] = {
    [MEMBER_UP] = "up", [MEMBER_DRAINING] = "draining", [MEMBER_REMOVED] = "removed"};

const char *member_state_name(enum member_state state)
{
    return state_names[state];
}

void member_move(struct cluster_member *m, enum member_state to)
{
    static const bool allowed[MEMBER_STATE_COUNT][MEMBER_STATE_COUNT] = {
        [MEMBER_UP] = {[MEMBER_DRAINING] = true, [MEMBER_REMOVED] = true},
        [MEMBER_DRAINING] = {[MEMBER_UP] = true, [MEMBER_REMOVED] = true},
    };
    INVARIANT(allowed[m->state][to]);
    m->state = to;
}

/* The digits after `prefix`, all of the rest; the name that is made of the number must be the same. */
static bool number_after(struct slice name, const char *prefix, size_t digits, uint64_t *ret)
{
    size_t len = strlen(prefix);
    return name.len == len + digits && slice_has_prefix(name, slice_of_str(prefix)) &&
           parse_uint(slice_skip(name, len), ret) && *ret <= UINT32_MAX;
}

/* Members */

void member_record_name(uint32_t id, char ret_name[MEMBER_NAME_BYTES + 1])
{
    (void)snprintf(ret_name, MEMBER_NAME_BYTES + 1, "member/%010" PRIu32, id);
}

void member_encode(const struct cluster_member *m, struct buf *out)
{
    value_put_map(out, 5);
    value_put_text(out, "birth");
    value_put_uint(out, m->birth);
    value_put_text(out, "peer");
    value_put_text(out, m->peer);
    value_put_text(out, "url");
    value_put_text(out, m->url);
    value_put_text(out, "state");
    value_put_text(out, state_names[m->state]);
    value_put_text(out, "joined");
    value_put_uint(out, m->joined_ms);
}

static bool take_state(struct slice payload, enum member_state *ret)
{
    char text[16];
    if (!record_text(payload, "state", text, sizeof text - 1)) {
        return false;
    }
    for (int i = 0; i < MEMBER_STATE_COUNT; i++) {
        if (strcmp(text, state_names[i]) == 0) {
            *ret = (enum member_state)i;
            return true;
        }
    }
    return false;
}

enum err member_decode(struct slice name, struct slice payload, struct cluster_member *ret_member)
{
    struct cluster_member m = {0};
    uint64_t id;
    if (!number_after(name, "member/", 10, &id) || id == 0 || !record_is_map(payload) ||
        !record_text(payload, "peer", m.peer, sizeof m.peer - 1) ||
        !record_text(payload, "url", m.url, sizeof m.url - 1) || !take_state(payload, &m.state) ||
        !record_uint(payload, "joined", &m.joined_ms) || !record_uint(payload, "birth", &m.birth)) {
        return ERR_CORRUPT;
    }
    m.id = (uint32_t)id;
    *ret_member = m;
    return ERR_OK;
}

void member_say_encode(const struct cluster_member *m, struct slice token, struct buf *out)
{
    value_put_map(out, token.len > 0 ? 5 : 4);
    value_put_text(out, "id");
    value_put_uint(out, m->id);
    value_put_text(out, "peer");
    value_put_text(out, m->peer);
    value_put_text(out, "url");
    value_put_text(out, m->url);
    value_put_text(out, "birth");
    value_put_uint(out, m->birth);
    if (token.len > 0) {
        value_put_text(out, "token");
        value_put_str(out, token);
    }
}

/* Places */

void place_record_name(uint32_t shard, char ret_name[PLACE_NAME_BYTES + 1])
{
    if (shard == SHARD_META) {
        (void)snprintf(ret_name, PLACE_NAME_BYTES + 1, "shard/meta");
    } else {
        PRE(shard < 100000);
        (void)snprintf(ret_name, PLACE_NAME_BYTES + 1, "shard/%05" PRIu32, shard);
    }
}

void place_encode(const struct place *p, struct buf *out)
{
    value_put_map(out, 1U + (p->leaving != 0) + p->is_pinned);
    value_put_text(out, "replicas");
    value_put_array(out, p->replica_count);
    for (uint32_t i = 0; i < p->replica_count; i++) {
        value_put_uint(out, p->replicas[i]);
    }
    if (p->leaving != 0) {
        value_put_text(out, "leaving");
        value_put_uint(out, p->leaving);
    }
    if (p->is_pinned) {
        value_put_text(out, "pinned");
        value_put_bool(out, true);
    }
}

uint64_t place_replica_on(const struct place *p, uint32_t node)
{
    for (uint32_t i = 0; i < p->replica_count; i++) {
        if (replica_node(p->replicas[i]) == node) {
            return p->replicas[i];
        }
    }
    return 0;
}

static bool take_wishes(struct slice payload, struct place *p)
{
    struct slice member;
    uint64_t leaving = 0;
    if (value_member(payload, "leaving", &member) &&
        (!value_get_uint(member, &leaving) || leaving == 0 || leaving > UINT32_MAX)) {
        return false;
    }
    p->leaving = (uint32_t)leaving;
    return !value_member(payload, "pinned", &member) || value_get_bool(member, &p->is_pinned);
}

enum err place_decode(struct slice name, struct slice payload, struct place *ret_place)
{
    struct place p = {.shard = SHARD_META};
    struct slice replicas;
    struct slice item;
    uint64_t shard = SHARD_META;
    if ((!slice_equal_str(name, "shard/meta") && !number_after(name, "shard/", 5, &shard)) ||
        !record_is_map(payload) || !value_member(payload, "replicas", &replicas) ||
        value_count(replicas) == 0 || value_count(replicas) > PLACEMENT_REPLICAS_MAX) {
        return ERR_CORRUPT;
    }
    p.shard = (uint32_t)shard;
    for (struct value_iter it = value_items(replicas); value_next(&it, &item);) {
        if (!value_get_uint(item, &p.replicas[p.replica_count]) ||
            replica_node(p.replicas[p.replica_count]) == 0) {
            return ERR_CORRUPT;
        }
        p.replica_count++;
    }
    if (!take_wishes(payload, &p)) {
        return ERR_CORRUPT;
    }
    *ret_place = p;
    return ERR_OK;
}

struct place place_of_single_node(uint32_t shard)
{
    return (struct place){.shard = shard,
                          .replica_count = 1,
                          .replicas = {replica_id(1, engine_group_of_shard(shard))}};
}

/* The sequence of replicas, and tokens to join with */

void sequence_encode(uint32_t next, struct buf *out)
{
    value_put_map(out, 1);
    value_put_text(out, "next");
    value_put_uint(out, next);
}

enum err sequence_decode(struct slice payload, uint32_t *ret_next)
{
    uint64_t next;
    if (!record_is_map(payload) || !record_uint(payload, "next", &next) || next < FIRST_SEQUENCE ||
        next > UINT32_MAX) {
        return ERR_CORRUPT;
    }
    *ret_next = (uint32_t)next;
    return ERR_OK;
}

void join_record_name(const uint8_t hash[DIGEST_BYTES], char ret_name[JOIN_NAME_BYTES + 1])
{
    memcpy(ret_name, "join/", 5);
    hex_encode(hash, DIGEST_BYTES, ret_name + 5);
}

void join_encode(uint64_t expires_ms, struct buf *out)
{
    value_put_map(out, 1);
    value_put_text(out, "expires");
    value_put_uint(out, expires_ms);
}

enum err join_decode(struct slice name, struct slice payload, uint8_t ret_hash[DIGEST_BYTES],
                     uint64_t *ret_expires_ms)
{
    bool is_sound = slice_has_prefix(name, SLICE("join/")) &&
                    hex_decode(slice_skip(name, 5), ret_hash, DIGEST_BYTES) &&
                    record_is_map(payload) && record_uint(payload, "expires", ret_expires_ms);
    return is_sound ? ERR_OK : ERR_CORRUPT;
}

/* Addresses */

static bool is_host_byte(uint8_t c, bool is_v6)
{
    bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    return is_letter || (c >= '0' && c <= '9') || c == '.' ||
           (is_v6 ? c == ':' : c == '-' || c == '_');
}

bool member_address_is_valid(struct slice text)
{
    size_t colon = text.len;
    while (colon > 0 && text.data[colon - 1] != ':') {
        colon--;
    }
    uint64_t port;
    if (colon < 2 || text.len >= MEMBER_ADDRESS_BYTES ||
        !parse_uint(slice_skip(text, colon), &port) || port < 1 || port > UINT16_MAX) {
        return false;
    }
    struct slice host = slice_of(text.data, colon - 1);
    bool is_v6 = host.len > 2 && host.data[0] == '[' && host.data[host.len - 1] == ']';
    host = is_v6 ? slice_of(host.data + 1, host.len - 2) : host;
    for (size_t i = 0; i < host.len; i++) {
        if (!is_host_byte(host.data[i], is_v6)) {
            return false;
        }
    }
    return true;
}
