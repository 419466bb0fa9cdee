/* A group: one Raft replica of one shard, driven through the library's pure step function.
 *
 *              group_start               an entry of its own term is applied
 *     NEW ------------------> FOLLOWING ------------------------------------> LEADING
 *                               ^   the core becomes leader: a barrier goes first  |
 *                               +--------------------------------------------------+
 *                                          the core is leader no more
 *
 * The core does no I/O, reads no clock and keeps no log. It says what must become durable, what other
 * replicas should hear and what is committed; the group hands these to its `group_hooks` and feeds
 * back, in order, what has become durable and what was heard. One voter is a group like any other.
 *
 * Entries are held in memory until they are applied, and where there are peers after that as well,
 * until group_compact lets them go: whatever the core offers a peer is here.
 *
 * Invariants
 *   - the apply index only grows; each index is applied once, in order, whatever commit index the
 *     core reports (it may move back).
 *   - what is handed to `apply` is durable in the own log.
 *   - LEADING implies that an entry of the current term has been applied.
 *   - no message leaves before the term and the vote that it speaks of are durable.
 *   - messages to one replica leave in the order in which they were made; they may be lost.
 *
 * The hooks must not call back into the group. Only the group*.c files include raft.h.
 *
 * Source: Ongaro and Ousterhout, "In search of an understandable consensus algorithm", 2014. */
#ifndef STORAGE_GROUP_H
#define STORAGE_GROUP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "storage/group_config.h"
#include "storage/group_log.h"

enum {
    GROUP_HEARTBEAT_MS = 100,
    GROUP_ELECTION_MS = 500, /* drawn from one to two times this */

    /* To one replica and not yet acknowledged. An entry that was collected has 256 KB at most, so
     * this many are 8 MB; of larger ones fewer go into a message. */
    GROUP_INFLIGHT_ENTRIES = 32,
    GROUP_MESSAGE_BYTES = 8 << 20, /* of entries, unless one alone is larger */

    GROUP_CALM_BEATS = 5, /* heartbeats without any news, before a group rests */

    GROUP_HELD_MAX = 256, /* messages that wait for a term or a vote; more are lost */

    GROUP_PROMOTE_LAG = GROUP_INFLIGHT_ENTRIES, /* entries that a new voter may lack */
};

struct group_snapshot {
    uint64_t index; /* everything up to here is in the store; 0: none */
    uint64_t term;
    uint64_t configuration_index;
    struct slice configuration; /* group_config.h */
};

/* What the owner of the group does for it. Each `log_` hook puts a record into the log and returns
 * its sequence number; group_on_durable says up to which number records are durable. */
struct group_hooks {
    uint64_t (*log_term_vote)(void *ctx, uint64_t term, uint64_t vote);
    uint64_t (*log_entry)(void *ctx, const struct group_entry *entry);
    uint64_t (*log_truncate)(void *ctx, uint64_t from_index);
    uint64_t (*log_snapshot)(void *ctx, const struct group_snapshot *snapshot);
    /* All entries are gone and the log goes on after the snapshot. */
    uint64_t (*log_install)(void *ctx, const struct group_snapshot *snapshot);

    void (*apply)(void *ctx, const struct group_entry *entry); /* committed; each index once */
    void (*lead)(void *ctx);                                   /* LEADING from now on */
    void (*depose)(void *ctx); /* LEADING no more: nothing proposed may be answered as failed */

    /* The rest is for groups with peers. The message is borrowed for the call. */
    void (*send)(void *ctx, uint64_t to, struct slice message);
    /* Whether there is room for entries of a leader. False: they are left to be sent again. */
    bool (*accepts)(void *ctx, size_t bytes);
    /* The replica lacks entries that are gone here: it needs a copy of the store, of this index or
     * later. Said again, about every second, until it has one. */
    void (*wants_snapshot)(void *ctx, uint64_t to, uint64_t index);
    /* A replica lacks entries that are gone and in no snapshot yet: compact, as soon as the store has
     * more than the last time. */
    void (*wants_compaction)(void *ctx);
    /* The record of an installed snapshot is durable: the file takes the store's place, then
     * group_installed. */
    void (*install)(void *ctx, const struct group_snapshot *snapshot);
    /* All reads up to this number may be answered from what is applied. */
    void (*reads_proven)(void *ctx, uint64_t read);
    /* Whether the owner will notice when the node of this replica falls silent or begins anew, and rouse
     * the group then. NULL: it notices nothing, and the group never rests. */
    bool (*is_watched)(void *ctx, uint64_t replica);
};

struct group_options {
    uint64_t replica;       /* never used twice in the life of a cluster */
    const uint64_t *voters; /* of a group that has no log anywhere yet, this one among them ... */
    size_t voter_count;     /* ... 0: it joins a group that is there, and starts empty */
    uint64_t random;        /* seed of its time-outs; 0: any */
};

/* What recovery found for a replica. */
struct group_recovered {
    uint64_t term;
    uint64_t vote;
    struct group_snapshot snapshot;
    const struct group_entry *entries; /* contiguous from snapshot.index + 1 */
    size_t entry_count;
    uint64_t committed; /* the owner's state has this index, so it was; 0: nothing is known */
};

struct group;

/* The hooks must outlive the group. */
struct group *group_new(const struct group_options *options, const struct group_hooks *hooks,
                        void *ctx);
void group_free(struct group *g); /* NULL is fine */

/* A replica of which nothing was found begins with the first configuration, or empty. Entries that
 * turn out to be committed are applied from inside this call, `lead` may be called. ERR_CORRUPT where
 * what was recovered cannot be. */
enum err group_start(struct group *g, const struct group_recovered *r, uint64_t now_ms) MUST_CHECK;

/* Appends a command and takes `data` from the caller on success. ERR_NOT_OWNER where this replica
 * does not lead, ERR_OVERLOADED while it hands leadership over; then nothing was logged. */
enum err group_propose(struct group *g, struct buf *data, uint64_t now_ms,
                       uint64_t *ret_index) MUST_CHECK;

/* All log records up to `sequence` are durable. May apply. */
void group_on_durable(struct group *g, uint64_t sequence, uint64_t now_ms);

/* A message from a peer, which has proved that it is the node of `from`. One that is not for this
 * replica is dropped. ERR_CORRUPT, ERR_FORMAT: no replica of ours says that; nothing has changed. */
enum err group_receive(struct group *g, uint64_t from, struct slice message,
                       uint64_t now_ms) MUST_CHECK;

uint64_t group_next_ms(const struct group *g); /* UINT64_MAX: time means nothing to it */
void group_tick(struct group *g, uint64_t now_ms);

/* How much of what could go stays in memory, the newest entries of it. */
struct group_keep {
    size_t bytes;           /* for peers that may come to lack it */
    size_t bytes_for_peers; /* for those of this leader's peers that do */
};

/* The store holds everything up to `index`, of `term`, durably: the log before it may go. */
void group_compact(struct group *g, uint64_t index, uint64_t term, const struct group_keep *keep,
                   uint64_t now_ms);

/* Snapshots: a marker for the core, a file for the store.
 *
 *     leader                                             replica that lacks entries
 *       wants_snapshot
 *       a copy of the store, and group_offer of it  -->  the file, whole and durable, beside its store
 *                                                        group_accept: log_install
 *                                                        durable: install: the file becomes the store
 *                                                        group_installed: it goes on from there
 */

/* The message that goes with a copy of the store of `index`, of `term`. ERR_NOT_OWNER: this replica
 * leads no more. ERR_NOT_FOUND: the copy is older than the last compaction; make another. */
enum err group_offer(struct group *g, uint64_t to, uint64_t index, uint64_t term,
                     struct buf *ret_message) MUST_CHECK;
/* `*ret_taken`: `log_install` was called; else the replica has no need of it, and the file may go.
 * Errors as of group_receive. */
enum err group_accept(struct group *g, uint64_t from, struct slice message, uint64_t now_ms,
                      bool *ret_taken) MUST_CHECK;
void group_installed(struct group *g, uint64_t now_ms);

/* Members, on the leader. One change at a time, each an entry that counts from the moment it is logged:
 *
 *     (none) --> SPARE, STANDBY --> VOTER --> STANDBY, SPARE --> removed
 *                        once it has nearly all of the log
 *
 * ERR_NOT_OWNER: it does not lead, or has not yet applied an entry of its term. ERR_OVERLOADED, and to
 * be asked again: another change or the handing over of leadership is under way, or the replica lacks
 * too much to vote. ERR_CONFLICT: it has that role, it is no standby yet, or it is the leader itself,
 * who hands leadership over first. ERR_NOT_FOUND: no such member. ERR_TOO_LARGE: too many. */
enum err group_assign(struct group *g, uint64_t replica, enum group_role role,
                      uint64_t now_ms) MUST_CHECK;
enum err group_remove(struct group *g, uint64_t replica, uint64_t now_ms) MUST_CHECK;

/* Hands leadership to this voter, 0: to any. Proposals are refused until it has, or an election's time
 * has passed. Errors as above. */
enum err group_transfer(struct group *g, uint64_t replica, uint64_t now_ms) MUST_CHECK;
bool group_is_transferring(const struct group *g);

struct group_peer {
    uint64_t replica;
    enum group_role role;
    uint64_t match; /* as the leader knows: highest index that it has on disk */
};
/* A configuration is in the log and not yet applied here. */
bool group_is_changing(const struct group *g);
/* The members, this one among them, as of the newest configuration in the log. */
size_t group_peers(const struct group *g, struct group_peer ret_peers[GROUP_MEMBERS_MAX]);
/* The same, as of the newest that is committed: should the leader go now, these elect the next. */
size_t group_agreed_peers(const struct group *g, struct group_peer ret_peers[GROUP_MEMBERS_MAX]);

/* Reads. What this replica has applied may be answered as the newest state once a majority of voters has
 * said, after the read came, that it follows this leader still, and all is applied that was committed
 * when it came. No log is written; one voter needs nobody.
 *
 *     group_read: a number, the same for all reads until group_probe sends a probe for them
 *     group_proven has reached it, at once or when `reads_proven` says so: answer
 *     `depose`: it never will
 */
enum err group_read(struct group *g, uint64_t *ret_read) MUST_CHECK; /* ERR_NOT_OWNER */
void group_probe(struct group *g, uint64_t now_ms); /* one is on its way: no effect, it follows */
uint64_t group_proven(const struct group *g);       /* highest number */

/* Rest. A group of which nothing is under way says so once and is quiet from then on: no heartbeats, and
 * time means nothing to it (storage/group_rest.c). Whatever is asked of it or said to it rouses it; so
 * does its owner, where the node of a member falls silent. `heard_ms` is when that was last heard: the
 * follower's time-out runs from then. No effect on one that does not rest. */
bool group_is_resting(const struct group *g);
void group_rouse(struct group *g, uint64_t heard_ms);

bool group_is_leading(const struct group *g);
bool group_is_installing(const struct group *g);
uint64_t group_term(const struct group *g);
uint64_t group_applied(const struct group *g); /* highest applied index */
uint64_t group_last_index(const struct group *g);
uint64_t group_leader(const struct group *g);   /* replica; 0: none is known */
size_t group_kept_bytes(const struct group *g); /* of applied entries in memory */

#endif
