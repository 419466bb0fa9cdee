#include "actor/actor_read.h"

#include "actor/registry.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "storage/rows.h"

/* One read on its way. It outlives its actor where that is deposed meanwhile. */
struct fetch {
    struct shard_read read;
    struct actor *actor; /* NULL: nobody waits for it any more */
    struct list link;    /* actor.reads */
    uint32_t scan;       /* which of the turn's scans it fills; FETCH_POINTS, FETCH_LOAD */
};

enum { FETCH_POINTS = UINT32_MAX - 1, FETCH_LOAD = UINT32_MAX };

static void on_read(struct shard_read *rd, enum err err);

static struct fetch *fetch_new(struct actor *a, uint32_t scan)
{
    struct fetch *f = mem_alloc(sizeof *f); /* its job, which is large, is begun by the caller */
    f->actor = a;
    f->scan = scan;
    f->read.done = on_read;
    f->read.user = NULL;
    list_init(&f->link);
    list_append(&a->reads, &f->link);
    return f;
}

static void fetch_free(struct fetch *f)
{
    list_remove(&f->link);
    read_job_done(&f->read.job);
    mem_free(f);
}

/* Loading */

/* Who woke it knew the identity alone: the directory knows who it is. */
static enum err take_address(struct actor *a, struct slice directory)
{
    struct bytes *text = bytes_new(directory);
    struct directory_row row;
    enum err err = directory_row_decode(bytes_slice(text), &row);
    if (err == ERR_OK) {
        const struct address address = {.ns = row.ns, .class = row.class, .id = row.id};
        actor_set_address(a, text, &address);
    }
    bytes_unref(text);
    return err;
}

static enum err take_load(struct actor *a, const struct read_job *job)
{
    row_set_done(&a->rows); /* of a load that failed half-way */
    a->meta = (struct meta){0};
    a->number = job->exists ? job->number : 0;
    a->is_whole = !job->exists || read_job_is_whole(job);
    if (!job->exists) {
        return ERR_OK;
    }
    struct row_key meta_key;
    row_key_meta(&meta_key, job->number);
    if (job->rows.count == 0 || !slice_equal(rowset_key(&job->rows, 0), row_key_slice(&meta_key))) {
        return ERR_CORRUPT; /* every stored actor has its meta row, and it comes first */
    }
    enum err err = meta_decode(rowset_payload(&job->rows, 0), job->rows.rows[0].version, &a->meta);
    if (err == ERR_OK && a->address_text == NULL) {
        err = take_address(a, buf_slice(&job->directory));
    }
    for (size_t i = 1; err == ERR_OK && i < job->rows.count; i++) {
        err = scan_keep_row(&a->rows, &job->rows, i, false);
    }
    return err;
}

static void load_is_done(struct actor *a, struct fetch *f, enum err err)
{
    if (err == ERR_OK) {
        err = take_load(a, &f->read.job);
    }
    a->last_version = a->meta.version;
    watch_init(&a->watch, a->meta.version);
    fetch_free(f);
    actor_on_loaded(a, err);
}

static bool actor_reads_are_done(const struct actor *a)
{
    return list_is_empty(&a->reads) && !a->waits_to_drain;
}

/* Points */

/* Asked for in the order of the turn's wants; what came meanwhile by another way is newer. */
static void take_points(struct actor *a, const struct read_job *job)
{
    INVARIANT(job->rows.count == a->turn->want_count);
    struct slice rest = buf_slice(&a->turn->wants);
    struct want want;
    for (size_t i = 0; turn_next_want(&rest, &want); i++) {
        struct bytes *value =
            job->rows.rows[i].present ? bytes_new(rowset_payload(&job->rows, i)) : NULL;
        (void)row_set_set(&a->rows, (uint8_t)want.kind, want.key, value, job->rows.rows[i].version);
        bytes_unref(value);
    }
}

/* Scans */

static enum err take_page(struct scan *s, const struct read_job *job)
{
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < job->rows.count; i++) {
        err = scan_keep_row(&s->rows, &job->rows, i, s->range.keys_only);
    }
    return err;
}

static bool scan_is_full(const struct scan *s)
{
    return s->rows.count >= s->range.rows_max || s->rows.bytes >= s->range.bytes_max;
}

/* Running */

static void take(struct actor *a, struct fetch *f, enum err err);

static void on_read(struct shard_read *rd, enum err err)
{
    struct fetch *f = CONTAINER_OF(rd, struct fetch, read);
    struct actor *a = f->actor;
    if (a == NULL) {
        fetch_free(f);
        return;
    }
    bool was_load = f->scan == FETCH_LOAD;
    take(a, f, err);
    if (!was_load && actor_reads_are_done(a)) {
        actor_on_rows(a);
    }
    registry_settle(a->registry, a);
}

/* Starts the job, or goes on with it; its end comes to `take`, from here or from the loop. */
static void run(struct fetch *f)
{
    struct actor *a = f->actor;
    enum err err = shard_read(a->shard, &f->read);
    if (err != ERR_COLD) {
        take(a, f, err);
    }
}

static void take_scan(struct actor *a, struct fetch *f)
{
    struct scan *s = &a->turn->scans[f->scan];
    enum err err = take_page(s, &f->read.job);
    if (err != ERR_OK) {
        a->read_err = err;
    } else if (f->read.job.more && !scan_is_full(s)) {
        read_job_continue(&f->read.job);
        run(f);
        return;
    }
    s->loaded = true;
    s->cut = f->read.job.more;
    fetch_free(f);
}

static void take(struct actor *a, struct fetch *f, enum err err)
{
    if (f->scan == FETCH_LOAD) {
        load_is_done(a, f, err);
        return;
    }
    if (err != ERR_OK) {
        a->read_err = err;
        fetch_free(f);
    } else if (f->scan == FETCH_POINTS) {
        take_points(a, &f->read.job);
        fetch_free(f);
    } else {
        take_scan(a, f);
    }
}

void actor_load(struct actor *a)
{
    struct fetch *f = fetch_new(a, FETCH_LOAD);
    read_job_actor(&f->read.job, &a->identity, LOAD_ROWS_MAX, LOAD_BYTES_MAX);
    run(f);
}

static void read_points(struct actor *a)
{
    struct fetch *f = fetch_new(a, FETCH_POINTS);
    read_job_points(&f->read.job);
    struct slice rest = buf_slice(&a->turn->wants);
    struct want want;
    while (turn_next_want(&rest, &want)) {
        struct row_key key;
        bool may_exist = turn_storage_key(a, (uint8_t)want.kind, want.key, &key);
        INVARIANT(may_exist); /* what cannot exist is never wanted */
        read_job_add_point(&f->read.job, row_key_slice(&key));
    }
    run(f);
}

static void read_scans(struct actor *a)
{
    for (uint32_t i = 0; i < a->turn->scan_count; i++) {
        if (!a->turn->scans[i].loaded) {
            struct fetch *f = fetch_new(a, i);
            scan_begin_job(&a->turn->scans[i].range, a->number, &f->read.job);
            run(f);
        }
    }
}

static bool has_unloaded_scan(const struct turn *t)
{
    for (uint32_t i = 0; i < t->scan_count; i++) {
        if (!t->scans[i].loaded) {
            return true;
        }
    }
    return false;
}

/* A scan reads storage, where the actor's uncommitted rows are not yet: it waits for them. */
static void read_scans_when_drained(struct actor *a)
{
    if (!has_unloaded_scan(a->turn)) {
        return;
    }
    a->waits_to_drain = a->committed != a->proposed;
    if (!a->waits_to_drain) {
        read_scans(a);
    }
}

bool actor_read(struct actor *a)
{
    PRE(a->turn != NULL && list_is_empty(&a->reads));
    a->read_err = ERR_OK;
    if (a->turn->want_count > 0) {
        read_points(a);
    }
    read_scans_when_drained(a);
    return actor_reads_are_done(a);
}

void actor_on_drained(struct actor *a)
{
    if (!a->waits_to_drain || a->committed != a->proposed) {
        return;
    }
    a->waits_to_drain = false;
    read_scans(a);
    if (actor_reads_are_done(a)) {
        actor_on_rows(a);
    }
}

void actor_cancel_reads(struct actor *a)
{
    LIST_FOREACH_SAFE (link, &a->reads) {
        struct fetch *f = LIST_ENTRY(link, struct fetch, link);
        list_remove(&f->link);
        f->actor = NULL;
    }
    a->waits_to_drain = false;
}
