/* A client host: an address from which clients come, and what its connections hold together. It is
 * there while it has connections.
 *
 * What one client may take of a worker is bounded by address, not by connection: a hostile one opens
 * as many as it is let. An IPv6 network of 64 bits counts as one address, an IPv4 address is the same
 * through IPv6. */
#ifndef NODE_CLIENT_HOST_H
#define NODE_CLIENT_HOST_H

#include <sys/socket.h>

#include "base/map.h"
#include "node/rota.h"
#include "rpc/http.h"

enum { CLIENT_HOST_KEY_BYTES = 9 };

struct client_host {
    struct map_node node;
    uint8_t key[CLIENT_HOST_KEY_BYTES]; /* family, then IPv4 address or IPv6 network */
    size_t conn_count;
    struct rota_party readers;  /* connections with something to read ... */
    struct rota_party writers;  /* ... or to write */
    struct rota_party sidework; /* requests whose body or answer is large (node/sideline.h) */
    struct http_load load;
};

struct client_hosts {
    struct map by_key;
    struct http_load load; /* of all of them */
};

/* One connection more. */
struct client_host *client_host_join(struct client_hosts *p,
                                     const struct sockaddr_storage *address);
/* One less; with the last it is gone. */
void client_host_leave(struct client_hosts *p, struct client_host *host);
void client_hosts_done(struct client_hosts *p); /* none may be left */

#endif
