/* Replicas that come to this node and go from it while it runs.
 *
 *     add       store thread: an empty store             worker: in the log, the group starts empty
 *     remove    worker: the shard is out of reach, its end is in the log
 *               flusher: that is durable      reader: what still reads is through; the file goes
 *
 * A crash in the middle of the first leaves a file, of the second perhaps one too: a start removes the
 * files of groups that are not in the log and have no replica here, or one that joins. */
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/engine_own.h"

static void end(struct engine_change *c, enum err err)
{
    list_remove(&c->link);
    c->done(c, err);
}

static bool is_changing(const struct engine *e, uint32_t shard)
{
    LIST_FOREACH (link, &e->changes) {
        if (LIST_ENTRY(link, struct engine_change, link)->shard == shard) {
            return true;
        }
    }
    return false;
}

/* Adding */

static void run_make_on_store(struct job *job)
{
    struct engine_change *c = CONTAINER_OF(job, struct engine_change, running);
    if (c->engine->is_abandoned) {
        return;
    }
    char *path = engine_store_path(c->engine, c->shard, 1);
    engine_unlink_store(path);
    c->err = store_open(path, c->engine->map_bytes, &c->store);
    mem_free(path);
}

static void make_is_done(struct job *job)
{
    struct engine_change *c = CONTAINER_OF(job, struct engine_change, running);
    struct engine *e = c->engine;
    enum err err = e->is_closing ? ERR_CLOSED : c->err;
    if (err != ERR_OK) {
        store_close(c->store);
        end(c, err);
        return;
    }
    const struct engine_replica replica = {.replica = c->replica};
    const char *reason;
    (void)wal_create_replica(e->wal, engine_group_of_shard(c->shard), c->replica);
    struct shard *s = engine_make_shard(e, c->shard, &replica, c->store, 1);
    c->store = NULL;
    err = shard_start(s, &(struct group_recovered){0}, e->now_ms, &reason);
    INVARIANT(err == ERR_OK); /* of nothing, over nothing */
    end(c, ERR_OK);
}

enum err engine_add_replica(struct engine *e, struct engine_change *c)
{
    PRE(c->shard < e->shard_count || c->shard == SHARD_META);
    PRE(c->replica > 0);
    if (e->shards[engine_slot_of(e, c->shard)] != NULL) {
        return ERR_CONFLICT;
    }
    if (is_changing(e, c->shard)) {
        return ERR_BUSY;
    }
    c->engine = e;
    c->store = NULL;
    c->leaving = NULL;
    c->running = (struct job){.run_on_thread = run_make_on_store, .done_on_worker = make_is_done};
    enum err err = job_thread_submit(e->store_thread, &c->running);
    if (err == ERR_OK) {
        list_init(&c->link);
        list_append(&e->changes, &c->link);
    }
    return err;
}

/* Removing */

static void run_close_on_reader(struct job *job)
{
    struct engine_change *c = CONTAINER_OF(job, struct engine_change, running);
    if (c->engine->is_abandoned) {
        return;
    }
    char *path = engine_store_path(c->engine, c->shard, c->leaving->generation);
    store_close(c->leaving->store);
    c->leaving->store = NULL;
    engine_unlink_store(path);
    mem_free(path);
}

static void close_is_done(struct job *job)
{
    struct engine_change *c = CONTAINER_OF(job, struct engine_change, running);
    shard_free(c->leaving);
    c->leaving = NULL;
    end(c, c->engine->is_closing ? ERR_CLOSED : ERR_OK);
}

void engine_go_on_changing(struct engine *e, uint64_t durable)
{
    LIST_FOREACH (link, &e->changes) {
        struct engine_change *c = LIST_ENTRY(link, struct engine_change, link);
        if (c->leaving != NULL && !c->runs && c->sequence <= durable) {
            c->running =
                (struct job){.run_on_thread = run_close_on_reader, .done_on_worker = close_is_done};
            c->runs = job_thread_submit(e->reader, &c->running) == ERR_OK;
        }
    }
}

void engine_end_changes(struct engine *e)
{
    LIST_FOREACH_SAFE (link, &e->changes) {
        struct engine_change *c = LIST_ENTRY(link, struct engine_change, link);
        if (c->leaving != NULL) {
            shard_free(c->leaving);
        }
        end(c, ERR_CLOSED);
    }
}

enum err engine_remove_replica(struct engine *e, struct engine_change *c)
{
    PRE(c->shard < e->shard_count || c->shard == SHARD_META);
    struct shard *s = e->shards[engine_slot_of(e, c->shard)];
    if (s == NULL || shard_is_leading(s)) {
        return s == NULL ? ERR_NOT_FOUND : ERR_CONFLICT;
    }
    if (is_changing(e, c->shard) || s->checkpoint_runs || s->reopen_runs || s->copies > 0 ||
        s->log_holds > 0 || s->install != NULL) {
        return ERR_BUSY;
    }
    e->shards[engine_slot_of(e, c->shard)] = NULL;
    heap_remove(&e->due, &s->due);
    e->stats.overlay_bytes -= shard_state_bytes(&s->state);
    e->stats.log_bytes -= s->kept_bytes;
    list_remove(&s->dirty);
    list_init(&s->dirty);
    list_remove(&s->logging);
    list_init(&s->logging);
    s->is_leaving = true;
    c->engine = e;
    c->leaving = s;
    c->runs = false;
    c->sequence = wal_remove_replica(e->wal, engine_group_of_shard(c->shard));
    list_init(&c->link);
    list_append(&e->changes, &c->link);
    return ERR_OK;
}
