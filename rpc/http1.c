#include "rpc/http1.h"

#include "base/invariant.h"
#include "rpc/http_conn.h"

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void refuse_bad(struct http_conn *c, const char *detail)
{
    http1_refuse(c, ERR_BAD_REQUEST, detail, NULL, 0);
}

static void between_requests(struct http_conn *c)
{
    c->h1.x = NULL;
    c->h1.part = HTTP1_HEAD;
    c->h1.line_len = 0;
    c->h1.line_is_blank = true;
}

void http1_refuse(struct http_conn *c, enum err err, const char *detail, const char *limit_name,
                  uint64_t limit)
{
    PRE(c->h1.x != NULL);

    struct http_exchange *x = c->h1.x;
    between_requests(c);
    /* Where the next request would begin can no longer be told: this is the last answer. */
    c->is_deaf = true;
    x->h1.closes = true;
    http_exchange_move(x, HTTP_WAITING);
    struct problem_limit l = {.name = limit_name, .value = limit};
    http_respond_problem(x, err, slice_of_str(detail), limit_name != NULL ? &l : NULL);
}

/* Callbacks of the parser: pointers they are given lie in x->head, which does not move meanwhile. */

static int on_url(struct http_parser *p, const char *at, size_t len)
{
    struct http_conn *c = p->data;
    c->h1.x->request.target = slice_of(at, len);
    return 0;
}

static int on_field(struct http_parser *p, const char *at, size_t len)
{
    struct http_conn *c = p->data;
    struct http_exchange *x = c->h1.x;
    if (c->h1.part != HTTP1_HEAD) {
        return 0; /* trailers are read and dropped */
    }
    if (x->request.header_count == c->limits->header_count_max) {
        return -1;
    }
    uint8_t *name = x->head.data + ((const uint8_t *)at - x->head.data);
    http_name_to_lower(name, len);
    http_exchange_add_header(x, slice_of(name, len), (struct slice){0});
    return 0;
}

static int on_value(struct http_parser *p, const char *at, size_t len)
{
    struct http_conn *c = p->data;
    struct http_exchange *x = c->h1.x;
    if (c->h1.part == HTTP1_HEAD) {
        INVARIANT(x->request.header_count > 0);
        x->headers[x->request.header_count - 1].value = http_trim(slice_of(at, len));
    }
    return 0;
}

static int on_headers_complete(struct http_parser *p)
{
    struct http_conn *c = p->data;
    struct http_exchange *x = c->h1.x;
    x->h1.closes = !http_should_keep_alive(p);
    x->h1.is_old = p->http_minor == 0;
    p->upgrade = 0; /* offers to change the protocol are ignored; the body, if any, follows */
    return 0;
}

static int on_chunk_header(struct http_parser *p)
{
    struct http_conn *c = p->data;
    bool is_last = p->content_length == 0;
    c->h1.part = is_last ? HTTP1_TRAILERS : HTTP1_CHUNK_DATA;
    c->h1.left = is_last ? 0 : p->content_length;
    return 0;
}

static int on_body(struct http_parser *p, const char *at, size_t len)
{
    struct http_conn *c = p->data;
    c->h1.body_err = http_exchange_add_body(c->h1.x, slice_of(at, len), len);
    return c->h1.body_err == ERR_OK ? 0 : -1;
}

static const struct http_parser_settings callbacks = {
    .on_url = on_url,
    .on_header_field = on_field,
    .on_header_value = on_value,
    .on_headers_complete = on_headers_complete,
    .on_chunk_header = on_chunk_header,
    .on_body = on_body,
};

static void refuse_body(struct http_conn *c, enum err err)
{
    if (err == ERR_OVERLOADED) {
        http1_refuse(c, err, HTTP_FULL_DETAIL, HTTP_FULL_LIMIT, c->limits->address_bytes_max);
    } else {
        http1_refuse(c, err, "There is no memory for the body.", NULL, 0);
    }
}

/* False: it was refused. */
static bool parse(struct http_conn *c, struct slice bytes)
{
    struct http_parser *p = &c->h1.parser;
    size_t n = http_parser_execute(p, &callbacks, (const char *)bytes.data, bytes.len);
    enum http_errno code = HTTP_PARSER_ERRNO(p);
    if (n == bytes.len && code == HPE_OK) {
        return true;
    }
    if (code == HPE_CB_header_field) {
        http1_refuse(c, ERR_HEADERS_TOO_LARGE, "There are too many header fields.",
                     "header_count_max", c->limits->header_count_max);
    } else if (code == HPE_CB_body) {
        refuse_body(c, c->h1.body_err);
    } else {
        refuse_bad(c, http_errno_description(code));
    }
    return false;
}

/* The head is in */

static void refuse_body_bytes(struct http_conn *c)
{
    http1_refuse(c, ERR_TOO_LARGE, "The body is too large.", "body_bytes_max",
                 c->limits->body_bytes_max);
}

/* "http://host/path" becomes "/path" at host, as RFC 9112 3.2.2 asks: the Host field is then
 * ignored. */
static void split_absolute_target(struct http_request *r)
{
    size_t scheme_len = 0;
    if (slice_has_prefix(r->target, SLICE("http://"))) {
        scheme_len = sizeof "http://" - 1;
    } else if (slice_has_prefix(r->target, SLICE("https://"))) {
        scheme_len = sizeof "https://" - 1;
    } else {
        return;
    }
    struct slice rest = slice_skip(r->target, scheme_len);
    const uint8_t *path = memchr(rest.data, '/', rest.len);
    r->authority = slice_of(rest.data, path == NULL ? rest.len : (size_t)(path - rest.data));
    r->target = path == NULL ? SLICE("/") : slice_skip(rest, r->authority.len);
}

static bool accept_host(struct http_conn *c, struct http_exchange *x)
{
    size_t hosts = 0;
    for (size_t i = 0; i < x->request.header_count; i++) {
        if (slice_equal(x->headers[i].name, SLICE("host"))) {
            x->request.authority = x->headers[i].value;
            hosts++;
        }
    }
    if (hosts > 1 || (hosts == 0 && !x->h1.is_old)) {
        refuse_bad(c, "A request has exactly one Host field.");
        return false;
    }
    return true;
}

static bool accept_target(struct http_conn *c, struct http_exchange *x)
{
    struct http_request *r = &x->request;
    if (r->target.len > c->limits->target_bytes_max) {
        http1_refuse(c, ERR_TOO_LARGE, "The path with its query is too long.", "target_bytes_max",
                     c->limits->target_bytes_max);
        return false;
    }
    split_absolute_target(r);
    bool is_of_server =
        slice_equal(r->target, SLICE("*")) && slice_equal(r->method, SLICE("OPTIONS"));
    if (!is_of_server && !http_target_is_valid(r->target)) {
        refuse_bad(c, "The target is not a path.");
        return false;
    }
    if (!http_authority_is_valid(r->authority)) {
        refuse_bad(c, "The Host is not a host.");
        return false;
    }
    return true;
}

/* How the body is framed. http-parser has refused two lengths, odd numbers, and a length together
 * with an encoding; any encoding but plain "chunked" is refused here. */
static bool accept_framing(struct http_conn *c, struct http_exchange *x, bool *ret_continue)
{
    struct http1 *h = &c->h1;
    bool has_coding = false;
    *ret_continue = false;
    for (size_t i = 0; i < x->request.header_count; i++) {
        struct http_header f = x->headers[i];
        if (slice_equal(f.name, SLICE("transfer-encoding"))) {
            if (has_coding || x->h1.is_old || !http_equal_any_case(f.value, "chunked")) {
                refuse_bad(c, "The transfer encoding is not chunked.");
                return false;
            }
            has_coding = true;
        } else if (slice_equal(f.name, SLICE("expect"))) {
            *ret_continue = !x->h1.is_old && http_equal_any_case(f.value, "100-continue");
        }
    }
    h->left = has_coding || h->parser.content_length == UINT64_MAX ? 0 : h->parser.content_length;
    h->part = has_coding ? HTTP1_CHUNK_LINE : HTTP1_BODY;
    if (h->left > c->limits->body_bytes_max) {
        refuse_body_bytes(c);
        return false;
    }
    return true;
}

static void request_is_whole(struct http_conn *c)
{
    struct http_exchange *x = c->h1.x;
    between_requests(c);
    if (x->h1.closes || c->is_draining) {
        c->is_deaf = true;
    }
    http_exchange_arrived(x);
}

static bool accept_method(struct http_conn *c, struct http_exchange *x)
{
    struct http_request *r = &x->request;
    const uint8_t *space = memchr(x->head.data, ' ', x->head.len);
    r->method = slice_of(x->head.data, (size_t)(space - x->head.data));
    x->is_bodyless = slice_equal(r->method, SLICE("HEAD"));
    if (!http_name_is_valid(r->method)) {
        refuse_bad(c, "The method is not a token.");
        return false;
    }
    if (slice_equal(r->method, SLICE("CONNECT"))) {
        refuse_bad(c, "This is not a proxy.");
        return false;
    }
    return true;
}

/* The parser has a list of methods and refuses all others, where the callee is to say which it takes.
 * It is told GET: but for CONNECT the method changes nothing in how a request is framed. */
static bool parse_head(struct http_conn *c, struct http_exchange *x)
{
    http_parser_init(&c->h1.parser, HTTP_REQUEST);
    c->h1.parser.data = c;
    return parse(c, SLICE("GET")) &&
           parse(c, slice_skip(buf_slice(&x->head), x->request.method.len));
}

static bool take_head_apart(struct http_conn *c, struct http_exchange *x)
{
    const char *wrong = http1_check_head(buf_slice(&x->head));
    if (wrong != NULL) {
        refuse_bad(c, wrong);
        return false;
    }
    return accept_method(c, x) && parse_head(c, x) && accept_host(c, x) && accept_target(c, x);
}

static void head_is_whole(struct http_conn *c)
{
    struct http_exchange *x = c->h1.x;
    if (slice_equal(buf_slice(&x->head), SLICE("\r\n"))) {
        /* RFC 9112 2.2: an empty line ahead of a request is ignored. */
        between_requests(c);
        http_exchange_gone(x);
        return;
    }
    bool wants_continue;
    if (!take_head_apart(c, x) || !accept_framing(c, x, &wants_continue)) {
        return;
    }
    struct problem_limit full = http_conn_full_limit(c);
    if (full.name != NULL) {
        http1_refuse(c, ERR_OVERLOADED, HTTP_FULL_DETAIL, full.name, full.value);
        return;
    }
    const char *wrong = http1_socket_ask(c, x);
    if (wrong != NULL) {
        refuse_bad(c, wrong);
        return;
    }
    if (c->h1.part == HTTP1_BODY && c->h1.left == 0) {
        request_is_whole(c);
        return;
    }
    c->h1.framing_bytes = 0;
    http_progress_start(&x->received, c->now_ms);
    if (wants_continue) {
        http1_answer_continue(x);
    }
}

/* Input. Each function takes at least one byte of what it is given. */

/* How much of `in` belongs to the header section; remembers the line across calls. */
static size_t measure_head(struct http1 *h, struct slice in, bool *ret_whole)
{
    *ret_whole = false;
    size_t at = 0;
    while (at < in.len && !*ret_whole) {
        const uint8_t *lf = memchr(in.data + at, '\n', in.len - at);
        size_t end = lf == NULL ? in.len : (size_t)(lf - in.data);
        size_t part = end - at;
        bool is_cr = part == 1 && h->line_len == 0 && in.data[at] == '\r';
        h->line_is_blank = h->line_is_blank && (part == 0 || is_cr);
        h->line_len += part;
        at = end;
        if (lf != NULL) {
            *ret_whole = h->line_is_blank;
            h->line_is_blank = true;
            h->line_len = 0;
            at++;
        }
    }
    return at;
}

static size_t eat_head(struct http_conn *c, struct slice in)
{
    struct http_exchange *x = c->h1.x;
    bool is_whole;
    size_t n = measure_head(&c->h1, in, &is_whole);
    if (x->head.len + n > c->limits->header_bytes_max) {
        http1_refuse(c, ERR_HEADERS_TOO_LARGE, "The header section is too large.",
                     "header_bytes_max", c->limits->header_bytes_max);
        return in.len;
    }
    buf_append(&x->head, in.data, n);
    http_conn_count_request(x, x->head.len);
    if (is_whole) {
        head_is_whole(c);
    }
    return n;
}

static size_t eat_body(struct http_conn *c, struct slice in)
{
    struct http1 *h = &c->h1;
    size_t n = (size_t)min_u64(h->left, in.len);
    enum err err = http_exchange_add_body(h->x, slice_of(in.data, n), h->left);
    if (err != ERR_OK) {
        refuse_body(c, err);
        return in.len;
    }
    h->left -= n;
    if (h->left == 0) {
        request_is_whole(c);
    }
    return n;
}

static void chunk_line_is_whole(struct http_conn *c)
{
    struct http1 *h = &c->h1;
    const char *wrong = http1_check_chunk_line(buf_slice(&h->line));
    if (wrong != NULL) {
        refuse_bad(c, wrong);
        return;
    }
    if (!parse(c, buf_slice(&h->line))) {
        return;
    }
    buf_clear(&h->line);
    INVARIANT(h->part != HTTP1_CHUNK_LINE);
    size_t so_far = bytes_slice(h->x->body).len;
    if (h->left > c->limits->body_bytes_max - so_far) {
        refuse_body_bytes(c);
        return;
    }
    h->left += h->part == HTTP1_CHUNK_DATA ? 2 : 0; /* the CRLF after it */
}

static void trailer_is_whole(struct http_conn *c)
{
    struct http1 *h = &c->h1;
    const char *wrong = http1_check_line(buf_slice(&h->line));
    if (wrong != NULL) {
        refuse_bad(c, wrong);
        return;
    }
    bool is_last = h->line.len == 2;
    if (!parse(c, buf_slice(&h->line))) {
        return;
    }
    buf_clear(&h->line);
    if (is_last) {
        request_is_whole(c);
    }
}

static size_t eat_line(struct http_conn *c, struct slice in)
{
    struct http1 *h = &c->h1;
    const uint8_t *lf = memchr(in.data, '\n', in.len);
    size_t n = lf == NULL ? in.len : (size_t)(lf - in.data) + 1;
    /* One byte a chunk costs five of framing: eight is nobody's honest way to send. */
    h->framing_bytes += n;
    size_t framing_max = c->limits->header_bytes_max + 8 * bytes_slice(h->x->body).len;
    if (h->line.len + n > HTTP1_LINE_BYTES_MAX || h->framing_bytes > framing_max) {
        refuse_bad(c, "There is too much between the chunks.");
        return in.len;
    }
    buf_append(&h->line, in.data, n);
    if (lf != NULL) {
        if (h->part == HTTP1_CHUNK_LINE) {
            chunk_line_is_whole(c);
        } else {
            trailer_is_whole(c);
        }
    }
    return n;
}

static size_t eat_chunk(struct http_conn *c, struct slice in)
{
    struct http1 *h = &c->h1;
    size_t n = h->left > 2 ? (size_t)min_u64(h->left - 2, in.len) : 1;
    if (h->left <= 2 && in.data[0] != (h->left == 2 ? '\r' : '\n')) {
        refuse_bad(c, "A chunk does not end with CRLF.");
        return in.len;
    }
    if (!parse(c, slice_of(in.data, n))) {
        return in.len;
    }
    h->left -= n;
    if (h->left == 0) {
        h->part = HTTP1_CHUNK_LINE;
    }
    return n;
}

/* The first byte of a head. A client that says hello in TLS would wait for our time-out to learn of its
 * mistake; what it understands at once is an answer that is not TLS. */
static size_t begin_head(struct http_conn *c, struct slice in)
{
    enum { TLS_HANDSHAKE_RECORD = 0x16 };
    if (http1_is_blocked(c)) {
        return 0;
    }
    c->h1.x = http_exchange_new(c);
    c->h1.head_since_ms = c->now_ms;
    if (in.data[0] == TLS_HANDSHAKE_RECORD) {
        refuse_bad(c, "This is TLS, and the port speaks in the clear.");
        return in.len;
    }
    return eat_head(c, in);
}

static size_t eat_some(struct http_conn *c, struct slice in)
{
    switch (c->h1.part) {
    case HTTP1_HEAD:
        return c->h1.x == NULL ? begin_head(c, in) : eat_head(c, in);
    case HTTP1_BODY:
        return eat_body(c, in);
    case HTTP1_CHUNK_LINE:
    case HTTP1_TRAILERS:
        return eat_line(c, in);
    case HTTP1_CHUNK_DATA:
        return eat_chunk(c, in);
    }
    UNREACHABLE();
}

static size_t eat(struct http_conn *c, struct slice in)
{
    size_t at = 0;
    while (at < in.len && !c->is_deaf) {
        size_t n = eat_some(c, slice_skip(in, at));
        if (n == 0) {
            break;
        }
        at += n;
    }
    return c->is_deaf ? in.len : at;
}

void http1_recv(struct http_conn *c, struct slice in)
{
    struct buf *held = &c->h1.held;
    if (held->len == 0 && http1_socket_is_open(c)) {
        http_socket_deliver(c->h1.socket, in, false);
        return;
    }
    if (held->len > 0) {
        buf_append_slice(held, in);
        return; /* http1_go_on takes it */
    }
    size_t n = eat(c, in);
    buf_append_slice(held, slice_skip(in, n));
}

bool http1_go_on(struct http_conn *c)
{
    struct buf *held = &c->h1.held;
    if (held->len > 0 && http1_socket_is_open(c)) {
        struct buf early = buf_take(held);
        http_socket_deliver(c->h1.socket, buf_slice(&early), false);
        buf_done(&early);
        return true;
    }
    if (held->len == 0 || http1_is_blocked(c)) {
        return false;
    }
    size_t n = eat(c, buf_slice(held));
    buf_consume(held, n);
    if (held->len == 0) {
        buf_done(held);
    }
    return n > 0;
}

bool http1_is_blocked(const struct http_conn *c)
{
    return c->is_resting || c->h1.socket != NULL || c->exchange_count >= c->limits->pipelined_max ||
           c->request_bytes > c->limits->conn_body_bytes_max ||
           c->unsent_bytes > c->limits->conn_unsent_bytes_max;
}

/* Time and life */

void http1_init(struct http_conn *c)
{
    between_requests(c);
}

void http1_done(struct http_conn *c)
{
    buf_done(&c->h1.line);
    buf_done(&c->h1.held);
}

uint64_t http1_deadline_ms(const struct http_conn *c)
{
    const struct http1 *h = &c->h1;
    if (h->socket != NULL) {
        return http_socket_deadline_ms(h->socket);
    }
    if (h->x == NULL || c->is_deaf) {
        return UINT64_MAX;
    }
    return h->part == HTTP1_HEAD ? h->head_since_ms + c->limits->head_ms
                                 : h->x->received.mark_ms + http_conn_stall_ms(c);
}

void http1_tick(struct http_conn *c)
{
    if (c->now_ms < http1_deadline_ms(c)) {
        return;
    }
    if (c->h1.socket != NULL) {
        http_conn_cut(c);
    } else {
        bool in_head = c->h1.part == HTTP1_HEAD;
        http1_refuse(c, ERR_SLOW_REQUEST, "The request came in too slowly.",
                     in_head ? "head_ms" : "stall_ms",
                     in_head ? c->limits->head_ms : http_conn_stall_ms(c));
    }
}

void http1_drain(struct http_conn *c)
{
    /* A request that has begun is still answered; what waits in `held` has not. */
    if (c->h1.x == NULL && c->h1.socket == NULL) {
        c->is_deaf = true;
        buf_done(&c->h1.held);
    }
}
