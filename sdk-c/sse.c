#include "sdk-c/sse.h"

#include <string.h>

#include "base/invariant.h"

static void forget_event(struct sse *s)
{
    buf_clear(&s->data);
    s->has_data = false;
    s->type[0] = '\0';
    s->id[0] = '\0';
}

void sse_reset(struct sse *s)
{
    buf_clear(&s->line);
    forget_event(s);
}

void sse_done(struct sse *s)
{
    buf_done(&s->line);
    buf_done(&s->data);
}

/* Too long or with a NUL inside: as if the field were not there. */
static void keep_text(char *ret, size_t ret_bytes, struct slice value)
{
    if (value.len >= ret_bytes || (value.len > 0 && memchr(value.data, '\0', value.len) != NULL)) {
        return;
    }
    if (value.len > 0) {
        memcpy(ret, value.data, value.len);
    }
    ret[value.len] = '\0';
}

static void take_field(struct sse *s, struct slice line)
{
    const uint8_t *colon = memchr(line.data, ':', line.len);
    size_t name_bytes = colon == NULL ? line.len : (size_t)(colon - line.data);
    struct slice name = slice_of(line.data, name_bytes);
    struct slice value = slice_skip(line, colon == NULL ? line.len : name_bytes + 1);
    if (value.len > 0 && value.data[0] == ' ') {
        value = slice_skip(value, 1);
    }
    if (slice_equal_str(name, "data")) {
        if (s->has_data) {
            buf_append_byte(&s->data, '\n');
        }
        buf_append_slice(&s->data, value);
        s->has_data = true;
    } else if (slice_equal_str(name, "event")) {
        keep_text(s->type, sizeof(s->type), value);
    } else if (slice_equal_str(name, "id")) {
        keep_text(s->id, sizeof(s->id), value);
    }
}

/* One line without its end. An empty one ends the event; one without data never was an event. */
static bool take_line(struct sse *s, struct slice line,
                      bool (*on_event)(void *user, const struct sse_event *event), void *user)
{
    if (line.len > 0 && line.data[line.len - 1] == '\r') {
        line.len--;
    }
    if (line.len > 0) {
        take_field(s, line);
        return true;
    }
    bool goes_on = true;
    if (s->has_data) {
        const struct sse_event event = {.type = s->type[0] == '\0' ? "message" : s->type,
                                        .id = s->id,
                                        .data = buf_slice(&s->data)};
        goes_on = on_event(user, &event);
    }
    forget_event(s);
    return goes_on;
}

enum err sse_feed(struct sse *s, struct slice bytes,
                  bool (*on_event)(void *user, const struct sse_event *event), void *user)
{
    while (bytes.len > 0) {
        const uint8_t *end = memchr(bytes.data, '\n', bytes.len);
        size_t line_bytes = end == NULL ? bytes.len : (size_t)(end - bytes.data);
        if (s->data.len + s->line.len + line_bytes > SSE_EVENT_BYTES_MAX) {
            return ERR_TOO_LARGE;
        }
        buf_append(&s->line, bytes.data, line_bytes);
        if (end == NULL) {
            return ERR_OK;
        }
        bytes = slice_skip(bytes, line_bytes + 1);
        bool goes_on = take_line(s, buf_slice(&s->line), on_event, user);
        buf_clear(&s->line);
        if (!goes_on) {
            return ERR_CLOSED;
        }
    }
    return ERR_OK;
}
