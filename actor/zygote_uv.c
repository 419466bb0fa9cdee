#include "actor/zygote_uv.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"

enum { ZYGOTE_MAGIC = 0x7a796701 };

union control_message {
    uint32_t kind;
    struct isolate_spawned spawned;
    struct isolate_exited exited;
    struct isolate_hello hello;
};

/* The number of bytes, with what descriptor came along; as recvmsg. */
static ssize_t receive(int socket, union control_message *ret, int *ret_fd)
{
    char control[CMSG_SPACE(sizeof(int))];
    struct iovec iov = {.iov_base = ret, .iov_len = sizeof *ret};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *ret_fd = -1;
    if (n > 0) {
        struct cmsghdr *c = CMSG_FIRSTHDR(&m);
        if (c != NULL && c->cmsg_type == SCM_RIGHTS) {
            memcpy(ret_fd, CMSG_DATA(c), sizeof *ret_fd);
        }
    }
    return n;
}

static void take(struct zygote *z, const union control_message *m, size_t bytes, int fd)
{
    if (m->kind == ISOLATE_SPAWNED && bytes == sizeof m->spawned) {
        z->hooks->spawned(z->ctx, &m->spawned, fd);
        return;
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    if (m->kind == ISOLATE_EXITED && bytes == sizeof m->exited) {
        z->hooks->exited(z->ctx, &m->exited);
    } else if (m->kind == ISOLATE_HELLO && bytes == sizeof m->hello) {
        z->hooks->hello(z->ctx, z, &m->hello);
    }
}

static void on_control(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(zygote, poll->data, ZYGOTE_MAGIC);
    struct zygote *z = zygote;
    (void)status;
    (void)events;
    while (!z->is_closed) {
        union control_message m;
        int fd;
        ssize_t n = receive(z->control, &m, &fd);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n <= 0) {
            z->hooks->lost(z->ctx, z);
            return;
        }
        take(z, &m, (size_t)n, fd);
    }
}

struct zygote *zygote_start(uv_loop_t *loop, const struct launch *launch,
                            const struct zygote_hooks *hooks, void *ctx, const char **ret_why)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0) {
        *ret_why = "no socket for the isolates' zygote";
        return NULL;
    }
    if (launch_start(launch, LAUNCH_ISOLATE, pair[1], NULL) != ERR_OK) {
        (void)close(pair[0]);
        *ret_why = "the isolates' program cannot be started";
        return NULL;
    }
    struct zygote *z = MEM_NEW(struct zygote);
    z->magic = ZYGOTE_MAGIC;
    z->control = pair[0];
    z->hooks = hooks;
    z->ctx = ctx;
    z->poll.data = z;
    list_init(&z->link);
    int rc = uv_poll_init(loop, &z->poll, z->control);
    rc = rc == 0 ? uv_poll_start(&z->poll, UV_READABLE, on_control) : rc;
    INVARIANT(rc == 0);
    return z;
}

bool zygote_spawn(struct zygote *z, const struct isolate_spawn *spawn, int fd)
{
    PRE(z->magic == ZYGOTE_MAGIC && !z->is_closed);
    char control[CMSG_SPACE(sizeof fd)] = {0};
    struct isolate_spawn copy = *spawn;
    struct iovec iov = {.iov_base = &copy, .iov_len = sizeof copy};
    struct msghdr m = {
        .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), &fd, sizeof fd);
    return sendmsg(z->control, &m, MSG_DONTWAIT | MSG_NOSIGNAL) == (ssize_t)sizeof copy;
}

static void on_closed(uv_handle_t *handle)
{
    struct zygote *z = handle->data;
    INVARIANT(z->magic == ZYGOTE_MAGIC);
    z->magic = 0;
    mem_free(z);
}

void zygote_close(struct zygote *z)
{
    PRE(z->magic == ZYGOTE_MAGIC && !z->is_closed);
    z->is_closed = true;
    list_remove(&z->link);
    uv_close((uv_handle_t *)&z->poll, on_closed);
    (void)close(z->control);
    z->control = -1;
}
