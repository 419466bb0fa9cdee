/* The deciders of orders about shards: one replica goes to another member, and all are evened out. */
#include "actor/members.h"
#include "base/clock.h"
#include "node/order.h"
#include "rpc/uri.h"
#include "rpc/value.h"

/* Moving one */

enum { MOVE_FROM, MOVE_TO, MOVE_MEMBERS };

static enum err refuse_single(struct order *o)
{
    return order_refuse(o, ERR_CONFLICT,
                        "This node is in no cluster: start it with --cluster-init.");
}

static enum err read_node(struct order *o, const struct member *m, uint32_t *ret_node)
{
    uint64_t id = 0;
    if (!member_is_given(m) || !value_get_uint(m->doc, &id) || id == 0 || id > UINT32_MAX) {
        return order_refuse(o, ERR_BAD_REQUEST, "%s is not the id of a member, from 1 to %u.",
                            m->name, UINT32_MAX);
    }
    *ret_node = (uint32_t)id;
    return ERR_OK;
}

static enum err read_move(struct order *o, uint32_t *ret_from, uint32_t *ret_to)
{
    struct member members[MOVE_MEMBERS] = {{"from", {0}}, {"to", {0}}};
    struct reply reply;
    reply_init(&reply);
    if (members_read(bytes_slice(o->body), members, MOVE_MEMBERS, &reply) != ERR_OK) {
        enum err err = order_refuse(o, reply.err, "%s", reply.detail != NULL ? reply.detail : "");
        reply_clear(&reply);
        return err;
    }
    enum err err = read_node(o, &members[MOVE_FROM], ret_from);
    return err == ERR_OK ? read_node(o, &members[MOVE_TO], ret_to) : err;
}

static enum err find_shard(struct order *o, uint32_t *ret_shard)
{
    uint64_t id;
    if (o->subject == NULL || !parse_uint(bytes_slice(o->subject), &id) || id >= o->shard_count) {
        return order_refuse(o, ERR_NOT_FOUND, "There is no such shard: they are 0 to %u.",
                            o->shard_count - 1);
    }
    *ret_shard = (uint32_t)id;
    return ERR_OK;
}

static enum err check_taker(struct order *o, const struct cluster_view *v, uint32_t node)
{
    const struct cluster_member *m = cluster_view_member(v, node);
    if (m == NULL || m->state == MEMBER_REMOVED) {
        return order_refuse(o, ERR_NO_SUCH_MEMBER, "There is no member %u.", node);
    }
    if (m->state == MEMBER_DRAINING) {
        return order_refuse(o, ERR_CONFLICT, "Node %u is draining: it takes no replicas.", node);
    }
    if (o->board != NULL && !board_is_staying(o->board, node, clock_mono_ms())) {
        return order_refuse(o, ERR_CONFLICT, "Node %u is down, or stops: it takes no replicas.",
                            node);
    }
    return ERR_OK;
}

/* One change of a shard at a time: the other replicas are what it is copied from. */
static bool is_settled(const struct order *o, const struct place *place)
{
    struct board_line line;
    return place->leaving == 0 && o->board != NULL &&
           board_find(o->board, place->shard, clock_mono_ms(), &line) && line.said.is_settled &&
           line.said.replica_count == place->replica_count;
}

static enum err check_places(struct order *o, const struct place *place, uint32_t from, uint32_t to)
{
    if (place_replica_on(place, to) != 0) {
        return order_refuse(o, ERR_CONFLICT, "Shard %u has a replica on node %u already.",
                            place->shard, to);
    }
    if (place_replica_on(place, from) == 0) {
        return order_refuse(o, ERR_CONFLICT, "Shard %u has no replica on node %u.", place->shard,
                            from);
    }
    if (!is_settled(o, place) || place->replica_count == PLACEMENT_REPLICAS_MAX) {
        return order_refuse(o, ERR_CONFLICT,
                            "Shard %u is changing, has no leader, or a replica of it lags: ask "
                            "again when it is settled.",
                            place->shard);
    }
    return ERR_OK;
}

static void put_move(struct records_changes *c, const struct cluster_view *v, struct place place,
                     uint32_t from, uint32_t to)
{
    place.replicas[place.replica_count++] = replica_id(to, v->next_sequence);
    place.leaving = from;
    place.is_pinned = true;
    records_put_place(c, &place);
    records_put_sequence(c, v->next_sequence + 1);
}

/* The placement takes the old replica away once the new one has caught up. */
enum err decide_shard_move(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    uint32_t shard = 0;
    uint32_t from = 0;
    uint32_t to = 0;
    if (v->member_count == 0) {
        return refuse_single(o);
    }
    if (find_shard(o, &shard) != ERR_OK || read_move(o, &from, &to) != ERR_OK) {
        return o->error.err;
    }
    struct place place = cluster_view_place(v, shard);
    const struct cluster_member *giver = cluster_view_member(v, from);
    if (giver == NULL || giver->state == MEMBER_REMOVED) {
        return order_refuse(o, ERR_NO_SUCH_MEMBER, "There is no member %u.", from);
    }
    bool is_under_way = place.leaving == from && place_replica_on(&place, to) != 0;
    if (is_under_way && from != to) { /* the answer to the first was lost */
        o->status = 204;
        return ERR_OK;
    }
    if (check_taker(o, v, to) != ERR_OK || check_places(o, &place, from, to) != ERR_OK) {
        return o->error.err;
    }
    put_move(c, v, place, from, to);
    o->status = 204;
    return ERR_OK;
}

/* Evening out */

/* Balance is what the placement does all the time, but for what was put somewhere by hand. */
enum err decide_rebalance(struct order *o, const struct cluster_view *v, struct records_changes *c)
{
    if (v->member_count == 0) {
        return refuse_single(o);
    }
    for (uint32_t shard = 0; shard < o->shard_count; shard++) {
        struct place place = cluster_view_place(v, shard);
        if (place.is_pinned) {
            place.is_pinned = false;
            records_put_place(c, &place);
        }
    }
    o->status = 204;
    return ERR_OK;
}
