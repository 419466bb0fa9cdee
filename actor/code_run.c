/* What `execute` answers: a result or an error, the lines that were logged, and what it took. */
#include "actor/code_own.h"

enum { RUN_LOG_LINES_MAX = 1000, RUN_LOG_BYTES_MAX = 256 * 1024 };

static void put_end(const struct code_session *s, struct buf *out)
{
    struct code_usage usage = s->last_usage;
    if (s->isolate != NULL) {
        s->host->hooks->usage(s->isolate, true, &usage);
    }
    value_put_text(out, "logs");
    value_put_array(out, s->log_count);
    buf_append_slice(out, buf_slice(&s->logs));
    value_put_text(out, "usage");
    value_put_map(out, 3);
    value_put_text(out, "cpu_ms");
    value_put_uint(out, (usage.cpu_us + 500) / 1000);
    value_put_text(out, "wall_ms");
    value_put_uint(out, s->host->now_ms - s->began_ms);
    value_put_text(out, "peak_memory_bytes");
    value_put_uint(out, usage.peak_bytes);
}

void code_run_outcome(const struct code_session *s, struct slice result, struct buf *out)
{
    value_put_map(out, 3);
    value_put_text(out, "result");
    value_put_raw(out, result);
    put_end(s, out);
}

void code_run_error(const struct code_session *s, const char *code, struct slice exception,
                    struct buf *out)
{
    static const char *const names[] = {"name", "message", "stack"};
    static const uint8_t nothing = 0x80; /* {} */
    struct slice doc;
    uint32_t count = 1;
    exception = exception.len > 0 ? exception : slice_of(&nothing, 1);
    for (size_t i = 0; i < 3; i++) {
        count += value_member(exception, names[i], &doc) ? 1 : 0;
    }
    value_put_map(out, 3);
    value_put_text(out, "error");
    value_put_map(out, count);
    value_put_text(out, "code");
    value_put_text(out, code);
    for (size_t i = 0; i < 3; i++) {
        if (value_member(exception, names[i], &doc)) {
            value_put_text(out, names[i]);
            value_put_raw(out, doc);
        }
    }
    put_end(s, out);
}

/* Beyond the bounds lines are dropped: who floods has seen what he wrote first. */
void code_run_log(struct code_session *s, struct slice level, struct slice text)
{
    if (s->log_count >= RUN_LOG_LINES_MAX || s->logs.len + text.len > RUN_LOG_BYTES_MAX) {
        return;
    }
    value_put_map(&s->logs, 2);
    value_put_text(&s->logs, "level");
    value_put_str(&s->logs, level);
    value_put_text(&s->logs, "text");
    value_put_str(&s->logs, text);
    s->log_count++;
}
