/* Copies of stores on their way to other nodes. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/random.h"
#include "node/member.h"
#include "node/peer_kind.h"
#include "node/snapshots.h"
#include "node/worker.h"

static void hold_log(struct snapshot_out *o)
{
    if (!o->holds_log) {
        shard_hold_log(o->led);
        o->holds_log = true;
    }
}

static void release_log(struct snapshot_out *o)
{
    if (o->holds_log) {
        shard_release_log(o->led);
        o->holds_log = false;
    }
}

static void free_out(struct snapshot_out *o)
{
    release_log(o);
    if (o->fd >= 0) {
        (void)close(o->fd);
    }
    snapshots_unlink(o->copy.path);
    list_remove(&o->link);
    o->owner->out_count--;
    buf_done(&o->offer);
    mem_free(o->copy.path);
    mem_free(o->room);
    mem_free(o);
}

/* What is on the bulk thread comes back first. */
static void end(struct snapshot_out *o)
{
    o->is_over = true;
    release_log(o);
    o->led = NULL;
    if (o->is_copied && !o->is_reading) {
        free_out(o);
    }
}

static void fail(struct snapshot_out *o, const char *what, const char *why)
{
    o->owner->failed++;
    LOG(LOG_WARN, "snapshot_failed", LOG_INT("shard", (int32_t)o->shard),
        LOG_INT("peer", replica_node(o->to)), LOG_STR("what", what), LOG_STR("why", why));
    end(o);
}

/* Sending */

static bool post(struct snapshot_out *o, enum peer_kind kind, const struct buf *payload)
{
    const struct peer_message m = {.kind = (uint8_t)kind,
                                   .group = engine_group_of_shard(o->shard),
                                   .from = o->from,
                                   .to = o->to,
                                   .payload = buf_slice(payload)};
    return neighbours_send_bulk(&o->owner->worker->neighbours, replica_node(o->to), &m);
}

static void say_begin(struct snapshot_out *o)
{
    struct buf payload = {0};
    const struct snapshot_begin m = {
        .stream = o->stream, .bytes = o->copy.bytes, .offer = buf_slice(&o->offer)};
    snapshot_put_begin(&m, &payload);
    o->said_ms = clock_mono_ms();
    (void)post(o, PEER_KIND_SNAPSHOT_BEGIN, &payload); /* what is lost is said again */
    buf_done(&payload);
}

static void read_more(struct snapshot_out *o);

/* False: the connection has no room for the rest. */
static bool send_parts(struct snapshot_out *o)
{
    struct buf payload = {0};
    bool is_sent = true;
    for (size_t at = 0; at < o->read_bytes && is_sent;) {
        size_t left = o->read_bytes - at;
        size_t bytes = left < SNAPSHOT_PART_BYTES ? left : SNAPSHOT_PART_BYTES;
        const struct snapshot_part m = {
            .stream = o->stream, .offset = o->next, .bytes = slice_of(o->room + at, bytes)};
        buf_clear(&payload);
        snapshot_put_part(&m, &payload);
        is_sent = post(o, PEER_KIND_SNAPSHOT_PART, &payload);
        if (is_sent) {
            at += bytes;
            o->next += bytes;
            o->owner->bytes_out += bytes;
        }
    }
    buf_done(&payload);
    return is_sent;
}

static void read_is_done(struct job *job)
{
    struct snapshot_out *o = CONTAINER_OF(job, struct snapshot_out, read);
    o->is_reading = false;
    if (o->is_over) {
        free_out(o);
        return;
    }
    if (o->read_errno != 0) {
        fail(o, "reading the copy", strerror(o->read_errno));
        return;
    }
    if (o->read_at == o->next && send_parts(o)) {
        read_more(o);
    }
}

static void run_read_on_bulk(struct job *job)
{
    struct snapshot_out *o = CONTAINER_OF(job, struct snapshot_out, read);
    ssize_t n = pread(o->fd, o->room, o->read_bytes, (off_t)o->read_at);
    o->read_errno = n < 0 ? errno : (size_t)n < o->read_bytes ? EIO : 0;
}

/* Where the connection had no room, the next tick comes back to it. */
static void read_more(struct snapshot_out *o)
{
    uint64_t until = o->limit < o->copy.bytes ? o->limit : o->copy.bytes;
    if (o->is_reading || o->next >= until) {
        return;
    }
    uint64_t left = until - o->next;
    o->read_at = o->next;
    o->read_bytes = left < SNAPSHOT_READ_BYTES ? (size_t)left : SNAPSHOT_READ_BYTES;
    o->read = (struct job){.run_on_thread = run_read_on_bulk, .done_on_worker = read_is_done};
    o->is_reading = engine_submit_bulk(o->owner->worker->engine, &o->read) == ERR_OK;
}

/* Copying */

/* The offer must be made while the log still has what comes after the copy. */
static enum err offer(struct snapshot_out *o)
{
    if (o->led == NULL || o->copy.applied.index == 0) {
        return ERR_NOT_OWNER;
    }
    return shard_offer(o->led, o->to, &o->copy.applied, &o->offer);
}

static void on_copied(struct shard_copy *c, enum err err)
{
    struct snapshot_out *o = CONTAINER_OF(c, struct snapshot_out, copy);
    o->is_copied = true;
    if (o->is_over || err == ERR_CLOSED) {
        free_out(o);
        return;
    }
    err = err == ERR_OK ? offer(o) : err;
    if (err != ERR_OK) {
        fail(o, "copying", err_info(err)->text);
        return;
    }
    o->fd = open(c->path, O_RDONLY | O_CLOEXEC);
    if (o->fd < 0) {
        fail(o, "opening the copy", strerror(errno));
        return;
    }
    o->heard_ms = clock_mono_ms();
    say_begin(o);
}

static struct snapshot_out *find_to(const struct snapshots *s, uint32_t shard, uint64_t to)
{
    LIST_FOREACH (link, &s->out) {
        struct snapshot_out *o = LIST_ENTRY(link, struct snapshot_out, link);
        if (o->shard == shard && o->to == to && !o->is_over) {
            return o;
        }
    }
    return NULL;
}

/* What it has taken was of no use: the log after it is gone. What is wanted at the same moment was so before
 * its answer came. */
static bool has_failed_to_follow(const struct snapshot_out *o)
{
    return o->is_taken && clock_mono_ms() >= o->heard_ms + SNAPSHOT_AGAIN_MS;
}

/* Those whose replicas follow need the log alone. */
static bool has_room(const struct snapshots *s)
{
    size_t on_their_way = 0;
    LIST_FOREACH (link, &s->out) {
        on_their_way += LIST_ENTRY(link, struct snapshot_out, link)->is_taken ? 0 : 1;
    }
    return on_their_way < SNAPSHOTS_OUT_MAX && s->out_count < SNAPSHOTS_OUT_ALL_MAX;
}

static void wish(struct snapshots *s, uint32_t shard, uint64_t to)
{
    uint64_t now_ms = clock_mono_ms();
    for (size_t i = 0; i < s->wish_count; i++) {
        if (s->wishes[i].shard == shard && s->wishes[i].to == to) {
            s->wishes[i].asked_ms = now_ms;
            return;
        }
    }
    if (s->wish_count < SNAPSHOT_WISHES_MAX) {
        s->wishes[s->wish_count++] =
            (struct snapshot_wish){.shard = shard, .to = to, .asked_ms = now_ms};
    }
}

/* It would be asked for again, but a second may pass until then. */
static void grant_wishes(struct snapshots *s, uint64_t now_ms)
{
    while (s->wish_count > 0 && has_room(s)) {
        const struct snapshot_wish first = s->wishes[0];
        s->wish_count--;
        memmove(s->wishes, s->wishes + 1, s->wish_count * sizeof s->wishes[0]);
        struct shard *shard = engine_shard(s->worker->engine, first.shard);
        if (shard != NULL && shard_is_leading(shard) &&
            now_ms < first.asked_ms + SNAPSHOT_WISH_MS) {
            snapshots_send(s, shard, first.to);
        }
    }
}

/* A copy that is older than what is wanted is refused by shard_offer. */
void snapshots_send(struct snapshots *s, struct shard *shard, uint64_t to)
{
    struct snapshot_out *before = find_to(s, shard_id(shard), to);
    if (before != NULL && has_failed_to_follow(before)) {
        end(before);
        before = NULL;
    }
    if (before != NULL) {
        return;
    }
    if (!has_room(s)) {
        wish(s, shard_id(shard), to);
        return;
    }
    struct snapshot_out *o = MEM_NEW(struct snapshot_out);
    o->owner = s;
    o->shard = shard_id(shard);
    o->from = shard_replica(shard);
    o->to = to;
    o->stream = random_u64() | 1;
    o->fd = -1;
    o->room = mem_alloc(SNAPSHOT_READ_BYTES);
    o->copy.done = on_copied;
    o->copy.path = snapshots_path(s, "out", o->stream);
    list_init(&o->link);
    list_append(&s->out, &o->link);
    s->out_count++;
    if (shard_copy(shard, &o->copy) != ERR_OK) {
        o->is_copied = true;
        free_out(o); /* busy: it is asked for again */
        return;
    }
    o->led = shard;
    hold_log(o);
}

void snapshots_depose(struct snapshots *s, const struct shard *shard)
{
    LIST_FOREACH_SAFE (link, &s->out) {
        struct snapshot_out *o = LIST_ENTRY(link, struct snapshot_out, link);
        if (o->led == shard) {
            end(o);
        }
    }
}

/* Answers */

static struct snapshot_out *find_stream(const struct snapshots *s, uint32_t from, uint64_t stream)
{
    LIST_FOREACH (link, &s->out) {
        struct snapshot_out *o = LIST_ENTRY(link, struct snapshot_out, link);
        if (o->stream == stream && replica_node(o->to) == from && !o->is_over && o->is_copied &&
            !o->is_taken) {
            return o;
        }
    }
    return NULL;
}

/* Parts are lost with their connection alone; then BEGIN is said again, and the answer may be older than
 * what was sent last. */
void snapshots_hear_want(struct snapshots *s, uint32_t from, const struct snapshot_want *m)
{
    struct snapshot_out *o = find_stream(s, from, m->stream);
    if (o == NULL || m->next > o->copy.bytes) {
        return;
    }
    o->heard_ms = clock_mono_ms();
    hold_log(o);
    bool is_behind = m->limit <= o->limit && m->next < o->next; /* it hears nothing new */
    if (is_behind || m->next > o->next) {
        o->next = m->next;
    }
    o->limit = m->limit > o->limit ? m->limit : o->limit;
    read_more(o);
}

/* Following */

static uint64_t match_of(const struct snapshot_out *o)
{
    struct group_peer peers[GROUP_MEMBERS_MAX];
    size_t count = shard_peers(o->led, peers);
    for (size_t i = 0; i < count; i++) {
        if (peers[i].replica == o->to) {
            return peers[i].match;
        }
    }
    return 0;
}

static void begin_following(struct snapshot_out *o)
{
    struct shard_status status;
    shard_status(o->led, &status);
    o->is_taken = true;
    o->wanted = status.last;
    o->match = match_of(o);
    o->heard_ms = clock_mono_ms();
}

static void go_on_following(struct snapshot_out *o, uint64_t now_ms)
{
    uint64_t match = match_of(o);
    if (match >= o->wanted || now_ms >= o->heard_ms + SNAPSHOT_SILENT_MS) {
        end(o);
    } else if (match > o->match) {
        o->match = match;
        o->heard_ms = now_ms;
    }
}

void snapshots_hear_end(struct snapshots *s, uint32_t from, const struct snapshot_end *m)
{
    struct snapshot_out *o = find_stream(s, from, m->stream);
    if (o == NULL) {
        return;
    }
    if (!m->is_installed) {
        fail(o, "taking", "the other node could not use it");
        return;
    }
    s->sent++;
    LOG(LOG_INFO, "snapshot_sent", LOG_INT("shard", (int32_t)o->shard), LOG_INT("peer", from),
        LOG_INT("bytes", (int64_t)o->copy.bytes));
    begin_following(o);
    grant_wishes(s, clock_mono_ms());
}

void snapshots_out_stop(struct snapshots *s)
{
    s->wish_count = 0;
    LIST_FOREACH_SAFE (link, &s->out) {
        struct snapshot_out *o = LIST_ENTRY(link, struct snapshot_out, link);
        if (!o->is_over) {
            end(o);
        }
    }
}

void snapshots_out_tick(struct snapshots *s, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (link, &s->out) {
        struct snapshot_out *o = LIST_ENTRY(link, struct snapshot_out, link);
        if (!o->is_copied || o->is_over) {
            continue;
        }
        if (o->is_taken) {
            go_on_following(o, now_ms);
            continue;
        }
        if (now_ms >= o->heard_ms + SNAPSHOT_DEAD_MS) {
            fail(o, "sending", "no word of the other node");
            continue;
        }
        if (now_ms >= o->heard_ms + SNAPSHOT_SILENT_MS) {
            release_log(o);
        }
        if (now_ms >= o->heard_ms + SNAPSHOT_AGAIN_MS && now_ms >= o->said_ms + SNAPSHOT_AGAIN_MS) {
            say_begin(o);
        }
        read_more(o);
    }
    grant_wishes(s, now_ms);
}
