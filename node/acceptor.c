#include "node/acceptor.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

static int spare_of(int fd)
{
    return fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

void acceptor_init(struct acceptor *a, int fd)
{
    *a = (struct acceptor){.fd = fd, .spare_fd = spare_of(fd)};
}

void acceptor_done(struct acceptor *a)
{
    (void)close(a->fd);
    if (a->spare_fd >= 0) {
        (void)close(a->spare_fd);
    }
    *a = (struct acceptor){.fd = -1, .spare_fd = -1};
}

static int take(const struct acceptor *a, struct sockaddr_storage *ret_from)
{
    socklen_t len = sizeof *ret_from;
    return accept4(a->fd, (struct sockaddr *)ret_from, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static enum acceptor_found turn_one_away(struct acceptor *a)
{
    if (a->spare_fd < 0) {
        a->spare_fd = spare_of(a->fd);
        return ACCEPTOR_NONE;
    }
    struct sockaddr_storage from;
    (void)close(a->spare_fd);
    int fd = take(a, &from);
    if (fd >= 0) {
        (void)close(fd);
    }
    a->spare_fd = spare_of(a->fd);
    return fd >= 0 ? ACCEPTOR_TURNED_AWAY : ACCEPTOR_NONE;
}

/* False: it is closed or reset, and has said nothing. */
static bool is_there(int fd, bool *ret_has_bytes)
{
    char byte;
    ssize_t n = recv(fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    *ret_has_bytes = n > 0;
    return n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR));
}

enum acceptor_found acceptor_take(struct acceptor *a, struct accepted *ret_accepted)
{
    int fd = take(a, &ret_accepted->from);
    if (fd < 0 && (errno == EMFILE || errno == ENFILE)) {
        return turn_one_away(a);
    }
    if (fd < 0) {
        return errno == EAGAIN ? ACCEPTOR_NONE : ACCEPTOR_GONE;
    }
    if (!is_there(fd, &ret_accepted->has_bytes)) {
        (void)close(fd);
        return ACCEPTOR_GONE;
    }
    ret_accepted->fd = fd;
    return ACCEPTOR_ONE;
}
