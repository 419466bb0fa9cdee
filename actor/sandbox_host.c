#include "actor/sandbox_host.h"

#include <stdio.h>
#include <string.h>

#include "actor/sandbox_own.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/value.h"

enum { ROW_TIMEOUT_MS = 30 * 1000 };

void sandbox_host_init(struct sandbox_host *h, struct registry *registry,
                       struct socket_sets *sockets, struct machines *machines, struct disks *disks,
                       const char *images)
{
    *h = (struct sandbox_host){.registry = registry,
                               .sockets = sockets,
                               .machines = machines,
                               .disks = disks,
                               .images = images};
    h->next_poll_ms = UINT64_MAX;
    list_init(&h->all);
    list_init(&h->asks);
}

void sandbox_host_done(struct sandbox_host *h)
{
    INVARIANT(list_is_empty(&h->asks));
    LIST_FOREACH_SAFE (link, &h->all) {
        struct box *b = LIST_ENTRY(link, struct box, link);
        box_drop(b);
    }
    map_done(&h->boxes);
    heap_done(&h->deadlines);
    heap_done(&h->spawn_deadlines);
    heap_done(&h->context_deadlines);
}

static void refuse(struct request *r, enum err err, const char *detail)
{
    (void)reply_fail(&r->reply, err, "%s", detail);
    r->stage = REQUEST_DONE;
    r->answer(r);
}

/* Rows */

struct row_turn {
    struct sandbox_ask *ask;
    void (*done)(struct sandbox_ask *a, struct request *r);
};

static void on_row(struct request *r)
{
    struct row_turn *t = r->user;
    struct sandbox_ask *a = t->ask;
    if (a->request != NULL) {
        t->done(a, r);
    }
    request_free(r);
    mem_free(t);
    ask_end(a);
}

static void submit_row(struct sandbox_ask *a, enum request_kind kind, struct slice body,
                       void (*done)(struct sandbox_ask *a, struct request *r))
{
    struct row_turn *t = MEM_NEW(struct row_turn);
    struct request *r = request_new(kind);
    struct request *of = a->request;
    t->ask = a;
    t->done = done;
    request_set_address(r, &of->address);
    r->identity = of->identity;
    r->name = bytes_new(a->what.name);
    r->body = body.len > 0 ? bytes_new(body) : NULL;
    r->match = kind == REQUEST_SANDBOX_SET ? MATCH_ABSENT : MATCH_ANY;
    if (request_writes(r) && of->idempotency_key != NULL) {
        r->idempotency_key = bytes_ref(of->idempotency_key);
        memcpy(r->hash, of->hash, sizeof r->hash);
    }
    r->user = t;
    r->answer = on_row;
    ask_begin(a);
    registry_submit(a->host->registry, a->shard, r, ROW_TIMEOUT_MS);
}

/* The row's error becomes the ask's. */
static bool take_row_error(struct sandbox_ask *a, struct request *r)
{
    if (r->reply.err == ERR_OK) {
        return false;
    }
    struct box *b = r->reply.err == ERR_NO_SUCH_SANDBOX
                        ? box_find(a->host, &a->request->identity, a->what.name)
                        : NULL;
    if (b != NULL) {
        box_go(b, true,
               ERR_NO_SUCH_SANDBOX); /* its row went by a turn whose outcome was not known here */
    }
    reply_clear(&a->request->reply);
    a->request->reply = r->reply;
    reply_init(&r->reply);
    ask_reply(a);
    return true;
}

/* The sandbox itself */

static void put_usage(struct box *b, struct buf *out)
{
    struct machine_usage usage = {0};
    box_usage(b, &usage);
    value_put_text(out, "usage");
    value_put_map(out, 3);
    value_put_text(out, "cpu_ms");
    value_put_uint(out, usage.cpu_us / 1000);
    value_put_text(out, "memory_bytes");
    value_put_uint(out, usage.memory_bytes);
    value_put_text(out, "disk_bytes");
    value_put_uint(out, disk_bytes(b->host->disks, b->disk));
}

static void put_ports(struct box *b, struct buf *out)
{
    enum { PORTS_MAX = 256 };
    uint16_t ports[PORTS_MAX];
    bool has = b->state == BOX_RUNNING || b->state == BOX_FROZEN;
    size_t count = has ? machine_ports(b->machine, ports, PORTS_MAX) : 0;
    value_put_text(out, "ports");
    value_put_array(out, (uint32_t)count);
    for (size_t i = 0; i < count; i++) {
        value_put_uint(out, ports[i]);
    }
}

static void show(struct sandbox_ask *a, struct box *b, int status)
{
    static const char *const states[BOX_STATE_COUNT] = {
        [BOX_ASLEEP] = "asleep",   [BOX_FETCHING] = "running", [BOX_STARTING] = "running",
        [BOX_RUNNING] = "running", [BOX_FROZEN] = "frozen",    [BOX_STOPPING] = "asleep"};
    struct buf doc = {0};
    struct buf spec = {0};
    uint32_t entries = sandbox_spec_show(&b->spec, &spec);
    value_put_map(&doc, entries + 5);
    value_put_text(&doc, "name");
    value_put_text(&doc, b->name);
    value_put_text(&doc, "state");
    value_put_text(&doc, states[b->state]);
    buf_append_slice(&doc, buf_slice(&spec));
    put_usage(b, &doc);
    put_ports(b, &doc);
    value_put_text(&doc, "processes");
    processes_put(b, &doc);
    buf_done(&spec);
    ask_document(a, status, &doc);
}

void box_show(struct sandbox_ask *a, struct box *b)
{
    if (a->request != NULL) {
        show(a, b, 200);
    }
}

static void on_put_row(struct sandbox_ask *a, struct request *r)
{
    int status = r->reply.status;
    if (take_row_error(a, r)) {
        return;
    }
    struct box *b = box_of(a, bytes_slice(r->reply.body));
    if (b == NULL) {
        ask_fail(a, ERR_CORRUPT, NULL);
        return;
    }
    if (status == 201) {
        box_wake(b); /* its first command comes soon */
    }
    a->request->reply.replayed = r->reply.replayed;
    show(a, b, status);
}

static void on_get_row(struct sandbox_ask *a, struct request *r)
{
    if (take_row_error(a, r)) {
        return;
    }
    struct box *b = box_of(a, bytes_slice(r->reply.body));
    if (b == NULL) {
        ask_fail(a, ERR_CORRUPT, NULL);
        return;
    }
    show(a, b, 200);
}

static void on_delete_row(struct sandbox_ask *a, struct request *r)
{
    if (take_row_error(a, r)) {
        return;
    }
    struct box *b = r->reply.body != NULL ? box_of(a, bytes_slice(r->reply.body)) : NULL;
    a->request->reply.status = 204;
    a->request->reply.replayed = r->reply.replayed;
    if (b == NULL) {
        ask_reply(a);
        return;
    }
    b->deleter = a; /* it is answered when nothing is left */
    box_go(b, true, ERR_NO_SUCH_SANDBOX);
}

static bool image_is_there(struct sandbox_ask *a, struct slice image)
{
    bool is_there = box_has_image(a->host, image);
    if (!is_there) {
        ask_fail(a, ERR_BAD_REQUEST, "There is no image \"%.*s\".", (int)image.len,
                 (const char *)image.data);
    }
    return is_there;
}

static void begin_put(struct sandbox_ask *a)
{
    struct sandbox_spec spec;
    if (sandbox_spec_read(a->what.body, &spec, &a->request->reply) != ERR_OK) {
        ask_reply(a);
    } else if (image_is_there(a, spec.image)) {
        submit_row(a, REQUEST_SANDBOX_PUT, a->what.body, on_put_row);
    }
}

/* What is in it */

/* What people and interpreters use. False: it is something else. */
static bool begin_in_use(struct sandbox_ask *a)
{
    static void (*const begin_of[SANDBOX_VERB_END])(struct sandbox_ask * a) = {
        [SANDBOX_VERB_TERMINAL] = terminal_begin, [SANDBOX_VERB_PREVIEW] = preview_begin,
        [SANDBOX_VERB_CHANGES] = changes_begin,   [SANDBOX_VERB_CONTEXTS] = context_begin,
        [SANDBOX_VERB_CONTEXT] = context_end,     [SANDBOX_VERB_CONTEXT_RUN] = context_run,
    };
    void (*begin)(struct sandbox_ask * a) = begin_of[a->what.verb];
    if (begin != NULL) {
        begin(a);
    }
    return begin != NULL;
}

static void begin_in_box(struct sandbox_ask *a)
{
    bool is_get = slice_equal_str(a->what.method, "GET") || slice_equal_str(a->what.method, "HEAD");
    if (begin_in_use(a)) {
        return;
    }
    switch (a->what.verb) {
    case SANDBOX_VERB_EXEC:
        exec_begin(a);
        return;
    case SANDBOX_VERB_PROCESSES:
        if (is_get) {
            process_list(a);
        } else {
            process_begin(a);
        }
        return;
    case SANDBOX_VERB_PROCESS:
        if (is_get) {
            process_show(a);
        } else {
            process_signal(a);
        }
        return;
    case SANDBOX_VERB_LOGS:
        process_logs(a);
        return;
    case SANDBOX_VERB_WAIT:
        process_wait(a);
        return;
    case SANDBOX_VERB_FILE:
        file_begin(a);
        return;
    case SANDBOX_VERB_WAKE:
        box_begin_wake(a);
        return;
    case SANDBOX_VERB_SLEEP:
        sleep_begin(a);
        return;
    case SANDBOX_VERB_SNAPSHOTS:
        if (is_get) {
            snapshots_list(a);
        } else {
            snapshot_begin(a);
        }
        return;
    case SANDBOX_VERB_SNAPSHOT:
        snapshot_forget(a);
        return;
    case SANDBOX_VERB_RESTORE:
        restore_begin(a);
        return;
    case SANDBOX_VERB_FORK:
        fork_begin(a);
        return;
    case SANDBOX_VERB_ADOPT:
    case SANDBOX_VERB_TERMINAL:
    case SANDBOX_VERB_PREVIEW:
    case SANDBOX_VERB_CHANGES:
    case SANDBOX_VERB_CONTEXTS:
    case SANDBOX_VERB_CONTEXT:
    case SANDBOX_VERB_CONTEXT_RUN:
    case SANDBOX_VERB_ITSELF:
    case SANDBOX_VERB_END:
        break;
    }
    UNREACHABLE();
}

static void on_box_row(struct sandbox_ask *a, struct request *r)
{
    if (take_row_error(a, r)) {
        return;
    }
    struct box *b = box_of(a, bytes_slice(r->reply.body));
    if (b == NULL) {
        ask_fail(a, ERR_CORRUPT, NULL);
        return;
    }
    if (b->ask_count >= SANDBOX_WAITING_MAX) {
        (void)reply_limited(&a->request->reply, ERR_OVERLOADED, "sandbox_requests",
                            SANDBOX_WAITING_MAX);
        ask_reply(a);
        return;
    }
    a->box = b;
    begin_in_box(a);
}

/* A fork arrives: its layers are to be here before its row is. */

static void release_adopted(struct sandbox_ask *a, struct slice row)
{
    struct box *b = box_of(a, row);
    if (b != NULL) {
        box_go(b, true, ERR_NO_SUCH_SANDBOX);
    }
}

static void on_adopt_row(struct sandbox_ask *a, struct request *r)
{
    struct slice row = {0};
    bool is_good = value_get_bin(a->what.body, &row);
    if (r->reply.err != ERR_OK && is_good && r->reply.err != ERR_CONFLICT) {
        release_adopted(a, row);
    }
    if (take_row_error(a, r)) {
        return;
    }
    struct box *b = box_of(a, row);
    if (b == NULL) {
        ask_fail(a, ERR_CORRUPT, NULL);
        return;
    }
    show(a, b, 200);
}

static void begin_adopt(struct sandbox_ask *a)
{
    struct slice row = {0};
    struct sandbox_spec s;
    if (a->what.body.len == 0 || !value_get_bin(a->what.body, &row) ||
        sandbox_spec_decode(row, &s) != ERR_OK) {
        ask_fail(a, ERR_BAD_REQUEST, NULL);
    } else if (!layers_use(a->host, &a->request->identity, &s)) {
        ask_fail(a, ERR_SANDBOX_FAILED,
                 "A layer of its disk is not on the node that owns the other actor.");
    } else {
        submit_row(a, REQUEST_SANDBOX_SET, row, on_adopt_row);
    }
}

static void begin(struct sandbox_ask *a)
{
    struct slice method = a->what.method;
    if (a->what.verb == SANDBOX_VERB_ADOPT) {
        begin_adopt(a);
    } else if (a->what.verb != SANDBOX_VERB_ITSELF) {
        submit_row(a, REQUEST_SANDBOX_GET, SLICE(""), on_box_row);
    } else if (slice_equal_str(method, "PUT")) {
        begin_put(a);
    } else if (slice_equal_str(method, "DELETE")) {
        submit_row(a, REQUEST_SANDBOX_DELETE, SLICE(""), on_delete_row);
    } else {
        submit_row(a, REQUEST_SANDBOX_GET, SLICE(""), on_get_row);
    }
}

/* From outside */

static void refuse_missing(struct sandbox_host *h, struct request *r)
{
    static const char *const names[SANDBOX_NEEDS] = {
#define X(name, text, what) text " (" what ")",
        SANDBOX_LIST(X)
#undef X
    };
    struct buf detail = {0};
    buf_append_str(&detail, "This node cannot isolate sandboxes; it lacks: ");
    for (uint32_t i = 0, shown = 0; i < SANDBOX_NEEDS; i++) {
        if ((h->missing & 1U << i) != 0) {
            buf_printf(&detail, "%s%s", shown++ > 0 ? ", " : "", names[i]);
        }
    }
    buf_append_byte(&detail, '.');
    buf_append_byte(&detail, '\0');
    refuse(r, ERR_NOT_IMPLEMENTED, (const char *)detail.data);
    buf_done(&detail);
}

void sandbox_host_submit(struct sandbox_host *h, struct shard *shard, struct request *r,
                         uint32_t timeout_ms)
{
    struct sandbox_what what;
    if (h->is_stopped) {
        refuse(r, ERR_UNAVAILABLE, "The node ends.");
        return;
    }
    if (sandbox_what_decode(bytes_slice(r->body), &what) != ERR_OK) {
        refuse(r, ERR_BAD_REQUEST, "That is no request to a sandbox.");
        return;
    }
    if (h->missing != 0) {
        refuse_missing(h, r);
        return;
    }
    struct sandbox_ask *a = MEM_NEW(struct sandbox_ask);
    a->magic = ASK_MAGIC;
    a->host = h;
    a->shard = shard;
    a->request = r;
    a->what = what;
    a->body = bytes_ref(r->body);
    list_init(&a->link);
    list_init(&a->in_box);
    list_append(&h->asks, &a->link);
    r->sandbox_ask = a;
    heap_set(&h->deadlines, &a->deadline, h->now_ms + timeout_ms);
    ask_begin(a);
    begin(a);
    ask_end(a);
}

void sandbox_host_cancel(struct sandbox_host *h, struct request *r)
{
    (void)h;
    if (r->sandbox_ask != NULL) {
        ask_give_up(r->sandbox_ask, ERR_CLOSED);
    }
}

void sandbox_host_forget_actor(struct sandbox_host *h, const struct identity *identity)
{
    LIST_FOREACH_SAFE (link, &h->all) {
        struct box *b = LIST_ENTRY(link, struct box, link);
        if (!b->is_going && memcmp(&b->identity, identity, sizeof *identity) == 0) {
            box_go(b, true, ERR_NO_SUCH_SANDBOX);
        }
    }
    disks_remove_of(h->disks, identity);
}

static void drop_asks(struct sandbox_host *h, const struct shard *shard)
{
    /* Giving one up may end others of its box: begin anew after each. */
    for (bool again = true; again;) {
        again = false;
        LIST_FOREACH (link, &h->asks) {
            struct sandbox_ask *a = LIST_ENTRY(link, struct sandbox_ask, link);
            if ((shard == NULL || a->shard == shard) && (a->request != NULL || !a->is_given_up)) {
                a->is_given_up = true;
                ask_give_up(a, a->has_begun ? ERR_OUTCOME_UNKNOWN : ERR_UNAVAILABLE);
                again = true;
                break;
            }
        }
    }
}

/* The disk stays: whoever leads next may be this node again. */
static void drop_boxes(struct sandbox_host *h, const struct shard *shard)
{
    LIST_FOREACH_SAFE (link, &h->all) {
        struct box *b = LIST_ENTRY(link, struct box, link);
        if (!b->is_going && (shard == NULL || b->shard == shard)) {
            box_go(b, false, ERR_OUTCOME_UNKNOWN);
        }
    }
}

void sandbox_host_depose(struct sandbox_host *h, const struct shard *shard)
{
    drop_asks(h, shard);
    drop_boxes(h, shard);
}

void sandbox_host_stop(struct sandbox_host *h)
{
    h->is_stopped = true;
    drop_asks(h, NULL);
    drop_boxes(h, NULL);
}

static void poll_waiters(struct sandbox_host *h)
{
    bool has_some = false;
    if (h->now_ms < h->next_poll_ms) {
        return;
    }
    LIST_FOREACH_SAFE (link, &h->all) {
        has_some = processes_poll(LIST_ENTRY(link, struct box, link)) || has_some;
        has_some = outside_look(LIST_ENTRY(link, struct box, link)) || has_some;
    }
    h->next_poll_ms = has_some ? h->now_ms + SANDBOX_POLL_MS : UINT64_MAX;
}

void sandbox_host_tick(struct sandbox_host *h, uint64_t now_ms, uint64_t wall_ms)
{
    struct heap_node *n;
    h->now_ms = now_ms;
    h->wall_ms = wall_ms;
    while ((n = heap_first(&h->deadlines)) != NULL && n->key <= now_ms) {
        struct sandbox_ask *a = CONTAINER_OF(n, struct sandbox_ask, deadline);
        ask_give_up(a, a->has_begun ? ERR_TIMEOUT_IN_DOUBT : ERR_TIMEOUT);
    }
    exec_expire(h);
    contexts_expire(h);
    poll_waiters(h);
    if (now_ms < h->next_look_ms) {
        return;
    }
    h->next_look_ms = now_ms + SANDBOX_LOOK_MS;
    LIST_FOREACH_SAFE (link, &h->all) {
        terminals_look(LIST_ENTRY(link, struct box, link));
        changes_look(LIST_ENTRY(link, struct box, link));
        box_look(LIST_ENTRY(link, struct box, link));
    }
}

uint64_t sandbox_host_next_ms(const struct sandbox_host *h)
{
    const struct heap_node *n = heap_first(&h->deadlines);
    uint64_t next_ms = list_is_empty(&h->all) ? UINT64_MAX : h->next_look_ms;
    next_ms = n != NULL && n->key < next_ms ? n->key : next_ms;
    next_ms = h->next_poll_ms < next_ms ? h->next_poll_ms : next_ms;
    n = heap_first(&h->spawn_deadlines);
    next_ms = n != NULL && n->key < next_ms ? n->key : next_ms;
    n = heap_first(&h->context_deadlines);
    return n != NULL && n->key < next_ms ? n->key : next_ms;
}
