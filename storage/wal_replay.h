/* Replaying a WAL: frames in, the state of each group out. Pure.
 *
 * Rules, for the records of the replica that stands in the table
 *   - an entry replaces the entry of its index; one of another term takes all later ones with it.
 *   - a copy fills the place of an entry whose segment is gone; it never truncates.
 *   - a snapshot drops entries up to its index, an installed one drops all.
 *   - the table at the head of every segment but the first read must say what is known already.
 * At the end the entries of each group follow its snapshot without a gap. What breaks a rule was
 * not written by us: ERR_CORRUPT with a reason.
 *
 * Entries point into the frames given; those must live as long. */
#ifndef STORAGE_WAL_REPLAY_H
#define STORAGE_WAL_REPLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "storage/wal_format.h"
#include "storage/wal_table.h"

struct wal_entry {
    uint64_t index;
    uint64_t term;
    struct slice data;
    uint32_t segment; /* whose frame holds it: as told to wal_replay_frame */
    uint8_t type;     /* the caller's */
};

struct wal_entries { /* ascending indexes */
    struct wal_entry *at;
    size_t count;
    size_t cap;
};

struct wal_log {
    struct map_node node;
    uint32_t group;
    struct wal_entries entries;
    struct wal_entries copies; /* merged into the former at the end */
};

struct wal_replay {
    struct wal_table table;
    struct map logs;
    bool has_begun;
};

void wal_replay_done(struct wal_replay *r);

/* `opens_segment`: it is the first of its segment. ERR_CORRUPT, ERR_NO_MEMORY. */
enum err wal_replay_frame(struct wal_replay *r, struct slice payload, uint32_t segment,
                          bool opens_segment, const char **ret_reason) MUST_CHECK;
enum err wal_replay_finish(struct wal_replay *r, const char **ret_reason) MUST_CHECK;

/* After finish: the entries after the snapshot; `ret_count` 0 where there are none. */
const struct wal_entry *wal_replay_entries(const struct wal_replay *r, uint32_t group,
                                           size_t *ret_count);

#endif
