/* Which WebSocket of a client is meant, anywhere in the cluster: the node that it is connected to, and that
 * node's number for it. */
#ifndef ACTOR_SOCKET_REF_H
#define ACTOR_SOCKET_REF_H

#include <stdint.h>

struct socket_ref {
    uint64_t id;   /* below 2^53, so that code can hold it; 0: no socket */
    uint32_t node; /* 0: of a node that is alone */
};

#endif
