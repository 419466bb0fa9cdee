/* The bytes of what the replicas of a group say to each other. Pure.
 *
 *     head            format u8 | type u8 | zero u16 | from u64 | to u64 | term u64
 *     APPEND          index before u64 | its term u64 | commit index u64 | count u32 | entries
 *       entry         term u64 | type u8 | zero (3) | data bytes u32 | data
 *     APPENDED        rejected index u64, 0: none | last index u64
 *     ASK_VOTE        last index u64 | its term u64 | flags u8
 *     VOTE            flags u8
 *     INSTALL         index u64 | its term u64 | index of the configuration u64 | configuration
 *     TIMEOUT_NOW     last index u64 | its term u64
 *     PROBE, PROVEN   probe u64
 *     REST, RESTING   last index u64 | round u64
 *
 * All numbers are big-endian; flags are 1 granted, 2 pre-vote, 4 "disrupt: the leader told me to".
 * A message has no checksum of its own: what carries it has one. Replicas that the message is not for
 * drop it, so that a late one of a former life of a node does nothing.
 *
 * What decodes is sane in itself: bounds hold, terms ascend and are not above the message's, a
 * configuration is one. Whether it fits the receiver's log is for the consensus to say. */
#ifndef STORAGE_GROUP_WIRE_H
#define STORAGE_GROUP_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/slice.h"
#include "storage/group_config.h"
#include "storage/group_log.h"

enum {
    GROUP_WIRE_FORMAT = 1,
    GROUP_WIRE_HEAD_BYTES = 28,
    GROUP_WIRE_ENTRY_BYTES = 16,   /* before its data */
    GROUP_WIRE_ENTRIES_MAX = 1024, /* in one message */
};

#define GROUP_INDEX_MAX (UINT64_C(1) << 62) /* of indexes and terms: sums do not wrap */

enum group_message_type {
    GROUP_APPEND = 1,  /* the leader's entries, or none: a heartbeat */
    GROUP_APPENDED,    /* the answer to that and to INSTALL */
    GROUP_ASK_VOTE,    /* a candidate's */
    GROUP_VOTE,        /* the answer */
    GROUP_INSTALL,     /* a copy of the store is in place: go on from there */
    GROUP_TIMEOUT_NOW, /* the leader wants this one to be elected */
    GROUP_PROBE,       /* do you still follow me? */
    GROUP_PROVEN,      /* yes */
    GROUP_REST,        /* nothing is under way: let us be quiet */
    GROUP_RESTING,     /* I am */
};

struct group_message {
    enum group_message_type type;
    uint64_t from;
    uint64_t to;
    uint64_t term;
    union {
        struct {
            uint64_t previous_index;
            uint64_t previous_term;
            uint64_t commit;
            uint32_t count;
            struct slice entries; /* decoded: group_wire_next takes them one by one */
        } append;
        struct {
            uint64_t rejected;
            uint64_t last_index;
        } appended;
        struct {
            uint64_t last_index;
            uint64_t last_term;
            bool pre_vote;
            bool disrupt;
        } ask_vote;
        struct {
            bool granted;
            bool pre_vote;
        } vote;
        struct {
            uint64_t index;
            uint64_t term;
            uint64_t configuration_index;
            struct slice configuration;
        } install;
        struct {
            uint64_t last_index;
            uint64_t last_term;
        } timeout_now;
        uint64_t probe; /* PROBE, PROVEN */
        struct {
            uint64_t last_index;
            uint64_t round;
        } rest; /* REST, RESTING */
    };
};

/* Appends the message. Of APPEND without its entries: `count` of group_wire_put must follow. */
void group_wire_encode(const struct group_message *m, struct buf *to);
void group_wire_put(const struct group_entry *e, struct buf *to);

/* Slices borrow from `bytes`. ERR_CORRUPT, ERR_FORMAT: of another version. */
enum err group_wire_decode(struct slice bytes, struct group_message *ret_message) MUST_CHECK;

/* Takes the next entry off decoded ones; `index` is the caller's to fill. */
void group_wire_next(struct slice *entries, struct group_entry *ret_entry);

#endif
