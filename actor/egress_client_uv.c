#include "actor/egress_client_uv.h"

#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"

enum { CHANNEL_MAGIC = 0x65677204, READ_BYTES = 64 * 1024 };

/* Bytes to be sent, some with descriptors at the first of them. */
struct parcel {
    struct list link;
    struct buf bytes;
    int fds[EGRESS_BOX_SOCKETS]; /* our own copies; the first is -1: none */
};

/* The socket to one process. It outlives its egress_uv until the loop has closed it. */
struct egress_uv_channel {
    uint32_t magic;
    struct egress_uv *egress; /* NULL: it is closing */
    uv_pipe_t pipe;
    uv_timer_t retry;
    int open_handles;
    uv_write_t write;
    bool is_writing;
    struct buf writing;
    struct list queue; /* of parcels, behind it */
    char bytes[READ_BYTES];
};

static void close_fds(struct parcel *p)
{
    for (size_t i = 0; i < EGRESS_BOX_SOCKETS && p->fds[0] >= 0; i++) {
        (void)close(p->fds[i]);
    }
    p->fds[0] = -1;
}

static void free_parcel(struct parcel *p)
{
    list_remove(&p->link);
    close_fds(p);
    if (p->bytes.data != NULL) {
        explicit_bzero(p->bytes.data, p->bytes.cap); /* there may be secrets in it */
    }
    buf_done(&p->bytes);
    mem_free(p);
}

static struct parcel *new_parcel(struct egress_uv_channel *c)
{
    struct parcel *p = MEM_NEW(struct parcel);
    p->fds[0] = -1;
    list_init(&p->link);
    list_append(&c->queue, &p->link);
    return p;
}

static void on_closed(uv_handle_t *handle)
{
    OBJ_CAST(egress_uv_channel, handle->data, CHANNEL_MAGIC);
    struct egress_uv_channel *c = egress_uv_channel;
    if (--c->open_handles > 0) {
        return;
    }
    while (!list_is_empty(&c->queue)) {
        free_parcel(LIST_FIRST(&c->queue, struct parcel, link));
    }
    buf_done(&c->writing);
    c->magic = 0;
    mem_free(c);
}

static void close_handles(struct egress_uv_channel *c)
{
    uv_close((uv_handle_t *)&c->pipe, on_closed);
    uv_close((uv_handle_t *)&c->retry, on_closed);
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
    close_handles(c);
    egress_client_lost(&e->client, uv_now(e->loop));
}

/* Writing */

static void write_queued(struct egress_uv_channel *c);

static void on_written(uv_write_t *write, int status)
{
    OBJ_CAST(egress_uv_channel, write->data, CHANNEL_MAGIC);
    struct egress_uv_channel *c = egress_uv_channel;
    c->is_writing = false;
    explicit_bzero(c->writing.data, c->writing.len);
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

static void write_parcel(struct egress_uv_channel *c, struct parcel *p)
{
    buf_done(&c->writing);
    c->writing = buf_take(&p->bytes);
    free_parcel(p);
    uv_buf_t bytes = uv_buf_init((char *)c->writing.data, (unsigned)c->writing.len);
    c->write.data = c;
    c->is_writing = true;
    int rc = uv_write(&c->write, (uv_stream_t *)&c->pipe, &bytes, 1, on_written);
    INVARIANT(rc == 0); /* it is open, and what cannot be sent is told to on_written */
}

static void on_retry(uv_timer_t *timer)
{
    OBJ_CAST(egress_uv_channel, timer->data, CHANNEL_MAGIC);
    if (egress_uv_channel->egress != NULL) {
        write_queued(egress_uv_channel);
    }
}

/* libuv sends one descriptor at a time, and only those of its own handles. True: the parcel's descriptors are
 * there, with some of its bytes. */
static bool send_fds(struct egress_uv_channel *c, struct parcel *p)
{
    union {
        char bytes[CMSG_SPACE(sizeof p->fds)];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = p->bytes.data, .iov_len = p->bytes.len};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    uv_os_fd_t fd;
    head->cmsg_level = SOL_SOCKET;
    head->cmsg_type = SCM_RIGHTS;
    head->cmsg_len = CMSG_LEN(sizeof p->fds);
    memcpy(CMSG_DATA(head), p->fds, sizeof p->fds);
    ssize_t n = uv_fileno((uv_handle_t *)&c->pipe, &fd) == 0
                    ? sendmsg(fd, &message, MSG_DONTWAIT | MSG_NOSIGNAL)
                    : -1;
    if (n <= 0) {
        return false;
    }
    close_fds(p);
    buf_consume(&p->bytes, (size_t)n);
    return true;
}

static void write_queued(struct egress_uv_channel *c)
{
    while (!c->is_writing && !list_is_empty(&c->queue)) {
        struct parcel *p = LIST_FIRST(&c->queue, struct parcel, link);
        if (p->fds[0] >= 0 && !send_fds(c, p)) {
            /* It is full: what has been sent is yet to be read. Where it is broken its reader finds out. */
            (void)uv_timer_start(&c->retry, on_retry, EGRESS_UV_RETRY_MS, 0);
            return;
        }
        if (p->bytes.len > 0) {
            write_parcel(c, p);
        } else {
            free_parcel(p);
        }
    }
}

static void send_frame(void *ctx, struct slice bytes)
{
    OBJ_CAST(egress_uv, ctx, EGRESS_UV_MAGIC);
    struct egress_uv_channel *c = egress_uv->channel;
    INVARIANT(c != NULL);
    struct parcel *last =
        list_is_empty(&c->queue) ? NULL : LIST_ENTRY(c->queue.prev, struct parcel, link);
    struct parcel *p = last != NULL && last->fds[0] < 0 ? last : new_parcel(c);
    buf_append_slice(&p->bytes, bytes);
    write_queued(c);
}

static bool send_sockets(void *ctx, struct slice bytes, const int *fds)
{
    OBJ_CAST(egress_uv, ctx, EGRESS_UV_MAGIC);
    struct egress_uv_channel *c = egress_uv->channel;
    int copies[EGRESS_BOX_SOCKETS];
    INVARIANT(c != NULL);
    for (size_t i = 0; i < EGRESS_BOX_SOCKETS; i++) {
        copies[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 3);
        if (copies[i] < 0) {
            while (i > 0) {
                (void)close(copies[--i]);
            }
            return false;
        }
    }
    struct parcel *p = new_parcel(c);
    memcpy(p->fds, copies, sizeof copies);
    buf_append_slice(&p->bytes, bytes);
    write_queued(c);
    return true;
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
    list_init(&c->queue);
    int rc = uv_pipe_init(e->loop, &c->pipe, 0);
    INVARIANT(rc == 0);
    rc = uv_timer_init(e->loop, &c->retry);
    INVARIANT(rc == 0);
    c->open_handles = 2;
    c->pipe.data = c;
    c->retry.data = c;
    if (uv_pipe_open(&c->pipe, fd) != 0) {
        (void)close(fd);
        close_handles(c);
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
    static const struct egress_client_hooks hooks = {start, send_frame, send_sockets, record};
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
