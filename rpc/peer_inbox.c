#include "rpc/peer_inbox.h"

#include "base/invariant.h"
#include "base/mem.h"

enum { KEPT_PARTIAL_BYTES = 64 * 1024 };

struct assembly {
    struct map_node node;
    struct peer_message message; /* its payload is `data` */
    size_t have;
    uint8_t data[];
};

static uint64_t hash_of_message(const struct peer_message *m)
{
    uint64_t key = (uint64_t)m->kind << 32 | m->group;
    return hash_of(slice_of(&key, sizeof key));
}

static struct assembly *find(const struct peer_inbox *in, const struct peer_message *m)
{
    struct map_node *n = map_find(&in->assemblies, hash_of_message(m));
    for (; n != NULL; n = map_next_same(n)) {
        struct assembly *a = CONTAINER_OF(n, struct assembly, node);
        if (a->message.kind == m->kind && a->message.group == m->group) {
            return a;
        }
    }
    return NULL;
}

static void drop(struct peer_inbox *in, struct assembly *a)
{
    map_remove(&in->assemblies, &a->node);
    in->assembly_bytes -= a->message.payload.len;
    mem_free(a);
}

void peer_inbox_init(struct peer_inbox *in, size_t bytes_max)
{
    *in = (struct peer_inbox){.bytes_max = bytes_max};
}

void peer_inbox_done(struct peer_inbox *in)
{
    struct map_node *n;
    while ((n = map_first(&in->assemblies)) != NULL) {
        drop(in, CONTAINER_OF(n, struct assembly, node));
    }
    POST(in->assembly_bytes == 0);
    map_done(&in->assemblies);
    buf_done(&in->partial);
}

static void add_piece(struct assembly *a, struct slice piece)
{
    memcpy(a->data + a->have, piece.data, piece.len);
    a->have += piece.len;
}

static enum err begin(struct peer_inbox *in, const struct peer_frame *f)
{
    struct slice piece = f->message.payload;
    if (find(in, &f->message) != NULL || piece.len >= f->whole_bytes ||
        in->assembly_bytes + f->whole_bytes > in->bytes_max) {
        return ERR_CORRUPT;
    }
    struct assembly *a = mem_try_alloc(sizeof *a + f->whole_bytes);
    if (a == NULL) {
        return ERR_NO_MEMORY;
    }
    *a = (struct assembly){.message = f->message};
    a->message.payload = slice_of(a->data, f->whole_bytes);
    map_add(&in->assemblies, &a->node, hash_of_message(&a->message));
    in->assembly_bytes += f->whole_bytes;
    add_piece(a, piece);
    return ERR_OK;
}

static enum err go_on(struct peer_inbox *in, const struct peer_frame *f, peer_frame_cb cb,
                      void *ctx)
{
    struct assembly *a = find(in, &f->message);
    struct slice piece = f->message.payload;
    if (a == NULL || piece.len > a->message.payload.len - a->have) {
        return ERR_CORRUPT;
    }
    add_piece(a, piece);
    if (a->have < a->message.payload.len) {
        return ERR_OK;
    }
    const struct peer_frame whole = {.type = PEER_MESSAGE, .message = a->message};
    enum err err = cb(ctx, &whole);
    drop(in, a);
    return err;
}

/* A message must not overtake one of its kind and group that comes in pieces. */
static enum err take_frame(struct peer_inbox *in, struct slice bytes, peer_frame_cb cb, void *ctx)
{
    struct peer_frame f;
    enum err err = peer_frame_decode(bytes, &f);
    if (err != ERR_OK) {
        return err;
    }
    switch (f.type) {
    case PEER_FIRST:
        return begin(in, &f);
    case PEER_MORE:
        return go_on(in, &f, cb, ctx);
    case PEER_MESSAGE:
        return find(in, &f.message) != NULL ? ERR_CORRUPT : cb(ctx, &f);
    case PEER_HELLO:
    case PEER_WELCOME:
    case PEER_REFUSE:
    case PEER_PING:
    case PEER_PONG:
        return cb(ctx, &f);
    }
    UNREACHABLE();
}

/* Frames that are whole in `bytes`, without copying them. */
static enum err take_frames(struct peer_inbox *in, struct slice *bytes, peer_frame_cb cb, void *ctx)
{
    enum err err = ERR_OK;
    while (err == ERR_OK) {
        size_t n = 0;
        err = peer_frame_bytes(*bytes, &n);
        if (err == ERR_OK && n > bytes->len) {
            err = ERR_MORE;
        }
        if (err == ERR_OK) {
            err = take_frame(in, slice_of(bytes->data, n), cb, ctx);
            *bytes = slice_skip(*bytes, n);
        }
    }
    return err == ERR_MORE ? ERR_OK : err;
}

/* Adds to the unfinished frame what it lacks, and no more. ERR_MORE: it lacks more than there is. */
static enum err complete(struct buf *partial, struct slice *bytes)
{
    for (;;) {
        size_t want = PEER_HEAD_BYTES;
        enum err err = peer_frame_bytes(buf_slice(partial), &want);
        if (err != ERR_OK && err != ERR_MORE) {
            return err;
        }
        if (err == ERR_OK && partial->len == want) {
            return ERR_OK;
        }
        INVARIANT(partial->len < want);
        size_t lacks = want - partial->len;
        size_t n = lacks < bytes->len ? lacks : bytes->len;
        if (n == 0) {
            return ERR_MORE;
        }
        buf_append(partial, bytes->data, n);
        *bytes = slice_skip(*bytes, n);
    }
}

static enum err take_partial(struct peer_inbox *in, struct slice *bytes, peer_frame_cb cb,
                             void *ctx)
{
    struct buf *partial = &in->partial;
    enum err err = complete(partial, bytes);
    if (err != ERR_OK) {
        return err == ERR_MORE ? ERR_OK : err;
    }
    err = take_frame(in, buf_slice(partial), cb, ctx);
    buf_clear(partial);
    if (partial->cap > KEPT_PARTIAL_BYTES) {
        buf_done(partial);
    }
    return err;
}

enum err peer_inbox_feed(struct peer_inbox *in, struct slice bytes, peer_frame_cb cb, void *ctx)
{
    enum err err = ERR_OK;
    if (in->partial.len > 0) {
        err = take_partial(in, &bytes, cb, ctx);
    }
    if (err == ERR_OK) {
        err = take_frames(in, &bytes, cb, ctx);
    }
    if (err == ERR_OK && bytes.len > 0) {
        buf_append_slice(&in->partial, bytes);
    }
    return err;
}
