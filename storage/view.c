#include "storage/view.h"

#include "base/invariant.h"
#include "storage/rows.h"

enum view_answer view_peek(const struct shard_state *s, struct slice key, struct view_row *ret_row)
{
    const struct overlay_row *row;
    enum overlay_answer answer = overlay_get(s->active, key, &row);
    if (answer == OVERLAY_ABSENT && s->frozen != NULL) {
        answer = overlay_get(s->frozen, key, &row);
    }
    switch (answer) {
    case OVERLAY_FOUND:
        *ret_row = (struct view_row){.payload = overlay_row_payload(row), .version = row->version};
        return VIEW_FOUND;
    case OVERLAY_DELETED:
        return VIEW_DELETED;
    case OVERLAY_ABSENT:
        return row_key_number_of(key) > s->durable.number ? VIEW_DELETED : VIEW_COLD;
    }
    UNREACHABLE();
}

static bool is_dropped(const struct shard_state *s, uint64_t number)
{
    return overlay_is_dropped(s->active, number) ||
           (s->frozen != NULL && overlay_is_dropped(s->frozen, number));
}

bool view_is_warm(const struct shard_state *s, uint64_t number)
{
    return number > s->durable.number || is_dropped(s, number);
}

/* Hands the job out to the reader. */
static enum err ask(const struct shard_state *s, struct read_job *job)
{
    read_job_forget_page(job);
    job->epoch = s->epoch;
    return ERR_COLD;
}

/* Points */

static enum err read_points(const struct shard_state *s, struct read_job *job)
{
    rowset_clear(&job->rows);
    for (size_t i = 0; i < job->wanted.count; i++) {
        struct slice key = rowset_key(&job->wanted, i);
        struct view_row row;
        switch (view_peek(s, key, &row)) {
        case VIEW_FOUND:
            rowset_add(&job->rows, key, row.version, row.payload);
            break;
        case VIEW_DELETED:
            rowset_add_absent(&job->rows, key);
            break;
        case VIEW_COLD:
            if (!job->fetched) {
                return ask(s, job);
            }
            if (job->stored.rows[i].present) {
                rowset_add(&job->rows, key, job->stored.rows[i].version,
                           rowset_payload(&job->stored, i));
            } else {
                rowset_add_absent(&job->rows, key);
            }
            break;
        }
    }
    return ERR_OK;
}

/* Ranges */

/* Walks the levels of one number at once, in the direction of the job. Keys are kind | rest. */
struct merge {
    struct read_job *job;
    const struct overlay_row *memory[2]; /* active, frozen; NULL: at its end */
    size_t stored_at;
};

struct merged_row {
    struct slice key;
    struct slice payload;
    uint64_t version;
    bool deleted;
};

static struct slice below_number(const struct row_key *key)
{
    return slice_skip(row_key_slice(key), ROW_KEY_NUMBER_BYTES);
}

static uint64_t number_of(const struct read_job *job)
{
    return row_key_number_of(row_key_slice(&job->start));
}

/* Otherwise the end is that of all rows of the number. */
static bool ends_in_number(const struct read_job *job)
{
    return slice_has_prefix(row_key_slice(&job->end),
                            slice_of(job->start.bytes, ROW_KEY_NUMBER_BYTES));
}

/* NULL where the row lies outside the range. */
static const struct overlay_row *within(const struct read_job *job, const struct overlay_row *row)
{
    if (row == NULL) {
        return NULL;
    }
    struct slice key = overlay_row_key(row);
    if (job->reverse) {
        return slice_compare(key, below_number(&job->start)) >= 0 ? row : NULL;
    }
    return !ends_in_number(job) || slice_compare(key, below_number(&job->end)) < 0 ? row : NULL;
}

static const struct overlay_row *first_of(struct overlay *o, const struct read_job *job)
{
    uint64_t number = number_of(job);
    if (!job->reverse) {
        return within(job, overlay_seek(o, number, below_number(&job->start)));
    }
    return within(job, ends_in_number(job) ? overlay_seek_below(o, number, below_number(&job->end))
                                           : overlay_last(o, number));
}

static struct slice stored_key(const struct merge *m)
{
    return slice_skip(rowset_key(&m->job->stored, m->stored_at), ROW_KEY_NUMBER_BYTES);
}

/* Positive: a comes after b on the walk. */
static int order(const struct merge *m, struct slice a, struct slice b)
{
    int compared = slice_compare(a, b);
    return m->job->reverse ? -compared : compared;
}

/* The next row, upper levels hiding lower ones; false at the end of all. */
static bool merge_next(struct merge *m, struct merged_row *ret_row)
{
    bool found = false;
    for (int level = 0; level < 2; level++) {
        const struct overlay_row *row = m->memory[level];
        if (row != NULL && (!found || order(m, overlay_row_key(row), ret_row->key) < 0)) {
            *ret_row = (struct merged_row){.key = overlay_row_key(row),
                                           .payload = overlay_row_payload(row),
                                           .version = row->version,
                                           .deleted = row->deleted};
            found = true;
        }
    }
    if (m->stored_at < m->job->stored.count &&
        (!found || order(m, stored_key(m), ret_row->key) < 0)) {
        *ret_row = (struct merged_row){.key = stored_key(m),
                                       .payload = rowset_payload(&m->job->stored, m->stored_at),
                                       .version = m->job->stored.rows[m->stored_at].version};
        found = true;
    }
    return found;
}

/* Steps every level that stands on this key. */
static void merge_step(struct merge *m, struct slice key)
{
    if (m->stored_at < m->job->stored.count && slice_equal(stored_key(m), key)) {
        m->stored_at++;
    }
    for (int level = 0; level < 2; level++) {
        const struct overlay_row *row = m->memory[level];
        if (row != NULL && slice_equal(overlay_row_key(row), key)) {
            row = m->job->reverse ? overlay_prev(row) : overlay_next(row);
            m->memory[level] = within(m->job, row);
        }
    }
}

static bool has_room(const struct read_job *job, const struct merged_row *row)
{
    size_t bytes = ROW_KEY_NUMBER_BYTES + row->key.len + row->payload.len;
    return job->rows.count == 0 ||
           (job->rows.count < job->rows_max && job->rows.bytes.len + bytes <= job->bytes_max);
}

static void emit(struct read_job *job, const struct merged_row *row)
{
    struct row_key key;
    row_key_number(&key, number_of(job));
    row_key_append(&key, row->key);
    rowset_add(&job->rows, row_key_slice(&key), row->version, row->payload);
}

/* The page is used up: what is left of the range begins after its last row. */
static void narrow(struct read_job *job)
{
    INVARIANT(job->stored.count > 0);
    struct slice last = rowset_key(&job->stored, job->stored.count - 1);
    row_key_set(job->reverse ? &job->end : &job->start, last);
    if (!job->reverse) {
        row_key_after(&job->start);
    }
}

static enum err merge_page(const struct shard_state *s, struct read_job *job)
{
    struct merge m = {.job = job, .memory = {first_of(s->active, job)}};
    if (s->frozen != NULL) {
        m.memory[1] = first_of(s->frozen, job);
    }
    job->more = true;
    for (;;) {
        if (job->stored_more && m.stored_at == job->stored.count) {
            if (job->rows.count >= job->rows_max || job->rows.bytes.len >= job->bytes_max) {
                return ERR_OK; /* full, and LMDB has more */
            }
            narrow(job);
            return ask(s, job);
        }
        struct merged_row row = {0};
        if (!merge_next(&m, &row)) {
            job->more = false;
            return ERR_OK;
        }
        if (!row.deleted) {
            if (!has_room(job, &row)) {
                return ERR_OK;
            }
            emit(job, &row);
        }
        merge_step(&m, row.key);
    }
}

static enum err read_range(const struct shard_state *s, struct read_job *job)
{
    uint64_t number = number_of(job);
    if (is_dropped(s, number)) {
        rowset_clear(&job->rows); /* pages merged before the drop too: the actor is gone */
        job->more = false;
        return ERR_OK;
    }
    if (!job->fetched && !view_is_warm(s, number)) {
        return ask(s, job);
    }
    return merge_page(s, job);
}

/* Actors */

static void set_directory(struct read_job *job, struct slice payload)
{
    job->exists = payload.len > 0;
    buf_clear(&job->directory);
    buf_append_slice(&job->directory, payload);
}

static enum err nobody(struct read_job *job)
{
    set_directory(job, (struct slice){0});
    job->number = 0;
    job->more = false;
    rowset_clear(&job->rows);
    return ERR_OK;
}

/* The directory row is in memory: whatever LMDB says of the identity is older. */
static enum err read_known_actor(const struct shard_state *s, struct read_job *job,
                                 struct slice payload)
{
    struct directory_row decoded;
    if (directory_row_decode(payload, &decoded) != ERR_OK) {
        row_key_directory(&job->bad_key, &job->identity);
        return ERR_CORRUPT;
    }
    if (decoded.number != job->number) {
        read_job_set_number(job, decoded.number);
        rowset_clear(&job->rows);
    }
    if (job->fetched && job->stored_number != decoded.number) {
        read_job_forget_page(job);
    }
    job->number_known = true;
    set_directory(job, payload);
    return read_range(s, job);
}

static enum err read_actor(const struct shard_state *s, struct read_job *job)
{
    struct row_key key;
    struct view_row row;
    row_key_directory(&key, &job->identity);
    switch (view_peek(s, row_key_slice(&key), &row)) {
    case VIEW_DELETED:
        return nobody(job);
    case VIEW_FOUND:
        return read_known_actor(s, job, row.payload);
    case VIEW_COLD:
        break;
    }
    job->number_known = false;
    if (!job->fetched) {
        return ask(s, job);
    }
    if (job->stored_number == 0) {
        return nobody(job);
    }
    INVARIANT(job->stored_number == job->number);
    set_directory(job, buf_slice(&job->stored_directory));
    return read_range(s, job);
}

enum err view_read(const struct shard_state *s, struct read_job *job)
{
    if (job->fetched && job->err != ERR_OK) {
        return job->err;
    }
    if (job->fetched && job->epoch != s->epoch) {
        read_job_forget_page(job);
    }
    switch (job->kind) {
    case READ_POINTS:
        return read_points(s, job);
    case READ_RANGE:
        return read_range(s, job);
    case READ_ACTOR:
        return read_actor(s, job);
    }
    UNREACHABLE();
}
