#include "node/code_log.h"

#include "base/clock.h"
#include "node/code.h"
#include "node/node.h"
#include "node/source_map.h"
#include "node/worker.h"
#include "rpc/json.h"
#include "rpc/value.h"

/* Of a stack, the rest of which stays as it is. */
enum { STACK_BYTES_MAX = 8 * 1024 };

/* Those of the code that the session runs; empty: it has none, or is of a version before the one in force,
 * whose maps are not at hand. */
static struct slice maps_of(struct code *c, const struct code_session *s)
{
    const struct deployment *d =
        cluster_view_deployment(worker_view(c->worker), code_session_address(s)->ns);
    return d != NULL && d->version == code_session_version(s) ? d->source_maps : SLICE("");
}

static void put_name(struct buf *out, struct slice name)
{
    if (name.len > 0) {
        value_put_str(out, name);
    } else {
        value_put_nil(out);
    }
}

static void put_event(struct buf *out, const struct address *a, struct slice level,
                      struct slice text)
{
    struct buf doc = {0};
    value_put_map(&doc, 5);
    value_put_text(&doc, "time");
    value_put_uint(&doc, clock_wall_ms());
    value_put_text(&doc, "class");
    put_name(&doc, a->class);
    value_put_text(&doc, "id");
    put_name(&doc, a->class.len > 0 ? a->id : SLICE(""));
    value_put_text(&doc, "level");
    value_put_str(&doc, level);
    value_put_text(&doc, "text");
    value_put_str(&doc, text);
    buf_append_str(out, "event: log\ndata: ");
    value_to_json(buf_slice(&doc), out); /* without newlines */
    buf_append_str(out, "\n\n");
    buf_done(&doc);
}

static struct log_who who_logs(const struct code_session *s)
{
    const struct address *a = code_session_address(s);
    return (struct log_who){.ns = a->ns, .class = a->class, .identity = *code_session_identity(s)};
}

static void put_line(struct code *c, const struct code_session *s, struct slice level,
                     struct slice text)
{
    struct log_who who = who_logs(s);
    struct buf event = {0};
    put_event(&event, code_session_address(s), level, text);
    log_board_put(&c->worker->node->logs, &who, buf_slice(&event));
    buf_done(&event);
}

static bool is_read(struct code *c, const struct code_session *s)
{
    struct log_who who = who_logs(s);
    return log_board_wants(&c->worker->node->logs, &who);
}

/* A run's lines are in its answer. */
void code_log_line(void *ctx, const struct code_session *s, struct slice level, struct slice text)
{
    struct code *c = ctx;
    struct buf mapped = {0};
    if (code_session_is_run(s) || !is_read(c, s)) {
        return;
    }
    source_map_rewrite(maps_of(c, s), text, &mapped);
    put_line(c, s, level, buf_slice(&mapped));
    buf_done(&mapped);
}

/* Exceptions */

static struct slice text_of(struct slice exception, const char *name)
{
    struct slice doc;
    struct slice text;
    return value_member(exception, name, &doc) && value_get_str(doc, &text) ? text : SLICE("");
}

static void put_stack(struct code *c, const struct code_session *s, struct slice stack,
                      struct buf *out)
{
    struct slice head =
        slice_of(stack.data, stack.len < STACK_BYTES_MAX ? stack.len : STACK_BYTES_MAX);
    struct buf mapped = {0};
    source_map_rewrite(maps_of(c, s), head, &mapped);
    buf_append_slice(&mapped, slice_skip(stack, head.len));
    value_put_str(out, buf_slice(&mapped));
    buf_done(&mapped);
}

static void put_shown(struct code *c, const struct code_session *s, struct slice exception,
                      struct buf *out)
{
    struct value_iter it = value_entries(exception);
    struct slice key;
    struct slice value;
    struct slice stack;
    value_put_map(out, value_count(exception));
    while (value_next_entry(&it, &key, &value)) {
        value_put_str(out, key);
        if (slice_equal_str(key, "stack") && value_get_str(value, &stack)) {
            put_stack(c, s, stack, out);
        } else {
            value_put_raw(out, value);
        }
    }
}

/* As console shows an error: "TypeError: not today", and its frames. */
static void put_error(struct slice exception, struct buf *out)
{
    struct slice name = text_of(exception, "name");
    struct slice message = text_of(exception, "message");
    struct slice stack = text_of(exception, "stack");
    buf_append_slice(out, name.len > 0 ? name : SLICE("Error"));
    if (message.len > 0) {
        buf_append_str(out, ": ");
        buf_append_slice(out, message);
    }
    for (size_t i = 0; i < stack.len; i++) {
        if (i == 0 || stack.data[i - 1] == '\n') {
            buf_append_str(out, i == 0 ? "\n    " : "    ");
        }
        buf_append_byte(out, stack.data[i]);
    }
}

void code_log_thrown(void *ctx, const struct code_session *s, struct slice exception,
                     struct buf *ret_shown)
{
    struct code *c = ctx;
    size_t at = ret_shown->len;
    put_shown(c, s, exception, ret_shown);
    if (is_read(c, s)) {
        struct buf text = {0};
        put_error(slice_skip(buf_slice(ret_shown), at), &text);
        put_line(c, s, SLICE("error"), buf_slice(&text));
        buf_done(&text);
    }
}
