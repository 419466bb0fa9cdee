#include "node/status.h"

#include "node/record.h"
#include "rpc/value.h"

void status_begin(const char *peer, bool is_leaving, uint32_t lead_count, struct buf *out)
{
    value_put_map(out, 3);
    value_put_text(out, "peer");
    value_put_text(out, peer);
    value_put_text(out, "leaving");
    value_put_bool(out, is_leaving);
    value_put_text(out, "leads");
    value_put_array(out, lead_count);
}

static void put_replicas(const struct board_shard *s, struct buf *out)
{
    value_put_array(out, s->replica_count);
    for (uint32_t i = 0; i < s->replica_count; i++) {
        value_put_array(out, 3);
        value_put_uint(out, s->replicas[i].replica);
        value_put_uint(out, s->replicas[i].role);
        value_put_uint(out, s->replicas[i].lag);
    }
}

void status_put_lead(const struct board_shard *s, struct buf *out)
{
    value_put_map(out, 4);
    value_put_text(out, "shard");
    if (s->shard == SHARD_META) {
        value_put_nil(out);
    } else {
        value_put_uint(out, s->shard);
    }
    value_put_text(out, "term");
    value_put_uint(out, s->term);
    value_put_text(out, "settled");
    value_put_bool(out, s->is_settled);
    value_put_text(out, "replicas");
    put_replicas(s, out);
}

static bool take_replica(struct slice item, struct board_replica *r)
{
    struct value_iter it = value_items(item);
    struct slice part;
    uint64_t role;
    if (!value_next(&it, &part) || !value_get_uint(part, &r->replica) || !value_next(&it, &part) ||
        !value_get_uint(part, &role) || role > GROUP_SPARE || !value_next(&it, &part) ||
        !value_get_uint(part, &r->lag)) {
        return false;
    }
    r->role = (enum group_role)role;
    return true;
}

static bool take_replicas(struct slice array, struct board_shard *s)
{
    struct slice item;
    if (value_count(array) > PLACEMENT_REPLICAS_MAX) {
        return false;
    }
    for (struct value_iter it = value_items(array); value_next(&it, &item);) {
        if (!take_replica(item, &s->replicas[s->replica_count])) {
            return false;
        }
        s->replica_count++;
    }
    return true;
}

static bool take_shard(struct slice map, uint32_t *ret_shard)
{
    struct slice member;
    uint64_t shard = SHARD_META;
    if (!value_member(map, "shard", &member) ||
        (value_type(member) != VALUE_NIL &&
         (!value_get_uint(member, &shard) || shard >= SHARD_META))) {
        return false;
    }
    *ret_shard = (uint32_t)shard;
    return true;
}

static bool take_lead(struct slice map, struct board_shard *ret)
{
    struct slice member;
    *ret = (struct board_shard){0};
    return take_shard(map, &ret->shard) && record_uint(map, "term", &ret->term) &&
           value_member(map, "settled", &member) && value_get_bool(member, &ret->is_settled) &&
           value_member(map, "replicas", &member) && take_replicas(member, ret);
}

static bool says_leaving(struct slice status)
{
    struct slice member;
    bool is_leaving = false;
    return value_member(status, "leaving", &member) && value_get_bool(member, &is_leaving) &&
           is_leaving;
}

enum err status_take(struct slice bytes, uint32_t node, struct board *b, uint64_t now_ms)
{
    char peer[MEMBER_ADDRESS_BYTES];
    struct slice leads;
    struct slice item;
    struct board_shard said;
    if (!record_is_map(bytes) || !record_text(bytes, "peer", peer, sizeof peer - 1) ||
        !value_member(bytes, "leads", &leads)) {
        return ERR_CORRUPT;
    }
    board_hear(b, node, peer, says_leaving(bytes), now_ms);
    for (struct value_iter it = value_items(leads); value_next(&it, &item);) {
        if (!take_lead(item, &said)) {
            return ERR_CORRUPT;
        }
        board_note(b, node, &said, now_ms);
    }
    return ERR_OK;
}
