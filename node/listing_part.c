#include "node/listing_part.h"

#include <stdlib.h>

#include "actor/actor.h"
#include "actor/meta.h"
#include "actor/registry.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/node.h"
#include "storage/rows.h"
#include "storage/shard.h"

enum {
    PART_BYTES_MAX = READ_BYTES_MAX, /* of LISTING rows, of all shards together; of each at least */
    SHARD_BYTES_MIN = 16 * 1024,     /* so much */
};

/* LISTING rows of one shard. A shard may leave the node between two steps, so it is looked up for each. */
struct listing_rows {
    uint32_t shard;
    bool is_open;
    struct shard_proof proof;
    struct shard_read read;
    struct listing_part *part;
};

/* One of these rows. */
struct row_ref {
    struct slice key;
    struct slice payload;
    uint32_t shard;
};

/* An actor of the page. */
struct found {
    struct slice key; /* in the rows of its shard */
    struct identity identity;
    uint32_t shard;
    struct shard_read read; /* its directory and meta rows */
    struct listing_part *part;
};

/* NULL: somebody else leads it. */
static struct shard *led_shard(const struct listing_part *p, uint32_t id)
{
    struct shard *s = engine_shard(p->part.worker->engine, id);
    return s != NULL && shard_is_leading(s) ? s : NULL;
}

static void free_rows(struct listing_part *p)
{
    PRE(p->reads == 0);
    for (uint32_t i = 0; i < p->shard_count; i++) {
        if (p->shards[i].is_open) {
            read_job_done(&p->shards[i].read.job);
        }
    }
    for (size_t i = 0; i < p->found_count; i++) {
        read_job_done(&p->found[i].read.job);
    }
    mem_free(p->shards);
    mem_free(p->found);
    p->shards = NULL;
    p->found = NULL;
}

/* Directory and meta rows */

/* Not where it was deleted between the two reads, or is damaged. */
static void put_actor(struct listing_part *p, const struct found *f)
{
    const struct rowset *rows = &f->read.job.rows;
    struct directory_row directory;
    struct meta meta;
    if (rows->count != 2 || !rows->rows[0].present || !rows->rows[1].present ||
        directory_row_decode(rowset_payload(rows, 0), &directory) != ERR_OK ||
        meta_decode(rowset_payload(rows, 1), rows->rows[1].version, &meta) != ERR_OK) {
        return;
    }
    const struct actor *a = registry_find(&p->part.worker->registry, &f->identity);
    listing_page_put(&p->page, &(struct listed){.key = f->key,
                                                .class = directory.class,
                                                .id = directory.id,
                                                .is_awake = a != NULL && !a->is_visit,
                                                .version = meta.version,
                                                .bytes = meta.bytes});
}

static void finish(struct listing_part *p)
{
    for (size_t i = 0; p->err == ERR_OK && i < p->found_count; i++) {
        put_actor(p, &p->found[i]);
    }
    free_rows(p);
    gather_part_done(&p->part, p->err);
}

static void actor_is_read(struct listing_part *p, enum err err)
{
    p->err = p->err == ERR_OK ? err : p->err;
    if (--p->reads == 0) {
        finish(p);
    }
}

static void on_actor_read(struct shard_read *rd, enum err err)
{
    actor_is_read(CONTAINER_OF(rd, struct found, read)->part, err);
}

static void read_actor(struct found *f, uint64_t number)
{
    struct row_key key;
    struct shard *s = led_shard(f->part, f->shard);
    read_job_points(&f->read.job);
    row_key_directory(&key, &f->identity);
    read_job_add_point(&f->read.job, row_key_slice(&key));
    row_key_meta(&key, number);
    read_job_add_point(&f->read.job, row_key_slice(&key));
    f->read.done = on_actor_read;
    f->part->reads++;
    enum err err = s != NULL ? shard_read(s, &f->read) : ERR_NOT_OWNER;
    if (err != ERR_COLD) {
        actor_is_read(f->part, err);
    }
}

/* LISTING rows */

static int by_key(const void *left, const void *right)
{
    return slice_compare(((const struct row_ref *)left)->key, ((const struct row_ref *)right)->key);
}

/* Where the shard goes least far whose page a limit ended: beyond, rows of others may be out of turn. */
static struct slice end_of(const struct listing_part *p)
{
    struct slice end = {0};
    for (uint32_t i = 0; i < p->shard_count; i++) {
        const struct read_job *job = &p->shards[i].read.job;
        if (job->more) {
            INVARIANT(job->rows.count > 0);
            struct slice last = rowset_key(&job->rows, job->rows.count - 1);
            end = end.len == 0 || slice_compare(last, end) < 0 ? last : end;
        }
    }
    return end;
}

/* All rows up to the end, in the order of their keys; free with mem_free. */
static struct row_ref *sort_rows(const struct listing_part *p, struct slice end, size_t *ret_count)
{
    size_t total = 0;
    *ret_count = 0;
    for (uint32_t i = 0; i < p->shard_count; i++) {
        total += p->shards[i].read.job.rows.count;
    }
    struct row_ref *refs = mem_alloc((total + 1) * sizeof *refs);
    for (uint32_t i = 0; i < p->shard_count; i++) {
        const struct rowset *rows = &p->shards[i].read.job.rows;
        for (size_t row = 0; row < rows->count; row++) {
            struct slice key = rowset_key(rows, row);
            if (end.len == 0 || slice_compare(key, end) <= 0) {
                refs[(*ret_count)++] = (struct row_ref){
                    .key = key, .payload = rowset_payload(rows, row), .shard = p->shards[i].shard};
            }
        }
    }
    qsort(refs, *ret_count, sizeof *refs, by_key);
    return refs;
}

static void take_row(struct listing_part *p, const struct row_ref *ref)
{
    struct listing_key key;
    uint64_t number;
    p->err = row_key_parse_listing(ref->key, &key);
    if (p->err == ERR_OK) {
        p->err = number_row_decode(ref->payload, &number);
    }
    if (p->err == ERR_OK) {
        struct found *f = &p->found[p->found_count++];
        f->key = ref->key;
        f->identity = key.identity;
        f->shard = ref->shard;
        f->part = p;
        read_actor(f, number);
    }
}

/* All shards have answered: of their rows the least are the worker's. */
static void take_rows(struct listing_part *p)
{
    struct slice end = end_of(p);
    size_t count;
    struct row_ref *refs = sort_rows(p, end, &count);
    if (count > p->query->limit) {
        count = p->query->limit;
        end = refs[count - 1].key;
    }
    if (end.len > 0) {
        listing_page_end_at(&p->page, end);
    }
    p->found = mem_alloc((count + 1) * sizeof *p->found);
    p->reads = 1; /* ours, until all have been started */
    for (size_t i = 0; p->err == ERR_OK && i < count; i++) {
        take_row(p, &refs[i]);
    }
    mem_free(refs);
    actor_is_read(p, ERR_OK);
}

static void rows_are_read(struct listing_part *p, enum err err)
{
    p->err = p->err == ERR_OK ? err : p->err;
    if (--p->reads > 0) {
        return;
    }
    if (p->err == ERR_OK) {
        take_rows(p);
    } else {
        finish(p);
    }
}

static void on_rows_read(struct shard_read *rd, enum err err)
{
    rows_are_read(CONTAINER_OF(rd, struct listing_rows, read)->part, err);
}

static size_t bytes_max(const struct listing_part *p)
{
    size_t share = PART_BYTES_MAX / p->shard_count;
    return share > SHARD_BYTES_MIN ? share : SHARD_BYTES_MIN;
}

static void read_rows(struct listing_rows *r)
{
    struct listing_part *p = r->part;
    struct shard *s = led_shard(p, r->shard);
    struct row_key start = p->query->prefix;
    struct row_key end = p->query->prefix;
    row_key_after_prefix(&end);
    if (p->query->after.len > 0) {
        start = p->query->after;
        row_key_append(&start, slice_of("", 1)); /* the least key after it */
    }
    read_job_range(&r->read.job, &start, &end, false, p->query->limit, bytes_max(p));
    r->is_open = true;
    r->read.done = on_rows_read;
    enum err err = s != NULL ? shard_read(s, &r->read) : ERR_NOT_OWNER;
    if (err != ERR_COLD) {
        rows_are_read(p, err);
    }
}

static void on_proven(struct shard_proof *proof, enum err err)
{
    struct listing_rows *r = CONTAINER_OF(proof, struct listing_rows, proof);
    if (err == ERR_OK) {
        read_rows(r);
    } else {
        rows_are_read(r->part, err);
    }
}

static void begin_shard(struct listing_part *p, uint32_t id)
{
    struct listing_rows *r = &p->shards[p->shard_count];
    struct shard *s = led_shard(p, id);
    if (s == NULL) {
        p->err = ERR_NOT_OWNER;
        return;
    }
    r->shard = id;
    r->part = p;
    p->shard_count++;
}

static void prove_shard(struct listing_rows *r)
{
    struct shard *s = led_shard(r->part, r->shard);
    r->proof.done = on_proven;
    r->part->reads++;
    if (s == NULL) {
        rows_are_read(r->part, ERR_NOT_OWNER);
    } else if (shard_prove(s, &r->proof)) {
        read_rows(r);
    }
}

void listing_part_begin(struct gather_part *part)
{
    struct listing_part *p = CONTAINER_OF(part, struct listing_part, part);
    const struct worker *w = part->worker;
    uint32_t shard_count = w->node->data.shard_count;
    p->shards = mem_zalloc((shard_count / w->node->worker_count + 1) * sizeof *p->shards);
    for (uint32_t id = w->index; id < shard_count; id += w->node->worker_count) {
        if (listing_query_has_shard(p->query, id)) {
            begin_shard(p, id);
        }
    }
    p->reads = 1; /* ours, until all have been started */
    for (uint32_t i = 0; p->err == ERR_OK && i < p->shard_count; i++) {
        prove_shard(&p->shards[i]);
    }
    rows_are_read(p, ERR_OK);
}
