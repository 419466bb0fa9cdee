/* Opening the shards of an engine: which replica each has here, and which file is its store. */
#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/disk.h"
#include "storage/engine_own.h"
#include "storage/marker.h"

/* Files */

char *engine_store_dir(const struct engine *e)
{
    struct buf dir = {0};
    buf_printf(&dir, "%s/shards%c", e->data_dir, 0);
    return (char *)dir.data;
}

char *engine_store_path(const struct engine *e, uint32_t shard, uint64_t generation)
{
    struct buf path = {0};
    char *dir = engine_store_dir(e);
    store_path(&path, dir, engine_group_of_shard(shard), generation);
    buf_append_byte(&path, 0);
    mem_free(dir);
    return (char *)path.data;
}

void engine_unlink_store(const char *path)
{
    store_unlink_lock(path);
    (void)disk_unlink(NULL, DISK_STORE_FILE, path);
}

static bool is_ours(const struct engine *e, const struct engine_options *o, uint32_t shard)
{
    return shard == SHARD_META ? o->has_meta
                               : shard < e->shard_count &&
                                     engine_worker_of_shard(shard, o->worker_count) == o->worker;
}

typedef void each_store(struct engine *e, uint32_t shard, uint64_t generation, void *ctx);

static void list_stores(struct engine *e, const struct engine_options *o, each_store *each,
                        void *ctx)
{
    char *dir = engine_store_dir(e);
    DIR *listing = opendir(dir);
    for (struct dirent *entry; listing != NULL && (entry = readdir(listing)) != NULL;) {
        uint32_t group;
        uint64_t generation;
        if (store_parse_name(entry->d_name, &group, &generation) && is_ours(e, o, group - 1)) {
            each(e, group - 1, generation, ctx);
        }
    }
    if (listing != NULL) {
        (void)closedir(listing);
    }
    mem_free(dir);
}

/* By slot: the highest generation that is there. */
static void note_store(struct engine *e, uint32_t shard, uint64_t generation, void *ctx)
{
    uint64_t *highest = (uint64_t *)ctx + engine_slot_of(e, shard);
    *highest = generation > *highest ? generation : *highest;
}

/* What no record names: copies that were not taken up, and what they or a removal left behind. */
static void remove_if_of_no_use(struct engine *e, uint32_t shard, uint64_t generation, void *ctx)
{
    (void)ctx;
    const struct shard *s = e->shards[engine_slot_of(e, shard)];
    if (s == NULL || s->generation != generation) {
        char *path = engine_store_path(e, shard, generation);
        engine_unlink_store(path);
        mem_free(path);
    }
}

/* Shards */

/* One that is about to be opened. */
struct opening {
    uint32_t id;
    uint64_t default_replica;
    struct engine_replica replica;
    const struct wal_recovered_group *log; /* NULL: it is not in the log */
    uint64_t found;                        /* highest generation of a file; 0: none */
    uint64_t generation;
    struct slice configuration;
};

static const struct wal_recovered_group *find_group(const struct wal_recovery *r, uint32_t group)
{
    for (size_t i = 0; i < r->group_count; i++) {
        if (r->groups[i].group == group) {
            return &r->groups[i];
        }
    }
    return NULL;
}

/* What the log has is what this node has promised to others: that replica goes on, whatever is wanted by
 * now. One that joins has no use for files of a former life; one that begins must find none. */
static enum err look_up(struct engine *e, const struct engine_options *o, struct opening *s,
                        const char **ret_reason)
{
    uint64_t wanted = s->replica.replica;
    s->generation = 1;
    if (s->log == NULL) {
        if (s->found > 1 && s->replica.voter_count > 0) {
            *ret_reason = "the log ends before what the store holds";
            return ERR_CORRUPT;
        }
        if (s->found > 0 && s->replica.voter_count == 0) {
            remove_if_of_no_use(e, s->id, 1, NULL); /* the others go in the end */
        }
        return ERR_OK;
    }
    if (wanted != s->log->replica) {
        if (o->replica_of == NULL || (wanted != 0 && wanted >> 32 != s->log->replica >> 32)) {
            *ret_reason = "the log is of another replica";
            return ERR_CORRUPT;
        }
        s->replica = (struct engine_replica){.replica = s->log->replica};
    }
    *ret_reason = "its snapshot record is damaged";
    return marker_decode(s->log->snapshot.configuration, &s->generation, &s->configuration);
}

/* The log's entries as the group wants them; free with mem_free. */
static struct group_entry *entries_of(const struct wal_recovered_group *w)
{
    struct group_entry *entries = mem_alloc(w->entry_count * sizeof *entries);
    for (size_t i = 0; i < w->entry_count; i++) {
        entries[i] = (struct group_entry){.index = w->entries[i].index,
                                          .term = w->entries[i].term,
                                          .type = (enum group_entry_type)w->entries[i].type,
                                          .data = w->entries[i].data};
    }
    return entries;
}

static enum err start_shard(struct engine *e, struct shard *s, const struct opening *o,
                            const char **ret_reason)
{
    const struct wal_recovered_group *w = o->log;
    if (w == NULL) {
        (void)wal_create_replica(e->wal, engine_group_of_shard(o->id), o->replica.replica);
        return shard_start(s, &(struct group_recovered){0}, e->now_ms, ret_reason);
    }
    struct group_entry *entries = entries_of(w);
    const struct group_recovered recovered = {
        .term = w->term,
        .vote = w->vote,
        .snapshot = {.index = w->snapshot.index,
                     .term = w->snapshot.term,
                     .configuration_index = w->snapshot.configuration_index,
                     .configuration = o->configuration},
        .entries = entries,
        .entry_count = w->entry_count,
    };
    enum err err = shard_start(s, &recovered, e->now_ms, ret_reason);
    mem_free(entries);
    return err;
}

struct shard *engine_make_shard(struct engine *e, uint32_t id, const struct engine_replica *replica,
                                struct store *store, uint64_t generation)
{
    uint64_t random = e->random != 0 ? e->random + (id + UINT64_C(2)) * 7919 : 0;
    const struct group_options options = {.replica = replica->replica,
                                          .voters = replica->voters,
                                          .voter_count = replica->voter_count,
                                          .random = random};
    struct shard *s = shard_new(e, id, &options, store, generation);
    e->shards[engine_slot_of(e, id)] = s;
    return s;
}

static enum err open_shard(struct engine *e, const struct opening *o,
                           char detail[ENGINE_DETAIL_BYTES], const char **ret_reason)
{
    struct store *store;
    char *path = engine_store_path(e, o->id, o->generation);
    enum err err = store_open(path, e->map_bytes, &store);
    if (err != ERR_OK) {
        (void)snprintf(detail, ENGINE_DETAIL_BYTES, "%s: offset 0: the store cannot be opened: %s",
                       path, engine_reason(err, errno));
        *ret_reason = NULL; /* it is said */
    } else {
        struct shard *s = engine_make_shard(e, o->id, &o->replica, store, o->generation);
        err = start_shard(e, s, o, ret_reason);
    }
    mem_free(path);
    return err;
}

static enum err open_one(struct engine *e, const struct wal_recovery *r,
                         const struct engine_options *o, uint32_t id, uint64_t found,
                         char detail[ENGINE_DETAIL_BYTES])
{
    struct opening opening = {.id = id,
                              .default_replica = engine_default_replica(id),
                              .log = find_group(r, engine_group_of_shard(id)),
                              .found = found};
    opening.replica = (struct engine_replica){
        .replica = opening.default_replica, .voters = &opening.default_replica, .voter_count = 1};
    if (o->replica_of != NULL) {
        o->replica_of(e->hooks_ctx, id, &opening.replica);
    }
    if (opening.log == NULL && opening.replica.replica == 0) {
        return ERR_OK;
    }
    const char *reason = "";
    enum err err = look_up(e, o, &opening, &reason);
    if (err == ERR_OK) {
        err = open_shard(e, &opening, detail, &reason);
    }
    if (err != ERR_OK && reason != NULL) {
        (void)snprintf(detail, ENGINE_DETAIL_BYTES, "%s: group %u does not start: %s", e->data_dir,
                       engine_group_of_shard(id), reason);
    }
    return err;
}

enum err engine_open_shards(struct engine *e, const struct wal_recovery *r,
                            const struct engine_options *o, char detail[ENGINE_DETAIL_BYTES])
{
    uint64_t *found = mem_zalloc(e->slot_count * sizeof *found);
    list_stores(e, o, note_store, found);
    enum err err =
        o->has_meta ? open_one(e, r, o, SHARD_META, found[e->shard_count], detail) : ERR_OK;
    for (uint32_t id = o->worker; err == ERR_OK && id < o->shard_count; id += o->worker_count) {
        err = open_one(e, r, o, id, found[id], detail);
    }
    mem_free(found);
    if (err == ERR_OK) {
        list_stores(e, o, remove_if_of_no_use, NULL);
    }
    return err;
}
