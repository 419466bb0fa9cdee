/* A listening socket that every worker of the process has its own of, on one port (SO_REUSEPORT). */
#ifndef NODE_LISTEN_SOCKET_H
#define NODE_LISTEN_SOCKET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* As many as Linux lets wait unless it is told otherwise (net.core.somaxconn): a burst of connections of one
 * client must not shut out the others. */
enum { LISTEN_BACKLOG = 4096 };

/* `host` is numeric; port 0: the system chooses. `is_first`, of this process on this port: two processes
 * must not share it by mistake. The socket does not block, and TCP_NODELAY is inherited by what it
 * accepts. ERR_BUSY: the port is taken; ERR_BAD_REQUEST: not a numeric host; ERR_IO: anything else;
 * `*ret_reason` is the system's text for it. */
enum err listen_socket_open(const char *host, uint16_t port, bool is_first, int *ret_fd,
                            const char **ret_reason) MUST_CHECK;

/* Whether a socket could be opened there, with the errors of listen_socket_open: for a port that several
 * threads are about to open at once, none of which is the first. */
enum err listen_socket_probe(const char *host, uint16_t port, const char **ret_reason) MUST_CHECK;

#endif
