/* A world: a whole cluster in one process, on virtual time. Nothing in it reads a clock, a file or a
 * socket; all that happens follows from the seed.
 *
 *     clients --> couriers (node/courier) --network--> owners: turns, batches, gates
 *                                                          |
 *     network: loss, delay, order, cuts  <--messages--  groups (storage/group)
 *                                                          |
 *     disks: flushes, crashes, torn tails  <--records--  log of a node, shared by its groups
 *
 * Real are the groups with the consensus under them, what they say to each other, couriers, membership
 * and log clocks. The model's own are what stands between: a log that is an array of records, rows that
 * are an array of cells, turns that read and write one of them (tests/sim/owner.c).
 *
 *     0 ............ faults .............. HEAL_MS ... quiet ... all is well: checked
 *
 * After the faults everything planned for later is called off: cuts end, nodes start, disks are fast.
 *
 * Each file of the simulator has a part of this header, in this order: world.c, network.c, machine.c,
 * replica.c, snapshot.c, members.c, owner.c, client.c, judge.c, nemesis.c. */
#ifndef TESTS_SIM_WORLD_H
#define TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/heap.h"
#include "base/list.h"
#include "node/courier.h"
#include "node/member.h"
#include "storage/group.h"
#include "storage/log_clock.h"
#include "storage/pulse.h"

enum {
    WORLD_NODES_MAX = 5,
    WORLD_GROUPS_MAX = 3,
    WORLD_KEYS = 3, /* of each group */
    WORLD_CLIENTS_MAX = 6,
    WORLD_OPS_MAX = 2048,
    WORLD_DEEDS = 15, /* kinds of them, of the nemesis */
    WORLD_START_MS = 1000,
    WORLD_QUIET_MS = 30 * 1000, /* by then all must be well again */
};

enum fault {
#define X(name, text) FAULT_##name,
#include "tests/sim/fault.def"
#undef X
    FAULT_COUNT
};

/* Defects that are put in: a campaign that passes with one tests nothing. */
enum plant {
#define X(name, guards, from) PLANT_##name,
#include "tests/sim/plant.def"
#undef X
    PLANT_COUNT
};

struct world;
struct machine;
struct replica;

/* Time: world.c */

struct event {
    struct heap_node at;
    void (*happen)(struct world *w, struct event *e);
};

uint64_t world_draw(struct world *w, uint64_t below);
bool world_chance(struct world *w, unsigned percent);
uint64_t world_between(struct world *w, uint64_t low, uint64_t high);    /* both included */
void world_plan(struct world *w, struct event *e, uint64_t at_ms);       /* moves it, too */
void world_plan_after(struct world *w, struct event *e, uint64_t in_ms); /* from now */
void world_call_off(struct world *w, struct event *e);
void world_hit(struct world *w, enum fault f);
/* The first one is kept, and ends the run. */
void world_fail(struct world *w, const char *format, ...) PRINTF_LIKE(2, 3);

/* The network: network.c */

enum packet_kind { PACKET_GROUP, PACKET_SNAPSHOT, PACKET_REQUEST, PACKET_REPLY, PACKET_PULSE };

struct packet {
    struct event arrival;
    struct list link; /* world.packets */
    enum packet_kind kind;
    uint32_t from; /* machines */
    uint32_t to;
    uint32_t from_life; /* a connection ends with the process at either end */
    uint32_t to_life;
    uint32_t g;
    uint64_t from_replica;
    struct state *copy; /* SNAPSHOT */
    uint64_t id;        /* REQUEST, REPLY */
    uint32_t op;
    uint32_t timeout_ms;
    struct buf bytes;
};

struct link_state {
    bool is_cut;
    uint64_t slow_ms;  /* added to the delay of each message */
    uint64_t last_at;  /* key of the last arrival: order is kept where it is to be kept */
    struct event end;  /* of cut and slowness */
    struct event lost; /* its connection breaks */
    uint32_t from;
    uint32_t to;
};

void network_init(struct world *w);
void network_done(struct world *w);
void network_heal(struct world *w);
/* Takes the packet, whose `from`, `to` and contents are set. */
void network_send(struct world *w, struct packet *p);
void network_lose_connection(struct world *w, struct link_state *l);
struct link_state *network_link(struct world *w, uint32_t from, uint32_t to);

/* Nodes: machine.c */

enum record_kind {
    RECORD_CREATE,
    RECORD_REMOVE,
    RECORD_TERM,
    RECORD_ENTRY,
    RECORD_TRUNCATE,
    RECORD_SNAPSHOT,
    RECORD_INSTALL,
};

struct record {
    enum record_kind kind;
    uint32_t g;
    uint64_t replica;
    uint64_t index;
    uint64_t term;
    uint64_t other; /* the vote; the index of the configuration */
    uint64_t generation;
    enum group_entry_type type;
    struct buf data; /* of an entry; the configuration */
};

/* What a node has of a group, on its disk and in memory. */
struct slot {
    struct state *stored; /* the store's file, NULL: none */
    uint64_t generation;
    struct state *staged;    /* the file of a snapshot, of the next generation */
    uint64_t evicted;        /* record that it has left; 0: none */
    struct replica *replica; /* NULL: the node is down, or has none */
};

struct machine {
    struct world *world;
    uint32_t id; /* from 1 on */
    bool is_up;
    uint32_t life; /* how often it has started */
    uint64_t paused_until_ms;
    int64_t skew_ms; /* of its wall clock */
    uint64_t slow_disk_until_ms;
    struct event start;                                     /* after a crash */
    enum doom { DOOM_NONE, DOOM_FLUSH, DOOM_INSTALL } doom; /* it crashes in the middle of this */
    struct event end;

    struct record *records; /* record i has the sequence number i + 1 */
    size_t record_count;
    size_t record_cap;
    uint64_t flushing; /* up to this record; 0: no flush is under way */
    uint64_t durable;  /* as the groups were told */
    uint64_t safe;     /* what a crash leaves */
    struct event flush;

    struct slot slots[WORLD_GROUPS_MAX];
    struct event look;    /* at members, again and again */
    struct pulses pulses; /* of other nodes */
    struct event pulse;   /* its own, and a look at those */
    uint32_t beats;
    struct courier courier;
    struct event courier_due;
    bool is_dirty; /* a turn has run since its groups were last flushed */
};

struct machine *machine_new(struct world *w, uint32_t id);
void machine_free(struct machine *m);
void machine_start(struct machine *m);
void machine_crash(struct machine *m);
void machine_meet(struct machine *m, enum doom doom, uint64_t most_ms); /* it does this now */
/* Does what a loop does before it sleeps. */
void machine_end_turn(struct machine *m);
/* Down: nothing happens on it; paused: the event comes again later. True: it is neither. */
bool machine_is_awake(struct machine *m, struct event *e);
uint64_t machine_log(struct machine *m, const struct record *r, struct slice data);
void machine_host(struct machine *m, uint32_t g, uint64_t replica);
void machine_evict(struct machine *m, uint32_t g);
void machine_hear_pulse(struct machine *m, const struct packet *p);
uint64_t machine_wall_ms(const struct machine *m);

/* Replicas: replica.c, snapshot.c */

struct cell {
    uint64_t version; /* 0: never written */
    uint32_t op;
};

/* What a turn writes. */
struct batch {
    uint64_t version;
    uint64_t log_ms;
    uint32_t op;
    uint32_t key;
};

/* Rows of a group, as of one index. */
struct state {
    uint64_t applied;
    uint64_t term; /* of that entry */
    uint64_t version;
    uint64_t log_ms;
    uint64_t digest; /* of all entries up to here */
    struct cell cells[WORLD_KEYS];
    uint32_t done[WORLD_OPS_MAX]; /* version that the operation got; 0: none */
};

struct replica {
    struct world *world;
    struct machine *machine;
    uint32_t g;
    uint64_t id;
    struct group *group;
    struct event tick;
    uint64_t logged; /* its last record */
    struct state state;
    uint32_t leader; /* node, as its courier was told */

    struct state *frozen; /* being written */
    struct event checkpoint;
    uint64_t compacted;
    bool wants_checkpoint;
    struct event place;  /* ... its file takes the place of the store */
    uint64_t offer_to;   /* a copy; 0: to nobody */
    uint64_t offered_ms; /* when one was last sent */

    /* As owner */
    struct list queued;    /* proposals */
    struct list in_flight; /* those of the one entry that is on its way */
    uint64_t in_flight_index;
    uint64_t in_flight_term;
    uint64_t proposed; /* number of the last proposal */
    uint64_t settled;  /* all up to this one are applied */
    struct list turns; /* that wait for a gate */
    uint64_t version;
    struct cell view[WORLD_KEYS]; /* with what is proposed */
    uint64_t view_gate[WORLD_KEYS];
    struct log_clock clock;

    bool was_resting;
    bool is_releasing; /* messages that waited for the disk leave, made long ago */
    uint64_t
        acknowledged_term; /* what replicas have said that they have, to the leader of this term */
    struct acknowledged {
        uint64_t by;
        uint64_t index;
    } acknowledged[WORLD_NODES_MAX]; /* one for each node */
};

struct replica *replica_new(struct machine *m, uint32_t g, uint64_t id);
void replica_free(struct replica *r);
void replica_start(struct replica *r, struct group_recovered *recovered);
void replica_receive(struct replica *r, uint64_t from, struct slice message);
void replica_on_durable(struct replica *r);
void replica_rouse(struct replica *r, uint32_t node, uint64_t heard_ms);
void replica_after(struct replica *r); /* whatever may have changed something */
void replica_apply(struct state *s, const struct group_entry *e);

void snapshot_begin_checkpoint(struct replica *r);
void snapshot_compact(struct replica *r);
void snapshot_offer(struct replica *r);
void snapshot_arrive(struct replica *r, struct packet *p);
void snapshot_place(struct replica *r); /* its record is durable */
void snapshot_init(struct replica *r);
void snapshot_done(struct replica *r);
struct state *snapshot_copy(const struct state *s);

/* Members: members.c */

void members_look(struct machine *m); /* what a node does about them, now and then */
void members_change_place(struct world *w);
void members_demote(struct world *w);
bool members_are_settled(const struct replica *leader);
struct replica *members_leader(struct world *w, uint32_t g); /* of the highest term; NULL */

/* Owners: owner.c */

/* Who asked. */
struct asker {
    struct parcel *parcel; /* on this node; NULL: on another */
    uint32_t node;
    uint32_t life;
    uint64_t id;
};

void owner_init(struct replica *r);
void owner_done(struct replica *r); /* no answers */
void owner_lead(struct replica *r);
void owner_depose(struct replica *r);
void owner_run(struct machine *m, uint32_t op, uint32_t timeout_ms, const struct asker *asker);
void owner_flush(struct replica *r);
void owner_hear_applied(struct replica *r, const struct group_entry *e);
void owner_release(struct replica *r); /* turns whose gates have opened */

/* Clients: client.c */

enum op_kind { OP_READ, OP_WRITE, OP_WRITE_IF };

enum op_state {
    OP_OPEN,
    OP_DONE,     /* with `version` */
    OP_REFUSED,  /* nothing was done, and never will be */
    OP_IN_DOUBT, /* nobody will ever know */
};

struct op {
    enum op_kind kind;
    enum op_state state;
    uint32_t g;
    uint32_t key;
    bool has_key;        /* an Idempotency-Key: it may be sent again */
    bool maybe_applied;  /* an attempt ended that may have done it */
    uint64_t if_version; /* WRITE_IF */
    uint64_t floor;      /* highest version that anybody had been told when it began */
    uint64_t version;
    uint64_t applied_index; /* where it was applied; 0: nowhere yet */
    uint64_t applied_version;
    bool is_answered;       /* an owner has let go of the answer "done" ... */
    uint64_t answered_term; /* ... in this term */
};

struct client {
    struct world *world;
    uint32_t number;
    struct event next;
    struct machine *machine; /* that it talks to */
    bool is_waiting;
    struct parcel parcel;
    uint32_t op;
    unsigned attempts;
    struct event leave;
    uint64_t seen[WORLD_GROUPS_MAX][WORLD_KEYS];
};

void client_init(struct world *w, struct client *c, uint32_t number);
void client_done(struct client *c);
void client_lose(struct client *c); /* its node is gone */
bool client_is_quiet(const struct client *c);
void courier_begin(struct machine *m);
void courier_end(struct machine *m); /* without a word to anybody */
void courier_hear(struct machine *m, struct packet *p);
void courier_plan(struct machine *m);

/* What must hold: judge.c */

struct chosen {
    uint64_t term; /* 0: not yet known */
    uint64_t digest;
};

struct verdict {
    struct chosen *chosen; /* by index */
    size_t chosen_cap;
    uint64_t chosen_last;
    uint64_t *leaders; /* by term: replica */
    size_t leader_cap;
    uint64_t told[WORLD_KEYS]; /* highest version that a client was told */
    uint32_t *ops;             /* by version: the operation that wrote it */
    size_t op_cap;
    struct group_config members; /* as committed */
    uint64_t members_index;
};

void judge_done(struct world *w);
void judge_applied(struct replica *r, const struct group_entry *e); /* after it */
void judge_batch(struct replica *r, const struct batch *b, uint64_t index);
void judge_state(struct world *w, uint32_t g, const struct state *s);
void judge_leader(struct replica *r);
void judge_heard(struct replica *r, struct slice message);
void judge_said(struct replica *r, uint64_t to, struct slice message);
void judge_lead(struct replica *r);
void judge_answer(const struct replica *r, uint32_t op, uint64_t version, uint32_t value_op);
void judge_invoked(struct world *w, uint32_t op);
/* `is_mismatch`: it was told as what the condition did not meet. */
void judge_told(struct world *w, uint32_t op, uint64_t version, bool is_mismatch);
void judge_refused(struct world *w, uint32_t op);
/* All is quiet: everything that was acknowledged is everywhere. */
void judge_end(struct world *w);
bool judge_is_quiet(struct world *w);
void judge_unrest(struct world *w); /* it should be, by now */
void judge_failover(struct world *w, const struct machine *dead);

/* Faults: nemesis.c */

void nemesis_init(struct world *w);
void nemesis_heal(struct world *w);

/* The world: world.c */

struct settings {
    unsigned lost_percent;
    unsigned doubled_percent;
    bool keeps_order;
    uint64_t delay_ms; /* at most, of most messages */
    uint64_t disk_ms;  /* at most, of a flush */
    uint64_t think_ms;
    uint64_t fault_ms;  /* between two faults, at most */
    uint64_t faults_ms; /* how long there are faults */
    uint32_t keys;      /* in use, of each group */
    uint64_t checkpoint_entries;
    size_t keep_bytes;
    bool has_naps; /* of all clients at once */
};

struct world {
    uint64_t seed;
    uint64_t random;
    uint64_t now_ms;
    struct heap events;
    uint64_t event_count;
    enum plant plant;
    char reason[300]; /* empty: all is well so far */
    struct settings settings;
    bool is_healed;
    uint64_t trace; /* of all that happened: equal for equal seeds */

    size_t node_count;
    struct machine *machines[WORLD_NODES_MAX]; /* of id i + 1 */
    size_t group_count;
    size_t first_voters;
    struct place places[WORLD_GROUPS_MAX];
    uint32_t last_sequence;
    struct verdict verdicts[WORLD_GROUPS_MAX];
    struct link_state links[WORLD_NODES_MAX][WORLD_NODES_MAX];
    struct list packets;

    struct op ops[WORLD_OPS_MAX]; /* from 1 on */
    uint32_t op_count;
    size_t client_count;
    uint64_t nap_until_ms; /* of all clients: groups come to rest */
    struct client clients[WORLD_CLIENTS_MAX];
    struct event nemesis;
    unsigned taste[WORLD_DEEDS]; /* its */
    uint64_t *hits;              /* by fault, of the campaign */
};

struct run_result {
    char reason[300]; /* empty: nothing wrong */
    uint64_t events;
    uint64_t ops;
    uint64_t done;
    uint64_t trace;
};

void world_run(uint64_t seed, enum plant plant, uint64_t hits[FAULT_COUNT],
               struct run_result *ret_result);

static inline struct machine *world_machine(struct world *w, uint32_t id)
{
    return w->machines[id - 1];
}

#endif
