#include "actor/sandbox_spec.h"

#include <string.h>

#include "actor/egress_rules.h"
#include "actor/members.h"
#include "rpc/value.h"

enum { ROW_FORMAT = 1, ENV_ENTRIES_MAX = 512 };

enum { PUT_IMAGE, PUT_LIMITS, PUT_EGRESS, PUT_SLEEP, PUT_ENV, PUT_MEMBERS };
enum { LIMIT_MEMORY, LIMIT_CPUS, LIMIT_PIDS, LIMIT_DISK, LIMIT_MEMBERS };

static bool is_letter_or_digit(uint8_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool sandbox_name_is_valid(struct slice name)
{
    if (name.len == 0 || name.len > SANDBOX_NAME_MAX || name.data[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i];
        if (!is_letter_or_digit(c) && c != '.' && c != '_' && c != '-') {
            return false;
        }
    }
    return true;
}

/* The body of a PUT */

static enum err read_whole(const struct member *m, uint32_t min, uint32_t max, uint32_t *ret,
                           struct reply *reply)
{
    uint64_t number;
    if (!member_is_given(m)) {
        return ERR_OK;
    }
    if (!value_get_uint(m->doc, &number) || number < min || number > max) {
        return reply_fail(reply, ERR_BAD_REQUEST, "limits.%s is not a whole number from %u to %u.",
                          m->name, min, max);
    }
    *ret = (uint32_t)number;
    return ERR_OK;
}

static enum err read_cpus(const struct member *m, uint32_t *ret, struct reply *reply)
{
    uint64_t whole;
    double cpus = 0;
    if (!member_is_given(m)) {
        return ERR_OK;
    }
    if (value_get_uint(m->doc, &whole)) {
        cpus = whole > 1000 ? 1000 : (double)whole;
    } else if (!value_get_double(m->doc, &cpus)) {
        cpus = 0;
    }
    if (!(cpus >= 0.01 && cpus <= 256)) {
        return reply_fail(reply, ERR_BAD_REQUEST, "limits.cpus is not a number from 0.01 to 256.");
    }
    *ret = (uint32_t)(cpus * 1000);
    return ERR_OK;
}

static enum err read_limits(struct slice doc, struct sandbox_spec *s, struct reply *reply)
{
    struct member m[LIMIT_MEMBERS] = {[LIMIT_MEMORY] = {.name = "memory_mb"},
                                      [LIMIT_CPUS] = {.name = "cpus"},
                                      [LIMIT_PIDS] = {.name = "pids"},
                                      [LIMIT_DISK] = {.name = "disk_mb"}};
    enum err err = members_read(doc, m, LIMIT_MEMBERS, reply);
    err = err != ERR_OK ? err : read_whole(&m[LIMIT_MEMORY], 16, 1 << 20, &s->memory_mb, reply);
    err = err != ERR_OK ? err : read_cpus(&m[LIMIT_CPUS], &s->cpu_milli, reply);
    err = err != ERR_OK ? err : read_whole(&m[LIMIT_PIDS], 4, 32768, &s->pids, reply);
    return err != ERR_OK ? err : read_whole(&m[LIMIT_DISK], 64, 1 << 20, &s->disk_mb, reply);
}

enum err sandbox_env_check(struct slice env, struct reply *reply)
{
    struct slice key;
    struct slice value;
    struct slice text;
    uint32_t count = 0;
    if (value_type(env) != VALUE_MAP) {
        return reply_fail(reply, ERR_BAD_REQUEST, "env is not an object.");
    }
    for (struct value_iter it = value_entries(env); value_next_entry(&it, &key, &value); count++) {
        if (!value_get_str(value, &text) || key.len == 0 ||
            memchr(key.data, '=', key.len) != NULL || memchr(key.data, '\0', key.len) != NULL ||
            memchr(text.data, '\0', text.len) != NULL) {
            return reply_fail(reply, ERR_BAD_REQUEST,
                              "env maps names without = to strings, neither with NUL.");
        }
    }
    if (env.len > SANDBOX_ENV_BYTES_MAX || count > ENV_ENTRIES_MAX) {
        return reply_too_large(reply, "env_bytes", SANDBOX_ENV_BYTES_MAX);
    }
    return ERR_OK;
}

static enum err read_egress(struct slice doc, struct sandbox_spec *s, struct reply *reply)
{
    const char *why = "";
    if (value_type(doc) != VALUE_MAP) {
        return reply_fail(reply, ERR_BAD_REQUEST, "egress is not an object.");
    }
    if (doc.len > EGRESS_RULES_BYTES_MAX) {
        return reply_too_large(reply, "egress_bytes", EGRESS_RULES_BYTES_MAX);
    }
    if (egress_rules_check(doc, &why) != ERR_OK) {
        return reply_fail(reply, ERR_BAD_REQUEST, "egress: %s", why);
    }
    s->egress = doc;
    return ERR_OK;
}

enum err sandbox_spec_read(struct slice body, struct sandbox_spec *ret, struct reply *reply)
{
    struct member m[PUT_MEMBERS] = {[PUT_IMAGE] = {.name = "image"},
                                    [PUT_LIMITS] = {.name = "limits"},
                                    [PUT_EGRESS] = {.name = "egress"},
                                    [PUT_SLEEP] = {.name = "sleep_after_ms"},
                                    [PUT_ENV] = {.name = "env"}};
    *ret = (struct sandbox_spec){.image = SLICE("base"),
                                 .memory_mb = SANDBOX_MEMORY_MB,
                                 .cpu_milli = SANDBOX_CPU_MILLI,
                                 .pids = SANDBOX_PIDS,
                                 .disk_mb = SANDBOX_DISK_MB,
                                 .sleep_after_ms = SANDBOX_SLEEP_MS};
    if (body.len == 0) {
        return ERR_OK;
    }
    enum err err = members_read(body, m, PUT_MEMBERS, reply);
    if (err == ERR_OK && member_is_given(&m[PUT_IMAGE]) &&
        (!value_get_str(m[PUT_IMAGE].doc, &ret->image) || !sandbox_name_is_valid(ret->image))) {
        err = reply_fail(reply, ERR_BAD_REQUEST, "image is not the name of one.");
    }
    if (err == ERR_OK && member_is_given(&m[PUT_LIMITS])) {
        err = read_limits(m[PUT_LIMITS].doc, ret, reply);
    }
    if (err == ERR_OK) {
        err = member_ms(&m[PUT_SLEEP], 1000, UINT64_C(31536000000), &ret->sleep_after_ms, reply);
    }
    if (err == ERR_OK && member_is_given(&m[PUT_ENV])) {
        ret->env = m[PUT_ENV].doc;
        err = sandbox_env_check(ret->env, reply);
    }
    if (err == ERR_OK && member_is_given(&m[PUT_EGRESS])) {
        err = read_egress(m[PUT_EGRESS].doc, ret, reply);
    }
    return err;
}

/* The row: an array, to which a later version may append */

enum { ROW_ITEMS = 14 };

static void put_doc(struct buf *row, struct slice doc)
{
    if (doc.len > 0) {
        value_put_raw(row, doc);
    } else {
        value_put_nil(row);
    }
}

void sandbox_spec_encode(const struct sandbox_spec *s, struct buf *row)
{
    value_put_array(row, ROW_ITEMS);
    value_put_uint(row, ROW_FORMAT);
    value_put_bin(row, slice_of(s->id, sizeof s->id));
    value_put_str(row, s->image);
    value_put_uint(row, s->memory_mb);
    value_put_uint(row, s->cpu_milli);
    value_put_uint(row, s->pids);
    value_put_uint(row, s->disk_mb);
    value_put_uint(row, s->sleep_after_ms);
    value_put_uint(row, s->created_ms);
    value_put_uint(row, s->slept_ms);
    put_doc(row, s->env);
    put_doc(row, s->egress);
    put_doc(row, s->layers);
    put_doc(row, s->snapshots);
}

static bool next_u32(struct value_iter *it, uint32_t *ret)
{
    struct slice doc;
    uint64_t number;
    if (!value_next(it, &doc) || !value_get_uint(doc, &number) || number > UINT32_MAX) {
        return false;
    }
    *ret = (uint32_t)number;
    return true;
}

static bool next_u64(struct value_iter *it, uint64_t *ret)
{
    struct slice doc;
    return value_next(it, &doc) && value_get_uint(doc, ret);
}

static bool next_doc(struct value_iter *it, struct slice *ret)
{
    bool has = value_next(it, ret);
    if (has && value_type(*ret) == VALUE_NIL) {
        *ret = (struct slice){0};
    }
    return has;
}

enum err sandbox_spec_decode(struct slice row, struct sandbox_spec *ret)
{
    const char *reason;
    struct slice doc;
    struct slice id;
    uint32_t format = 0;
    if (value_check(row, VALUE_DEPTH_CAP, &reason) != ERR_OK || value_count(row) < ROW_ITEMS) {
        return ERR_CORRUPT;
    }
    struct value_iter it = value_items(row);
    if (!next_u32(&it, &format) || format != ROW_FORMAT) {
        return ERR_FORMAT;
    }
    bool is_good = value_next(&it, &doc) && value_get_bin(doc, &id) && id.len == sizeof ret->id &&
                   value_next(&it, &doc) && value_get_str(doc, &ret->image) &&
                   next_u32(&it, &ret->memory_mb) && next_u32(&it, &ret->cpu_milli) &&
                   next_u32(&it, &ret->pids) && next_u32(&it, &ret->disk_mb) &&
                   next_u64(&it, &ret->sleep_after_ms) && next_u64(&it, &ret->created_ms) &&
                   next_u64(&it, &ret->slept_ms) && next_doc(&it, &ret->env) &&
                   next_doc(&it, &ret->egress) && next_doc(&it, &ret->layers) &&
                   next_doc(&it, &ret->snapshots) && sandbox_name_is_valid(ret->image);
    if (!is_good) {
        return ERR_CORRUPT;
    }
    memcpy(ret->id, id.data, sizeof ret->id);
    return ERR_OK;
}

static void put_number(struct buf *out, const char *name, uint64_t number)
{
    value_put_text(out, name);
    value_put_uint(out, number);
}

uint32_t sandbox_spec_show(const struct sandbox_spec *s, struct buf *out)
{
    value_put_text(out, "image");
    value_put_str(out, s->image);
    value_put_text(out, "limits");
    value_put_map(out, 4);
    put_number(out, "memory_mb", s->memory_mb);
    value_put_text(out, "cpus");
    if (s->cpu_milli % 1000 == 0) {
        value_put_uint(out, s->cpu_milli / 1000);
    } else {
        value_put_double(out, s->cpu_milli / 1000.0);
    }
    put_number(out, "pids", s->pids);
    put_number(out, "disk_mb", s->disk_mb);
    put_number(out, "sleep_after_ms", s->sleep_after_ms);
    put_number(out, "created", s->created_ms);
    value_put_text(out, "slept");
    if (s->slept_ms != 0) {
        value_put_uint(out, s->slept_ms);
    } else {
        value_put_nil(out);
    }
    return 5;
}
