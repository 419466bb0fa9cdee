#include "node/records.h"

#include "base/invariant.h"
#include "base/log.h"
#include "node/node.h"
#include "node/worker.h"

enum { PAGE_BYTES_MAX = 1 << 20 };

void records_init(struct records *s, struct worker *w)
{
    *s = (struct records){.worker = w};
    list_init(&s->queue);
}

void records_open(struct records *s, struct shard *shard)
{
    s->shard = shard;
    s->is_stale = true;
}

static struct records_request *first(const struct records *s)
{
    return LIST_FIRST(&s->queue, struct records_request, link);
}

static void end_first(struct records *s, enum err err)
{
    struct records_request *r = first(s);
    list_remove(&r->link);
    s->queue_count--;
    s->is_proposed = false;
    s->is_durable = false;
    r->done(r, err);
}

void records_done(struct records *s)
{
    while (first(s) != NULL) {
        end_first(s, ERR_UNAVAILABLE);
    }
    cluster_view_unref(s->loaded);
    s->loaded = NULL;
}

/* Loading */

void records_changed(struct records *s)
{
    s->is_stale = true;
}

static void end_load(struct records *s)
{
    read_job_done(&s->read.job);
    s->is_loading = false;
}

static enum err take_rows(struct records *s)
{
    const struct rowset *rows = &s->read.job.rows;
    for (size_t i = 0; i < rows->count; i++) {
        struct slice name;
        enum err err = row_key_parse_cluster(rowset_key(rows, i), &name);
        if (err == ERR_OK) {
            err = cluster_view_add(s->loaded, name, rowset_payload(rows, i));
        }
        if (err != ERR_OK) {
            return err;
        }
    }
    return ERR_OK;
}

/* What was applied before the load began is in it; where more came since, another load follows. */
static void publish(struct records *s)
{
    s->loaded->has_admin = s->loaded->has_admin && !s->worker->node->opens_admin;
    node_publish_view(s->worker->node, s->loaded);
    s->loaded = NULL;
    if (s->is_durable && !s->is_stale) {
        end_first(s, ERR_OK);
    }
}

/* Records that cannot be read are no reason to serve without them: access depends on them. */
static void load_failed(struct records *s, enum err err)
{
    cluster_view_unref(s->loaded);
    s->loaded = NULL;
    s->is_stale = err == ERR_OVERLOADED; /* the reader was busy: again */
    if (err != ERR_OVERLOADED && err != ERR_CLOSED) {
        LOG(LOG_ERROR, "meta_unreadable", LOG_STR("why", err_info(err)->text));
    }
}

static void page_is_read(struct records *s, enum err err);

static void on_read(struct shard_read *rd, enum err err)
{
    page_is_read(CONTAINER_OF(rd, struct records, read), err);
}

static void read_page(struct records *s)
{
    s->read.done = on_read;
    enum err err = shard_read(s->shard, &s->read);
    if (err != ERR_COLD) {
        page_is_read(s, err);
    }
}

static void page_is_read(struct records *s, enum err err)
{
    err = err == ERR_OK ? take_rows(s) : err;
    if (err == ERR_OK && s->read.job.more) {
        read_job_continue(&s->read.job);
        read_page(s);
        return;
    }
    end_load(s);
    if (err == ERR_OK) {
        publish(s);
    } else {
        load_failed(s, err);
    }
}

static void load(struct records *s)
{
    struct row_key prefix;
    s->is_stale = false;
    s->is_loading = true;
    s->loaded = cluster_view_new();
    row_key_cluster(&prefix, SLICE(""));
    read_job_prefix(&s->read.job, &prefix, false, READ_ROWS_MAX, PAGE_BYTES_MAX);
    read_page(s);
}

/* Changing */

void records_put(struct records_changes *c, const char *name, struct slice payload)
{
    struct row_key key;
    row_key_cluster(&key, slice_of_str(name));
    batch_put(&c->builder, row_key_slice(&key), BATCH_OWN_VERSION, payload);
}

void records_put_place(struct records_changes *c, const struct place *place)
{
    char name[PLACE_NAME_BYTES + 1];
    struct buf record = {0};
    place_record_name(place->shard, name);
    place_encode(place, &record);
    records_put(c, name, buf_slice(&record));
    buf_done(&record);
}

void records_put_sequence(struct records_changes *c, uint32_t next)
{
    struct buf record = {0};
    sequence_encode(next, &record);
    records_put(c, SEQUENCE_RECORD, buf_slice(&record));
    buf_done(&record);
}

void records_delete(struct records_changes *c, const char *name)
{
    struct row_key key;
    row_key_cluster(&key, slice_of_str(name));
    batch_delete(&c->builder, row_key_slice(&key));
}

static void on_proposed(struct proposal *p, enum err err)
{
    struct records *s = CONTAINER_OF(p, struct records, proposal);
    buf_done(&p->batch);
    if (err != ERR_OK) {
        end_first(s, err);
        return;
    }
    s->is_durable = true;
    s->is_stale = true;
}

static enum err propose(struct records *s, struct records_changes *c)
{
    const char *limit;
    uint64_t value;
    const struct batch_header header = {.version = shard_take_version(s->shard),
                                        .log_time_ms = shard_log_time_ms(s->shard)};
    enum err err = batch_end(&c->builder, &header);
    if (err == ERR_OK) {
        err = shard_reserve(s->shard, c->batch.len, false, &limit, &value);
    }
    if (err != ERR_OK) {
        return err;
    }
    s->is_proposed = true;
    s->proposal = (struct proposal){.batch = buf_take(&c->batch), .done = on_proposed};
    shard_propose(s->shard, &s->proposal);
    return ERR_OK;
}

static void run_first(struct records *s)
{
    struct records_request *r = first(s);
    struct records_changes c = {0};
    if (!shard_is_leading(s->shard)) {
        end_first(s, ERR_UNAVAILABLE);
        return;
    }
    batch_begin(&c.builder, &c.batch);
    enum err err = r->decide(r, s->worker->node->view, &c);
    if (err == ERR_OK && c.builder.op_count > 0) {
        err = propose(s, &c);
    }
    buf_done(&c.batch);
    if (!s->is_proposed) {
        end_first(s, err);
    }
}

void records_tick(struct records *s)
{
    if (s->shard == NULL) {
        return;
    }
    if (s->is_stale && !s->is_loading) {
        load(s);
    }
    while (first(s) != NULL && !s->is_proposed && !s->is_loading && !s->is_stale &&
           s->worker->node->view != NULL) {
        run_first(s);
    }
}

void records_submit(struct records *s, struct records_request *r)
{
    if (s->queue_count >= RECORDS_REQUESTS_MAX) {
        r->done(r, ERR_OVERLOADED);
        return;
    }
    list_init(&r->link);
    list_append(&s->queue, &r->link);
    s->queue_count++;
    records_tick(s);
}
