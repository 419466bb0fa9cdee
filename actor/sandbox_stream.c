/* Answers that come in pieces, on the line that came with the request (actor/socket_set.h). */
#include <stdio.h>

#include "actor/sandbox_own.h"
#include "base/invariant.h"
#include "rpc/json.h"
#include "rpc/value.h"

enum { BODY_WHOLE = 1000, BODY_BROKEN = 1011, STREAM_UNREAD_BYTES_MAX = 256 * 1024 };

static struct actor_socket *find(const struct sandbox_stream *s)
{
    struct socket_set *set =
        s->socket != 0 ? socket_sets_find(s->host->sockets, &s->identity) : NULL;
    struct actor_socket *socket = set != NULL ? socket_set_find(set, s->socket) : NULL;
    return socket != NULL && socket->body_ctx == s ? socket : NULL;
}

static void count(struct sandbox_stream *s)
{
    bool is_full = s->unread_bytes >= STREAM_UNREAD_BYTES_MAX;
    if (is_full != s->is_full) {
        s->is_full = is_full;
        s->on_room(s, !is_full);
    }
}

static void on_drained(void *ctx, const struct actor_socket *socket, size_t bytes)
{
    struct sandbox_stream *s = ctx;
    (void)socket;
    s->unread_bytes -= bytes < s->unread_bytes ? bytes : s->unread_bytes;
    count(s);
}

static void on_gone(void *ctx, const struct actor_socket *socket)
{
    struct sandbox_stream *s = ctx;
    (void)socket;
    s->socket = 0;
    s->on_gone(s);
}

static const struct socket_body_hooks body_hooks = {.drained = on_drained, .gone = on_gone};

static void put_head(struct buf *doc, const char *type)
{
    value_put_array(doc, 5);
    value_put_uint(doc, 200);
    value_put_array(doc, 2);
    value_put_array(doc, 2);
    value_put_text(doc, "content-type");
    value_put_text(doc, type);
    value_put_array(doc, 2);
    value_put_text(doc, "cache-control");
    value_put_text(doc, "no-store");
    value_put_nil(doc);
    value_put_bool(doc, true);
    value_put_bool(doc, false);
}

bool stream_open(struct sandbox_stream *s, struct sandbox_ask *a, const char *type)
{
    struct buf doc = {0};
    put_head(&doc, type);
    return stream_open_with(s, a, &doc);
}

bool stream_open_with(struct sandbox_stream *s, struct sandbox_ask *a, struct buf *head)
{
    struct request *r = a->request;
    if (!r->is_for_body || r->socket.id == 0 ||
        socket_offer_body(a->host->sockets, &r->identity, &r->address, shard_id(a->shard),
                          r->socket) != ERR_OK) {
        buf_done(head);
        ask_fail(a, ERR_OVERLOADED, "There is no line for the answer.");
        return false;
    }
    s->host = a->host;
    s->identity = r->identity;
    s->socket = r->socket.id;
    struct socket_set *set = socket_sets_find(a->host->sockets, &r->identity);
    struct actor_socket *socket = socket_set_find(set, r->socket.id);
    socket->body_hooks = &body_hooks;
    socket->body_ctx = s;
    ask_document(a, 200, head);
    return true;
}

void stream_bytes(struct sandbox_stream *s, struct slice bytes)
{
    struct actor_socket *socket = find(s);
    if (socket == NULL || bytes.len == 0) {
        return;
    }
    struct bytes *data = bytes_new(bytes);
    s->unread_bytes += bytes.len;
    socket_send(socket, false, data);
    bytes_unref(data);
    count(s);
}

void stream_event(struct sandbox_stream *s, const char *event, struct slice document)
{
    struct buf text = {0};
    buf_printf(&text, "event: %s\ndata: ", event);
    value_to_json(document, &text);
    buf_append_str(&text, "\n\n");
    stream_bytes(s, buf_slice(&text));
    buf_done(&text);
}

void stream_close(struct sandbox_stream *s, bool is_whole)
{
    struct actor_socket *socket = find(s);
    s->socket = 0;
    if (socket != NULL) {
        socket->body_ctx = NULL;
        socket->body_hooks = NULL;
        enum err err = socket_close(socket, is_whole ? BODY_WHOLE : BODY_BROKEN, SLICE(""));
        INVARIANT(err == ERR_OK);
    }
}

/* Text */

void put_text_or_bytes(struct buf *out, struct slice bytes)
{
    if (slice_is_utf8(bytes)) {
        value_put_str(out, bytes);
    } else {
        value_put_bin(out, bytes);
    }
}

/* Bytes at the end that begin a character and do not end it. */
static size_t cut_bytes(struct slice s)
{
    for (size_t back = 1; back <= 3 && back <= s.len; back++) {
        uint8_t c = s.data[s.len - back];
        if ((c & 0xc0) == 0x80) {
            continue;
        }
        size_t needs = c >= 0xf0 ? 4 : c >= 0xe0 ? 3 : c >= 0xc0 ? 2 : 1;
        return needs > back ? back : 0;
    }
    return 0;
}

bool text_event(struct text_tail *t, struct slice bytes, bool is_last, struct buf *document)
{
    struct buf all = {0};
    buf_append(&all, t->bytes, t->len);
    buf_append_slice(&all, bytes);
    t->len = 0;
    size_t cut = is_last ? 0 : cut_bytes(buf_slice(&all));
    memcpy(t->bytes, all.data != NULL ? all.data + all.len - cut : t->bytes, cut);
    t->len = cut;
    all.len -= cut;
    bool has = all.len > 0;
    if (has) {
        value_put_map(document, 1);
        value_put_text(document, "text");
        put_text_or_bytes(document, buf_slice(&all));
    }
    buf_done(&all);
    return has;
}
