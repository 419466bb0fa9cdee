/* Members of the cluster and the places of its shards, as records of the meta group. Pure.
 *
 *     member/<id, 10 digits>   {"peer":"HOST:PORT","url":"http://…","state":…,"joined":ms,"birth":n}
 *     shard/<id, 5 digits>     {"replicas":[replica ids]}      the meta group's own: shard/meta
 *                              and, where an administrator has moved one: "leaving": the node that gives
 *                              its replica up, "pinned": true, and the balance takes others
 *     sequence                 {"next":n}                      of replicas; only grows
 *     join/<hash in hex>       {"expires":ms}                  a token that lets one node join, once
 *
 *     UP --drain--> DRAINING --undrain--> UP            REMOVED: its id is never used again
 *      +--remove--------+--remove--> REMOVED
 *
 * A member's birth is drawn when it joins and kept with its data: a node that comes back without its data
 * has another one, and is not taken for the member whose promises to vote were in it.
 *
 * A replica's id is node << 32 | sequence and is never used twice. Where a shard has no record it is where
 * a single node made it: on node 1, with the sequence of its group. Payloads are msgpack maps; members
 * that a reader does not know are ignored. */
#ifndef NODE_MEMBER_H
#define NODE_MEMBER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/digest.h"
#include "base/err.h"
#include "base/slice.h"
#include "node/placement.h"
#include "storage/shard.h"

enum {
    MEMBER_ADDRESS_BYTES = 262, /* a host name of 253, a port, a NUL */
    MEMBER_URL_BYTES = 280,
    MEMBER_NAME_BYTES = 7 + 10,
    PLACE_NAME_BYTES = 6 + 5,
    JOIN_NAME_BYTES = 5 + 2 * DIGEST_BYTES,
    FIRST_SEQUENCE = 8192, /* above those of a first node's replicas: DATA_SHARDS_MAX */
};

#define SEQUENCE_RECORD "sequence"

enum member_state { MEMBER_UP, MEMBER_DRAINING, MEMBER_REMOVED, MEMBER_STATE_COUNT };

struct cluster_member {
    uint32_t id;
    enum member_state state;
    char peer[MEMBER_ADDRESS_BYTES];
    char url[MEMBER_URL_BYTES];
    uint64_t joined_ms; /* wall */
    uint64_t birth;
};

/* Where the replicas of a shard shall be. */
struct place {
    uint32_t shard; /* SHARD_META: the meta group's */
    uint32_t replica_count;
    uint64_t replicas[PLACEMENT_REPLICAS_MAX];
    uint32_t leaving; /* node; 0: none in particular */
    bool is_pinned;
};

/* On which node there is a replica of the shard; 0: it is not on that one. */
uint64_t place_replica_on(const struct place *p, uint32_t node);

static inline uint32_t replica_node(uint64_t replica)
{
    return (uint32_t)(replica >> 32);
}

static inline uint32_t replica_sequence(uint64_t replica)
{
    return (uint32_t)replica;
}

static inline uint64_t replica_id(uint32_t node, uint32_t sequence)
{
    return (uint64_t)node << 32 | sequence;
}

const char *member_state_name(enum member_state state); /* "up" */
void member_move(struct cluster_member *m, enum member_state to);

void member_record_name(uint32_t id, char ret_name[MEMBER_NAME_BYTES + 1]);
void member_encode(const struct cluster_member *m, struct buf *out);
enum err member_decode(struct slice name, struct slice payload,
                       struct cluster_member *ret_member) MUST_CHECK;

void place_record_name(uint32_t shard, char ret_name[PLACE_NAME_BYTES + 1]);
void place_encode(const struct place *p, struct buf *out);
enum err place_decode(struct slice name, struct slice payload, struct place *ret_place) MUST_CHECK;
/* That of a shard without a record. */
struct place place_of_single_node(uint32_t shard);

void sequence_encode(uint32_t next, struct buf *out);
enum err sequence_decode(struct slice payload, uint32_t *ret_next) MUST_CHECK;

void join_record_name(const uint8_t hash[DIGEST_BYTES], char ret_name[JOIN_NAME_BYTES + 1]);
void join_encode(uint64_t expires_ms, struct buf *out);
enum err join_decode(struct slice name, struct slice payload, uint8_t ret_hash[DIGEST_BYTES],
                     uint64_t *ret_expires_ms) MUST_CHECK;

/* What a node says of itself, as the body of its orders MEMBER_ADD, with the token, and MEMBER_SAY. */
void member_say_encode(const struct cluster_member *m, struct slice token, struct buf *out);

/* "HOST:PORT", "[V6]:PORT" with a port from 1 on. */
bool member_address_is_valid(struct slice text);

#endif
