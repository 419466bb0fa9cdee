#include "node/client_socket.h"

#include "base/invariant.h"
#include "base/mem.h"

enum { CLIENT_MAGIC = 0x63736f01, WRITE_BYTES = 64 * 1024 };

static void client_socket_move(struct client_socket *c, enum client_socket_state to)
{
    INVARIANT(to > c->state);
    c->state = to;
}

/* Lifetime */

void client_sockets_init(struct client_sockets *s, struct socket_lines *lines,
                         const struct websocket_limits *limits)
{
    *s = (struct client_sockets){.lines = lines, .limits = limits};
    list_init(&s->all);
}

void client_sockets_done(struct client_sockets *s)
{
    PRE(s->count == 0);
    heap_done(&s->deadlines);
}

static void drop_letters(struct client_socket *c)
{
    struct socket_letter *letter;
    while ((letter = LIST_FIRST(&c->letters, struct socket_letter, link)) != NULL) {
        socket_letter_free(letter);
    }
    c->letter_bytes = 0;
}

static void free_headers(struct client_socket *c)
{
    mem_free(c->headers);
    buf_done(&c->header_text);
    c->headers = NULL;
    c->header_count = 0;
}

static void client_free(struct client_socket *c)
{
    struct client_sockets *s = c->owner;
    PRE(c->line == NULL);
    drop_letters(c);
    free_headers(c);
    websocket_free(c->ws);
    heap_remove(&s->deadlines, &c->deadline);
    list_remove(&c->link);
    s->count--;
    c->magic = 0;
    mem_free(c);
}

static void close_line(struct client_socket *c)
{
    if (c->line != NULL) {
        struct socket_line *line = c->line;
        c->line = NULL;
        socket_line_close(line);
    }
}

/* To the actor */

static void put(struct client_socket *c, const struct socket_letter_head *head, struct bytes *data)
{
    if (c->line != NULL) {
        socket_line_put(c->line, head, data);
    }
}

static void put_text(struct client_socket *c, const struct socket_letter_head *head,
                     struct slice text)
{
    struct bytes *data = text.len > 0 ? bytes_new(text) : NULL;
    put(c, head, data);
    bytes_unref(data);
}

/* How it ended, once. */
static void say_end(struct client_socket *c, const struct socket_letter_head *head,
                    struct slice text)
{
    if (!c->has_ended) {
        c->has_ended = true;
        put_text(c, head, text);
    }
}

static void say_event(struct client_socket *c, const struct websocket_event *e)
{
    struct socket_letter_head head = {.kind =
                                          e->is_text ? SOCKET_LETTER_TEXT : SOCKET_LETTER_BYTES};
    switch (e->kind) {
    case WEBSOCKET_MESSAGE:
        put(c, &head, e->data);
        bytes_unref(e->data);
        return;
    case WEBSOCKET_CLOSE:
        head = (struct socket_letter_head){.kind = SOCKET_LETTER_CLOSE,
                                           .code = e->code,
                                           .was_clean = e->is_clean,
                                           .is_owed = e->is_owed};
        break;
    case WEBSOCKET_FAILED:
        head = (struct socket_letter_head){.kind = SOCKET_LETTER_FAILURE, .code = e->code};
        break;
    }
    say_end(c, &head, e->reason);
    if (!e->is_owed) {
        close_line(c); /* nothing of the actor can reach the client any more */
    }
}

/* No more is taken from the client than the actor takes, but for one message. */
static bool has_window(const struct client_socket *c)
{
    return c->line == NULL || socket_line_kept_bytes(c->line) < CLIENT_WINDOW_BYTES;
}

static void hold(struct client_socket *c)
{
    size_t waiting = websocket_input_bytes(c->ws);
    waiting += c->line != NULL ? socket_line_kept_bytes(c->line) : 0;
    http_socket_hold(c->x, websocket_part_bytes(c->ws), waiting,
                     websocket_unsent_bytes(c->ws) + c->letter_bytes);
}

static void end_over_load(struct client_socket *c)
{
    if (websocket_part_bytes(c->ws) > HTTP_SOCKET_LITTLE_BYTES && !http_socket_has_room(c->x)) {
        enum err err = websocket_close(c->ws, WEBSOCKET_TRY_AGAIN,
                                       SLICE("Too much waits for this address."), c->owner->now_ms);
        (void)err; /* it was closed before */
    }
}

static void read_messages(struct client_socket *c)
{
    struct websocket_event e;
    while (has_window(c) && websocket_next(c->ws, &e, c->owner->now_ms)) {
        say_event(c, &e);
    }
    size_t left = websocket_input_bytes(c->ws);
    if (left < c->ahead) {
        http_socket_consume(c->x, c->ahead - left);
        c->ahead = left;
    }
    hold(c);
    end_over_load(c);
}

/* To the client */

static void send_letter(struct client_socket *c, const struct socket_letter *letter)
{
    const struct socket_letter_head *h = &letter->head;
    struct slice data = bytes_slice(letter->data);
    enum err err;
    if (h->kind == SOCKET_LETTER_CLOSE) {
        err = websocket_close(c->ws, h->code, data, c->owner->now_ms);
    } else {
        err = websocket_send(c->ws, h->kind == SOCKET_LETTER_TEXT, data);
    }
    INVARIANT(err != ERR_OVERLOADED);
    (void)err; /* where the client has closed it in the meantime it goes nowhere */
}

/* True: some were sent. */
static bool send_letters(struct client_socket *c)
{
    struct socket_letter *letter;
    bool any = false;
    while ((letter = LIST_FIRST(&c->letters, struct socket_letter, link)) != NULL &&
           websocket_unsent_bytes(c->ws) < c->owner->limits->unsent_bytes_max) {
        c->letter_bytes -= bytes_slice(letter->data).len;
        send_letter(c, letter);
        socket_letter_free(letter);
        any = true;
        if (c->line != NULL) {
            socket_line_take(c->line);
        }
    }
    return any;
}

/* Where the load is full a little is always taken, so that it goes on. False: there is no room. */
static bool write_some(struct client_socket *c, struct slice out)
{
    size_t n = out.len < WRITE_BYTES ? out.len : WRITE_BYTES;
    enum err err = http_stream_write(c->x, slice_of(out.data, n));
    if (err != ERR_OK && n > HTTP_STREAM_SMALL_BYTES) {
        n = HTTP_STREAM_SMALL_BYTES;
        err = http_stream_write(c->x, slice_of(out.data, n));
    }
    if (err != ERR_OK) {
        return false; /* callee.writable goes on */
    }
    websocket_sent(c->ws, n);
    return true;
}

static void write_out(struct client_socket *c)
{
    struct slice out;
    do {
        while ((out = websocket_output(c->ws)).len > 0) {
            if (!write_some(c, out)) {
                return;
            }
        }
    } while (send_letters(c));
}

static void due_at(struct client_socket *c, uint64_t at_ms)
{
    if (at_ms == UINT64_MAX) {
        heap_remove(&c->owner->deadlines, &c->deadline);
    } else {
        heap_set(&c->owner->deadlines, &c->deadline, at_ms);
    }
}

/* All that can be done now; the socket may be gone then. */
static void work(struct client_socket *c)
{
    (void)send_letters(c);
    read_messages(c);
    write_out(c);
    hold(c);
    if (websocket_is_over(c->ws)) {
        http_exchange_set_user(c->x, NULL);
        http_stream_end(c->x);
        c->x = NULL;
        close_line(c);
        client_free(c);
        return;
    }
    due_at(c, websocket_next_deadline_ms(c->ws));
}

/* From the connection */

static void on_data(struct callee *callee, struct slice in, bool is_end)
{
    struct client_socket *c = CONTAINER_OF(callee, struct client_socket, callee);
    c->ahead += in.len;
    websocket_recv(c->ws, in);
    if (is_end) {
        websocket_recv_end(c->ws);
    }
    work(c);
}

static void on_writable(struct callee *callee)
{
    work(CONTAINER_OF(callee, struct client_socket, callee));
}

static void on_cancel(struct callee *callee)
{
    struct client_socket *c = CONTAINER_OF(callee, struct client_socket, callee);
    const struct socket_letter_head head = {.kind = SOCKET_LETTER_CLOSE,
                                            .code = WEBSOCKET_ABNORMAL};
    c->x = NULL;
    if (c->state == CLIENT_OPEN) {
        say_end(c, &head, SLICE("The connection ended without a close frame."));
    }
    close_line(c);
    client_free(c);
}

/* From the line */

static void open(struct client_socket *c)
{
    client_socket_move(c, CLIENT_OPEN);
    c->ws = websocket_new(WEBSOCKET_SERVER, c->owner->limits, c->owner->now_ms);
    http_socket_accept(c->x, c->headers, c->header_count);
    free_headers(c);
    work(c);
}

static bool is_owned(const struct client_socket *c)
{
    return c->line != NULL && c->line->state != LINE_OFFERED && c->line->state != LINE_LOST;
}

static void on_owned(void *ctx)
{
    OBJ_CAST(client_socket, ctx, CLIENT_MAGIC);
    if (client_socket->state == CLIENT_AGREED) {
        open(client_socket);
    }
}

static void on_letter(void *ctx, struct socket_letter *letter)
{
    OBJ_CAST(client_socket, ctx, CLIENT_MAGIC);
    list_append(&client_socket->letters, &letter->link);
    client_socket->letter_bytes += bytes_slice(letter->data).len;
    if (client_socket->state == CLIENT_OPEN) {
        work(client_socket);
    }
}

static void on_room(void *ctx)
{
    OBJ_CAST(client_socket, ctx, CLIENT_MAGIC);
    if (client_socket->state == CLIENT_OPEN) {
        work(client_socket);
    }
}

/* Instead of the socket that it has asked for. */
static void refuse(struct client_socket *c)
{
    struct http_exchange *x = c->x;
    c->x = NULL;
    http_exchange_set_user(x, NULL);
    http_respond_problem(x, ERR_UNAVAILABLE, SLICE(""), NULL);
    close_line(c);
    client_free(c);
}

static void end_with(struct client_socket *c, uint16_t code, struct slice reason)
{
    enum err err = websocket_close(c->ws, code, reason, c->owner->now_ms);
    (void)err; /* it is closing already */
    work(c);
}

static void on_lost(void *ctx)
{
    OBJ_CAST(client_socket, ctx, CLIENT_MAGIC);
    struct client_socket *c = client_socket;
    close_line(c);
    switch (c->state) {
    case CLIENT_ASKING:
        return; /* its request has an answer to come */
    case CLIENT_AGREED:
        refuse(c);
        return;
    case CLIENT_OPEN:
        drop_letters(c);
        end_with(c, WEBSOCKET_RESTART, SLICE("The actor has moved; connect anew."));
        return;
    }
}

static const struct socket_line_hooks line_hooks = {
    .on_owned = on_owned, .on_letter = on_letter, .on_room = on_room, .on_lost = on_lost};

/* From whoever asks */

struct client_socket *client_socket_new(struct client_sockets *s, struct http_exchange *x)
{
    PRE(http_exchange_request(x)->wants_socket);
    struct client_socket *c = MEM_NEW(struct client_socket);
    c->line = socket_line_new(s->lines, &line_hooks, c);
    if (c->line == NULL) {
        mem_free(c);
        return NULL;
    }
    c->magic = CLIENT_MAGIC;
    c->owner = s;
    c->x = x;
    c->callee = (struct callee){.cancel = on_cancel, .writable = on_writable, .data = on_data};
    list_init(&c->link);
    list_init(&c->letters);
    list_append(&s->all, &c->link);
    s->count++;
    return c;
}

void client_socket_set_token(struct client_socket *c, const uint8_t hash[DIGEST_BYTES])
{
    c->has_token = true;
    memcpy(c->token_hash, hash, sizeof c->token_hash);
}

static void keep_headers(struct client_socket *c, const struct http_header *headers, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        bytes += headers[i].name.len + headers[i].value.len;
    }
    buf_reserve(&c->header_text, bytes + 1); /* so that the slices into it stay good */
    c->headers = mem_alloc((count + 1) * sizeof *c->headers);
    c->header_count = count;
    for (size_t i = 0; i < count; i++) {
        struct http_header *h = &c->headers[i];
        size_t at = c->header_text.len;
        buf_append_slice(&c->header_text, headers[i].name);
        buf_append_slice(&c->header_text, headers[i].value);
        h->name = slice_of(c->header_text.data + at, headers[i].name.len);
        h->value = slice_of(c->header_text.data + at + h->name.len, headers[i].value.len);
    }
}

void client_socket_agree(struct client_socket *c, const struct http_header *headers, size_t count)
{
    keep_headers(c, headers, count);
    http_exchange_set_user(c->x, &c->callee);
    client_socket_move(c, CLIENT_AGREED);
    if (c->line == NULL) {
        refuse(c);
    } else if (is_owned(c)) {
        open(c);
    } else {
        due_at(c, c->owner->now_ms + CLIENT_AGREED_MS);
    }
}

void client_socket_drop(struct client_socket *c)
{
    PRE(c->state == CLIENT_ASKING);
    close_line(c);
    client_free(c);
}

/* Time */

static void tick(struct client_socket *c)
{
    heap_remove(&c->owner->deadlines, &c->deadline);
    if (c->state == CLIENT_AGREED) {
        refuse(c);
        return;
    }
    websocket_tick(c->ws, c->owner->now_ms);
    work(c);
}

void client_sockets_tick(struct client_sockets *s, uint64_t now_ms)
{
    struct heap_node *first;
    s->now_ms = now_ms;
    while ((first = heap_first(&s->deadlines)) != NULL && first->key <= now_ms) {
        tick(CONTAINER_OF(first, struct client_socket, deadline));
    }
}

void client_sockets_end_revoked(struct client_sockets *s,
                                bool (*holds)(void *ctx, const uint8_t hash[DIGEST_BYTES]),
                                void *ctx)
{
    LIST_FOREACH_SAFE (link, &s->all) {
        struct client_socket *c = LIST_ENTRY(link, struct client_socket, link);
        if (c->state == CLIENT_OPEN && c->has_token && !holds(ctx, c->token_hash)) {
            c->has_token = false; /* it is told once */
            end_with(c, WEBSOCKET_POLICY, SLICE("The token holds no more."));
        }
    }
}

void client_sockets_end_all(struct client_sockets *s)
{
    LIST_FOREACH_SAFE (link, &s->all) {
        struct client_socket *c = LIST_ENTRY(link, struct client_socket, link);
        if (c->state == CLIENT_OPEN) {
            end_with(c, WEBSOCKET_RESTART, SLICE("The node stops; connect anew."));
        } else if (c->state == CLIENT_AGREED) {
            refuse(c);
        }
    }
}
