/* One isolate that runs one actor's code, from its START to its end. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"
#include "base/endian.h"
#include "base/invariant.h"
#include "base/mem.h"

enum {
    RUN_CPU_MS = 1000,
    RUN_CPU_MS_MAX = 60 * 1000,
    RUN_MEMORY_MB_MAX = 1024,
    RUN_MEMORY_MB_MIN = 16,
};

/* A state change has one door. */
static void session_move(struct code_session *s, enum code_state to)
{
    static const bool allowed[CODE_STATE_COUNT][CODE_STATE_COUNT] = {
        [CODE_STARTING] = {[CODE_READY] = true, [CODE_ENDED] = true},
        [CODE_READY] = {[CODE_ENDED] = true},
    };
    INVARIANT(allowed[s->state][to]);
    s->state = to;
}

static uint64_t hash_of_identity(const struct identity *identity)
{
    return get_be64(identity->bytes + 8);
}

static uint64_t limit_of(struct slice limits, const char *name, uint64_t low, uint64_t high,
                         uint64_t otherwise)
{
    struct slice doc;
    uint64_t value;
    if (!value_member(limits, name, &doc) || !value_get_uint(doc, &value)) {
        return otherwise;
    }
    return value < low ? low : value > high ? high : value;
}

/* Of a run: {"limits": {"cpu_ms", "wall_ms", "memory_mb"}} within what the node allows. */
static void read_limits(struct slice body, struct code_limits *ret)
{
    static const uint8_t nil = 0xc0;
    struct slice limits;
    if (!value_member(body, "limits", &limits)) {
        limits = slice_of(&nil, 1);
    }
    ret->cpu_ms = (uint32_t)limit_of(limits, "cpu_ms", 1, RUN_CPU_MS_MAX, RUN_CPU_MS);
    ret->wall_ms =
        (uint32_t)limit_of(limits, "wall_ms", 1, REQUEST_TIMEOUT_MS_MAX, REQUEST_TIMEOUT_MS);
    ret->memory_bytes = limit_of(limits, "memory_mb", RUN_MEMORY_MB_MIN, RUN_MEMORY_MB_MAX,
                                 CODE_RUN_MEMORY_BYTES >> 20)
                        << 20;
}

/* {"grants": {"fetch": [...]}} */
static struct bytes *fetch_grant_of(struct slice body)
{
    struct slice grants;
    struct slice list;
    return value_member(body, "grants", &grants) && value_member(grants, "fetch", &list) &&
                   value_type(list) == VALUE_ARRAY
               ? bytes_new(list)
               : NULL;
}

struct code_session *code_session_new(struct code_host *h, struct shard *shard,
                                      const struct code_who *who, const struct request *run)
{
    struct code_session *s = MEM_NEW(struct code_session);
    s->magic = CODE_SESSION_MAGIC;
    s->host = h;
    s->shard = shard;
    s->identity = *who->identity;
    s->address = *who->address;
    s->address_text = bytes_ref(who->address_text);
    s->is_run = run != NULL;
    s->began_ms = h->now_ms;
    s->used_ms = h->now_ms;
    s->limits =
        (struct code_limits){.memory_bytes = CODE_CLASS_MEMORY_BYTES, .cpu_ms = CODE_EVENT_CPU_MS};
    if (run != NULL) {
        read_limits(bytes_slice(run->body), &s->limits);
        s->fetch_grant = fetch_grant_of(bytes_slice(run->body));
    }
    list_init(&s->by_use);
    list_init(&s->events);
    list_init(&s->streams);
    list_init(&s->incoming);
    list_append(&h->by_use, &s->by_use);
    h->session_count++;
    h->stats.sessions++;
    s->of_class = code_stats_class(&h->stats, s->address.ns, s->address.class);
    if (!s->is_run) {
        map_add(&h->sessions, &s->by_identity, hash_of_identity(&s->identity));
    }
    return s;
}

struct code_session *code_session_find(const struct code_host *h, const struct identity *identity)
{
    struct map_node *n = map_find(&h->sessions, hash_of_identity(identity));
    for (; n != NULL; n = map_next_same(n)) {
        struct code_session *s = CONTAINER_OF(n, struct code_session, by_identity);
        if (memcmp(&s->identity, identity, sizeof *identity) == 0) {
            return s;
        }
    }
    return NULL;
}

bool code_session_is_run(const struct code_session *s)
{
    return s->is_run;
}

struct slice code_session_fetch_grant(const struct code_session *s)
{
    return bytes_slice(s->fetch_grant);
}

const struct address *code_session_address(const struct code_session *s)
{
    return &s->address;
}

const struct identity *code_session_identity(const struct code_session *s)
{
    return &s->identity;
}

uint64_t code_session_version(const struct code_session *s)
{
    return s->version;
}

struct bytes *code_session_thrown(struct code_session *s, struct slice exception)
{
    struct buf shown = {0};
    s->host->stats.exceptions++;
    s->of_class->exceptions++;
    s->host->hooks->thrown(s->host->ctx, s, exception, &shown);
    struct bytes *copy = bytes_new(buf_slice(&shown));
    buf_done(&shown);
    return copy;
}

void code_session_touch(struct code_session *s)
{
    s->used_ms = s->host->now_ms;
    if (s->state != CODE_ENDED) {
        list_remove(&s->by_use);
        list_append(&s->host->by_use, &s->by_use);
    }
}

void code_session_pace(struct code_session *s)
{
    bool is_full = s->turn_count >= CODE_TURNS_MAX || s->tell_bytes >= CODE_UNSENT_BYTES_MAX;
    bool has_room =
        s->turn_count <= CODE_TURNS_MAX / 2 && s->tell_bytes <= CODE_UNSENT_BYTES_MAX / 2;
    if (s->isolate != NULL && (s->is_paused ? has_room : is_full)) {
        s->is_paused = !s->is_paused;
        s->host->hooks->pause(s->isolate, s->is_paused);
    }
}

/* Ending */

void code_session_free_if_over(struct code_session *s)
{
    if (s->state != CODE_ENDED || s->turn_count > 0 || s->is_ending) {
        return;
    }
    INVARIANT(list_is_empty(&s->events) && list_is_empty(&s->incoming));
    list_remove(&s->by_use);
    buf_done(&s->logs);
    bytes_unref(s->fetch_grant);
    bytes_unref(s->auto_request);
    bytes_unref(s->auto_response);
    bytes_unref(s->address_text);
    s->magic = 0;
    mem_free(s);
}

/* Nothing was done for those that it has not seen: they may be tried again, unless all would fail. */
static void fail_events(struct code_session *s, enum err err, struct slice exception,
                        bool fails_all)
{
    LIST_FOREACH_SAFE (link, &s->events) {
        struct code_event *e = LIST_ENTRY(link, struct code_event, link);
        if (e->socket_event != NULL) {
            continue;
        }
        bool is_seen = e->stage == CODE_EVENT_SENT && s->has_started;
        bool is_unseen = e->stage == CODE_EVENT_WAITS || (e->stage == CODE_EVENT_SENT && !is_seen);
        if (is_seen || (is_unseen && fails_all)) {
            code_event_fail(e, err, exception);
        } else if (is_unseen) {
            code_event_fail(e, ERR_UNAVAILABLE, SLICE(""));
        }
    }
}

void code_session_charge(struct code_session *s, const struct code_usage *usage)
{
    if (usage->cpu_us > s->cpu_counted_us) { /* 0: it is gone */
        uint64_t new_us = usage->cpu_us - s->cpu_counted_us;
        s->host->stats.cpu_us += new_us;
        s->of_class->cpu_us += new_us;
        s->cpu_counted_us = usage->cpu_us;
    }
}

static void forget_isolate(struct code_session *s)
{
    struct code_usage usage = {0};
    if (s->isolate != NULL) {
        s->host->hooks->usage(s->isolate, false, &usage);
        code_session_charge(s, &usage);
        s->host->hooks->kill(s->isolate);
        s->isolate = NULL;
    }
}

static void end(struct code_session *s, enum code_ending how, enum err err, struct slice exception,
                bool fails_all)
{
    struct code_host *h = s->host;
    if (s->state == CODE_ENDED) {
        return;
    }
    session_move(s, CODE_ENDED);
    h->stats.ended[how]++;
    h->stats.cut_off += s->client_count > 0 && !s->is_run ? 1 : 0;
    if (!s->is_run) {
        map_remove(&h->sessions, &s->by_identity);
    }
    heap_remove(&h->checks, &s->check);
    list_remove(&s->by_use);
    list_append(&h->ended, &s->by_use);
    h->session_count--;
    forget_isolate(s);
    struct bytes *shown =
        exception.len > 0 && !s->is_run ? code_session_thrown(s, exception) : bytes_new(exception);
    s->is_ending = true; /* what the answers bring does not free it */
    code_incoming_session_over(s);
    fail_events(s, err, bytes_slice(shown), fails_all);
    code_socket_session_over(s, err, fails_all);
    s->is_ending = false;
    bytes_unref(shown);
    code_session_free_if_over(s);
}

void code_session_end(struct code_session *s, enum code_ending how, enum err err)
{
    end(s, how, err, SLICE(""), false);
}

/* It never began: what waits for it has that error. */
static void end_unborn(struct code_session *s, enum err err)
{
    end(s, CODE_END_UNBORN, err, SLICE(""), true);
}

void code_session_cut(struct code_session *s, enum code_ending how, struct slice exception)
{
    end(s, how, ERR_ACTOR_CUT_OFF, exception, false);
}

/* A run that went over a limit, or died, has that for an answer; a document says what it threw. */
static void stop_run(struct code_session *s, enum code_ending how, struct slice exception)
{
    const char *code = how == CODE_END_CPU      ? "cpu_exceeded"
                       : how == CODE_END_WALL   ? "wall_exceeded"
                       : how == CODE_END_MEMORY ? "memory_exceeded"
                                                : "exception";
    struct buf body = {0};
    struct code_event *e = LIST_FIRST(&s->events, struct code_event, link);
    if (e != NULL && e->request != NULL &&
        (e->stage == CODE_EVENT_SENT || e->stage == CODE_EVENT_WAITS)) {
        code_run_error(s, code, exception, &body);
        reply_body(&e->request->reply, 200, &body);
        code_event_answer(e);
        code_event_free(e);
    }
    code_session_end(s, how, ERR_ACTOR_CUT_OFF);
}

void code_session_stop_run(struct code_session *s, enum code_ending how)
{
    stop_run(s, how, SLICE(""));
}

static bool is_syntax_error(struct slice exception)
{
    struct slice doc;
    struct slice name;
    return value_member(exception, "name", &doc) && value_get_str(doc, &name) &&
           slice_equal_str(name, "SyntaxError");
}

void code_session_fail_start(struct code_session *s, enum code_ending how, struct slice exception)
{
    if (s->is_run && is_syntax_error(exception)) {
        end(s, how, ERR_INVALID_CODE, exception, true);
    } else if (s->is_run) {
        stop_run(s, how, exception);
    } else { /* a process that died need not be its code's fault: it may be tried again */
        end(s, how, how == CODE_END_DIED ? ERR_ACTOR_CUT_OFF : ERR_ACTOR_EXCEPTION, exception,
            true);
    }
}

void code_bad_frame(struct code_session *s)
{
    s->host->stats.frames_bad++;
    if (s->is_run) {
        code_session_stop_run(s, CODE_END_PROTOCOL);
    } else {
        code_session_end(s, CODE_END_PROTOCOL, ERR_ACTOR_CUT_OFF);
    }
}

void code_host_on_end(struct code_session *s, const struct code_end *end)
{
    PRE(s->magic == CODE_SESSION_MAGIC && s->state != CODE_ENDED);
    s->isolate = NULL; /* it is gone */
    s->last_usage = end->usage;
    enum code_ending how = end->out_of_memory ? CODE_END_MEMORY : CODE_END_DIED;
    code_session_charge(s, &end->usage);
    if (s->is_run) {
        code_session_stop_run(s, how);
        return;
    }
    struct buf exception = {0};
    value_put_map(&exception, 2);
    value_put_text(&exception, "name");
    value_put_text(&exception, "Error");
    value_put_text(&exception, "message");
    value_put_text(&exception, end->out_of_memory ? "The actor's code used more memory than it may."
                                                  : "The actor's isolate died.");
    /* Those that it has not seen go to the next one, unless it dies of its own start. */
    if (s->state == CODE_STARTING) {
        code_session_fail_start(s, how, buf_slice(&exception));
    } else {
        code_session_cut(s, how, buf_slice(&exception));
    }
    buf_done(&exception);
}

/* Delivering */

static bool has_same_key(const struct code_event *a, const struct code_event *b)
{
    return b->request != NULL && b->request->idempotency_key != NULL &&
           slice_equal(bytes_slice(a->request->idempotency_key),
                       bytes_slice(b->request->idempotency_key));
}

/* One with its key came before it and is under way: it waits for what comes of that. */
static bool waits_for_key(const struct code_event *e)
{
    LIST_FOREACH (link, &e->session->events) {
        const struct code_event *other = LIST_ENTRY(link, struct code_event, link);
        if (other == e) {
            return false;
        }
        if (has_same_key(e, other)) {
            return true;
        }
    }
    return false;
}

static void look_for_record(struct code_event *e)
{
    struct code_turn *t;
    struct request *r = code_turn_new(e->session, REQUEST_CODE_BEGIN, CODE_TURN_BEGIN, &t);
    t->event = e;
    r->idempotency_key = bytes_ref(e->request->idempotency_key);
    memcpy(r->hash, e->request->hash, sizeof r->hash);
    code_event_move(e, CODE_EVENT_KEYED);
    code_turn_submit(r);
}

/* Two system calls, so not for each of many events in one go. */
static void note_cpu(struct code_session *s)
{
    struct code_usage usage = {0};
    if (s->cpu_since_ms == s->host->now_ms) {
        return;
    }
    s->host->hooks->usage(s->isolate, false, &usage);
    code_session_charge(s, &usage);
    s->cpu_since_us = usage.cpu_us;
    s->cpu_since_ms = s->host->now_ms;
}

void code_session_note_progress(struct code_session *s)
{
    enum { PROGRESS_MS = 1000 }; /* it need not be exact */
    if (s->isolate != NULL && s->cpu_since_ms + PROGRESS_MS <= s->host->now_ms) {
        note_cpu(s);
    }
}

static void send_event(struct code_session *s, struct code_event *e)
{
    struct buf frame = {0};
    if (e->request != NULL && e->request->socket.id != 0 && !e->request->is_for_body) {
        enum err err = code_socket_offer(e);
        if (err != ERR_OK) {
            code_event_fail(e, err, SLICE(""));
            return;
        }
    }
    code_frame_event(e, &frame);
    code_event_move(e, CODE_EVENT_SENT);
    if (s->has_spoken) { /* else it may never do so again: its time is that of the event before */
        note_cpu(s);
    }
    s->has_spoken = false;
    s->calls++;
    code_frame_send(s, &frame);
}

void code_session_deliver(struct code_session *s)
{
    if (s->state != CODE_READY || s->waiting_count == 0) {
        return;
    }
    code_session_touch(s);
    LIST_FOREACH_SAFE (link, &s->events) {
        struct code_event *e = LIST_ENTRY(link, struct code_event, link);
        if (s->state != CODE_READY) {
            return;
        }
        if (e->stage != CODE_EVENT_WAITS) {
            continue;
        }
        if (e->socket_event != NULL || e->request->idempotency_key == NULL || e->is_new) {
            send_event(s, e);
        } else if (!waits_for_key(e)) {
            look_for_record(e);
        }
    }
}

/* Starting */

/* Whoever took the request has seen the class: this node's view is behind, or it went meanwhile. */
static enum err why_unknown(const struct code_session *s)
{
    if (s->is_run) {
        return ERR_BAD_REQUEST;
    }
    return slice_equal_str(s->address.class, "Store") ? ERR_NO_SUCH_METHOD
           : s->address.class.len > 0                 ? ERR_UNAVAILABLE
                                                      : ERR_NO_SUCH_CLASS;
}

/* The event that the session begins for goes along with its start, and need not wait for the answer to that.
 * The code gets it once it has started: of what it did nothing is here before STARTED is. */
static void send_ahead(struct code_session *s)
{
    struct code_event *e = LIST_FIRST(&s->events, struct code_event, link);
    if (e != NULL && e->stage == CODE_EVENT_WAITS && e->socket_event == NULL &&
        e->request->idempotency_key == NULL && e->request->socket.id == 0) {
        send_event(s, e);
    }
}

void code_session_start(struct code_session *s, struct slice run_body)
{
    struct code_host *h = s->host;
    struct code_class class = {0};
    struct buf frame = {0};
    const char *why = "";
    bool is_known = s->is_run ? code_frame_start_run(s, run_body, &frame)
                              : h->hooks->find(h->ctx, s->address.ns, s->address.class, &class);
    if (!is_known) {
        end_unborn(s, why_unknown(s));
        buf_done(&frame);
        return;
    }
    if (!s->is_run) {
        code_frame_start(s, &class, &frame);
    }
    s->version = class.version;
    s->isolate = h->hooks->take(h->ctx, s, &s->limits, &why);
    if (s->isolate == NULL) {
        buf_done(&frame);
        end_unborn(s, ERR_OVERLOADED);
        return;
    }
    code_frame_send(s, &frame);
    send_ahead(s);
    heap_set(&h->checks, &s->check, h->now_ms + CODE_CPU_LOOK_MS);
}

void code_session_started(struct code_session *s)
{
    if (s->state != CODE_STARTING) {
        code_bad_frame(s);
        return;
    }
    session_move(s, CODE_READY);
    s->has_started = true;
    note_cpu(s); /* of what went along with the start, the time begins now */
    s->has_spoken = s->calls == 0;
    code_session_deliver(s);
}
