/* What an isolate says: each frame to whoever it is for. All of it is hostile until it has been read here. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"

enum { LOG_BYTES_MAX = 8 * 1024 };

static bool text_of(struct value_iter *args, struct slice *ret)
{
    struct slice doc;
    return value_next(args, &doc) && value_get_str(doc, ret);
}

static bool is_level(struct slice level)
{
    static const char *const levels[] = {"debug", "log", "info", "warn", "error"};
    for (size_t i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (slice_equal_str(level, levels[i])) {
            return true;
        }
    }
    return false;
}

/* Between two characters. */
static struct slice cut(struct slice utf8, size_t bytes_max)
{
    size_t len = utf8.len < bytes_max ? utf8.len : bytes_max;
    while (len > 0 && len < utf8.len && (utf8.data[len] & 0xc0) == 0x80) {
        len--;
    }
    return slice_of(utf8.data, len);
}

static void tell_log(struct code_session *s, struct slice args)
{
    struct value_iter it = value_items(args);
    struct slice level;
    struct slice text;
    if (!text_of(&it, &level) || !text_of(&it, &text)) {
        code_bad_frame(s);
        return;
    }
    if (!is_level(level) || !slice_is_utf8(text)) {
        code_bad_frame(s);
        return;
    }
    text = cut(text, LOG_BYTES_MAX);
    if (s->is_run) {
        code_run_log(s, level, text);
    }
    s->host->hooks->log(s->host->ctx, s, level, text);
}

static bool is_of_sockets(struct slice type)
{
    static const char *const types[] = {"send", "accept", "attach", "close", "auto"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++) {
        if (slice_equal_str(type, types[i])) {
            return true;
        }
    }
    return false;
}

/* Its code wants to start anew, and says why. */
static void aborted(struct code_session *s, struct slice exception)
{
    if (s->is_run || value_type(exception) != VALUE_MAP) {
        code_bad_frame(s);
        return;
    }
    struct bytes *copy = bytes_new(exception);
    if (s->state == CODE_STARTING) {
        code_session_fail_start(s, CODE_END_ABORTED, bytes_slice(copy));
    } else {
        code_session_cut(s, CODE_END_ABORTED, bytes_slice(copy));
    }
    bytes_unref(copy);
}

/* [0, type, args] */
static void tell(struct code_session *s, struct value_iter *frame)
{
    struct slice id;
    struct slice doc;
    struct slice type;
    struct slice args;
    uint64_t n = 0;
    if (!value_next(frame, &id) || !value_next(frame, &doc) || !value_get_str(doc, &type) ||
        !value_next(frame, &args)) {
        code_bad_frame(s);
    } else if (slice_equal_str(type, "log")) {
        tell_log(s, args);
    } else if (slice_equal_str(type, "busy")) {
        s->is_busy = value_get_uint(args, &n) && n > 0;
    } else if (slice_equal_str(type, "abort")) {
        aborted(s, args);
    } else if (slice_equal_str(type, "cancel")) {
        if (!code_incoming_cancelled(s, args)) {
            code_bad_frame(s);
        }
    } else if (is_of_sockets(type) && !code_socket_tell(s, type, args)) {
        code_bad_frame(s);
    }
}

/* [0, exception]: its code cannot be evaluated, or the class not be constructed. */
static void failed(struct code_session *s, struct value_iter *frame)
{
    struct slice id;
    struct slice exception;
    if (s->state != CODE_STARTING || !value_next(frame, &id) || !value_next(frame, &exception) ||
        value_type(exception) != VALUE_MAP) {
        code_bad_frame(s);
        return;
    }
    struct bytes *copy = bytes_new(exception);
    code_session_fail_start(s, CODE_END_THREW, bytes_slice(copy));
    bytes_unref(copy);
}

void code_host_on_frame(struct code_session *s, struct slice frame)
{
    PRE(s->magic == CODE_SESSION_MAGIC);
    const char *reason;
    struct slice doc;
    uint64_t kind = 0;
    if (s->state == CODE_ENDED) {
        return;
    }
    s->has_spoken = true;
    if (value_check(frame, CODE_FRAME_DEPTH, &reason) != ERR_OK) {
        code_bad_frame(s);
        return;
    }
    struct value_iter it = value_items(frame);
    if (!value_next(&it, &doc) || !value_get_uint(doc, &kind)) {
        code_bad_frame(s);
    } else if (kind == FRAME_DONE && s->state == CODE_READY) {
        code_event_done(s, &it);
    } else if (kind == FRAME_ASK) {
        code_ask(s, &it);
    } else if (kind == FRAME_WRITE) {
        code_write(s, &it);
    } else if (kind == FRAME_TELL) {
        tell(s, &it);
    } else if (kind == FRAME_CHUNK_OUT) {
        code_event_chunk(s, &it);
    } else if (kind == FRAME_CREDIT_OUT) {
        code_incoming_credit(s, &it);
    } else if (kind == FRAME_STARTED) {
        code_session_started(s);
    } else if (kind == FRAME_FAILED) {
        failed(s, &it);
    } else {
        code_bad_frame(s);
    }
}
