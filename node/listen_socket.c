#include "node/listen_socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <uv.h>

static bool parse_host(const char *host, uint16_t port, struct sockaddr_storage *ret_address)
{
    memset(ret_address, 0, sizeof *ret_address);
    return uv_ip4_addr(host, port, (struct sockaddr_in *)ret_address) == 0 ||
           uv_ip6_addr(host, port, (struct sockaddr_in6 *)ret_address) == 0;
}

/* A listening socket, or -1 with errno. TCP_NODELAY is inherited by what it accepts. */
static int open_socket(const struct sockaddr_storage *address)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on) != 0 ||
        bind(fd, (const struct sockaddr *)address, sizeof *address) != 0 ||
        listen(fd, LISTEN_BACKLOG) != 0) {
        int saved = errno;
        (void)close(fd);
        errno = saved;
        return -1;
    }
    return fd;
}

/* Without SO_REUSEPORT bind fails where anybody listens, sharing or not. The probe does not
 * listen: a client that connects meanwhile is refused, not lost. */
static int probe(const struct sockaddr_storage *address)
{
    int fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    int rc = bind(fd, (const struct sockaddr *)address, sizeof *address);
    int saved = errno;
    (void)close(fd);
    errno = saved;
    return rc;
}

static enum err explain(const char **ret_reason)
{
    *ret_reason = uv_strerror(uv_translate_sys_error(errno));
    return errno == EADDRINUSE ? ERR_BUSY : ERR_UNAVAILABLE;
}

enum err listen_socket_probe(const char *host, uint16_t port, const char **ret_reason)
{
    struct sockaddr_storage address;
    if (!parse_host(host, port, &address)) {
        *ret_reason = "not a numeric address";
        return ERR_BAD_REQUEST;
    }
    return port == 0 || probe(&address) == 0 ? ERR_OK : explain(ret_reason);
}

enum err listen_socket_open(const char *host, uint16_t port, bool is_first, int *ret_fd,
                            const char **ret_reason)
{
    struct sockaddr_storage address;
    if (!parse_host(host, port, &address)) {
        *ret_reason = "not a numeric address";
        return ERR_BAD_REQUEST;
    }
    int fd = is_first && port != 0 && probe(&address) != 0 ? -1 : open_socket(&address);
    if (fd < 0) {
        return explain(ret_reason);
    }
    *ret_fd = fd;
    return ERR_OK;
}
