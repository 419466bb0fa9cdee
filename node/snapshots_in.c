/* Copies of stores that come from the leaders of their shards. */
#include <errno.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "node/member.h"
#include "node/node.h"
#include "node/peer_kind.h"
#include "node/snapshots.h"
#include "node/worker.h"

/* A state change has one door. Back to TAKING: nothing of it is under way in the engine. */
static void snapshot_in_move(struct snapshot_in *in, enum snapshot_in_state to)
{
    static const bool allowed[IN_STATE_COUNT][IN_STATE_COUNT] = {
        [IN_TAKING] = {[IN_SYNCING] = true},
        [IN_SYNCING] = {[IN_INSTALLING] = true},
        [IN_INSTALLING] = {[IN_TAKING] = true},
    };
    INVARIANT(allowed[in->state][to]);
    in->state = to;
}

static void free_in(struct snapshot_in *in)
{
    disk_close(in->file);
    if (in->path != NULL) {
        snapshots_unlink(in->path);
    }
    list_remove(&in->link);
    in->owner->in_count--;
    buf_done(&in->pending);
    buf_done(&in->in_write);
    buf_done(&in->offer);
    mem_free(in->path);
    mem_free(in);
}

static void end(struct snapshot_in *in)
{
    in->is_over = true;
    if (!in->is_writing && in->state != IN_INSTALLING) {
        free_in(in);
    }
}

static void post(struct snapshot_in *in, enum peer_kind kind, const struct buf *payload)
{
    (void)neighbours_send(&in->owner->worker->neighbours, replica_node(in->from), kind, in->shard,
                          buf_slice(payload)); /* what is lost is asked for again */
}

static void say_want(struct snapshot_in *in)
{
    struct buf payload = {0};
    const struct snapshot_want m = {
        .stream = in->stream, .next = in->next, .limit = in->written + SNAPSHOT_WINDOW_BYTES};
    snapshot_put_want(&m, &payload);
    post(in, PEER_KIND_SNAPSHOT_WANT, &payload);
    buf_done(&payload);
}

static void say_end(struct snapshot_in *in, bool is_installed)
{
    struct buf payload = {0};
    const struct snapshot_end m = {.stream = in->stream, .is_installed = is_installed};
    snapshot_put_end(&m, &payload);
    post(in, PEER_KIND_SNAPSHOT_END, &payload);
    buf_done(&payload);
}

static void fail(struct snapshot_in *in, const char *what, enum err err)
{
    in->owner->failed++;
    if (err != ERR_CLOSED) {
        LOG(LOG_WARN, "snapshot_not_taken", LOG_INT("shard", (int32_t)in->shard),
            LOG_INT("peer", replica_node(in->from)), LOG_STR("what", what),
            LOG_STR("why", err_info(err)->text));
        say_end(in, false);
    }
    end(in);
}

/* Installing */

static void on_installed(struct shard_install *i, enum err err)
{
    struct snapshot_in *in = CONTAINER_OF(i, struct snapshot_in, install);
    snapshot_in_move(in, IN_TAKING);
    if (in->is_over) {
        free_in(in);
        return;
    }
    if (err != ERR_OK) {
        fail(in, "installing", err);
        return;
    }
    in->owner->taken++;
    LOG(LOG_INFO, "snapshot_installed", LOG_INT("shard", (int32_t)in->shard),
        LOG_INT("bytes", (int64_t)in->bytes));
    say_end(in, true);
    end(in);
}

static void install(struct snapshot_in *in)
{
    struct shard *shard = engine_shard(in->owner->worker->engine, in->shard);
    in->install = (struct shard_install){.done = on_installed, .from = in->from};
    in->install.message = buf_take(&in->offer);
    in->install.path = mem_strdup(in->path);
    snapshot_in_move(in, IN_INSTALLING);
    enum err err = shard != NULL ? shard_install(shard, &in->install) : ERR_NOT_FOUND;
    if (err != ERR_OK) {
        buf_done(&in->install.message);
        mem_free(in->install.path);
        snapshot_in_move(in, IN_TAKING);
        fail(in, "installing", err);
    }
}

/* Writing */

static void write_more(struct snapshot_in *in);

static void write_is_done(struct job *job)
{
    struct snapshot_in *in = CONTAINER_OF(job, struct snapshot_in, write);
    in->is_writing = false;
    if (in->is_over) {
        free_in(in);
        return;
    }
    if (in->err != ERR_OK) {
        fail(in, "writing", in->err);
        return;
    }
    if (in->state == IN_SYNCING) {
        disk_close(in->file);
        in->file = NULL;
        install(in);
        return;
    }
    in->written += in->in_write.len;
    buf_clear(&in->in_write);
    say_want(in);
    write_more(in);
}

static void run_write_on_bulk(struct job *job)
{
    struct snapshot_in *in = CONTAINER_OF(job, struct snapshot_in, write);
    in->err = disk_write(NULL, DISK_SNAPSHOT_FILE, in->file, in->in_write.data, in->in_write.len,
                         in->written);
}

static void run_sync_on_bulk(struct job *job)
{
    struct snapshot_in *in = CONTAINER_OF(job, struct snapshot_in, write);
    in->err = disk_sync(NULL, DISK_SNAPSHOT_FILE, in->file);
}

static void write_more(struct snapshot_in *in)
{
    bool is_whole = in->written == in->bytes;
    if (in->is_writing || in->state != IN_TAKING || (in->pending.len == 0 && !is_whole)) {
        return;
    }
    if (is_whole) {
        snapshot_in_move(in, IN_SYNCING);
    } else {
        struct buf empty = in->in_write;
        in->in_write = in->pending;
        in->pending = empty;
    }
    in->write = (struct job){.run_on_thread = is_whole ? run_sync_on_bulk : run_write_on_bulk,
                             .done_on_worker = write_is_done};
    in->is_writing = engine_submit_bulk(in->owner->worker->engine, &in->write) == ERR_OK;
    if (!in->is_writing) {
        fail(in, "writing", ERR_OVERLOADED);
    }
}

/* What comes */

static struct snapshot_in *find(const struct snapshots *s, uint32_t from, uint64_t stream)
{
    LIST_FOREACH (link, &s->in) {
        struct snapshot_in *in = LIST_ENTRY(link, struct snapshot_in, link);
        if (in->stream == stream && replica_node(in->from) == from && !in->is_over) {
            return in;
        }
    }
    return NULL;
}

/* A leader that has another copy for the shard has given the older one up. */
static void end_others(struct snapshots *s, uint32_t shard)
{
    LIST_FOREACH_SAFE (link, &s->in) {
        struct snapshot_in *in = LIST_ENTRY(link, struct snapshot_in, link);
        if (in->shard == shard && in->state == IN_TAKING && !in->is_over) {
            end(in);
        }
    }
}

static bool is_busy_with(const struct snapshots *s, uint32_t shard)
{
    LIST_FOREACH (link, &s->in) {
        const struct snapshot_in *in = LIST_ENTRY(link, struct snapshot_in, link);
        if (in->shard == shard && !in->is_over) {
            return true;
        }
    }
    return false;
}

static void begin_taking(struct snapshots *s, const struct peer_message *m,
                         const struct snapshot_begin *begin)
{
    struct snapshot_in *in = MEM_NEW(struct snapshot_in);
    in->owner = s;
    in->shard = m->group - 1;
    in->from = m->from;
    in->stream = begin->stream;
    in->bytes = begin->bytes;
    in->heard_ms = clock_mono_ms();
    in->path = snapshots_path(s, "in", begin->stream);
    buf_append_slice(&in->offer, begin->offer);
    list_init(&in->link);
    list_append(&s->in, &in->link);
    s->in_count++;
    enum err err = disk_open(NULL, DISK_SNAPSHOT_FILE, in->path, DISK_CREATE, &in->file);
    if (err != ERR_OK) {
        in->file = NULL;
        fail(in, "making the file", err);
        return;
    }
    say_want(in);
}

void snapshots_hear_begin(struct snapshots *s, const struct peer_message *m,
                          const struct snapshot_begin *begin)
{
    const struct shard *shard = engine_shard(s->worker->engine, m->group - 1);
    struct snapshot_in *in = find(s, replica_node(m->from), begin->stream);
    if (in != NULL) {
        in->heard_ms = clock_mono_ms();
        say_want(in);
        return;
    }
    if (shard == NULL || shard_is_leading(shard)) {
        return; /* its replica is not there yet, or needs nothing */
    }
    end_others(s, m->group - 1);
    if (!is_busy_with(s, m->group - 1) && s->in_count < SNAPSHOTS_IN_MAX) {
        begin_taking(s, m, begin);
    }
}

/* One that comes twice, or behind one that was lost, is dropped: the next BEGIN says where it goes on. */
void snapshots_hear_part(struct snapshots *s, uint32_t from, const struct snapshot_part *part)
{
    struct snapshot_in *in = find(s, from, part->stream);
    if (in == NULL || part->offset != in->next || part->bytes.len > in->bytes - in->next ||
        part->offset + part->bytes.len > in->written + SNAPSHOT_WINDOW_BYTES) {
        return;
    }
    in->heard_ms = clock_mono_ms();
    in->next += part->bytes.len;
    s->bytes_in += part->bytes.len;
    buf_append_slice(&in->pending, part->bytes);
    write_more(in);
}

void snapshots_in_stop(struct snapshots *s)
{
    LIST_FOREACH_SAFE (link, &s->in) {
        struct snapshot_in *in = LIST_ENTRY(link, struct snapshot_in, link);
        if (!in->is_over) {
            end(in);
        }
    }
}

void snapshots_in_tick(struct snapshots *s, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (link, &s->in) {
        struct snapshot_in *in = LIST_ENTRY(link, struct snapshot_in, link);
        if (in->state == IN_TAKING && !in->is_over && now_ms >= in->heard_ms + SNAPSHOT_DEAD_MS) {
            fail(in, "taking", ERR_TIMEOUT);
        }
    }
}
