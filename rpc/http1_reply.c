#include "rpc/http1_reply.h"

#include <http_parser.h>

#include "base/buf.h"
#include "base/mem.h"
#include "rpc/http_field.h"

struct field {
    size_t name_at;
    size_t name_len;
    size_t value_len;
    bool has_value;
};

struct http1_reply {
    struct http_parser parser;
    const struct http1_reply_hooks *hooks;
    void *ctx;
    bool is_of_head;
    bool is_over;
    bool is_upgraded; /* what comes now is not HTTP */
    size_t head_bytes;
    struct buf text;
    struct field fields[HTTP1_REPLY_FIELDS_MAX];
    size_t count;
};

static int on_begin(struct http_parser *p)
{
    struct http1_reply *r = p->data;
    r->count = 0;
    r->head_bytes = 0;
    buf_clear(&r->text);
    return r->is_over ? 1 : 0; /* there is one answer */
}

static bool count_bytes(struct http1_reply *r, size_t n)
{
    r->head_bytes += n;
    return r->head_bytes <= HTTP1_REPLY_HEAD_BYTES_MAX;
}

static int on_field(struct http_parser *p, const char *at, size_t n)
{
    struct http1_reply *r = p->data;
    if (r->count == 0 || r->fields[r->count - 1].has_value) {
        if (r->count == HTTP1_REPLY_FIELDS_MAX) {
            return 1;
        }
        r->fields[r->count++] = (struct field){.name_at = r->text.len};
    }
    buf_append(&r->text, at, n);
    r->fields[r->count - 1].name_len += n;
    return count_bytes(r, n) ? 0 : 1;
}

static int on_value(struct http_parser *p, const char *at, size_t n)
{
    struct http1_reply *r = p->data;
    if (r->count == 0) {
        return 1;
    }
    buf_append(&r->text, at, n);
    r->fields[r->count - 1].value_len += n;
    r->fields[r->count - 1].has_value = true;
    return count_bytes(r, n) ? 0 : 1;
}

static int on_head(struct http_parser *p)
{
    struct http1_reply *r = p->data;
    int status = (int)p->status_code;
    if (status < 100 || (status == 101 && !p->upgrade)) {
        return -1; /* no status; or one of a change of protocols without saying to which */
    }
    struct http_header *list = mem_alloc((r->count + 1) * sizeof *list);
    bool is_interim = status < 200 && status != 101;
    for (size_t i = 0; i < r->count && !is_interim; i++) {
        uint8_t *name = r->text.data + r->fields[i].name_at;
        http_name_to_lower(name, r->fields[i].name_len);
        list[i].name = slice_of(name, r->fields[i].name_len);
        list[i].value = slice_of(name + r->fields[i].name_len, r->fields[i].value_len);
    }
    if (!is_interim) {
        r->hooks->head(r->ctx, status, list, r->count);
    }
    mem_free(list);
    bool is_bodyless = r->is_of_head || is_interim || status == 204 || status == 304;
    return is_bodyless ? 1 : 0; /* whatever length it says (RFC 9112, section 6.3) */
}

static int on_body(struct http_parser *p, const char *at, size_t n)
{
    struct http1_reply *r = p->data;
    r->hooks->body(r->ctx, slice_of((const uint8_t *)at, n));
    return 0;
}

static int on_end(struct http_parser *p)
{
    struct http1_reply *r = p->data;
    if (p->status_code >= 200) {
        r->is_over = true;
        r->hooks->end(r->ctx);
    }
    return 0;
}

static const struct http_parser_settings settings = {.on_message_begin = on_begin,
                                                     .on_header_field = on_field,
                                                     .on_header_value = on_value,
                                                     .on_headers_complete = on_head,
                                                     .on_body = on_body,
                                                     .on_message_complete = on_end};

struct http1_reply *http1_reply_new(bool is_of_head, const struct http1_reply_hooks *hooks,
                                    void *ctx)
{
    struct http1_reply *r = MEM_NEW(struct http1_reply);
    http_parser_init(&r->parser, HTTP_RESPONSE);
    r->parser.data = r;
    r->is_of_head = is_of_head;
    r->hooks = hooks;
    r->ctx = ctx;
    return r;
}

void http1_reply_free(struct http1_reply *r)
{
    if (r != NULL) {
        buf_done(&r->text);
        mem_free(r);
    }
}

enum err http1_reply_recv(struct http1_reply *r, struct slice in, size_t *ret_used)
{
    if (r->is_over) {
        *ret_used = in.len; /* nobody asked for more */
        return ERR_OK;
    }
    if (r->is_upgraded) {
        *ret_used = 0;
        return ERR_OK;
    }
    *ret_used = http_parser_execute(&r->parser, &settings, (const char *)in.data, in.len);
    r->is_upgraded = r->parser.upgrade && HTTP_PARSER_ERRNO(&r->parser) == HPE_OK;
    bool is_good = *ret_used == in.len || r->is_upgraded || r->is_over;
    return is_good ? ERR_OK : ERR_CORRUPT;
}

enum err http1_reply_recv_end(struct http1_reply *r)
{
    if (!r->is_over && !r->is_upgraded) {
        (void)http_parser_execute(&r->parser, &settings, NULL, 0);
    }
    return r->is_over ? ERR_OK : ERR_CORRUPT;
}
