#include "rpc/problem.h"

#include <yajl/yajl_gen.h>

#include "base/address.h"
#include "base/invariant.h"
#include "rpc/value.h"

static void print(void *ctx, const char *text, size_t len)
{
    buf_append(ctx, text, len);
}

static void put_string(yajl_gen json, struct slice s)
{
    INVARIANT(yajl_gen_string(json, s.data, s.len) == yajl_gen_status_ok);
}

static void put_text(yajl_gen json, const char *name, const char *value)
{
    put_string(json, slice_of_str(name));
    put_string(json, slice_of_str(value));
}

static void put_bool(yajl_gen json, const char *name, bool value)
{
    put_string(json, slice_of_str(name));
    INVARIANT(yajl_gen_bool(json, value) == yajl_gen_status_ok);
}

static void put_number(yajl_gen json, const char *name, uint64_t value)
{
    PRE(value <= INT64_MAX);

    put_string(json, slice_of_str(name));
    INVARIANT(yajl_gen_integer(json, (long long)value) == yajl_gen_status_ok);
}

/* Members that some problems have. */
struct extra {
    const struct problem_limit *limit;
    const uint64_t *failed;
    const struct problem_place *place;
    struct slice exception; /* a document; empty: none */
};

static void put_limit(yajl_gen json, const struct problem_limit *limit)
{
    put_string(json, SLICE("limit"));
    (void)yajl_gen_map_open(json);
    put_text(json, "name", limit->name);
    put_number(json, "value", limit->value);
    (void)yajl_gen_map_close(json);
}

static void put_place(yajl_gen json, const struct problem_place *place)
{
    if (place->file.len > 0 && slice_is_utf8(place->file)) {
        put_string(json, SLICE("file"));
        put_string(json, place->file);
    }
    if (place->line > 0 && place->line <= INT64_MAX) {
        put_number(json, "line", place->line);
    }
    if (place->column > 0 && place->column <= INT64_MAX) {
        put_number(json, "column", place->column);
    }
}

static void put_exception(yajl_gen json, struct slice exception)
{
    static const char *const texts[] = {"name", "message", "stack", "file"};
    static const char *const numbers[] = {"line", "column"};
    struct slice doc;
    struct slice text;
    uint64_t number;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        if (value_member(exception, texts[i], &doc) && value_get_str(doc, &text)) {
            put_string(json, slice_of_str(texts[i]));
            put_string(json, text);
        }
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        if (value_member(exception, numbers[i], &doc) && value_get_uint(doc, &number) &&
            number <= INT64_MAX) {
            put_number(json, numbers[i], number);
        }
    }
}

static void write_members(struct buf *out, enum err err, struct slice detail,
                          const struct extra *extra)
{
    PRE(err != ERR_OK);

    const struct err_info *info = err_info(err);
    if (detail.len == 0 || !slice_is_utf8(detail)) {
        detail = slice_of_str(info->text);
    }
    yajl_gen json = yajl_gen_alloc(NULL);
    INVARIANT(json != NULL);
    (void)yajl_gen_config(json, yajl_gen_print_callback, print, out);
    (void)yajl_gen_map_open(json);
    put_text(json, "type", "about:blank");
    put_text(json, "title", problem_title(info->status));
    put_number(json, "status", (uint64_t)info->status);
    put_string(json, SLICE("detail"));
    put_string(json, detail);
    put_text(json, "code", info->code);
    put_bool(json, "retryable", info->retryable);
    put_bool(json, "maybe_applied", info->maybe_applied);
    if (extra->limit != NULL) {
        put_limit(json, extra->limit);
    }
    if (extra->failed != NULL) {
        put_number(json, "failed", *extra->failed);
    }
    if (extra->place != NULL) {
        put_place(json, extra->place);
    }
    if (extra->exception.len > 0) {
        put_exception(json, extra->exception);
    }
    INVARIANT(yajl_gen_map_close(json) == yajl_gen_status_ok);
    yajl_gen_free(json);
}

void problem_write(struct buf *out, enum err err, struct slice detail,
                   const struct problem_limit *limit)
{
    write_members(out, err, detail, &(struct extra){.limit = limit});
}

void problem_write_failed(struct buf *out, enum err err, struct slice detail, uint64_t failed)
{
    write_members(out, err, detail, &(struct extra){.failed = &failed});
}

void problem_write_exception(struct buf *out, enum err err, struct slice detail,
                             struct slice exception)
{
    struct slice doc;
    if (detail.len == 0 && value_member(exception, "message", &doc) &&
        !value_get_str(doc, &detail)) {
        detail = SLICE("");
    }
    write_members(out, err, detail, &(struct extra){.exception = exception});
}

void problem_write_at(struct buf *out, enum err err, struct slice detail,
                      const struct problem_place *place)
{
    write_members(out, err, detail, &(struct extra){.place = place});
}

static const struct {
    int status;
    const char *title;
} titles[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {204, "No Content"},
    {206, "Partial Content"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {418, "I'm a Teapot"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {507, "Insufficient Storage"},
};

const char *problem_title(int status)
{
    for (size_t i = 0; i < sizeof titles / sizeof titles[0]; i++) {
        if (titles[i].status == status) {
            return titles[i].title;
        }
    }
    return "";
}
