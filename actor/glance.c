#include "actor/glance.h"

#include "actor/ops.h"
#include "base/invariant.h"
#include "storage/engine.h"

enum { META_ROWS = 1, META_ROW_BYTES_MAX = 1024 };

bool glance_is_for(const struct request *r)
{
    return r->kind == REQUEST_KV_GET || r->kind == REQUEST_KV_LIST || r->kind == REQUEST_ACTOR_INFO;
}

static void finish(struct glance *g)
{
    g->request->stage = REQUEST_DONE;
    buf_done(&g->low);
    buf_done(&g->high);
    g->done(g);
}

/* CLOSED: the node stops, or the replica leaves it; another one has the rows. */
static void fail(struct glance *g, enum err err)
{
    struct reply *reply = &g->request->reply;
    if (err == ERR_OVERLOADED) {
        (void)reply_limited(reply, err, "cold_reads", ENGINE_READS_MAX);
    } else if (err == ERR_CLOSED) {
        (void)reply_fail(reply, ERR_UNAVAILABLE, NULL);
    } else {
        (void)reply_fail(reply, err, "The actor's rows cannot be read.");
    }
    finish(g);
}

/* Each step begins a job and says what is to be done with its rows; these are kept until then. */
static void run(struct glance *g, void (*done)(struct shard_read *rd, enum err err))
{
    g->read.done = done;
    enum err err = shard_read(g->shard, &g->read);
    if (err != ERR_COLD) {
        done(&g->read, err);
    }
}

/* The rows of the job, in a set. */
static enum err take_rows(struct glance *g, struct row_set *set)
{
    const struct rowset *rows = &g->read.job.rows;
    enum err err = ERR_OK;
    for (size_t i = 0; err == ERR_OK && i < rows->count; i++) {
        if (rows->rows[i].present) {
            err = scan_keep_row(set, rows, i, false);
        }
    }
    read_job_done(&g->read.job);
    return err;
}

/* A key */

static void on_key(struct shard_read *rd, enum err err)
{
    struct glance *g = CONTAINER_OF(rd, struct glance, read);
    struct row_set rows;
    row_set_init(&rows);
    enum err bad = take_rows(g, &rows);
    err = err == ERR_OK ? bad : err;
    if (err != ERR_OK) {
        row_set_done(&rows);
        fail(g, err);
        return;
    }
    (void)kv_answer(g->request, row_set_find(&rows, ROW_KV, bytes_slice(g->request->name)));
    row_set_done(&rows);
    finish(g);
}

static void read_key(struct glance *g)
{
    struct row_key key;
    if (g->number == 0) {
        (void)kv_answer(g->request, NULL);
        finish(g);
        return;
    }
    row_key_kv(&key, g->number, bytes_slice(g->request->name));
    read_job_points(&g->read.job);
    read_job_add_point(&g->read.job, row_key_slice(&key));
    run(g, on_key);
}

/* A page */

/* `more`: storage has others after these rows. */
static void answer_page(struct glance *g, struct row_set *rows, bool more)
{
    struct request *r = g->request;
    const struct scan_range range = list_range(&r->list, &g->low, &g->high);
    struct row_set nothing;
    struct scan_cursor cursor;
    struct buf entries = {0};
    struct buf next = {0};
    row_set_init(&nothing);
    scan_begin(&cursor, &range, rows, more, &nothing);
    bool is_whole = list_fill(&cursor, &r->list, &entries, &next);
    INVARIANT(is_whole); /* nothing hides a row, and a page that goes on has one */
    list_answer(r, &entries, &next);
    buf_done(&entries);
    buf_done(&next);
}

static void on_page(struct shard_read *rd, enum err err)
{
    struct glance *g = CONTAINER_OF(rd, struct glance, read);
    struct row_set rows;
    row_set_init(&rows);
    bool more = rd->job.more;
    enum err bad = take_rows(g, &rows);
    err = err == ERR_OK ? bad : err;
    if (err == ERR_OK) {
        answer_page(g, &rows, more);
    }
    row_set_done(&rows);
    if (err == ERR_OK) {
        finish(g);
    } else {
        fail(g, err);
    }
}

static void read_page(struct glance *g)
{
    const struct list_params *p = &g->request->list;
    if (!list_bounds(p, &g->low, &g->high) || g->number == 0) {
        struct row_set nothing;
        row_set_init(&nothing);
        answer_page(g, &nothing, false);
        finish(g);
        return;
    }
    const struct scan_range range = list_range(p, &g->low, &g->high);
    scan_begin_job(&range, g->number, &g->read.job);
    run(g, on_page);
}

/* Who it is */

static void go_on(struct glance *g)
{
    const struct actor_facts facts = {.address = &g->request->address,
                                      .exists = g->number != 0,
                                      .shard = g->shard,
                                      .meta = &g->meta};
    switch ((int)g->request->kind) {
    case REQUEST_KV_GET:
        read_key(g);
        return;
    case REQUEST_KV_LIST:
        read_page(g);
        return;
    case REQUEST_ACTOR_INFO:
        actor_facts_answer(g->request, &facts);
        finish(g);
        return;
    default:
        UNREACHABLE();
    }
}

static enum err take_meta(struct glance *g)
{
    const struct read_job *job = &g->read.job;
    struct row_key meta_key;
    if (!job->exists) {
        return ERR_OK;
    }
    row_key_meta(&meta_key, job->number);
    if (job->rows.count == 0 || !slice_equal(rowset_key(&job->rows, 0), row_key_slice(&meta_key))) {
        return ERR_CORRUPT; /* every stored actor has its meta row, and it comes first */
    }
    g->number = job->number;
    return meta_decode(rowset_payload(&job->rows, 0), job->rows.rows[0].version, &g->meta);
}

static void on_actor(struct shard_read *rd, enum err err)
{
    struct glance *g = CONTAINER_OF(rd, struct glance, read);
    err = err == ERR_OK ? take_meta(g) : err;
    read_job_done(&rd->job);
    if (err == ERR_OK) {
        go_on(g);
    } else {
        fail(g, err);
    }
}

void glance_begin(struct glance *g)
{
    PRE(g->request->stage == REQUEST_NEW && glance_is_for(g->request));
    g->number = 0;
    g->meta = (struct meta){0};
    g->low = (struct buf){0};
    g->high = (struct buf){0};
    read_job_actor(&g->read.job, &g->request->identity, META_ROWS, META_ROW_BYTES_MAX);
    run(g, on_actor);
}
