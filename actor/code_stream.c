/* Bodies of answers that leave in pieces: from the isolate to the client's node, on the line that came with the
 * request (actor/socket_set.h). A piece leaves behind the writes that were made before it; the isolate gets credit
 * for another once the client has it. While one is open somebody waits for the actor, and it stays awake. */
#include "actor/code_own.h"
#include "actor/isolate_frame.h"
#include "base/mem.h"

enum { BODY_WHOLE = 1000, BODY_BROKEN = 1011 }; /* codes of the close that ends it */

static void stream_free(struct code_stream *t)
{
    t->session->client_count--;
    list_remove(&t->link);
    mem_free(t);
}

static struct code_stream *find(const struct code_session *s, uint64_t number)
{
    LIST_FOREACH (link, &s->streams) {
        struct code_stream *t = LIST_ENTRY(link, struct code_stream, link);
        if (t->number == number) {
            return t;
        }
    }
    return NULL;
}

static struct code_stream *find_by_socket(const struct code_session *s, uint64_t socket)
{
    LIST_FOREACH (link, &s->streams) {
        struct code_stream *t = LIST_ENTRY(link, struct code_stream, link);
        if (t->socket == socket) {
            return t;
        }
    }
    return NULL;
}

/* An answer that is kept under a key is kept whole. */
bool code_stream_open(struct code_event *e, uint64_t number)
{
    struct code_session *s = e->session;
    const struct request *r = e->request;
    if (r == NULL || !r->is_for_body || r->idempotency_key != NULL || s->host->sockets == NULL ||
        find(s, number) != NULL) {
        return false;
    }
    uint32_t shard = s->shard != NULL ? shard_id(s->shard) : SOCKET_NO_SHARD;
    if (socket_offer_body(s->host->sockets, &s->identity, &s->address, shard, r->socket) !=
        ERR_OK) {
        return false;
    }
    struct code_stream *t = MEM_NEW(struct code_stream);
    t->session = s;
    t->number = number;
    t->event = e->id;
    t->socket = r->socket.id;
    list_init(&t->link);
    list_append(&s->streams, &t->link);
    s->client_count++;
    return true;
}

bool code_stream_chunk(struct code_session *s, uint64_t number, struct slice bytes,
                       enum code_chunk_end end)
{
    struct code_stream *t = find(s, number);
    if (t == NULL) {
        return false;
    }
    struct code_letter piece = {.socket = t->socket};
    if (bytes.len > 0) {
        code_socket_post(s, &piece, bytes);
    }
    if (end != CODE_CHUNK_GOES_ON) {
        piece.is_close = true;
        piece.close_code = end == CODE_CHUNK_IS_LAST ? BODY_WHOLE : BODY_BROKEN;
        stream_free(t);
        code_socket_post(s, &piece, SLICE(""));
    }
    return true;
}

void code_stream_drained(struct code_session *s, uint64_t socket, size_t bytes)
{
    const struct code_stream *t = find_by_socket(s, socket);
    if (t != NULL) {
        code_give_credit(s, t->number, bytes);
    }
}

/* Nobody reads it any more. */
void code_stream_cancel(struct code_session *s, uint64_t socket)
{
    struct code_stream *t = find_by_socket(s, socket);
    struct buf frame = {0};
    if (t != NULL) {
        code_frame_begin(&frame, FRAME_CANCEL, t->event, 0);
        stream_free(t);
        code_frame_send(s, &frame);
    }
}

void code_stream_drop_all(struct code_session *s)
{
    LIST_FOREACH_SAFE (link, &s->streams) {
        stream_free(LIST_ENTRY(link, struct code_stream, link));
    }
}
