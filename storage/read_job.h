/* A read job: rows that may be in LMDB, asked for by a worker and fetched by its reader thread.
 *
 *     worker                                   reader thread
 *     read_job_points / _range / _actor
 *     view_read() --ERR_COLD--> submit ------> read_job_run_on_reader(store, job)
 *          ^                                        |
 *          +---------------- done ------------------+
 *     view_read() --ERR_OK--> rows, more, exists ...      (or ERR_COLD again: submit again)
 *
 * LMDB is fetched a page at a time and the rows in memory are laid over each page by view_read, on
 * the worker, when the page comes back (storage/view.h). While the reader has the job the worker
 * does not touch it. A range is not one snapshot: a row that changes between two pages shows as it
 * is when its page is merged. The job owns all its memory; read_job_done frees it. */
#ifndef STORAGE_READ_JOB_H
#define STORAGE_READ_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/address.h"
#include "base/buf.h"
#include "base/err.h"
#include "storage/keyspace.h"
#include "storage/rowset.h"
#include "storage/store.h"

enum {
    READ_POINTS_MAX = 1024,
    READ_POINTS_QUICK = 8,
    READ_ROWS_MAX = 1000,     /* of one job: a reader thread works in bounded slices */
    READ_BYTES_MAX = 4 << 20, /* a page of the API; one row more may be fetched */
};

enum read_kind { READ_POINTS, READ_RANGE, READ_ACTOR };

struct read_job {
    /* The request. */
    enum read_kind kind;
    struct rowset wanted; /* points: the keys */
    bool reverse; /* range, from `start` (inclusive) to `end` (exclusive), which are below */
    size_t rows_max;
    size_t bytes_max;         /* of keys and payloads; one row always comes */
    struct identity identity; /* actor */

    /* The result, once view_read has answered ERR_OK. */
    struct rowset rows;   /* points: as wanted, absent ones marked; else present ones in order */
    bool more;            /* a limit ended it; the range goes on after the last row */
    bool exists;          /* actor: it is in the directory ... */
    uint64_t number;      /* ... under this number; rows are its own, META first */
    struct buf directory; /* ... with this payload (directory_row_decode) */

    /* Between view_read and the reader. */
    uint64_t epoch;       /* of the state when the job was handed out */
    bool number_known;    /* actor: memory has the directory row, no need to look below */
    bool fetched;         /* the reader has run since */
    enum err err;         /* of its run */
    struct rowset stored; /* what it found: a page of the range */
    bool stored_more;
    uint64_t stored_number; /* actor: whose rows these are, 0: LMDB knows no such actor */
    struct buf stored_directory;

    /* Of these 1.5 KB most bytes are never touched. */
    struct row_key start; /* of the range, or of rows of the actor: what is left of it */
    struct row_key end;
    struct row_key bad_key; /* the row that was ERR_CORRUPT; empty where none was met */
};

/* Each begins a job; `job` may be uninitialised. */
void read_job_points(struct read_job *job);
void read_job_add_point(struct read_job *job, struct slice key); /* at most READ_POINTS_MAX */
/* Rows of one actor number (0 too), that of the start, from start (inclusive) to end (exclusive): row
 * keys, or parts of some from the number on. An end beyond the number ends with it; one below the
 * start makes an empty range. */
void read_job_range(struct read_job *job, const struct row_key *start, const struct row_key *end,
                    bool reverse, size_t rows_max, size_t bytes_max);
void read_job_prefix(struct read_job *job, const struct row_key *prefix, bool reverse,
                     size_t rows_max, size_t bytes_max);
/* The directory row of an identity, then the actor's rows of all kinds within the limits: `more`
 * false means that they are all there. */
void read_job_actor(struct read_job *job, const struct identity *identity, size_t rows_max,
                    size_t bytes_max);
void read_job_done(struct read_job *job);

static inline bool read_job_is_whole(const struct read_job *job)
{
    return !job->more;
}

/* A few rows, found by their keys: the reader need not hand it back alone (storage/job_thread.h). */
static inline bool read_job_is_quick(const struct read_job *job)
{
    return job->kind == READ_POINTS && job->wanted.count <= READ_POINTS_QUICK;
}

/* Narrows a range job to what follows its last row, empties its rows: for the next page. */
void read_job_continue(struct read_job *job);

/* For view.c. */
void read_job_set_number(struct read_job *job, uint64_t number); /* the range is all of its rows */
void read_job_forget_page(struct read_job *job);

/* The only part that touches LMDB. The result is in the job. */
void read_job_run_on_reader(struct store *store, struct read_job *job);

#endif
