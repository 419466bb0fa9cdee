/* Watching an actor: a stream of events that is opened again where it breaks.
 *
 *                 +-------- broke, 429, 503 (pause) <--------+
 *                 v                                          |
 *     find where to go on from ---> open the stream ---> events ---> stopped, time up, final error
 *
 * Going on needs a place: the id of the last event, or `since` of the caller. Without either it is
 * the actor's version, asked for before the first stream opens; that stream itself starts from now,
 * so what lies between the two is heard only where the stream broke before its first event. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "sdk-c/doc.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"
#include "sdk-c/exchange.h"
#include "sdk-c/sse.h"
#include "sdk-c/target.h"

enum {
    IDLE_MS_MAX =
        45000, /* of an open stream: the server comments every 15 s; three missed mean that it is gone */
    REFUSAL_BYTES_MAX = 64 << 10,
};

struct watcher {
    struct dormouse *d;
    const struct dormouse_actor *actor;
    const struct dormouse_watch *watch;
    dormouse_on_event on_event;

    struct buf target;
    char since[SSE_ID_BYTES_MAX];   /* where to go on from; "" before that is known */
    char last_id[SSE_ID_BYTES_MAX]; /* of the last event that had one; "" before the first */
    bool has_opened;                /* a stream, ever */

    struct client_response response; /* its status tells whether a stream is open */
    struct sse sse;
    struct buf key;        /* of the event at hand, closed by NUL */
    struct buf data;       /* of the event at hand, as a value */
    uint64_t closed_ms;    /* since when there is no stream */
    uint64_t no_stream_ms; /* gives up after so long without a stream */
    uint64_t end_ms;       /* 0: never */
    unsigned failures;     /* in a row, without a byte in between */
    bool is_stopped;       /* a callback said so, or the time is up */
    bool is_late;          /* no stream opened in time */
    bool is_malformed;     /* what the stream brought is no event of ours */
    struct dormouse_error error;
};

static bool read_event(struct watcher *w, const struct sse_event *from, struct dormouse_event *ret)
{
    struct json_detail detail;
    buf_clear(&w->data);
    if (json_to_value(from->data, VALUE_DEPTH_CAP, &w->data, &detail) != ERR_OK) {
        return false;
    }
    struct dormouse_node root = {.data = w->data.data, .bytes = w->data.len};
    int64_t version = dormouse_node_int(dormouse_node_member(root, "version"), 0);
    *ret = (struct dormouse_event){.type = from->type,
                                   .id = from->id,
                                   .data = root,
                                   .version = version > 0 ? (uint64_t)version : 0};
    struct slice key;
    if (node_text(dormouse_node_member(root, "key"), &key)) {
        buf_clear(&w->key);
        buf_append_slice(&w->key, key);
        buf_append_byte(&w->key, '\0');
        ret->key = (const char *)w->key.data;
        ret->key_bytes = key.len;
    }
    return true;
}

static bool on_sse_event(void *user, const struct sse_event *from)
{
    struct watcher *w = user;
    struct dormouse_event event;
    if (!read_event(w, from, &event)) {
        w->is_malformed = true;
        return false;
    }
    w->is_stopped = !w->on_event(w->watch->data, &event);
    if (from->id[0] != '\0') {
        snprintf(w->last_id, sizeof(w->last_id), "%s", from->id);
        snprintf(w->since, sizeof(w->since), "%s", from->id);
    }
    return !w->is_stopped;
}

static bool on_stream_bytes(void *user, struct slice bytes)
{
    struct watcher *w = user;
    w->failures = 0;
    enum err err = sse_feed(&w->sse, bytes, on_sse_event, w);
    w->is_malformed = w->is_malformed || err == ERR_TOO_LARGE;
    return err == ERR_OK;
}

static bool keep_going(void *user)
{
    struct watcher *w = user;
    bool is_over = w->end_ms != 0 && clock_mono_ms() >= w->end_ms;
    bool wants_end = w->watch->keep_going != NULL && !w->watch->keep_going(w->watch->data);
    w->is_stopped = w->is_stopped || is_over || wants_end;
    return !w->is_stopped;
}

static bool stream_goes_on(void *user)
{
    struct watcher *w = user;
    w->is_late = w->response.status != 200 && clock_mono_ms() >= w->closed_ms + w->no_stream_ms;
    return keep_going(w) && !w->is_late;
}

/* The version of the actor now; of one that never was, everything is news. */
static bool find_since(struct watcher *w)
{
    struct exchange x;
    uint64_t now_ms = clock_mono_ms();
    uint64_t until_ms = w->closed_ms + w->no_stream_ms;
    struct dormouse_call call = {.deadline_ms =
                                     until_ms > now_ms ? (uint32_t)(until_ms - now_ms) : 1};
    exchange_init(&x, w->d, "GET", &call);
    exchange_actor(&x, w->actor, NULL);
    x.one_attempt = true; /* the caller has the loop */
    struct dormouse_doc *doc = NULL;
    if (exchange_run_doc(&x, &doc)) {
        struct dormouse_node root = dormouse_doc_root(doc);
        int64_t version = dormouse_node_int(dormouse_node_member(root, "version"), 0);
        snprintf(w->since, sizeof(w->since), "%" PRId64, version);
        dormouse_doc_free(doc);
    }
    return exchange_done(&x, &w->error) == DORMOUSE_OK;
}

static void make_target(struct watcher *w)
{
    buf_clear(&w->target);
    enum err err = target_actor(&w->target, w->actor);
    INVARIANT(err == ERR_OK); /* looked at when the watch began */
    buf_append_str(&w->target, "/watch");
    target_query(&w->target, "prefix", w->watch->prefix);
    bool from_now = w->watch->since == NULL && !w->has_opened;
    target_query(&w->target, "since", from_now ? NULL : w->since); /* the header says the same */
    buf_append_byte(&w->target, '\0');
}

static void set_stream_error(struct watcher *w, enum err err, const char *detail)
{
    int status = w->response.status;
    if (w->is_malformed) {
        error_set(&w->error, DORMOUSE_PROTOCOL, "The stream holds what is no event.");
    } else if (w->is_late) {
        error_from_transport(&w->error, ERR_TIMEOUT, "No stream opened in time.", true);
    } else if (err != ERR_OK) {
        error_from_transport(&w->error, err, detail, true);
    } else if (status >= 400) {
        error_from_answer(&w->error, &w->response, true);
    } else if (status != 200) {
        error_set(&w->error, DORMOUSE_PROTOCOL, "The answer is no stream.");
    } else {
        error_from_transport(&w->error, ERR_UNAVAILABLE, "The server ended the stream.", true);
    }
}

/* One stream, from its opening to its end. Sets the error. */
static void run_stream(struct watcher *w)
{
    make_target(w);
    struct client_header headers[3];
    size_t count = 0;
    headers[count++] = (struct client_header){"Accept", "text/event-stream"};
    if (w->d->authorization != NULL) {
        headers[count++] = (struct client_header){"Authorization", w->d->authorization};
    }
    if (w->last_id[0] != '\0') {
        headers[count++] = (struct client_header){"Last-Event-ID", w->last_id};
    }
    const struct client_request request = {
        .method = "GET",
        .target = (const char *)w->target.data,
        .headers = headers,
        .header_count = count,
        .may_repeat = true,
        .idle_timeout_ms = IDLE_MS_MAX,
        .body_bytes_max = REFUSAL_BYTES_MAX,
        .on_body = on_stream_bytes,
        .keep_going = stream_goes_on,
        .data = w,
    };
    char detail[CLIENT_DETAIL_BYTES];
    sse_reset(&w->sse);
    enum err err = client_perform(w->d->client, &request, &w->response, detail);
    set_stream_error(w, err, detail);
    if (w->response.status == 200) {
        w->has_opened = true;
        w->closed_ms = clock_mono_ms();
    }
}

/* False: the error is final, or there was no stream for too long. */
static bool pause_after_failure(struct watcher *w)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t pause_ms = exchange_pause_ms(&w->error, w->failures++);
    if (!w->error.retryable || w->d->no_retries ||
        now_ms + pause_ms >= w->closed_ms + w->no_stream_ms) {
        return false;
    }
    for (uint64_t until_ms = now_ms + pause_ms; now_ms < until_ms && keep_going(w);
         now_ms = clock_mono_ms()) {
        uint64_t left_ms = until_ms - now_ms;
        exchange_sleep_ms(left_ms < 100 ? left_ms : 100);
    }
    return true;
}

static void run_watch(struct watcher *w)
{
    for (;;) {
        if (w->since[0] != '\0' || find_since(w)) {
            run_stream(w);
        }
        if (w->is_stopped) {
            error_clear(&w->error);
            return;
        }
        if (!pause_after_failure(w)) {
            return;
        }
        if (w->is_stopped) {
            error_clear(&w->error);
            return;
        }
    }
}

enum dormouse_code dormouse_watch(struct dormouse *d, const struct dormouse_actor *actor,
                                  const struct dormouse_watch *watch, dormouse_on_event on_event,
                                  const struct dormouse_call *call,
                                  struct dormouse_error *ret_error)
{
    uint32_t deadline_ms =
        call == NULL || call->deadline_ms == 0 ? d->deadline_ms : call->deadline_ms;
    uint64_t now_ms = clock_mono_ms();
    struct watcher w = {
        .d = d,
        .actor = actor,
        .watch = watch,
        .on_event = on_event,
        .closed_ms = now_ms,
        .no_stream_ms = deadline_ms,
        .end_ms = watch->watch_ms == 0 ? 0 : now_ms + watch->watch_ms,
    };
    error_clear(&w.error);
    struct buf scratch = {0};
    if (target_actor(&scratch, actor) != ERR_OK) {
        error_set(&w.error, DORMOUSE_INVALID_ID, "The actor's address is not valid.");
    } else if (watch->since != NULL &&
               (watch->since[0] == '\0' || strlen(watch->since) >= sizeof(w.since))) {
        error_set(&w.error, DORMOUSE_INVALID_ARGUMENT, "`since` is a version or an event's id.");
    } else {
        snprintf(w.since, sizeof(w.since), "%s", watch->since == NULL ? "" : watch->since);
        run_watch(&w);
    }
    buf_done(&scratch);
    client_response_done(&w.response);
    buf_done(&w.target);
    buf_done(&w.key);
    buf_done(&w.data);
    sse_done(&w.sse);
    if (ret_error != NULL) {
        *ret_error = w.error;
    }
    return w.error.kind;
}
