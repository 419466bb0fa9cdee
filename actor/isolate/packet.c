#include "actor/isolate/packet.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/invariant.h"

union fd_message { /* aligned as a control message must be */
    struct cmsghdr head;
    char room[CMSG_SPACE(sizeof(int))];
};

enum err packet_send(int fd, const void *data, size_t bytes, int passed_fd)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    union fd_message ancillary = {.room = {0}};
    struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};
    if (passed_fd >= 0) {
        message.msg_control = &ancillary;
        message.msg_controllen = sizeof ancillary.room;
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){
            .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
        memcpy(CMSG_DATA(c), &passed_fd, sizeof passed_fd);
    }
    ssize_t n;
    do {
        n = sendmsg(fd, &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    return n == (ssize_t)bytes ? ERR_OK : ERR_CLOSED;
}

static int passed_fd(struct msghdr *message)
{
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    if (c == NULL || c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS ||
        c->cmsg_len != CMSG_LEN(sizeof(int))) {
        return -1;
    }
    int fd;
    memcpy(&fd, CMSG_DATA(c), sizeof fd);
    return fd;
}

enum err packet_receive(int fd, void *data, size_t room, size_t *ret_bytes, int *ret_fd)
{
    struct iovec iov = {.iov_base = data, .iov_len = room};
    union fd_message ancillary;
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = &ancillary,
                             .msg_controllen = sizeof ancillary.room};
    ssize_t n;
    do {
        n = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n <= 0) {
        return ERR_CLOSED;
    }
    int passed = passed_fd(&message);
    if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
        if (passed >= 0) {
            (void)close(passed);
        }
        return ERR_BAD_REQUEST;
    }
    *ret_bytes = (size_t)n;
    *ret_fd = passed;
    return ERR_OK;
}
