#include "actor/scan.h"

#include "base/invariant.h"

static bool in_range(const struct row *row, const struct scan_range *range)
{
    return row->kind == range->kind && slice_compare(row_name(row), range->low) >= 0 &&
           (range->high.len == 0 || slice_compare(row_name(row), range->high) < 0);
}

static struct row *within(struct row *row, const struct scan_range *range)
{
    return row != NULL && in_range(row, range) ? row : NULL;
}

static struct row *first_in(struct row_set *set, const struct scan_range *range)
{
    if (!range->reverse) {
        return within(row_set_at_or_after(set, (uint8_t)range->kind, range->low), range);
    }
    struct row *after = range->high.len > 0
                            ? row_set_at_or_after(set, (uint8_t)range->kind, range->high)
                            : row_set_at_or_after(set, (uint8_t)(range->kind + 1), SLICE(""));
    return within(after != NULL ? row_set_prev(after) : row_set_last(set), range);
}

static struct row *step_from(struct row *row, const struct scan_range *range)
{
    return within(range->reverse ? row_set_prev(row) : row_set_next(row), range);
}

/* Negative: a comes first in the direction of the range. */
static int order(const struct row *a, const struct row *b, const struct scan_range *range)
{
    int forward = slice_compare(row_name(a), row_name(b));
    return range->reverse ? -forward : forward;
}

void scan_begin(struct scan_cursor *c, const struct scan_range *range, struct row_set *base,
                bool cut, struct row_set *staged)
{
    *c = (struct scan_cursor){
        .range = range,
        .base = first_in(base, range),
        .staged = first_in(staged, range),
        .cut = cut,
    };
}

/* The next row of either, the staged one where both have the key; NULL at the end. */
static struct row *take_next(struct scan_cursor *c)
{
    struct row *base = c->base;
    struct row *staged = c->staged;
    if (base == NULL && c->cut) {
        c->ended_early = true; /* a staged row beyond the cut might not be the next */
        return NULL;
    }
    int which = base == NULL ? 1 : staged == NULL ? -1 : order(base, staged, c->range);
    if (which <= 0) {
        c->base = step_from(base, c->range);
    }
    if (which >= 0 && staged != NULL) {
        c->staged = step_from(staged, c->range);
    }
    return which < 0 ? base : staged;
}

bool scan_next(struct scan_cursor *c, struct scan_item *ret_item)
{
    struct row *row;
    do {
        row = take_next(c);
        if (row == NULL) {
            return false;
        }
    } while (row->value == NULL); /* deleted, or known to be absent */

    *ret_item =
        (struct scan_item){.key = row_name(row), .value = row->value, .version = row->version};
    return true;
}

/* Storage */

void scan_begin_job(const struct scan_range *range, uint64_t number, struct read_job *job)
{
    struct row_key start;
    struct row_key end;
    row_key_kind(&start, number, range->kind);
    row_key_append(&start, range->low);
    row_key_kind(&end, number, range->kind);
    if (range->high.len > 0) {
        row_key_append(&end, range->high);
    } else {
        row_key_after_prefix(&end);
    }
    size_t rows_max = range->rows_max < READ_ROWS_MAX ? range->rows_max : READ_ROWS_MAX;
    size_t bytes_max = range->bytes_max < READ_BYTES_MAX ? range->bytes_max : READ_BYTES_MAX;
    read_job_range(job, &start, &end, range->reverse, rows_max, bytes_max);
}

/* The kind and name of an actor's own row. */
static enum err name_of(struct slice stored_key, uint8_t *ret_kind, struct slice *ret_name)
{
    struct row_key_parts parts;
    enum err err = row_key_parse(stored_key, &parts);
    if (err == ERR_OK) {
        *ret_kind = (uint8_t)parts.kind;
        *ret_name = parts.rest;
    }
    return err;
}

enum err scan_keep_row(struct row_set *rows, const struct rowset *from, size_t i, bool key_only)
{
    uint8_t kind;
    struct slice name;
    enum err err = name_of(rowset_key(from, i), &kind, &name);
    if (err != ERR_OK) {
        return err;
    }
    struct bytes *value = bytes_new(key_only ? SLICE("") : rowset_payload(from, i));
    (void)row_set_set(rows, kind, name, value, from->rows[i].version);
    bytes_unref(value);
    return ERR_OK;
}
