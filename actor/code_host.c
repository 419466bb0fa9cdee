#include "actor/code_host.h"

#include "actor/code_own.h"
#include "base/digest.h"
#include "base/invariant.h"

void code_host_init(struct code_host *h, struct registry *registry, const struct code_hooks *hooks,
                    void *ctx)
{
    *h = (struct code_host){.registry = registry, .hooks = hooks, .ctx = ctx};
    list_init(&h->by_use);
    list_init(&h->ended);
    list_init(&h->socket_ready);
}

static void end_sessions(struct code_host *h, const struct shard *shard)
{
    LIST_FOREACH_SAFE (link, &h->by_use) {
        struct code_session *s = LIST_ENTRY(link, struct code_session, by_use);
        if (shard == NULL || s->shard == shard) {
            code_session_end(s, CODE_END_MOVED, ERR_OUTCOME_UNKNOWN);
        }
    }
    code_socket_give_up(h, shard);
}

void code_host_stop(struct code_host *h)
{
    h->is_stopped = true;
    end_sessions(h, NULL);
}

void code_host_done(struct code_host *h)
{
    INVARIANT(list_is_empty(&h->by_use) && list_is_empty(&h->ended));
    map_done(&h->sessions);
    heap_done(&h->deadlines);
    heap_done(&h->checks);
}

void code_host_depose(struct code_host *h, struct shard *shard)
{
    end_sessions(h, shard);
}

static bool is_awake(void *ctx, const struct identity *identity, struct actor_usage *ret_usage)
{
    struct code_session *s = code_session_find(ctx, identity);
    bool runs = s != NULL && s->isolate != NULL;
    if (runs && ret_usage != NULL) {
        struct code_usage usage = {0};
        s->host->hooks->usage(s->isolate, false, &usage);
        code_session_charge(s, &usage);
        *ret_usage = (struct actor_usage){.calls = s->calls,
                                          .cpu_us = usage.cpu_us,
                                          .memory_bytes = s->host->hooks->memory(s->isolate)};
    }
    return runs;
}

void code_host_attach(struct code_host *h)
{
    h->registry->has_code = is_awake;
    h->registry->has_code_ctx = h;
}

/* Requests */

static bool is_of_code(const struct request *r)
{
    return r->kind == REQUEST_CALL || r->kind == REQUEST_CLASS_FETCH ||
           r->kind == REQUEST_EXECUTE || r->kind == REQUEST_CODE_TIMER ||
           r->kind == REQUEST_CODE_WORKFLOW || r->kind == REQUEST_MODULE_FETCH;
}

static void refuse(struct request *r, enum err err, const char *limit, uint64_t value)
{
    if (limit != NULL) {
        (void)reply_limited(&r->reply, err, limit, value);
    } else {
        (void)reply_fail(&r->reply, err, NULL);
    }
    r->stage = REQUEST_DONE;
    r->answer(r);
}

/* It has nothing to do now: its end is nobody's loss. */
static bool is_idle(const struct code_session *s)
{
    return s->state == CODE_READY && s->client_count == 0 && s->turn_count == 0 &&
           s->socket_event_count == 0;
}

/* It does something that nobody waits for. */
static bool is_busy(const struct code_session *s)
{
    return s->is_busy || s->incoming_count > 0;
}

/* Room for one more: the least recently used one that is idle goes. */
bool code_host_make_room(struct code_host *h)
{
    if (h->session_count < CODE_SESSIONS_MAX) {
        return true;
    }
    LIST_FOREACH (link, &h->by_use) {
        struct code_session *s = LIST_ENTRY(link, struct code_session, by_use);
        if (is_idle(s) && !is_busy(s)) {
            code_session_end(s, CODE_END_ROOM, ERR_ACTOR_CUT_OFF);
            return true;
        }
    }
    return false;
}

static bool is_old(const struct code_session *s)
{
    const struct code_host *h = s->host;
    return h->hooks->version(h->ctx, s->address.ns, s->address.class) != s->version;
}

struct code_session *code_session_current(struct code_host *h, const struct identity *identity)
{
    struct code_session *s = code_session_find(h, identity);
    if (s != NULL && is_idle(s) && is_old(s)) {
        code_session_end(s, CODE_END_DEPLOYED, ERR_ACTOR_CUT_OFF);
        s = NULL;
    }
    return s;
}

/* The session for a request, perhaps a new one; NULL: there is no room for it. */
static struct code_session *session_for(struct code_host *h, struct shard *shard,
                                        const struct request *r, bool *ret_is_new)
{
    const struct code_who who = {&r->identity, &r->address, r->address_text};
    bool is_run = r->kind == REQUEST_EXECUTE;
    struct code_session *s = is_run ? NULL : code_session_current(h, &r->identity);
    *ret_is_new = s == NULL;
    if (s == NULL && code_host_make_room(h)) {
        s = code_session_new(h, shard, &who, is_run ? r : NULL);
    }
    return s;
}

static void begin_event(struct code_host *h, struct shard *shard, struct request *r,
                        uint32_t timeout_ms)
{
    bool is_new;
    struct code_session *s = session_for(h, shard, r, &is_new);
    if (s == NULL) {
        refuse(r, ERR_OVERLOADED, "isolates", CODE_SESSIONS_MAX);
        return;
    }
    if (s->event_count >= CODE_EVENTS_MAX) {
        refuse(r, ERR_OVERLOADED, "actor_events", CODE_EVENTS_MAX);
        return;
    }
    bool is_bound = s->is_run && s->limits.wall_ms < timeout_ms;
    (void)code_event_new(s, r, is_bound ? s->limits.wall_ms : timeout_ms);
    if (is_new) {
        code_session_start(s, bytes_slice(r->body));
    } else {
        code_session_deliver(s);
    }
}

/* What runs there now has no future. */
static bool ends_run(const struct request *r)
{
    return r->kind == REQUEST_WORKFLOW_CONTROL &&
           (slice_equal_str(bytes_slice(r->name), "terminate") ||
            slice_equal_str(bytes_slice(r->name), "restart"));
}

/* Its state goes, or is to sleep: what the isolate knows of it goes first. */
static void before_registry(struct code_host *h, const struct request *r)
{
    struct code_session *s;
    bool ends = r->kind == REQUEST_ACTOR_DELETE || ends_run(r);
    if (!ends && r->kind != REQUEST_HIBERNATE) {
        return;
    }
    s = code_session_find(h, &r->identity);
    if (s != NULL && (ends || is_idle(s))) {
        code_session_end(s, CODE_END_SLEPT, ERR_ACTOR_CUT_OFF);
    }
}

void code_host_submit(struct code_host *h, struct shard *shard, struct request *r,
                      uint32_t timeout_ms)
{
    if (!is_of_code(r)) {
        before_registry(h, r);
        registry_submit(h->registry, shard, r, timeout_ms);
    } else if (!shard_is_leading(shard) || h->is_stopped) {
        refuse(r, ERR_UNAVAILABLE, NULL, 0);
    } else {
        begin_event(h, shard, r, timeout_ms);
    }
}

struct identity code_host_module(struct slice ns)
{
    struct identity identity;
    const struct slice parts[] = {SLICE("module"), ns};
    digest_of(parts, sizeof parts / sizeof parts[0], identity.bytes, sizeof identity.bytes);
    return identity;
}

void code_host_submit_module(struct code_host *h, struct request *r, uint32_t timeout_ms)
{
    PRE(r->kind == REQUEST_MODULE_FETCH);
    if (h->is_stopped) {
        refuse(r, ERR_UNAVAILABLE, NULL, 0);
    } else {
        begin_event(h, NULL, r, timeout_ms);
    }
}

void code_host_cancel(struct code_host *h, struct request *r)
{
    if (!is_of_code(r)) {
        registry_cancel(h->registry, r);
    } else if (r->code_event != NULL) {
        code_event_cancel(r->code_event);
    }
}

/* Time */

static void expire(struct code_host *h)
{
    struct heap_node *n;
    while ((n = heap_first(&h->deadlines)) != NULL && n->key <= h->now_ms) {
        struct code_event *e = CONTAINER_OF(n, struct code_event, deadline);
        struct code_session *s = e->session;
        if (s->is_run) {
            code_session_stop_run(s, CODE_END_WALL);
        } else {
            code_event_time_out(e);
        }
    }
}

static void stop_runaway(struct code_session *s)
{
    struct buf exception = {0};
    if (s->is_run) {
        code_session_stop_run(s, CODE_END_CPU);
        return;
    }
    value_put_map(&exception, 2);
    value_put_text(&exception, "name");
    value_put_text(&exception, "Error");
    value_put_text(&exception, "message");
    value_put_text(&exception, "The actor's code used more CPU time than it may.");
    code_session_cut(s, CODE_END_CPU, buf_slice(&exception));
    buf_done(&exception);
}

/* How long it may go on before it must be looked at again; 0: it is over its limit. */
static uint64_t look(struct code_session *s)
{
    struct code_usage usage = {0};
    uint64_t max_us = (uint64_t)s->limits.cpu_ms * 1000;
    s->host->hooks->usage(s->isolate, false, &usage);
    code_session_charge(s, &usage);
    uint64_t used_us = usage.cpu_us - s->cpu_since_us;
    if (used_us >= max_us ||
        (s->state == CODE_STARTING && s->began_ms + CODE_START_MS <= s->host->now_ms)) {
        return 0;
    }
    uint64_t left_ms = (max_us - used_us) / 1000;
    return left_ms > CODE_CPU_LOOK_MS ? left_ms : CODE_CPU_LOOK_MS;
}

static void check(struct code_host *h)
{
    struct heap_node *n;
    while ((n = heap_first(&h->checks)) != NULL && n->key <= h->now_ms) {
        struct code_session *s = CONTAINER_OF(n, struct code_session, check);
        uint64_t pause_ms = look(s);
        if (pause_ms == 0) {
            stop_runaway(s);
        } else {
            heap_set(&h->checks, &s->check, h->now_ms + pause_ms);
        }
    }
}

/* Nobody waits for it. What it does for a socket has its time as well: CODE_BUSY_IDLE_MS without a sign. */
static bool may_sleep(const struct code_session *s)
{
    return s->state == CODE_READY && s->client_count == 0 && s->turn_count == 0;
}

static uint64_t sleeps_ms(const struct code_session *s)
{
    return s->used_ms + (is_busy(s) || s->event_count > 0 ? CODE_BUSY_IDLE_MS : CODE_IDLE_MS);
}

/* From the least recently used on; one that may not go yet is in use. */
static void end_idle(struct code_host *h)
{
    LIST_FOREACH_SAFE (link, &h->by_use) {
        struct code_session *s = LIST_ENTRY(link, struct code_session, by_use);
        if (s->used_ms + CODE_IDLE_MS > h->now_ms) {
            return;
        }
        if (may_sleep(s) && sleeps_ms(s) <= h->now_ms) {
            code_session_end(s, CODE_END_IDLE, ERR_ACTOR_CUT_OFF);
        }
    }
}

void code_host_tick(struct code_host *h, uint64_t now_ms)
{
    h->now_ms = now_ms;
    expire(h);
    check(h);
    end_idle(h);
}

uint64_t code_host_next_ms(const struct code_host *h)
{
    enum { IDLE_LOOK_MS = 1000 };
    const struct heap_node *n;
    uint64_t next_ms = list_is_empty(&h->by_use) ? UINT64_MAX : h->now_ms + IDLE_LOOK_MS;
    if (!list_is_empty(&h->socket_ready)) {
        next_ms = h->now_ms + CODE_SOCKET_RETRY_MS;
    }
    if ((n = heap_first(&h->deadlines)) != NULL && n->key < next_ms) {
        next_ms = n->key;
    }
    if ((n = heap_first(&h->checks)) != NULL && n->key < next_ms) {
        next_ms = n->key;
    }
    return next_ms;
}
