#include "node/records.h"

#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "base/log.h"
#include "node/node.h"
#include "node/worker.h"

enum { PAGE_BYTES_MAX = 1 << 20 };

void records_init(struct records *s, struct worker *w)
{
    *s = (struct records){.worker = w};
    list_init(&s->queue);
    list_init(&s->waits);
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

static void forget_loaded(struct records *s)
{
    cluster_view_unref(s->loaded);
    s->loaded = NULL;
    s->wanted = NULL;
    bytes_unref(s->bundle);
    s->bundle = NULL;
}

static void end_wait(struct records_wait *w)
{
    list_remove(&w->link);
    w->done(w);
}

/* Those that are met, or late. */
static void end_waits(struct records *s, bool all)
{
    const struct cluster_view *v = s->worker->node->view;
    uint64_t now_ms = clock_mono_ms();
    LIST_FOREACH_SAFE (link, &s->waits) {
        struct records_wait *w = LIST_ENTRY(link, struct records_wait, link);
        if (all || (v != NULL && v->version >= w->version) || now_ms >= w->deadline_ms) {
            end_wait(w);
        }
    }
}

void records_await(struct records *s, struct records_wait *w)
{
    list_init(&w->link);
    list_append(&s->waits, &w->link);
    w->deadline_ms = clock_mono_ms() + RECORDS_WAIT_MS;
    end_waits(s, false);
}

void records_done(struct records *s)
{
    while (first(s) != NULL) {
        end_first(s, ERR_UNAVAILABLE);
    }
    end_waits(s, true);
    forget_loaded(s);
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

static enum err take_records(struct records *s)
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

/* Pieces that do not make the bundle are left: then it is not whole. */
static enum err take_pieces(struct records *s)
{
    const struct rowset *rows = &s->read.job.rows;
    for (size_t i = 0; i < rows->count; i++) {
        struct slice name;
        uint32_t number;
        struct slice piece = rowset_payload(rows, i);
        enum err err = row_key_parse_cluster(rowset_key(rows, i), &name);
        if (err != ERR_OK) {
            return err;
        }
        if (piece_record_number(name, &number) && (size_t)number * PIECE_BYTES == s->bundle_bytes &&
            piece.len <= s->bundle->len - s->bundle_bytes) {
            memcpy(s->bundle->data + s->bundle_bytes, piece.data, piece.len);
            s->bundle_bytes += piece.len;
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
    end_waits(s, false);
    if (s->is_durable && !s->is_stale) {
        end_first(s, ERR_OK);
    }
}

/* Records that cannot be read are no reason to serve without them: access depends on them. */
static void load_failed(struct records *s, enum err err)
{
    bool may_pass = err == ERR_OVERLOADED || err == ERR_NO_MEMORY;
    forget_loaded(s);
    s->is_stale = s->is_stale || may_pass;
    if (!may_pass && err != ERR_CLOSED) {
        LOG(LOG_ERROR, "meta_unreadable", LOG_STR("why", err_info(err)->text));
    }
}

/* Where records have changed since, the pieces may be those of a release that is gone: the next load knows. */
static enum err end_bundle(struct records *s)
{
    struct bytes *bundle = s->bundle_bytes == s->bundle->len ? s->bundle : NULL;
    if (bundle == NULL && s->is_stale) {
        return ERR_OVERLOADED;
    }
    if (deployments_give(&s->loaded->deployments, s->wanted, bundle) != ERR_OK || bundle == NULL) {
        LOG(LOG_ERROR, "deployment_unreadable", LOG_STR("namespace", s->wanted->ns),
            LOG_INT("version", s->wanted->version));
    }
    bytes_unref(s->bundle);
    s->bundle = NULL;
    return ERR_OK;
}

/* After the records, or a bundle: the next bundle; none is wanted once all are there. */
static enum err begin_bundle(struct records *s)
{
    const struct cluster_view *former = s->worker->node->view;
    enum err err = ERR_OK;
    if (s->wanted != NULL) {
        err = end_bundle(s);
    } else if (former != NULL) {
        deployments_share(&s->loaded->deployments, &former->deployments);
    }
    s->wanted = err == ERR_OK ? deployments_missing(&s->loaded->deployments) : NULL;
    if (s->wanted == NULL) {
        return err;
    }
    char name[PIECE_NAME_BYTES + 1];
    struct row_key prefix;
    s->bundle = bytes_try_new_uninit(s->wanted->bytes);
    s->bundle_bytes = 0;
    if (s->bundle == NULL) {
        return ERR_NO_MEMORY;
    }
    piece_record_prefix(s->wanted->hash, name);
    row_key_cluster(&prefix, slice_of_str(name));
    read_job_prefix(&s->read.job, &prefix, false, READ_ROWS_MAX, PAGE_BYTES_MAX);
    s->is_loading = true;
    return ERR_OK;
}

/* Whether another page is to be read. */
static bool page_is_read(struct records *s, enum err err)
{
    if (err == ERR_OK) {
        err = s->wanted != NULL ? take_pieces(s) : take_records(s);
    }
    if (err == ERR_OK && s->read.job.more) {
        read_job_continue(&s->read.job);
        return true;
    }
    end_load(s);
    if (err == ERR_OK) {
        err = begin_bundle(s);
    }
    if (err == ERR_OK && s->wanted != NULL) {
        return true;
    }
    if (err == ERR_OK) {
        publish(s); /* from here on another load may have begun */
    } else {
        load_failed(s, err);
    }
    return false;
}

static void on_read(struct shard_read *rd, enum err err);

static void read_pages(struct records *s)
{
    enum err err;
    do {
        s->read.done = on_read;
        err = shard_read(s->shard, &s->read);
    } while (err != ERR_COLD && page_is_read(s, err));
}

static void on_read(struct shard_read *rd, enum err err)
{
    struct records *s = CONTAINER_OF(rd, struct records, read);
    if (page_is_read(s, err)) {
        read_pages(s);
    }
}

static void load(struct records *s)
{
    struct row_key start;
    struct row_key end;
    s->is_stale = false;
    s->is_loading = true;
    s->loaded = cluster_view_new();
    s->loaded->version = shard_applied(s->shard)->version;
    row_key_cluster(&start, SLICE(""));
    row_key_cluster(&end, SLICE(LARGE_RECORDS));
    read_job_range(&s->read.job, &start, &end, false, READ_ROWS_MAX, PAGE_BYTES_MAX);
    read_pages(s);
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
    first(s)->version = header.version;
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
    if (!list_is_empty(&s->waits)) {
        end_waits(s, false);
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
