/* What the group*.c files share: group.c steps the core and applies, group_start.c begins,
 * group_send.c and group_receive.c talk to peers, group_install.c replaces the state by a snapshot,
 * group_member.c changes who takes part, group_read.c proves leadership to readers, group_rest.c is for
 * groups of which nothing is under way.
 * Nobody else includes this. */
#ifndef STORAGE_GROUP_OWN_H
#define STORAGE_GROUP_OWN_H

#include <raft.h>

#include "base/list.h"
#include "storage/group.h"
#include "storage/group_guard.h"
#include "storage/group_wire.h"

enum { GROUP_MAGIC = 0x67727001 };

/* A configuration that was applied. */
struct group_era {
    struct list link; /* group.eras, by index */
    uint64_t index;
    struct buf configuration;
};

/* A message that waits for the term or the vote it speaks of. */
struct group_held {
    struct list link;
    uint64_t to;
    uint64_t sequence; /* of the log record that must be durable */
    struct buf message;
};

enum group_install {
    GROUP_INSTALL_NONE,
    GROUP_INSTALL_LOGGED, /* its record is on its way to the disk */
    GROUP_INSTALL_PLACED, /* the owner puts the file in the store's place */
};

/* Reads that ask for proof of leadership, by number: proven <= asked <= last, asked <= proven + 1. */
struct group_reads {
    uint64_t last;   /* given out */
    uint64_t asked;  /* of the last probe */
    uint64_t proven; /* may be answered */
    uint64_t commit; /* that must be applied for `asked` */
    uint64_t sent_ms;
    size_t answer_count;
    uint64_t answers[GROUP_MEMBERS_MAX]; /* replicas that have said so */
};

struct group_rest {
    bool is_resting;
    unsigned calm_beats; /* of the leader, since there was news */
    uint64_t round;      /* the last that members were asked in */
    bool is_asking;      /* ... and nothing else was sent since */
    size_t answer_count;
    uint64_t answers[GROUP_MEMBERS_MAX]; /* replicas that rest, in this round */
};

struct group {
    uint32_t magic;
    struct raft core;
    const struct group_hooks *hooks;
    void *ctx;
    struct group_config first; /* of a group that begins; no members: it joins */
    uint64_t next_ms;
    uint64_t ticked_ms; /* of the last time-out */

    struct group_log log;
    uint64_t applied;
    uint64_t persisted; /* highest index reported to the core as durable */
    uint64_t durable;   /* sequence of log records */
    uint64_t compacted; /* index of the last snapshot in the log */
    struct list eras;   /* the last one at or before `compacted`, and all after it */

    bool core_leads;
    bool leading;
    bool has_own_entry; /* the core leads and an entry of its term is in the log */

    /* While the core steps */
    struct buf *proposal;                /* data of the command that is appended */
    const struct group_entry *heard;     /* entries of the message that is received ... */
    const struct raft_entry *heard_raft; /* ... and the same, as the core has them */
    bool heard_is_old;                   /* that message is of an older term */
    bool heard_was_taken;                /* some of these entries are in the log now */

    /* The core hands leadership over, to one that lacks some of the log up to here; 0: it does not. */
    uint64_t owed_index;
    uint64_t owed_term;

    struct list held;
    size_t held_count;
    uint64_t term_sequence; /* of the last term and vote */
    struct buf scratch;

    struct group_reads reads;
    struct group_rest rest;

    enum group_install install;
    uint64_t install_sequence;
    struct group_snapshot installing; /* its configuration lives in the next field */
    struct buf installing_configuration;
};

/* Stepping: group.c. Errors are the core's codes. */
int group_step(struct group *g, struct raft_event *event);
uint64_t group_next_timeout(struct group *g);
/* After one or more steps: applies what is committed, sees to the barrier of a new leader. */
void group_settle(struct group *g);
int group_submit(struct group *g, enum group_entry_type type, struct slice data);
void group_apply(struct group *g, const struct group_entry *entry);
void group_tell_core_of_configuration(struct group *g, const struct group_entry *entry);
void group_note_era(struct group *g, uint64_t index, struct slice configuration);
void group_drop_eras(struct group *g, uint64_t index); /* before the one that holds at `index` */
struct group_era *group_era_at(const struct group *g, uint64_t index); /* NULL: none is known */
bool group_is_alone(const struct group *g); /* no other replica has its log */
void group_configuration_for_core(struct slice bytes, struct raft_configuration *ret);
/* Of entries the core needs data only where they are configurations. The array and the batch that all
 * of it points to are raft_malloc's. */
struct raft_entry *group_entries_for_core(const struct group_entry *entries, size_t count);

/* Peers: group_send.c */
void group_send_messages(struct group *g, const struct raft_update *update);
void group_send(struct group *g, uint64_t to, struct slice message);
void group_send_owed(struct group *g); /* leadership, once who takes it has the whole log */
void group_release_held(struct group *g);
void group_free_held(struct group *g);

/* Peers: group_receive.c. ERR_CORRUPT: it contradicts what is committed here. */
enum err group_hear(struct group *g, const struct group_message *m, struct raft_message *for_core,
                    uint64_t now_ms) MUST_CHECK;
/* Of a term that this replica leads: the core would take what it says, into memory of another shape. */
bool group_is_second_leader(const struct group *g, const struct group_message *m);

/* Reads: group_read.c */
void group_hear_probe(struct group *g, const struct group_message *m);
void group_hear_proven(struct group *g, const struct group_message *m);
void group_prove_reads(struct group *g); /* where enough have answered and enough is applied */
void group_probe_again(struct group *g, uint64_t now_ms);
void group_drop_reads(struct group *g);
bool group_has_reads(const struct group *g); /* that wait for a proof */

/* Rest: group_rest.c */
void group_ask_for_rest(struct group *g); /* after each heartbeat of a leader */
void group_hear_rest(struct group *g, const struct group_message *m);
void group_hear_resting(struct group *g, const struct group_message *m);
void group_rouse_for(struct group *g, const struct group_message *m, uint64_t now_ms);

#endif
