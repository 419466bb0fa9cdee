/* The flusher of a WAL: the thread that writes frames, one at a time, and makes slots in between.
 *
 *     worker                              flusher
 *       flusher_submit(job)  ------------>  checksums, one durable write of whole blocks
 *       ...                  <-- notify --  done
 *       flusher_collect()                   a slot is removed, or a step of making one, if that is
 *                                           wanted; else it waits
 *
 * Frames follow each other inside a block: the flusher keeps the last, partly filled block and writes
 * it again with the next frame. What was durable in it is written as the same bytes, so a torn write
 * cannot hurt it.
 *
 * A failed write or sync calls `fatal`, which by default prints one line and ends the process with
 * exit code 74. Nothing is retried: the disk lied once. Where `fatal` returns (tests) the flusher is
 * dead: it reports nothing any more. A full disk is no failure: what found no room, a slot or a frame,
 * is tried again after WAL_RETRY_MS. A frame's room was reserved, but there are file systems that write
 * elsewhere than in place; nothing of it counts before all of it is durable, so it may come again.
 *
 * Without a thread (simulation) flusher_work does the same on the caller's. */
#ifndef STORAGE_WAL_FLUSHER_H
#define STORAGE_WAL_FLUSHER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "storage/disk.h"
#include "storage/wal_format.h"
#include "storage/wal_slot.h"

enum { WAL_RETRY_MS = 1000 };

typedef void wal_notify_fn(void *ctx);
typedef void wal_fatal_fn(void *ctx, const char *path, uint64_t offset, int reason);

/* A frame to write. The memory begins where the block of `position` begins; the payload stands at its
 * place behind room for what is before it in the block and for the header. */
struct flusher_job {
    struct disk_file *file;
    uint8_t *memory; /* aligned to blocks, and whole blocks long */
    uint64_t position;
    struct wal_frame frame; /* all but the CRC */
};

struct flusher_options {
    const struct disk *disk;
    const char *dir;
    uint64_t slot_bytes;
    bool direct;
    bool threaded;
    wal_notify_fn *notify; /* called on the flusher thread */
    wal_fatal_fn *fatal;   /* likewise; NULL: the default */
    void *ctx;
};

/* What has happened since the last collect. */
struct flusher_news {
    bool has_flushed;
    uint64_t flush_ns; /* from submit to durable */
    bool has_slot;
    uint32_t slot;
    bool has_removed; /* what flusher_remove_slot asked for */
    bool is_full;     /* the last try to make a slot found no space */
    bool is_stuck;    /* the job waits for space */
};

struct flusher;

struct flusher *flusher_new(const struct flusher_options *options);
void flusher_free(struct flusher *f); /* finishes the job at hand; NULL is fine */

/* The job's memory and file stay untouched until it is collected. One at a time. */
void flusher_submit(struct flusher *f, const struct flusher_job *job);
struct flusher_news flusher_collect(struct flusher *f);

/* Wants this slot made. One at a time; comes back in the news. */
void flusher_want_slot(struct flusher *f, uint32_t slot);

/* Removes the file of this slot, before any slot is made. One at a time; comes back in the news, also
 * where it failed: the next start finds the file and has it as a free slot. */
void flusher_remove_slot(struct flusher *f, uint32_t slot);

/* Without a thread: one piece of work. False: there is none, or the disk is full for it (each call tries
 * again). */
bool flusher_work(struct flusher *f);

bool flusher_has_job(struct flusher *f);
bool flusher_is_dead(struct flusher *f);
void flusher_fail(struct flusher *f, const char *path,
                  uint64_t offset); /* as a failed write does; errno says why */

/* For the stop: a full disk is a failure from now on. */
void flusher_insist(struct flusher *f);

/* With a thread: waits until the job is done or the flusher is dead. For start and stop alone. */
void flusher_wait(struct flusher *f);

#endif
