/* A copy of another replica's store takes the place of a shard's own.
 *
 *     store thread   the file gets its name beside the store, the next generation, durably, and is opened
 *     worker         the group is told; the log says from now on which file is the store
 *     flusher        that is durable
 *     reader         what still reads the old store is through; it is closed and goes
 *     worker         rows in memory go, the group goes on from the copy
 *
 * A crash before the record leaves a file that no record names: the next start removes it. After the
 * record the next start opens the new one. */
#include <errno.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/checkpoint.h"
#include "storage/disk.h"
#include "storage/engine_own.h"
#include "storage/group_wire.h"
#include "storage/shard_own.h"

/* Offering */

enum err shard_offer(struct shard *s, uint64_t to, const struct applied *applied,
                     struct buf *ret_message)
{
    return group_offer(s->group, to, applied->index, applied->term, ret_message);
}

/* Ending */

static void drop_store(struct shard_install *i, bool keeps_file)
{
    char *path = engine_store_path(i->shard->engine, i->shard->id, i->generation);
    store_close(i->store);
    i->store = NULL;
    if (!keeps_file) {
        engine_unlink_store(path);
    }
    mem_free(path);
}

void shard_end_install(struct shard *s, enum err err)
{
    struct shard_install *i = s->install;
    if (i == NULL) {
        return;
    }
    if (i->store != NULL && i->is_taken) {
        store_close(i->store); /* its record may be durable: the next start says */
    } else if (i->store != NULL) {
        drop_store(i, s->engine->is_abandoned);
    }
    s->install = NULL;
    buf_done(&i->message);
    mem_free(i->path);
    i->done(i, err);
}

/* Replacing */

static void run_swap_on_reader(struct job *job)
{
    struct shard_install *i = CONTAINER_OF(job, struct shard_install, running);
    struct shard *s = i->shard;
    if (s->engine->is_abandoned) {
        return;
    }
    char *old_path = engine_store_path(s->engine, s->id, s->generation);
    store_close(s->store);
    s->store = i->store;
    i->store = NULL;
    engine_unlink_store(old_path); /* else the next start does */
    mem_free(old_path);
    i->err = checkpoint_has_to_erase(s->store, &i->wants_erasing);
    i->reason = errno;
}

static void swap_is_done(struct job *job)
{
    struct shard_install *i = CONTAINER_OF(job, struct shard_install, running);
    struct shard *s = i->shard;
    struct engine *e = s->engine;
    if (e->is_closing) {
        shard_end_install(s, ERR_CLOSED);
        return;
    }
    if (i->err != ERR_OK) {
        engine_stop_io(s, i->err, i->reason, "installing a snapshot");
    }
    e->stats.overlay_bytes -= shard_state_bytes(&s->state);
    shard_state_replace(&s->state, &i->applied);
    e->stats.overlay_bytes += shard_state_bytes(&s->state);
    s->generation = i->generation;
    s->compacted = i->applied.index;
    s->file_bytes = store_file_bytes(s->store);
    s->used_bytes = store_used_bytes(s->store);
    s->is_full = false;
    s->wants_checkpoint = false;
    s->wants_erasing = i->wants_erasing;
    e->stats.snapshots_installed++;
    group_installed(s->group, e->now_ms);
    if (s->id == SHARD_META && e->hooks->meta_applied != NULL) {
        e->hooks->meta_applied(e->hooks_ctx, s);
    }
    shard_after_group(s);
    shard_end_install(s, ERR_OK);
}

bool shard_is_replacing_store(const struct shard *s)
{
    return s->install != NULL && s->install->is_taken;
}

void shard_go_on_installing(struct shard *s)
{
    struct shard_install *i = s->install;
    if (i == NULL || !i->is_logged || i->swaps || s->checkpoint_runs || s->reopen_runs ||
        s->copies > 0) {
        return;
    }
    i->running = (struct job){.run_on_thread = run_swap_on_reader, .done_on_worker = swap_is_done};
    i->swaps = job_thread_submit(s->engine->reader, &i->running) == ERR_OK; /* else at a tick */
}

void shard_hear_install(void *ctx, const struct group_snapshot *snapshot)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    INVARIANT(shard->install != NULL && shard->install->applied.index == snapshot->index);
    shard->install->is_logged = true;
    shard_go_on_installing(shard);
}

/* Taking */

static void run_stage_on_store(struct job *job)
{
    struct shard_install *i = CONTAINER_OF(job, struct shard_install, running);
    struct engine *e = i->shard->engine;
    if (e->is_abandoned) {
        return;
    }
    char *path = engine_store_path(e, i->shard->id, i->generation);
    engine_unlink_store(path); /* of an attempt that was not taken up */
    i->err = disk_rename(NULL, DISK_STORE_FILE, i->path, path);
    if (i->err == ERR_OK) {
        i->err = store_open(path, e->map_bytes, &i->store); /* syncs it, and its name */
    }
    if (i->err == ERR_OK) {
        i->err = store_applied(i->store, &i->applied);
    }
    mem_free(path);
}

/* The offer is of this very copy. */
static enum err check_offer(const struct shard_install *i)
{
    struct group_message m;
    enum err err = group_wire_decode(buf_slice(&i->message), &m);
    if (err == ERR_OK && (m.type != GROUP_INSTALL || m.install.index != i->applied.index ||
                          m.install.term != i->applied.term)) {
        return ERR_CORRUPT;
    }
    return err;
}

static void stage_is_done(struct job *job)
{
    struct shard_install *i = CONTAINER_OF(job, struct shard_install, running);
    struct shard *s = i->shard;
    struct engine *e = s->engine;
    enum err err = e->is_closing ? ERR_CLOSED : i->err;
    err = err == ERR_OK ? check_offer(i) : err;
    if (err != ERR_OK) {
        shard_end_install(s, err);
        return;
    }
    bool taken = false;
    err = group_accept(s->group, i->from, buf_slice(&i->message), e->now_ms, &taken);
    i->is_taken = taken;
    shard_after_group(s);
    if (!taken) {
        shard_end_install(s, err);
    }
}

enum err shard_install(struct shard *s, struct shard_install *i)
{
    if (s->install != NULL) {
        return ERR_BUSY;
    }
    i->shard = s;
    i->generation = s->generation + 1;
    i->is_taken = false;
    i->is_logged = false;
    i->swaps = false;
    i->store = NULL;
    i->running = (struct job){.run_on_thread = run_stage_on_store, .done_on_worker = stage_is_done};
    enum err err = job_thread_submit(s->engine->store_thread, &i->running);
    if (err == ERR_OK) {
        s->install = i;
    }
    return err;
}
