#include "storage/store_check.h"

#include <lmdb.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/keyspace.h"
#include "storage/rowset.h"
#include "storage/store.h"
#include "storage/store_pages.h"

struct check {
    struct store *store;
    struct store_read read;
    store_check_report *report;
    store_check_use *use;
    void *ctx;
    struct store_check_result result;
    struct buf
        numbers; /* of the directory, as uint64_t; sorted once the shard's rows are through */
    bool sorted;
    struct row_key previous;
    uint64_t actor; /* the number whose rows are being walked */
};

/* One row that passed its checksum; slices borrow from LMDB. */
struct row {
    struct slice key;
    struct slice payload;
    uint64_t version;
    struct row_key_parts parts;
};

static void problem(struct check *c, const char *what, struct slice key)
{
    c->result.problems++;
    c->report(c->ctx, what, key, 0);
}

/* Looks another row up; false where it is not there or damaged (the walk reports that). */
static bool get(struct check *c, const struct row_key *key, struct rowset *ret_row)
{
    rowset_clear(ret_row);
    enum err err = store_get(&c->read, row_key_slice(key), ret_row);
    return err == ERR_OK && ret_row->rows[0].present;
}

static bool exists(struct check *c, const struct row_key *key)
{
    bool found;
    return store_has(&c->read, row_key_slice(key), &found) == ERR_OK && found;
}

/* The number that the directory gives an identity; 0: none. */
static uint64_t number_of(struct check *c, const struct identity *identity)
{
    struct row_key key;
    struct rowset row = {0};
    struct directory_row decoded = {0};
    row_key_directory(&key, identity);
    if (get(c, &key, &row) && directory_row_decode(rowset_payload(&row, 0), &decoded) != ERR_OK) {
        decoded.number = 0;
    }
    rowset_done(&row);
    return decoded.number;
}

static uint64_t *numbers(const struct check *c)
{
    return (uint64_t *)(void *)c->numbers.data;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void sort_numbers(struct check *c)
{
    size_t count = c->result.actors;
    if (count > 0) {
        qsort(numbers(c), count, sizeof(uint64_t), compare_numbers);
    }
    for (size_t i = 1; i < count; i++) {
        if (numbers(c)[i] == numbers(c)[i - 1]) {
            struct row_key actor;
            row_key_number(&actor, numbers(c)[i]);
            problem(c, "the directory gives two actors one number", row_key_slice(&actor));
        }
    }
    c->sorted = true;
}

static bool is_in_directory(const struct check *c, uint64_t number)
{
    return c->result.actors > 0 &&
           bsearch(&number, numbers(c), c->result.actors, sizeof number, compare_numbers) != NULL;
}

/* The shard's own rows */

static void check_listed(struct check *c, const struct row *row, const struct identity *identity,
                         const struct directory_row *directory)
{
    struct address address = {directory->ns, directory->class, directory->id};
    struct row_key listing;
    struct rowset found = {0};
    uint64_t number = 0;
    if (address_check(&address) != ERR_OK) {
        problem(c, "the directory holds an address that is not valid", row->key);
        return;
    }
    row_key_listing(&listing, &address, identity);
    if (!get(c, &listing, &found)) {
        problem(c, "an actor of the directory is not listed", row->key);
    } else if (number_row_decode(rowset_payload(&found, 0), &number) != ERR_OK ||
               number != directory->number) {
        problem(c, "listing and directory give an actor two numbers", row->key);
    }
    rowset_done(&found);
}

static void check_directory(struct check *c, const struct row *row)
{
    struct identity identity;
    struct directory_row directory;
    if (row_key_parse_directory(row->key, &identity) != ERR_OK ||
        directory_row_decode(row->payload, &directory) != ERR_OK) {
        problem(c, "a directory row does not decode", row->key);
        return;
    }
    buf_append(&c->numbers, &directory.number, sizeof directory.number);
    c->result.actors++;
    check_listed(c, row, &identity, &directory);

    struct row_key key;
    row_key_meta(&key, directory.number);
    if (!exists(c, &key)) {
        problem(c, "an actor of the directory has no META row", row->key);
    }
    row_key_dropped(&key, directory.number);
    if (exists(c, &key)) {
        problem(c, "an actor of the directory is marked as dropped", row->key);
    }
    if (directory.number > c->result.applied.number) {
        problem(c, "the directory gives a number beyond the last one given", row->key);
    }
}

static void check_listing(struct check *c, const struct row *row)
{
    struct listing_key listing;
    uint64_t number = 0;
    if (row_key_parse_listing(row->key, &listing) != ERR_OK ||
        number_row_decode(row->payload, &number) != ERR_OK) {
        problem(c, "a listing row does not decode", row->key);
    } else if (number_of(c, &listing.identity) != number) {
        problem(c, "an actor is listed but not in the directory under that number", row->key);
    }
}

static void check_idempotency(struct check *c, const struct row *row)
{
    struct idempotency_key parsed;
    struct row_key hour;
    uint64_t log_time_ms;
    if (row_key_parse_idempotency(row->key, &parsed) != ERR_OK ||
        idempotency_row_time(row->payload, &log_time_ms) != ERR_OK ||
        log_time_ms / IDEMPOTENCY_HOUR_MS > UINT32_MAX) {
        problem(c, "an idempotency row does not decode", row->key);
        return;
    }
    row_key_idempotency_hour(&hour, log_time_ms, &parsed.identity, parsed.key);
    if (!exists(c, &hour)) {
        problem(c, "an idempotency row has no row by hour and would never expire", row->key);
    }
}

static void check_idempotency_hour(struct check *c, const struct row *row)
{
    struct idempotency_key parsed;
    struct row_key key;
    if (row_key_parse_idempotency_hour(row->key, &parsed) != ERR_OK) {
        problem(c, "an idempotency row by hour does not decode", row->key);
        return;
    }
    row_key_idempotency(&key, &parsed.identity, parsed.key);
    if (!exists(c, &key)) {
        problem(c, "an hour names an idempotency row that is not there", row->key);
    }
}

static void check_due(struct check *c, const struct row *row)
{
    struct due_key due;
    struct identity identity;
    struct row_key key;
    if (row_key_parse_due(row->key, &due) != ERR_OK ||
        due_row_decode(row->payload, &identity) != ERR_OK) {
        problem(c, "a due row does not decode", row->key);
        return;
    }
    if (number_of(c, &identity) != due.number) {
        c->result.stale_due++; /* whoever meets it deletes it */
        return;
    }
    row_key_kind(&key, due.number, due.kind);
    row_key_append(&key, due.name);
    if (!exists(c, &key)) {
        problem(c, "what is due is not there", row->key);
    }
}

static void check_number(struct check *c, const struct row *row)
{
    uint64_t ignored;
    if (number_row_decode(row->payload, &ignored) != ERR_OK) {
        problem(c, "a row of a number does not decode", row->key);
    }
}

/* Actors' rows: each number once. */
static void check_owner(struct check *c, const struct row *row)
{
    if (row->parts.number == c->actor) {
        return;
    }
    c->actor = row->parts.number;
    struct row_key dropped;
    row_key_dropped(&dropped, c->actor);
    if (!is_in_directory(c, c->actor) && !exists(c, &dropped)) {
        problem(c, "rows of an actor that is neither in the directory nor dropped", row->key);
    }
}

static void check_row(struct check *c, const struct row *row)
{
    switch (row->parts.kind) {
    case ROW_DIRECTORY:
        check_directory(c, row);
        return;
    case ROW_LISTING:
        check_listing(c, row);
        return;
    case ROW_IDEMPOTENCY:
        check_idempotency(c, row);
        return;
    case ROW_IDEMPOTENCY_HOUR:
        check_idempotency_hour(c, row);
        return;
    case ROW_DUE:
        check_due(c, row);
        return;
    case ROW_DROPPED:
        check_number(c, row);
        return;
    case ROW_APPLIED: /* decoded before the walk */
    case ROW_CLUSTER: /* its payload is of the layer above */
        return;
    case ROW_META:
    case ROW_KV:
    case ROW_TIMER:
    case ROW_STEP:
    case ROW_WORKFLOW:
    case ROW_WATCH:
    case ROW_OUTBOX:
    case ROW_SANDBOX:
        check_owner(c, row);
        return;
    }
    UNREACHABLE();
}

static void check_found(struct check *c, struct slice key, struct slice value)
{
    struct row row = {.key = key};
    if (c->result.rows++ > 0 && slice_compare(key, row_key_slice(&c->previous)) <= 0) {
        problem(c, "keys are not in order", key);
    }
    row_key_set(&c->previous, key);
    if (row_key_check(key) != ERR_OK || row_key_parse(key, &row.parts) != ERR_OK) {
        problem(c, "a key of no known form", key);
        return;
    }
    if (row.parts.number != SHARD_NUMBER && !c->sorted) {
        sort_numbers(c); /* the shard's own rows lie first: the directory is complete */
    }
    if (store_value_open(key, value, &row.version, &row.payload) != ERR_OK) {
        problem(c, "a row fails its checksum", key);
        return;
    }
    if (row.version > c->result.applied.version) {
        problem(c, "a row of a version beyond the last one given", key);
    }
    check_row(c, &row);
}

static enum err check_rows(struct check *c)
{
    MDB_cursor *cursor;
    MDB_val key;
    MDB_val value;
    int code = mdb_cursor_open(c->read.txn, c->read.dbi, &cursor);
    if (code != 0) {
        return store_translate(code);
    }
    code = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (code == 0) {
        check_found(c, slice_of(key.mv_data, key.mv_size), slice_of(value.mv_data, value.mv_size));
        code = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? ERR_OK : store_translate(code);
}

/* The whole */

static void page_problem(void *ctx, const char *what, uint64_t page)
{
    struct check *c = ctx;
    c->result.problems++;
    c->report(c->ctx, what, (struct slice){0}, page);
}

static void page_use(void *ctx, uint64_t offset, uint64_t len)
{
    struct check *c = ctx;
    if (c->use != NULL) {
        c->use(c->ctx, offset, len);
    }
}

static enum err check_pages(struct check *c, const char *path)
{
    struct store_pages_result pages;
    enum err err = store_pages_check(path, page_problem, page_use, c, &pages);
    if (err == ERR_OK) {
        c->result.pages = pages.pages;
        c->result.free_pages = pages.free_pages;
    }
    return err;
}

/* What LMDB itself refuses is a finding, not a failure of the check. */
static enum err count_corrupt(struct check *c, enum err err, const char *what)
{
    if (err != ERR_CORRUPT) {
        return err;
    }
    problem(c, what, (struct slice){0});
    return ERR_OK;
}

static enum err check_open_store(struct check *c)
{
    enum err err = store_applied(c->store, &c->result.applied);
    err = count_corrupt(c, err, "the APPLIED row cannot be read");
    if (err == ERR_OK) {
        err = store_read_begin(c->store, &c->read);
    }
    if (err == ERR_OK) {
        err = count_corrupt(c, check_rows(c), "the rows cannot be read to their end");
        store_read_end(&c->read);
    }
    return err;
}

static enum err check_file(struct check *c, const char *path)
{
    enum err err = check_pages(c, path);
    if (err == ERR_CORRUPT) {
        problem(c, "this is not a store, or its meta pages are damaged", (struct slice){0});
        return ERR_OK;
    }
    if (err != ERR_OK || c->result.problems > 0) {
        return err;
    }
    err = store_open(path, STORE_MAP_BYTES_TESTS, &c->store); /* LMDB raises it to fit */
    if (err == ERR_OK) {
        err = check_open_store(c);
        store_close(c->store);
    }
    return err;
}

enum err store_check(const char *path, store_check_report *report, store_check_use *use, void *ctx,
                     struct store_check_result *ret_result)
{
    struct check c = {.report = report, .use = use, .ctx = ctx};
    if (access(path, F_OK) != 0) {
        return ERR_NOT_FOUND; /* opening would create it */
    }
    enum err err = check_file(&c, path);
    buf_done(&c.numbers);
    if (err == ERR_OK) {
        *ret_result = c.result;
    }
    return err;
}
