#include "sdk-c/error.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/invariant.h"
#include "rpc/json.h"
#include "rpc/value.h"

struct row {
    enum dormouse_code kind;
    const char *name;
};

static const struct row rows[] = {
    {DORMOUSE_OK, "ok"},
    {DORMOUSE_NOT_MODIFIED, "not_modified"},
    {DORMOUSE_BAD_REQUEST, "bad_request"},
    {DORMOUSE_INVALID_ID, "invalid_id"},
    {DORMOUSE_INVALID_VALUE, "invalid_value"},
    {DORMOUSE_INVALID_CODE, "invalid_code"},
    {DORMOUSE_UNAUTHENTICATED, "unauthenticated"},
    {DORMOUSE_FORBIDDEN, "forbidden"},
    {DORMOUSE_NOT_FOUND, "not_found"},
    {DORMOUSE_NO_SUCH_KEY, "no_such_key"},
    {DORMOUSE_NO_SUCH_CLASS, "no_such_class"},
    {DORMOUSE_NO_SUCH_METHOD, "no_such_method"},
    {DORMOUSE_NO_SUCH_TIMER, "no_such_timer"},
    {DORMOUSE_NO_SUCH_STEP, "no_such_step"},
    {DORMOUSE_NO_SUCH_TOKEN, "no_such_token"},
    {DORMOUSE_NO_SUCH_MEMBER, "no_such_member"},
    {DORMOUSE_NO_SUCH_DEPLOYMENT, "no_such_deployment"},
    {DORMOUSE_NO_SUCH_SECRET, "no_such_secret"},
    {DORMOUSE_METHOD_NOT_ALLOWED, "method_not_allowed"},
    {DORMOUSE_CONFLICT, "conflict"},
    {DORMOUSE_LEASE_LOST, "lease_lost"},
    {DORMOUSE_VERSION_MISMATCH, "version_mismatch"},
    {DORMOUSE_TOO_LARGE, "too_large"},
    {DORMOUSE_UNSUPPORTED_MEDIA_TYPE, "unsupported_media_type"},
    {DORMOUSE_IDEMPOTENCY_MISMATCH, "idempotency_mismatch"},
    {DORMOUSE_RATE_LIMITED, "rate_limited"},
    {DORMOUSE_OVERLOADED, "overloaded"},
    {DORMOUSE_HEADERS_TOO_LARGE, "headers_too_large"},
    {DORMOUSE_ACTOR_EXCEPTION, "actor_exception"},
    {DORMOUSE_INTERNAL, "internal"},
    {DORMOUSE_NOT_IMPLEMENTED, "not_implemented"},
    {DORMOUSE_UNAVAILABLE, "unavailable"},
    {DORMOUSE_TIMEOUT, "timeout"},
    {DORMOUSE_STORAGE_FULL, "storage_full"},
    {DORMOUSE_OTHER, "other"},
    {DORMOUSE_UNREACHABLE, "unreachable"},
    {DORMOUSE_UNTRUSTED, "untrusted"},
    {DORMOUSE_PROTOCOL, "protocol"},
    {DORMOUSE_INVALID_ARGUMENT, "invalid_argument"},
};

enum { ROW_COUNT = sizeof(rows) / sizeof(rows[0]) };

const char *dormouse_code_name(enum dormouse_code code)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind == code) {
            return rows[i].name;
        }
    }
    return "unknown";
}

/* What an answer may say; the names made here cannot come from a server. */
static enum dormouse_code kind_of_name(const char *name)
{
    for (size_t i = 0; i < ROW_COUNT; i++) {
        if (rows[i].kind >= DORMOUSE_BAD_REQUEST && rows[i].kind < DORMOUSE_OTHER &&
            strcmp(rows[i].name, name) == 0) {
            return rows[i].kind;
        }
    }
    return DORMOUSE_OTHER;
}

/* For answers that are no problem+json: a proxy in between. */
static enum dormouse_code kind_of_status(int status)
{
    static const struct {
        int status;
        enum dormouse_code kind;
    } known[] = {
        {400, DORMOUSE_BAD_REQUEST},
        {401, DORMOUSE_UNAUTHENTICATED},
        {403, DORMOUSE_FORBIDDEN},
        {404, DORMOUSE_NOT_FOUND},
        {405, DORMOUSE_METHOD_NOT_ALLOWED},
        {412, DORMOUSE_VERSION_MISMATCH},
        {413, DORMOUSE_TOO_LARGE},
        {415, DORMOUSE_UNSUPPORTED_MEDIA_TYPE},
        {429, DORMOUSE_RATE_LIMITED},
        {431, DORMOUSE_HEADERS_TOO_LARGE},
        {500, DORMOUSE_INTERNAL},
        {501, DORMOUSE_NOT_IMPLEMENTED},
        {502, DORMOUSE_UNAVAILABLE},
        {503, DORMOUSE_UNAVAILABLE},
        {504, DORMOUSE_TIMEOUT},
        {507, DORMOUSE_STORAGE_FULL},
    };
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (known[i].status == status) {
            return known[i].kind;
        }
    }
    return DORMOUSE_OTHER;
}

void error_clear(struct dormouse_error *e)
{
    *e = (struct dormouse_error){.kind = DORMOUSE_OK, .retry_after_ms = -1, .failed = -1};
}

enum dormouse_code error_set(struct dormouse_error *e, enum dormouse_code kind, const char *format,
                             ...)
{
    error_clear(e);
    e->kind = kind;
    snprintf(e->code, sizeof(e->code), "%s", dormouse_code_name(kind));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(e->detail, sizeof(e->detail), format, arguments);
    va_end(arguments);
    return kind;
}

static enum dormouse_code transport_kind(enum err err)
{
    if (err == ERR_TIMEOUT || err == ERR_TIMEOUT_IN_DOUBT) {
        return DORMOUSE_TIMEOUT;
    }
    if (err == ERR_UNAUTHENTICATED) {
        return DORMOUSE_UNTRUSTED;
    }
    if (err == ERR_TOO_LARGE) {
        return DORMOUSE_PROTOCOL;
    }
    if (err == ERR_BAD_REQUEST) {
        return DORMOUSE_INVALID_ARGUMENT;
    }
    return DORMOUSE_UNREACHABLE;
}

enum dormouse_code error_from_transport(struct dormouse_error *e, enum err err, const char *detail,
                                        bool is_reading)
{
    PRE(err != ERR_OK);
    enum dormouse_code kind = transport_kind(err);
    error_set(e, kind, "%s", detail);
    e->retryable = kind == DORMOUSE_TIMEOUT || kind == DORMOUSE_UNREACHABLE;
    e->maybe_applied = !is_reading && (err == ERR_OUTCOME_UNKNOWN || err == ERR_TIMEOUT_IN_DOUBT ||
                                       err == ERR_TOO_LARGE);
    return kind;
}

static void copy_text(struct slice map, const char *name, char *ret, size_t ret_bytes)
{
    struct slice member;
    struct slice text;
    if (value_member(map, name, &member) && value_get_str(member, &text)) {
        snprintf(ret, ret_bytes, "%.*s", (int)(text.len < ret_bytes ? text.len : ret_bytes),
                 (const char *)text.data);
    }
}

static void copy_bool(struct slice map, const char *name, bool *ret)
{
    struct slice member;
    if (value_member(map, name, &member) && !value_get_bool(member, ret)) {
        return; /* another type: what the status says stays */
    }
}

static void copy_number(struct slice map, const char *name, int64_t *ret)
{
    struct slice member;
    if (value_member(map, name, &member) && !value_get_int(member, ret)) {
        *ret = 0;
    }
}

static void read_problem(struct dormouse_error *e, struct slice problem)
{
    copy_text(problem, "code", e->code, sizeof(e->code));
    e->kind = kind_of_name(e->code);
    copy_text(problem, "title", e->detail, sizeof(e->detail));
    copy_text(problem, "detail", e->detail, sizeof(e->detail));
    copy_bool(problem, "retryable", &e->retryable);
    copy_bool(problem, "maybe_applied", &e->maybe_applied);
    copy_text(problem, "name", e->name, sizeof(e->name));
    copy_text(problem, "stack", e->stack, sizeof(e->stack));
    copy_text(problem, "file", e->file, sizeof(e->file));
    copy_number(problem, "line", &e->line);
    copy_number(problem, "column", &e->column);
    if (e->kind == DORMOUSE_ACTOR_EXCEPTION) {
        copy_text(problem, "message", e->detail, sizeof(e->detail));
    }
    struct slice failed;
    if (value_member(problem, "failed", &failed) && !value_get_int(failed, &e->failed)) {
        e->failed = -1;
    }
}

/* Whole seconds; the form with a date is not used by the API. */
static int64_t retry_after_ms(const struct client_response *r)
{
    const char *text = client_response_header(r, "Retry-After");
    if (text == NULL || text[0] < '0' || text[0] > '9') {
        return -1;
    }
    char *end;
    unsigned long seconds = strtoul(text, &end, 10);
    return *end != '\0' || seconds > 1000000 ? -1 : (int64_t)seconds * 1000;
}

enum dormouse_code error_from_answer(struct dormouse_error *e, const struct client_response *r,
                                     bool is_reading)
{
    PRE(r->status >= 400);
    enum dormouse_code kind = kind_of_status(r->status);
    error_set(e, kind, "The server answered %d.", r->status);
    e->http_status = r->status;
    e->retryable =
        kind == DORMOUSE_RATE_LIMITED || kind == DORMOUSE_UNAVAILABLE || kind == DORMOUSE_TIMEOUT;
    e->maybe_applied = r->status >= 500 && r->status != 501;

    struct buf problem = {0};
    struct json_detail why;
    struct slice code;
    if (json_to_value(buf_slice(&r->body), VALUE_DEPTH_CAP, &problem, &why) == ERR_OK &&
        value_member(buf_slice(&problem), "code", &code)) {
        e->maybe_applied = false;
        read_problem(e, buf_slice(&problem));
    }
    buf_done(&problem);
    e->maybe_applied = e->maybe_applied && !is_reading;
    e->retry_after_ms = retry_after_ms(r);
    return e->kind;
}
