#include "storage/checkpoint.h"

#include <errno.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/keyspace.h"
#include "storage/rowset.h"

/* What one checkpoint carries along. */
struct checkpoint {
    struct store_write write;
    const struct overlay *frozen;
    struct checkpoint_report report;
    struct rowset rows; /* of the chores; scratch */
    struct buf payload; /* scratch */
};

/* The overlay's rows */

static enum err write_row(struct checkpoint *c, const struct overlay_row *row)
{
    struct slice key = overlay_row_whole_key(row);
    bool existed;
    enum err err;
    if (row->deleted) {
        err = store_delete(&c->write, key, &existed);
        c->report.rows_deleted++;
    } else {
        err = store_put(&c->write, key, row->version, overlay_row_payload(row));
        c->report.rows_put++;
    }
    return err;
}

static enum err put_number(struct checkpoint *c, const struct row_key *key, uint64_t number)
{
    buf_clear(&c->payload);
    number_row_encode(&c->payload, number);
    return store_put(&c->write, row_key_slice(key), 0, buf_slice(&c->payload));
}

static enum err write_actor(struct checkpoint *c, const struct overlay_actor *actor)
{
    if (actor->dropped) {
        struct row_key key;
        row_key_dropped(&key, actor->number);
        c->report.actors_dropped++;
        return put_number(c, &key, 0);
    }
    enum err err = ERR_OK;
    const struct overlay_row **rows = overlay_sorted_rows(actor);
    for (size_t i = 0; i < actor->row_count && err == ERR_OK; i++) {
        err = write_row(c, rows[i]);
    }
    mem_free(rows);
    return err;
}

static enum err write_overlay(struct checkpoint *c)
{
    size_t count;
    const struct overlay_actor **actors = overlay_sorted_actors(c->frozen, &count);
    enum err err = ERR_OK;
    for (size_t i = 0; i < count && err == ERR_OK; i++) {
        err = write_actor(c, actors[i]);
    }
    mem_free(actors);
    return err;
}

static enum err write_applied(struct checkpoint *c)
{
    struct row_key key;
    row_key_applied(&key);
    buf_clear(&c->payload);
    applied_encode(&c->payload, &c->frozen->applied);
    return store_put(&c->write, row_key_slice(&key), 0, buf_slice(&c->payload));
}

/* Reads rows of a shard kind from its first key on, up to `end` where that is not empty. */
static enum err scan_kind(struct checkpoint *c, enum row_kind kind, struct slice end,
                          size_t rows_max, bool *ret_more)
{
    struct row_key first;
    struct row_key last;
    row_key_kind(&first, SHARD_NUMBER, kind);
    row_key_kind(&last, SHARD_NUMBER, kind);
    row_key_after_prefix(&last);
    struct store_range range = {.start = row_key_slice(&first),
                                .end = end.len > 0 ? end : row_key_slice(&last),
                                .rows_max = rows_max,
                                .bytes_max = SIZE_MAX};
    struct store_read view = store_write_view(&c->write);
    rowset_clear(&c->rows);
    return store_scan(&view, &range, &c->rows, ret_more);
}

/* Erasing dropped actors */

/* Erases some rows of the actor; its cursor goes with the last, or counts on. */
static enum err erase_actor(struct checkpoint *c, uint64_t number, uint64_t erased_before,
                            size_t rows_max)
{
    struct row_key first;
    struct row_key last;
    struct row_key cursor;
    row_key_number(&first, number);
    row_key_number(&last, number);
    row_key_after_prefix(&last);
    row_key_dropped(&cursor, number);
    struct store_range range = {.start = row_key_slice(&first),
                                .end = row_key_slice(&last),
                                .rows_max = rows_max,
                                .bytes_max = CHECKPOINT_ERASE_BYTES_MAX};
    size_t erased;
    bool more;
    enum err err = store_erase(&c->write, &range, &erased, &more);
    if (err != ERR_OK) {
        return err;
    }
    c->report.rows_erased += erased;
    c->report.more_to_erase = more;
    if (more) {
        return put_number(c, &cursor, erased_before + erased);
    }
    bool existed;
    err = store_delete(&c->write, row_key_slice(&cursor), &existed);
    INVARIANT(err != ERR_OK || existed);
    return err;
}

static enum err erase_dropped(struct checkpoint *c)
{
    size_t left = CHECKPOINT_ERASE_ROWS_MAX;
    for (;;) {
        bool more;
        enum err err = scan_kind(c, ROW_DROPPED, (struct slice){0}, 1, &more);
        if (err != ERR_OK || c->rows.count == 0) {
            return err;
        }
        if (left == 0) {
            c->report.more_to_erase = true;
            return ERR_OK;
        }
        uint64_t number;
        uint64_t erased_before;
        err = row_key_parse_dropped(rowset_key(&c->rows, 0), &number);
        if (err == ERR_OK) {
            err = number_row_decode(rowset_payload(&c->rows, 0), &erased_before);
        }
        uint64_t count_before = c->report.rows_erased;
        if (err == ERR_OK) {
            err = erase_actor(c, number, erased_before, left);
        }
        if (err != ERR_OK || c->report.more_to_erase) {
            return err;
        }
        /* An actor without rows costs as much as a row: many of them are bounded too. */
        size_t cost = (size_t)(c->report.rows_erased - count_before) + 1;
        left -= cost < left ? cost : left;
    }
}

/* Expiring idempotency rows */

/* Whether the row that an expired hour points at is of that hour. It may have been written again since
 * under the same key: then it has an hour row of its own, and goes with that one, so that no hour
 * names a row that is not there. */
static enum err is_of_hour(struct checkpoint *c, const struct row_key *key, uint32_t hour,
                           bool *ret_is)
{
    struct store_read view = store_write_view(&c->write);
    struct rowset row = {0};
    uint64_t row_ms;
    *ret_is = false;
    enum err err = store_get(&view, row_key_slice(key), &row);
    if (err == ERR_OK && row.rows[0].present) {
        err = idempotency_row_time(rowset_payload(&row, 0), &row_ms);
        *ret_is = err == ERR_OK && row_ms / IDEMPOTENCY_HOUR_MS == hour;
    }
    rowset_done(&row);
    if (err == ERR_CORRUPT && view.bad_key.len > 0) {
        c->report.rows_damaged++; /* one bad row must not stop all checkpoints to come */
        return ERR_OK;
    }
    return err;
}

static enum err expire_one(struct checkpoint *c, struct slice hour_key)
{
    struct idempotency_key parsed;
    struct row_key key;
    bool is_its_hour;
    bool existed;
    enum err err = row_key_parse_idempotency_hour(hour_key, &parsed);
    if (err != ERR_OK) {
        return err;
    }
    row_key_idempotency(&key, &parsed.identity, parsed.key);
    err = is_of_hour(c, &key, parsed.hour, &is_its_hour);
    if (err == ERR_OK && is_its_hour) {
        err = store_delete(&c->write, row_key_slice(&key), &existed);
        c->report.rows_expired++;
    }
    if (err == ERR_OK) {
        err = store_delete(&c->write, hour_key, &existed);
    }
    return err;
}

static enum err expire_idempotency(struct checkpoint *c)
{
    uint64_t now_ms = c->frozen->applied.log_time_ms;
    if (now_ms < IDEMPOTENCY_KEEP_MS) {
        return ERR_OK;
    }
    /* Hours below this one ended at least as long ago as rows are kept. */
    uint64_t hour = (now_ms - IDEMPOTENCY_KEEP_MS) / IDEMPOTENCY_HOUR_MS;
    struct row_key end;
    row_key_hour(&end, (uint32_t)hour);
    size_t rows_max = CHECKPOINT_EXPIRE_ROWS_MIN + 2 * (size_t)c->report.rows_put;
    bool more;
    enum err err = scan_kind(c, ROW_IDEMPOTENCY_HOUR, row_key_slice(&end), rows_max, &more);
    for (size_t i = 0; i < c->rows.count && err == ERR_OK; i++) {
        err = expire_one(c, rowset_key(&c->rows, i));
    }
    return err;
}

/* The whole */

static enum err write_all(struct checkpoint *c)
{
    enum err err = write_overlay(c);
    if (err == ERR_OK) {
        err = erase_dropped(c);
    }
    if (err == ERR_OK) {
        err = expire_idempotency(c);
    }
    if (err == ERR_OK) {
        err = write_applied(c);
    }
    return err;
}

enum err checkpoint_write(struct store *store, const struct overlay *frozen,
                          struct checkpoint_report *ret_report)
{
    uint64_t began_ns = clock_mono_ns();
    struct applied stored;
    enum err err = store_applied(store, &stored);
    if (err != ERR_OK) {
        return err;
    }
    PRE(frozen->applied.index >= stored.index && frozen->applied.version >= stored.version);

    struct checkpoint c = {.frozen = frozen, .report = {.applied = frozen->applied}};
    err = store_write_begin(store, &c.write);
    if (err == ERR_OK) {
        err = write_all(&c);
        if (err == ERR_OK) {
            err = store_write_commit(&c.write);
        }
        int reason = errno;
        store_write_abort(&c.write);
        errno = reason;
    }
    rowset_done(&c.rows);
    buf_done(&c.payload);
    if (err == ERR_OK) {
        c.report.file_bytes = store_file_bytes(store);
        c.report.used_bytes = store_used_bytes(store);
        c.report.duration_ns = clock_mono_ns() - began_ns;
        *ret_report = c.report;
    }
    return err;
}

enum err checkpoint_has_to_erase(struct store *store, bool *ret_has)
{
    struct row_key first;
    struct row_key last;
    struct store_read read = {0};
    struct rowset rows = {0};
    bool more;
    row_key_kind(&first, SHARD_NUMBER, ROW_DROPPED);
    last = first;
    row_key_after_prefix(&last);
    const struct store_range range = {.start = row_key_slice(&first),
                                      .end = row_key_slice(&last),
                                      .rows_max = 1,
                                      .bytes_max = SIZE_MAX};
    enum err err = store_read_begin(store, &read);
    if (err == ERR_OK) {
        err = store_scan(&read, &range, &rows, &more);
        store_read_end(&read);
    }
    *ret_has = rows.count > 0;
    rowset_done(&rows);
    return err;
}
