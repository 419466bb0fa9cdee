#include "actor/egress/response.h"

#include "actor/egress/field.h"
#include "actor/egress_frame.h"
#include "rpc/value.h"

enum { STATUS_DIGITS = 3 };

void response_init(struct response *r)
{
    *r = (struct response){0};
}

void response_done(struct response *r)
{
    buf_done(&r->text);
    buf_done(&r->lines);
    response_init(r);
}

static struct slice without_end(struct slice line)
{
    while (line.len > 0 && (line.data[line.len - 1] == '\n' || line.data[line.len - 1] == '\r')) {
        line.len--;
    }
    return line;
}

/* "HTTP/1.1 200 OK"; the text may be missing, with its space. */
static bool parse_status(struct slice line, uint32_t *ret_status, struct slice *ret_text)
{
    uint32_t status = 0;
    const uint8_t *space = memchr(line.data, ' ', line.len);
    if (space == NULL) {
        return false;
    }
    struct slice rest = slice_skip(line, (size_t)(space - line.data) + 1);
    if (rest.len < STATUS_DIGITS || (rest.len > STATUS_DIGITS && rest.data[STATUS_DIGITS] != ' ')) {
        return false;
    }
    for (size_t i = 0; i < STATUS_DIGITS; i++) {
        if (rest.data[i] < '0' || rest.data[i] > '9') {
            return false;
        }
        status = status * 10 + (uint32_t)(rest.data[i] - '0');
    }
    *ret_status = status;
    *ret_text = slice_skip(rest, rest.len > STATUS_DIGITS ? STATUS_DIGITS + 1 : STATUS_DIGITS);
    return status >= 100;
}

static enum err begin(struct response *r, struct slice line, const char **ret_detail)
{
    struct slice text;
    response_done(r);
    if (line.len > EGRESS_FIELD_BYTES_MAX || !parse_status(line, &r->status, &text)) {
        *ret_detail = "The status line of the response is malformed.";
        return ERR_UNAVAILABLE;
    }
    buf_append_slice(&r->text, text);
    return ERR_OK;
}

static enum err add(struct response *r, struct slice line, const char **ret_detail)
{
    struct slice name;
    struct slice value;
    if (!field_split(line, &name, &value)) {
        *ret_detail = "A header of the response is malformed.";
        return ERR_UNAVAILABLE;
    }
    if (r->line_count == EGRESS_FIELDS_MAX ||
        r->lines.len + line.len + 1 > EGRESS_FIELD_BYTES_MAX) {
        *ret_detail = "The headers of the response are too large.";
        return ERR_TOO_LARGE;
    }
    buf_append_slice(&r->lines, line);
    buf_append_byte(&r->lines, '\n');
    r->line_count++;
    return ERR_OK;
}

enum err response_line(struct response *r, struct slice line, const char **ret_detail)
{
    line = without_end(line);
    if (r->is_complete) { /* what follows a body in chunks says nothing that anyone is told */
        return ERR_OK;
    }
    if (slice_has_prefix(line, SLICE("HTTP/"))) {
        return begin(r, line, ret_detail);
    }
    if (line.len > 0) {
        return add(r, line, ret_detail);
    }
    r->is_complete = r->status >= 200;
    return ERR_OK;
}

bool response_next(struct slice *rest, struct slice *ret_line)
{
    if (rest->len == 0) {
        return false;
    }
    const uint8_t *end = memchr(rest->data, '\n', rest->len);
    *ret_line = slice_of(rest->data, (size_t)(end - rest->data));
    *rest = slice_skip(*rest, ret_line->len + 1);
    return true;
}

bool response_field(const struct response *r, const char *name, struct slice *ret)
{
    struct slice line;
    struct slice found;
    for (struct slice rest = buf_slice(&r->lines); response_next(&rest, &line);) {
        if (field_split(line, &found, ret) && field_is_named(found, name)) {
            return true;
        }
    }
    return false;
}

static bool is_told(struct slice name, bool is_decoded)
{
    return !is_decoded ||
           (!field_is_named(name, "content-encoding") && !field_is_named(name, "content-length"));
}

void response_put_fields(const struct response *r, bool is_decoded, struct buf *out)
{
    struct slice line;
    struct slice name;
    struct slice value;
    struct buf fields = {0};
    uint32_t count = 0;
    for (struct slice rest = buf_slice(&r->lines); response_next(&rest, &line);) {
        if (field_split(line, &name, &value) && is_told(name, is_decoded)) {
            value_put_array(&fields, 2);
            field_put_text(&fields, name);
            field_put_text(&fields, value);
            count++;
        }
    }
    value_put_array(out, count);
    buf_append_slice(out, buf_slice(&fields));
    buf_done(&fields);
}
