/* Listings: pages of the list of actors, of all shards of the cluster, from the nodes that lead these. Of
 * worker 0.
 *
 *     listings_begin --> round: each node that leads shards is asked for a page of them --+--> merged: `done`
 *           ^                                                                             |
 *           +--- after a while <--- a shard has no known leader, or not the one that was asked; a node is
 *                                   lost. At the deadline: ERR_UNAVAILABLE, and no list that lacks some
 *
 *     this node     ASK id    -->    scan: its workers' parts (node/listing_part.h), of shards that it
 *                 <-- ANSWER id      leads, with proof
 *
 *     ASK       id u64 | question           ANSWER    id u64 | page, or why there is none
 *                                           (node/listing_page.h)
 *
 * A node is asked by itself as by others. All that a round has got is thrown away where one of its nodes
 * fails it: so a page is of shards that all had leaders at one time or another in it. A node of a version
 * without these messages does not answer, and listings wait for it in vain. */
#ifndef NODE_LISTINGS_H
#define NODE_LISTINGS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/list.h"
#include "node/board.h"
#include "node/listing_page.h"

struct worker;
struct listings;

enum {
    LISTINGS_MAX = 64,     /* under way, of clients of this node */
    LISTING_SCANS_MAX = 4, /* run here at a time, of all nodes: each may read thousands of rows */
    LISTING_QUEUED_MAX = 256, /* scans that wait for that */
    LISTING_RETRY_MS = 50,
    LISTING_STOP_MS = 3000, /* what is under way when the node stops has so long */
};

struct listing_asked {
    uint32_t node;
    bool is_back;
};

struct listing_run {
    struct listing_query query;                      /* but for the shards */
    void (*done)(struct listing_run *r, enum err e); /* once; perhaps from inside listings_begin */
    struct listing_page page;                        /* the outcome; the caller's to free */

    struct listings *listings; /* the rest is the listings' own */
    struct list link;
    uint64_t deadline_ms;
    uint64_t retry_ms; /* where it waits for the next round */
    uint64_t round;    /* 0: it waits */
    bool is_asking;    /* not all have been asked yet */
    enum err err;      /* the first of the round */
    uint32_t left;     /* that are not back */
    struct listing_asked asked[BOARD_NODES_MAX];
    uint32_t asked_count;
};

struct listings {
    struct worker *worker;
    struct list runs;
    size_t run_count;
    struct list scans; /* that wait; those that run are in no list */
    size_t queued_count;
    size_t scan_count; /* that run */
    uint64_t last_round;
    bool is_stopping;
};

void listings_init(struct listings *l, struct worker *w);
void listings_stop(struct listings *l, uint64_t now_ms); /* what waits is unavailable */
bool listings_are_idle(const struct listings *l);
void listings_done(struct listings *l); /* after the engine: no scan runs */

/* ERR_OVERLOADED: too many. ERR_UNAVAILABLE: a shard had no leader that answered in time. */
void listings_begin(struct listings *l, struct listing_run *r, uint32_t timeout_ms);
void listings_tick(struct listings *l, uint64_t now_ms);
uint64_t listings_next_ms(const struct listings *l); /* UINT64_MAX: nothing waits */

/* From the node `from`. ERR_CORRUPT, ERR_FORMAT: it cannot be read. */
enum err listings_take_ask(struct listings *l, uint32_t from, struct slice payload) MUST_CHECK;
enum err listings_take_answer(struct listings *l, uint32_t from, struct slice payload) MUST_CHECK;
void listings_on_lost(struct listings *l, uint32_t node); /* a connection to or from it */

#endif
