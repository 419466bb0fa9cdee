/* The network of a sandbox, from outside: sockets that are made in its namespace and used from ours. */
#ifndef ACTOR_LAUNCHER_SANDBOX_NET_H
#define ACTOR_LAUNCHER_SANDBOX_NET_H

#include <stdint.h>

#include "actor/launch_wire.h"

/* Its loopback comes up, with the address of the transparent proxy as another one, and the sockets from
 * SANDBOX_FD_DIAG to SANDBOX_FD_DNS are made. `own` is our own namespace. 0 or an errno. */
int sandbox_net_make(int pidfd, int own, int fds[SANDBOX_FDS]);

/* A socket that is connected to its loopback. 0 or an errno. */
int sandbox_net_connect(int pidfd, int own, uint16_t port, int *ret_socket);

#endif
