#include "storage/redeal.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/engine.h"
#include "storage/store.h"
#include "storage/wal.h"
#include "storage/wal_dirs.h"

enum { QUEUE_BYTES_MAX = 1024 * 1024 /* of one new log: they are many */ };

/* A new log. */
struct hand {
    struct wal *log; /* NULL: not open */
    char *path;
    uint64_t last_record;
};

struct redeal {
    struct data_dir *data;
    uint64_t segment_bytes;
    uint32_t wal_count;
    uint32_t generation;
    struct hand *hands; /* one a worker */
    bool has_failed;    /* writing; `detail` says where */
    struct redeal_report report;
    char *detail; /* of DATA_DETAIL_BYTES */
};

static enum err explain(struct redeal *r, enum err err, const char *path, const char *what)
{
    (void)snprintf(r->detail, DATA_DETAIL_BYTES, "%s: %s", path, what);
    return err;
}

static enum err explain_log(struct redeal *r, enum err err, const char *path,
                            const struct wal_recovery *recovery)
{
    if (recovery == NULL || recovery->damage.text[0] == '\0') {
        return explain(r, err, path, err_info(err)->text);
    }
    const struct wal_detail *d = &recovery->damage;
    (void)snprintf(r->detail, DATA_DETAIL_BYTES, "%s/%s: offset %" PRIu64 ": %s", path, d->file,
                   d->offset, d->text);
    return err;
}

/* New logs */

static void ignore_news(void *ctx)
{
    (void)ctx;
}

/* Nothing depends on the new logs yet: the start is refused, and the old ones are as they were. */
static void note_failure(void *ctx, const char *path, uint64_t offset, int reason)
{
    struct redeal *r = ctx;
    r->has_failed = true;
    (void)snprintf(r->detail, DATA_DETAIL_BYTES, "%s: writing at %" PRIu64 " failed: %s", path,
                   offset, strerror(reason));
}

static enum err open_hand(struct redeal *r, uint32_t worker)
{
    struct hand *h = &r->hands[worker];
    struct wal_recovery *recovery = NULL;
    const struct wal_dir dir = {.generation = r->generation, .worker = worker};
    h->path = wal_dir_path(r->data->path, dir);
    const struct wal_options options = {
        .dir = h->path,
        .worker = worker,
        .segment_bytes = r->segment_bytes,
        .budget_bytes = UINT64_MAX, /* whatever it takes: it is all needed */
        .unthreaded = true,
        .notify = ignore_news,
        .fatal = note_failure,
        .ctx = r,
    };
    enum err err = wal_open(&options, &h->log, &recovery);
    if (err != ERR_OK) {
        (void)explain_log(r, err, h->path, recovery);
    }
    wal_recovery_free(recovery);
    return err;
}

static enum err open_hands(struct redeal *r)
{
    enum err err = wal_dirs_unused_generation(r->data, &r->generation);
    if (err != ERR_OK) {
        return explain(r, err, r->data->path, strerror(errno));
    }
    r->hands = mem_zalloc(r->wal_count * sizeof *r->hands);
    for (uint32_t worker = 0; err == ERR_OK && worker < r->wal_count; worker++) {
        err = open_hand(r, worker);
    }
    return err;
}

static enum err no_more_work(struct redeal *r, const struct hand *h)
{
    if (r->has_failed) {
        return ERR_IO;
    }
    (void)wal_poll(h->log);
    /* Nothing else stops a log that may be as large as it likes. */
    INVARIANT(wal_stats(h->log).is_full);
    return explain(r, ERR_STORAGE_FULL, h->path, "there is no space for a log beside the old ones");
}

/* Until all records of the log are durable. */
static enum err settle(struct redeal *r, struct hand *h)
{
    while (wal_poll(h->log) < h->last_record) {
        wal_kick(h->log);
        if (!wal_work(h->log)) {
            return no_more_work(r, h);
        }
    }
    return ERR_OK;
}

/* The log ends as it would had a worker written it, with room for what must always be possible; the seal
 * at its end and the block that the next start begins take some. */
static enum err make_room(struct redeal *r, struct hand *h)
{
    enum err err;
    while ((err = wal_reserve(h->log, 2 * WAL_BLOCK_BYTES)) == ERR_OVERLOADED && wal_work(h->log)) {
        (void)wal_poll(h->log);
    }
    return err == ERR_OK ? ERR_OK : no_more_work(r, h);
}

static enum err close_hands(struct redeal *r)
{
    enum err err = ERR_OK;
    for (uint32_t worker = 0; err == ERR_OK && worker < r->wal_count; worker++) {
        struct hand *h = &r->hands[worker];
        err = settle(r, h);
        if (err == ERR_OK) {
            err = make_room(r, h);
        }
        if (err == ERR_OK) {
            wal_close(h->log);
            h->log = NULL;
            err = r->has_failed ? ERR_IO : ERR_OK;
        }
    }
    return err;
}

static void abandon_hands(struct redeal *r)
{
    for (uint32_t worker = 0; r->hands != NULL && worker < r->wal_count; worker++) {
        wal_abandon(r->hands[worker].log);
        mem_free(r->hands[worker].path);
    }
    mem_free(r->hands);
}

/* Dealing */

static enum err deal_entry(struct redeal *r, struct hand *h, uint32_t group,
                           const struct wal_entry *entry)
{
    if (wal_stats(h->log).queued_bytes + entry->data.len > QUEUE_BYTES_MAX) {
        enum err err = settle(r, h);
        if (err != ERR_OK) {
            return err;
        }
    }
    if (entry->data.len > wal_data_bytes_max(h->log)) {
        return explain(r, ERR_TOO_LARGE, h->path, "an entry is larger than a segment of the log");
    }
    h->last_record =
        wal_entry(h->log, group, entry->index, entry->term, entry->type, &entry->data, 1);
    r->report.entries++;
    r->report.entry_bytes += entry->data.len;
    return ERR_OK;
}

static enum err deal_group(struct redeal *r, const struct wal_recovered_group *g, uint32_t shard)
{
    struct hand *h = &r->hands[engine_worker_of_shard(shard, r->wal_count)];
    (void)wal_create_replica(h->log, g->group, g->replica);
    h->last_record = wal_term_vote(h->log, g->group, g->term, g->vote);
    if (g->snapshot.index > 0) {
        h->last_record = wal_snapshot(h->log, g->group, &g->snapshot);
    }
    r->report.groups++;
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < g->entry_count; i++) {
        err = deal_entry(r, h, g->group, &g->entries[i]);
    }
    return err;
}

/* Each group comes once, out of the log of its worker. */
static enum err deal_log(struct redeal *r, uint32_t worker, const struct wal_recovery *recovery,
                         const char *path)
{
    if (recovery->identity.worker != worker) {
        return explain(r, ERR_CORRUPT, path, "the log is another worker's");
    }
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < recovery->group_count; i++) {
        const struct wal_recovered_group *g = &recovery->groups[i];
        uint32_t shard = g->group - engine_group_of_shard(0);
        if ((shard >= r->data->shard_count && shard != SHARD_META) ||
            engine_worker_of_shard(shard, r->data->wal_count) != worker) {
            return explain(r, ERR_CORRUPT, path, "the log has a group that is not its worker's");
        }
        err = deal_group(r, g, shard);
    }
    return err;
}

/* The store of meta does not count: it is missing in data that no version with tokens has started on. */
static bool is_store_of(const struct redeal *r, const char *name, uint32_t worker)
{
    uint32_t group;
    uint64_t generation;
    if (!store_parse_name(name, &group, &generation)) {
        return false;
    }
    uint32_t shard = group - engine_group_of_shard(0);
    return shard < r->data->shard_count &&
           engine_worker_of_shard(shard, r->data->wal_count) == worker;
}

static bool has_stores(const struct redeal *r, uint32_t worker)
{
    char *dir = data_dir_path(r->data, "shards");
    DIR *listing = opendir(dir);
    bool has = false;
    for (struct dirent *entry; listing != NULL && !has && (entry = readdir(listing)) != NULL;) {
        has = is_store_of(r, entry->d_name, worker);
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    mem_free(dir);
    return has;
}

/* A first start that was cut short may have left a worker without a log, but then without stores too:
 * they come after it. Looked at before anything is made. */
static enum err check_logs(struct redeal *r)
{
    enum err err = ERR_OK;
    for (uint32_t worker = 0; err == ERR_OK && worker < r->data->wal_count; worker++) {
        struct wal_dir dir = wal_dir_in_use(r->data, worker);
        if (!wal_dir_has_log(r->data->path, dir) && has_stores(r, worker)) {
            char *path = wal_dir_path(r->data->path, dir);
            err = explain(r, ERR_CORRUPT, path, "the log is missing, but its stores are there");
            mem_free(path);
        }
    }
    return err;
}

static enum err deal_old(struct redeal *r, uint32_t worker)
{
    struct wal_recovery *recovery = NULL;
    char *path = wal_dir_path(r->data->path, wal_dir_in_use(r->data, worker));
    enum err err = wal_recover(path, &recovery);
    if (err == ERR_OK) {
        err = deal_log(r, worker, recovery, path);
    } else if (err == ERR_NOT_FOUND) {
        err = ERR_OK; /* check_logs has let it pass */
    } else {
        (void)explain_log(r, err, path, recovery);
    }
    wal_recovery_free(recovery);
    mem_free(path);
    return err;
}

static enum err deal(struct redeal *r)
{
    enum err err = check_logs(r);
    if (err == ERR_OK) {
        err = open_hands(r);
    }
    for (uint32_t worker = 0; err == ERR_OK && worker < r->data->wal_count; worker++) {
        err = deal_old(r, worker);
    }
    return err == ERR_OK ? close_hands(r) : err;
}

enum err redeal(struct data_dir *d, uint32_t wal_count, uint64_t segment_bytes,
                struct redeal_report *ret_report, char ret_detail[DATA_DETAIL_BYTES])
{
    PRE(wal_count >= 1 && wal_count <= DATA_WORKERS_MAX);

    struct redeal r = {
        .data = d, .segment_bytes = segment_bytes, .wal_count = wal_count, .detail = ret_detail};
    enum err err = deal(&r);
    abandon_hands(&r);
    if (err != ERR_OK) {
        wal_dirs_clean(d); /* gives the space back at once */
        return err;
    }
    err = data_dir_set_logs(d, wal_count, r.generation, ret_detail);
    if (err != ERR_OK) {
        return err;
    }
    wal_dirs_clean(d);
    *ret_report = r.report;
    return ERR_OK;
}
