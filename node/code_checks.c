#include "node/code_checks.h"

#include "actor/isolate_frame.h"
#include "base/invariant.h"
#include "base/mem.h"
#include "node/code.h"
#include "rpc/value.h"

enum {
    CHECK_START_MS = 30 * 1000, /* for the process */
    CHECK_MS = 10 * 1000,       /* for the code, once that is there */
    FRAME_DEPTH = 12,
};

struct checking {
    struct isolate_user user;
    struct list link; /* code.checks */
    struct code_check *check;
    struct isolate *isolate;
    bool is_up;
    uint64_t deadline_ms;
};

/* Its isolate is gone, or goes. */
static void end(struct checking *v)
{
    struct code_check *c = v->check;
    list_remove(&v->link);
    if (v->isolate != NULL) {
        isolate_kill(v->isolate);
    }
    mem_free(v);
    c->done(c);
}

static void refuse(struct checking *v, enum err err, const char *detail)
{
    (void)decode_fail(&v->check->error, err, "%s", detail);
    end(v);
}

static bool next_is(struct value_iter *it, uint64_t want)
{
    struct slice doc;
    uint64_t value;
    return value_next(it, &doc) && value_get_uint(doc, &value) && value == want;
}

static void on_frame(struct isolate_user *u, struct slice frame)
{
    struct checking *v = CONTAINER_OF(u, struct checking, user);
    const char *reason;
    struct slice doc;
    uint64_t kind;
    if (value_check(frame, FRAME_DEPTH, &reason) != ERR_OK) {
        refuse(v, ERR_INVALID_CODE, "The check of the code ended without an outcome.");
        return;
    }
    struct value_iter it = value_items(frame);
    if (!value_next(&it, &doc) || !value_get_uint(doc, &kind) || !next_is(&it, 0) ||
        !value_next(&it, &doc)) {
        kind = FRAME_READY;
    }
    if (kind == FRAME_STARTED && value_type(doc) == VALUE_MAP) {
        v->check->found = bytes_new(doc);
        v->check->error = (struct decode_error){.err = ERR_OK};
        end(v);
    } else if (kind == FRAME_FAILED && value_type(doc) == VALUE_MAP) {
        v->check->fault = bytes_new(doc);
        refuse(v, ERR_INVALID_CODE, "");
    }
    /* What the code logs or asks for while it is looked at is nobody's. */
}

static void on_ended(struct isolate_user *u, enum isolate_end how,
                     const struct isolate_usage *usage)
{
    struct checking *v = CONTAINER_OF(u, struct checking, user);
    (void)usage;
    v->isolate = NULL;
    refuse(v, ERR_INVALID_CODE,
           how == ISOLATE_END_MEMORY ? "The code needs more memory than it may have to load."
                                     : "The isolate that loaded the code died.");
}

static void send_start(struct isolate *i, const struct code_check *c)
{
    struct buf frame = {0};
    value_put_array(&frame, 3);
    value_put_uint(&frame, FRAME_START);
    value_put_uint(&frame, 0);
    value_put_map(&frame, 6);
    value_put_text(&frame, "mode");
    value_put_text(&frame, "check");
    value_put_text(&frame, "ns");
    value_put_str(&frame, c->ns);
    value_put_text(&frame, "modules");
    value_put_raw(&frame, c->modules);
    value_put_text(&frame, "main");
    value_put_str(&frame, c->main);
    value_put_text(&frame, "classes");
    if (c->classes.len > 0) {
        value_put_raw(&frame, c->classes);
    } else {
        value_put_nil(&frame);
    }
    value_put_text(&frame, "env");
    value_put_bin(&frame, c->env);
    isolate_send(i, buf_slice(&frame));
    buf_done(&frame);
}

void code_checks_begin(struct code *code, struct code_check *c)
{
    static const struct isolate_limits limits = {.memory_bytes = CODE_CLASS_MEMORY_BYTES};
    struct checking *v = MEM_NEW(struct checking);
    v->user = (struct isolate_user){.frame = on_frame, .ended = on_ended};
    v->check = c;
    v->deadline_ms = code->host.now_ms + CHECK_START_MS;
    list_init(&v->link);
    v->isolate = isolates_take(&code->isolates, &limits, &v->user);
    if (v->isolate == NULL) {
        refuse(v, ERR_NOT_IMPLEMENTED, "This node cannot run code now.");
        return;
    }
    list_append(&code->checks, &v->link);
    send_start(v->isolate, c);
}

void code_checks_tick(struct list *checks, uint64_t now_ms)
{
    LIST_FOREACH_SAFE (link, checks) {
        struct checking *v = LIST_ENTRY(link, struct checking, link);
        if (!v->is_up && isolate_is_up(v->isolate)) {
            v->is_up = true;
            v->deadline_ms = now_ms + CHECK_MS;
        } else if (v->deadline_ms <= now_ms && v->is_up) {
            refuse(v, ERR_INVALID_CODE, "The code takes too long to load.");
        } else if (v->deadline_ms <= now_ms) {
            refuse(v, ERR_UNAVAILABLE, "No isolate has started in time to look at the code.");
        }
    }
}

void code_checks_stop(struct list *checks)
{
    LIST_FOREACH_SAFE (link, checks) {
        refuse(LIST_ENTRY(link, struct checking, link), ERR_UNAVAILABLE, "The node stops.");
    }
}
