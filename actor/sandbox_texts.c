/* What a process is started with: arguments, folder and environment, from the body of a request. */
#include <stdio.h>
#include <string.h>

#include "actor/members.h"
#include "actor/sandbox_own.h"
#include "rpc/value.h"

enum { TEXTS_BYTES_MAX = SANDBOX_FRAME_BYTES_MAX - 1024 };

static void put_text(struct process_texts *t, struct slice text)
{
    buf_append_slice(&t->bytes, text);
    buf_append_byte(&t->bytes, '\0');
}

static bool is_text(struct slice text)
{
    return memchr(text.data, '\0', text.len) == NULL;
}

static enum err put_cmd(struct process_texts *t, struct slice cmd, struct reply *reply)
{
    struct slice item;
    struct slice text;
    if (value_type(cmd) != VALUE_ARRAY || value_count(cmd) == 0) {
        return reply_fail(reply, ERR_BAD_REQUEST,
                          "cmd is not an array of a program and its arguments.");
    }
    for (struct value_iter it = value_items(cmd); value_next(&it, &item); t->count++) {
        if (!value_get_str(item, &text) || (text.len > 0 && !is_text(text)) ||
            (t->count == 1 && text.len == 0)) {
            return reply_fail(
                reply, ERR_BAD_REQUEST,
                "cmd[%u] is not a string without NUL, or empty where it is the program.",
                t->count - 1);
        }
        put_text(t, text);
    }
    return ERR_OK;
}

struct variable {
    struct slice name;
    struct slice value;
};

static bool has_variable(struct slice env, struct slice name)
{
    struct slice key;
    struct slice value;
    for (struct value_iter it = value_entries(env); value_next_entry(&it, &key, &value);) {
        if (slice_equal(key, name)) {
            return true;
        }
    }
    return false;
}

static void put_variable(struct process_texts *t, struct slice name, struct slice value)
{
    buf_append_slice(&t->bytes, name);
    buf_append_byte(&t->bytes, '=');
    put_text(t, value);
}

/* Those of `env` that `over` does not have. */
static void put_variables(struct process_texts *t, struct slice env, struct slice over)
{
    struct slice key;
    struct slice value;
    struct slice text;
    if (env.len == 0) {
        return;
    }
    for (struct value_iter it = value_entries(env); value_next_entry(&it, &key, &value);) {
        if (value_get_str(value, &text) && (over.len == 0 || !has_variable(over, key))) {
            put_variable(t, key, text);
        }
    }
}

/* The request's win over the sandbox's, and these over ours. */
static void put_environment(struct process_texts *t, const struct box *b, struct slice of_request)
{
    struct slice of_box = b->spec.env;
    const char *const *outside = b->host->outside != NULL ? b->host->outside->environment : NULL;
    static const struct {
        const char *name;
        const char *value;
    } own[] = {
        {"PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
        {"HOME", "/root"},
        {"USER", "root"},
        {"LANG", "C.UTF-8"},
        {"SHELL", "/bin/bash"},
    };
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        struct slice name = slice_of_str(own[i].name);
        if ((of_box.len == 0 || !has_variable(of_box, name)) &&
            (of_request.len == 0 || !has_variable(of_request, name))) {
            put_variable(t, name, slice_of_str(own[i].value));
        }
    }
    for (; outside != NULL && *outside != NULL; outside++) {
        struct slice name = slice_of(*outside, strcspn(*outside, "="));
        if ((of_box.len == 0 || !has_variable(of_box, name)) &&
            (of_request.len == 0 || !has_variable(of_request, name))) {
            put_text(t, slice_of_str(*outside));
        }
    }
    put_variables(t, of_box, of_request);
    put_variables(t, of_request, SLICE(""));
}

enum err process_texts_read(const struct box *b, struct slice body, struct process_texts *ret,
                            struct reply *reply)
{
    struct slice cmd = {0};
    struct slice cwd_doc;
    struct slice cwd = SLICE("/root");
    struct slice env = {0};
    *ret = (struct process_texts){.count = 1};
    if (value_type(body) != VALUE_MAP || !value_member(body, "cmd", &cmd)) {
        return reply_fail(reply, ERR_BAD_REQUEST, "The body has no cmd.");
    }
    if (value_member(body, "cwd", &cwd_doc) && value_type(cwd_doc) != VALUE_NIL &&
        (!value_get_str(cwd_doc, &cwd) || cwd.len == 0 || cwd.data[0] != '/' || !is_text(cwd))) {
        return reply_fail(reply, ERR_BAD_REQUEST, "cwd is not an absolute path.");
    }
    if (value_member(body, "env", &env)) {
        env = value_type(env) == VALUE_NIL ? (struct slice){0} : env;
        enum err err = env.len > 0 ? sandbox_env_check(env, reply) : ERR_OK;
        if (err != ERR_OK) {
            return err;
        }
    }
    put_text(ret, cwd);
    enum err err = put_cmd(ret, cmd, reply);
    if (err == ERR_OK) {
        put_environment(ret, b, env);
    }
    if (err == ERR_OK && ret->bytes.len > TEXTS_BYTES_MAX) {
        err = reply_too_large(reply, "cmd_bytes", TEXTS_BYTES_MAX);
    }
    if (err != ERR_OK) {
        process_texts_done(ret);
    }
    return err;
}

enum err process_texts_make(const struct box *b, const char *cwd, const struct slice *cmd,
                            size_t count, struct slice env, struct process_texts *ret)
{
    *ret = (struct process_texts){.count = 1 + (uint32_t)count};
    put_text(ret, slice_of_str(cwd));
    for (size_t i = 0; i < count; i++) {
        put_text(ret, cmd[i]);
    }
    put_environment(ret, b, env);
    if (ret->bytes.len > TEXTS_BYTES_MAX) {
        process_texts_done(ret);
        return ERR_TOO_LARGE;
    }
    return ERR_OK;
}

void process_texts_done(struct process_texts *t)
{
    buf_done(&t->bytes);
}
