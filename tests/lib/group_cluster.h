/* Replicas of one group, in memory and in the hands of a test: nothing becomes durable, no message
 * arrives and no time passes unless it says so.
 *
 * The log of a node is an array of records; record n has the sequence number n + 1. A crash keeps a
 * first part of them. The "store" of a node is what it has applied. */
#ifndef TESTS_LIB_GROUP_CLUSTER_H
#define TESTS_LIB_GROUP_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/list.h"
#include "storage/group.h"
#include "storage/group_wire.h"

enum { CLUSTER_NODES_MAX = 6, CLUSTER_RECORDS_MAX = 4096, CLUSTER_ENTRIES_MAX = 2048 };

enum cluster_record_kind {
    CLUSTER_TERM,
    CLUSTER_ENTRY,
    CLUSTER_TRUNCATE,
    CLUSTER_SNAPSHOT,
    CLUSTER_INSTALL,
};

struct cluster_record {
    enum cluster_record_kind kind;
    uint64_t index;
    uint64_t term;
    uint64_t other; /* the vote; the index of the configuration */
    enum group_entry_type type;
    struct buf data; /* of an entry; the configuration */
};

struct cluster_applied {
    uint64_t term;
    enum group_entry_type type;
    struct buf data;
};

struct cluster_node {
    struct group_cluster *cluster;
    struct group *group; /* NULL: down */
    uint64_t replica;
    bool is_joiner;
    bool is_cut_off; /* no message leaves or arrives */
    bool is_mute;    /* none leaves */

    struct cluster_record records[CLUSTER_RECORDS_MAX];
    size_t record_count;
    uint64_t durable; /* sequence */

    struct cluster_applied store[CLUSTER_ENTRIES_MAX]; /* by index */
    uint64_t applied;
    uint64_t stored; /* index up to which a restart finds the store */

    int lead_count;
    int depose_count;
    bool refuses_entries;
    bool watches_others;         /* it would notice that they fall silent: its group may rest */
    uint64_t snapshot_wanted_by; /* replica; 0: none */
    uint64_t snapshot_wanted_index;
    int compactions_wanted;
    bool must_install;
    uint64_t proven; /* read, as it was told */
};

struct cluster_message {
    struct list link;
    uint64_t from;
    uint64_t to;
    struct buf bytes;
};

struct group_cluster {
    size_t node_count;
    struct cluster_node *nodes[CLUSTER_NODES_MAX]; /* of replica CLUSTER_REPLICA(i) */
    size_t voter_count;
    struct list messages; /* on their way, in order */
    uint64_t now_ms;
};

#define CLUSTER_REPLICA(i) (((uint64_t)(i) + 1) << 32 | 1)

/* The first `voter_count` nodes are its first members, and are up. */
struct group_cluster *cluster_new(size_t voter_count);
void cluster_free(struct group_cluster *c);
struct cluster_node *cluster_join(struct group_cluster *c); /* a node that starts empty */

void cluster_start_node(struct cluster_node *n);                /* from what its log holds */
void cluster_stop_node(struct cluster_node *n, size_t records); /* keeps the first ones */

/* Messages. False: there is none. */
struct group_message cluster_peek(const struct cluster_message *m);
struct cluster_message *cluster_find(struct group_cluster *c, uint64_t from, uint64_t to,
                                     enum group_message_type type); /* NULL: none */
bool cluster_deliver(struct group_cluster *c);                      /* the first of all */
void cluster_deliver_one(struct group_cluster *c, struct cluster_message *m);
void cluster_drop(struct cluster_message *m);
void cluster_drop_all(struct group_cluster *c);
/* Makes a message up and delivers it. */
enum err cluster_say(struct group_cluster *c, const struct group_message *m,
                     const struct group_entry *entries);

void cluster_make_durable(struct cluster_node *n, uint64_t sequence);
void cluster_flush(struct cluster_node *n); /* all of it */

/* Delivers and flushes until nothing is left to do. */
void cluster_settle(struct group_cluster *c);
void cluster_run(struct group_cluster *c, uint64_t ms); /* settles at each step of time */
void cluster_tick(struct group_cluster *c, struct cluster_node *n); /* to its next time-out */

struct cluster_node *cluster_leader(struct group_cluster *c); /* of the highest term, or NULL */
struct cluster_node *cluster_elect(struct group_cluster *c);  /* waits for one */
void cluster_cut_off(struct group_cluster *c, struct cluster_node *n, bool is_cut_off);

uint64_t cluster_propose(struct cluster_node *n, const char *text);
void cluster_expect(struct cluster_node *n, uint64_t index, const char *text);
void cluster_compact(struct cluster_node *n, uint64_t index, size_t keep_bytes);
void cluster_compact_keeping(struct cluster_node *n, uint64_t index, const struct group_keep *keep);
void cluster_copy_store(struct cluster_node *to, const struct cluster_node *from);

#endif
