#include "node/client_body.h"

#include "base/invariant.h"
#include "base/mem.h"

enum { BODY_MAGIC = 0x63626f01, BODY_WHOLE = 1000, WRITE_BYTES = 64 * 1024 };

/* Lifetime */

void client_bodies_init(struct client_bodies *b, struct socket_lines *lines)
{
    *b = (struct client_bodies){.lines = lines};
    list_init(&b->all);
}

void client_bodies_done(struct client_bodies *b)
{
    PRE(b->count == 0);
}

static void body_free(struct client_body *c)
{
    struct socket_letter *letter;
    while ((letter = LIST_FIRST(&c->letters, struct socket_letter, link)) != NULL) {
        socket_letter_free(letter);
    }
    if (c->line != NULL) {
        socket_line_close(c->line);
    }
    list_remove(&c->link);
    c->owner->count--;
    c->magic = 0;
    mem_free(c);
}

static struct http_exchange *let_go(struct client_body *c)
{
    struct http_exchange *x = c->x;
    http_exchange_set_user(x, NULL);
    body_free(c);
    return x;
}

/* To the client */

/* Where the load is full a little is always taken, so that it goes on. False: there is no room. */
static bool write_some(struct client_body *c, struct slice rest)
{
    size_t n = rest.len < WRITE_BYTES ? rest.len : WRITE_BYTES;
    enum err err = http_stream_write(c->x, slice_of(rest.data, n));
    if (err != ERR_OK && n > HTTP_STREAM_SMALL_BYTES) {
        n = HTTP_STREAM_SMALL_BYTES;
        err = http_stream_write(c->x, slice_of(rest.data, n));
    }
    c->at += err == ERR_OK ? n : 0;
    return err == ERR_OK;
}

/* True: all of it is with the connection. */
static bool write_piece(struct client_body *c, const struct socket_letter *letter)
{
    struct slice data = bytes_slice(letter->data);
    while (c->at < data.len) {
        if (!write_some(c, slice_skip(data, c->at))) {
            return false; /* callee.writable goes on */
        }
    }
    c->at = 0;
    return true;
}

static void take(struct client_body *c, struct socket_letter *letter)
{
    socket_letter_free(letter);
    if (c->line != NULL) {
        socket_line_take(c->line);
    }
}

/* All that can be done now; the body may be gone then. */
static void work(struct client_body *c)
{
    struct socket_letter *letter;
    while ((letter = LIST_FIRST(&c->letters, struct socket_letter, link)) != NULL) {
        if (letter->head.kind == SOCKET_LETTER_CLOSE) {
            bool is_whole = letter->head.code == BODY_WHOLE;
            take(c, letter);
            struct http_exchange *x = let_go(c);
            if (is_whole) {
                http_stream_end(x);
            } else {
                http_stream_abort(x);
            }
            return;
        }
        if (!write_piece(c, letter)) {
            return;
        }
        take(c, letter);
    }
    if (c->line == NULL) {
        http_stream_abort(let_go(c));
    }
}

static void on_writable(struct callee *callee)
{
    work(CONTAINER_OF(callee, struct client_body, callee));
}

static void on_cancel(struct callee *callee)
{
    body_free(CONTAINER_OF(callee, struct client_body, callee));
}

/* From the line */

static void on_owned(void *ctx)
{
    (void)ctx; /* its answer comes by another way */
}

static void on_letter(void *ctx, struct socket_letter *letter)
{
    OBJ_CAST(client_body, ctx, BODY_MAGIC);
    list_append(&client_body->letters, &letter->link);
    if (client_body->is_streaming) {
        work(client_body);
    }
}

static void on_room(void *ctx)
{
    (void)ctx; /* nothing goes to the actor */
}

/* What has come before that is still written. */
static void on_lost(void *ctx)
{
    OBJ_CAST(client_body, ctx, BODY_MAGIC);
    struct socket_line *line = client_body->line;
    client_body->line = NULL;
    socket_line_close(line);
    if (client_body->is_streaming) {
        work(client_body);
    }
}

static const struct socket_line_hooks line_hooks = {
    .on_owned = on_owned, .on_letter = on_letter, .on_room = on_room, .on_lost = on_lost};

/* From whoever asks */

struct client_body *client_body_new(struct client_bodies *b, struct http_exchange *x)
{
    struct client_body *c = MEM_NEW(struct client_body);
    c->line = socket_line_new(b->lines, &line_hooks, c);
    if (c->line == NULL) {
        mem_free(c);
        return NULL;
    }
    c->magic = BODY_MAGIC;
    c->owner = b;
    c->x = x;
    c->callee = (struct callee){.cancel = on_cancel, .writable = on_writable};
    list_init(&c->link);
    list_init(&c->letters);
    list_append(&b->all, &c->link);
    b->count++;
    return c;
}

void client_body_begin(struct client_body *c, int status, const struct http_header *headers,
                       size_t count)
{
    http_exchange_set_user(c->x, &c->callee);
    http_stream_begin(c->x, status, headers, count);
    if (slice_equal_str(http_exchange_request(c->x)->method, "HEAD")) {
        http_stream_end(let_go(c));
        return;
    }
    c->is_streaming = true;
    work(c);
}

void client_body_drop(struct client_body *c)
{
    PRE(!c->is_streaming);
    body_free(c);
}

void client_bodies_end_all(struct client_bodies *b)
{
    LIST_FOREACH_SAFE (link, &b->all) {
        struct client_body *c = LIST_ENTRY(link, struct client_body, link);
        if (c->is_streaming) {
            http_stream_abort(let_go(c));
        }
    }
}
