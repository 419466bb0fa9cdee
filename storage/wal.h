/* The write-ahead log of a worker, shared by all its Raft groups.
 *
 *     worker                                                 flusher thread
 *       wal_entry, wal_term_vote, ...  -> open batch
 *       wal_kick    once per loop turn: the first batch  ->  one frame, one durable write
 *       wal_poll    after `notify`     <-  everything up to this record is durable
 *
 * Every append copies and returns the record's number; it is durable when wal_poll has returned that
 * number or a higher one. Records become durable in the order of their numbers. What is appended
 * between two kicks usually shares a frame, but only a single record is sure to be whole or absent.
 *
 * The log is a run of segments (wal_space.h), each beginning with the table of all groups
 * (wal_table.h); wal_format.h has the bytes, wal_recover.h the rules by which a start reads them.
 *
 * Space. Callers ask wal_reserve before they propose or accept entries. It refuses while there is a
 * slot left in reserve, so that terms, votes, removals and the snapshots that free space can always be
 * logged; those need no asking. wal_pinned says which groups keep the oldest segment: the owner forces
 * their checkpoints, or copies a short tail forward (wal_copy). A log that is larger than the budget
 * of this start gives files back as segments become free.
 *
 * Failure. A write or sync that fails ends the process (wal_flusher.h). A full disk does not: it shows
 * in wal_reserve, until a segment is free again or space is back; what was appended waits for that.
 *
 * The directory belongs to one process at a time; its owner holds a lock above it. All functions but
 * open and close are for the worker and never block. */
#ifndef STORAGE_WAL_H
#define STORAGE_WAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/slice.h"
#include "storage/disk.h"
#include "storage/wal_flusher.h"
#include "storage/wal_recover.h"

#define WAL_SEGMENT_BYTES_DEFAULT (UINT64_C(64) << 20)
#define WAL_BUDGET_BYTES_DEFAULT  (UINT64_C(512) << 20)

enum {
    WAL_SEGMENTS_MIN = 4,                  /* in the budget: old, current, two free */
    WAL_FLUSH_BYTES_MAX = 4 * 1024 * 1024, /* unless one record alone is larger */
    WAL_QUEUE_BYTES_MAX =
        64 * 1024 * 1024,           /* appended and not yet written: above it reserve refuses */
    WAL_CONTROL_BYTES = 256 * 1024, /* left free in each segment for terms and snapshots */
};

struct wal_options {
    const char *dir; /* made where it is missing; its parent is there */
    uint32_t worker;
    uint64_t segment_bytes;  /* whole blocks; 0: the default */
    uint64_t budget_bytes;   /* of all segments; 0: the default */
    const struct disk *disk; /* NULL: the plain one */
    bool buffered;           /* do not try O_DIRECT */
    bool unthreaded;         /* no flusher thread: wal_work does its work */
    wal_notify_fn *notify;   /* something is there for wal_poll; on the flusher thread */
    wal_fatal_fn *fatal;     /* NULL: one line on standard error, exit code 74 */
    void *ctx;
};

struct wal;

/* `*ret_recovery` is set on success and on refusal; its owner frees it (wal_recovery_free) and reads
 * `damage` and `cut` in it. ERR_CORRUPT, ERR_FORMAT, ERR_IO, ERR_NO_MEMORY, ERR_STORAGE_FULL (only
 * where the first segment of all cannot be made). Blocks: for the start of the program. */
enum err wal_open(const struct wal_options *options, struct wal **ret_wal,
                  struct wal_recovery **ret_recovery) MUST_CHECK;

/* Writes what is queued, marks the end, stops the flusher. Blocks: for the stop of the program. */
void wal_close(struct wal *w);
/* Without writing anything more: what a crash leaves. */
void wal_abandon(struct wal *w);

bool wal_is_direct(const struct wal *w); /* false: buffered writes; worth a line in the log */

/* A replica begins with term 0, no vote, no snapshot and an empty log. The group must not be there. */
uint64_t wal_create_replica(struct wal *w, uint32_t group, uint64_t replica);
uint64_t wal_remove_replica(struct wal *w, uint32_t group); /* forgets all of it */
bool wal_has_replica(const struct wal *w, uint32_t group);

/* The group must be there for these. */
uint64_t wal_term_vote(struct wal *w, uint32_t group, uint64_t term, uint64_t vote);
/* The data is the parts one after the other, at most wal_data_bytes_max. */
uint64_t wal_entry(struct wal *w, uint32_t group, uint64_t index, uint64_t term, uint8_t type,
                   const struct slice *parts, size_t part_count);
uint64_t wal_truncate(struct wal *w, uint32_t group, uint64_t from_index);
/* Everything up to `index` is in the store, durably. Later entries stay. */
uint64_t wal_snapshot(struct wal *w, uint32_t group, const struct wal_snapshot *snapshot);
/* The same for a snapshot that was received: all entries of the group are gone. */
uint64_t wal_install(struct wal *w, uint32_t group, const struct wal_snapshot *snapshot);

/* The same entry again. Once a group has copied its entries from snapshot.index + 1 on in order, up
 * to the last it has in an old segment, it no longer pins that segment. Asks wal_reserve first. */
uint64_t wal_copy(struct wal *w, uint32_t group, uint64_t index, uint64_t term, uint8_t type,
                  const struct slice *parts, size_t part_count);

void wal_kick(struct wal *w);     /* hands the first batch to the flusher unless it has one */
uint64_t wal_poll(struct wal *w); /* number of the last durable record; then kick again */

/* Once the log has been idle for a moment: an empty frame, which makes damage to the last real one
 * provable. Does nothing where there is one already or a flush is under way. */
void wal_seal(struct wal *w);

/* Whether entries of `bytes` in all may be appended now. ERR_OVERLOADED: the queue is full or a
 * segment is being made, soon better. ERR_STORAGE_FULL: the disk or the budget is. */
enum err wal_reserve(struct wal *w, size_t bytes) MUST_CHECK;
size_t wal_data_bytes_max(const struct wal *w); /* of one entry */

/* A group that keeps the oldest segment from being used again. */
struct wal_holder {
    uint32_t group;
    uint64_t oldest_segment;
    uint64_t max_index; /* a snapshot of this index or later lets go of it */
    uint64_t bytes;     /* of its entries there */
    uint64_t bytes_all; /* in all segments */
};

/* Up to `cap` of them; returns how many were written. None while only the current segment is kept. */
size_t wal_pinned(const struct wal *w, struct wal_holder *ret_holders, size_t cap);

struct wal_stats {
    uint64_t flushes;
    uint64_t bytes_written; /* whole blocks, as the disk sees them */
    uint64_t bytes_logged;  /* payload */
    uint64_t records;
    uint64_t last_flush_ns;  /* from kick to durable, of flush number `flushes` */
    uint64_t retained_bytes; /* segments that are needed, the current one counted as used */
    uint64_t total_bytes;    /* files */
    uint64_t budget_bytes;
    uint32_t segments; /* that are needed */
    uint64_t begun;    /* segments, since the start: in new slots or in those of older ones */
    uint32_t free_slots;
    uint64_t queued_bytes;
    bool is_full; /* the disk had no room for a segment or a frame */
};
struct wal_stats wal_stats(const struct wal *w);

/* unthreaded: one piece of the flusher's work. False: there is none, or no space for a segment. */
bool wal_work(struct wal *w);

/* What `dormoused --check` prints: verifies a stopped WAL and changes nothing. */
typedef void wal_report_fn(void *ctx, const char *line);
enum err wal_check(const char *dir, wal_report_fn *report, void *ctx) MUST_CHECK;

#endif
