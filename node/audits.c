/* The pages of the audit log: of this node, read beside the loop, and of the others, asked for. */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/audit_own.h"
#include "node/node.h"
#include "node/record.h"
#include "node/worker.h"
#include "rpc/value.h"

enum { ID_BYTES = 8, PAGE_DEPTH = 6, ITEM_PARTS = 3 };

/* A read of the own log: for a run here, or another node. */
struct audit_read {
    struct job job;
    struct audits *audits;
    struct audit_log *log;
    struct audit_query query;
    struct bytes *ns;
    uint32_t from; /* 0: a run here */
    uint64_t id;
    struct buf page; /* [records, more] */
};

/* Runs */

static void add_items(struct audit_run *r, uint32_t node, struct slice page)
{
    struct value_iter parts = value_items(page);
    struct slice records;
    struct slice more;
    struct slice item;
    struct slice doc;
    bool has_more = false;
    const struct audit_item *last = NULL;
    if (value_count(page) != 2 || !value_next(&parts, &records) || !value_next(&parts, &more) ||
        !value_get_bool(more, &has_more)) {
        return;
    }
    r->has_more = r->has_more || has_more;
    r->items = mem_realloc(r->items, (r->item_count + value_count(records) + 1) * sizeof *r->items);
    for (struct value_iter it = value_items(records); value_next(&it, &item);) {
        struct value_iter of = value_items(item);
        struct audit_item *to = &r->items[r->item_count];
        to->place.node = node;
        if (value_count(item) == ITEM_PARTS && value_next(&of, &doc) &&
            value_get_uint(doc, &to->place.time_ms) && value_next(&of, &doc) &&
            value_get_uint(doc, &to->place.number) && value_next(&of, &to->document) &&
            value_type(to->document) == VALUE_MAP) {
            last = to;
            r->item_count++;
        }
    }
    if (has_more && last != NULL &&
        (!r->has_bound || audit_place_compare(&last->place, &r->bound) < 0)) {
        r->has_bound = true;
        r->bound = last->place;
    }
}

static int by_place(const void *a, const void *b)
{
    return audit_place_compare(&((const struct audit_item *)a)->place,
                               &((const struct audit_item *)b)->place);
}

static void settle(struct audit_run *r)
{
    if (r->is_asking || r->waits_here || r->asked_count > 0) {
        return;
    }
    if (r->item_count > 0) {
        qsort(r->items, r->item_count, sizeof *r->items, by_place);
    }
    while (r->has_bound && r->item_count > 0 &&
           audit_place_compare(&r->items[r->item_count - 1].place, &r->bound) > 0) {
        r->item_count--;
    }
    r->has_more = r->has_more || r->item_count > r->query.limit;
    r->item_count = r->item_count < r->query.limit ? r->item_count : r->query.limit;
    list_remove(&r->link);
    r->done(r, ERR_OK);
}

static void miss(struct audit_run *r, uint32_t node)
{
    if (r->missing_count < BOARD_NODES_MAX) {
        r->missing[r->missing_count++] = node;
    }
}

static bool strike_out(struct audit_run *r, uint32_t node)
{
    for (uint32_t i = 0; i < r->asked_count; i++) {
        if (r->asked[i] == node) {
            r->asked[i] = r->asked[--r->asked_count];
            return true;
        }
    }
    return false;
}

static void take_page(struct audit_run *r, uint32_t node, struct slice page)
{
    struct bytes *kept = bytes_new(page);
    r->pages[r->page_count++] = kept; /* one of each node */
    add_items(r, node, bytes_slice(kept));
}

static struct audit_run *run_of(const struct audits *a, uint64_t id)
{
    LIST_FOREACH (link, &a->runs) {
        struct audit_run *r = LIST_ENTRY(link, struct audit_run, link);
        if (r->id == id) {
            return r;
        }
    }
    return NULL;
}

void audit_run_done(struct audit_run *r)
{
    for (size_t i = 0; i < r->page_count; i++) {
        bytes_unref(r->pages[i]);
    }
    mem_free(r->items);
    r->items = NULL;
    r->page_count = 0;
}

/* The own log */

static void run_on_thread(struct job *job)
{
    struct audit_read *r = CONTAINER_OF(job, struct audit_read, job);
    struct buf records = {0};
    uint32_t count;
    bool more;
    audit_log_read(r->log, &r->query, &records, &count, &more);
    value_put_array(&r->page, 2);
    value_put_array(&r->page, count);
    buf_append_slice(&r->page, buf_slice(&records));
    value_put_bool(&r->page, more);
    buf_done(&records);
}

static void send_to(struct audits *a, uint32_t to, enum peer_kind kind, uint64_t id,
                    struct slice doc)
{
    struct buf payload = {0};
    buf_append_u64(&payload, id);
    buf_append_slice(&payload, doc);
    (void)neighbours_send(&a->worker->neighbours, to, kind, SHARD_META, buf_slice(&payload));
    buf_done(&payload);
}

static void done_on_worker(struct job *job)
{
    struct audit_read *r = CONTAINER_OF(job, struct audit_read, job);
    struct audits *a = r->audits;
    struct audit_run *run = r->from == 0 ? run_of(a, r->id) : NULL;
    a->read_count--;
    if (r->from != 0) {
        send_to(a, r->from, PEER_KIND_AUDIT_ANSWER, r->id, buf_slice(&r->page));
    } else if (run != NULL) {
        take_page(run, a->worker->node->id, buf_slice(&r->page));
        run->waits_here = false;
        settle(run);
    }
    bytes_unref(r->ns);
    buf_done(&r->page);
    mem_free(r);
}

static void notify(void *ctx)
{
    struct worker *w = ctx;
    worker_wake(w->node, w->index);
}

static enum err read_here(struct audits *a, uint32_t from, uint64_t id, const struct audit_query *q)
{
    if (a->is_stopping || a->read_count >= AUDIT_READS_MAX) {
        return a->is_stopping ? ERR_UNAVAILABLE : ERR_OVERLOADED;
    }
    if (a->thread == NULL &&
        job_thread_start("audit", AUDIT_READS_MAX, notify, a->worker, &a->thread) != ERR_OK) {
        return ERR_OVERLOADED;
    }
    struct audit_read *r = MEM_NEW(struct audit_read);
    r->job.run_on_thread = run_on_thread;
    r->job.done_on_worker = done_on_worker;
    r->audits = a;
    r->log = &a->worker->node->audit;
    r->query = *q;
    r->ns = q->ns.len > 0 ? bytes_new(q->ns) : NULL;
    r->query.ns = bytes_slice(r->ns);
    r->from = from;
    r->id = id;
    enum err err = job_thread_submit(a->thread, &r->job);
    INVARIANT(err == ERR_OK); /* no more than it has room for */
    a->read_count++;
    job_thread_kick(a->thread);
    return ERR_OK;
}

/* Asking */

static void encode_query(const struct audit_query *q, struct buf *out)
{
    value_put_map(out, q->has_after ? 6 : 3);
    value_put_text(out, "since");
    value_put_uint(out, q->since_ms);
    value_put_text(out, "limit");
    value_put_uint(out, q->limit);
    value_put_text(out, "ns");
    value_put_str(out, q->ns);
    if (q->has_after) {
        value_put_text(out, "time");
        value_put_uint(out, q->after.time_ms);
        value_put_text(out, "node");
        value_put_uint(out, q->after.node);
        value_put_text(out, "number");
        value_put_uint(out, q->after.number);
    }
}

static bool decode_query(struct slice doc, struct audit_query *ret)
{
    struct slice member;
    uint64_t limit;
    uint64_t node = 0;
    *ret = (struct audit_query){.since_ms = 0};
    if (!record_is_map(doc) || !record_uint(doc, "since", &ret->since_ms) ||
        !record_uint(doc, "limit", &limit) || limit == 0 || limit > AUDIT_LIMIT_MAX ||
        !value_member(doc, "ns", &member) || !value_get_str(member, &ret->ns)) {
        return false;
    }
    ret->limit = (uint32_t)limit;
    ret->has_after = record_uint(doc, "time", &ret->after.time_ms) &&
                     record_uint(doc, "node", &node) &&
                     record_uint(doc, "number", &ret->after.number);
    ret->after.node = (uint32_t)node;
    return true;
}

static void ask_others(struct audits *a, struct audit_run *r)
{
    struct node *n = a->worker->node;
    const struct cluster_view *v = worker_view(a->worker);
    struct buf doc = {0};
    struct buf payload = {0};
    encode_query(&r->query, &doc);
    buf_append_u64(&payload, r->id);
    buf_append_slice(&payload, buf_slice(&doc));
    for (size_t i = 0; n->has_joined && i < v->member_count && r->asked_count < BOARD_NODES_MAX - 1;
         i++) {
        const struct cluster_member *m = &v->members[i];
        if (m->id == n->id || m->state == MEMBER_REMOVED) {
            continue;
        }
        if (neighbours_send(&a->worker->neighbours, m->id, PEER_KIND_AUDIT_ASK, SHARD_META,
                            buf_slice(&payload))) {
            r->asked[r->asked_count++] = m->id;
        } else {
            miss(r, m->id);
        }
    }
    buf_done(&payload);
    buf_done(&doc);
}

void audits_begin(struct audits *a, struct audit_run *r)
{
    r->audits = a;
    r->id = ++a->last_id;
    r->deadline_ms = clock_mono_ms() + AUDIT_WAIT_MS;
    list_init(&r->link);
    list_append(&a->runs, &r->link);
    r->is_asking = true;
    r->waits_here = true;
    enum err err = read_here(a, 0, r->id, &r->query);
    if (err != ERR_OK) {
        list_remove(&r->link);
        r->done(r, err);
        return;
    }
    ask_others(a, r);
    r->is_asking = false;
    settle(r);
}

enum err audits_take_ask(struct audits *a, uint32_t from, struct slice payload)
{
    struct audit_query q;
    if (payload.len < ID_BYTES || !decode_query(slice_skip(payload, ID_BYTES), &q)) {
        return ERR_CORRUPT;
    }
    /* Who is not answered is told of as missing. */
    (void)read_here(a, from, get_be64(payload.data), &q);
    return ERR_OK;
}

enum err audits_take_answer(struct audits *a, uint32_t from, struct slice payload)
{
    const char *reason;
    if (payload.len < ID_BYTES ||
        value_check(slice_skip(payload, ID_BYTES), PAGE_DEPTH, &reason) != ERR_OK) {
        return ERR_CORRUPT;
    }
    struct audit_run *r = run_of(a, get_be64(payload.data));
    if (r != NULL && strike_out(r, from)) {
        take_page(r, from, slice_skip(payload, ID_BYTES));
        settle(r);
    }
    return ERR_OK;
}

void audits_on_lost(struct audits *a, uint32_t node)
{
    LIST_FOREACH_SAFE (link, &a->runs) {
        struct audit_run *r = LIST_ENTRY(link, struct audit_run, link);
        if (strike_out(r, node)) {
            miss(r, node);
            settle(r);
        }
    }
}

/* Time and life */

static void give_up(struct audit_run *r)
{
    while (r->asked_count > 0) {
        miss(r, r->asked[--r->asked_count]);
    }
    settle(r);
}

void audits_tick(struct audits *a, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (link, &a->runs) {
        struct audit_run *r = LIST_ENTRY(link, struct audit_run, link);
        if (r->asked_count > 0 && now_ms >= r->deadline_ms) {
            give_up(r);
        }
    }
}

uint64_t audits_next_ms(const struct audits *a)
{
    uint64_t next_ms = UINT64_MAX;
    LIST_FOREACH (link, &a->runs) {
        const struct audit_run *r = LIST_ENTRY(link, struct audit_run, link);
        next_ms = r->asked_count > 0 && r->deadline_ms < next_ms ? r->deadline_ms : next_ms;
    }
    return next_ms;
}

void audits_init(struct audits *a, struct worker *w)
{
    *a = (struct audits){.worker = w};
    list_init(&a->runs);
}

void audits_stop(struct audits *a)
{
    a->is_stopping = true;
    LIST_FOREACH_SAFE (link, &a->runs) {
        give_up(LIST_ENTRY(link, struct audit_run, link));
    }
}

bool audits_are_idle(const struct audits *a)
{
    return a->read_count == 0 && list_is_empty(&a->runs);
}

void audits_poll(struct audits *a)
{
    if (a->thread != NULL) {
        job_thread_poll(a->thread);
    }
}

void audits_done(struct audits *a)
{
    job_thread_stop(a->thread);
    a->thread = NULL;
    POST(list_is_empty(&a->runs));
}
