/* HTTP/1.1 with keep-alive for the load generator: one request at a time, answers by http-parser. */
#include <http_parser.h>

#include "base/invariant.h"
#include "base/mem.h"
#include "tests/bench/connection.h"

struct http1 {
    http_parser parser;
    struct exchange *under_way;
};

static int on_message_complete(http_parser *parser)
{
    struct connection *c = parser->data;
    struct http1 *h = c->session;
    struct exchange *x = h->under_way;
    if (x == NULL) {
        return 1; /* an answer that nobody asked for */
    }
    h->under_way = NULL;
    x->status = (int)parser->status_code;
    c->on_answer(x);
    return 0;
}

static const http_parser_settings settings = {.on_message_complete = on_message_complete};

static void http1_open(struct connection *c)
{
    struct http1 *h = MEM_NEW(struct http1);
    http_parser_init(&h->parser, HTTP_RESPONSE);
    h->parser.data = c;
    c->session = h;
}

static void http1_close(struct connection *c)
{
    mem_free(c->session);
}

static void http1_submit(struct connection *c, struct exchange *x, const struct request *r)
{
    struct http1 *h = c->session;
    PRE(h->under_way == NULL);
    h->under_way = x;
    buf_printf(&c->out, "%s %s HTTP/1.1\r\nHost: %s\r\n", r->method, (const char *)r->path.data,
               c->authority);
    if (r->body.len > 0) {
        buf_printf(&c->out, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                   r->body.len);
    }
    buf_append_str(&c->out, "\r\n");
    buf_append_slice(&c->out, buf_slice(&r->body));
}

static bool http1_received(struct connection *c, struct slice bytes)
{
    struct http1 *h = c->session;
    size_t parsed = http_parser_execute(&h->parser, &settings, (const char *)bytes.data, bytes.len);
    return parsed == bytes.len && HTTP_PARSER_ERRNO(&h->parser) == HPE_OK;
}

static void http1_collect(struct connection *c)
{
    (void)c; /* submit wrote into `out` itself */
}

const struct protocol http1_protocol = {
    .open = http1_open,
    .close = http1_close,
    .submit = http1_submit,
    .received = http1_received,
    .collect = http1_collect,
};
