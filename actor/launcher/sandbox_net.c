#include "actor/launcher/sandbox_net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/netlink.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BACKLOG = 128 };

#define TRANSPARENT 0xc6120001U /* 198.18.0.1 */

static struct sockaddr_in address(uint32_t host, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
}

/* With the wrong namespace every socket from here on would be wrong. */
static void leave(int own)
{
    if (setns(own, CLONE_NEWNET) != 0) {
        abort();
    }
}

static int bring_up(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq up = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    struct ifreq alias = {.ifr_name = "lo:1"};
    struct ifreq mask = {.ifr_name = "lo:1"};
    const struct sockaddr_in host = address(TRANSPARENT, 0);
    const struct sockaddr_in one = address(UINT32_MAX, 0);
    memcpy(&alias.ifr_addr, &host, sizeof host);
    memcpy(&mask.ifr_netmask, &one, sizeof one);
    int error = fd < 0 || ioctl(fd, SIOCSIFFLAGS, &up) != 0 ||
                        ioctl(fd, SIOCSIFADDR, &alias) != 0 || ioctl(fd, SIOCSIFNETMASK, &mask) != 0
                    ? errno
                    : 0;
    if (fd >= 0) {
        (void)close(fd);
    }
    return error;
}

static int make_sockets(int fds[SANDBOX_FDS])
{
    static const struct {
        enum launch_sandbox_fd which;
        int type;
        uint32_t host;
        uint16_t port;
    } wanted[] = {
        {SANDBOX_FD_PROXY, SOCK_STREAM, INADDR_LOOPBACK, 3128},
        {SANDBOX_FD_HTTP, SOCK_STREAM, TRANSPARENT, 80},
        {SANDBOX_FD_HTTPS, SOCK_STREAM, TRANSPARENT, 443},
        {SANDBOX_FD_DNS, SOCK_DGRAM, INADDR_LOOPBACK, 53},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        const struct sockaddr_in at = address(wanted[i].host, wanted[i].port);
        int fd = socket(AF_INET, wanted[i].type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        fds[wanted[i].which] = fd;
        if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) != 0 ||
            (wanted[i].type == SOCK_STREAM && listen(fd, BACKLOG) != 0)) {
            return errno;
        }
    }
    fds[SANDBOX_FD_DIAG] =
        socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
    return fds[SANDBOX_FD_DIAG] < 0 ? errno : 0;
}

int sandbox_net_make(int pidfd, int own, int fds[SANDBOX_FDS])
{
    if (setns(pidfd, CLONE_NEWNET) != 0) {
        return errno;
    }
    int error = bring_up();
    if (error == 0) {
        error = make_sockets(fds);
    }
    leave(own);
    return error;
}

static int connect_to(int family, const struct sockaddr *at, socklen_t bytes, int *ret_socket)
{
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return errno;
    }
    /* On a loopback it is connected or refused once connect has returned, though it says EINPROGRESS; where the queue of
     * the other side is full it is neither. */
    int error = connect(fd, at, bytes) != 0 ? errno : 0;
    socklen_t error_bytes = sizeof error;
    if (error == EINPROGRESS && getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &error_bytes) != 0) {
        error = errno;
    }
    if (error != 0) {
        (void)close(fd);
        return error;
    }
    *ret_socket = fd;
    return 0;
}

int sandbox_net_connect(int pidfd, int own, uint16_t port, int *ret_socket)
{
    const struct sockaddr_in v4 = address(INADDR_LOOPBACK, port);
    const struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = in6addr_loopback};
    if (setns(pidfd, CLONE_NEWNET) != 0) {
        return errno;
    }
    int error = connect_to(AF_INET, (const struct sockaddr *)&v4, sizeof v4, ret_socket);
    if (error == ECONNREFUSED) {
        error = connect_to(AF_INET6, (const struct sockaddr *)&v6, sizeof v6, ret_socket);
    }
    leave(own);
    return error;
}
