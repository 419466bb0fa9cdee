/* The board: what the nodes of the cluster last said of the shards that they lead. One a node, shared by
 * its workers. All of it is hints, and grows old: whoever follows a wrong one is told so by the node that
 * it asks; nothing is decided by it that Raft does not decide again. */
#ifndef NODE_BOARD_H
#define NODE_BOARD_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "node/member.h"
#include "node/placement.h"
#include "rpc/peer_frame.h"
#include "storage/group_config.h"

enum {
    BOARD_FRESH_MS = 3000, /* what is older was said by a node that may be gone */
    BOARD_NODES_MAX = 64,
};

struct board_replica {
    uint64_t replica;
    enum group_role role;
    uint64_t lag; /* entries behind the leader */
};

/* What the leader of a shard says of it. */
struct board_shard {
    uint32_t shard; /* SHARD_META too */
    uint64_t term;
    bool is_settled; /* its configuration is its place, and all replicas have caught up */
    uint32_t replica_count;
    struct board_replica replicas[PLACEMENT_REPLICAS_MAX];
};

struct board_line {
    uint32_t leader; /* 0: nobody has said so yet */
    uint64_t heard_ms;
    struct board_shard said;
};

/* Signs of life of a node's workers, ten times a second each. */
struct board_pulse {
    uint64_t life; /* of its process */
    uint16_t workers;
    uint64_t heard_ms[PEER_WORKERS_MAX]; /* by worker; 0: not in this life */
};

struct board_node {
    uint32_t node;
    uint64_t heard_ms;
    bool is_leaving;                 /* it stops, as it says */
    char peer[MEMBER_ADDRESS_BYTES]; /* where it can be dialled, as it says */
};

struct board {
    pthread_mutex_t mutex;
    /* under mutex */
    uint32_t shard_count;
    struct board_line *lines; /* by shard; that of SHARD_META last */
    struct board_node nodes[BOARD_NODES_MAX];
    struct board_pulse pulses[BOARD_NODES_MAX]; /* of `nodes`, each */
    size_t node_count;
    uint64_t nodes_number; /* rises when a node comes, or moves */
};

void board_init(struct board *b, uint32_t shard_count);
void board_done(struct board *b);

/* The node lives. More nodes than there is room for are not noted. */
void board_hear(struct board *b, uint32_t node, const char *peer, bool is_leaving, uint64_t now_ms);
/* One of its workers lives; of a node that was never heard nothing is noted. */
void board_hear_pulse(struct board *b, uint32_t node, uint64_t life, uint16_t worker,
                      uint16_t workers, uint64_t now_ms);
/* When each of its workers had been heard last, in this life; false: one has not been. */
bool board_pulse(struct board *b, uint32_t node, uint64_t *ret_life, uint64_t *ret_heard_ms);
/* It leads the shard. What an earlier term said is dropped. */
void board_note(struct board *b, uint32_t node, const struct board_shard *said, uint64_t now_ms);

/* False: nobody has said lately that he leads it. */
bool board_find(struct board *b, uint32_t shard, uint64_t now_ms, struct board_line *ret_line);
bool board_is_alive(struct board *b, uint32_t node, uint64_t now_ms);
bool board_is_staying(struct board *b, uint32_t node, uint64_t now_ms); /* alive, and not leaving */
uint64_t
board_nodes_number(struct board *b); /* another one: there are others to dial, or elsewhere */
/* Fills in how many shards of actors each of them leads. The meta group has next to nothing to do: a node
 * that leads it alone would have no share in the work. */
void board_count_leads(struct board *b, uint64_t now_ms, struct placement_leads *nodes,
                       size_t count);
/* Every node that was ever heard; at most `max`. */
size_t board_nodes(struct board *b, struct board_node *ret_nodes, size_t max);

#endif
