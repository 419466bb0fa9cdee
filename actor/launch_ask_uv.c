#include "actor/launch_ask_uv.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"
#include "base/mem.h"

enum { ASK_MAGIC = 0x61736b01 };

struct launch_ask {
    uint32_t magic;
    uv_poll_t poll;
    int report;
    bool is_closed;
    launch_ask_cb cb;
    void *ctx;
};

static void on_closed(uv_handle_t *handle)
{
    struct launch_ask *a = handle->data;
    INVARIANT(a->magic == ASK_MAGIC);
    a->magic = 0;
    mem_free(a);
}

void launch_ask_drop(struct launch_ask *a)
{
    if (a == NULL || a->is_closed) {
        return;
    }
    a->is_closed = true;
    uv_close((uv_handle_t *)&a->poll, on_closed);
    (void)close(a->report);
}

/* As recvmsg. */
static ssize_t receive(int socket, struct launch_report *r, int fds[SANDBOX_FDS], size_t *ret_count)
{
    struct iovec bytes = {.iov_base = r, .iov_len = sizeof *r};
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(SANDBOX_FDS * sizeof(int))];
    } control;
    struct msghdr m = {.msg_iov = &bytes,
                       .msg_iovlen = 1,
                       .msg_control = control.space,
                       .msg_controllen = sizeof control};
    ssize_t n = recvmsg(socket, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    *ret_count = 0;
    if (n > 0) {
        const struct cmsghdr *head = CMSG_FIRSTHDR(&m);
        if (head != NULL && head->cmsg_type == SCM_RIGHTS) {
            *ret_count = (head->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(head), *ret_count * sizeof(int));
        }
    }
    return n;
}

static void on_report(uv_poll_t *poll, int status, int events)
{
    OBJ_CAST(launch_ask, poll->data, ASK_MAGIC);
    struct launch_ask *a = launch_ask;
    (void)status;
    (void)events;
    while (!a->is_closed) {
        struct launch_report r;
        int fds[SANDBOX_FDS];
        size_t count;
        ssize_t n = receive(a->report, &r, fds, &count);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return;
        }
        if (n == (ssize_t)sizeof r) {
            a->cb(a->ctx, a, &r, fds, count);
            continue;
        }
        a->cb(a->ctx, a, NULL, NULL, 0);
        launch_ask_drop(a);
    }
}

struct launch_ask *launch_ask_begin(uv_loop_t *loop, const struct launch *launch,
                                    const struct launch_sandbox *what, const int *fds, size_t count,
                                    launch_ask_cb cb, void *ctx)
{
    int report;
    if (launch_ask(launch, what, fds, count, &report) != ERR_OK) {
        return NULL;
    }
    struct launch_ask *a = MEM_NEW(struct launch_ask);
    a->magic = ASK_MAGIC;
    a->report = report;
    a->cb = cb;
    a->ctx = ctx;
    a->poll.data = a;
    int rc = uv_poll_init(loop, &a->poll, report);
    rc = rc == 0 ? uv_poll_start(&a->poll, UV_READABLE, on_report) : rc;
    INVARIANT(rc == 0);
    return a;
}
