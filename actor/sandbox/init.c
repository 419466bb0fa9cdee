/* dormouse-init: the first process of a sandbox. It starts, signals and reaps processes for the daemon, and opens files,
 * so that every path is resolved inside. What user code does to it stays in the sandbox: it holds nothing but a socket
 * to the daemon, which believes it nothing. When that socket closes it ends, and with it all that lives here. */
#include "actor/sandbox/init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

static char frame[SANDBOX_FRAME_BYTES_MAX + 1];

void init_send(const struct sandbox_frame *f, const void *payload, size_t bytes, const int *fds,
               size_t count)
{
    struct iovec parts[] = {
        {.iov_base = (void *)(uintptr_t)f, .iov_len = sizeof *f},
        {.iov_base = (void *)(uintptr_t)payload, .iov_len = bytes},
    };
    union {
        struct cmsghdr head;
        char space[CMSG_SPACE(INIT_FDS_MAX * sizeof(int))];
    } control = {0};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = 2};
    if (count > 0) {
        message.msg_control = control.space;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
    }
    ssize_t n;
    do {
        n = sendmsg(SANDBOX_INIT_FD, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    for (size_t i = 0; i < count; i++) {
        (void)close(fds[i]);
    }
    if (n < 0) {
        _exit(0);
    }
}

void init_fail(uint32_t id, int error, uint32_t where)
{
    const struct sandbox_frame f = {
        .kind = SANDBOX_FAILED, .id = id, .a = (uint32_t)error, .b = where};
    init_send(&f, NULL, 0, NULL, 0);
}

/* False: they are not what they should be. */
static bool read_texts(struct texts *t, char *at, size_t bytes, uint32_t before_environment)
{
    const char *end = at + bytes;
    size_t out = 0;
    size_t count = 0;
    if (bytes == 0 || end[-1] != '\0' || before_environment == 0) {
        return false;
    }
    t->environment = NULL;
    for (; at < end; at += strlen(at) + 1) {
        if (++count > SANDBOX_TEXTS_MAX) {
            return false;
        }
        t->list[out++] = at;
        if (count == before_environment) {
            t->list[out++] = NULL;
            t->environment = &t->list[out];
        }
    }
    t->list[out] = NULL;
    t->count = before_environment;
    return t->environment != NULL;
}

static void serve_frame(size_t bytes)
{
    static struct texts texts;
    struct sandbox_frame f;
    memcpy(&f, frame, sizeof f);
    char *payload = frame + sizeof f;
    size_t payload_bytes = bytes - sizeof f;
    frame[bytes] = '\0';
    switch (f.kind) {
    case SANDBOX_SPAWN:
        if (read_texts(&texts, payload, payload_bytes, f.c)) {
            spawn_start(&f, &texts);
        } else {
            init_fail(f.id, EINVAL, 0);
        }
        return;
    case SANDBOX_SIGNAL:
        spawn_signal(f.id, (int)f.a);
        return;
    case SANDBOX_OPEN:
        file_open(&f, payload);
        return;
    default:
        _exit(1);
    }
}

static void serve_one(void)
{
    ssize_t n = recv(SANDBOX_INIT_FD, frame, SANDBOX_FRAME_BYTES_MAX, MSG_DONTWAIT | MSG_TRUNC);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n < (ssize_t)sizeof(struct sandbox_frame) || n > SANDBOX_FRAME_BYTES_MAX) {
        _exit(n == 0 ? 0 : 1);
    }
    serve_frame((size_t)n);
}

int main(void)
{
    sigset_t ends;
    struct signalfd_siginfo info;
    struct pollfd polled[] = {{.fd = SANDBOX_INIT_FD, .events = POLLIN},
                              {.fd = -1, .events = POLLIN}};
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);          /* before there is anybody else */
    (void)fcntl(SANDBOX_INIT_FD, F_SETFD, FD_CLOEXEC); /* it is nobody else's */
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGCHLD);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    polled[1].fd = signalfd(-1, &ends, SFD_CLOEXEC | SFD_NONBLOCK);
    if (polled[1].fd < 0) {
        return 1;
    }
    const struct sandbox_frame hello = {.kind = SANDBOX_HELLO};
    init_send(&hello, NULL, 0, NULL, 0);
    for (;;) {
        if (poll(polled, 2, -1) < 0 && errno != EINTR) {
            return 1;
        }
        if (polled[1].revents != 0) {
            while (read(polled[1].fd, &info, sizeof info) > 0) {
            }
            spawn_reap();
        }
        if (polled[0].revents != 0) {
            serve_one();
        }
    }
}
