/* What the code of a namespace logs: a stream of lines that is opened again where it breaks. */
#include <string.h>

#include "base/address.h"
#include "base/clock.h"
#include "rpc/json.h"
#include "rpc/value.h"
#include "sdk-c/doc.h"
#include "sdk-c/dormouse.h"
#include "sdk-c/error.h"
#include "sdk-c/exchange.h"
#include "sdk-c/sse.h"
#include "sdk-c/target.h"

enum {
    IDLE_MS_MAX = 45000, /* the server comments every 15 s; three missed mean that it is gone */
    REFUSAL_BYTES_MAX = 64 << 10,
    SLEEP_MS_MAX = 100,
};

struct follower {
    struct dormouse *d;
    const struct dormouse_logs *logs;
    dormouse_on_log on_log;
    struct buf target; /* closed by NUL */
    struct client_response response;
    struct sse sse;
    struct buf data;     /* of the line at hand, as a value */
    struct buf texts[4]; /* of it, each closed by NUL */
    uint64_t closed_ms;  /* since when there is no stream */
    uint64_t no_stream_ms;
    unsigned failures; /* in a row, without a byte in between */
    bool is_stopped;   /* a callback said so */
    bool is_malformed; /* what the stream brought is no line of ours */
    struct dormouse_error error;
};

/* A member that is a text, closed by NUL; "" where it is none. */
static const char *text_of(struct follower *f, struct dormouse_node root, const char *name,
                           size_t i, size_t *ret_bytes)
{
    struct slice text;
    if (!node_text(dormouse_node_member(root, name), &text)) {
        text = SLICE("");
    }
    buf_clear(&f->texts[i]);
    buf_append_slice(&f->texts[i], text);
    buf_append_byte(&f->texts[i], '\0');
    if (ret_bytes != NULL) {
        *ret_bytes = text.len;
    }
    return (const char *)f->texts[i].data;
}

static bool on_sse_event(void *user, const struct sse_event *from)
{
    struct follower *f = user;
    struct json_detail detail;
    struct dormouse_log log = {0};
    if (strcmp(from->type, "log") != 0) {
        return true; /* of a newer server */
    }
    buf_clear(&f->data);
    if (json_to_value(from->data, VALUE_DEPTH_CAP, &f->data, &detail) != ERR_OK) {
        f->is_malformed = true;
        return false;
    }
    log.data = (struct dormouse_node){.data = f->data.data, .bytes = f->data.len};
    log.time_ms = dormouse_node_int(dormouse_node_member(log.data, "time"), 0);
    log.class_name = text_of(f, log.data, "class", 0, NULL);
    log.id = text_of(f, log.data, "id", 1, NULL);
    log.level = text_of(f, log.data, "level", 2, NULL);
    log.text = text_of(f, log.data, "text", 3, &log.text_bytes);
    f->is_stopped = !f->on_log(f->logs->data, &log);
    return !f->is_stopped;
}

static bool on_stream_bytes(void *user, struct slice bytes)
{
    struct follower *f = user;
    f->failures = 0;
    enum err err = sse_feed(&f->sse, bytes, on_sse_event, f);
    f->is_malformed = f->is_malformed || err == ERR_TOO_LARGE;
    return err == ERR_OK;
}

static bool keep_going(void *user)
{
    struct follower *f = user;
    bool wants_end = f->logs->keep_going != NULL && !f->logs->keep_going(f->logs->data);
    f->is_stopped = f->is_stopped || wants_end;
    return !f->is_stopped;
}

static void make_target(struct follower *f, const char *ns)
{
    buf_append_str(&f->target, "/v1");
    target_segment(&f->target, slice_of_str(ns));
    buf_append_str(&f->target, "/logs");
    target_query(&f->target, "class", f->logs->class_name);
    target_query(&f->target, "id", f->logs->id);
    target_query(&f->target, "follow", f->logs->follow ? "true" : NULL);
    buf_append_byte(&f->target, '\0');
}

/* An end without an error is one of a stream that is not followed. */
static void set_stream_error(struct follower *f, enum err err, const char *detail)
{
    int status = f->response.status;
    error_clear(&f->error);
    if (f->is_malformed) {
        error_set(&f->error, DORMOUSE_PROTOCOL, "The stream holds what is no line of a log.");
    } else if (err != ERR_OK) {
        error_from_transport(&f->error, err, detail, true);
    } else if (status >= 400) {
        error_from_answer(&f->error, &f->response, true);
    } else if (status != 200) {
        error_set(&f->error, DORMOUSE_PROTOCOL, "The answer is no stream.");
    } else if (f->logs->follow) {
        error_from_transport(&f->error, ERR_UNAVAILABLE, "The server ended the stream.", true);
    }
}

static void run_stream(struct follower *f)
{
    const struct client_header headers[] = {{"Accept", "text/event-stream"},
                                            {"Authorization", f->d->authorization}};
    const struct client_request request = {
        .method = "GET",
        .target = (const char *)f->target.data,
        .headers = headers,
        .header_count = f->d->authorization != NULL ? 2 : 1,
        .may_repeat = true,
        .idle_timeout_ms = IDLE_MS_MAX,
        .body_bytes_max = REFUSAL_BYTES_MAX,
        .on_body = on_stream_bytes,
        .keep_going = keep_going,
        .data = f,
    };
    char detail[CLIENT_DETAIL_BYTES];
    sse_reset(&f->sse);
    enum err err = client_perform(f->d->client, &request, &f->response, detail);
    set_stream_error(f, err, detail);
    if (f->response.status == 200) {
        f->closed_ms = clock_mono_ms();
    }
}

/* False: the error is final, or there was no stream for too long. */
static bool pause_after_failure(struct follower *f)
{
    uint64_t now_ms = clock_mono_ms();
    uint64_t until_ms = now_ms + exchange_pause_ms(&f->error, f->failures++);
    if (!f->error.retryable || f->d->no_retries || until_ms >= f->closed_ms + f->no_stream_ms) {
        return false;
    }
    while (now_ms < until_ms && keep_going(f)) {
        exchange_sleep_ms(until_ms - now_ms < SLEEP_MS_MAX ? until_ms - now_ms : SLEEP_MS_MAX);
        now_ms = clock_mono_ms();
    }
    return true;
}

static void run(struct follower *f)
{
    do {
        run_stream(f);
    } while (!f->is_stopped && f->error.kind != DORMOUSE_OK && pause_after_failure(f) &&
             !f->is_stopped);
    if (f->is_stopped) {
        error_clear(&f->error);
    }
}

enum dormouse_code dormouse_follow_logs(struct dormouse *d, const char *ns,
                                        const struct dormouse_logs *logs, dormouse_on_log on_log,
                                        const struct dormouse_call *call,
                                        struct dormouse_error *ret_error)
{
    struct follower f = {
        .d = d,
        .logs = logs,
        .on_log = on_log,
        .closed_ms = clock_mono_ms(),
        .no_stream_ms = call == NULL || call->deadline_ms == 0 ? d->deadline_ms : call->deadline_ms,
    };
    error_clear(&f.error);
    if (ns == NULL || !address_namespace_is_valid(slice_of_str(ns))) {
        error_set(&f.error, DORMOUSE_INVALID_ARGUMENT, "The namespace is not valid.");
    } else {
        make_target(&f, ns);
        run(&f);
    }
    client_response_done(&f.response);
    buf_done(&f.target);
    buf_done(&f.data);
    for (size_t i = 0; i < sizeof(f.texts) / sizeof(f.texts[0]); i++) {
        buf_done(&f.texts[i]);
    }
    sse_done(&f.sse);
    if (ret_error != NULL) {
        *ret_error = f.error;
    }
    return f.error.kind;
}
