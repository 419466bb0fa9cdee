#include "node/check.h"

#include <dirent.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/buf.h"
#include "base/mem.h"
#include "storage/batch.h"
#include "storage/engine.h"
#include "storage/marker.h"
#include "storage/store.h"
#include "storage/store_check.h"
#include "storage/wal.h"
#include "storage/wal_dirs.h"

struct check {
    const struct check_hooks *hooks;
    struct check_result result;
    const char *file; /* being checked */
    struct buf path;  /* scratch */
};

/* Saying */

static void say(struct check *c, const char *format, ...) PRINTF_LIKE(2, 3);

static void say(struct check *c, const char *format, ...)
{
    char line[1024];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(line, sizeof line, format, args);
    va_end(args);
    c->hooks->say(c->hooks->ctx, line);
}

static void problem(struct check *c, const char *what)
{
    c->result.problems++;
    say(c, "%s: %s", c->file, what);
}

/* Keys are bytes: what is not printable shows as \xNN. */
static void print_key(struct buf *to, struct slice key)
{
    for (size_t i = 0; i < key.len; i++) {
        uint8_t c = key.data[i];
        if (c > ' ' && c < 0x7f && c != '\\') {
            buf_append_byte(to, c);
        } else {
            buf_printf(to, "\\x%02x", c);
        }
    }
}

static void on_store_problem(void *ctx, const char *what, struct slice key, uint64_t page)
{
    struct check *c = ctx;
    struct buf place = {0};
    c->result.problems++;
    if (key.len > 0) {
        buf_printf(&place, "key ");
        print_key(&place, key);
    } else {
        buf_printf(&place, "page %" PRIu64, page);
    }
    buf_append_byte(&place, 0);
    say(c, "%s: %s: %s", c->file, (const char *)place.data, what);
    buf_done(&place);
}

/* Bytes */

static void take(struct check *c, const char *file, uint64_t offset, uint64_t len)
{
    c->result.bytes_in_use += len;
    if (c->hooks->use != NULL) {
        c->hooks->use(c->hooks->ctx, file, offset, len);
    }
}

static uint64_t size_of(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
}

static void on_store_use(void *ctx, uint64_t offset, uint64_t len)
{
    struct check *c = ctx;
    take(c, c->file, offset, len);
}

/* The file `name` of the log that is being checked. */
static const char *log_file(struct check *c, const char *name)
{
    buf_clear(&c->path);
    buf_printf(&c->path, "%s/%s%c", c->file, name, 0);
    return (const char *)c->path.data;
}

static void on_frame(void *ctx, uint32_t slot, uint64_t offset, uint64_t len)
{
    struct check *c = ctx;
    char name[WAL_SLOT_NAME_BYTES];
    wal_slot_name(slot, name);
    take(c, log_file(c, name), offset, len);
}

/* Stores */

/* What the logs say of a shard. */
struct expected {
    bool is_logged;
    uint64_t generation; /* of its store */
    struct applied applied;
};

static struct expected *expected_new(const struct data_dir *d)
{
    struct expected *expected = mem_zalloc((d->shard_count + 1) * sizeof *expected);
    for (uint32_t slot = 0; slot <= d->shard_count; slot++) {
        expected[slot].generation = 1;
    }
    return expected;
}

/* A shard without a log may have no file either: this node has no replica of it. */
static void check_shard(struct check *c, const struct data_dir *d, uint32_t id,
                        struct expected *expected)
{
    struct store_check_result result = {0};
    struct buf path = {0};
    char *dir = data_dir_path(d, "shards");
    store_path(&path, dir, engine_group_of_shard(id), expected->generation);
    buf_append_byte(&path, 0);
    c->file = (const char *)path.data;
    enum err err = store_check(c->file, on_store_problem, on_store_use, c, &result);
    bool may_miss = err == ERR_NOT_FOUND && !expected->is_logged;
    if (err != ERR_OK && !may_miss) {
        problem(c, err_info(err)->text);
    }
    c->result.bytes += size_of(c->file);
    c->result.files += may_miss ? 0 : 1;
    c->result.rows += result.rows;
    c->result.actors += result.actors;
    expected->applied = result.applied;
    buf_done(&path);
    mem_free(dir);
}

/* Logs */

static uint32_t slot_of(const struct data_dir *d, uint32_t group)
{
    return group == GROUP_OF_META ? d->shard_count : group - 1;
}

/* Which file is the store of each shard. */
static void expect_stores(struct check *c, const struct data_dir *d, const struct wal_recovery *r,
                          struct expected *expected)
{
    for (size_t i = 0; i < r->group_count; i++) {
        const struct wal_recovered_group *g = &r->groups[i];
        uint32_t slot = slot_of(d, g->group);
        struct slice ignored;
        if (slot > d->shard_count) {
            problem(c, "a group that no shard has");
            continue;
        }
        struct expected *shard = &expected[slot];
        shard->is_logged = true;
        if (marker_decode(g->snapshot.configuration, &shard->generation, &ignored) != ERR_OK) {
            problem(c, "a snapshot record that does not say which file is the store");
        }
    }
}

/* What the log still holds must go on where the store ends. */
static void check_group(struct check *c, const struct wal_recovered_group *g,
                        const struct applied *applied)
{
    if (applied->index < g->snapshot.index) {
        problem(c, "the log of a shard begins after what its store holds");
    }
    if (applied->index > g->snapshot.index + g->entry_count) {
        problem(c, "the log of a shard ends before what its store holds");
    }
    for (size_t k = 0; k < g->entry_count; k++) {
        c->result.entries++;
        if (g->entries[k].type == GROUP_COMMAND && entry_check(g->entries[k].data) != ERR_OK) {
            problem(c, "an entry that is not made of batches");
        }
    }
}

static void check_groups(struct check *c, const struct data_dir *d, uint32_t worker,
                         const struct wal_recovery *r, const struct expected *expected)
{
    for (size_t i = 0; i < r->group_count; i++) {
        const struct wal_recovered_group *g = &r->groups[i];
        uint32_t slot = slot_of(d, g->group);
        if (slot > d->shard_count) {
            continue; /* it is said */
        }
        if (engine_worker_of_shard(g->group - 1, d->wal_count) != worker) {
            problem(c, "a group that belongs into another worker's log");
        } else {
            check_group(c, g, &expected[slot].applied);
        }
    }
}

/* What a crash may leave, and the next start passes over. */
static void note_leftovers(struct check *c, const struct wal_recovery *r)
{
    if (r->identity.is_single) {
        c->result.notes++;
        say(c, "%s: note: one of its two copies cannot be read", log_file(c, "identity"));
    }
    if (r->was_cut) {
        c->result.notes++;
        say(c, "%s: note: offset %" PRIu64 ": %s", log_file(c, r->cut.file), r->cut.offset,
            r->cut.text);
    }
}

static void count_log(struct check *c, const struct wal_recovery *r)
{
    const char *identity = log_file(c, "identity");
    c->result.bytes += size_of(identity);
    for (uint64_t copy = 0; copy < WAL_IDENTITY_COPIES; copy++) {
        take(c, identity, copy * WAL_BLOCK_BYTES, WAL_IDENTITY_BYTES);
    }
    for (size_t i = 0; i < r->image_count; i++) {
        c->result.bytes += r->images[i].size;
    }
}

/* A worker's log, while the stores are checked. */
struct checked_log {
    char *dir;
    struct wal_recovery *recovery; /* NULL: it cannot be read */
};

static void read_log(struct check *c, const struct data_dir *d, uint32_t worker,
                     struct checked_log *ret_log, struct expected *expected)
{
    struct wal_recovery *r = NULL;
    ret_log->dir = wal_dir_path(d->path, wal_dir_in_use(d, worker));
    ret_log->recovery = NULL;
    c->file = ret_log->dir;
    c->result.files++;
    enum err err = wal_recover_seen(ret_log->dir, on_frame, c, &r);
    if (err == ERR_OK) {
        expect_stores(c, d, r, expected);
        note_leftovers(c, r);
        count_log(c, r);
        ret_log->recovery = r;
        return;
    }
    if (r != NULL && r->damage.text[0] != '\0') {
        c->result.problems++;
        say(c, "%s: offset %" PRIu64 ": %s", log_file(c, r->damage.file), r->damage.offset,
            r->damage.text);
    } else {
        problem(c, err == ERR_NOT_FOUND ? "the log is missing" : err_info(err)->text);
    }
    wal_recovery_free(r);
}

static void check_log(struct check *c, const struct data_dir *d, uint32_t worker,
                      struct checked_log *log, const struct expected *expected)
{
    c->file = log->dir;
    if (log->recovery != NULL) {
        check_groups(c, d, worker, log->recovery, expected);
    }
    wal_recovery_free(log->recovery);
    mem_free(log->dir);
}

static void note_logs_left_over(struct check *c, const struct data_dir *d)
{
    struct wal_dir *dirs;
    size_t count;
    if (wal_dirs_left_over(d, &dirs, &count) != ERR_OK) {
        return;
    }
    for (size_t i = 0; i < count; i++) {
        char *path = wal_dir_path(d->path, dirs[i]);
        c->result.notes++;
        say(c, "%s: note: left over from a change of the number of workers, not in use", path);
        mem_free(path);
    }
    mem_free(dirs);
}

/* Copies of other replicas' stores that were not taken up, and what a removal left. */
static void note_stores_left_over(struct check *c, const struct data_dir *d,
                                  const struct expected *expected)
{
    char *dir = data_dir_path(d, "shards");
    DIR *listing = opendir(dir);
    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        uint32_t group;
        uint64_t generation;
        if (!store_parse_name(entry->d_name, &group, &generation)) {
            continue;
        }
        uint32_t slot = slot_of(d, group);
        if (slot > d->shard_count || expected[slot].generation != generation) {
            c->result.notes++;
            say(c, "%s/%s: note: no log names this store, not in use", dir, entry->d_name);
        }
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    mem_free(dir);
}

/* The whole */

static void check_all(struct check *c, const struct data_dir *d)
{
    struct expected *expected = expected_new(d);
    struct checked_log *logs = mem_zalloc(d->wal_count * sizeof *logs);
    char *file =
        data_dir_path(d, "DORMOUSE"); /* it was read whole, and is as it would be written */
    take(c, file, 0, size_of(file));
    c->result.bytes += size_of(file);
    mem_free(file);
    for (uint32_t worker = 0; worker < d->wal_count; worker++) {
        read_log(c, d, worker, &logs[worker], expected);
    }
    for (uint32_t id = 0; id < d->shard_count; id++) {
        check_shard(c, d, id, &expected[id]);
    }
    check_shard(c, d, SHARD_META, &expected[d->shard_count]);
    for (uint32_t worker = 0; worker < d->wal_count; worker++) {
        check_log(c, d, worker, &logs[worker], expected);
    }
    note_logs_left_over(c, d);
    note_stores_left_over(c, d, expected);
    mem_free(logs);
    mem_free(expected);
}

enum err check_data(const char *dir, const struct check_hooks *hooks,
                    struct check_result *ret_result, char ret_detail[DATA_DETAIL_BYTES])
{
    struct data_dir d;
    struct check c = {.hooks = hooks};
    enum err err = data_dir_open_existing(&d, dir, ret_detail);
    if (err != ERR_OK) {
        return err;
    }
    check_all(&c, &d);
    *ret_result = c.result;
    buf_done(&c.path);
    data_dir_close(&d);
    return ERR_OK;
}

static void print(void *ctx, const char *line)
{
    (void)ctx;
    (void)printf("%s\n", line);
}

int check_run(const char *dir)
{
    const struct check_hooks hooks = {.say = print};
    struct check_result r;
    char detail[DATA_DETAIL_BYTES];
    if (check_data(dir, &hooks, &r, detail) != ERR_OK) {
        (void)fprintf(stderr, "dormoused: %s\n", detail);
        return 1;
    }
    (void)printf("%s: %" PRIu64 " problems in %" PRIu64 " files, %" PRIu64 " rows, %" PRIu64
                 " actors, %" PRIu64 " entries of the log; %" PRIu64 " of %" PRIu64
                 " bytes in use\n",
                 dir, r.problems, r.files, r.rows, r.actors, r.entries, r.bytes_in_use, r.bytes);
    return r.problems == 0 ? 0 : 1;
}
