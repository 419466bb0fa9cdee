#include "storage/engine.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "storage/engine_own.h"

enum { SEAL_AFTER_MS = 200 }; /* without a flush */

_Noreturn void engine_stop_corrupt(struct engine *e, uint32_t shard, uint64_t index)
{
    (void)fprintf(stderr, "%s: shard %u: entry %" PRIu64 " of the log is damaged\n", e->data_dir,
                  shard, index);
    _Exit(EX_IOERR);
}

/* What the system said, where it said something. */
const char *engine_reason(enum err err, int reason)
{
    bool is_system = err == ERR_IO || err == ERR_STORAGE_FULL;
    return is_system && reason != 0 ? strerror(reason) : err_info(err)->text;
}

/* LMDB does not tell which of a transaction's writes failed, and a sync is of the whole file: the line
 * names all that may be meant. */
_Noreturn void engine_stop_io(const struct shard *s, enum err err, int reason, const char *what)
{
    (void)fprintf(stderr, "%s: offset 0 to %" PRIu64 ": %s of shard %u failed: %s; stopping\n",
                  s->store->path, s->file_bytes, what, s->id, engine_reason(err, reason));
    _Exit(EX_IOERR);
}

void engine_close(struct engine *e)
{
    if (e == NULL) {
        return;
    }
    e->is_closing = true;
    if (e->quota != NULL) {
        disk_quota_say(e->quota, &e->said_bytes, 0);
    }
    job_thread_stop(e->bulk); /* it reads stores that are open */
    job_thread_stop(e->reader);
    job_thread_stop(e->store_thread);
    if (e->is_abandoned) {
        wal_abandon(e->wal);
    } else {
        wal_close(e->wal);
    }
    engine_end_changes(e);
    for (uint32_t id = 0; id < e->slot_count; id++) {
        if (e->shards[id] != NULL) {
            shard_free(e->shards[id]);
        }
    }
    heap_done(&e->due);
    mem_free(e->shards);
    mem_free(e->data_dir);
    mem_free(e);
}

void engine_abandon(struct engine *e)
{
    PRE(e->is_unthreaded);
    e->is_abandoned = true;
    engine_close(e);
}

/* The loop */

bool engine_work(struct engine *e, int kinds)
{
    return ((kinds & ENGINE_LOG) != 0 && wal_work(e->wal)) ||
           ((kinds & ENGINE_CHECKPOINTS) != 0 && job_thread_work(e->store_thread)) ||
           ((kinds & ENGINE_READS) != 0 && job_thread_work(e->reader)) ||
           ((kinds & ENGINE_BULK) != 0 && job_thread_work(e->bulk));
}

void engine_set_time(struct engine *e, uint64_t mono_ms, uint64_t wall_ms)
{
    e->now_ms = mono_ms;
    e->wall_ms = wall_ms;
}

void engine_flush(struct engine *e)
{
    struct shard *s;
    while ((s = LIST_FIRST(&e->dirty, struct shard, dirty)) != NULL) {
        list_remove(&s->dirty);
        shard_flush(s);
    }
    wal_kick(e->wal);
    job_thread_kick(e->store_thread);
    job_thread_kick(e->reader);
    job_thread_kick(e->bulk);
}

enum err engine_submit_bulk(struct engine *e, struct job *job)
{
    return job_thread_submit(e->bulk, job);
}

/* False: there was none. */
static bool count_flush(struct engine *e)
{
    const struct wal_stats stats = wal_stats(e->wal);
    if (stats.flushes == e->flushes_seen) {
        return false;
    }
    e->flushes_seen = stats.flushes;
    e->flushed_ms = e->now_ms;
    histogram_add(&e->stats.flushes, stats.last_flush_ns);
    return true;
}

/* What a group logs meanwhile puts its shard back into the list: it waits for a later flush. */
static void tell_durable(struct engine *e, uint64_t durable)
{
    struct list waiting;
    list_init(&waiting);
    list_move_all(&waiting, &e->logging);
    struct shard *s;
    while ((s = LIST_FIRST(&waiting, struct shard, logging)) != NULL) {
        list_remove(&s->logging);
        shard_on_durable(s, durable);
        if (s->logged > durable && list_is_empty(&s->logging)) {
            list_append(&e->logging, &s->logging);
        }
    }
}

void engine_poll(struct engine *e)
{
    uint64_t durable = wal_poll(e->wal);
    if (count_flush(e)) {
        tell_durable(e, durable);
    }
    engine_go_on_changing(e, durable);
    job_thread_poll(e->store_thread);
    job_thread_poll(e->reader);
    job_thread_poll(e->bulk);
    if (e->checkpoint_ended) {
        engine_checkpoint_due(e); /* the next ones need not wait for the tick */
    }
}

uint64_t engine_next_ms(struct engine *e)
{
    const struct heap_node *first = heap_first(&e->due);
    return first != NULL ? first->key : UINT64_MAX;
}

/* Each at most once, whatever it asks for then. */
static void tick_groups(struct engine *e)
{
    for (size_t left = e->due.count; left > 0 && engine_next_ms(e) <= e->now_ms; left--) {
        shard_tick(CONTAINER_OF(heap_first(&e->due), struct shard, due));
    }
}

static void tick_shards(struct engine *e)
{
    for (uint32_t id = 0; id < e->slot_count; id++) {
        if (e->shards[id] != NULL) {
            shard_compact(e->shards[id]);
            shard_go_on_installing(e->shards[id]);
        }
    }
}

/* Rest */

static void rouse_all(struct engine *e, uint32_t node, uint64_t heard_ms)
{
    for (uint32_t id = 0; id < e->slot_count; id++) {
        if (e->shards[id] != NULL) {
            shard_rouse(e->shards[id], node, heard_ms);
        }
    }
}

void engine_hear_pulse(struct engine *e, uint32_t node, uint64_t life, uint64_t heard_ms)
{
    if (pulses_hear(&e->pulses, node, life, heard_ms)) {
        rouse_all(e, node, e->now_ms);
    }
}

static void notice_silence(struct engine *e)
{
    const struct pulse *silent;
    while ((silent = pulses_next_silent(&e->pulses, e->now_ms)) != NULL) {
        rouse_all(e, silent->node, silent->heard_ms);
    }
}

void engine_tick(struct engine *e)
{
    notice_silence(e);
    tick_groups(e);
    if (e->now_ms < e->next_tick_ms) {
        return;
    }
    e->next_tick_ms = e->now_ms + ENGINE_TICK_MS;
    tick_shards(e);
    engine_watch_space(e);
    engine_checkpoint_due(e);
    engine_trim_memory(e);
    if (e->flushed_ms + SEAL_AFTER_MS <= e->now_ms) {
        wal_seal(e->wal); /* damage to the last frame can be proved from then on */
    }
}

enum err engine_receive(struct engine *e, uint32_t shard, uint64_t from, struct slice message)
{
    PRE(shard < e->shard_count || shard == SHARD_META);
    struct shard *s = e->shards[engine_slot_of(e, shard)];
    return s != NULL ? shard_receive(s, from, message) : ERR_NOT_FOUND;
}

struct shard *engine_shard(const struct engine *e, uint32_t id)
{
    PRE(id < e->shard_count || id == SHARD_META);
    return e->shards[engine_slot_of(e, id)];
}

struct shard *engine_meta(const struct engine *e)
{
    return engine_shard(e, SHARD_META);
}

bool engine_is_ready(const struct engine *e)
{
    for (uint32_t id = 0; id < e->slot_count; id++) {
        const struct shard *s = e->shards[id];
        if (s != NULL && !shard_is_leading(s) &&
            (group_leader(s->group) == 0 || group_leader(s->group) == s->replica)) {
            return false;
        }
    }
    return true;
}

enum { PROPOSAL_EXTRA_BYTES = 64 }; /* its length in the entry, and a log record's head */

void engine_note_proposed(struct engine *e, size_t bytes)
{
    e->queued_bytes += bytes;
    e->collecting_bytes += bytes + PROPOSAL_EXTRA_BYTES;
}

void engine_note_logged(struct engine *e, size_t bytes)
{
    INVARIANT(e->collecting_bytes >= bytes + PROPOSAL_EXTRA_BYTES);
    e->collecting_bytes -= bytes + PROPOSAL_EXTRA_BYTES;
}

void engine_note_ended(struct engine *e, size_t bytes)
{
    INVARIANT(e->queued_bytes >= bytes);
    e->queued_bytes -= bytes;
}

void engine_note_entry(struct engine *e, uint32_t batches, size_t bytes)
{
    e->stats.entries++;
    e->stats.batches += batches;
    e->stats.entry_bytes += bytes;
}

void engine_stats(const struct engine *e, struct engine_stats *ret_stats)
{
    *ret_stats = e->stats;
    ret_stats->wal = wal_stats(e->wal);
    ret_stats->leading = e->leading_count;
    ret_stats->is_direct = wal_is_direct(e->wal);
    ret_stats->is_full = e->is_disk_full || engine_is_over_quota(e) || ret_stats->wal.is_full;
    for (uint32_t id = 0; id < e->slot_count; id++) {
        const struct shard *s = e->shards[id];
        ret_stats->is_full = ret_stats->is_full || (s != NULL && s->is_full);
        ret_stats->resting += s != NULL && group_is_resting(s->group) ? 1 : 0;
    }
    ret_stats->overlay_bytes_max = e->memory_bytes;
}
