#include "actor/egress_client_uv.h"

#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"

enum { CHANNEL_MAGIC = 0x65677204, READ_BYTES = 64 * 1024 };

/* The socket to one process. It outlives its egress_uv until the loop has closed it. */
struct egress_uv_channel {
    uint32_t magic;
    struct egress_uv *egress; /* NULL: it is closing */
    uv_pipe_t pipe;
    uv_write_t write;
    bool is_writing;
    struct buf writing;
    struct buf queued; /* behind it */
    char bytes[READ_BYTES];
};

static void on_closed(uv_handle_t *handle)
{
    OBJ_CAST(egress_uv_channel, handle->data, CHANNEL_MAGIC);
    struct egress_uv_channel *c = egress_uv_channel;
    buf_done(&c->writing);
    buf_done(&c->queued);
    c->magic = 0;
    mem_free(c);
}

/* Ends the process too: its channel is what it lives for. */
static void lose(struct egress_uv *e)
{
    struct egress_uv_channel *c = e->channel;
    if (c == NULL) {
        return;
    }
    e->channel = NULL;
    c->egress = NULL;
    uv_close((uv_handle_t *)&c->pipe, on_closed);
    egress_client_lost(&e->client, uv_now(e->loop));
}

/* Writing */

static void write_queued(struct egress_uv_channel *c);

static void on_written(uv_write_t *write, int status)
{
    OBJ_CAST(egress_uv_channel, write->data, CHANNEL_MAGIC);
    struct egress_uv_channel *c = egress_uv_channel;
    c->is_writing = false;
    buf_clear(&c->writing);
    if (c->egress == NULL) {
        return;
    }
    if (status != 0) {
        lose(c->egress);
        return;
    }
    buf_shrink(&c->writing);
    write_queued(c);
}

static void write_queued(struct egress_uv_channel *c)
{
    if (c->is_writing || c->queued.len == 0) {
        return;
    }
    buf_done(&c->writing);
    c->writing = buf_take(&c->queued);
    uv_buf_t bytes = uv_buf_init((char *)c->writing.data, (unsigned)c->writing.len);
    c->write.data = c;
    c->is_writing = true;
    int rc = uv_write(&c->write, (uv_stream_t *)&c->pipe, &bytes, 1, on_written);
    INVARIANT(rc == 0); /* it is open, and what cannot be sent is told to on_written */
}

static void send_frame(void *ctx, struct slice bytes)
{
    OBJ_CAST(egress_uv, ctx, EGRESS_UV_MAGIC);
    struct egress_uv_channel *c = egress_uv->channel;
    INVARIANT(c != NULL);
    buf_append_slice(&c->queued, bytes);
    write_queued(c);
}

/* Reading */

static void on_alloc(uv_handle_t *handle, size_t hint, uv_buf_t *ret)
{
    OBJ_CAST(egress_uv_channel, handle->data, CHANNEL_MAGIC);
    (void)hint;
    *ret = uv_buf_init(egress_uv_channel->bytes, READ_BYTES);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    OBJ_CAST(egress_uv_channel, stream->data, CHANNEL_MAGIC);
    struct egress_uv *e = egress_uv_channel->egress;
    if (e == NULL || n == 0) {
        return;
    }
    if (n < 0 || egress_client_feed(&e->client, slice_of(buf->base, (size_t)n)) != ERR_OK) {
        lose(e);
    }
}

/* Life */

static bool open_channel(struct egress_uv *e, int fd)
{
    struct egress_uv_channel *c = MEM_NEW(struct egress_uv_channel);
    c->magic = CHANNEL_MAGIC;
    int rc = uv_pipe_init(e->loop, &c->pipe, 0);
    INVARIANT(rc == 0);
    c->pipe.data = c;
    if (uv_pipe_open(&c->pipe, fd) != 0) {
        (void)close(fd);
        uv_close((uv_handle_t *)&c->pipe, on_closed);
        return false;
    }
    c->egress = e;
    e->channel = c;
    rc = uv_read_start((uv_stream_t *)&c->pipe, on_alloc, on_read);
    INVARIANT(rc == 0);
    return true;
}

static bool start(void *ctx)
{
    OBJ_CAST(egress_uv, ctx, EGRESS_UV_MAGIC);
    int pair[2];
    if (egress_uv->is_closed || socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return false;
    }
    if (launch_start(egress_uv->launch, LAUNCH_EGRESS, pair[1], NULL) != ERR_OK) {
        (void)close(pair[0]);
        return false;
    }
    return open_channel(egress_uv, pair[0]);
}

static void record(void *ctx, const struct egress_record *r)
{
    OBJ_CAST(egress_uv, ctx, EGRESS_UV_MAGIC);
    if (egress_uv->record != NULL) {
        egress_uv->record(egress_uv->ctx, r);
    }
}

void egress_uv_open(struct egress_uv *e, uv_loop_t *loop, const struct launch *launch,
                    void (*on_record)(void *ctx, const struct egress_record *r), void *ctx)
{
    static const struct egress_client_hooks hooks = {start, send_frame, record};
    *e = (struct egress_uv){
        .magic = EGRESS_UV_MAGIC, .loop = loop, .launch = launch, .record = on_record, .ctx = ctx};
    egress_client_init(&e->client, &hooks, e);
}

void egress_uv_close(struct egress_uv *e)
{
    PRE(e->magic == EGRESS_UV_MAGIC);

    e->is_closed = true;
    lose(e);
    egress_client_done(&e->client);
}

enum err egress_uv_fetch(struct egress_uv *e, struct egress_request *r,
                         const struct egress_request_hooks *hooks, const struct egress_fetch *f)
{
    return egress_client_fetch(&e->client, r, hooks, f, uv_now(e->loop));
}
