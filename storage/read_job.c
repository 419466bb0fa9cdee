#include "storage/read_job.h"

#include <stddef.h>

#include "base/invariant.h"
#include "storage/rows.h"

static void begin(struct read_job *job, enum read_kind kind, size_t rows_max, size_t bytes_max)
{
    PRE(rows_max >= 1 && rows_max <= READ_ROWS_MAX && bytes_max <= READ_BYTES_MAX);
    memset(job, 0, offsetof(struct read_job, start));
    job->start.len = 0;
    job->end.len = 0;
    job->bad_key.len = 0;
    job->kind = kind;
    job->rows_max = rows_max;
    job->bytes_max = bytes_max;
}

void read_job_points(struct read_job *job)
{
    begin(job, READ_POINTS, READ_ROWS_MAX, READ_BYTES_MAX);
}

void read_job_add_point(struct read_job *job, struct slice key)
{
    PRE(job->kind == READ_POINTS && job->wanted.count < READ_POINTS_MAX);
    PRE(key.len >= ROW_KEY_HEAD_BYTES && key.len <= ROW_KEY_BYTES_MAX);
    rowset_add_absent(&job->wanted, key);
}

void read_job_range(struct read_job *job, const struct row_key *start, const struct row_key *end,
                    bool reverse, size_t rows_max, size_t bytes_max)
{
    begin(job, READ_RANGE, rows_max, bytes_max);
    read_job_set_number(job, row_key_number_of(row_key_slice(start)));
    job->number = 0; /* that of actor jobs */
    if (slice_compare(row_key_slice(end), row_key_slice(&job->end)) < 0) {
        job->end = *end;
    }
    job->start = *start;
    job->reverse = reverse;
    if (slice_compare(row_key_slice(&job->start), row_key_slice(&job->end)) > 0) {
        job->end = job->start;
    }
}

void read_job_prefix(struct read_job *job, const struct row_key *prefix, bool reverse,
                     size_t rows_max, size_t bytes_max)
{
    struct row_key end = *prefix;
    row_key_after_prefix(&end);
    read_job_range(job, prefix, &end, reverse, rows_max, bytes_max);
}

void read_job_actor(struct read_job *job, const struct identity *identity, size_t rows_max,
                    size_t bytes_max)
{
    begin(job, READ_ACTOR, rows_max, bytes_max);
    job->identity = *identity;
}

void read_job_set_number(struct read_job *job, uint64_t number)
{
    job->number = number;
    row_key_number(&job->start, number);
    job->end = job->start;
    row_key_after_prefix(&job->end);
}

void read_job_forget_page(struct read_job *job)
{
    job->fetched = false;
    job->err = ERR_OK;
    rowset_clear(&job->stored);
    job->stored_more = false;
    job->stored_number = 0;
    buf_clear(&job->stored_directory);
}

void read_job_done(struct read_job *job)
{
    rowset_done(&job->wanted);
    rowset_done(&job->rows);
    rowset_done(&job->stored);
    buf_done(&job->directory);
    buf_done(&job->stored_directory);
}

void read_job_continue(struct read_job *job)
{
    PRE(job->kind != READ_POINTS && job->more && job->rows.count > 0);
    struct slice last = rowset_key(&job->rows, job->rows.count - 1);
    row_key_set(job->reverse ? &job->end : &job->start, last);
    if (!job->reverse) {
        row_key_after(&job->start);
    }
    job->kind = READ_RANGE; /* of an actor: its rows are a range like any other */
    read_job_forget_page(job);
    rowset_clear(&job->rows);
}

/* On the reader thread */

/* Whether any actor's rows wait to be erased: looked for once after each checkpoint. */
static enum err has_drops(struct store_read *r, bool *ret_has)
{
    uint64_t snapshot = store_read_snapshot(r);
    if (r->drops_snapshot != snapshot || snapshot == 0) {
        struct row_key first;
        row_key_kind(&first, SHARD_NUMBER, ROW_DROPPED);
        struct row_key end = first;
        row_key_after_prefix(&end);
        enum err err = store_has_any(r, row_key_slice(&first), row_key_slice(&end), &r->has_drops);
        if (err != ERR_OK) {
            return err;
        }
        r->drops_snapshot = snapshot;
    }
    *ret_has = r->has_drops;
    return ERR_OK;
}

/* Rows of a dropped actor stay until checkpoints have erased them all, but nobody sees them. */
static enum err is_dropped(struct store_read *r, uint64_t number, bool *ret_dropped)
{
    struct row_key key;
    *ret_dropped = false;
    if (number == SHARD_NUMBER) {
        return ERR_OK;
    }
    enum err err = has_drops(r, ret_dropped);
    if (err != ERR_OK || !*ret_dropped) {
        return err;
    }
    row_key_dropped(&key, number);
    return store_has(r, row_key_slice(&key), ret_dropped);
}

static enum err fetch_points(struct store_read *r, struct read_job *job)
{
    for (size_t i = 0; i < job->wanted.count; i++) {
        struct slice key = rowset_key(&job->wanted, i);
        bool dropped;
        enum err err = is_dropped(r, row_key_number_of(key), &dropped);
        if (err == ERR_OK && !dropped) {
            err = store_get(r, key, &job->stored);
        } else if (err == ERR_OK) {
            rowset_add_absent(&job->stored, key);
        }
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

static enum err fetch_range(struct store_read *r, struct read_job *job)
{
    /* One row more than is wanted tells whether the range goes on. */
    struct store_range range = {.start = row_key_slice(&job->start),
                                .end = row_key_slice(&job->end),
                                .reverse = job->reverse,
                                .rows_max = job->rows_max - job->rows.count + 1,
                                .bytes_max = job->bytes_max};
    bool dropped;
    enum err err = is_dropped(r, row_key_number_of(row_key_slice(&job->start)), &dropped);
    if (err != ERR_OK || dropped) {
        return err;
    }
    return store_scan(r, &range, &job->stored, &job->stored_more);
}

static enum err fetch_directory(struct store_read *r, struct read_job *job)
{
    struct row_key key;
    struct rowset row = {0};
    struct directory_row decoded;
    row_key_directory(&key, &job->identity);
    enum err err = store_get(r, row_key_slice(&key), &row);
    if (err == ERR_OK && row.rows[0].present) {
        err = directory_row_decode(rowset_payload(&row, 0), &decoded);
        if (err == ERR_OK) {
            job->stored_number = decoded.number;
            buf_append_slice(&job->stored_directory, rowset_payload(&row, 0));
        } else {
            job->bad_key = key;
        }
    }
    rowset_done(&row);
    return err;
}

static enum err fetch_actor(struct store_read *r, struct read_job *job)
{
    if (job->number_known) {
        job->stored_number = job->number;
        return fetch_range(r, job);
    }
    enum err err = fetch_directory(r, job);
    if (err != ERR_OK || job->stored_number == 0) {
        return err;
    }
    if (job->stored_number != job->number) { /* the first page, or the actor was born again */
        read_job_set_number(job, job->stored_number);
        rowset_clear(&job->rows);
    }
    return fetch_range(r, job);
}

static enum err fetch(struct store_read *r, struct read_job *job)
{
    switch (job->kind) {
    case READ_POINTS:
        return fetch_points(r, job);
    case READ_RANGE:
        return fetch_range(r, job);
    case READ_ACTOR:
        return fetch_actor(r, job);
    }
    UNREACHABLE();
}

void read_job_run_on_reader(struct store *store, struct read_job *job)
{
    PRE(!job->fetched);

    struct store_read *r;
    job->err = store_reader(store, &r);
    if (job->err == ERR_OK) {
        job->err = fetch(r, job);
        if (job->err == ERR_CORRUPT && r->bad_key.len > 0) {
            job->bad_key = r->bad_key;
        }
        store_read_reset(r);
    }
    job->fetched = true;
}
