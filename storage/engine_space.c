/* Space and checkpoints: what an engine does now and then so that neither its memory nor its log
 * grows without bound. */
#include <errno.h>
#include <sys/statvfs.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/engine_own.h"
#include "storage/idle_memory.h"

enum {
    CHECKPOINT_AGE_MS = 10 * 1000, /* rows are in the store this long after they were written */
    CHECKPOINTS_MAX = 4,           /* frozen at once: their memory counts until they are done */
    CHECKPOINT_RETRY_MS = 1000,    /* after a full disk */
    SPACE_WATCH_MS = 1000,
    HARD_RESERVE_PART = 4, /* of the reserve, that room in the stores' files does not stand for */
    PINNED_MAX = 16,
    WAL_PART_WANTED = 4, /* of its budget is read at a start: above it they hurry */
    REOPEN_ROWS = 256,   /* of a checkpoint: it dirtied pages worth giving back */
    TRIM_MS = 5 * 1000,
    KEEP_PART = 8, /* of the memory for rows: entries kept for peers */
};

#define KEEP_BYTES_MAX    ((size_t)32 << 20) /* of one group */
#define SPACE_WATCH_BYTES (ENGINE_RESERVE_BYTES / 8)

static bool holds_rows(const struct engine *e)
{
    for (uint32_t id = 0; id < e->slot_count; id++) {
        const struct shard *s = e->shards[id];
        if (s != NULL && (s->state.frozen != NULL || !overlay_is_empty(s->state.active))) {
            return true;
        }
    }
    return false;
}

/* A batch that is larger than the whole budget goes alone. */
static bool has_memory(const struct engine *e, size_t bytes)
{
    return e->stats.overlay_bytes + e->stats.log_bytes + e->queued_bytes + bytes <=
               e->memory_bytes ||
           (e->queued_bytes == 0 && !holds_rows(e));
}

/* What was proposed since the last flush is not yet in the log, but has its room there. A log that is
 * full of what checkpoints will take out of it is no full disk. */
static enum err reserve_log(struct engine *e, size_t bytes, uint64_t *ret_value)
{
    const struct wal_stats stats = wal_stats(e->wal);
    uint64_t waiting = stats.queued_bytes + e->collecting_bytes;
    *ret_value = stats.budget_bytes;
    if (waiting > 0 && waiting + bytes > WAL_QUEUE_BYTES_MAX) {
        return ERR_OVERLOADED;
    }
    enum err err = wal_reserve(e->wal, e->collecting_bytes + bytes);
    return err == ERR_STORAGE_FULL && !stats.is_full ? ERR_OVERLOADED : err;
}

static uint64_t free_bytes(const char *path)
{
    struct statvfs fs;
    return statvfs(path, &fs) == 0 ? (uint64_t)fs.f_bavail * fs.f_frsize : UINT64_MAX / 2;
}

/* A store's file never shrinks: what was deleted in it is room all the same. */
static void look_at_disk(struct engine *e)
{
    uint64_t store_bytes = 0;
    uint64_t used_bytes = 0;
    uint64_t actors = 0;
    for (uint32_t id = 0; id < e->slot_count; id++) {
        if (e->shards[id] != NULL) {
            store_bytes += e->shards[id]->file_bytes;
            used_bytes += e->shards[id]->used_bytes;
            actors += shard_state_applied(&e->shards[id]->state)->actors;
        }
    }
    uint64_t reusable_bytes = store_bytes > used_bytes ? store_bytes - used_bytes : 0;
    uint64_t free = free_bytes(e->data_dir);
    e->stats.actors = actors;
    e->stats.store_bytes = store_bytes;
    e->stats.disk_free_bytes = free;
    e->is_disk_full = free + reusable_bytes < ENGINE_RESERVE_BYTES ||
                      free < ENGINE_RESERVE_BYTES / HARD_RESERVE_PART;
    e->unseen_bytes = 0;
    e->next_space_ms = e->now_ms + SPACE_WATCH_MS;
}

/* What a disk that several use has left is known but now and then. Between two looks no more is taken
 * than a part of the reserve, however fast. */
static void look_at_disk_in_time(struct engine *e, size_t bytes)
{
    e->unseen_bytes += bytes;
    if (e->unseen_bytes > SPACE_WATCH_BYTES) {
        look_at_disk(e);
    }
}

static bool has_quota(const struct engine *e)
{
    return e->quota != NULL && e->quota->bytes_max != 0;
}

/* Deletes are counted like all that is used, and never refused: they make room in the end. */
static bool take_of_quota(struct engine *e, size_t bytes, bool only_deletes)
{
    if (!has_quota(e) || disk_quota_take(e->quota, &e->said_bytes, bytes)) {
        return true;
    }
    if (only_deletes) {
        disk_quota_say(e->quota, &e->said_bytes, e->said_bytes + bytes);
        return true;
    }
    e->no_room_bytes = bytes;
    return false;
}

static void give_back_to_quota(struct engine *e, size_t bytes)
{
    if (has_quota(e)) {
        disk_quota_say(e->quota, &e->said_bytes, e->said_bytes - bytes);
    }
}

bool engine_is_over_quota(const struct engine *e)
{
    return has_quota(e) && e->no_room_bytes != 0 &&
           !disk_quota_has_room(e->quota, e->no_room_bytes);
}

static enum err reserve_memory_and_log(struct engine *e, size_t bytes, const char **ret_limit,
                                       uint64_t *ret_value)
{
    if (!has_memory(e, bytes)) {
        e->wants_memory = true;
        *ret_limit = "uncheckpointed_bytes";
        *ret_value = e->memory_bytes;
        return ERR_OVERLOADED;
    }
    *ret_limit = "wal_bytes";
    return reserve_log(e, bytes, ret_value);
}

enum err engine_reserve(struct engine *e, size_t bytes, bool only_deletes, const char **ret_limit,
                        uint64_t *ret_value)
{
    enum err err = ERR_STORAGE_FULL;
    look_at_disk_in_time(e, bytes);
    if (e->is_disk_full && !only_deletes) {
        *ret_limit = "disk_free_bytes";
        *ret_value = ENGINE_RESERVE_BYTES;
    } else if (!take_of_quota(e, bytes, only_deletes)) {
        *ret_limit = "max_disk";
        *ret_value = e->quota->bytes_max;
    } else {
        err = reserve_memory_and_log(e, bytes, ret_limit, ret_value);
        if (err != ERR_OK) {
            give_back_to_quota(e, bytes);
        }
    }
    e->stats.refused_full += err == ERR_STORAGE_FULL ? 1 : 0;
    e->stats.refused_overloaded += err == ERR_OVERLOADED ? 1 : 0;
    return err;
}

/* What a leader has committed must be taken some time: no limit but those of memory and log. */
bool engine_accepts(struct engine *e, size_t bytes)
{
    if (!has_memory(e, bytes)) {
        e->wants_memory = true;
        return false;
    }
    return wal_reserve(e->wal, e->collecting_bytes + bytes) == ERR_OK;
}

/* All groups share a part of the memory for rows. One gets what the others leave, and its share in any
 * case; what its peers are known to lack may take twice that part, since the alternative is a copy of
 * the whole store. */
struct group_keep engine_keep(const struct engine *e, const struct shard *s)
{
    size_t part = (size_t)(e->memory_bytes / KEEP_PART);
    size_t others = (size_t)e->stats.log_bytes - s->kept_bytes;
    size_t left = others < part ? part - others : 0;
    size_t left_for_peers = others < 2 * part ? 2 * part - others : 0;
    size_t share = part / e->slot_count;
    struct group_keep keep = {.bytes = left > share ? left : share};
    keep.bytes = keep.bytes < KEEP_BYTES_MAX ? keep.bytes : KEEP_BYTES_MAX;
    keep.bytes_for_peers = left_for_peers < KEEP_BYTES_MAX ? left_for_peers : KEEP_BYTES_MAX;
    return keep;
}

/* Memory that rows take stands for the room that a checkpoint will need for them. The log counts whole:
 * it takes its segments when it needs them, and asks nobody. */
void engine_watch_space(struct engine *e)
{
    const struct wal_stats log = wal_stats(e->wal);
    uint64_t log_bytes = log.total_bytes > log.budget_bytes ? log.total_bytes : log.budget_bytes;
    uint64_t overlay_bytes = 0;
    uint64_t used_bytes = 0;
    for (uint32_t id = 0; id < e->slot_count; id++) {
        if (e->shards[id] != NULL) {
            overlay_bytes += shard_state_bytes(&e->shards[id]->state);
            used_bytes += e->shards[id]->used_bytes;
        }
    }
    e->stats.overlay_bytes = overlay_bytes;
    if (e->quota != NULL) {
        disk_quota_say(e->quota, &e->said_bytes,
                       used_bytes + log_bytes + overlay_bytes + e->queued_bytes);
    }
    if (e->now_ms >= e->next_space_ms) {
        look_at_disk(e);
    }
}

/* Memory */

static void run_trim_on_store(struct job *job)
{
    (void)job;
    idle_memory_give_back();
}

static void trim_is_done(struct job *job)
{
    CONTAINER_OF(job, struct engine, trim)->trim_runs = false;
}

static void run_reopen_on_reader(struct job *job)
{
    struct shard *s = CONTAINER_OF(job, struct shard, reopen);
    s->reopen_err = store_reopen(s->store);
    s->reopen_errno = errno;
}

static void reopen_is_done(struct job *job)
{
    struct shard *s = CONTAINER_OF(job, struct shard, reopen);
    s->reopen_runs = false;
    s->engine->reopen_runs = false;
    if (s->reopen_err != ERR_OK && !s->engine->is_abandoned) {
        engine_stop_io(s, s->reopen_err, s->reopen_errno, "opening the store");
    }
    if (!s->engine->is_closing) {
        shard_go_on_installing(s);
    }
}

static bool may_reopen(const struct shard *s)
{
    bool is_quiet = s->state.frozen == NULL && overlay_is_empty(s->state.active);
    return !s->checkpoint_runs && s->copies == 0 && !shard_is_replacing_store(s) &&
           (s->must_reopen || (s->wants_reopen && is_quiet));
}

/* Reads queue up behind the job; checkpoints are held back (may_begin). One shard at a time. */
static void reopen_a_store(struct engine *e)
{
    for (uint32_t id = 0; !e->reopen_runs && id < e->slot_count; id++) {
        struct shard *s = e->shards[id];
        if (s == NULL || !may_reopen(s)) {
            continue;
        }
        s->reopen =
            (struct job){.run_on_thread = run_reopen_on_reader, .done_on_worker = reopen_is_done};
        if (job_thread_submit(e->reader, &s->reopen) != ERR_OK) {
            return; /* the reader is busy: later */
        }
        s->wants_reopen = false;
        s->must_reopen = false;
        s->reopen_runs = true;
        e->reopen_runs = true;
    }
}

void engine_trim_memory(struct engine *e)
{
    reopen_a_store(e);
    if (e->trim_runs || e->now_ms < e->next_trim_ms) {
        return;
    }
    e->next_trim_ms = e->now_ms + TRIM_MS;
    mem_give_back_small();
    e->trim = (struct job){.run_on_thread = run_trim_on_store, .done_on_worker = trim_is_done};
    e->trim_runs = job_thread_submit(e->store_thread, &e->trim) == ERR_OK;
}

/* Checkpoints */

static void run_checkpoint_on_store(struct job *job)
{
    struct shard *s = CONTAINER_OF(job, struct shard, checkpoint);
    if (!s->engine->is_abandoned) {
        s->checkpoint_err = checkpoint_write(s->store, s->state.frozen, &s->checkpoint_report);
        s->checkpoint_errno = errno;
    }
}

static void checkpoint_is_done(struct job *job)
{
    struct shard *s = CONTAINER_OF(job, struct shard, checkpoint);
    struct engine *e = s->engine;
    s->checkpoint_runs = false;
    e->checkpoint_ended = !e->is_closing;
    if (e->is_abandoned) {
        return;
    }
    switch ((int)s->checkpoint_err) {
    case ERR_OK:
        e->stats.overlay_bytes -= overlay_bytes(s->state.frozen);
        shard_state_checkpoint_done(&s->state);
        s->is_full = false;
        s->file_bytes = s->checkpoint_report.file_bytes;
        s->used_bytes = s->checkpoint_report.used_bytes;
        s->wants_reopen = s->wants_reopen || s->checkpoint_report.rows_put > REOPEN_ROWS;
        e->stats.checkpoints++;
        e->stats.checkpoint_rows += s->checkpoint_report.rows_put;
        e->stats.checkpoint_ns += s->checkpoint_report.duration_ns;
        e->stats.rows_erased += s->checkpoint_report.rows_erased;
        s->wants_erasing = s->checkpoint_report.more_to_erase;
        break;
    case ERR_STORAGE_FULL: /* the frozen rows stay in memory and in the log */
        e->stats.checkpoint_failures++;
        s->is_full = true;
        s->must_reopen = true;
        s->checkpoint_after_ms = e->now_ms + CHECKPOINT_RETRY_MS;
        break;
    default:
        engine_stop_io(s, s->checkpoint_err, s->checkpoint_errno, "a checkpoint");
    }
    if (!e->is_closing) {
        shard_compact(s);
        shard_go_on_installing(s);
    }
}

static void begin_checkpoint(struct shard *s)
{
    if (s->state.frozen == NULL) {
        (void)shard_state_freeze(&s->state);
        s->engine->stats.overlay_bytes += overlay_bytes(s->state.active); /* a new one */
    }
    s->wants_checkpoint = false;
    s->checkpoint = (struct job){.run_on_thread = run_checkpoint_on_store,
                                 .done_on_worker = checkpoint_is_done};
    enum err err = job_thread_submit(s->engine->store_thread, &s->checkpoint);
    INVARIANT(err == ERR_OK); /* the queue has room for one of each shard */
    s->checkpoint_runs = true;
}

static bool may_begin(const struct shard *s)
{
    return !s->checkpoint_runs && !s->reopen_runs && !s->must_reopen &&
           !shard_is_replacing_store(s) && s->engine->now_ms >= s->checkpoint_after_ms;
}

/* How much a shard's rows want to be in the store; 0: they can wait. The log's needs come first,
 * then memory, then age; erasing what was dropped needs a checkpoint too, of nothing. */
static uint64_t urgency(const struct shard *s)
{
    const struct engine *e = s->engine;
    uint64_t bytes = overlay_bytes(s->state.active);
    if (!may_begin(s)) {
        return 0;
    }
    if (s->state.frozen != NULL) {
        return UINT64_MAX; /* one that failed */
    }
    /* Where nothing more was applied it would change nothing: what fills the log waits for a leader. */
    if (s->wants_checkpoint && shard_state_applied(&s->state)->index > s->state.durable.index) {
        return UINT64_MAX / 2 + bytes;
    }
    uint64_t oldest_ms = s->state.active->oldest_ms;
    bool memory_is_short =
        e->wants_memory || e->stats.overlay_bytes + e->stats.log_bytes > e->memory_bytes / 2;
    bool is_large = bytes >= FREEZE_BYTES || s->state.active->row_count >= FREEZE_ROWS;
    bool is_old = oldest_ms != 0 && oldest_ms + CHECKPOINT_AGE_MS <= e->now_ms;
    if (!overlay_is_empty(s->state.active) && (memory_is_short || is_large || is_old)) {
        return 1 + bytes;
    }
    return s->wants_erasing ? 1 : 0;
}

static void mark_holders(struct engine *e)
{
    struct wal_holder holders[PINNED_MAX];
    const struct wal_stats stats = wal_stats(e->wal);
    if (stats.retained_bytes < stats.budget_bytes / WAL_PART_WANTED) {
        return;
    }
    size_t count = wal_pinned(e->wal, holders, PINNED_MAX);
    for (size_t i = 0; i < count; i++) {
        struct shard *s = e->shards[engine_slot_of(e, holders[i].group - 1)];
        s->wants_checkpoint = s->wants_checkpoint || s->state.durable.index < holders[i].max_index;
    }
}

void engine_checkpoint_due(struct engine *e)
{
    uint32_t running = 0;
    e->checkpoint_ended = false;
    mark_holders(e);
    for (uint32_t id = 0; id < e->slot_count; id++) {
        running += e->shards[id] != NULL && e->shards[id]->checkpoint_runs ? 1 : 0;
    }
    while (running < CHECKPOINTS_MAX) {
        struct shard *most = NULL;
        uint64_t most_urgent = 0;
        for (uint32_t id = 0; id < e->slot_count; id++) {
            struct shard *s = e->shards[id];
            uint64_t u = s != NULL ? urgency(s) : 0;
            if (u > most_urgent) {
                most_urgent = u;
                most = s;
            }
        }
        if (most == NULL) {
            e->wants_memory = false;
            return;
        }
        begin_checkpoint(most);
        running++;
    }
}
