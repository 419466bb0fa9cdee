#include "rpc/http1_inbound.h"

#include <string.h>

#include <http_parser.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "rpc/http1.h"

enum { SIZE_LINE_BYTES_MAX = 18, SIZE_DIGITS_MAX = 8 };

void http1_inbound_init(struct http1_inbound *r)
{
    *r = (struct http1_inbound){.part = HTTP1_IN_HEAD};
}

void http1_inbound_done(struct http1_inbound *r)
{
    buf_done(&r->text);
    buf_done(&r->line);
    mem_free(r->fields);
    http1_inbound_init(r);
}

bool http1_inbound_is_between(const struct http1_inbound *r)
{
    return r->part == HTTP1_IN_HEAD && r->text.len == 0;
}

bool http1_inbound_field(const struct http1_inbound_head *h, const char *name, struct slice *ret)
{
    for (size_t i = 0; i < h->field_count; i++) {
        if (slice_equal_str(h->fields[i].name, name)) {
            *ret = h->fields[i].value;
            return true;
        }
    }
    return false;
}

static enum http1_inbound_event bad(struct http1_inbound *r, enum err err, const char *detail)
{
    r->part = HTTP1_IN_BAD;
    r->err = err;
    r->detail = detail;
    return HTTP1_IS_BAD;
}

/* Callbacks of the parser: pointers that they are given lie in r->text, which is whole. */

static int on_url(struct http_parser *p, const char *at, size_t len)
{
    struct http1_inbound *r = p->data;
    r->head.target = slice_of(at, len);
    return 0;
}

static int on_field(struct http_parser *p, const char *at, size_t len)
{
    struct http1_inbound *r = p->data;
    if (r->head.field_count == HTTP1_INBOUND_FIELDS_MAX) {
        return -1;
    }
    uint8_t *name = r->text.data + ((const uint8_t *)at - r->text.data);
    http_name_to_lower(name, len);
    r->fields[r->head.field_count++] = (struct http_header){.name = slice_of(name, len)};
    return 0;
}

static int on_value(struct http_parser *p, const char *at, size_t len)
{
    struct http1_inbound *r = p->data;
    INVARIANT(r->head.field_count > 0);
    r->fields[r->head.field_count - 1].value = http_trim(slice_of(at, len));
    return 0;
}

static int on_headers_complete(struct http_parser *p)
{
    struct http1_inbound *r = p->data;
    r->head.is_old = p->http_minor == 0;
    r->head.keeps_alive = http_should_keep_alive(p) != 0;
    r->head.length = p->content_length == UINT64_MAX ? 0 : p->content_length;
    return 1; /* the body is not the parser's */
}

static const struct http_parser_settings callbacks = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
};

/* NULL, or what is wrong. The parser has a list of methods; it is told GET in place of others, which but for
 * CONNECT changes nothing in how a request is framed. */
static const char *parse(struct http1_inbound *r)
{
    struct http_parser p;
    struct slice text = buf_slice(&r->text);
    const uint8_t *space = memchr(text.data, ' ', text.len);
    r->head.method = slice_of(text.data, (size_t)(space - text.data));
    struct slice rest = slice_skip(text, r->head.method.len);
    bool is_connect = slice_equal(r->head.method, SLICE("CONNECT"));
    const char *method = is_connect ? "CONNECT" : "GET";
    if (!http_name_is_valid(r->head.method)) {
        return "The method is not a token.";
    }
    http_parser_init(&p, HTTP_REQUEST);
    p.data = r;
    size_t len = strlen(method);
    size_t n = http_parser_execute(&p, &callbacks, method, len);
    if (n == len && HTTP_PARSER_ERRNO(&p) == HPE_OK) {
        n = http_parser_execute(&p, &callbacks, (const char *)rest.data, rest.len);
        /* The parser stops at the head's end, where there is a change of protocol. */
        if (HTTP_PARSER_ERRNO(&p) == HPE_OK && (n == rest.len || p.upgrade != 0)) {
            return NULL;
        }
    }
    return HTTP_PARSER_ERRNO(&p) == HPE_CB_header_field
               ? "There are too many header fields."
               : http_errno_description(HTTP_PARSER_ERRNO(&p));
}

/* One Host, one length, one plain `chunked`: else it may be two requests to two readers. */
static const char *look_at_fields(struct http1_inbound *r)
{
    struct http1_inbound_head *h = &r->head;
    size_t hosts = 0;
    size_t lengths = 0;
    size_t upgrades = 0;
    bool offers_upgrade = false;
    for (size_t i = 0; i < h->field_count; i++) {
        struct http_header f = h->fields[i];
        if (slice_equal(f.name, SLICE("host"))) {
            h->host = f.value;
            hosts++;
        } else if (slice_equal(f.name, SLICE("content-length"))) {
            lengths++;
        } else if (slice_equal(f.name, SLICE("transfer-encoding"))) {
            if (h->is_chunked || h->is_old || !http_equal_any_case(f.value, "chunked")) {
                return "The transfer encoding is not chunked.";
            }
            h->is_chunked = true;
        } else if (slice_equal(f.name, SLICE("expect"))) {
            h->wants_continue = !h->is_old && http_equal_any_case(f.value, "100-continue");
        } else if (slice_equal(f.name, SLICE("upgrade"))) {
            upgrades++;
        } else if (slice_equal(f.name, SLICE("connection"))) {
            offers_upgrade = offers_upgrade || http_value_lists(f.value, "upgrade");
        }
    }
    if (hosts > 1 || (hosts == 0 && !h->is_old)) {
        return "A request has exactly one Host field.";
    }
    if (!http_authority_is_valid(h->host)) {
        return "The Host is not a host.";
    }
    if (lengths > 1 || (lengths > 0 && h->is_chunked)) {
        return "The length of the body is said twice.";
    }
    h->wants_upgrade = offers_upgrade && upgrades == 1 && !h->is_old;
    h->has_body = h->is_chunked || h->length > 0;
    return NULL;
}

static enum http1_inbound_event head_is_whole(struct http1_inbound *r)
{
    r->head = (struct http1_inbound_head){0};
    if (r->fields == NULL) {
        r->fields = mem_alloc(HTTP1_INBOUND_FIELDS_MAX * sizeof *r->fields);
    }
    r->head.fields = r->fields;
    const char *wrong = http1_check_head(buf_slice(&r->text));
    if (wrong == NULL) {
        wrong = parse(r);
    }
    if (wrong == NULL) {
        wrong = look_at_fields(r);
    }
    if (wrong != NULL) {
        return bad(r, ERR_BAD_REQUEST, wrong);
    }
    if (r->head.target.len > HTTP1_INBOUND_TARGET_BYTES_MAX) {
        return bad(r, ERR_TOO_LARGE, "The target of the request is too long.");
    }
    r->left = r->head.length;
    r->part = !r->head.has_body ? HTTP1_IN_END : r->head.is_chunked ? HTTP1_IN_SIZE : HTTP1_IN_BODY;
    return HTTP1_HAS_HEAD;
}

/* Up to the empty line. One ahead of a request is ignored, as RFC 9112 2.2 has it. */
static enum http1_inbound_event read_head(struct http1_inbound *r, struct slice *in)
{
    while (in->len > 0) {
        const uint8_t *lf = memchr(in->data, '\n', in->len);
        size_t n = lf != NULL ? (size_t)(lf - in->data) + 1 : in->len;
        if (r->text.len + n > HTTP1_INBOUND_HEAD_BYTES_MAX) {
            return bad(r, ERR_HEADERS_TOO_LARGE, "The header section is too large.");
        }
        buf_append(&r->text, in->data, n);
        *in = slice_skip(*in, n);
        r->line_len += n;
        if (lf == NULL) {
            return HTTP1_WANTS_MORE;
        }
        bool is_blank =
            r->line_len == 1 || (r->line_len == 2 && r->text.data[r->text.len - 2] == '\r');
        bool is_first = r->line_len == r->text.len;
        r->line_len = 0;
        if (is_blank && is_first) {
            buf_clear(&r->text);
        } else if (is_blank) {
            return head_is_whole(r);
        }
    }
    return HTTP1_WANTS_MORE;
}

static enum http1_inbound_event read_piece(struct http1_inbound *r, struct slice *in,
                                           struct slice *ret_piece)
{
    if (in->len == 0) {
        return HTTP1_WANTS_MORE;
    }
    size_t n = in->len < r->left ? in->len : (size_t)r->left;
    *ret_piece = slice_of(in->data, n);
    *in = slice_skip(*in, n);
    r->left -= n;
    if (r->left == 0) {
        r->part = r->part == HTTP1_IN_CHUNK ? HTTP1_IN_CHUNK_END : HTTP1_IN_END;
    }
    return HTTP1_HAS_BODY;
}

static bool take_line(struct http1_inbound *r, struct slice *in, enum http1_inbound_event *ret)
{
    const uint8_t *lf = in->len > 0 ? memchr(in->data, '\n', in->len) : NULL;
    size_t n = lf != NULL ? (size_t)(lf - in->data) + 1 : in->len;
    if (r->line.len + n > SIZE_LINE_BYTES_MAX) {
        *ret = bad(r, ERR_BAD_REQUEST, "There is more than a size between the chunks.");
        return false;
    }
    buf_append(&r->line, in->data, n);
    *in = slice_skip(*in, n);
    *ret = HTTP1_WANTS_MORE;
    return lf != NULL;
}

static bool parse_size(struct slice line, uint64_t *ret)
{
    uint64_t size = 0;
    if (http1_check_chunk_line(line) != NULL || line.len > SIZE_DIGITS_MAX + 2) {
        return false;
    }
    for (size_t i = 0; i + 2 < line.len; i++) {
        uint8_t c = line.data[i];
        if (c == ';') {
            return false;
        }
        uint8_t digit = c <= '9' ? (uint8_t)(c - '0') : (uint8_t)((c | 0x20) - 'a' + 10);
        size = size * 16 + digit;
    }
    *ret = size;
    return true;
}

static enum http1_inbound_event read_size(struct http1_inbound *r, struct slice *in)
{
    enum http1_inbound_event event;
    if (!take_line(r, in, &event)) {
        return event;
    }
    bool good = parse_size(buf_slice(&r->line), &r->left);
    buf_clear(&r->line);
    if (!good) {
        return bad(r, ERR_BAD_REQUEST, "A chunk size is not a hexadecimal number alone.");
    }
    r->part = r->left == 0 ? HTTP1_IN_LAST : HTTP1_IN_CHUNK;
    return HTTP1_WANTS_MORE;
}

/* CRLF behind a chunk, or behind the last one: trailers are refused. */
static enum http1_inbound_event read_line_end(struct http1_inbound *r, struct slice *in)
{
    enum http1_inbound_event event;
    if (!take_line(r, in, &event)) {
        return event;
    }
    bool good = slice_equal(buf_slice(&r->line), SLICE("\r\n"));
    buf_clear(&r->line);
    if (!good) {
        return bad(r, ERR_BAD_REQUEST,
                   r->part == HTTP1_IN_LAST ? "There are fields behind the last chunk."
                                            : "A chunk does not end with CRLF.");
    }
    r->part = r->part == HTTP1_IN_LAST ? HTTP1_IN_END : HTTP1_IN_SIZE;
    return HTTP1_WANTS_MORE;
}

static enum http1_inbound_event end(struct http1_inbound *r)
{
    buf_clear(&r->text);
    r->line_len = 0;
    r->part = HTTP1_IN_HEAD;
    return HTTP1_HAS_END;
}

static enum http1_inbound_event step(struct http1_inbound *r, struct slice *in,
                                     struct slice *ret_piece)
{
    switch (r->part) {
    case HTTP1_IN_HEAD:
        return read_head(r, in);
    case HTTP1_IN_BODY:
    case HTTP1_IN_CHUNK:
        return read_piece(r, in, ret_piece);
    case HTTP1_IN_SIZE:
        return read_size(r, in);
    case HTTP1_IN_CHUNK_END:
    case HTTP1_IN_LAST:
        return read_line_end(r, in);
    case HTTP1_IN_END:
        return end(r);
    case HTTP1_IN_BAD:
        return HTTP1_IS_BAD;
    }
    UNREACHABLE();
}

enum http1_inbound_event http1_inbound_next(struct http1_inbound *r, struct slice *in,
                                            struct slice *ret_piece)
{
    enum http1_inbound_event event;
    do {
        event = step(r, in, ret_piece);
    } while (event == HTTP1_WANTS_MORE && (in->len > 0 || r->part == HTTP1_IN_END));
    return event;
}
