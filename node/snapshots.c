#include "node/snapshots.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "node/member.h"
#include "node/peer_kind.h"
#include "node/worker.h"
#include "storage/data_dir.h"

/* A copy that is sent is DIR/shards/<stream>.out, one that is taken <stream>.in. */
char *snapshots_path(const struct snapshots *s, const char *kind, uint64_t stream)
{
    struct buf path = {0};
    char *dir = engine_store_dir(s->worker->engine);
    buf_printf(&path, "%s/%016" PRIx64 ".%s%c", dir, stream, kind, 0);
    mem_free(dir);
    return (char *)path.data;
}

void snapshots_unlink(const char *path)
{
    struct buf lock = {0};
    buf_printf(&lock, "%s-lock%c", path, 0);
    (void)disk_unlink(NULL, DISK_SNAPSHOT_FILE, (const char *)lock.data);
    (void)disk_unlink(NULL, DISK_SNAPSHOT_FILE, path);
    buf_done(&lock);
}

static bool is_left_over(const char *name)
{
    const char *dot = strchr(name, '.');
    return dot != NULL && (strncmp(dot, ".out", 4) == 0 || strncmp(dot, ".in", 3) == 0);
}

void snapshots_clean(const struct data_dir *d)
{
    char *dir = data_dir_path(d, "shards");
    DIR *listing = opendir(dir);
    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        if (is_left_over(entry->d_name)) {
            struct buf path = {0};
            buf_printf(&path, "%s/%s%c", dir, entry->d_name, 0);
            (void)disk_unlink(NULL, DISK_SNAPSHOT_FILE, (const char *)path.data);
            buf_done(&path);
        }
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    mem_free(dir);
}

void snapshots_init(struct snapshots *s, struct worker *w)
{
    *s = (struct snapshots){.worker = w};
    list_init(&s->out);
    list_init(&s->in);
}

void snapshots_stop(struct snapshots *s)
{
    snapshots_out_stop(s);
    snapshots_in_stop(s);
}

void snapshots_done(struct snapshots *s)
{
    INVARIANT(s->out_count == 0 && s->in_count == 0);
}

void snapshots_tick(struct snapshots *s, uint64_t now_ms)
{
    snapshots_out_tick(s, now_ms);
    snapshots_in_tick(s, now_ms);
}

enum err snapshots_take(struct snapshots *s, uint32_t from, const struct peer_message *m)
{
    struct snapshot_begin begin;
    struct snapshot_part part;
    struct snapshot_want want;
    struct snapshot_end end;
    enum err err;
    switch ((enum peer_kind)m->kind) {
    case PEER_KIND_SNAPSHOT_BEGIN:
        err = snapshot_take_begin(m->payload, &begin);
        err = err == ERR_OK && replica_node(m->from) != from ? ERR_CORRUPT : err;
        if (err == ERR_OK) {
            snapshots_hear_begin(s, m, &begin);
        }
        return err;
    case PEER_KIND_SNAPSHOT_PART:
        err = snapshot_take_part(m->payload, &part);
        if (err == ERR_OK) {
            snapshots_hear_part(s, from, &part);
        }
        return err;
    case PEER_KIND_SNAPSHOT_WANT:
        err = snapshot_take_want(m->payload, &want);
        if (err == ERR_OK) {
            snapshots_hear_want(s, from, &want);
        }
        return err;
    case PEER_KIND_SNAPSHOT_END:
        err = snapshot_take_end(m->payload, &end);
        if (err == ERR_OK) {
            snapshots_hear_end(s, from, &end);
        }
        return err;
    case PEER_KIND_RAFT:
    case PEER_KIND_REQUEST:
    case PEER_KIND_REPLY:
    case PEER_KIND_CANCEL:
    case PEER_KIND_STATUS:
    case PEER_KIND_ORDER:
    case PEER_KIND_OUTCOME:
    case PEER_KIND_WATCH_OPEN:
    case PEER_KIND_WATCH_TEXT:
    case PEER_KIND_WATCH_TAKEN:
    case PEER_KIND_WATCH_END:
    case PEER_KIND_WATCH_CANCEL:
    case PEER_KIND_SOCKET_UP:
    case PEER_KIND_SOCKET_DOWN:
    case PEER_KIND_LOG_WANT:
    case PEER_KIND_LOG_LINES:
    case PEER_KIND_AUDIT_ASK:
    case PEER_KIND_AUDIT_ANSWER:
    case PEER_KIND_LISTING_ASK:
    case PEER_KIND_LISTING_ANSWER:
    case PEER_KIND_FRESH_ASK:
    case PEER_KIND_FRESH_ANSWER:
    case PEER_KIND_PULSE:
        break;
    }
    return ERR_CORRUPT;
}
