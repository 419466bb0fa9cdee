#include "actor/scheduler.h"

#include <string.h>

#include "actor/due_window.h"
#include "actor/request.h"
#include "actor/timer.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "rpc/webhook_uv.h"
#include "storage/batch.h"
#include "storage/rows.h"

/* What the worker knows of one shard that it leads. */
struct schedule {
    struct scheduler *scheduler;
    struct shard *shard;
    struct map_node by_shard;
    struct heap_node head; /* key: due time of the first waiting entry */
    struct list hungry;    /* scheduler.hungry, or alone */
    struct due_window window;
    struct page *page;    /* on its way; NULL: none */
    uint64_t up_since_ms; /* log time at the first tick; 0: not yet ticked */
};

/* A page of due rows. It outlives a schedule that goes. */
struct page {
    struct shard_read read;
    struct schedule *schedule; /* NULL: nobody waits for it any more */
};

/* A timer's turn under way. */
struct firing {
    struct schedule *schedule;
    struct row_key key; /* of its due row */
};

/* A firing from its delivery, to a webhook or to code, until its outcome is recorded. */
struct delivery {
    struct webhook_post post;
    struct list link;       /* scheduler.deliveries */
    struct heap_node retry; /* scheduler.outcomes */
    struct scheduler *scheduler;
    struct shard *shard; /* NULL: lost meanwhile */
    struct identity identity;
    struct bytes *name;
    struct bytes *error; /* a msgpack string; NULL: delivered */
    uint64_t number;
    uint64_t firing;
    uint64_t drop_ms; /* monotonic: when the guard takes over */
    bool is_run;      /* of a workflow, whose rows say themselves how it went */
};

static struct schedule *schedule_of(const struct scheduler *s, const struct shard *shard)
{
    for (struct map_node *n = map_find(&s->schedules, shard_id(shard)); n != NULL;
         n = map_next_same(n)) {
        struct schedule *d = CONTAINER_OF(n, struct schedule, by_shard);
        if (d->shard == shard) {
            return d;
        }
    }
    return NULL;
}

/* Brings the scheduler's queues up to what the window holds now. */
static void update(struct schedule *d)
{
    struct scheduler *s = d->scheduler;
    struct due_entry *first = due_window_first(&d->window);
    if (first != NULL) {
        heap_set(&s->heads, &d->head, due_entry_ms(first));
    } else {
        heap_remove(&s->heads, &d->head);
    }
    list_remove(&d->hungry);
    if (d->page == NULL && due_window_wants_page(&d->window)) {
        list_append(&s->hungry, &d->hungry);
    }
    s->has_news = true;
}

/* Life of a schedule */

void scheduler_lead(struct scheduler *s, struct shard *shard)
{
    PRE(schedule_of(s, shard) == NULL);

    struct schedule *d = MEM_NEW(struct schedule);
    d->scheduler = s;
    d->shard = shard;
    list_init(&d->hungry);
    due_window_init(&d->window, &s->held, d);
    map_add(&s->schedules, &d->by_shard, shard_id(shard));
    update(d);
}

static void schedule_free(struct schedule *d)
{
    struct scheduler *s = d->scheduler;
    LIST_FOREACH (link, &s->deliveries) {
        struct delivery *v = LIST_ENTRY(link, struct delivery, link);
        v->shard = v->shard == d->shard ? NULL : v->shard;
    }
    if (d->page != NULL) {
        d->page->schedule = NULL;
    }
    due_window_done(&d->window);
    heap_remove(&s->heads, &d->head);
    list_remove(&d->hungry);
    map_remove(&s->schedules, &d->by_shard);
    mem_free(d);
}

void scheduler_depose(struct scheduler *s, struct shard *shard)
{
    struct schedule *d = schedule_of(s, shard);
    if (d != NULL) {
        schedule_free(d);
    }
}

/* Durable batches */

static void take_op(struct schedule *d, const struct batch_op *op)
{
    struct due_key due;
    struct identity identity;
    if (op->type == BATCH_DROP || row_key_parse_due(op->key, &due) != ERR_OK ||
        (due.kind != ROW_TIMER && due.kind != ROW_WORKFLOW)) {
        return;
    }
    if (op->type == BATCH_DELETE) {
        due_window_delete(&d->window, op->key);
    } else if (due_row_decode(op->payload, &identity) == ERR_OK) {
        due_window_put(&d->window, op->key, &identity);
    }
}

static void on_due(void *ctx, struct shard *shard, struct slice batch)
{
    OBJ_CAST(scheduler, ctx, SCHEDULER_MAGIC);
    struct schedule *d = schedule_of(scheduler, shard);
    struct batch_reader reader;
    struct batch_op op;
    if (d == NULL) {
        return;
    }
    enum err err = batch_open(&reader, batch);
    while (err == ERR_OK && reader.ops_left > 0) {
        err = batch_next(&reader, &op);
        if (err == ERR_OK) {
            take_op(d, &op);
        }
    }
    INVARIANT(err == ERR_OK); /* we built it */
    update(d);
}

/* Pages of due rows */

static void take_page(struct schedule *d, const struct read_job *job)
{
    struct row_key edge = {.len = 0};
    if (job->more) {
        INVARIANT(job->rows.count > 0);
        row_key_set(&edge, rowset_key(&job->rows, job->rows.count - 1));
        row_key_after(&edge);
    }
    if (!due_window_take_page(&d->window, &edge)) {
        return;
    }
    for (size_t i = 0; i < job->rows.count; i++) {
        const struct batch_op op = {.type = BATCH_PUT,
                                    .key = rowset_key(&job->rows, i),
                                    .payload = rowset_payload(&job->rows, i)};
        take_op(d, &op);
    }
    due_window_end_page(&d->window);
}

static void end_page(struct page *p, enum err err)
{
    struct schedule *d = p->schedule;
    if (d != NULL) {
        d->page = NULL;
        if (err == ERR_OK) {
            take_page(d, &p->read.job);
        } else {
            due_window_drop_page(&d->window);
            d->scheduler->page_after_ms = d->scheduler->mono_ms + DUE_PAGE_RETRY_MS;
        }
        update(d);
    }
    read_job_done(&p->read.job);
    mem_free(p);
}

static void on_page(struct shard_read *rd, enum err err)
{
    end_page(CONTAINER_OF(rd, struct page, read), err);
}

static void begin_page(struct schedule *d)
{
    struct row_key end;
    size_t room = due_window_room(&d->window);
    struct page *p = MEM_NEW(struct page);
    p->schedule = d;
    p->read.done = on_page;
    d->page = p;
    list_remove(&d->hungry);
    row_key_kind(&end, SHARD_NUMBER, ROW_DUE);
    row_key_after_prefix(&end);
    read_job_range(&p->read.job, &d->window.edge, &end, false,
                   room < READ_ROWS_MAX ? room : READ_ROWS_MAX, DUE_PAGE_BYTES_MAX);
    due_window_begin_page(&d->window);
    enum err err = shard_read(d->shard, &p->read);
    if (err != ERR_COLD) {
        end_page(p, err);
    }
}

static void feed(struct scheduler *s)
{
    struct schedule *d;
    while (s->page_after_ms <= s->mono_ms &&
           (d = LIST_FIRST(&s->hungry, struct schedule, hungry)) != NULL) {
        begin_page(d);
    }
}

/* Outcomes */

static void delivery_free(struct delivery *v)
{
    list_remove(&v->link);
    v->scheduler->run_count -= v->is_run ? 1 : 0;
    heap_remove(&v->scheduler->outcomes, &v->retry);
    bytes_unref(v->name);
    bytes_unref(v->error);
    mem_free(v);
}

static void on_outcome(struct request *r)
{
    struct delivery *v = r->user;
    struct scheduler *s = v->scheduler;
    bool again = r->reply.err != ERR_OK && v->shard != NULL && s->mono_ms < v->drop_ms;
    request_free(r);
    if (again) {
        heap_set(&s->outcomes, &v->retry, s->mono_ms + FIRING_RETRY_MS);
    } else {
        delivery_free(v);
    }
}

static void report(struct delivery *v)
{
    struct scheduler *s = v->scheduler;
    if (v->shard == NULL || s->is_stopped) {
        delivery_free(v); /* the new leader finds the guard's due row */
        return;
    }
    if (v->is_run && v->error == NULL) {
        delivery_free(v);
        return;
    }
    struct request *r = request_new(v->is_run ? REQUEST_WORKFLOW_OUTCOME : REQUEST_TIMER_OUTCOME);
    r->identity = v->identity;
    r->name = bytes_ref(v->name);
    r->body = bytes_ref(v->error);
    r->timer = (struct timer_call){.number = v->number, .firing = v->firing};
    r->answer = on_outcome;
    r->user = v;
    registry_submit(s->registry, v->shard, r, FIRING_TIMEOUT_MS);
}

static void end_delivery(struct delivery *v, const char *error)
{
    if (error != NULL) {
        struct buf text = {0};
        value_put_text(&text, error);
        v->error = bytes_new(buf_slice(&text));
        buf_done(&text);
    }
    v->drop_ms = v->scheduler->mono_ms + OUTCOME_TRIES_MS;
    report(v);
}

static void on_posted(struct webhook_post *p, const char *error)
{
    end_delivery(CONTAINER_OF(p, struct delivery, post), error);
}

/* The text of what the code threw; an exception that says nothing is one all the same. */
static void on_code(struct request *r)
{
    char error[TIMER_ERROR_BYTES_MAX];
    struct delivery *v = r->user;
    struct slice doc;
    struct slice text;
    const struct reply *reply = &r->reply;
    /* A run that could not begin is tried again without more ado, as its due row stands. */
    bool is_nothing = v->is_run && (reply->err == ERR_OVERLOADED || reply->err == ERR_UNAVAILABLE);
    if (reply->err == ERR_OK || is_nothing) {
        request_free(r);
        end_delivery(v, NULL);
        return;
    }
    text = slice_of_str(reply->detail != NULL ? reply->detail : err_info(reply->err)->text);
    if (reply->body != NULL && value_member(bytes_slice(reply->body), "message", &doc) &&
        !value_get_str(doc, &text)) {
        text = SLICE("");
    }
    size_t len = text.len < sizeof error ? text.len : sizeof error - 1;
    memcpy(error, text.data, len);
    error[len] = '\0';
    request_free(r);
    end_delivery(v, error);
}

static void retry_outcomes(struct scheduler *s)
{
    struct heap_node *n;
    while ((n = heap_first(&s->outcomes)) != NULL && n->key <= s->mono_ms) {
        heap_remove(&s->outcomes, n);
        report(CONTAINER_OF(n, struct delivery, retry));
    }
}

/* Firings */

/* `firing` is the version of a batch: an actor has it once. */
static enum err may_deliver(void *ctx, const struct request *r, struct slice webhook,
                            uint64_t firing)
{
    OBJ_CAST(scheduler, ctx, SCHEDULER_MAGIC);
    LIST_FOREACH (link, &scheduler->deliveries) {
        const struct delivery *v = LIST_ENTRY(link, struct delivery, link);
        if (v->firing == firing && memcmp(&v->identity, &r->identity, sizeof v->identity) == 0) {
            return ERR_BUSY;
        }
    }
    if (webhook.len == 0) {
        return scheduler->is_stopped || scheduler->submit_code == NULL ? ERR_OVERLOADED : ERR_OK;
    }
    return scheduler->is_stopped || !webhooks_have_room(scheduler->webhooks, webhook)
               ? ERR_OVERLOADED
               : ERR_OK;
}

/* {"event", "failed"} to the actor's code, which is told in the same words as a webhook. */
static void deliver_to_code(struct delivery *v, struct slice address, struct slice event,
                            struct slice failed)
{
    struct scheduler *s = v->scheduler;
    struct request *r = request_new(v->is_run ? REQUEST_CODE_WORKFLOW : REQUEST_CODE_TIMER);
    struct value_iter it = value_items(address);
    struct slice part;
    struct address a;
    struct slice *const parts[] = {&a.ns, &a.class, &a.id};
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        bool is_part = value_next(&it, &part) && value_get_str(part, parts[i]);
        INVARIANT(is_part); /* ours */
    }
    struct buf body = {0};
    value_put_map(&body, 2);
    value_put_text(&body, "event");
    value_put_raw(&body, event);
    value_put_text(&body, "failed");
    value_put_raw(&body, failed);
    r->body = bytes_new(buf_slice(&body));
    buf_done(&body);
    request_set_address(r, &a);
    r->identity = v->identity;
    r->name = bytes_ref(v->name);
    r->answer = on_code;
    r->user = v;
    s->submit_code(s->code_ctx, v->shard, r, v->is_run ? CODE_RUN_MS : CODE_DELIVERY_MS);
}

/* The turn's answer says what to deliver, and where. */
static void deliver(struct schedule *d, const struct request *r)
{
    struct scheduler *s = d->scheduler;
    struct slice answer = bytes_slice(r->reply.body);
    struct slice doc;
    struct slice event;
    struct slice failed;
    struct slice address;
    struct slice url;
    uint64_t firing;
    bool is_whole = value_member(answer, "webhook", &doc) && value_get_str(doc, &url) &&
                    value_member(answer, "firing", &doc) && value_get_uint(doc, &firing) &&
                    value_member(answer, "event", &event) &&
                    value_member(answer, "failed", &failed) &&
                    value_member(answer, "address", &address);
    INVARIANT(is_whole); /* ours */
    struct delivery *v = MEM_NEW(struct delivery);
    v->scheduler = s;
    v->shard = d->shard;
    v->identity = r->identity;
    v->name = bytes_ref(r->name);
    v->number = r->timer.number;
    v->firing = firing;
    v->is_run = r->kind == REQUEST_WORKFLOW_FIRE;
    s->run_count += v->is_run ? 1 : 0;
    v->post.done = on_posted;
    list_init(&v->link);
    list_append(&s->deliveries, &v->link);
    if (url.len == 0) {
        deliver_to_code(v, address, event, failed);
        return;
    }
    struct buf json = {0};
    value_to_json(event, &json);
    struct bytes *body = bytes_new(buf_slice(&json));
    buf_done(&json);
    webhooks_post(s->webhooks, &v->post, url, body);
    bytes_unref(body);
}

/* The batch that took the due row away was told before. A row that is still there is tried again. */
static void on_fired(struct request *r)
{
    struct firing *f = r->user;
    struct schedule *d = f->schedule;
    struct scheduler *s = d->scheduler;
    struct due_entry *e = due_window_find(&d->window, row_key_slice(&f->key));
    enum err err = r->reply.err;
    s->firing_count--;
    s->run_count -= r->kind == REQUEST_WORKFLOW_FIRE ? 1 : 0;
    if (e != NULL && e->stage == DUE_TAKEN) {
        uint64_t pause_ms = err == ERR_OVERLOADED ? FIRING_OVERLOADED_MS : FIRING_RETRY_MS;
        due_window_hold(&d->window, e, s->mono_ms + pause_ms);
    }
    if (err == ERR_OK && r->reply.body != NULL && !s->is_stopped) {
        deliver(d, r);
    }
    update(d);
    request_free(r);
    mem_free(f);
}

static void begin_firing(struct schedule *d, struct due_entry *e)
{
    struct scheduler *s = d->scheduler;
    struct due_key due;
    enum err err = row_key_parse_due(due_entry_key(e), &due);
    INVARIANT(err == ERR_OK);
    bool is_run = due.kind == ROW_WORKFLOW;
    if (is_run && s->run_count >= RUNS_MAX) {
        due_window_take(&d->window, e);
        due_window_hold(&d->window, e, s->mono_ms + RUN_QUEUE_MS);
        update(d);
        return;
    }
    struct firing *f = MEM_NEW(struct firing);
    struct request *r = request_new(is_run ? REQUEST_WORKFLOW_FIRE : REQUEST_TIMER_FIRE);
    s->run_count += is_run ? 1 : 0;
    f->schedule = d;
    row_key_set(&f->key, due_entry_key(e));
    r->identity = e->identity;
    r->name = bytes_new(due.name);
    r->timer = (struct timer_call){.number = due.number,
                                   .due_ms = due.due_ms,
                                   .wall_ms = s->wall_ms,
                                   .up_since_ms = d->up_since_ms,
                                   .may_deliver = may_deliver,
                                   .ctx = s};
    r->answer = on_fired;
    r->user = f;
    s->firing_count++;
    due_window_take(&d->window, e);
    update(d);
    registry_submit(s->registry, d->shard, r, FIRING_TIMEOUT_MS);
}

/* In order of their due times over all shards, but for shards whose log time lags behind. */
static void fire_due(struct scheduler *s)
{
    struct list lagging;
    struct heap_node *n;
    list_init(&lagging);
    while (s->firing_count < FIRINGS_MAX && (n = heap_first(&s->heads)) != NULL &&
           n->key <= s->wall_ms) {
        struct schedule *d = CONTAINER_OF(n, struct schedule, head);
        if (n->key > shard_log_time_ms(d->shard)) {
            heap_remove(&s->heads, &d->head);
            list_remove(&d->hungry); /* the link is free to use until update() below */
            list_append(&lagging, &d->hungry);
            continue;
        }
        begin_firing(d, due_window_first(&d->window));
    }
    LIST_FOREACH_SAFE (link, &lagging) {
        struct schedule *d = LIST_ENTRY(link, struct schedule, hungry);
        list_remove(&d->hungry);
        update(d);
    }
}

static void release_held(struct scheduler *s)
{
    struct heap_node *n;
    while ((n = heap_first(&s->held)) != NULL && n->key <= s->mono_ms) {
        struct due_entry *e = CONTAINER_OF(n, struct due_entry, held);
        struct schedule *d = e->owner;
        due_window_release(&d->window, e);
        update(d);
    }
}

/* The scheduler */

void scheduler_init(struct scheduler *s, struct registry *registry, struct webhooks *webhooks)
{
    *s = (struct scheduler){.magic = SCHEDULER_MAGIC, .registry = registry, .webhooks = webhooks};
    list_init(&s->hungry);
    list_init(&s->deliveries);
    registry->on_due = on_due;
    registry->on_due_ctx = s;
}

void scheduler_stop(struct scheduler *s)
{
    s->is_stopped = true;
}

void scheduler_done(struct scheduler *s)
{
    PRE(s->firing_count == 0);

    struct map_node *n;
    while ((n = map_first(&s->schedules)) != NULL) {
        schedule_free(CONTAINER_OF(n, struct schedule, by_shard));
    }
    struct delivery *v;
    while ((v = LIST_FIRST(&s->deliveries, struct delivery, link)) != NULL) {
        delivery_free(v); /* its outcome was to be tried again */
    }
    map_done(&s->schedules);
    heap_done(&s->heads);
    heap_done(&s->held);
    heap_done(&s->outcomes);
}

static void begin_schedules(struct scheduler *s)
{
    LIST_FOREACH (link, &s->hungry) {
        struct schedule *d = LIST_ENTRY(link, struct schedule, hungry);
        if (d->up_since_ms == 0) {
            d->up_since_ms = shard_log_time_ms(d->shard);
        }
    }
}

void scheduler_tick(struct scheduler *s, uint64_t mono_ms, uint64_t wall_ms)
{
    s->mono_ms = mono_ms;
    s->wall_ms = wall_ms;
    if (s->is_stopped) {
        return;
    }
    begin_schedules(s);
    feed(s);
    release_held(s);
    retry_outcomes(s);
    fire_due(s);
    s->has_news =
        false; /* what is due and was not fired waits for log time, or for a firing's end */
}

uint64_t scheduler_next_ms(const struct scheduler *s)
{
    uint64_t next_ms = UINT64_MAX;
    const struct heap_node *n;
    if (s->is_stopped) {
        return next_ms;
    }
    if (!list_is_empty(&s->hungry)) {
        next_ms = s->page_after_ms;
    }
    if ((n = heap_first(&s->held)) != NULL && n->key < next_ms) {
        next_ms = n->key;
    }
    if ((n = heap_first(&s->outcomes)) != NULL && n->key < next_ms) {
        next_ms = n->key;
    }
    if (s->firing_count < FIRINGS_MAX && (n = heap_first(&s->heads)) != NULL) {
        uint64_t wait_ms = n->key > s->wall_ms ? n->key - s->wall_ms : s->has_news ? 0 : DUE_LAG_MS;
        next_ms = s->mono_ms + wait_ms < next_ms ? s->mono_ms + wait_ms : next_ms;
    }
    return next_ms;
}
