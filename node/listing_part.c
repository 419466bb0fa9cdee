#include "node/listing_part.h"

#include <stdlib.h>

#include "actor/actor.h"
#include "actor/registry.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/node.h"
#include "storage/rows.h"

enum { PAGE_BYTES_MAX = 1 << 20 /* of one shard */ };

struct listing_page {
    struct shard_read read;
    struct listing_part *part;
    struct shard *shard;
    bool is_open;
};

void listing_part_free_rows(struct listing_part *p)
{
    PRE(p->reads == 0);
    for (uint32_t i = 0; i < p->page_count; i++) {
        if (p->pages[i].is_open) {
            read_job_done(&p->pages[i].read.job);
        }
    }
    for (size_t i = 0; i < p->found_count; i++) {
        read_job_done(&p->found[i].read.job);
    }
    mem_free(p->pages);
    mem_free(p->found);
}

bool found_decode(const struct found *f, struct directory_row *ret_directory, struct meta *ret_meta)
{
    const struct rowset *rows = &f->read.job.rows;
    return rows->count == 2 && rows->rows[0].present && rows->rows[1].present &&
           directory_row_decode(rowset_payload(rows, 0), ret_directory) == ERR_OK &&
           meta_decode(rowset_payload(rows, 1), rows->rows[1].version, ret_meta) == ERR_OK;
}

/* Directory and meta rows */

static void finish(struct listing_part *p)
{
    const struct registry *registry = &p->part.worker->registry;
    for (size_t i = 0; i < p->found_count; i++) {
        const struct actor *a = registry_find(registry, &p->found[i].identity);
        p->found[i].is_awake = a != NULL && !a->is_visit;
    }
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

static void read_actor(struct found *f)
{
    struct row_key key;
    read_job_points(&f->read.job);
    row_key_directory(&key, &f->identity);
    read_job_add_point(&f->read.job, row_key_slice(&key));
    row_key_meta(&key, f->number);
    read_job_add_point(&f->read.job, row_key_slice(&key));
    f->read.done = on_actor_read;
    f->part->reads++;
    enum err err = shard_read(f->shard, &f->read);
    if (err != ERR_COLD) {
        actor_is_read(f->part, err);
    }
}

/* Listing rows */

static int by_key(const void *left, const void *right)
{
    return slice_compare(((const struct found *)left)->key, ((const struct found *)right)->key);
}

static enum err take_row(struct listing_part *p, const struct listing_page *page, size_t i)
{
    struct listing_key key;
    struct found *f = &p->found[p->found_count];
    enum err err = row_key_parse_listing(rowset_key(&page->read.job.rows, i), &key);
    if (err != ERR_OK) {
        return err;
    }
    *f = (struct found){.key = rowset_key(&page->read.job.rows, i),
                        .identity = key.identity,
                        .shard = page->shard,
                        .part = p};
    err = number_row_decode(rowset_payload(&page->read.job.rows, i), &f->number);
    p->found_count += err == ERR_OK ? 1 : 0;
    return err;
}

/* All shards have answered: of their pages the least rows are the worker's. */
static void take_pages(struct listing_part *p)
{
    size_t total = 0;
    for (uint32_t i = 0; i < p->page_count; i++) {
        total += p->pages[i].read.job.rows.count;
        p->more = p->more || p->pages[i].read.job.more;
    }
    p->found = mem_alloc((total + 1) * sizeof *p->found);
    for (uint32_t i = 0; p->err == ERR_OK && i < p->page_count; i++) {
        for (size_t row = 0; p->err == ERR_OK && row < p->pages[i].read.job.rows.count; row++) {
            p->err = take_row(p, &p->pages[i], row);
        }
    }
    qsort(p->found, p->found_count, sizeof *p->found, by_key);
    if (p->found_count > p->query->limit) {
        p->found_count = p->query->limit;
        p->more = true;
    }
    p->reads = 1; /* ours, until all have been started */
    for (size_t i = 0; i < p->found_count; i++) {
        read_actor(&p->found[i]);
    }
    actor_is_read(p, ERR_OK);
}

static void page_is_read(struct listing_part *p, enum err err)
{
    p->err = p->err == ERR_OK ? err : p->err;
    if (--p->reads == 0) {
        take_pages(p);
    }
}

static void on_page_read(struct shard_read *rd, enum err err)
{
    page_is_read(CONTAINER_OF(rd, struct listing_page, read)->part, err);
}

static void read_page(struct listing_part *p, struct listing_page *page)
{
    struct row_key start = p->query->prefix;
    struct row_key end = p->query->prefix;
    row_key_after_prefix(&end);
    if (p->query->after.len > 0) {
        start = p->query->after;
        row_key_append(&start, slice_of("", 1)); /* the least key after it */
    }
    read_job_range(&page->read.job, &start, &end, false, p->query->limit, PAGE_BYTES_MAX);
    page->is_open = true;
    page->read.done = on_page_read;
    p->reads++;
    enum err err = shard_read(page->shard, &page->read);
    if (err != ERR_COLD) {
        page_is_read(p, err);
    }
}

void listing_part_begin(struct gather_part *part)
{
    struct listing_part *p = CONTAINER_OF(part, struct listing_part, part);
    const struct worker *w = part->worker;
    uint32_t shard_count = w->node->data.shard_count;
    p->pages = mem_zalloc((shard_count / w->node->worker_count + 1) * sizeof *p->pages);
    p->reads = 1; /* ours, until all have been started */
    for (uint32_t id = w->index; id < shard_count; id += w->node->worker_count) {
        struct shard *shard = engine_shard(w->engine, id);
        if (shard == NULL) {
            continue; /* it has no replica on this node */
        }
        struct listing_page *page = &p->pages[p->page_count++];
        page->part = p;
        page->shard = shard;
        read_page(p, page);
    }
    page_is_read(p, ERR_OK);
}
