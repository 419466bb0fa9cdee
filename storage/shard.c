#include "storage/shard.h"

#include "base/clock.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/batch.h"
#include "storage/engine.h"
#include "storage/engine_own.h"
#include "storage/marker.h"
#include "storage/shard_own.h"
#include "storage/wal.h"

#define VERSION_MAX ((UINT64_C(1) << SHARD_VERSION_BITS) - 1)

/* The log, as the group sees it */

/* The group hears of it once the record is durable. */
static uint64_t logged(struct shard *s, uint64_t record)
{
    s->logged = record;
    if (list_is_empty(&s->logging)) {
        list_append(&s->engine->logging, &s->logging);
    }
    return record;
}

static uint64_t log_term_vote(void *ctx, uint64_t term, uint64_t vote)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    uint32_t group = engine_group_of_shard(shard->id);
    return logged(shard, wal_term_vote(shard->engine->wal, group, term, vote));
}

static uint64_t log_entry(void *ctx, const struct group_entry *entry)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    uint32_t group = engine_group_of_shard(shard->id);
    return logged(shard, wal_entry(shard->engine->wal, group, entry->index, entry->term,
                                   (uint8_t)entry->type, &entry->data, 1));
}

static uint64_t log_truncate(void *ctx, uint64_t from_index)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    uint32_t group = engine_group_of_shard(shard->id);
    return logged(shard, wal_truncate(shard->engine->wal, group, from_index));
}

/* The record says as well which file holds the store. */
static uint64_t log_marker(struct shard *s, const struct group_snapshot *snapshot, bool is_install)
{
    struct buf marker = {0};
    uint32_t group = engine_group_of_shard(s->id);
    marker_encode(is_install ? s->install->generation : s->generation, snapshot->configuration,
                  &marker);
    const struct wal_snapshot record = {.index = snapshot->index,
                                        .term = snapshot->term,
                                        .configuration_index = snapshot->configuration_index,
                                        .configuration = buf_slice(&marker)};
    uint64_t sequence = is_install ? wal_install(s->engine->wal, group, &record)
                                   : wal_snapshot(s->engine->wal, group, &record);
    buf_done(&marker);
    return logged(s, sequence);
}

static uint64_t log_snapshot(void *ctx, const struct group_snapshot *snapshot)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    return log_marker(shard, snapshot, false);
}

static uint64_t log_install(void *ctx, const struct group_snapshot *snapshot)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    return log_marker(shard, snapshot, true);
}

static void end_proposals(struct shard *s, struct list *proposals, enum err err)
{
    struct proposal *p;
    while ((p = LIST_FIRST(proposals, struct proposal, link)) != NULL) {
        list_remove(&p->link);
        INVARIANT(s->queued_bytes >= p->batch.len);
        s->queued_bytes -= p->batch.len;
        if (proposals == &s->queued) {
            engine_note_logged(s->engine, p->batch.len); /* it never will be */
        }
        engine_note_ended(s->engine, p->batch.len);
        p->done(p, err);
    }
}

void shard_mark_dirty(struct shard *s)
{
    if (list_is_empty(&s->dirty)) {
        list_append(&s->engine->dirty, &s->dirty);
    }
}

static void apply(void *ctx, const struct group_entry *entry)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    struct shard *s = shard;
    struct slice batches = entry->type == GROUP_COMMAND ? entry->data : (struct slice){0};
    size_t bytes_before = shard_state_bytes(&s->state);
    enum err err =
        shard_state_apply(&s->state, batches, entry->index, entry->term, s->engine->now_ms);
    if (err != ERR_OK) {
        engine_stop_corrupt(s->engine, s->id, entry->index);
    }
    s->engine->stats.overlay_bytes += shard_state_bytes(&s->state) - bytes_before;
    if (entry->type == GROUP_COMMAND && s->engine->hooks->applied != NULL) {
        s->engine->hooks->applied(s->engine->hooks_ctx, s, entry);
    }
    if (s->in_flight_index == entry->index && s->in_flight_term == entry->term) {
        s->in_flight_index = 0;
        histogram_add(&s->engine->stats.commits, clock_mono_ns() - s->in_flight_ns);
        end_proposals(s, &s->in_flight, ERR_OK);
    }
    if (!list_is_empty(&s->queued)) {
        shard_mark_dirty(s);
    }
    if (s->id == SHARD_META && entry->type == GROUP_COMMAND &&
        s->engine->hooks->meta_applied != NULL) {
        s->engine->hooks->meta_applied(s->engine->hooks_ctx, s);
    }
}

static void lead(void *ctx)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    const struct applied *applied = shard_state_applied(&shard->state);
    shard->version = applied->version;
    shard->number = applied->number;
    log_clock_start(&shard->clock, applied->log_time_ms, shard->engine->now_ms);
    shard->engine->leading_count++;
    shard->engine->hooks->lead(shard->engine->hooks_ctx, shard);
}

/* An entry that is on its way may yet be committed by the next leader; one that was never made cannot. */
static void end_all_proposals(struct shard *s)
{
    s->in_flight_index = 0;
    end_proposals(s, &s->in_flight, ERR_OUTCOME_UNKNOWN);
    end_proposals(s, &s->queued, ERR_NOT_OWNER);
}

/* The layer above goes first: after it nobody waits for these proposals' outcome any more. */
static void depose(void *ctx)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    shard->engine->leading_count--;
    shard->transfer_waits = false;
    shard->engine->hooks->depose(shard->engine->hooks_ctx, shard);
    end_all_proposals(shard);
    shard_end_proofs(shard);
}

/* Peers */

static void send_to_peer(void *ctx, uint64_t to, struct slice message)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    if (shard->engine->hooks->send != NULL) {
        shard->engine->hooks->send(shard->engine->hooks_ctx, shard, to, message);
    }
}

static bool accepts(void *ctx, size_t bytes)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    return engine_accepts(shard->engine, bytes);
}

static void wants_snapshot(void *ctx, uint64_t to, uint64_t index)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    if (shard->engine->hooks->wants_snapshot != NULL) {
        shard->engine->hooks->wants_snapshot(shard->engine->hooks_ctx, shard, to, index);
    }
}

static void wants_compaction(void *ctx)
{
    OBJ_CAST(shard, ctx, SHARD_MAGIC);
    shard->wants_checkpoint = true;
}

static const struct group_hooks group_hooks = {
    .log_term_vote = log_term_vote,
    .log_entry = log_entry,
    .log_truncate = log_truncate,
    .log_snapshot = log_snapshot,
    .log_install = log_install,
    .apply = apply,
    .lead = lead,
    .depose = depose,
    .send = send_to_peer,
    .accepts = accepts,
    .wants_snapshot = wants_snapshot,
    .wants_compaction = wants_compaction,
    .install = shard_hear_install,
    .reads_proven = shard_hear_proven,
    .is_watched = shard_is_watched,
};

/* Life */

struct shard *shard_new(struct engine *e, uint32_t id, const struct group_options *options,
                        struct store *store, uint64_t generation)
{
    struct shard *s = MEM_NEW(struct shard);
    s->magic = SHARD_MAGIC;
    s->id = id;
    s->replica = options->replica;
    s->engine = e;
    s->store = store;
    s->generation = generation;
    s->file_bytes = store_file_bytes(store);
    s->used_bytes = store_used_bytes(store);
    s->group = group_new(options, &group_hooks, s);
    list_init(&s->queued);
    list_init(&s->in_flight);
    list_init(&s->dirty);
    list_init(&s->logging);
    list_init(&s->proofs);
    return s;
}

void shard_free(struct shard *s)
{
    PRE(s->magic == SHARD_MAGIC && !s->checkpoint_runs && s->copies == 0);

    end_all_proposals(s);
    shard_end_proofs(s);
    shard_end_install(s, ERR_CLOSED);
    list_remove(&s->dirty);
    list_remove(&s->logging);
    heap_remove(&s->engine->due, &s->due);
    group_free(s->group);
    if (s->state.active != NULL) {
        shard_state_done(&s->state);
    }
    store_close(s->store);
    s->magic = 0;
    mem_free(s);
}

/* The store is ahead of its log, or behind, only where a part of the data was lost: going on would
 * skip new entries for old ones. */
static const char *mismatch_of(const struct applied *durable, const struct group_recovered *r)
{
    if (durable->index < r->snapshot.index) {
        return "the store lacks what the log gave up after a checkpoint";
    }
    if (durable->index > r->snapshot.index + r->entry_count) {
        return "the log ends before what the store holds";
    }
    return NULL;
}

enum err shard_start(struct shard *s, const struct group_recovered *recovered, uint64_t now_ms,
                     const char **ret_reason)
{
    struct applied durable;
    enum err err = store_applied(s->store, &durable);
    if (err == ERR_OK) {
        err = checkpoint_has_to_erase(s->store, &s->wants_erasing);
    }
    if (err != ERR_OK) {
        *ret_reason = "the store cannot be read";
        return err;
    }
    *ret_reason = mismatch_of(&durable, recovered);
    if (*ret_reason != NULL) {
        return ERR_CORRUPT;
    }
    shard_state_init(&s->state, &durable);
    s->compacted = recovered->snapshot.index;
    struct group_recovered with_store = *recovered;
    with_store.committed = durable.index;
    err = group_start(s->group, &with_store, now_ms);
    if (err != ERR_OK) {
        *ret_reason = err_info(err)->text;
        return err;
    }
    shard_after_group(s);
    shard_compact(s); /* the last start may have ended between a checkpoint and its record */
    return ERR_OK;
}

static bool is_held(const struct shard *s)
{
    return s->log_holds > 0 && s->kept_bytes < SHARD_HELD_BYTES_MAX &&
           !wal_stats(s->engine->wal).is_full;
}

void shard_compact(struct shard *s)
{
    const struct applied *durable = &s->state.durable;
    if (durable->index > s->compacted && !group_is_installing(s->group) && !is_held(s)) {
        struct group_keep keep = engine_keep(s->engine, s);
        s->compacted = durable->index;
        group_compact(s->group, durable->index, durable->term, &keep, s->engine->now_ms);
        shard_after_group(s);
    }
}

/* What the next entry will hold at most. No batch is so short that its length adds an eighth to it. */
static size_t entry_bytes(const struct shard *s)
{
    size_t all = s->queued_bytes + s->queued_bytes / 8; /* nothing is in flight */
    const struct proposal *first = LIST_FIRST(&s->queued, struct proposal, link);
    size_t alone = first->batch.len + first->batch.len / 8;
    size_t most = alone > ENTRY_COLLECT_BYTES_MAX ? alone : ENTRY_COLLECT_BYTES_MAX;
    return all < most ? all : most;
}

static void submit(struct shard *s)
{
    if (s->in_flight_index != 0 || list_is_empty(&s->queued) || !group_is_leading(s->group) ||
        shard_is_transferring(s)) {
        return;
    }
    struct buf entry = {0};
    uint32_t count = 0;
    struct proposal *p;
    buf_reserve(&entry, entry_bytes(s));
    while ((p = LIST_FIRST(&s->queued, struct proposal, link)) != NULL &&
           entry_has_room(entry.len, count, p->batch.len)) {
        entry_append(&entry, buf_slice(&p->batch));
        engine_note_logged(s->engine, p->batch.len);
        count++;
        p->is_logged = true;
        list_remove(&p->link);
        list_append(&s->in_flight, &p->link);
    }
    engine_note_entry(s->engine, count, entry.len);
    s->in_flight_ns = clock_mono_ns();
    s->in_flight_term = group_term(s->group);
    enum err err = group_propose(s->group, &entry, s->engine->now_ms, &s->in_flight_index);
    INVARIANT(err == ERR_OK); /* it leads, and hands leadership to nobody */
}

void shard_flush(struct shard *s)
{
    submit(s);
    group_probe(s->group, s->engine->now_ms);
    shard_after_group(s);
}

/* What is queued waits while leadership is handed over; who does not take it leaves it here. */
void shard_after_group(struct shard *s)
{
    shard_go_on_transferring(s);
    size_t kept_bytes = group_kept_bytes(s->group);
    s->engine->stats.log_bytes += kept_bytes - s->kept_bytes;
    s->kept_bytes = kept_bytes;
    uint64_t due_ms = group_next_ms(s->group);
    if (due_ms == UINT64_MAX || s->is_leaving) {
        heap_remove(&s->engine->due, &s->due);
    } else if (!heap_has(&s->due) || s->due.key != due_ms) {
        heap_set(&s->engine->due, &s->due, due_ms);
    }
    if (!list_is_empty(&s->queued) && s->in_flight_index == 0 && !shard_is_transferring(s)) {
        shard_mark_dirty(s);
    }
}

enum err shard_receive(struct shard *s, uint64_t from, struct slice message)
{
    enum err err = group_receive(s->group, from, message, s->engine->now_ms);
    shard_after_group(s);
    return err;
}

void shard_on_durable(struct shard *s, uint64_t sequence)
{
    group_on_durable(s->group, sequence, s->engine->now_ms);
    shard_after_group(s);
}

void shard_tick(struct shard *s)
{
    if (group_next_ms(s->group) <= s->engine->now_ms) {
        group_tick(s->group, s->engine->now_ms);
    }
    shard_after_group(s);
}

/* For the layer above */

uint32_t shard_id(const struct shard *s)
{
    return s->id;
}

uint32_t shard_owner_node(const struct shard *s)
{
    return (uint32_t)(group_leader(s->group) >> 32);
}

uint64_t shard_replica(const struct shard *s)
{
    return s->replica;
}

bool shard_is_leading(const struct shard *s)
{
    return group_is_leading(s->group);
}

uint64_t shard_take_version(struct shard *s)
{
    PRE(shard_is_leading(s));
    INVARIANT(s->version < VERSION_MAX);
    return ++s->version;
}

uint64_t shard_take_number(struct shard *s)
{
    PRE(shard_is_leading(s));
    return ++s->number;
}

uint64_t shard_log_time_ms(struct shard *s)
{
    return log_clock_read(&s->clock, s->engine->now_ms, s->engine->wall_ms, true);
}

enum err shard_reserve(struct shard *s, size_t bytes, bool only_deletes, const char **ret_limit,
                       uint64_t *ret_value)
{
    if (s->queued_bytes + bytes > SHARD_QUEUE_BYTES_MAX) {
        *ret_limit = "shard_queue_bytes";
        *ret_value = SHARD_QUEUE_BYTES_MAX;
        return ERR_OVERLOADED;
    }
    if (s->is_full && !only_deletes) {
        s->engine->stats.refused_full++;
        *ret_limit = "store_bytes";
        *ret_value = s->file_bytes;
        return ERR_STORAGE_FULL;
    }
    return engine_reserve(s->engine, bytes, only_deletes, ret_limit, ret_value);
}

void shard_propose(struct shard *s, struct proposal *p)
{
    PRE(shard_is_leading(s) && p->batch.len > 0);

    p->is_logged = false;
    list_init(&p->link);
    list_append(&s->queued, &p->link);
    s->queued_bytes += p->batch.len;
    engine_note_proposed(s->engine, p->batch.len);
    shard_mark_dirty(s);
}

enum shard_row shard_peek(const struct shard *s, struct slice key, struct slice *ret_payload,
                          uint64_t *ret_version)
{
    struct view_row row;
    switch (view_peek(&s->state, key, &row)) {
    case VIEW_FOUND:
        *ret_payload = row.payload;
        *ret_version = row.version;
        return SHARD_ROW_FOUND;
    case VIEW_DELETED:
        return SHARD_ROW_ABSENT;
    case VIEW_COLD:
        return SHARD_ROW_COLD;
    }
    UNREACHABLE();
}

static void run_read_on_reader(struct job *job)
{
    struct shard_read *rd = CONTAINER_OF(job, struct shard_read, running);
    read_job_run_on_reader(rd->shard->store, &rd->job);
}

/* Laid over by memory: a page may have to be read again, or another after it. BUSY: a full disk has
 * broken the store's environment off, and it is about to be opened again. */
static void read_is_back(struct job *job)
{
    struct shard_read *rd = CONTAINER_OF(job, struct shard_read, running);
    struct engine *e = rd->shard->engine;
    bool ends = e->is_closing || rd->shard->is_leaving;
    enum err err = ends ? ERR_CLOSED : view_read(&rd->shard->state, &rd->job);
    if (err == ERR_BUSY) {
        read_job_forget_page(&rd->job);
    }
    if (err == ERR_COLD || err == ERR_BUSY) {
        err = job_thread_submit(e->reader, job);
        if (err == ERR_OK) {
            return; /* on its way again */
        }
    }
    rd->done(rd, err);
}

enum err shard_read(struct shard *s, struct shard_read *rd)
{
    enum err err = view_read(&s->state, &rd->job);
    if (err != ERR_COLD) {
        return err;
    }
    rd->shard = s;
    rd->running = (struct job){.run_on_thread = run_read_on_reader,
                               .done_on_worker = read_is_back,
                               .is_quick = read_job_is_quick(&rd->job)};
    err = job_thread_submit(s->engine->reader, &rd->running);
    return err == ERR_OK ? ERR_COLD : err;
}

const struct applied *shard_applied(const struct shard *s)
{
    return shard_state_applied(&s->state);
}

void shard_status(const struct shard *s, struct shard_status *ret_status)
{
    *ret_status = (struct shard_status){
        .applied = group_applied(s->group),
        .last = group_last_index(s->group),
        .durable = s->state.durable.index,
        .version = shard_state_applied(&s->state)->version,
        .actors = shard_state_applied(&s->state)->actors,
        .memory_bytes = shard_state_bytes(&s->state),
        .queued_bytes = s->queued_bytes,
        .log_bytes = s->kept_bytes,
        .term = group_term(s->group),
        .leading = group_is_leading(s->group),
    };
}
