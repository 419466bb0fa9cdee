#include "sdk-c/exchange.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/invariant.h"
#include "sdk-c/doc.h"
#include "sdk-c/error.h"
#include "sdk-c/target.h"

enum {
    ANSWER_BYTES_MAX = 256 << 20, /* a page of 4 MiB of msgpack can be eight times that in JSON */
    OWN_HEADERS_MAX = 8,          /* those written below */
    CALLER_HEADERS_MAX = 64,
};

void exchange_init(struct exchange *x, struct dormouse *d, const char *method,
                   const struct dormouse_call *call)
{
    *x = (struct exchange){.d = d, .method = method};
    if (call != NULL) {
        x->call = *call;
    }
    x->is_reading = strcmp(method, "GET") == 0 || strcmp(method, "HEAD") == 0;
    x->takes_key = !x->is_reading;
    error_clear(&x->error);
}

void exchange_refuse(struct exchange *x, const char *detail)
{
    if (x->error.kind == DORMOUSE_OK) {
        error_set(&x->error, DORMOUSE_INVALID_ARGUMENT, "%s", detail);
    }
}

void exchange_actor(struct exchange *x, const struct dormouse_actor *actor, const char *part)
{
    if (target_actor(&x->target, actor) != ERR_OK && x->error.kind == DORMOUSE_OK) {
        error_set(&x->error, DORMOUSE_INVALID_ID, "The actor's address is not valid.");
        return;
    }
    if (part != NULL) {
        target_segment(&x->target, slice_of_str(part));
    }
}

void exchange_name(struct exchange *x, const char *name)
{
    if (name == NULL || name[0] == '\0') {
        exchange_refuse(x, "The name is empty.");
        return;
    }
    target_segment(&x->target, slice_of_str(name));
}

void exchange_json_body(struct exchange *x, const void *json, size_t bytes)
{
    x->content_type = "application/json";
    x->body = slice_of(json, bytes);
    x->has_body = true;
}

void exchange_own_body(struct exchange *x)
{
    exchange_json_body(x, x->own_body.data, x->own_body.len);
}

/* ---- headers ---- */

/* The headers of one attempt, and the text of those that are made for it. */
struct header_set {
    struct client_header list[OWN_HEADERS_MAX + CALLER_HEADERS_MAX];
    size_t count;
    char timeout[24];
    char match[32];
    char none_match[32];
};

static void add_header(struct header_set *set, const char *name, const char *value)
{
    PRE(set->count < sizeof(set->list) / sizeof(set->list[0]));
    if (value != NULL) {
        set->list[set->count++] = (struct client_header){.name = name, .value = value};
    }
}

static void add_conditions(const struct exchange *x, struct header_set *set)
{
    if (x->takes_if_match && x->call.if_version != 0) {
        snprintf(set->match, sizeof(set->match), "\"%" PRIu64 "\"", x->call.if_version);
        add_header(set, "If-Match", set->match);
    }
    if (x->takes_if_match && x->call.if_absent) {
        add_header(set, "If-None-Match", "*");
    }
    if (x->takes_if_none_match && x->call.unless_version != 0) {
        snprintf(set->none_match, sizeof(set->none_match), "\"%" PRIu64 "\"",
                 x->call.unless_version);
        add_header(set, "If-None-Match", set->none_match);
    }
}

/* The server is told a little less than what is left, so that its own answer, which knows whether
 * the write happened, is here before we give up. */
static void add_timeout(struct header_set *set, uint64_t left_ms)
{
    uint64_t margin_ms = left_ms / 10 < 100 ? left_ms / 10 : 100;
    snprintf(set->timeout, sizeof(set->timeout), "%" PRIu64, left_ms - margin_ms);
    add_header(set, "Dormouse-Timeout", set->timeout);
}

static void make_headers(const struct exchange *x, const char *key, uint64_t left_ms,
                         struct header_set *set)
{
    set->count = 0;
    add_header(set, "Authorization", x->d->authorization);
    add_header(set, "Content-Type", x->content_type);
    add_header(set, "Accept", x->accept);
    add_header(set, "Idempotency-Key", key);
    add_timeout(set, left_ms);
    add_conditions(x, set);
    for (size_t i = 0; i < x->header_count; i++) {
        add_header(set, x->headers[i].name, x->headers[i].value);
    }
}

/* ---- attempts ---- */

static void attempt_once(struct exchange *x, const char *key, uint64_t left_ms)
{
    PRE(left_ms > 0);
    struct header_set set;
    make_headers(x, key, left_ms, &set);
    const struct client_request request = {
        .method = x->method,
        .target = (const char *)x->target.data,
        .headers = set.list,
        .header_count = set.count,
        .body = x->body,
        .has_body = x->has_body,
        .may_repeat = x->is_reading || x->may_repeat || key != NULL,
        .timeout_ms = left_ms,
        .body_bytes_max = ANSWER_BYTES_MAX,
    };
    char detail[CLIENT_DETAIL_BYTES];
    enum err err = client_perform(x->d->client, &request, &x->response, detail);
    if (err != ERR_OK) {
        error_from_transport(&x->error, err, detail, x->is_reading);
    } else if (x->response.status >= 400) {
        error_from_answer(&x->error, &x->response, x->is_reading);
    } else {
        error_clear(&x->error);
    }
}

static uint64_t random_below(uint64_t limit)
{
    uint64_t random;
    int failed = getentropy(&random, sizeof(random));
    INVARIANT(failed == 0 && limit > 0);
    return random % limit;
}

uint64_t exchange_pause_ms(const struct dormouse_error *error, unsigned attempt)
{
    uint64_t pause_ms = attempt < 6 ? (uint64_t)PAUSE_MS_MIN << attempt : PAUSE_MS_MAX;
    pause_ms = pause_ms < PAUSE_MS_MAX ? pause_ms : PAUSE_MS_MAX;
    pause_ms = pause_ms / 2 + random_below(pause_ms / 2 + 1);
    uint64_t wish_ms = error->retry_after_ms > 0 ? (uint64_t)error->retry_after_ms : 0;
    return pause_ms > wish_ms ? pause_ms : wish_ms;
}

void exchange_sleep_ms(uint64_t ms)
{
    struct timespec left = {.tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000};
    while (nanosleep(&left, &left) != 0 && errno == EINTR) {
    }
}

/* What an answer with this status says holds for all attempts with the same key. */
static bool is_definite(const struct dormouse_error *error)
{
    return error->http_status == 409 || error->http_status == 412;
}

static void run_attempts(struct exchange *x, const char *key)
{
    uint64_t deadline_ms = x->call.deadline_ms != 0 ? x->call.deadline_ms : x->d->deadline_ms;
    deadline_ms += clock_mono_ms();
    bool is_in_doubt = false;
    for (unsigned attempt = 0;; attempt++) {
        uint64_t now_ms = clock_mono_ms();
        attempt_once(x, key, deadline_ms > now_ms ? deadline_ms - now_ms : 1);
        struct dormouse_error *error = &x->error;
        bool may_repeat = error->retryable && !x->d->no_retries && !x->one_attempt &&
                          (x->is_reading || x->may_repeat || key != NULL || !error->maybe_applied);
        is_in_doubt = is_in_doubt || error->maybe_applied;
        if (error->kind == DORMOUSE_OK) {
            return;
        }
        error->maybe_applied = is_in_doubt && !is_definite(error);
        uint64_t pause_ms = exchange_pause_ms(error, attempt);
        if (!may_repeat || clock_mono_ms() + pause_ms >= deadline_ms) {
            return;
        }
        exchange_sleep_ms(pause_ms);
    }
}

static bool key_is_valid(const char *key)
{
    size_t bytes = strlen(key);
    for (size_t i = 0; i < bytes; i++) {
        if (key[i] <= ' ' || key[i] > '~') {
            return false;
        }
    }
    return bytes >= 1 && bytes <= 255;
}

bool exchange_run(struct exchange *x)
{
    char made[DORMOUSE_KEY_BYTES];
    const char *key = x->is_reading || x->call.no_idempotency_key ? NULL : x->call.idempotency_key;
    if (key != NULL && !key_is_valid(key)) {
        exchange_refuse(x, "An Idempotency-Key is 1 to 255 visible ASCII characters.");
    }
    if (x->header_count > CALLER_HEADERS_MAX) {
        exchange_refuse(x, "More than 64 headers.");
    }
    if (x->error.kind != DORMOUSE_OK) {
        return false;
    }
    if (key == NULL && x->takes_key && !x->call.no_idempotency_key) {
        dormouse_make_key(made);
        key = made;
    }
    buf_append_byte(&x->target, '\0');
    run_attempts(x, key);
    return x->error.kind == DORMOUSE_OK;
}

/* ---- answers ---- */

/* An answer that cannot be read came after the request was acted upon. */
static void set_protocol_error(struct exchange *x, const char *what)
{
    error_set(&x->error, DORMOUSE_PROTOCOL, "%s", what);
    x->error.http_status = x->response.status;
    x->error.maybe_applied = !x->is_reading;
}

struct dormouse_doc *exchange_doc(struct exchange *x)
{
    PRE(x->error.kind == DORMOUSE_OK);
    const char *type = client_response_header(&x->response, "Content-Type");
    struct dormouse_doc *doc = NULL;
    enum err err = ERR_FORMAT;
    if (type != NULL && strncasecmp(type, "application/msgpack", 19) == 0) {
        err = doc_from_msgpack(&x->response.body, &doc);
    } else if (type != NULL && strncasecmp(type, "application/json", 16) == 0) {
        err = doc_from_json(buf_slice(&x->response.body), &doc);
    }
    if (err != ERR_OK) {
        set_protocol_error(x, "The answer is not the document that the API promises.");
        return NULL;
    }
    return doc;
}

bool exchange_run_doc(struct exchange *x, struct dormouse_doc **ret_doc)
{
    x->accept = "application/msgpack";
    struct dormouse_doc *doc = exchange_run(x) ? exchange_doc(x) : NULL;
    if (doc == NULL) {
        return false;
    }
    if (ret_doc == NULL) {
        dormouse_doc_free(doc);
    } else {
        *ret_doc = doc;
    }
    return true;
}

uint64_t exchange_version(struct exchange *x)
{
    PRE(x->error.kind == DORMOUSE_OK);
    const char *tag = client_response_header(&x->response, "ETag");
    if (tag != NULL && tag[0] == '"' && tag[1] >= '0' && tag[1] <= '9') {
        char *end;
        errno = 0;
        unsigned long long version = strtoull(tag + 1, &end, 10);
        if (errno == 0 && version > 0 && strcmp(end, "\"") == 0) {
            return version;
        }
    }
    set_protocol_error(x, "The answer has no version.");
    return 0;
}

enum dormouse_code exchange_done(struct exchange *x, struct dormouse_error *ret_error)
{
    if (ret_error != NULL) {
        *ret_error = x->error;
    }
    buf_done(&x->target);
    buf_done(&x->own_body);
    client_response_done(&x->response);
    return x->error.kind;
}
