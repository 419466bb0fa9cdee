/* Opening an engine: its log, its threads, and the shards over the log (engine_shards.c). */
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/engine_own.h"
#include "storage/wal_dirs.h"

enum {
    STORE_JOBS_MAX = 4096,
    BULK_JOBS_MAX = 1024,
    LOG_PART = 4, /* of a limited disk */
};

enum err engine_explain(char detail[ENGINE_DETAIL_BYTES], enum err err, const char *where,
                        const char *what)
{
    (void)snprintf(detail, ENGINE_DETAIL_BYTES, "%s: %s", where, what);
    return err;
}

/* Its share of a limited disk: large enough for the largest batch, and segments for it. */
struct engine_log_size engine_log_size(uint64_t quota_bytes, uint32_t worker_count)
{
    struct engine_log_size size = {.segment_bytes = WAL_SEGMENT_BYTES_DEFAULT,
                                   .budget_bytes = WAL_BUDGET_BYTES_DEFAULT};
    uint64_t share = quota_bytes / worker_count / LOG_PART;
    if (quota_bytes == 0 || share >= size.budget_bytes) {
        return size;
    }
    if (share < size.segment_bytes * WAL_SEGMENTS_MIN) {
        size.segment_bytes = ENGINE_LOG_BYTES_MIN / WAL_SEGMENTS_MIN;
    }
    uint64_t least = size.segment_bytes * WAL_SEGMENTS_MIN;
    size.budget_bytes = share > least ? share : least;
    return size;
}

static uint64_t quota_bytes(const struct engine_options *o)
{
    return o->quota != NULL ? o->quota->bytes_max : 0;
}

static enum err open_log(struct engine *e, const struct engine_options *o,
                         struct wal_recovery **ret_recovery, char detail[ENGINE_DETAIL_BYTES])
{
    const struct wal_dir in_use = {.generation = o->wal_generation, .worker = o->worker};
    char *dir = wal_dir_path(o->data_dir, in_use);
    struct wal_options options = {.dir = dir,
                                  .worker = o->worker,
                                  .disk = o->disk,
                                  .unthreaded = o->unthreaded,
                                  .notify = o->notify,
                                  .fatal = o->log_fatal,
                                  .ctx = o->notify_ctx};
    struct engine_log_size size = engine_log_size(quota_bytes(o), o->worker_count);
    options.segment_bytes = o->wal_segment_bytes != 0 ? o->wal_segment_bytes : size.segment_bytes;
    options.budget_bytes = o->wal_budget_bytes != 0 ? o->wal_budget_bytes : size.budget_bytes;
    enum err err = wal_open(&options, &e->wal, ret_recovery);
    if (err != ERR_OK && *ret_recovery != NULL) {
        const struct wal_detail *d = &(*ret_recovery)->damage;
        (void)snprintf(detail, ENGINE_DETAIL_BYTES, "%s/%s: offset %" PRIu64 ": %s", dir, d->file,
                       d->offset, d->text);
    } else if (err != ERR_OK) {
        (void)engine_explain(detail, err, dir, err_info(err)->text);
    }
    mem_free(dir);
    return err;
}

static enum err start_threads(struct engine *e, const struct engine_options *o)
{
    enum err err = job_thread_start(o->unthreaded ? NULL : "store", STORE_JOBS_MAX, o->notify,
                                    o->notify_ctx, &e->store_thread);
    if (err != ERR_OK) {
        return err;
    }
    err = job_thread_start(o->unthreaded ? NULL : "bulk", BULK_JOBS_MAX, o->notify, o->notify_ctx,
                           &e->bulk);
    if (err != ERR_OK) {
        return err;
    }
    return job_thread_start(o->unthreaded ? NULL : "reader", ENGINE_READS_MAX, o->notify,
                            o->notify_ctx, &e->reader);
}

enum err engine_open(const struct engine_options *o, uint64_t mono_ms, uint64_t wall_ms,
                     struct engine **ret_engine, char ret_detail[ENGINE_DETAIL_BYTES])
{
    PRE(o->worker < o->worker_count && o->shard_count > 0);

    uint64_t least_bytes = engine_quota_bytes_min(o->worker_count);
    if (o->wal_budget_bytes == 0 && quota_bytes(o) != 0 && quota_bytes(o) < least_bytes) {
        (void)snprintf(ret_detail, ENGINE_DETAIL_BYTES,
                       "the disk space for data is less than the %" PRIu64
                       " MiB that %u workers need",
                       least_bytes >> 20, o->worker_count);
        return ERR_BAD_REQUEST;
    }
    struct engine *e = MEM_NEW(struct engine);
    e->data_dir = mem_strdup(o->data_dir);
    e->worker_count = o->worker_count;
    e->memory_bytes = o->memory_bytes;
    e->quota = o->quota;
    e->is_unthreaded = o->unthreaded;
    e->hooks = o->hooks;
    e->hooks_ctx = o->hooks_ctx;
    e->shard_count = o->shard_count;
    e->slot_count = o->shard_count + 1;
    e->random = o->random;
    list_init(&e->changes);
    e->map_bytes = o->map_bytes != 0 ? o->map_bytes : store_map_bytes(o->shard_count);
    e->shards = mem_zalloc(e->slot_count * sizeof(struct shard *));
    list_init(&e->dirty);
    list_init(&e->logging);
    engine_set_time(e, mono_ms, wall_ms);

    struct wal_recovery *recovery = NULL;
    enum err err = open_log(e, o, &recovery, ret_detail);
    if (err == ERR_OK) {
        err = start_threads(e, o);
        if (err != ERR_OK) {
            (void)engine_explain(ret_detail, err, e->data_dir, "no thread could be started");
        }
    }
    if (err == ERR_OK) {
        err = engine_open_shards(e, recovery, o, ret_detail);
    }
    wal_recovery_free(recovery);
    if (err != ERR_OK) {
        engine_close(e);
        return err;
    }
    engine_watch_space(e);
    *ret_engine = e;
    return ERR_OK;
}
